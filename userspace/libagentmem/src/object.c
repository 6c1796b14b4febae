/* SPDX-License-Identifier: MIT */
#include "object.h"
#include "backend.h"

#include <errno.h>
#include <fcntl.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MAGIC	"AGMEMOBJ"
#define VERSION	1

const char *am_object_name(char name[NAME_SIZE], char kind, const uint8_t *digest)
{
	name[0] = kind;
	name[1] = '-';
	agentmem_hex(digest, name + 2);
	return name;
}

static void checksum(const struct object *object, uint8_t *check)
{
	struct sha256_ctx hash;

	sha256_init(&hash);
	sha256_update(&hash, OBJECT_CHECKED, (const uint8_t *)object);
	sha256_digest(&hash, SHA256_DIGEST_SIZE, check);
}

void am_object_seal(struct object *object)
{
	memcpy(object->magic, MAGIC, sizeof(object->magic));
	object->version = VERSION;
	checksum(object, object->check);
}

static bool in_range(const struct object *o)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	return o->type <= AGENTMEM_TOOL_RESULT && o->length && o->length <= OBJECT_LIMIT && o->start < o->length &&
	       o->start % page == 0 && o->depth <= OBJECT_DEPTH &&
	       !(o->flags & ~(AGENTMEM_NOCOMPRESS | FLAG_APPEND | FLAG_BASE)) &&
	       !!(o->flags & (FLAG_APPEND | FLAG_BASE)) == !!o->depth && !!(o->flags & FLAG_APPEND) == !!o->start;
}

bool am_object_sound(const struct object *object)
{
	uint8_t check[AGENTMEM_DIGEST_SIZE];

	if (memcmp(object->magic, MAGIC, sizeof(object->magic)) || object->version != VERSION || !in_range(object))
		return false;
	checksum(object, check);
	return !memcmp(check, object->check, sizeof(check)) && object->temperature >= AGENTMEM_HOT &&
	       object->temperature <= AGENTMEM_COLD && object->importance <= 1000;
}

int am_object_read(int fd, struct object *object)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -1;
	errno = EBADFD;
	if (!S_ISREG(st.st_mode) || pread(fd, object, sizeof(*object), 0) < (ssize_t)sizeof(object->magic) ||
	    memcmp(object->magic, MAGIC, sizeof(object->magic))) {
		errno = EBADFD;
		return -1;
	}
	if (st.st_size != sizeof(*object) || !am_object_sound(object)) {
		errno = EIO;
		return -1;
	}
	return 0;
}

int am_object_given(int dir, int fd, struct object *object)
{
	struct stat given, there;
	char name[NAME_SIZE];

	if (am_object_read(fd, object) < 0 || fstat(fd, &given) < 0)
		return -1;
	if (fstatat(dir, am_object_name(name, 'o', object->digest), &there, AT_SYMLINK_NOFOLLOW) < 0 ||
	    there.st_ino != given.st_ino || there.st_dev != given.st_dev) {
		errno = EBADFD;
		return -1;
	}
	return 0;
}

int am_object_load(int dir, const char *name, struct object *object)
{
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC), result;

	if (fd < 0)
		return -1;
	result = am_object_read(fd, object);
	if (result < 0)
		errno = EIO;
	close(fd);
	return result;
}

bool am_object_current(int dir, const struct object *object)
{
	char name[NAME_SIZE];
	struct object now;

	if (am_object_load(dir, am_object_name(name, 'o', object->digest), &now) < 0)
		return false;
	if (now.length == object->length && now.start == object->start && now.depth == object->depth &&
	    now.flags == object->flags && !memcmp(now.base, object->base, sizeof(now.base)))
		return true;
	errno = ENOENT;
	return false;
}

static int write_part(int dir, const struct object *object, size_t from, size_t end)
{
	char name[NAME_SIZE];
	int fd = -1;
	ssize_t written;

	if (am_store_allows(end))
		fd = openat(dir, am_object_name(name, 'o', object->digest), O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -1;
	written = pwrite(fd, (const char *)object + from, end - from, (off_t)from);
	close(fd);
	return written == (ssize_t)(end - from) ? 0 : -1;
}

int am_object_update(int dir, const struct object *object)
{
	return write_part(dir, object, offsetof(struct object, temperature), offsetof(struct object, used));
}

void am_object_touch(int dir, const struct object *object)
{
	struct object now = *object;

	now.used = am_object_now();
	write_part(dir, &now, offsetof(struct object, used), sizeof(now));
}

/* -- the hash -------------------------------------------------------------- */

/*
 * Where the whole content's hash begins: at the last whole block of the base, whose state is known. The bytes of the base
 * after it are in the own pages, since a page is a whole number of blocks.
 */
static uint64_t resume(struct sha256_ctx *hash, const struct object *base)
{
	uint64_t blocks = base ? base->length / SHA256_BLOCK_SIZE : 0;

	sha256_init(hash);
	if (blocks) {
		memcpy(hash->state, base->hashed, sizeof(hash->state));
		hash->count = blocks;
	}
	return blocks * SHA256_BLOCK_SIZE;
}

void am_object_hash(struct object *object, const struct object *base, const void *own)
{
	uint64_t whole = object->length / SHA256_BLOCK_SIZE * SHA256_BLOCK_SIZE, from;
	const uint8_t *bytes = own;
	struct sha256_ctx hash;

	from = resume(&hash, base);
	sha256_update(&hash, whole - from, bytes + (from - object->start));
	memcpy(object->hashed, hash.state, sizeof(object->hashed));
	sha256_update(&hash, object->length - whole, bytes + (whole - object->start));
	sha256_digest(&hash, SHA256_DIGEST_SIZE, object->digest);
}

bool am_object_intact(const struct object *object, const struct agentmem_view *view)
{
	struct object seen = {.length = view->size};

	am_object_hash(&seen, NULL, view->data);
	return view->size == object->length && !memcmp(seen.digest, object->digest, sizeof(seen.digest)) &&
	       !memcmp(seen.hashed, object->hashed, sizeof(seen.hashed));
}

uint64_t am_object_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}
