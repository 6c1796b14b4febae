// SPDX-License-Identifier: GPL-2.0-only
/*
 * Agent processes that hold a pack's texts through libagentmem; runs in a guest that has the host's files.
 *
 *	agents PACK
 *
 * Prints what they hold as JSON, and whether it came back as it was. Each agent is a process: it puts its texts, marks
 * itself COLD as who waits for its user, and reads all of it when the others are done, too.
 */
#define _GNU_SOURCE
#include <agentmem.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../fleet.h"

_Noreturn void fail(int code, const char *what, int error)
{
	fprintf(stderr, error ? "%s: %s\n" : "%s\n", what, strerror(error));
	_exit(code);
}

static void *room(size_t count, size_t size)
{
	void *at = calloc(count + 1, size);

	if (!at)
		fail(EXIT_BROKEN, "calloc", errno);
	return at;
}

static void tell(int to, uint64_t number)
{
	if (write(to, &number, sizeof(number)) != sizeof(number))
		fail(EXIT_BROKEN, "write to another process of the fleet", errno);
}

/* What fails says so itself, and ends: with it, the rest of the fleet. */
static uint64_t told(int from)
{
	uint64_t number;
	int status;

	if (recv(from, &number, sizeof(number), MSG_WAITALL) == sizeof(number))
		return number;
	if (wait(&status) > 0 && WIFSIGNALED(status))
		fprintf(stderr, "%s ended an agent\n", strsignal(WTERMSIG(status)));
	_exit(EXIT_BROKEN);
}

static int put(const struct pack *pack, const struct pack_ref *ref, uint64_t *hits)
{
	const struct pack_blob *blob = &pack->blobs[ref->blob];
	uint8_t *text = room(blob->length, 1);
	struct agentmem_info info;
	int fd;

	pack_read(pack, text, blob->length, blob->offset);
	fd = agentmem_put((enum agentmem_type)ref->type, text, blob->length, NULL, &info);
	if (fd < 0)
		fail(EXIT_BROKEN, "agentmem_put", errno);
	free(text);
	*hits += !!(info.result & AGENTMEM_R_DEDUP);
	return fd;
}

static bool differs(int fd, const struct pack_blob *blob)
{
	uint8_t digest[SHA256_BYTES];
	struct agentmem_view view;
	struct sha256 sha;

	if (agentmem_map(fd, &view) < 0)
		fail(EXIT_BROKEN, "agentmem_map", errno);
	sha256_init(&sha);
	sha256_update(&sha, view.data, view.size);
	sha256_final(&sha, digest);
	agentmem_unmap(&view);
	return memcmp(digest, blob->sha256, sizeof(digest));
}

/* One agent's life: tells the inodes of what it holds, and how much was there; then, how many texts differ. */
_Noreturn static void hold(const struct pack *pack, uint32_t number, int end)
{
	const struct agentmem_mark cold = {
		.size = sizeof(cold), .valid = AGENTMEM_MARK_TEMPERATURE, .temperature = AGENTMEM_COLD,
	};
	const struct pack_agent *agent = &pack->agents[number];
	const struct pack_ref *refs = &pack->refs[agent->first];
	int *fds = room(agent->count, sizeof(*fds));
	uint64_t hits = 0, differ = 0;
	char name[32];

	snprintf(name, sizeof(name), "agent-%u", number);
	if (agentmem_agent(name, 0, 0) < 0)
		fail(EXIT_BROKEN, "agentmem_agent", errno);
	for (uint32_t i = 0; i < agent->count; i++)
		fds[i] = put(pack, &refs[i], &hits);
	if (agentmem_mark(AGENTMEM_SELF, &cold) < 0)
		fail(EXIT_BROKEN, "agentmem_mark", errno);
	for (uint32_t i = 0; i < agent->count; i++) {
		struct stat status;

		if (fstat(fds[i], &status) < 0)
			fail(EXIT_BROKEN, "fstat of an object", errno);
		tell(end, status.st_ino);
	}
	tell(end, hits);
	told(end);
	for (uint32_t i = 0; i < agent->count; i++)
		differ += differs(fds[i], &pack->blobs[refs[i].blob]);
	tell(end, differ);
	_exit(EXIT_WHOLE);
}

static int start(const struct pack *pack, uint32_t number)
{
	int ends[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		fail(EXIT_BROKEN, "socketpair", errno);
	pid = fork();
	if (pid < 0)
		fail(EXIT_BROKEN, "fork", errno);
	if (!pid) {
		close(ends[0]);
		hold(pack, number, ends[1]);
	}
	close(ends[1]);
	return ends[0];
}

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static uint64_t distinct(uint64_t *numbers, size_t count)
{
	uint64_t found = 0;

	qsort(numbers, count, sizeof(*numbers), by_number);
	for (size_t i = 0; i < count; i++)
		found += !i || numbers[i] != numbers[i - 1];
	return found;
}

static void print(const char *name, uint64_t figure)
{
	printf(", \"%s\": %" PRIu64, name, figure);
}

int main(int argc, char **argv)
{
	uint64_t *inodes, texts = 0, hits = 0, differ = 0;
	struct agentmem_stats figures = {.size = sizeof(figures)};
	struct pack pack;
	int *ends;

	if (argc != 2)
		fail(EXIT_USAGE, "agents PACK", EINVAL);
	pack_open(&pack, argv[1]);
	ends = room(pack.header->agents, sizeof(*ends));
	inodes = room(pack.header->refs, sizeof(*inodes));
	for (uint32_t i = 0; i < pack.header->agents; i++)
		ends[i] = start(&pack, i);
	for (uint32_t i = 0; i < pack.header->agents; i++) {
		for (uint32_t text = 0; text < pack.agents[i].count; text++)
			inodes[texts++] = told(ends[i]);
		hits += told(ends[i]);
	}
	if (agentmem_stats(AGENTMEM_SCOPE_DOMAIN, -1, &figures) < 0)
		fail(EXIT_BROKEN, "agentmem_stats", errno);
	for (uint32_t i = 0; i < pack.header->agents; i++)
		tell(ends[i], 0);
	for (uint32_t i = 0; i < pack.header->agents; i++)
		differ += told(ends[i]);
	printf("{\"runtime\": \"gcc " __VERSION__ "\", \"backend\": \"%s\"", agentmem_backend());
	print("agents", pack.header->agents);
	print("texts", texts);
	print("objects", distinct(inodes, texts));
	print("logical_bytes", figures.logical_bytes);
	print("unique_bytes", figures.unique_bytes);
	print("resident_bytes", figures.resident_top + figures.resident_lower);
	print("stored_bytes", figures.stored_bytes);
	print("dedup_hits", hits);
	print("differ", differ);
	printf("}\n");
	return EXIT_WHOLE;
}
