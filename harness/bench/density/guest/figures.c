// SPDX-License-Identifier: GPL-2.0-only
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "density.h"

#define OFTEN_MS 250 /* between samples; rarer in long runs, so that there are some hundred at most */
#define SAMPLES 400

uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t cpu_ms(void)
{
	unsigned long long user, nice, system, idle, iowait, irq, softirq, steal;
	FILE *stream = fopen("/proc/stat", "re");
	int got;

	if (!stream)
		fail(EXIT_BROKEN, "/proc/stat", errno);
	got = fscanf(stream, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system, &idle, &iowait, &irq,
		     &softirq, &steal);
	fclose(stream);
	if (got != 8)
		fail(EXIT_BROKEN, "/proc/stat makes no sense", 0);
	return (user + nice + system + irq + softirq + steal) * 1000 / (uint64_t)sysconf(_SC_CLK_TCK);
}

long long number_in(const char *path, const char *key)
{
	char line[256], *at;
	long long value = -1;
	FILE *stream = fopen(path, "re");

	if (!stream)
		return -1;
	while (value < 0 && fgets(line, sizeof(line), stream)) {
		at = key ? strstr(line, key) : line;
		if (at && sscanf(at + (key ? strlen(key) : 0), " %lld", &value) != 1)
			value = -1;
	}
	fclose(stream);
	return value;
}

long long available_bytes(void)
{
	return number_in("/proc/meminfo", "MemAvailable:") * 1024;
}

long long total_bytes(void)
{
	return number_in("/proc/meminfo", "MemTotal:") * 1024;
}

void sample(const char *phase)
{
	static uint64_t begin, last;
	uint64_t now = now_ms(), apart;

	if (!begin)
		begin = now;
	apart = (now - begin) / SAMPLES > OFTEN_MS ? (now - begin) / SAMPLES : OFTEN_MS;
	if (last && now - last < apart)
		return;
	last = now;
	printf("{\"event\":\"sample\",\"phase\":\"%s\",\"ms\":%" PRIu64 ",\"cpu_ms\":%" PRIu64 ",\"free\":%lld}\n", phase,
	       now - begin, cpu_ms(), number_in("/proc/meminfo", "MemFree:") * 1024);
}
