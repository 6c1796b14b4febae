/* SPDX-License-Identifier: MIT */
/* show_agent PID: state, importance and name of a process's agent; nothing if it is none. */
#include <agentmem.h>
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	static const char *const states[] = {"none", "active", "paused", "idle"};
	struct agentmem_stats stats = {.size = sizeof(stats)};
	int pidfd = argc == 2 ? (int)syscall(SYS_pidfd_open, atoi(argv[1]), 0) : -1;

	if (pidfd < 0 || agentmem_stats(AGENTMEM_SCOPE_AGENT, pidfd, &stats) < 0)
		err(1, "show_agent");
	if (stats.name[0])
		printf("%s %u %s\n", states[stats.state & 3], stats.importance, stats.name);
	return 0;
}
