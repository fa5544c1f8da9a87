/* What the files of a study share: study.c is the folder and study.json, outcomes.c is trials.jsonl. */
#ifndef BM_TOOLS_SEARCH_STUDY_PRIV_H
#define BM_TOOLS_SEARCH_STUDY_PRIV_H

#include "tools/search/study.h"

#define BM_STUDY_MOST_BYTES ((size_t)256 << 20) /* of a file */

/* A file of the folder, old or new. */
bm_status bm_study_write(const bm_study *s, const char *name, const char *text, size_t bytes);

/* The lines that there are into s->outcomes. */
bm_status bm_study_read_outcomes(bm_study *s);
/* Of a study whose metric was changed: other scores count. */
bm_status bm_study_rescore(bm_study *s);

#endif
