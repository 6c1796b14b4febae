/* SPDX-License-Identifier: MIT */
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define RESERVED	((uint64_t)1 << 20)	/* bytes at a time */

void am_store_close(int fd)
{
	int before = errno;

	close(fd);
	errno = before;
}

/* Where it is, in order of preference. False: there is no such place. */
static bool place(int choice, uid_t uid, char path[PATH_MAX])
{
	const char *runtime = secure_getenv("XDG_RUNTIME_DIR");
	int length;

	switch (choice) {
	case 0:
		if (!runtime || *runtime != '/')
			return false;
		length = snprintf(path, PATH_MAX, "%s/agentmem", runtime);
		return length < PATH_MAX;
	case 1:
		snprintf(path, PATH_MAX, "/dev/shm/agentmem-%u", uid);
		return true;
	default:
		snprintf(path, PATH_MAX, "/tmp/agentmem-%u", uid);
		return true;
	}
}

/* The directory if it is the user's own, who can write there, closed to all others, and no link that somebody laid there. */
static int open_place(const char *path, uid_t uid)
{
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (dir < 0 && errno == ENOENT && (mkdir(path, 0700) == 0 || errno == EEXIST))
		dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0)
		return -1;
	if (fstat(dir, &st) == 0 && st.st_uid == uid && !(st.st_mode & 077) && faccessat(dir, ".", W_OK, AT_EACCESS) == 0)
		return dir;
	close(dir);
	errno = EACCES;
	return -1;
}

int am_store_open(void)
{
	uid_t uid = geteuid();
	char path[PATH_MAX];

	for (int choice = 0; choice < 3; choice++) {
		int dir;

		if (!place(choice, uid, path))
			continue;
		dir = open_place(path, uid);
		if (dir >= 0)
			return dir;
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
			return -1;
	}
	errno = EACCES;
	return -1;
}

/* -- the lock ------------------------------------------------------------- */

static pthread_mutex_t forks = PTHREAD_MUTEX_INITIALIZER;
static int cancelling; /* what the holder's state of cancellation was */

static void hold_forks(void)
{
	pthread_mutex_lock(&forks);
}

static void let_forks(void)
{
	pthread_mutex_unlock(&forks);
}

/* From the start: a fork that has begun would not see what is registered meanwhile, and its child would wait for ever. */
__attribute__((constructor)) static void watch_forks(void)
{
	pthread_atfork(hold_forks, let_forks, let_forks);
}

int am_store_lock(int dir)
{
	int lock, state, result;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	pthread_mutex_lock(&forks);
	lock = openat(dir, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (lock >= 0) {
		do
			result = flock(lock, LOCK_EX);
		while (result < 0 && errno == EINTR);
		if (result == 0) {
			cancelling = state;
			return lock;
		}
		close(lock);
	}
	pthread_mutex_unlock(&forks);
	pthread_setcancelstate(state, NULL);
	return -1;
}

void am_store_unlock(int lock)
{
	int state = cancelling, before = errno;

	flock(lock, LOCK_UN); /* posix_spawn() asks nobody: until it executes its program, that has the descriptor, too */
	errno = before;
	am_store_close(lock);
	pthread_mutex_unlock(&forks);
	pthread_setcancelstate(state, NULL);
}

/* -- files ---------------------------------------------------------------- */

bool am_store_allows(uint64_t end)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_FSIZE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY || end <= limit.rlim_cur)
		return true;
	errno = ENOMEM;
	return false;
}

/* By parts: before Linux 6.18 any signal ended it, and what it had taken was given back. */
int am_store_reserve(int dir, int fd, uint64_t size)
{
	if (!am_store_allows(size))
		return -1;
	for (uint64_t done = 0, part; done < size;) {
		int failed;

		part = size - done < RESERVED ? size - done : RESERVED;
		failed = posix_fallocate(fd, (off_t)done, (off_t)part);
		if (failed && failed != EINTR) {
			errno = failed;
			return am_store_full(dir);
		}
		done += failed ? 0 : part;
	}
	return 0;
}

int am_store_write(int dir, int fd, const void *data, size_t size)
{
	off_t at = lseek(fd, 0, SEEK_CUR);

	if (at < 0 || !am_store_allows((uint64_t)at + size))
		return -1;
	for (size_t done = 0; done < size;) {
		ssize_t written = write(fd, (const char *)data + done, size - done);

		if (written < 0 && errno != EINTR)
			return am_store_full(dir);
		done += written < 0 ? 0 : (size_t)written;
	}
	return 0;
}

int am_store_full(int dir)
{
	struct statvfs fs;

	if (errno == ENOSPC || errno == EDQUOT)
		errno = fstatvfs(dir, &fs) == 0 && fs.f_files && !fs.f_ffree ? EDQUOT : ENOMEM;
	return -1;
}
