/* SPDX-License-Identifier: MIT */
/*
 * The user's store: a directory that nobody else can enter. What is in it:
 *
 *	o-DIGEST	an object's record (object.h). A descriptor given to a program is an open file of it, with a shared
 *			flock(2): that lasts as long as any copy of the descriptor or mapping of it, wherever it was passed
 *			to, and ends with the last however that ends. Further links to it keep the object, too.
 *	b-DIGEST	a link to the record of the base that DIGEST needs
 *	g-AGENT-DIGEST	a link to the record of what was granted to an agent
 *	r-DIGEST	its own content, plain
 *	z-DIGEST	its own content, compressed
 *	a-NS-PID-START	the record of the agent that a process belongs to (agent.h); processes of one agent are links of one
 *	t-NUMBER	a file in the making, on a file system without O_TMPFILE; its process holds a shared flock(2) on it
 *	lock		whoever adds, removes or links anything holds an exclusive flock(2) on it
 *	totals		counters of the store (agent.h)
 *
 * No descriptor of the store stays open between calls: programs close what they do not know.
 */
#ifndef STORE_H
#define STORE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define NAME_SIZE	128	/* of a file's name in the store */

/* close(2) that leaves errno alone. */
void am_store_close(int fd);

/* The store's directory, opened; made if need be. -1: there is none that can be trusted (EACCES), or errno of open(2). */
int am_store_open(void);

/*
 * The lock of the store; -1 with errno. No fork of this process happens while it is held, and no cancellation: a child
 * would hold it on.
 */
int am_store_lock(int dir);
void am_store_unlock(int lock);

/* A new file that only this process uses, or -1. EDQUOT: no more files; ENOMEM: no more room. */
int am_store_temporary(int dir, mode_t mode);
/* Removes it, or the file that am_store_sealed() returned, unless it was linked; it stays open. errno stays as it is. */
void am_store_unname(int dir, int fd);
/* The same, and closes it. */
void am_store_discard(int dir, int fd);
/* The same file, opened for reading only, so that no mapping can be made writable. On failure it is discarded. */
int am_store_sealed(int dir, int fd);
/* Links it to a name. EEXIST stays an error. */
int am_store_link(int dir, int fd, const char *name);
/* Removes a file in the making if its process has ended. */
void am_store_sweep(int dir, const char *name);

/* Whether the process may write a file up to there; else ENOMEM. Beyond its limit (RLIMIT_FSIZE) there would be a signal. */
bool am_store_allows(uint64_t end);

/* Takes room for a file of `size` bytes, and keeps what is there: a mapping that finds none is a signal. */
int am_store_reserve(int dir, int fd, uint64_t size);

/* write(2) of all of it: a bad pointer is EFAULT, and a full store an error. */
int am_store_write(int dir, int fd, const void *data, size_t size);

/* What a failed write to the store means to the caller: sets errno by the table of errors, answers -1. */
int am_store_full(int dir);

#endif
