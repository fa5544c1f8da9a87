/* A data set of samples that is made: what the commands that make one are told of it alike, and its writer. */
#ifndef BM_TOOLS_DATA_SAMPLES_OUT_H
#define BM_TOOLS_DATA_SAMPLES_OUT_H

#include <jansson.h>
#include <math.h>

#include "io/store/samples.h"
#include "tools/opt.h"

/* The encoding of a data set, or of a checkpoint or run folder, for --like; freed by bm_free. BM_ERR_REFUSED when it has none. */
bm_status bm_samples_encoding_of(char **out, const char *path);
/* The same as JSON, of a data set whose encoding says that it is of a kind, "images" say: BM_ERR_REFUSED for another. */
bm_status bm_samples_like(json_t **out, const char *path, const char *kind);

typedef struct bm_samples_out {
    const char *path, *like, *licence; /* as given; NULL: not */
    double val_fraction;               /* NAN: not given */
    int64_t split_seed;
    int replace, json, skip_bad;
    int64_t skipped; /* files that were left out */
    bm_samples_writer *writer;
} bm_samples_out;

#define BM_SAMPLES_OUT_NONE {.val_fraction = NAN, .split_seed = 1}
/* Rows of the options that all have beside --output. */
#define BM_SAMPLES_OUT_OPTS(o)                              \
    {"like", 0, BM_OPT_STRING, &(o)->like, 0},              \
    {"val-fraction", 0, BM_OPT_F64, &(o)->val_fraction, 0}, \
    {"split-seed", 0, BM_OPT_I64, &(o)->split_seed, 0},     \
    {"licence", 0, BM_OPT_STRING, &(o)->licence, 0},        \
    {"force", 'f', BM_OPT_FLAG, &(o)->replace, 0},          \
    {"json", 'j', BM_OPT_FLAG, &(o)->json, 0}

/* Creates the writer of samples that come from n sources; `form` has the options that the command was not told.
 * BM_ERR_USAGE when the licence is not UTF-8. */
bm_status bm_samples_out_open(bm_samples_out *o, const bm_samples_opts *form, const char *const *sources, int n);
/* BM_OK for a failure that is a bad file's own, where --skip-bad leaves those out; says so of the first few. */
bm_status bm_samples_out_skip(bm_samples_out *o, bm_status status);
/* Commits, reads the file that was written, and says what it holds and what was left out. */
bm_status bm_samples_out_commit(bm_samples_out *o);
void bm_samples_out_finish(bm_samples_out *o); /* abandons what was not committed */

#endif
