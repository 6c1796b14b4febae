// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reading what is compressed: an object's chunk by a fault, the same text decoded by libzstd, and page by page from zram
 * that is swapped to. And an agent's start: found and mapped, against a copy.
 */
#define _GNU_SOURCE
#include <asm/unistd.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/agent_mem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/swap.h>
#include <unistd.h>
#include <zstd.h>

#include "bench.h"

#define PAGE 4096
#define LEVEL 3 /* the kernel's */
#define ZRAM "/sys/block/zram0/"
#define DEVICE "/dev/zram0"
#define SWAP_MB 64

static void *text(size_t size)
{
	int fd = open("/bench/text", O_RDONLY | O_CLOEXEC);
	void *data = shared_memory(size);

	if (fd < 0 || read(fd, data, size) != (ssize_t)size)
		fail("/bench/text");
	close(fd);
	return data;
}

static uint64_t touch(const volatile uint8_t *bytes, size_t size)
{
	uint64_t sum = 0;

	for (size_t at = 0; at < size; at += PAGE)
		sum += bytes[at];
	return sum;
}

static void read_object(const void *data, size_t size, uint64_t repeats)
{
	struct agent_mark cold = { .valid = AGENT_MARK_TEMPERATURE, .temperature = AGENT_TEMP_COLD };
	struct series *series = series_new("warm.object", repeats);
	int fd = smu_must_alloc(data, size, NULL);

	for (uint64_t i = 0; i <= repeats; i++) {
		const void *map;
		uint64_t began;

		if (call(__NR_agent_mark_hot, fd, (long)&cold, sizeof(cold), 0))
			fail("COLD");
		map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
		if (map == MAP_FAILED)
			fail("mmap");
		began = now();
		began = now();
		touch(map, size);
		if (i) /* the first one makes what all of them need */
			series_add(series, began, now());
		if (memcmp(map, data, size))
			fail_with("the object differs", 0);
		munmap((void *)map, size);
	}
	must_close(fd);
	series_print(series);
}

static void decode(const void *data, size_t size, uint64_t repeats)
{
	struct series *series = series_new("warm.decode", repeats);
	size_t bound = ZSTD_compressBound(size), packed;
	void *from = shared_memory(bound), *to = shared_memory(size);
	ZSTD_DCtx *context = ZSTD_createDCtx();

	packed = ZSTD_compress(from, bound, data, size, LEVEL);
	for (uint64_t i = 0; i <= repeats; i++) {
		uint64_t began = now();

		if (ZSTD_decompressDCtx(context, to, size, from, packed) != size)
			fail_with("libzstd", 0);
		if (i)
			series_add(series, began, now());
	}
	ZSTD_freeDCtx(context);
	series_print(series);
}

/* As mkswap(8) does it. */
static void swap_start(void)
{
	uint32_t header[PAGE / sizeof(uint32_t)] = { [256] = 1, [257] = (SWAP_MB << 20) / PAGE - 1 };
	int fd;

	memcpy((char *)header + PAGE - 10, "SWAPSPACE2", 10);
	write_setting(ZRAM "disksize", (uint64_t)SWAP_MB << 20);
	fd = open(DEVICE, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, header, PAGE) != PAGE || close(fd) || swapon(DEVICE, 0))
		fail("swap on " DEVICE);
}

static bool swapped_out(void *private, size_t size)
{
	unsigned char there[size / PAGE];

	if (mincore(private, size, there))
		fail("mincore");
	for (size_t i = 0; i < size / PAGE; i++)
		if (there[i] & 1)
			return false;
	return true;
}

static void read_swap(const void *data, size_t size, uint64_t repeats)
{
	struct series *series = series_new("warm.swap", repeats);
	void *private = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (private == MAP_FAILED)
		fail("mmap");
	swap_start();
	for (uint64_t i = 0; i <= repeats; i++) {
		uint64_t began;

		memcpy(private, data, size);
		for (int tries = 0; !swapped_out(private, size); tries++)
			if (tries == 100 || madvise(private, size, MADV_PAGEOUT))
				fail("MADV_PAGEOUT");
		began = now();
		touch(private, size);
		if (i)
			series_add(series, began, now());
		if (memcmp(private, data, size))
			fail_with("swap differs", 0);
	}
	munmap(private, size);
	if (swapoff(DEVICE))
		fail("swapoff");
	write_setting(ZRAM "reset", 1);
	series_print(series);
}

void bench_warm(const uint64_t *arguments)
{
	const void *data = text(arguments[0]);

	read_object(data, arguments[0], arguments[1]);
	decode(data, arguments[0], arguments[1]);
	read_swap(data, arguments[0], arguments[1]);
}

void bench_spawn(const uint64_t *arguments)
{
	struct series *attach = series_new("spawn.attach", arguments[1]), *copy = series_new("spawn.copy", arguments[1]);
	size_t size = arguments[0];
	void *data = shared_memory(size);
	struct digest digest;
	int fd;

	fill(data, size, 5);
	fd = smu_must_alloc(data, size, &digest);
	for (uint64_t i = 0; i < arguments[1]; i++) {
		uint64_t began = now();
		int found = smu_attach(&digest, NULL);
		void *map = mmap(NULL, size, PROT_READ, MAP_SHARED, found, 0);

		series_add(attach, began, now());
		if (map == MAP_FAILED)
			fail("mmap");
		munmap(map, size);
		must_close(found);
		began = now();
		map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (map == MAP_FAILED)
			fail("mmap");
		memcpy(map, data, size);
		series_add(copy, began, now());
		munmap(map, size);
	}
	must_close(fd);
	series_print(attach);
	series_print(copy);
}
