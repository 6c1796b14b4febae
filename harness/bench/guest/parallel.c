// SPDX-License-Identifier: GPL-2.0-only
/*
 * One processor and two: allocations of two users' processes, allocations of two agents of one user, and compression of
 * two agents' different objects. Beside them two controls that tell what the machine below gives: computing alone, and
 * memfds.
 */
#define _GNU_SOURCE
#include <asm/unistd.h>
#include <linux/agent_mem.h>
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
#define TEXT 16384 /* bytes of an object that is compressed */
#define WORD sizeof(uint64_t)
#define WORDS 128 /* of an object's text, so that it compresses to about a quarter */
#define TRIALS 64 /* marks that tell how many objects are needed; the first ones are slow in emulation */
#define MOST 12288 /* objects of a worker */

struct control {
	_Atomic uint64_t done[WORKERS];
	uint64_t milliseconds, operation;
	int go[2];
};

struct worker {
	struct control *control;
	int number, ready[2];
	uint64_t counter; /* makes each content another one */
	uint8_t data[SIZE];
	uint64_t objects, marked;
	int fds[MOST];
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

/* Each object has random words of its own, so that none is a base for another. */
static int allocate_text(struct worker *w)
{
	uint64_t words[WORDS], text[TEXT / WORD];

	for (int i = 0; i < WORDS; i++)
		words[i] = random_next(&w->counter);
	for (size_t i = 0; i < TEXT / WORD; i++)
		text[i] = words[random_next(&w->counter) % WORDS];
	return smu_must_alloc(text, TEXT, NULL);
}

/* The mark compresses the object before the call returns. */
static void mark_cold(int fd)
{
	const struct agent_mark cold = { .valid = AGENT_MARK_TEMPERATURE, .temperature = AGENT_TEMP_COLD };
	long error = call(__NR_agent_mark_hot, fd, (long)&cold, sizeof(cold), 0);

	if (error)
		fail_with("agent_mark_hot", (int)-error);
}

static void must_be_compressed(int fd)
{
	struct agent_smu_stats stats = { .size = sizeof(stats) };

	if (syscall(__NR_agent_get_stats, AGENT_STATS_SMU, fd, &stats, sizeof(stats)) < 0)
		fail("agent_get_stats");
	if (!stats.stored || stats.stored >= TEXT)
		fail_with("a mark did not compress the object", 0);
}

static void compress(struct worker *w)
{
	mark_cold(w->fds[w->marked++]);
}

static uint64_t nanoseconds(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

/* Allocate before the clock starts what can be compressed in that time, if each mark is as fast as the fastest. */
static void allocate_texts(struct worker *w)
{
	uint64_t fastest = UINT64_MAX, wanted;

	for (int i = 0; i < TRIALS; i++) {
		int fd = allocate_text(w);
		uint64_t began = nanoseconds(), took;

		mark_cold(fd);
		took = nanoseconds() - began;
		fastest = took < fastest ? took : fastest;
		must_be_compressed(fd);
		must_close(fd);
	}
	wanted = w->control->milliseconds * 1000000 / (fastest ? fastest : 1) + 1;
	for (w->objects = 0; w->objects < wanted && w->objects < MOST; w->objects++)
		w->fds[w->objects] = allocate_text(w);
}

static const struct {
	const char *name;
	void (*run)(struct worker *w);
	void (*prepare)(struct worker *w); /* NULL: one run, which makes agent and domain */
	uid_t users[WORKERS];
} operations[] = {
	{ "compute", compute, NULL, { UID_A, UID_B } },
	{ "memfd", use_memfd, NULL, { UID_A, UID_B } },
	{ "alloc", allocate, NULL, { UID_A, UID_B } },
	{ "alloc_same", allocate, NULL, { UID_A, UID_A } },
	{ "compress", compress, allocate_texts, { UID_A, UID_A } },
};

#define OPERATIONS (sizeof(operations) / sizeof(*operations))

static void work(void *argument)
{
	struct worker *w = argument;
	struct control *c = w->control;
	uint64_t time = c->milliseconds * 1000000, began, took, done;
	cpu_set_t mine;

	CPU_ZERO(&mine);
	CPU_SET(w->number, &mine);
	if (sched_setaffinity(0, sizeof(mine), &mine))
		fail("sched_setaffinity");
	become(operations[c->operation].users[w->number]);
	w->counter = (uint64_t)w->number << 32; /* the workers of one domain allocate different contents */
	fill(w->data, SIZE, (uint64_t)w->number);
	if (operations[c->operation].prepare)
		operations[c->operation].prepare(w);
	else
		operations[c->operation].run(w);
	gate_open(w->ready);
	gate_wait(c->go);
	began = nanoseconds();
	for (done = 0; nanoseconds() - began < time && (!w->objects || w->marked < w->objects); done++)
		operations[c->operation].run(w);
	took = nanoseconds() - began;
	if (took < time) /* it ran out of objects: extrapolate to the whole time */
		done = done * time / took;
	atomic_store(&c->done[w->number], done);
	if (w->marked)
		must_be_compressed(w->fds[w->marked - 1]);
}

static pid_t worker_start(struct worker *w)
{
	pid_t pid;

	if (pipe2(w->ready, 0))
		fail("pipe");
	pid = helper(work, w);
	must_close(w->ready[1]); /* only the worker has it open: if the worker fails, gate_wait() returns */
	return pid;
}

/* arguments: operation from 1 on; mask of processors; milliseconds */
void bench_parallel(const uint64_t *arguments)
{
	struct control *c = shared_memory(sizeof(*c));
	struct worker *workers = shared_memory(WORKERS * sizeof(*workers));
	pid_t pids[WORKERS] = { 0 };

	if (arguments[0] > OPERATIONS || arguments[1] >= 1 << WORKERS || pipe2(c->go, 0))
		fail("the arguments of parallel");
	allow_files(MOST);
	c->operation = arguments[0] - 1;
	c->milliseconds = arguments[2];
	for (int i = 0; i < WORKERS; i++) {
		workers[i].control = c;
		workers[i].number = i;
		if (arguments[1] & 1u << i)
			pids[i] = worker_start(&workers[i]);
	}
	for (int i = 0; i < WORKERS; i++)
		if (pids[i])
			gate_wait(workers[i].ready);
	for (int i = 0; i < WORKERS; i++)
		if (pids[i])
			gate_open(c->go);
	for (int i = 0; i < WORKERS; i++)
		if (pids[i])
			await(pids[i]);
	printf("{\"event\":\"work\",\"name\":\"%s\",\"done\":[%llu,%llu]}\n", operations[c->operation].name,
	       (unsigned long long)atomic_load(&c->done[0]), (unsigned long long)atomic_load(&c->done[1]));
}
