// SPDX-License-Identifier: GPL-2.0-only
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"

/* Touched before the first measurement, so that verifying costs no memory that holding did not. */
static uint8_t expected[WINDOW], again[WINDOW];

static void note(struct reply *reply, uint32_t ref, uint64_t offset, const char *what)
{
	if (reply->differ++)
		return; /* the first one is told, the others are counted */
	reply->ref = ref;
	reply->offset = offset;
	snprintf(reply->what, sizeof(reply->what), "%s", what);
}

static bool read_again(int fd, uint64_t offset, size_t length)
{
	for (size_t done = 0; done < length;) {
		ssize_t got = pread(fd, again + done, length - done, (off_t)(offset + done));

		if (got <= 0)
			return false;
		done += (size_t)got;
	}
	return true;
}

static uint64_t first_difference(const uint8_t *a, const uint8_t *b, size_t length)
{
	size_t i = 0;

	while (i < length && a[i] == b[i])
		i++;
	return i;
}

/* A text as the process has it, against the pack: byte for byte, once more by pread of an SMU, and by SHA-256. */
static void verify(const struct fleet *fleet, uint32_t ref, struct reply *reply)
{
	const struct pack_blob *blob = &fleet->pack.blobs[fleet->pack.refs[ref].blob];
	const struct held *held = &fleet->held[ref];
	uint8_t digest[SHA256_BYTES];
	struct sha256 sha;

	sha256_init(&sha);
	for (uint64_t at = 0; at < blob->length; at += WINDOW) {
		size_t length = blob->length - at < WINDOW ? blob->length - at : WINDOW;
		const uint8_t *mine = held->bytes + at;

		pack_read(&fleet->pack, expected, length, blob->offset + at);
		if (memcmp(mine, expected, length)) {
			note(reply, ref, at + first_difference(mine, expected, length), "memory differs from the pack");
			return;
		}
		if (held->fd >= 0 && !read_again(held->fd, at, length)) {
			note(reply, ref, at, "pread gave less than the text");
			return;
		}
		if (held->fd >= 0 && memcmp(again, expected, length)) {
			note(reply, ref, at + first_difference(again, expected, length), "pread differs from the pack");
			return;
		}
		sha256_update(&sha, mine, length);
	}
	sha256_final(&sha, digest);
	if (memcmp(digest, blob->sha256, SHA256_BYTES))
		note(reply, ref, 0, "SHA-256 differs");
}

/* One text; false ends the round. */
static bool treat(const struct fleet *fleet, uint32_t command, uint32_t ref, struct reply *reply)
{
	const struct pack_ref *text = &fleet->pack.refs[ref];
	uint64_t length = fleet->pack.blobs[text->blob].length;
	const char *failed = NULL;

	if (command == COMMAND_HOLD)
		failed = fleet->holder->hold(&fleet->held[ref], &fleet->pack, text, ref == fleet->damage);
	else if (command == COMMAND_VERIFY)
		verify(fleet, ref, reply);
	else if (command == COMMAND_DROP)
		failed = fleet->holder->drop(&fleet->held[ref], length);
	if (failed) {
		reply->error = errno;
		reply->ref = ref;
		snprintf(reply->what, sizeof(reply->what), "%s", failed);
		return false;
	}
	reply->texts++;
	reply->bytes += length;
	return true;
}

/* Does everything once, so that what the first time costs (heap, stack, slabs) is not taken for the cost of texts. */
static void warm_up(const struct fleet *fleet, const struct pack_agent *mine, struct reply *reply)
{
	static const uint32_t round[] = { COMMAND_HOLD, COMMAND_VERIFY, COMMAND_DROP };

	memset(expected, 1, sizeof(expected));
	memset(again, 1, sizeof(again));
	for (size_t i = 0; i < sizeof(round) / sizeof(*round) && mine->count; i++)
		if (!treat(fleet, round[i], mine->first, reply))
			return;
	reply->differ = 0; /* told when it counts */
}

_Noreturn void agent_run(const struct fleet *fleet, uint32_t index, int commands, int replies)
{
	const struct pack_agent *mine = &fleet->pack.agents[index];
	char command;

	while (read(commands, &command, 1) == 1) {
		struct reply reply = { .agent = index, .command = (unsigned char)command };

		if (command == COMMAND_READY)
			warm_up(fleet, mine, &reply);
		else
			for (uint32_t i = 0; i < mine->count; i++)
				if (!treat(fleet, reply.command, mine->first + i, &reply))
					break;
		if (write(replies, &reply, sizeof(reply)) != sizeof(reply))
			_exit(EXIT_BROKEN);
	}
	_exit(EXIT_WHOLE);
}
