/* SPDX-License-Identifier: MIT */
/* Agents of the store: who uses it, what they are called, what they found. All in the store's lock, but for reading. */
#ifndef AGENT_H
#define AGENT_H

#include "store.h"

#include <agentmem.h>
#include <stdatomic.h>

/* Events since the agent, or the store, came into being. */
enum counter {
	DEDUP_HITS, DEDUP_BYTES, ATTACH_HITS, DELTA_HITS, COMPRESSIONS, DECOMPRESSIONS, DECOMPRESS_NS, EVICT_MARK,
	FAULT_RESIDENT, FAULT_STORED, COUNTERS
};

/* The file a-PID-START, mapped by its processes. */
struct agent {
	char magic[8];
	uint32_t version;
	uint32_t named;
	uint32_t state;
	uint32_t importance;
	int32_t node;
	int32_t founder;	/* process id */
	uint64_t founded;	/* its start, in clock ticks after the boot */
	_Atomic uint64_t count[COUNTERS];
	char name[AGENTMEM_NAME_SIZE];
};

/* The file totals. */
struct totals {
	_Atomic uint64_t count[COUNTERS];
	_Atomic uint64_t since_sweep;	/* objects made since all were looked at */
	_Atomic uint64_t objects;	/* that there were then */
};

/* When the process started, in clock ticks after the boot. ESRCH: it has ended, or never was. Others say nothing about it. */
int am_process_start(pid_t pid, uint64_t *start);
/* The process behind a pidfd. EBADF; EBADFD: it is none; ESRCH: it has ended. */
int am_process_of(int pidfd, pid_t *pid);
/* Whether a process is the caller's own user's. */
bool am_process_own(pid_t pid);

/* The caller's agent, made if need be. Its number (st_ino) if `number` is given. */
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
