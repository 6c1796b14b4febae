/* SPDX-License-Identifier: MIT */
/*
 * Processes, as /proc shows them. A process id alone is ambiguous between PID namespaces. The store identifies a process by
 * its own PID namespace, its id there and its start time, which are the same for every observer.
 *
 * A pid_t here is the id in the mounted /proc. It differs from getpid(2) if /proc belongs to a parent namespace.
 */
#ifndef PROCESS_H
#define PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct process {
	uint64_t space;	/* inode number of its PID namespace */
	uint64_t start;	/* in clock ticks after the boot */
	int64_t pid;	/* in that namespace */
};

/* The caller. */
pid_t am_process_self(void);
/* The inode number of the caller's PID namespace; 0: not known. */
uint64_t am_process_space(void);
/* ESRCH: no such process. EPERM: its namespace may not be read. Other errors: unknown. */
int am_process_identify(pid_t pid, struct process *process);
bool am_process_same(const struct process *one, const struct process *other);

/* The process behind a pidfd. EBADF; EBADFD: it is none; ESRCH: it has ended, or is not in this /proc. */
int am_process_of(int pidfd, pid_t *pid);
/* Whether a process is the caller's own user's. */
bool am_process_own(pid_t pid);

/* The processes in child namespaces of that of /proc; read on first use. Initialize to zero. */
struct nested {
	struct {
		struct process process;
		pid_t pid;
	} *list;
	size_t count, room;
	bool read, incomplete;
};
void am_nested_free(struct nested *nested);
/* The id of a process in /proc. 0: it has ended. -1: unknown; /proc does not show its namespace. */
pid_t am_process_find(const struct process *process, struct nested *nested);

#endif
