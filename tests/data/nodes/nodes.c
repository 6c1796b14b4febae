// SPDX-License-Identifier: GPL-2.0-only
/*
 * nodes NODE: that memory of a node without processors is memory. Prints one line for each thing that was found, "NAME VALUE";
 * ends with 1 at the first call that fails. Contents are small: behind emulated CXL a megabyte takes a second.
 */
#include <errno.h>
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

int main(int argc, char **argv)
{
	int node = argc == 2 ? atoi(argv[1]) : 0, fd;
	const struct agent_mark there = { .valid = AGENT_MARK_NODE, .node = node };
	const struct agent_mark cold = { .valid = AGENT_MARK_TEMPERATURE, .temperature = AGENT_TEMP_COLD };

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
