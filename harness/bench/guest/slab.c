// SPDX-License-Identifier: GPL-2.0-only
/* Kernel memory of memfds, of objects, of further holders: what Slab in /proc/meminfo has grown by, and what was counted. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"

struct gauge {
	uint64_t slab, dentries, files;
};

struct setting {
	uint64_t count;
	struct digest *digests;
};

static void scan(const char *path, const char *pattern, uint64_t *value)
{
	FILE *file = fopen(path, "re");
	char line[256];
	bool found = false;

	if (!file)
		fail(path);
	while (!found && fgets(line, sizeof(line), file))
		found = sscanf(line, pattern, value) == 1;
	fclose(file);
	if (!found)
		fail_with(path, 0);
}

static struct gauge gauge(void)
{
	struct gauge g;

	settle();
	scan("/proc/meminfo", "Slab: %" SCNu64, &g.slab);
	scan("/proc/sys/fs/dentry-state", "%" SCNu64, &g.dentries);
	scan("/proc/sys/fs/file-nr", "%" SCNu64, &g.files);
	g.slab *= 1024;
	return g;
}

static struct gauge print(const char *name, uint64_t count, struct gauge before)
{
	struct gauge after = gauge();

	printf("{\"event\":\"slab\",\"name\":\"%s\",\"count\":%" PRIu64 ",\"bytes\":%" PRId64 ",\"dentries\":%" PRId64
	       ",\"files\":%" PRId64 "}\n",
	       name, count, (int64_t)(after.slab - before.slab), (int64_t)(after.dentries - before.dentries),
	       (int64_t)(after.files - before.files));
	return after;
}

static void make_memfds(uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		int fd = memfd_create("bench", MFD_CLOEXEC);

		if (fd < 0 || write(fd, &i, sizeof(i)) != sizeof(i))
			fail("memfd");
	}
}

static void attach_all(const struct setting *s)
{
	for (uint64_t i = 0; i < s->count; i++)
		if (smu_attach(&s->digests[i], NULL) < 0)
			fail_with("ATTACH", 0);
}

static void other_agent(void *argument)
{
	const struct setting *s = argument;
	struct gauge before;

	smu_leave("other");
	must_close(smu_attach(s->digests, NULL)); /* the agent itself is there */
	before = gauge();
	attach_all(s);
	print("other", s->count, before);
}

void bench_slab(const uint64_t *arguments)
{
	struct setting s = { .count = arguments[0], .digests = shared_memory(arguments[0] * sizeof(struct digest)) };
	uint64_t order, files, warm = 1ULL << 40;
	struct gauge before;

	allow_files(4 * s.count);
	must_close(smu_must_alloc(&warm, sizeof(warm), NULL));
	make_memfds(1);
	before = gauge();
	make_memfds(s.count);
	before = print("memfd", s.count, before);
	for (uint64_t i = 0; i < s.count; i++)
		smu_must_alloc(&i, sizeof(i), &s.digests[i]);
	before = print("object", s.count, before);
	attach_all(&s);
	print("again", s.count, before);
	await(helper(other_agent, &s));
	scan("/sys/kernel/slab/filp/order", "%" SCNu64, &order);
	scan("/sys/kernel/slab/filp/objs_per_slab", "%" SCNu64, &files);
	printf("{\"event\":\"slab\",\"name\":\"file\",\"count\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"dentries\":0,\"files\":%" PRIu64
	       "}\n",
	       files, (uint64_t)4096 << order, files);
}
