/* SPDX-License-Identifier: MIT */
/*
 * Memory that was freed, for who asks for as much again: without it a program that takes and frees large blocks in turn
 * waits for the kernel to clear each page. It is given to the kernel to take (MADV_FREE), and is bounded.
 */
#ifndef CACHE_H
#define CACHE_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes that may be kept; 0: none. */
void cache_limit(size_t bytes);
/* Keeps whole pages that start at a multiple of CHUNK. False: they stay the caller's. */
bool cache_put(void *at, size_t size);
/* Pages for `size` bytes: what is left of them is less than an eighth. NULL: none fit. `got`: their bytes. Not cleared. */
void *cache_take(size_t size, size_t *got);
/* Gives everything back. False: there was nothing. */
bool cache_drop(void);
size_t cache_bytes(void);

#endif
