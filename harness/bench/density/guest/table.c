// SPDX-License-Identifier: GPL-2.0-only
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fleet.h"
#include "table.h"

_Static_assert(sizeof(struct table_header) == 24, "no padding");
_Static_assert(sizeof(struct table_text) == 24, "no padding");
_Static_assert(sizeof(struct table_segment) == 24, "no padding");

#define MOST (1U << 26) /* entries of a table: no overflow in 64 bits */
#define ALIGNED 4096UL	/* what a disk is read in */
#define BUFFER (256 * 1024UL)

static uint8_t buffer[BUFFER] __attribute__((aligned(ALIGNED)));

void table_rest(void)
{
	if (madvise(buffer, BUFFER, MADV_DONTNEED))
		fail(EXIT_BROKEN, "madvise of a buffer", errno);
}

static void *whole_file(const char *path, size_t *size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	char *bytes;
	size_t done = 0;

	if (fd < 0 || fstat(fd, &st))
		fail(EXIT_USAGE, "cannot open the table", errno);
	bytes = mmap(NULL, (size_t)st.st_size + 1, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (bytes == MAP_FAILED)
		fail(EXIT_BROKEN, "no memory for the table", errno);
	while (done < (size_t)st.st_size) {
		ssize_t got = read(fd, bytes + done, (size_t)st.st_size - done);

		if (got <= 0)
			fail(EXIT_USAGE, "the table cannot be read", errno);
		done += (size_t)got;
	}
	close(fd);
	*size = done;
	return bytes;
}

static bool sound(const struct table *t)
{
	const struct table_header *header = t->header;

	for (uint32_t i = 0; i < header->segments; i++)
		if (t->segments[i].part >= PARTS || !t->segments[i].length)
			return false;
	for (uint32_t i = 0; i < header->texts; i++) {
		const struct table_text *text = &t->texts[i];
		uint64_t length = 0;

		if (!text->count || text->first > header->segments || text->count > header->segments - text->first)
			return false;
		for (uint32_t s = 0; s < text->count; s++)
			length += t->segments[text->first + s].length;
		if (length != text->length)
			return false;
	}
	for (uint32_t i = 0; i < header->agents; i++)
		if (t->agents[i].first > header->refs || !t->agents[i].count ||
		    t->agents[i].count > header->refs - t->agents[i].first)
			return false;
	for (uint32_t i = 0; i < header->refs; i++)
		if (t->refs[i] >= header->texts)
			return false;
	return true;
}

static void open_disks(struct table *table)
{
	char path[16];

	for (int part = 0; part < PARTS; part++) {
		snprintf(path, sizeof(path), "/dev/vd%c", 'a' + part);
		table->disks[part] = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
	}
	for (uint32_t i = 0; i < table->header->segments; i++)
		if (table->disks[table->segments[i].part] < 0)
			fail(EXIT_USAGE, "a disk of texts is missing", ENODEV);
}

void table_open(struct table *table, const char *path)
{
	const struct table_header *header;
	size_t size;
	const char *at = whole_file(path, &size);

	header = table->header = (const void *)at;
	if (size < sizeof(*header) || memcmp(header->magic, TABLE_MAGIC, sizeof(header->magic)) || !header->agents ||
	    header->agents > MOST || header->refs > MOST || header->texts > MOST || header->segments > MOST)
		fail(EXIT_USAGE, "not a table of texts", 0);
	table->texts = (const void *)(at + sizeof(*header));
	table->segments = (const void *)(table->texts + header->texts);
	table->agents = (const void *)(table->segments + header->segments);
	table->refs = (const void *)(table->agents + header->agents);
	if ((const char *)(table->refs + header->refs) != at + size || !sound(table))
		fail(EXIT_USAGE, "the table of texts makes no sense", 0);
	open_disks(table);
}

/* Bytes of one disk from any offset, through an aligned buffer. */
static void read_disk(int disk, uint64_t offset, uint8_t *to, size_t length)
{
	while (length) {
		uint64_t from = offset & ~(ALIGNED - 1);
		size_t skip = (size_t)(offset - from), wanted = skip + length;
		size_t room = wanted < BUFFER ? (wanted + ALIGNED - 1) & ~(ALIGNED - 1) : BUFFER;
		ssize_t got = pread(disk, buffer, room, (off_t)from);
		size_t part;

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= (ssize_t)skip)
			fail(EXIT_BROKEN, "a disk of texts is short or cannot be read", got < 0 ? errno : 0);
		part = (size_t)got - skip < length ? (size_t)got - skip : length;
		memcpy(to, buffer + skip, part);
		to += part;
		offset += part;
		length -= part;
	}
}

void table_read(const struct table *table, uint32_t number, uint64_t offset, void *to, size_t length)
{
	const struct table_text *text = &table->texts[number];
	uint8_t *at = to;

	for (uint32_t i = 0; i < text->count && length; i++) {
		const struct table_segment *segment = &table->segments[text->first + i];
		size_t part;

		if (offset >= segment->length) {
			offset -= segment->length;
			continue;
		}
		part = segment->length - offset < length ? (size_t)(segment->length - offset) : length;
		read_disk(table->disks[segment->part], segment->offset + offset, at, part);
		at += part;
		length -= part;
		offset = 0;
	}
	if (length)
		fail(EXIT_BROKEN, "a read goes beyond its text", 0);
}

uint64_t table_bytes(const struct table *table, uint32_t agent)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < table->agents[agent].count; i++)
		bytes += table->texts[table->refs[table->agents[agent].first + i]].length;
	return bytes;
}
