/* A product on random operands, to hold a backend against `tiled` and to time it. */
#ifndef BM_CL_GEMM_TRIAL_PRIV_H
#define BM_CL_GEMM_TRIAL_PRIV_H

#include "cl/gemm/bound_priv.h"

typedef struct bm_gemm_trial bm_gemm_trial;

/* Takes memory on the device for A, B, D and the reference. `d` is full and nothing in it is 0. */
bm_status bm_gemm_trial_create(bm_gemm_trial **out, bm_engine *e, const bm_gemm_desc *d);
void bm_gemm_trial_destroy(bm_gemm_trial *t);
/* The product bound for a backend on the trial's operands; the caller destroys it. */
bm_status bm_gemm_trial_bind(bm_gemm_bound **out, bm_gemm_trial *t, const bm_gemm_backend *b);
/* Runs it and compares with `tiled`: every element of a small product, the first and last rows of a large one. A result may be
 * off by 16 2^-24 sqrt(K) max(|want|, rms) and a rounding to D's type. BM_ERR_DIFFERS names the element. */
bm_status bm_gemm_trial_check(bm_gemm_trial *t, bm_gemm_bound *b);
/* Seconds of one run, from enqueue to end. */
bm_status bm_gemm_trial_time(double *seconds, bm_gemm_trial *t, bm_gemm_bound *b);

#endif
