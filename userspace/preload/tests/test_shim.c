/* SPDX-License-Identifier: MIT */
/*
 * A program that uses all of malloc() and mmap(). It passes with and without the shim, and on each allocator; run with
 * SHIM=1 it also wants what is large to start at chunks.
 */
#include "tap.h"

#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define KB	((size_t)1 << 10)
#define MB	((size_t)1 << 20)
#define CHUNK	(64 * KB)

static bool placed(const void *at)
{
	return !getenv("SHIM") || !((uintptr_t)at & (CHUNK - 1));
}

static void *opaque(void *at)
{
	__asm__ volatile("" : "+r"(at) : : "memory");
	return at;
}

static bool holds(const unsigned char *at, size_t size, int byte)
{
	for (size_t i = 0; i < size; i++)
		if (at[i] != byte)
			return false;
	return true;
}

TEST(large_memory_starts_at_a_chunk)
{
	for (size_t size = 64 * KB; size < 40 * MB; size = size * 3 / 2) {
		char *plain = malloc(size), *clear = calloc(size / 8, 8), *more = realloc(NULL, size);

		CHECK(placed(plain) && placed(clear) && placed(more) && plain != clear && clear != more);
		CHECK(malloc_usable_size(plain) >= size && holds((unsigned char *)clear, size / 8 * 8, 0));
		memset(plain, 1, malloc_usable_size(plain));
		memset(more, 2, size);
		CHECK(holds((unsigned char *)plain, size, 1) && holds((unsigned char *)more, size, 2));
		free(plain);
		free(clear);
		free(more);
	}
	free(NULL);
}

TEST(calloc_clears_what_was_used_before)
{
	for (int i = 0; i < 100; i++) {
		size_t size = 60 * KB + (size_t)i * 5003;
		unsigned char *at = malloc(size);

		memset(at, 0xff, malloc_usable_size(at));
		free(at);
		at = calloc(1, size);
		CHECK(holds(at, size, 0));
		free(at);
	}
}

TEST(realloc_keeps_the_content_across_all_sizes)
{
	static const size_t sizes[] = {10, 200 * KB, 65535, 65536, 65537, 10 * MB, 9 * MB, 300, 64 * KB, 40 * KB, 20 * KB, 16, MB, 1};
	unsigned char *at = malloc(1);
	size_t kept = 1;

	at[0] = 7;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		at = realloc(at, sizes[i]);
		CHECK(at && holds(at, kept < sizes[i] ? kept : sizes[i], 7));
		CHECK(sizes[i] < 64 * KB || placed(at));
		memset(at, 7, sizes[i]);
		kept = sizes[i];
	}
	free(at);
	at = reallocarray(NULL, 1000, 1000);
	CHECK(placed(at) && (at = reallocarray(at, 3000, 1000)) && placed(at));
	free(at);
}

TEST(realloc_to_nothing_is_the_allocators_own)
{
	void *small = realloc(opaque(malloc(10)), 0), *large = realloc(opaque(malloc(MB)), 0);

	CHECK(!small == !large);
	free(small);
	free(large);
}

TEST(impossible_sizes_fail_as_they_should)
{
	size_t huge = (size_t)opaque((void *)(PTRDIFF_MAX - 1)), more = huge + 100;
	char *at = malloc(MB);
	void *got = &got;

	errno = 0;
	CHECK(!malloc(huge) && errno == ENOMEM);
	CHECK(!malloc(more) && !calloc(huge, 2) && !calloc(more, 1) && !aligned_alloc(64, huge & ~(size_t)63));
	errno = 0;
	CHECK(!reallocarray(at, huge, 4) && errno == ENOMEM);
	CHECK(!realloc(at, huge) && !realloc(at, more));
	CHECK(posix_memalign(&got, 4096, huge) == ENOMEM);
	CHECK(posix_memalign(&got, 3, MB) == EINVAL && posix_memalign(&got, 4, MB) == EINVAL);
	memset(at, 1, MB); /* it is still there */
	free(at);
}

TEST(alignment_is_kept)
{
	for (size_t align = 8; align <= 4 * MB; align *= 2) {
		void *a = aligned_alloc(align, 4 * MB), *b = memalign(align, 100 * KB), *c = NULL;

		CHECK(posix_memalign(&c, align, MB) == 0);
		CHECK(a && b && c && !(((uintptr_t)a | (uintptr_t)b | (uintptr_t)c) & (align - 1)));
		CHECK(placed(a) && placed(b) && placed(c));
		memset(c, 1, MB);
		a = realloc(a, 5 * MB);
		CHECK(placed(a));
		free(a);
		free(b);
		free(c);
	}
	free(valloc(100));
	free(valloc(MB));
	if (getenv("SHIM")) /* not every allocator has it, and then it is not its own */
		free(pvalloc(MB + 1));
}

TEST(free_leaves_errno_alone)
{
	void *at[] = {malloc(10), malloc(100 * KB), malloc(100 * MB)};

	for (int i = 0; i < 3; i++) {
		errno = 5;
		free(opaque(at[i]));
		CHECK(errno == 5);
	}
}

TEST(mappings_start_at_chunks_and_are_otherwise_as_always)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS;
	unsigned char *at = mmap(NULL, 300 * KB, PROT_READ | PROT_WRITE, flags, -1, 0), *fixed;
	FILE *file = fopen("/proc/self/exe", "r");

	CHECK(at != MAP_FAILED && placed(at) && holds(at, 300 * KB, 0));
	memset(at, 3, 300 * KB);
	at = mremap(at, 300 * KB, 20 * MB, MREMAP_MAYMOVE);
	CHECK(at != MAP_FAILED && placed(at) && holds(at, 300 * KB, 3) && holds(at + 300 * KB, MB, 0));
	fixed = mmap(at + 4 * KB, 100 * KB, PROT_READ, flags | MAP_FIXED, -1, 0);
	CHECK(fixed == at + 4 * KB && holds(at, 4 * KB, 3) && holds(fixed, 100 * KB, 0));
	CHECK(munmap(at, 64 * KB) == 0 && at[64 * KB] == 0 && munmap(at + 64 * KB, 20 * MB - 64 * KB) == 0);
	at = mmap(NULL, 256 * KB, PROT_NONE, flags | MAP_NORESERVE, -1, 0);
	CHECK(placed(at) && mprotect(at, 256 * KB, PROT_READ | PROT_WRITE) == 0);
	at[256 * KB - 1] = 1;
	CHECK(mremap(at, 256 * KB, 128 * KB, 0) == at && munmap(at, 128 * KB) == 0);
	at = mmap(NULL, 4 * KB, PROT_READ, MAP_PRIVATE, fileno(file), 0);
	CHECK(at != MAP_FAILED && at[0] == 0x7f && munmap(at, 4 * KB) == 0);
	CHECK(mmap(NULL, 0, PROT_READ, flags, -1, 0) == MAP_FAILED && errno == EINVAL);
	CHECK(mmap(NULL, (size_t)1 << 60, PROT_READ, flags, -1, 0) == MAP_FAILED && errno == ENOMEM);
	CHECK(mremap(NULL, 256 * KB, 512 * KB, MREMAP_MAYMOVE) == MAP_FAILED && errno == EFAULT);
	fclose(file);
}

/* As much as without the shim, however the limit is spent. */
TEST(a_limit_to_the_address_space_is_as_good_as_ever)
{
	struct rlimit limit = {.rlim_cur = 400 * MB, .rlim_max = 400 * MB};
	size_t got = 0;

	CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
	while (malloc(65 * KB))
		got += 65 * KB;
	CHECK(got > 300 * MB);
}

/* Taken before any constructor: from before the shim has read its settings, and so large by another measure than later. */
static char *early;

static void take_early(int argc, char **argv, char **env)
{
	(void)argc;
	(void)argv;
	(void)env;
	early = malloc(100 * KB);
}
__attribute__((section(".preinit_array"), used)) static void (*const before_all)(int, char **, char **) = take_early;

TEST(memory_that_cannot_grow_is_not_said_to_have_grown)
{
	struct rlimit limit = {.rlim_cur = 400 * MB, .rlim_max = 400 * MB};

	CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
	memset(early, 1, 100 * KB);
	errno = 0;
	CHECK(!realloc(early, 800 * MB) && errno == ENOMEM);
	CHECK((early = realloc(early, 50 * KB)) && holds((unsigned char *)early, 50 * KB, 1));
	free(early);
}

static size_t mapped_now(void)
{
	size_t pages = 0;
	FILE *file = fopen("/proc/self/statm", "r");

	CHECK(file && fscanf(file, "%zu", &pages) == 1);
	fclose(file);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

TEST(what_was_freed_is_there_for_all_that_ask)
{
	bool other = dlsym(RTLD_DEFAULT, "mallctl") || dlsym(RTLD_DEFAULT, "mi_malloc");

	for (int how = 0; !other && how < 4; how++) { /* what jemalloc and mimalloc keep by themselves is their own affair */
		struct rlimit limit = {.rlim_cur = mapped_now() + 45 * MB, .rlim_max = RLIM_INFINITY};
		void *at = malloc(30 * MB);

		memset(at, 1, 30 * MB);
		free(at);
		CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
		at = how == 0 ? memalign(8192, 40 * MB) : how == 1 ? aligned_alloc(8192, 40 * MB) : how == 2 ? valloc(40 * MB) : NULL;
		CHECK(at || (how == 3 && posix_memalign(&at, 8192, 40 * MB) == 0));
		free(at);
		limit.rlim_cur = RLIM_INFINITY;
		CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
	}
}

TEST(a_large_block_grows_within_a_limit)
{
	struct rlimit limit = {.rlim_cur = 400 * MB, .rlim_max = 400 * MB};
	char *at;

	CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
	at = malloc(200 * MB);
	CHECK(at && (at = realloc(at, 250 * MB)) && (at = realloc(at, 300 * MB)));
	at[300 * MB - 1] = 1;
}

TEST(more_blocks_than_the_kernel_gives_mappings)
{
	static unsigned char *at[100000];

	for (int i = 0; i < 100000; i++) {
		CHECK((at[i] = malloc(65 * KB)));
		at[i][0] = at[i][65 * KB - 1] = (unsigned char)i;
	}
	for (int i = 0; i < 100000; i += 2)
		free(at[i]);
	CHECK(mmap(NULL, 8 * MB, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
	for (int i = 1; i < 100000; i += 2) {
		CHECK(at[i][0] == (unsigned char)i && at[i][65 * KB - 1] == (unsigned char)i);
		free(at[i]);
	}
}

static void *churn(void *seed)
{
	uint32_t chance = (uint32_t)(uintptr_t)seed;
	unsigned char *at[32] = {0};
	size_t size[32] = {0};

	for (int i = 0; i < 20000; i++) {
		int slot;

		chance = chance * 1664525 + 1013904223;
		slot = chance >> 27;
		CHECK(!at[slot] || (at[slot][0] == slot && at[slot][size[slot] - 1] == slot));
		size[slot] = 1 + (chance >> 8) % (200 * KB);
		at[slot] = chance & 64 ? realloc(at[slot], size[slot]) : (free(at[slot]), malloc(size[slot]));
		CHECK(at[slot]);
		at[slot][0] = at[slot][size[slot] - 1] = (unsigned char)slot;
	}
	for (int i = 0; i < 32; i++)
		free(at[i]);
	return NULL;
}

TEST(threads_and_children_at_the_same_time)
{
	pthread_t threads[4];

	for (uintptr_t i = 0; i < 4; i++)
		CHECK(pthread_create(&threads[i], NULL, churn, (void *)(i + 1)) == 0);
	for (int i = 0; i < 30; i++) {
		int status;
		pid_t child = fork();

		if (!child) {
			churn((void *)(uintptr_t)i);
			_exit(0);
		}
		CHECK(waitpid(child, &status, 0) == child && status == 0);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
}

static volatile sig_atomic_t ticks;
static void tick(int signal_)
{
	(void)signal_;
	ticks++;
}

TEST(interrupted_by_signals_all_the_time)
{
	struct sigaction action = {.sa_handler = tick, .sa_flags = SA_RESTART};
	timer_t timer;
	struct itimerspec often = {{0, 200000}, {0, 200000}};

	CHECK(sigaction(SIGALRM, &action, NULL) == 0 && timer_create(CLOCK_MONOTONIC, NULL, &timer) == 0);
	CHECK(timer_settime(timer, 0, &often, NULL) == 0);
	churn((void *)(uintptr_t)5);
	CHECK(ticks > 10);
}

TEST(programs_that_it_starts_run_as_well)
{
	extern char **environ;
	char *argv[] = {"sh", "-c", "exit 9", NULL};
	int status;
	pid_t child;

	free(malloc(MB));
	CHECK(posix_spawnp(&child, "sh", NULL, NULL, argv, environ) == 0);
	CHECK(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 9);
	child = vfork();
	if (!child) {
		execvp("sh", argv);
		_exit(1);
	}
	CHECK(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 9);
	CHECK(WEXITSTATUS(system("exit 8")) == 8);
}

int main(int argc, char **argv)
{
	return tap_main(argc > 1 ? argv[1] : NULL);
}
