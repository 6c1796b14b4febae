/* SPDX-License-Identifier: MIT */
/*
 * The addon: libagentmem's calls as JavaScript sees them, and flock(2), which Node does not have. What is convenient is in the JavaScript around it, which
 * also checks arguments: nobody else can reach these functions.
 *
 * Nothing here is global, so any number of contexts (worker threads) may load it. A call that fails answers -errno.
 */
#ifndef NATIVE_H
#define NATIVE_H

#include <agentmem.h>
#include <node_api.h>
#include <stdbool.h>

/* -- handle.c: a descriptor that JavaScript holds, and that calls under way use -- */

/*
 * Only the thread of its context looks at it. Closing waits for no call: the last one that uses the descriptor closes it, so no
 * call meets another file under its number.
 */
struct handle {
	int fd;			/* -1: closed */
	bool open;		/* JavaScript has not closed it */
	bool owned;		/* by JavaScript, or by the call that makes it for JavaScript */
	unsigned int users;	/* calls under way */
};

/* A new one without a descriptor, that JavaScript does not know yet; NULL: no memory. */
struct handle *am_handle_new(void);
/* Gives it to JavaScript, whose garbage collector ends it from now on. NULL: that failed, the handle is as before. */
napi_value am_handle_give(napi_env env, struct handle *handle);
/* The handle behind a value; NULL if it is none. */
struct handle *am_handle_of(napi_env env, napi_value value);
/* For a call that uses it. */
void am_handle_take(struct handle *handle);
void am_handle_drop(struct handle *handle);
/* Its owner wants it no more. */
void am_handle_end(struct handle *handle);

napi_value am_close(napi_env env, napi_callback_info info);
napi_value am_descriptor(napi_env env, napi_callback_info info);

/* -- job.c: one call with its arguments, done at once or by a thread of libuv's -- */

#define JOB_NUMBERS	6

struct job {
	const struct call *call;
	napi_async_work work;
	napi_deferred promise;
	struct handle *handle;		/* the one it is about, or NULL */
	struct handle *made;		/* the one that it is to fill */
	uint8_t *data;
	size_t size;
	bool copied;			/* data is the job's own */
	int32_t number[JOB_NUMBERS];
	int error;			/* errno, or 0 */
	struct agentmem_info info;
	union {
		struct agentmem_smu_stats smu;
		struct agentmem_stats agent;
	} figures;
};

/*
 * takes: what its arguments are, in their order: h a handle, o a handle or null, d bytes, n a number. makes: it fills a new
 * handle. run: any thread; 0, or -1 with errno. give: its result for JavaScript; without, it is 0.
 */
struct call {
	const char *name, *takes;
	bool makes;
	int (*run)(struct job *job);
	napi_value (*give)(napi_env env, struct job *job);
};

/* Adds the function NAME, and NAMEAsync, which answers a promise, to `exports`. */
bool am_define(napi_env env, napi_value exports, const struct call *call);

/* -- figures.c -- */
napi_value am_give_smu_figures(napi_env env, struct job *job);
napi_value am_give_agent_figures(napi_env env, struct job *job);

/* -- view.c: content -- */
napi_value am_view(napi_env env, napi_callback_info info);
napi_value am_copy(napi_env env, napi_callback_info info);
napi_value am_text(napi_env env, napi_callback_info info);

/* -- addon.c -- */
napi_value am_number(napi_env env, double number);
/* -errno, as a value. */
napi_value am_errno(napi_env env, int error);
/* Throws unless something has been thrown already; answers NULL. */
napi_value am_throw(napi_env env, const char *what);
bool am_set(napi_env env, napi_value object, const char *key, napi_value value);

#endif
