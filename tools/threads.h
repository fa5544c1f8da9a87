/* How many threads a CPU's driver runs. Drivers ask the environment for it when they are loaded. */
#ifndef BM_TOOLS_THREADS_H
#define BM_TOOLS_THREADS_H

#include <stdint.h>

#include "core/base/status.h"

/* --threads of every command that uses a device; 0: as many as bm_threads_allowed. */
extern int64_t bm_threads;

/* Processors that this process may use: those of its affinity mask (taskset), or less where a control group limits its time. */
int64_t bm_threads_allowed(void);

/* Tells the drivers, before the first device is looked at; what the user has set in their own variables stays. PoCL's threads are
 * held to a core each where there is one for each: else two of them meet on one core at times, and stay there. BM_ERR_USAGE for a
 * negative number. */
bm_status bm_threads_tell(void);

#endif
