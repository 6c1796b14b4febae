/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A fleet of agent processes that hold texts, for measuring what holding them costs. One program, run once per mode:
 *
 *	fleet --pack FILE --mode private|smu [--cgroup DIR] [--damage REF] [--quick]
 *
 * It prints one JSON object per line on stdout and exits with 0 (all texts came back whole), 1 (a byte differed),
 * 2 (usage, or a bad pack) or 3 (a call failed, a process died). harness/fleet.py writes the pack and reads the lines.
 */
#ifndef FLEET_H
#define FLEET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { EXIT_WHOLE, EXIT_DIFFERS, EXIT_USAGE, EXIT_BROKEN };

#define SHA256_BYTES 32
#define WINDOW (64 * 1024) /* bytes compared at a time */

/* -- the pack file: little endian, naturally aligned, as harness/fleet.py writes it -- */

#define PACK_MAGIC "AMFLEET1"

struct pack_header {
	char magic[8];
	uint32_t agents;
	uint32_t refs;	/* texts over all agents */
	uint32_t blobs; /* distinct texts */
	uint32_t reserved;
	uint64_t size; /* of the whole file */
};

struct pack_blob {
	uint64_t offset;
	uint64_t length;
	uint8_t sha256[SHA256_BYTES];
};

struct pack_agent {
	uint32_t first; /* index of its first ref */
	uint32_t count;
};

struct pack_ref {
	uint32_t blob;
	uint32_t type; /* enum agent_smu_type */
};

struct pack {
	int fd;
	const struct pack_header *header;
	const struct pack_agent *agents;
	const struct pack_ref *refs;
	const struct pack_blob *blobs;
};

/* Reads and checks the tables; the texts stay in the file. Ends the program with EXIT_USAGE on a bad pack. */
void pack_open(struct pack *pack, const char *path);
/* Exactly `length` bytes of the file, or the program ends: the pack lies on tmpfs and cannot be short. */
void pack_read(const struct pack *pack, void *to, size_t length, uint64_t offset);

/* -- one text as one process holds it -- */

struct held {
	uint8_t *bytes; /* the process's view of the text */
	int fd;		/* SMU only, else -1 */
	uint64_t inode; /* SMU only: which object it is */
	bool dedup;	/* SMU only: the kernel found it */
};

/* How texts are held. A call that fails leaves errno and gives the name of what failed, else NULL. */
struct holder {
	const char *name;
	const char *(*hold)(struct held *held, const struct pack *pack, const struct pack_ref *ref, bool damage);
	const char *(*drop)(struct held *held, uint64_t length);
};

extern const struct holder private_holder;
extern const struct holder smu_holder;
void smu_prepare(void);    /* has the kernel make what it needs to compress, once: not a cost of the texts */
bool smu_available(void);  /* the kernel has the calls (and this program was built with their header) */
void smu_print_stats(void); /* one line: what the kernel counts for the caller's domain */

/* -- verification -- */

struct sha256 {
	uint32_t state[8];
	uint64_t length;
	uint8_t block[64];
};

void sha256_init(struct sha256 *sha);
void sha256_update(struct sha256 *sha, const uint8_t *data, size_t length);
void sha256_final(struct sha256 *sha, uint8_t digest[SHA256_BYTES]);

/* -- measuring -- */

void gauge_cgroup(const char *path); /* makes it and moves the caller in; NULL: no second figure */
void gauge_quick(void);              /* from now on without settling: leaves the page cache alone */
void gauge_keep(void);               /* from now on the page cache stays: it is what is measured */
void gauge_print(const char *at);    /* settles, then prints one line of figures in bytes */

/* -- output and failure -- */

void print_failure(const char *what, int error, int agent); /* one "error" line */
_Noreturn void fail(int code, const char *what, int error);

#endif
