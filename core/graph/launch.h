/* What an op's launch rule sees: the pieces of memory of its operands, and calls that add launches with their arguments bound.
 * A launcher is sticky: after a failure its calls do nothing, and the launch rule returns bm_launcher_status(). */
#ifndef BM_CORE_GRAPH_LAUNCH_H
#define BM_CORE_GRAPH_LAUNCH_H

#include "core/device/cl_compat.h"
#include "core/device/engine.h"
#include "core/graph/op.h"

#ifdef __cplusplus
extern "C" {
#endif

BM_API bm_engine *bm_launcher_engine(bm_launcher *l);        /* NULL when planning without a device */
BM_API bm_form bm_launcher_form(const bm_launcher *l); /* CPU or PLAIN */
BM_API const bm_limits *bm_launcher_limits(const bm_launcher *l);
BM_API bm_status bm_launcher_status(const bm_launcher *l);
/* Makes the launcher fail with `s` (not BM_OK), whose detail is the thread's error; the first failure stays. */
BM_API void bm_launcher_fail(bm_launcher *l, bm_status s);
/* Which GEMM backend is forced ("packed", ...), or NULL for the measured choice. */
BM_API const char *bm_launcher_gemm(const bm_launcher *l);

/* The memory of a value of this node (a sub-buffer that begins with the value), or NULL for an absent operand or an
 * optional output that nothing uses. Borrowed from the plan. */
BM_API cl_mem bm_launcher_mem(bm_launcher *l, const bm_value *v);
/* Bytes [offset, offset + bytes) of the node's scratch; offset a multiple of limits->align_bytes. */
BM_API cl_mem bm_launcher_scratch(bm_launcher *l, int64_t offset, int64_t bytes);
BM_API cl_mem bm_launcher_scalars(bm_launcher *l); /* core/graph/scalars.h */

/* The slabs of one group of a bank, for ops over flat regions (optimizers, global norm). */
BM_API int bm_launcher_bank_slabs(bm_launcher *l, int group);
BM_API int64_t bm_launcher_bank_bytes(bm_launcher *l, int group, int slab);
BM_API cl_mem bm_launcher_bank_mem(bm_launcher *l, bm_place place, int group, int slab);

typedef enum bm_arg_kind { BM_ARG_KIND_MEM, BM_ARG_KIND_I32, BM_ARG_KIND_I64, BM_ARG_KIND_F32, BM_ARG_KIND_LOCAL } bm_arg_kind;
typedef struct bm_arg {
    bm_arg_kind kind;
    union {
        cl_mem mem;
        int32_t i32;
        int64_t i64;
        float f32;
        size_t local_bytes;
    } as;
} bm_arg;
static inline bm_arg bm_arg_mem(cl_mem m) { bm_arg a; a.kind = BM_ARG_KIND_MEM; a.as.mem = m; return a; } /* NULL: a null pointer */
static inline bm_arg bm_arg_i32(int32_t x) { bm_arg a; a.kind = BM_ARG_KIND_I32; a.as.i32 = x; return a; }
static inline bm_arg bm_arg_i64(int64_t x) { bm_arg a; a.kind = BM_ARG_KIND_I64; a.as.i64 = x; return a; }
static inline bm_arg bm_arg_f32(float x) { bm_arg a; a.kind = BM_ARG_KIND_F32; a.as.f32 = x; return a; }
static inline bm_arg bm_arg_local(size_t bytes) { bm_arg a; a.kind = BM_ARG_KIND_LOCAL; a.as.local_bytes = bytes; return a; }

/* One kernel launch. Strings and arrays are copied. A global size of 0 in any dimension adds nothing. */
typedef struct bm_kernel_launch {
    const char *source;  /* "ops/norm" */
    const char *kernel;  /* the function's name */
    const char *options; /* "-DSTORAGE=0 -DWIDTH=768" */
    int dims;
    size_t global[3];
    size_t local[3];     /* all 0: the driver chooses */
    const bm_arg *args;
    int n_args;
} bm_kernel_launch;
BM_API void bm_launcher_kernel(bm_launcher *l, const bm_kernel_launch *k);

/* A launch that enqueues by itself (CLBlast). `run` must not block, allocate, or make buffers or programs after its first
 * call. `destroy` (may be NULL) frees ctx with the plan. On failure of the launcher ctx is destroyed at once. */
typedef bm_status (*bm_call_fn)(void *ctx, cl_command_queue queue);
BM_API void bm_launcher_call(bm_launcher *l, bm_call_fn run, void *ctx, void (*destroy)(void *ctx));

#ifdef __cplusplus
}
#endif
#endif
