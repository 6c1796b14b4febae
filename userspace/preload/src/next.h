/* SPDX-License-Identifier: MIT */
/*
 * The program's own allocator: whatever malloc() would be without the shim (glibc's, jemalloc, mimalloc, a sanitizer's).
 * It is looked up at the first call. Looking up takes memory itself: that, and what an allocator lacks, are blocks.
 */
#ifndef NEXT_H
#define NEXT_H

#include <stddef.h>
#include <sys/types.h>

struct next {
	void *(*malloc)(size_t size);
	void *(*calloc)(size_t count, size_t size);
	void *(*realloc)(void *at, size_t size);
	void *(*aligned_alloc)(size_t align, size_t size);
	void *(*memalign)(size_t align, size_t size);
	int (*posix_memalign)(void **at, size_t align, size_t size);
	void (*free)(void *at);
	size_t (*malloc_usable_size)(void *at);
	void *(*mmap)(void *at, size_t size, int protection, int flags, int fd, off_t offset);
	void *(*mremap)(void *at, size_t old, size_t size, int flags, void *to);
	int (*munmap)(void *at, size_t size);
};

extern struct next next;

/* Looks them up now. */
void next_find(void);

#endif
