/* SPDX-License-Identifier: MIT */
/* The blocks by themselves, without the shim's names: so sanitizers, which have their own malloc(), can watch. */
#include "block.h"
#include "cache.h"
#include "system.h"
#include "tap.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define KB	((size_t)1 << 10)
#define MB	((size_t)1 << 20)

static void *block(size_t size)
{
	return block_new(size, (struct want){.kind = BLOCK});
}

static void *text(size_t size)
{
	return block_new(size, (struct want){.kind = TEXT, .type = 2});
}

static void fill(void *at, size_t size, unsigned int seed)
{
	uint32_t *words = at;

	for (size_t i = 0; i < size / sizeof(*words); i++)
		words[i] = seed + (uint32_t)i * 2654435761u;
}

static bool is_filled(const void *at, size_t size, unsigned int seed)
{
	const uint32_t *words = at;

	for (size_t i = 0; i < size / sizeof(*words); i++)
		if (words[i] != seed + (uint32_t)i * 2654435761u)
			return false;
	return true;
}

static bool is_clear(const char *at, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (at[i])
			return false;
	return true;
}

static bool is_mapped(void *at, size_t size)
{
	return madvise(at, size, MADV_NORMAL) == 0;
}

/* Bytes that take memory, of what is mapped. */
static size_t resident(void *at, size_t size)
{
	size_t pages = size / system_page(), there = 0;
	unsigned char *seen = malloc(pages);

	CHECK(mincore(at, size, seen) == 0);
	for (size_t i = 0; i < pages; i++)
		there += seen[i] & 1;
	free(seen);
	return there * system_page();
}

TEST(a_block_starts_at_a_chunk_and_has_whole_pages)
{
	cache_limit(0);
	for (size_t size = 1; size < 3 * MB; size = size * 5 / 3 + 1) {
		char *at = block(size);

		CHECK(at && is_chunk(at));
		CHECK(block_room(at) == whole_pages(size) && is_clear(at, whole_pages(size)));
		memset(at, 1, whole_pages(size));
		CHECK(block_free(at) && !block_room(at));
	}
}

TEST(large_alignments_are_kept)
{
	for (size_t align = 4 * KB; align <= 64 * MB; align *= 2) {
		char *at = block_new(100 * KB, (struct want){.kind = BLOCK, .align = align});

		CHECK(at && !((uintptr_t)at & (align - 1)) && is_chunk(at));
		memset(at, 1, 100 * KB);
		CHECK(block_free(at));
	}
}

TEST(what_is_no_block_is_left_alone)
{
	char *page = mmap(NULL, 2 * CHUNK, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *inside = (char *)(((uintptr_t)page + CHUNK) & ~(CHUNK - 1)), *at = block(3 * CHUNK);

	CHECK(page != MAP_FAILED && at);
	CHECK(!block_free(inside) && !block_room(inside) && !block_resize(inside, 1));
	CHECK(!block_free(at + CHUNK) && !block_room(at + CHUNK) && !block_free(at + 16));
	CHECK(!block_free((void *)UINTPTR_MAX) && !block_free((void *)~(CHUNK - 1)) && !block_free((void *)CHUNK));
	CHECK(block_free(at) && !block_free(at));
}

TEST(what_was_freed_is_used_again_and_cleared_where_it_has_to_be)
{
	char *first = block(300 * KB), *again;

	memset(first, 1, 300 * KB);
	CHECK(block_free(first) && cache_bytes() == 300 * KB);
	again = block(300 * KB - 5);
	CHECK(again == first && !cache_bytes());
	CHECK(is_clear(again + 300 * KB - 5, 5));
	memset(again, 1, 300 * KB);
	CHECK(block_free(again));
	again = block_new(290 * KB, (struct want){.kind = BLOCK, .zero = true});
	CHECK(again == first && is_clear(again, 290 * KB) && block_room(again) == 300 * KB);
	CHECK(block_free(again) && block(64 * KB) == first && cache_bytes() == 236 * KB);
	again = block(100 * KB); /* of what is left */
	CHECK(again == first + 64 * KB && is_mapped(again, block_room(again)));
	CHECK(block_room(again) + cache_bytes() <= 236 * KB);
}

TEST(freed_neighbours_are_one_again)
{
	char *whole = block(512 * KB), *a, *b;

	memset(whole, 1, 512 * KB);
	CHECK(block_free(whole));
	a = block(100 * KB);
	b = block(256 * KB);
	CHECK(a == whole && b == whole + 128 * KB);
	CHECK(block_free(b) && block_free(a) && cache_bytes() == 512 * KB);
	CHECK(block(512 * KB) == whole);
}

TEST(what_is_kept_is_bounded)
{
	char *at[200];

	cache_limit(8 * MB);
	for (int i = 0; i < 200; i++)
		CHECK((at[i] = block(i % 2 ? 128 * KB : MB)));
	for (int i = 0; i < 200; i++) {
		CHECK(block_free(at[i]));
		CHECK(cache_bytes() <= 8 * MB);
	}
	CHECK(cache_bytes() >= 2 * MB);
	at[0] = block(5 * MB);
	CHECK(block_free(at[0]) && cache_bytes() <= 8 * MB && block(5 * MB) != at[0]);
	CHECK(cache_drop() && !cache_bytes() && !cache_drop());
	cache_limit(0);
	at[0] = block(128 * KB);
	CHECK(block_free(at[0]) && !cache_bytes());
}

TEST(freed_memory_goes_back)
{
	char *at = block(256 * MB);

	memset(at, 1, 256 * MB);
	CHECK(block_free(at) && !is_mapped(at, 256 * MB) && !is_mapped(at + 255 * MB, MB));
}

TEST(growing_keeps_the_content_and_copies_nothing)
{
	size_t size = 64 * KB, checked = 0;
	char *at = block(size);
	int moves = 0;

	fill(at, size, 7);
	for (; size < 64 * MB; size += 52 * KB) {
		char *grown = block_resize(at, size);

		CHECK(grown && is_chunk(grown) && block_room(grown) >= size);
		moves += grown != at;
		at = grown;
		if (size > 2 * checked) {
			CHECK(is_filled(at, 64 * KB, 7));
			checked = size;
		}
	}
	CHECK(moves < 64); /* of 1,200 times */
	CHECK(resident(at, block_room(at)) == 64 * KB);
	CHECK(is_clear(at + 64 * KB, block_room(at) - 64 * KB));
	CHECK(block_count() == 1 && block_free(at) && !block_count());
}

TEST(shrinking_gives_back_and_keeps_the_content)
{
	char *at = block(64 * MB);

	fill(at, 64 * MB, 9);
	CHECK(block_resize(at, 100 * KB) == at && block_room(at) == 100 * KB);
	CHECK(is_filled(at, 100 * KB, 9) && !is_mapped(at + 100 * KB, 4 * KB) && !is_mapped(at + 63 * MB, MB));
	CHECK(block_resize(at, 90 * KB) == at && block_room(at) == 100 * KB);
	CHECK(block_free(at));
}

TEST(a_text_knows_its_length)
{
	char *at = text(10), *empty = text(0);

	CHECK(at && empty && is_chunk(at) && at != empty);
	CHECK(table_get(at).kind == TEXT && table_get(at).length == 10 && table_get(at).type == 2);
	CHECK(block_room(at) == system_page() && block_room(empty) == system_page());
	fill(at, 4096, 3);
	at = block_resize(at, 1000 * KB + 1);
	CHECK(at && table_get(at).length == 1000 * KB + 1 && table_get(at).type == 2 && is_filled(at, 4096, 3));
	CHECK(block_resize(at, 9) == at && table_get(at).length == 9 && block_room(at) == system_page());
	CHECK(is_mapped(at - system_page(), 2 * system_page()));
	CHECK(block_free(at) && block_free(empty) && !block_count() && !cache_bytes());
	CHECK(!is_mapped(at, system_page()) && !is_mapped(at - system_page(), system_page()));
}

TEST(there_is_an_end_to_the_number_of_blocks)
{
	static char *at[BLOCKS_MAX];

	for (int i = 0; i < BLOCKS_MAX; i++)
		CHECK((at[i] = block(68 * KB)));
	CHECK(!block(68 * KB) && !text(1) && !block_map(MB, PROT_READ, 0));
	CHECK(block_free(at[77]) && block(68 * KB) && !block(68 * KB));
	CHECK(block_resize(at[5], MB)); /* which takes no more of them */
	CHECK(block_count() == BLOCKS_MAX);
}

TEST(what_the_program_maps_is_forgotten_when_it_unmaps_it)
{
	char *at = block_map(MB + 5, PROT_READ | PROT_WRITE, MAP_NORESERVE), *to;

	CHECK(at && is_chunk(at) && block_count() == 1);
	CHECK(!block_free(at) && !block_room(at));
	fill(at, MB, 4);
	to = block_map_move(at, MB + 5, 3 * MB);
	CHECK(to && is_chunk(to) && to != at && is_filled(to, MB, 4) && block_count() == 1);
	block_unmapped(at, 3 * MB); /* nothing is there */
	CHECK(block_count() == 1);
	block_unmapped(to, 3 * MB);
	CHECK(block_count() == 0 && munmap(to, 3 * MB) == 0);
	CHECK(!block_map_move(to, 3 * MB, 4 * MB));
	for (int i = 0; i < 100; i++)
		CHECK(block_map(MB, PROT_READ, 0));
	CHECK(block_count() == 100);
	block_unmapped((void *)4096, SIZE_MAX / 2); /* too much to look at, and no harm */
	at = block_map(MB, PROT_READ, 0);
	block_unmapped(at - 4096, 200 * MB); /* several at once, in the middle of a chunk */
	CHECK(block_count() < 5);
}

TEST(a_process_with_a_limited_address_space_gets_no_blocks)
{
	const int limits[] = {RLIMIT_AS, RLIMIT_DATA};

	for (int i = 0; i < 2; i++) {
		struct rlimit none, some = {.rlim_cur = (rlim_t)1 << 50, .rlim_max = RLIM_INFINITY};

		CHECK(getrlimit((__rlimit_resource_t)limits[i], &none) == 0);
		CHECK(setrlimit((__rlimit_resource_t)limits[i], &some) == 0);
		CHECK(!block(MB));
		CHECK(setrlimit((__rlimit_resource_t)limits[i], &none) == 0);
		CHECK(block(MB));
	}
}

/* -- moves that fail: the linker has this in the place of system_move() ---------------------- */

bool __real_system_move(void *from, size_t old, size_t size, void *to);
bool __wrap_system_move(void *from, size_t old, size_t size, void *to);

static enum { MOVES, REFUSES, FAILS_LATE } moving;
static char *others;	/* what another thread maps where a late failure has unmapped the new place */

bool __wrap_system_move(void *from, size_t old, size_t size, void *to)
{
	if (moving == FAILS_LATE) {
		CHECK(munmap(to, size) == 0);
		others = mmap(to, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
		CHECK(others == to);
		others[0] = others[size - 1] = 8;
	}
	return moving == MOVES && __real_system_move(from, old, size, to);
}

static size_t mapped_bytes(void)
{
	FILE *file = fopen("/proc/self/statm", "r");
	size_t pages;

	CHECK(file && fscanf(file, "%zu", &pages) == 1);
	fclose(file);
	return pages * system_page();
}

static void *grown(char *at, size_t size)
{
	return table_get(at).kind == MAPPED ? block_map_move(at, MB, size) : block_resize(at, size);
}

/* What the kernel does not move as one: two mappings, as soon as a page in the middle has a protection of its own. */
static void grows_in_vain(char *at, bool split)
{
	size_t before = mapped_bytes();

	fill(at, MB, 6);
	CHECK(!split || mprotect(at + MB / 2, system_page(), PROT_READ) == 0);
	for (int i = 0; i < 20; i++)
		CHECK(!grown(at, 256 * MB) && is_filled(at, MB, 6));
	CHECK(mapped_bytes() < before + 256 * MB);
	CHECK(table_get(at).length == MB && mprotect(at, MB, PROT_READ | PROT_WRITE) == 0);
}

TEST(a_move_that_fails_leaves_no_addresses_taken)
{
	for (moving = MOVES; moving <= REFUSES; moving++) {
		char *at[] = {block(MB), text(MB), block_map(MB, PROT_READ | PROT_WRITE, 0)};

		for (int i = 0; i < 3; i++) {
			/* Something is above each, so that none grows where it is. */
			CHECK(mmap(at[i] + MB, system_page(), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
			grows_in_vain(at[i], moving == MOVES);
		}
		CHECK(block_free(at[0]) && block_free(at[1]));
	}
	CHECK(block_count() == 2);
}

TEST(a_move_that_fails_late_leaves_others_memory_alone)
{
	char *at = text(MB);

	fill(at, MB, 6);
	moving = FAILS_LATE;
	CHECK(!block_resize(at, 64 * MB) && is_filled(at, MB, 6) && table_get(at).length == MB);
	CHECK(others && others[0] == 8 && others[64 * MB - 1] == 8 && !is_mapped(others - system_page(), system_page()));
	moving = MOVES;
	at = block_resize(at, 64 * MB);
	CHECK(at && is_filled(at, MB, 6) && block_free(at) && others[0] == 8);
}

TEST(sizes_beyond_all_bounds_are_refused)
{
	char *at = block(MB);

	CHECK(!block(SIZE_MAX) && !block(SIZE_MAX - 4095) && !block((size_t)1 << 47) && !text(SIZE_MAX));
	CHECK(!block_new(MB, (struct want){.kind = BLOCK, .align = (size_t)1 << 63}));
	CHECK(!block_resize(at, SIZE_MAX) && !block_resize(at, (size_t)1 << 46) && block_room(at) == MB);
	CHECK(block_count() == 1);
}

TEST(errno_stays)
{
	char *at;

	errno = 77;
	CHECK(!block((size_t)1 << 45) || true);
	at = block(MB);
	at = block_resize(at, 3 * MB);
	block_free(at);
	block_free(&at);
	CHECK(errno == 77);
}

/* -- many at once ------------------------------------------------------------------------ */

#define SLOTS	64

struct held {
	char *at;
	size_t size;
	unsigned int seed;
};

static _Atomic(struct held *) shared[SLOTS];

static uint32_t draw(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	return *state ^= *state << 5;
}

static void step(uint32_t *chance)
{
	struct held *held = atomic_exchange(&shared[draw(chance) % SLOTS], NULL), *other;
	size_t size = 4 * KB + draw(chance) % (400 * KB);

	if (held && draw(chance) % 3) {
		char *to = block_resize(held->at, size);
		size_t least = size < held->size ? size : held->size;

		CHECK(to && is_filled(to, least, held->seed));
		*held = (struct held){to, size, draw(chance)};
	} else if (held) {
		CHECK(is_filled(held->at, held->size, held->seed) && block_free(held->at));
		free(held);
		return;
	} else {
		held = malloc(sizeof(*held));
		*held = (struct held){block_new(size, (struct want){.kind = BLOCK, .zero = size % 2}), size, draw(chance)};
		CHECK(held->at && (size % 2 == 0 || is_clear(held->at, size)));
	}
	fill(held->at, held->size, held->seed);
	other = atomic_exchange(&shared[draw(chance) % SLOTS], held);
	if (other) {
		CHECK(is_filled(other->at, other->size, other->seed) && block_free(other->at));
		free(other);
	}
}

static void *steps(void *seed)
{
	uint32_t chance = (uint32_t)(uintptr_t)seed;

	for (int i = 0; i < 3000; i++)
		step(&chance);
	return NULL;
}

static void tidy(void)
{
	for (int i = 0; i < SLOTS; i++) {
		struct held *held = atomic_exchange(&shared[i], NULL);

		if (held)
			CHECK(is_filled(held->at, held->size, held->seed) && block_free(held->at));
		free(held);
	}
}

TEST(blocks_pass_between_threads)
{
	pthread_t threads[4];

	for (uintptr_t i = 0; i < 4; i++)
		CHECK(pthread_create(&threads[i], NULL, steps, (void *)(i * 7919 + 1)) == 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	tidy();
	CHECK(!block_count());
}

static _Atomic bool over;

static void *until_over(void *seed)
{
	uint32_t chance = (uint32_t)(uintptr_t)seed;

	while (!over) {
		char *at = block(100 * KB + draw(&chance) % (100 * KB));

		at[0] = 1;
		block_free(at);
	}
	return NULL;
}

TEST(a_child_of_a_process_with_threads_goes_on)
{
	pthread_t threads[2];

	CHECK(pthread_atfork(NULL, NULL, cache_forked) == 0);
	for (uintptr_t i = 0; i < 2; i++)
		CHECK(pthread_create(&threads[i], NULL, until_over, (void *)(i + 1)) == 0);
	for (int i = 0; i < 200; i++) {
		int status_;
		pid_t child = fork();

		if (!child) {
			for (int j = 0; j < 20; j++) {
				char *at = block(128 * KB);

				if (!at || !is_chunk(at))
					_exit(1);
				at[0] = 1;
				if (!block_free(at))
					_exit(2);
				if (!cache_bytes()) /* another thread was there when it forked, and is no more */
					_exit(3);
			}
			_exit(0);
		}
		CHECK(waitpid(child, &status_, 0) == child && status_ == 0);
	}
	over = true;
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
}

int main(int argc, char **argv)
{
	return tap_main(argc > 1 ? argv[1] : NULL);
}
