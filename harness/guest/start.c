// SPDX-License-Identifier: GPL-2.0-only
/* From a START frame to a process in a session of its own, on three pipes or on a terminal. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "guest.h"

#define EXIT_CANNOT 126 /* as shells have it: the command cannot be run */
#define EXIT_NOT_FOUND 127

struct command {
	struct start start;
	const char *cwd;
	char *argv[STRINGS_MAX + 1];
	char *env[STRINGS_MAX + 1];
};

static char *next_string(const uint8_t **at, size_t *left)
{
	char *text = (char *)*at;
	size_t length = strnlen(text, *left);

	if (length == *left)
		die("the strings of a START frame");
	*at += length + 1;
	*left -= length + 1;
	return text;
}

static void parse(struct command *command, const uint8_t *bytes, size_t left)
{
	if (left < sizeof(command->start))
		die("a START frame");
	memcpy(&command->start, bytes, sizeof(command->start));
	bytes += sizeof(command->start);
	left -= sizeof(command->start);
	if (!command->start.argc || command->start.argc + command->start.envc > STRINGS_MAX)
		die("the counts of a START frame");
	command->cwd = next_string(&bytes, &left);
	for (int i = 0; i < command->start.argc; i++)
		command->argv[i] = next_string(&bytes, &left);
	command->argv[command->start.argc] = NULL;
	for (int i = 0; i < command->start.envc; i++)
		command->env[i] = next_string(&bytes, &left);
	command->env[command->start.envc] = NULL;
}

static _Noreturn void run(const struct command *command, const int streams[3])
{
	sigset_t none;

	setsid();
	for (int i = 0; i < 3; i++)
		if (dup2(streams[i], i) < 0)
			_exit(EXIT_CANNOT);
	if (command->start.flags & START_TERMINAL)
		ioctl(0, TIOCSCTTY, 0);
	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (clearenv())
		_exit(EXIT_CANNOT);
	for (int i = 0; command->env[i]; i++)
		putenv(command->env[i]);
	if (chdir(command->cwd)) {
		dprintf(2, "init: %s: %s\n", command->cwd, strerror(errno));
		_exit(EXIT_CANNOT);
	}
	execvp(command->argv[0], command->argv);
	dprintf(2, "init: %s: %s\n", command->argv[0], strerror(errno));
	_exit(errno == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT);
}

static int terminal(const struct start *start, int *ours)
{
	struct winsize size = { .ws_row = start->rows, .ws_col = start->columns };
	int theirs;

	*ours = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	if (*ours < 0 || grantpt(*ours) || unlockpt(*ours))
		return -1;
	theirs = ioctl(*ours, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (theirs >= 0)
		ioctl(theirs, TIOCSWINSZ, &size);
	return theirs;
}

static bool pipes(int ours[3], int theirs[3])
{
	for (int i = 0; i < 3; i++) {
		int ends[2], mine = i == 0;

		if (pipe2(ends, O_CLOEXEC))
			return false;
		ours[i] = ends[mine];
		theirs[i] = ends[!mine];
		fcntl(ours[i], F_SETFL, O_NONBLOCK);
	}
	return true;
}

static void close_all(int fds[3])
{
	for (int i = 0; i < 3; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
		fds[i] = -1;
	}
}

int start_process(const uint8_t *bytes, uint32_t length, int fds[3])
{
	static struct command command;
	int theirs[3] = { -1, -1, -1 };
	bool ready;
	int pid = -1;

	parse(&command, bytes, length);
	if (command.start.flags & START_TERMINAL) {
		theirs[0] = theirs[1] = theirs[2] = terminal(&command.start, &fds[0]);
		ready = theirs[0] >= 0;
	} else {
		ready = pipes(fds, theirs);
	}
	if (ready)
		pid = fork();
	if (!pid)
		run(&command, theirs);
	if (command.start.flags & START_TERMINAL)
		theirs[1] = theirs[2] = -1; /* one descriptor, closed once */
	close_all(theirs);
	if (pid < 0)
		close_all(fds);
	return pid;
}
