// SPDX-License-Identifier: GPL-2.0-only
/* What is done with descriptors and mappings, most of it through the system calls that every file has. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "calls.h"

#define READ_MAX (512u << 10)
#define NOT_OPEN 9999

int fd_of(const struct lane *lane, int64_t arg)
{
	enum { SELF = -1, CLOSED = -2, NEGATIVE = -3 };

	if (arg >= 0)
		return arg < SLOTS && lane->slots[arg] >= 0 ? lane->slots[arg] : NOT_OPEN;
	return arg == SELF ? AGENT_SELF : arg == CLOSED ? NOT_OPEN : -77;
}

/* What was in the slot is closed when its successor is there. */
void fill_slot(struct lane *lane, int64_t slot, int fd)
{
	if (lane->slots[slot] >= 0)
		close(lane->slots[slot]);
	lane->slots[slot] = fd;
}

static int64_t filled(struct lane *lane, int64_t slot, int64_t fd)
{
	if (fd < 0)
		return fd;
	fill_slot(lane, slot, (int)fd);
	return 0;
}

/* zlib's, so that the other side has it at hand. */
static uint32_t crc32_of(const uint8_t *at, size_t length)
{
	static uint32_t table[256];
	uint32_t crc = ~0u;

	if (!table[1])
		for (uint32_t i = 0; i < 256; i++) {
			uint32_t c = i;

			for (int bit = 0; bit < 8; bit++)
				c = c & 1 ? 0xedb88320u ^ c >> 1 : c >> 1;
			table[i] = c;
		}
	for (; length; length--)
		crc = table[(crc ^ *at++) & 0xff] ^ crc >> 8;
	return ~crc;
}

static void tell_sum(const uint8_t *at, size_t length)
{
	uint32_t crc = crc32_of(at, length);

	tell(&crc, sizeof(crc));
}

static int64_t do_read(int fd, int64_t length, int64_t at, bool positioned)
{
	static uint8_t buffer[READ_MAX];
	size_t most = (uint64_t)length < READ_MAX ? (size_t)length : READ_MAX;
	int64_t got = answer(positioned ? pread(fd, buffer, most, at) : read(fd, buffer, most));

	if (got >= 0)
		tell_sum(buffer, (size_t)got);
	return got;
}

static int64_t text_of(const char *path)
{
	char text[TELL_MAX];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got;

	if (fd < 0)
		return -errno;
	got = read(fd, text, sizeof(text));
	close(fd);
	if (got > 0)
		tell(text, (size_t)got);
	return answer(got);
}

static int64_t fdinfo(int fd)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	return text_of(path);
}

static int64_t reopen(struct lane *lane, int fd, int64_t slot, bool writing)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return filled(lane, slot, answer(open(path, (writing ? O_RDWR : O_RDONLY) | O_CLOEXEC)));
}

static int64_t other(struct lane *lane, int64_t slot, int64_t kind)
{
	int fd = kind ? memfd_create("other", MFD_CLOEXEC) : open("/dev/null", O_RDWR | O_CLOEXEC);

	return filled(lane, slot, answer(fd));
}

static int64_t send_fd(const struct lane *lane, int fd)
{
	char control[CMSG_SPACE(sizeof(fd))] = { 0 };
	struct iovec byte = { .iov_base = "", .iov_len = 1 };
	struct msghdr message = { .msg_iov = &byte, .msg_iovlen = 1, .msg_control = control,
				  .msg_controllen = sizeof(control) };
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	return answer(sendmsg(lane->socket[0], &message, MSG_DONTWAIT)) < 0 ? -errno : 0;
}

static int64_t take_fd(struct lane *lane, int64_t slot)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 }, data;
	struct iovec byte = { .iov_base = &data, .iov_len = 1 };
	struct msghdr message = { .msg_iov = &byte, .msg_iovlen = 1, .msg_control = control,
				  .msg_controllen = sizeof(control) };
	struct cmsghdr *header;
	int fd;

	if (recvmsg(lane->socket[1], &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) < 0)
		return -errno;
	header = CMSG_FIRSTHDR(&message);
	if (!header || header->cmsg_type != SCM_RIGHTS)
		return -EPROTO;
	memcpy(&fd, CMSG_DATA(header), sizeof(fd));
	return filled(lane, slot, fd);
}

static int64_t status_of(int fd)
{
	struct stat st;
	uint64_t told[3];

	if (fstat(fd, &st))
		return -errno;
	told[0] = (uint64_t)st.st_size;
	told[1] = st.st_ino;
	told[2] = st.st_mode;
	tell(told, sizeof(told));
	return 0;
}

/* Attempts on the content: 0 if one was let through. */
static int64_t change(int fd, int64_t how)
{
	void *at;

	switch (how) {
	case 0:
		return answer(write(fd, "x", 1));
	case 1:
		return answer(pwrite(fd, "x", 1, 0));
	case 2:
		return answer(ftruncate(fd, 0));
	case 3:
		return answer(fallocate(fd, 0, 0, 1 << 20));
	case 4:
		return answer(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE));
	case 5:
		return answer(fchmod(fd, 0666));
	case 6:
		return answer(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096));
	default:
		at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (at == MAP_FAILED)
			return -errno;
		munmap(at, 4096);
		return 0;
	}
}

static void unmap(struct mapping *map)
{
	if (map->at)
		munmap(map->at, map->length);
	map->at = NULL;
}

static int64_t map_fd(struct lane *lane, int fd, int64_t index, bool private)
{
	struct stat st;
	void *at;

	if (fstat(fd, &st))
		return -errno;
	at = mmap(NULL, (size_t)st.st_size, PROT_READ, private ? MAP_PRIVATE : MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		return -errno;
	unmap(&lane->maps[index]);
	lane->maps[index] = (struct mapping){ at, (size_t)st.st_size, private };
	return 0;
}

static int64_t map_read(const struct mapping *map, int64_t at, int64_t length)
{
	size_t from = (size_t)at % map->length, left = map->length - from;
	size_t size = (size_t)length < left ? (size_t)length : left;

	tell_sum(map->at + from, size);
	return (int64_t)size;
}

/* A private mapping may be written to, and nobody else sees it. */
static int64_t protect(const struct mapping *map)
{
	int64_t ret = answer(mprotect(map->at, map->length, PROT_READ | PROT_WRITE));

	if (!ret) {
		map->at[0] ^= 0xff;
		if (!map->private)
			return 0;
		map->at[0] ^= 0xff;
		mprotect(map->at, map->length, PROT_READ);
	}
	return ret;
}

static int64_t mapping_call(struct lane *lane, const struct call *call)
{
	const int64_t *w = call->w;
	struct mapping *map;

	if (call->op == OP_MAP)
		return map_fd(lane, fd_of(lane, w[0]), w[1], w[2]);
	map = &lane->maps[w[0]];
	if (!map->at)
		return -EBADF;
	if (call->op == OP_MAPREAD)
		return map_read(map, w[1], w[2]);
	if (call->op == OP_PROTECT)
		return protect(map);
	unmap(map);
	return 0;
}

static int64_t close_fd(struct lane *lane, int64_t slot)
{
	int64_t ret = answer(close(fd_of(lane, slot)));

	if (slot >= 0)
		lane->slots[slot] = -1;
	return ret;
}

int64_t descriptor_call(struct lane *lane, const struct call *call)
{
	const int64_t *w = call->w;
	int fd = call->words ? fd_of(lane, w[0]) : -1;

	switch (call->op) {
	case OP_PIDFD:
		return filled(lane, w[0], answer(syscall(SYS_pidfd_open, lane->shared->pids[w[1]], 0)));
	case OP_OTHER:
		return other(lane, w[0], w[1]);
	case OP_PROC:
		return text_of("/proc/agent_stats");
	case OP_FDINFO:
		return fdinfo(fd);
	case OP_CLOSE:
		return close_fd(lane, w[0]);
	case OP_DUP:
		return filled(lane, w[1], answer(fcntl(fd, F_DUPFD_CLOEXEC, 0)));
	case OP_SEND:
		return send_fd(lane, fd);
	case OP_TAKE:
		return take_fd(lane, w[0]);
	case OP_REOPEN:
		return reopen(lane, fd, w[1], w[2]);
	case OP_READ:
		return do_read(fd, w[1], 0, false);
	case OP_PREAD:
		return do_read(fd, w[2], w[1], true);
	case OP_SEEK:
		return answer(lseek(fd, w[1], (int)w[2]));
	case OP_STAT:
		return status_of(fd);
	case OP_SEALS:
		return answer(fcntl(fd, F_GET_SEALS));
	case OP_CHANGE:
		return change(fd, w[1]);
	default:
		return mapping_call(lane, call);
	}
}
