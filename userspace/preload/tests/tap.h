/* SPDX-License-Identifier: MIT */
/* TEST(name) { ... } is run in a process of its own and reported as TAP; a name as argument runs that one. */
#ifndef TAP_H
#define TAP_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct test {
	const char *name;
	void (*run)(void);
	struct test *next;
};
static struct test *tests, **last = &tests;

#define TEST(id) \
	static void id(void); \
	static struct test test_##id = {#id, id, NULL}; \
	__attribute__((constructor)) static void add_##id(void) { *last = &test_##id; last = &test_##id.next; } \
	static void id(void)

#define CHECK(x) ((x) ? (void)0 : (printf("# %s:%d: %s (errno %d)\n", __FILE__, __LINE__, #x, errno), fflush(stdout), _exit(1)))

static int tap_main(const char *only)
{
	int number = 0, failed = 0;

	printf("TAP version 13\n");
	for (struct test *test = tests; test; test = test->next) {
		int status;
		pid_t child;

		if (only && strcmp(only, test->name))
			continue;
		fflush(stdout);
		child = fork();
		if (!child) {
			test->run();
			exit(0); /* so that sanitizers look for what is left */
		}
		if (waitpid(child, &status, 0) != child || status) {
			failed++;
			printf("# status %#x\nnot ", status);
		}
		printf("ok %d %s\n", ++number, test->name);
	}
	printf("1..%d\n", number);
	return failed || !number;
}

#endif
