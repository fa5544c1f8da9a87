#include "io/media/columns.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "io/media/columns_priv.h"
#include "io/store/json_priv.h"

#define FORMAT "bm-columns"

static const char *const kind_names[] = {"auto", "number", "category"};

bm_status bm_columns_create(bm_columns **out, int64_t n_features, int has_target)
{
    bm_columns *t = bm_calloc(1, sizeof *t);
    *out = NULL;
    if (!t) return BM_ERR_MEMORY;
    t->n_features = n_features;
    t->has_target = has_target;
    t->slots = bm_calloc((size_t)n_features + 1, sizeof *t->slots);
    if (!t->slots) {
        bm_free(t);
        return BM_ERR_MEMORY;
    }
    for (int64_t i = 0; i <= n_features; i++) t->slots[i].column.scale = 1;
    *out = t;
    return BM_OK;
}

void bm_columns_destroy(bm_columns *t)
{
    if (!t) return;
    for (int64_t i = 0; i <= t->n_features; i++) {
        bm_column_slot *s = &t->slots[i];
        for (int64_t k = 0; k < s->column.n_categories; k++) bm_free(s->texts[k]);
        bm_free(s->texts);
        bm_free(s->sorted);
        bm_free((char *)s->column.name);
    }
    bm_free(t->slots);
    bm_free(t);
}

int64_t bm_columns_rows(const bm_columns *t) { return t->rows; }
int64_t bm_columns_width(const bm_columns *t) { return t->width; }
int64_t bm_columns_count(const bm_columns *t) { return t->n_features; }
const bm_column *bm_columns_at(const bm_columns *t, int64_t i) { return &t->slots[i].column; }
const bm_column *bm_columns_target(const bm_columns *t) { return t->has_target ? &t->slots[t->n_features].column : NULL; }

bm_status bm_column_slot_name(bm_column_slot *s, const char *name)
{
    s->column.name = bm_strdup(name);
    return s->column.name ? BM_OK : BM_ERR_MEMORY;
}

static int by_text(const void *a, const void *b)
{
    const bm_column_lookup *x = a, *y = b;
    return strcmp(x->text, y->text);
}

bm_status bm_column_slot_categories(bm_column_slot *s, const char *const *texts, int64_t n)
{
    s->texts = bm_calloc((size_t)n + 1, sizeof *s->texts);
    s->sorted = bm_calloc((size_t)n + 1, sizeof *s->sorted);
    if (!s->texts || !s->sorted) return BM_ERR_MEMORY;
    s->column.categories = (const char *const *)s->texts;
    for (int64_t k = 0; k < n; k++) {
        s->texts[k] = bm_strdup(texts[k]);
        if (!s->texts[k]) return BM_ERR_MEMORY;
        s->column.n_categories = k + 1;
        s->sorted[k] = (bm_column_lookup){s->texts[k], (int32_t)k};
    }
    qsort(s->sorted, (size_t)n, sizeof *s->sorted, by_text);
    return BM_OK;
}

int32_t bm_column_slot_find(const bm_column_slot *s, const char *text)
{
    const bm_column_lookup key = {text, 0};
    const bm_column_lookup *found = bsearch(&key, s->sorted, (size_t)s->column.n_categories, sizeof key, by_text);
    return found ? found->index : -1;
}

void bm_columns_place(bm_columns *t)
{
    t->width = 0;
    for (int64_t i = 0; i < t->n_features; i++) {
        bm_column *c = &t->slots[i].column;
        c->first = t->width;
        c->width = (c->kind == BM_COLUMN_CATEGORY ? c->n_categories : 1) + c->indicator;
        t->width += c->width;
    }
}

bm_status bm_columns_find(int64_t *out, const bm_csv *c, const char *name)
{
    const int64_t n = bm_csv_count(c);
    const char **names = bm_calloc((size_t)n + 1, sizeof *names), *near;
    if (!names) return BM_ERR_MEMORY;
    *out = -1;
    for (int64_t i = 0; i < n; i++) {
        names[i] = bm_csv_column_at(c, i)->name;
        if (strcmp(names[i], name) == 0) *out = i;
    }
    near = bm_nearest(name, names, (size_t)n);
    bm_free(names);
    if (*out >= 0) return BM_OK;
    if (!n) return bm_fail(BM_ERR_CONFIG, "%s: no rows", bm_csv_path(c));
    if (near && bm_csv_named(c)) return bm_fail(BM_ERR_CONFIG, "%s: no column \"%.200s\"; is it \"%.200s\"?", bm_csv_path(c), name, near);
    if (!bm_csv_named(c))
        return bm_fail(BM_ERR_CONFIG, "%s: no column \"%.200s\": the file has no header, its %lld columns are called by their "
                       "numbers, from 1", bm_csv_path(c), name, (long long)n);
    return bm_fail(BM_ERR_CONFIG, "%s: no column \"%.200s\" among its %lld, from \"%.80s\" to \"%.80s\"", bm_csv_path(c), name,
                   (long long)n, n ? bm_csv_column_at(c, 0)->name : "", n ? bm_csv_column_at(c, n - 1)->name : "");
}

/* ---- JSON ---- */

static json_t *column_json(const bm_column *c)
{
    json_t *o = json_pack("{s:s, s:s, s:b, s:I, s:I, s:I}", "name", c->name, "kind", kind_names[c->kind], "indicator",
                          c->indicator, "count", (json_int_t)c->count, "missing", (json_int_t)c->missing, "missing_line",
                          (json_int_t)c->missing_line);
    if (!o) return NULL;
    if (c->kind == BM_COLUMN_NUMBER) {
        json_object_set_new(o, "mean", json_real(c->mean));
        json_object_set_new(o, "std", json_real(c->std));
        json_object_set_new(o, "shift", json_real(c->shift));
        json_object_set_new(o, "scale", json_real(c->scale));
        return o;
    }
    json_t *list = json_array();
    for (int64_t k = 0; k < c->n_categories; k++) json_array_append_new(list, json_string(c->categories[k]));
    json_object_set_new(o, "categories", list);
    return o;
}

bm_status bm_columns_to_json(char **out, const bm_columns *t)
{
    json_t *o = json_object(), *list = json_array();
    bm_status status;
    for (int64_t i = 0; i < t->n_features; i++) json_array_append_new(list, column_json(&t->slots[i].column));
    json_object_set_new(o, "format", json_string(FORMAT));
    json_object_set_new(o, "version", json_integer(1));
    json_object_set_new(o, "rows", json_integer((json_int_t)t->rows));
    json_object_set_new(o, "named", json_boolean(t->named));
    json_object_set_new(o, "columns", list);
    json_object_set_new(o, "target", t->has_target ? column_json(bm_columns_target(t)) : json_null());
    status = bm_json_text(out, o, JSON_COMPACT);
    json_decref(o);
    return status;
}

static bm_status get_count(int64_t *out, const json_t *o, const char *key, int64_t least)
{
    const json_t *value = json_object_get(o, key);
    if (!json_is_integer(value) || json_integer_value(value) < least)
        return bm_fail(BM_ERR_REFUSED, "\"%s\" is not a whole number of %lld or more", key, (long long)least);
    *out = json_integer_value(value);
    return BM_OK;
}

static bm_status get_flag(int *out, const json_t *o, const char *key)
{
    const json_t *value = json_object_get(o, key);
    if (!json_is_boolean(value)) return bm_fail(BM_ERR_REFUSED, "\"%s\" is not true or false", key);
    *out = json_is_true(value);
    return BM_OK;
}

static bm_status get_real(double *out, const json_t *o, const char *key)
{
    const json_t *value = json_object_get(o, key);
    *out = json_number_value(value);
    return json_is_number(value) && isfinite(*out) ? BM_OK : bm_fail(BM_ERR_REFUSED, "\"%s\" is not a number", key);
}

static bm_status get_numbers(bm_column *c, const json_t *o)
{
    BM_TRY(get_real(&c->mean, o, "mean"));
    BM_TRY(get_real(&c->std, o, "std"));
    BM_TRY(get_real(&c->shift, o, "shift"));
    BM_TRY(get_real(&c->scale, o, "scale"));
    return c->scale > 0 && c->std >= 0 ? BM_OK : bm_fail(BM_ERR_REFUSED, "\"scale\" and \"std\" are not positive");
}

static bm_status get_categories(bm_column_slot *s, const json_t *o)
{
    const json_t *list = json_object_get(o, "categories");
    const size_t n = json_array_size(list);
    bm_status status = BM_OK;
    if (n < 1 || n > INT32_MAX) return bm_fail(BM_ERR_REFUSED, "\"categories\" is not a list of texts");
    const char **texts = bm_calloc(n, sizeof *texts);
    if (!texts) return BM_ERR_MEMORY;
    for (size_t k = 0; k < n; k++) {
        texts[k] = json_string_value(json_array_get(list, k));
        if (!texts[k]) BM_GO(bm_fail(BM_ERR_REFUSED, "\"categories\" is not a list of texts"));
    }
    BM_GO(bm_column_slot_categories(s, texts, (int64_t)n));
    for (size_t k = 1; k < n; k++)
        if (by_text(&s->sorted[k - 1], &s->sorted[k]) == 0)
            BM_GO(bm_fail(BM_ERR_REFUSED, "the category \"%.80s\" stands twice", s->sorted[k].text));
done:
    bm_free(texts);
    return status;
}

static bm_status get_column(bm_column_slot *s, const json_t *o)
{
    bm_column *c = &s->column;
    const char *name = json_string_value(json_object_get(o, "name")), *kind = json_string_value(json_object_get(o, "kind"));
    if (!name || !kind) return bm_fail(BM_ERR_REFUSED, "a column without name or kind");
    BM_TRY(bm_column_slot_name(s, name));
    if (strcmp(kind, kind_names[BM_COLUMN_NUMBER]) == 0) c->kind = BM_COLUMN_NUMBER;
    else if (strcmp(kind, kind_names[BM_COLUMN_CATEGORY]) == 0) c->kind = BM_COLUMN_CATEGORY;
    else return bm_fail(BM_ERR_REFUSED, "a column of kind \"%.40s\"", kind);
    BM_TRY(get_flag(&c->indicator, o, "indicator"));
    BM_TRY(get_count(&c->count, o, "count", 1));
    BM_TRY(get_count(&c->missing, o, "missing", 0));
    BM_TRY(get_count(&c->missing_line, o, "missing_line", 0));
    return c->kind == BM_COLUMN_NUMBER ? get_numbers(c, o) : get_categories(s, o);
}

static bm_status from_object(bm_columns **out, const json_t *o)
{
    const json_t *list = json_object_get(o, "columns"), *target = json_object_get(o, "target");
    const char *format = json_string_value(json_object_get(o, "format"));
    int64_t version;
    if (!format || strcmp(format, FORMAT) != 0) return bm_fail(BM_ERR_REFUSED, "was made of something else than a table (\"format\" is not \"%s\")", FORMAT);
    BM_TRY(get_count(&version, o, "version", 1));
    if (version != 1)
        return bm_fail(BM_ERR_UNSUPPORTED, "columns of version %lld; this program reads version 1", (long long)version);
    if (json_array_size(list) < 1) return bm_fail(BM_ERR_REFUSED, "\"columns\" is not a list of columns");
    if (!json_is_object(target) && !json_is_null(target)) return bm_fail(BM_ERR_REFUSED, "\"target\" is not a column or null");
    BM_TRY(bm_columns_create(out, (int64_t)json_array_size(list), json_is_object(target)));
    bm_columns *t = *out;
    BM_TRY(get_count(&t->rows, o, "rows", 1));
    BM_TRY(get_flag(&t->named, o, "named"));
    for (int64_t i = 0; i < t->n_features; i++) BM_TRY(get_column(&t->slots[i], json_array_get(list, (size_t)i)));
    if (t->has_target) BM_TRY(get_column(&t->slots[t->n_features], target));
    bm_columns_place(t);
    return BM_OK;
}

bm_status bm_columns_from_json(bm_columns **out, const char *json, const char *what)
{
    json_t *o;
    bm_columns *t = NULL;
    *out = NULL;
    BM_TRY(bm_json_parse(&o, json, what));
    bm_status status = bm_fail_prefix(from_object(&t, o), "%s", what);
    json_decref(o);
    if (status) bm_columns_destroy(t);
    else *out = t;
    return status;
}
