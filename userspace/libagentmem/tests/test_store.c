/* SPDX-License-Identifier: MIT */
/* The fallback's store: where it is, what damage does to it, and that nothing is left behind. */
#include "suite.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE	(30u * 1024 + 3)

static char *path_of(const char *name)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s/agentmem/%s", getenv("XDG_RUNTIME_DIR"), name);
	return path;
}

static char *store(void)
{
	char *path = path_of("");

	path[strlen(path) - 1] = '\0';
	return path;
}

/* Files of the store whose names begin with one of these characters. */
static int files(const char *kinds)
{
	DIR *dir = opendir(store());
	struct dirent *entry;
	int found = 0;

	CHECK(dir);
	while ((entry = readdir(dir)))
		found += entry->d_name[1] == '-' && strchr(kinds, entry->d_name[0]);
	closedir(dir);
	return found;
}

/* What is behind an object's digest: o, r or z. */
static char *part(char kind, const uint8_t *digest)
{
	char name[2 + AGENTMEM_HEX_SIZE] = {kind, '-'};

	agentmem_hex(digest, name + 2);
	return path_of(name);
}

/* Changes a byte; the file's mode is no obstacle to its owner. */
static void damage(const char *path, off_t at)
{
	int fd;
	char byte;

	CHECK(chmod(path, 0600) == 0);
	fd = open(path, O_RDWR);
	CHECK(fd >= 0 && pread(fd, &byte, 1, at) == 1);
	byte ^= 0x41;
	CHECK(pwrite(fd, &byte, 1, at) == 1);
	close(fd);
}

FALLBACK_TEST(the_store_is_closed_to_others)
{
	struct stat st;
	struct agentmem_info info;

	CHECK(agentmem_put(AGENTMEM_CONVERSATION, "x", 1, NULL, &info) >= 0);
	CHECK(stat(store(), &st) == 0 && (st.st_mode & 07777) == 0700 && st.st_uid == geteuid());
	CHECK(stat(part('r', info.digest), &st) == 0 && (st.st_mode & 0777) == 0400);
}

static void untrusted(const char *place)
{
	struct agentmem_info info;
	int fd = agentmem_put(AGENTMEM_CONVERSATION, place, strlen(place), NULL, &info);

	CHECK(fd >= 0 && access(part('o', info.digest), F_OK) < 0);
	CHECK(agentmem_close(fd) == 0);
}

FALLBACK_TEST(a_directory_that_others_can_enter_is_not_used)
{
	CHECK(mkdir(store(), 0755) == 0);
	untrusted("open to others");
}

FALLBACK_TEST(a_link_laid_in_its_place_is_not_followed)
{
	char target[512];

	snprintf(target, sizeof(target), "%s/elsewhere", getenv("XDG_RUNTIME_DIR"));
	CHECK(mkdir(target, 0700) == 0);
	CHECK(symlink(target, store()) == 0);
	untrusted("behind a link");
	CHECK(rmdir(target) == 0); /* empty */
}

FALLBACK_TEST(another_users_directory_is_not_used)
{
	CHECK(mkdir(store(), 0700) == 0);
	if (chown(store(), 65534, 65534) < 0)
		suite_skip("only root gives files away");
	untrusted("another user's");
}

static void small_store(const char *options)
{
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", getenv("XDG_RUNTIME_DIR"), "tmpfs", 0, options) < 0)
		suite_skip("only root mounts");
}

/* As a sandbox has it that lets its programs write to few places. */
FALLBACK_TEST(a_directory_that_cannot_be_written_to_is_not_used)
{
	small_store("size=1m");
	CHECK(mkdir(store(), 0700) == 0);
	CHECK(mount("none", getenv("XDG_RUNTIME_DIR"), NULL, MS_REMOUNT | MS_RDONLY, NULL) == 0);
	untrusted("read only");
}

FALLBACK_TEST(the_store_may_be_removed_under_a_program)
{
	char *text = unique(SIZE);
	struct agentmem_view view;

	CHECK(agentmem_map(put(text, SIZE), &view) == 0);
	remove_tree(store());
	CHECK(!memcmp(view.data, text, SIZE));
	CHECK(holds(put(text, SIZE), text, SIZE));
	free(text);
}

/* -- damage ----------------------------------------------------------------------------- */

FALLBACK_TEST(damaged_content_is_not_found_and_can_be_put_again)
{
	char *text = unique(SIZE);
	struct agentmem_info info;
	int fd = agentmem_put(AGENTMEM_CONVERSATION, text, SIZE, NULL, &info);

	CHECK(fd >= 0);
	damage(part('r', info.digest), 12345);
	CHECK(is_gone(info.digest));
	fd = agentmem_put(AGENTMEM_CONVERSATION, text, SIZE, NULL, &info);
	CHECK(fd >= 0 && !(info.result & AGENTMEM_R_DEDUP) && holds(fd, text, SIZE));
	damage(part('r', info.digest), 12345);
	fd = agentmem_put(AGENTMEM_CONVERSATION, text, SIZE, NULL, &info);
	CHECK(fd >= 0 && !(info.result & AGENTMEM_R_DEDUP) && holds(fd, text, SIZE));
	free(text);
}

FALLBACK_TEST(damaged_records_are_not_found_and_can_be_put_again)
{
	char *text = unique(SIZE);
	struct agentmem_info info;
	struct agentmem_view view;

	for (off_t at = 0; at < 8 + 4 * 4 + 2 * 8 + 4 * 32; at += 7) {
		int fd = agentmem_put(AGENTMEM_CONVERSATION, text, SIZE, NULL, &info);

		CHECK(fd >= 0 && !(info.result & AGENTMEM_R_DEDUP));
		damage(part('o', info.digest), at);
		CHECK(agentmem_map(fd, &view) == -1 && (errno == EIO || errno == EBADFD));
		CHECK(is_gone(info.digest));
		CHECK(agentmem_close(fd) == 0);
	}
	free(text);
}

FALLBACK_TEST(damaged_compressed_content_is_an_error_not_other_content)
{
	char *text = unique(SIZE);
	struct agentmem_info info;
	struct agentmem_view view;
	struct stat st;
	int fd = agentmem_put(AGENTMEM_CONVERSATION, text, SIZE, NULL, &info);

	CHECK(fd >= 0 && set_temperature(fd, AGENTMEM_COLD) == 0);
	CHECK(access(part('r', info.digest), F_OK) < 0 && stat(part('z', info.digest), &st) == 0 && st.st_size < SIZE);
	damage(part('z', info.digest), st.st_size / 2);
	FAILS(agentmem_map(fd, &view), EIO);
	CHECK(unlink(part('z', info.digest)) == 0);
	FAILS(agentmem_map(fd, &view), EIO);
	CHECK(is_gone(info.digest));
	free(text);
}

FALLBACK_TEST(what_was_left_of_an_object_does_not_get_into_a_new_one)
{
	char *text = unique(SIZE), *other = unique(SIZE), from[512];
	struct agentmem_info info, left;
	int fd = agentmem_put(AGENTMEM_CONVERSATION, other, SIZE, NULL, &left);

	CHECK(fd >= 0 && set_temperature(fd, AGENTMEM_COLD) == 0);
	strcpy(from, part('z', left.digest));
	fd = agentmem_put(AGENTMEM_CONVERSATION, text, SIZE, NULL, &info);
	CHECK(fd >= 0 && agentmem_close(fd) == 0);
	CHECK(link(from, part('z', info.digest)) == 0);
	fd = put(text, SIZE);
	CHECK(set_temperature(fd, AGENTMEM_COLD) == 0 && holds(fd, text, SIZE));
	free(other);
	free(text);
}

FALLBACK_TEST(content_cut_short_is_an_error_not_a_signal)
{
	char *text = unique(SIZE);
	struct agentmem_info info;
	struct agentmem_view view;
	int fd = agentmem_put(AGENTMEM_CONVERSATION, text, SIZE, NULL, &info);

	CHECK(fd >= 0);
	CHECK(chmod(part('r', info.digest), 0600) == 0 && truncate(part('r', info.digest), 4096) == 0);
	FAILS(agentmem_map(fd, &view), EIO);
	free(text);
}

FALLBACK_TEST(what_is_no_file_is_not_waited_for_and_not_followed)
{
	char *text = unique(SIZE);
	struct agentmem_info info;

	alarm(20);
	for (const char *kind = "or"; *kind; kind++) {
		for (int i = 0; i < 2; i++) {
			int fd = agentmem_put(AGENTMEM_CONVERSATION, text, SIZE, NULL, &info);

			CHECK(fd >= 0 && !(info.result & AGENTMEM_R_DEDUP) && holds(fd, text, SIZE));
			CHECK(unlink(part(*kind, info.digest)) == 0);
			CHECK((i ? symlink("/dev/zero", part(*kind, info.digest)) : mkfifo(part(*kind, info.digest), 0600)) == 0);
			CHECK(is_gone(info.digest));
			CHECK(close(fd) == 0);
		}
	}
	free(text);
}

FALLBACK_TEST(a_base_that_is_no_base_is_an_error)
{
	char *text = unique(SIZE), from[512];
	struct agentmem_info info;
	struct agentmem_view view;
	int fd = agentmem_append(put(text, SIZE), AGENTMEM_CONVERSATION, text, SIZE, NULL, &info);

	strcpy(from, part('o', info.digest));
	CHECK(fd >= 0 && unlink(part('b', info.digest)) == 0 && link(from, part('b', info.digest)) == 0);
	alarm(20);
	FAILS(set_temperature(fd, AGENTMEM_HOT), EIO);
	FAILS(set_temperature(fd, AGENTMEM_COLD), EIO);
	FAILS(agentmem_map(fd, &view), EIO);
	CHECK(is_gone(info.digest));
	free(text);
}

/* -- room --------------------------------------------------------------------------------- */

FALLBACK_TEST(a_full_store_is_an_error_that_passes)
{
	const size_t size = 600 * 1024;
	char *a = unique(size), *b = unique(size);
	int fd;

	small_store("size=1m");
	fd = put(a, size);
	FAILS(agentmem_put(AGENTMEM_CONVERSATION, b, size, NULL, NULL), ENOMEM);
	CHECK(holds(fd, a, size));
	CHECK(close(fd) == 0);
	fd = put(b, size); /* room is made of what nobody holds */
	CHECK(holds(fd, b, size));
	CHECK(set_temperature(fd, AGENTMEM_COLD) == 0 && holds(fd, b, size));
	free(a);
	free(b);
}

FALLBACK_TEST(no_room_to_decompress_is_an_error_and_loses_nothing)
{
	const size_t size = 600 * 1024;
	char *a = unique(size), *b = unique(size);
	struct agentmem_view view;
	int fd, other;

	small_store("size=1300k");
	fd = put(a, size);
	CHECK(set_temperature(fd, AGENTMEM_COLD) == 0);
	other = put(b, size);
	FAILS(agentmem_map(fd, &view), ENOMEM);
	CHECK(agentmem_close(other) == 0 && holds(fd, a, size));
	free(a);
	free(b);
}

FALLBACK_TEST(too_many_objects_are_an_error)
{
	char text[] = "0 of too many";
	int i, fd = 0;

	small_store("nr_inodes=64");
	for (i = 0; fd >= 0 && i < 100; i++) {
		text[0]++;
		fd = agentmem_put(AGENTMEM_CONVERSATION, text, sizeof(text), NULL, NULL);
	}
	CHECK(fd == -1 && errno == EDQUOT && i > 20);
}

/* -- what is left --------------------------------------------------------------------------- */

FALLBACK_TEST(cold_content_takes_less_room_and_no_copy_stays)
{
	char *text = unique(SIZE);
	struct agentmem_smu_stats stats = {.size = sizeof(stats)};
	int fd = put(text, SIZE);

	CHECK(set_temperature(fd, AGENTMEM_WARM) == 0 && agentmem_smu_stats(fd, &stats) == 0);
	CHECK(stats.resident_top == 0 && stats.stored && stats.stored < SIZE && stats.algorithm == AGENTMEM_ALG_ZSTD);
	CHECK(files("r") == 0 && files("z") == 1);
	CHECK(set_temperature(fd, AGENTMEM_HOT) == 0 && agentmem_smu_stats(fd, &stats) == 0);
	CHECK(stats.resident_top >= SIZE && !stats.stored && files("r") == 1 && files("z") == 0);
	free(text);
}

FALLBACK_TEST(a_base_makes_what_is_like_it_smaller)
{
	char *text = unique(SIZE);
	struct agentmem_options options = AGENTMEM_OPTIONS_INIT;
	struct agentmem_smu_stats alone = {.size = sizeof(alone)}, against = alone;
	struct agentmem_info info;
	int fd;

	options.base_fd = put(text, SIZE);
	CHECK(set_temperature(options.base_fd, AGENTMEM_WARM) == 0 && agentmem_smu_stats(options.base_fd, &alone) == 0);
	memcpy(text + 7000, "another", 7);
	fd = agentmem_put(AGENTMEM_CONVERSATION, text, SIZE, &options, &info);
	CHECK(fd >= 0 && info.result == AGENTMEM_R_DELTA);
	CHECK(set_temperature(fd, AGENTMEM_WARM) == 0 && agentmem_smu_stats(fd, &against) == 0);
	CHECK(against.base_depth == 1 && against.stored * 10 < alone.stored && holds(fd, text, SIZE));
	free(text);
}

/* Between the two steps of a removal. */
FALLBACK_TEST(a_crash_keeps_no_base)
{
	char *text = unique(SIZE), record[512];
	const uint8_t none[AGENTMEM_DIGEST_SIZE] = {0};
	struct agentmem_info info;
	int fd = agentmem_put(AGENTMEM_CONVERSATION, text, SIZE, NULL, &info);

	strcpy(record, part('o', info.digest));
	CHECK(fd >= 0 && link(record, part('b', none)) == 0 && close(fd) == 0);
	CHECK(is_gone(info.digest) && files("orzb") == 0);
	free(text);
}

static void put_for_ever(void)
{
	for (;;) {
		char *text = unique(SIZE);
		int fd = put(text, SIZE), more = agentmem_append(fd, AGENTMEM_CONVERSATION, text, SIZE, NULL, NULL);

		CHECK(more >= 0 && set_temperature(more, AGENTMEM_WARM) == 0 && !holds(more, text, SIZE));
		CHECK(agentmem_agent("for ever", 0, 0) == 0);
		if (fd % 3)
			close(fd);
		if (fd > 200)
			for (int i = 3; i < 1000; i++)
				close(i);
		free(text);
	}
}

FALLBACK_TEST(killed_at_any_moment_they_leave_nothing)
{
	for (int round = 0; round < 30; round++)
		killed_at_work(put_for_ever, round);
	for (int i = 0; i < 1000 && files("zb"); i++) { /* which these do not make; a sweep is due after some of them */
		char *text = unique(64);

		CHECK(close(put(text, 64)) == 0);
		free(text);
	}
	CHECK(files("zb") == 0 && files("a") == 1 && files("o") < 200 && files("r") == files("o"));
}
