/* What the files of the convolution share. */
#ifndef BM_CL_OPS_CONV_PRIV_H
#define BM_CL_OPS_CONV_PRIV_H

#include "cl/ops/ops_priv.h"

/* Sizes of a convolution: x [B, H, W, C], w [O, kh, kw, C / groups], y [B, Ho, Wo, O]. */
typedef struct bm_conv {
    int64_t B, H, W, C, O, kh, kw, Ho, Wo;
    bm_conv_opts o;
    bm_activation act;
    bm_dtype type; /* of what the node makes */
} bm_conv;

/* Elements of a row of w: of one output's window. */
static inline int64_t bm_conv_window(const bm_conv *c) { return c->kh * c->kw * (c->C / c->o.groups); }

enum bm_conv_product { BM_CONV_FORWARD, BM_CONV_DX, BM_CONV_DW };

/* ---- forms for CPU devices, which take no groups ---- */

/* What a product reads and makes: y of x and w; with dy for x and dx for y, dx; with dy for y and dw for w, dw. `bias`, `pre` may be
 * NULL. */
typedef struct bm_conv_args {
    const bm_conv *c;
    bm_dtype x_type, w_type; /* x and y have one type */
    int pairs;
    cl_mem x, w, bias, y, pre;
} bm_conv_args;

typedef struct bm_conv_form {
    /* Whether it does this product on a CPU device of these limits, and the bytes of scratch it needs from the first on; `pairs`: with
     * operands of bf16 multiplied as such (bm_gemm_in_pairs). */
    int (*takes)(const bm_conv *c, enum bm_conv_product what, const bm_limits *limits, int pairs);
    int64_t (*scratch)(const bm_conv *c, enum bm_conv_product what, const bm_limits *limits, int pairs);
    void (*forward)(bm_launcher *l, const bm_conv_args *a);
    void (*dx)(bm_launcher *l, const bm_conv_args *a);
    void (*dw)(bm_launcher *l, const bm_conv_args *a, int add); /* add: to what dw holds */
} bm_conv_form;

extern const bm_conv_form bm_conv_winograd; /* 3 x 3 taps side by side, channels in whole vectors */
extern const bm_conv_form bm_conv_direct;

static inline int64_t bm_conv_least(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t bm_conv_most(int64_t a, int64_t b) { return a > b ? a : b; }

#endif
