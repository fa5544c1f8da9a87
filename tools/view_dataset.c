/* A dataset on one screen, for `inspect` and `data info`. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "io/store/bigrams.h"
#include "io/store/dataset.h"
#include "tools/out.h"
#include "tools/view.h"

/* What a script finds in the object of a checkpoint, and a dataset has not. */
#define NO_MODEL "model", "step", "parameters", "gemm"

/* Start and count of the part that a group is, if it is one. */
static int part_of(int64_t *start, int64_t *count, const bm_store *s, const char *group)
{
    uint64_t a, n;
    if (strncmp(group, "/splits/", 8) || bm_store_attr_u64(&a, s, group, "start") || bm_store_attr_u64(&n, s, group, "count")) return 0;
    *start = (int64_t)a;
    *count = (int64_t)n;
    return 1;
}

json_t *bm_view_splits(const bm_store *s)
{
    json_t *splits = json_object();
    for (int64_t i = 0; i < bm_store_group_count(s); i++) {
        const char *group = bm_store_group_at(s, i);
        int64_t start, count;
        if (!part_of(&start, &count, s, group)) continue;
        json_object_set_new(splits, group + 8,
                            json_pack("{s:I, s:I}", "start", (json_int_t)start, "count", (json_int_t)count));
    }
    return splits;
}

static json_t *parsed(const char *text) { return text[0] ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL; }

static json_t *dataset_json(const bm_tokens *t, int sound, double bigrams)
{
    const bm_store *s = bm_tokens_store(t);
    char id[65];
    json_t *eot = bm_tokens_eot(t) < 0 ? json_null() : json_integer(bm_tokens_eot(t));
    json_t *tokenizer = parsed(bm_tokens_tokenizer_json(t)), *meta = parsed(bm_tokens_meta_json(t));
    bm_content_id_hex(id, bm_store_content_id(s));
    json_t *type = json_incref(tokenizer ? json_object_get(tokenizer, "kind") : NULL);
    json_decref(tokenizer);
    return json_pack(
        "{s:i, s:s, s:o, s:s, s:n, s:n, s:n, s:n, s:I, s:I, s:I, s:o, s:s, s:o, s:o?, s:o?, s:s, s:s, s:I, s:o, s:o}",
        "schema", BM_VIEW_SCHEMA, "kind", "dataset", "path", bm_json_shown(bm_store_path(s)), "holds", "tokens",
        NO_MODEL, "tokens", (json_int_t)bm_tokens_count(t), "documents", (json_int_t)bm_tokens_documents(t),
        "vocab_size", (json_int_t)bm_tokens_vocab(t), "eot_id", eot, "dtype",
        bm_dtype_name(bm_store_find(s, "/tokens/ids")->dtype), "splits", bm_view_splits(s), "tokenizer", type, "meta",
        meta, "content_id", id, "uuid", bm_store_uuid(s), "bytes", (json_int_t)bm_store_bytes(s), "sound",
        sound < 0 ? json_null() : json_boolean(sound), "bigram_entropy", bm_json_real(bigrams));
}

void bm_view_title(const char *path, const char *what, int sound)
{
    printf("%s%s%s: dataset of %s, %s\n", bm_out_style(stdout, BM_BOLD), path, bm_out_style(stdout, BM_PLAIN), what,
           sound < 0 ? "not verified"
           : sound   ? "sound"
                     : "DAMAGED");
}

void bm_view_print_splits(const bm_store *s, const char *unit)
{
    for (int64_t i = 0; i < bm_store_group_count(s); i++) {
        const char *group = bm_store_group_at(s, i);
        char label[40], text[120], number[BM_OUT_NUMBER];
        int64_t start, count;
        if (!part_of(&start, &count, s, group)) continue;
        snprintf(label, sizeof label, "%.30s", group + 8);
        snprintf(text, sizeof text, "%s %s, from %" PRId64 " on", bm_out_count(number, count), unit, start);
        bm_out_field(label, text);
    }
}

static void print_dataset(const bm_tokens *t, int sound, double bigrams)
{
    const bm_store *s = bm_tokens_store(t);
    char text[400], b[BM_OUT_NUMBER];
    bm_view_title(bm_store_path(s), "tokens", sound);
    snprintf(text, sizeof text, "%" PRId64 " as %s, in %s documents", bm_tokens_count(t),
             bm_dtype_name(bm_store_find(s, "/tokens/ids")->dtype), bm_out_count(b, bm_tokens_documents(t)));
    bm_out_field("tokens", text);
    bm_view_print_splits(s, "tokens");
    if (bm_tokens_eot(t) >= 0)
        snprintf(text, sizeof text, "%" PRId64 ", end of text %" PRId64, bm_tokens_vocab(t), bm_tokens_eot(t));
    else
        snprintf(text, sizeof text, "%" PRId64 ", no end of text", bm_tokens_vocab(t));
    bm_out_field("vocabulary", text);
    if (isfinite(bigrams)) {
        snprintf(text, sizeof text, "%.4f nats a token, when the one before it is known", bigrams);
        bm_out_field("bigrams", text);
    }
    bm_str members;
    bm_str_init(&members);
    json_t *tokenizer = parsed(bm_tokens_tokenizer_json(t));
    if (tokenizer) bm_view_add_members(&members, tokenizer);
    bm_out_field("tokenizer", tokenizer ? bm_str_text(&members) : "none");
    bm_str_finish(&members);
    json_decref(tokenizer);
    bm_view_print_about(bm_tokens_meta_json(t));
    bm_view_print_file(s);
}

static int view_tokens(const bm_tokens *t, int sound, int bigrams, int as_json)
{
    double entropy = NAN;
    bm_status status = bigrams ? bm_bigram_entropy(&entropy, t) : BM_OK;
    if (status) return bm_out_error(status);
    if (as_json) return bm_out_json(dataset_json(t, sound, entropy));
    print_dataset(t, sound, entropy);
    return 0;
}

int bm_view_dataset(const char *path, int sound, int bigrams, int as_json)
{
    bm_data *d;
    bm_status status = bm_data_open(&d, path);
    if (status) return bm_out_error(status);
    int code = bm_data_tokens(d) ? view_tokens(bm_data_tokens(d), sound, bigrams, as_json) : bm_view_samples(d, sound, as_json);
    bm_data_close(d);
    return code;
}

/* The name of the first group, which says what the arrays are. */
static void holds(char *out, size_t bytes, const bm_store *s)
{
    const char *path = bm_store_count(s) ? bm_store_at(s, 0)->path + 1 : "nothing";
    snprintf(out, bytes, "%.*s", (int)strcspn(path, "/"), path);
}

static json_t *arrays_json(const bm_store *s, int sound)
{
    char id[65], what[64];
    json_t *arrays = json_array();
    for (int64_t i = 0; i < bm_store_count(s); i++) {
        const bm_entry *e = bm_store_at(s, i);
        json_array_append_new(arrays,
                              json_pack("{s:s, s:s, s:o, s:I}", "path", e->path, "dtype", bm_dtype_name(e->dtype),
                                        "shape", bm_json_shape(&e->shape), "bytes", (json_int_t)e->bytes));
    }
    holds(what, sizeof what, s);
    bm_content_id_hex(id, bm_store_content_id(s));
    return json_pack("{s:i, s:s, s:o, s:s, s:n, s:n, s:n, s:n, s:o, s:s, s:s, s:I, s:o}", "schema", BM_VIEW_SCHEMA,
                     "kind", "dataset", "path", bm_json_shown(bm_store_path(s)), "holds", what, NO_MODEL, "arrays",
                     arrays, "content_id", id, "uuid", bm_store_uuid(s), "bytes", (json_int_t)bm_store_bytes(s),
                     "sound", sound < 0 ? json_null() : json_boolean(sound));
}

int bm_view_arrays(const bm_store *s, int sound, int as_json)
{
    char what[64], shape[BM_SHAPE_TEXT], a[BM_OUT_NUMBER], text[200], id[65];
    if (as_json) return bm_out_json(arrays_json(s, sound));
    holds(what, sizeof what, s);
    bm_view_title(bm_store_path(s), what, sound);
    for (int64_t i = 0; i < bm_store_count(s); i++) {
        const bm_entry *e = bm_store_at(s, i);
        snprintf(text, sizeof text, "%s %s, %s", bm_dtype_name(e->dtype), bm_shape_text(&e->shape, shape, sizeof shape),
                 bm_out_bytes(a, e->bytes));
        bm_out_field(e->path + 1, text);
    }
    snprintf(text, sizeof text, "%s, uuid %s", bm_out_bytes(a, bm_store_bytes(s)), bm_store_uuid(s));
    bm_out_field("file", text);
    bm_content_id_hex(id, bm_store_content_id(s));
    bm_out_field("content id", id);
    return 0;
}
