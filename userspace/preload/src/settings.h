/* SPDX-License-Identifier: MIT */
#ifndef SETTINGS_H
#define SETTINGS_H

#include <stddef.h>

/* Memory of this size and more gets blocks: AGENTMEM_THRESHOLD. SIZE_MAX: none does. */
extern size_t settings_threshold;

/* From the environment; what cannot be understood there is as if it were not there. */
void settings_read(void);
/* No block any more in this process. */
void settings_stand_aside(void);

#endif
