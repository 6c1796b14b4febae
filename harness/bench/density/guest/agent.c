// SPDX-License-Identifier: GPL-2.0-only
/* One agent process: a command byte down its own pipe, a reply up the common one. */
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "density.h"

#define OWN_BLOCK 65536 /* bytes at most that an agent has on its heap before its first text */
#define ACTIVE 16	/* times as many reads of an active agent as there are probes: enough for a 99th percentile */

static uint8_t mine[READ_BYTES], expected[READ_BYTES]; /* touched before the first measurement */

struct place {
	uint32_t text; /* number within the agent */
	uint64_t offset;
	size_t length;
};

static uint64_t next_random(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static uint32_t text_of(const struct fleet_run *run, uint32_t index, uint32_t number)
{
	return run->table.refs[run->table.agents[index].first + number];
}

static struct place next_place(const struct fleet_run *run, uint32_t index, uint64_t *state)
{
	struct place place = { .text = (uint32_t)(next_random(state) % run->table.agents[index].count) };
	uint64_t length = run->table.texts[text_of(run, index, place.text)].length;

	place.offset = length > READ_BYTES ? next_random(state) % (length - READ_BYTES + 1) : 0;
	place.length = length > READ_BYTES ? READ_BYTES : (size_t)length;
	return place;
}

static void give(struct reply *reply, const char *what, int error, uint32_t text, uint64_t offset)
{
	if (*reply->what)
		return; /* the first one is told, the others are counted */
	reply->error = error;
	reply->text = text;
	reply->offset = offset;
	snprintf(reply->what, sizeof(reply->what), "%s", what);
}

/*
 * What an agent has of its own before its first text differs in length, so texts lie at any multiple of 16 on the heaps,
 * not at the same one in every process; and large ones are on the heap as well, as a language runtime would have it.
 */
static void prepare_heap(const struct fleet_run *run, uint32_t index)
{
	uint64_t state = index;
	void *block;

	if (run->contestant->layout == ALIGNED_COPIES)
		return;
	mallopt(M_MMAP_MAX, 0);
	mallopt(M_TOP_PAD, 0);
	block = malloc(16 + next_random(&state) % OWN_BLOCK);
	if (!block)
		fail(EXIT_BROKEN, "no memory for an agent's own block", errno);
	memset(block, (int)index | 1, malloc_usable_size(block));
}

static void hold(const struct fleet_run *run, uint32_t index, struct copy *copies, struct reply *reply)
{
	for (uint32_t i = 0; i < run->table.agents[index].count; i++) {
		uint32_t text = text_of(run, index, i);
		const char *failed = text_hold(&copies[i], &run->table, text, run->contestant->layout, run->owners,
					       index == run->damage && !i);

		if (failed) {
			give(reply, failed, errno, i, 0);
			return;
		}
		reply->count++;
	}
}

static bool differs(const struct fleet_run *run, uint32_t index, struct place place, struct reply *reply)
{
	table_read(&run->table, text_of(run, index, place.text), place.offset, expected, place.length);
	if (!memcmp(mine, expected, place.length))
		return false;
	reply->differ++;
	give(reply, "a text came back changed", 0, place.text, place.offset);
	return true;
}

static void probe(const struct fleet_run *run, uint32_t index, const struct copy *copies, struct reply *reply)
{
	uint64_t state = 0xc0ffee + index;

	for (uint32_t i = 0; i < run->probes; i++) {
		struct place place = next_place(run, index, &state);
		const char *failed = text_read(&copies[place.text], place.offset, mine, place.length);

		if (failed) {
			give(reply, failed, errno, place.text, place.offset);
			return;
		}
		differs(run, index, place, reply);
		reply->count++;
	}
	if (index == run->damage) { /* where the damage is is not left to chance: the check itself is under test then */
		uint64_t length = run->table.texts[text_of(run, index, 0)].length;
		struct place place = { .offset = length / 2, .length = 1 };

		if (!text_read(&copies[0], place.offset, mine, 1))
			differs(run, index, place, reply);
	}
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Reads at random, each read timed: what an active agent waits for its own memory. */
static void act(const struct fleet_run *run, uint32_t index, const struct copy *copies, struct reply *reply)
{
	uint32_t reads = run->probes * ACTIVE;
	size_t size = (reads + 1) * sizeof(uint64_t);
	uint64_t *times = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	uint64_t state = 0xac7 + index;
	struct timespec from, to;

	if (times == MAP_FAILED)
		fail(EXIT_BROKEN, "no memory for times", errno);
	for (uint32_t i = 0; i < reads; i++) {
		struct place place = next_place(run, index, &state);
		const char *failed;

		clock_gettime(CLOCK_MONOTONIC, &from);
		failed = text_read(&copies[place.text], place.offset, mine, place.length);
		clock_gettime(CLOCK_MONOTONIC, &to);
		if (failed) {
			give(reply, failed, errno, place.text, place.offset);
			break;
		}
		times[i] = (uint64_t)(to.tv_sec - from.tv_sec) * 1000000000 + (uint64_t)(to.tv_nsec - from.tv_nsec);
		reply->sum_ns += times[i];
		reply->count++;
		differs(run, index, place, reply);
	}
	qsort(times, reply->count, sizeof(*times), by_size);
	if (reply->count) {
		reply->median_ns = times[reply->count / 2];
		reply->p99_ns = times[reply->count * 99 / 100];
	}
	munmap(times, size);
}

_Noreturn void agent_run(const struct fleet_run *run, uint32_t index, int commands, int replies)
{
	uint32_t count = run->table.agents[index].count;
	struct copy *copies;
	char command;

	if (run->contestant->merge && prctl(PR_SET_MEMORY_MERGE, 1, 0, 0, 0))
		fail(EXIT_BROKEN, "PR_SET_MEMORY_MERGE", errno);
	copies = mmap(NULL, count * sizeof(*copies), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE,
		      -1, 0);
	if (copies == MAP_FAILED)
		fail(EXIT_BROKEN, "no memory for an agent", errno);
	memset(mine, 1, sizeof(mine));
	memset(expected, 1, sizeof(expected));
	prepare_heap(run, index);
	while (read(commands, &command, 1) == 1) {
		struct reply reply = { .agent = index, .command = (unsigned char)command };
		const char *failed = NULL;

		if (command == COMMAND_HOLD)
			hold(run, index, copies, &reply);
		else if (command == COMMAND_PROBE)
			probe(run, index, copies, &reply);
		else if (command == COMMAND_ACT)
			act(run, index, copies, &reply);
		else if (command == COMMAND_REST && (failed = store_rest()))
			give(&reply, failed, errno, 0, 0);
		table_rest();
		if (write(replies, &reply, sizeof(reply)) != sizeof(reply))
			_exit(EXIT_BROKEN);
	}
	_exit(EXIT_WHOLE);
}
