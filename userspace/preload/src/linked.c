/* SPDX-License-Identifier: MIT */
#include "library.h"

const struct library *library(void)
{
	static const struct library linked = {agentmem_put, agentmem_map_at, agentmem_close};

	return &linked;
}
