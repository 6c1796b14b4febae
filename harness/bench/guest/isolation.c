// SPDX-License-Identifier: GPL-2.0-only
/*
 * What one domain can time of another: user A holds objects, user B asks for their digests and for such that nobody has,
 * brings their contents and such that nobody has, in random order. Beside it, as a control that must show a difference,
 * what B itself holds.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

enum owner { A, B, NOBODY };

struct content {
	uint64_t words[8];
};

struct setting {
	uint64_t objects, samples, seed;
	int done[2];
};

struct probe {
	enum owner owner;
	struct content content;
	struct digest digest;
};

static struct content content_of(const struct setting *s, enum owner owner, uint64_t number)
{
	struct content content;

	fill(&content, sizeof(content), s->seed ^ (uint64_t)owner << 60 ^ number << 32);
	return content;
}

static void hold_all(const struct setting *s, enum owner owner)
{
	for (uint64_t i = 0; i < s->objects; i++) {
		struct content content = content_of(s, owner, i);

		smu_must_alloc(&content, sizeof(content), NULL);
	}
}

static void user_a(void *argument)
{
	struct setting *s = argument;

	become(UID_A);
	hold_all(s, A);
	gate_open(s->done);
	pause();
}

/* As many probes of one kind as of what nobody has, in random order; each with a digest of its own. */
static void deal(const struct setting *s, struct probe *probes, enum owner owner, uint64_t first, uint64_t *seed)
{
	for (uint64_t i = 0; i < 2 * s->samples; i++) {
		struct probe *p = &probes[i];

		p->owner = i % 2 ? NOBODY : owner;
		p->content = content_of(s, p->owner, p->owner == NOBODY ? first + i : i / 2 % s->objects);
		sha256((const uint8_t *)&p->content, sizeof(p->content), &p->digest);
	}
	for (uint64_t i = 2 * s->samples - 1; i; i--) {
		uint64_t other = random_next(seed) % (i + 1);
		struct probe held = probes[i];

		probes[i] = probes[other];
		probes[other] = held;
	}
}

static void ask(const struct probe *p, struct series *series)
{
	int fd = smu_attach(&p->digest, series);

	if (p->owner == B && fd < 0)
		fail_with("ATTACH of the domain's own", -fd);
	if (p->owner != B && fd != -ENOENT)
		fail_with("ATTACH of what is not in the domain gave something else than ENOENT", fd < 0 ? -fd : 0);
	if (fd >= 0)
		must_close(fd);
}

static void bring(const struct probe *p, struct series *series)
{
	bool dedup = false;
	int fd = smu_alloc(&p->content, sizeof(p->content), NULL, &dedup, series);

	if (fd < 0)
		fail_with("agent_alloc_smu", -fd);
	if (dedup != (p->owner == B))
		fail_with("agent_alloc_smu told DEDUP across domains, or not within", 0);
	must_close(fd);
}

static void compare(const struct setting *s, struct probe *probes, const char *const names[2],
		    void (*probe)(const struct probe *p, struct series *series))
{
	struct series *known = series_new(names[0], 2 * s->samples), *unknown = series_new(names[1], 2 * s->samples);

	for (uint64_t i = 0; i < 2 * s->samples; i++)
		probe(&probes[i], i < WARM_UP ? NULL : probes[i].owner == NOBODY ? unknown : known);
	series_print(known);
	series_print(unknown);
}

void bench_isolation(const uint64_t *arguments)
{
	static const char *const names[][2] = {
		{ "attach.elsewhere", "attach.nowhere" },
		{ "alloc.elsewhere", "alloc.nowhere" },
		{ "attach.own", "attach.not_own" },
		{ "alloc.own", "alloc.not_own" },
	};
	struct setting s = { arguments[0], arguments[1], arguments[2], { -1, -1 } };
	struct probe *probes = shared_memory(2 * s.samples * sizeof(*probes));
	uint64_t random = s.seed;

	if (pipe2(s.done, O_CLOEXEC))
		fail("pipe");
	allow_files(s.objects);
	helper(user_a, &s);
	gate_wait(s.done);
	become(UID_B);
	hold_all(&s, B);
	settle();
	for (uint64_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		deal(&s, probes, i < 2 ? A : B, i << 24, &random);
		compare(&s, probes, names[i], i % 2 ? bring : ask);
	}
}
