/* SPDX-License-Identifier: MIT */
/* The store as a backend; what is in which file. */
#ifndef FALLBACK_H
#define FALLBACK_H

#include "object.h"

#include <agentmem.h>
#include <stdbool.h>

/* put.c */
int am_fallback_put(unsigned int type, const void *data, size_t size, const struct agentmem_options *options, int append_to,
		 struct agentmem_info *info);
/* Whether it is a NUMA node of this machine, or -1. */
bool am_fallback_node(int node);

/* mark.c */
int am_fallback_mark(int fd, const struct agentmem_mark *mark);
/* Which of an object and the bases below it are compressed alone. */
struct packed {
	bool is[OBJECT_DEPTH + 1];
};
struct packed am_fallback_packed(int dir, const struct object *object);
/* Makes them so again, after reading has brought plain pages back that nobody asked for. errno stays as it is. */
void am_fallback_settle(int dir, const struct object *object, const struct packed *packed);

/* figures.c */
int am_fallback_smu_stats(int fd, struct agentmem_smu_stats *stats);
int am_fallback_stats(unsigned int scope, int pidfd, struct agentmem_stats *stats);
ssize_t am_fallback_agents(pid_t *pids, size_t count);

#endif
