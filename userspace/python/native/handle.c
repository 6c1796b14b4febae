/* SPDX-License-Identifier: MIT */
/*
 * Handle: a descriptor of an object, and its content as a buffer.
 *
 * The content is mapped while somebody has a buffer of it, and not longer: a mapping would keep the plain copy of what is
 * marked WARM or COLD. Whoever works on the descriptor without the interpreter's lock has it taken; closing waits for none
 * of these, the last of them closes. So no call can meet the descriptor of another file that got its number.
 */
#include "native.h"

#include <stdbool.h>
#include <string.h>

struct handle {
	PyObject_HEAD
	int fd;				/* -1: closed, or never open */
	bool closing;			/* no new use of it */
	unsigned int taken;		/* calls under way */
	Py_ssize_t exports;		/* buffers given out, all of them view */
	struct agentmem_view view;	/* empty without exports */
	Py_ssize_t length;
	struct agentmem_info info;
};

/* -- the descriptor ----------------------------------------------------------- */

static int take(struct handle *handle)
{
	if (handle->fd < 0 || handle->closing) {
		PyErr_SetString(PyExc_ValueError, "operation on a closed SMU");
		return -1;
	}
	handle->taken++;
	return handle->fd;
}

static int drop(struct handle *handle)
{
	int fd = handle->fd, result;

	if (--handle->taken || !handle->closing)
		return 0;
	handle->fd = -1;
	Py_BEGIN_ALLOW_THREADS
	result = agentmem_close(fd);
	Py_END_ALLOW_THREADS
	return result;
}

static int look(int fd, struct agentmem_smu_stats *stats)
{
	int result;

	*stats = (struct agentmem_smu_stats){.size = sizeof(*stats)};
	Py_BEGIN_ALLOW_THREADS
	result = agentmem_smu_stats(fd, stats);
	Py_END_ALLOW_THREADS
	return result;
}

/* Takes the descriptor over; where that fails it is closed, but for adopt = true, which leaves it to the caller. */
static PyObject *make(PyTypeObject *type, int fd, const struct agentmem_info *info, Py_ssize_t length, bool adopt)
{
	allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
	struct handle *handle = (struct handle *)alloc(type, 0);

	if (!handle) {
		if (!adopt)
			agentmem_close(fd);
		return NULL;
	}
	handle->fd = fd;
	handle->info = *info;
	handle->length = length;
	return (PyObject *)handle;
}

/* The same, of an object that only its descriptor is known of. */
static PyObject *make_known(PyTypeObject *type, int fd, unsigned int result, bool adopt)
{
	struct agentmem_info info = {.result = result};
	struct agentmem_smu_stats stats;

	if (look(fd, &stats) < 0) {
		am_error();
		if (!adopt)
			agentmem_close(fd);
		return NULL;
	}
	memcpy(info.digest, stats.digest, sizeof(info.digest));
	return make(type, fd, &info, (Py_ssize_t)stats.length, adopt);
}

static PyObject *handle_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
	static char *names[] = {"fd", NULL};
	int fd;

	if (!PyArg_ParseTupleAndKeywords(args, kwargs, "i", names, &fd))
		return NULL;
	return make_known(type, fd, AGENTMEM_R_DEDUP, true);
}

static void handle_dealloc(PyObject *self)
{
	struct handle *handle = (struct handle *)self;
	PyTypeObject *type = Py_TYPE(self);
	freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);

	if (handle->fd >= 0) {
		handle->closing = true;
		handle->taken++;
		drop(handle);
	}
	release(self);
	Py_DECREF(type);
}

static PyObject *handle_close(PyObject *self, PyObject *none)
{
	struct handle *handle = (struct handle *)self;

	(void)none;
	if (handle->exports)
		return PyErr_Format(PyExc_BufferError, "cannot close the SMU: %zd of its buffers are in use",
				    handle->exports);
	if (handle->fd < 0 || handle->closing)
		Py_RETURN_NONE;
	handle->closing = true;
	handle->taken++;
	return am_none(drop(handle));
}

static PyObject *handle_fileno(PyObject *self, PyObject *none)
{
	struct handle *handle = (struct handle *)self;
	int fd = take(handle);

	(void)none;
	if (fd < 0)
		return NULL;
	drop(handle);
	return PyLong_FromLong(fd);
}

/* -- making and finding ------------------------------------------------------- */

struct request {
	Py_buffer data;
	int type;
	struct agentmem_options options;
	struct agentmem_info info;
};

static PyObject *finish(PyTypeObject *type, struct request *request, int fd, Py_ssize_t before)
{
	Py_ssize_t size = request->data.len;

	if (fd < 0)
		am_error();
	PyBuffer_Release(&request->data);
	return fd < 0 ? NULL : make(type, fd, &request->info, before + size, false);
}

static PyObject *handle_put(PyObject *cls, PyObject *args)
{
	struct request r = {.options = AGENTMEM_OPTIONS_INIT};
	struct handle *base = NULL;
	PyObject *given;
	int fd;

	if (!PyArg_ParseTuple(args, "y*iO&OiO&", &r.data, &r.type, am_unsigned, &r.options.flags, &given, &r.options.node,
			      am_unsigned, &r.options.importance))
		return NULL;
	if (given != Py_None) {
		base = (struct handle *)given;
		if (!PyObject_TypeCheck(given, (PyTypeObject *)cls))
			PyErr_SetString(PyExc_TypeError, "base must be an Smu or None");
		else
			r.options.base_fd = take(base);
		if (r.options.base_fd < 0) {
			PyBuffer_Release(&r.data);
			return NULL;
		}
	}
	Py_BEGIN_ALLOW_THREADS
	fd = agentmem_put((enum agentmem_type)r.type, r.data.buf, (size_t)r.data.len, &r.options, &r.info);
	Py_END_ALLOW_THREADS
	given = finish((PyTypeObject *)cls, &r, fd, 0);
	if (base)
		drop(base);
	return given;
}

static PyObject *handle_append(PyObject *self, PyObject *args)
{
	struct request r = {.options = AGENTMEM_OPTIONS_INIT};
	struct handle *handle = (struct handle *)self;
	PyObject *made;
	int base, fd;

	if (!PyArg_ParseTuple(args, "y*iO&iO&", &r.data, &r.type, am_unsigned, &r.options.flags, &r.options.node,
			      am_unsigned, &r.options.importance))
		return NULL;
	base = take(handle);
	if (base < 0) {
		PyBuffer_Release(&r.data);
		return NULL;
	}
	Py_BEGIN_ALLOW_THREADS
	fd = agentmem_append(base, (enum agentmem_type)r.type, r.data.buf, (size_t)r.data.len, &r.options, &r.info);
	Py_END_ALLOW_THREADS
	made = finish(Py_TYPE(self), &r, fd, handle->length);
	drop(handle);
	return made;
}

static PyObject *handle_attach(PyObject *cls, PyObject *args)
{
	uint8_t digest[AGENTMEM_DIGEST_SIZE];
	Py_buffer given;
	int fd;

	if (!PyArg_ParseTuple(args, "y*", &given))
		return NULL;
	if (given.len != sizeof(digest)) {
		PyErr_Format(PyExc_ValueError, "a digest is 64 hexadecimal digits or %d bytes; got %zd bytes",
			     AGENTMEM_DIGEST_SIZE, given.len);
		PyBuffer_Release(&given);
		return NULL;
	}
	memcpy(digest, given.buf, sizeof(digest));
	PyBuffer_Release(&given);
	Py_BEGIN_ALLOW_THREADS
	fd = agentmem_attach(digest);
	Py_END_ALLOW_THREADS
	return fd < 0 ? am_error() : make_known((PyTypeObject *)cls, fd, AGENTMEM_R_DEDUP, false);
}

/* -- its use ------------------------------------------------------------------ */

static PyObject *handle_share(PyObject *self, PyObject *args)
{
	struct handle *handle = (struct handle *)self;
	int fd, pidfd, result;
	uint32_t flags;
	PyObject *said;

	if (!PyArg_ParseTuple(args, "iO&", &pidfd, am_unsigned, &flags))
		return NULL;
	fd = take(handle);
	if (fd < 0)
		return NULL;
	Py_BEGIN_ALLOW_THREADS
	result = agentmem_share(fd, pidfd, flags);
	Py_END_ALLOW_THREADS
	said = am_none(result);
	drop(handle);
	return said;
}

static PyObject *handle_mark(PyObject *self, PyObject *args)
{
	struct agentmem_mark mark = {.size = sizeof(mark)};
	struct handle *handle = (struct handle *)self;
	PyObject *said;
	int fd, result;

	if (!PyArg_ParseTuple(args, "O&O&O&i", am_unsigned, &mark.valid, am_unsigned, &mark.temperature, am_unsigned,
			      &mark.importance, &mark.node))
		return NULL;
	fd = take(handle);
	if (fd < 0)
		return NULL;
	Py_BEGIN_ALLOW_THREADS
	result = agentmem_mark(fd, &mark);
	Py_END_ALLOW_THREADS
	said = am_none(result);
	drop(handle);
	return said;
}

static PyObject *handle_figures(PyObject *self, PyObject *none)
{
	struct handle *handle = (struct handle *)self;
	struct agentmem_smu_stats s;
	int fd = take(handle);
	PyObject *said;

	(void)none;
	if (fd < 0)
		return NULL;
	if (look(fd, &s) < 0)
		said = am_error();
	else
		said = Py_BuildValue("IIIKKKKKIIIiy#", s.type, s.flags, s.temperature, s.length, s.resident_top,
				     s.resident_lower, s.stored, s.idle_ms, s.holders, s.base_depth, s.algorithm, s.node,
				     s.digest, (Py_ssize_t)sizeof(s.digest));
	drop(handle);
	return said;
}

/* -- the content as a buffer -------------------------------------------------- */

static int map(struct handle *handle)
{
	int fd = take(handle), result = 0;
	struct agentmem_view view = {0};

	if (fd < 0)
		return -1;
	if (!handle->view.data) {
		Py_BEGIN_ALLOW_THREADS
		result = agentmem_map(fd, &view);
		Py_END_ALLOW_THREADS
		if (result < 0)
			am_error();
		else if (handle->closing || handle->view.data)	/* another thread was first */
			agentmem_unmap(&view);
		else
			handle->view = view;
		if (result == 0 && handle->closing)
			result = -1, PyErr_SetString(PyExc_ValueError, "operation on a closed SMU");
	}
	if (result == 0)
		handle->exports++;
	drop(handle);
	return result;
}

static void unmap(struct handle *handle)
{
	if (--handle->exports == 0)
		agentmem_unmap(&handle->view);
}

static int handle_getbuffer(PyObject *self, Py_buffer *buffer, int flags)
{
	struct handle *handle = (struct handle *)self;

	buffer->obj = NULL;
	if (map(handle) < 0)
		return -1;
	if (PyBuffer_FillInfo(buffer, self, (void *)handle->view.data, (Py_ssize_t)handle->view.size, 1, flags) == 0)
		return 0;
	unmap(handle);
	return -1;
}

static void handle_releasebuffer(PyObject *self, Py_buffer *buffer)
{
	(void)buffer;
	unmap((struct handle *)self);
}

/* -- what makes it an ordinary object ----------------------------------------- */

static Py_ssize_t handle_length(PyObject *self)
{
	return ((struct handle *)self)->length;
}

static Py_hash_t handle_hash(PyObject *self)
{
	Py_hash_t hash;

	memcpy(&hash, ((struct handle *)self)->info.digest, sizeof(hash));
	return hash == -1 ? -2 : hash;
}

#define NOT_SEEN	2

/* 1, 0, or -1 with an exception; NOT_SEEN: its bytes are not to be had in one piece, if at all, and it is asked itself. */
static int holds(struct handle *handle, PyObject *bytes)
{
	Py_buffer other;
	int same = 0;

	if (PyObject_GetBuffer(bytes, &other, PyBUF_SIMPLE) < 0) {
		if (!PyErr_ExceptionMatches(PyExc_BufferError) && !PyErr_ExceptionMatches(PyExc_ValueError))
			return -1;
		PyErr_Clear();
		return NOT_SEEN;
	}
	if (other.len == handle->length) {
		if (map(handle) < 0) {
			same = -1;
		} else {
			Py_BEGIN_ALLOW_THREADS
			same = !memcmp(other.buf, handle->view.data, handle->view.size);
			Py_END_ALLOW_THREADS
			unmap(handle);
		}
	}
	PyBuffer_Release(&other);
	return same;
}

static PyObject *handle_compare(PyObject *self, PyObject *other, int op)
{
	struct handle *handle = (struct handle *)self;
	int same = NOT_SEEN;

	if (op != Py_EQ && op != Py_NE)
		Py_RETURN_NOTIMPLEMENTED;
	if (PyObject_TypeCheck(other, Py_TYPE(self)))
		same = !memcmp(handle->info.digest, ((struct handle *)other)->info.digest, AGENTMEM_DIGEST_SIZE);
	else if (PyObject_CheckBuffer(other))
		same = holds(handle, other);
	if (same == NOT_SEEN)
		Py_RETURN_NOTIMPLEMENTED;
	return same < 0 ? NULL : PyBool_FromLong(same == (op == Py_EQ));
}

static PyObject *get_digest(PyObject *self, void *closure)
{
	(void)closure;
	return PyBytes_FromStringAndSize((const char *)((struct handle *)self)->info.digest, AGENTMEM_DIGEST_SIZE);
}

static PyObject *get_result(PyObject *self, void *closure)
{
	(void)closure;
	return PyLong_FromUnsignedLong(((struct handle *)self)->info.result);
}

static PyObject *get_closed(PyObject *self, void *closure)
{
	struct handle *handle = (struct handle *)self;

	(void)closure;
	return PyBool_FromLong(handle->fd < 0 || handle->closing);
}

static PyMethodDef methods[] = {
	{"_put", handle_put, METH_VARARGS | METH_CLASS, NULL},
	{"_attach", handle_attach, METH_VARARGS | METH_CLASS, NULL},
	{"_append", handle_append, METH_VARARGS, NULL},
	{"_share", handle_share, METH_VARARGS, NULL},
	{"_mark", handle_mark, METH_VARARGS, NULL},
	{"_figures", handle_figures, METH_NOARGS, NULL},
	{"close", handle_close, METH_NOARGS, "Ends this hold on the object; BufferError while a buffer of it is in use."},
	{"fileno", handle_fileno, METH_NOARGS, "The file descriptor. It goes on to belong to the Smu."},
	{0},
};

static PyGetSetDef getters[] = {
	{"digest", get_digest, NULL, "The SHA-256 of the content: 32 bytes.", NULL},
	{"_result", get_result, NULL, NULL, NULL},
	{"closed", get_closed, NULL, "Whether close() was called.", NULL},
	{0},
};

static PyType_Slot slots[] = {
	{Py_tp_new, handle_new},
	{Py_tp_dealloc, handle_dealloc},
	{Py_tp_methods, methods},
	{Py_tp_getset, getters},
	{Py_tp_hash, handle_hash},
	{Py_tp_richcompare, handle_compare},
	{Py_sq_length, handle_length},
	{Py_bf_getbuffer, handle_getbuffer},
	{Py_bf_releasebuffer, handle_releasebuffer},
	{0, NULL},
};

PyType_Spec am_handle_spec = {
	.name = "agentmem._native.Handle",
	.basicsize = sizeof(struct handle),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_IMMUTABLETYPE,
	.slots = slots,
};
