/* SPDX-License-Identifier: MIT */
/* Compressed pages: one zstd frame with a checksum, that may refer to other content as if it came before. */
#ifndef PACK_H
#define PACK_H

#include <agentmem.h>

#define PACK_WARM	3	/* zstd levels */
#define PACK_COLD	12

/* A new file without a name of `size` compressed bytes of `plain`, or -1. EINVAL: it would not be smaller. */
int am_pack_file(int dir, int plain, uint64_t size, const struct agentmem_view *prefix, int level);
/* A new file without a name of `size` bytes from what am_pack_file() made. EIO: it is something else. */
int am_unpack_file(int dir, int packed, uint64_t size, const struct agentmem_view *prefix);

#endif
