// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the machine says about its memory, once it has come to rest: the page cache dropped, the per-CPU counters
 * folded in, the figures steady. Free pages in the per-CPU lists count as used in MemAvailable, and they are many: what
 * one fleet gives back stays there and would make the next one look cheaper by all of it. So they are printed, too.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fleet.h"

#define STEADY 5		/* samples in a row that agree */
#define STEADY_KB 64		/* how closely */
#define SAMPLES 100		/* at most, 100 ms apart */
#define CGROUP_ROOT "/sys/fs/cgroup"

struct sample {
	long long available_kb, free_kb, unevictable_kb, page_tables_kb, slab_kb;
	long long pcp_pages;
};

static char cgroup[256]; /* empty: there is none */
static bool quick, keep;

/* Writes to a file of /proc or /sys; an absent one is no error, its effect is then not to be had. */
static bool put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return done;
}

static FILE *opened(const char *path)
{
	FILE *stream = fopen(path, "re");

	if (!stream)
		fail(EXIT_BROKEN, path, errno);
	return stream;
}

static void read_meminfo(struct sample *sample)
{
	FILE *stream = opened("/proc/meminfo");
	char line[128];

	while (fgets(line, sizeof(line), stream)) {
		sscanf(line, "MemAvailable: %lld", &sample->available_kb);
		sscanf(line, "MemFree: %lld", &sample->free_kb);
		sscanf(line, "Unevictable: %lld", &sample->unevictable_kb);
		sscanf(line, "PageTables: %lld", &sample->page_tables_kb);
		sscanf(line, "Slab: %lld", &sample->slab_kb);
	}
	fclose(stream);
}

static void read_pcp(struct sample *sample)
{
	FILE *stream = opened("/proc/zoneinfo");
	char line[256];
	long long count;

	while (fgets(line, sizeof(line), stream))
		if (sscanf(line, " count: %lld", &count) == 1)
			sample->pcp_pages += count;
	fclose(stream);
}

static struct sample take(void)
{
	struct sample sample = { 0 };

	put("/proc/sys/vm/stat_refresh", "1");
	read_meminfo(&sample);
	read_pcp(&sample);
	return sample;
}

static struct sample settled(void)
{
	const struct timespec pause = { .tv_nsec = 100 * 1000 * 1000 };
	const long long page_kb = sysconf(_SC_PAGESIZE) / 1024;
	struct sample last, next;
	long long change;
	int alike = 0;

	if (quick)
		return take();
	sync();
	put("/proc/sys/vm/drop_caches", "4"); /* no line in the kernel's log for the next one */
	put("/proc/sys/vm/drop_caches", keep ? "2" : "3");
	last = take();
	for (int i = 0; i < SAMPLES && alike < STEADY; i++) {
		nanosleep(&pause, NULL);
		next = take();
		change = next.available_kb - last.available_kb + (next.pcp_pages - last.pcp_pages) * page_kb;
		alike = llabs(change) <= STEADY_KB ? alike + 1 : 0;
		last = next;
	}
	return last;
}

static long long memcg_bytes(void)
{
	char path[sizeof(cgroup) + 32];
	long long bytes = -1;
	FILE *stream;

	if (!*cgroup)
		return -1;
	snprintf(path, sizeof(path), "%s/memory.current", cgroup);
	stream = opened(path);
	if (fscanf(stream, "%lld", &bytes) != 1)
		bytes = -1;
	fclose(stream);
	return bytes;
}

void gauge_quick(void)
{
	quick = true;
}

void gauge_keep(void)
{
	keep = true;
}

void gauge_cgroup(const char *path)
{
	char procs[sizeof(cgroup) + 32];

	if (!path)
		return;
	if (access(CGROUP_ROOT "/cgroup.controllers", F_OK) && mount("none", CGROUP_ROOT, "cgroup2", 0, NULL))
		fail(EXIT_BROKEN, "mount of cgroup2", errno);
	if (!put(CGROUP_ROOT "/cgroup.subtree_control", "+memory"))
		fail(EXIT_BROKEN, "the memory controller of cgroup2", errno);
	if (mkdir(path, 0755) && errno != EEXIST)
		fail(EXIT_BROKEN, "mkdir of the cgroup", errno);
	snprintf(procs, sizeof(procs), "%s/cgroup.procs", path);
	if (!put(procs, "0"))
		fail(EXIT_BROKEN, "moving into the cgroup", errno);
	snprintf(cgroup, sizeof(cgroup), "%s", path);
}

void gauge_print(const char *at)
{
	struct sample sample = settled();
	long long page = sysconf(_SC_PAGESIZE);

	printf("{\"event\":\"gauge\",\"at\":\"%s\",\"mem_available\":%lld,\"mem_free\":%lld,\"pcp_free\":%lld,"
	       "\"unevictable\":%lld,\"page_tables\":%lld,\"slab\":%lld,\"memcg_current\":%lld}\n",
	       at, sample.available_kb * 1024, sample.free_kb * 1024, sample.pcp_pages * page,
	       sample.unevictable_kb * 1024, sample.page_tables_kb * 1024, sample.slab_kb * 1024, memcg_bytes());
}
