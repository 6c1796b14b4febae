/* SPDX-License-Identifier: MIT */
/* What is cold stays so until somebody reads it: not by being found, nor by being what others are compressed against. */
#include "suite.h"

#include <string.h>
#include <unistd.h>

#define SIZE	(30u * 1024 + 3)

static uint64_t resident(int fd)
{
	struct agentmem_smu_stats stats = {.size = sizeof(stats)};

	CHECK(agentmem_smu_stats(fd, &stats) == 0);
	return stats.resident_top;
}

static int appended(int fd, const char *text)
{
	int more = agentmem_append(fd, AGENTMEM_CONVERSATION, text, SIZE, NULL, NULL);

	CHECK(more >= 0);
	return more;
}

FALLBACK_TEST(what_is_found_by_digest_stays_cold)
{
	char *text = unique(SIZE);
	uint8_t digest[AGENTMEM_DIGEST_SIZE];
	int fd = appended(put(text, SIZE), text), found;

	CHECK(set_temperature(fd, AGENTMEM_COLD) == 0 && agentmem_digest(fd, digest) == 0);
	CHECK(resident(fd) == 0);
	found = agentmem_attach(digest);
	CHECK(found >= 0 && resident(fd) == 0);
	free(text);
}

/* In the order in which they were made, as for an agent's mark. */
FALLBACK_TEST(bases_stay_cold_when_what_rests_on_them_is_marked)
{
	char *text = unique(SIZE);
	struct agentmem_options options = AGENTMEM_OPTIONS_INIT;
	int fds[4];

	fds[0] = put(text, SIZE);
	fds[1] = appended(fds[0], text);
	fds[2] = appended(fds[1], text);
	options.base_fd = fds[2];
	text[100] ^= 1;
	fds[3] = agentmem_put(AGENTMEM_CONVERSATION, text, SIZE, &options, NULL);
	CHECK(fds[3] >= 0);
	for (size_t i = 0; i < 4; i++)
		CHECK(set_temperature(fds[i], AGENTMEM_COLD) == 0);
	for (size_t i = 0; i < 4; i++)
		CHECK(resident(fds[i]) == 0);
	CHECK(holds(fds[3], text, SIZE));
	free(text);
}

FALLBACK_TEST(an_agents_mark_leaves_nothing_plain)
{
	struct agentmem_stats stats = {.size = sizeof(stats)};
	char *text = unique(SIZE);
	int fd = put(text, SIZE);

	for (int i = 0; i < 10; i++)
		fd = appended(fd, text);
	CHECK(set_temperature(AGENTMEM_SELF, AGENTMEM_COLD) == 0);
	CHECK(agentmem_stats(AGENTMEM_SCOPE_DOMAIN, -1, &stats) == 0 && stats.smus == 11);
	CHECK(stats.resident_top == 0 && stats.stored_bytes);
	free(text);
}
