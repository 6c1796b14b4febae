/* SPDX-License-Identifier: MIT */
/* The shim: what is large gets blocks, what is small, and what gets none, is the program's own allocator's. */
#include "block.h"
#include "cache.h"
#include "next.h"
#include "settings.h"
#include "system.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT		__attribute__((visibility("default")))
#define LIKELY(x)	__builtin_expect(!!(x), 1)

__attribute__((constructor)) static void begin(void)
{
	next_find();
	settings_read();
	pthread_atfork(NULL, NULL, cache_forked);
}

static bool is_large(size_t size)
{
	return size >= settings_threshold && size <= PTRDIFF_MAX;
}

EXPORT void *malloc(size_t size)
{
	void *at = NULL;

	if (!LIKELY(!is_large(size)))
		at = block_new(size, (struct want){.kind = BLOCK});
	if (!at)
		at = next.malloc(size);
	/* What is kept may be what is missing. */
	return LIKELY(at) || !cache_drop() ? at : next.malloc(size);
}

EXPORT void *calloc(size_t count, size_t size)
{
	void *at = NULL;
	size_t whole;

	if (!__builtin_mul_overflow(count, size, &whole) && is_large(whole))
		at = block_new(whole, (struct want){.kind = BLOCK, .zero = true});
	if (!at)
		at = next.calloc(count, size);
	return LIKELY(at) || !cache_drop() ? at : next.calloc(count, size);
}

EXPORT void free(void *at)
{
	if (!at || (is_chunk(at) && block_free(at)))
		return;
	next.free(at);
}

/* It goes by another allocator's own rules, as what comes of size 0 does. */
static void *block_to_small(void *at, size_t room, size_t size)
{
	void *to = next.malloc(size ? size : 1);

	if (!to)
		return size && size <= room ? at : NULL;
	memcpy(to, at, size < room ? size : room);
	block_free(at);
	return size ? to : next.realloc(to, 0);
}

static void *block_to_any(void *at, size_t room, size_t size)
{
	void *to = malloc(size);

	if (!to)
		return NULL; /* the old one stays */
	memcpy(to, at, size < room ? size : room);
	block_free(at);
	return to;
}

static void *small_to_block(void *at, size_t size)
{
	size_t has = next.malloc_usable_size(at);
	void *to = has ? block_new(size, (struct want){.kind = BLOCK}) : NULL;

	if (!to)
		return NULL;
	memcpy(to, at, has < size ? has : size);
	next.free(at);
	return to;
}

EXPORT void *realloc(void *at, size_t size)
{
	size_t room = is_chunk(at) ? block_room(at) : 0;
	void *to = NULL;

	if (!at)
		return malloc(size);
	if (room) {
		if (size < settings_threshold / 2 || !size)
			return block_to_small(at, room, size);
		to = size <= PTRDIFF_MAX ? block_resize(at, size) : NULL;
		return to ? to : block_to_any(at, room, size);
	}
	if (is_large(size))
		to = small_to_block(at, size);
	if (!to)
		to = next.realloc(at, size);
	return LIKELY(to || !size) || !cache_drop() ? to : next.realloc(at, size);
}

EXPORT void *reallocarray(void *at, size_t count, size_t size)
{
	size_t whole;

	if (__builtin_mul_overflow(count, size, &whole)) {
		errno = ENOMEM;
		return NULL;
	}
	return realloc(at, whole);
}

static void *aligned(size_t align, size_t size)
{
	bool power = align && !(align & (align - 1));

	return power && is_large(size) ? block_new(size, (struct want){.kind = BLOCK, .align = align}) : NULL;
}

EXPORT void *aligned_alloc(size_t align, size_t size)
{
	void *at = aligned(align, size);

	if (!at)
		at = next.aligned_alloc(align, size);
	return LIKELY(at) || !cache_drop() ? at : next.aligned_alloc(align, size);
}

EXPORT void *memalign(size_t align, size_t size)
{
	void *at = aligned(align, size);

	if (!at)
		at = next.memalign(align, size);
	return LIKELY(at) || !cache_drop() ? at : next.memalign(align, size);
}

EXPORT int posix_memalign(void **at, size_t align, size_t size)
{
	void *got = align % sizeof(void *) ? NULL : aligned(align, size);
	int why;

	if (got) {
		*at = got;
		return 0;
	}
	why = next.posix_memalign(at, align, size);
	return why != ENOMEM || !cache_drop() ? why : next.posix_memalign(at, align, size);
}

EXPORT void *valloc(size_t size)
{
	return memalign(system_page(), size);
}

EXPORT void *pvalloc(size_t size)
{
	return memalign(system_page(), size <= PTRDIFF_MAX ? whole_pages(size) : size);
}

EXPORT size_t malloc_usable_size(void *at)
{
	size_t room = at && is_chunk(at) ? block_room(at) : 0;

	return room || !at ? room : next.malloc_usable_size(at);
}

/* C23: a hint at the size is of no use to us, and not every allocator has these. */
EXPORT void free_sized(void *at, size_t size);
EXPORT void free_sized(void *at, size_t size)
{
	(void)size;
	free(at);
}

EXPORT void free_aligned_sized(void *at, size_t align, size_t size);
EXPORT void free_aligned_sized(void *at, size_t align, size_t size)
{
	(void)align;
	(void)size;
	free(at);
}
