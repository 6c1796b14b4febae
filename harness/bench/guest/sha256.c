// SPDX-License-Identifier: GPL-2.0-only
/*
 * SHA-256 by the kernel's own assembly (lib/crypto/x86, built into this program), chosen as the kernel chooses it: so the
 * peer of an allocation hashes neither better nor worse than the allocation does.
 */
#include <cpuid.h>
#include <string.h>

#include "bench.h"

#define BLOCK 64
#define SHA_NI (1u << 29) /* CPUID 7, EBX */

typedef void transform(uint32_t state[8], const uint8_t *data, size_t blocks);

transform sha256_transform_ssse3, sha256_transform_avx, sha256_transform_rorx, sha256_ni_transform;

static transform *choose(void)
{
	unsigned int eax, ebx = 0, ecx, edx;

	__builtin_cpu_init();
	if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx))
		ebx = 0;
	if (ebx & SHA_NI)
		return sha256_ni_transform;
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2"))
		return sha256_transform_rorx;
	if (__builtin_cpu_supports("avx"))
		return sha256_transform_avx;
	if (!__builtin_cpu_supports("ssse3"))
		fail_with("this processor has none of what SHA-256 is here made of", 0);
	return sha256_transform_ssse3;
}

void sha256(const uint8_t *data, size_t length, struct digest *digest)
{
	static transform *blocks;
	uint32_t state[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
			      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };
	uint8_t last[2 * BLOCK] = { 0 };
	size_t rest = length % BLOCK, ends = rest < BLOCK - 8 ? 1 : 2;

	if (!blocks)
		blocks = choose();
	if (length >= BLOCK)
		blocks(state, data, length / BLOCK);
	memcpy(last, data + length - rest, rest);
	last[rest] = 0x80;
	for (int i = 0; i < 8; i++)
		last[ends * BLOCK - 1 - i] = (uint8_t)((uint64_t)length * 8 >> 8 * i);
	blocks(state, last, ends);
	for (int i = 0; i < DIGEST; i++)
		digest->bytes[i] = (uint8_t)(state[i / 4] >> (24 - 8 * (i % 4)));
}
