/* SPDX-License-Identifier: MIT */
/* The store as a backend; what is in which file. */
#ifndef FALLBACK_H
#define FALLBACK_H

#include <agentmem.h>
#include <stdbool.h>

/* put.c */
int am_fallback_put(unsigned int type, const void *data, size_t size, const struct agentmem_options *options, int append_to,
		 struct agentmem_info *info);
/* Whether it is a NUMA node of this machine, or -1. */
bool am_fallback_node(int node);

/* mark.c */
int am_fallback_mark(int fd, const struct agentmem_mark *mark);

/* figures.c */
int am_fallback_smu_stats(int fd, struct agentmem_smu_stats *stats);
int am_fallback_stats(unsigned int scope, int pidfd, struct agentmem_stats *stats);
ssize_t am_fallback_agents(pid_t *pids, size_t count);

#endif
