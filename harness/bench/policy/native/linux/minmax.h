/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _POLICY_MINMAX_H
#define _POLICY_MINMAX_H

#define min(a, b) \
	({ __auto_type _a = (a); __auto_type _b = (b); _a < _b ? _a : _b; })
#define max(a, b) \
	({ __auto_type _a = (a); __auto_type _b = (b); _a > _b ? _a : _b; })
#define clamp(value, low, high) min(max(value, low), high)

#endif
