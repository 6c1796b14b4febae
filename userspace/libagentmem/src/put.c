/* SPDX-License-Identifier: MIT */
/* Bringing content into the store, and finding it there. */
#include "fallback.h"
#include "agent.h"
#include "backend.h"
#include "keep.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#define SWEEP_EVERY	64	/* objects made, or as many as there were if that is more: a sweep costs each of them */

bool am_fallback_node(int node)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/devices/system/node/node%d", node);
	return node == -1 || node == 0 || (node > 0 && access(path, F_OK) == 0);
}

static int check(unsigned int type, size_t size, const struct agentmem_options *options, int append_to,
		 struct agentmem_options *o)
{
	*o = (struct agentmem_options)AGENTMEM_OPTIONS_INIT;
	if (options && am_take_struct(o, sizeof(*o), options) < 0)
		return -1;
	if (type > AGENTMEM_TOOL_RESULT || o->flags & ~AGENTMEM_NOCOMPRESS || o->importance > 1000 ||
	    !am_fallback_node(o->node) || (o->base_fd != -1 && append_to >= 0) || !size)
		return fail(EINVAL);
	return size > OBJECT_LIMIT ? fail(E2BIG) : 0;
}

/* -- filling the file with the own pages ------------------------------------ */

/* What the own pages begin with: the last bytes of the base, or all of it. */
static int write_base(int dir, int fd, const struct object *base, uint64_t start)
{
	struct agentmem_view view;
	int plain, result = 0;

	if (!start) {
		if (am_object_map(dir, base, -1, false, &view) < 0)
			return -1;
		result = am_store_write(dir, fd, view.data, view.size);
		am_object_unmap(&view);
		return result;
	}
	plain = am_object_plain(dir, base);
	if (plain < 0)
		return -1;
	off_t at = (off_t)(start - base->start), end = (off_t)(base->length - base->start);
	if (!am_store_allows((uint64_t)(end - at)))
		result = -1;
	while (at < end && result == 0) {
		ssize_t sent = sendfile(fd, plain, &at, (size_t)(end - at));

		if (sent <= 0)
			result = sent < 0 ? am_store_full(dir) : fail(EIO);
	}
	close(plain);
	return result;
}

static int hash_file(int fd, struct object *object, const struct object *base)
{
	size_t size = object->length - object->start;
	void *own = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);

	if (own == MAP_FAILED)
		return -1;
	am_object_hash(object, object->start ? base : NULL, own);
	munmap(own, size);
	return 0;
}

/* What is hashed is what is kept: the file is written first, and only we have it. */
static int fill(int dir, struct object *object, const struct object *base, bool append, const void *data, size_t size)
{
	int fd = am_store_temporary(dir, 0400);

	if (fd < 0)
		return -1;
	if ((!append || write_base(dir, fd, base, object->start) == 0) && am_store_write(dir, fd, data, size) == 0 &&
	    hash_file(fd, object, base) == 0)
		return fd;
	am_store_discard(dir, fd);
	return -1;
}

/* -- publishing it ----------------------------------------------------------- */

/* EIO: two files of a size have not the same content. */
static int compare(int one, int other, size_t size)
{
	void *a = mmap(NULL, size, PROT_READ, MAP_SHARED, one, 0), *b = MAP_FAILED;
	int result = -1;

	if (a != MAP_FAILED)
		b = mmap(NULL, size, PROT_READ, MAP_SHARED, other, 0);
	if (b != MAP_FAILED) {
		result = memcmp(a, b, size) ? fail(EIO) : 0;
		munmap(b, size);
	}
	if (a != MAP_FAILED)
		munmap(a, size);
	return result;
}

/* EIO: the plain pages of an object that was found are not what they have to be; those that are compressed have a check. */
static int check_content(int dir, const struct object *object, int own)
{
	size_t size = object->length - object->start;
	struct stat st;
	bool packed;
	int fd = am_object_pages(dir, object, &packed), result = 0;

	if (fd < 0)
		return -1;
	if (!packed)
		result = fstat(fd, &st) == 0 && (size_t)st.st_size == size ? compare(fd, own, size) : fail(EIO);
	am_store_close(fd);
	return result;
}

/* EIO: the object that was found is damaged. Other errors say nothing about it. */
static int check_whole(int dir, int fd, const struct object *wanted, int own)
{
	struct object there;

	if (am_object_read(fd, &there) < 0 || memcmp(there.digest, wanted->digest, sizeof(there.digest)))
		return fail(EIO);
	return there.start == wanted->start ? check_content(dir, &there, own) : 0;
}

/* A link of what a crash or a removal left is in nobody's way. */
static int link_anew(int dir, int fd, const char *name)
{
	unlinkat(dir, name, 0);
	return am_store_link(dir, fd, name);
}

static int link_base(int dir, const struct object *object)
{
	char from[NAME_SIZE], to[NAME_SIZE];

	if (!object->depth)
		return 0;
	am_object_name(from, 'o', object->base);
	unlinkat(dir, am_object_name(to, 'b', object->digest), 0);
	return linkat(dir, from, dir, to, 0) < 0 ? am_store_full(dir) : 0;
}

static int publish(int dir, struct object *object, int own)
{
	char name[NAME_SIZE];
	int record = am_store_temporary(dir, 0600), held = -1;

	if (record < 0)
		return -1;
	am_object_seal(object);
	unlinkat(dir, am_object_name(name, 'z', object->digest), 0); /* of an object that was laid out otherwise */
	if (am_store_write(dir, record, object, sizeof(*object)) == 0 && link_base(dir, object) == 0 &&
	    link_anew(dir, own, am_object_name(name, 'r', object->digest)) == 0 &&
	    am_store_link(dir, record, am_object_name(name, 'o', object->digest)) == 0)
		held = am_keep_open(dir, object->digest);
	if (held < 0) {
		int why = errno;

		am_keep_remove(dir, object->digest);
		errno = why;
	}
	am_store_discard(dir, record);
	return held;
}

static void sweep_if_due(int dir)
{
	struct totals *totals = am_store_totals();
	uint64_t made = totals ? ++totals->since_sweep : 0;

	if (totals && made >= SWEEP_EVERY && made >= totals->objects)
		am_keep_sweep(dir);
}

/* In the lock. Answers the descriptor, and what came of it. damaged: the record of what is there and is no good, or -1. */
static int enter(int dir, struct object *object, int own, int damaged, struct agentmem_info *info)
{
	struct agent *agent;
	int fd;

	if (am_agent_self(dir, NULL) < 0)
		return -1;
	if (!object->importance && (agent = am_agent_of(dir, am_process_self(), false, NULL))) {
		object->importance = agent->importance;
		if (object->node == -1)
			object->node = agent->node;
		am_agent_release(agent);
	}
	if (damaged >= 0)
		am_keep_remove_damaged(dir, damaged, object->digest);
	fd = am_keep_hold(dir, object->digest);
	if (fd >= 0) {
		info->result = AGENTMEM_R_DEDUP;
	} else if (errno == ENOENT) {
		sweep_if_due(dir);
		fd = publish(dir, object, own);
		info->result = object->depth ? AGENTMEM_R_DELTA : 0;
		am_count(DELTA_HITS, fd >= 0 && object->depth);
	}
	memcpy(info->digest, object->digest, sizeof(info->digest));
	return fd;
}

/* -- the calls ---------------------------------------------------------------- */

/* How the object is held: on top of its base's pages, compressed against it, or for itself. */
static int plan(struct object *object, const struct object *base, bool append)
{
	if (append && base->length + object->length > OBJECT_LIMIT)
		return fail(E2BIG);
	if (append) {
		object->length += base->length;
		if (base->depth < OBJECT_DEPTH)
			object->start = base->length & ~((uint64_t)sysconf(_SC_PAGESIZE) - 1);
	}
	if (append ? object->start : base->depth < OBJECT_DEPTH && !(object->flags & AGENTMEM_NOCOMPRESS)) {
		object->flags |= append ? FLAG_APPEND : FLAG_BASE;
		object->depth = base->depth + 1;
		memcpy(object->base, base->digest, sizeof(object->base));
	}
	return 0;
}

static int locked_enter(int dir, struct object *object, int own, int damaged, struct agentmem_info *info)
{
	int lock = am_store_lock(dir), fd;

	if (lock < 0)
		return -1;
	fd = enter(dir, object, own, damaged, info);
	am_store_unlock(lock);
	return fd;
}

static int put(int dir, struct object *object, const struct object *base, bool append, const void *data, size_t size,
	       struct agentmem_info *info)
{
	int own = fill(dir, object, base, append, data, size), fd;

	if (own < 0)
		return -1;
	fd = locked_enter(dir, object, own, -1, info);
	if (fd >= 0 && info->result & AGENTMEM_R_DEDUP) {
		int found = fd;

		if (check_whole(dir, found, object, own) == 0) {
			am_count(DEDUP_HITS, 1);
			am_count(DEDUP_BYTES, object->length);
		} else {
			fd = errno == EIO ? locked_enter(dir, object, own, found, info) : -1;
			am_store_close(found);
		}
	}
	am_store_discard(dir, own);
	return fd;
}

/* In a full store there may be what nobody keeps any more. */
static int put_making_room(int dir, struct object *object, const struct object *base, bool append, const void *data,
			   size_t size, struct agentmem_info *info)
{
	int fd = put(dir, object, base, append, data, size, info), lock;

	if (fd >= 0 || (errno != ENOMEM && errno != EDQUOT))
		return fd;
	lock = am_store_lock(dir);
	if (lock < 0)
		return -1;
	am_keep_sweep(dir);
	am_store_unlock(lock);
	return put(dir, object, base, append, data, size, info);
}

int am_fallback_put(unsigned int type, const void *data, size_t size, const struct agentmem_options *options, int append_to,
		 struct agentmem_info *info)
{
	struct object object = {.type = type, .length = size, .temperature = AGENTMEM_HOT}, base;
	struct agentmem_options o;
	struct agentmem_info made;
	int dir, fd = -1, kept = -1, base_fd;

	if (check(type, size, options, append_to, &o) < 0)
		return -1;
	object.flags = o.flags;
	object.importance = o.importance;
	object.node = o.node;
	object.used = am_object_now();
	base_fd = append_to >= 0 ? append_to : o.base_fd;
	dir = am_store_open();
	if (dir < 0)
		return -1;
	if (base_fd != -1) /* another thread may close it */
		kept = fcntl(base_fd, F_DUPFD_CLOEXEC, 0);
	if (base_fd == -1 ||
	    (kept >= 0 && am_object_given(dir, kept, &base) == 0 && plan(&object, &base, append_to >= 0) == 0))
		fd = put_making_room(dir, &object, &base, append_to >= 0, data, size, &made);
	if (fd < 0 && errno == ENOENT) /* the base was replaced meanwhile */
		errno = EBADFD;
	if (fd >= 0 && info)
		*info = made;
	if (kept >= 0)
		am_store_close(kept);
	am_store_close(dir);
	return fd;
}
