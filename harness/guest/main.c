// SPDX-License-Identifier: GPL-2.0-only
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest.h"

static const struct {
	const char *type, *place, *options;
} mounts[] = {
	{ "devtmpfs", "/dev", "" },
	{ "proc", "/proc", "" },
	{ "sysfs", "/sys", "" },
	{ "devpts", "/dev/pts", "ptmxmode=0666,mode=0620" },
	{ "tmpfs", "/dev/shm", "mode=1777" },
	{ "tmpfs", "/tmp", "mode=1777,size=90%" },
	{ "tmpfs", "/run", "mode=0755" },
	{ "cgroup2", "/sys/fs/cgroup", "" },
	{ "debugfs", "/sys/kernel/debug", "" },
	{ "tracefs", "/sys/kernel/tracing", "" },
};

/* The first process may not end (the kernel would panic, and be blamed for it): it says why, and switches off. */
_Noreturn void die(const char *what)
{
	fprintf(stderr, "init: %s: %s\n", what, strerror(errno));
	fflush(NULL);
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}

/* A kernel may lack any of these; the command that needs it will say so. */
static void mount_all(void)
{
	for (size_t i = 0; i < sizeof(mounts) / sizeof(*mounts); i++) {
		mkdir(mounts[i].place, 0755);
		mount(mounts[i].type, mounts[i].place, mounts[i].type, 0, mounts[i].options);
	}
}

/* /dev/console of the archive was opened by the kernel if it had a console then. */
static void standard_streams(void)
{
	int console = open("/dev/console", O_RDWR);

	for (int fd = 0; fd <= 2 && console >= 0; fd++)
		dup2(console, fd);
	if (console > 2)
		close(console);
}

static void loopback_up(void)
{
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return;
	ioctl(fd, SIOCSIFFLAGS, &request);
	close(fd);
}

static int child_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void reap(int signals)
{
	struct signalfd_siginfo information;
	int pid, status;

	while (read(signals, &information, sizeof(information)) > 0)
		;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		session_ended(pid, status);
}

static _Noreturn void serve(int signals)
{
	static struct pollfd fds[2 + SESSIONS * 3];

	for (;;) {
		fds[0] = (struct pollfd){ .fd = port, .events = POLLIN };
		fds[1] = (struct pollfd){ .fd = signals, .events = POLLIN };
		if (poll(fds, (nfds_t)(2 + session_poll(fds + 2)), -1) < 0 && errno != EINTR)
			die("poll");
		if (fds[0].revents & POLLIN)
			port_receive();
		if (fds[1].revents)
			reap(signals);
		session_serve();
	}
}

int main(int argc, char **argv)
{
	uint32_t version = VERSION;
	int signals;

	if (getpid() != 1)
		return tool(argc, argv);
	umask(0);
	mount_all();
	umask(022);
	standard_streams();
	loopback_up();
	sethostname("guest", 5);
	signals = child_signals();
	if (signals < 0)
		die("signalfd");
	if (!port_open())
		die("no virtio-serial port " PORT);
	port_send(FRAME_HELLO, 0, &version, sizeof(version));
	serve(signals);
}
