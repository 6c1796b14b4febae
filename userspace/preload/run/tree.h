/* SPDX-License-Identifier: MIT */
/* What a process and its descendants are doing, seen from outside. */
#ifndef TREE_H
#define TREE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define TREE_MAX	512	/* processes that are looked at; a larger tree is taken for busy */

struct tree {
	pid_t pids[TREE_MAX];
	int count;
	uint64_t used;		/* nanoseconds of processor time, of all of them together */
	bool stopped;		/* the first one is: SIGSTOP and its like */
	bool ready;		/* some thread runs, wants to, or waits for a disk */
};

/* False: the process is gone. */
bool tree_look(struct tree *tree, pid_t pid);
/* Whether they are the same processes. */
bool tree_same(const struct tree *one, const struct tree *other);

#endif
