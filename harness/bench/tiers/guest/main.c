// SPDX-License-Identifier: GPL-2.0-only
/* The controller: lets agents take up their texts, sets the limit, gives work by turns, and looks on. See tiers.h. */
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
#include <unistd.h>

#include <linux/agent_mem.h>

#include "tiers.h"

#define SAMPLE_MS 100
#define SILENCE_MS 600000 /* a fleet that says nothing for this long hangs */
#define WORKING 3 /* agents of ten, rounded */
#define GONE 2	  /* of ten: whose user does not come back */
#define FIVE_MINUTES 300000 /* ms: the kernel's own limits */
#define DAY 86400000
#define NO_DAMAGE UINT32_MAX

static const struct contestant all[] = {
	{ "agent_mem", AS_SMU, false, true, true, true },
	{ "zram", ON_HEAP, false, true, false, false },
	{ "zram_within", ON_HEAP, false, true, false, false },
	{ 0 },
};

static struct {
	struct fleet fleet;
	uint32_t agents, together; /* how many work at a time */
	uint32_t pool;		   /* of how many; the others are gone */
	uint64_t limit, turns, turn_ms, think_ms, warm_ms, cold_ms;
	bool within; /* what zram takes counts in the limit, too */
	bool limited, over;
	int *orders;
	pid_t *pids;
	bool *working;
	int answers;
	uint32_t turn;
	uint64_t sampled, checked, differ;
} c = { .fleet = { .damage = NO_DAMAGE } };

/* -- processes -- */

static void start_agent(uint32_t index, int answer_end)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC))
		fail(EXIT_BROKEN, "pipe", errno);
	c.pids[index] = fork();
	if (c.pids[index] < 0)
		fail(EXIT_BROKEN, "fork", errno);
	if (!c.pids[index]) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (uint32_t i = 0; i < index; i++)
			close(c.orders[i]);
		close(ends[1]);
		close(c.answers);
		agent_serve(&c.fleet, index, ends[0], answer_end);
	}
	close(ends[0]);
	c.orders[index] = ends[1];
}

static void allow_fds(void)
{
	struct rlimit limit = { .rlim_cur = c.agents };

	for (uint32_t i = 0; i < c.agents; i++)
		if (c.fleet.table.agents[i].count > limit.rlim_cur)
			limit.rlim_cur = c.fleet.table.agents[i].count;
	limit.rlim_cur += 64;
	limit.rlim_max = limit.rlim_cur;
	if (setrlimit(RLIMIT_NOFILE, &limit))
		fail(EXIT_BROKEN, "setrlimit of open files", errno);
}

static void start(void)
{
	size_t board = sizeof(struct board) + c.fleet.table.header->texts * sizeof(struct size);
	int ends[2];

	c.orders = calloc(c.agents, sizeof(*c.orders));
	c.pids = calloc(c.agents, sizeof(*c.pids));
	c.working = calloc(c.agents, sizeof(*c.working));
	c.fleet.board = mmap(NULL, board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (!c.orders || !c.pids || !c.working || c.fleet.board == MAP_FAILED)
		fail(EXIT_BROKEN, "no memory for the controller", errno);
	if (pipe2(ends, O_CLOEXEC))
		fail(EXIT_BROKEN, "pipe", errno);
	c.answers = ends[0];
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
	snprintf(what, sizeof(what), WIFSIGNALED(status) ? "an agent process died of signal %d" : "an agent ended with %d",
		 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	fail(EXIT_BROKEN, what, 0);
}

/* -- watching -- */

static void limit_now(void)
{
	long long zram = c.within ? zram_bytes() : 0, left = (long long)c.limit - zram;

	group_limit(left > (long long)c.limit / 8 ? left : (long long)c.limit / 8);
}

static void look(void)
{
	if (c.over || now_ms() - c.sampled < SAMPLE_MS)
		return;
	c.sampled = now_ms();
	if (c.limited && c.within)
		limit_now();
	gauge_sample(c.turn);
}

static void order(uint32_t agent, struct order what)
{
	if (write(c.orders[agent], &what, sizeof(what)) != sizeof(what))
		fail(EXIT_BROKEN, "an agent does not listen", errno);
}

static void await(void)
{
	struct pollfd ready = { .fd = c.answers, .events = POLLIN };
	uint64_t begin = now_ms();
	struct answer answer;

	while (poll(&ready, 1, SAMPLE_MS / 2) <= 0 || !(ready.revents & POLLIN)) {
		check_alive();
		look();
		if (now_ms() - begin > SILENCE_MS)
			fail(EXIT_BROKEN, "the agents are silent", ETIMEDOUT);
	}
	look();
	if (read(c.answers, &answer, sizeof(answer)) != sizeof(answer))
		fail(EXIT_BROKEN, "an answer was cut off", errno);
	if (answer.error) {
		print_failure(answer.what, answer.error, (int)answer.agent);
		_exit(EXIT_BROKEN);
	}
	if (answer.differ)
		printf("{\"event\":\"differs\",\"agent\":%u,\"text\":%u,\"offset\":%" PRIu64 "}\n", answer.agent, answer.text,
		       answer.offset);
	c.checked += answer.checked;
	c.differ += answer.differ;
}

static void one_by_one(struct order what)
{
	for (uint32_t i = 0; i < c.agents; i++) {
		order(i, what);
		await();
	}
}

/* -- turns -- */

static bool works(uint32_t agent, uint32_t turn)
{
	return agent < c.pool && (agent + turn * c.together) % c.pool < c.together;
}

/* Who has worked waits for its user, or for a tool, by turns. */
static void send_to_rest(uint32_t agent)
{
	uint32_t state = (agent + c.turn) % 2 ? AGENT_STATE_IDLE : AGENT_STATE_PAUSED;

	order(agent, (struct order){ .what = ORDER_REST, .state = state });
}

static void print_steps(uint32_t *printed)
{
	const struct board *board = c.fleet.board;
	uint32_t steps = board->steps;

	if (steps > MOST_STEPS)
		fail(EXIT_BROKEN, "too many steps to be kept", 0);
	for (; *printed < steps; (*printed)++) {
		const struct step *step = &board->step[*printed];

		printf("{\"event\":\"step\",\"agent\":%u,\"turn\":%u,\"ms\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"ns\":%" PRIu64
		       "}\n",
		       step->agent, step->turn, step->at_ms, step->bytes, step->ns);
	}
}

static void sizes_at_rest(void)
{
	uint32_t asked = 0;

	for (uint32_t i = 0; i < c.agents; i++)
		if (!c.working[i]) {
			order(i, (struct order){ .what = ORDER_SIZES });
			asked++;
		}
	while (asked--)
		await();
	gauge_rest(&c.fleet, c.turn, c.working, c.pids);
}

static void take_turn(void)
{
	static uint32_t printed;
	uint64_t begin = now_ms();
	long long stalled = 0;
	uint32_t answers = 0, nth = 0;

	for (uint32_t i = 0; i < c.agents; i++) {
		bool before = c.working[i];

		c.working[i] = works(i, c.turn);
		if (c.working[i]) {
			stalled -= group_stalled_us(i);
			order(i, (struct order){ .what = ORDER_WORK, .turn = c.turn, .think_ms = (uint32_t)c.think_ms,
						 .after_ms = (uint32_t)(c.think_ms * nth++ / c.together),
						 .until_ms = begin + c.turn_ms });
		} else if (before && c.turn > 1) {
			send_to_rest(i);
		} else {
			continue;
		}
		answers++;
	}
	while (answers--)
		await();
	for (uint32_t i = 0; i < c.agents; i++)
		stalled += c.working[i] ? group_stalled_us(i) : 0;
	print_steps(&printed);
	printf("{\"event\":\"turn\",\"turn\":%u,\"ms\":%" PRIu64 ",\"wall_ms\":%" PRIu64
	       ",\"working\":%u,\"stalled_us\":%lld}\n",
	       c.turn, begin, now_ms() - begin, c.together, stalled);
	sizes_at_rest();
}

/* Not before it is known who rests: else those at work would pay for it. */
static void begin_to_limit(void)
{
	uint64_t begin;

	store_limits(c.warm_ms, c.cold_ms);
	for (uint32_t i = 0; i < c.agents; i++)
		if (!works(i, c.turn)) {
			send_to_rest(i);
			await();
		}
	begin = now_ms();
	limit_now();
	c.limited = true;
	printf("{\"event\":\"limit\",\"ms\":%" PRIu64 ",\"bytes\":%" PRIu64 "}\n", begin, c.limit);
}

static int run(void)
{
	printf("{\"event\":\"begin\",\"ms\":%" PRIu64 ",\"agents\":%u,\"working\":%u}\n", now_ms(), c.agents, c.together);
	one_by_one((struct order){ .what = ORDER_HOLD });
	for (c.turn = 0; c.turn <= c.turns; c.turn++) {
		if (c.turn == 1)
			begin_to_limit();
		take_turn();
	}
	c.over = true;
	trace_stop();
	group_limit(0); /* what is checked now is content, not memory */
	one_by_one((struct order){ .what = ORDER_CHECK });
	printf("{\"event\":\"checked\",\"reads\":%" PRIu64 ",\"differ\":%" PRIu64 "}\n", c.checked, c.differ);
	for (uint32_t i = 0; i < c.agents; i++)
		close(c.orders[i]);
	while (wait(NULL) > 0)
		;
	squeeze_end(c.fleet.contestant);
	printf("{\"event\":\"done\"}\n");
	return c.differ ? EXIT_DIFFERS : EXIT_WHOLE;
}

/* -- options -- */

static uint64_t given(const char *text)
{
	char *rest;
	unsigned long long value = strtoull(text, &rest, 10);

	if (!*text || *rest)
		fail(EXIT_USAGE, "not a number", 0);
	return value;
}

static void choose(const char *name)
{
	for (const struct contestant *one = all; one->name; one++)
		if (!strcmp(one->name, name))
			c.fleet.contestant = one;
	c.within = !strcmp(name, "zram_within");
}

static void read_options(int argc, char **argv)
{
	static const struct option options[] = {
		{ "table", required_argument, NULL, 'a' }, { "contestant", required_argument, NULL, 'b' },
		{ "limit", required_argument, NULL, 'l' }, { "turns", required_argument, NULL, 'n' },
		{ "turn", required_argument, NULL, 't' },  { "think", required_argument, NULL, 'k' },
		{ "warm", required_argument, NULL, 'w' },  { "cold", required_argument, NULL, 'c' },
		{ "damage", required_argument, NULL, 'd' }, { 0 },
	};
	uint64_t damage = NO_DAMAGE;
	const char *table = NULL;
	const struct {
		int option;
		uint64_t *to;
	} numbers[] = { { 'l', &c.limit },   { 'n', &c.turns },	  { 't', &c.turn_ms }, { 'k', &c.think_ms },
			{ 'w', &c.warm_ms }, { 'c', &c.cold_ms }, { 'd', &damage } };
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == '?')
			fail(EXIT_USAGE, "unknown option", 0);
		if (option == 'a')
			table = optarg;
		if (option == 'b')
			choose(optarg);
		for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
			if (numbers[i].option == option)
				*numbers[i].to = given(optarg);
	}
	if (!table || !c.fleet.contestant || !c.limit || !c.turns || !c.turn_ms || !c.warm_ms || !c.cold_ms)
		fail(EXIT_USAGE, "an option is missing", 0);
	c.fleet.damage = (uint32_t)damage;
	table_open(&c.fleet.table, table);
	c.agents = c.fleet.table.header->agents;
	c.together = (c.agents * WORKING + 5) / 10 ? (c.agents * WORKING + 5) / 10 : 1;
	c.pool = c.agents - c.agents * GONE / 10;
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0); /* a copy must cost what it is long, not a huge page */
	read_options(argc, argv);
	allow_fds();
	group_make(c.agents);
	squeeze_prepare(c.fleet.contestant, CGROUP);
	start();
	if (c.fleet.contestant->own) /* not before: who is forked belongs to the agent of the parent if that has one */
		store_prepare(c.fleet.contestant, 0);
	store_limits(FIVE_MINUTES, DAY);
	trace_start();
	return run();
}
