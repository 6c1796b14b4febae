/* SPDX-License-Identifier: GPL-2.0-only */
/* One agent process, and how the controller talks to it: a command byte down its own pipe, a reply up the common one. */
#ifndef AGENT_H
#define AGENT_H

#include "fleet.h"

enum command { COMMAND_READY = 'r', COMMAND_HOLD = 'h', COMMAND_VERIFY = 'v', COMMAND_DROP = 'd' };

#define NO_DAMAGE UINT32_MAX

struct reply { /* smaller than PIPE_BUF: written in one piece */
	uint32_t agent;
	uint32_t command;
	int32_t error;	   /* errno of what failed */
	uint32_t ref;	   /* the text it failed at, or the first that differs */
	uint64_t texts;	   /* held, verified or dropped */
	uint64_t bytes;
	uint64_t differ;   /* texts that did not come back as they were */
	uint64_t offset;   /* where the first of them differs */
	char what[80];	   /* what failed or differs; empty if nothing did */
};

struct fleet {
	struct pack pack;
	const struct holder *holder;
	struct held *held; /* of every ref, in memory shared by all processes */
	uint32_t damage;   /* the ref that is altered before it is held, to prove that verification sees it */
};

/* Serves commands until the pipe closes. */
_Noreturn void agent_run(const struct fleet *fleet, uint32_t index, int commands, int replies);

#endif
