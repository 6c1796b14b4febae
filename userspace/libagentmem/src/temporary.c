/* SPDX-License-Identifier: MIT */
/* Files in the making: without a name where the file system has O_TMPFILE, else with a temporary one. */
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

/* Not of /proc/self: that is the first thread, which may have exited. */
static void magic_link(char path[64], int fd)
{
	snprintf(path, 64, "/proc/thread-self/fd/%d", fd);
}

static bool is_file(int dir, const char *name, int fd)
{
	struct stat named, open;

	return fstatat(dir, name, &named, AT_SYMLINK_NOFOLLOW) == 0 && fstat(fd, &open) == 0 &&
	       named.st_ino == open.st_ino && named.st_dev == open.st_dev;
}

/* The temporary name of a file, if it has one. */
static bool temporary_name(int dir, int fd, char name[NAME_SIZE])
{
	char path[64], target[PATH_MAX];
	const char *last;
	ssize_t length;

	magic_link(path, fd);
	length = readlink(path, target, sizeof(target) - 1);
	target[length > 0 ? length : 0] = '\0';
	last = strrchr(target, '/');
	if (!last || strncmp(last, "/t-", 3) || strlen(last) > NAME_SIZE)
		return false;
	strcpy(name, last + 1);
	return is_file(dir, name, fd);
}

/*
 * The lock keeps am_store_sweep() from removing the file; it may have removed it before the lock was taken. The lock is
 * shared because the file may become a record, which its holders lock likewise.
 */
static int named_temporary(int dir, mode_t mode)
{
	char name[NAME_SIZE];
	uint64_t number;
	int fd;

	for (int tries = 0; tries < 100; tries++) {
		if (getrandom(&number, sizeof(number), 0) != sizeof(number))
			return -1;
		snprintf(name, sizeof(name), "t-%016" PRIx64, number);
		fd = openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
		if (fd < 0 && errno != EEXIST)
			return am_store_full(dir);
		if (fd >= 0 && flock(fd, LOCK_SH) == 0 && is_file(dir, name, fd))
			return fd;
		if (fd >= 0)
			am_store_close(fd);
	}
	return -1;
}

int am_store_temporary(int dir, mode_t mode)
{
	int fd = openat(dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, mode);

	if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOSYS || errno == EINVAL))
		return named_temporary(dir, mode);
	return fd < 0 ? am_store_full(dir) : fd;
}

void am_store_unname(int dir, int fd)
{
	char name[NAME_SIZE];
	int before = errno;

	if (temporary_name(dir, fd, name))
		unlinkat(dir, name, 0);
	errno = before;
}

void am_store_discard(int dir, int fd)
{
	am_store_unname(dir, fd);
	am_store_close(fd);
}

int am_store_sealed(int dir, int fd)
{
	char path[64], name[NAME_SIZE];
	int sealed;

	magic_link(path, fd);
	sealed = open(path, O_RDONLY | O_CLOEXEC);
	if (sealed >= 0 && temporary_name(dir, fd, name) && flock(sealed, LOCK_SH) < 0) {
		am_store_close(sealed);
		sealed = -1;
	}
	if (sealed < 0)
		am_store_discard(dir, fd);
	else
		close(fd);
	return sealed;
}

/* A crash between the two steps leaves the temporary name as a second link, which the sweep removes. */
int am_store_link(int dir, int fd, const char *name)
{
	char path[64], temporary[NAME_SIZE];
	int result;

	if (temporary_name(dir, fd, temporary)) {
		result = linkat(dir, temporary, dir, name, 0);
		if (result == 0)
			unlinkat(dir, temporary, 0);
	} else {
		magic_link(path, fd);
		result = linkat(AT_FDCWD, path, dir, name, AT_SYMLINK_FOLLOW);
	}
	return result < 0 ? am_store_full(dir) : 0;
}

void am_store_sweep(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0) {
		if (errno == ELOOP)
			unlinkat(dir, name, 0);
		return;
	}
	if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
		unlinkat(dir, name, 0);
		flock(fd, LOCK_UN); /* see am_store_unlock() */
	}
	close(fd);
}
