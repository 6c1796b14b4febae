// SPDX-License-Identifier: GPL-2.0
/*
 * The four calls from a 32-bit process. There is no 32-bit C library here, so it does without one: it prints a line
 * for each answer, "name number" or "name hex", and ends with 0.
 */
#include <asm/unistd.h>
#include <linux/agent_mem.h>

static long call(long nr, long a, long b, long c, long d)
{
	long ret;

	__asm__ volatile("int $0x80" : "=a"(ret) : "a"(nr), "b"(a), "c"(b), "d"(c), "S"(d) : "memory");
	return ret;
}

static int length(const char *text)
{
	int n = 0;

	while (text[n])
		n++;
	return n;
}

static void print(const char *text, int size)
{
	call(__NR_write, 1, (long)text, size, 0);
}

static void tell(const char *name, long long value)
{
	unsigned int rest = value < 0 ? -value : value;
	char digits[12];
	int at = sizeof(digits);

	digits[--at] = '\n';
	do
		digits[--at] = '0' + rest % 10;
	while (rest /= 10);
	if (value < 0)
		digits[--at] = '-';
	print(name, length(name));
	print(" ", 1);
	print(digits + at, sizeof(digits) - at);
}

static void tell_digest(const char *name, const unsigned char *digest)
{
	char hex[65];
	int i;

	for (i = 0; i < 32; i++) {
		hex[2 * i] = "0123456789abcdef"[digest[i] >> 4];
		hex[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
	}
	hex[64] = '\n';
	print(name, length(name));
	print(" ", 1);
	print(hex, sizeof(hex));
}

static struct agent_smu_attr attr = { .size = sizeof(attr), .base_fd = -1, .node = -1 };
static struct agent_mark mark = { .valid = AGENT_MARK_NAME | AGENT_MARK_IMPORTANCE, .importance = 7, .name = "narrow" };
static struct agent_smu_stats smu;
static struct agent_stats stats;
static char back[5];

void _start(void);
void _start(void)
{
	long fd, again, self;

	fd = call(__NR_agent_alloc_smu, AGENT_SMU_TOOL_DEF, (long)"hello", 5, (long)&attr);
	tell("alloc", fd >= 0 ? 0 : fd);
	tell_digest("digest", attr.digest);
	call(__NR_read, fd, (long)back, 5, 0);
	print("content ", 8);
	print(back, 5);
	print("\n", 1);

	tell("bad_pointer", call(__NR_agent_alloc_smu, 0, 0xfffff000, 5, 0));
	tell("too_long", call(__NR_agent_alloc_smu, 0, (long)"hello", 0xffffffff, 0));

	attr.flags = AGENT_SMU_ATTACH;
	again = call(__NR_agent_alloc_smu, 0, 0, 0, (long)&attr);
	tell("attach", again >= 0 ? 0 : again);
	tell("result", attr.result);

	tell("mark", call(__NR_agent_mark_hot, AGENT_SELF, (long)&mark, sizeof(mark), 0));
	tell("mark_hot", call(__NR_agent_mark_hot, fd, 0, 0, 0));

	tell("smu_stats", call(__NR_agent_get_stats, AGENT_STATS_SMU, fd, (long)&smu, sizeof(smu)));
	tell("smu_length", smu.length);
	tell("smu_holders", smu.holders);
	tell("smu_type", smu.type);
	tell("agent_stats", call(__NR_agent_get_stats, AGENT_STATS_AGENT, AGENT_SELF, (long)&stats, sizeof(stats)));
	tell("smus", stats.smus);
	tell("logical_bytes", stats.logical_bytes);
	tell("attach_hits", stats.attach_hits);
	tell("importance", stats.importance);
	print("name ", 5);
	print(stats.name, length(stats.name));
	print("\n", 1);

	self = call(__NR_pidfd_open, call(__NR_getpid, 0, 0, 0, 0), 0, 0, 0);
	tell("share", call(__NR_agent_share_content, fd, self, 0, 0));
	tell("revoke", call(__NR_agent_share_content, fd, self, AGENT_SHARE_REVOKE, 0));
	tell("revoke_again", call(__NR_agent_share_content, fd, self, AGENT_SHARE_REVOKE, 0));
	call(__NR_exit_group, 0, 0, 0, 0);
}
