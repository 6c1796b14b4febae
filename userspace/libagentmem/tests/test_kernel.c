/* SPDX-License-Identifier: MIT */
/* What the kernel's backend has alone: descriptors that can be read as they are, and a sandbox that forbids the calls. */
#include "suite.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __NR_agent_alloc_smu

KERNEL_TEST(a_descriptor_is_a_sealed_file_of_the_content)
{
	const size_t size = 50000;
	char *text = unique(size), *read_back = malloc(size);
	int base = put(text, size / 2), seals = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL;
	int fd = agentmem_append(base, AGENTMEM_CONVERSATION, text + size / 2, size - size / 2, NULL, NULL);
	struct stat st;
	char *mapped;

	CHECK(fd >= 0 && fstat(fd, &st) == 0 && st.st_size == (off_t)size);
	CHECK(read(fd, read_back, size) == (ssize_t)size && !memcmp(read_back, text, size));
	mapped = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
	CHECK(mapped != MAP_FAILED && !memcmp(mapped, text, size));
	CHECK((fcntl(fd, F_GET_SEALS) & seals) == seals);
	free(text);
	free(read_back);
}

#define FORBID(number) \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, 1), \
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM)

KERNEL_TEST(where_the_calls_are_forbidden_the_store_is_used)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		FORBID(__NR_agent_alloc_smu), FORBID(__NR_agent_share_content),
		FORBID(__NR_agent_mark_hot), FORBID(__NR_agent_get_stats),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(filter) / sizeof(*filter), filter};
	pid_t pid = fork();
	int status;

	if (!pid) {
		unsetenv("AGENTMEM_BACKEND");
		CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
		CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
		execl("/proc/self/exe", "conformance", "--backend", NULL);
		_exit(127);
	}
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 'f');
}

#endif
