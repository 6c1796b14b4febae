/* SPDX-License-Identifier: MIT */
/*
 * What the library adds to a system call, in nanoseconds: the shortest of many rounds of each, one after the other. The
 * calls are such as the kernel refuses or answers at once, so that what is compared is the way there and back.
 */
#include <agentmem.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifdef __NR_agent_alloc_smu
#include <linux/agent_mem.h>

#define ROUNDS	200
#define CALLS	500
#define MOST	200.0 /* ns */

static int fd;

static void put_raw(void)
{
	struct agent_smu_attr attr = {.size = sizeof(attr), .base_fd = -1, .node = -1};

	syscall(__NR_agent_alloc_smu, 9, "x", 1, &attr);
}

static void put_ours(void)
{
	struct agentmem_options options = AGENTMEM_OPTIONS_INIT;
	struct agentmem_info info;

	agentmem_put((enum agentmem_type)9, "x", 1, &options, &info);
}

static void mark_raw(void)
{
	struct agent_mark mark = {.valid = AGENT_MARK_TEMPERATURE, .temperature = AGENT_TEMP_HOT};

	syscall(__NR_agent_mark_hot, fd, &mark, sizeof(mark), 0);
}

static void mark_ours(void)
{
	struct agentmem_mark mark = {.size = sizeof(mark), .valid = AGENTMEM_MARK_TEMPERATURE, .temperature = AGENTMEM_HOT};

	agentmem_mark(fd, &mark);
}

static void stats_raw(void)
{
	struct agent_smu_stats stats;

	syscall(__NR_agent_get_stats, AGENT_STATS_SMU, fd, &stats, sizeof(stats));
}

static void stats_ours(void)
{
	struct agentmem_smu_stats stats = {.size = sizeof(stats)};

	agentmem_smu_stats(fd, &stats);
}

static void share_raw(void)
{
	syscall(__NR_agent_share_content, fd, -1, 0);
}

static void share_ours(void)
{
	agentmem_share(fd, -1, 0);
}

static double once(void (*call)(void))
{
	struct timespec begin, end;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (int i = 0; i < CALLS; i++)
		call();
	clock_gettime(CLOCK_MONOTONIC, &end);
	return ((double)(end.tv_sec - begin.tv_sec) * 1e9 + (double)(end.tv_nsec - begin.tv_nsec)) / CALLS;
}

static double overhead(void (*raw)(void), void (*ours)(void))
{
	double least_raw = 1e12, least_ours = 1e12;

	for (int i = 0; i < ROUNDS; i++) {
		double a = once(raw), b = once(ours);

		least_raw = a < least_raw ? a : least_raw;
		least_ours = b < least_ours ? b : least_ours;
	}
	return least_ours - least_raw;
}

int main(void)
{
	const struct {
		const char *name;
		void (*raw)(void), (*ours)(void);
	} calls[] = {
		{"put", put_raw, put_ours}, {"mark", mark_raw, mark_ours},
		{"smu_stats", stats_raw, stats_ours}, {"share", share_raw, share_ours},
	};
	int failed = 0, number = 0;

	if (!agentmem_backend() || strcmp(agentmem_backend(), "kernel")) {
		puts("1..0 # SKIP this kernel has no such calls");
		return 4;
	}
	fd = agentmem_put(AGENTMEM_CONVERSATION, "x", 1, NULL, NULL);
	printf("TAP version 13\n1..4\n");
	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
		double more = overhead(calls[i].raw, calls[i].ours);

		failed += more > MOST;
		printf("%sok %d %s # %.0f ns over the system call\n", more > MOST ? "not " : "", ++number, calls[i].name, more);
	}
	return failed != 0;
}

#else

int main(void)
{
	puts("1..0 # SKIP built without the numbers of the calls");
	return 4;
}

#endif
