// SPDX-License-Identifier: GPL-2.0-only
/* Files in and out, and marks on the console: commands like any other, so the channel need not know of them. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest.h"

static int fail(const char *path)
{
	fprintf(stderr, "%s: %s\n", path, strerror(errno));
	return 1;
}

static int copy(int from, int to, const char *path)
{
	static char buffer[64 << 10];
	ssize_t got;

	while ((got = read(from, buffer, sizeof(buffer))) > 0)
		for (ssize_t done = 0, now; done < got; done += now) {
			now = write(to, buffer + done, (size_t)(got - done));
			if (now < 0)
				return fail(path);
		}
	return got < 0 ? fail(path) : 0;
}

static void make_parents(const char *path)
{
	char *parent = strdup(path);

	for (char *slash = strchr(parent + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = 0;
		mkdir(parent, 0755); /* what is wrong shows when the file is opened */
		*slash = '/';
	}
	free(parent);
}

/* Removed first: a program that runs cannot be written to, and a symbolic link is not what was asked for. */
static int put(mode_t mode, const char *path)
{
	struct stat status;
	int fd;

	make_parents(path);
	if (!lstat(path, &status) && (S_ISREG(status.st_mode) || S_ISLNK(status.st_mode)))
		unlink(path); /* fails in sysfs and such, where it must not succeed */
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
	if (fd < 0)
		return fail(path);
	fchmod(fd, mode);
	if (copy(0, fd, path))
		return 1;
	return close(fd) ? fail(path) : 0;
}

static int get(const char *path)
{
	int fd = open(path, O_RDONLY);

	return fd < 0 ? fail(path) : copy(fd, 1, path);
}

/* printk's order is the log's order: when the mark is on the console, all that came before it is. */
static int mark(const char *text)
{
	int fd = open("/dev/kmsg", O_WRONLY);

	if (fd < 0 || dprintf(fd, "<6>%s\n", text) < 0)
		return fail("/dev/kmsg");
	return 0;
}

int tool(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "put"))
		return put((mode_t)strtoul(argv[2], NULL, 8), argv[3]);
	if (argc == 3 && !strcmp(argv[1], "get"))
		return get(argv[2]);
	if (argc == 3 && !strcmp(argv[1], "mark"))
		return mark(argv[2]);
	fprintf(stderr, "usage: %s put MODE PATH | get PATH | mark TEXT\n", argv[0]);
	return 2;
}
