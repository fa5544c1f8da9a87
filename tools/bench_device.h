/* What `bmtool bench` measures of a device. */
#ifndef BM_TOOLS_BENCH_DEVICE_H
#define BM_TOOLS_BENCH_DEVICE_H

#include <stdint.h>

#include "tools/session.h"

typedef struct bm_bandwidth {
    double read, write, copy; /* bytes/s; copy: read + written */
} bm_bandwidth;

/* The medians of 7 passes over `bytes` of f32, of ops of cl/ops: a sum, a fill and a copy. Both block. */
bm_status bm_bench_bandwidth(bm_bandwidth *out, bm_engine *e, int64_t bytes);
bm_status bm_bench_read(double *out, bm_engine *e, int64_t bytes);
/* More than caches hold: 256 MiB, or as much as a buffer may have. */
int64_t bm_bench_bytes(const bm_engine *e);

/* Seconds of a product of the CBLAS (OpenBLAS, if it can be loaded; its own threads): the median of `runs`; 0 if it cannot. Row-major
 * C [m, n] = op(A) op(B). */
double bm_bench_cblas(int trans_a, int trans_b, int64_t m, int64_t n, int64_t k, int runs);
/* Which library answered, and for which processor its kernels are ("SkylakeX"; one it does not know gets an old one's); or NULL. */
const char *bm_bench_cblas_name(void);
const char *bm_bench_cblas_kernels(void);

/* The median of n numbers, which are sorted. */
double bm_bench_median(double *x, int n);

#endif
