/* SPDX-License-Identifier: MIT */
/* Content: the object's own pages as an ArrayBuffer, and copies. */
#include "native.h"

#include <errno.h>
#include <stdlib.h>

/* The map of the handle that is the first argument. 0; errno; or -1, and something was thrown. */
static int map(napi_env env, napi_value argument, int (*how)(int, struct agentmem_view *), struct agentmem_view *view)
{
	struct handle *handle = am_handle_of(env, argument);

	if (!handle) {
		am_throw(env, "content");
		return -1;
	}
	if (!handle->open)
		return EBADF;
	return how(handle->fd, view) < 0 ? errno : 0;
}

static void end_view(napi_env env, void *data, void *hint)
{
	(void)env;
	(void)data;
	agentmem_unmap(hint);
	free(hint);
}

/* What a copy or a text is made of: arguments are the handle, and the bytes from and to which, cut to those there are. */
static int map_part(napi_env env, napi_callback_info info, struct agentmem_view *view, struct agentmem_view *part)
{
	napi_value arguments[3];
	size_t count = 3;
	int64_t from, to;
	int error;

	if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) != napi_ok ||
	    napi_get_value_int64(env, arguments[1], &from) != napi_ok || napi_get_value_int64(env, arguments[2], &to) != napi_ok) {
		am_throw(env, "content");
		return -1;
	}
	error = map(env, arguments[0], agentmem_map, view);
	if (!error) {
		to = to < (int64_t)view->size ? to : (int64_t)view->size;
		from = from < to ? from : to;
		*part = (struct agentmem_view){(const char *)view->data + from, (size_t)(to - from)};
	}
	return error;
}

/*
 * The pages as an ArrayBuffer, which keeps them until it is collected. JavaScript cannot be kept from writing to it; so
 * that this is no fault in the process, the map is a private one. null: this runtime allows no such buffers.
 */
napi_value am_view(napi_env env, napi_callback_info info)
{
	struct agentmem_view *view = calloc(1, sizeof(*view));
	size_t count = 1;
	napi_value argument, value = NULL;
	napi_status status = napi_get_cb_info(env, info, &count, &argument, NULL, NULL);
	int error = view && status == napi_ok ? map(env, argument, agentmem_map_private, view) : ENOMEM;

	if (error) {
		free(view);
		return error > 0 ? am_errno(env, error) : NULL;
	}
	status = napi_create_external_arraybuffer(env, (void *)view->data, view->size, end_view, view, &value);
	if (status == napi_ok)
		return value;
	end_view(env, NULL, view);
	if (status != napi_no_external_buffers_allowed || napi_get_null(env, &value) != napi_ok)
		return am_throw(env, "no buffer could be made");
	return value;
}

napi_value am_copy(napi_env env, napi_callback_info info)
{
	struct agentmem_view view = {0}, part;
	int error = map_part(env, info, &view, &part);
	napi_value value = NULL;

	if (error)
		return error > 0 ? am_errno(env, error) : NULL;
	if (napi_create_buffer_copy(env, part.size, part.data, NULL, &value) != napi_ok)
		value = am_throw(env, "no memory for a copy of this size");
	agentmem_unmap(&view);
	return value;
}

napi_value am_text(napi_env env, napi_callback_info info)
{
	struct agentmem_view view = {0}, part;
	int error = map_part(env, info, &view, &part);
	napi_value value = NULL;

	if (error)
		return error > 0 ? am_errno(env, error) : NULL;
	if (napi_create_string_utf8(env, part.data, part.size, &value) != napi_ok)
		value = am_throw(env, "the content is too long for a string");
	agentmem_unmap(&view);
	return value;
}
