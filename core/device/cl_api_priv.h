#ifndef BM_CORE_DEVICE_CL_API_PRIV_H
#define BM_CORE_DEVICE_CL_API_PRIV_H

#include "core/device/cl_api.h"

/* Fills `out` from one library file. On failure nothing stays loaded and `out` is zeroed. */
bm_status bm_cl_table_load(bm_cl_table *out, const char *library);

#endif
