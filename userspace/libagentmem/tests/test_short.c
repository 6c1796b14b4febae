/* SPDX-License-Identifier: MIT */
/* What one process is short of, descriptors or memory, is no damage: what others hold stays theirs. */
#include "suite.h"

#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void limit(int resource, rlim_t most)
{
	struct rlimit now;

	CHECK(getrlimit(resource, &now) == 0);
	now.rlim_cur = most;
	CHECK(setrlimit(resource, &now) == 0);
}

FALLBACK_TEST(an_attach_that_runs_out_of_descriptors_removes_nothing)
{
	const size_t size = 30000;
	char *text = unique(2 * size);
	uint8_t digest[AGENTMEM_DIGEST_SIZE];
	int base = put(text, size), fd = agentmem_append(base, AGENTMEM_CONVERSATION, text + size, size, NULL, NULL), failed = 0;

	CHECK(fd >= 0 && agentmem_digest(fd, digest) == 0);
	while (dup(0) < 60) /* no number below is free */
		;
	for (rlim_t more = 0; more < 10; more++) {
		int found;

		CHECK(set_temperature(base, AGENTMEM_COLD) == 0 && set_temperature(fd, AGENTMEM_COLD) == 0);
		limit(RLIMIT_NOFILE, 61 + more);
		found = agentmem_attach(digest);
		CHECK(found >= 0 || errno == EMFILE);
		failed += found < 0;
		limit(RLIMIT_NOFILE, 256);
		CHECK(found < 0 || agentmem_close(found) == 0);
		CHECK(holds(fd, text, 2 * size));
	}
	CHECK(failed > 2 && failed < 10);
	free(text);
}

/* A sanitizer needs more address space than it says, whenever it likes. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

static rlim_t mapped(void)
{
	unsigned long pages = 0;
	FILE *file = fopen("/proc/self/statm", "r");

	CHECK(file && fscanf(file, "%lu", &pages) == 1);
	fclose(file);
	return (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE);
}

FALLBACK_TEST(short_of_memory_nothing_is_taken_for_damaged)
{
	const size_t size = 8u << 20;
	char *text = unique(size);
	uint8_t digest[AGENTMEM_DIGEST_SIZE];
	int fd = put(text, size), failed = 0;

	CHECK(agentmem_digest(fd, digest) == 0);
	for (rlim_t more = 0; more < 40; more++) {
		int made, found;

		CHECK(set_temperature(fd, more % 2 ? AGENTMEM_HOT : AGENTMEM_WARM) == 0);
		limit(RLIMIT_AS, mapped() + (more << 20));
		made = agentmem_put(AGENTMEM_CONVERSATION, text, size, NULL, NULL);
		CHECK(made >= 0 || errno == ENOMEM);
		found = agentmem_attach(digest);
		CHECK(found >= 0 || errno == ENOMEM);
		failed += (made < 0) + (found < 0);
		limit(RLIMIT_AS, RLIM_INFINITY);
		CHECK(made < 0 || agentmem_close(made) == 0);
		CHECK(found < 0 || agentmem_close(found) == 0);
		CHECK(holds(fd, text, size));
	}
	CHECK(failed > 8 && failed < 60);
	free(text);
}

#endif
