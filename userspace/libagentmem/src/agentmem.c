/* SPDX-License-Identifier: MIT */
/* The public functions: each finds the backend and hands on. */
#include "backend.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Two threads that look at the same time find the same, so nothing is locked and nothing is in a fork's way. */
static const struct backend *find(void)
{
	const char *forced = secure_getenv("AGENTMEM_BACKEND");
	const struct backend *kernel;

	if (forced && !*forced)
		forced = NULL;
	if (forced && strcmp(forced, "kernel") && strcmp(forced, "fallback")) {
		errno = EINVAL;
		return NULL;
	}
	if (forced && !strcmp(forced, "fallback"))
		return &am_fallback_backend;
	kernel = am_kernel_backend();
	return kernel || forced || errno != ENOSYS ? kernel : &am_fallback_backend;
}

static const struct backend *backend(void)
{
	static const struct backend *_Atomic found;
	const struct backend *known = atomic_load_explicit(&found, memory_order_acquire);

	if (!known) {
		int before = errno;

		known = find();
		if (known) {
			errno = before;
			atomic_store_explicit(&found, known, memory_order_release);
		}
	}
	return known;
}

const char *agentmem_backend(void)
{
	const struct backend *b = backend();

	return b ? b->name : NULL;
}

int agentmem_put(enum agentmem_type type, const void *data, size_t size, const struct agentmem_options *options,
		 struct agentmem_info *info)
{
	const struct backend *b = backend();

	return b ? b->put(type, data, size, options, -1, info) : -1;
}

int agentmem_append(int base_fd, enum agentmem_type type, const void *data, size_t size,
		    const struct agentmem_options *options, struct agentmem_info *info)
{
	const struct backend *b = backend();

	if (base_fd < 0)
		return fail(EBADF);
	return b ? b->put(type, data, size, options, base_fd, info) : -1;
}

int agentmem_attach(const uint8_t digest[AGENTMEM_DIGEST_SIZE])
{
	const struct backend *b = backend();

	if (!digest)
		return fail(EFAULT);
	return b ? b->attach(digest) : -1;
}

int agentmem_close(int fd)
{
	const struct backend *b = backend();

	return b ? b->close(fd) : -1;
}

int agentmem_map(int fd, struct agentmem_view *view)
{
	const struct backend *b = backend();

	return b ? b->map(fd, NULL, false, view) : -1;
}

int agentmem_map_at(int fd, void *address, struct agentmem_view *view)
{
	const struct backend *b = backend();

	if (!address || (uintptr_t)address % (uintptr_t)sysconf(_SC_PAGESIZE))
		return fail(EINVAL);
	return b ? b->map(fd, address, false, view) : -1;
}

int agentmem_map_private(int fd, struct agentmem_view *view)
{
	const struct backend *b = backend();

	return b ? b->map(fd, NULL, true, view) : -1;
}

int agentmem_unmap(struct agentmem_view *view)
{
	const struct backend *b = backend();

	if (!b)
		return -1;
	if (view->data && b->unmap(view) < 0)
		return -1;
	*view = (struct agentmem_view){0};
	return 0;
}

int agentmem_share(int fd, int pidfd, unsigned int flags)
{
	const struct backend *b = backend();

	return b ? b->share(fd, pidfd, flags) : -1;
}

int agentmem_mark(int fd, const struct agentmem_mark *mark)
{
	const struct backend *b = backend();

	return b ? b->mark(fd, mark) : -1;
}

int agentmem_agent(const char *name, unsigned int importance, int state)
{
	struct agentmem_mark mark = {.size = sizeof(mark), .importance = importance, .state = (uint32_t)state};

	if (!name && !importance && !state)
		return fail(EINVAL);
	if (name) {
		mark.valid |= AGENTMEM_MARK_NAME;
		memcpy(mark.name, name, strnlen(name, sizeof(mark.name) - 1));
	}
	if (importance)
		mark.valid |= AGENTMEM_MARK_IMPORTANCE;
	if (state)
		mark.valid |= AGENTMEM_MARK_STATE;
	return agentmem_mark(AGENTMEM_SELF, &mark);
}

ssize_t agentmem_agents(pid_t *pids, size_t count)
{
	const struct backend *b = backend();

	return b ? b->agents(pids, count) : -1;
}

int agentmem_smu_stats(int fd, struct agentmem_smu_stats *stats)
{
	const struct backend *b = backend();

	if (!stats)
		return fail(EFAULT);
	return b ? b->smu_stats(fd, stats) : -1;
}

int agentmem_stats(enum agentmem_scope scope, int pidfd, struct agentmem_stats *stats)
{
	const struct backend *b = backend();

	if (!stats)
		return fail(EFAULT);
	if (scope < AGENTMEM_SCOPE_AGENT || scope > AGENTMEM_SCOPE_SYSTEM)
		return fail(EINVAL);
	return b ? b->stats(scope, pidfd, stats) : -1;
}

int agentmem_digest(int fd, uint8_t digest[AGENTMEM_DIGEST_SIZE])
{
	const struct backend *b = backend();

	return b ? b->digest(fd, digest) : -1;
}

char *agentmem_hex(const uint8_t digest[AGENTMEM_DIGEST_SIZE], char hex[AGENTMEM_HEX_SIZE])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < AGENTMEM_DIGEST_SIZE; i++) {
		hex[2 * i] = digits[digest[i] >> 4];
		hex[2 * i + 1] = digits[digest[i] & 15];
	}
	hex[AGENTMEM_HEX_SIZE - 1] = '\0';
	return hex;
}

static int nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int agentmem_unhex(const char *hex, uint8_t digest[AGENTMEM_DIGEST_SIZE])
{
	uint8_t made[AGENTMEM_DIGEST_SIZE];

	for (size_t i = 0; i < sizeof(made); i++) {
		int high = nibble(hex[2 * i]), low = high < 0 ? -1 : nibble(hex[2 * i + 1]);

		if (low < 0)
			return fail(EINVAL);
		made[i] = (uint8_t)(high << 4 | low);
	}
	if (hex[AGENTMEM_HEX_SIZE - 1])
		return fail(EINVAL);
	memcpy(digest, made, sizeof(made));
	return 0;
}

int am_take_struct(void *into, size_t known, const void *from)
{
	const unsigned char *bytes = from;
	uint32_t size = *(const uint32_t *)from;

	if (size < known || size > STRUCT_MAX)
		return fail(size < known ? EINVAL : E2BIG);
	for (size_t i = known; i < size; i++)
		if (bytes[i])
			return fail(E2BIG);
	memcpy(into, from, known);
	return 0;
}

int am_give_struct(void *stats, const void *from, size_t known)
{
	uint32_t size = *(uint32_t *)stats, filled = size < known ? size : (uint32_t)known;

	if (size < sizeof(size) || size > STRUCT_MAX)
		return fail(EINVAL);
	memset(stats, 0, size);
	memcpy(stats, from, filled);
	*(uint32_t *)stats = filled;
	return 0;
}
