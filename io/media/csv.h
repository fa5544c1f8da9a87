/* Records of a text table, one after the other: CSV, and ARFF where the name ends in .arff or .arff.gz. Either may be gzip.
 *
 * CSV as RFC 4180 has it: fields in double quotes hold delimiters, line ends and quotes (doubled). Beyond it: LF and CR end
 * lines too; a byte order mark is skipped; blanks around fields and around quotes do not count; lines without any character
 * are skipped; a quote inside an unquoted field is a letter. The delimiter is the comma, the semicolon or the tab, the one
 * that the first record has most of; where it has none of them, blanks, when the second record is two numbers or more and as
 * many as the first has words; or the one given. A header is what the first record is when none
 * of its fields is a number and, among the next 100 records, some field is; where no field is a number at all, when its
 * fields are all there and all different; or what the caller says. Columns without a name are called by their number, from 1.
 *
 * ARFF (https://waikato.github.io/weka-wiki/formats_and_processing/arff_stable/): attributes numeric, real, integer, string
 * and {a, b, ...}; the name or value in single or double quotes with backslashes; % begins a comment. Dates, relational
 * attributes, sparse rows and weights are BM_ERR_UNSUPPORTED.
 *
 * Missing is a field that is empty or, unquoted, one of ? NA NaN nan null NULL; in ARFF ? alone.
 *
 * BM_ERR_CONFIG names the file and the line for what is not as described: another number of fields than the first record
 * has, a quote never closed (with the line that it began on), a NUL or bytes that are not UTF-8, a record beyond 16 MiB or
 * 65,536 fields. Memory is bounded by these, whatever the file's size. */
#ifndef BM_IO_MEDIA_CSV_H
#define BM_IO_MEDIA_CSV_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum bm_csv_header { BM_CSV_HEADER_AUTO, BM_CSV_HEADER_NO, BM_CSV_HEADER_YES } bm_csv_header;

typedef struct bm_csv_opts {
    char delimiter;       /* ',' ';' '\t' or ' ' (any number of blanks and tabs); 0: found out */
    bm_csv_header header;
} bm_csv_opts;
BM_API bm_csv_opts bm_csv_opts_default(void);

typedef struct bm_csv_field {
    const char *text; /* terminated, without quotes; borrowed until the next record is read */
    size_t length;
    int missing;
} bm_csv_field;

/* What a column was declared to hold; CSV declares nothing. */
typedef enum bm_csv_kind { BM_CSV_UNDECLARED, BM_CSV_NUMBER, BM_CSV_STRING, BM_CSV_NOMINAL } bm_csv_kind;

typedef struct bm_csv_column {
    const char *name; /* no two alike */
    bm_csv_kind kind;
    const char *const *values; /* of a nominal one, as declared */
    int64_t n_values;
} bm_csv_column;

typedef struct bm_csv bm_csv;

BM_API bm_status bm_csv_open(bm_csv **out, const char *path, const bm_csv_opts *opts); /* opts NULL: the defaults */
BM_API void bm_csv_close(bm_csv *c);
/* The next record, one field for each column; NULL at the end. Both borrowed. A nominal value that was not declared is
 * BM_ERR_CONFIG. */
BM_API bm_status bm_csv_next(bm_csv *c, const bm_csv_field **fields);
/* The line that the last record began on, from 1. */
BM_API int64_t bm_csv_line(const bm_csv *c);
BM_API const char *bm_csv_path(const bm_csv *c);
/* Whether the file names its columns. */
BM_API int bm_csv_named(const bm_csv *c);
/* Columns; 0 in a file without any record. Borrowed until close. */
BM_API int64_t bm_csv_count(const bm_csv *c);
BM_API const bm_csv_column *bm_csv_column_at(const bm_csv *c, int64_t i);

/* Whether a text is a finite number as tables have them: digits, a point, an exponent. *out is not touched otherwise. */
BM_API int bm_csv_number(double *out, const char *text);

#ifdef __cplusplus
}
#endif
#endif
