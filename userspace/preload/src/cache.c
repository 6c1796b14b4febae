/* SPDX-License-Identifier: MIT */
#include "cache.h"
#include "system.h"
#include "table.h"

#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#define SPANS		128
#define LEAST		((size_t)4 << 20)
#define SPARE_PART	2	/* a block may get that part more than it asked for */
#define TRIES		100

struct span {
	char *at;
	size_t size;
	unsigned int type;	/* as of a block */
};

static struct span spans[SPANS];	/* by address */
static size_t used, hand;		/* hand: where to take away from next */
static size_t largest;			/* that was freed */
static _Atomic size_t kept, limit = (size_t)64 << 20;
static atomic_flag busy = ATOMIC_FLAG_INIT;

static bool enter(void)
{
	for (int i = 0; i < TRIES; i++)
		if (!atomic_flag_test_and_set_explicit(&busy, memory_order_acquire))
			return true;
	return false;
}

static void leave(void)
{
	atomic_flag_clear_explicit(&busy, memory_order_release);
}

void cache_forked(void)
{
	if (!enter()) {
		used = 0;
		kept = 0;
	}
	leave();
}

void cache_limit(size_t bytes)
{
	limit = bytes;
}

size_t cache_bytes(void)
{
	return kept;
}

static char *chunk_end(char *at)
{
	return (char *)(((uintptr_t)at + CHUNK - 1) & ~(CHUNK - 1));
}

static void insert(size_t i, struct span span)
{
	memmove(&spans[i + 1], &spans[i], (used++ - i) * sizeof(span));
	spans[i] = span;
}

static void delete(size_t i)
{
	memmove(&spans[i], &spans[i + 1], (--used - i) * sizeof(*spans));
}

/* Joins a span with the next one if that starts at the next chunk, and the pages between are nobody's. */
static void join(size_t i)
{
	char *end = spans[i].at + spans[i].size, *next = i + 1 < used ? spans[i + 1].at : NULL;

	if (!next || chunk_end(end) != next ||
	    (end != next && !system_map_free(end, (size_t)(next - end), PROT_READ | PROT_WRITE, 0)))
		return;
	kept += (size_t)(next - end);
	spans[i].size = (size_t)(next - spans[i].at) + spans[i + 1].size;
	spans[i].type = PIECES;
	delete(i + 1);
}

/* Takes away the ends of spans, one after another, until no more than that is kept. */
static void trim(size_t most)
{
	while (used && kept > most) {
		struct span *span = &spans[hand++ % used];
		size_t excess = kept - most, stays;

		stays = excess < span->size ? (span->size - excess) & ~(CHUNK - 1) : 0;
		if (!system_unmap(span->at + stays, span->size - stays))
			return;
		kept -= span->size - stays;
		span->size = stays;
		if (!stays)
			delete((size_t)(span - spans));
	}
}

/* With three of the largest, programs that take and free at random hold as much as with glibc alone, as measured. */
static size_t enough(void)
{
	size_t wanted = 3 * largest < LEAST ? LEAST : 3 * largest;

	return wanted < limit ? wanted : limit;
}

bool cache_put(void *at, struct entry block)
{
	size_t i = 0, size = block.length;

	if (size > limit / 2 || !enter())
		return false;
	if (used == SPANS) {
		leave();
		return false;
	}
	if (size > largest)
		largest = size;
	while (i < used && spans[i].at < (char *)at)
		i++;
	insert(i, (struct span){at, size, block.type});
	kept += size;
	join(i);
	if (i)
		join(i - 1);
	trim(enough());
	leave();
	return true;
}

/* The smallest that is large enough; SPANS: none is. */
static size_t best(size_t size)
{
	size_t found = SPANS;

	for (size_t i = 0; i < used; i++)
		if (spans[i].size >= size && (found == SPANS || spans[i].size < spans[found].size))
			found = i;
	return found;
}

/* What a block of `size` bytes leaves of a span, from the next chunk on; the pages up to there go back. */
static struct span cut(struct span span, size_t size, size_t *got)
{
	char *end = span.at + span.size, *rest = chunk_end(span.at + size);

	if (rest > end)
		rest = end;
	*got = (size_t)(rest - span.at);
	if (*got - size > size / SPARE_PART && system_unmap(span.at + size, *got - size))
		*got = size;
	return (struct span){rest, (size_t)(end - rest), span.type};
}

void *cache_take(size_t size, struct entry *block)
{
	struct span span, rest;
	size_t i;

	if (!kept || !enter())
		return NULL;
	i = best(whole_pages(size));
	if (i == SPANS) {
		leave();
		return NULL;
	}
	span = spans[i];
	*block = (struct entry){.kind = BLOCK, .type = span.type};
	rest = cut(span, whole_pages(size), &block->length);
	kept -= span.size - rest.size;
	if (rest.size)
		spans[i] = rest;
	else
		delete(i);
	leave();
	return span.at;
}

bool cache_drop(void)
{
	bool dropped;

	if (!kept || !enter())
		return false;
	dropped = used > 0;
	trim(0);
	leave();
	return dropped;
}
