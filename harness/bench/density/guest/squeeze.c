// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the peers do against memory, until it has no more effect: page merging scans, swap is filled by proactive reclaim.
 * Nobody is given up early: a peer that is stopped half-way looks worse than it is.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/swap.h>
#include <time.h>
#include <unistd.h>

#include "density.h"

#define KSM "/sys/kernel/mm/ksm/"
#define ZRAM "/sys/block/zram0/"
#define ZRAM_DEVICE "/dev/zram0"
#define LEAST_SCANS 3	   /* one for checksums, one to find pairs, one that finds nothing new */
#define SETTLED 200	   /* a full scan that merges less than one page in so many has converged */
#define STEP (64L << 20)   /* reclaimed at a time */
#define WITHOUT_EFFECT 3   /* steps in a row */
#define EFFECT (256L << 10) /* bytes that a step must free to be one */

static const char *group;

bool put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	int error = errno;

	if (fd >= 0)
		close(fd);
	errno = error;
	return done;
}

static void must_put(const char *path, const char *text)
{
	if (!put(path, text))
		fail(EXIT_BROKEN, path, errno);
}

/* At full speed until it has converged, else at the kernel's own pace. */
static void hurry_ksm(bool hurry)
{
	must_put(KSM "sleep_millisecs", hurry ? "1" : "20");
	must_put(KSM "pages_to_scan", hurry ? "10000" : "100");
}

static void prepare_ksm(void)
{
	hurry_ksm(false);
	must_put(KSM "run", "1");
}

/* A swap header, as mkswap(8) writes it. */
static void make_swap(uint64_t bytes)
{
	static const char magic[] = "SWAPSPACE2";
	struct {
		char boot[1024];
		uint32_t version, last_page, bad_pages;
		char rest[4096 - 1024 - 12 - 10];
		char magic[10];
	} header = { .version = 1, .last_page = (uint32_t)(bytes / 4096 - 1) };
	int fd = open(ZRAM_DEVICE, O_WRONLY | O_CLOEXEC);

	_Static_assert(sizeof(header) == 4096, "a swap header is one page");
	memcpy(header.magic, magic, sizeof(header.magic));
	if (fd < 0 || write(fd, &header, sizeof(header)) != (ssize_t)sizeof(header) || fsync(fd))
		fail(EXIT_BROKEN, "writing a swap header", errno);
	close(fd);
}

static void prepare_zram(void)
{
	uint64_t bytes = (uint64_t)total_bytes() * 4;
	char size[32];

	put(ZRAM "reset", "1");
	must_put(ZRAM "comp_algorithm", "zstd");
	snprintf(size, sizeof(size), "%" PRIu64, bytes);
	must_put(ZRAM "disksize", size);
	make_swap(bytes);
	if (swapon(ZRAM_DEVICE, 0))
		fail(EXIT_BROKEN, "swapon of zram", errno);
	must_put("/proc/sys/vm/page-cluster", "0");
}

void squeeze_prepare(const struct contestant *contestant, const char *cgroup)
{
	group = cgroup;
	if (contestant->merge)
		prepare_ksm();
	if (contestant->swap)
		prepare_zram();
}

static bool pause_until(uint64_t deadline, const char *phase, void (*tick)(const char *phase))
{
	const struct timespec pause = { .tv_nsec = 50 * 1000 * 1000 };

	nanosleep(&pause, NULL);
	tick(phase);
	return now_ms() < deadline;
}

static bool merge(uint64_t deadline, uint32_t scans, void (*tick)(const char *phase))
{
	long long first = number_in(KSM "full_scans", NULL), last = first, merged = number_in(KSM "pages_sharing", NULL);

	while (pause_until(deadline, "merge", tick)) {
		long long scan = number_in(KSM "full_scans", NULL), now = number_in(KSM "pages_sharing", NULL);

		if (scan == last)
			continue;
		if (scan - first > LEAST_SCANS && now - merged <= now / SETTLED)
			return true;
		if (scan - first >= scans)
			return false;
		last = scan;
		merged = now;
	}
	return false;
}

/* Pages of the fleet go to swap. */
static void reclaim(void (*tick)(const char *phase))
{
	char path[256], current[256], plain[32], eager[48];
	int idle = 0;

	snprintf(path, sizeof(path), "%s/memory.reclaim", group);
	snprintf(current, sizeof(current), "%s/memory.current", group);
	snprintf(plain, sizeof(plain), "%ld", STEP);
	snprintf(eager, sizeof(eager), "%ld swappiness=max", STEP); /* anonymous pages alone */
	while (idle < WITHOUT_EFFECT) {
		long long before = number_in(current, NULL);
		bool done = put(path, eager) || put(path, plain);

		if (!done && errno != EAGAIN && errno != EINVAL)
			fail(EXIT_BROKEN, "memory.reclaim", errno);
		idle = before - number_in(current, NULL) < EFFECT ? idle + 1 : 0;
		tick("swap");
	}
}

bool squeeze(const struct contestant *contestant, uint64_t deadline, uint32_t scans, struct effort *effort,
	     void (*tick)(const char *phase))
{
	uint64_t cpu = cpu_ms();
	bool converged = true;

	if (contestant->merge) {
		hurry_ksm(true);
		converged = merge(deadline, scans, tick);
		hurry_ksm(false);
		effort->last_merge_ms = cpu_ms() - cpu;
		effort->merge_ms += effort->last_merge_ms;
		cpu += effort->last_merge_ms;
	}
	if (contestant->swap)
		reclaim(tick);
	effort->reclaim_ms += cpu_ms() - cpu;
	return converged;
}

void squeeze_end(const struct contestant *contestant)
{
	if (contestant->merge)
		put(KSM "run", "2"); /* nothing is left merged for the next one */
	if (contestant->merge)
		put(KSM "run", "0");
	if (contestant->swap && (swapoff(ZRAM_DEVICE) || !put(ZRAM "reset", "1")))
		fail(EXIT_BROKEN, "swapoff of zram", errno);
}

void squeeze_print(const struct contestant *contestant)
{
	long long original = -1, compressed = -1, used = -1;
	FILE *stream;

	if (contestant->merge)
		printf("{\"event\":\"ksm\",\"full_scans\":%lld,\"pages_shared\":%lld,\"pages_sharing\":%lld}\n",
		       number_in(KSM "full_scans", NULL), number_in(KSM "pages_shared", NULL),
		       number_in(KSM "pages_sharing", NULL));
	stream = contestant->swap ? fopen(ZRAM "mm_stat", "re") : NULL;
	if (!stream)
		return;
	if (fscanf(stream, "%lld %lld %lld", &original, &compressed, &used) != 3)
		used = -1;
	fclose(stream);
	printf("{\"event\":\"zram\",\"original\":%lld,\"compressed\":%lld,\"used\":%lld}\n", original, compressed, used);
}
