// SPDX-License-Identifier: GPL-2.0-only
/* What happens to agents without their doing: limits, reclaim, swap, nodes, settings, marks by others. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <asm/unistd.h>

#include "chaos.h"

#define PATIENCE 3	/* seconds for what may wait for ever */
#define SOFT_OFFLINES 24 /* pages that are lost to the machine */

static void enough(int signal)
{
	(void)signal;
}

static pid_t any_agent(struct chance *chance)
{
	return atomic_load(&shared->pids[below(chance, AGENTS_MAX)]);
}

/* -- limits and reclaim -- */

static void limit(struct chance *chance)
{
	static const char *const values[] = { "16M", "24M", "32M", "64M", "max", "max" };
	const char *value = values[below(chance, sizeof(values) / sizeof(*values))];

	write_text(one_in(chance, 2) ? GROUPS "/memory.max" : GROUPS "/memory.high", "%s", value);
	count(LIMITED);
}

static void limit_one(struct chance *chance)
{
	static const char *const values[] = { "2M", "4M", "8M", "max" };
	char path[64];
	glob_t found;

	if (glob(GROUPS "/s*/memory.high", 0, NULL, &found))
		return;
	snprintf(path, sizeof(path), "%s", found.gl_pathv[below(chance, (uint32_t)found.gl_pathc)]);
	globfree(&found);
	write_text(path, "%s", values[below(chance, sizeof(values) / sizeof(*values))]);
	count(LIMITED);
}

static void reclaim(struct chance *chance)
{
	/* It need not find that much. */
	write_text(GROUPS "/memory.reclaim", "%uK", 64 << below(chance, 8));
	count(RECLAIMED);
}

static void drop_caches(struct chance *chance)
{
	write_text("/proc/sys/vm/drop_caches", "%u", 1 + below(chance, 3));
	count(CACHES_DROPPED);
}

static void compact(struct chance *chance)
{
	(void)chance;
	write_text("/proc/sys/vm/compact_memory", "1");
	count(COMPACTED);
}

/* All that is free and some more, for a moment; the first to be killed if it is too much. */
static void squeeze(struct chance *chance)
{
	size_t size = field_of("/proc/meminfo", "MemAvailable") * KB / 8 * (5 + below(chance, 4));
	pid_t pid = fork();

	if (!pid) {
		char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		write_text("/proc/self/oom_score_adj", "1000");
		for (size_t at = 0; memory != MAP_FAILED && at < size; at += PAGE)
			memory[at] = 1;
		usleep(100000);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	count(SQUEEZED);
}

/* -- swap -- */

static void swap_on(struct chance *chance)
{
	static const unsigned long sizes[] = { 512 * KB, 4 * MB, 64 * MB };

	if (!swap_start(sizes[below(chance, 3)]))
		count(SWAP_ON);
}

static void swap_off(struct chance *chance)
{
	(void)chance;
	alarm(PATIENCE);
	if (!swap_stop())
		count(SWAP_OFF);
	alarm(0);
}

/* -- nodes -- */

static void node_state(struct chance *chance, const char *state, enum kind kind)
{
	char path[64];
	glob_t found;

	if (glob("/sys/devices/system/node/node1/memory*/state", 0, NULL, &found))
		return;
	snprintf(path, sizeof(path), "%s", found.gl_pathv[below(chance, (uint32_t)found.gl_pathc)]);
	globfree(&found);
	alarm(PATIENCE);
	if (!write_text(path, "%s", state))
		count(kind);
	alarm(0);
}

static void node_off(struct chance *chance)
{
	node_state(chance, "offline", NODE_OFF);
}

static void node_on(struct chance *chance)
{
	node_state(chance, "online", NODE_ON);
}

static void migrate(struct chance *chance)
{
	unsigned long from = 1 + below(chance, 2), to = 3 - from;
	pid_t pid = any_agent(chance);

	if (pid && syscall(__NR_migrate_pages, pid, 3UL, &from, &to) >= 0)
		count(MIGRATED);
}

/* A page of some object of some agent is moved away, and its frame not used again. */
static void soft_offline(struct chance *chance)
{
	char path[64], what[64];
	ssize_t length;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/fd/%u", any_agent(chance), 3 + below(chance, 10));
	length = readlink(path, what, sizeof(what) - 1);
	if (length < 0 || atomic_load(&shared->counts[SOFT_OFFLINED]) >= SOFT_OFFLINES)
		return;
	what[length] = '\0';
	fd = strstr(what, "agent_smu") ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	if (fd < 0)
		return;
	if (page_soft_offline(fd, 0))
		count(SOFT_OFFLINED);
	close(fd);
}

/* -- others -- */

static void mark_other(struct chance *chance)
{
	struct agent_mark mark;
	pid_t pid = any_agent(chance);
	long fd = pid ? open_pid(pid) : -1, ret;

	mark_by_chance(&mark, chance, true);
	if (fd < 0)
		return;
	ret = smu_mark((int)fd, &mark);
	if (ret && ret != -ESRCH && ret != -ENOMEM && !(ret == -EINVAL && mark.valid == AGENT_MARK_NODE))
		wrong("mark %u of another agent: %s", mark.valid, strerror((int)-ret));
	close((int)fd);
	count(OTHER_MARKED);
}

_Noreturn void weather_run(uint64_t seed, unsigned int number)
{
	static void (*const all[])(struct chance *chance) = {
		limit, limit_one, reclaim, reclaim, reclaim, drop_caches, compact, mark_other, mark_other, setting_change, setting_change,
		migrate, soft_offline, swap_on, swap_on, swap_off, node_off, node_on, node_on, squeeze,
	};
	/* Swap and nodes are one process's affair, and so is to use all memory. */
	const uint32_t kinds = sizeof(all) / sizeof(*all) - (number ? 7 : 0);
	struct chance chance = chance_of(seed, AGENTS_MAX + number, 0);
	struct sigaction action = { .sa_handler = enough };

	sigaction(SIGALRM, &action, NULL);
	for (uint32_t turn = 0; !atomic_load(&shared->stop); turn++) {
		if (turn == kinds)
			atomic_fetch_add(&shared->weathers, 1);
		all[turn < kinds ? turn : below(&chance, kinds)](&chance);
		usleep(below(&chance, 20000));
	}
	_exit(0);
}
