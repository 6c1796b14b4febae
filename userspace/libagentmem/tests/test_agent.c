/* SPDX-License-Identifier: MIT */
/* Agents: who they are, what they grant each other, what their figures say. */
#include "suite.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE	(40u * 1024 + 1)

static struct agentmem_stats stats_of(int pidfd)
{
	struct agentmem_stats stats = {.size = sizeof(stats)};

	CHECK(agentmem_stats(AGENTMEM_SCOPE_AGENT, pidfd, &stats) == 0 && stats.size == sizeof(stats));
	return stats;
}

/* -- granting ----------------------------------------------------------------------------- */

struct claim {
	uint8_t digest[AGENTMEM_DIGEST_SIZE];
	int go; /* a byte from here says that it may be claimed */
	int ready;
	const char *text;
};

static void claim(void *data)
{
	struct claim *c = data;
	char byte;
	int fd;

	CHECK(read(c->go, &byte, 1) == 1);
	fd = agentmem_attach(c->digest);
	CHECK(fd >= 0 && holds(fd, c->text, SIZE));
	CHECK(close(fd) == 0 && is_gone(c->digest)); /* and the grant is used up */
}

TEST(a_granted_object_waits_for_its_agent)
{
	char *text = unique(SIZE);
	struct claim c = {.text = text};
	int pipes[2], fd, status;
	pid_t pid;

	CHECK(pipe(pipes) == 0);
	fd = put(text, SIZE);
	CHECK(agentmem_digest(fd, c.digest) == 0);
	CHECK(fcntl(fd, F_SETFD, FD_CLOEXEC) == 0);
	c.go = pipes[0];
	pid = fork();
	if (!pid) {
		close(fd);
		CHECK(agentmem_agent("claimer", 0, 0) == 0);
		claim(&c);
		_exit(0);
	}
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct agentmem_stats stats;
	do /* until it has a name of its own, it is this agent, too */
		stats = stats_of(pidfd);
	while (strcmp(stats.name, "claimer"));
	CHECK(agentmem_share(fd, pidfd, 0) == 0);
	CHECK(agentmem_share(fd, pidfd, 0) == 0); /* twice is as good as once */
	CHECK(agentmem_close(fd) == 0);
	CHECK(close(put(text + 1, SIZE - 1)) == 0);
	CHECK(write(pipes[1], "", 1) == 1);
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && !WEXITSTATUS(status));
	free(text);
}

/* With one more descriptor each time, so that it fails wherever it needs one. */
static void wait_and_claim(void *data)
{
	struct claim *c = data;
	char byte;

	stats_of(AGENTMEM_SELF); /* it is of its parent's agent */
	CHECK(write(c->ready, "", 1) == 1 && read(c->go, &byte, 1) == 1);
	CHECK(agentmem_attach(c->digest) >= 0);
	CHECK(stats_of(AGENTMEM_SELF).attach_hits == 1);
}

/* The fallback's processes remember which agent they are of. */
FALLBACK_TEST(a_child_that_is_given_a_name_claims_what_is_granted_to_that)
{
	struct agentmem_mark mark = {.size = sizeof(mark), .valid = AGENTMEM_MARK_NAME, .name = "given"};
	char *text = unique(SIZE), byte;
	struct claim c = {.text = text};
	int go[2], ready[2], fd = put(text, SIZE), status;
	pid_t pid;

	CHECK(pipe(go) == 0 && pipe(ready) == 0 && agentmem_digest(fd, c.digest) == 0);
	c.go = go[0];
	c.ready = ready[1];
	pid = fork();
	if (!pid) {
		wait_and_claim(&c);
		CHECK(write(c.ready, "", 1) == 1 && read(c.go, &byte, 1) == 1);
		_exit(0);
	}
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	CHECK(read(ready[0], &byte, 1) == 1);
	CHECK(agentmem_mark(pidfd, &mark) == 0 && agentmem_share(fd, pidfd, 0) == 0);
	CHECK(write(go[1], "", 1) == 1 && read(ready[0], &byte, 1) == 1);
	FAILS(agentmem_share(fd, pidfd, AGENTMEM_REVOKE), ENOENT);
	CHECK(!strcmp(stats_of(pidfd).name, "given"));
	CHECK(write(go[1], "", 1) == 1 && waitpid(pid, &status, 0) == pid && !status);
	free(text);
}

TEST(an_attach_that_fails_leaves_the_grant)
{
	char *text = unique(SIZE);
	uint8_t digest[AGENTMEM_DIGEST_SIZE];
	int fd = put(text, SIZE), pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0), failed = 0;
	struct rlimit before, few;

	CHECK(agentmem_digest(fd, digest) == 0 && set_temperature(fd, AGENTMEM_COLD) == 0);
	CHECK(agentmem_share(fd, pidfd, 0) == 0 && agentmem_close(fd) == 0 && close(pidfd) == 0);
	CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
	few = before;
	for (few.rlim_cur = 0; few.rlim_cur < 100; few.rlim_cur++) {
		CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
		fd = agentmem_attach(digest);
		if (fd >= 0)
			break;
		CHECK(errno == EMFILE);
		failed++;
	}
	CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
	CHECK(failed && fd >= 0 && holds(fd, text, SIZE));
	CHECK(agentmem_close(fd) == 0 && is_gone(digest));
	free(text);
}

static void name_myself(void *name)
{
	CHECK(agentmem_agent(name, 0, 0) == 0);
}

TEST(a_grant_can_be_taken_back_and_ends_with_its_agent)
{
	char *text = unique(SIZE);
	uint8_t digest[AGENTMEM_DIGEST_SIZE];
	struct child child;
	int fd;

	CHECK(agentmem_agent("granter", 0, 0) == 0);
	child = child_start(name_myself, "granted");
	fd = put(text, SIZE);
	CHECK(agentmem_digest(fd, digest) == 0);
	FAILS(agentmem_share(fd, child.pidfd, AGENTMEM_REVOKE), ENOENT);
	CHECK(agentmem_share(fd, child.pidfd, 0) == 0);
	CHECK(agentmem_share(fd, child.pidfd, AGENTMEM_REVOKE) == 0);
	FAILS(agentmem_share(fd, child.pidfd, AGENTMEM_REVOKE), ENOENT);
	CHECK(agentmem_share(fd, child.pidfd, 0) == 0);
	child_kill(&child);
	CHECK(close(fd) == 0 && is_gone(digest));
	fd = put(text, SIZE);
	FAILS(agentmem_share(fd, child.pidfd, 0), ESRCH);
	free(text);
}

TEST(grants_to_one_agent_are_bounded)
{
	struct child child;
	int fd[129];

	CHECK(agentmem_agent("granter", 0, 0) == 0);
	child = child_start(name_myself, "granted");
	for (size_t i = 0; i < 129; i++) {
		char *text = unique(64);

		fd[i] = put(text, 64);
		free(text);
		if (i < 128)
			CHECK(agentmem_share(fd[i], child.pidfd, 0) == 0);
	}
	FAILS(agentmem_share(fd[128], child.pidfd, 0), EDQUOT);
	child_end(&child);
}

/* -- identity ------------------------------------------------------------------------------ */

TEST(an_agent_says_who_it_is)
{
	struct agentmem_stats stats = stats_of(AGENTMEM_SELF);
	char comm[64] = {0}, longest[400];
	FILE *file = fopen("/proc/self/comm", "r");

	CHECK(file && fscanf(file, "%63s", comm) == 1);
	fclose(file);
	CHECK(!strcmp(stats.name, comm));
	CHECK(stats.state == AGENTMEM_ACTIVE && stats.importance == 500 && stats.node == -1);
	CHECK(agentmem_agent("reviewer", 900, AGENTMEM_PAUSED) == 0);
	CHECK(agentmem_agent(NULL, 901, 0) == 0);
	stats = stats_of(AGENTMEM_SELF);
	CHECK(!strcmp(stats.name, "reviewer") && stats.importance == 901 && stats.state == AGENTMEM_PAUSED);
	memset(longest, 'n', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	CHECK(agentmem_agent(longest, 0, 0) == 0);
	stats = stats_of(AGENTMEM_SELF);
	CHECK(strlen(stats.name) == AGENTMEM_NAME_SIZE - 1);
}

TEST(an_agent_lasts_across_execve)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		CHECK(agentmem_agent("the one before", 0, 0) == 0);
		execl("/proc/self/exe", "conformance", "--name", "the one before", NULL);
		_exit(127);
	}
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && !WEXITSTATUS(status));
}

static void say_paused(void *unused)
{
	(void)unused;
	CHECK(agentmem_agent(NULL, 0, AGENTMEM_PAUSED) == 0);
}

TEST(a_child_is_its_parents_agent_until_it_names_itself)
{
	struct agentmem_mark mark = {.size = sizeof(mark), .valid = AGENTMEM_MARK_IMPORTANCE, .importance = 77};
	struct child same, other;

	CHECK(agentmem_agent("parent", 0, 0) == 0);
	same = child_start(say_paused, NULL);
	other = child_start(name_myself, "child");
	CHECK(stats_of(AGENTMEM_SELF).state == AGENTMEM_PAUSED);
	CHECK(!strcmp(stats_of(same.pidfd).name, "parent") && !strcmp(stats_of(other.pidfd).name, "child"));
	CHECK(stats_of(other.pidfd).state == AGENTMEM_ACTIVE);
	CHECK(agentmem_mark(other.pidfd, &mark) == 0);
	CHECK(stats_of(other.pidfd).importance == 77 && stats_of(AGENTMEM_SELF).importance == 500);
	CHECK(agentmem_mark(same.pidfd, &mark) == 0 && stats_of(AGENTMEM_SELF).importance == 77);
	child_end(&same);
	child_end(&other);
	CHECK(!strcmp(stats_of(AGENTMEM_SELF).name, "parent"));
}

static void name_if_any(void *name)
{
	if (*(char *)name)
		name_myself(name);
}

static void *last_thread(void *data)
{
	char *text = unique(SIZE), stat[64] = "";
	FILE *file;

	(void)data;
	while (!strstr(stat, ") Z")) { /* the first one has ended */
		CHECK((file = fopen("/proc/self/stat", "r")) && fgets(stat, sizeof(stat), file));
		fclose(file);
	}
	CHECK(agentmem_agent("threads", 0, 0) == 0 && holds(put(text, SIZE), text, SIZE));
	CHECK(!strcmp(stats_of(AGENTMEM_SELF).name, "threads") && agentmem_agents(NULL, 0) == 1);
	exit(0);
}

/* Its state is a zombie's then. */
FALLBACK_TEST(a_process_lives_without_its_first_thread)
{
	pthread_t thread;

	CHECK(pthread_create(&thread, NULL, last_thread, NULL) == 0);
	pthread_exit(NULL);
}

TEST(agents_are_listed)
{
	struct child child;
	pid_t pids[4096];
	ssize_t count;
	bool me = false, it = false;

	CHECK(agentmem_agent("lister", 0, 0) == 0);
	child = child_start(name_if_any, "listed");
	count = agentmem_agents(pids, 4096);
	CHECK(count >= 2);
	for (ssize_t i = 0; i < count; i++) {
		me |= pids[i] == getpid();
		it |= pids[i] == child.pid;
	}
	CHECK(me && it && agentmem_agents(NULL, 0) >= 2);
	child_end(&child);
}

/* -- figures -------------------------------------------------------------------------------- */

TEST(figures_of_an_object)
{
	char *text = unique(SIZE);
	struct agentmem_options options = AGENTMEM_OPTIONS_INIT;
	struct agentmem_smu_stats stats = {.size = sizeof(stats)}, more = stats;
	struct agentmem_info info;
	int fd, longer;

	options.flags = AGENTMEM_NOCOMPRESS;
	options.node = 0;
	fd = agentmem_put(AGENTMEM_TOOL_RESULT, text, SIZE, &options, &info);
	CHECK(fd >= 0 && agentmem_smu_stats(fd, &stats) == 0);
	CHECK(stats.size == sizeof(stats) && stats.type == AGENTMEM_TOOL_RESULT && stats.length == SIZE);
	CHECK(stats.flags == AGENTMEM_NOCOMPRESS && stats.temperature == AGENTMEM_HOT && stats.node == 0);
	CHECK(stats.holders == 1 && stats.base_depth == 0 && !memcmp(stats.digest, info.digest, sizeof(info.digest)));
	CHECK(stats.resident_top + stats.resident_lower >= SIZE && stats.stored == 0 && stats.algorithm == AGENTMEM_ALG_NONE);
	CHECK(stats.idle_ms < 600000);
	longer = agentmem_append(fd, AGENTMEM_TOOL_RESULT, text, SIZE, NULL, NULL);
	CHECK(longer >= 0 && agentmem_smu_stats(longer, &more) == 0);
	CHECK(more.base_depth == 1 && more.length == 2 * SIZE && more.resident_top <= SIZE + 2 * 4096);
	free(text);
}

static void attach_as_another(void *digest)
{
	CHECK(agentmem_agent("another", 0, 0) == 0 && agentmem_attach(digest) >= 0);
}

TEST(holders_are_agents_not_descriptors)
{
	char *text = unique(SIZE);
	struct agentmem_smu_stats stats = {.size = sizeof(stats)};
	uint8_t digest[AGENTMEM_DIGEST_SIZE];
	struct child child;
	int fd = put(text, SIZE);

	CHECK(put(text, SIZE) >= 0 && agentmem_digest(fd, digest) == 0);
	child = child_start(attach_as_another, digest);
	CHECK(agentmem_smu_stats(fd, &stats) == 0 && stats.holders == 2);
	CHECK(stats_of(child.pidfd).attach_hits == 1 && stats_of(child.pidfd).logical_bytes == SIZE);
	child_end(&child);
	CHECK(agentmem_smu_stats(fd, &stats) == 0 && stats.holders == 1);
	free(text);
}

TEST(figures_of_an_agent_and_its_domain)
{
	char *text = unique(2 * SIZE);
	struct agentmem_stats before = {.size = sizeof(before)}, after = before, mine;
	int fd[4];

	CHECK(agentmem_stats(AGENTMEM_SCOPE_DOMAIN, -1, &before) == 0);
	CHECK(agentmem_agent("counter", 0, 0) == 0);
	fd[0] = put(text, SIZE);
	fd[1] = put(text, SIZE);
	fd[2] = put(text + SIZE, SIZE);
	fd[3] = agentmem_append(fd[0], AGENTMEM_CONVERSATION, text + SIZE, SIZE, NULL, NULL);
	mine = stats_of(AGENTMEM_SELF);
	CHECK(mine.smus == 3 && mine.logical_bytes == 4 * SIZE && mine.unique_bytes == 4 * SIZE);
	CHECK(mine.dedup_hits == 1 && mine.dedup_bytes == SIZE && mine.delta_hits == 1 && mine.attach_hits == 0);
	CHECK(mine.resident_top + mine.resident_lower >= 3 * SIZE);
	CHECK(agentmem_stats(AGENTMEM_SCOPE_DOMAIN, -1, &after) == 0);
	CHECK(after.smus == before.smus + 3 && after.dedup_hits == before.dedup_hits + 1);
	CHECK(after.unique_bytes == before.unique_bytes + 4 * SIZE && after.logical_bytes == before.logical_bytes + 4 * SIZE);
	CHECK(!after.state && !after.importance && after.node == -1 && !*after.name);
	for (size_t i = 0; i < 4; i++)
		CHECK(agentmem_close(fd[i]) == 0);
	mine = stats_of(AGENTMEM_SELF);
	CHECK(mine.smus == 0 && mine.logical_bytes == 0 && mine.dedup_hits == 1);
	free(text);
}

TEST(a_temperature_on_an_agent_is_one_on_all_that_it_holds)
{
	char *text = unique(2 * SIZE);
	struct agentmem_smu_stats stats = {.size = sizeof(stats)};
	int fd[2];

	CHECK(agentmem_agent("cold one", 0, 0) == 0);
	fd[0] = put(text, SIZE);
	fd[1] = put(text + SIZE, SIZE);
	CHECK(set_temperature(AGENTMEM_SELF, AGENTMEM_COLD) == 0);
	for (size_t i = 0; i < 2; i++)
		CHECK(agentmem_smu_stats(fd[i], &stats) == 0 && stats.temperature == AGENTMEM_COLD);
	CHECK(agentmem_mark(AGENTMEM_SELF, NULL) == 0);
	for (size_t i = 0; i < 2; i++)
		CHECK(agentmem_smu_stats(fd[i], &stats) == 0 && stats.temperature == AGENTMEM_HOT);
	CHECK(holds(fd[0], text, SIZE) && holds(fd[1], text + SIZE, SIZE));
	free(text);
}
