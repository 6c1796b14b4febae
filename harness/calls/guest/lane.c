// SPDX-License-Identifier: GPL-2.0-only
/*
 * One program: its processes, whose turn it is, and whether all that was held is given back at the end.
 * The controller is a process of root's that makes no agent; what agents cannot do themselves is its turn.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/futex.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "calls.h"

#define HANGS_S 120   /* a call that takes longer hangs */
#define SETTLE_MS 5000 /* for the kernel to free what it frees later */
#define GID 65534

enum kind { KIND_PLAIN, KIND_VISITOR, KIND_ADMIN };

static uint8_t told[TELL_MAX];
static uint32_t told_length;

void tell(const void *bytes, size_t length)
{
	if (length > TELL_MAX - told_length)
		length = TELL_MAX - told_length;
	memcpy(told + told_length, bytes, length);
	told_length += (uint32_t)length;
}

static _Noreturn void give_up(struct lane *lane, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(lane->shared->trouble, sizeof(lane->shared->trouble), format, args);
	va_end(args);
	for (int i = 0; i < PROCS; i++)
		if (lane->shared->alive[i])
			kill(lane->shared->pids[i], SIGKILL);
	_exit(3);
}

static void finish_record(struct lane *lane, int64_t ret)
{
	struct shared *shared = lane->shared;
	struct {
		int64_t ret;
		uint32_t length;
	} __attribute__((packed)) head = { ret, told_length };

	if (OUTPUT_MAX - shared->length < sizeof(head) + told_length)
		give_up(lane, "more output than there is room for");
	memcpy(shared->output + shared->length, &head, sizeof(head));
	memcpy(shared->output + shared->length + sizeof(head), told, told_length);
	shared->length += (uint32_t)sizeof(head) + told_length;
	told_length = 0;
}

/* -- whose turn it is -- */

static int owner(const struct lane *lane, uint32_t turn)
{
	const struct call *call = &lane->program.calls[turn];

	if (turn >= lane->program.count || call->op == OP_SPAWN || call->op == OP_KILL)
		return CONTROLLER;
	return lane->shared->alive[call->proc] ? call->proc : CONTROLLER;
}

static long futex(uint32_t *word, int op, uint32_t value, const struct timespec *until, uint32_t bits)
{
	return syscall(SYS_futex, word, op, value, until, NULL, bits);
}

/* A process that died of something else than the program's will ends the lane. */
static void look_after(struct lane *lane)
{
	int status, signal;
	pid_t pid = waitpid(-1, &status, WNOHANG);

	if (pid <= 0)
		return;
	signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	give_up(lane, "a process died of signal %d at call %u", signal, __atomic_load_n(&lane->shared->turn, __ATOMIC_ACQUIRE));
}

static uint32_t await_turn(struct lane *lane)
{
	uint32_t *word = &lane->shared->turn, seen = 0;

	for (int waited = 0;;) {
		uint32_t turn = __atomic_load_n(word, __ATOMIC_ACQUIRE);
		struct timespec until;

		if (owner(lane, turn) == lane->me)
			return turn;
		waited = turn == seen ? waited + 1 : 0;
		seen = turn;
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += lane->me == CONTROLLER ? 1 : 3600;
		futex(word, FUTEX_WAIT_BITSET, turn, &until, 1u << lane->me);
		if (lane->me == CONTROLLER) {
			look_after(lane);
			if (waited > HANGS_S)
				give_up(lane, "call %u hangs", turn);
		}
	}
}

static void pass_turn(struct lane *lane, uint32_t turn)
{
	int next;

	__atomic_store_n(&lane->shared->turn, turn + 1, __ATOMIC_RELEASE);
	next = owner(lane, turn + 1);
	if (next != lane->me)
		futex(&lane->shared->turn, FUTEX_WAKE_BITSET, 1, NULL, 1u << next);
}

/* -- processes -- */

/* All capabilities, which a change from root to a user takes away. */
static bool raise_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &header, data))
		return false;
	data[0].effective = data[0].permitted;
	data[1].effective = data[1].permitted;
	return !syscall(SYS_capset, &header, data);
}

/* Raw calls: a single thread needs no help. Figures of others may be read only of who is dumpable. */
bool lane_become(uid_t ruid, uid_t euid, bool privileged)
{
	if (privileged)
		prctl(PR_SET_SECUREBITS, SECBIT_KEEP_CAPS);
	if (syscall(SYS_setgroups, 0, NULL) || syscall(SYS_setresgid, GID, GID, GID) ||
	    syscall(SYS_setresuid, ruid, euid, euid) || (privileged && !raise_capabilities()))
		return false;
	return !prctl(PR_SET_DUMPABLE, 1) && !prctl(PR_SET_PDEATHSIG, SIGKILL);
}

static int64_t become(const struct lane *lane, int64_t domain)
{
	int64_t ret = answer(syscall(SYS_setresuid, -1, lane->uid + (uid_t)domain, -1));

	prctl(PR_SET_DUMPABLE, 1);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	return ret;
}

static void tell_ready(struct lane *lane)
{
	__atomic_add_fetch(&lane->shared->ready, 1, __ATOMIC_RELEASE);
}

/* Until a new process is who it is to be: others may act on it at once. */
static void await_ready(struct lane *lane, uint32_t count)
{
	while (__atomic_load_n(&lane->shared->ready, __ATOMIC_ACQUIRE) < count) {
		look_after(lane);
		sched_yield();
	}
}

static _Noreturn void process_run(struct lane *lane);

/* A sibling, so that whoever forks may go, and the controller can wait for all. */
static int64_t fork_agent(struct lane *lane, uint32_t turn, int child)
{
	long pid;

	if (lane->shared->alive[child])
		return SKIPPED;
	pid = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		lane->me = child;
		while (__atomic_load_n(&lane->shared->turn, __ATOMIC_ACQUIRE) == turn)
			sched_yield(); /* until our parent has told that we are alive */
		process_run(lane);
	}
	if (pid < 0)
		return -errno;
	lane->shared->pids[child] = (pid_t)pid;
	lane->shared->alive[child] = 1;
	return 0;
}

static _Noreturn void process_run(struct lane *lane)
{
	for (;;) {
		uint32_t turn = await_turn(lane);
		const struct call *call = &lane->program.calls[turn];
		int64_t ret;

		if (call->op == OP_FORK)
			ret = fork_agent(lane, turn, (int)call->w[0]);
		else if (call->op == OP_BECOME)
			ret = become(lane, call->w[0]);
		else if (call->op >= OP_ALLOC && call->op <= OP_STATS)
			ret = memory_call(lane, call);
		else
			ret = descriptor_call(lane, call);
		finish_record(lane, ret);
		pass_turn(lane, turn);
	}
}

static int64_t spawn(struct lane *lane, const struct call *call)
{
	uint32_t ready = lane->shared->ready;
	uid_t uid = lane->uid + (uid_t)call->w[0], elsewhere = lane->uid + (uid_t)!call->w[0];
	pid_t pid;

	if (lane->shared->alive[call->proc])
		return SKIPPED;
	pid = fork();
	if (!pid) {
		lane->me = call->proc;
		if (!lane_become(call->w[1] == KIND_VISITOR ? elsewhere : uid, uid, call->w[1] == KIND_ADMIN))
			_exit(3);
		tell_ready(lane);
		process_run(lane);
	}
	if (pid < 0)
		return -errno;
	lane->shared->pids[call->proc] = pid;
	lane->shared->alive[call->proc] = 1;
	await_ready(lane, ready + 1);
	return 0;
}

static int64_t end_process(struct lane *lane, int proc)
{
	if (!lane->shared->alive[proc])
		return SKIPPED;
	kill(lane->shared->pids[proc], SIGKILL);
	waitpid(lane->shared->pids[proc], NULL, 0);
	lane->shared->alive[proc] = 0;
	return 0;
}

/* -- the controller -- */

/* An agent in each domain that holds nothing, so that the domain's counters stay to the end. */
static void start_witnesses(struct lane *lane)
{
	for (uid_t i = 0; i < DOMAINS; i++) {
		pid_t pid = fork();
		uint32_t buffer;

		if (pid < 0)
			give_up(lane, "fork: %s", strerror(errno));
		if (!pid) {
			if (!lane_become(lane->uid + i, lane->uid + i, false) ||
			    get_stats(AGENT_STATS_AGENT, AGENT_SELF, &buffer, sizeof(buffer)) < 0)
				_exit(3);
			tell_ready(lane);
			for (;;)
				pause();
		}
	}
	await_ready(lane, DOMAINS);
}

/* By the figures alone nobody becomes an agent. */
static void domain_stats(struct lane *lane, uid_t domain, struct agent_stats *stats)
{
	if (syscall(SYS_setresuid, -1, lane->uid + domain, -1) ||
	    get_stats(AGENT_STATS_DOMAIN, -1, stats, sizeof(*stats)) < 0 || syscall(SYS_setresuid, -1, 0, -1))
		give_up(lane, "figures of a domain: %s", strerror(errno));
}

static bool same_gauges(const struct agent_stats *a, const struct agent_stats *b)
{
	size_t from = offsetof(struct agent_stats, smus), end = offsetof(struct agent_stats, dedup_hits);

	return !memcmp((const char *)a + from, (const char *)b + from, end - from);
}

static void finish(struct lane *lane, const struct agent_stats *before)
{
	for (int i = 0; i < PROCS; i++)
		end_process(lane, i);
	close(lane->socket[0]);
	close(lane->socket[1]);
	for (uid_t i = 0; i < DOMAINS; i++) {
		struct agent_stats now;
		int waited = 0;

		for (domain_stats(lane, i, &now); !same_gauges(&now, &before[i]) && waited < SETTLE_MS; waited++) {
			usleep(1000);
			domain_stats(lane, i, &now);
		}
		tell(&before[i], sizeof(before[i]));
		tell(&now, sizeof(now));
		finish_record(lane, waited);
	}
}

void lane_run(struct lane *lane)
{
	struct agent_stats before[DOMAINS];
	uint32_t turn;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	lane->me = CONTROLLER;
	memset(lane->slots, 0xff, sizeof(lane->slots));
	start_witnesses(lane);
	/* After them, or messages that nobody takes would outlive the processes of the program. */
	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, lane->socket))
		give_up(lane, "socketpair: %s", strerror(errno));
	for (uid_t i = 0; i < DOMAINS; i++)
		domain_stats(lane, i, &before[i]);
	while ((turn = await_turn(lane)) < lane->program.count) {
		const struct call *call = &lane->program.calls[turn];
		int64_t ret = SKIPPED;

		if (call->op == OP_SPAWN)
			ret = spawn(lane, call);
		else if (call->op == OP_KILL)
			ret = end_process(lane, call->proc);
		finish_record(lane, ret);
		pass_turn(lane, turn);
	}
	finish(lane, before);
	_exit(0);
}
