/* What the commands that make data sets of samples share. */
#ifndef BM_TOOLS_SAMPLES_OUT_H
#define BM_TOOLS_SAMPLES_OUT_H

#include "io/store/samples.h"

/* {"source": [names], "licence": text or null}: where a data set is from; freed by bm_free. BM_ERR_USAGE when the licence is not
 * UTF-8. */
bm_status bm_samples_about(char **out, char *const *sources, int n, const char *licence);
/* The encoding of a data set, or of a checkpoint or run folder, for --like; freed by bm_free. BM_ERR_REFUSED when it has none. */
bm_status bm_samples_encoding_of(char **out, const char *path);
/* Reads the file that was written, and says what it holds. */
bm_status bm_samples_report(const char *path, const bm_content_id *id, int json);

#endif
