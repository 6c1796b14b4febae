// SPDX-License-Identifier: GPL-2.0-only
/* An agent: it makes, finds, reads, marks and drops objects, and knows what each of them has. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "chaos.h"

#define HELD 10

struct held {
	int fd; /* -1: none */
	struct recipe recipe;
};

struct agent {
	struct chance chance;
	struct held held[HELD];
};

/* -- what others may attach -- */

static void post(struct chance *chance, const uint8_t *digest, const struct recipe *recipe)
{
	struct post *place = &shared->board[below(chance, BOARD)];
	unsigned int turn = atomic_load(&place->turn);

	/* Who is killed in the midst of it leaves the place odd: nobody uses it again. */
	if (turn & 1 || !atomic_compare_exchange_strong(&place->turn, &turn, turn + 1))
		return;
	memcpy(place->digest, digest, sizeof(place->digest));
	place->recipe = *recipe;
	atomic_store(&place->turn, turn + 2);
}

static bool posted(struct chance *chance, uint8_t *digest, struct recipe *recipe)
{
	struct post *place = &shared->board[below(chance, BOARD)];
	unsigned int turn = atomic_load(&place->turn);

	if (!turn || turn & 1)
		return false;
	memcpy(digest, place->digest, sizeof(place->digest));
	*recipe = place->recipe;
	atomic_thread_fence(memory_order_acquire);
	return atomic_load(&place->turn) == turn;
}

/* -- objects -- */

static struct held *any_place(struct agent *agent)
{
	return &agent->held[below(&agent->chance, HELD)];
}

static void drop(struct held *held)
{
	if (held->fd >= 0 && close(held->fd))
		wrong("close: %s", strerror(errno));
	held->fd = -1;
}

/* In place of one that it had. */
static void keep(struct agent *agent, int fd, const struct recipe *recipe)
{
	struct held *held = any_place(agent);

	drop(held);
	held->fd = fd;
	held->recipe = *recipe;
}

static void make(struct agent *agent, unsigned int flags, int base, const struct recipe *whole, const struct recipe *given)
{
	struct chance *chance = &agent->chance;
	struct agent_smu_attr attr = {
		.size = sizeof(attr), .flags = flags, .base_fd = base, .node = one_in(chance, 4) ? (int)below(chance, 2) : -1,
		.importance = one_in(chance, 2) ? 1 + below(chance, 1000) : 0,
	};
	uint8_t *data = mmap(NULL, given->length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	long fd;

	if (data == MAP_FAILED)
		wrong("mmap: %s", strerror(errno));
	recipe_copy(given, data);
	if (one_in(chance, 16))
		attr.flags |= AGENT_SMU_NOCOMPRESS;
	fd = smu_alloc(below(chance, 4), data, given->length, &attr);
	if (fd == -EINVAL && attr.node == 1) { /* it is off-line, or there is none */
		attr.node = -1;
		fd = smu_alloc(below(chance, 4), data, given->length, &attr);
	}
	munmap(data, given->length);
	if (fd == -ENOMEM) {
		count(SHORT);
		return;
	}
	if (fd < 0)
		wrong("agent_alloc_smu of %u bytes, flags %u: %s", given->length, attr.flags, strerror((int)-fd));
	post(chance, attr.digest, whole);
	keep(agent, (int)fd, whole);
}

static void put(struct agent *agent)
{
	struct recipe recipe = {};

	recipe_add(&recipe, &agent->chance, LENGTH_MAX);
	while (one_in(&agent->chance, 3) && recipe_add(&recipe, &agent->chance, 16 * KB))
		;
	make(agent, 0, -1, &recipe, &recipe);
	count(PUT);
}

static void append(struct agent *agent)
{
	struct held *held = any_place(agent);
	struct recipe whole = held->recipe, more = {};

	if (held->fd < 0 || !recipe_add(&whole, &agent->chance, 40 * KB))
		return;
	more.parts = 1;
	more.part[0] = whole.part[whole.parts - 1];
	more.length = more.part[0].length;
	make(agent, AGENT_SMU_APPEND, held->fd, &whole, &more);
	count(APPEND);
}

static void put_based(struct agent *agent)
{
	struct held *held = any_place(agent);
	struct recipe recipe;

	if (held->fd < 0)
		return;
	recipe_vary(&recipe, &held->recipe, &agent->chance);
	make(agent, AGENT_SMU_BASE, held->fd, &recipe, &recipe);
	count(BASED);
}

static void attach(struct agent *agent)
{
	struct agent_smu_attr attr = { .size = sizeof(attr), .flags = AGENT_SMU_ATTACH, .base_fd = -1, .node = -1 };
	struct recipe recipe;
	long fd;

	if (!posted(&agent->chance, attr.digest, &recipe))
		return;
	fd = smu_alloc(0, NULL, 0, &attr);
	if (fd == -ENOMEM)
		count(SHORT);
	if (fd == -ENOENT || fd == -ENOMEM)
		return;
	if (fd < 0)
		wrong("attach: %s", strerror((int)-fd));
	keep(agent, (int)fd, &recipe);
	count(ATTACHED);
}

static void let_go(struct agent *agent)
{
	drop(any_place(agent));
	count(CLOSED);
}

static void check(struct agent *agent)
{
	struct held *held = any_place(agent);

	if (held->fd >= 0)
		verify(held->fd, &held->recipe, &agent->chance);
}

/* -- marks and figures -- */

void mark_by_chance(struct agent_mark *mark, struct chance *chance, bool agent)
{
	*mark = (struct agent_mark){
		.temperature = AGENT_TEMP_HOT + below(chance, 3), .state = AGENT_STATE_ACTIVE + below(chance, 3),
		.importance = 1 + below(chance, 1000), .node = (int)below(chance, 2) - (int)one_in(chance, 2),
	};
	switch (below(chance, agent ? 5 : 4)) {
	case 0:
		mark->valid = AGENT_MARK_IMPORTANCE;
		break;
	case 1:
		mark->valid = AGENT_MARK_NODE;
		break;
	case 4:
		mark->valid = AGENT_MARK_STATE;
		break;
	default:
		mark->valid = AGENT_MARK_TEMPERATURE;
	}
}

static void marked(const struct agent_mark *mark, long ret, enum kind kind)
{
	if (ret == -ENOMEM)
		count(SHORT);
	else if (ret && !(ret == -EINVAL && mark->valid == AGENT_MARK_NODE))
		wrong("mark %u, temperature %u: %s", mark->valid, mark->temperature, strerror((int)-ret));
	count(kind);
}

static void mark(struct agent *agent)
{
	struct held *held = any_place(agent);
	struct agent_mark mark;

	mark_by_chance(&mark, &agent->chance, false);
	if (held->fd >= 0)
		marked(&mark, smu_mark(held->fd, &mark), MARKED);
}

static void mark_self(struct agent *agent)
{
	struct agent_mark mark;

	mark_by_chance(&mark, &agent->chance, true);
	marked(&mark, smu_mark(AGENT_SELF, &mark), MARKED_SELF);
}

static void look(struct agent *agent)
{
	struct held *held = any_place(agent);
	struct agent_smu_stats smu;
	struct agent_stats stats;
	long ret = smu_stats(AGENT_STATS_AGENT, AGENT_SELF, &stats, sizeof(stats));

	if (ret >= 0 && held->fd >= 0)
		ret = smu_stats(AGENT_STATS_SMU, held->fd, &smu, sizeof(smu));
	if (ret < 0 && ret != -ENOMEM)
		wrong("figures: %s", strerror((int)-ret));
	if (ret >= 0 && stats.swapped_bytes > stats.stored_bytes)
		wrong("%llu bytes are swapped of %llu that are stored", stats.swapped_bytes, stats.stored_bytes);
	if (ret >= 0 && held->fd >= 0 && smu.length != held->recipe.length)
		wrong("an object of %u bytes has %llu", held->recipe.length, smu.length);
	count(STATS);
}

static void fork_one(struct agent *agent)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		return;
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (int i = 0; i < 4; i++)
			check(agent);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status))
		_exit(1);
	count(FORKED);
}

/* -- one after the other -- */

static void lost(int signal, siginfo_t *info, void *context)
{
	(void)context;
	wrong("signal %d at a mapping, code %d", signal, info->si_code);
}

_Noreturn void agent_run(uint64_t seed, unsigned int slot, unsigned int generation)
{
	static void (*const steps[])(struct agent *agent) = {
		put, put, put, append, append, append, put_based, put_based, attach, attach, let_go, let_go, check, check, check, check,
		check, check, check, check, mark, mark, mark, mark_self, look, fork_one,
	};
	struct sigaction action = { .sa_sigaction = lost, .sa_flags = SA_SIGINFO };
	static struct agent agent;

	agent.chance = chance_of(seed, slot, generation);
	for (int i = 0; i < HELD; i++)
		agent.held[i].fd = -1;
	sigaction(SIGBUS, &action, NULL);
	sigaction(SIGSEGV, &action, NULL);
	while (!atomic_load(&shared->stop)) {
		steps[below(&agent.chance, sizeof(steps) / sizeof(*steps))](&agent);
		atomic_fetch_add(&shared->operations, 1);
	}
	_exit(0);
}
