/* The pass that finds what the columns are. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/log.h"
#include "io/media/columns_priv.h"
#include "io/media/csv_priv.h"

/* A column on the way: what was seen of it. */
typedef struct finding {
    int64_t source; /* the column of the file */
    const bm_csv_column *from;
    bm_column_kind kind; /* AUTO until a value tells */
    int told;           /* by the options or the file, not by a value */
    int standardize, is_target;
    char sample[BM_CSV_EXCERPT]; /* the value that told, and its line */
    int64_t sample_line;
    int64_t count, missing, missing_line;
    int64_t weighed; /* numbers in rows that count */
    double mean, squares;
    char **texts; /* categories, sorted by bytes */
    int64_t n_texts, texts_room;
} finding;

typedef struct fit {
    const bm_columns_opts *opts;
    bm_csv *csv;
    finding *found; /* the features, then the target */
    int64_t n_features, n, rows;
    bm_columns *columns;
} fit;

bm_columns_opts bm_columns_opts_default(void) { return (bm_columns_opts){.most_categories = 1000}; }

#define fail_at(f, line, c, fmt, ...)                                                                                      \
    bm_fail(BM_ERR_CONFIG, "%s:%lld: column \"%.200s\": " fmt, bm_csv_path((f)->csv), (long long)(line), (c)->from->name,   \
            __VA_ARGS__)
#define fail_column(f, c, fmt, ...)                                                                                        \
    bm_fail(BM_ERR_CONFIG, "%s: column \"%.200s\" " fmt, bm_csv_path((f)->csv), (c)->from->name, __VA_ARGS__)

/* ---- which columns ---- */

static bm_status choose_column(fit *f, int64_t source, int is_target)
{
    finding *c = &f->found[f->n];
    for (int64_t i = 0; i < f->n; i++)
        if (f->found[i].source == source)
            return fail_column(f, &f->found[i], "%s", "is asked for twice");
    f->n++;
    c->source = source;
    c->from = bm_csv_column_at(f->csv, source);
    c->is_target = is_target;
    c->standardize = is_target ? f->opts->standardize_target : f->opts->standardize;
    if (c->from->kind != BM_CSV_UNDECLARED) c->kind = c->from->kind == BM_CSV_NUMBER ? BM_COLUMN_NUMBER : BM_COLUMN_CATEGORY;
    if (is_target && f->opts->target_kind) c->kind = f->opts->target_kind;
    c->told = c->kind != BM_COLUMN_AUTO;
    return BM_OK;
}

static bm_status choose_columns(fit *f)
{
    const bm_columns_opts *o = f->opts;
    const int64_t all = bm_csv_count(f->csv);
    int64_t target = -1, source;
    f->found = bm_calloc((size_t)(o->features ? o->n_features : all) + 1, sizeof *f->found);
    if (!f->found) return BM_ERR_MEMORY;
    if (o->target) BM_TRY(bm_columns_find(&target, f->csv, o->target));
    for (int64_t i = 0; o->features && i < o->n_features; i++) {
        BM_TRY(bm_columns_find(&source, f->csv, o->features[i]));
        BM_TRY(choose_column(f, source, 0));
    }
    for (int64_t i = 0; !o->features && i < all; i++)
        if (i != target) BM_TRY(choose_column(f, i, 0));
    f->n_features = f->n;
    if (target >= 0) BM_TRY(choose_column(f, target, 1));
    for (int64_t k = 0; k < o->n_categories; k++) {
        BM_TRY(bm_columns_find(&source, f->csv, o->categories[k]));
        for (int64_t i = 0; i < f->n; i++)
            if (f->found[i].source == source) f->found[i].kind = BM_COLUMN_CATEGORY, f->found[i].told = 1;
    }
    return f->n_features ? BM_OK : bm_fail(BM_ERR_CONFIG, "%s: no column is left for the inputs", bm_csv_path(f->csv));
}

/* ---- values ---- */

/* Where a category stands or would stand. */
static int64_t place_of(const finding *c, const char *text, int *there)
{
    int64_t low = 0, high = c->n_texts;
    *there = 0;
    while (low < high && !*there) {
        int64_t middle = low + (high - low) / 2;
        int order = strcmp(text, c->texts[middle]);
        if (order == 0) *there = 1, low = middle;
        else if (order > 0) low = middle + 1;
        else high = middle;
    }
    return low;
}

static bm_status add_category(const fit *f, finding *c, const char *text)
{
    char shown[BM_CSV_EXCERPT];
    int there;
    const int64_t at = place_of(c, text, &there);
    if (there) return BM_OK;
    if (c->n_texts >= f->opts->most_categories)
        return fail_at(f, bm_csv_line(f->csv), c, "\"%s\" is one category more than the %lld allowed; does it name single rows?",
                       bm_csv_excerpt(shown, text), (long long)f->opts->most_categories);
    if (c->n_texts == c->texts_room) {
        int64_t room = c->texts_room ? 2 * c->texts_room : 8;
        char **texts = bm_realloc(c->texts, (size_t)room, sizeof *texts);
        if (!texts) return BM_ERR_MEMORY;
        c->texts = texts;
        c->texts_room = room;
    }
    char *copy = bm_strdup(text);
    if (!copy) return BM_ERR_MEMORY;
    memmove(c->texts + at + 1, c->texts + at, (size_t)(c->n_texts - at) * sizeof *c->texts);
    c->texts[at] = copy;
    c->n_texts++;
    return BM_OK;
}

/* What looks like 1,5: a decimal comma, which bm does not read and no category is meant by. */
static int has_decimal_comma(const char *text)
{
    static const char digits[] = "0123456789";
    const char *whole = text + strspn(text, "+-"), *comma = whole + strspn(whole, digits);
    return comma > whole && comma[0] == ',' && comma[1] && comma[1 + strspn(comma + 1, digits)] == '\0';
}

/* The text that stands between numbers, whichever came first. */
static bm_status wrong_kind(const fit *f, const finding *c, const char *text, int is_number)
{
    char shown[BM_CSV_EXCERPT];
    const int64_t line = bm_csv_line(f->csv);
    bm_csv_excerpt(shown, text);
    const char *no = is_number ? c->sample : shown, *yes = is_number ? shown : c->sample;
    if (c->told) return fail_at(f, line, c, "\"%s\" is not a number", no);
    return fail_at(f, is_number ? c->sample_line : line, c, "\"%s\" is not a number, as \"%s\" in line %lld is (--categories "
                   "names columns of categories)", no, yes, (long long)(is_number ? line : c->sample_line));
}

static bm_status add_value(const fit *f, finding *c, const char *text, int counts)
{
    double x = 0;
    const int is_number = bm_csv_number(&x, text);
    if (c->kind == BM_COLUMN_AUTO) {
        c->kind = is_number ? BM_COLUMN_NUMBER : BM_COLUMN_CATEGORY;
        c->sample_line = bm_csv_line(f->csv);
        bm_csv_excerpt(c->sample, text);
    }
    c->count++;
    if (!c->told && is_number != (c->kind == BM_COLUMN_NUMBER)) return wrong_kind(f, c, text, is_number);
    if (c->kind == BM_COLUMN_CATEGORY && !c->told && has_decimal_comma(text))
        return fail_at(f, bm_csv_line(f->csv), c, "\"%.60s\" has a decimal comma: write a point", text);
    if (c->kind == BM_COLUMN_CATEGORY) return add_category(f, c, text);
    if (!is_number) return wrong_kind(f, c, text, 0);
    if (counts) {
        const double d = x - c->mean;
        c->mean += d / (double)++c->weighed;
        c->squares += d * (x - c->mean);
    }
    return BM_OK;
}

static int is_nan(const char *text) { return !strcmp(text, "nan") || !strcmp(text, "NaN"); }

static bm_status add_missing(const fit *f, finding *c, const char *text)
{
    if (!c->is_target && f->opts->refuse_nan && is_nan(text)) return fail_at(f, bm_csv_line(f->csv), c, "%s is not a number (--missing mean "
                                                                          "takes it as missing)", text);
    if (c->is_target || f->opts->refuse_missing)
        return fail_at(f, bm_csv_line(f->csv), c, "%s is missing", c->is_target ? "the target" : "a value");
    if (c->missing++ == 0) c->missing_line = bm_csv_line(f->csv);
    return BM_OK;
}

static bm_status read_rows(fit *f)
{
    const bm_csv_field *fields;
    BM_TRY(bm_csv_next(f->csv, &fields));
    for (; fields; f->rows++) {
        const int counts = !f->opts->counts || f->opts->counts(f->opts->user, f->rows);
        for (int64_t i = 0; i < f->n; i++) {
            const bm_csv_field *x = &fields[f->found[i].source];
            BM_TRY(x->missing ? add_missing(f, &f->found[i], x->text) : add_value(f, &f->found[i], x->text, counts));
        }
        BM_TRY(bm_csv_next(f->csv, &fields));
    }
    return f->rows ? BM_OK : bm_fail(BM_ERR_CONFIG, "%s: no rows", bm_csv_path(f->csv));
}

/* ---- the columns ---- */

static int by_size(const void *a, const void *b)
{
    double x = 0, y = 0;
    bm_csv_number(&x, *(char *const *)a);
    bm_csv_number(&y, *(char *const *)b);
    return (x > y) - (x < y);
}

/* In the order declared, or by size where all are numbers; they are sorted by bytes already. */
static bm_status order_categories(const fit *f, finding *c)
{
    double x;
    int64_t n = 0, numbers = 0;
    if (c->from->kind == BM_CSV_NOMINAL) { /* every value is among those declared: each takes its turn at the front */
        for (int64_t k = 0; k < c->from->n_values; k++) {
            for (int64_t i = n; i < c->n_texts; i++) {
                if (strcmp(c->texts[i], c->from->values[k]) != 0) continue;
                char *text = c->texts[i];
                c->texts[i] = c->texts[n];
                c->texts[n++] = text;
            }
        }
        return BM_OK;
    }
    for (int64_t i = 0; i < c->n_texts; i++) numbers += bm_csv_number(&x, c->texts[i]);
    if (numbers < c->n_texts) return BM_OK;
    qsort(c->texts, (size_t)c->n_texts, sizeof *c->texts, by_size);
    for (int64_t i = 1; i < c->n_texts; i++)
        if (by_size(&c->texts[i - 1], &c->texts[i]) == 0)
            return fail_column(f, c, "has the categories \"%.60s\" and \"%.60s\", which are one number", c->texts[i - 1],
                               c->texts[i]);
    return BM_OK;
}

/* scikit-learn's _is_constant_feature: no more spread than rounding makes. */
static int is_constant(double variance, double mean, double n)
{
    const double rounding = n * mean * DBL_EPSILON;
    return variance <= n * DBL_EPSILON * variance + rounding * rounding;
}

static bm_status finish_number(const fit *f, bm_column *column, const finding *c)
{
    const double variance = c->weighed ? c->squares / (double)c->weighed : 0;
    if (!c->weighed) return fail_column(f, c, "%s", "has no value in the rows that count");
    if (!isfinite(c->mean) || !isfinite(variance)) return fail_column(f, c, "%s", "has numbers too large to average");
    const int constant = is_constant(variance, c->mean, (double)c->weighed);
    if (constant && c->is_target && !c->told && c->weighed > 1)
        return fail_column(f, c, "is the target and is %.6g in every row: there is nothing to learn", c->mean);
    column->mean = c->mean;
    column->std = sqrt(variance);
    if (!c->standardize) return BM_OK;
    column->shift = c->mean;
    column->scale = constant ? 1 : column->std;
    return BM_OK;
}

static bm_status finish_column(const fit *f, bm_column_slot *s, finding *c)
{
    bm_column *column = &s->column;
    BM_TRY(bm_column_slot_name(s, c->from->name));
    column->kind = c->kind;
    column->count = c->count;
    column->missing = c->missing;
    column->missing_line = c->missing_line;
    column->indicator = c->missing > 0;
    if (c->kind == BM_COLUMN_NUMBER) return finish_number(f, column, c);
    if (c->is_target && c->n_texts < 2)
        return fail_column(f, c, "is the target and has one class only, \"%.60s\": there is nothing to learn", c->texts[0]);
    BM_TRY(order_categories(f, c));
    return bm_column_slot_categories(s, (const char *const *)c->texts, c->n_texts);
}

/* Leaves out features without any value, unless they were asked for by name. */
static bm_status drop_empty(fit *f)
{
    int64_t kept = 0;
    for (int64_t i = 0; i < f->n; i++) {
        finding *c = &f->found[i];
        if (c->count == 0 && (f->opts->features || c->is_target)) return fail_column(f, c, "%s", "has no value in any row");
        if (c->count == 0)
            bm_log(BM_LOG_WARN, "%s: column \"%.200s\" has no value in any row and is left out", bm_csv_path(f->csv),
                   c->from->name);
        else
            f->found[kept++] = *c;
    }
    f->n_features -= f->n - kept;
    f->n = kept;
    return f->n_features ? BM_OK : bm_fail(BM_ERR_CONFIG, "%s: no column has a value", bm_csv_path(f->csv));
}

static bm_status fit_file(fit *f, const char *path)
{
    BM_TRY(bm_csv_open(&f->csv, path, &f->opts->csv));
    BM_TRY(choose_columns(f));
    BM_TRY(read_rows(f));
    BM_TRY(drop_empty(f));
    BM_TRY(bm_columns_create(&f->columns, f->n_features, f->n > f->n_features));
    f->columns->rows = f->rows;
    f->columns->named = bm_csv_named(f->csv);
    for (int64_t i = 0; i < f->n; i++) BM_TRY(finish_column(f, &f->columns->slots[i], &f->found[i]));
    bm_columns_place(f->columns);
    return BM_OK;
}

bm_status bm_columns_fit(bm_columns **out, const char *path, const bm_columns_opts *opts)
{
    const bm_columns_opts standard = bm_columns_opts_default();
    fit f = {.opts = opts ? opts : &standard};
    bm_status status = fit_file(&f, path);
    for (int64_t i = 0; i < f.n; i++) {
        for (int64_t k = 0; k < f.found[i].n_texts; k++) bm_free(f.found[i].texts[k]);
        bm_free(f.found[i].texts);
    }
    bm_free(f.found);
    bm_csv_close(f.csv);
    if (status) bm_columns_destroy(f.columns);
    *out = status ? NULL : f.columns;
    return status;
}
