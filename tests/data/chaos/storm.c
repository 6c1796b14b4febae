// SPDX-License-Identifier: GPL-2.0-only
/* Starts agents and weather, kills some, starts others; in the end looks whether all was given back. */
#define _GNU_SOURCE
#include <errno.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "chaos.h"

#define WEATHERS 2
#define UID 51200
#define HUGE (2 * MB)
#define ENDING 120	/* seconds for processes to end that are asked to */
#define SETTLING 10	/* seconds for memory to come back */

static pid_t weathers[WEATHERS];

/* -- what is there -- */

static const struct {
	const char *path, *name; /* NULL: the whole file is the number */
	unsigned long long slack;
} levels[] = {
	{ "/proc/agent_stats", "smus", 0 },
	{ "/proc/agent_stats", "logical_bytes", 0 },
	{ "/proc/agent_stats", "unique_bytes", 0 },
	{ "/proc/agent_stats", "resident_top", 0 },
	{ "/proc/agent_stats", "resident_lower", 0 },
	{ "/proc/agent_stats", "stored_bytes", 0 },
	{ "/proc/agent_stats", "swapped_bytes", 0 },
	{ SYSFS "objects", NULL, 0 },
	{ SYSFS "stored_bytes", NULL, 0 },
	{ SYSFS "archived_bytes", NULL, HUGE }, /* the last folio is kept for what comes next */
};

#define LEVELS (sizeof(levels) / sizeof(*levels))

static unsigned long long level(size_t i)
{
	return levels[i].name ? field_of(levels[i].path, levels[i].name) : number_of(levels[i].path);
}

static void levels_read(unsigned long long *to)
{
	for (size_t i = 0; i < LEVELS; i++)
		to[i] = level(i);
}

static void levels_most(unsigned long long *most)
{
	for (size_t i = 0; i < LEVELS; i++) {
		unsigned long long now = level(i);

		most[i] = now > most[i] ? now : most[i];
	}
}

static void levels_back(const unsigned long long *before)
{
	for (size_t i = 0; i < LEVELS; i++) {
		unsigned long long now = level(i);

		for (int tries = SETTLING * 100; now > before[i] + levels[i].slack && tries; tries--) {
			usleep(10000);
			now = level(i);
		}
		if (now > before[i] + levels[i].slack)
			wrong("%s %s: %llu before, %llu after", levels[i].path, levels[i].name ?: "", before[i], now);
	}
}

static void levels_print(const unsigned long long *most)
{
	for (size_t i = 0; i < LEVELS; i++)
		printf("%s\"%s%s\":%llu", i ? "," : "", levels[i].name ?: strrchr(levels[i].path, '/') + 1,
		       levels[i].name ? "" : "_all", most[i]);
}

/* -- processes -- */

/* Each in a group of its own, which is gone with it; what it made may stay. */
static void agent_start(uint64_t seed, unsigned int slot, unsigned int generation)
{
	char group[GROUP_MAX], name[32];
	pid_t pid;

	snprintf(name, sizeof(name), "s%u-%u", slot, generation);
	group_make(group, name);
	group_enter(group); /* till there is somebody in it: else it is removed */
	pid = fork();
	if (pid < 0)
		broken("fork: %s", strerror(errno));
	if (!pid) {
		uid_t uid = UID + slot % 2;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (setresgid(uid, uid, uid) || setresuid(uid, uid, uid) || prctl(PR_SET_DUMPABLE, 1))
			broken("setresuid: %s", strerror(errno));
		agent_run(seed, slot, generation);
	}
	group_enter(CGROUPS);
	atomic_store(&shared->pids[slot], pid);
}

static void groups_remove(void)
{
	glob_t found;

	if (glob(GROUPS "/s*", GLOB_ONLYDIR, NULL, &found))
		return;
	for (size_t i = 0; i < found.gl_pathc; i++)
		rmdir(found.gl_pathv[i]); /* a child may be there for a moment still */
	globfree(&found);
}

/* Whatever ended: killed by us, or for want of memory, or because something was wrong. */
static bool reaped(unsigned int slot, pid_t pid, int status, bool by_us)
{
	if (atomic_load(&shared->failed))
		return false;
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
		count(by_us ? KILLED : OOM_KILLED);
		return true;
	}
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		wrong("agent %u (pid %d) ended with status 0x%x", slot, pid, status);
	return true;
}

static void supervise(uint64_t seed, unsigned long operations, unsigned int agents, unsigned long long *most)
{
	struct chance chance = chance_of(seed, AGENTS_MAX + WEATHERS, 0);
	unsigned int generation = 0, slot;

	while (!atomic_load(&shared->failed) &&
	       (atomic_load(&shared->operations) < operations || atomic_load(&shared->weathers) < WEATHERS)) {
		usleep(20000);
		levels_most(most);
		for (slot = 0; slot < agents; slot++) {
			pid_t pid = atomic_load(&shared->pids[slot]);
			bool by_us = one_in(&chance, 40);
			int status;

			if (by_us)
				kill(pid, SIGKILL);
			if (waitpid(pid, &status, by_us ? 0 : WNOHANG) != pid)
				continue;
			if (!reaped(slot, pid, status, by_us))
				return;
			groups_remove();
			agent_start(seed, slot, ++generation);
		}
	}
}

static void end_one(const char *what, pid_t pid, bool agent)
{
	char path[64], stack[300] = "";
	int status;

	for (int tries = ENDING * 100; tries; tries--) {
		if (waitpid(pid, &status, WNOHANG) == pid) {
			if (agent)
				reaped(0, pid, status, false);
			return;
		}
		usleep(10000);
	}
	snprintf(path, sizeof(path), "/proc/%d/stack", pid);
	read_text(path, stack, sizeof(stack));
	wrong("%s (pid %d) does not end: %s", what, pid, stack);
}

static void end_all(unsigned int agents)
{
	atomic_store(&shared->stop, true);
	for (unsigned int i = 0; i < WEATHERS; i++)
		end_one("weather", weathers[i], false);
	write_text(GROUPS "/memory.max", "max");
	write_text(GROUPS "/memory.high", "max");
	settings_restore();
	for (unsigned int i = 0; i < agents; i++)
		end_one("an agent", atomic_load(&shared->pids[i]), true);
	swap_stop();
	for (int tries = 0; tries < 100 && rmdir(GROUPS); tries++) {
		groups_remove();
		usleep(20000);
	}
}

/* -- all of it -- */

int storm(uint64_t seed, unsigned long operations, unsigned int agents)
{
	unsigned long long before[LEVELS], most[LEVELS] = {};
	char group[GROUP_MAX];

	settings_keep();
	group_make(group, "");
	levels_read(before);
	for (unsigned int i = 0; i < agents; i++)
		agent_start(seed, i, 0);
	for (unsigned int i = 0; i < WEATHERS; i++) {
		weathers[i] = fork();
		if (!weathers[i]) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			weather_run(seed, i);
		}
	}
	supervise(seed, operations, agents, most);
	end_all(agents);
	if (atomic_load(&shared->failed))
		return 1;
	levels_back(before);
	printf("{\"event\":\"storm\",\"operations\":%lu,\"counts\":{", atomic_load(&shared->operations));
	for (int kind = 0; kind < NR_KINDS; kind++)
		printf("%s\"%s\":%lu", kind ? "," : "", kind_names[kind], atomic_load(&shared->counts[kind]));
	printf("},\"most\":{");
	levels_print(most);
	printf("}}\n");
	return 0;
}
