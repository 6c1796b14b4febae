/* SPDX-License-Identifier: MIT */
/* The figures of the store, as far as it has the facts; libagentmem(3) says which it has not. */
#include "fallback.h"
#include "agent.h"
#include "backend.h"
#include "census.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Bytes of memory that a file of an object takes; 0: it is not there. Of compressed ones, bytes of content. */
static uint64_t part_size(int dir, char kind, const uint8_t *digest)
{
	char name[NAME_SIZE];
	struct stat st;

	if (fstatat(dir, am_object_name(name, kind, digest), &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	return kind == 'r' ? (uint64_t)st.st_blocks * 512 : (uint64_t)st.st_size;
}

/* -- an object ---------------------------------------------------------------- */

static uint32_t holders(const struct census *census, const uint8_t *digest)
{
	uint32_t found = 0;

	for (size_t i = 0; i < census->nr_holds; i++)
		found += !memcmp(census->objects[census->holds[i].object].digest, digest, AGENTMEM_DIGEST_SIZE);
	return found;
}

static int locked_census(int dir, struct census *census)
{
	int lock = am_store_lock(dir), result;

	*census = (struct census){0};
	if (lock < 0)
		return -1;
	result = am_agent_self(dir, NULL) < 0 ? -1 : am_census_take(dir, census);
	am_store_unlock(lock);
	return result;
}

static int smu_stats(int dir, int fd, struct agentmem_smu_stats *stats)
{
	struct object object;
	struct census census;
	uint64_t now = am_object_now();
	int result;

	if (am_object_given(dir, fd, &object) < 0)
		return -1;
	result = locked_census(dir, &census);
	*stats = (struct agentmem_smu_stats){
		.size = sizeof(*stats),
		.type = object.type,
		.flags = object.flags,
		.temperature = object.temperature,
		.length = object.length,
		.resident_top = part_size(dir, 'r', object.digest),
		.stored = part_size(dir, 'z', object.digest),
		.idle_ms = now > object.used ? now - object.used : 0,
		.holders = holders(&census, object.digest),
		.base_depth = object.depth,
		.node = object.node,
	};
	am_census_free(&census);
	stats->algorithm = stats->stored ? AGENTMEM_ALG_ZSTD : AGENTMEM_ALG_NONE;
	stats->holders += !stats->holders; /* the caller, where the kernel does not list locks */
	memcpy(stats->digest, object.digest, sizeof(stats->digest));
	return result;
}

int am_fallback_smu_stats(int fd, struct agentmem_smu_stats *stats)
{
	struct agentmem_smu_stats made;
	int dir = am_store_open(), result;

	if (dir < 0)
		return -1;
	result = smu_stats(dir, fd, &made);
	am_store_close(dir);
	return result < 0 ? -1 : am_give_struct(stats, &made, sizeof(made));
}

/* -- agents --------------------------------------------------------------------- */

static void add_counters(struct agentmem_stats *stats, const _Atomic uint64_t *count)
{
	stats->dedup_hits = count[DEDUP_HITS];
	stats->dedup_bytes = count[DEDUP_BYTES];
	stats->attach_hits = count[ATTACH_HITS];
	stats->delta_hits = count[DELTA_HITS];
	stats->compressions = count[COMPRESSIONS];
	stats->decompressions = count[DECOMPRESSIONS];
	stats->decompress_ns = count[DECOMPRESS_NS];
	stats->evict_mark = count[EVICT_MARK];
	stats->fault_resident = count[FAULT_RESIDENT];
	stats->fault_stored = count[FAULT_STORED];
}

/* Of one agent, or (0) of all. Holds are in the order of objects. */
static void add_holds(int dir, struct agentmem_stats *stats, const struct census *census, uint64_t agent)
{
	size_t last = census->nr_objects;

	for (size_t i = 0; i < census->nr_holds; i++) {
		const struct census_hold *hold = &census->holds[i];
		const uint8_t *digest = census->objects[hold->object].digest;
		struct object object;
		char name[NAME_SIZE];

		if ((agent && hold->agent != agent) || am_object_load(dir, am_object_name(name, 'o', digest), &object) < 0)
			continue;
		stats->smus++;
		stats->logical_bytes += object.length;
		if (hold->object != last)
			stats->unique_bytes += object.length;
		last = hold->object;
		if (agent) {
			stats->resident_top += part_size(dir, 'r', digest);
			stats->stored_bytes += part_size(dir, 'z', digest);
		}
	}
}

static uint64_t anonymous(pid_t pid)
{
	unsigned long long total = 0, kilobytes;
	char path[64], line[128];
	FILE *status;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	status = fopen(path, "re");
	while (status && fgets(line, sizeof(line), status))
		if (sscanf(line, "RssAnon: %llu", &kilobytes) == 1 || sscanf(line, "VmSwap: %llu", &kilobytes) == 1)
			total += kilobytes * 1024;
	if (status)
		fclose(status);
	return total;
}

static void add_anonymous(struct agentmem_stats *stats, const struct census *census, uint64_t agent)
{
	for (size_t i = 0; i < census->nr_agents; i++)
		if (census->agents[i].pid && (!agent || census->agents[i].number == agent))
			stats->anon_bytes += anonymous(census->agents[i].pid);
}

static void take_name(struct agentmem_stats *stats, const struct agent *agent)
{
	struct nested nested = {0};
	char path[64];
	ssize_t got;
	pid_t pid;
	int fd;

	memcpy(stats->name, agent->name, sizeof(stats->name));
	if (agent->named)
		return;
	pid = am_process_find(&agent->founder, &nested);
	am_nested_free(&nested);
	if (pid <= 0)
		return;
	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	got = read(fd, stats->name, sizeof(stats->name) - 1);
	close(fd);
	if (got > 0) /* the last one is a line break */
		stats->name[got - 1] = '\0';
}

/* In the lock. A process that is no agent has no figures yet. */
static int agent_stats(int dir, pid_t pid, struct agentmem_stats *stats)
{
	struct census census = {0};
	struct agent *agent;
	ino_t number;
	int result;

	*stats = (struct agentmem_stats){.state = AGENTMEM_ACTIVE, .importance = 500, .node = -1};
	agent = am_agent_of(dir, pid, pid == am_process_self(), &number);
	if (!agent)
		return errno == ENOENT ? 0 : -1;
	result = am_census_take(dir, &census);
	stats->state = agent->state;
	stats->importance = agent->importance;
	stats->node = agent->node;
	add_counters(stats, agent->count);
	add_holds(dir, stats, &census, number);
	add_anonymous(stats, &census, number);
	take_name(stats, agent);
	am_agent_release(agent);
	am_census_free(&census);
	return result;
}

/* In the lock. */
static int domain_stats(int dir, struct agentmem_stats *stats)
{
	struct census census = {0};
	int result;

	*stats = (struct agentmem_stats){.node = -1};
	if (am_agent_self(dir, NULL) < 0)
		return -1;
	result = am_census_take(dir, &census);
	if (am_store_totals())
		add_counters(stats, am_store_totals()->count);
	add_holds(dir, stats, &census, 0);
	add_anonymous(stats, &census, 0);
	for (size_t i = 0; i < census.nr_objects; i++) {
		stats->resident_top += part_size(dir, 'r', census.objects[i].digest);
		stats->stored_bytes += part_size(dir, 'z', census.objects[i].digest);
	}
	am_census_free(&census);
	return result;
}

int am_fallback_stats(unsigned int scope, int pidfd, struct agentmem_stats *stats)
{
	struct agentmem_stats made;
	pid_t pid = am_process_self();
	int dir, lock, result = -1;

	if (scope == AGENTMEM_SCOPE_SYSTEM)
		return fail(EOPNOTSUPP);
	if (scope == AGENTMEM_SCOPE_AGENT && pidfd != AGENTMEM_SELF) {
		if (am_process_of(pidfd, &pid) < 0)
			return -1;
		if (!am_process_own(pid))
			return fail(EACCES);
	}
	dir = am_store_open();
	if (dir < 0)
		return -1;
	lock = am_store_lock(dir);
	if (lock >= 0) {
		result = scope == AGENTMEM_SCOPE_AGENT ? agent_stats(dir, pid, &made) : domain_stats(dir, &made);
		am_store_unlock(lock);
	}
	made.size = sizeof(made);
	am_store_close(dir);
	return result < 0 ? -1 : am_give_struct(stats, &made, sizeof(made));
}

ssize_t am_fallback_agents(pid_t *pids, size_t count)
{
	int dir = am_store_open();
	struct census census;
	size_t found = 0;

	if (dir < 0)
		return -1;
	int result = locked_census(dir, &census);
	am_store_close(dir);
	for (size_t i = 0; i < census.nr_agents; i++) {
		if (!census.agents[i].pid)
			continue;
		if (found < count)
			pids[found] = census.agents[i].pid;
		found++;
	}
	am_census_free(&census);
	return result < 0 ? -1 : (ssize_t)found;
}
