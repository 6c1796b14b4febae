/* SPDX-License-Identifier: MIT */
#ifndef LIBRARY_H
#define LIBRARY_H

#include <agentmem.h>

/* What sealing takes of libagentmem. */
struct library {
	__typeof__(agentmem_put) *put;
	__typeof__(agentmem_map_at) *map_at;
	__typeof__(agentmem_close) *close;
};

/* NULL with ENOSYS: it is not there. */
const struct library *library(void);

#endif
