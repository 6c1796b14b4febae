/* SPDX-License-Identifier: MIT */
#ifndef FOLLOW_H
#define FOLLOW_H

#include <sys/types.h>

/*
 * Tells what the agent behind pidfd, process `pid`, is doing, until it ends: PAUSED when it is stopped; IDLE when it and its
 * descendants have waited, and used next to no processor time, for `idle` milliseconds; else ACTIVE, as it begins.
 */
void follow(int pidfd, pid_t pid, int idle);

#endif
