/* The pass that encodes rows. */
#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "io/media/columns_priv.h"
#include "io/media/csv_priv.h"

struct bm_rows {
    const bm_columns *columns;
    bm_csv *csv;
    int64_t *source; /* of each slot, the column of the file */
    int targets;
};

static bm_status open_reader(bm_rows *r, const char *path, const bm_csv_opts *csv)
{
    const bm_columns *t = r->columns;
    bm_csv_opts opts = csv ? *csv : bm_csv_opts_default();
    if (r->targets && !t->has_target) return bm_fail(BM_ERR_USAGE, "%s: there is no target among the columns", path);
    if (opts.header == BM_CSV_HEADER_AUTO) opts.header = t->named ? BM_CSV_HEADER_YES : BM_CSV_HEADER_NO;
    BM_TRY(bm_csv_open(&r->csv, path, &opts));
    r->source = bm_calloc((size_t)t->n_features + 1, sizeof *r->source);
    if (!r->source) return BM_ERR_MEMORY;
    for (int64_t i = 0; i < t->n_features + r->targets; i++)
        BM_TRY(bm_columns_find(&r->source[i], r->csv, t->slots[i].column.name));
    return BM_OK;
}

bm_status bm_rows_open(bm_rows **out, const bm_columns *t, const char *path, const bm_csv_opts *csv, int targets)
{
    bm_rows *r = bm_calloc(1, sizeof *r);
    bm_status status;
    *out = NULL;
    if (!r) return BM_ERR_MEMORY;
    r->columns = t;
    r->targets = targets != 0;
    status = open_reader(r, path, csv);
    if (status) bm_rows_close(r);
    else *out = r;
    return status;
}

void bm_rows_close(bm_rows *r)
{
    if (!r) return;
    bm_csv_close(r->csv);
    bm_free(r->source);
    bm_free(r);
}

#define fail_here(r, column, fmt, ...)                                                                                     \
    bm_fail(BM_ERR_CONFIG, "%s:%lld: column \"%.200s\": " fmt, bm_csv_path((r)->csv), (long long)bm_csv_line((r)->csv),    \
            (column)->name, __VA_ARGS__)

static bm_status encode_number(float *out, const bm_rows *r, const bm_column *c, const bm_csv_field *value)
{
    char shown[BM_CSV_EXCERPT];
    double x = c->mean;
    if (!value->missing && !bm_csv_number(&x, value->text))
        return fail_here(r, c, "\"%s\" is not a number", bm_csv_excerpt(shown, value->text));
    *out = (float)((x - c->shift) / c->scale);
    return isfinite(*out) ? BM_OK : fail_here(r, c, "%g is too large for f32", x);
}

static bm_status find_category(int32_t *out, const bm_rows *r, const bm_column_slot *s, const char *text)
{
    char shown[BM_CSV_EXCERPT];
    const bm_column *c = &s->column;
    *out = bm_column_slot_find(s, text);
    if (*out >= 0) return BM_OK;
    const char *near = bm_nearest(text, c->categories, (size_t)c->n_categories);
    return fail_here(r, c, "\"%s\" is none of the %lld categories known%s%.80s%s", bm_csv_excerpt(shown, text),
                     (long long)c->n_categories, near ? "; is it \"" : "", near ? near : "", near ? "\"?" : "");
}

static bm_status encode_feature(float *row, const bm_rows *r, const bm_column_slot *s, const bm_csv_field *x)
{
    const bm_column *c = &s->column;
    int32_t k;
    for (int64_t i = 0; i < c->width; i++) row[i] = 0;
    if (c->indicator) row[c->width - 1] = x->missing ? 1.0f : 0.0f;
    if (c->kind == BM_COLUMN_NUMBER) return encode_number(row, r, c, x);
    if (x->missing) return BM_OK;
    BM_TRY(find_category(&k, r, s, x->text));
    row[k] = 1;
    return BM_OK;
}

static bm_status encode_target(void *targets, int64_t row, const bm_rows *r, const bm_csv_field *x)
{
    const bm_column_slot *s = &r->columns->slots[r->columns->n_features];
    if (x->missing) return fail_here(r, &s->column, "%s", "the target is missing");
    if (s->column.kind == BM_COLUMN_NUMBER) return encode_number((float *)targets + row, r, &s->column, x);
    return find_category((int32_t *)targets + row, r, s, x->text);
}

bm_status bm_rows_next(bm_rows *r, int64_t *rows, float *inputs, void *targets, int64_t most)
{
    const bm_columns *t = r->columns;
    const bm_csv_field *fields;
    for (*rows = 0; *rows < most; ++*rows) {
        float *row = inputs + *rows * t->width;
        BM_TRY(bm_csv_next(r->csv, &fields));
        if (!fields) break;
        for (int64_t i = 0; i < t->n_features; i++)
            BM_TRY(encode_feature(row + t->slots[i].column.first, r, &t->slots[i], &fields[r->source[i]]));
        if (r->targets) BM_TRY(encode_target(targets, *rows, r, &fields[r->source[t->n_features]]));
    }
    return BM_OK;
}
