// SPDX-License-Identifier: GPL-2.0-only
/* The commands that run: their streams, their windows, their end. */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest.h"

#define QUIET_MS 50 /* a terminal whose command has ended is read until it was quiet for this long */

enum { IN, OUT, ERR };

struct session {
	uint32_t id;
	int pid; /* 0: the slot is free */
	bool terminal;
	int fds[3]; /* our ends; -1: closed. A terminal: fds[OUT] is a copy of fds[IN] */
	uint8_t *input; /* ring of WINDOW bytes: stdin on its way into the command */
	uint32_t first, waiting;
	bool input_ended;
	uint32_t window; /* bytes of output we may still send */
	bool ended;
	int status;
	int remaining[3]; /* once ended: bytes that were in the pipe when it did, and are still to be sent */
};

static struct session sessions[SESSIONS];

static struct session *find(uint32_t id)
{
	for (struct session *s = sessions; s < sessions + SESSIONS; s++)
		if (s->pid && s->id == id)
			return s;
	return NULL;
}

static void close_stream(struct session *s, int which)
{
	if (s->fds[which] >= 0)
		close(s->fds[which]);
	s->fds[which] = -1;
}

static void exited(uint32_t id, uint32_t sig, uint32_t code)
{
	uint32_t words[2] = { sig, code };

	port_send(FRAME_EXIT, id, words, sizeof(words));
}

static void start(uint32_t id, const uint8_t *bytes, uint32_t length)
{
	struct session *s = sessions;

	while (s < sessions + SESSIONS && s->pid)
		s++;
	if (s == sessions + SESSIONS) {
		static const char full[] = "init: too many commands at a time\n";

		port_send(FRAME_ERROR, id, full, sizeof(full) - 1);
		exited(id, 0, 126);
		return;
	}
	*s = (struct session){ .id = id, .window = WINDOW, .fds = { -1, -1, -1 } };
	s->input = malloc(WINDOW);
	s->pid = s->input ? start_process(bytes, length, s->fds) : -1;
	if (s->pid < 0) {
		const char *reason = strerror(errno);

		port_send(FRAME_ERROR, id, reason, strlen(reason));
		exited(id, 0, 126);
		free(s->input);
		s->pid = 0;
		return;
	}
	s->terminal = s->fds[OUT] < 0;
	if (s->terminal)
		s->fds[OUT] = fcntl(s->fds[IN], F_DUPFD_CLOEXEC, 0);
}

/* To every process of the session, whatever group it moved to: a shell puts each job into one of its own. */
static void send_signal(const struct session *s, int sig)
{
	struct dirent *entry;
	DIR *processes = opendir("/proc");

	if (!processes) {
		kill(-s->pid, sig);
		return;
	}
	while ((entry = readdir(processes)))
		if (isdigit((unsigned char)*entry->d_name)) {
			int pid = atoi(entry->d_name);

			if (getsid(pid) == s->pid)
				kill(pid, sig);
		}
	closedir(processes);
}

static void take_input(struct session *s, const uint8_t *bytes, uint32_t length)
{
	if (!length)
		s->input_ended = true;
	if (length > WINDOW - s->waiting)
		die("more input than the window");
	for (uint32_t i = 0; i < length; i++)
		s->input[(s->first + s->waiting + i) % WINDOW] = bytes[i];
	s->waiting += length;
}

static void resize(struct session *s, const uint8_t *bytes)
{
	uint16_t size[2];
	struct winsize winsize = { 0 };

	memcpy(size, bytes, sizeof(size));
	winsize.ws_row = size[0];
	winsize.ws_col = size[1];
	if (s->terminal && s->fds[IN] >= 0)
		ioctl(s->fds[IN], TIOCSWINSZ, &winsize);
}

void session_frame(uint32_t type, uint32_t id, const uint8_t *bytes, uint32_t length)
{
	struct session *s = find(id);
	uint32_t word = 0;

	if (type == FRAME_START && !s) {
		start(id, bytes, length);
		return;
	}
	if (!s)
		return; /* it ended while the frame was on its way */
	if (length == sizeof(word))
		memcpy(&word, bytes, sizeof(word));
	if (type == FRAME_INPUT)
		take_input(s, bytes, length);
	else if (type == FRAME_SIGNAL)
		send_signal(s, (int)word);
	else if (type == FRAME_RESIZE && length == sizeof(word))
		resize(s, bytes);
	else if (type == FRAME_CREDIT)
		s->window += word;
	else
		die("the type of a frame");
}

void session_ended(int pid, int status)
{
	for (struct session *s = sessions; s < sessions + SESSIONS; s++) {
		if (s->pid != pid || s->ended)
			continue;
		s->ended = true;
		s->status = status;
		for (int i = OUT; i <= ERR; i++)
			if (s->fds[i] >= 0 && !s->terminal)
				ioctl(s->fds[i], FIONREAD, &s->remaining[i]);
		if (s->terminal)
			send_signal(s, SIGHUP); /* jobs that outlive their shell, as when a terminal is hung up */
	}
}

static void give_input(struct session *s)
{
	while (s->waiting && s->fds[IN] >= 0) {
		uint32_t run = s->waiting < WINDOW - s->first ? s->waiting : WINDOW - s->first;
		ssize_t done = write(s->fds[IN], s->input + s->first, run);
		uint32_t taken = (uint32_t)done;

		if (done < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (done < 0) { /* nobody reads it any more: let it go, so that the host is not kept waiting */
			taken = s->waiting;
			close_stream(s, IN);
		}
		s->first = (s->first + taken) % WINDOW;
		s->waiting -= taken;
		port_send(FRAME_CREDIT, s->id, &taken, sizeof(taken));
	}
	if (s->fds[IN] < 0 && s->waiting) {
		port_send(FRAME_CREDIT, s->id, &s->waiting, sizeof(s->waiting));
		s->waiting = 0;
	}
	if (s->input_ended && !s->waiting && !s->terminal)
		close_stream(s, IN);
}

/* One frame of output; false if there is nothing now. */
static bool pass_output(struct session *s, int which)
{
	static uint8_t buffer[FRAME_MAX];
	size_t most = s->window < sizeof(buffer) ? s->window : sizeof(buffer);
	ssize_t got;

	if (s->ended && !s->terminal && most > (size_t)s->remaining[which])
		most = (size_t)s->remaining[which];
	if (s->fds[which] < 0 || !most)
		return false;
	got = read(s->fds[which], buffer, most);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (got <= 0) { /* EIO: the terminal's last process closed it */
		close_stream(s, which);
		return false;
	}
	s->window -= (uint32_t)got;
	s->remaining[which] -= s->ended ? (int)got : 0;
	port_send(which == ERR ? FRAME_ERROR : FRAME_OUTPUT, s->id, buffer, (size_t)got);
	return true;
}

/* What the command wrote before it ended has been sent; what its children write later is not waited for. */
static bool drained(const struct session *s)
{
	if (s->terminal)
		return s->fds[OUT] < 0 || (s->window && !poll(&(struct pollfd){ s->fds[OUT], POLLIN, 0 }, 1, QUIET_MS));
	return (s->fds[OUT] < 0 || s->remaining[OUT] <= 0) && (s->fds[ERR] < 0 || s->remaining[ERR] <= 0);
}

static void finish(struct session *s)
{
	int sig = WIFSIGNALED(s->status) ? WTERMSIG(s->status) : 0;

	for (int i = IN; i <= ERR; i++)
		close_stream(s, i);
	free(s->input);
	exited(s->id, (uint32_t)sig, sig ? 128u + (uint32_t)sig : (uint32_t)WEXITSTATUS(s->status));
	s->pid = 0;
}

int session_poll(struct pollfd *fds)
{
	struct pollfd *at = fds;

	for (struct session *s = sessions; s < sessions + SESSIONS; s++) {
		if (!s->pid)
			continue;
		if (s->fds[IN] >= 0 && s->waiting)
			*at++ = (struct pollfd){ .fd = s->fds[IN], .events = POLLOUT };
		for (int i = OUT; i <= ERR && s->window; i++)
			if (s->fds[i] >= 0)
				*at++ = (struct pollfd){ .fd = s->fds[i], .events = POLLIN };
	}
	return (int)(at - fds);
}

void session_serve(void)
{
	for (struct session *s = sessions; s < sessions + SESSIONS; s++) {
		if (!s->pid)
			continue;
		give_input(s);
		/* One frame of each a round: a command that floods does not keep the others from being served. */
		pass_output(s, OUT);
		pass_output(s, ERR);
		if (s->ended && drained(s))
			finish(s);
	}
}
