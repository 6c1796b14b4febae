// SPDX-License-Identifier: GPL-2.0-only
/* The store of the kernel under test: what is set before a run, what is at rest in it, and what it says of itself. */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <asm/unistd.h>
#include <linux/agent_mem.h>

#include "density.h"

#define STORE "/sys/kernel/mm/agent_mem/"

static void must_put(const char *path, uint64_t number)
{
	char text[32];

	snprintf(text, sizeof(text), "%" PRIu64, number);
	if (!put(path, text))
		fail(EXIT_BROKEN, path, errno);
}

void store_prepare(const struct contestant *contestant, uint64_t chunk)
{
	struct agent_smu_attr attr = { .size = sizeof(attr), .base_fd = -1, .node = -1 };
	int fd;

	if (chunk)
		must_put(STORE "chunk_size", chunk);
	if (!access(STORE "auto_base", F_OK))
		must_put(STORE "auto_base", contestant->bases);
	else
		printf("{\"event\":\"note\",\"what\":\"the kernel has no switch for automatic bases: "
		       "with them and without are the same run\"}\n");
	/* With the first object the kernel gets what it compresses with, once for all: no text's cost. */
	fd = (int)syscall(__NR_agent_alloc_smu, 0, "", (size_t)1, &attr);
	if (fd < 0)
		fail(EXIT_BROKEN, "agent_alloc_smu", errno);
	close(fd);
}

/* All that the calling agent holds is at rest: only its compressed form stays, but for what another agent uses. */
const char *store_rest(void)
{
	const struct agent_mark mark = { .valid = AGENT_MARK_TEMPERATURE, .temperature = AGENT_TEMP_COLD };

	return syscall(__NR_agent_mark_hot, AGENT_SELF, &mark, sizeof(mark), 0) ? "agent_mark_hot" : NULL;
}

/* charged: what is stored by itself; pool: the pages that it lies in. */
void store_print(void)
{
	struct agent_stats stats = { .size = sizeof(stats) };

	if (syscall(__NR_agent_get_stats, AGENT_STATS_DOMAIN, -1, &stats, sizeof(stats)) < 0)
		fail(EXIT_BROKEN, "agent_get_stats of the domain", errno);
	printf("{\"event\":\"store\",\"chunk\":%lld,\"objects\":%lld,\"resident\":%lld,\"charged\":%" PRIu64
	       ",\"pool\":%lld,\"contexts\":%lld}\n",
	       number_in(STORE "chunk_size", NULL), number_in(STORE "objects", NULL),
	       number_in(STORE "resident_bytes", NULL), (uint64_t)stats.stored_bytes,
	       number_in(STORE "stored_bytes", NULL), number_in(STORE "context_bytes", NULL));
}
