/* SPDX-License-Identifier: MIT */
/* A store on a file system without O_TMPFILE, such as NFS, FUSE or overlayfs of old kernels. */
#include "suite.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE	(30u * 1024 + 3)
#define FLAG	(O_TMPFILE & ~O_DIRECTORY)

/* Makes every openat(2) with O_TMPFILE fail as on such a file system. */
static void without_tmpfile(unsigned int why)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, FLAG, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | why),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};

	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
	FAILS(open(getenv("XDG_RUNTIME_DIR"), O_TMPFILE | O_RDWR, 0600), (int)why);
}

static char *path_of(const char *name)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s/agentmem/%s", getenv("XDG_RUNTIME_DIR"), name);
	return path;
}

/* Files of the store whose names begin with one of these characters. */
static int files(const char *kinds)
{
	DIR *dir = opendir(path_of(""));
	struct dirent *entry;
	int found = 0;

	CHECK(dir);
	while ((entry = readdir(dir)))
		found += entry->d_name[1] == '-' && strchr(kinds, entry->d_name[0]);
	closedir(dir);
	return found;
}

/* Each step that makes a file: content, record, agent, compressed and decompressed pages. */
static void all_of_it(unsigned int why)
{
	char *text = unique(2 * SIZE), name[2 + AGENTMEM_HEX_SIZE] = "r-";
	struct agentmem_info info;
	struct agentmem_view view;
	struct stat st;
	int fd, more;

	without_tmpfile(why);
	fd = agentmem_put(AGENTMEM_CONVERSATION, text, SIZE, NULL, &info);
	CHECK(fd >= 0 && files("t") == 0 && holds(fd, text, SIZE));
	agentmem_hex(info.digest, name + 2);
	CHECK(stat(path_of(name), &st) == 0 && (st.st_mode & 0777) == 0400 && st.st_nlink == 1);
	CHECK(put(text, SIZE) >= 0 && files("t") == 0); /* a duplicate: the copy is removed */
	more = agentmem_append(fd, AGENTMEM_CONVERSATION, text + SIZE, SIZE, NULL, NULL);
	CHECK(more >= 0 && set_temperature(fd, AGENTMEM_COLD) == 0 && set_temperature(more, AGENTMEM_COLD) == 0);
	CHECK(files("r") == 0 && files("z") == 2 && files("t") == 0);
	CHECK(agentmem_map(more, &view) == 0 && !memcmp(view.data, text, 2 * SIZE) && files("t") == 0);
	CHECK(set_temperature(more, AGENTMEM_HOT) == 0 && files("zt") == 0);
	CHECK(agentmem_agent("named", 0, 0) == 0 && agentmem_unmap(&view) == 0);
	for (int i = 3; i < 100; i++)
		close(i);
	CHECK(is_gone(info.digest) && put(text, 1) >= 0 && files("t") == 0);
	free(text);
}

FALLBACK_TEST(a_store_does_without_unnamed_files)
{
	all_of_it(EOPNOTSUPP);
}

FALLBACK_TEST(a_store_does_without_unnamed_files_on_old_kernels)
{
	all_of_it(EISDIR);
}

FALLBACK_TEST(what_is_refused_leaves_no_named_file)
{
	char *text = unique(SIZE);

	without_tmpfile(EOPNOTSUPP);
	FAILS(agentmem_put(AGENTMEM_CONVERSATION, (void *)1, SIZE, NULL, NULL), EFAULT);
	CHECK(files("torz") == 0);
	CHECK(holds(put(text, SIZE), text, SIZE));
	free(text);
}

static void put_for_ever(void)
{
	for (;;) {
		char *text = unique(SIZE);
		int fd = put(text, SIZE);

		CHECK(set_temperature(fd, AGENTMEM_WARM) == 0 && holds(fd, text, SIZE) && agentmem_agent("for ever", 0, 0) == 0);
		CHECK((fd % 2 ? close(fd) : agentmem_close(fd)) == 0);
		free(text);
	}
}

FALLBACK_TEST(named_files_of_killed_processes_are_removed)
{
	int left = 0;

	without_tmpfile(EOPNOTSUPP);
	for (int round = 0; round < 30; round++) {
		killed_at_work(put_for_ever, round);
		left += files("t");
	}
	CHECK(left); /* else nothing was tested */
	for (int i = 0; i < 1000 && files("tz"); i++) {
		char *text = unique(64);

		CHECK(close(put(text, 64)) == 0);
		free(text);
	}
	CHECK(files("tz") == 0 && files("a") == 1 && files("o") < 200 && files("r") == files("o"));
}

/* What a crash between the two steps of am_store_link() leaves. */
FALLBACK_TEST(a_second_name_keeps_no_object)
{
	char *text = unique(SIZE), record[512], name[2 + AGENTMEM_HEX_SIZE] = "o-";
	struct agentmem_info info;
	int fd = agentmem_put(AGENTMEM_CONVERSATION, text, SIZE, NULL, &info);

	agentmem_hex(info.digest, name + 2);
	strcpy(record, path_of(name));
	CHECK(fd >= 0 && link(record, path_of("t-0123456789abcdef")) == 0 && close(fd) == 0);
	CHECK(is_gone(info.digest) && files("orzt") == 0);
	free(text);
}

FALLBACK_TEST(a_named_file_in_the_making_is_not_removed)
{
	char *text = unique(64), path[512];
	int fd;

	CHECK(close(put("makes the store", 15)) == 0);
	strcpy(path, path_of("t-0123456789abcdef"));
	fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0400);
	CHECK(fd >= 0 && flock(fd, LOCK_SH) == 0);
	for (int i = 0; i < 200; i++)
		CHECK(close(put(text, (size_t)i % 64 + 1)) == 0);
	CHECK(access(path, F_OK) == 0 && close(fd) == 0);
	for (int i = 0; i < 200; i++)
		CHECK(close(put(text, (size_t)i % 64 + 1)) == 0);
	CHECK(access(path, F_OK) < 0);
	free(text);
}
