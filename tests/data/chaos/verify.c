// SPDX-License-Identifier: GPL-2.0-only
/* The ways to read an object. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "chaos.h"

#define WINDOW (64 * KB)

#ifndef MADV_SOFT_OFFLINE
#define MADV_SOFT_OFFLINE 101
#endif

static uint8_t window[WINDOW];

static void same(const char *way, const struct recipe *recipe, size_t pos, const uint8_t *bytes, size_t length)
{
	ssize_t differs = recipe_differs(recipe, pos, bytes, length);

	if (differs >= 0)
		wrong("%s: byte %zu of %u differs: 0x%02x", way, pos + (size_t)differs, recipe->length, bytes[differs]);
}

/* Whether there are bytes to compare. Memory may be short, and nothing else may be. */
static bool some(const char *way, ssize_t got, const struct recipe *recipe, size_t pos)
{
	if (got < 0 && errno == ENOMEM) {
		count(SHORT);
		return false;
	}
	if (got < 0)
		wrong("%s at %zu of %u: %s", way, pos, recipe->length, strerror(errno));
	if (!got && pos < recipe->length)
		wrong("%s ends at %zu of %u", way, pos, recipe->length);
	if (pos + (size_t)got > recipe->length)
		wrong("%s at %zu of %u gives %zd bytes", way, pos, recipe->length, got);
	return got > 0;
}

static void by_read(int fd, const struct recipe *recipe, struct chance *chance)
{
	size_t most = 1 + below(chance, WINDOW), pos = 0;
	ssize_t got;

	lseek(fd, 0, SEEK_SET);
	while (some("read", got = read(fd, window, most), recipe, pos)) {
		same("read", recipe, pos, window, (size_t)got);
		pos += (size_t)got;
	}
	count(READ);
}

static void by_pread(int fd, const struct recipe *recipe, struct chance *chance)
{
	for (unsigned int i = 1 + below(chance, 8); i; i--) {
		size_t pos = below(chance, recipe->length), most = 1 + below(chance, one_in(chance, 4) ? WINDOW : PAGE);
		ssize_t got = pread(fd, window, most, (off_t)pos);

		if (some("pread", got, recipe, pos))
			same("pread", recipe, pos, window, (size_t)got);
	}
	count(PREAD);
}

static void by_splice(int fd, const struct recipe *recipe, struct chance *chance)
{
	loff_t pos = below(chance, recipe->length), from = pos;
	ssize_t got, part;
	int ends[2];

	if (pipe(ends))
		wrong("pipe: %s", strerror(errno));
	while (some("splice", got = splice(fd, &pos, ends[1], NULL, WINDOW, 0), recipe, (size_t)from)) {
		for (; got; got -= part, from += part) {
			part = read(ends[0], window, (size_t)got);
			if (part <= 0)
				wrong("a pipe lost %zd bytes", got);
			same("splice", recipe, (size_t)from, window, (size_t)part);
		}
	}
	close(ends[0]);
	close(ends[1]);
	count(SPLICED);
}

static void advise(uint8_t *map, const struct recipe *recipe, struct chance *chance)
{
	static const int advices[] = { MADV_PAGEOUT, MADV_COLD, MADV_DONTNEED, MADV_WILLNEED, MADV_RANDOM, MADV_POPULATE_READ };
	size_t from = below(chance, recipe->length) & ~(PAGE - 1);

	/* An advice may be refused, a content must not change by it. */
	madvise(map + from, recipe->length - from, advices[below(chance, sizeof(advices) / sizeof(*advices))]);
	count(ADVISED);
}

static void by_mapping(int fd, const struct recipe *recipe, struct chance *chance)
{
	int flags = one_in(chance, 2) ? MAP_SHARED : MAP_PRIVATE;
	uint8_t *map = mmap(NULL, recipe->length, PROT_READ, flags | (one_in(chance, 3) ? MAP_POPULATE : 0), fd, 0);
	size_t tail = -recipe->length & (PAGE - 1);

	if (map == MAP_FAILED) {
		some("mmap", -1, recipe, 0);
		return;
	}
	if (one_in(chance, 8) && !mlock(map, recipe->length))
		count(LOCKED);
	for (unsigned int i = below(chance, 4); i; i--) {
		size_t pos = below(chance, recipe->length);

		same("mapping", recipe, pos, map + pos, 1);
		count(TOUCHED);
	}
	if (one_in(chance, 2))
		advise(map, recipe, chance);
	if (one_in(chance, 2)) {
		same("mapping", recipe, 0, map, recipe->length);
		for (size_t i = 0; i < tail; i++)
			if (map[recipe->length + i])
				wrong("mapping: byte %zu after the end is 0x%02x", i, map[recipe->length + i]);
		count(MAPPED);
	}
	munmap(map, recipe->length);
}

void verify(int fd, const struct recipe *recipe, struct chance *chance)
{
	static void (*const ways[])(int fd, const struct recipe *recipe, struct chance *chance) = {
		by_read, by_pread, by_pread, by_splice, by_mapping, by_mapping,
	};

	ways[below(chance, sizeof(ways) / sizeof(*ways))](fd, recipe, chance);
}

/* A page moves elsewhere, out of the folio that it was in. */
bool page_soft_offline(int fd, size_t index)
{
	void *map = mmap(NULL, PAGE, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, (off_t)(index * PAGE));
	bool done = map != MAP_FAILED && !madvise(map, PAGE, MADV_SOFT_OFFLINE);

	if (map != MAP_FAILED)
		munmap(map, PAGE);
	return done;
}
