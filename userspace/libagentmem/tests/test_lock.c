/* SPDX-License-Identifier: MIT */
/* The fallback's lock ends with the call that took it, whatever else goes on in the process. */
#include "suite.h"

#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char fifo[512];

static void *put_one(void *data)
{
	(void)data;
	CHECK(agentmem_close(put("waits for the lock", 18)) == 0);
	return NULL;
}

/* Is a copy of this process, descriptors and all, until somebody writes to the FIFO. */
static void *spawn_one(void *data)
{
	char *argv[] = {"true", NULL};
	posix_spawn_file_actions_t actions;
	int status;
	pid_t pid;

	(void)data;
	CHECK(posix_spawn_file_actions_init(&actions) == 0);
	CHECK(posix_spawn_file_actions_addopen(&actions, 0, fifo, O_RDONLY, 0) == 0);
	CHECK(posix_spawnp(&pid, "true", &actions, NULL, argv, NULL) == 0);
	CHECK(waitpid(pid, &status, 0) == pid && !status);
	posix_spawn_file_actions_destroy(&actions);
	return NULL;
}

FALLBACK_TEST(a_program_that_is_slow_to_start_does_not_keep_it)
{
	pthread_t putting, spawning;
	char lock[512];
	int held;

	CHECK(agentmem_close(put("makes the store", 15)) == 0);
	snprintf(lock, sizeof(lock), "%s/agentmem/lock", getenv("XDG_RUNTIME_DIR"));
	snprintf(fifo, sizeof(fifo), "%s/fifo", getenv("XDG_RUNTIME_DIR"));
	CHECK(mkfifo(fifo, 0600) == 0 && (held = open(lock, O_RDWR | O_CLOEXEC)) >= 0 && flock(held, LOCK_EX) == 0);
	CHECK(pthread_create(&putting, NULL, put_one, NULL) == 0);
	usleep(100000);
	CHECK(pthread_create(&spawning, NULL, spawn_one, NULL) == 0);
	usleep(100000);
	CHECK(flock(held, LOCK_UN) == 0 && pthread_join(putting, NULL) == 0);
	alarm(20);
	CHECK(agentmem_close(put("goes on", 7)) == 0);
	CHECK(close(open(fifo, O_WRONLY)) == 0 && pthread_join(spawning, NULL) == 0);
}
