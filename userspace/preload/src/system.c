/* SPDX-License-Identifier: MIT */
#include "system.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* -1 and the error in errno become a negative error, and errno is put back. */
static long call(long result, int saved)
{
	if (result == -1) {
		result = -errno;
		errno = saved;
	}
	return result;
}
#define CALL(...)	({ int saved_ = errno; call(syscall(__VA_ARGS__), saved_); })

size_t system_page(void)
{
	static _Atomic size_t page; /* of sysconf(), which is not there yet when the first memory is asked for */

	if (!page)
		page = getauxval(AT_PAGESZ);
	return page;
}

/*
 * The kernel gives addresses that one thread has freed to another one. That there is an order, ThreadSanitizer does not
 * see, as the calls are made past libc.
 */
static void addresses_pass(void)
{
#ifdef __SANITIZE_THREAD__
	static atomic_uint passed;

	atomic_fetch_add(&passed, 1);
#endif
}

static void *map(void *at, size_t size, int protection, int flags)
{
	long got = CALL(SYS_mmap, at, size, protection, flags | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	addresses_pass();
	return got < 0 && got > -4096 ? NULL : (void *)got;
}

void *system_map(void *at, size_t size, int protection, int flags)
{
	return map(at, size, protection, flags | (at ? MAP_FIXED : 0));
}

/* A kernel before 4.17 takes the address as a wish. */
bool system_map_free(void *at, size_t size, int protection, int flags)
{
	void *got = map(at, size, protection, flags | MAP_FIXED_NOREPLACE);

	if (got && got != at)
		system_unmap(got, size);
	return got == at;
}

bool system_unmap(void *at, size_t size)
{
	addresses_pass();
	return CALL(SYS_munmap, at, size) == 0;
}

bool system_advise(void *at, size_t size, int advice)
{
	return CALL(SYS_madvise, at, size, advice) == 0;
}

bool system_protect(void *at, size_t size, int protection)
{
	return CALL(SYS_mprotect, at, size, protection) == 0;
}

bool system_resize(void *at, size_t old, size_t size)
{
	addresses_pass();
	return CALL(SYS_mremap, at, old, size, 0, NULL) == (long)at;
}

bool system_move(void *from, size_t old, size_t size, void *to)
{
	addresses_pass();
	return CALL(SYS_mremap, from, old, size, MREMAP_MAYMOVE | MREMAP_FIXED, to) == (long)to;
}

/* Who waits for a word to change does so only if it is the one expected; any other answer than these says it is not. */
bool system_reads(const uint32_t *at, uint32_t word)
{
	const struct timespec none = {0};
	long waited = CALL(SYS_futex, at, FUTEX_WAIT_PRIVATE, word, &none, NULL, 0);

	return waited == 0 || waited == -ETIMEDOUT || waited == -EINTR;
}

static bool is_limited(int resource)
{
	struct rlimit limit;

	return CALL(SYS_prlimit64, 0, resource, NULL, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
}

bool system_limited(void)
{
	return is_limited(RLIMIT_AS) || is_limited(RLIMIT_DATA);
}
