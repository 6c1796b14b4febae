/* SPDX-License-Identifier: GPL-2.0-only */
/* What the kernel's assembly needs of <linux/linkage.h>, so that it becomes a part of a program. */
#ifndef BENCH_LINKAGE_H
#define BENCH_LINKAGE_H

#define SYM_FUNC_START(name) \
	.globl name; \
	.type name, @function; \
	.balign 16; \
	name:
#define SYM_FUNC_END(name) .size name, . - name
#define RET ret

#endif
