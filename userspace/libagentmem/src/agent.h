/* SPDX-License-Identifier: MIT */
/* Agents of the store: who uses it, what they are called, what they found. All in the store's lock, but for reading. */
#ifndef AGENT_H
#define AGENT_H

#include "process.h"
#include "store.h"

#include <agentmem.h>
#include <stdatomic.h>

/* Events since the agent, or the store, came into being. */
enum counter {
	DEDUP_HITS, DEDUP_BYTES, ATTACH_HITS, DELTA_HITS, COMPRESSIONS, DECOMPRESSIONS, DECOMPRESS_NS, EVICT_MARK,
	FAULT_RESIDENT, FAULT_STORED, COUNTERS
};

/*
 * The file a-NS-PID-START, mapped by its processes. A process that has called the library since its last execve(2) holds a
 * shared flock(2) on it.
 */
struct agent {
	char magic[8];
	uint32_t version;
	uint32_t named;
	uint32_t state;
	uint32_t importance;
	int32_t node;
	uint32_t unused;
	struct process founder;
	_Atomic uint64_t count[COUNTERS];
	char name[AGENTMEM_NAME_SIZE];
};

/* The file totals. */
struct totals {
	_Atomic uint64_t count[COUNTERS];
	_Atomic uint64_t since_sweep;	/* objects made since all were looked at */
	_Atomic uint64_t objects;	/* that there were then */
};

/* Parses the name of an agent's file. */
bool am_agent_process(const char *name, struct process *process);
/* True if the agent has a process, or may have one in a PID namespace that /proc does not show. */
bool am_agent_lives(int dir, const char *name, struct nested *nested);

/* The caller's agent, made if need be. Its number (st_ino) if `number` is given. The caller keeps it alive. */
int am_agent_self(int dir, ino_t *number);
/* The agent of a process: mapped, for am_agent_release(). make: if it has none yet. NULL with errno (ENOENT: it has none). */
struct agent *am_agent_of(int dir, pid_t pid, bool make, ino_t *number);
void am_agent_release(struct agent *agent);
/* Says what the mark says; a process that names itself while it is a guest in its parent's agent gets its own. */
int am_agent_describe(int dir, pid_t pid, const struct agentmem_mark *mark);

/* The store's counters; NULL: am_agent_self() was not called, or there was no memory. */
struct totals *am_store_totals(void);

/* Counts for the caller's agent and for the store, as far as they are known. Needs no lock. */
void am_count(enum counter which, uint64_t n);

#endif
