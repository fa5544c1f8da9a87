/* What `bmtool bench` measures of writing text: a prompt that is read in, and tokens after it. */
#ifndef BM_TOOLS_BENCH_GENERATE_H
#define BM_TOOLS_BENCH_GENERATE_H

#include "core/base/dtype.h"
#include "models/nn/model.h"
#include "tools/session.h"

typedef struct bm_generation {
    int64_t prompt;             /* tokens of it: 512, or half the context where that is less */
    double prompt_s, token_s;   /* medians */
    double prompt_flops;        /* of products with matrices; logits count for the last token only */
    double token_bytes;         /* of the matrices that a token passes, and of what is kept of those before it */
    double read;                /* bytes/s of the device, the better of just before the tokens and just after: it changes as a system
                                   moves threads between cores that share a last-level cache and cores that do not */
} bm_generation;

/* The model of a configuration with zeros for weights, matrices kept in `weights`. Blocks. `stop` is asked now and then. */
bm_status bm_bench_generation(bm_generation *out, bm_session *s, const bm_model *m, const bm_config *c, const char *gemm,
                              bm_dtype weights, bm_status (*stop)(void));

#endif
