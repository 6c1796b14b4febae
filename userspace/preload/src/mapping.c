/* SPDX-License-Identifier: MIT */
/*
 * mmap() and its like: what a program maps for itself (the heap of a language, mostly) starts at a chunk's boundary.
 * Nothing else about it is changed.
 */
#include "block.h"
#include "cache.h"
#include "next.h"
#include "settings.h"

#include <errno.h>
#include <stdarg.h>
#include <sys/mman.h>

#define EXPORT	__attribute__((visibility("default")))
#define PLAIN	(MAP_PRIVATE | MAP_ANONYMOUS)

/* A place that the program chose, stacks, locked and huge pages are not ours to move. */
static bool may_move(void *at, size_t size, int flags)
{
	return !at && size >= settings_threshold && (flags & ~MAP_NORESERVE) == PLAIN;
}

EXPORT void *mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
	void *got = may_move(at, size, flags) ? block_map(size, protection, flags & MAP_NORESERVE) : NULL;

	if (!got)
		got = next.mmap(at, size, protection, flags, fd, offset);
	if (got == MAP_FAILED && errno == ENOMEM && cache_drop())
		got = next.mmap(at, size, protection, flags, fd, offset);
	return got;
}

EXPORT void *mmap64(void *at, size_t size, int protection, int flags, int fd, off_t offset)
	__attribute__((alias("mmap")));

EXPORT int munmap(void *at, size_t size)
{
	block_unmapped(at, size);
	return next.munmap(at, size);
}

/* In place, or to a chunk's boundary again, or as the kernel will. */
static void *grow(void *at, size_t old, size_t size, int flags)
{
	int saved = errno;
	void *to = next.mremap(at, old, size, flags & ~MREMAP_MAYMOVE, NULL);

	if (to != MAP_FAILED)
		return to;
	errno = saved;
	to = block_map_move(at, old, size);
	if (to)
		return to;
	block_unmapped(at, old);
	return next.mremap(at, old, size, flags, NULL);
}

EXPORT void *mremap(void *at, size_t old, size_t size, int flags, ...)
{
	void *to = NULL;

	if (flags & ~MREMAP_MAYMOVE) { /* with a place, or to leave the old one */
		va_list more;

		va_start(more, flags);
		to = va_arg(more, void *);
		va_end(more);
	} else if (flags && size > old && table_get(at).kind == MAPPED) {
		return grow(at, old, size, flags);
	}
	if (flags & MREMAP_MAYMOVE)
		block_unmapped(at, old);
	return next.mremap(at, old, size, flags, to);
}
