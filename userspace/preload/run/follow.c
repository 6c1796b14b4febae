/* SPDX-License-Identifier: MIT */
#include "follow.h"
#include "tree.h"

#include <agentmem.h>
#include <errno.h>
#include <poll.h>
#include <time.h>

#define LOOKS		4	/* within the time that makes it idle */
#define SLOWEST		1000	/* milliseconds between two looks */
#define BUSY_PART	100	/* that part of the time on a processor is still idling: timers, a garbage collector */

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static bool ends_within(int pidfd, int milliseconds)
{
	struct pollfd ended = {.fd = pidfd, .events = POLLIN};

	return poll(&ended, 1, milliseconds) > 0;
}

/* Between two looks. */
static bool is_busy(const struct tree *before, const struct tree *after, uint64_t between)
{
	return after->ready || !tree_same(before, after) || after->used - before->used > between / BUSY_PART;
}

static bool tell(int pidfd, int state)
{
	struct agentmem_mark mark = {.size = sizeof(mark), .valid = AGENTMEM_MARK_STATE, .state = (uint32_t)state};

	return agentmem_mark(pidfd, &mark) == 0;
}

void follow(int pidfd, pid_t pid, int idle)
{
	static struct tree looks[2];
	int told = AGENTMEM_ACTIVE, wait = idle / LOOKS < SLOWEST ? idle / LOOKS : SLOWEST;
	uint64_t last = now(), busy = last;

	tree_look(&looks[0], pid);
	for (int i = 1; !ends_within(pidfd, wait > 1 ? wait : 1); i ^= 1) {
		uint64_t time = now();
		int state = AGENTMEM_ACTIVE;

		if (!tree_look(&looks[i], pid))
			return;
		if (is_busy(&looks[i ^ 1], &looks[i], time - last))
			busy = time;
		if (looks[i].stopped)
			state = AGENTMEM_PAUSED;
		else if (time - busy >= (uint64_t)idle * 1000000)
			state = AGENTMEM_IDLE;
		if (state != told && tell(pidfd, state))
			told = state;
		last = time;
	}
}
