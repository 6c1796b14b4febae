// SPDX-License-Identifier: GPL-2.0-only
/* The file that all texts are cut from, and what an object is expected to have. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "chaos.h"

static const uint8_t *texts;
static size_t texts_size;

struct chance chance_of(uint64_t seed, uint64_t a, uint64_t b)
{
	struct chance chance = { seed ^ (a + 1) * 0x9e3779b97f4a7c15 ^ (b + 1) * 0xd1b54a32d192ed03 };

	for (int i = 0; i < 4; i++)
		below(&chance, 2);
	return chance;
}

/* splitmix64 */
uint32_t below(struct chance *chance, uint32_t bound)
{
	uint64_t z = chance->state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return (uint32_t)((z ^ z >> 31) >> 32) % bound;
}

void texts_open(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		broken("%s: %s", path, strerror(errno));
	texts_size = (size_t)st.st_size;
	if (texts_size < 2 * LENGTH_MAX || texts_size > UINT32_MAX)
		broken("%s has %zu bytes", path, texts_size);
	texts = mmap(NULL, texts_size, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
	if (texts == MAP_FAILED)
		broken("mmap of %s: %s", path, strerror(errno));
	close(fd);
}

const uint8_t *texts_at(uint64_t offset)
{
	return texts + offset;
}

/* Most are small, as texts of agents are; some have several chunks. */
static uint32_t some_length(struct chance *chance, uint32_t most)
{
	static const uint32_t sizes[] = { 300, 4 * KB, 16 * KB, 16 * KB, 70 * KB, 150 * KB, 300 * KB };
	uint32_t bound = sizes[below(chance, sizeof(sizes) / sizeof(*sizes))];

	return 1 + below(chance, bound < most ? bound : most);
}

/* More text at the end; false: there is no room. Places are few, so that the same text is met again. */
bool recipe_add(struct recipe *recipe, struct chance *chance, uint32_t most)
{
	uint32_t room = LENGTH_MAX - recipe->length, length, offset;

	if (recipe->parts == PARTS || !room)
		return false;
	length = some_length(chance, room < most ? room : most);
	offset = one_in(chance, 2) ? below(chance, (uint32_t)(texts_size - length)) :
				     below(chance, 16) * (uint32_t)(texts_size / 32);
	recipe->part[recipe->parts].offset = offset;
	recipe->part[recipe->parts++].length = length;
	recipe->length += length;
	return true;
}

/* As another agent has it: a line of its own in it, or at the start, or one part is missing. */
void recipe_vary(struct recipe *to, const struct recipe *from, struct chance *chance)
{
	uint32_t line = 1 + below(chance, 200), at = below(chance, from->parts), i;

	*to = *from;
	if (one_in(chance, 4) && to->parts > 1) {
		to->length -= to->part[at].length;
		memmove(&to->part[at], &to->part[at + 1], (--to->parts - at) * sizeof(*to->part));
		return;
	}
	if (to->parts == PARTS || to->length + line > LENGTH_MAX)
		return;
	if (one_in(chance, 2))
		at = 0;
	for (i = to->parts++; i > at; i--)
		to->part[i] = to->part[i - 1];
	to->part[at].offset = below(chance, (uint32_t)(texts_size - line));
	to->part[at].length = line;
	to->length += line;
}

void recipe_copy(const struct recipe *recipe, uint8_t *to)
{
	for (uint32_t i = 0; i < recipe->parts; i++) {
		memcpy(to, texts + recipe->part[i].offset, recipe->part[i].length);
		to += recipe->part[i].length;
	}
}

static ssize_t first_difference(const uint8_t *a, const uint8_t *b, size_t length)
{
	size_t i = 0;

	if (!memcmp(a, b, length))
		return -1;
	while (a[i] == b[i])
		i++;
	return (ssize_t)i;
}

ssize_t recipe_differs(const struct recipe *recipe, size_t pos, const uint8_t *bytes, size_t length)
{
	size_t done = 0;

	for (uint32_t i = 0; i < recipe->parts && done < length; i++) {
		size_t here = recipe->part[i].length, part;
		ssize_t differs;

		if (pos >= here) {
			pos -= here;
			continue;
		}
		part = here - pos < length - done ? here - pos : length - done;
		differs = first_difference(bytes + done, texts + recipe->part[i].offset + pos, part);
		if (differs >= 0)
			return (ssize_t)done + differs;
		done += part;
		pos = 0;
	}
	return done == length ? -1 : (ssize_t)done;
}
