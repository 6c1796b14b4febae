// SPDX-License-Identifier: GPL-2.0-only
/* The clock itself; ATTACH by another agent of the domain, by one that holds the object, by one that holds them all. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench.h"

#define LOOPS 1000000
#define OPENED "/tmp/bench-open"

void bench_clock(const uint64_t *arguments)
{
	struct series *pair = series_new("clock.pair", arguments[0]), *loop = series_new("clock.loop", arguments[0]);
	struct series *empty = series_new("clock.empty", arguments[0]);

	for (uint64_t i = 0; i < arguments[0]; i++) {
		uint64_t began = now(), left = LOOPS;

		series_add(pair, began, now());
		began = now();
		__asm__ volatile("1: dec %0; jnz 1b" : "+r"(left));
		series_add(loop, began, now());
		began = now();
		call(SYS_getppid, 0, 0, 0, 0);
		series_add(empty, began, now());
	}
	series_print(pair);
	series_print(loop);
	series_print(empty);
}

struct setting {
	uint64_t objects, samples;
	struct digest *digests;
	int go[2];
	struct series *other, *held, *closing, *miss, *open, *growing;
};

static void attach(struct series *series, struct series *closing, const struct digest *digest)
{
	int fd = smu_attach(digest, series);
	uint64_t began;

	if (fd < 0)
		fail_with("ATTACH of what the domain has", -fd);
	began = now();
	call(SYS_close, fd, 0, 0, 0);
	if (closing)
		series_add(closing, began, now());
}

static void miss(struct series *series, uint64_t *seed)
{
	struct digest digest;

	fill(digest.bytes, DIGEST, random_next(seed));
	if (smu_attach(&digest, series) >= 0)
		fail_with("ATTACH found what nobody has", 0);
}

static void open_a_file(struct series *series)
{
	uint64_t began = now();
	long fd = call(SYS_open, (long)OPENED, O_RDONLY | O_CLOEXEC, 0, 0);

	if (series)
		series_add(series, began, now());
	must_close((int)fd);
}

static const struct digest *random_digest(const struct setting *s, uint64_t *seed)
{
	return &s->digests[random_next(seed) % s->objects];
}

static void other_agent(void *argument)
{
	struct setting *s = argument;
	uint64_t seed = 1;

	gate_wait(s->go);
	for (uint64_t i = 0; i < s->samples + WARM_UP; i++) {
		bool counts = i >= WARM_UP;

		attach(counts ? s->other : NULL, counts ? s->closing : NULL, random_digest(s, &seed));
		miss(counts ? s->miss : NULL, &seed);
		open_a_file(counts ? s->open : NULL);
	}
	if (smu_attach(s->digests, NULL) < 0)
		fail_with("ATTACH", 0);
	for (uint64_t i = 0; i < s->samples + WARM_UP; i++)
		attach(i >= WARM_UP ? s->held : NULL, NULL, s->digests);
}

/* Now and then it attaches what is there already: while the domain's table grows, that is another figure. */
static void hold_all(struct setting *s)
{
	uint64_t every = s->objects / s->samples ? s->objects / s->samples : 1, seed = 5;

	for (uint64_t i = 0; i < s->objects; i++) {
		smu_must_alloc(&i, sizeof(i), &s->digests[i]);
		if (i && i % every == 0)
			attach(s->growing, NULL, &s->digests[random_next(&seed) % i]);
	}
}

void bench_attach(const uint64_t *arguments)
{
	struct setting s = { .objects = arguments[0], .samples = arguments[1] };
	struct series *own = series_new("attach.own", s.samples);
	uint64_t seed = 2;
	pid_t other;

	s.other = series_new("attach.other", s.samples);
	s.growing = series_new("attach.growing", s.samples);
	s.held = series_new("attach.held", s.samples);
	s.closing = series_new("attach.close", s.samples);
	s.miss = series_new("attach.miss", s.samples);
	s.open = series_new("attach.open", s.samples);
	s.digests = shared_memory(s.objects * sizeof(*s.digests));
	must_close(open(OPENED, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	if (pipe2(s.go, O_CLOEXEC))
		fail("pipe");
	other = helper(other_agent, &s);
	allow_files(s.objects);
	hold_all(&s);
	settle();
	gate_open(s.go);
	await(other);
	for (uint64_t i = 0; i < s.samples + WARM_UP; i++)
		attach(i >= WARM_UP ? own : NULL, NULL, random_digest(&s, &seed));
	series_print(s.other);
	series_print(own);
	series_print(s.growing);
	series_print(s.held);
	series_print(s.closing);
	series_print(s.miss);
	series_print(s.open);
}
