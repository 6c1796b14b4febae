/* SPDX-License-Identifier: MIT */
#include "census.h"
#include "agent.h"
#include "keep.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

static void read_names(int dir, const struct names *names, struct census *census)
{
	struct nested nested = {0};

	for (size_t i = 0; i < names->count; i++) {
		const char *name = names->list[i];
		struct census_object *object = &census->objects[census->nr_objects];
		struct census_agent *agent = &census->agents[census->nr_agents];
		struct process process;
		struct stat st;

		if (!strchr("oa", name[0]) || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (name[0] == 'o' && agentmem_unhex(name + 2, object->digest) == 0) {
			object->number = st.st_ino;
			census->nr_objects++;
		} else if (am_agent_process(name, &process)) {
			pid_t pid = am_process_find(&process, &nested);

			*agent = (struct census_agent){process, pid > 0 ? pid : 0, st.st_ino};
			census->nr_agents++;
		}
	}
	am_nested_free(&nested);
}

static int by_number(const void *a, const void *b)
{
	ino_t left = ((const struct census_object *)a)->number, right = ((const struct census_object *)b)->number;

	return (left > right) - (left < right);
}

static int by_object_and_agent(const void *a, const void *b)
{
	const struct census_hold *left = a, *right = b;

	if (left->object != right->object)
		return left->object < right->object ? -1 : 1;
	return (left->agent > right->agent) - (left->agent < right->agent);
}

static uint64_t agent_of_process(const struct census *census, pid_t pid)
{
	for (size_t i = 0; i < census->nr_agents; i++)
		if (pid > 0 && census->agents[i].pid == pid)
			return census->agents[i].number;
	return UNKNOWN_AGENT | (uint32_t)pid;
}

static int add_hold(struct census *census, size_t *room, struct census_hold hold)
{
	if (census->nr_holds == *room) {
		size_t more = *room ? 2 * *room : 64;
		void *holds = realloc(census->holds, more * sizeof(hold));

		if (!holds)
			return -1;
		census->holds = holds;
		*room = more;
	}
	census->holds[census->nr_holds++] = hold;
	return 0;
}

/* A shared lock of a record is a descriptor that some program has got; its process is who got it first. */
static int read_locks(int dir, struct census *census)
{
	FILE *locks = fopen("/proc/locks", "re");
	unsigned int major_, minor_;
	uintmax_t number;
	size_t room = 0;
	char line[256];
	struct stat st;
	int result = 0, pid;

	if (!locks || fstat(dir, &st) < 0) {
		if (locks)
			fclose(locks);
		return 0; /* what cannot be known is not an error */
	}
	while (result == 0 && fgets(line, sizeof(line), locks)) {
		struct census_object key, *found;

		if (sscanf(line, "%*d: FLOCK ADVISORY READ %d %x:%x:%ju", &pid, &major_, &minor_, &number) != 4 ||
		    major_ != major(st.st_dev) || minor_ != minor(st.st_dev))
			continue;
		key.number = (ino_t)number;
		found = bsearch(&key, census->objects, census->nr_objects, sizeof(key), by_number);
		if (found)
			result = add_hold(census, &room, (struct census_hold){(size_t)(found - census->objects),
									      agent_of_process(census, pid)});
	}
	fclose(locks);
	return result;
}

/* Each agent once for an object, however many descriptors it has. */
static void unite(struct census *census)
{
	size_t kept = 0;

	if (census->nr_holds)
		qsort(census->holds, census->nr_holds, sizeof(*census->holds), by_object_and_agent);
	for (size_t i = 0; i < census->nr_holds; i++)
		if (!i || by_object_and_agent(&census->holds[i], &census->holds[kept - 1]))
			census->holds[kept++] = census->holds[i];
	census->nr_holds = kept;
}

int am_census_take(int dir, struct census *census)
{
	struct names names = {0};
	int result = -1;

	*census = (struct census){0};
	if (am_keep_list(dir, &names)) {
		census->objects = calloc(names.count + 1, sizeof(*census->objects));
		census->agents = calloc(names.count + 1, sizeof(*census->agents));
		if (census->objects && census->agents) {
			read_names(dir, &names, census);
			qsort(census->objects, census->nr_objects, sizeof(*census->objects), by_number);
			result = read_locks(dir, census);
			unite(census);
		}
	}
	am_keep_list_free(&names);
	return result;
}

void am_census_free(struct census *census)
{
	free(census->objects);
	free(census->agents);
	free(census->holds);
}
