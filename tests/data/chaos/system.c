// SPDX-License-Identifier: GPL-2.0-only
/* The calls, files of the system, a device to swap to, control groups, and settings that are put back. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <asm/unistd.h>
#include <linux/magic.h>

#include "chaos.h"

#define ZRAM "/sys/block/zram0/"
#define DEVICE "/dev/zram0"

/* -- calls -- */

static long answer(long ret)
{
	return ret < 0 ? -errno : ret;
}

long smu_alloc(unsigned int type, const void *data, size_t size, struct agent_smu_attr *attr)
{
	return answer(syscall(__NR_agent_alloc_smu, type, data, size, attr));
}

long smu_mark(int fd, const struct agent_mark *mark)
{
	return answer(syscall(__NR_agent_mark_hot, fd, mark, sizeof(*mark), 0));
}

long smu_stats(unsigned int scope, int fd, void *stats, size_t size)
{
	return answer(syscall(__NR_agent_get_stats, scope, fd, stats, size));
}

long open_pid(pid_t pid)
{
	return answer(syscall(__NR_pidfd_open, pid, 0));
}

/* -- files -- */

/* 0, or a negative errno. */
int write_text(const char *path, const char *format, ...)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), error = 0;
	va_list args;

	if (fd < 0)
		return -errno;
	va_start(args, format);
	if (vdprintf(fd, format, args) < 0)
		error = -errno;
	va_end(args);
	close(fd);
	return error;
}

bool read_text(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t done = 0;
	ssize_t got = -1;

	text[0] = '\0';
	if (fd < 0)
		return false;
	while (done < size - 1 && (got = read(fd, text + done, size - 1 - done)) > 0)
		done += (size_t)got;
	close(fd);
	text[done] = '\0';
	return got >= 0;
}

unsigned long long number_of(const char *path)
{
	char text[64];

	if (!read_text(path, text, sizeof(text)))
		broken("%s: %s", path, strerror(errno));
	return strtoull(text, NULL, 10);
}

unsigned long long field_of(const char *path, const char *name)
{
	char text[8192], *line;
	size_t length = strlen(name);

	if (!read_text(path, text, sizeof(text)))
		broken("%s: %s", path, strerror(errno));
	for (line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!strncmp(line, name, length) && (line[length] == ' ' || line[length] == ':'))
			return strtoull(line + length + 1, NULL, 10);
	}
	broken("%s has no %s", path, name);
}

/* -- swap -- */

/* As mkswap(8) does it: version, last page, and a signature at the page's end. */
static int swap_format(unsigned long bytes)
{
	static union {
		uint32_t words[PAGE / 4];
		char bytes[PAGE];
	} header;
	int fd = open(DEVICE, O_WRONLY | O_CLOEXEC);
	ssize_t done;

	if (fd < 0)
		return -errno;
	memset(&header, 0, sizeof(header));
	header.words[256] = 1;
	header.words[257] = (uint32_t)(bytes / PAGE) - 1;
	memcpy(header.bytes + PAGE - 10, "SWAPSPACE2", 10);
	done = write(fd, &header, sizeof(header));
	close(fd);
	return done == sizeof(header) ? 0 : -EIO;
}

int swap_start(unsigned long bytes)
{
	int error;

	write_text(ZRAM "reset", "1");
	error = write_text(ZRAM "disksize", "%lu", bytes);
	if (!error)
		error = swap_format(bytes);
	if (error)
		return error;
	return swapon(DEVICE, 0) ? -errno : 0;
}

int swap_stop(void)
{
	if (swapoff(DEVICE))
		return -errno;
	return write_text(ZRAM "reset", "1");
}

/* -- settings -- */

static struct setting {
	const char *path;
	const char *values[6];
	char saved[64]; /* empty: this machine has none */
} settings[] = {
	{ SYSFS "warm_after_ms", { "1", "10", "50", "500", "300000" }, "" },
	{ SYSFS "cold_after_ms", { "1", "20", "200", "2000", "86400000" }, "" },
	{ SYSFS "auto_base", { "0", "1" }, "" },
	{ SYSFS "chunk_size", { "65536", "131072", "262144" }, "" },
	{ "/sys/kernel/mm/lru_gen/enabled", { "0", "7" }, "" },
	{ "/sys/kernel/mm/numa/demotion_enabled", { "0", "1" }, "" },
	{ "/sys/kernel/mm/transparent_hugepage/shmem_enabled", { "never", "always", "within_size", "force", "deny" }, "" },
	{ "/proc/sys/vm/swappiness", { "0", "60", "200" }, "" },
};

#define NR_SETTINGS (sizeof(settings) / sizeof(*settings))

/* Of several words the one in brackets. */
static void chosen(char *text)
{
	char *from = strchr(text, '['), *to = strchr(text, ']');

	text[strcspn(text, "\n")] = '\0';
	if (from && to) {
		*to = '\0';
		memmove(text, from + 1, (size_t)(to - from));
	}
}

void settings_keep(void)
{
	for (size_t i = 0; i < NR_SETTINGS; i++) {
		read_text(settings[i].path, settings[i].saved, sizeof(settings[i].saved));
		chosen(settings[i].saved);
	}
}

void settings_restore(void)
{
	for (size_t i = 0; i < NR_SETTINGS; i++)
		if (*settings[i].saved && write_text(settings[i].path, "%s", settings[i].saved))
			broken("%s cannot be set back to %s", settings[i].path, settings[i].saved);
}

void setting_change(struct chance *chance)
{
	struct setting *setting = &settings[below(chance, NR_SETTINGS)];
	uint32_t nr = 0;
	int error;

	while (nr < 6 && setting->values[nr])
		nr++;
	if (!*setting->saved)
		return;
	error = write_text(setting->path, "%s", setting->values[below(chance, nr)]);
	if (error)
		broken("%s: %s", setting->path, strerror(-error));
	count(strstr(setting->path, "after_ms") ? AGED : SETTING);
}

/* -- control groups -- */

static bool groups_ready(void)
{
	struct statfs fs;

	if (statfs(CGROUPS, &fs))
		return false;
	if (fs.f_type != CGROUP2_SUPER_MAGIC && mount("none", CGROUPS, "cgroup2", 0, NULL))
		return false;
	if (write_text(CGROUPS "/cgroup.subtree_control", "+memory"))
		return false;
	if (mkdir(GROUPS, 0755) && errno != EEXIST)
		return false;
	return !write_text(GROUPS "/cgroup.subtree_control", "+memory");
}

bool group_make(char *path, const char *name)
{
	if (access(GROUPS, F_OK) && !groups_ready())
		broken("no control groups: %s", strerror(errno));
	snprintf(path, GROUP_MAX, GROUPS "/%s", name);
	return !mkdir(path, 0755);
}

void group_enter(const char *path)
{
	char file[GROUP_MAX + 16];

	snprintf(file, sizeof(file), "%s/cgroup.procs", path);
	if (write_text(file, "0"))
		broken("%s: %s", file, strerror(errno));
}
