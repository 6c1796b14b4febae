/* SPDX-License-Identifier: MIT */
/*
 * The system calls, as thin as can be. Their numbers come from the kernel headers that the library is built against (the
 * option kernel-headers); where those have none, there is no such backend.
 */
#include "backend.h"

#include <errno.h>
#include <sys/syscall.h>

#ifdef __NR_agent_alloc_smu

#include <dirent.h>
#include <fcntl.h>
#include <linux/agent_mem.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define SAME(ours, its)		_Static_assert((ours) == (its), #ours " is " #its)
#define SAME_MEMBER(ours, its, member) \
	SAME(offsetof(struct ours, member), offsetof(struct its, member)); \
	SAME(sizeof(((struct ours *)0)->member), sizeof(((struct its *)0)->member))

SAME((int)AGENTMEM_CONVERSATION, (int)AGENT_SMU_CONVERSATION);
SAME((int)AGENTMEM_SYSTEM_PROMPT, (int)AGENT_SMU_SYSTEM_PROMPT);
SAME((int)AGENTMEM_TOOL_DEF, (int)AGENT_SMU_TOOL_DEF);
SAME((int)AGENTMEM_TOOL_RESULT, (int)AGENT_SMU_TOOL_RESULT);
SAME((int)AGENTMEM_HOT, (int)AGENT_TEMP_HOT);
SAME((int)AGENTMEM_COLD, (int)AGENT_TEMP_COLD);
SAME((int)AGENTMEM_ACTIVE, (int)AGENT_STATE_ACTIVE);
SAME((int)AGENTMEM_IDLE, (int)AGENT_STATE_IDLE);
SAME((int)AGENTMEM_SCOPE_AGENT, (int)AGENT_STATS_AGENT);
SAME((int)AGENTMEM_SCOPE_DOMAIN, (int)AGENT_STATS_DOMAIN);
SAME((int)AGENTMEM_SCOPE_SYSTEM, (int)AGENT_STATS_SYSTEM);
SAME((int)AGENTMEM_ALG_ZSTD_IAA, (int)AGENT_ALG_ZSTD_IAA);
SAME(AGENTMEM_SELF, AGENT_SELF);
SAME(AGENTMEM_NOCOMPRESS, AGENT_SMU_NOCOMPRESS);
SAME(FLAG_BASE, AGENT_SMU_BASE);
SAME(FLAG_APPEND, AGENT_SMU_APPEND);
SAME(AGENTMEM_REVOKE, AGENT_SHARE_REVOKE);
SAME(AGENTMEM_R_DEDUP, AGENT_SMU_R_DEDUP);
SAME(AGENTMEM_R_DELTA, AGENT_SMU_R_DELTA);
SAME(AGENTMEM_MARK_TEMPERATURE, AGENT_MARK_TEMPERATURE);
SAME(AGENTMEM_MARK_NAME, AGENT_MARK_NAME);
SAME(sizeof(struct agentmem_smu_stats), sizeof(struct agent_smu_stats));
SAME_MEMBER(agentmem_smu_stats, agent_smu_stats, temperature);
SAME_MEMBER(agentmem_smu_stats, agent_smu_stats, stored);
SAME_MEMBER(agentmem_smu_stats, agent_smu_stats, holders);
SAME_MEMBER(agentmem_smu_stats, agent_smu_stats, digest);
SAME(sizeof(struct agentmem_stats), sizeof(struct agent_stats));
SAME_MEMBER(agentmem_stats, agent_stats, node);
SAME_MEMBER(agentmem_stats, agent_stats, stored_bytes);
SAME_MEMBER(agentmem_stats, agent_stats, delta_hits);
SAME_MEMBER(agentmem_stats, agent_stats, evict_mark);
SAME_MEMBER(agentmem_stats, agent_stats, anon_store_used);
SAME_MEMBER(agentmem_stats, agent_stats, name);
/* The kernel's mark has its size beside it, ours before it. */
#define MARK_SHIFT		offsetof(struct agentmem_mark, valid)
SAME(sizeof(struct agentmem_mark) - MARK_SHIFT, sizeof(struct agent_mark));
SAME(offsetof(struct agentmem_mark, node) - MARK_SHIFT, offsetof(struct agent_mark, node));
SAME(offsetof(struct agentmem_mark, name) - MARK_SHIFT, offsetof(struct agent_mark, name));

static int alloc(unsigned int type, const void *data, size_t size, struct agent_smu_attr *attr)
{
	return (int)syscall(__NR_agent_alloc_smu, type, data, size, attr);
}

static long get_stats(unsigned int scope, int fd, void *buf, size_t size)
{
	return syscall(__NR_agent_get_stats, scope, fd, buf, size);
}

/* A base is a hint. A kernel that knows no bases refuses the flag before it looks at the descriptor. */
static int without_base(unsigned int type, const void *data, size_t size, struct agent_smu_attr *attr)
{
	struct agent_smu_stats stats;

	if (get_stats(AGENT_STATS_SMU, attr->base_fd, &stats, sizeof(stats)) < 0)
		return -1;
	attr->flags &= ~AGENT_SMU_BASE;
	attr->base_fd = -1;
	return alloc(type, data, size, attr);
}

static int kernel_put(unsigned int type, const void *data, size_t size, const struct agentmem_options *options,
		      int append_to, struct agentmem_info *info)
{
	struct agent_smu_attr attr = {.size = sizeof(attr), .base_fd = append_to, .node = -1};
	int fd;

	if (append_to >= 0)
		attr.flags = AGENT_SMU_APPEND;
	if (options) {
		struct agentmem_options known;

		if (options->size != sizeof(known)) { /* another header's */
			if (am_take_struct(&known, sizeof(known), options) < 0)
				return -1;
			options = &known;
		}
		if (options->flags & ~AGENTMEM_NOCOMPRESS || (options->base_fd != -1 && append_to >= 0))
			return fail(EINVAL);
		attr.flags |= options->flags;
		attr.node = options->node;
		attr.importance = options->importance;
		if (options->base_fd != -1) {
			attr.flags |= AGENT_SMU_BASE;
			attr.base_fd = options->base_fd;
		}
	}
	fd = alloc(type, data, size, &attr);
	if (fd < 0 && errno == EINVAL && attr.flags & AGENT_SMU_BASE)
		fd = without_base(type, data, size, &attr);
	if (fd >= 0 && info) {
		info->result = attr.result;
		__builtin_memcpy(info->digest, attr.digest, sizeof(info->digest));
	}
	return fd;
}

static int kernel_attach(const uint8_t *digest)
{
	struct agent_smu_attr attr = {.size = sizeof(attr), .flags = AGENT_SMU_ATTACH, .base_fd = -1, .node = -1};

	__builtin_memcpy(attr.digest, digest, sizeof(attr.digest));
	return alloc(0, NULL, 0, &attr);
}

static int kernel_map(int fd, void *address, bool writable, struct agentmem_view *view)
{
	struct statfs fs;
	struct stat st;
	void *data;

	if (fstatfs(fd, &fs) < 0 || fstat(fd, &st) < 0)
		return -1;
	if (fs.f_type != AGENT_MEM_MAGIC)
		return fail(EBADFD);
	data = mmap(address, (size_t)st.st_size, PROT_READ | (writable ? PROT_WRITE : 0),
		    (writable ? MAP_PRIVATE : MAP_SHARED) | (address ? MAP_FIXED : 0), fd, 0);
	if (data == MAP_FAILED)
		return -1;
	*view = (struct agentmem_view){data, (size_t)st.st_size};
	return 0;
}

static int kernel_unmap(const struct agentmem_view *view)
{
	return munmap((void *)view->data, view->size);
}

static int kernel_share(int fd, int pidfd, unsigned int flags)
{
	return (int)syscall(__NR_agent_share_content, fd, pidfd, flags);
}

static int kernel_mark(int fd, const struct agentmem_mark *mark)
{
	if (!mark)
		return (int)syscall(__NR_agent_mark_hot, fd, NULL, 0, 0);
	if (mark->size < MARK_SHIFT)
		return fail(EINVAL);
	return (int)syscall(__NR_agent_mark_hot, fd, &mark->valid, mark->size - MARK_SHIFT, 0);
}

static int kernel_smu_stats(int fd, struct agentmem_smu_stats *stats)
{
	struct agentmem_smu_stats known, *into = stats->size == sizeof(known) ? stats : &known;

	if (get_stats(AGENT_STATS_SMU, fd, into, sizeof(known)) < 0)
		return -1;
	into->size = sizeof(known); /* a later kernel knows more */
	return into == stats ? 0 : am_give_struct(stats, &known, sizeof(known));
}

static int kernel_stats(unsigned int scope, int pidfd, struct agentmem_stats *stats)
{
	struct agentmem_stats known, *into = stats->size == sizeof(known) ? stats : &known;

	if (get_stats(scope, pidfd, into, sizeof(known)) < 0)
		return -1;
	into->size = sizeof(known);
	return into == stats ? 0 : am_give_struct(stats, &known, sizeof(known));
}

static int kernel_digest(int fd, uint8_t *digest)
{
	struct agent_smu_stats stats;

	if (get_stats(AGENT_STATS_SMU, fd, &stats, sizeof(stats)) < 0)
		return -1;
	__builtin_memcpy(digest, stats.digest, sizeof(stats.digest));
	return 0;
}

/* Empty for a process that is no agent. */
static int is_agent(long pid)
{
	char path[64], byte;
	int fd, found;

	snprintf(path, sizeof(path), "/proc/%ld/agent", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	found = fd >= 0 && read(fd, &byte, 1) == 1;
	if (fd >= 0)
		close(fd);
	return found;
}

static ssize_t kernel_agents(pid_t *pids, size_t count)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	size_t found = 0;

	if (!proc)
		return -1;
	while ((entry = readdir(proc))) {
		char *end;
		long pid = strtol(entry->d_name, &end, 10);

		if (*end || !is_agent(pid))
			continue;
		if (found < count)
			pids[found] = (pid_t)pid;
		found++;
	}
	closedir(proc);
	return (ssize_t)found;
}

static const struct backend calls = {
	.name = "kernel",
	.put = kernel_put,
	.attach = kernel_attach,
	.close = close,
	.map = kernel_map,
	.unmap = kernel_unmap,
	.share = kernel_share,
	.mark = kernel_mark,
	.digest = kernel_digest,
	.smu_stats = kernel_smu_stats,
	.stats = kernel_stats,
	.agents = kernel_agents,
};

/*
 * Asks for figures, which changes nothing, and looks whether they are such: in another kernel the number may be another
 * call's.
 */
const struct backend *am_kernel_backend(void)
{
	struct agent_stats stats = {0};
	long known = get_stats(AGENT_STATS_DOMAIN, -1, &stats, sizeof(stats));

	if (known >= 0 && (size_t)known >= sizeof(stats.size) && stats.size == known)
		return &calls;
	if (known >= 0 || (errno != ENOMEM && errno != EINTR)) /* these say nothing about it */
		errno = ENOSYS;
	return NULL;
}

#else

const struct backend *am_kernel_backend(void)
{
	errno = ENOSYS;
	return NULL;
}

#endif
