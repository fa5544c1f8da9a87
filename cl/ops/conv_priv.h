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

/* Memory of one of the three products; `bias`, `pre` may be NULL. */
typedef struct bm_conv_args {
    const bm_conv *c;
    bm_dtype x_type, w_type; /* of x or dy, and of w or dw */
    cl_mem x, w, bias, y, pre;
} bm_conv_args;

#endif
