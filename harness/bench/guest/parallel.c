// SPDX-License-Identifier: GPL-2.0-only
/*
 * One processor and two: allocations of two processes in different domains, and beside them two controls that tell what
 * the machine below gives: computing alone, and memfds.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

#define WORKERS 2
#define SIZE 4096
#define SPINS 2000

struct control {
	_Atomic uint64_t done[WORKERS];
	uint64_t milliseconds;
	uint64_t operation; /* index into operations */
	int go[WORKERS][2], ready[WORKERS][2];
};

struct worker {
	struct control *control;
	int number;
	uint64_t counter; /* makes each content another one */
	uint8_t data[SIZE];
};

static void compute(struct worker *w)
{
	for (int i = 0; i < SPINS; i++)
		random_next(&w->counter);
}

static void use_memfd(struct worker *w)
{
	int fd = memfd_create("bench", MFD_CLOEXEC);

	if (fd < 0 || write(fd, w->data, SIZE) != SIZE)
		fail("memfd");
	must_close(fd);
}

static void allocate(struct worker *w)
{
	w->counter++;
	memcpy(w->data, &w->counter, sizeof(w->counter));
	must_close(smu_must_alloc(w->data, SIZE, NULL));
}

static const struct {
	const char *name;
	void (*run)(struct worker *w);
} operations[] = { { "compute", compute }, { "memfd", use_memfd }, { "alloc", allocate } };

#define OPERATIONS (sizeof(operations) / sizeof(*operations))

static uint64_t nanoseconds(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static void work(void *argument)
{
	struct worker *w = argument;
	struct control *c = w->control;
	cpu_set_t mine;

	CPU_ZERO(&mine);
	CPU_SET(w->number, &mine);
	if (sched_setaffinity(0, sizeof(mine), &mine))
		fail("sched_setaffinity");
	become(w->number ? UID_B : UID_A);
	fill(w->data, SIZE, (uint64_t)w->number);
	allocate(w);
	for (;;) {
		uint64_t end, done;

		gate_wait(c->go[w->number]);
		end = nanoseconds() + c->milliseconds * 1000000;
		for (done = 0; nanoseconds() < end; done++)
			operations[c->operation].run(w);
		atomic_store(&c->done[w->number], done);
		gate_open(c->ready[w->number]);
	}
}

/* What the workers of the mask get done, together; each for itself in `done`. */
static void run(struct control *c, unsigned int mask, uint64_t done[WORKERS])
{
	for (int i = 0; i < WORKERS; i++)
		if (mask & 1u << i)
			gate_open(c->go[i]);
	for (int i = 0; i < WORKERS; i++)
		if (mask & 1u << i) {
			gate_wait(c->ready[i]);
			done[i] = atomic_load(&c->done[i]);
		}
}

static void round_of(struct control *c)
{
	uint64_t alone[WORKERS], together[WORKERS];

	run(c, 1, alone);
	run(c, 3, together);
	run(c, 2, alone);
	printf("{\"event\":\"parallel\",\"name\":\"%s\",\"alone\":[%llu,%llu],\"together\":[%llu,%llu]}\n",
	       operations[c->operation].name, (unsigned long long)alone[0], (unsigned long long)alone[1],
	       (unsigned long long)together[0], (unsigned long long)together[1]);
}

void bench_parallel(const uint64_t *arguments)
{
	struct control *c = shared_memory(sizeof(*c));

	c->milliseconds = arguments[0];
	for (int i = 0; i < WORKERS; i++) {
		struct worker *w = shared_memory(sizeof(*w));

		if (pipe2(c->go[i], 0) || pipe2(c->ready[i], 0))
			fail("pipe");
		w->control = c;
		w->number = i;
		helper(work, w);
	}
	for (uint64_t i = 0; i < arguments[1]; i++)
		for (c->operation = 0; c->operation < OPERATIONS; c->operation++)
			round_of(c);
}
