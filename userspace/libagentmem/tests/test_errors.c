/* SPDX-License-Identifier: MIT */
/* Every error that the header promises, and that nothing is changed by it. */
#include "suite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define BAD	((const void *)8)

/* Not an object, not a pidfd. */
static int null_device(void)
{
	int fd = open("/dev/null", O_RDONLY);

	CHECK(fd >= 0);
	return fd;
}

static int try_options(struct agentmem_options options)
{
	return agentmem_put(AGENTMEM_CONVERSATION, "x", 1, &options, NULL);
}

TEST(put_refuses_what_it_does_not_know)
{
	struct agentmem_options o;

	FAILS(agentmem_put((enum agentmem_type)4, "x", 1, NULL, NULL), EINVAL);
	FAILS(agentmem_put(AGENTMEM_CONVERSATION, "x", 0, NULL, NULL), EINVAL);
	FAILS(agentmem_put(AGENTMEM_CONVERSATION, "x", ((size_t)1 << 30) + 1, NULL, NULL), E2BIG);
	FAILS(agentmem_put(AGENTMEM_CONVERSATION, NULL, 5, NULL, NULL), EFAULT);
	FAILS(agentmem_put(AGENTMEM_CONVERSATION, BAD, 5, NULL, NULL), EFAULT);
	o = (struct agentmem_options)AGENTMEM_OPTIONS_INIT, o.flags = 1u << 2;
	FAILS(try_options(o), EINVAL);
	o = (struct agentmem_options)AGENTMEM_OPTIONS_INIT, o.importance = 1001;
	FAILS(try_options(o), EINVAL);
	o = (struct agentmem_options)AGENTMEM_OPTIONS_INIT, o.node = 4000;
	FAILS(try_options(o), EINVAL);
	o = (struct agentmem_options)AGENTMEM_OPTIONS_INIT, o.node = -2;
	FAILS(try_options(o), EINVAL);
	o = (struct agentmem_options)AGENTMEM_OPTIONS_INIT, o.base_fd = 999;
	FAILS(try_options(o), EBADF);
	o.base_fd = null_device();
	FAILS(try_options(o), EBADFD);
}

TEST(data_that_goes_bad_halfway)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *text = mmap(NULL, 8 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct agentmem_stats before = {.size = sizeof(before)}, after = before;

	memset(text, 'x', 8 * page);
	CHECK(mprotect(text + 4 * page, 4 * page, PROT_NONE) == 0);
	CHECK(agentmem_stats(AGENTMEM_SCOPE_AGENT, AGENTMEM_SELF, &before) == 0);
	FAILS(agentmem_put(AGENTMEM_CONVERSATION, text, 8 * page, NULL, NULL), EFAULT);
	CHECK(agentmem_stats(AGENTMEM_SCOPE_AGENT, AGENTMEM_SELF, &after) == 0);
	CHECK(before.smus == after.smus && before.resident_top == after.resident_top);
}

TEST(structures_may_be_longer_if_the_rest_is_zero)
{
	struct {
		struct agentmem_options known;
		uint32_t later[4];
	} options = {AGENTMEM_OPTIONS_INIT, {0}};
	struct {
		struct agentmem_mark known;
		uint32_t later[4];
	} mark = {{.valid = AGENTMEM_MARK_IMPORTANCE, .importance = 5}, {0}};

	options.known.size = sizeof(options);
	CHECK(agentmem_put(AGENTMEM_CONVERSATION, "longer", 6, &options.known, NULL) >= 0);
	options.later[3] = 1;
	FAILS(agentmem_put(AGENTMEM_CONVERSATION, "longer", 6, &options.known, NULL), E2BIG);
	options.known.size = sizeof(options.known) - 1;
	FAILS(agentmem_put(AGENTMEM_CONVERSATION, "longer", 6, &options.known, NULL), EINVAL);
	mark.known.size = sizeof(mark);
	CHECK(agentmem_mark(AGENTMEM_SELF, &mark.known) == 0);
	mark.later[0] = 1;
	FAILS(agentmem_mark(AGENTMEM_SELF, &mark.known), E2BIG);
	mark.known.size = 0;
	FAILS(agentmem_mark(AGENTMEM_SELF, &mark.known), EINVAL);
	mark.known.size = sizeof(mark.known) - 4;
	FAILS(agentmem_mark(AGENTMEM_SELF, &mark.known), EINVAL);
}

TEST(figures_come_in_the_size_that_is_asked_for)
{
	struct {
		struct agentmem_stats known;
		uint64_t later;
	} stats = {.known.size = sizeof(stats), .later = 7};
	struct agentmem_smu_stats few;
	int fd = agentmem_put(AGENTMEM_CONVERSATION, "figures", 7, NULL, NULL);

	CHECK(agentmem_stats(AGENTMEM_SCOPE_AGENT, AGENTMEM_SELF, &stats.known) == 0);
	CHECK(stats.known.size == sizeof(stats.known) && stats.later == 0);
	memset(&few, 0xff, sizeof(few));
	few.size = 8;
	CHECK(agentmem_smu_stats(fd, &few) == 0 && few.size == 8 && few.type == AGENTMEM_CONVERSATION && few.flags == UINT32_MAX);
	few.size = 0;
	FAILS(agentmem_smu_stats(fd, &few), EINVAL);
	stats.known.size = 0;
	FAILS(agentmem_stats(AGENTMEM_SCOPE_DOMAIN, -1, &stats.known), EINVAL);
	stats.known.size = sizeof(stats.known);
	FAILS(agentmem_stats((enum agentmem_scope)0, -1, &stats.known), EINVAL);
	FAILS(agentmem_stats((enum agentmem_scope)4, -1, &stats.known), EINVAL);
	FAILS(agentmem_smu_stats(fd, NULL), EFAULT);
	FAILS(agentmem_stats(AGENTMEM_SCOPE_AGENT, AGENTMEM_SELF, NULL), EFAULT);
}

/* The calls that take an object, on what is none. */
static void refuse(int fd, int why)
{
	struct agentmem_smu_stats stats = {.size = sizeof(stats)};
	struct agentmem_view view = {BAD, 1};
	uint8_t digest[AGENTMEM_DIGEST_SIZE];

	FAILS(agentmem_append(fd, AGENTMEM_CONVERSATION, "x", 1, NULL, NULL), why);
	FAILS(agentmem_map(fd, &view), why);
	CHECK(view.data == BAD && view.size == 1);
	FAILS(agentmem_share(fd, fd, 0), why);
	FAILS(agentmem_digest(fd, digest), why);
	FAILS(agentmem_smu_stats(fd, &stats), why);
	if (fd != AGENTMEM_SELF)
		FAILS(agentmem_mark(fd, NULL), why);
}

TEST(descriptors_that_are_not_what_the_call_takes)
{
	int file = open("/proc/self/exe", O_RDONLY), pipes[2], fd, pidfd;
	struct agentmem_stats stats = {.size = sizeof(stats)};

	CHECK(file >= 0 && pipe(pipes) == 0);
	refuse(-1, EBADF);
	refuse(999, EBADF);
	refuse(null_device(), EBADFD);
	refuse(pipes[0], EBADFD);
	refuse(file, EBADFD);
	fd = agentmem_put(AGENTMEM_CONVERSATION, "object", 6, NULL, NULL);
	pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	FAILS(agentmem_share(fd, fd, 0), EBADFD);
	FAILS(agentmem_share(fd, 999, 0), EBADF);
	FAILS(agentmem_share(pidfd, pidfd, 0), EBADFD);
	FAILS(agentmem_share(fd, pidfd, 2), EINVAL);
	FAILS(agentmem_map(pidfd, &(struct agentmem_view){0}), EBADFD);
	FAILS(agentmem_stats(AGENTMEM_SCOPE_AGENT, fd, &stats), EBADFD);
	FAILS(agentmem_stats(AGENTMEM_SCOPE_AGENT, 999, &stats), EBADF);
	FAILS(agentmem_close(999), EBADF);
	FAILS(agentmem_attach(NULL), EFAULT);
}

static int try_mark(int fd, uint32_t valid, uint32_t value)
{
	struct agentmem_mark mark = {.size = sizeof(mark), .valid = valid, .temperature = value, .state = value,
				     .importance = value, .node = (int32_t)value};

	return agentmem_mark(fd, &mark);
}

TEST(marks_out_of_range_or_place)
{
	int fd = agentmem_put(AGENTMEM_CONVERSATION, "marked", 6, NULL, NULL);
	struct agentmem_mark mark = {.size = sizeof(mark), .valid = AGENTMEM_MARK_NAME};

	FAILS(try_mark(fd, AGENTMEM_MARK_TEMPERATURE, 0), EINVAL);
	FAILS(try_mark(fd, AGENTMEM_MARK_TEMPERATURE, 4), EINVAL);
	FAILS(try_mark(AGENTMEM_SELF, AGENTMEM_MARK_STATE, 4), EINVAL);
	FAILS(try_mark(AGENTMEM_SELF, AGENTMEM_MARK_IMPORTANCE, 1001), EINVAL);
	FAILS(try_mark(AGENTMEM_SELF, AGENTMEM_MARK_IMPORTANCE, 0), EINVAL);
	FAILS(try_mark(AGENTMEM_SELF, AGENTMEM_MARK_NODE, 4000), EINVAL);
	FAILS(try_mark(AGENTMEM_SELF, 1u << 5, 1), EINVAL);
	FAILS(try_mark(fd, AGENTMEM_MARK_STATE, AGENTMEM_IDLE), EINVAL); /* agents only */
	FAILS(agentmem_mark(AGENTMEM_SELF, &mark), EINVAL); /* no name */
	FAILS(agentmem_agent("", 0, 0), EINVAL);
	FAILS(agentmem_agent(NULL, 0, 0), EINVAL);
	memset(mark.name, 'x', sizeof(mark.name));
	FAILS(agentmem_mark(AGENTMEM_SELF, &mark), EINVAL); /* without an end */
	mark = (struct agentmem_mark){.size = sizeof(mark), .valid = 0, .reserved = 1};
	FAILS(agentmem_mark(AGENTMEM_SELF, &mark), EINVAL);
}

TEST(processes_that_have_ended)
{
	struct agentmem_stats stats = {.size = sizeof(stats)};
	int fd = agentmem_put(AGENTMEM_CONVERSATION, "ended", 5, NULL, NULL), pidfd;
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	CHECK(pidfd >= 0 && waitpid(pid, NULL, 0) == pid);
	FAILS(agentmem_share(fd, pidfd, 0), ESRCH);
	FAILS(agentmem_mark(pidfd, NULL), ESRCH);
	FAILS(agentmem_stats(AGENTMEM_SCOPE_AGENT, pidfd, &stats), ESRCH);
}

TEST(another_users_process)
{
	struct agentmem_stats stats = {.size = sizeof(stats)};
	int fd, pidfd = (int)syscall(SYS_pidfd_open, getppid(), 0);

	if (setresuid(65534, 65534, 65534) < 0)
		suite_skip("only root can become another user");
	char place[] = "/tmp/agentmem-test-XXXXXX";
	CHECK(mkdtemp(place) && setenv("XDG_RUNTIME_DIR", place, 1) == 0);
	fd = agentmem_put(AGENTMEM_CONVERSATION, "user", 4, NULL, NULL);
	CHECK(fd >= 0);
	FAILS(agentmem_share(fd, pidfd, 0), EPERM);
	FAILS(agentmem_mark(pidfd, NULL), EPERM);
	FAILS(agentmem_stats(AGENTMEM_SCOPE_AGENT, pidfd, &stats), EACCES);
	CHECK(agentmem_close(fd) == 0);
	remove_tree(place);
}

TEST(no_descriptors_left)
{
	struct rlimit limit = {3, 1024};
	int fd = agentmem_put(AGENTMEM_CONVERSATION, "limit", 5, NULL, NULL);

	CHECK(fd >= 0 && setrlimit(RLIMIT_NOFILE, &limit) == 0);
	FAILS(agentmem_put(AGENTMEM_CONVERSATION, "limits", 6, NULL, NULL), EMFILE);
	limit.rlim_cur = 1024;
	CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	CHECK(agentmem_put(AGENTMEM_CONVERSATION, "limits", 6, NULL, NULL) >= 0);
}

FALLBACK_TEST(an_error_is_forgotten_by_the_next_call)
{
	unsetenv("XDG_RUNTIME_DIR"); /* so that the first choice of a place is none */
	for (errno = EMFILE; errno; errno = 0)
		CHECK(agentmem_close(agentmem_put(AGENTMEM_CONVERSATION, "next", 4, NULL, NULL)) == 0);
}

TEST(digests_as_text)
{
	uint8_t digest[AGENTMEM_DIGEST_SIZE], back[AGENTMEM_DIGEST_SIZE];
	char hex[AGENTMEM_HEX_SIZE], bad[AGENTMEM_HEX_SIZE + 1];

	for (size_t i = 0; i < sizeof(digest); i++)
		digest[i] = (uint8_t)(i * 37 + 5);
	CHECK(agentmem_hex(digest, hex) == hex && strlen(hex) == 64 && !strncmp(hex, "052a4f", 6));
	CHECK(agentmem_unhex(hex, back) == 0 && !memcmp(digest, back, sizeof(back)));
	FAILS(agentmem_unhex("", back), EINVAL);
	FAILS(agentmem_unhex("05", back), EINVAL);
	strcpy(bad, hex);
	bad[63] = 'g';
	FAILS(agentmem_unhex(bad, back), EINVAL);
	strcat(strcpy(bad, hex), "0");
	FAILS(agentmem_unhex(bad, back), EINVAL);
	CHECK(!memcmp(digest, back, sizeof(back)));
}

TEST(an_empty_view_can_be_ended)
{
	struct agentmem_view view = {NULL, 0};

	CHECK(agentmem_unmap(&view) == 0);
}

TEST(the_environment_decides)
{
	bool kernel = on_kernel() || access("/proc/agent_stats", F_OK) == 0;
	/* Each in a process of its own: the first call decides. */
	const struct {
		const char *value, *name;
		int why;
	} cases[] = {{"fallback", "fallback", 0}, {"bogus", NULL, EINVAL}, {"kernel", kernel ? "kernel" : NULL, ENOSYS}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		pid_t pid = fork();
		int status;

		if (!pid) {
			setenv("AGENTMEM_BACKEND", cases[i].value, 1);
			execl("/proc/self/exe", "conformance", "--backend", NULL);
			_exit(127);
		}
		CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
		CHECK(WEXITSTATUS(status) == (cases[i].name ? *cases[i].name : cases[i].why));
	}
}
