/* Measuring products outside of any plan. */
#ifndef BM_CL_GEMM_MEASURE_H
#define BM_CL_GEMM_MEASURE_H

#include "cl/gemm/gemm.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Seconds of one product by `backend` on random operands: the median of `runs` (at least 1) after one that warms up, from the
 * enqueue to the end, copies and packing counted. Takes memory for the operands; blocks. BM_ERR_UNSUPPORTED with the reason
 * where the backend does not take the product. */
BM_API bm_status bm_gemm_measure(double *seconds, bm_engine *e, const char *backend, const bm_gemm_desc *d, int runs);

#ifdef __cplusplus
}
#endif
#endif
