/* SPDX-License-Identifier: MIT */
#include "native.h"

#include <errno.h>
#include <stdlib.h>

struct handle *am_handle_new(void)
{
	struct handle *handle = malloc(sizeof(*handle));

	if (handle)
		*handle = (struct handle){.fd = -1, .open = true, .users = 1};
	return handle;
}

void am_handle_take(struct handle *handle)
{
	handle->users++;
}

/* Closes the descriptor if JavaScript has ended it, and nobody but JavaScript's own handle is left. */
static int close_if_ended(struct handle *handle)
{
	int fd = handle->fd;

	if (handle->open || handle->users > 1 || fd < 0)
		return 0;
	handle->fd = -1;
	return agentmem_close(fd);
}

void am_handle_drop(struct handle *handle)
{
	handle->users--;
	close_if_ended(handle);
	if (!handle->users)
		free(handle);
}

static void finalize(napi_env env, void *data, void *hint)
{
	struct handle *handle = data;

	(void)env;
	(void)hint;
	handle->open = false;
	am_handle_drop(handle);
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
