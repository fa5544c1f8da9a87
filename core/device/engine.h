/* An engine is one opened device: its context, queues, program cache and memory. All of bm's state hangs off it.
 * An engine may be shared between threads. */
#ifndef BM_CORE_DEVICE_ENGINE_H
#define BM_CORE_DEVICE_ENGINE_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/source.h"
#include "core/base/status.h"
#include "core/device/cl_compat.h"
#include "core/device/device.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bm_engine bm_engine;
typedef struct bm_queue bm_queue;

typedef struct bm_engine_opts {
    bm_source_table sources; /* the embedded kernels; borrowed, static */
    const char *cl_dir;      /* a folder whose NAME.cl replace the embedded ones (kernel work), or NULL */
    const char *cache_dir;   /* where built programs are kept; NULL: nowhere */
    int cache_always;        /* also those of PoCL, which keeps them itself; see program.h */
    bm_form form;            /* AUTO: bm_limits_form() of the device */
    int profile;             /* queues that time their commands */
    int64_t max_alloc_bytes; /* lowers the device's own limit, to try slabs; 0: as the device says */
    int no_dots;             /* as if the CPU had neither limits.bf16_dot nor limits.i8_dot */
} bm_engine_opts;
BM_API bm_engine_opts bm_engine_opts_default(void);

/* Opens a device. The strings of opts are copied; `d` may go after this returns. */
BM_API bm_status bm_engine_open(bm_engine **out, const bm_device *d, const bm_engine_opts *opts);
BM_API void bm_engine_close(bm_engine *e); /* accepts NULL; everything made on it must be gone */

BM_API const bm_limits *bm_engine_limits(const bm_engine *e);
BM_API bm_form bm_engine_form(const bm_engine *e); /* never AUTO */
BM_API const char *bm_engine_device_name(const bm_engine *e);
BM_API const char *bm_engine_driver(const bm_engine *e);
BM_API const char *bm_engine_platform_name(const bm_engine *e);
BM_API const char *bm_engine_key(const bm_engine *e);       /* as bm_device_key */
BM_API const char *bm_engine_cache_dir(const bm_engine *e); /* NULL if none */
BM_API cl_context bm_engine_context(const bm_engine *e);    /* borrowed, for backends such as CLBlast */
BM_API cl_device_id bm_engine_cl_device(const bm_engine *e);
BM_API bm_queue *bm_engine_queue(bm_engine *e);             /* the compute queue; borrowed */

/* Bytes of device buffers alive now and at most so far. */
BM_API int64_t bm_engine_live_bytes(const bm_engine *e);
BM_API int64_t bm_engine_peak_bytes(const bm_engine *e);

/* State of a layer above (tuned choices, say) that lives as long as the engine. `key` is the address of a static object.
 * Attaching twice with one key is BM_ERR_USAGE. `destroy` runs in bm_engine_close before the context goes. */
BM_API bm_status bm_engine_attach(bm_engine *e, const void *key, void *object, void (*destroy)(void *object));
BM_API void *bm_engine_attached(const bm_engine *e, const void *key);

#ifdef __cplusplus
}
#endif
#endif
