/* SPDX-License-Identifier: MIT */
/* What is said to and of agents; errors; the module itself. */
#include "native.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Where strerror() does not say what is wrong, or what to do. */
static const char *words(int error)
{
	switch (error) {
	case EINVAL:
		return "invalid argument: no such NUMA node, or a value that does not apply here "
		       "(or AGENTMEM_BACKEND is neither kernel nor fallback)";
	case ENOENT:
		return "nobody here holds such an object, or grants it";
	case E2BIG:
		return "content over the limit for one object";
	case EBADFD:
		return "not the descriptor of an SMU, or not of a process";
	case EDQUOT:
		return "too many objects of this user, or too many grants that nobody claimed";
	case ENOSYS:
		return "AGENTMEM_BACKEND=kernel, but this kernel, or this build of agentmem, has not got the calls; "
		       "without it the fallback is used";
	case EACCES:
		return "not allowed towards that process, or no directory for the store can be trusted: see "
		       "XDG_RUNTIME_DIR";
	case EOPNOTSUPP:
		return "not with this backend, or switched off by the administrator";
	default:
		return strerror(error);
	}
}

PyObject *am_error(void)
{
	int error = errno;
	PyObject *made = PyObject_CallFunction(PyExc_OSError, "is", error, words(error));

	if (made) {
		PyErr_SetObject((PyObject *)Py_TYPE(made), made);
		Py_DECREF(made);
	}
	return NULL;
}

PyObject *am_none(int result)
{
	if (result < 0)
		return am_error();
	Py_RETURN_NONE;
}

int am_unsigned(PyObject *number, void *into)
{
	long long value = PyLong_AsLongLong(number);

	if (value == -1 && PyErr_Occurred()) {
		if (!PyErr_ExceptionMatches(PyExc_OverflowError))
			return 0;
		PyErr_Clear();
	}
	*(uint32_t *)into = value >= 0 && value < UINT32_MAX ? (uint32_t)value : UINT32_MAX;
	return 1;
}

static PyObject *native_mark(PyObject *self, PyObject *args)
{
	struct agentmem_mark mark = {.size = sizeof(mark)};
	int pidfd, result;
	Py_buffer name;

	(void)self;
	if (!PyArg_ParseTuple(args, "iO&O&O&O&iy*", &pidfd, am_unsigned, &mark.valid, am_unsigned, &mark.temperature,
			      am_unsigned, &mark.state, am_unsigned, &mark.importance, &mark.node, &name))
		return NULL;
	memcpy(mark.name, name.buf, (size_t)name.len < sizeof(mark.name) ? (size_t)name.len : sizeof(mark.name) - 1);
	PyBuffer_Release(&name);
	Py_BEGIN_ALLOW_THREADS
	result = agentmem_mark(pidfd, &mark);
	Py_END_ALLOW_THREADS
	return am_none(result);
}

static PyObject *native_figures(PyObject *self, PyObject *args)
{
	struct agentmem_stats s = {.size = sizeof(s)};
	int scope, pidfd, result;

	(void)self;
	if (!PyArg_ParseTuple(args, "ii", &scope, &pidfd))
		return NULL;
	Py_BEGIN_ALLOW_THREADS
	result = agentmem_stats((enum agentmem_scope)scope, pidfd, &s);
	Py_END_ALLOW_THREADS
	if (result < 0)
		return am_error();
	return Py_BuildValue("IIiKKKKKKKKKKKKKKKKKKKKKKKKy", s.state, s.importance, s.node, s.smus, s.logical_bytes,
			     s.unique_bytes, s.resident_top, s.resident_lower, s.stored_bytes, s.swapped_bytes,
			     s.dedup_hits, s.dedup_bytes, s.attach_hits, s.delta_hits, s.compressions, s.decompressions,
			     s.decompress_ns, s.evict_age, s.evict_pressure, s.evict_mark, s.fault_resident,
			     s.fault_lower, s.fault_stored, s.fault_swapped, s.anon_bytes, s.anon_stored_bytes,
			     s.anon_store_used, s.name);
}

static PyObject *listed(const pid_t *pids, ssize_t count)
{
	PyObject *list = PyList_New(count);

	for (ssize_t i = 0; list && i < count; i++) {
		PyObject *pid = PyLong_FromLong(pids[i]);

		if (!pid || PyList_SetItem(list, i, pid) < 0)
			Py_CLEAR(list);
	}
	return list;
}

static PyObject *native_agents(PyObject *self, PyObject *none)
{
	ssize_t room = 64, found;

	(void)self;
	(void)none;
	for (;; room = 2 * found) {
		pid_t *pids = malloc((size_t)room * sizeof(*pids));
		PyObject *list = NULL;

		if (!pids)
			return PyErr_NoMemory();
		Py_BEGIN_ALLOW_THREADS
		found = agentmem_agents(pids, (size_t)room);
		Py_END_ALLOW_THREADS
		if (found < 0)
			am_error();
		else if (found <= room)
			list = listed(pids, found);
		free(pids);
		if (found <= room)
			return list;
	}
}

static PyObject *native_backend(PyObject *self, PyObject *none)
{
	const char *name = agentmem_backend();

	(void)self;
	(void)none;
	return name ? PyUnicode_FromString(name) : am_error();
}

static int native_exec(PyObject *module)
{
	PyObject *type = PyType_FromModuleAndSpec(module, &am_handle_spec, NULL);
	int result = type ? PyModule_AddType(module, (PyTypeObject *)type) : -1;

	Py_XDECREF(type);
	return result;
}

static PyMethodDef functions[] = {
	{"mark", native_mark, METH_VARARGS, NULL},
	{"figures", native_figures, METH_VARARGS, NULL},
	{"agents", native_agents, METH_NOARGS, NULL},
	{"backend", native_backend, METH_NOARGS, NULL},
	{0},
};

static PyModuleDef_Slot module_slots[] = {
	{Py_mod_exec, native_exec},
	{0, NULL},
};

static struct PyModuleDef module = {
	PyModuleDef_HEAD_INIT,
	.m_name = "agentmem._native",
	.m_methods = functions,
	.m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__native(void)
{
	return PyModuleDef_Init(&module);
}
