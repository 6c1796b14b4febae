/* SPDX-License-Identifier: MIT */
#include "next.h"
#include "block.h"
#include "settings.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* -- with blocks alone ----------------------------------------------------------------- */

static void *some(size_t size, struct want want)
{
	void *at = block_new(size ? size : 1, want);

	if (!at)
		errno = ENOMEM;
	return at;
}

static void *own_malloc(size_t size)
{
	return some(size, (struct want){.kind = BLOCK});
}

static void *own_calloc(size_t count, size_t size)
{
	size_t whole;

	if (__builtin_mul_overflow(count, size, &whole))
		whole = SIZE_MAX;
	return some(whole, (struct want){.kind = BLOCK, .zero = true});
}

static void *own_realloc(void *at, size_t size)
{
	if (!at)
		return own_malloc(size);
	errno = ENOMEM; /* what is a block was taken care of before */
	return NULL;
}

static void *own_memalign(size_t align, size_t size)
{
	return some(size, (struct want){.kind = BLOCK, .align = align});
}

static int own_posix_memalign(void **at, size_t align, size_t size)
{
	void *got = block_new(size ? size : 1, (struct want){.kind = BLOCK, .align = align});

	if (got)
		*at = got;
	return got ? 0 : ENOMEM;
}

static void own_free(void *at)
{
	(void)at;
}

static size_t own_usable_size(void *at)
{
	(void)at;
	return 0;
}

static void *own_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
	return (void *)syscall(SYS_mmap, at, size, protection, flags, fd, offset);
}

static void *own_mremap(void *at, size_t old, size_t size, int flags, void *to)
{
	return (void *)syscall(SYS_mremap, at, old, size, flags, to);
}

static int own_munmap(void *at, size_t size)
{
	return (int)syscall(SYS_munmap, at, size);
}

static const struct next own = {
	.malloc = own_malloc,
	.calloc = own_calloc,
	.realloc = own_realloc,
	.aligned_alloc = own_memalign,
	.memalign = own_memalign,
	.posix_memalign = own_posix_memalign,
	.free = own_free,
	.malloc_usable_size = own_usable_size,
	.mmap = own_mmap,
	.mremap = own_mremap,
	.munmap = own_munmap,
};

/* -- the first call -------------------------------------------------------------------- */

static enum { UNKNOWN, LOOKING, FOUND } _Atomic state;

/* What to call meanwhile: who comes while they are looked up, by that or in another thread, gets blocks. */
static const struct next *now(void)
{
	next_find();
	return state == FOUND ? &next : &own;
}

static void *first_malloc(size_t size) { return now()->malloc(size); }
static void *first_calloc(size_t count, size_t size) { return now()->calloc(count, size); }
static void *first_realloc(void *at, size_t size) { return now()->realloc(at, size); }
static void *first_aligned_alloc(size_t align, size_t size) { return now()->aligned_alloc(align, size); }
static void *first_memalign(size_t align, size_t size) { return now()->memalign(align, size); }
static int first_posix_memalign(void **at, size_t align, size_t size) { return now()->posix_memalign(at, align, size); }
static void first_free(void *at) { now()->free(at); }
static size_t first_usable_size(void *at) { return now()->malloc_usable_size(at); }

struct next next = {
	.malloc = first_malloc,
	.calloc = first_calloc,
	.realloc = first_realloc,
	.aligned_alloc = first_aligned_alloc,
	.memalign = first_memalign,
	.posix_memalign = first_posix_memalign,
	.free = first_free,
	.malloc_usable_size = first_usable_size,
	.mmap = own_mmap,
	.mremap = own_mremap,
	.munmap = own_munmap,
};

/* A sanitizer has to see all memory: under one everything goes on as without the shim. */
static bool is_watched(void)
{
	static const char *const marks[] = {"__asan_init", "__hwasan_init", "__msan_init", "__tsan_init", "__lsan_init"};

	for (size_t i = 0; i < sizeof(marks) / sizeof(*marks); i++)
		if (dlsym(RTLD_DEFAULT, marks[i]))
			return true;
	return false;
}

#define FIND(name) do { \
	void *found_ = dlsym(RTLD_NEXT, #name); \
	memory.name = found_ ? (__typeof__(memory.name))found_ : own.name; \
} while (0)

void next_find(void)
{
	struct next memory;
	int expected = UNKNOWN, saved = errno;

	if (!atomic_compare_exchange_strong((_Atomic int *)&state, &expected, LOOKING))
		return;
	FIND(malloc);
	FIND(calloc);
	FIND(realloc);
	FIND(aligned_alloc);
	FIND(memalign);
	FIND(posix_memalign);
	FIND(free);
	FIND(malloc_usable_size);
	FIND(mmap);
	FIND(mremap);
	FIND(munmap);
	if (is_watched())
		settings_stand_aside();
	dlerror(); /* the program is not to find what we did not */
	next = memory;
	state = FOUND;
	errno = saved;
}
