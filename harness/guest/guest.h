/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest's first process. It mounts what a kernel offers and serves the control channel, a virtio-serial port named
 * PORT: commands of the laboratory, several at a time, their streams apart, their exit status exact.
 *
 * A frame is a struct frame and `length` bytes. harness/channel.py is the other end and has the same numbers.
 * Flow: a stream's sender may have WINDOW bytes of a session on their way; CREDIT gives back what was taken.
 * So neither end ever has to stop reading the port, and one command that stalls does not stall the others.
 */
#ifndef GUEST_H
#define GUEST_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PORT "harness.control"
#define VERSION 1
#define MAGIC 0x4d41 /* "AM" */
#define FRAME_MAX (32u << 10)
#define WINDOW (256u << 10)
#define SESSIONS 64
#define STRINGS_MAX 1024 /* argv and environment together */

enum frame_type {
	FRAME_HELLO = 1,  /* to the host: u32 VERSION */
	FRAME_START = 2,  /* to the guest: struct start, then cwd, argv and env as strings with their NUL */
	FRAME_INPUT = 3,  /* to the guest: stdin; no bytes: its end */
	FRAME_SIGNAL = 4, /* to the guest: u32 signal, for every process of the session */
	FRAME_RESIZE = 5, /* to the guest: u16 rows, u16 columns */
	FRAME_OUTPUT = 6, /* to the host: stdout, or the terminal */
	FRAME_ERROR = 7,  /* to the host: stderr */
	FRAME_CREDIT = 8, /* both ways: u32 bytes taken */
	FRAME_EXIT = 9,   /* to the host, last of a session: u32 signal or 0, u32 exit code */
};

struct frame {
	uint16_t magic;
	uint16_t type;
	uint32_t session;
	uint32_t length;
};

#define START_TERMINAL 1u

struct start {
	uint32_t flags;
	uint16_t rows, columns;
	uint16_t argc, envc;
};

/* port.c */
extern int port;
bool port_open(void);
void port_send(uint32_t type, uint32_t session, const void *bytes, size_t length);
/* Reads what there is and hands whole frames to session_frame(). */
void port_receive(void);

/* session.c */
void session_frame(uint32_t type, uint32_t session, const uint8_t *bytes, uint32_t length);
void session_ended(int pid, int status);
/* Fills up to SESSIONS * 3 of them; answers how many. */
int session_poll(struct pollfd *fds);
void session_serve(void);

/* start.c: a process of its own, with its ends of the streams in fds (stdin, stdout, stderr; a terminal: one) */
int start_process(const uint8_t *bytes, uint32_t length, int fds[3]);

/* tools.c: what the same program does when it is called as a command: `/init put MODE PATH`, `get PATH`, `mark TEXT` */
int tool(int argc, char **argv);

_Noreturn void die(const char *what);

#endif
