/* SPDX-License-Identifier: MIT */
#include "tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A whole small file of /proc; false: not there, or empty. */
static bool read_file(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : read(fd, text, size - 1);

	if (fd >= 0)
		close(fd);
	text[got > 0 ? got : 0] = '\0';
	return got > 0;
}

/* The letter after the name, which may hold anything. */
static char state_of(const char *stat)
{
	const char *end = strrchr(stat, ')');

	return end && end[1] ? end[2] : '?';
}

static bool has(const struct tree *tree, pid_t pid)
{
	for (int i = 0; i < tree->count; i++)
		if (tree->pids[i] == pid)
			return true;
	return false;
}

static void add(struct tree *tree, pid_t pid)
{
	if (tree->count == TREE_MAX)
		tree->ready = true;
	else if (!has(tree, pid))
		tree->pids[tree->count++] = pid;
}

/* One thread: whether it is ready, and the children that it started. */
static void look_at_thread(struct tree *tree, pid_t pid, const char *thread)
{
	char path[64], text[4096], *at = text;
	long child;

	snprintf(path, sizeof(path), "/proc/%d/task/%.16s/stat", (int)pid, thread);
	if (read_file(path, text, sizeof(text)))
		tree->ready |= strchr("RD", state_of(text)) != NULL;
	snprintf(path, sizeof(path), "/proc/%d/task/%.16s/children", (int)pid, thread);
	read_file(path, text, sizeof(text));
	while ((child = strtol(at, &at, 10)) > 0)
		add(tree, (pid_t)child);
}

static void look_at_process(struct tree *tree, pid_t pid)
{
	struct timespec time;
	struct dirent *entry;
	char path[64];
	clockid_t clock;
	DIR *threads;

	if (clock_getcpuclockid(pid, &clock) == 0 && clock_gettime(clock, &time) == 0)
		tree->used += (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	threads = opendir(path);
	while (threads && (entry = readdir(threads)))
		if (entry->d_name[0] != '.')
			look_at_thread(tree, pid, entry->d_name);
	if (threads)
		closedir(threads);
}

bool tree_look(struct tree *tree, pid_t pid)
{
	char path[64], text[1024];

	*tree = (struct tree){.pids = {pid}, .count = 1};
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (!read_file(path, text, sizeof(text)))
		return false;
	tree->stopped = state_of(text) == 'T';
	for (int i = 0; i < tree->count; i++)
		look_at_process(tree, tree->pids[i]);
	return true;
}

bool tree_same(const struct tree *one, const struct tree *other)
{
	if (one->count != other->count)
		return false;
	for (int i = 0; i < one->count; i++)
		if (!has(other, one->pids[i]))
			return false;
	return true;
}
