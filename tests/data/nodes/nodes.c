// SPDX-License-Identifier: GPL-2.0-only
/*
 * nodes NODE: that memory of a node without processors is memory. Prints one line for each thing that was found, "NAME VALUE";
 * ends with 1 at the first call that fails. Contents are small: behind emulated CXL a megabyte takes a second.
 *
 * nodes NODE hold: allocates objects on the node and reports their physical address, then "end". For each line of stdin
 * it compares all of their bytes and reports again. Meanwhile the node may go off-line, or lose a page.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <asm/unistd.h>
#include <linux/agent_mem.h>
#include <linux/mempolicy.h>

#define PAGE 4096L
#define PAGES 64
#define SIZE (PAGES * PAGE)

static unsigned char wanted[SIZE];

static void check(int good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

/* Half of what it could be, so that it compresses: what does not is never dropped. */
static void fill(unsigned char *to, uint64_t seed)
{
	for (long i = 0; i < SIZE; i++) {
		seed = seed * 6364136223846793005 + 1442695040888963407;
		to[i] = 'a' + (seed >> 60);
	}
}

/* to >= 0: moves the pages there. How many of them are on `node` then. */
static int on_node(void *at, int to, int node)
{
	static int status[PAGES], nodes[PAGES];
	static void *pages[PAGES];
	int found = 0;

	for (int i = 0; i < PAGES; i++) {
		pages[i] = (char *)at + i * PAGE;
		nodes[i] = to;
	}
	check(syscall(__NR_move_pages, 0, PAGES, pages, to < 0 ? NULL : nodes, status, MPOL_MF_MOVE) == 0, "move_pages");
	for (int i = 0; i < PAGES; i++)
		found += status[i] == node;
	return found;
}

static void told(const char *name, long value)
{
	printf("%s %ld\n", name, value);
}

static void told_of(const char *object, const char *name, long value)
{
	printf("%s_%s %ld\n", object, name, value);
}

/* Memory of a process, there and back. */
static void plain(int node)
{
	unsigned char *at = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	check(at != MAP_FAILED, "mmap");
	memcpy(at, wanted, SIZE);
	told("plain_moved", on_node(at, node, node));
	told("plain_equal", !memcmp(at, wanted, SIZE));
	memset(at, 0x5a, PAGE); /* and it can be written */
	told("plain_back", on_node(at, 0, 0));
	told("plain_written", at[0] == 0x5a && at[PAGE - 1] == 0x5a && !memcmp(at + PAGE, wanted + PAGE, SIZE - PAGE));
	munmap(at, SIZE);
}

static int smu(int node)
{
	struct agent_smu_attr attr = { .size = sizeof(attr), .base_fd = -1, .node = node };
	int fd = (int)syscall(__NR_agent_alloc_smu, 0, wanted, (size_t)SIZE, &attr);

	check(fd >= 0, "agent_alloc_smu");
	return fd;
}

static void mark(int fd, struct agent_mark mark)
{
	check(syscall(__NR_agent_mark_hot, fd, &mark, sizeof(mark), 0) == 0, "agent_mark_hot");
}

static struct agent_smu_stats stats(int fd)
{
	struct agent_smu_stats found = { .size = sizeof(found) };

	check(syscall(__NR_agent_get_stats, AGENT_STATS_SMU, fd, &found, sizeof(found)) >= 0, "agent_get_stats");
	return found;
}

/* What is in memory of the object, and where; `name` begins the lines. */
static void look(const char *name, int fd, int node)
{
	unsigned char *at = mmap(NULL, SIZE, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
	struct agent_smu_stats found;
	char line[64];

	check(at != MAP_FAILED, "mmap of an SMU");
	snprintf(line, sizeof(line), "%s_there", name);
	told(line, on_node(at, -1, node));
	snprintf(line, sizeof(line), "%s_equal", name);
	told(line, !memcmp(at, wanted, SIZE));
	found = stats(fd);
	snprintf(line, sizeof(line), "%s_lower", name);
	told(line, (long)found.resident_lower);
	munmap(at, SIZE);
}

/* -- objects that are held ------------------------------------------------ */

#define PAGE_OF_ADDRESS 5
#define NONE (-1)

static const struct agent_mark cold = { .valid = AGENT_MARK_TEMPERATURE, .temperature = AGENT_TEMP_COLD };

static struct held {
	const char *name;
	uint64_t seed;
	int compressed;
	int fd;
	unsigned char *map;
} objects[] = {
	{ .name = "resident", .seed = 4 },
	{ .name = "neighbour", .seed = 5 },
	{ .name = "cold", .seed = 6, .compressed = 1 },
};

#define OBJECTS ((int)(sizeof(objects) / sizeof(objects[0])))

static sigjmp_buf on_sigbus;

static void caught(int number)
{
	siglongjmp(on_sigbus, number);
}

/* 1: equal, 0: different, NONE: SIGBUS. */
static int compare_mapped(const unsigned char *page, const unsigned char *with)
{
	return sigsetjmp(on_sigbus, 1) ? NONE : !memcmp(page, with, PAGE);
}

/* Of the pages of an object: how many are right by read and by mapping, and the last one that is an error. */
static void survey(const struct held *object, int node)
{
	int read = 0, mapped = 0, eio = NONE, sigbus = NONE;
	static unsigned char page[PAGE];
	struct agent_smu_stats found = stats(object->fd);

	told_of(object->name, "compressed", !found.resident_top && !found.resident_lower);
	fill(wanted, object->seed);
	for (int i = 0; i < PAGES; i++) {
		const unsigned char *with = wanted + i * PAGE;
		ssize_t got = pread(object->fd, page, PAGE, i * PAGE);
		int equal = compare_mapped(object->map + i * PAGE, with);

		read += got == PAGE && !memcmp(page, with, PAGE);
		if (got < 0 && errno == EIO)
			eio = i;
		mapped += equal == 1;
		if (equal == NONE)
			sigbus = i;
	}
	told_of(object->name, "read", read);
	told_of(object->name, "mapped", mapped);
	told_of(object->name, "eio", eio);
	told_of(object->name, "sigbus", sigbus);
	told_of(object->name, "there", on_node(object->map, -1, node));
}

static uint64_t physical_address(const unsigned char *page)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);
	uint64_t entry;

	check(fd >= 0, "pagemap");
	check(pread(fd, &entry, sizeof(entry), (uintptr_t)page / PAGE * sizeof(entry)) == sizeof(entry), "pagemap");
	check(entry >> 63, "page is not present");
	close(fd);
	return (entry & ((1ULL << 55) - 1)) * PAGE;
}

static void map(struct held *object, int flags)
{
	object->map = mmap(NULL, SIZE, PROT_READ, MAP_SHARED | flags, object->fd, 0);
	check(object->map != MAP_FAILED, "mmap of an SMU");
}

static void end_of_report(void)
{
	puts("end");
	fflush(stdout);
}

static void hold(int node)
{
	char line[16];

	signal(SIGBUS, caught);
	for (struct held *one = objects; one < objects + OBJECTS; one++) {
		fill(wanted, one->seed);
		one->fd = smu(node);
		map(one, MAP_POPULATE);
		told_of(one->name, "there", on_node(one->map, -1, node));
		if (one->compressed) { /* what is mapped stays resident */
			munmap(one->map, SIZE);
			mark(one->fd, cold);
			map(one, 0);
		}
	}
	told_of(objects[0].name, "address", (long)physical_address(objects[0].map + PAGE_OF_ADDRESS * PAGE));
	end_of_report();
	while (fgets(line, sizeof(line), stdin)) {
		for (int i = 0; i < OBJECTS; i++)
			survey(objects + i, node);
		end_of_report();
	}
}

int main(int argc, char **argv)
{
	int node = argc > 1 ? atoi(argv[1]) : 0, fd;
	const struct agent_mark there = { .valid = AGENT_MARK_NODE, .node = node };

	if (argc > 2 && !strcmp(argv[2], "hold")) {
		hold(node);
		return 0;
	}
	fill(wanted, 1);
	plain(node);

	fill(wanted, 2);
	fd = smu(node); /* allocated there */
	look("allocated", fd, node);
	close(fd);

	fill(wanted, 3);
	fd = smu(-1); /* here; marked, compressed, and read again: there */
	look("before", fd, node);
	mark(fd, there);
	mark(fd, cold);
	told("cold_resident", (long)(stats(fd).resident_top + stats(fd).resident_lower));
	look("marked", fd, node);
	told("marked_node", stats(fd).node);
	close(fd);
	return 0;
}
