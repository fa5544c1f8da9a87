/* What the two grammars share: the record that is being read. */
#ifndef BM_IO_MEDIA_CSV_PRIV_H
#define BM_IO_MEDIA_CSV_PRIV_H

#include "io/media/csv.h"
#include "io/media/input_priv.h"

#define BM_CSV_MOST_RECORD ((size_t)16 << 20)
#define BM_CSV_MOST_FIELDS 65536

typedef struct bm_csv_span {
    size_t start; /* in text */
    int quoted;
} bm_csv_span;

struct bm_csv {
    char *path;
    bm_csv_opts opts;
    bm_input *in;
    int64_t line;   /* being read */
    int64_t record; /* the line that the record began on */
    /* the record: its fields, each terminated */
    char *text;
    size_t length, capacity;
    bm_csv_span *spans;
    bm_csv_field *fields; /* the same, when it is complete */
    int64_t n, room;
    /* the columns */
    bm_csv_column *columns;
    int64_t n_columns, columns_room;
    int named, arff;
};

/* BM_ERR_CONFIG with "path:line: " before the text. */
#define bm_csv_fail(c, line, fmt, ...)                                                                                     \
    bm_fail(BM_ERR_CONFIG, "%s:%lld: " fmt, (c)->path, (long long)(line), __VA_ARGS__)

/* The beginning of a text as messages show it: on one line, no character cut in two; returns buf. */
#define BM_CSV_EXCERPT 64
const char *bm_csv_excerpt(char buf[BM_CSV_EXCERPT], const char *text);

/* Begins a record; a field of it; one byte of the field; takes blanks from the end of the field and ends it. */
void bm_csv_begin(bm_csv *c);
bm_status bm_csv_field_begin(bm_csv *c, int quoted);
bm_status bm_csv_put(bm_csv *c, int byte);
bm_status bm_csv_field_end(bm_csv *c);
/* Makes `fields` of the spans: UTF-8 is checked, missing is marked. */
bm_status bm_csv_record_end(bm_csv *c);

/* Takes the next byte, counting lines: CR, LF and CR LF are one '\n'. -1: the end, or a failure of the input. */
int bm_csv_take(bm_csv *c);
int bm_csv_peek(bm_csv *c);
int bm_csv_is_blank(const bm_csv *c, int byte); /* a blank or a tab, unless it is the delimiter */
void bm_csv_skip_blanks(bm_csv *c);

/* A column with a copy of the name; BM_ERR_CONFIG when there is one of that name. */
bm_status bm_csv_add_column(bm_csv *c, const char *name, bm_csv_kind kind);

/* ARFF: everything up to and with @data; one record, c->n 0 at the end of the file. */
bm_status bm_arff_header(bm_csv *c);
bm_status bm_arff_record(bm_csv *c);

#endif
