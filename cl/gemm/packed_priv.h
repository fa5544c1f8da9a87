/* The forms in which the backends `packed` and `packed_ab` multiply, and which of them a product takes. */
#ifndef BM_CL_GEMM_PACKED_PRIV_H
#define BM_CL_GEMM_PACKED_PRIV_H

#include "cl/gemm/gemm_priv.h"

typedef enum bm_packed_form {
    BM_PACKED_FLOATS,
    BM_PACKED_TILES, /* the backend `packed_ab`: packed.cl, OWN_TILES, of an f32 A */
    BM_PACKED_PAIRS, /* both operands bf16, by vdpbf16ps: packed.cl, PAIRS */
    BM_PACKED_BYTES  /* few rows by an i8 B, by vpdpbusd: few.cl, BYTES */
} bm_packed_form;

/* Lanes of the vectors. */
int bm_packed_width(const bm_limits *limits);
/* Whether few.cl makes the product: at most 8 rows, not transposed. */
int bm_packed_is_few(const bm_gemm_desc *d);
/* Local memory of BYTES. */
int64_t bm_packed_bytes_local(const bm_gemm_desc *d);

/* The form that the device's instructions allow; with an engine (`e` may be NULL) only if a product by it, made when this is first
 * asked, came out right there. One that did not is said once. */
bm_status bm_packed_form_of(bm_packed_form *out, const bm_gemm_desc *d, bm_engine *e, const bm_limits *limits);

/* Scratch of a form that takes the product, and its launches. */
int64_t bm_packed_scratch(const bm_gemm_desc *d, const bm_limits *limits, bm_packed_form form);
void bm_packed_launch(bm_gemm_emit *out, const bm_gemm_desc *d, const bm_gemm_args *args, int64_t scratch_offset, bm_packed_form form);

#endif
