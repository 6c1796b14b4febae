// SPDX-License-Identifier: GPL-2.0-only
/* A turn put on top of a conversation, each time another one; beside it an object that is the turn alone. */
#define _GNU_SOURCE
#include <string.h>

#include "bench.h"

#define TURN 1024 /* bytes */

void bench_append(const uint64_t *arguments)
{
	uint64_t size = arguments[0], repeats = arguments[1], warm_up = repeats > WARM_UP ? WARM_UP : 1;
	struct series *append = series_new("append.turn", repeats), *alone = series_new("append.alone", repeats);
	uint8_t *conversation = shared_memory(size), *turn = shared_memory(TURN);
	int base;

	fill(conversation, size, 4);
	fill(turn, TURN, 5);
	base = smu_must_alloc(conversation, size, NULL);
	for (uint64_t i = 0; i < repeats + warm_up; i++) {
		int longer, other;

		memcpy(turn, &i, sizeof(i));
		longer = smu_append(base, turn, TURN, i >= warm_up ? append : NULL);
		if (longer < 0)
			fail_with("agent_alloc_smu with AGENT_SMU_APPEND", -longer);
		other = smu_alloc(turn, TURN, NULL, NULL, i >= warm_up ? alone : NULL);
		if (other < 0)
			fail_with("agent_alloc_smu", -other);
		must_close(other);
		must_close(longer);
	}
	must_close(base);
	series_print(append);
	series_print(alone);
}
