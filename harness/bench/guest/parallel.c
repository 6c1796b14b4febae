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
	uint64_t milliseconds, operation;
	int go[2], ready[2];
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
	uint64_t end, done;
	cpu_set_t mine;

	CPU_ZERO(&mine);
	CPU_SET(w->number, &mine);
	if (sched_setaffinity(0, sizeof(mine), &mine))
		fail("sched_setaffinity");
	become(w->number ? UID_B : UID_A);
	fill(w->data, SIZE, (uint64_t)w->number);
	operations[c->operation].run(w); /* the first time makes agent and domain */
	gate_open(c->ready);
	gate_wait(c->go);
	end = nanoseconds() + c->milliseconds * 1000000;
	for (done = 0; nanoseconds() < end; done++)
		operations[c->operation].run(w);
	atomic_store(&c->done[w->number], done);
}

/* arguments: operation from 1 on; mask of processors; milliseconds */
void bench_parallel(const uint64_t *arguments)
{
	struct control *c = shared_memory(sizeof(*c));
	pid_t pids[WORKERS] = { 0 };

	if (arguments[0] > OPERATIONS || arguments[1] >= 1 << WORKERS || pipe2(c->go, 0) || pipe2(c->ready, 0))
		fail("the arguments of parallel");
	c->operation = arguments[0] - 1;
	c->milliseconds = arguments[2];
	for (int i = 0; i < WORKERS; i++) {
		struct worker *w = shared_memory(sizeof(*w));

		w->control = c;
		w->number = i;
		if (arguments[1] & 1u << i)
			pids[i] = helper(work, w);
	}
	for (int i = 0; i < WORKERS; i++)
		if (pids[i])
			gate_wait(c->ready);
	for (int i = 0; i < WORKERS; i++)
		if (pids[i])
			gate_open(c->go);
	for (int i = 0; i < WORKERS; i++)
		if (pids[i])
			await(pids[i]);
	printf("{\"event\":\"work\",\"name\":\"%s\",\"done\":[%llu,%llu]}\n", operations[c->operation].name,
	       (unsigned long long)atomic_load(&c->done[0]), (unsigned long long)atomic_load(&c->done[1]));
}
