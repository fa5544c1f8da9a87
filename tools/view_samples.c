/* A dataset of samples on one screen. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "tools/out.h"
#include "tools/view.h"

#define SHOWN 12   /* names in a line */

/* How many targets there are of each class, in all parts; NULL where they are numbers, or damaged. */
static int64_t *count_classes(const bm_data *d)
{
    static const char *const parts[] = {"train", "val"};
    const int64_t classes = bm_data_form(d, 0).classes;
    int64_t *counts = classes ? bm_calloc(2 * (size_t)classes, sizeof *counts) : NULL;
    for (int k = 0; counts && k < 2; k++) {
        if (!bm_data_has_part(d, parts[k])) continue;
        if (bm_data_class_counts(counts + classes, d, parts[k])) {
            bm_free(counts);
            return NULL;
        }
        for (int64_t i = 0; i < classes; i++) counts[i] += counts[classes + i];
    }
    return counts;
}

static json_t *parsed(const char *text) { return text[0] ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL; }

static const char *class_name(const json_t *encoding, int64_t i, char buf[24])
{
    const json_t *name = json_array_get(json_object_get(encoding, "classes"), (size_t)i);
    snprintf(buf, 24, "%" PRId64, i);
    return json_is_string(name) ? json_string_value(name) : buf;
}

static json_t *counts_json(const json_t *encoding, const int64_t *counts, int64_t classes)
{
    char buf[24];
    json_t *o = counts ? json_object() : NULL;
    for (int64_t i = 0; counts && i < classes; i++) json_object_set_new(o, class_name(encoding, i, buf), json_integer(counts[i]));
    return o ? o : json_null();
}

static json_t *samples_json(const bm_data *d, int sound, const int64_t *counts)
{
    char id[65];
    const bm_store *s = bm_data_store(d);
    const bm_sample_form f = bm_data_form(d, 0);
    json_t *encoding = parsed(bm_data_encoding(d));
    bm_content_id_hex(id, bm_store_content_id(s));
    json_t *o = json_pack("{s:i, s:s, s:o, s:s, s:n, s:n, s:n, s:n, s:I, s:o, s:o, s:o, s:b, s:o, s:o, s:o?, s:s, s:s, s:I, s:o}", "schema",
                          BM_VIEW_SCHEMA, "kind", "dataset", "path", bm_json_shown(bm_store_path(s)), "holds", bm_data_kind(d), "model", "step",
                          "parameters", "gemm", "samples", (json_int_t)bm_data_count(d), "input", bm_json_shape(&f.input_shape), "target",
                          bm_json_shape(&f.target_shape), "classes", f.classes ? json_integer(f.classes) : json_null(), "lengths", f.lengths,
                          "class_counts", counts_json(encoding, counts, f.classes), "splits", bm_view_splits(s), "meta",
                          parsed(bm_data_meta(d)), "content_id", id, "uuid", bm_store_uuid(s), "bytes", (json_int_t)bm_store_bytes(s), "sound",
                          sound < 0 ? json_null() : json_boolean(sound));
    if (encoding) json_object_set_new(o, "encoding", encoding);
    return o;
}

void bm_view_print_classes(const json_t *encoding, const int64_t *counts, int64_t classes)
{
    bm_str text;
    char buf[24];
    bm_str_init(&text);
    bm_str_addf(&text, "%" PRId64 ": ", classes);
    for (int64_t i = 0; i < classes && i < SHOWN; i++) {
        const char *name = class_name(encoding, i, buf);
        bm_str_add(&text, i ? ", " : "");
        bm_str_add_shown(&text, name, strlen(name));
        if (counts) bm_str_addf(&text, " %" PRId64, counts[i]);
    }
    if (classes > SHOWN) bm_str_add(&text, ", ...");
    bm_out_field("classes", bm_str_text(&text));
    bm_str_finish(&text);
}

static void print_columns(const json_t *encoding)
{
    bm_str text;
    size_t i;
    const json_t *column, *columns = json_object_get(encoding, "columns");
    bm_str_init(&text);
    json_array_foreach(columns, i, column) {
        const char *name = json_string_value(json_object_get(column, "name")), *kind = json_string_value(json_object_get(column, "kind"));
        if (i == SHOWN) {
            bm_str_addf(&text, ", ... (%zu)", json_array_size(columns));
            break;
        }
        bm_str_add(&text, i ? ", " : "");
        if (name) bm_str_add_shown(&text, name, strlen(name));
        if (kind && strcmp(kind, "number")) bm_str_addf(&text, " (%s of %zu)", kind, json_array_size(json_object_get(column, "categories")));
    }
    if (columns) bm_out_field("columns", bm_str_text(&text));
    bm_str_finish(&text);
}

static void print_normalisation(const bm_samples *s)
{
    bm_str text;
    const bm_sample_form f = bm_samples_form(s);
    const float *mean = bm_samples_mean(s), *std = bm_samples_std(s);
    bm_str_init(&text);
    for (int64_t c = 0; mean && c < bm_shape_last(&f.input_shape); c++)
        bm_str_addf(&text, "%s%.4f +- %.4f", c ? ", " : "", (double)mean[c], (double)std[c]);
    if (mean) bm_out_field("pixels", bm_str_text(&text));
    bm_str_finish(&text);
}

static void print_samples(const bm_data *d, int sound, const int64_t *counts)
{
    const bm_store *s = bm_data_store(d);
    const bm_sample_form f = bm_data_form(d, 0);
    char text[BM_SAMPLE_TEXT + 64], form[BM_SAMPLE_TEXT];
    json_t *encoding = parsed(bm_data_encoding(d));
    bm_view_title(bm_store_path(s), bm_data_kind(d), sound);
    snprintf(text, sizeof text, "%" PRId64 ", %s", bm_data_count(d), bm_sample_text(&f, form));
    bm_out_field("samples", text);
    bm_view_print_splits(s, "samples");
    if (f.classes) bm_view_print_classes(encoding, counts, f.classes);
    print_columns(encoding);
    print_normalisation(bm_data_samples(d));
    json_decref(encoding);
    bm_view_print_about(bm_data_meta(d));
    bm_view_print_file(s);
}

int bm_view_samples(const bm_data *d, int sound, int as_json)
{
    int code = 0;
    int64_t *counts = count_classes(d);
    if (as_json) code = bm_out_json(samples_json(d, sound, counts));
    else print_samples(d, sound, counts);
    bm_free(counts);
    return code;
}
