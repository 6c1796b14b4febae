/* SPDX-License-Identifier: MIT */
#include "keep.h"
#include "agent.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* What has the name of a record and is no file (ELOOP: a symbolic link) is damage like any other: nobody gets it. */
static int open_record(int dir, const uint8_t *digest)
{
	char name[NAME_SIZE];
	int record = openat(dir, am_object_name(name, 'o', digest), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (record >= 0 && fstat(record, &st) == 0 && S_ISREG(st.st_mode))
		return record;
	if (record >= 0 || errno == ELOOP) {
		unlinkat(dir, name, 0);
		errno = ENOENT;
	}
	if (record >= 0)
		am_store_close(record);
	return -1;
}

/* Whether no open descriptor or mapping holds the record. Leaves the lock on it. */
static bool unheld(int record)
{
	return flock(record, LOCK_EX | LOCK_NB) == 0;
}

static unsigned int links(int record)
{
	struct stat st;

	return fstat(record, &st) == 0 ? (unsigned int)st.st_nlink : 0;
}

void am_keep_remove(int dir, const uint8_t *digest)
{
	char name[NAME_SIZE];

	for (const char *kind = "orzb"; *kind; kind++) /* the record first: without it the rest is rubbish for the sweep */
		unlinkat(dir, am_object_name(name, *kind, digest), 0);
}

void am_keep_remove_damaged(int dir, int record, const uint8_t *digest)
{
	char name[NAME_SIZE];
	struct stat damaged, there;

	if (fstat(record, &damaged) == 0 && fstatat(dir, am_object_name(name, 'o', digest), &there, 0) == 0 &&
	    damaged.st_ino == there.st_ino)
		am_keep_remove(dir, digest);
}

void am_keep_release(int dir, const uint8_t *digest)
{
	uint8_t at[AGENTMEM_DIGEST_SIZE];
	struct object object;
	int record;

	memcpy(at, digest, sizeof(at));
	while ((record = open_record(dir, at)) >= 0) {
		bool gone = unheld(record) && links(record) == 1, more;

		more = gone && am_object_read(record, &object) == 0 && object.depth;
		if (gone)
			am_keep_remove(dir, at);
		flock(record, LOCK_UN); /* see am_store_unlock() */
		close(record);
		if (!more)
			return;
		memcpy(at, object.base, sizeof(at));
	}
}

int am_keep_hold(int dir, const uint8_t *digest)
{
	int record = open_record(dir, digest);

	if (record < 0)
		return -1;
	if (unheld(record)) {
		unsigned int kept_by = links(record);

		flock(record, LOCK_UN);
		if (kept_by > 1) /* by what may itself be kept by nothing */
			am_keep_sweep(dir);
		else
			am_keep_release(dir, digest);
	}
	errno = ENOENT;
	if (links(record) && flock(record, LOCK_SH) == 0)
		return record;
	am_store_close(record);
	return -1;
}

int am_keep_open(int dir, const uint8_t *digest)
{
	int record = open_record(dir, digest);

	if (record >= 0 && flock(record, LOCK_SH) < 0) {
		am_store_close(record);
		return -1;
	}
	return record;
}

void am_keep_grant(char name[NAME_SIZE], ino_t agent, const uint8_t *digest)
{
	int length = snprintf(name, NAME_SIZE, "g-%ju-", (uintmax_t)agent);

	agentmem_hex(digest, name + length);
}

/* -- what is there ---------------------------------------------------------- */

static bool add(struct names *names, const char *name)
{
	if (names->count == names->room) {
		size_t room = names->room ? 2 * names->room : 256;
		void *list = realloc(names->list, room * sizeof(*names->list));

		if (!list)
			return false;
		names->list = list;
		names->room = room;
	}
	strcpy(names->list[names->count++], name);
	return true;
}

bool am_keep_list(int dir, struct names *names)
{
	int again = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = again < 0 ? NULL : fdopendir(again);
	struct dirent *entry;
	bool all = true;

	if (!stream) {
		if (again >= 0)
			close(again);
		return false;
	}
	while (all && (entry = readdir(stream)))
		if (entry->d_name[0] && entry->d_name[1] == '-' && strlen(entry->d_name) < NAME_SIZE)
			all = add(names, entry->d_name);
	closedir(stream);
	return all;
}

void am_keep_list_free(struct names *names)
{
	free(names->list);
}

size_t am_keep_grants(int dir, ino_t agent)
{
	struct names names = {0};
	size_t pending = 0;
	uintmax_t number;

	if (am_keep_list(dir, &names))
		for (size_t i = 0; i < names.count; i++)
			pending += sscanf(names.list[i], "g-%ju-", &number) == 1 && number == agent;
	am_keep_list_free(&names);
	return pending;
}

/* -- the sweep -------------------------------------------------------------- */

static bool is_in(const ino_t *numbers, size_t n, ino_t number)
{
	while (n && numbers[n - 1] != number)
		n--;
	return n;
}

/* An agent lasts as long as one of its processes; until then the names of those that have ended stay, too. */
static size_t living_agents(int dir, const struct names *names, ino_t *living)
{
	struct nested nested = {0};
	size_t alive = 0;

	for (size_t i = 0; i < names->count; i++) {
		struct stat st;

		if (names->list[i][0] == 'a' && am_agent_lives(dir, names->list[i], &nested) &&
		    fstatat(dir, names->list[i], &st, AT_SYMLINK_NOFOLLOW) == 0)
			living[alive++] = st.st_ino;
	}
	am_nested_free(&nested);
	return alive;
}

static void sweep_agent(int dir, const char *name, const ino_t *living, size_t alive)
{
	uintmax_t number;
	struct stat st;

	if (name[0] == 'g' ? sscanf(name, "g-%ju-", &number) == 1 && is_in(living, alive, (ino_t)number) :
			     fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && is_in(living, alive, st.st_ino))
		return;
	unlinkat(dir, name, 0);
}

/* Without a record it is what a crash left: of a base also a link, that would keep it. */
static void sweep_part(int dir, const char *name)
{
	char record[NAME_SIZE];
	struct stat st;

	strcpy(record, name);
	record[0] = 'o';
	if (fstatat(dir, record, &st, AT_SYMLINK_NOFOLLOW) < 0)
		unlinkat(dir, name, 0);
}

static void sweep_all(int dir, const struct names *names, const ino_t *living, size_t alive)
{
	uint8_t digest[AGENTMEM_DIGEST_SIZE];
	struct totals *totals = am_store_totals();
	uint64_t objects = 0;

	for (size_t i = 0; i < names->count; i++)
		if (strchr("ag", names->list[i][0]))
			sweep_agent(dir, names->list[i], living, alive);
	for (size_t i = 0; i < names->count; i++)
		if (names->list[i][0] == 't')
			am_store_sweep(dir, names->list[i]);
	for (size_t i = 0; i < names->count; i++)
		if (strchr("rzb", names->list[i][0]))
			sweep_part(dir, names->list[i]);
	for (size_t i = 0; i < names->count; i++) {
		if (names->list[i][0] == 'o' && agentmem_unhex(names->list[i] + 2, digest) == 0) {
			am_keep_release(dir, digest);
			objects++;
		}
	}
	if (totals) {
		totals->since_sweep = 0;
		totals->objects = objects;
	}
}

void am_keep_sweep(int dir)
{
	struct names names = {0};
	ino_t *living;
	int before = errno;

	if (am_keep_list(dir, &names)) {
		living = malloc((names.count + 1) * sizeof(*living));
		if (living)
			sweep_all(dir, &names, living, living_agents(dir, &names, living));
		free(living);
	}
	am_keep_list_free(&names);
	errno = before;
}
