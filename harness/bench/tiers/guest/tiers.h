/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where the texts of a fleet lie while some agents work and the others rest, under a limit of memory. One run for each
 * contestant:
 *
 *	tiers --table FILE --contestant NAME --limit BYTES --turns N --turn MS --think MS --warm MS --cold MS [--damage AGENT]
 *
 * All agents take up their texts. In turn 0 nobody is said to rest, nothing ages, and there is no limit: what reading takes
 * then is what it takes without stalls. Then the limit is set, and agents work and rest by turns, at each turn those that have
 * rested for longest; the last ones of the fleet have no turn any more. Who works reads its prompt, its tools and one of its
 * conversations, as a request to a model does, waits, and does it again.
 *
 * All agents are in one memory control group; each is in a group of its own below it that has no controller, which is there
 * for its pressure (PSI). It prints one JSON object per line. Texts, swap and tables are those of harness/bench/density.
 */
#ifndef TIERS_H
#define TIERS_H

#include "density.h"

#define CGROUP "/sys/fs/cgroup/tiers"
#define PIECE 4096 /* of one read */

enum { ORDER_HOLD = 'h', ORDER_WORK = 'w', ORDER_REST = 'r', ORDER_SIZES = 's', ORDER_CHECK = 'c' };

struct order {
	uint32_t what;
	uint32_t state;	   /* enum agent_state, of ORDER_REST */
	uint32_t turn;	   /* of ORDER_WORK */
	uint32_t think_ms; /* between two steps */
	uint32_t after_ms; /* before the first one: agents do not begin all at once */
	uint64_t until_ms; /* of now_ms() */
};

struct answer { /* smaller than PIPE_BUF: written in one piece */
	uint32_t agent;
	int32_t error;
	uint32_t text;
	uint32_t differ;
	uint64_t offset;
	uint64_t checked;
	char what[64];
};

/* What all agents write to, in shared memory. */
struct step {
	uint32_t agent, turn;
	uint64_t at_ms;
	uint64_t bytes, ns;
};

struct size { /* of one text, as the last agent that was asked has it */
	uint64_t resident, stored;
};

#define MOST_STEPS (1U << 16)

struct board {
	_Atomic uint32_t steps;
	struct step step[MOST_STEPS];
	struct size sizes[]; /* by text */
};

struct fleet {
	struct table table;
	const struct contestant *contestant;
	struct board *board;
	uint32_t damage; /* the agent whose first text is altered before it is held */
};

_Noreturn void agent_serve(const struct fleet *fleet, uint32_t index, int orders, int answers);

/* -- marks.c: what the series is told and asked, by the calling agent -- */

const char *mark_state(uint32_t state);
const char *ask_size(int fd, struct size *size);
void store_limits(uint64_t warm_ms, uint64_t cold_ms);
void print_stats(void); /* members of a JSON object, each after a comma */

/* -- gauge.c: where memory lies -- */

void group_make(uint32_t agents);
void group_join(uint32_t agent);
void group_limit(long long bytes); /* 0: none */
long long group_stalled_us(uint32_t agent);
long long zram_bytes(void);
void trace_start(void);
void trace_stop(void);
void gauge_sample(uint32_t turn);
void gauge_rest(const struct fleet *fleet, uint32_t turn, const bool *working, const pid_t *pids);

#endif
