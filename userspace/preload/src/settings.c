/* SPDX-License-Identifier: MIT */
#include "settings.h"
#include "block.h"
#include "cache.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define THRESHOLD	CHUNK
#define LEAST		((size_t)4 << 10)	/* a block takes whole pages */

size_t settings_threshold = THRESHOLD;
static bool aside;

void settings_stand_aside(void)
{
	aside = true;
	settings_threshold = SIZE_MAX;
}

/* Bytes, or with K, M or G after them: of 1024. False: not there, or not understood. */
static bool bytes(const char *name, size_t *value)
{
	static const char units[] = "KMG";
	const char *text = getenv(name), *unit;
	size_t number = 0, factor = 1;

	if (!text || !*text)
		return false;
	for (; *text >= '0' && *text <= '9'; text++)
		if (__builtin_mul_overflow(number, 10, &number) || __builtin_add_overflow(number, *text - '0', &number))
			return false;
	unit = *text ? strchr(units, *text) : NULL;
	if (unit) {
		factor <<= 10 * (unit - units + 1);
		text++;
	}
	return !*text && !__builtin_mul_overflow(number, factor, value);
}

void settings_read(void)
{
	size_t value;

	if (bytes("AGENTMEM_CACHE", &value))
		cache_limit(value);
	if (bytes("AGENTMEM_MERGE", &value))
		block_merge(value > 0);
	if (aside || !bytes("AGENTMEM_THRESHOLD", &value))
		return;
	settings_threshold = !value ? SIZE_MAX : value < LEAST ? LEAST : value;
}
