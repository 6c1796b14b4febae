/* SPDX-License-Identifier: MIT */
#ifndef PLACE_H
#define PLACE_H

#include <stddef.h>

/*
 * New private anonymous memory that starts at a multiple of `align`, a power of two and CHUNK or more. `lead` bytes before
 * it, whole pages and less than `align`, are mapped with it. `flags`: more of MAP_*. NULL: there is none to be had.
 */
void *place(size_t size, size_t align, size_t lead, int protection, int flags);

#endif
