/* SPDX-License-Identifier: MIT */
#include "table.h"
#include "system.h"

#include <stdatomic.h>
#include <sys/mman.h>

/* Two levels: 2^16 leaves of 2^16 chunks each are 2^48 bytes, more than programs get without asking for it by address. */
#define LEAF_BITS	16
#define ENTRIES		((size_t)1 << LEAF_BITS)

#define LENGTH_BITS	48
#define KIND_BITS	8
_Static_assert(sizeof(void *) == 8, "needs 64-bit addresses");

typedef _Atomic uint64_t leaf[ENTRIES];

static leaf *_Atomic leaves[ENTRIES];

static uint64_t pack(struct entry entry)
{
	return entry.length | (uint64_t)entry.kind << LENGTH_BITS | (uint64_t)entry.type << (LENGTH_BITS + KIND_BITS);
}

static struct entry unpack(uint64_t word)
{
	return (struct entry){
		.length = word & (((uint64_t)1 << LENGTH_BITS) - 1),
		.kind = word >> LENGTH_BITS & ((1 << KIND_BITS) - 1),
		.type = (unsigned int)(word >> (LENGTH_BITS + KIND_BITS)),
	};
}

static leaf *_Atomic *leaf_of(const void *address)
{
	uintptr_t chunk = (uintptr_t)address / CHUNK;

	return chunk >> LEAF_BITS < ENTRIES ? &leaves[chunk >> LEAF_BITS] : NULL;
}

static _Atomic uint64_t *word_of(const void *address)
{
	leaf *_Atomic *place = leaf_of(address);
	leaf *found = place ? atomic_load_explicit(place, memory_order_acquire) : NULL;

	return found ? &(*found)[(uintptr_t)address / CHUNK % ENTRIES] : NULL;
}

struct entry table_get(const void *address)
{
	_Atomic uint64_t *word = is_chunk(address) ? word_of(address) : NULL;

	return unpack(word ? atomic_load_explicit(word, memory_order_acquire) : 0);
}

bool table_prepare(const void *address)
{
	leaf *_Atomic *place = leaf_of(address);
	leaf *made, *expected = NULL;

	if (!place)
		return false;
	if (atomic_load_explicit(place, memory_order_acquire))
		return true;
	made = system_map(NULL, sizeof(leaf), PROT_READ | PROT_WRITE, MAP_NORESERVE);
	if (!made)
		return false;
	if (!atomic_compare_exchange_strong(place, &expected, made))
		system_unmap(made, sizeof(leaf));
	return true;
}

struct entry table_set(void *address, struct entry entry)
{
	return unpack(atomic_exchange_explicit(word_of(address), pack(entry), memory_order_acq_rel));
}

bool table_change(void *address, struct entry from, struct entry to)
{
	uint64_t expected = pack(from);

	return atomic_compare_exchange_strong(word_of(address), &expected, pack(to));
}
