/* SPDX-License-Identifier: MIT */
#include "native.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ARGUMENTS	(JOB_NUMBERS + 3)

/* A call as one of the two functions that are made of it. */
struct function {
	const struct call *call;
	bool async;
};

static void release(struct job *job)
{
	if (job->handle)
		am_handle_drop(job->handle);
	if (job->made) /* it did not get to JavaScript */
		am_handle_end(job->made);
	if (job->copied)
		free(job->data);
}

/* -- arguments -- */

/*
 * Bytes of a promise are copied: JavaScript may change, shrink or give away the buffer while the thread reads it, and nothing
 * can be done to keep it from that.
 */
static bool take_bytes(napi_env env, struct job *job, napi_value value, bool copy)
{
	napi_typedarray_type type;
	void *data;

	if (napi_get_typedarray_info(env, value, &type, &job->size, &data, NULL, NULL) != napi_ok || type != napi_uint8_array)
		return false;
	job->data = data;
	if (!copy || !job->size)
		return true;
	job->data = malloc(job->size);
	job->copied = job->data;
	if (!job->copied) {
		job->error = ENOMEM;
		return false;
	}
	memcpy(job->data, data, job->size);
	return true;
}

static bool take_handle(napi_env env, struct job *job, napi_value value, bool optional)
{
	struct handle *handle = am_handle_of(env, value);

	if (!handle)
		return optional;
	am_handle_take(handle);
	job->handle = handle;
	return handle->open;
}

static bool take(napi_env env, struct job *job, const napi_value *arguments, bool async)
{
	unsigned int numbers = 0;
	bool good = true;

	for (const char *takes = job->call->takes; good && *takes; takes++, arguments++) {
		if (*takes == 'd')
			good = take_bytes(env, job, *arguments, async);
		else if (*takes == 'n')
			good = napi_get_value_int32(env, *arguments, &job->number[numbers++]) == napi_ok;
		else
			good = take_handle(env, job, *arguments, *takes == 'o');
	}
	if (good && job->call->makes) {
		job->made = am_handle_new();
		good = job->made;
	}
	return good;
}

/* -- the call -- */

static void run(napi_env env, void *data)
{
	struct job *job = data;

	(void)env;
	job->error = job->call->run(job) < 0 ? errno : 0;
}

static napi_value result(napi_env env, struct job *job)
{
	if (job->error)
		return am_errno(env, job->error);
	return job->call->give ? job->call->give(env, job) : am_number(env, 0);
}

/* The context may be ending: then nothing reaches JavaScript any more, and what was made is closed. */
static void complete(napi_env env, napi_status status, void *data)
{
	struct job *job = data;
	napi_value value = status == napi_ok ? result(env, job) : NULL, thrown;

	if (value)
		napi_resolve_deferred(env, job->promise, value);
	else if (napi_get_and_clear_last_exception(env, &thrown) == napi_ok)
		napi_reject_deferred(env, job->promise, thrown);
	napi_delete_async_work(env, job->work);
	release(job);
	free(job);
}

static napi_value start(napi_env env, const struct job *prepared)
{
	struct job *job = malloc(sizeof(*job));
	napi_value name, promise;

	if (!job)
		return am_throw(env, "no memory");
	*job = *prepared;
	if (napi_create_string_utf8(env, job->call->name, NAPI_AUTO_LENGTH, &name) == napi_ok &&
	    napi_create_promise(env, &job->promise, &promise) == napi_ok &&
	    napi_create_async_work(env, NULL, name, run, complete, job, &job->work) == napi_ok) {
		if (napi_queue_async_work(env, job->work) == napi_ok)
			return promise;
		napi_delete_async_work(env, job->work);
	}
	free(job);
	return am_throw(env, "cannot be started");
}

static napi_value invoke(napi_env env, napi_callback_info info)
{
	napi_value arguments[ARGUMENTS], value;
	const struct function *function;
	size_t count = ARGUMENTS;
	struct job job = {0};
	void *data;

	if (napi_get_cb_info(env, info, &count, arguments, NULL, &data) != napi_ok)
		return am_throw(env, "arguments");
	function = data;
	job.call = function->call;
	if (!take(env, &job, arguments, function->async)) {
		release(&job);
		return job.error ? am_errno(env, job.error) : am_throw(env, job.call->name);
	}
	if (function->async) {
		value = start(env, &job);
		if (value)
			return value;
	} else {
		run(env, &job);
		value = result(env, &job);
	}
	release(&job);
	return value;
}

static void forget(napi_env env, void *data, void *hint)
{
	(void)env;
	(void)hint;
	free(data);
}

static bool define_one(napi_env env, napi_value exports, const struct call *call, bool async)
{
	struct function *function = malloc(sizeof(*function));
	char name[64] = "";
	napi_value value;

	if (!function)
		return false;
	*function = (struct function){call, async};
	strcat(strcat(name, call->name), async ? "Async" : "");
	if (napi_create_function(env, name, NAPI_AUTO_LENGTH, invoke, function, &value) == napi_ok &&
	    napi_add_finalizer(env, value, function, forget, NULL, NULL) == napi_ok)
		return am_set(env, exports, name, value);
	free(function);
	return false;
}

bool am_define(napi_env env, napi_value exports, const struct call *call)
{
	return define_one(env, exports, call, false) && define_one(env, exports, call, true);
}
