// SPDX-License-Identifier: GPL-2.0
/*
 * What each type of policy.cil may do with an object and with a memfd of the type "unlimited". A line for each attempt:
 * type, kind of memory, what was tried, and "ok" or why not. Another user's process is needed, so it is root's.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/agent_mem.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#define SIZE 5000

static const char *const types[] = {
	"unlimited", "no_create", "no_open", "no_read", "no_map", "no_use", "no_signal",
};

static char there[SIZE], fresh[SIZE]; /* content that the object has, and that nothing has */
static struct agent_smu_attr attr;
static int other; /* a process of another user */
static const char *type;

static int alloc(const char *content, unsigned int flags, int base)
{
	attr.size = sizeof(attr);
	attr.flags = flags;
	attr.base_fd = base;
	attr.node = -1;
	return syscall(__NR_agent_alloc_smu, AGENT_SMU_TOOL_DEF, content, content ? SIZE : 0, &attr);
}

static int share(int fd, int process, unsigned int flags)
{
	return syscall(__NR_agent_share_content, fd, process, flags);
}

static void become(const char *name)
{
	int fd = open("/proc/self/attr/current", O_WRONLY);

	if (fd < 0 || dprintf(fd, "user:role:%s", name) < 0)
		err(2, "no process of type %s", name);
	close(fd);
	type = name;
}

static void tell(const char *kind, const char *what, const char *answer)
{
	printf("%s %s %s %s\n", type, kind, what, answer);
}

/* Of a call that gives a descriptor, or 0. */
static void answered(const char *kind, const char *what, int ret)
{
	tell(kind, what, ret < 0 ? strerrorname_np(errno) : "ok");
	if (ret > 0)
		close(ret);
}

static int map(int fd)
{
	void *at = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, 0);

	return at == MAP_FAILED ? -1 : munmap(at, SIZE);
}

static int open_again(int fd)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_RDONLY);
}

/* To ourselves: who receives is asked whether it may have what whoever opened it sends. */
static int receive(int fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr header;
	} control = { 0 };
	struct iovec byte = { "", 1 };
	struct msghdr message = { .msg_iov = &byte, .msg_iovlen = 1 };
	struct cmsghdr *header = &control.header;
	int pair[2], got = -1;
	char read;

	message.msg_control = &control;
	message.msg_controllen = sizeof(control);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &fd, sizeof(int));
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) || sendmsg(pair[0], &message, 0) != 1)
		err(2, "sending a descriptor");

	byte.iov_base = &read;
	if (recvmsg(pair[1], &message, 0) != 1)
		err(2, "receiving a message");
	if (message.msg_controllen >= CMSG_LEN(sizeof(int)))
		memcpy(&got, CMSG_DATA(header), sizeof(int));
	else if (message.msg_flags & MSG_CTRUNC)
		errno = EBADF; /* how the message says it: the descriptor has been cut off */
	close(pair[0]);
	close(pair[1]);
	return got;
}

static void try_both(const char *kind, int fd)
{
	char byte;

	answered(kind, "read", pread(fd, &byte, 1, 0) == 1 ? 0 : -1);
	answered(kind, "map", map(fd));
	answered(kind, "open", open_again(fd));
	answered(kind, "receive", receive(fd));
}

/* The system's, without what a process has beside its objects. */
static void count(char *figures, size_t size)
{
	int fd = open("/proc/agent_stats", O_RDONLY);
	ssize_t got = read(fd, figures, size - 1);
	char *end;

	if (got <= 0)
		err(2, "/proc/agent_stats");
	close(fd);
	figures[got] = 0;
	end = strstr(figures, "anon_bytes");
	if (!end)
		errx(2, "/proc/agent_stats: %s", figures);
	*end = 0;
}

static void try_making(void)
{
	char before[4096], after[4096];
	int fd;

	count(before, sizeof(before));
	answered("object", "create", alloc(fresh, 0, -1));
	fd = alloc(there, 0, -1);
	tell("object", "create_equal",
	     fd < 0 ? strerrorname_np(errno) : attr.result & AGENT_SMU_R_DEDUP ? "ok" : "another");
	if (fd >= 0)
		close(fd);
	count(after, sizeof(after));
	tell("object", "figures", strcmp(before, after) ? "changed" : "same");
	answered("memfd", "create", memfd_create("memory", 0));
}

/* Who may not read an object gets nothing that was made of it. */
static void try_building(int base)
{
	answered("object", "append", alloc(fresh, AGENT_SMU_APPEND, base));
	answered("object", "base", alloc(fresh, AGENT_SMU_BASE, base));
}

static void try_sharing(int fd, const unsigned char *digest)
{
	int self = syscall(__NR_pidfd_open, getpid(), 0);

	memcpy(attr.digest, digest, sizeof(attr.digest));
	answered("object", "attach", alloc(NULL, AGENT_SMU_ATTACH, -1));
	if (share(fd, self, 0))
		err(2, "a grant to oneself");
	answered("object", "claim", alloc(NULL, AGENT_SMU_ATTACH, -1));
	share(fd, self, AGENT_SHARE_REVOKE); /* if it was not claimed */
	answered("object", "grant", share(fd, other, 0));
	share(fd, other, AGENT_SHARE_REVOKE);
	close(self);
}

static pid_t start_other(void)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	if (setuid(65534) || prctl(PR_SET_PDEATHSIG, SIGKILL))
		err(2, "another user's process");
	for (;;)
		pause();
}

static void tell_label(const char *kind, int fd)
{
	char label[100] = "";

	if (fgetxattr(fd, "security.selinux", label, sizeof(label) - 1) < 0)
		err(2, "the label of %s", kind);
	tell(kind, "label", label);
}

int main(void)
{
	unsigned char digest[32];
	int object, memfd, status;
	unsigned int i;

	memset(there, 't', SIZE);
	memset(fresh, 'f', SIZE);
	become("unlimited");
	other = syscall(__NR_pidfd_open, start_other(), 0);
	object = alloc(there, 0, -1);
	memfd = memfd_create("memory", 0);
	if (other < 0 || object < 0 || memfd < 0 || write(memfd, there, SIZE) != SIZE)
		err(2, "nothing to try");
	memcpy(digest, attr.digest, sizeof(digest));
	tell_label("object", object);
	tell_label("memfd", memfd);

	for (i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		fflush(stdout);
		if (fork()) {
			if (wait(&status) < 0 || status)
				errx(2, "%s ended with %x", types[i], status);
			continue;
		}
		become(types[i]);
		try_both("object", object);
		try_both("memfd", memfd);
		try_making();
		try_building(object);
		try_sharing(object, digest);
		return 0;
	}
	return 0;
}
