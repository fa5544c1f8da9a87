#include "tools/data/samples_out.h"

#include <jansson.h>
#include <string.h>

#include "core/base/json_priv.h"
#include "core/base/mem.h"
#include "io/store/checkpoint.h"
#include "io/store/data.h"
#include "io/text/utf8.h"
#include "tools/out.h"

enum { MOST_SKIPPED_SHOWN = 10 };

/* {"source": [names], "licence": text or null}: where a data set is from; freed by bm_free. */
static bm_status about(char **out, const char *const *sources, int n, const char *licence)
{
    int bad = 0;
    *out = NULL;
    if (licence && !bm_utf8_valid(licence, strlen(licence))) return bm_fail(BM_ERR_USAGE, "--licence is not UTF-8");
    json_t *list = json_array();
    for (int i = 0; i < n; i++) bad |= json_array_append_new(list, bm_json_shown(sources[i]));
    json_t *j = json_pack("{s:o, s:s?}", "source", list, "licence", licence);
    bm_status status = bm_json_text(out, bad ? NULL : j, 0);
    json_decref(j);
    return status;
}

static bm_status of_checkpoint(char **out, const char *path)
{
    bm_checkpoint *c;
    BM_TRY(bm_checkpoint_open(&c, path));
    const char *text = bm_checkpoint_desc(c)->encoding_json;
    *out = text ? bm_strdup(text) : NULL;
    bm_checkpoint_close(c);
    return !text ? bm_fail(BM_ERR_REFUSED, "%s has no encoding: it has learned from tokens", path) : *out ? BM_OK : BM_ERR_MEMORY;
}

bm_status bm_samples_encoding_of(char **out, const char *path)
{
    bm_data *d;
    *out = NULL;
    if (bm_data_open(&d, path)) return of_checkpoint(out, path);
    const char *text = bm_data_encoding(d);
    *out = *text ? bm_strdup(text) : NULL;
    bm_status status = !*text ? bm_fail(BM_ERR_REFUSED, "%s has no encoding", path) : *out ? BM_OK : BM_ERR_MEMORY;
    bm_data_close(d);
    return status;
}

bm_status bm_samples_like(json_t **out, const char *path, const char *kind)
{
    char *text;
    json_error_t e;
    *out = NULL;
    BM_TRY(bm_samples_encoding_of(&text, path));
    *out = json_loads(text, JSON_REJECT_DUPLICATES, &e);
    bm_free(text);
    const char *have = json_string_value(json_object_get(*out, "kind"));
    if (have && !strcmp(have, kind)) return BM_OK;
    json_decref(*out);
    *out = NULL;
    return bm_fail(BM_ERR_REFUSED, "%s was made of something else than %s", path, kind);
}

static void say(const char *path, const bm_data *d, int64_t train, int64_t val)
{
    char a[BM_OUT_NUMBER], b[BM_OUT_NUMBER], n[BM_OUT_NUMBER], text[BM_SAMPLE_TEXT];
    const bm_sample_form f = bm_data_form(d, 0);
    bm_out_note("%s: %s samples %s; %s to learn from, %s for validation", path, bm_out_count(n, bm_data_count(d)), bm_sample_text(&f, text),
                bm_out_count(a, train), bm_out_count(b, val));
}

static void say_unlearned_class(const bm_data *d, int64_t unlearned, int64_t classes, int64_t first)
{
    json_error_t e;
    json_t *encoding = json_loads(bm_data_encoding(d), 0, &e);
    const char *name = json_string_value(json_array_get(json_object_get(encoding, "classes"), (size_t)first));
    bm_out_note("%lld of %lld classes stand in the validation part alone, the first \"%s\": they cannot be learned "
                "(another --split-seed, or a smaller --val-fraction)",
                (long long)unlearned, (long long)classes, name ? name : "");
    json_decref(encoding);
}

/* Tells of classes that the validation part has and the training part has not. */
static bm_status say_unlearned(const bm_data *d)
{
    const int64_t n = bm_data_form(d, 0).classes;
    int64_t first = -1, unlearned = 0;
    if (!n || !bm_data_has_part(d, "val")) return BM_OK;
    int64_t *count = bm_calloc(2 * (size_t)n, sizeof *count); /* of the training part, then of the other */
    bm_status status = count ? bm_data_class_counts(count, d, "train") : BM_ERR_MEMORY;
    if (!status) status = bm_data_class_counts(count + n, d, "val");
    for (int64_t i = n; !status && i-- > 0;)
        if (!count[i] && count[n + i]) {
            first = i;
            unlearned++;
        }
    if (unlearned) say_unlearned_class(d, unlearned, n, first);
    bm_free(count);
    return status;
}

static bm_status report(const char *path, const bm_content_id *id, int json)
{
    bm_data *d;
    char hex[65];
    bm_status status;
    int64_t train = 0, val = 0;
    BM_TRY(bm_data_open(&d, path));
    BM_GO(bm_data_part(&train, d, "train", 0));
    if (bm_data_has_part(d, "val")) BM_GO(bm_data_part(&val, d, "val", 0));
    bm_content_id_hex(hex, id);
    const bm_sample_form f = bm_data_form(d, 0);
    if (json)
        bm_out_json(json_pack("{s:i, s:o, s:s, s:I, s:o, s:o, s:o, s:I, s:I, s:s}", "schema", 1, "output", bm_json_shown(path), "holds",
                              bm_data_kind(d), "samples", (json_int_t)bm_data_count(d), "input", bm_json_shape(&f.input_shape), "target",
                              bm_json_shape(&f.target_shape), "classes", f.classes ? json_integer(f.classes) : json_null(), "train_samples",
                              (json_int_t)train, "val_samples", (json_int_t)val, "content_id", hex));
    say(path, d, train, val);
    BM_GO(say_unlearned(d));
done:
    bm_data_close(d);
    return status;
}

bm_status bm_samples_out_open(bm_samples_out *o, const bm_samples_opts *form, const char *const *sources, int n)
{
    char *meta;
    bm_samples_opts opts = *form;
    BM_TRY(about(&meta, sources, n, o->licence));
    opts.val_fraction = o->val_fraction;
    opts.split_seed = (uint64_t)o->split_seed;
    opts.meta_json = meta;
    opts.replace = o->replace;
    bm_status status = bm_samples_writer_create(&o->writer, o->path, &opts);
    bm_free(meta);
    return status;
}

bm_status bm_samples_out_skip(bm_samples_out *o, bm_status status)
{
    const int bad = status == BM_ERR_DAMAGED || status == BM_ERR_REFUSED || status == BM_ERR_UNSUPPORTED || status == BM_ERR_IO ||
                    status == BM_ERR_NOT_FOUND || status == BM_ERR_CONFIG;
    if (!o->skip_bad || !bad) return status;
    if (++o->skipped <= MOST_SKIPPED_SHOWN) bm_out_note("left out: %s", bm_error_text(status));
    return BM_OK;
}

bm_status bm_samples_out_commit(bm_samples_out *o)
{
    bm_content_id id;
    BM_TRY(bm_samples_writer_commit(&id, o->writer));
    bm_out_progress("");
    if (o->skipped) bm_out_note("%lld file%s left out", (long long)o->skipped, o->skipped == 1 ? " was" : "s were");
    return report(o->path, &id, o->json);
}

void bm_samples_out_finish(bm_samples_out *o) { bm_samples_writer_destroy(o->writer); }
