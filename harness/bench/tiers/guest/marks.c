// SPDX-License-Identifier: GPL-2.0-only
/* What the kernel under test is told of an agent, and what it tells of where content lies. */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <asm/unistd.h>
#include <linux/agent_mem.h>

#include "tiers.h"

#define STORE "/sys/kernel/mm/agent_mem/"

const char *mark_state(uint32_t state)
{
	const struct agent_mark mark = { .valid = AGENT_MARK_STATE, .state = state };

	return syscall(__NR_agent_mark_hot, AGENT_SELF, &mark, sizeof(mark), 0) ? "agent_mark_hot" : NULL;
}

const char *ask_size(int fd, struct size *size)
{
	struct agent_smu_stats stats = { .size = sizeof(stats) };

	if (syscall(__NR_agent_get_stats, AGENT_STATS_SMU, fd, &stats, sizeof(stats)) < 0)
		return "agent_get_stats of an object";
	size->resident = stats.resident_top + stats.resident_lower;
	size->stored = stats.stored;
	return NULL;
}

static void put_number(const char *path, uint64_t number)
{
	char text[32];

	snprintf(text, sizeof(text), "%" PRIu64, number);
	if (!put(path, text))
		fail(EXIT_BROKEN, path, errno);
}

void store_limits(uint64_t warm_ms, uint64_t cold_ms)
{
	put_number(STORE "warm_after_ms", warm_ms);
	put_number(STORE "cold_after_ms", cold_ms);
}

void print_stats(void)
{
	struct agent_stats s = { .size = sizeof(s) };

	if (syscall(__NR_agent_get_stats, AGENT_STATS_DOMAIN, -1, &s, sizeof(s)) < 0)
		fail(EXIT_BROKEN, "agent_get_stats of the domain", errno);
#define FIELD(name) printf(",\"" #name "\":%" PRIu64, (uint64_t)s.name)
	FIELD(resident_top);
	FIELD(resident_lower);
	FIELD(stored_bytes);
	FIELD(swapped_bytes);
	FIELD(decompressions);
	FIELD(evict_age);
	FIELD(evict_pressure);
	FIELD(evict_mark);
#undef FIELD
}
