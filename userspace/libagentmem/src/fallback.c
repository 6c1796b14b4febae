/* SPDX-License-Identifier: MIT */
/* Where the kernel has no such calls: descriptors are files of the user's store (store.h). */
#include "fallback.h"
#include "agent.h"
#include "backend.h"
#include "keep.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define GRANTS	128	/* pending for one agent; as many as the kernel allows */

/* What is found is checked as a whole before anybody gets it. */
static int verify(int dir, int fd, const uint8_t *digest)
{
	struct agentmem_view view;
	struct packed before;
	struct object object;
	bool good = false;

	if (am_object_read(fd, &object) == 0 && !memcmp(object.digest, digest, sizeof(object.digest))) {
		before = am_fallback_packed(dir, &object);
		if (am_object_map(dir, &object, -1, false, &view) == 0) {
			good = am_object_intact(&object, &view);
			am_object_unmap(&view);
			am_fallback_settle(dir, &object, &before);
		} else if (errno != EIO) {
			return -1;
		}
	}
	return good ? 0 : fail(ENOENT);
}

/* Removes what is damaged: as good as not there. */
static int forget(int dir, int fd, const uint8_t *digest)
{
	int lock = am_store_lock(dir);

	if (lock < 0)
		return -1;
	am_keep_remove_damaged(dir, fd, digest);
	am_store_unlock(lock);
	return fail(ENOENT);
}

/* Only now: till it is held for sure, the grant may be all that keeps it. */
static int use_grant(int dir, ino_t agent, const uint8_t *digest)
{
	int lock = am_store_lock(dir);
	char grant[NAME_SIZE];

	if (lock < 0)
		return -1;
	am_keep_grant(grant, agent, digest);
	unlinkat(dir, grant, 0);
	am_store_unlock(lock);
	return 0;
}

static int fallback_attach(const uint8_t *digest)
{
	int dir = am_store_open(), fd = -1, lock;
	ino_t agent;

	if (dir < 0)
		return -1;
	lock = am_store_lock(dir);
	if (lock >= 0) {
		if (am_agent_self(dir, &agent) == 0)
			fd = am_keep_hold(dir, digest);
		am_store_unlock(lock);
	}
	if (fd >= 0 && (verify(dir, fd, digest) < 0 || use_grant(dir, agent, digest) < 0)) {
		if (errno == ENOENT)
			forget(dir, fd, digest);
		am_store_close(fd);
		fd = -1;
	}
	if (fd >= 0)
		am_count(ATTACH_HITS, 1);
	am_store_close(dir);
	return fd;
}

static int fallback_close(int fd)
{
	struct object object;
	bool known = am_object_read(fd, &object) == 0;
	int dir, lock;

	if (close(fd) < 0)
		return -1;
	dir = known ? am_store_open() : -1;
	if (dir < 0)
		return 0;
	lock = am_store_lock(dir);
	if (lock >= 0) {
		am_keep_release(dir, object.digest);
		am_store_unlock(lock);
	}
	am_store_close(dir);
	return 0;
}

/* -- reading ------------------------------------------------------------------ */

static int fallback_map(int fd, void *address, bool writable, struct agentmem_view *view)
{
	int dir = am_store_open(), result;
	char name[NAME_SIZE];
	struct object object;
	bool plain;

	if (dir < 0)
		return -1;
	result = am_object_given(dir, fd, &object);
	if (result == 0) {
		plain = faccessat(dir, am_object_name(name, 'r', object.digest), F_OK, 0) == 0;
		result = address ? am_object_map_at(dir, &object, fd, address, view) : am_object_map(dir, &object, fd, writable, view);
		if (result < 0 && errno == ENOENT) /* replaced meanwhile: the next call gets the same from am_object_given() */
			errno = EBADFD;
		if (result == 0) {
			am_count(plain ? FAULT_RESIDENT : FAULT_STORED, 1);
			am_object_touch(dir, &object);
		}
	}
	am_store_close(dir);
	return result;
}

static int fallback_digest(int fd, uint8_t *digest)
{
	struct object object;

	if (am_object_read(fd, &object) < 0)
		return -1;
	memcpy(digest, object.digest, sizeof(object.digest));
	return 0;
}

/* -- granting ----------------------------------------------------------------- */

/* In the lock. */
static int grant(int dir, const struct object *object, pid_t pid, bool revoke)
{
	char name[NAME_SIZE], record[NAME_SIZE];
	struct agent *agent;
	ino_t number;

	agent = am_agent_of(dir, pid, !revoke, &number);
	if (!agent)
		return fail(revoke && errno != ESRCH ? ENOENT : errno);
	am_agent_release(agent);
	am_keep_grant(name, number, object->digest);
	if (revoke)
		return unlinkat(dir, name, 0);
	if (faccessat(dir, name, F_OK, 0) == 0)
		return 0; /* twice is as good as once */
	if (am_keep_grants(dir, number) >= GRANTS)
		return fail(EDQUOT);
	return linkat(dir, am_object_name(record, 'o', object->digest), dir, name, 0) < 0 ? am_store_full(dir) : 0;
}

static int fallback_share(int fd, int pidfd, unsigned int flags)
{
	struct object object;
	int dir, lock, result;
	pid_t pid;

	if (flags & ~AGENTMEM_REVOKE)
		return fail(EINVAL);
	if (fcntl(fd, F_GETFD) < 0 || fcntl(pidfd, F_GETFD) < 0)
		return -1;
	dir = am_store_open();
	if (dir < 0)
		return -1;
	result = am_object_given(dir, fd, &object);
	if (result == 0)
		result = am_process_of(pidfd, &pid);
	if (result == 0 && !am_process_own(pid))
		result = fail(EPERM);
	lock = result == 0 ? am_store_lock(dir) : -1;
	if (lock >= 0) {
		result = grant(dir, &object, pid, flags & AGENTMEM_REVOKE);
		am_store_unlock(lock);
	}
	am_store_close(dir);
	return lock < 0 ? -1 : result;
}

const struct backend am_fallback_backend = {
	.name = "fallback",
	.put = am_fallback_put,
	.attach = fallback_attach,
	.close = fallback_close,
	.map = fallback_map,
	.unmap = am_object_unmap,
	.share = fallback_share,
	.mark = am_fallback_mark,
	.digest = fallback_digest,
	.smu_stats = am_fallback_smu_stats,
	.stats = am_fallback_stats,
	.agents = am_fallback_agents,
};
