/* SPDX-License-Identifier: MIT */
/* An object is removed and put again with another layout, between the reading of its record and that of its pages. */
#include "../src/object.h"
#include "suite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIZE	(30u * 1024 + 3)

static char *text;
static int dir;
static uint8_t digest[AGENTMEM_DIGEST_SIZE];

static const char *part(char kind)
{
	static char name[NAME_SIZE];

	return am_object_name(name, kind, digest);
}

/* Puts the text whole and makes it cold; its record. */
static struct object first_layout(void)
{
	struct object object;
	int fd;

	text = unique(2 * SIZE);
	fd = put(text, 2 * SIZE);
	dir = am_store_open();
	CHECK(dir >= 0 && agentmem_digest(fd, digest) == 0 && set_temperature(fd, AGENTMEM_COLD) == 0);
	CHECK(am_object_load(dir, part('o'), &object) == 0 && !object.start);
	CHECK(renameat(dir, part('z'), dir, "first") == 0);
	CHECK(agentmem_close(fd) == 0);
	return object;
}

/* Puts the same text as an appended one. */
static int second_layout(void)
{
	int fd = agentmem_append(put(text, SIZE), AGENTMEM_CONVERSATION, text + SIZE, SIZE, NULL, NULL);
	uint8_t same[AGENTMEM_DIGEST_SIZE];

	CHECK(fd >= 0 && agentmem_digest(fd, same) == 0 && !memcmp(same, digest, sizeof(same)));
	return fd;
}

FALLBACK_TEST(plain_pages_of_another_layout_are_no_damage)
{
	struct object before = first_layout();
	int fd = second_layout();

	FAILS(am_object_plain(dir, &before), ENOENT);
	CHECK(holds(fd, text, 2 * SIZE));
}

FALLBACK_TEST(compressed_pages_of_another_layout_are_no_damage)
{
	struct object before = first_layout();
	int fd = second_layout();

	CHECK(set_temperature(fd, AGENTMEM_COLD) == 0 && faccessat(dir, part('z'), F_OK, 0) == 0);
	FAILS(am_object_plain(dir, &before), ENOENT);
	CHECK(holds(fd, text, 2 * SIZE));
}

/* They were opened before the object was replaced. */
FALLBACK_TEST(pages_that_are_decompressed_do_not_get_into_another_layout)
{
	struct object before = first_layout();
	int fd = second_layout(), plain;

	CHECK(renameat(dir, part('r'), dir, "second") == 0 && renameat(dir, "first", dir, part('z')) == 0);
	FAILS(am_object_plain(dir, &before), ENOENT);
	CHECK(faccessat(dir, part('r'), F_OK, 0) < 0);
	CHECK(renameat(dir, "second", dir, part('r')) == 0 && holds(fd, text, 2 * SIZE));
	CHECK(am_object_load(dir, part('o'), &before) == 0 && (plain = am_object_plain(dir, &before)) >= 0 && close(plain) == 0);
}

FALLBACK_TEST(a_frame_of_another_size_is_damage)
{
	char short_one[NAME_SIZE];
	uint8_t other[AGENTMEM_DIGEST_SIZE];
	struct agentmem_view view;
	int fd, half;

	text = unique(2 * SIZE);
	fd = put(text, 2 * SIZE);
	half = put(text, SIZE);
	dir = am_store_open();
	CHECK(agentmem_digest(fd, digest) == 0 && agentmem_digest(half, other) == 0);
	CHECK(set_temperature(fd, AGENTMEM_COLD) == 0 && set_temperature(half, AGENTMEM_COLD) == 0);
	am_object_name(short_one, 'z', other);
	CHECK(renameat(dir, short_one, dir, part('z')) == 0);
	FAILS(agentmem_map(fd, &view), EIO);
}
