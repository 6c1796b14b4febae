// SPDX-License-Identifier: GPL-2.0-only
/*
 * Today's way: every process has its own copy of every text on its own heap, at whatever offset malloc() gives.
 */
#define _GNU_SOURCE
#include <malloc.h>
#include <stdlib.h>

#include "fleet.h"

static const char *private_hold(struct held *held, const struct pack *pack, const struct pack_ref *ref, bool damage)
{
	const struct pack_blob *blob = &pack->blobs[ref->blob];

	held->fd = -1;
	held->bytes = malloc(blob->length);
	if (!held->bytes)
		return "malloc";
	pack_read(pack, held->bytes, blob->length, blob->offset);
	if (damage)
		held->bytes[blob->length / 2] ^= 1;
	return NULL;
}

static const char *private_drop(struct held *held, uint64_t length)
{
	(void)length;
	free(held->bytes);
	held->bytes = NULL;
	malloc_trim(0); /* back to the kernel at once: what is left over later is somebody's leak */
	return NULL;
}

const struct holder private_holder = { "private", private_hold, private_drop };
