/* What the commands that make data sets of samples share. */
#ifndef BM_TOOLS_SAMPLES_OUT_H
#define BM_TOOLS_SAMPLES_OUT_H

#include <jansson.h>

#include "io/store/samples.h"

/* {"source": [names], "licence": text or null}: where a data set is from; freed by bm_free. BM_ERR_USAGE when the licence is not
 * UTF-8. */
bm_status bm_samples_about(char **out, char *const *sources, int n, const char *licence);
/* The encoding of a data set, or of a checkpoint or run folder, for --like; freed by bm_free. BM_ERR_REFUSED when it has none. */
bm_status bm_samples_encoding_of(char **out, const char *path);
/* The same as JSON, of a data set whose encoding says that it is of a kind, "images" say: BM_ERR_REFUSED for another. */
bm_status bm_samples_like(json_t **out, const char *path, const char *kind);
/* The files that --skip-bad leaves out. */
typedef struct bm_skipped {
    int skip; /* whether bad files are left out */
    int64_t count;
} bm_skipped;
/* BM_OK for a failure that is a bad file's own, where those are left out; says so of the first few. */
bm_status bm_skipped_take(bm_skipped *s, bm_status status);
/* How many were left out, where any were. */
void bm_skipped_say(const bm_skipped *s);
/* Reads the file that was written, and says what it holds. */
bm_status bm_samples_report(const char *path, const bm_content_id *id, int json);

#endif
