/* One matrix product, several backends:
 *
 *     D = act(alpha * scale * op(A) op(B) + beta * D + bias)          op(A) [M, K], op(B) [K, N], D [M, N], bias, scale [N]
 *
 * All row-major. With trans_a, A is stored [K, M]; with trans_b, B is stored [N, K]. Leading dimensions and strides are in
 * elements, 64-bit. Arithmetic is f32 whatever the storage types are; where a CPU multiplies an i8 B by whole numbers (few.cl), a row
 * of A is taken to 2^-22 of its largest element. Column n of the product is multiplied by scale[n]: an i8 B stands for
 * scale[n] B[., n]. The scales, the bias row and the activation are epilogues; with `pre` the value before the activation is stored
 * too (a gradient needs it).
 */
#ifndef BM_CL_GEMM_GEMM_H
#define BM_CL_GEMM_GEMM_H

#include "cl/ops/activation_kind.h"
#include "core/graph/launch.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bm_gemm_desc {
    int64_t m, n, k;
    int trans_a, trans_b;
    int64_t lda, ldb, ldd;                 /* 0: tight */
    int64_t batch;                         /* number of products; 1 by default */
    int64_t stride_a, stride_b, stride_d;  /* between products; 0 repeats the operand (never for D) */
    int64_t offset_a, offset_b, offset_d;  /* first element within the memory given */
    bm_dtype type_a, type_b, type_d;       /* f32, f16, bf16; B also i8 */
    float alpha, beta;
    int has_scale;                         /* scale is f32, one for all products */
    int has_bias;                          /* bias has type_d */
    bm_activation act;
    int has_pre;                           /* store the pre-activation, laid out as D */
} bm_gemm_desc;
BM_API bm_gemm_desc bm_gemm_desc_default(int64_t m, int64_t n, int64_t k);
BM_API bm_status bm_gemm_desc_check(const bm_gemm_desc *d);

/* 2 M N K batch. */
BM_API double bm_gemm_flops(const bm_gemm_desc *d);

typedef struct bm_gemm_args {
    cl_mem a, b, d, bias, pre, scale; /* the last three NULL when the descriptor has none */
} bm_gemm_args;

/* Scratch that the chosen backend needs. `l` NULL: for the default choice of a device with these limits. */
BM_API bm_status bm_gemm_scratch(int64_t *bytes, bm_launcher *l, const bm_gemm_desc *d, const bm_limits *limits);
/* Adds the launches of the chosen backend; scratch is bytes [scratch_offset, ...) of the node's. */
BM_API void bm_gemm_launch(bm_launcher *l, const bm_gemm_desc *d, const bm_gemm_args *args, int64_t scratch_offset);

/* Whether products of bf16 are made by x86's vdpbf16ps on this engine: a product by it, made when this is first asked, came out
 * right. For ops whose own kernels multiply so (cl/lib/pairs.clh). */
BM_API bm_status bm_gemm_in_pairs(int *out, bm_engine *e);

/* Names of the backends, "clblast", "packed", "packed_ab", "tiled"; NULL ends the list. */
BM_API const char *const *bm_gemm_backends(void);
/* Whether a backend takes this product on this engine; a reason when not (static text). */
BM_API int bm_gemm_backend_takes(const char *backend, bm_engine *e, const bm_gemm_desc *d, const char **why);

/* The tuning file of an engine: measured choices per shape. Loaded when first needed from `path`; new choices are written
 * at once (old or new, never half). Without a path choices live in memory only. */
BM_API bm_status bm_gemm_tuning_open(bm_engine *e, const char *path);
/* The choices made so far as JSON text (for a run's folder and checkpoints), and back: choices read this way are never
 * measured again. Caller frees the text by bm_free. */
BM_API bm_status bm_gemm_tuning_to_json(bm_engine *e, char **out);
BM_API bm_status bm_gemm_tuning_from_json(bm_engine *e, const char *text);

#ifdef __cplusplus
}
#endif
#endif
