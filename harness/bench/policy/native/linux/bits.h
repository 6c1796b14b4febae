/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _POLICY_BITS_H
#define _POLICY_BITS_H

#define BIT_ULL(nr) (1ULL << (nr))

#endif
