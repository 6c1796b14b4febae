/* SPDX-License-Identifier: MIT */
/*
 * An object of the store: its record, and its content as plain or compressed pages.
 *
 * An object that was appended to another one has only the pages from the one on in which its base ends: start is a multiple
 * of the page size, and what comes before is mapped from the base's own pages.
 */
#ifndef OBJECT_H
#define OBJECT_H

#include "store.h"

#include <agentmem.h>

#define OBJECT_LIMIT	(1ull << 30)	/* bytes of content */
#define OBJECT_DEPTH	64		/* bases below one: each may be a mapping of its own, or a level of recursion */

/* The file o-DIGEST, in the machine's own byte order: a store does not outlive its machine's uptime by much. */
struct object {
	char magic[8];
	uint32_t version;
	uint32_t type;
	uint32_t flags;		/* AGENTMEM_NOCOMPRESS, FLAG_APPEND: has a start; FLAG_BASE: compressed against a base */
	uint32_t depth;
	uint64_t length;	/* of the whole content */
	uint64_t start;
	uint8_t digest[AGENTMEM_DIGEST_SIZE];
	uint8_t base[AGENTMEM_DIGEST_SIZE];
	uint32_t hashed[8];	/* state of the hash after the last whole block of the content */
	uint8_t check[AGENTMEM_DIGEST_SIZE];	/* SHA-256 of all the above */
	/* What marks change: */
	uint32_t temperature;
	uint32_t importance;
	int32_t node;
	uint32_t unused;
	/* What every access changes: */
	uint64_t used;		/* CLOCK_BOOTTIME of the last access, in ms */
};
#define OBJECT_CHECKED	offsetof(struct object, check)

/* The name of a file of the object with that digest; kind: one of o, b, r, z. */
const char *am_object_name(char name[NAME_SIZE], char kind, const uint8_t *digest);

/* Makes a record whole. */
void am_object_seal(struct object *object);
/* Whether a record is one, and whole: every field that the code relies on is in range. */
bool am_object_sound(const struct object *object);

/* Reads the record behind a descriptor. EBADF; EBADFD: it is none; EIO: it is damaged. */
int am_object_read(int fd, struct object *object);
/* The same for what a program gives: it must also be in this store. */
int am_object_given(int dir, int fd, struct object *object);
/* Reads the record of that name. ENOENT; EIO. */
int am_object_load(int dir, const char *name, struct object *object);
/* Writes what a mark may change; in the store's lock, like the reading before it. */
int am_object_update(int dir, const struct object *object);
/* True if the store has the object with this layout. Else ENOENT: it is gone, or was replaced; EIO: its record is damaged. */
bool am_object_current(int dir, const struct object *object);
/*
 * The record of an object's base. EIO: it has none, or not one that can be its base; so a chain of them has an end. Here and
 * below: other errors say that something was short, and nothing of the object.
 */
int am_object_base(int dir, const struct object *object, struct object *base);
/* Says that it is being accessed. */
void am_object_touch(int dir, const struct object *object);

/*
 * Maps the whole content. `record`: a descriptor of the record, that the view keeps open; or -1. writable: what is written goes
 * to copies that are the view's own; else read-only. EIO; ENOMEM.
 */
int am_object_map(int dir, const struct object *object, int record, bool writable, struct agentmem_view *view);
/* The same at this place and in the page before it, read-only, all or nothing. EOPNOTSUPP: the content is in several files. */
int am_object_map_at(int dir, const struct object *object, int record, void *address, struct agentmem_view *view);
int am_object_unmap(const struct agentmem_view *view);

/*
 * The pages as they are, opened: plain, or (*packed) compressed. Each form is there before the other one goes. EIO: neither
 * is there.
 */
int am_object_pages(int dir, const struct object *object, bool *packed);
/* The plain pages, opened; decompressed if need be. EIO; ENOMEM; ENOENT: the object was replaced meanwhile. */
int am_object_plain(int dir, const struct object *object);
/* Fills in digest and hashed from the own pages of an object, given with its base's record (NULL: it has no start). */
void am_object_hash(struct object *object, const struct object *base, const void *own);
/* Whether what is mapped is the object's content. */
bool am_object_intact(const struct object *object, const struct agentmem_view *view);

uint64_t am_object_now(void);

#endif
