// SPDX-License-Identifier: GPL-2.0-only
/* First and second allocation of some bytes; beside it what a program does without: a memfd of them, and their SHA-256. */
#define _GNU_SOURCE
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"

struct setting {
	uint8_t *data;
	size_t size;
	struct series *first, *duplicate, *copy, *hash;
	struct digest expected;
};

static void write_all(int fd, const uint8_t *data, size_t size)
{
	while (size) {
		ssize_t done = write(fd, data, size);

		if (done <= 0)
			fail("write to a memfd");
		data += done;
		size -= (size_t)done;
	}
}

static void by_hand(struct setting *s, bool counts)
{
	uint64_t began = now(), copied;
	int fd = memfd_create("bench", MFD_CLOEXEC);

	if (fd < 0)
		fail("memfd_create");
	write_all(fd, s->data, s->size);
	copied = now();
	sha256(s->data, s->size, &s->expected);
	if (counts) {
		series_add(s->hash, copied, now());
		series_add(s->copy, began, copied);
	}
	must_close(fd);
}

static int by_call(struct setting *s, struct series *series, struct digest *digest, bool again, bool counts)
{
	bool dedup = false;
	int fd = smu_alloc(s->data, s->size, digest, &dedup, counts ? series : NULL);

	if (fd < 0)
		fail_with("agent_alloc_smu", -fd);
	if (dedup != again)
		fail_with("agent_alloc_smu told DEDUP wrong", 0);
	return fd;
}

void bench_alloc(const uint64_t *arguments)
{
	uint64_t repeats = arguments[1], warm_up = repeats > WARM_UP ? WARM_UP : 1;
	struct setting s = {
		.size = arguments[0],
		.data = shared_memory(arguments[0]),
		.first = series_new("alloc.first", repeats),
		.duplicate = series_new("alloc.duplicate", repeats),
		.copy = series_new("alloc.copy", repeats),
		.hash = series_new("alloc.hash", repeats),
	};

	fill(s.data, s.size, 3);
	for (uint64_t i = 0; i < repeats + warm_up; i++) {
		struct digest digest;
		int first, second;

		memcpy(s.data, &i, s.size < sizeof(i) ? s.size : sizeof(i));
		if (i % 2) /* neither is always the one that comes after the other */
			by_hand(&s, i >= warm_up);
		first = by_call(&s, s.first, &digest, false, i >= warm_up);
		second = by_call(&s, s.duplicate, &digest, true, i >= warm_up);
		must_close(second);
		must_close(first);
		if (!(i % 2))
			by_hand(&s, i >= warm_up);
		if (memcmp(&digest, &s.expected, sizeof(digest)))
			fail_with("agent_alloc_smu gave a digest that is not the SHA-256", 0);
	}
	series_print(s.first);
	series_print(s.duplicate);
	series_print(s.copy);
	series_print(s.hash);
}
