// SPDX-License-Identifier: GPL-2.0-only
/* The four calls, with arguments as good or as bad as the program wants them. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <asm/unistd.h>

#include "calls.h"

#define PAGE 4096
#define SCRATCH (1u << 20)

/* As in harness/calls/ops.py. */
enum pointer { POINTER_VALID, POINTER_NULL, POINTER_KERNEL, POINTER_UNMAPPED, POINTER_HALF, POINTER_READONLY };

static uint8_t *scratch; /* SCRATCH bytes, then a page that is not there */
static uint8_t *sealed;	 /* one page that structures are read from and cannot be written to */

void memory_prepare(void)
{
	scratch = mmap(NULL, SCRATCH + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	sealed = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (scratch == MAP_FAILED || sealed == MAP_FAILED)
		die(3, "mmap");
	mprotect(scratch + SCRATCH, PAGE, PROT_NONE);
}

long get_stats(unsigned int scope, int fd, void *buf, size_t size)
{
	return syscall(__NR_agent_get_stats, scope, fd, buf, size);
}

static void *bad_pointer(int64_t kind)
{
	if (kind == POINTER_NULL)
		return NULL;
	return kind == POINTER_KERNEL ? (void *)0xffff888000000000ul : scratch + SCRATCH;
}

/* The data: a piece of the pool with at most one byte changed. */
static const void *data_of(int64_t offset, int64_t length, int64_t patch, int64_t pointer)
{
	uint8_t *at = scratch;

	if (pointer == POINTER_HALF)
		at = scratch + SCRATCH - length / 2;
	else if (pointer != POINTER_VALID)
		return bad_pointer(pointer);
	if (pointer == POINTER_VALID && patch < 0)
		return pool + offset;
	memcpy(at, pool + offset, pointer == POINTER_HALF ? length / 2 : length);
	if (patch >= 0 && pointer == POINTER_VALID)
		at[patch] ^= 0x55;
	return at;
}

/* A structure followed by zeros, or by something else: where the kernel is to find it. */
static void *structure(const void *content, size_t known, int64_t tail, int64_t pointer)
{
	static uint8_t buffer[2 * PAGE];
	uint8_t *at = pointer == POINTER_READONLY ? sealed : buffer;

	if (pointer != POINTER_VALID && pointer != POINTER_READONLY)
		return bad_pointer(pointer);
	if (pointer == POINTER_READONLY)
		mprotect(sealed, 2 * PAGE, PROT_READ | PROT_WRITE);
	memset(at, 0, 2 * PAGE);
	memcpy(at, content, known);
	if (tail)
		at[known] = 1;
	if (pointer == POINTER_READONLY)
		mprotect(sealed, 2 * PAGE, PROT_READ);
	return at;
}

static void limit_fds(rlim_t soft)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = soft;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static void tell_alloc(const struct agent_smu_attr *attr, int fd)
{
	uint32_t cloexec = fcntl(fd, F_GETFD) & FD_CLOEXEC;
	struct stat st = { 0 };
	uint64_t inode;

	fstat(fd, &st);
	inode = st.st_ino;
	tell(&cloexec, sizeof(cloexec));
	tell(&inode, sizeof(inode));
	if (attr) {
		tell(&attr->result, sizeof(attr->result));
		tell(attr->digest, sizeof(attr->digest));
	}
}

static int64_t alloc(struct lane *lane, const struct call *call)
{
	enum { SLOT, TYPE, OFFSET, LENGTH, PATCH, POINTER, SIZE, ATTR, ATTR_SIZE, TAIL, FLAGS, BASE, NODE, IMPORTANCE, NOFILE };
	const int64_t *w = call->w;
	struct agent_smu_attr attr = {
		.size = (uint32_t)w[ATTR_SIZE], .flags = (uint32_t)w[FLAGS], .base_fd = fd_of(lane, w[BASE]),
		.node = (int)w[NODE], .importance = (uint32_t)w[IMPORTANCE],
	};
	const void *data = data_of(w[OFFSET], w[LENGTH], w[PATCH], w[POINTER]);
	struct agent_smu_attr *at;
	struct rlimit limit;
	int64_t fd;

	if (call->bytes == sizeof(attr.digest))
		memcpy(attr.digest, call->b, sizeof(attr.digest));
	at = structure(&attr, sizeof(attr), w[TAIL], w[ATTR]);
	getrlimit(RLIMIT_NOFILE, &limit);
	if (w[NOFILE])
		limit_fds(0);
	fd = answer(syscall(__NR_agent_alloc_smu, (unsigned int)w[TYPE], data, (size_t)w[SIZE], at));
	if (w[NOFILE])
		limit_fds(limit.rlim_cur);
	if (fd < 0)
		return fd;
	tell_alloc(w[ATTR] == POINTER_VALID ? at : NULL, (int)fd);
	fill_slot(lane, w[SLOT], (int)fd);
	return 0;
}

static int64_t share(struct lane *lane, const struct call *call)
{
	enum { SMU, PIDFD, FLAGS };
	int smu = fd_of(lane, call->w[SMU]), pidfd = fd_of(lane, call->w[PIDFD]);

	return answer(syscall(__NR_agent_share_content, smu, pidfd, (unsigned int)call->w[FLAGS]));
}

static int64_t mark(struct lane *lane, const struct call *call)
{
	enum { FD, POINTER, SIZE, TAIL, FLAGS, VALID, TEMPERATURE, STATE, IMPORTANCE, NODE, RESERVED };
	const int64_t *w = call->w;
	struct agent_mark mark = {
		.valid = (uint32_t)w[VALID], .temperature = (uint32_t)w[TEMPERATURE], .state = (uint32_t)w[STATE],
		.importance = (uint32_t)w[IMPORTANCE], .node = (int)w[NODE], .reserved = (uint32_t)w[RESERVED],
	};
	void *at;

	memcpy(mark.name, call->b, call->bytes);
	at = structure(&mark, sizeof(mark), w[TAIL], w[POINTER]);
	return answer(syscall(__NR_agent_mark_hot, fd_of(lane, w[FD]), at, (size_t)w[SIZE], (unsigned int)w[FLAGS]));
}

/* The buffer comes filled, so what the kernel does not write is seen. */
static int64_t stats(struct lane *lane, const struct call *call)
{
	enum { SCOPE, FD, POINTER, SIZE };
	const int64_t *w = call->w;
	static uint8_t buffer[PAGE + 1];
	size_t size = (size_t)w[SIZE] < PAGE ? (size_t)w[SIZE] : PAGE;
	int64_t ret;

	memset(buffer, 0xaa, sizeof(buffer));
	ret = answer(get_stats((unsigned int)w[SCOPE], fd_of(lane, w[FD]),
			       w[POINTER] == POINTER_VALID ? buffer : bad_pointer(w[POINTER]), (size_t)w[SIZE]));
	if (ret >= 0)
		tell(buffer, size + 1);
	return ret;
}

int64_t memory_call(struct lane *lane, const struct call *call)
{
	switch (call->op) {
	case OP_ALLOC:
		return alloc(lane, call);
	case OP_SHARE:
		return share(lane, call);
	case OP_MARK:
		return mark(lane, call);
	default:
		return stats(lane, call);
	}
}
