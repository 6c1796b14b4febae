// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every text of a pack becomes an object of a process that may not have them all uncompressed; they are compressed,
 * dropped, and read back piece by piece, no two pieces of one text after each other, till each byte was compared.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "chaos.h"
#include "fleet.h"

#define PIECE (16 * KB)

struct piece {
	uint32_t blob, number;
};

static struct pack texts;
static int *fds;
static struct piece *pieces;
static uint32_t nr_pieces;
static uint8_t expected[PIECE], got[PIECE];

static void prepare(const char *path)
{
	struct rlimit files = { 1 << 20, 1 << 20 };
	uint32_t most = 0;

	pack_open(&texts, path);
	if (setrlimit(RLIMIT_NOFILE, &files))
		broken("setrlimit: %s", strerror(errno));
	for (uint32_t i = 0; i < texts.header->blobs; i++)
		most += (uint32_t)((texts.blobs[i].length + PIECE - 1) / PIECE);
	fds = calloc(texts.header->blobs, sizeof(*fds));
	pieces = calloc(most, sizeof(*pieces));
	if (!fds || !pieces)
		broken("no memory for %u pieces", most);
	for (uint32_t i = 0; i < texts.header->blobs; i++)
		for (uint32_t k = 0; k * PIECE < texts.blobs[i].length; k++)
			pieces[nr_pieces++] = (struct piece){ i, k };
}

static void shuffle(struct chance *chance)
{
	for (uint32_t i = nr_pieces - 1; i; i--) {
		uint32_t k = below(chance, i + 1);
		struct piece piece = pieces[i];

		pieces[i] = pieces[k];
		pieces[k] = piece;
	}
}

static void put_all(void)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < texts.header->refs; i++) {
		const struct pack_ref *ref = &texts.refs[i];
		const struct pack_blob *blob = &texts.blobs[ref->blob];
		struct agent_smu_attr attr = { .size = sizeof(attr), .base_fd = -1, .node = -1 };
		uint8_t *data;
		long fd;

		if (fds[ref->blob])
			continue;
		data = mmap(NULL, blob->length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (data == MAP_FAILED)
			broken("mmap: %s", strerror(errno));
		pack_read(&texts, data, blob->length, blob->offset);
		fd = smu_alloc(ref->type, data, blob->length, &attr);
		munmap(data, blob->length);
		if (fd < 0)
			wrong("text %u of %lu bytes: %s", ref->blob, blob->length, strerror((int)-fd));
		if (memcmp(attr.digest, blob->sha256, sizeof(attr.digest)))
			wrong("text %u has another digest", ref->blob);
		fds[ref->blob] = (int)fd;
		bytes += blob->length;
	}
	printf("{\"event\":\"put\",\"objects\":%u,\"bytes\":%lu}\n", texts.header->blobs, bytes);
}

static void cool(void)
{
	struct agent_mark cold = { .valid = AGENT_MARK_TEMPERATURE, .temperature = AGENT_TEMP_COLD };
	struct agent_stats stats;
	long ret = smu_mark(AGENT_SELF, &cold);

	if (ret)
		wrong("COLD: %s", strerror((int)-ret));
	ret = smu_stats(AGENT_STATS_AGENT, AGENT_SELF, &stats, sizeof(stats));
	if (ret < 0)
		wrong("figures: %s", strerror((int)-ret));
	printf("{\"event\":\"cold\",\"resident\":%llu,\"stored\":%llu,\"swapped\":%llu}\n",
	       stats.resident_top + stats.resident_lower, stats.stored_bytes, stats.swapped_bytes);
}

static void compare(const struct piece *piece, const uint8_t *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (bytes[i] != expected[i])
			wrong("text %u: byte %lu is 0x%02x, not 0x%02x", piece->blob, piece->number * PIECE + i, bytes[i], expected[i]);
}

static void by_mapping(const struct piece *piece, size_t length)
{
	uint8_t *map = mmap(NULL, length, PROT_READ, MAP_SHARED, fds[piece->blob], (off_t)(piece->number * PIECE));

	if (map == MAP_FAILED)
		wrong("mmap of text %u: %s", piece->blob, strerror(errno));
	compare(piece, map, length);
	munmap(map, length);
}

/* From a place within the piece on, and then what is before it. */
static void by_pread(const struct piece *piece, size_t length, struct chance *chance)
{
	size_t cut = below(chance, (uint32_t)length), begin = piece->number * PIECE;
	ssize_t second = pread(fds[piece->blob], got + cut, length - cut, (off_t)(begin + cut));
	ssize_t first = cut ? pread(fds[piece->blob], got, cut, (off_t)begin) : 0;

	if (first < 0 || second < 0)
		wrong("pread of text %u: %s", piece->blob, strerror(errno));
	if ((size_t)first != cut || (size_t)second != length - cut)
		wrong("pread of text %u gives %zd and %zd bytes", piece->blob, first, second);
	compare(piece, got, length);
}

static void read_all(struct chance *chance, const char *event)
{
	uint64_t bytes = 0;

	shuffle(chance);
	for (uint32_t i = 0; i < nr_pieces; i++) {
		const struct piece *piece = &pieces[i];
		const struct pack_blob *blob = &texts.blobs[piece->blob];
		uint64_t begin = piece->number * PIECE, left = blob->length - begin;
		size_t length = left < PIECE ? left : PIECE;

		if (fds[piece->blob] < 0)
			continue;
		pack_read(&texts, expected, length, blob->offset + begin);
		if (one_in(chance, 3))
			by_mapping(piece, length);
		else
			by_pread(piece, length, chance);
		bytes += length;
	}
	printf("{\"event\":\"%s\",\"bytes\":%lu}\n", event, bytes);
}

/* Others may be stored against them: those are to stay whole. */
static void drop_half(struct chance *chance)
{
	uint64_t left = 0;

	for (uint32_t i = 0; i < texts.header->blobs; i++) {
		if (one_in(chance, 2)) {
			close(fds[i]);
			fds[i] = -1;
		} else {
			left += texts.blobs[i].length;
		}
	}
	printf("{\"event\":\"dropped\",\"left\":%lu}\n", left);
}

int corpus(const char *path, uint64_t seed, unsigned long limit_kb, unsigned long swap_mb)
{
	struct chance chance = chance_of(seed, 0, 0);
	char group[GROUP_MAX];
	int error = swap_mb ? swap_start(swap_mb * MB) : 0;

	if (error)
		broken("swap: %s", strerror(-error));
	prepare(path);
	group_make(group, "corpus");
	if (write_text(GROUPS "/corpus/memory.max", "%luK", limit_kb))
		broken("memory.max: %s", strerror(errno));
	group_enter(group);
	put_all();
	cool();
	read_all(&chance, "compared");
	drop_half(&chance);
	read_all(&chance, "compared_again");
	printf("{\"event\":\"limit\",\"hits\":%llu,\"oom_kills\":%llu}\n", field_of(GROUPS "/corpus/memory.events", "max"),
	       field_of(GROUPS "/corpus/memory.events", "oom_kill"));
	group_enter(CGROUPS);
	return 0;
}
