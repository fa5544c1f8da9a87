/* What came of a study. */
#ifndef BM_TOOLS_SEARCH_RESULTS_H
#define BM_TOOLS_SEARCH_RESULTS_H

#include "tools/search/study.h"

/* The table of trials, best first, on stdout, or the same as JSON; returns bmtool's exit code. */
int bm_study_print(const bm_study *s, int json);
/* Writes best.yaml, and says on stderr how to go on with the best trial: BM_ERR_NOT_FINITE when none succeeded. */
bm_status bm_study_conclude(const bm_study *s);

#endif
