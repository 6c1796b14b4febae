/* SPDX-License-Identifier: MIT */
/* Content as pages: mapping an object together out of its own and its bases', and getting back what is compressed. */
#include "object.h"
#include "agent.h"
#include "backend.h"
#include "pack.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static size_t page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

static size_t whole_pages(size_t size)
{
	return (size + page_size() - 1) & ~(page_size() - 1);
}

/* Of a base that was appended to, start is in the last page. */
int am_object_base(int dir, const struct object *object, struct object *base)
{
	struct object found;
	char name[NAME_SIZE];

	if (!object->depth)
		return fail(EIO);
	if (am_object_load(dir, am_object_name(name, 'b', object->digest), &found) < 0)
		return errno == ENOENT || errno == ELOOP ? fail(EIO) : -1;
	if (!memcmp(found.digest, object->base, sizeof(found.digest)) && found.depth < object->depth &&
	    (!object->start || (found.length < object->length && found.length - object->start < page_size()))) {
		*base = found;
		return 0;
	}
	return fail(EIO);
}

/* Puts an object's own pages up to `end` where its content is to be. */
static int map_own(int dir, const struct object *object, uint64_t end, bool writable, char *content)
{
	int protection = PROT_READ | (writable ? PROT_WRITE : 0), shared = writable ? MAP_PRIVATE : MAP_SHARED;
	int fd = am_object_plain(dir, object);
	void *at = content + object->start, *mapped;

	if (fd < 0)
		return -1;
	mapped = mmap(at, end - object->start, protection, shared | MAP_FIXED, fd, (off_t)0);
	close(fd);
	return mapped == at ? 0 : -1;
}

static int map_chain(int dir, const struct object *object, bool writable, char *content)
{
	struct object at = *object;
	uint64_t end = at.length;

	for (;;) {
		if (at.start < end) {
			if (map_own(dir, &at, end, writable, content) < 0)
				return -1;
			end = at.start;
		}
		if (!end)
			return 0;
		if (am_object_base(dir, &at, &at) < 0)
			return -1;
	}
}

/* The page before the content is the record's. Its mapping keeps the open file, and so the lock that keeps the object. */
int am_object_map(int dir, const struct object *object, int record, bool writable, struct agentmem_view *view)
{
	size_t page = page_size(), size = page + whole_pages(object->length);
	char *room = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (room == MAP_FAILED)
		return -1;
	if ((record < 0 || mmap(room, page, PROT_READ, MAP_SHARED | MAP_FIXED, record, 0) == room) &&
	    map_chain(dir, object, writable, room + page) == 0) {
		*view = (struct agentmem_view){room + page, object->length};
		return 0;
	}
	munmap(room, size);
	return -1;
}

int am_object_map_at(int dir, const struct object *object, int record, void *address, struct agentmem_view *view)
{
	char *before = (char *)address - page_size();

	if (object->start)
		return fail(EOPNOTSUPP);
	if (mmap(before, page_size(), PROT_READ, MAP_SHARED | MAP_FIXED, record, 0) != before ||
	    map_own(dir, object, object->length, false, address) < 0)
		return -1;
	*view = (struct agentmem_view){address, object->length};
	return 0;
}

int am_object_unmap(const struct agentmem_view *view)
{
	return munmap((char *)view->data - page_size(), page_size() + whole_pages(view->size));
}

/* -- compressed ------------------------------------------------------------ */

/* EIO: own pages are not what the digest says. base: of an object that has a start. */
static int check_own(const struct object *object, const struct object *base, int plain)
{
	size_t size = object->length - object->start;
	void *own = mmap(NULL, size, PROT_READ, MAP_SHARED, plain, 0);
	struct object seen = *object;

	if (own == MAP_FAILED)
		return -1;
	am_object_hash(&seen, object->start ? base : NULL, own);
	munmap(own, size);
	return memcmp(seen.digest, object->digest, sizeof(seen.digest)) ? fail(EIO) : 0;
}

static uint64_t nanoseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* EIO, or ENOENT: what was read does not fit because the object was removed and put again with another layout. */
static int damaged(int dir, const struct object *object)
{
	if (am_object_current(dir, object))
		errno = EIO;
	return -1;
}

/* Decompresses into a new file. */
static int unpack_file(int dir, const struct object *object, int packed)
{
	struct agentmem_view prefix = {0};
	struct object base;
	int plain;

	if (object->depth && (am_object_base(dir, object, &base) < 0 || am_object_map(dir, &base, -1, false, &prefix) < 0))
		return -1;
	plain = am_unpack_file(dir, packed, object->length - object->start, &prefix);
	if (plain >= 0 && check_own(object, &base, plain) < 0) {
		am_store_discard(dir, plain);
		plain = -1;
	}
	if (prefix.data)
		am_object_unmap(&prefix);
	return plain < 0 ? -1 : am_store_sealed(dir, plain);
}

/*
 * Links the plain pages to their name. If that fails, for instance because another process was faster, the file serves this
 * caller alone. ENOENT: the object has another layout now, which these pages would damage.
 */
static int link_plain(int dir, const struct object *object, int plain)
{
	int lock = am_store_lock(dir), result = 0;
	char name[NAME_SIZE];

	if (lock < 0)
		return 0;
	if (am_object_current(dir, object))
		am_store_link(dir, plain, am_object_name(name, 'r', object->digest));
	else
		result = -1;
	am_store_unlock(lock);
	return result;
}

/* Decompresses, and returns the plain pages, opened. */
static int unpack(int dir, const struct object *object, int packed)
{
	uint64_t began = nanoseconds();
	int plain = unpack_file(dir, object, packed);

	if (plain < 0)
		return errno == EIO ? damaged(dir, object) : -1;
	am_count(DECOMPRESSIONS, 1);
	am_count(DECOMPRESS_NS, nanoseconds() - began);
	if (link_plain(dir, object, plain) < 0) {
		am_store_discard(dir, plain);
		return -1;
	}
	am_store_unname(dir, plain);
	return plain;
}

int am_object_pages(int dir, const struct object *object, bool *packed)
{
	char name[NAME_SIZE];
	int fd = -1;

	/* Who looked for one while it became the other looks again. */
	for (int tries = 0; fd < 0 && tries < 1000; tries++) {
		*packed = tries % 2;
		am_object_name(name, *packed ? 'z' : 'r', object->digest);
		fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC); /* a FIFO would be waited for */
		if (fd < 0 && errno != ENOENT && errno != ELOOP)
			return -1;
	}
	if (fd < 0)
		errno = EIO;
	return fd;
}

int am_object_plain(int dir, const struct object *object)
{
	struct stat st;
	bool packed;
	int fd = am_object_pages(dir, object, &packed);

	if (fd >= 0 && packed) {
		int plain = unpack(dir, object, fd);

		am_store_close(fd);
		fd = plain;
	}
	if (fd < 0)
		return -1;
	if (fstat(fd, &st) == 0 && (uint64_t)st.st_size == object->length - object->start)
		return fd;
	close(fd);
	return damaged(dir, object);
}
