/* SPDX-License-Identifier: GPL-2.0 */
/* What the policy takes from the kernel, for a program: this and its two neighbours. */
#ifndef _POLICY_TYPES_H
#define _POLICY_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8, __u8;
typedef uint16_t u16, __u16;
typedef uint32_t u32, __u32;
typedef uint64_t u64, __u64;
typedef int32_t s32, __s32;
typedef int64_t s64, __s64;

#endif
