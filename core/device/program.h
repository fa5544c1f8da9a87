/* Programs and kernels: built from an embedded source with -D options, kept in memory per engine and on disk between runs.
 * PoCL keeps what it compiled on disk by itself, and to hand out a binary compiles every kernel once more for work-groups of
 * any size, which takes four times as long as the build: its programs are left to it unless opts.cache_always is set. */
#ifndef BM_CORE_DEVICE_PROGRAM_H
#define BM_CORE_DEVICE_PROGRAM_H

#include "core/base/hash.h"
#include "core/base/status.h"
#include "core/device/cl_compat.h"
#include "core/device/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The program of source `name` built with `options` ("-DT=float -DN=768"), shared per (name, options). Borrowed from the
 * engine. A failed build is BM_ERR_BUILD; its log is kept whole, see bm_program_log(). */
BM_API bm_status bm_program_get(cl_program *out, bm_engine *e, const char *name, const char *options);
/* A new kernel object of that program; the caller releases it with bm_cl.ReleaseKernel. One kernel belongs to one queue. */
BM_API bm_status bm_kernel_create(cl_kernel *out, bm_engine *e, const char *name, const char *options, const char *kernel);
/* The build log of the last failed build on this engine, with its source numbered by line; "" if none. Borrowed. */
BM_API const char *bm_program_log(bm_engine *e);

/* A hash of a kernel source as this engine builds it (headers expanded, a replacement from its cl_dir counted). */
BM_API bm_status bm_program_source_hash(bm_hash128 *out, bm_engine *e, const char *name);

typedef struct bm_program_stats {
    int64_t built;  /* from source */
    int64_t loaded; /* from the disk cache */
} bm_program_stats;
BM_API bm_program_stats bm_program_get_stats(bm_engine *e);

#ifdef __cplusplus
}
#endif
#endif
