/* SPDX-License-Identifier: MIT */
/*
 * Blocks: memory of whole pages that starts at a multiple of CHUNK and holds nothing else, so that equal texts are equal
 * pages, whoever has them. Any thread, any time; errno stays as it is.
 */
#ifndef BLOCK_H
#define BLOCK_H

#include "table.h"

/* So many at a time and no more: each may take one of the process's mappings (vm.max_map_count, 65,530). */
#define BLOCKS_MAX	16384

/* What a block must be fit for. */
struct want {
	size_t align;		/* power of two; below CHUNK means CHUNK */
	bool zero;		/* cleared */
	enum kind kind;		/* BLOCK or TEXT */
	unsigned int type;	/* of a TEXT */
};

/* NULL: no memory, or too many blocks; the program's own allocator may still have some. */
void *block_new(size_t size, struct want want);
/* False: no block starts there. */
bool block_free(void *at);
/* Bytes that can be used; 0: no block starts there. */
size_t block_room(const void *at);
/* Makes room for `size` bytes, or gives room back; what was there moves along. NULL: it could not, and stays as it is. */
void *block_resize(void *at, size_t size);

/* The same for mmap(): memory that the program sees to itself. NULL: it has to be had elsewhere. */
void *block_map(size_t size, int protection, int flags);
/* Moves it to where it has room for more; NULL: it is none of these as a whole, or could not. */
void *block_map_move(void *at, size_t old, size_t size);
/* Before the program unmaps or moves what is there. */
void block_unmapped(void *at, size_t size);

/* Asks the kernel to look for equal pages in new blocks (KSM). */
void block_merge(bool merge);

size_t block_count(void);

#endif
