// SPDX-License-Identifier: GPL-2.0-only
/*
 * The pack file. Its tables are checked once, here; everybody else may trust every index and every range.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fleet.h"

_Static_assert(sizeof(struct pack_header) == 32, "no padding");
_Static_assert(sizeof(struct pack_blob) == 48, "no padding");

#define MOST (1U << 24) /* entries of a table: far more than any fleet, and no overflow in 64 bits */

void pack_read(const struct pack *pack, void *to, size_t length, uint64_t offset)
{
	uint8_t *at = to;

	while (length) {
		ssize_t got = pread(pack->fd, at, length, (off_t)offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			fail(EXIT_USAGE, "the pack file is short or cannot be read", got < 0 ? errno : 0);
		at += got;
		offset += (uint64_t)got;
		length -= (size_t)got;
	}
}

static void *table(const struct pack *pack, uint64_t *offset, size_t count, size_t size)
{
	void *entries = malloc(count * size + 1);

	if (!entries)
		fail(EXIT_BROKEN, "no memory for the tables of the pack", errno);
	pack_read(pack, entries, count * size, *offset);
	*offset += count * size;
	return entries;
}

static bool sound(const struct pack *pack, uint64_t texts_at)
{
	const struct pack_header *header = pack->header;

	for (uint32_t i = 0; i < header->agents; i++) {
		const struct pack_agent *agent = &pack->agents[i];

		if (agent->first > header->refs || agent->count > header->refs - agent->first)
			return false;
	}
	for (uint32_t i = 0; i < header->refs; i++)
		if (pack->refs[i].blob >= header->blobs)
			return false;
	for (uint32_t i = 0; i < header->blobs; i++) {
		const struct pack_blob *blob = &pack->blobs[i];

		if (!blob->length || blob->offset < texts_at || blob->offset > header->size ||
		    blob->length > header->size - blob->offset)
			return false;
	}
	return true;
}

void pack_open(struct pack *pack, const char *path)
{
	struct pack_header *header = malloc(sizeof(*header));
	uint64_t at = sizeof(*header);
	struct stat st;

	pack->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (pack->fd < 0 || fstat(pack->fd, &st))
		fail(EXIT_USAGE, "cannot open the pack file", errno);
	if (!header)
		fail(EXIT_BROKEN, "no memory", errno);
	pack_read(pack, header, sizeof(*header), 0);
	if (memcmp(header->magic, PACK_MAGIC, sizeof(header->magic)) || header->size != (uint64_t)st.st_size)
		fail(EXIT_USAGE, "not a pack file, or not all of it", 0);
	if (!header->agents || header->agents > MOST || header->refs > MOST || header->blobs > MOST)
		fail(EXIT_USAGE, "the pack's header makes no sense", 0);
	pack->header = header;
	pack->agents = table(pack, &at, header->agents, sizeof(*pack->agents));
	pack->refs = table(pack, &at, header->refs, sizeof(*pack->refs));
	pack->blobs = table(pack, &at, header->blobs, sizeof(*pack->blobs));
	if (!sound(pack, at))
		fail(EXIT_USAGE, "the pack's tables point outside of it", 0);
}
