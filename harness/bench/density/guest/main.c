// SPDX-License-Identifier: GPL-2.0-only
/* The controller: starts the agents, lets them take up their texts, squeezes and measures in between. See density.h. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "density.h"

#define CGROUP "/sys/fs/cgroup/density"
#define SPARE_FDS 64
#define AT_ONCE 2    /* agents that take up texts at the same time */
#define ROUNDS 4     /* the last three double what there is */
#define FLOOR 12     /* one part in so many of the memory stays free: nothing is measured under pressure of its own */
#define ADMITTING 60 /* percent of the time in which agents are let in */
#define STEADY_MS 2000
#define SILENCE_S 600 /* a fleet that says nothing for this long hangs */
#define NO_DAMAGE UINT32_MAX

const struct contestant contestants[] = {
	{ "private", ON_HEAP, false, false, false, false },
	{ "memfd", BY_HAND, false, false, false, false },
	{ "ksm_aligned", ALIGNED_COPIES, true, false, false, false },
	{ "ksm_heap", ON_HEAP, true, false, false, false },
	{ "zram", ON_HEAP, false, true, false, false },
	{ "ksm_zram", ALIGNED_COPIES, true, true, false, false },
	{ "agent_mem", AS_SMU, false, false, true, true },
	{ "agent_mem_noauto", AS_SMU, false, false, true, false },
	{ 0 },
};

static struct {
	struct fleet_run run;
	uint32_t agents, held;
	uint32_t scans;
	uint64_t chunk; /* 0: as the kernel has it */
	int *commands;
	int replies;
	uint64_t start, admitting, deadline; /* of now_ms() */
	uint64_t cpu_start, gauging;	     /* of cpu_ms(); measuring is nobody's cost */
	struct effort effort;
	uint64_t differ;
	bool converged;
} c = { .run = { .damage = NO_DAMAGE, .probes = 16 }, .scans = 12, .converged = true };

const struct contestant *contestant_named(const char *name)
{
	for (const struct contestant *one = contestants; one->name; one++)
		if (!strcmp(one->name, name))
			return one;
	fail(EXIT_USAGE, "no such contestant", 0);
}

/* -- processes -- */

static void allow_fds(void)
{
	struct rlimit limit = { .rlim_cur = c.agents };

	for (uint32_t i = 0; i < c.agents; i++)
		if (c.run.table.agents[i].count > limit.rlim_cur)
			limit.rlim_cur = c.run.table.agents[i].count;
	limit.rlim_cur += SPARE_FDS;
	limit.rlim_max = limit.rlim_cur;
	if (setrlimit(RLIMIT_NOFILE, &limit))
		fail(EXIT_BROKEN, "setrlimit of open files", errno);
	put("/proc/sys/vm/max_map_count", "1000000");
	put("/proc/sys/vm/agent_mem_max_smus", "100000000");
}

static void start_agent(uint32_t index, int reply_end)
{
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC))
		fail(EXIT_BROKEN, "pipe", errno);
	pid = fork();
	if (pid < 0)
		fail(EXIT_BROKEN, "fork", errno);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (uint32_t i = 0; i < index; i++)
			close(c.commands[i]);
		close(ends[1]);
		close(c.replies);
		agent_run(&c.run, index, ends[0], reply_end);
	}
	close(ends[0]);
	c.commands[index] = ends[1];
}

static void start(void)
{
	size_t owners = (c.run.table.header->texts + 1) * sizeof(*c.run.owners);
	int ends[2];

	c.agents = c.run.table.header->agents;
	c.commands = calloc(c.agents, sizeof(*c.commands));
	c.run.owners = mmap(NULL, owners, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (!c.commands || c.run.owners == MAP_FAILED)
		fail(EXIT_BROKEN, "no memory for the controller", errno);
	allow_fds();
	if (pipe2(ends, O_CLOEXEC))
		fail(EXIT_BROKEN, "pipe", errno);
	c.replies = ends[0];
	for (uint32_t i = 0; i < c.agents; i++)
		start_agent(i, ends[1]);
	close(ends[1]);
}

/* Ends the program when an agent has ended: agents live as long as the controller wants. */
static void check_alive(void)
{
	char what[64];
	int status;

	if (waitpid(-1, &status, WNOHANG) <= 0)
		return;
	if (WIFSIGNALED(status))
		snprintf(what, sizeof(what), "an agent process died of signal %d", WTERMSIG(status));
	else
		snprintf(what, sizeof(what), "an agent process ended with %d", WEXITSTATUS(status));
	fail(EXIT_BROKEN, what, 0);
}

static struct reply await(const char *phase)
{
	struct pollfd ready = { .fd = c.replies, .events = POLLIN };
	uint64_t begin = now_ms();
	struct reply reply;

	while (poll(&ready, 1, 200) <= 0 || !(ready.revents & POLLIN)) {
		check_alive();
		sample(phase);
		if (now_ms() - begin > SILENCE_S * 1000UL)
			fail(EXIT_BROKEN, "the agents are silent", ETIMEDOUT);
	}
	sample(phase);
	if (read(c.replies, &reply, sizeof(reply)) != sizeof(reply))
		fail(EXIT_BROKEN, "a reply was cut off", errno);
	if (reply.error) {
		print_failure(reply.what, reply.error, (int)reply.agent);
		_exit(EXIT_BROKEN);
	}
	if (reply.differ) {
		printf("{\"event\":\"differs\",\"agent\":%u,\"text\":%u,\"offset\":%" PRIu64 "}\n", reply.agent, reply.text,
		       reply.offset);
		c.differ += reply.differ;
	}
	return reply;
}

static void tell(uint32_t agent, char command)
{
	if (write(c.commands[agent], &command, 1) != 1)
		fail(EXIT_BROKEN, "an agent does not listen", errno);
}

/* -- taking up texts -- */

static bool room_for(uint32_t agent)
{
	uint64_t needed = 0;

	for (uint32_t i = agent; i < agent + AT_ONCE && i < c.agents; i++)
		needed += table_bytes(&c.run.table, i) * 9 / 8 + (1 << 20);
	return available_bytes() > total_bytes() / FLOOR + (long long)needed;
}

/* Who is active keeps its texts as they are. */
static void rest(void)
{
	uint64_t cpu = cpu_ms();
	uint32_t resting = 0;

	for (uint32_t i = 0; i < c.held; i++)
		if (!c.run.table.agents[i].active) {
			tell(i, COMMAND_REST);
			resting++;
		}
	while (resting--)
		await("rest");
	c.effort.reclaim_ms += cpu_ms() - cpu;
}

static void squeeze_all(void)
{
	if (c.run.contestant->own)
		rest();
	c.converged = squeeze(c.run.contestant, c.deadline, c.scans, &c.effort, sample);
}

/* Lets agents in up to `target`; false when there is no room, or no time, for more. */
static bool admit(uint32_t target)
{
	while (c.held < target) {
		uint32_t together = target - c.held < AT_ONCE ? target - c.held : AT_ONCE;

		if (!room_for(c.held)) {
			squeeze_all();
			if (!room_for(c.held))
				return false;
		}
		if (c.held && now_ms() > c.admitting)
			return false;
		for (uint32_t i = 0; i < together; i++)
			tell(c.held + i, COMMAND_HOLD);
		for (uint32_t i = 0; i < together; i++)
			await("hold");
		c.held += together;
		printf("{\"event\":\"held\",\"agents\":%u}\n", c.held);
	}
	return true;
}

/* -- measuring -- */

static void measure(const char *at)
{
	uint64_t cpu = cpu_ms();

	gauge_print(at);
	c.gauging += cpu_ms() - cpu;
}

static void print_point(void)
{
	uint64_t bytes = 0, handles = 0, cpu = cpu_ms() - c.cpu_start - c.gauging;

	for (uint32_t i = 0; i < c.held; i++) {
		bytes += table_bytes(&c.run.table, i);
		handles += c.run.table.agents[i].count;
	}
	measure("point");
	printf("{\"event\":\"point\",\"agents\":%u,\"bytes\":%" PRIu64 ",\"handles\":%" PRIu64 ",\"cpu_ms\":%" PRIu64
	       ",\"merge_ms\":%" PRIu64 ",\"last_merge_ms\":%" PRIu64 ",\"reclaim_ms\":%" PRIu64 ",\"wall_ms\":%" PRIu64
	       ",\"converged\":%s}\n",
	       c.held, bytes, handles, cpu, c.effort.merge_ms, c.effort.last_merge_ms, c.effort.reclaim_ms,
	       now_ms() - c.start, c.converged ? "true" : "false");
	squeeze_print(c.run.contestant);
	if (c.run.contestant->own)
		store_print();
}

/* Whether all of the fleet has room as plain copies: then one point tells all. */
static bool fits_as_it_is(void)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < c.agents; i++)
		bytes += table_bytes(&c.run.table, i);
	return available_bytes() - total_bytes() / FLOOR > (long long)(bytes * 5 / 4);
}

static void rounds(void)
{
	bool more = true;

	for (int round = fits_as_it_is() ? 0 : ROUNDS - 1; round >= 0 && more; round--) {
		uint32_t target = c.agents >> round, before = c.held;

		if (round && target < AT_ONCE)
			continue;
		more = admit(target);
		if (!c.held)
			fail(EXIT_USAGE, "the guest is too small for one agent", ENOMEM);
		if (c.held == before)
			break;
		squeeze_all();
		print_point();
	}
}

/* What goes on when nobody does anything. */
static void print_steady(void)
{
	const struct timespec pause = { .tv_sec = STEADY_MS / 1000 };
	uint64_t cpu = cpu_ms(), begin = now_ms();

	nanosleep(&pause, NULL);
	printf("{\"event\":\"steady\",\"cpu_ms\":%" PRIu64 ",\"wall_ms\":%" PRIu64 "}\n", cpu_ms() - cpu, now_ms() - begin);
}

static long long stalled_us(void)
{
	return number_in(CGROUP "/memory.pressure", "total=");
}

static void print_active(void)
{
	uint64_t cpu = cpu_ms(), reads = 0, sum = 0, median = 0, worst = 0;
	long long stalled = stalled_us();
	uint32_t active = 0;

	for (uint32_t i = 0; i < c.held; i++)
		if (c.run.table.agents[i].active) {
			tell(i, COMMAND_ACT);
			active++;
		}
	for (uint32_t i = 0; i < active; i++) {
		struct reply reply = await("act");

		reads += reply.count;
		sum += reply.sum_ns;
		median += reply.median_ns;
		worst = reply.p99_ns > worst ? reply.p99_ns : worst;
	}
	if (!active)
		return;
	cpu = cpu_ms() - cpu;
	stalled = stalled_us() - stalled;
	measure("active");
	printf("{\"event\":\"active\",\"agents\":%u,\"reads\":%" PRIu64 ",\"read_ns\":%" PRIu64 ",\"median_ns\":%" PRIu64
	       ",\"p99_ns\":%" PRIu64 ",\"cpu_ms\":%" PRIu64 ",\"stalled_us\":%lld}\n",
	       active, reads, sum, median / active, worst, cpu, stalled);
}

static void verify(void)
{
	uint64_t reads = 0;

	for (uint32_t i = 0; i < c.held; i++) {
		tell(i, COMMAND_PROBE);
		reads += await("probe").count;
	}
	printf("{\"event\":\"verified\",\"reads\":%" PRIu64 ",\"differ\":%" PRIu64 "}\n", reads, c.differ);
}

static void end(void)
{
	for (uint32_t i = 0; i < c.agents; i++)
		close(c.commands[i]);
	while (wait(NULL) > 0)
		;
	squeeze_end(c.run.contestant);
}

static uint64_t given(const char *text)
{
	char *rest;
	unsigned long long value = strtoull(text, &rest, 10);

	if (!*text || *rest)
		fail(EXIT_USAGE, "not a number", 0);
	return value;
}

static void read_options(int argc, char **argv)
{
	static const struct option options[] = {
		{ "table", required_argument, NULL, 't' },  { "contestant", required_argument, NULL, 'c' },
		{ "seconds", required_argument, NULL, 's' }, { "scans", required_argument, NULL, 'n' },
		{ "probes", required_argument, NULL, 'p' },  { "damage", required_argument, NULL, 'd' },
		{ "chunk", required_argument, NULL, 'k' },
		{ 0 },
	};
	uint64_t seconds = 0;
	const char *table = NULL;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 't')
			table = optarg;
		else if (option == 'c')
			c.run.contestant = contestant_named(optarg);
		else if (option == 's')
			seconds = given(optarg);
		else if (option == 'n')
			c.scans = (uint32_t)given(optarg);
		else if (option == 'p')
			c.run.probes = (uint32_t)given(optarg);
		else if (option == 'k')
			c.chunk = given(optarg);
		else if (option == 'd')
			c.run.damage = (uint32_t)given(optarg);
		else
			fail(EXIT_USAGE, "unknown option", 0);
	}
	if (!table || !c.run.contestant)
		fail(EXIT_USAGE, "--table and --contestant are needed", 0);
	table_open(&c.run.table, table);
	c.start = now_ms();
	c.admitting = seconds ? c.start + seconds * 10 * ADMITTING : UINT64_MAX;
	c.deadline = seconds ? c.start + seconds * 1000 : UINT64_MAX;
}

static void unseen(const char *phase)
{
	(void)phase;
}

int main(int argc, char **argv)
{
	struct effort nobodys = { 0 };

	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0); /* a copy must cost what it is long, not a huge page */
	read_options(argc, argv);
	gauge_cgroup(CGROUP);
	squeeze_prepare(c.run.contestant, CGROUP);
	start();
	if (c.run.contestant->own) /* not before: who is forked belongs to the agent of the parent if that has one */
		store_prepare(c.run.contestant, c.chunk);
	/* The processes themselves are nobody's texts: what can be done about them is done before. */
	squeeze(c.run.contestant, c.deadline, c.scans, &nobodys, unseen);
	gauge_print("baseline");
	gauge_keep();
	c.cpu_start = cpu_ms();
	rounds();
	print_steady();
	print_active();
	verify();
	end();
	printf("{\"event\":\"done\"}\n");
	return c.differ ? EXIT_DIFFERS : EXIT_WHOLE;
}
