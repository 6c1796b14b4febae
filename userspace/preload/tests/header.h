/* SPDX-License-Identifier: MIT */
#include "agentmem-alloc.h"
