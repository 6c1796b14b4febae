/* SPDX-License-Identifier: MIT */
/* An object lasts as long as somebody holds it, and no longer. */
#include "suite.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE	(20u * 1024 + 1)

static int put_new(uint8_t *digest)
{
	char *text = unique(SIZE);
	struct agentmem_info info;
	int fd = agentmem_put(AGENTMEM_CONVERSATION, text, SIZE, NULL, &info);

	CHECK(fd >= 0);
	memcpy(digest, info.digest, sizeof(info.digest));
	free(text);
	return fd;
}

/* The object is there; this leaves nothing open. */
static bool is_there(const uint8_t *digest)
{
	int fd = agentmem_attach(digest);

	CHECK(fd >= 0 || errno == ENOENT);
	return fd >= 0 && close(fd) == 0;
}

TEST(a_digest_that_nobody_holds_is_not_found)
{
	uint8_t digest[AGENTMEM_DIGEST_SIZE] = "nobody has this";

	CHECK(is_gone(digest));
}

TEST(an_object_goes_with_its_last_descriptor)
{
	uint8_t digest[AGENTMEM_DIGEST_SIZE];
	int fd = put_new(digest), copy = dup(fd), other = agentmem_attach(digest);

	CHECK(copy >= 0 && other >= 0);
	CHECK(agentmem_close(fd) == 0 && is_there(digest));
	CHECK(close(copy) == 0 && is_there(digest));
	CHECK(close(other) == 0 && is_gone(digest));
	fd = put_new(digest);
	CHECK(agentmem_close(fd) == 0 && is_gone(digest));
}

TEST(what_has_gone_is_no_duplicate)
{
	char *text = unique(SIZE);
	struct agentmem_info info;

	CHECK(close(put(text, SIZE)) == 0);
	CHECK(agentmem_put(AGENTMEM_CONVERSATION, text, SIZE, NULL, &info) >= 0 && !(info.result & AGENTMEM_R_DEDUP));
	free(text);
}

TEST(a_view_alone_holds_the_object)
{
	uint8_t digest[AGENTMEM_DIGEST_SIZE];
	struct agentmem_view view;
	int fd = put_new(digest);

	CHECK(agentmem_map(fd, &view) == 0);
	CHECK(agentmem_close(fd) == 0 && is_there(digest));
	CHECK(agentmem_unmap(&view) == 0 && is_gone(digest));
}

TEST(what_was_appended_holds_what_it_needs)
{
	char *text = unique(3 * SIZE);
	int a = put(text, SIZE), b, c;
	uint8_t digest[AGENTMEM_DIGEST_SIZE];

	b = agentmem_append(a, AGENTMEM_CONVERSATION, text + SIZE, SIZE, NULL, NULL);
	c = agentmem_append(b, AGENTMEM_CONVERSATION, text + 2 * SIZE, SIZE, NULL, NULL);
	CHECK(b >= 0 && c >= 0 && agentmem_digest(a, digest) == 0);
	CHECK(agentmem_close(a) == 0 && agentmem_close(b) == 0);
	CHECK(close(put(text + 5, SIZE)) == 0); /* others come and go */
	CHECK(holds(c, text, 3 * SIZE));
	CHECK(agentmem_close(c) == 0 && is_gone(digest));
	free(text);
}

static void nothing(void *data)
{
	(void)data;
}

TEST(a_forked_child_holds_what_its_parent_held)
{
	uint8_t digest[AGENTMEM_DIGEST_SIZE];
	int fd = put_new(digest);
	struct child child = child_start(nothing, NULL);

	CHECK(agentmem_close(fd) == 0 && is_there(digest));
	child_end(&child);
	CHECK(is_gone(digest));
}

static void put_three(void *digest)
{
	uint8_t other[AGENTMEM_DIGEST_SIZE];
	struct agentmem_view view;

	CHECK(agentmem_map(put_new(other), &view) == 0);
	put_new(other);
	put_new(other);
	CHECK(write(*(int *)digest, other, sizeof(other)) == sizeof(other));
}

TEST(a_killed_process_leaves_nothing)
{
	uint8_t digest[AGENTMEM_DIGEST_SIZE];
	struct child child;
	int pipes[2];

	CHECK(pipe(pipes) == 0);
	child = child_start(put_three, &pipes[1]);
	CHECK(read(pipes[0], digest, sizeof(digest)) == sizeof(digest) && is_there(digest));
	child_kill(&child);
	CHECK(is_gone(digest));
}

static void pass(int socket, int fd)
{
	char byte = 0, control[CMSG_SPACE(sizeof(fd))] = {0};
	struct iovec part = {&byte, 1};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);

	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(head), &fd, sizeof(fd));
	CHECK(sendmsg(socket, &message, 0) == 1);
}

static int receive(int socket)
{
	char byte, control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec part = {&byte, 1};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	int fd;

	CHECK(recvmsg(socket, &message, MSG_CMSG_CLOEXEC) == 1);
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
	return fd;
}

TEST(a_passed_descriptor_holds_the_object_on_its_way_and_after)
{
	char *text = unique(SIZE);
	int pair[2], fd;

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	fd = put(text, SIZE);
	pass(pair[0], fd);
	CHECK(agentmem_close(fd) == 0);
	CHECK(close(put(text + 1, SIZE - 1)) == 0);
	fd = receive(pair[1]);
	CHECK(holds(fd, text, SIZE));
	free(text);
}

TEST(a_program_may_close_all_that_it_does_not_know)
{
	char *text = unique(SIZE);
	struct agentmem_view view;

	CHECK(agentmem_map(put(text, SIZE), &view) == 0);
	for (int fd = 3; fd < 1024; fd++)
		close(fd);
	CHECK(!memcmp(view.data, text, SIZE));
	CHECK(holds(put(text, SIZE), text, SIZE));
	CHECK(agentmem_unmap(&view) == 0);
	free(text);
}

/* -- many at once ---------------------------------------------------------------------- */

#define THREADS	6
#define ROUNDS	60
#define TEXTS	4

static char *texts[TEXTS];

static void *busy(void *number)
{
	unsigned int at = (unsigned int)(size_t)number;

	for (int i = 0; i < ROUNDS; i++) {
		const char *text = texts[(at + (unsigned int)i) % TEXTS];
		int fd = put(text, SIZE), more;

		if (i % 3 == 0)
			CHECK(set_temperature(fd, i % 2 ? AGENTMEM_WARM : AGENTMEM_HOT) == 0);
		more = agentmem_append(fd, AGENTMEM_CONVERSATION, text, SIZE, NULL, NULL);
		CHECK(more >= 0 && holds(fd, text, SIZE));
		CHECK((i % 2 ? agentmem_close(fd) : close(fd)) == 0);
		CHECK(holds(more, strncat(strcpy((char[2 * SIZE + 1]){0}, text), text, SIZE), 2 * SIZE));
		CHECK(agentmem_close(more) == 0);
	}
	return NULL;
}

static void run_threads(void)
{
	pthread_t threads[THREADS];

	for (size_t i = 0; i < THREADS; i++)
		CHECK(pthread_create(&threads[i], NULL, busy, (void *)i) == 0);
	for (size_t i = 0; i < THREADS; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
}

TEST(threads_processes_and_forks_at_once)
{
	pthread_t thread;
	pid_t pids[4];
	int status;

	for (size_t i = 0; i < TEXTS; i++)
		texts[i] = unique(SIZE);
	for (size_t i = 0; i < 4; i++) {
		if (i == 2) /* before, children make threads; after, they are forked beside one */
			CHECK(pthread_create(&thread, NULL, busy, NULL) == 0);
		pids[i] = fork();
		if (!pids[i]) {
			if (i < 2)
				run_threads();
			else
				busy((void *)i);
			_exit(0);
		}
	}
	run_threads();
	CHECK(pthread_join(thread, NULL) == 0);
	for (size_t i = 0; i < 4; i++)
		CHECK(waitpid(pids[i], &status, 0) == pids[i] && WIFEXITED(status) && !WEXITSTATUS(status));
	for (size_t i = 0; i < TEXTS; i++)
		free(texts[i]);
}
