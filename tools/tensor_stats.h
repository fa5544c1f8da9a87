/* What values a tensor has, for `stats` and `plot --histogram`. */
#ifndef BM_TOOLS_TENSOR_STATS_H
#define BM_TOOLS_TENSOR_STATS_H

#include <stdint.h>

#include "io/store/store.h"

enum { BM_TENSOR_BINS_MOST = 60 };

typedef struct bm_tensor_stats {
    bm_dtype dtype;
    int64_t count, finite, zeros, nans, infs;
    double least, greatest, mean, m2; /* of the finite ones; m2: sum of squared distances from the mean */
    int bins;                         /* equal steps from the least to the greatest */
    int64_t bin[BM_TENSOR_BINS_MOST];
} bm_tensor_stats;

/* Reads the tensor once, or twice for `bins` (0: none). */
bm_status bm_tensor_measure(bm_tensor_stats *s, const bm_store *store, const bm_entry *e, int bins);

#endif
