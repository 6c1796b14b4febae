// SPDX-License-Identifier: GPL-2.0-only
/* Where memory lies, who waits for it, and the trace of what moves. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tiers.h"

#define ROOT "/sys/fs/cgroup"
#define TRACE "/sys/kernel/tracing"
#define BUFFER_KB "8192" /* of each processor: some hundred thousand events */

static void must_put(const char *path, const char *text)
{
	if (!put(path, text))
		fail(EXIT_BROKEN, path, errno);
}

static void must_mount(const char *type, const char *at, const char *witness)
{
	if (access(witness, F_OK) && mount("none", at, type, 0, NULL))
		fail(EXIT_BROKEN, at, errno);
}

/* -- control groups -- */

static void make(const char *path)
{
	if (mkdir(path, 0755) && errno != EEXIST)
		fail(EXIT_BROKEN, path, errno);
}

void group_make(uint32_t agents)
{
	char path[64];

	must_mount("cgroup2", ROOT, ROOT "/cgroup.controllers");
	must_put(ROOT "/cgroup.subtree_control", "+memory");
	make(CGROUP);
	for (uint32_t i = 0; i < agents; i++) {
		snprintf(path, sizeof(path), CGROUP "/%u", i);
		make(path);
	}
	/* Best for whom it is there, which is everybody: pages that nobody uses move down before they are dropped. */
	must_put("/sys/kernel/mm/numa/demotion_enabled", "1");
}

void group_join(uint32_t agent)
{
	char path[64];

	snprintf(path, sizeof(path), CGROUP "/%u/cgroup.procs", agent);
	must_put(path, "0");
}

void group_limit(long long bytes)
{
	char text[32];

	snprintf(text, sizeof(text), "%lld", bytes);
	must_put(CGROUP "/memory.max", bytes ? text : "max");
}

long long group_stalled_us(uint32_t agent)
{
	char path[64];

	snprintf(path, sizeof(path), CGROUP "/%u/memory.pressure", agent);
	return number_in(path, "total=");
}

long long zram_bytes(void)
{
	long long original, compressed, used = 0;
	FILE *stream = fopen("/sys/block/zram0/mm_stat", "re");

	if (!stream || fscanf(stream, "%lld %lld %lld", &original, &compressed, &used) != 3)
		fail(EXIT_BROKEN, "/sys/block/zram0/mm_stat", errno);
	fclose(stream);
	return used;
}

/* Bytes of the group in a node; `what` is a line of memory.numa_stat with the blank after it. */
static long long in_node(const char *what, int node)
{
	char line[256], key[8], *at;
	long long bytes = 0;
	FILE *stream = fopen(CGROUP "/memory.numa_stat", "re");

	if (!stream)
		fail(EXIT_BROKEN, CGROUP "/memory.numa_stat", errno);
	snprintf(key, sizeof(key), "N%d=", node);
	while (fgets(line, sizeof(line), stream))
		if (!strncmp(line, what, strlen(what)) && (at = strstr(line, key)))
			bytes = strtoll(at + strlen(key), NULL, 10);
	fclose(stream);
	return bytes;
}

/* -- the trace -- */

static void trace_switch(const char *to)
{
	static const char *const events[] = { "smu_evict", "smu_promote", "smu_demote" };
	char path[96];

	for (size_t i = 0; i < sizeof(events) / sizeof(*events); i++) {
		snprintf(path, sizeof(path), TRACE "/events/agent_mem/%s/enable", events[i]);
		must_put(path, to);
	}
}

void trace_start(void)
{
	int fd;

	must_mount("tracefs", TRACE, TRACE "/trace");
	must_put(TRACE "/trace_clock", "mono"); /* that of the samples */
	must_put(TRACE "/buffer_size_kb", BUFFER_KB);
	fd = open(TRACE "/trace", O_WRONLY | O_TRUNC | O_CLOEXEC); /* empties it */
	if (fd < 0)
		fail(EXIT_BROKEN, TRACE "/trace", errno);
	close(fd);
	trace_switch("1");
}

void trace_stop(void)
{
	trace_switch("0");
}

/* -- what is printed -- */

void gauge_sample(uint32_t turn)
{
	printf("{\"event\":\"sample\",\"ms\":%" PRIu64 ",\"turn\":%u", now_ms(), turn);
	for (int node = 0; node < 2; node++)
		printf(",\"anon%d\":%lld,\"shmem%d\":%lld", node, in_node("anon ", node), node, in_node("shmem ", node));
	printf(",\"current\":%lld,\"swap\":%lld,\"zram\":%lld", number_in(CGROUP "/memory.current", NULL),
	       number_in(CGROUP "/memory.swap.current", NULL), zram_bytes());
	print_stats();
	printf("}\n");
}

static long long private_bytes(pid_t pid)
{
	char path[64];
	long long kb;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pid);
	kb = number_in(path, "Anonymous:");
	return kb < 0 ? 0 : kb * 1024;
}

/* What agents at rest hold and no other does: uncompressed in memory, and the series' compressed form of it. */
void gauge_rest(const struct fleet *fleet, uint32_t turn, const bool *working, const pid_t *pids)
{
	const struct table *table = &fleet->table;
	unsigned char *of = calloc(table->header->texts + 1, 1);
	uint64_t resident = 0, stored = 0, logical = 0;

	if (!of)
		fail(EXIT_BROKEN, "no memory for a list of texts", errno);
	for (uint32_t i = 0; i < table->header->agents; i++)
		for (uint32_t r = 0; r < table->agents[i].count; r++)
			of[table->refs[table->agents[i].first + r]] |= working[i] ? 1 : 2;
	for (uint32_t i = 0; i < table->header->texts; i++)
		if (of[i] == 2) {
			resident += fleet->board->sizes[i].resident;
			stored += fleet->board->sizes[i].stored;
			logical += table->texts[i].length;
		}
	for (uint32_t i = 0; i < table->header->agents && !fleet->contestant->own; i++)
		resident += working[i] ? 0 : (uint64_t)private_bytes(pids[i]);
	free(of);
	printf("{\"event\":\"rest\",\"turn\":%u,\"resident\":%" PRIu64 ",\"stored\":%" PRIu64 ",\"distinct\":%" PRIu64 "}\n",
	       turn, resident, stored, logical);
}
