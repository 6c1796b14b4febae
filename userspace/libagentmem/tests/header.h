/* SPDX-License-Identifier: MIT */
/* Compiled as C and as C++: the header alone, and its initializers. */
#include <agentmem.h>

static inline int use_header(void)
{
	struct agentmem_options options = AGENTMEM_OPTIONS_INIT;

	return agentmem_put(AGENTMEM_TOOL_DEF, "x", 1, &options, NULL);
}
