/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Runs generated programs of calls and tells what each call answered. harness/calls/ops.py describes the calls, and
 * harness/calls/wire.py writes what this reads and reads what this writes:
 *
 *	calls POOL UID <programs >results
 *
 * Each program is a lane, all lanes run at the same time, each with users of its own from UID on. Within a lane the
 * calls run strictly one after the other: whose turn it is stands in memory that all processes of the lane share.
 * Exit code 0: all was told; 2: the input makes no sense; 3: something that is no call of the program failed.
 */
#ifndef CALLS_H
#define CALLS_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <linux/agent_mem.h>

#define PROCS 8	   /* of a lane, at a time */
#define SLOTS 24   /* for descriptors, of a process */
#define MAPS 6	   /* mappings of a process */
#define DOMAINS 2  /* users of a lane */
#define LANES 8
#define WORDS 16   /* arguments of a call */
#define BYTES 256  /* and a text */
#define CALLS_MAX 8192
#define OUTPUT_MAX (16u << 20)
#define CONTROLLER PROCS /* whose turn it is for what no agent can do itself */
#define SKIPPED (-10000) /* the call has nobody who could make it */

/* In the order of harness/calls/ops.py. */
enum op {
	OP_SPAWN, OP_KILL, OP_FORK, OP_BECOME, OP_PIDFD, OP_OTHER,
	OP_ALLOC, OP_SHARE, OP_MARK, OP_STATS,
	OP_PROC, OP_FDINFO, OP_CLOSE, OP_DUP, OP_SEND, OP_TAKE, OP_REOPEN,
	OP_READ, OP_PREAD, OP_SEEK, OP_STAT, OP_SEALS, OP_CHANGE,
	OP_MAP, OP_MAPREAD, OP_PROTECT, OP_UNMAP,
	OP_COUNT
};

struct call {
	uint8_t op, proc, words;
	uint16_t bytes;
	int64_t w[WORDS];
	uint8_t b[BYTES];
};

struct program {
	uint32_t count;
	struct call *calls;
};

/* What the processes of a lane have in common. */
struct shared {
	uint32_t turn;	 /* index of the call that is due */
	uint32_t length; /* of the output */
	uint32_t ready;	 /* processes that were started and have their users */
	pid_t pids[PROCS];
	uint8_t alive[PROCS];
	char trouble[160]; /* why the lane was given up; empty: it was not */
	uint8_t output[OUTPUT_MAX];
};

struct lane {
	struct program program;
	struct shared *shared;
	uid_t uid;     /* of its first domain */
	int socket[2]; /* descriptors on their way from one process to another */
	int me;	       /* which process this is */
	int slots[SLOTS];
	struct mapping {
		uint8_t *at;
		size_t length;
		bool private;
	} maps[MAPS];
};

extern const uint8_t *pool;
extern size_t pool_size;

static inline int64_t answer(long ret)
{
	return ret < 0 ? -errno : ret;
}

/* What a process does with a call: the answer, 0 or more or -errno; results go out by `tell`. */
int64_t memory_call(struct lane *lane, const struct call *call);
int64_t descriptor_call(struct lane *lane, const struct call *call);

void tell(const void *bytes, size_t length); /* adds to the result of the call under way; at most TELL_MAX */
#define TELL_MAX 8192

void memory_prepare(void);		       /* buffers with edges, once before the lanes */
int fd_of(const struct lane *lane, int64_t arg); /* descriptor that an argument means */
void fill_slot(struct lane *lane, int64_t slot, int fd);

void lane_run(struct lane *lane); /* the whole program; does not return */
bool lane_become(uid_t ruid, uid_t euid, bool privileged);
long get_stats(unsigned int scope, int fd, void *buf, size_t size);
_Noreturn void die(int code, const char *what);

#endif
