// SPDX-License-Identifier: GPL-2.0-only
/*
 * One text as an agent has it. Numbers and structures of the series come from the installed headers of the kernel under test.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <asm/unistd.h>
#include <linux/agent_mem.h>

#include "density.h"

enum { NOBODY, MAKING, MADE };

static void fill(uint8_t *to, const struct table *table, uint32_t text, bool damage)
{
	uint64_t length = table->texts[text].length;

	table_read(table, text, 0, to, length);
	if (damage)
		to[length / 2] ^= 1;
}

static void *mapping(size_t length, int fd, int protection, int flags)
{
	void *at = mmap(NULL, length, protection, flags, fd, 0);

	return at == MAP_FAILED ? NULL : at;
}

static const char *hold_copy(struct copy *copy, const struct table *table, uint32_t text, bool heap, bool damage)
{
	uint64_t length = table->texts[text].length;

	copy->bytes = heap ? malloc(length) :
			     mapping(length, -1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
	if (!copy->bytes)
		return "memory for a copy";
	fill(copy->bytes, table, text, damage);
	return NULL;
}

/* The first holder makes the file, the others open it by way of that process: what an application can do today. */
static const char *hold_by_hand(struct copy *copy, const struct table *table, uint32_t text, struct owner *owner,
				bool damage)
{
	uint64_t length = table->texts[text].length;
	char path[48];
	int nobody = NOBODY;

	if (__atomic_compare_exchange_n((int *)&owner->state, &nobody, MAKING, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
		copy->fd = memfd_create("text", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		if (copy->fd < 0 || ftruncate(copy->fd, (off_t)length))
			return "memfd_create";
		copy->bytes = mapping(length, copy->fd, PROT_READ | PROT_WRITE, MAP_SHARED);
		if (!copy->bytes)
			return "mmap of a memfd";
		fill(copy->bytes, table, text, damage);
		munmap(copy->bytes, length);
		if (fcntl(copy->fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL))
			return "F_ADD_SEALS";
		owner->pid = getpid();
		owner->fd = copy->fd;
		owner->state = MADE;
	} else {
		while (owner->state != MADE)
			sched_yield();
		snprintf(path, sizeof(path), "/proc/%d/fd/%d", owner->pid, owner->fd);
		copy->fd = open(path, O_RDONLY | O_CLOEXEC);
		if (copy->fd < 0)
			return "open of another process's memfd";
	}
	copy->bytes = mapping(length, copy->fd, PROT_READ, MAP_SHARED | MAP_POPULATE);
	return copy->bytes ? NULL : "mmap of a memfd";
}

static const char *hold_smu(struct copy *copy, const struct table *table, uint32_t text, bool damage)
{
	const struct table_text *about = &table->texts[text];
	struct agent_smu_attr attr = { .size = sizeof(attr), .base_fd = -1, .node = -1 };
	uint8_t *scratch = mapping(about->length, -1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
	int error;

	if (!scratch)
		return "mmap of a scratch buffer";
	fill(scratch, table, text, damage);
	copy->fd = (int)syscall(__NR_agent_alloc_smu, about->type, scratch, (size_t)about->length, &attr);
	error = errno;
	munmap(scratch, about->length);
	errno = error;
	return copy->fd < 0 ? "agent_alloc_smu" : NULL;
}

const char *text_hold(struct copy *copy, const struct table *table, uint32_t text, enum layout layout,
		      struct owner *owners, bool damage)
{
	copy->fd = -1;
	copy->bytes = NULL;
	if (layout == AS_SMU)
		return hold_smu(copy, table, text, damage);
	if (layout == BY_HAND && table->texts[text].holders > 1)
		return hold_by_hand(copy, table, text, &owners[text], damage);
	return hold_copy(copy, table, text, layout != ALIGNED_COPIES, damage);
}

const char *text_read(const struct copy *copy, uint64_t offset, void *to, size_t length)
{
	if (copy->bytes) {
		memcpy(to, copy->bytes + offset, length);
		return NULL;
	}
	for (size_t done = 0; done < length;) {
		ssize_t got = pread(copy->fd, (uint8_t *)to + done, length - done, (off_t)(offset + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return "pread of an object";
		done += (size_t)got;
	}
	return NULL;
}
