/* What the files of cl/gemm share: the interface of a backend, and where it puts its launches. */
#ifndef BM_CL_GEMM_GEMM_PRIV_H
#define BM_CL_GEMM_GEMM_PRIV_H

#include "cl/gemm/gemm.h"

/* Where launches go: into a plan (core/graph/launch.h) or into a product bound by itself (cl/gemm/bound_priv.h).
 * Sticky, as a launcher is. */
typedef struct bm_gemm_emit bm_gemm_emit;
struct bm_gemm_emit {
    bm_engine *engine;
    void *target;
    void (*fail)(void *target, bm_status s);
    void (*kernel)(void *target, const bm_kernel_launch *k);
    void (*call)(void *target, bm_call_fn run, void *ctx, void (*destroy)(void *ctx));
    cl_mem (*scratch)(void *target, int64_t offset, int64_t bytes);
};

/* A backend, one file each. `d` was checked, and has m, n, k and batch above 0 and no 0 for a tight leading dimension. */
typedef struct bm_gemm_backend {
    const char *name;
    /* Whether it takes the product; *why (static text) when not. `e` may be NULL: then only the limits count. */
    int (*takes)(const bm_gemm_desc *d, bm_engine *e, const bm_limits *limits, const char **why);
    /* Bytes of scratch; `e` NULL: as for a device of these limits that nobody opened. */
    bm_status (*scratch)(int64_t *bytes, const bm_gemm_desc *d, bm_engine *e, const bm_limits *limits);
    /* Scratch begins at `scratch_offset`, a multiple of the device's base alignment. */
    void (*launch)(bm_gemm_emit *out, const bm_gemm_desc *d, const bm_gemm_args *args, int64_t scratch_offset);
} bm_gemm_backend;

extern const bm_gemm_backend bm_gemm_clblast, bm_gemm_packed, bm_gemm_packed_ab, bm_gemm_tiled;

/* By name, or NULL. */
const bm_gemm_backend *bm_gemm_backend_find(const char *name);
/* The backend of a device that was not measured; always one that takes the product. */
const bm_gemm_backend *bm_gemm_default(const bm_gemm_desc *d, bm_engine *e, const bm_limits *limits);
/* The backend for a product on an engine: `forced` (may be NULL), else the measured choice, else the default. */
bm_status bm_gemm_choose(const bm_gemm_backend **out, bm_engine *e, const bm_gemm_desc *d, const char *forced);
/* The same before there is an engine: `forced`, else the default. */
bm_status bm_gemm_foresee(const bm_gemm_backend **out, const bm_limits *limits, const bm_gemm_desc *d, const char *forced);

/* "NT 256x2304x768 f32" ("x12" for batches) into buf: names a product in messages. Returns buf. */
#define BM_GEMM_TEXT 128
char *bm_gemm_text(const bm_gemm_desc *d, char *buf, size_t bytes);

/* Leading dimensions of 0 made tight. */
bm_gemm_desc bm_gemm_desc_full(const bm_gemm_desc *d);
/* Elements from the first to behind the last of a matrix of `rows` by `cols`, batches counted. Checked by desc_check. */
int64_t bm_gemm_extent(int64_t rows, int64_t cols, int64_t ld, int64_t batch, int64_t stride);

/* The options that every kernel of gemm shares, "-DTYPE_A=0 ... -DACT=1". */
#define BM_GEMM_OPTIONS 320
char *bm_gemm_options(const bm_gemm_desc *d, char *buf, size_t bytes);

/* Types that kernels load and store; their numbers in cl/lib/types.clh are those of bm_dtype. */
#define BM_GEMM_IS_STORAGE(t) ((t) == BM_F32 || (t) == BM_F16 || (t) == BM_BF16)

#endif
