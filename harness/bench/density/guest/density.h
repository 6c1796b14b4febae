/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How much memory a fleet takes, by each way to hold its texts. One run for each contestant:
 *
 *	density --table FILE --contestant NAME [--seconds S] [--scans N] [--probes N] [--chunk BYTES] [--damage AGENT]
 *
 * All agent processes are started and idle before anything is measured. Then they take up their texts, in rounds that double;
 * after each round what the contestant has against memory is done until it has no more effect, and the memory is measured.
 * A round that has no room left ends it: the points tell how many agents hold texts. Then every agent reads its texts at
 * random places and compares; those that are active read at random as fast as they can before.
 *
 * It prints one JSON object per line; exit codes and gauge are those of the fleet program (harness/fleet/fleet.h).
 */
#ifndef DENSITY_H
#define DENSITY_H

#include "fleet.h"
#include "table.h"

#define READ_BYTES 4096 /* of one random read */

enum layout { ON_HEAP, ALIGNED_COPIES, BY_HAND, AS_SMU };

struct contestant {
	const char *name;
	enum layout layout;
	bool merge; /* KSM */
	bool swap;  /* zram, zstd */
	bool own;   /* the series' store; `bases`: finds bases by itself */
	bool bases;
};

extern const struct contestant contestants[];
const struct contestant *contestant_named(const char *name);

/* -- texts.c: one text as an agent has it -- */

struct owner { /* of a text that is shared by hand, in memory that all agents share */
	_Atomic int state;
	int pid;
	int fd;
};

struct copy {
	uint8_t *bytes;
	int fd; /* BY_HAND and AS_SMU, else -1 */
};

/* What failed, errno set; NULL if nothing did. */
const char *text_hold(struct copy *copy, const struct table *table, uint32_t text, enum layout layout,
		      struct owner *owners, bool damage);
const char *text_read(const struct copy *copy, uint64_t offset, void *to, size_t length);

/* -- store.c -- */

void store_prepare(const struct contestant *contestant, uint64_t chunk);
const char *store_rest(void);
void store_print(void);

/* -- agent.c -- */

enum command { COMMAND_HOLD = 'h', COMMAND_REST = 'r', COMMAND_PROBE = 'p', COMMAND_ACT = 'a' };

struct reply { /* smaller than PIPE_BUF: written in one piece */
	uint32_t agent;
	uint32_t command;
	int32_t error;
	uint32_t text;
	uint64_t offset;
	uint64_t count; /* texts held, reads done */
	uint64_t differ;
	uint64_t sum_ns, median_ns, p99_ns; /* of the reads of COMMAND_ACT */
	char what[64];
};

struct fleet_run {
	struct table table;
	const struct contestant *contestant;
	struct owner *owners;
	uint32_t probes;
	uint32_t damage; /* the agent whose first text is altered before it is held */
};

_Noreturn void agent_run(const struct fleet_run *run, uint32_t index, int commands, int replies);

/* -- squeeze.c: what is done against memory -- */

struct effort { /* CPU time. Merging starts over on all memory each time, so the last time is what once would have taken */
	uint64_t merge_ms, last_merge_ms, reclaim_ms;
};

void squeeze_prepare(const struct contestant *contestant, const char *cgroup);
/* Until it has no more effect; false if `deadline` (now_ms) came first. Calls `tick` while it waits. */
bool squeeze(const struct contestant *contestant, uint64_t deadline, uint32_t scans, struct effort *effort,
	     void (*tick)(const char *phase));
void squeeze_end(const struct contestant *contestant);
void squeeze_print(const struct contestant *contestant);
bool put(const char *path, const char *text);
long long number_in(const char *path, const char *key);

/* -- figures.c -- */

uint64_t now_ms(void);
uint64_t cpu_ms(void); /* of all threads, the kernel's too */
long long available_bytes(void);
long long total_bytes(void);
void sample(const char *phase); /* prints one if it is time */

#endif
