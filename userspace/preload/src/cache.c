/* SPDX-License-Identifier: MIT */
#include "cache.h"
#include "system.h"
#include "table.h"

#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>

#define SLOTS		32
#define SIZE_BITS	32	/* of a slot: pages; the other half is the address in chunks */
#define UNUSED_PART	8

/* Whoever exchanges a slot's word for 0 has the memory: no lock, so fork() and signals find nothing half done. */
static _Atomic uint64_t slots[SLOTS];
static _Atomic size_t kept, limit = (size_t)16 << 20;
static _Atomic unsigned int hand;	/* the slot that gives way next */

static size_t size_of(uint64_t word)
{
	return (word & (((uint64_t)1 << SIZE_BITS) - 1)) * system_page();
}

static void *address_of(uint64_t word)
{
	return (void *)(uintptr_t)((word >> SIZE_BITS) * CHUNK);
}

void cache_limit(size_t bytes)
{
	limit = bytes;
}

size_t cache_bytes(void)
{
	return kept;
}

static bool empty(_Atomic uint64_t *slot)
{
	uint64_t word = atomic_exchange(slot, 0);

	if (!word)
		return false;
	atomic_fetch_sub(&kept, size_of(word));
	system_unmap(address_of(word), size_of(word));
	return true;
}

static bool fill(uint64_t word)
{
	for (unsigned int i = 0; i < SLOTS; i++) {
		uint64_t none = 0;

		if (!atomic_load_explicit(&slots[i], memory_order_relaxed) &&
		    atomic_compare_exchange_strong(&slots[i], &none, word))
			return true;
	}
	return false;
}

bool cache_put(void *at, size_t size)
{
	uint64_t pages = size / system_page();

	if (size > limit / 2 || pages >> SIZE_BITS || (uintptr_t)at / CHUNK >> SIZE_BITS)
		return false;
	if (!system_advise(at, size, MADV_FREE)) /* locked into memory, for one */
		return false;
	atomic_fetch_add(&kept, size);
	for (unsigned int i = 0; i < SLOTS && kept > limit; i++)
		empty(&slots[atomic_fetch_add(&hand, 1) % SLOTS]);
	while (!fill((uint64_t)((uintptr_t)at / CHUNK) << SIZE_BITS | pages))
		empty(&slots[atomic_fetch_add(&hand, 1) % SLOTS]);
	return true;
}

void *cache_take(size_t size, size_t *got)
{
	_Atomic uint64_t *best = NULL;
	uint64_t word = 0;

	if (!kept)
		return NULL;
	for (unsigned int i = 0; i < SLOTS; i++) {
		uint64_t here = atomic_load_explicit(&slots[i], memory_order_relaxed);
		size_t has = size_of(here);

		if (has < size || has - size > whole_pages(size) / UNUSED_PART || (best && has >= size_of(word)))
			continue;
		best = &slots[i];
		word = here;
	}
	if (!best || !atomic_compare_exchange_strong(best, &word, 0))
		return NULL;
	*got = size_of(word);
	atomic_fetch_sub(&kept, *got);
	return address_of(word);
}

bool cache_drop(void)
{
	bool dropped = false;

	for (unsigned int i = 0; i < SLOTS; i++)
		dropped |= empty(&slots[i]);
	return dropped;
}
