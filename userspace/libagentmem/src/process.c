/* SPDX-License-Identifier: MIT */
#include "process.h"

#include <dirent.h>
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

static int read_start(pid_t pid, uint64_t *start)
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

/* The number of PID namespaces from that of /proc to the process's own, and its id in the last. 0 with errno. */
static int read_depth(pid_t pid, int64_t *innermost)
{
	char path[64], line[256], *at, *end;
	FILE *status;
	long number;
	int depth = 0;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	status = fopen(path, "re");
	if (!status) {
		errno = errno == ENOENT ? ESRCH : errno;
		return 0;
	}
	while (!depth && fgets(line, sizeof(line), status)) {
		if (strncmp(line, "NStgid:", 7))
			continue;
		for (at = line + 7; number = strtol(at, &end, 10), end != at; at = end, depth++)
			*innermost = number;
	}
	fclose(status);
	if (!depth) { /* a kernel without PID namespaces */
		*innermost = pid;
		depth = 1;
	}
	return depth;
}

pid_t am_process_self(void)
{
	char text[32];
	ssize_t got = readlink("/proc/self", text, sizeof(text) - 1);

	text[got > 0 ? got : 0] = '\0';
	return got > 0 ? (pid_t)strtol(text, NULL, 10) : getpid();
}

uint64_t am_process_space(void)
{
	struct stat st;

	/* Not /proc/self: that is the first thread, which may have exited. */
	return stat("/proc/thread-self/ns/pid", &st) == 0 ? st.st_ino : 0;
}

/* Whether /proc shows the caller's own namespace. */
static bool own_proc(void)
{
	int64_t pid;

	return read_depth(am_process_self(), &pid) == 1;
}

int am_process_identify(pid_t pid, struct process *process)
{
	char path[64];
	struct stat st;
	int depth;

	*process = (struct process){0};
	if (read_start(pid, &process->start) < 0)
		return -1;
	depth = read_depth(pid, &process->pid);
	if (!depth)
		return -1;
	snprintf(path, sizeof(path), "/proc/%d/ns/pid", (int)pid);
	if (stat(path, &st) == 0) {
		process->space = st.st_ino;
		return 0;
	}
	/* Not dumpable. With a single id in the caller's own /proc, its namespace is the caller's. */
	if (depth == 1 && own_proc()) {
		process->space = am_process_space();
		return 0;
	}
	errno = EPERM;
	return -1;
}

bool am_process_same(const struct process *one, const struct process *other)
{
	return one->space == other->space && one->start == other->start && one->pid == other->pid;
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
	return read_start(*pid, &start);
}

bool am_process_own(pid_t pid)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	return pid == am_process_self() || (stat(path, &st) == 0 && st.st_uid == geteuid());
}

/* -- child namespaces ------------------------------------------------------- */

void am_nested_free(struct nested *nested)
{
	free(nested->list);
	*nested = (struct nested){0};
}

static void add_nested(struct nested *nested, pid_t pid)
{
	struct process process;
	int64_t innermost;

	if (read_depth(pid, &innermost) < 2)
		return;
	if (am_process_identify(pid, &process) < 0) {
		nested->incomplete |= errno != ESRCH;
		return;
	}
	if (nested->count == nested->room) {
		size_t room = nested->room ? 2 * nested->room : 64;
		void *list = realloc(nested->list, room * sizeof(*nested->list));

		if (!list) {
			nested->incomplete = true;
			return;
		}
		nested->list = list;
		nested->room = room;
	}
	nested->list[nested->count].process = process;
	nested->list[nested->count++].pid = pid;
}

static void read_nested(struct nested *nested)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;

	nested->read = true;
	nested->incomplete = !proc;
	while (proc && (entry = readdir(proc))) {
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);

		if (pid > 0 && am_process_own(pid))
			add_nested(nested, pid);
	}
	if (proc)
		closedir(proc);
}

pid_t am_process_find(const struct process *process, struct nested *nested)
{
	bool own = process->space == am_process_space();

	if (own && own_proc()) {
		uint64_t start;

		if (read_start((pid_t)process->pid, &start) < 0)
			return errno == ESRCH ? 0 : -1;
		return start == process->start ? (pid_t)process->pid : 0;
	}
	if (!nested->read)
		read_nested(nested);
	for (size_t i = 0; i < nested->count; i++)
		if (am_process_same(&nested->list[i].process, process))
			return nested->list[i].pid;
	return own && !nested->incomplete ? 0 : -1;
}
