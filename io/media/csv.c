#include "io/media/csv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/mem.h"
#include "io/media/csv_priv.h"

enum { RECORDS_LOOKED_AT = 100 };

bm_csv_opts bm_csv_opts_default(void) { return (bm_csv_opts){0, BM_CSV_HEADER_AUTO}; }

/* ---- the grammar ---- */

/* Whether a field ends before this byte. */
static int is_end(const bm_csv *c, int byte)
{
    return byte < 0 || byte == '\n' || byte == c->opts.delimiter || (byte == '\t' && c->opts.delimiter == ' ');
}

static bm_status read_quoted(bm_csv *c)
{
    const int64_t began = c->line;
    bm_csv_take(c); /* the quote */
    BM_TRY(bm_csv_field_begin(c, 1));
    for (;;) {
        int byte = bm_csv_take(c);
        BM_TRY(c->in->status);
        if (byte < 0) return bm_csv_fail(c, began, "%s", "the quote that begins here is never closed");
        if (byte == '"' && bm_csv_peek(c) != '"') break;
        if (byte == '"') bm_csv_take(c);
        BM_TRY(bm_csv_put(c, byte));
    }
    if (c->opts.delimiter != ' ') bm_csv_skip_blanks(c);
    if (!is_end(c, bm_csv_peek(c)))
        return bm_csv_fail(c, c->line, "field %lld has text behind its closing quote", (long long)c->n);
    return bm_csv_field_end(c);
}

static bm_status read_plain(bm_csv *c)
{
    BM_TRY(bm_csv_field_begin(c, 0));
    while (!is_end(c, bm_csv_peek(c))) BM_TRY(bm_csv_put(c, bm_csv_take(c)));
    return bm_csv_field_end(c);
}

/* Goes over the delimiter or the end of the line; whether another field follows. */
static int go_on(bm_csv *c)
{
    if (c->opts.delimiter != ' ') return bm_csv_take(c) == c->opts.delimiter;
    bm_csv_skip_blanks(c);
    const int byte = bm_csv_peek(c);
    if (byte == '\n') bm_csv_take(c);
    return byte >= 0 && byte != '\n';
}

/* One line's fields. */
static bm_status read_line(bm_csv *c)
{
    bm_csv_begin(c);
    do {
        bm_csv_skip_blanks(c);
        BM_TRY(bm_csv_peek(c) == '"' ? read_quoted(c) : read_plain(c));
    } while (go_on(c));
    return BM_OK;
}

/* The next record that is no blank line; c->n is 0 at the end. */
static bm_status read_record(bm_csv *c)
{
    do {
        c->n = 0;
        if (bm_csv_peek(c) < 0) break;
        BM_TRY(read_line(c));
    } while (c->n == 1 && !c->spans[0].quoted && c->length == 1);
    BM_TRY(c->in->status);
    return bm_csv_record_end(c);
}

/* ---- what the first records tell ---- */

/* From the first byte on. */
static bm_status restart(bm_csv *c)
{
    static const unsigned char mark[] = {0xef, 0xbb, 0xbf};
    bm_input_close(c->in);
    c->in = NULL;
    c->line = 1;
    BM_TRY(bm_input_open(&c->in, c->path));
    bm_input_fill(c->in);
    if (c->in->end - c->in->at >= 3 && memcmp(c->in->at, mark, 3) == 0) c->in->at += 3;
    return c->in->status;
}

/* Counts what could be a delimiter outside the quotes of the first line that has anything; 0 when there is none of it. */
static bm_status count_delimiters(bm_csv *c)
{
    static const char candidates[] = ",;\t";
    int64_t count[3] = {0, 0, 0};
    int quoted = 0, at_start = 1, any = 0, best = 0;
    size_t bytes = 0;
    for (int byte = bm_csv_take(c); byte >= 0 && bytes < BM_CSV_MOST_RECORD; byte = bm_csv_take(c), bytes++) {
        const char *found = byte ? strchr(candidates, byte) : NULL;
        if (byte == '"' && (quoted || at_start)) {
            quoted = !quoted;
            at_start = 1; /* a second one goes on with the field */
        } else if (!quoted) {
            if (byte == '\n' && any) break;
            if (found) count[found - candidates]++;
            at_start = found || byte == '\n' || byte == ' ';
        }
        any |= byte != '\n';
    }
    BM_TRY(c->in->status);
    for (int i = 1; i < 3; i++)
        if (count[i] > count[best]) best = i;
    c->opts.delimiter = count[best] ? candidates[best] : 0;
    return restart(c);
}

static int count_numbers(const bm_csv *c)
{
    int n = 0;
    double x;
    for (int64_t i = 0; i < c->n; i++) n += bm_csv_number(&x, c->fields[i].text);
    return n;
}

/* The blank is one when the second record is two numbers or more, as many as the first has words; else the comma it is. */
static bm_status find_delimiter(bm_csv *c)
{
    BM_TRY(count_delimiters(c));
    if (c->opts.delimiter) return BM_OK;
    c->opts.delimiter = ' ';
    BM_TRY(read_record(c));
    const int64_t n = c->n;
    BM_TRY(read_record(c));
    if (n < 2 || c->n != n || count_numbers(c) != n) c->opts.delimiter = ',';
    return restart(c);
}

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

/* Two equal ones of the texts, as the first of them, or NULL; the order of `texts` is lost. */
static const char *find_twin(const char **texts, int64_t n)
{
    qsort(texts, (size_t)n, sizeof *texts, by_text);
    for (int64_t i = 1; i < n; i++)
        if (strcmp(texts[i - 1], texts[i]) == 0) return texts[i];
    return NULL;
}

/* Whether the fields are all there and all different, as names are. */
static bm_status are_names(int *yes, const bm_csv *c)
{
    const char **texts = bm_calloc((size_t)c->n + 1, sizeof *texts);
    if (!texts) return BM_ERR_MEMORY;
    *yes = 1;
    for (int64_t i = 0; i < c->n; i++) {
        texts[i] = c->fields[i].text;
        *yes &= !c->fields[i].missing;
    }
    *yes = *yes && !find_twin(texts, c->n);
    bm_free(texts);
    return BM_OK;
}

static bm_status find_header(bm_csv *c)
{
    int names = 0;
    BM_TRY(read_record(c));
    c->opts.header = BM_CSV_HEADER_NO;
    if (c->n == 0 || count_numbers(c)) return BM_OK;
    BM_TRY(are_names(&names, c));
    for (int i = 0; i < RECORDS_LOOKED_AT; i++) {
        BM_TRY(read_record(c));
        if (c->n == 0) break;
        if (!count_numbers(c)) continue;
        names = 1;
        break;
    }
    if (names) c->opts.header = BM_CSV_HEADER_YES;
    return BM_OK;
}

/* ---- columns ---- */

bm_status bm_csv_add_column(bm_csv *c, const char *name, bm_csv_kind kind)
{
    if (c->n_columns == BM_CSV_MOST_FIELDS) return bm_csv_fail(c, c->line, "more than %d columns", BM_CSV_MOST_FIELDS);
    if (c->n_columns == c->columns_room) {
        int64_t room = c->columns_room ? 2 * c->columns_room : 16;
        bm_csv_column *columns = bm_realloc(c->columns, (size_t)room, sizeof *columns);
        if (!columns) return BM_ERR_MEMORY;
        c->columns = columns;
        c->columns_room = room;
    }
    char *copy = bm_strdup(name);
    if (!copy) return BM_ERR_MEMORY;
    c->columns[c->n_columns++] = (bm_csv_column){copy, kind, NULL, 0};
    return BM_OK;
}

static bm_status check_names(const bm_csv *c)
{
    const char **names = bm_calloc((size_t)c->n_columns + 1, sizeof *names), *twin;
    if (!names) return BM_ERR_MEMORY;
    for (int64_t i = 0; i < c->n_columns; i++) names[i] = c->columns[i].name;
    twin = find_twin(names, c->n_columns);
    bm_free(names);
    return twin ? bm_fail(BM_ERR_CONFIG, "%s: two columns are named \"%.200s\"", c->path, twin) : BM_OK;
}

/* Of the first record: its fields, or numbers where it has none to give. */
static bm_status name_columns(bm_csv *c)
{
    BM_TRY(read_record(c));
    c->named = c->opts.header == BM_CSV_HEADER_YES;
    for (int64_t i = 0; i < c->n; i++) {
        char number[24];
        snprintf(number, sizeof number, "%lld", (long long)i + 1);
        BM_TRY(bm_csv_add_column(c, c->named && c->fields[i].length ? c->fields[i].text : number, BM_CSV_UNDECLARED));
    }
    return c->named ? BM_OK : restart(c);
}

static bm_status start(bm_csv *c)
{
    const size_t n = strlen(c->path);
    BM_TRY(restart(c));
    c->arff = (n >= 5 && strcasecmp(c->path + n - 5, ".arff") == 0) || (n >= 8 && strcasecmp(c->path + n - 8, ".arff.gz") == 0);
    if (c->arff) {
        BM_TRY(bm_arff_header(c));
        return check_names(c);
    }
    if (c->opts.delimiter && !strchr(",;\t ", c->opts.delimiter))
        return bm_fail(BM_ERR_USAGE, "%s: the delimiter is a comma, a semicolon, a tab or a blank", c->path);
    if (!c->opts.delimiter) BM_TRY(find_delimiter(c));
    if (c->opts.header == BM_CSV_HEADER_AUTO) {
        BM_TRY(find_header(c));
        BM_TRY(restart(c));
    }
    BM_TRY(name_columns(c));
    return check_names(c);
}

bm_status bm_csv_open(bm_csv **out, const char *path, const bm_csv_opts *opts)
{
    bm_csv *c = bm_calloc(1, sizeof *c);
    bm_status status;
    *out = NULL;
    if (!c) return BM_ERR_MEMORY;
    c->opts = opts ? *opts : bm_csv_opts_default();
    c->path = bm_strdup(path);
    status = c->path ? start(c) : BM_ERR_MEMORY;
    if (status) bm_csv_close(c);
    else *out = c;
    return status;
}

void bm_csv_close(bm_csv *c)
{
    if (!c) return;
    for (int64_t i = 0; i < c->n_columns; i++) {
        for (int64_t k = 0; k < c->columns[i].n_values; k++) bm_free((char *)c->columns[i].values[k]);
        bm_free((void *)c->columns[i].values);
        bm_free((char *)c->columns[i].name);
    }
    bm_free(c->columns);
    bm_input_close(c->in);
    bm_free(c->text);
    bm_free(c->spans);
    bm_free(c->fields);
    bm_free(c->path);
    bm_free(c);
}

/* ---- reading ---- */

static bm_status check_nominal(const bm_csv *c, const bm_csv_column *column, const bm_csv_field *f)
{
    char shown[BM_CSV_EXCERPT];
    if (f->missing) return BM_OK;
    for (int64_t k = 0; k < column->n_values; k++)
        if (strcmp(column->values[k], f->text) == 0) return BM_OK;
    return bm_csv_fail(c, c->record, "column \"%.200s\": \"%s\" is none of the values declared", column->name,
                       bm_csv_excerpt(shown, f->text));
}

bm_status bm_csv_next(bm_csv *c, const bm_csv_field **fields)
{
    *fields = NULL;
    BM_TRY(c->arff ? bm_arff_record(c) : read_record(c));
    if (c->n == 0) return BM_OK;
    if (c->n != c->n_columns)
        return bm_csv_fail(c, c->record, "%lld field%s, where %s %lld", (long long)c->n, c->n == 1 ? "" : "s",
                           c->arff ? "the attributes declared are" : "the first record has", (long long)c->n_columns);
    for (int64_t i = 0; i < c->n; i++)
        if (c->columns[i].kind == BM_CSV_NOMINAL) BM_TRY(check_nominal(c, &c->columns[i], &c->fields[i]));
    *fields = c->fields;
    return BM_OK;
}

int64_t bm_csv_line(const bm_csv *c) { return c->record; }
const char *bm_csv_path(const bm_csv *c) { return c->path; }
int bm_csv_named(const bm_csv *c) { return c->named; }
int64_t bm_csv_count(const bm_csv *c) { return c->n_columns; }
const bm_csv_column *bm_csv_column_at(const bm_csv *c, int64_t i) { return &c->columns[i]; }
