/* SPDX-License-Identifier: MIT */
#include "pack.h"
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>
#include <zstd_errors.h>

#define WINDOW_MOST	28	/* log2 of how far back a frame may refer; of prefix and content together */

/* How large the window is to be for all of it to be in reach; 0: too large. */
static int window_log(uint64_t size)
{
	int log = 10;

	while (log < WINDOW_MOST && (uint64_t)1 << log < size)
		log++;
	return (uint64_t)1 << log < size ? 0 : log;
}

/* Both sides have to decide alike whether the prefix is referred to. */
static bool uses(const struct agentmem_view *prefix, uint64_t size)
{
	return prefix && prefix->data && window_log(prefix->size + size);
}

/* A new file with room for `size` bytes, mapped for writing. */
static int new_mapped(int dir, mode_t mode, size_t size, void **mapped)
{
	int fd = am_store_temporary(dir, mode);

	if (fd < 0)
		return -1;
	if (am_store_reserve(dir, fd, size) == 0) {
		*mapped = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (*mapped != MAP_FAILED)
			return fd;
	}
	am_store_discard(dir, fd);
	return -1;
}

static size_t compress(void *into, size_t room, const void *from, size_t size, const struct agentmem_view *prefix, int level)
{
	ZSTD_CCtx *context = ZSTD_createCCtx();
	size_t made;

	if (!context)
		return 0;
	ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, level);
	ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
	if (uses(prefix, size)) {
		ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, window_log(prefix->size + size));
		ZSTD_CCtx_setParameter(context, ZSTD_c_enableLongDistanceMatching, 1);
		ZSTD_CCtx_refPrefix(context, prefix->data, prefix->size);
	}
	made = ZSTD_compress2(context, into, room, from, size);
	ZSTD_freeCCtx(context);
	return ZSTD_isError(made) ? 0 : made;
}

/* In memory first: the store need not have the room that it takes at worst. */
int am_pack_file(int dir, int plain, uint64_t size, const struct agentmem_view *prefix, int level)
{
	void *from = mmap(NULL, size, PROT_READ, MAP_SHARED, plain, 0), *into = malloc(size);
	size_t made = 0;
	int fd = -1;

	if (from != MAP_FAILED && into) {
		made = compress(into, size, from, size, prefix, level);
		errno = EINVAL;
		fd = made && made < size ? am_store_temporary(dir, 0400) : -1;
	}
	if (fd >= 0 && am_store_write(dir, fd, into, made) < 0) {
		am_store_discard(dir, fd);
		fd = -1;
	}
	if (from != MAP_FAILED)
		munmap(from, size);
	free(into);
	return fd;
}

/* Checks the content size in the frame's header, before room is taken for it. */
static bool is_frame_of(const void *from, size_t from_size, uint64_t size)
{
	return ZSTD_getFrameContentSize(from, from_size) == size;
}

static int decompress(void *into, size_t size, const void *from, size_t from_size, const struct agentmem_view *prefix)
{
	ZSTD_DCtx *context = ZSTD_createDCtx();
	size_t made;

	errno = ENOMEM;
	if (!context)
		return -1;
	ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, WINDOW_MOST);
	if (uses(prefix, size))
		ZSTD_DCtx_refPrefix(context, prefix->data, prefix->size);
	made = ZSTD_decompressDCtx(context, into, size, from, from_size);
	ZSTD_freeDCtx(context);
	if (made == size)
		return 0;
	errno = ZSTD_getErrorCode(made) == ZSTD_error_memory_allocation ? ENOMEM : EIO;
	return -1;
}

int am_unpack_file(int dir, int packed, uint64_t size, const struct agentmem_view *prefix)
{
	struct stat st;
	void *from, *into;
	int fd, result;

	if (fstat(packed, &st) < 0)
		return -1;
	if (st.st_size <= 0) {
		errno = EIO;
		return -1;
	}
	from = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, packed, 0);
	if (from == MAP_FAILED)
		return -1;
	errno = EIO;
	fd = is_frame_of(from, (size_t)st.st_size, size) ? new_mapped(dir, 0400, size, &into) : -1;
	if (fd >= 0) {
		result = decompress(into, size, from, (size_t)st.st_size, prefix);
		munmap(into, size);
		if (result < 0) {
			am_store_discard(dir, fd);
			fd = -1;
		}
	}
	munmap(from, (size_t)st.st_size); /* which leaves errno when it succeeds */
	return fd;
}
