/* SPDX-License-Identifier: MIT */
/* What a backend has to do. Arguments are as the program gave them; results are those of the public functions. */
#ifndef BACKEND_H
#define BACKEND_H

#include <agentmem.h>
#include <errno.h>
#include <stdbool.h>

/* As in the kernel's interface; kernel.c checks that they are the same. */
#define FLAG_BASE		(1u << 1)
#define FLAG_APPEND		(1u << 2)
#define STRUCT_MAX		4096	/* bytes of a structure from a later header that is still looked at */

struct backend {
	const char *name;
	/* append_to: what comes first, or -1. */
	int (*put)(unsigned int type, const void *data, size_t size, const struct agentmem_options *options, int append_to,
		   struct agentmem_info *info);
	int (*attach)(const uint8_t *digest);
	int (*close)(int fd);
	/* address: NULL for any; writable: copies of the view's own */
	int (*map)(int fd, void *address, bool writable, struct agentmem_view *view);
	int (*unmap)(const struct agentmem_view *view);
	int (*share)(int fd, int pidfd, unsigned int flags);
	int (*mark)(int fd, const struct agentmem_mark *mark);
	int (*digest)(int fd, uint8_t *digest);
	int (*smu_stats)(int fd, struct agentmem_smu_stats *stats);
	int (*stats)(unsigned int scope, int pidfd, struct agentmem_stats *stats);
	ssize_t (*agents)(pid_t *pids, size_t count);
};

extern const struct backend am_fallback_backend;

/* The kernel's, or NULL with errno: it has no such calls, refuses them, or the library was built without their numbers. */
const struct backend *am_kernel_backend(void);

static inline int fail(int why)
{
	errno = why;
	return -1;
}

/*
 * Reads a structure that starts with its size into one of `known` bytes. EINVAL: it is shorter; E2BIG: longer, and what
 * is not known is not zero.
 */
int am_take_struct(void *into, size_t known, const void *from);

/* Gives a structure of `known` bytes to who asked for stats->size of them. */
int am_give_struct(void *stats, const void *from, size_t known);

#endif
