/* SPDX-License-Identifier: MIT */
/* The extension module agentmem._native: libagentmem's calls as Python sees them, and no more. */
#ifndef AGENTMEM_NATIVE_H
#define AGENTMEM_NATIVE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <agentmem.h>

/** am_error - raises OSError, of the subclass that errno stands for; always NULL */
PyObject *am_error(void);

/** am_none - None, or am_error() where result is -1 */
PyObject *am_none(int result);

/** am_unsigned - for "O&": a number as uint32_t; one that is none is UINT32_MAX, which no call takes. "I" would cut it. */
int am_unsigned(PyObject *number, void *into);

extern PyType_Spec am_handle_spec;

#endif
