/* Device memory: a region is one or more slabs, each one OpenCL buffer within CL_DEVICE_MAX_MEM_ALLOC_SIZE; a piece is a
 * range of one slab, handed out as a sub-buffer that lives as long as the region. */
#ifndef BM_CORE_DEVICE_MEMORY_H
#define BM_CORE_DEVICE_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"
#include "core/device/cl_compat.h"
#include "core/device/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bm_region bm_region;

/* `name` ("weights") is for messages; slab_bytes[i] > 0 each. A region that does not fit is BM_ERR_DEVICE_MEMORY, and the
 * message names the region, its bytes and what the device has. Zeroed when `zero`. */
BM_API bm_status bm_region_create(bm_region **out, bm_engine *e, const char *name, const int64_t *slab_bytes, int n_slabs,
                                  int zero);
BM_API void bm_region_destroy(bm_region *r);
BM_API const char *bm_region_name(const bm_region *r);
BM_API int bm_region_slabs(const bm_region *r);
BM_API int64_t bm_region_slab_bytes(const bm_region *r, int slab);

/* The bytes [offset, offset + bytes) of a slab; offset is a multiple of align_bytes. Equal requests give the same object.
 * Borrowed from the region. */
BM_API bm_status bm_region_piece(cl_mem *out, bm_region *r, int slab, int64_t offset, int64_t bytes);

#ifdef __cplusplus
}
#endif
#endif
