/* SPDX-License-Identifier: GPL-2.0 */
#define MSEC_PER_SEC 1000L
