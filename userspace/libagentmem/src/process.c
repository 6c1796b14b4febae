/* SPDX-License-Identifier: MIT */
/* What /proc tells of processes. */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static ssize_t slurp(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got;

	if (fd < 0)
		return -1;
	got = read(fd, text, size - 1);
	close(fd);
	text[got > 0 ? got : 0] = '\0';
	return got;
}

int am_process_start(pid_t pid, uint64_t *start)
{
	char path[64], text[1024], state;
	const char *after;
	int threads;

	errno = ESRCH;
	if (pid <= 0)
		return -1;
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (slurp(path, text, sizeof(text)) < 0) {
		errno = errno == ENOENT ? ESRCH : errno;
		return -1;
	}
	/* comm is in brackets, and may contain any. The state is the first thread's: without it, others may go on. */
	if ((after = strrchr(text, ')')) &&
	    sscanf(after, ") %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %d %*d %" SCNu64, &state,
		   &threads, start) == 3 && ((state != 'Z' && state != 'X') || threads > 1))
		return 0;
	errno = ESRCH;
	return -1;
}

int am_process_of(int pidfd, pid_t *pid)
{
	char path[64], text[1024];
	const char *line;
	uint64_t start;

	if (fcntl(pidfd, F_GETFD) < 0)
		return -1;
	snprintf(path, sizeof(path), "/proc/thread-self/fdinfo/%d", pidfd);
	if (slurp(path, text, sizeof(text)) < 0 || !(line = strstr(text, "\nPid:\t"))) {
		errno = EBADFD;
		return -1;
	}
	*pid = (pid_t)strtol(line + 6, NULL, 10);
	return am_process_start(*pid, &start);
}

bool am_process_own(pid_t pid)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	return pid == getpid() || (stat(path, &st) == 0 && st.st_uid == geteuid());
}
