// SPDX-License-Identifier: GPL-2.0-only
/*
 * The controller: starts the agents, takes them through hold, verify and drop together, and measures in between.
 * The baseline is taken with every process running and idle, so that a figure is the cost of texts, not of processes.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
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

#include "agent.h"

#define SPARE_FDS 64
#define SILENCE_S 300 /* a fleet that says nothing for this long hangs */

struct controller {
	struct fleet fleet;
	uint32_t agents;
	int *commands; /* one pipe for each agent */
	int replies;
};

struct totals {
	uint64_t texts, bytes, differ;
};

static void allow_fds(const struct fleet *fleet, uint32_t agents)
{
	struct rlimit limit = { .rlim_cur = agents };

	for (uint32_t i = 0; i < agents; i++)
		if (fleet->pack.agents[i].count > limit.rlim_cur)
			limit.rlim_cur = fleet->pack.agents[i].count;
	limit.rlim_cur += SPARE_FDS;
	limit.rlim_max = limit.rlim_cur;
	if (setrlimit(RLIMIT_NOFILE, &limit))
		fail(EXIT_BROKEN, "setrlimit of open files", errno);
}

static void start_agent(struct controller *c, uint32_t index, int reply_end)
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
			close(c->commands[i]);
		close(ends[1]);
		close(c->replies);
		agent_run(&c->fleet, index, ends[0], reply_end);
	}
	close(ends[0]);
	c->commands[index] = ends[1];
}

static void prepare(struct controller *c)
{
	size_t size = (c->fleet.pack.header->refs + 1) * sizeof(struct held);

	c->agents = c->fleet.pack.header->agents;
	c->commands = calloc(c->agents, sizeof(*c->commands));
	c->fleet.held = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (!c->commands || c->fleet.held == MAP_FAILED)
		fail(EXIT_BROKEN, "no memory for the controller", errno);
	allow_fds(&c->fleet, c->agents);
}

static void start(struct controller *c)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC))
		fail(EXIT_BROKEN, "pipe", errno);
	c->replies = ends[0];
	for (uint32_t i = 0; i < c->agents; i++)
		start_agent(c, i, ends[1]);
	close(ends[1]);
}

/* Ends the program when an agent has ended: agents live as long as the controller wants. */
static void check_alive(void)
{
	char what[64];
	int status;
	pid_t pid = waitpid(-1, &status, WNOHANG);

	if (pid <= 0)
		return;
	if (WIFSIGNALED(status))
		snprintf(what, sizeof(what), "an agent process died of signal %d", WTERMSIG(status));
	else
		snprintf(what, sizeof(what), "an agent process ended with %d", WEXITSTATUS(status));
	fail(EXIT_BROKEN, what, 0);
}

static struct reply await(const struct controller *c)
{
	struct pollfd ready = { .fd = c->replies, .events = POLLIN };
	struct reply reply;

	for (int waited = 0; poll(&ready, 1, 1000) <= 0 || !(ready.revents & POLLIN); waited++) {
		check_alive();
		if (waited == SILENCE_S)
			fail(EXIT_BROKEN, "the agents are silent", ETIMEDOUT);
	}
	if (read(c->replies, &reply, sizeof(reply)) != sizeof(reply))
		fail(EXIT_BROKEN, "a reply was cut off", errno);
	return reply;
}

/* Gives one command to every agent and waits for all. */
static struct totals everybody(const struct controller *c, char command)
{
	struct totals totals = { 0 };

	for (uint32_t i = 0; i < c->agents; i++)
		if (write(c->commands[i], &command, 1) != 1)
			fail(EXIT_BROKEN, "an agent does not listen", errno);
	for (uint32_t i = 0; i < c->agents; i++) {
		struct reply reply = await(c);

		if (reply.error) {
			print_failure(reply.what, reply.error, (int)reply.agent);
			_exit(EXIT_BROKEN);
		}
		if (reply.differ)
			printf("{\"event\":\"differs\",\"agent\":%u,\"text\":%u,\"offset\":%llu,\"what\":\"%s\"}\n",
			       reply.agent, reply.ref, (unsigned long long)reply.offset, reply.what);
		totals.texts += reply.texts;
		totals.bytes += reply.bytes;
		totals.differ += reply.differ;
	}
	return totals;
}

static int by_inode(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Distinct inodes behind all fds: what the kernel really keeps, not what anybody counts. */
static uint64_t count_objects(const struct fleet *fleet)
{
	uint32_t refs = fleet->pack.header->refs;
	uint64_t *inodes = calloc(refs + 1, sizeof(*inodes)), objects = 0;

	if (!inodes)
		fail(EXIT_BROKEN, "no memory to count objects", errno);
	for (uint32_t i = 0; i < refs; i++)
		inodes[i] = fleet->held[i].inode;
	qsort(inodes, refs, sizeof(*inodes), by_inode);
	for (uint32_t i = 0; i < refs; i++)
		objects += inodes[i] && (!i || inodes[i] != inodes[i - 1]);
	free(inodes);
	return objects;
}

static void print_held(const struct controller *c, struct totals totals)
{
	uint64_t hits = 0;

	for (uint32_t i = 0; i < c->fleet.pack.header->refs; i++)
		hits += c->fleet.held[i].dedup;
	printf("{\"event\":\"held\",\"agents\":%u,\"texts\":%llu,\"bytes\":%llu,\"dedup_hits\":%llu,\"objects\":%llu}\n",
	       c->agents, (unsigned long long)totals.texts, (unsigned long long)totals.bytes, (unsigned long long)hits,
	       (unsigned long long)count_objects(&c->fleet));
}

/* Closes the command pipes, which ends the agents, and waits until they are gone. */
static void end(const struct controller *c)
{
	for (uint32_t i = 0; i < c->agents; i++)
		close(c->commands[i]);
	while (wait(NULL) > 0)
		;
}

static int run(struct controller *c)
{
	bool smu = c->fleet.holder == &smu_holder;
	struct totals verified;

	if (smu)
		smu_prepare();
	gauge_print("start");
	start(c);
	everybody(c, COMMAND_READY);
	if (smu)
		smu_print_stats();
	gauge_print("baseline");
	print_held(c, everybody(c, COMMAND_HOLD));
	gauge_print("held");
	if (smu)
		smu_print_stats();
	verified = everybody(c, COMMAND_VERIFY);
	printf("{\"event\":\"verified\",\"agents\":%u,\"texts\":%llu,\"bytes\":%llu,\"differ\":%llu}\n", c->agents,
	       (unsigned long long)verified.texts, (unsigned long long)verified.bytes,
	       (unsigned long long)verified.differ);
	everybody(c, COMMAND_DROP);
	gauge_print("dropped");
	if (smu)
		smu_print_stats();
	end(c);
	gauge_print("end");
	printf("{\"event\":\"done\"}\n");
	return verified.differ ? EXIT_DIFFERS : EXIT_WHOLE;
}

static const struct holder *holder_named(const char *mode)
{
	if (!strcmp(mode, private_holder.name))
		return &private_holder;
	if (!strcmp(mode, smu_holder.name))
		return &smu_holder;
	fail(EXIT_USAGE, "--mode takes private or smu", 0);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "pack", required_argument, NULL, 'p' },   { "mode", required_argument, NULL, 'm' },
		{ "cgroup", required_argument, NULL, 'c' }, { "damage", required_argument, NULL, 'd' },
		{ "quick", no_argument, NULL, 'q' },
		{ 0 },
	};
	struct controller c = { .fleet = { .holder = &private_holder, .damage = NO_DAMAGE } };
	const char *pack = NULL, *cgroup = NULL;
	int option;

	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0); /* a copy must cost what it is long, not a huge page */
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'p':
			pack = optarg;
			break;
		case 'm':
			c.fleet.holder = holder_named(optarg);
			break;
		case 'c':
			cgroup = optarg;
			break;
		case 'd':
			c.fleet.damage = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case 'q':
			gauge_quick();
			break;
		default:
			fail(EXIT_USAGE, "unknown option", 0);
		}
	}
	if (!pack)
		fail(EXIT_USAGE, "--pack is missing", 0);
	if (c.fleet.holder == &smu_holder && !smu_available())
		fail(EXIT_BROKEN, "this kernel has no agent_alloc_smu", ENOSYS);
	pack_open(&c.fleet.pack, pack);
	gauge_cgroup(cgroup);
	prepare(&c);
	return run(&c);
}
