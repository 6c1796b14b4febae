/* SPDX-License-Identifier: MIT */
#include "suite.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SKIPPED	4
#define LIMIT	300 /* seconds for one test; guests are slow */

static struct test *first, **last = &first;

void suite_add(struct test *test)
{
	*last = test;
	last = &test->next;
}

void suite_fail(const char *file, int line, const char *what)
{
	printf("# %s:%d: %s (errno %d: %s)\n", file, line, what, errno, strerror(errno));
	fflush(stdout);
	_exit(1);
}

void suite_skip(const char *why)
{
	printf("# SKIP %s\n", why);
	fflush(stdout);
	_exit(SKIPPED);
}

bool on_kernel(void)
{
	return !strcmp(agentmem_backend(), "kernel");
}

/* Each test has a store of its own; the kernel has one domain for all, so no two tests have the same text. */
static void own_store(char *path)
{
	strcpy(path, "/dev/shm/agentmem-test-XXXXXX");
	if (!mkdtemp(path)) {
		strcpy(path, "/tmp/agentmem-test-XXXXXX");
		if (!mkdtemp(path)) {
			perror("mkdtemp");
			exit(2);
		}
	}
	setenv("XDG_RUNTIME_DIR", path, 1);
}

void remove_tree(const char *path)
{
	pid_t pid = fork();

	if (!pid) {
		execlp("rm", "rm", "-rf", path, NULL);
		_exit(127);
	}
	waitpid(pid, NULL, 0);
}

static bool run_one(const struct test *test, int number)
{
	char store[64];
	int status;
	pid_t pid;

	own_store(store);
	fflush(stdout);
	pid = fork();
	if (!pid) {
		alarm(LIMIT);
		test->run();
		exit(0); /* sanitizers look for leaks now */
	}
	waitpid(pid, &status, 0);
	remove_tree(store);
	bool skipped = WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED;
	bool good = skipped || (WIFEXITED(status) && !WEXITSTATUS(status));
	if (WIFSIGNALED(status))
		printf("# ended by %s\n", strsignal(WTERMSIG(status)));
	printf("%sok %d %s%s\n", good ? "" : "not ", number, test->name, skipped ? " # SKIP" : "");
	return good;
}

static bool wanted(const struct test *test, const char *backend, int argc, char **argv)
{
	if (test->backend && strcmp(test->backend, backend))
		return false;
	for (int i = 1; i < argc; i++)
		if (!strcmp(argv[i], test->name))
			return true;
	return argc < 2;
}

int main(int argc, char **argv)
{
	const char *backend;
	int number = 0, failed = 0;

	if (argc == 2 && !strcmp(argv[1], "--backend")) { /* see test_errors.c */
		backend = agentmem_backend();
		return backend ? *backend : errno;
	}
	if (argc == 3 && !strcmp(argv[1], "--name")) { /* what an agent's program finds after execve(): see test_agent.c */
		struct agentmem_stats stats = {.size = sizeof(stats)};

		return agentmem_stats(AGENTMEM_SCOPE_AGENT, AGENTMEM_SELF, &stats) < 0 || strcmp(stats.name, argv[2]);
	}
	backend = agentmem_backend();
	if (!backend) {
		perror("agentmem_backend");
		return 2;
	}
	printf("TAP version 13\n# backend %s\n", backend);
	for (struct test *test = first; test; test = test->next)
		number += wanted(test, backend, argc, argv);
	printf("1..%d\n", number);
	number = 0;
	for (struct test *test = first; test; test = test->next)
		if (wanted(test, backend, argc, argv))
			failed += !run_one(test, ++number);
	return failed || !number;
}

/* -- helpers ---------------------------------------------------------------------- */

char *unique(size_t size)
{
	char *text = malloc(size + 1);
	uint64_t seed;

	CHECK(text && getrandom(&seed, sizeof(seed), 0) == sizeof(seed));
	for (size_t i = 0; i < size; i++) {
		if (i % 8 == 0)
			seed = seed * 6364136223846793005u + 1442695040888963407u;
		text[i] = (char)('a' + (i % 8 < 4 ? (seed >> (32 + 5 * (i % 4))) % 26 : i % 8));
	}
	text[size] = '\0';
	return text;
}

int put(const char *text, size_t size)
{
	int fd = agentmem_put(AGENTMEM_CONVERSATION, text, size, NULL, NULL);

	CHECK(fd >= 0);
	return fd;
}

bool holds(int fd, const char *text, size_t size)
{
	struct agentmem_view view;
	bool same;

	CHECK(agentmem_map(fd, &view) == 0);
	same = view.size == size && !memcmp(view.data, text, size);
	CHECK(agentmem_unmap(&view) == 0 && !view.data && !view.size);
	return same;
}

bool is_gone(const uint8_t *digest)
{
	int fd = agentmem_attach(digest);

	if (fd >= 0)
		close(fd);
	return fd < 0 && errno == ENOENT;
}

int set_temperature(int fd, uint32_t temperature)
{
	struct agentmem_mark mark = {.size = sizeof(mark), .valid = AGENTMEM_MARK_TEMPERATURE, .temperature = temperature};

	return agentmem_mark(fd, &mark);
}

struct child child_start(void (*run)(void *), void *data)
{
	struct child child;
	int to[2], from[2];
	char byte = 0;

	CHECK(pipe(to) == 0 && pipe(from) == 0);
	fflush(stdout);
	child.pid = fork();
	if (!child.pid) {
		close(to[1]);
		close(from[0]);
		run(data);
		CHECK(write(from[1], &byte, 1) == 1);
		CHECK(read(to[0], &byte, 1) == 1);
		exit(0);
	}
	close(to[0]);
	close(from[1]);
	child.to = to[1];
	child.from = from[0];
	child.pidfd = (int)syscall(SYS_pidfd_open, child.pid, 0);
	CHECK(child.pidfd >= 0);
	CHECK(read(child.from, &byte, 1) == 1);
	return child;
}

static void reap(struct child *child, int *status)
{
	CHECK(waitpid(child->pid, status, 0) == child->pid);
	close(child->to);
	close(child->from);
}

void child_end(struct child *child)
{
	char byte = 0;
	int status;

	CHECK(write(child->to, &byte, 1) == 1);
	reap(child, &status);
	CHECK(WIFEXITED(status) && !WEXITSTATUS(status));
}

void child_kill(struct child *child)
{
	int status;

	CHECK(kill(child->pid, SIGKILL) == 0);
	reap(child, &status);
}

void killed_at_work(void (*work)(void), int round)
{
	pid_t pids[3];
	int status;

	for (size_t i = 0; i < 3; i++) {
		pids[i] = fork();
		if (!pids[i])
			work();
	}
	usleep((useconds_t)(1000 + round * 997));
	for (size_t i = 0; i < 3; i++) {
		CHECK(kill(pids[i], SIGKILL) == 0);
		CHECK(waitpid(pids[i], &status, 0) == pids[i] && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	}
}
