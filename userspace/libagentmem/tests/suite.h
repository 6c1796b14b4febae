/* SPDX-License-Identifier: MIT */
/*
 * A conformance suite: TEST(name) { ... } anywhere in its files is run in a process of its own and reported as KTAP. The
 * same tests run on both backends; FALLBACK_TEST() and KERNEL_TEST() are for what one has alone.
 */
#ifndef SUITE_H
#define SUITE_H

#include <agentmem.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/types.h>

struct test {
	const char *name, *backend; /* NULL: both */
	void (*run)(void);
	struct test *next;
};
void suite_add(struct test *test);

#define TEST_ON(id, on) \
	static void id(void); \
	static struct test test_##id = {#id, on, id, NULL}; \
	__attribute__((constructor)) static void add_##id(void) { suite_add(&test_##id); } \
	static void id(void)
#define TEST(id)		TEST_ON(id, NULL)
#define FALLBACK_TEST(id)	TEST_ON(id, "fallback")
#define KERNEL_TEST(id)		TEST_ON(id, "kernel")

/* Ends the test as failed, with the place and errno. */
_Noreturn void suite_fail(const char *file, int line, const char *what);
/* Ends it as skipped. */
_Noreturn void suite_skip(const char *why);
#define CHECK(x)	((x) ? (void)0 : suite_fail(__FILE__, __LINE__, #x))
/* A call that has to fail, and how. */
#define FAILS(call, why)	CHECK((errno = 0, (call) == -1) && errno == (why))

bool on_kernel(void);
/* Text that nobody else has, which compresses; never freed. */
char *unique(size_t size);
/* An object of it. */
int put(const char *text, size_t size);
/* Whether the object has that content. */
bool holds(int fd, const char *text, size_t size);
/* The digest's object is nobody's. */
bool is_gone(const uint8_t *digest);
/* A child that does `run`, and then waits for child_end() or its death. */
struct child {
	pid_t pid;
	int pidfd, to, from;
};
struct child child_start(void (*run)(void *), void *data);
void child_end(struct child *child);	/* it has to exit with 0 */
void child_kill(struct child *child);
/* Three processes do `work`, which never ends, and are killed; the later, the higher `round` is. */
void killed_at_work(void (*work)(void), int round);
void remove_tree(const char *path);
int set_temperature(int fd, uint32_t temperature);

#endif
