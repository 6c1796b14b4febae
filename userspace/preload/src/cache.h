/* SPDX-License-Identifier: MIT */
/*
 * Memory that was freed, for who asks for some again: without it a program that takes and frees large blocks in turn waits
 * for the kernel to clear each page. As with glibc, how much is kept follows the largest block that was freed, within
 * bounds.
 *
 * Nobody waits for another one here: who finds it in use does without. So a signal handler, or a child of fork(), cannot
 * be stuck.
 */
#ifndef CACHE_H
#define CACHE_H

#include "table.h"

/* Bytes that may be kept at most; 0: none. */
void cache_limit(size_t bytes);
/* Keeps the pages of a BLOCK. False: they stay the caller's. */
bool cache_put(void *at, struct entry block);
/* Pages for a BLOCK of `size` bytes, not cleared; `block`: what they are. NULL: there are none. */
void *cache_take(size_t size, struct entry *block);
/* Gives everything back. False: there was nothing. */
bool cache_drop(void);
size_t cache_bytes(void);
/* In the child after fork(): what another thread was doing here will not be finished. */
void cache_forked(void);

#endif
