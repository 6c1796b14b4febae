/* SPDX-License-Identifier: MIT */
/* Content: the object's own pages as an ArrayBuffer, and copies. */
#include "native.h"

#include <errno.h>
#include <stdlib.h>

/* The map of the handle that is the only argument. 0; errno; or -1, and something was thrown. */
static int map(napi_env env, napi_callback_info info, int (*how)(int, struct agentmem_view *), struct agentmem_view *view)
{
	size_t count = 1;
	napi_value argument;
	struct handle *handle;

	if (napi_get_cb_info(env, info, &count, &argument, NULL, NULL) != napi_ok || !(handle = am_handle_of(env, argument))) {
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

/*
 * The pages as an ArrayBuffer, which keeps them until it is collected. JavaScript cannot be kept from writing to it; so
 * that this is no fault in the process, the map is a private one. null: this runtime allows no such buffers.
 */
napi_value am_view(napi_env env, napi_callback_info info)
{
	struct agentmem_view *view = calloc(1, sizeof(*view));
	int error = view ? map(env, info, agentmem_map_private, view) : ENOMEM;
	napi_value value = NULL;
	napi_status status;

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
	struct agentmem_view view = {0};
	int error = map(env, info, agentmem_map, &view);
	napi_value value = NULL;

	if (error)
		return error > 0 ? am_errno(env, error) : NULL;
	if (napi_create_buffer_copy(env, view.size, view.data, NULL, &value) != napi_ok)
		value = am_throw(env, "no memory for a copy of this size");
	agentmem_unmap(&view);
	return value;
}

napi_value am_text(napi_env env, napi_callback_info info)
{
	struct agentmem_view view = {0};
	int error = map(env, info, agentmem_map, &view);
	napi_value value = NULL;

	if (error)
		return error > 0 ? am_errno(env, error) : NULL;
	if (napi_create_string_utf8(env, view.data, view.size, &value) != napi_ok)
		value = am_throw(env, "the content is too long for a string");
	agentmem_unmap(&view);
	return value;
}
