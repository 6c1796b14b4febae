/* SPDX-License-Identifier: MIT */
/* Who holds what in the store, as the kernel's own list of locks tells it. */
#ifndef CENSUS_H
#define CENSUS_H

#include "object.h"
#include "process.h"

struct census {
	struct census_object {
		ino_t number;
		uint8_t digest[AGENTMEM_DIGEST_SIZE];
	} *objects;
	struct census_agent {
		struct process process;
		pid_t pid;		/* 0: it has ended, or is in a namespace that cannot be seen from here */
		ino_t number;
	} *agents;			/* once for each process */
	struct census_hold {
		size_t object;		/* index */
		uint64_t agent;		/* number; of a process whose agent is not known: UNKNOWN_AGENT and its id */
	} *holds;			/* each once, in the order of objects */
	size_t nr_objects, nr_agents, nr_holds;
};
#define UNKNOWN_AGENT	(1ull << 63)

/* In the store's lock. -1 with errno; am_census_free() in any case. */
int am_census_take(int dir, struct census *census);
void am_census_free(struct census *census);

#endif
