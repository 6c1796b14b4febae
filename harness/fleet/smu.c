// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel's way: every text is an SMU, held by its fd and a read-only mapping. Numbers and structures come from the
 * installed headers of the kernel under test; built against other headers, the program has the private mode alone.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fleet.h"

#if __has_include(<linux/agent_mem.h>)
#include <asm/unistd.h>
#include <linux/agent_mem.h>

/* Allocates from a copy that is gone afterwards: the fd is all that the process has of the text. */
static const char *allocate(struct held *held, const struct pack *pack, const struct pack_ref *ref, bool damage)
{
	const struct pack_blob *blob = &pack->blobs[ref->blob];
	struct agent_smu_attr attr = { .size = sizeof(attr), .base_fd = -1, .node = -1 };
	uint8_t *copy = mmap(NULL, blob->length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int error;

	if (copy == MAP_FAILED)
		return "mmap of a scratch buffer";
	pack_read(pack, copy, blob->length, blob->offset);
	if (damage)
		copy[blob->length / 2] ^= 1;
	held->fd = (int)syscall(__NR_agent_alloc_smu, ref->type, copy, (size_t)blob->length, &attr);
	error = errno;
	munmap(copy, blob->length);
	errno = error;
	if (held->fd < 0)
		return "agent_alloc_smu";
	held->dedup = attr.result & AGENT_SMU_R_DEDUP;
	if (!damage && memcmp(attr.digest, blob->sha256, SHA256_BYTES)) {
		errno = EILSEQ;
		return "agent_alloc_smu gave a digest that is not the text's SHA-256";
	}
	return NULL;
}

static const char *smu_hold(struct held *held, const struct pack *pack, const struct pack_ref *ref, bool damage)
{
	uint64_t length = pack->blobs[ref->blob].length;
	const struct agent_mark cold = { .valid = AGENT_MARK_TEMPERATURE, .temperature = AGENT_TEMP_COLD };
	const char *failed = allocate(held, pack, ref, damage);
	struct stat st;

	if (failed)
		return failed;
	if (fstat(held->fd, &st))
		return "fstat of an SMU";
	if ((uint64_t)st.st_size != length) {
		errno = EILSEQ;
		return "fstat of an SMU gave another size than the text's";
	}
	held->inode = st.st_ino;
	held->bytes = mmap(NULL, length, PROT_READ, MAP_SHARED, held->fd, 0);
	if (held->bytes == MAP_FAILED)
		return "mmap of an SMU";
	/* At rest, as what an agent holds is most of the time; verifying brings it back. */
	if (syscall(__NR_agent_mark_hot, held->fd, &cold, sizeof(cold), 0))
		return "agent_mark_hot with COLD";
	return NULL;
}

static const char *smu_drop(struct held *held, uint64_t length)
{
	if (munmap(held->bytes, length))
		return "munmap of an SMU";
	return close(held->fd) ? "close of an SMU" : NULL;
}

/* In a process of its own: who is forked by one that has an agent belongs to that, and the fleet would be one agent. */
void smu_prepare(void)
{
	struct agent_smu_attr attr = { .size = sizeof(attr), .base_fd = -1, .node = -1 };
	pid_t pid = fork();

	if (!pid) {
		syscall(__NR_agent_alloc_smu, 0, "", (size_t)1, &attr);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, NULL, 0) != pid)
		fail(EXIT_BROKEN, "fork", errno);
}

bool smu_available(void)
{
	return syscall(__NR_agent_get_stats, ~0U, -1, NULL, 0) < 0 && errno != ENOSYS;
}

void smu_print_stats(void)
{
	struct agent_stats s = { .size = sizeof(s) };

	if (syscall(__NR_agent_get_stats, AGENT_STATS_DOMAIN, -1, &s, sizeof(s)) < 0)
		fail(EXIT_BROKEN, "agent_get_stats of the domain", errno);
#define FIELD(name) printf(",\"" #name "\":%" PRIu64, (uint64_t)s.name)
	printf("{\"event\":\"stats\"");
	FIELD(smus);
	FIELD(logical_bytes);
	FIELD(unique_bytes);
	FIELD(resident_top);
	FIELD(resident_lower);
	FIELD(stored_bytes);
	FIELD(dedup_hits);
	FIELD(dedup_bytes);
	printf("}\n");
#undef FIELD
}
#else
static const char *smu_hold(struct held *held, const struct pack *pack, const struct pack_ref *ref, bool damage)
{
	(void)held, (void)pack, (void)ref, (void)damage;
	errno = ENOSYS;
	return "agent_alloc_smu";
}

static const char *smu_drop(struct held *held, uint64_t length)
{
	(void)held, (void)length;
	return NULL;
}

void smu_prepare(void)
{
}

bool smu_available(void)
{
	return false;
}

void smu_print_stats(void)
{
}
#endif

const struct holder smu_holder = { "smu", smu_hold, smu_drop };
