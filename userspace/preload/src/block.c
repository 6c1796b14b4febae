/* SPDX-License-Identifier: MIT */
#include "block.h"
#include "cache.h"
#include "place.h"
#include "system.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#define WRITABLE	(PROT_READ | PROT_WRITE)
#define LENGTH_MAX	((size_t)1 << 46)
#define NEW_PART	4	/* a block that grows by more than that part is copied, if there are pages for it */
#define LOOK_MAX	((size_t)1 << 30)	/* of what is unmapped at once: what was mapped as a whole has one beginning */
#define SCATTER		2654435761u	/* odd: numbers stay different, and odd ones are not 0 */
#define ROOM_TO_GROW	4	/* a block that moved because it grew gets a gap of that part above it */

static _Atomic size_t count;
static _Atomic bool merging;

void block_merge(bool merge)
{
	merging = merge;
}

size_t block_count(void)
{
	return count;
}

static bool count_one(void)
{
	if (atomic_fetch_add(&count, 1) < BLOCKS_MAX)
		return true;
	atomic_fetch_sub(&count, 1);
	return false;
}

/* Whatever was noted at a place that is new is no more: its memory went back to the kernel by other ways than ours. */
static void note_new(void *at, struct entry entry)
{
	if (table_set(at, entry).kind != NOTHING)
		atomic_fetch_sub(&count, 1);
}

/* Before a TEXT there is one page more: agentmem_map_at() wants it. */
static size_t lead_of(enum kind kind)
{
	return kind == TEXT || kind == SEALED ? system_page() : 0;
}

static size_t pages_of(struct entry entry)
{
	return entry.length ? whole_pages(entry.length) : system_page();
}

/*
 * New pages, not noted yet. A process that has a limit to its address space gets none: it may need all that alignment
 * and growing would take.
 */
static void *fresh(size_t size, size_t align, size_t lead, int protection, int flags)
{
	void *at;

	if (system_limited())
		return NULL;
	at = place(size, align, lead, protection, flags);
	if (!at && cache_drop())
		at = place(size, align, lead, protection, flags);
	if (!at)
		return NULL;
	if (!table_prepare(at)) {
		system_unmap((char *)at - lead, lead + size);
		return NULL;
	}
	if (merging && protection == WRITABLE)
		system_advise(at, size, MADV_MERGEABLE);
	return at;
}

/* Old pages. The rest of the last one is cleared, for it is compared, too. */
static void *reuse(size_t size, bool zero, struct entry *entry)
{
	void *at = cache_take(size, entry);

	if (at && zero)
		memset(at, 0, whole_pages(size));
	else if (at)
		memset((char *)at + size, 0, whole_pages(size) - size);
	return at;
}

void *block_new(size_t size, struct want want)
{
	struct entry entry = {.kind = want.kind, .type = want.type};
	void *at = NULL;

	if (size > LENGTH_MAX || want.align > LENGTH_MAX || !count_one())
		return NULL;
	entry.length = want.kind == TEXT ? size : whole_pages(size);
	if (want.align <= CHUNK && want.kind == BLOCK)
		at = reuse(size, want.zero, &entry);
	if (!at)
		at = fresh(pages_of(entry), want.align > CHUNK ? want.align : CHUNK, lead_of(want.kind), WRITABLE, 0);
	if (at)
		note_new(at, entry);
	else
		atomic_fetch_sub(&count, 1);
	return at;
}

/* What is not noted any more. */
static void release(void *at, struct entry entry)
{
	size_t lead = lead_of(entry.kind);

	if (entry.kind == BLOCK && cache_put(at, entry))
		return;
	/* In the middle of others' pages this takes a mapping more. If there is none, at least the memory goes. */
	if (!system_unmap((char *)at - lead, lead + pages_of(entry)))
		system_advise(at, pages_of(entry), MADV_DONTNEED);
}

bool block_free(void *at)
{
	struct entry entry = table_get(at);

	if (entry.kind == NOTHING || entry.kind == MAPPED || !table_change(at, entry, (struct entry){0}))
		return false;
	atomic_fetch_sub(&count, 1);
	release(at, entry);
	return true;
}

size_t block_room(const void *at)
{
	struct entry entry = table_get(at);

	return entry.kind == BLOCK || entry.kind == TEXT ? pages_of(entry) : entry.kind == SEALED ? entry.length : 0;
}

/* -- growing and shrinking ------------------------------------------------------- */

/* Writes a word that is no other memory's; 0: it cannot. One page alone is made writable: a large one would be cleared. */
static uint32_t sign(void *at)
{
	static _Atomic uint32_t signs;
	uint32_t word = (2 * atomic_fetch_add(&signs, 1) + 1) * SCATTER;

	if (!system_protect(at, system_page(), WRITABLE))
		return 0;
	*(volatile uint32_t *)at = word;
	return word;
}

/*
 * Pages move by their tables, nothing is copied. Room above is left to grow into, as long as nobody else takes it. The old
 * place must not be noted any more: once it is free, others may note theirs there. A move that fails may have unmapped the
 * new place, and another thread may have got it since: the word that was written there tells whose it is.
 */
static void *move(void *at, size_t lead, size_t old, size_t size)
{
	size_t above = (size / ROOM_TO_GROW + CHUNK - 1) & ~(CHUNK - 1);
	char *to = fresh(size + above, CHUNK, lead, PROT_NONE, MAP_NORESERVE);
	uint32_t word;
	bool moved;

	if (!to)
		return NULL;
	system_unmap(to + size, above);
	word = sign(to);
	moved = word && system_move(at, old, size, to);
	if (!moved && (!word || system_reads((uint32_t *)to, word)))
		system_unmap(to, size);
	if (lead)
		system_unmap((moved ? (char *)at : to) - lead, lead);
	return moved ? to : NULL;
}

static void *move_noted(void *at, struct entry entry, struct entry next)
{
	void *to;

	table_set(at, (struct entry){0});
	to = move(at, lead_of(entry.kind), pages_of(entry), pages_of(next));
	if (to)
		note_new(to, next);
	else
		table_set(at, entry);
	return to;
}

static void *replace(void *at, struct entry entry, void *to, struct entry next)
{
	memcpy(to, at, entry.length);
	note_new(to, next);
	table_set(at, (struct entry){0});
	release(at, entry);
	return to;
}

/* Copying to pages that were freed is faster than new pages, if these are many. */
static void *copy(void *at, struct entry entry, struct entry next)
{
	void *to = NULL;

	if (entry.kind == BLOCK && next.length - entry.length > entry.length / NEW_PART)
		to = reuse(next.length, false, &next);
	if (!to && entry.kind == BLOCK && entry.type == PIECES) {
		next.type = 0;
		to = fresh(next.length, CHUNK, 0, WRITABLE, 0);
	}
	return to ? replace(at, entry, to, next) : NULL;
}

/* A block goes to the end of its chunk if it can: who grows goes on to. */
static void *grow(void *at, struct entry entry, struct entry next)
{
	size_t wanted = next.length, chunks = (next.length + CHUNK - 1) & ~(CHUNK - 1);
	size_t tries[] = {entry.kind == BLOCK ? chunks : wanted, wanted};
	void *to = copy(at, entry, next);

	if (entry.kind == BLOCK && entry.type == PIECES)
		return to;
	for (int i = 0; !to && i < 2; i++) {
		next.length = tries[i];
		if (system_resize(at, pages_of(entry), pages_of(next))) {
			table_set(at, next);
			return at;
		}
		to = move_noted(at, entry, next);
	}
	return to;
}

void *block_resize(void *at, size_t size)
{
	struct entry entry = table_get(at), next = entry;
	size_t spare;

	if (size > LENGTH_MAX || (entry.kind != BLOCK && entry.kind != TEXT))
		return NULL;
	next.length = entry.kind == BLOCK ? whole_pages(size) : size;
	if (pages_of(next) > pages_of(entry))
		return grow(at, entry, next);
	/* Who shrinks may grow again, so a block's pages go back by the chunk. A text's are told by its length. */
	spare = pages_of(entry) - pages_of(next);
	if (entry.kind == BLOCK && spare < CHUNK)
		return at;
	if (spare && !system_unmap((char *)at + pages_of(next), spare))
		return NULL;
	table_set(at, next);
	return at;
}

/* -- what the program maps by itself ------------------------------------------------ */

void *block_map(size_t size, int protection, int flags)
{
	void *at = NULL;

	if (size > LENGTH_MAX || !count_one())
		return NULL;
	at = fresh(whole_pages(size), CHUNK, 0, protection, flags);
	if (at)
		note_new(at, (struct entry){.length = whole_pages(size), .kind = MAPPED});
	else
		atomic_fetch_sub(&count, 1);
	return at;
}

void *block_map_move(void *at, size_t old, size_t size)
{
	struct entry entry = {.length = whole_pages(old), .kind = MAPPED};

	if (table_get(at).kind != MAPPED || size > LENGTH_MAX)
		return NULL;
	return move_noted(at, entry, (struct entry){.length = whole_pages(size), .kind = MAPPED});
}

static void forget(void *at)
{
	struct entry entry = table_get(at);

	if (entry.kind == MAPPED && table_change(at, entry, (struct entry){0}))
		atomic_fetch_sub(&count, 1);
}

/* Allocators give back several at once. */
void block_unmapped(void *at, size_t size)
{
	size_t before = -(uintptr_t)at % CHUNK;

	for (size_t i = before; i < size && i < LOOK_MAX; i += CHUNK)
		forget((char *)at + i);
}
