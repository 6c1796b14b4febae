// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#define MAX_ARGUMENTS 3

static const struct {
	const char *name;
	int arguments;
	void (*run)(const uint64_t *arguments);
} benches[] = {
	{ "clock", 1, bench_clock },	 { "attach", 2, bench_attach }, { "alloc", 2, bench_alloc },
	{ "read", 2, bench_read },	 { "fault", 2, bench_fault },	{ "parallel", 3, bench_parallel },
	{ "slab", 1, bench_slab },	 { "isolation", 3, bench_isolation }, { "warm", 2, bench_warm },
	{ "spawn", 2, bench_spawn },	 { "append", 2, bench_append },
};

static int usage(void)
{
	fprintf(stderr, "usage: bench NAME NUMBER...\n");
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	uint64_t arguments[MAX_ARGUMENTS];

	for (size_t i = 0; argc >= 2 && i < sizeof(benches) / sizeof(*benches); i++) {
		if (strcmp(argv[1], benches[i].name))
			continue;
		if (argc - 2 != benches[i].arguments)
			return usage();
		for (int a = 0; a < benches[i].arguments; a++) {
			char *end;

			errno = 0;
			arguments[a] = strtoull(argv[a + 2], &end, 10);
			if (errno || *end || !arguments[a] || arguments[a] > UINT32_MAX)
				return usage();
		}
		benches[i].run(arguments);
		printf("{\"event\":\"done\"}\n");
		return fflush(stdout) ? EXIT_BROKEN : EXIT_GOOD;
	}
	return usage();
}
