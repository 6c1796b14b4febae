// SPDX-License-Identifier: GPL-2.0-only
/* Reads programs, runs each as a lane, writes what came out. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "calls.h"

#define USERS 16	/* uids that a lane may use */
#define INPUT_MAX (64u << 20)
#define SETTLE_MS 5000

const uint8_t *pool;
size_t pool_size;

_Noreturn void die(int code, const char *what)
{
	fprintf(stderr, "calls: %s: %s\n", what, strerror(errno));
	exit(code);
}

/* -- input -- */

struct reader {
	const uint8_t *at;
	size_t left;
};

static void get(struct reader *reader, void *to, size_t length)
{
	if (length > reader->left) {
		errno = EINVAL;
		die(2, "the input is cut off");
	}
	memcpy(to, reader->at, length);
	reader->at += length;
	reader->left -= length;
}

static uint32_t get_word(struct reader *reader)
{
	uint32_t word;

	get(reader, &word, sizeof(word));
	return word;
}

static void read_call(struct reader *reader, struct call *call)
{
	struct {
		uint8_t op, proc, words, reserved;
		uint16_t bytes;
	} __attribute__((packed)) head;

	get(reader, &head, sizeof(head));
	if (head.op >= OP_COUNT || head.proc >= PROCS || head.words > WORDS || head.bytes > BYTES) {
		errno = EINVAL;
		die(2, "a call");
	}
	*call = (struct call){ .op = head.op, .proc = head.proc, .words = head.words, .bytes = head.bytes };
	get(reader, call->w, head.words * sizeof(*call->w));
	get(reader, call->b, head.bytes);
}

static struct program read_program(struct reader *reader)
{
	struct program program = { .count = get_word(reader) };

	if (program.count > CALLS_MAX) {
		errno = E2BIG;
		die(2, "a program");
	}
	program.calls = calloc(program.count + 1, sizeof(*program.calls));
	if (!program.calls)
		die(3, "calloc");
	for (uint32_t i = 0; i < program.count; i++)
		read_call(reader, &program.calls[i]);
	return program;
}

static struct reader read_input(void)
{
	uint8_t *input = malloc(INPUT_MAX);
	size_t length = 0;
	ssize_t got;

	if (!input)
		die(3, "malloc");
	while ((got = read(0, input + length, INPUT_MAX - length)) > 0)
		length += (size_t)got;
	return (struct reader){ input, length };
}

static void map_pool(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		die(2, path);
	pool_size = (size_t)st.st_size;
	pool = mmap(NULL, pool_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	if (pool == MAP_FAILED)
		die(3, path);
	close(fd);
}

/* -- output -- */

static void put(const void *bytes, size_t length)
{
	const uint8_t *at = bytes;

	while (length) {
		ssize_t done = write(1, at, length);

		if (done < 0)
			die(3, "write");
		at += done;
		length -= (size_t)done;
	}
}

static void put_lane(const struct shared *shared)
{
	bool broken = shared->trouble[0];
	uint32_t head[2] = { broken, broken ? (uint32_t)strlen(shared->trouble) : shared->length };

	put(head, sizeof(head));
	put(broken ? (const uint8_t *)shared->trouble : shared->output, head[1]);
}

/* -- all lanes -- */

static void start(struct lane *lane, uint32_t index, uid_t uid)
{
	pid_t pid;

	lane->uid = uid + index * USERS;
	lane->shared = mmap(NULL, sizeof(*lane->shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (lane->shared == MAP_FAILED)
		die(3, "mmap");
	pid = fork();
	if (pid < 0)
		die(3, "fork");
	if (!pid)
		lane_run(lane);
}

static void system_stats(struct agent_stats *stats)
{
	if (get_stats(AGENT_STATS_SYSTEM, -1, stats, sizeof(*stats)) < 0)
		die(3, "figures of the system");
}

/* The lanes are gone, so the system has to have what it had; some of it is freed a little later. */
static void settle(const struct agent_stats *before, struct agent_stats *after)
{
	size_t from = offsetof(struct agent_stats, smus), length = offsetof(struct agent_stats, dedup_hits) - from;

	for (int waited = 0; waited < SETTLE_MS; waited++) {
		system_stats(after);
		if (!memcmp((char *)after + from, (const char *)before + from, length))
			return;
		usleep(1000);
	}
}

int main(int argc, char **argv)
{
	static struct lane lanes[LANES];
	struct agent_stats before, after;
	struct reader input;
	uint32_t count;

	if (argc != 3)
		return 2;
	map_pool(argv[1]);
	memory_prepare();
	input = read_input();
	count = get_word(&input);
	if (count > LANES)
		return 2;
	for (uint32_t i = 0; i < count; i++)
		lanes[i].program = read_program(&input);
	system_stats(&before);
	for (uint32_t i = 0; i < count; i++)
		start(&lanes[i], i, (uid_t)atoi(argv[2]));
	for (int status; wait(&status) > 0;)
		;
	settle(&before, &after);
	put("AMRESULT", 8);
	put(&count, sizeof(count));
	for (uint32_t i = 0; i < count; i++)
		put_lane(lanes[i].shared);
	put(&before, sizeof(before));
	put(&after, sizeof(after));
	return 0;
}
