/* SPDX-License-Identifier: MIT */
/*
 * What starts at an address that is a multiple of CHUNK. Looked up at each free() of such an address, so without a lock;
 * as all of it is atomic words, a child of fork() and a signal handler find it sound at any moment.
 */
#ifndef TABLE_H
#define TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHUNK	((size_t)64 << 10)	/* what the kernel compresses and compares together */

enum kind {
	NOTHING,	/* nothing of ours */
	BLOCK,		/* memory that malloc() and its like gave */
	TEXT,		/* what agent_malloc() gave: ordinary memory */
	SEALED,		/* the same, once it shows an object */
	MAPPED		/* what mmap() gave: the program's own affair, but where it starts is ours */
};

struct entry {
	size_t length;	/* bytes asked for (TEXT, SEALED), else bytes that can be used; below 2^48 */
	enum kind kind;
	unsigned int type;	/* TEXT, SEALED: enum agentmem_type; BLOCK: PIECES or 0 */
};

#define PIECES	1u	/* its pages were not mapped together: as a whole they cannot be moved */

static inline bool is_chunk(const void *address)
{
	return !((uintptr_t)address & (CHUNK - 1));
}

/* What starts there; NOTHING also for an address that is no multiple of CHUNK. */
struct entry table_get(const void *address);
/* Sees to it that table_set() can note something there. False: no memory. */
bool table_prepare(const void *address);
/* Notes it, and answers what was noted before. The address has to be prepared. */
struct entry table_set(void *address, struct entry entry);
/* Changes `from` to `to`; false: somebody else was faster. */
bool table_change(void *address, struct entry from, struct entry to);

#endif
