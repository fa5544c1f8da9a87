/* Tables as numbers: what each column of a CSV or ARFF file is found to be, and its rows encoded by that.
 *
 *   one pass over a file  ->  bm_columns  ->  rows of that file, or of another one, as [D] f32 and a target
 *
 * A column is a number or a category: as declared (ARFF), as the options say, or as its first value that is not missing is;
 * then all others must be so too. Of an encoded row,
 *   - a number takes one place: (x - shift) / scale, where missing x is the column's mean, and a second place, 1 for missing
 *     and 0 for there, when a value was missing in the file it was fitted to;
 *   - a category takes one place for each of its values, 1 for the one it has and 0 for the others, all 0 where it is missing,
 *     and such a second kind of place as well.
 * Standardised, shift is the mean and scale the population standard deviation (as scikit-learn's StandardScaler has it: 1 for
 * a constant column); else they are 0 and 1. Mean and variance by Welford's recurrence (Technometrics 4, 1962). The values of
 * a category are those that occur: in the order declared, else by size where all are numbers, else by bytes.
 * The target is a number, f32 encoded in the same way, or the index of a class, i32.
 *
 * BM_ERR_CONFIG names file, line and column of what does not fit, and for a column that is not there the nearest name. */
#ifndef BM_IO_MEDIA_COLUMNS_H
#define BM_IO_MEDIA_COLUMNS_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"
#include "io/media/csv.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum bm_column_kind { BM_COLUMN_AUTO, BM_COLUMN_NUMBER, BM_COLUMN_CATEGORY } bm_column_kind;

typedef struct bm_column {
    const char *name;
    bm_column_kind kind;
    int64_t first, width; /* its places in an encoded row; the target has none */
    int indicator;        /* the last of them says that the value is missing */
    int64_t count, missing;
    int64_t missing_line; /* the first line where it is missing, or 0 */
    double mean, std;     /* of a number, over the rows that count */
    double shift, scale;
    const char *const *categories;
    int64_t n_categories;
} bm_column;

typedef struct bm_columns_opts {
    const char *target; /* the name of its column (its number, from 1, where the file has no names); NULL: none */
    bm_column_kind target_kind;
    const char *const *features; /* NULL: every column but the target */
    int64_t n_features;
    const char *const *categories; /* columns that are categories whatever their values look like */
    int64_t n_categories;
    int standardize;
    int standardize_target;  /* when it is a number */
    int refuse_nan;          /* BM_ERR_CONFIG for a value written nan: something was computed wrongly, rather than not known */
    int refuse_missing;      /* for any missing value; one in the target always is */
    int64_t most_categories; /* of one column; 1000 */
    int (*counts)(void *user, int64_t row); /* whether a row counts for mean and deviation; NULL: all do */
    void *user;
    bm_csv_opts csv;
} bm_columns_opts;
BM_API bm_columns_opts bm_columns_opts_default(void);

typedef struct bm_columns bm_columns;

/* One pass over the file. BM_ERR_CONFIG too for a target with one class only, and for a file without rows. A column without any
 * value is left out with a warning, or BM_ERR_CONFIG where it was asked for. */
BM_API bm_status bm_columns_fit(bm_columns **out, const char *path, const bm_columns_opts *opts);
BM_API void bm_columns_destroy(bm_columns *t);
/* The columns as JSON ({"format": "bm-columns", "version": 1, ...}; bm_free) and back: BM_ERR_REFUSED names what is wrong with
 * it; `what` names it. */
BM_API bm_status bm_columns_to_json(char **out, const bm_columns *t);
BM_API bm_status bm_columns_from_json(bm_columns **out, const char *json, const char *what);

BM_API int64_t bm_columns_rows(const bm_columns *t);  /* of the file it was fitted to */
BM_API int64_t bm_columns_width(const bm_columns *t); /* D, the places of an encoded row */
BM_API int64_t bm_columns_count(const bm_columns *t); /* features */
BM_API const bm_column *bm_columns_at(const bm_columns *t, int64_t i);
BM_API const bm_column *bm_columns_target(const bm_columns *t); /* NULL: none */

/* ---- rows ---- */

typedef struct bm_rows bm_rows;

/* Rows of a file that has columns of the same names, in any order and among others; the target's only where `targets`. With
 * csv->header AUTO (or csv NULL) it has a header when the fitted file had one. `t` must outlive the reader. */
BM_API bm_status bm_rows_open(bm_rows **out, const bm_columns *t, const char *path, const bm_csv_opts *csv, int targets);
BM_API void bm_rows_close(bm_rows *r);
/* Up to `most` rows: inputs [*rows, D] f32 and, of a reader with targets, targets [*rows] f32 or i32 as the target's kind is;
 * *rows is 0 at the end. A category that was not in the fitted file, and what is no number, are BM_ERR_CONFIG. */
BM_API bm_status bm_rows_next(bm_rows *r, int64_t *rows, float *inputs, void *targets, int64_t most);

#ifdef __cplusplus
}
#endif
#endif
