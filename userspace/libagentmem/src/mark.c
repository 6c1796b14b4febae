/* SPDX-License-Identifier: MIT */
/* What marks do in the store: compressing, bringing back, and remembering what was said. */
#include "fallback.h"
#include "agent.h"
#include "backend.h"
#include "census.h"
#include "pack.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define MARKS_OF_SMU	(AGENTMEM_MARK_TEMPERATURE | AGENTMEM_MARK_IMPORTANCE | AGENTMEM_MARK_NODE)
#define MARKS		(MARKS_OF_SMU | AGENTMEM_MARK_STATE | AGENTMEM_MARK_NAME)

static bool within(uint32_t value, uint32_t first, uint32_t last)
{
	return first <= value && value <= last;
}

static int check(struct agentmem_mark *mark, const struct agentmem_mark *given)
{
	if (!given) {
		*mark = (struct agentmem_mark){.valid = AGENTMEM_MARK_TEMPERATURE, .temperature = AGENTMEM_HOT};
		return 0;
	}
	if (am_take_struct(mark, sizeof(*mark), given) < 0)
		return -1;
	if (mark->valid & ~MARKS || mark->reserved ||
	    (mark->valid & AGENTMEM_MARK_TEMPERATURE && !within(mark->temperature, AGENTMEM_HOT, AGENTMEM_COLD)) ||
	    (mark->valid & AGENTMEM_MARK_STATE && !within(mark->state, AGENTMEM_ACTIVE, AGENTMEM_IDLE)) ||
	    (mark->valid & AGENTMEM_MARK_IMPORTANCE && !within(mark->importance, 1, 1000)) ||
	    (mark->valid & AGENTMEM_MARK_NODE && !am_fallback_node(mark->node)) ||
	    (mark->valid & AGENTMEM_MARK_NAME && !within((uint32_t)strnlen(mark->name, sizeof(mark->name)), 1,
							 sizeof(mark->name) - 1)))
		return fail(EINVAL);
	return 0;
}

/* -- objects -------------------------------------------------------------------- */

static int pack(int dir, const struct object *object, int level)
{
	struct agentmem_view prefix = {0};
	struct packed before;
	struct object base;
	int plain = am_object_plain(dir, object), packed = -1;

	if (plain < 0)
		return -1;
	if (object->depth && am_object_base(dir, object, &base) == 0) {
		before = am_fallback_packed(dir, &base);
		am_object_map(dir, &base, -1, false, &prefix);
	}
	if (!object->depth || prefix.data)
		packed = am_pack_file(dir, plain, object->length - object->start, &prefix, level);
	am_store_close(plain);
	if (prefix.data) {
		am_object_unmap(&prefix);
		am_fallback_settle(dir, &base, &before);
	}
	return packed;
}

static bool has(int dir, char kind, const struct object *object)
{
	char name[NAME_SIZE];

	return faccessat(dir, am_object_name(name, kind, object->digest), F_OK, 0) == 0;
}

/* Lets go of the plain pages, once the compressed ones are there. `packed`: these, or -1. False: they are not there. */
static bool drop_plain(int dir, const struct object *object, int packed)
{
	char name[NAME_SIZE];
	bool there;

	if (!am_object_current(dir, object))
		return false;
	there = has(dir, 'z', object);
	if (!there && packed >= 0)
		there = am_store_link(dir, packed, am_object_name(name, 'z', object->digest)) == 0;
	if (there)
		am_count(EVICT_MARK, unlinkat(dir, am_object_name(name, 'r', object->digest), 0) == 0);
	return there;
}

static bool locked_drop(int dir, const struct object *object, int packed)
{
	int lock = am_store_lock(dir);
	bool dropped = lock >= 0 && drop_plain(dir, object, packed);

	if (lock >= 0)
		am_store_unlock(lock);
	return dropped;
}

struct packed am_fallback_packed(int dir, const struct object *object)
{
	struct packed packed = {0};
	struct object at = *object;
	size_t i = 0;

	do
		packed.is[i++] = !has(dir, 'r', &at) && has(dir, 'z', &at);
	while (am_object_base(dir, &at, &at) == 0);
	return packed;
}

void am_fallback_settle(int dir, const struct object *object, const struct packed *packed)
{
	struct object at = *object;
	int before = errno;
	size_t i = 0;

	do
		if (packed->is[i++])
			locked_drop(dir, &at, -1);
	while (am_object_base(dir, &at, &at) == 0);
	errno = before;
}

/* Of what takes no less compressed, only the mark is kept. */
static int cool(int dir, const struct object *object, uint32_t temperature)
{
	bool dropped;
	int packed;

	if (object->flags & AGENTMEM_NOCOMPRESS || locked_drop(dir, object, -1))
		return 0;
	packed = pack(dir, object, temperature == AGENTMEM_WARM ? PACK_WARM : PACK_COLD);
	if (packed < 0)
		return errno == EINVAL ? 0 : -1;
	dropped = locked_drop(dir, object, packed);
	am_store_discard(dir, packed);
	am_count(COMPRESSIONS, 1);
	return dropped ? 0 : -1;
}

/* In the lock. Lets go of the compressed pages if the plain ones are there. */
static bool drop_packed(int dir, const struct object *object)
{
	char name[NAME_SIZE];

	if (!has(dir, 'r', object))
		return false;
	unlinkat(dir, am_object_name(name, 'z', object->digest), 0);
	return true;
}

/* An object's own pages. Who makes them cold at the same time may win, for a while. */
static int heat_own(int dir, const struct object *object)
{
	bool hot = false;

	for (int tries = 0; !hot && tries < 100; tries++) {
		int plain = am_object_plain(dir, object), lock; /* which leaves them in the store */

		if (plain < 0)
			return -1;
		close(plain);
		lock = am_store_lock(dir);
		if (lock < 0)
			return -1;
		hot = drop_packed(dir, object);
		am_store_unlock(lock);
	}
	return 0;
}

/* The whole content: an object's own pages, and below them its bases'. */
static int heat(int dir, const struct object *object)
{
	struct object at = *object;

	for (;;) {
		if (heat_own(dir, &at) < 0)
			return -1;
		if (!at.start)
			return 0;
		if (am_object_base(dir, &at, &at) < 0)
			return -1;
	}
}

static int mark_object(int dir, const uint8_t *digest, const struct agentmem_mark *mark)
{
	char name[NAME_SIZE];
	struct object object;
	int lock, result = 0;

	am_object_name(name, 'o', digest);
	if (am_object_load(dir, name, &object) < 0)
		return -1;
	if (mark->valid & AGENTMEM_MARK_TEMPERATURE)
		result = mark->temperature == AGENTMEM_HOT ? heat(dir, &object) : cool(dir, &object, mark->temperature);
	lock = result == 0 ? am_store_lock(dir) : -1;
	if (lock < 0)
		return -1;
	result = am_object_load(dir, name, &object);
	if (result == 0) {
		if (mark->valid & AGENTMEM_MARK_TEMPERATURE)
			object.temperature = mark->temperature;
		if (mark->valid & AGENTMEM_MARK_IMPORTANCE)
			object.importance = mark->importance;
		if (mark->valid & AGENTMEM_MARK_NODE)
			object.node = mark->node;
		result = am_object_update(dir, &object);
	}
	am_store_unlock(lock);
	if (result == 0 && mark->valid & AGENTMEM_MARK_TEMPERATURE && mark->temperature == AGENTMEM_HOT)
		am_object_touch(dir, &object);
	return result;
}

/* -- agents ----------------------------------------------------------------------- */

/* Objects that go meanwhile need no mark. The latest come first: to compress them, their bases have to be plain. */
static int mark_held(int dir, ino_t agent, const struct census *census, uint32_t temperature)
{
	struct agentmem_mark mark = {.valid = AGENTMEM_MARK_TEMPERATURE, .temperature = temperature};
	int result = 0;

	for (size_t i = census->nr_holds; i-- && result == 0;) {
		if (census->holds[i].agent == agent)
			result = mark_object(dir, census->objects[census->holds[i].object].digest, &mark);
		if (result < 0 && errno == ENOENT)
			result = 0;
	}
	return result;
}

static int mark_agent(int dir, pid_t pid, const struct agentmem_mark *mark)
{
	struct census census = {0};
	struct agent *agent;
	int lock = am_store_lock(dir), result = -1;
	ino_t number = 0;

	if (lock < 0)
		return -1;
	agent = am_agent_of(dir, pid, true, &number);
	am_agent_release(agent);
	if (agent)
		result = mark->valid & AGENTMEM_MARK_TEMPERATURE ? am_census_take(dir, &census) : 0;
	am_store_unlock(lock);
	if (result == 0 && mark->valid & AGENTMEM_MARK_TEMPERATURE)
		result = mark_held(dir, number, &census, mark->temperature);
	am_census_free(&census);
	lock = result == 0 ? am_store_lock(dir) : -1;
	if (lock < 0)
		return -1;
	result = am_agent_describe(dir, pid, mark);
	am_store_unlock(lock);
	return result;
}

/* -- the call ---------------------------------------------------------------------- */

static int mark_fd(int dir, int fd, const struct agentmem_mark *mark)
{
	struct object object;
	pid_t pid;

	if (fd == AGENTMEM_SELF)
		return mark_agent(dir, am_process_self(), mark);
	if (am_object_given(dir, fd, &object) == 0) {
		if (mark->valid & ~MARKS_OF_SMU)
			return fail(EINVAL);
		if (mark_object(dir, object.digest, mark) == 0)
			return 0;
		return fail(errno == ENOENT ? EBADFD : errno); /* replaced meanwhile */
	}
	if (errno != EBADFD || am_process_of(fd, &pid) < 0)
		return -1;
	return am_process_own(pid) ? mark_agent(dir, pid, mark) : fail(EPERM);
}

int am_fallback_mark(int fd, const struct agentmem_mark *given)
{
	struct agentmem_mark mark;
	int dir, result;

	if (check(&mark, given) < 0)
		return -1;
	dir = am_store_open();
	if (dir < 0)
		return -1;
	result = mark_fd(dir, fd, &mark);
	am_store_close(dir);
	return result;
}
