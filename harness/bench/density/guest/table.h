/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which agent holds which texts (harness/bench/density/fleets.py writes the file), and the texts themselves, which lie on
 * the guest's disks. Read past the page cache: it would be taken for what the texts cost.
 */
#ifndef TABLE_H
#define TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TABLE_MAGIC "AMDENS01"
#define PARTS 3 /* disks: /dev/vda and so on */

struct table_header {
	char magic[8];
	uint32_t agents;
	uint32_t refs;	/* texts over all agents */
	uint32_t texts; /* distinct ones */
	uint32_t segments;
};

struct table_text {
	uint32_t first; /* index of its first segment */
	uint32_t count;
	uint32_t type; /* enum agent_smu_type */
	uint32_t holders;
	uint64_t length;
};

struct table_segment {
	uint32_t part;
	uint32_t reserved;
	uint64_t offset;
	uint64_t length;
};

struct table_agent {
	uint32_t first; /* index of its first ref */
	uint32_t count;
	uint32_t active;
	uint32_t reserved;
};

struct table {
	const struct table_header *header;
	const struct table_text *texts;
	const struct table_segment *segments;
	const struct table_agent *agents;
	const uint32_t *refs; /* each the index of a text */
	int disks[PARTS];     /* -1: there is none */
};

/* Reads and checks the table; ends the program if it is bad or a disk is missing that it needs. */
void table_open(struct table *table, const char *path);
/* A range of a text, or the program ends. */
void table_read(const struct table *table, uint32_t text, uint64_t offset, void *to, size_t length);
void table_rest(void); /* gives back the memory that reading takes: it is no text, and may be like one */
uint64_t table_bytes(const struct table *table, uint32_t agent);

#endif
