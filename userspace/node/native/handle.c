/* SPDX-License-Identifier: MIT */
#include "native.h"

#include <errno.h>
#include <stdlib.h>

struct handle *am_handle_new(void)
{
	struct handle *handle = malloc(sizeof(*handle));

	if (handle)
		*handle = (struct handle){.fd = -1, .open = true, .owned = true};
	return handle;
}

void am_handle_take(struct handle *handle)
{
	handle->users++;
}

/* Closes the descriptor if it is ended, and no call uses it. */
static int close_if_ended(struct handle *handle)
{
	int fd = handle->fd;

	if (handle->open || handle->users || fd < 0)
		return 0;
	handle->fd = -1;
	return agentmem_close(fd);
}

static void free_if_unused(struct handle *handle)
{
	close_if_ended(handle);
	if (!handle->users && !handle->owned)
		free(handle);
}

void am_handle_drop(struct handle *handle)
{
	handle->users--;
	free_if_unused(handle);
}

void am_handle_end(struct handle *handle)
{
	handle->open = false;
	handle->owned = false;
	free_if_unused(handle);
}

static void finalize(napi_env env, void *data, void *hint)
{
	(void)env;
	(void)hint;
	am_handle_end(data);
}

napi_value am_handle_give(napi_env env, struct handle *handle)
{
	napi_value value;

	return napi_create_external(env, handle, finalize, NULL, &value) == napi_ok ? value : NULL;
}

struct handle *am_handle_of(napi_env env, napi_value value)
{
	void *handle;

	return napi_get_value_external(env, value, &handle) == napi_ok ? handle : NULL;
}

static struct handle *only_argument(napi_env env, napi_callback_info info)
{
	size_t count = 1;
	napi_value argument;

	if (napi_get_cb_info(env, info, &count, &argument, NULL, NULL) != napi_ok)
		return NULL;
	return am_handle_of(env, argument);
}

napi_value am_close(napi_env env, napi_callback_info info)
{
	struct handle *handle = only_argument(env, info);

	if (!handle)
		return am_throw(env, "close");
	handle->open = false;
	return close_if_ended(handle) < 0 ? am_errno(env, errno) : am_number(env, 0);
}

napi_value am_descriptor(napi_env env, napi_callback_info info)
{
	struct handle *handle = only_argument(env, info);

	return handle ? am_number(env, handle->open ? handle->fd : -1) : am_throw(env, "descriptor");
}
