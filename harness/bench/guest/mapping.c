// SPDX-License-Identifier: GPL-2.0-only
/* Reading a mapping that is there, and the first touch of a new one: of an object, and of a memfd with the same bytes. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"

#define PAGE 4096

struct pair {
	int fds[2]; /* object, memfd */
	size_t size;
	struct series *series[2];
};

static struct pair prepare(const uint64_t *arguments, const char *object, const char *memfd)
{
	struct pair p = { .size = arguments[0] };
	void *data = shared_memory(p.size);

	p.series[0] = series_new(object, arguments[1]);
	p.series[1] = series_new(memfd, arguments[1]);
	fill(data, p.size, 4);
	p.fds[0] = smu_must_alloc(data, p.size, NULL);
	p.fds[1] = memfd_create("bench", MFD_CLOEXEC);
	if (p.fds[1] < 0 || write(p.fds[1], data, p.size) != (ssize_t)p.size)
		fail("memfd");
	return p;
}

static const volatile uint64_t *map(int fd, size_t size)
{
	void *made = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);

	if (made == MAP_FAILED)
		fail("mmap");
	return made;
}

static uint64_t sum(const volatile uint64_t *words, size_t size, size_t stride)
{
	uint64_t total = 0;

	for (size_t i = 0; i < size / sizeof(*words); i += stride / sizeof(*words))
		total += words[i];
	return total;
}

void bench_read(const uint64_t *arguments)
{
	struct pair p = prepare(arguments, "read.smu", "read.memfd");
	const volatile uint64_t *words[2] = { map(p.fds[0], p.size), map(p.fds[1], p.size) };
	uint64_t expected = sum(words[0], p.size, sizeof(uint64_t));

	for (uint64_t i = 0; i < 2 * (arguments[1] + 1); i++) {
		int which = (int)(i % 2);
		uint64_t began = now();

		if (sum(words[which], p.size, sizeof(uint64_t)) != expected)
			fail_with("the mappings differ", 0);
		if (i > 1) /* the first of each takes the faults */
			series_add(p.series[which], began, now());
	}
	series_print(p.series[0]);
	series_print(p.series[1]);
}

void bench_fault(const uint64_t *arguments)
{
	struct pair p = prepare(arguments, "fault.smu", "fault.memfd");

	for (uint64_t i = 0; i < 2 * (arguments[1] + 1); i++) {
		int which = (int)(i % 2);
		const volatile uint64_t *words = map(p.fds[which], p.size);
		uint64_t began = now();

		sum(words, p.size, PAGE);
		if (i > 1)
			series_add(p.series[which], began, now());
		munmap((void *)words, p.size);
	}
	series_print(p.series[0]);
	series_print(p.series[1]);
}
