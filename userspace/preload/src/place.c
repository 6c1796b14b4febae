/* SPDX-License-Identifier: MIT */
/*
 * Addresses. The kernel gives the highest gap that is large enough, which is not aligned; so the lowest address of the last
 * one is kept, and the next is tried right below: one call for most.
 */
#include "place.h"
#include "system.h"

#include <stdatomic.h>
#include <stdint.h>

#define DESCENT	((uintptr_t)1 << 40)	/* then back to where the kernel begins: below, in the end, are program and heap */

static _Atomic uintptr_t lowest, floor_;

static void *below(size_t size, size_t align, size_t lead, int protection, int flags)
{
	uintptr_t last = atomic_load(&lowest), at;

	if (size > last)
		return NULL;
	at = (last - size) & ~(align - 1);
	if (at < floor_ + lead || !atomic_compare_exchange_strong(&lowest, &last, at - lead))
		return NULL;
	return system_map_free((void *)(at - lead), lead + size, protection, flags) ? (void *)at : NULL;
}

/* More than is needed, less what is too much. */
static void *anywhere(size_t size, size_t align, size_t lead, int protection, int flags)
{
	size_t whole = lead + size + align - system_page();
	char *got, *start, *end;
	size_t head;

	if (whole < size)
		return NULL;
	got = system_map(NULL, whole, protection, flags);
	if (!got)
		return NULL;
	start = (char *)(((uintptr_t)got + lead + align - 1) & ~(align - 1)) - lead;
	end = start + lead + size;
	head = (size_t)(start - got);
	/* No more mappings (vm.max_map_count): taking all that is left away makes none. */
	if (head && !system_unmap(got, head)) {
		system_unmap(got, whole);
		return NULL;
	}
	if (end < got + whole && !system_unmap(end, (size_t)(got + whole - end))) {
		system_unmap(start, whole - head); /* the head may be somebody else's by now */
		return NULL;
	}
	lowest = (uintptr_t)start;
	floor_ = (uintptr_t)start > 2 * DESCENT ? (uintptr_t)start - DESCENT : DESCENT;
	return start + lead;
}

void *place(size_t size, size_t align, size_t lead, int protection, int flags)
{
	void *at = below(size, align, lead, protection, flags);

	return at ? at : anywhere(size, align, lead, protection, flags);
}
