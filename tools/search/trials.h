/* Training the trials of a study. */
#ifndef BM_TOOLS_SEARCH_TRIALS_H
#define BM_TOOLS_SEARCH_TRIALS_H

#include "core/base/str.h"
#include "tools/search/study.h"

/* Trains what is not trained yet, each trial in a process of its own, and records what came of it. A trial whose loss is not finite, that
 * has no room in memory or whose values do not fit together is recorded as failed. BM_ERR_STOPPED after a signal; what no other trial would
 * do better with (a full disk, no device) ends the search and is its status. */
bm_status bm_study_go(bm_study *s);

/* "train.lr 0.00123, model.widths [32]" */
void bm_study_describe(bm_str *out, const bm_study *s, int64_t trial);

#endif
