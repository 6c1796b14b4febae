/* SPDX-License-Identifier: MIT */
#include "native.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>

/* -- values -- */

napi_value am_number(napi_env env, double number)
{
	napi_value value;

	return napi_create_double(env, number, &value) == napi_ok ? value : NULL;
}

napi_value am_errno(napi_env env, int error)
{
	return am_number(env, -error);
}

napi_value am_throw(napi_env env, const char *what)
{
	bool pending = false;

	napi_is_exception_pending(env, &pending);
	if (!pending)
		napi_throw_error(env, NULL, what);
	return NULL;
}

bool am_set(napi_env env, napi_value object, const char *key, napi_value value)
{
	return value && napi_set_named_property(env, object, key, value) == napi_ok;
}

/* -- making and finding -- */

enum { TYPE, FLAGS, NODE, IMPORTANCE }; /* numbers of put and append */

static struct agentmem_options options(const struct job *job)
{
	struct agentmem_options options = AGENTMEM_OPTIONS_INIT;

	options.flags = (uint32_t)job->number[FLAGS];
	options.node = job->number[NODE];
	options.importance = (uint32_t)job->number[IMPORTANCE];
	return options;
}

static int put(struct job *job)
{
	struct agentmem_options chosen = options(job);

	if (job->handle)
		chosen.base_fd = job->handle->fd;
	job->made->fd = agentmem_put((enum agentmem_type)job->number[TYPE], job->data, job->size, &chosen, &job->info);
	return job->made->fd;
}

static int append(struct job *job)
{
	struct agentmem_options chosen = options(job);

	job->made->fd = agentmem_append(job->handle->fd, (enum agentmem_type)job->number[TYPE], job->data, job->size, &chosen,
					&job->info);
	return job->made->fd;
}

static int attach(struct job *job)
{
	job->info.result = AGENTMEM_R_DEDUP;
	memcpy(job->info.digest, job->data, sizeof(job->info.digest));
	job->made->fd = agentmem_attach(job->info.digest);
	return job->made->fd;
}

/* Takes a descriptor over; where that fails it stays the caller's. */
static int adopt(struct job *job)
{
	job->info.result = AGENTMEM_R_DEDUP;
	if (agentmem_digest(job->number[0], job->info.digest) < 0)
		return -1;
	job->made->fd = job->number[0];
	return 0;
}

/* { handle, digest, result }; the handle is JavaScript's from here on. */
static napi_value give_made(napi_env env, struct job *job)
{
	char hex[AGENTMEM_HEX_SIZE];
	napi_value object, digest, handle;

	if (napi_create_object(env, &object) != napi_ok ||
	    napi_create_string_utf8(env, agentmem_hex(job->info.digest, hex), NAPI_AUTO_LENGTH, &digest) != napi_ok ||
	    !am_set(env, object, "digest", digest) || !am_set(env, object, "result", am_number(env, job->info.result)))
		return am_throw(env, "no result could be made");
	handle = am_handle_give(env, job->made);
	if (!handle)
		return am_throw(env, "no result could be made");
	job->made = NULL;
	return am_set(env, object, "handle", handle) ? object : am_throw(env, "no result could be made");
}

/* -- agents -- */

/* Does something with the descriptor of a process; 0 stands for the caller's agent. */
static int with_process(struct job *job, int pid, int (*what)(struct job *, int pidfd))
{
	int pidfd = pid ? (int)syscall(SYS_pidfd_open, pid, 0) : AGENTMEM_SELF, result, why;

	if (pid && pidfd < 0)
		return -1;
	result = what(job, pidfd);
	why = errno;
	if (pid)
		close(pidfd);
	errno = why;
	return result;
}

static int share_with(struct job *job, int pidfd)
{
	return agentmem_share(job->handle->fd, pidfd, (unsigned int)job->number[1]);
}

static int share(struct job *job)
{
	return with_process(job, job->number[0], share_with);
}

enum { PID, VALID, TEMPERATURE, STATE, MARK_IMPORTANCE, MARK_NODE }; /* numbers of mark; its bytes are a name */

static int mark_fd(struct job *job, int fd)
{
	struct agentmem_mark mark = {
		.size = sizeof(mark),
		.valid = (uint32_t)job->number[VALID],
		.temperature = (uint32_t)job->number[TEMPERATURE],
		.state = (uint32_t)job->number[STATE],
		.importance = (uint32_t)job->number[MARK_IMPORTANCE],
		.node = job->number[MARK_NODE],
	};

	if (job->data) /* without a name there is none */
		memcpy(mark.name, job->data, job->size < sizeof(mark.name) ? job->size : sizeof(mark.name) - 1);
	return agentmem_mark(fd, &mark);
}

static int mark(struct job *job)
{
	return job->handle ? mark_fd(job, job->handle->fd) : with_process(job, job->number[PID], mark_fd);
}

/* -- files -- */

/* EWOULDBLOCK: another open file has the lock. It ends with this one. */
static int lock(struct job *job)
{
	return flock(job->number[0], LOCK_EX | LOCK_NB);
}

/* -- figures -- */

static int smu_stats(struct job *job)
{
	job->figures.smu.size = sizeof(job->figures.smu);
	return agentmem_smu_stats(job->handle->fd, &job->figures.smu);
}

static int stats_of(struct job *job, int pidfd)
{
	job->figures.agent.size = sizeof(job->figures.agent);
	return agentmem_stats((enum agentmem_scope)job->number[0], pidfd, &job->figures.agent);
}

static int agent_stats(struct job *job)
{
	return with_process(job, job->number[1], stats_of);
}

static napi_value list(napi_env env, const pid_t *pids, size_t count)
{
	napi_value array;

	if (napi_create_array_with_length(env, count, &array) != napi_ok)
		return am_throw(env, "no memory");
	for (size_t i = 0; i < count; i++)
		if (napi_set_element(env, array, (uint32_t)i, am_number(env, pids[i])) != napi_ok)
			return am_throw(env, "no memory");
	return array;
}

static napi_value agents(napi_env env, napi_callback_info info)
{
	size_t room = 64;

	(void)info;
	for (;;) {
		pid_t *pids = malloc(room * sizeof(*pids));
		ssize_t found = pids ? agentmem_agents(pids, room) : -1;
		napi_value array = NULL;

		if (found < 0)
			array = am_errno(env, pids ? errno : ENOMEM);
		else if ((size_t)found <= room)
			array = list(env, pids, (size_t)found);
		free(pids);
		if (found < 0 || (size_t)found <= room)
			return array;
		room = 2 * (size_t)found;
	}
}

static napi_value backend(napi_env env, napi_callback_info info)
{
	const char *name = agentmem_backend();
	napi_value value;

	(void)info;
	if (!name)
		return am_errno(env, errno);
	return napi_create_string_utf8(env, name, NAPI_AUTO_LENGTH, &value) == napi_ok ? value : am_throw(env, "backend");
}

/* -- the module -- */

static const struct call calls[] = {
	{"put", "dnnnno", true, put, give_made},
	{"append", "hdnnnn", true, append, give_made},
	{"attach", "d", true, attach, give_made},
	{"adopt", "n", true, adopt, give_made},
	{"share", "hnn", false, share, NULL},
	{"mark", "onnnnnnd", false, mark, NULL},
	{"lock", "n", false, lock, NULL},
	{"smuStats", "h", false, smu_stats, am_give_smu_figures},
	{"agentStats", "nn", false, agent_stats, am_give_agent_figures},
};

static const napi_property_descriptor functions[] = {
	{.utf8name = "close", .method = am_close},
	{.utf8name = "descriptor", .method = am_descriptor},
	{.utf8name = "view", .method = am_view},
	{.utf8name = "copy", .method = am_copy},
	{.utf8name = "text", .method = am_text},
	{.utf8name = "agents", .method = agents},
	{.utf8name = "backend", .method = backend},
};

NAPI_MODULE_INIT()
{
	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++)
		if (!am_define(env, exports, &calls[i]))
			return am_throw(env, "libagentmem-node cannot be loaded");
	if (napi_define_properties(env, exports, sizeof(functions) / sizeof(*functions), functions) != napi_ok)
		return am_throw(env, "libagentmem-node cannot be loaded");
	return exports;
}
