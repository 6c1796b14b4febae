/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a call costs, measured inside the guest. One program, one measurement a run:
 *
 *	bench clock COUNT			the clock itself, and an empty system call
 *	bench attach OBJECTS SAMPLES		ATTACH while the domain has that many objects
 *	bench alloc BYTES REPEATS		first and second allocation; copy and SHA-256 of the same bytes
 *	bench append BYTES REPEATS		a turn put on top of a conversation of that size, and the turn alone
 *	bench read BYTES REPEATS		reading a mapping; a memfd's beside it
 *	bench fault BYTES REPEATS		touching a new mapping; a memfd's beside it
 *	bench warm BYTES REPEATS		reading what is compressed; libzstd and zram beside it
 *	bench spawn BYTES REPEATS		found and mapped; a copy beside it
 *	bench parallel OPERATION MASK MILLISECONDS	work done on one processor, or on two
 *	bench slab COUNT			kernel memory of objects and holders; a memfd's beside it
 *	bench isolation OBJECTS SAMPLES SEED	what another domain can time
 *
 * It prints one JSON object per line and exits with 0, 2 (usage) or 3 (a call failed). Values are ticks of the time stamp
 * counter, which in a guest that counts instructions are instructions. harness/bench/program.py reads the lines.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { EXIT_GOOD, EXIT_USAGE = 2, EXIT_BROKEN };

#define DIGEST 32
#define WARM_UP 64 /* calls that are not counted: the first ones fill caches, make the agent and so on */
#define UID_A 1001
#define UID_B 1002

struct digest {
	uint8_t bytes[DIGEST];
};

struct series {
	const char *name;
	uint32_t count, size;
	uint64_t *values;
};

static inline uint64_t now(void)
{
	uint32_t low, high;

	__asm__ volatile("lfence; rdtsc" : "=a"(low), "=d"(high) : : "memory");
	return (uint64_t)high << 32 | low;
}

/* Nothing of a library between the clock and the kernel. Answers what the kernel does: a value, or an error as -errno. */
static inline long call(long number, long a, long b, long c, long d)
{
	register long fourth __asm__("r10") = d;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(fourth)
			 : "rcx", "r11", "memory");
	return result;
}

/* tools.c */
_Noreturn void fail(const char *what);
_Noreturn void fail_with(const char *what, int error);
void *shared_memory(size_t size);
void fill(void *buffer, size_t size, uint64_t seed);
uint64_t random_next(uint64_t *state);
void allow_files(uint64_t count);
void write_setting(const char *path, uint64_t value);
void become(uid_t uid);
pid_t helper(void (*run)(void *), void *argument);
void await(pid_t pid);
void gate_open(int *gate);
void gate_wait(int *gate);
void settle(void);

struct series *series_new(const char *name, uint64_t size);
void series_add(struct series *series, uint64_t began, uint64_t ended);
void series_print(const struct series *series);

/* These answer an fd or -errno, and add what the call took to a series, if one is given. */
int smu_alloc(const void *data, size_t size, struct digest *digest, bool *dedup, struct series *series);
int smu_append(int base, const void *data, size_t size, struct series *series);
int smu_attach(const struct digest *digest, struct series *series);
void smu_leave(const char *name);
int smu_must_alloc(const void *data, size_t size, struct digest *digest);
void must_close(int fd);

/* sha256.c */
void sha256(const uint8_t *data, size_t length, struct digest *digest);

/* the measurements: arguments as on the command line */
void bench_clock(const uint64_t *arguments);
void bench_attach(const uint64_t *arguments);
void bench_alloc(const uint64_t *arguments);
void bench_append(const uint64_t *arguments);
void bench_read(const uint64_t *arguments);
void bench_fault(const uint64_t *arguments);
void bench_warm(const uint64_t *arguments);
void bench_spawn(const uint64_t *arguments);
void bench_parallel(const uint64_t *arguments);
void bench_slab(const uint64_t *arguments);
void bench_isolation(const uint64_t *arguments);

#endif
