/* Which trials of a search train how long. Random search: all of them to the end (Bergstra & Bengio 2012). Successive halving (Jamieson &
 * Talwalkar 2016, "Non-stochastic Best Arm Identification and Hyperparameter Optimization", figure 3, with eta in the place of 2 as
 * Li et al. 2018, "Hyperband", have it): n trials train for 1/eta^k of their steps, k = floor(log_eta n); the best floor(n / eta) go on to
 * eta times as many, and so on; those that are left train to the end. */
#ifndef BM_MODELS_TRAIN_HALVING_H
#define BM_MODELS_TRAIN_HALVING_H

#include <stdint.h>

#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { BM_RUNGS_MOST = 40 };

typedef struct bm_halving {
    int rungs;
    int64_t trials[BM_RUNGS_MOST]; /* of each rung */
    double share[BM_RUNGS_MOST];   /* of a trial's steps that it has made at the end of the rung; 1 at the last */
} bm_halving;

/* trials >= 1; eta >= 2, or 0: random search, one rung. */
BM_API bm_halving bm_halving_make(int64_t trials, int eta);

typedef struct bm_ranked {
    int64_t trial;
    double score; /* NaN: failed */
} bm_ranked;
/* Best first, then by trial; failed ones last. `rises`: more is better. */
BM_API void bm_rank(bm_ranked *list, int64_t n, int rises);

/* Whether a score of bmtool eval is better when it is more; -1: there is none of this name. */
BM_API int bm_metric_rises(const char *name);
/* The name of the i-th; NULL: no more. */
BM_API const char *bm_metric_name(int i);

#ifdef __cplusplus
}
#endif
#endif
