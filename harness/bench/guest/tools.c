// SPDX-License-Identifier: GPL-2.0-only
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/agent_mem.h>
#include <asm/unistd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define SPARE_FILES 128
#define SETTLE_US 1000000

void fail_with(const char *what, int error)
{
	printf("{\"event\":\"error\",\"what\":\"%s\",\"errno\":%d,\"error\":\"%s\"}\n", what, error,
	       error ? strerror(error) : "");
	fflush(stdout);
	_exit(EXIT_BROKEN);
}

void fail(const char *what)
{
	fail_with(what, errno);
}

/* Populated: a page fault is no part of what is measured. */
void *shared_memory(size_t size)
{
	void *made = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (made == MAP_FAILED)
		fail("no memory");
	return made;
}

/* splitmix64 */
uint64_t random_next(uint64_t *state)
{
	uint64_t word = *state += 0x9e3779b97f4a7c15;

	word = (word ^ word >> 30) * 0xbf58476d1ce4e5b9;
	word = (word ^ word >> 27) * 0x94d049bb133111eb;
	return word ^ word >> 31;
}

void fill(void *buffer, size_t size, uint64_t seed)
{
	for (size_t at = 0; at < size; at += sizeof(seed)) {
		uint64_t word = random_next(&seed);

		memcpy((char *)buffer + at, &word, size - at < sizeof(word) ? size - at : sizeof(word));
	}
}

void write_setting(const char *path, uint64_t value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || dprintf(fd, "%llu", (unsigned long long)value) < 0)
		fail(path);
	close(fd);
}

/* For this process and its children. The table is as large as it gets from now on: growing is not measured. */
void allow_files(uint64_t count)
{
	struct rlimit limit = { .rlim_cur = count + SPARE_FILES, .rlim_max = count + SPARE_FILES };

	write_setting("/proc/sys/fs/nr_open", limit.rlim_max < 1 << 20 ? 1 << 20 : (limit.rlim_max + 63) / 64 * 64);
	write_setting("/proc/sys/fs/file-max", 1 << 24);
	write_setting("/proc/sys/vm/agent_mem_max_smus", 1 << 24);
	if (setrlimit(RLIMIT_NOFILE, &limit))
		fail("setrlimit of open files");
	if (dup2(2, (int)limit.rlim_cur - 1) < 0 || close((int)limit.rlim_cur - 1))
		fail("the last of the open files that are allowed");
}

void become(uid_t uid)
{
	if (setresgid(uid, uid, uid) || setresuid(uid, uid, uid))
		fail("setresuid");
}

/* A process that ends with this one. Forked before the first call, it is an agent of its own. */
pid_t helper(void (*run)(void *), void *argument)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		fail("fork");
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	run(argument);
	fflush(stdout);
	_exit(EXIT_GOOD);
}

void await(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		fail("waitpid");
	if (WIFSIGNALED(status))
		fail_with("a process of the measurement was killed", 0);
	if (WEXITSTATUS(status) != EXIT_GOOD)
		_exit(EXIT_BROKEN); /* it has told why */
}

void gate_open(int *gate)
{
	if (write(gate[1], "", 1) != 1)
		fail("write to a pipe");
}

void gate_wait(int *gate)
{
	char byte;

	if (read(gate[0], &byte, 1) != 1)
		fail("read from a pipe");
}

/* RCU callbacks, and what the kernel has put off, such as making a table larger, are through after this. */
void settle(void)
{
	usleep(SETTLE_US);
}

struct series *series_new(const char *name, uint64_t size)
{
	struct series *made = shared_memory(sizeof(*made) + size * sizeof(uint64_t));

	made->name = name;
	made->size = (uint32_t)size;
	made->values = (uint64_t *)(made + 1);
	return made;
}

void series_add(struct series *series, uint64_t began, uint64_t ended)
{
	if (series->count < series->size)
		series->values[series->count++] = ended - began;
}

void series_print(const struct series *series)
{
	printf("{\"event\":\"series\",\"name\":\"%s\",\"values\":[", series->name);
	for (uint32_t i = 0; i < series->count; i++)
		printf(i ? ",%llu" : "%llu", (unsigned long long)series->values[i]);
	printf("]}\n");
}

int smu_alloc(const void *data, size_t size, struct digest *digest, bool *dedup, struct series *series)
{
	struct agent_smu_attr attr = { .size = sizeof(attr), .base_fd = -1, .node = -1 };
	uint64_t began = now(), ended;
	long fd = call(__NR_agent_alloc_smu, AGENT_SMU_CONVERSATION, (long)data, (long)size, (long)&attr);

	ended = now();
	if (series)
		series_add(series, began, ended);
	if (digest)
		memcpy(digest->bytes, attr.digest, DIGEST);
	if (dedup)
		*dedup = attr.result & AGENT_SMU_R_DEDUP;
	return (int)fd;
}

int smu_append(int base, const void *data, size_t size, struct series *series)
{
	struct agent_smu_attr attr = {
		.size = sizeof(attr), .flags = AGENT_SMU_APPEND, .base_fd = base, .node = -1,
	};
	uint64_t began = now(), ended;
	long fd = call(__NR_agent_alloc_smu, AGENT_SMU_CONVERSATION, (long)data, (long)size, (long)&attr);

	ended = now();
	if (series)
		series_add(series, began, ended);
	return (int)fd;
}

int smu_attach(const struct digest *digest, struct series *series)
{
	struct agent_smu_attr attr = { .size = sizeof(attr), .flags = AGENT_SMU_ATTACH, .base_fd = -1, .node = -1 };
	uint64_t began, ended;
	long fd;

	memcpy(attr.digest, digest->bytes, DIGEST);
	began = now();
	fd = call(__NR_agent_alloc_smu, AGENT_SMU_CONVERSATION, 0, 0, (long)&attr);
	ended = now();
	if (series)
		series_add(series, began, ended);
	return (int)fd;
}

/* A forked process leaves its parent's agent by a name of its own. */
void smu_leave(const char *name)
{
	struct agent_mark mark = { .valid = AGENT_MARK_NAME, .node = -1 };

	strncpy(mark.name, name, sizeof(mark.name) - 1);
	if (syscall(__NR_agent_mark_hot, AGENT_SELF, &mark, sizeof(mark), 0))
		fail("agent_mark_hot");
}

int smu_must_alloc(const void *data, size_t size, struct digest *digest)
{
	int fd = smu_alloc(data, size, digest, NULL, NULL);

	if (fd < 0)
		fail_with("agent_alloc_smu", -fd);
	return fd;
}

void must_close(int fd)
{
	if (close(fd))
		fail("close");
}
