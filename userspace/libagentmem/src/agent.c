/* SPDX-License-Identifier: MIT */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MAGIC	"AGMEMAGT"
#define VERSION	2
#define LEASE	(24 * 3600)	/* seconds that an agent is kept after its process was last seen */

static void agent_name(char name[NAME_SIZE], const struct process *process)
{
	snprintf(name, NAME_SIZE, "a-%" PRIu64 "-%" PRId64 "-%" PRIu64, process->space, process->pid, process->start);
}

static int agent_file(char name[NAME_SIZE], pid_t pid)
{
	struct process process;

	if (am_process_identify(pid, &process) < 0)
		return -1;
	agent_name(name, &process);
	return 0;
}

bool am_agent_process(const char *name, struct process *process)
{
	char same[NAME_SIZE];

	*process = (struct process){0};
	if (sscanf(name, "a-%" SCNu64 "-%" SCNd64 "-%" SCNu64, &process->space, &process->pid, &process->start) != 3)
		return false;
	agent_name(same, process);
	return !strcmp(name, same);
}

/* A file of the store that is mapped for writing; NULL with errno. */
static void *map_file(int fd, size_t size, ino_t *number)
{
	struct stat st;
	void *mapped;

	if (fstat(fd, &st) < 0)
		return NULL;
	if ((size_t)st.st_size != size) {
		errno = EIO;
		return NULL;
	}
	if (number)
		*number = st.st_ino;
	mapped = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return mapped == MAP_FAILED ? NULL : mapped;
}

static struct agent *map_agent(int dir, const char *name, ino_t *number)
{
	int fd = openat(dir, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	struct agent *agent;

	if (fd < 0)
		return NULL;
	agent = map_file(fd, sizeof(*agent), number);
	close(fd);
	if (!agent)
		return NULL;
	agent->name[sizeof(agent->name) - 1] = '\0';
	if (!memcmp(agent->magic, MAGIC, sizeof(agent->magic)) && agent->version == VERSION)
		return agent;
	am_agent_release(agent);
	errno = EIO;
	return NULL;
}

void am_agent_release(struct agent *agent)
{
	if (agent)
		munmap(agent, sizeof(*agent));
}

/* `like`: an agent to begin as, or NULL. */
static int make_agent(int dir, const char *name, const struct agent *like)
{
	struct agent made = {.version = VERSION, .state = AGENTMEM_ACTIVE, .importance = 500, .node = -1};
	int fd, result = -1;

	if (like)
		made = *like;
	memcpy(made.magic, MAGIC, sizeof(made.magic));
	if (!am_agent_process(name, &made.founder)) {
		errno = EINVAL;
		return -1;
	}
	fd = am_store_temporary(dir, 0600);
	if (fd < 0)
		return -1;
	if (am_store_write(dir, fd, &made, sizeof(made)) == 0) {
		unlinkat(dir, name, 0); /* a damaged one */
		result = am_store_link(dir, fd, name);
	}
	am_store_discard(dir, fd);
	return result;
}

struct agent *am_agent_of(int dir, pid_t pid, bool make, ino_t *number)
{
	struct agent *agent;
	char name[NAME_SIZE];

	if (pid == am_process_self() && am_agent_self(dir, NULL) < 0) /* which sees to it that a child shares its parent's */
		return NULL;
	if (agent_file(name, pid) < 0)
		return NULL;
	agent = map_agent(dir, name, number);
	if (agent) /* the process was just seen: renew the lease */
		utimensat(dir, name, NULL, AT_SYMLINK_NOFOLLOW);
	if (agent || (errno != ENOENT && errno != EIO) || !make)
		return agent;
	return make_agent(dir, name, NULL) < 0 ? NULL : map_agent(dir, name, number);
}

/* -- whether it lives ------------------------------------------------------- */

/* True if a process of the agent holds the record's lock. Locks work across PID namespaces. */
static bool held(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	bool held;

	if (fd < 0)
		return errno != ENOENT && errno != ELOOP;
	held = flock(fd, LOCK_EX | LOCK_NB) < 0;
	flock(fd, LOCK_UN); /* see am_store_unlock() */
	close(fd);
	return held;
}

/*
 * A process that was only named by another one, or that called execve(2), has no lock. An observer that sees it in /proc
 * renews the lease, which is the record's mtime. In a namespace that /proc does not show, the agent lives until the lease ends.
 */
bool am_agent_lives(int dir, const char *name, struct nested *nested)
{
	struct process process;
	struct stat st;
	pid_t pid;

	if (!am_agent_process(name, &process))
		return false;
	if (held(dir, name))
		return true;
	pid = am_process_find(&process, nested);
	if (pid > 0)
		utimensat(dir, name, NULL, AT_SYMLINK_NOFOLLOW);
	return pid > 0 || (pid < 0 && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && time(NULL) - st.st_mtime < LEASE);
}

/* -- the caller's own ------------------------------------------------------ */

/* What am_count() reads is never unmapped: another thread may be counting. Its user or its store changes once, if ever. */
static struct agent *_Atomic mine;
static struct totals *_Atomic totals;
static struct {
	pid_t pid;
	uint64_t space;
	void *hold; /* mapping of the record that keeps the lock */
	dev_t device;
	ino_t store;
	char name[NAME_SIZE];
	ino_t number;
} self;

/* After fork() the child is of its parent's agent. What is there under its own name survived execve(). */
static struct agent *join(int dir, const char *name, bool same_store, ino_t *number)
{
	struct agent *agent = map_agent(dir, name, number);

	if (agent || (errno != ENOENT && errno != EIO))
		return agent;
	if (!same_store || !mine || linkat(dir, self.name, dir, name, 0) < 0)
		if (make_agent(dir, name, same_store ? mine : NULL) < 0)
			return NULL;
	return map_agent(dir, name, number);
}

/*
 * Takes the lock that keeps the agent alive. It lasts as long as this process, or a child that it forked, maps the open
 * file. The mapping is separate from the counters' so that a process that leaves the agent can unmap it.
 */
static void *hold_agent(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	void *hold;

	if (fd < 0)
		return NULL;
	hold = flock(fd, LOCK_SH) < 0 ? MAP_FAILED : mmap(NULL, sizeof(struct agent), PROT_READ, MAP_SHARED, fd, 0);
	am_store_close(fd);
	return hold == MAP_FAILED ? NULL : hold;
}

static struct totals *map_totals(int dir)
{
	int fd = openat(dir, "totals", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	struct totals *mapped = NULL;

	if (fd < 0)
		return NULL;
	if (am_store_reserve(dir, fd, sizeof(*mapped)) == 0)
		mapped = map_file(fd, sizeof(*mapped), NULL);
	close(fd);
	return mapped;
}

int am_agent_self(int dir, ino_t *number)
{
	pid_t pid = getpid();
	uint64_t space = am_process_space();
	struct stat st, record;

	if (fstat(dir, &st) < 0)
		return -1;
	bool same_store = self.store == st.st_ino && self.device == st.st_dev;
	/* Somebody else may have given it a name, and so an agent of its own; or removed what cannot be seen to live. */
	bool current = same_store && self.pid == pid && self.space == space && fstatat(dir, self.name, &record, AT_SYMLINK_NOFOLLOW) == 0 &&
		       record.st_ino == self.number;
	if (!current) {
		struct agent *agent;
		char name[NAME_SIZE];
		void *hold;

		if (agent_file(name, am_process_self()) < 0)
			return -1;
		agent = join(dir, name, same_store, &self.number);
		hold = agent ? hold_agent(dir, name) : NULL;
		if (!hold) {
			am_agent_release(agent);
			return -1;
		}
		if (self.hold)
			munmap(self.hold, sizeof(*agent));
		self.hold = hold;
		mine = agent;
		if (!same_store)
			totals = map_totals(dir);
		self.pid = pid;
		self.space = space;
		self.device = st.st_dev;
		self.store = st.st_ino;
		memcpy(self.name, name, sizeof(name));
	}
	if (number)
		*number = self.number;
	return 0;
}

struct totals *am_store_totals(void)
{
	return totals;
}

void am_count(enum counter which, uint64_t n)
{
	struct agent *agent = mine;
	struct totals *all = totals;

	if (agent)
		agent->count[which] += n;
	if (all)
		all->count[which] += n;
}

/* -- marks ----------------------------------------------------------------- */

/* Whether the process came to its agent by fork(), and others are there. */
static bool is_guest(int dir, const char *name, const struct agent *agent)
{
	struct process process;
	struct stat st;

	return am_agent_process(name, &process) && !am_process_same(&agent->founder, &process) &&
	       fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_nlink > 1;
}

static struct agent *leave(int dir, const char *name, struct agent *agent)
{
	am_agent_release(agent);
	return make_agent(dir, name, NULL) < 0 ? NULL : map_agent(dir, name, NULL);
}

int am_agent_describe(int dir, pid_t pid, const struct agentmem_mark *mark)
{
	struct agent *agent = am_agent_of(dir, pid, true, NULL);
	char name[NAME_SIZE];

	if (agent && mark->valid & AGENTMEM_MARK_NAME && agent_file(name, pid) == 0 && is_guest(dir, name, agent))
		agent = leave(dir, name, agent);
	if (!agent)
		return -1;
	if (mark->valid & AGENTMEM_MARK_NAME) {
		memcpy(agent->name, mark->name, sizeof(agent->name));
		agent->named = 1;
	}
	if (mark->valid & AGENTMEM_MARK_STATE)
		agent->state = mark->state;
	if (mark->valid & AGENTMEM_MARK_IMPORTANCE)
		agent->importance = mark->importance;
	if (mark->valid & AGENTMEM_MARK_NODE)
		agent->node = mark->node;
	am_agent_release(agent);
	return 0;
}
