/* One product with its arguments bound, outside of a plan: to check and to measure a backend. */
#ifndef BM_CL_GEMM_BOUND_PRIV_H
#define BM_CL_GEMM_BOUND_PRIV_H

#include "cl/gemm/gemm_priv.h"

typedef struct bm_gemm_bound bm_gemm_bound;

/* Takes the scratch it needs. The memory of args is borrowed. `d` is full (bm_gemm_desc_full) and taken by the backend. */
bm_status bm_gemm_bound_create(bm_gemm_bound **out, bm_engine *e, const bm_gemm_backend *b, const bm_gemm_desc *d,
                               const bm_gemm_args *args);
void bm_gemm_bound_destroy(bm_gemm_bound *b);
/* Enqueues on the engine's compute queue. */
bm_status bm_gemm_bound_run(bm_gemm_bound *b);

#endif
