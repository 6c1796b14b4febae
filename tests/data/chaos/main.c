// SPDX-License-Identifier: GPL-2.0-only
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "chaos.h"

struct shared *shared;
static pid_t supervisor;

const char *const kind_names[NR_KINDS] = {
	[PUT] = "put", [APPEND] = "append", [BASED] = "based", [ATTACHED] = "attached", [CLOSED] = "closed", [READ] = "read",
	[PREAD] = "pread", [MAPPED] = "mapped", [TOUCHED] = "touched", [SPLICED] = "spliced", [LOCKED] = "locked",
	[ADVISED] = "advised", [MARKED] = "marked", [MARKED_SELF] = "marked_self", [STATS] = "stats", [FORKED] = "forked",
	[SHORT] = "short", [LIMITED] = "limited", [RECLAIMED] = "reclaimed", [CACHES_DROPPED] = "caches_dropped",
	[COMPACTED] = "compacted", [AGED] = "aged", [SETTING] = "setting", [SWAP_ON] = "swap_on", [SWAP_OFF] = "swap_off",
	[OTHER_MARKED] = "other_marked", [MIGRATED] = "migrated", [SQUEEZED] = "squeezed", [NODE_OFF] = "node_off",
	[NODE_ON] = "node_on", [SOFT_OFFLINED] = "soft_offlined", [KILLED] = "killed", [OOM_KILLED] = "oom_killed",
};

static void tell(const char *event, const char *what)
{
	printf("{\"event\":\"%s\",\"what\":\"", event);
	for (; *what; what++)
		putchar(*what < ' ' || *what == '"' || *what == '\\' ? ' ' : *what);
	printf("\"}\n");
	fflush(stdout);
}

_Noreturn void wrong(const char *format, ...)
{
	char text[sizeof(shared->what)];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (!atomic_exchange(&shared->failed, true))
		tell("wrong", text);
	if (getpid() == supervisor)
		exit(1);
	_exit(1);
}

_Noreturn void broken(const char *format, ...)
{
	char text[300];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	tell("broken", text);
	_exit(2);
}

int main(int argc, char **argv)
{
	uint64_t seed;

	if (argc < 6)
		return 2;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	supervisor = getpid();
	seed = strtoull(argv[3], NULL, 0);
	if (!strcmp(argv[1], "storm")) {
		unsigned long agents = strtoul(argv[5], NULL, 0);

		if (!agents || agents > AGENTS_MAX)
			return 2;
		texts_open(argv[2]);
		return storm(seed, strtoul(argv[4], NULL, 0), (unsigned int)agents);
	}
	if (!strcmp(argv[1], "hole")) {
		texts_open(argv[2]);
		return hole();
	}
	if (!strcmp(argv[1], "corpus"))
		return corpus(argv[2], seed, strtoul(argv[4], NULL, 0), strtoul(argv[5], NULL, 0));
	return 2;
}
