/* SPDX-License-Identifier: MIT */
/* Programs in several PID namespaces share one store, as containers with the same XDG_RUNTIME_DIR do. */
#include "suite.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SIZE	(20u * 1024 + 1)

/* Process 1 of a PID namespace. It executes orders. */
struct inside {
	pid_t pid;
	int pidfd, to, from;
};
enum what { NAME, NAME_OF_MINE, ATTACH, HOLD, SWEEP, EXECUTE };
struct order {
	enum what what;
	uint8_t digest[AGENTMEM_DIGEST_SIZE];
	char name[32];
};
struct answer {
	int result, why;
	char name[AGENTMEM_NAME_SIZE];
};

/* Attaching a base that only a link keeps sweeps the store. */
static int sweep(void)
{
	char *text = unique(2 * SIZE);
	uint8_t digest[AGENTMEM_DIGEST_SIZE];
	int base = put(text, SIZE), more = agentmem_append(base, AGENTMEM_CONVERSATION, text + SIZE, SIZE, NULL, NULL);

	CHECK(more >= 0 && agentmem_digest(base, digest) == 0 && close(more) == 0 && close(base) == 0);
	free(text);
	return is_gone(digest) ? 0 : -1;
}

static int obey(const struct order *order, struct answer *answer)
{
	struct agentmem_stats stats = {.size = sizeof(stats)};
	int fd;

	switch (order->what) {
	case NAME:
		return agentmem_agent(order->name, 0, 0);
	case NAME_OF_MINE:
		if (agentmem_stats(AGENTMEM_SCOPE_AGENT, AGENTMEM_SELF, &stats) < 0)
			return -1;
		strcpy(answer->name, stats.name);
		return 0;
	case ATTACH:
		fd = agentmem_attach(order->digest);
		return fd < 0 ? -1 : close(fd);
	case HOLD:
		return agentmem_attach(order->digest);
	case SWEEP:
		return sweep();
	default:
		execlp("sleep", "sleep", "1000", NULL);
		return -1;
	}
}

static void serve(int from, int to, bool own_proc)
{
	struct answer answer = {0};
	struct order order;

	CHECK(read(from, &order, 1) == 1); /* the parent has read the process id */
	if (own_proc && (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
			 mount("proc", "/proc", "proc", 0, NULL) < 0))
		_exit(1);
	CHECK(write(to, &answer, sizeof(answer)) == sizeof(answer));
	while (read(from, &order, sizeof(order)) == sizeof(order)) {
		answer = (struct answer){0};
		answer.result = obey(&order, &answer);
		answer.why = errno;
		CHECK(write(to, &answer, sizeof(answer)) == sizeof(answer));
	}
	_exit(0);
}

/* own_proc: mount the /proc of the new namespace; else keep that of the parent namespace. */
static struct inside inside_start(bool own_proc)
{
	struct inside inside;
	struct answer answer;
	int to[2], from[2];
	pid_t between;

	CHECK(pipe2(to, O_CLOEXEC) == 0 && pipe2(from, O_CLOEXEC) == 0);
	between = fork();
	if (!between) {
		close(to[1]);
		if (unshare(CLONE_NEWPID) < 0)
			_exit(1);
		inside.pid = fork();
		if (!inside.pid) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			serve(to[0], from[1], own_proc);
		}
		CHECK(write(from[1], &inside.pid, sizeof(inside.pid)) == sizeof(inside.pid));
		close(from[1]);
		waitpid(inside.pid, NULL, 0);
		_exit(0);
	}
	close(to[0]);
	close(from[1]);
	inside.to = to[1];
	inside.from = from[0];
	if (read(inside.from, &inside.pid, sizeof(inside.pid)) != sizeof(inside.pid))
		suite_skip("only root makes PID namespaces");
	CHECK(write(inside.to, "", 1) == 1);
	if (read(inside.from, &answer, sizeof(answer)) != sizeof(answer))
		suite_skip("only root mounts");
	inside.pidfd = (int)syscall(SYS_pidfd_open, inside.pid, 0);
	CHECK(inside.pidfd >= 0);
	return inside;
}

static struct answer order(const struct inside *inside, struct order given)
{
	struct answer answer;

	CHECK(write(inside->to, &given, sizeof(given)) == sizeof(given));
	CHECK(read(inside->from, &answer, sizeof(answer)) == sizeof(answer));
	errno = answer.why;
	return answer;
}

static struct order about(enum what what, const uint8_t *digest)
{
	struct order order = {.what = what};

	memcpy(order.digest, digest, sizeof(order.digest));
	return order;
}

static void inside_kill(struct inside *inside)
{
	CHECK(kill(inside->pid, SIGKILL) == 0 && wait(NULL) > 0);
	close(inside->to);
	close(inside->from);
	close(inside->pidfd);
}

static bool is_named(int pidfd, const char *name)
{
	struct agentmem_stats stats = {.size = sizeof(stats)};

	CHECK(agentmem_stats(AGENTMEM_SCOPE_AGENT, pidfd, &stats) == 0);
	return !strcmp(stats.name, name);
}

static int put_new(uint8_t *digest)
{
	char *text = unique(SIZE);
	int fd = put(text, SIZE);

	CHECK(agentmem_digest(fd, digest) == 0);
	free(text);
	return fd;
}

/* Counts the agents' records; the path of one of them. */
static int agents(char path[512])
{
	DIR *dir;
	struct dirent *entry;
	int found = 0;

	snprintf(path, 512, "%s/agentmem", getenv("XDG_RUNTIME_DIR"));
	CHECK((dir = opendir(path)));
	while ((entry = readdir(dir)))
		if (!strncmp(entry->d_name, "a-", 2) && !found++)
			snprintf(path, 512, "%s/agentmem/%.200s", getenv("XDG_RUNTIME_DIR"), entry->d_name);
	closedir(dir);
	return found;
}

static void each_is_itself(bool own_proc)
{
	struct inside one = inside_start(own_proc), other = inside_start(own_proc);

	CHECK(order(&one, (struct order){.what = NAME, .name = "one"}).result == 0);
	CHECK(strcmp(order(&other, (struct order){.what = NAME_OF_MINE}).name, "one"));
	CHECK(order(&other, (struct order){.what = NAME, .name = "other"}).result == 0);
	CHECK(!strcmp(order(&one, (struct order){.what = NAME_OF_MINE}).name, "one"));
	CHECK(is_named(one.pidfd, "one") && is_named(other.pidfd, "other"));
	inside_kill(&one);
	inside_kill(&other);
}

FALLBACK_TEST(agents_of_two_namespaces_are_two)
{
	each_is_itself(true);
}

/* getpid() is 1 in both, and /proc/1 is neither. */
FALLBACK_TEST(agents_that_have_the_proc_of_outside_are_two)
{
	each_is_itself(false);
}

static void sweeps_spare_it(const struct inside *other)
{
	CHECK(order(other, (struct order){.what = SWEEP}).result == 0);
	CHECK(sweep() == 0);
}

FALLBACK_TEST(an_agent_outlives_what_other_namespaces_remove)
{
	struct inside one = inside_start(true), other = inside_start(true);
	uint8_t digest[AGENTMEM_DIGEST_SIZE];
	int fd = put_new(digest);

	CHECK(order(&one, (struct order){.what = NAME, .name = "one"}).result == 0);
	CHECK(agentmem_share(fd, one.pidfd, 0) == 0 && agentmem_close(fd) == 0);
	sweeps_spare_it(&other);
	CHECK(is_named(one.pidfd, "one"));
	CHECK(order(&one, about(ATTACH, digest)).result == 0 && is_gone(digest));
	inside_kill(&one);
	inside_kill(&other);
}

/* The agent holds no lock: another process named it, or it called execve(2). */
FALLBACK_TEST(so_does_one_that_does_not_call)
{
	struct agentmem_mark mark = {.size = sizeof(mark), .valid = AGENTMEM_MARK_NAME, .name = "quiet"};
	struct inside one = inside_start(true), other = inside_start(true);
	uint8_t digest[AGENTMEM_DIGEST_SIZE];
	int fd = put_new(digest);

	CHECK(agentmem_mark(one.pidfd, &mark) == 0);
	CHECK(agentmem_share(fd, one.pidfd, 0) == 0 && agentmem_close(fd) == 0);
	sweeps_spare_it(&other);
	CHECK(is_named(one.pidfd, "quiet"));
	CHECK(order(&one, about(ATTACH, digest)).result == 0 && is_gone(digest));
	CHECK(!strcmp(order(&one, (struct order){.what = NAME_OF_MINE}).name, "quiet"));
	fd = put_new(digest);
	CHECK(write(one.to, &(struct order){.what = EXECUTE}, sizeof(struct order)) == sizeof(struct order));
	for (char byte; read(one.from, &byte, 1) > 0;) /* until the program begins */
		;
	CHECK(agentmem_share(fd, one.pidfd, 0) == 0 && agentmem_close(fd) == 0);
	sweeps_spare_it(&other);
	CHECK(is_named(one.pidfd, "quiet") && agentmem_attach(digest) >= 0);
	inside_kill(&one);
	inside_kill(&other);
}

FALLBACK_TEST(holders_in_another_namespace_count_and_hold)
{
	struct inside one = inside_start(true), other = inside_start(true);
	struct agentmem_smu_stats stats = {.size = sizeof(stats)};
	uint8_t digest[AGENTMEM_DIGEST_SIZE];
	int fd = put_new(digest);

	CHECK(order(&one, about(HOLD, digest)).result >= 0 && agentmem_smu_stats(fd, &stats) == 0 && stats.holders == 2);
	CHECK(agentmem_close(fd) == 0);
	sweeps_spare_it(&other);
	CHECK(order(&other, about(ATTACH, digest)).result == 0);
	fd = agentmem_attach(digest);
	CHECK(fd >= 0 && agentmem_close(fd) == 0);
	inside_kill(&one);
	CHECK(is_gone(digest));
	inside_kill(&other);
}

/* Nothing shows that the agent has ended, so it and its grants are kept for a day. */
FALLBACK_TEST(what_ended_with_its_namespace_does_not_stay_for_ever)
{
	const struct timespec old[2] = {{.tv_sec = time(NULL) - 25 * 3600}, {.tv_sec = time(NULL) - 25 * 3600}};
	struct inside one = inside_start(true);
	uint8_t digest[AGENTMEM_DIGEST_SIZE];
	char path[512];
	struct answer answer;

	CHECK(order(&one, (struct order){.what = NAME, .name = "one"}).result == 0 && agents(path) == 1);
	int fd = put_new(digest);
	CHECK(agentmem_share(fd, one.pidfd, 0) == 0 && agentmem_close(fd) == 0);
	inside_kill(&one);
	CHECK(sweep() == 0 && agents((char[512]){0}) == 2);
	one = inside_start(true);
	CHECK(utimensat(AT_FDCWD, path, old, 0) == 0);
	answer = order(&one, (struct order){.what = SWEEP});
	CHECK(answer.result == 0 && access(path, F_OK) < 0 && is_gone(digest));
	inside_kill(&one);
}
