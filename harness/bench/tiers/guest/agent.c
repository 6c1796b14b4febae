// SPDX-License-Identifier: GPL-2.0-only
/* One agent process: an order down its own pipe, an answer up the common one. */
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <linux/agent_mem.h>

#include "tiers.h"

#define STAYS 4 /* one step in so many goes on with another conversation */

static uint8_t mine[PIECE], expected[PIECE];

struct self {
	const struct fleet *fleet;
	uint32_t index;
	uint32_t count; /* texts */
	struct copy *copies;
	uint64_t chance;
	uint32_t talk; /* the conversation that it is at */
};

static uint32_t random_below(struct self *self, uint64_t bound)
{
	uint64_t z = (self->chance += 0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return (uint32_t)((z ^ z >> 31) % bound);
}

static uint32_t text_of(const struct self *self, uint32_t number)
{
	return self->fleet->table.refs[self->fleet->table.agents[self->index].first + number];
}

static const struct table_text *about(const struct self *self, uint32_t number)
{
	return &self->fleet->table.texts[text_of(self, number)];
}

static bool is_talk(const struct self *self, uint32_t number)
{
	return about(self, number)->type == AGENT_SMU_CONVERSATION;
}

static void fault(struct answer *answer, const char *what, int error, uint32_t text, uint64_t offset)
{
	if (*answer->what)
		return; /* the first one is told */
	answer->error = error;
	answer->text = text;
	answer->offset = offset;
	snprintf(answer->what, sizeof(answer->what), "%s", what);
}

static void hold(struct self *self, struct answer *answer)
{
	for (uint32_t i = 0; i < self->count; i++) {
		const char *failed = text_hold(&self->copies[i], &self->fleet->table, text_of(self, i),
					       self->fleet->contestant->layout, NULL,
					       self->index == self->fleet->damage && !i);

		if (failed) {
			fault(answer, failed, errno, i, 0);
			return;
		}
	}
}

/* A piece of a text as the agent has it, beside the disk's. */
static void check(struct self *self, uint32_t number, uint64_t offset, struct answer *answer)
{
	uint64_t length = about(self, number)->length - offset;
	size_t part = length < PIECE ? (size_t)length : PIECE;
	const char *failed = text_read(&self->copies[number], offset, mine, part);

	if (failed) {
		fault(answer, failed, errno, number, offset);
		return;
	}
	table_read(&self->fleet->table, text_of(self, number), offset, expected, part);
	answer->checked++;
	if (!memcmp(mine, expected, part))
		return;
	answer->differ++;
	fault(answer, "a text came back changed", 0, number, offset);
}

static void check_all(struct self *self, struct answer *answer)
{
	for (uint32_t i = 0; i < self->count; i++)
		check(self, i, random_below(self, about(self, i)->length), answer);
	if (self->index == self->fleet->damage) /* the check itself is under test then */
		check(self, 0, about(self, 0)->length / 2, answer);
}

static uint64_t read_whole(struct self *self, uint32_t number, struct answer *answer)
{
	uint64_t length = about(self, number)->length;

	for (uint64_t at = 0; at < length; at += PIECE) {
		const char *failed = text_read(&self->copies[number], at, mine, length - at < PIECE ? length - at : PIECE);

		if (failed) {
			fault(answer, failed, errno, number, at);
			return 0;
		}
	}
	return length;
}

static void choose_talk(struct self *self)
{
	if (is_talk(self, self->talk) && random_below(self, STAYS))
		return;
	for (uint32_t tries = 0; tries < self->count; tries++) {
		self->talk = random_below(self, self->count);
		if (is_talk(self, self->talk))
			return;
	}
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void step(struct self *self, uint32_t turn, struct answer *answer)
{
	struct board *board = self->fleet->board;
	struct step done = { .agent = self->index, .turn = turn, .at_ms = now_ms() };
	uint64_t begin;
	uint32_t slot;

	choose_talk(self);
	begin = now_ns();
	for (uint32_t i = 0; i < self->count; i++)
		if (i == self->talk || !is_talk(self, i))
			done.bytes += read_whole(self, i, answer);
	done.ns = now_ns() - begin;
	check(self, self->talk, random_below(self, about(self, self->talk)->length), answer);
	slot = board->steps++;
	if (slot < MOST_STEPS)
		board->step[slot] = done;
}

static void pause_ms(uint32_t ms)
{
	const struct timespec pause = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L };

	nanosleep(&pause, NULL);
}

static void work(struct self *self, const struct order *order, struct answer *answer)
{
	const char *failed;

	pause_ms(order->after_ms);
	failed = self->fleet->contestant->own ? mark_state(AGENT_STATE_ACTIVE) : NULL;
	if (failed)
		fault(answer, failed, errno, 0, 0);
	while (!*answer->what && now_ms() < order->until_ms) {
		step(self, order->turn, answer);
		pause_ms(order->think_ms);
	}
}

static void tell_sizes(struct self *self, struct answer *answer)
{
	for (uint32_t i = 0; i < self->count; i++) {
		const char *failed = ask_size(self->copies[i].fd, &self->fleet->board->sizes[text_of(self, i)]);

		if (failed) {
			fault(answer, failed, errno, i, 0);
			return;
		}
	}
}

static void obey(struct self *self, const struct order *order, struct answer *answer)
{
	bool own = self->fleet->contestant->own;
	const char *failed;

	if (order->what == ORDER_HOLD)
		hold(self, answer);
	else if (order->what == ORDER_WORK)
		work(self, order, answer);
	else if (order->what == ORDER_CHECK)
		check_all(self, answer);
	else if (order->what == ORDER_SIZES && own)
		tell_sizes(self, answer);
	else if (order->what == ORDER_REST && own && (failed = mark_state(order->state)))
		fault(answer, failed, errno, 0, 0);
}

_Noreturn void agent_serve(const struct fleet *fleet, uint32_t index, int orders, int answers)
{
	struct self self = { .fleet = fleet, .index = index, .count = fleet->table.agents[index].count, .chance = index };
	struct order order;

	group_join(index);
	mallopt(M_MMAP_MAX, 0); /* texts are on the heap, as a language runtime has them */
	mallopt(M_TOP_PAD, 0);
	self.copies = calloc(self.count, sizeof(*self.copies));
	if (!self.copies)
		fail(EXIT_BROKEN, "no memory for an agent", errno);
	while (read(orders, &order, sizeof(order)) == sizeof(order)) {
		struct answer answer = { .agent = index };

		obey(&self, &order, &answer);
		table_rest();
		if (write(answers, &answer, sizeof(answer)) != sizeof(answer))
			_exit(EXIT_BROKEN);
	}
	_exit(EXIT_WHOLE);
}
