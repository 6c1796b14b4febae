/* SPDX-License-Identifier: MIT */
/*
 * Calls of the kernel for the library's own use: not by the C library's functions, which the shim wraps itself, and errno
 * stays as it is.
 */
#ifndef SYSTEM_H
#define SYSTEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

size_t system_page(void);

static inline size_t whole_pages(size_t size)
{
	return (size + system_page() - 1) & ~(system_page() - 1);
}

/* Private anonymous memory, at any place (NULL) or at this one, whatever is there now. `flags`: more of MAP_*. */
void *system_map(void *at, size_t size, int protection, int flags);
/* The same at this place only if nothing is there. */
bool system_map_free(void *at, size_t size, int protection, int flags);
bool system_unmap(void *at, size_t size);
bool system_advise(void *at, size_t size, int advice);
bool system_protect(void *at, size_t size, int protection);
/* Grows or shrinks where it is; or moves to a place that it takes over. */
bool system_resize(void *at, size_t old, size_t size);
bool system_move(void *from, size_t old, size_t size, void *to);
/* Whether there is memory that can be read, and this word is in it. */
bool system_reads(const uint32_t *at, uint32_t word);
/* Whether the process has a limit to its address space or data. */
bool system_limited(void);

#endif
