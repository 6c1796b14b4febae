// SPDX-License-Identifier: GPL-2.0-only
/*
 * Of a chunk in single pages one stays, because it is mapped, and the others go. When they are read again there is room
 * for no large folio.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "chaos.h"

#define SIZE (128 * KB)
#define STAYS 5

int hole(void)
{
	const struct agent_mark cold = { .valid = AGENT_MARK_TEMPERATURE, .temperature = AGENT_TEMP_COLD };
	struct agent_smu_attr attr = { .size = sizeof(attr), .base_fd = -1, .node = -1 };
	const struct recipe recipe = { .parts = 1, .length = SIZE, .part = { { 0, SIZE } } };
	struct chance chance = chance_of(1, 1, 1);
	int fd = (int)smu_alloc(AGENT_SMU_CONVERSATION, texts_at(0), SIZE, &attr);
	struct agent_smu_stats stats;
	const volatile uint8_t *map;
	long ret;

	if (fd < 0)
		wrong("agent_alloc_smu: %s", strerror(-fd));
	if (!page_soft_offline(fd, 1))
		broken("no page can be taken off-line: %s", strerror(errno));
	map = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, STAYS * PAGE);
	if (map == MAP_FAILED || map[0] != texts_at(STAYS * PAGE)[0])
		wrong("a mapping of page %d is wrong", STAYS);
	ret = smu_mark(fd, &cold);
	if (!ret)
		ret = smu_stats(AGENT_STATS_SMU, fd, &stats, sizeof(stats));
	if (ret < 0)
		wrong("COLD: %s", strerror((int)-ret));
	printf("{\"event\":\"hole\",\"resident\":%llu}\n", stats.resident_top + stats.resident_lower);
	for (int i = 0; i < 12; i++)
		verify(fd, &recipe, &chance);
	printf("{\"event\":\"read\"}\n");
	return 0;
}
