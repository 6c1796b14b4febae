/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Agents that hold real text and compare each byte they read, while all that moves content changes at random.
 *
 *	chaos storm TEXTS SEED OPERATIONS AGENTS	agents, weather, kills; in the end all has to be given back
 *	chaos corpus PACK SEED LIMIT_KB SWAP_MB		every text in, compressed, dropped, read back under a limit
 *	chaos hole TEXTS 0 0 0				a page is read again, others of whose chunk have stayed
 *
 * Prints one JSON object per line; ends with 0, 1 (the kernel did wrong) or 2 (usage, the machine).
 */
#ifndef CHAOS_H
#define CHAOS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <linux/agent_mem.h>

#define KB 1024UL
#define MB (1024UL * KB)
#define PAGE 4096UL
#define AGENTS_MAX 32
#define GROUP_MAX 64

/* -- chance: the same choices for the same seed -- */

struct chance {
	uint64_t state;
};

struct chance chance_of(uint64_t seed, uint64_t a, uint64_t b);
uint32_t below(struct chance *chance, uint32_t bound);
static inline bool one_in(struct chance *chance, uint32_t n)
{
	return !below(chance, n);
}

/* -- texts: what is expected is made of parts of one file that all processes share -- */

#define PARTS 12
#define LENGTH_MAX (640 * KB)

struct recipe {
	uint32_t parts, length;
	struct {
		uint32_t offset, length;
	} part[PARTS];
};

void texts_open(const char *path);
const uint8_t *texts_at(uint64_t offset);
bool recipe_add(struct recipe *recipe, struct chance *chance, uint32_t most);
void recipe_vary(struct recipe *to, const struct recipe *from, struct chance *chance);
void recipe_copy(const struct recipe *recipe, uint8_t *to);
/* The first of @length bytes that are not those of the recipe at @pos; -1: all are. */
ssize_t recipe_differs(const struct recipe *recipe, size_t pos, const uint8_t *bytes, size_t length);

/* -- what all processes share -- */

enum { BOARD = 64, KINDS = 64 };

struct post { /* an object that somebody had, to be attached */
	atomic_uint turn; /* odd: it is being written */
	uint8_t digest[32];
	struct recipe recipe;
};

struct shared {
	atomic_ulong operations;
	atomic_bool stop;
	atomic_bool failed;
	atomic_uint weathers; /* that have had everything once */
	char what[400]; /* the first failure */
	atomic_ulong counts[KINDS];
	atomic_int pids[AGENTS_MAX]; /* of the agents; 0: none */
	struct post board[BOARD];
};

enum kind {
	PUT, APPEND, BASED, ATTACHED, CLOSED, READ, PREAD, MAPPED, TOUCHED, SPLICED, LOCKED, ADVISED, MARKED, MARKED_SELF, STATS,
	FORKED, SHORT, /* of memory: the call said so */
	LIMITED, RECLAIMED, CACHES_DROPPED, COMPACTED, AGED, SETTING, SWAP_ON, SWAP_OFF, OTHER_MARKED, MIGRATED, SQUEEZED, NODE_OFF, NODE_ON,
	SOFT_OFFLINED, KILLED, OOM_KILLED,
	NR_KINDS
};

extern const char *const kind_names[NR_KINDS];
extern struct shared *shared;

static inline void count(enum kind kind)
{
	atomic_fetch_add(&shared->counts[kind], 1);
}

/* Notes the first failure and ends the process; the supervisor ends all others. */
_Noreturn void wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The machine lacks something, or the program was called wrongly. */
_Noreturn void broken(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* -- calls: a negative errno, not -1 -- */

long smu_alloc(unsigned int type, const void *data, size_t size, struct agent_smu_attr *attr);
long smu_mark(int fd, const struct agent_mark *mark);
long smu_stats(unsigned int scope, int fd, void *stats, size_t size);
long open_pid(pid_t pid);

/* -- reading -- */

/* Reads an object in a way that chance chooses; a byte that differs is wrong(). */
bool page_soft_offline(int fd, size_t index);
void verify(int fd, const struct recipe *recipe, struct chance *chance);

/* -- processes -- */

_Noreturn void agent_run(uint64_t seed, unsigned int slot, unsigned int generation);
_Noreturn void weather_run(uint64_t seed, unsigned int number);
void mark_by_chance(struct agent_mark *mark, struct chance *chance, bool agent);

int hole(void);
int storm(uint64_t seed, unsigned long operations, unsigned int agents);
int corpus(const char *pack, uint64_t seed, unsigned long limit_kb, unsigned long swap_mb);

/* -- the system -- */

int write_text(const char *path, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool read_text(const char *path, char *text, size_t size);
unsigned long long number_of(const char *path);
unsigned long long field_of(const char *path, const char *name); /* of "name value" lines */
int swap_start(unsigned long bytes);
int swap_stop(void);
void settings_keep(void);
void settings_restore(void);
void setting_change(struct chance *chance);
bool group_make(char *path, const char *name); /* below /sys/fs/cgroup; GROUP_MAX bytes */
void group_enter(const char *path);

#define SYSFS "/sys/kernel/mm/agent_mem/"
#define CGROUPS "/sys/fs/cgroup"
#define GROUPS CGROUPS "/chaos"

#endif
