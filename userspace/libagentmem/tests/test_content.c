/* SPDX-License-Identifier: MIT */
/* What is put in comes out: as a whole, appended, compressed, by digest; and cannot be changed. */
#include "suite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define LARGE	(100u * 1024 + 7)

TEST(content_comes_back_under_its_sha256)
{
	struct agentmem_info info;
	char hex[AGENTMEM_HEX_SIZE];
	uint8_t digest[AGENTMEM_DIGEST_SIZE];
	int fd = agentmem_put(AGENTMEM_TOOL_DEF, "abc", 3, NULL, &info);

	CHECK(fd >= 0);
	CHECK(holds(fd, "abc", 3));
	CHECK(!strcmp(agentmem_hex(info.digest, hex), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
	CHECK(agentmem_digest(fd, digest) == 0 && !memcmp(digest, info.digest, sizeof(digest)));
	CHECK(agentmem_close(fd) == 0);
}

TEST(every_length_around_a_page_and_a_hash_block)
{
	const size_t lengths[] = {1, 55, 56, 63, 64, 65, 4095, 4096, 4097, 8192, 65536, 65537};

	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		char *text = unique(lengths[i]);
		int fd = put(text, lengths[i]);

		CHECK(holds(fd, text, lengths[i]));
		CHECK(agentmem_close(fd) == 0);
		free(text);
	}
}

TEST(equal_content_is_one_object)
{
	char *text = unique(LARGE);
	struct agentmem_info a, b;
	struct stat sa, sb;
	int one = agentmem_put(AGENTMEM_SYSTEM_PROMPT, text, LARGE, NULL, &a);
	int two = agentmem_put(AGENTMEM_SYSTEM_PROMPT, text, LARGE, NULL, &b);

	CHECK(one >= 0 && two >= 0 && one != two);
	CHECK(!(a.result & AGENTMEM_R_DEDUP) && b.result & AGENTMEM_R_DEDUP);
	CHECK(!memcmp(a.digest, b.digest, sizeof(a.digest)));
	CHECK(fstat(one, &sa) == 0 && fstat(two, &sb) == 0 && sa.st_ino == sb.st_ino && sa.st_dev == sb.st_dev);
	CHECK(agentmem_close(one) == 0 && holds(two, text, LARGE));
	CHECK(agentmem_close(two) == 0);
	free(text);
}

TEST(the_data_may_be_changed_after_the_call)
{
	char *text = unique(LARGE), *copy = strdup(text);
	int fd = put(text, LARGE);

	memset(text, 0, LARGE);
	CHECK(holds(fd, copy, LARGE));
	free(text);
	free(copy);
}

/* The sum of a figure of /proc/self/smaps over what maps the view, in bytes. */
static size_t smaps(const struct agentmem_view *view, const char *figure)
{
	FILE *maps = fopen("/proc/self/smaps", "r");
	unsigned long begin, end, from = (unsigned long)view->data;
	size_t sum = 0, kilobytes;
	bool inside = false;
	char line[512], key[64];

	CHECK(maps);
	while (fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%lx-%lx ", &begin, &end) == 2)
			inside = begin >= from && begin < from + view->size;
		else if (inside && sscanf(line, "%63[^:]: %zu kB", key, &kilobytes) == 2 && !strcmp(key, figure))
			sum += kilobytes * 1024;
	}
	fclose(maps);
	return sum;
}

static void map_and_touch(void *digest)
{
	struct agentmem_view view;
	int fd = agentmem_attach(digest);

	CHECK(fd >= 0 && agentmem_map(fd, &view) == 0);
	for (size_t i = 0; i < view.size; i += 4096)
		CHECK(((const volatile char *)view.data)[i]);
}

TEST(processes_see_the_same_pages)
{
	const size_t size = 64 * 4096;
	char *text = unique(size);
	struct agentmem_view view;
	struct agentmem_info info;
	int fd = agentmem_put(AGENTMEM_CONVERSATION, text, size, NULL, &info);
	struct child child;

	CHECK(fd >= 0);
	child = child_start(map_and_touch, info.digest);
	CHECK(agentmem_map(fd, &view) == 0 && !memcmp(view.data, text, size));
	CHECK(smaps(&view, "Pss") <= size / 2);
	CHECK(smaps(&view, "Rss") == size);
	child_end(&child);
	CHECK(agentmem_unmap(&view) == 0);
	free(text);
}

TEST(nobody_can_write)
{
	char *text = unique(LARGE);
	struct agentmem_view view;
	int fd = put(text, LARGE);

	CHECK((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY);
	CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC);
	FAILS(write(fd, "x", 1), EBADF);
	CHECK(ftruncate(fd, 0) == -1 && fallocate(fd, 0, 0, 1 << 20) == -1);
	CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
	CHECK(agentmem_map(fd, &view) == 0);
	FAILS(mprotect((void *)view.data, 4096, PROT_READ | PROT_WRITE), EACCES);
	CHECK(agentmem_unmap(&view) == 0);
	CHECK(set_temperature(fd, AGENTMEM_COLD) == 0 && agentmem_map(fd, &view) == 0);
	FAILS(mprotect((void *)view.data, 4096, PROT_READ | PROT_WRITE), EACCES);
	CHECK(agentmem_unmap(&view) == 0 && holds(fd, text, LARGE));
	free(text);
}

TEST(what_is_written_to_a_private_view_is_its_own)
{
	char *text = unique(LARGE), *mine;
	struct agentmem_view view, other;
	int head = put(text, LARGE / 2), fd = agentmem_append(head, AGENTMEM_CONVERSATION, text + LARGE / 2, LARGE - LARGE / 2, NULL,
							      NULL);

	CHECK(fd >= 0 && agentmem_map_private(fd, &view) == 0 && agentmem_map_private(fd, &other) == 0);
	CHECK(smaps(&view, "Private_Dirty") == 0);
	mine = (char *)view.data;
	CHECK(view.size == LARGE && !memcmp(mine, text, LARGE));
	mine[0] = mine[LARGE / 2] = mine[LARGE - 1] = '\1';
	CHECK(view.size == LARGE && mine[0] == '\1' && mine[LARGE - 1] == '\1');
	CHECK(!memcmp(other.data, text, LARGE) && holds(fd, text, LARGE) && holds(head, text, LARGE / 2));
	CHECK(agentmem_unmap(&view) == 0 && agentmem_unmap(&other) == 0);
	CHECK(agentmem_map_private(fd, &view) == 0 && !memcmp(view.data, text, LARGE));
	CHECK(agentmem_unmap(&view) == 0);
	free(text);
}

/* -- appending ---------------------------------------------------------------------- */

TEST(appended_content_is_as_if_it_were_put_whole)
{
	char *text = unique(3 * LARGE);
	struct agentmem_info grown, whole;
	int base = put(text, LARGE);
	int fd = agentmem_append(base, AGENTMEM_CONVERSATION, text + LARGE, 2 * LARGE, NULL, &grown), again;

	CHECK(fd >= 0);
	CHECK(grown.result == AGENTMEM_R_DELTA);
	CHECK(agentmem_close(base) == 0);
	CHECK(holds(fd, text, 3 * LARGE));
	again = agentmem_put(AGENTMEM_CONVERSATION, text, 3 * LARGE, NULL, &whole);
	CHECK(again >= 0 && whole.result & AGENTMEM_R_DEDUP && !memcmp(whole.digest, grown.digest, sizeof(whole.digest)));
	free(text);
}

TEST(appending_what_is_there_whole_finds_it)
{
	char *text = unique(2 * LARGE);
	struct agentmem_info info;
	int whole = put(text, 2 * LARGE), base = put(text, LARGE);
	int fd = agentmem_append(base, AGENTMEM_CONVERSATION, text + LARGE, LARGE, NULL, &info);

	CHECK(whole >= 0 && fd >= 0 && info.result & AGENTMEM_R_DEDUP && holds(fd, text, 2 * LARGE));
	free(text);
}

TEST(a_long_history_of_steps_of_any_length)
{
	const size_t size = 300 * 1024;
	char *text = unique(size);
	size_t length = 1, step = 1;
	int fd = put(text, length), before;

	for (int i = 0; length < size; i++) {
		step = (step * 7 + 13) % 2500 + 1;
		if (length + step > size)
			step = size - length;
		before = fd;
		fd = agentmem_append(before, AGENTMEM_CONVERSATION, text + length, step, NULL, NULL);
		CHECK(fd >= 0);
		length += step;
		if (i % 3)
			CHECK(agentmem_close(before) == 0);
		if (i % 17 == 0)
			CHECK(holds(fd, text, length));
	}
	CHECK(holds(fd, text, size));
	free(text);
}

TEST(a_base_changes_nothing_but_the_room_it_takes)
{
	char *text = unique(LARGE);
	struct agentmem_options options = AGENTMEM_OPTIONS_INIT;
	int fd, base = put(text, LARGE);

	options.base_fd = base;
	memcpy(text + 5000, "changed", 7);
	fd = agentmem_put(AGENTMEM_CONVERSATION, text, LARGE, &options, NULL);
	CHECK(fd >= 0 && holds(fd, text, LARGE));
	CHECK(agentmem_close(base) == 0);
	CHECK(set_temperature(fd, AGENTMEM_COLD) == 0 && holds(fd, text, LARGE));
	CHECK(set_temperature(fd, AGENTMEM_HOT) == 0 && holds(fd, text, LARGE));
	free(text);
}

/* -- at a place ------------------------------------------------------------------------ */

static char *room(size_t size)
{
	char *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(at != MAP_FAILED);
	return at + 4096;
}

TEST(a_view_takes_the_place_that_it_is_given)
{
	char *text = unique(LARGE), *place = room(4096 + 2 * LARGE);
	struct agentmem_view view;
	int fd = put(text, LARGE);

	memset(place, 'x', 2 * LARGE - 4096);
	CHECK(agentmem_map_at(fd, place, &view) == 0 && view.data == place && view.size == LARGE);
	CHECK(!memcmp(place, text, LARGE) && smaps(&view, "Anonymous") == 0);
	CHECK(place[(LARGE + 4095) / 4096 * 4096] == 'x');
	CHECK(mprotect(place, 4096, PROT_READ | PROT_WRITE) < 0);
	CHECK(set_temperature(fd, AGENTMEM_COLD) == 0 && agentmem_close(fd) == 0 && !memcmp(place, text, LARGE));
	CHECK(agentmem_unmap(&view) == 0 && madvise(place, 4096, MADV_NORMAL) < 0);
	free(text);
}

TEST(a_view_at_a_place_keeps_the_object)
{
	char *text = unique(LARGE), *place = room(2 * LARGE);
	struct agentmem_view view;
	struct agentmem_info info;
	int fd = agentmem_put(AGENTMEM_CONVERSATION, text, LARGE, NULL, &info);

	CHECK(agentmem_map_at(fd, place, &view) == 0 && agentmem_close(fd) == 0);
	CHECK(!is_gone(info.digest));
	CHECK(munmap(place - 4096, 2 * LARGE) == 0);
	fd = put("sweep", 5); /* with the fallback the next call sees to it */
	CHECK(agentmem_close(fd) == 0 && is_gone(info.digest));
	free(text);
}

TEST(a_place_that_cannot_be_leaves_what_is_there)
{
	char *text = unique(3 * LARGE), *place = room(8192 + 3 * LARGE);
	struct agentmem_view view;
	int base = put(text, LARGE), fd = agentmem_append(base, AGENTMEM_CONVERSATION, text + LARGE, 2 * LARGE, NULL, NULL);

	strcpy(place, "mine");
	FAILS(agentmem_map_at(base, NULL, &view), EINVAL);
	FAILS(agentmem_map_at(base, place + 8, &view), EINVAL);
	FAILS(agentmem_map_at(-1, place, &view), EBADF);
	FAILS(agentmem_map_at(0, place, &view), EBADFD);
	if (!on_kernel())
		FAILS(agentmem_map_at(fd, place, &view), EOPNOTSUPP);
	CHECK(!strcmp(place, "mine"));
	if (on_kernel())
		CHECK(agentmem_map_at(fd, place, &view) == 0 && !memcmp(place, text, 3 * LARGE));
	free(text);
}

/* -- marks ---------------------------------------------------------------------------- */

static uint32_t temperature(int fd)
{
	struct agentmem_smu_stats stats = {.size = sizeof(stats)};

	CHECK(agentmem_smu_stats(fd, &stats) == 0);
	return stats.temperature;
}

TEST(content_stays_through_all_temperatures)
{
	const uint32_t marks[] = {AGENTMEM_WARM, AGENTMEM_COLD, AGENTMEM_HOT, AGENTMEM_COLD, AGENTMEM_WARM, AGENTMEM_HOT};
	char *text = unique(3 * LARGE);
	struct agentmem_view view;
	int base = put(text, LARGE), fd = agentmem_append(base, AGENTMEM_CONVERSATION, text + LARGE, 2 * LARGE, NULL, NULL);

	CHECK(fd >= 0 && agentmem_map(fd, &view) == 0);
	for (size_t i = 0; i < sizeof(marks) / sizeof(*marks); i++) {
		CHECK(set_temperature(base, marks[i]) == 0 && set_temperature(fd, marks[i]) == 0);
		CHECK(temperature(fd) == marks[i]);
		CHECK(!memcmp(view.data, text, 3 * LARGE)); /* a view does not notice */
		CHECK(holds(fd, text, 3 * LARGE));
	}
	CHECK(agentmem_mark(fd, NULL) == 0 && temperature(fd) == AGENTMEM_HOT);
	CHECK(agentmem_unmap(&view) == 0);
	free(text);
}

TEST(what_does_not_compress_can_be_marked)
{
	char *noise = malloc(LARGE);
	struct agentmem_options options = AGENTMEM_OPTIONS_INIT;
	uint64_t x = (uint64_t)getpid() << 32 | 1;
	int fd, plain;

	for (size_t i = 0; i < LARGE; i++) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		noise[i] = (char)x;
	}
	fd = put(noise, LARGE);
	CHECK(set_temperature(fd, AGENTMEM_COLD) == 0 && temperature(fd) == AGENTMEM_COLD && holds(fd, noise, LARGE));
	options.flags = AGENTMEM_NOCOMPRESS;
	noise[0]++;
	plain = agentmem_put(AGENTMEM_TOOL_RESULT, noise, LARGE, &options, NULL);
	CHECK(plain >= 0 && set_temperature(plain, AGENTMEM_COLD) == 0 && holds(plain, noise, LARGE));
	free(noise);
}
