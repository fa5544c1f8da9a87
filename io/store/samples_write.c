/* Making a dataset of samples: each waits in unnamed files until it is known how many there are. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "io/store/json_priv.h"
#include "io/store/loader.h"
#include "io/store/part_priv.h"
#include "io/store/samples.h"
#include "io/store/spool_priv.h"
#include "io/store/writer.h"

#define BLOCK ((size_t)1 << 18) /* bytes that are put together */

struct bm_samples_writer {
    char *path;
    bm_samples_opts opts; /* its texts are our copies */
    bm_writer *writer;
    bm_spool inputs, targets, lengths;
    int64_t count, train; /* train: samples before the validation part; -1: they are drawn */
    uint8_t *block;       /* room for BLOCK bytes, and for an input or a target */
    float mean[BM_MOST_CHANNELS], std[BM_MOST_CHANNELS];
};

static int is_images(const bm_samples_writer *w) { return w->opts.input == BM_U8; }
static size_t input_bytes(const bm_samples_writer *w) { return bm_shape_bytes(&w->opts.input_shape, w->opts.input); }
static size_t target_bytes(const bm_samples_writer *w) { return bm_shape_bytes(&w->opts.target_shape, w->opts.target); }

static bm_status check_opts(const bm_samples_opts *o, const char *path)
{
    const int images = !strcmp(o->kind, "images");
    const bm_shape *in = &o->input_shape;
    BM_TRY(bm_shape_check(in, o->input));
    BM_TRY(bm_shape_check(&o->target_shape, o->target));
    int bad = !bm_shape_elements(in) || !bm_shape_elements(&o->target_shape) || (o->classes > 0) != (o->target == BM_I32);
    if (images) bad |= o->input != BM_U8 || in->rank != 3 || in->dim[0] > BM_MOST_CHANNELS || o->target != BM_I32 || o->target_shape.rank || o->lengths;
    else bad |= (o->input != BM_F32 && o->input != BM_I32) || in->rank < 1 || in->rank > 3 || (o->vocab > 0) != (o->input == BM_I32) ||
                o->target_shape.rank > 1 || (o->target == BM_F32 && o->target_shape.rank != 1);
    if (bad) return bm_fail(BM_ERR_USAGE, "%s: samples of a form that %s do not have", path, o->kind);
    if (!(o->val_fraction >= 0 && o->val_fraction < 1))
        return bm_fail(BM_ERR_USAGE, "%s: the validation fraction %g is not in [0, 1)", path, o->val_fraction);
    return BM_OK;
}

static bm_status copy_text(const char **to, const char *text)
{
    *to = text ? bm_strdup(text) : NULL;
    return text && !*to ? BM_ERR_MEMORY : BM_OK;
}

bm_status bm_samples_writer_create(bm_samples_writer **out, const char *path, const bm_samples_opts *opts)
{
    bm_status status;
    *out = NULL;
    BM_TRY(check_opts(opts, path));
    bm_samples_writer *w = bm_calloc(1, sizeof *w);
    if (!w) return BM_ERR_MEMORY;
    w->inputs = w->targets = w->lengths = (bm_spool)BM_SPOOL_NONE;
    w->opts = *opts;
    w->opts.meta_json = w->opts.encoding_json = NULL;
    w->train = -1;
    bm_writer_opts writer = {.kind = BM_STORE_DATASET, .replace = opts->replace};
    BM_GO(copy_text(&w->opts.meta_json, opts->meta_json));
    BM_GO(copy_text(&w->opts.encoding_json, opts->encoding_json));
    BM_GO(bm_writer_create(&w->writer, path, &writer));
    const size_t one = input_bytes(w) > target_bytes(w) ? input_bytes(w) : target_bytes(w);
    w->path = bm_strdup(path);
    w->block = bm_alloc(one > BLOCK ? one : BLOCK);
    if (!w->path || !w->block) {
        status = BM_ERR_MEMORY;
        goto done;
    }
    BM_GO(bm_spool_open(&w->inputs, w->path));
    BM_GO(bm_spool_open(&w->targets, w->path));
    if (opts->lengths) BM_GO(bm_spool_open(&w->lengths, w->path));
    *out = w;
    w = NULL;
done:
    bm_samples_writer_destroy(w);
    return status;
}

void bm_samples_writer_destroy(bm_samples_writer *w)
{
    if (!w) return;
    bm_writer_destroy(w->writer);
    bm_spool_close(&w->inputs);
    bm_spool_close(&w->targets);
    bm_spool_close(&w->lengths);
    bm_free((void *)w->opts.meta_json);
    bm_free((void *)w->opts.encoding_json);
    bm_free(w->block);
    bm_free(w->path);
    bm_free(w);
}

/* BM_ERR_CONFIG for the first of n numbers that is not below `most`; below zero is fine with `missing`. */
static bm_status check_ids(const bm_samples_writer *w, const int32_t *x, int64_t n, int64_t most, int missing, const char *what)
{
    for (int64_t i = 0; i < n; i++)
        if (x[i] >= most || (x[i] < 0 && !missing))
            return bm_fail(BM_ERR_CONFIG, "sample %" PRId64 ": %s %" PRId32 ", of %" PRId64 " from 0 on", w->count, what, x[i], most);
    return BM_OK;
}

bm_status bm_samples_writer_add(bm_samples_writer *w, const void *input, const void *target, int32_t length)
{
    const bm_samples_opts *o = &w->opts;
    if (o->input == BM_I32) BM_TRY(check_ids(w, input, bm_shape_elements(&o->input_shape), o->vocab, 0, "id"));
    if (o->target == BM_I32) BM_TRY(check_ids(w, target, bm_shape_elements(&o->target_shape), o->classes, 1, "class"));
    if (w->opts.lengths && (length < 0 || length > w->opts.input_shape.dim[0]))
        return bm_fail(BM_ERR_CONFIG, "sample %" PRId64 ": length %" PRId32 " of %" PRId64, w->count, length, w->opts.input_shape.dim[0]);
    BM_TRY(bm_spool_add(&w->inputs, input, input_bytes(w)));
    BM_TRY(bm_spool_add(&w->targets, target, target_bytes(w)));
    if (w->opts.lengths) BM_TRY(bm_spool_add(&w->lengths, &length, sizeof length));
    w->count++;
    return BM_OK;
}

void bm_samples_writer_validation(bm_samples_writer *w)
{
    if (w->train < 0) w->train = w->count;
}

int64_t bm_samples_writer_count(const bm_samples_writer *w) { return w->count; }

/* ---- the parts: samples in the order in which they came, those of the training part first ---- */

static int64_t drawn(int64_t n, double fraction) { return (int64_t)floor(fraction * (double)n); }

int bm_samples_is_validation(int64_t n, double fraction, uint64_t seed, int64_t sample)
{
    const int64_t validation = drawn(n, fraction);
    return validation && bm_permute((uint64_t)n, seed, 0, (uint64_t)sample) >= (uint64_t)(n - validation);
}

static int is_validation(const bm_samples_writer *w, int64_t sample)
{
    if (w->train >= 0) return sample >= w->train;
    return bm_samples_is_validation(w->count, w->opts.val_fraction, w->opts.split_seed, sample);
}

static int64_t train_count(const bm_samples_writer *w) { return w->train >= 0 ? w->train : w->count - drawn(w->count, w->opts.val_fraction); }

/* A spool's elements into a dataset; `each` of them are a sample, of `size` bytes each. */
static bm_status put(bm_samples_writer *w, bm_spool *s, int64_t index, int64_t each, size_t size)
{
    const size_t one = (size_t)each * size;
    const int64_t most = one < BLOCK ? (int64_t)(BLOCK / one) : 1;
    int64_t at = 0, n = 0; /* samples that are put; that are in the block */
    for (int validation = 0; validation < 2; validation++) {
        BM_TRY(bm_spool_rewind(s));
        for (int64_t i = 0; i < w->count; i++) {
            BM_TRY(bm_spool_take(s, w->block + (size_t)n * one, one));
            if (is_validation(w, i) != validation || ++n < most) continue;
            BM_TRY(bm_writer_put(w->writer, index, w->block, at * each, n * each));
            at += n;
            n = 0;
        }
    }
    return n ? bm_writer_put(w->writer, index, w->block, at * each, n * each) : BM_OK;
}

/* ---- what images are normalised by ---- */

/* Mean and standard deviation of each channel over the training part, of pixels / 255. */
static bm_status measure(bm_samples_writer *w)
{
    uint64_t sum[BM_MOST_CHANNELS] = {0}, squares[BM_MOST_CHANNELS] = {0};
    const int64_t channels = w->opts.input_shape.dim[0], pixels = w->opts.input_shape.dim[1] * w->opts.input_shape.dim[2];
    BM_TRY(bm_spool_rewind(&w->inputs));
    for (int64_t i = 0; i < w->count; i++) {
        const uint8_t *x = w->block;
        BM_TRY(bm_spool_take(&w->inputs, w->block, input_bytes(w)));
        if (is_validation(w, i)) continue;
        for (int64_t c = 0; c < channels; c++, x += pixels)
            for (int64_t k = 0; k < pixels; k++) {
                sum[c] += x[k];
                squares[c] += (uint64_t)x[k] * x[k];
            }
    }
    const double n = (double)train_count(w) * (double)pixels;
    for (int64_t c = 0; c < channels; c++) {
        const double mean = (double)sum[c] / n, variance = (double)squares[c] / n - mean * mean;
        w->mean[c] = (float)(mean / 255);
        w->std[c] = variance > 0 ? (float)(sqrt(variance) / 255) : 1.0f;
    }
    return BM_OK;
}

/* `n` numbers of the encoding's list `name`; 0 where it has none such. */
static int given_floats(float *out, const json_t *encoding, const char *name, int64_t n)
{
    const json_t *list = json_object_get(encoding, name);
    if ((int64_t)json_array_size(list) != n) return 0;
    for (int64_t i = 0; i < n; i++) out[i] = (float)json_number_value(json_array_get(list, (size_t)i));
    return 1;
}

/* What the encoding has, else what is measured. */
static bm_status normalisation(bm_samples_writer *w)
{
    json_t *j = NULL;
    const int64_t n = w->opts.input_shape.dim[0];
    if (w->opts.encoding_json) BM_TRY(bm_fail_prefix(bm_json_parse(&j, w->opts.encoding_json, "the encoding"), "%s", w->path));
    const int given = given_floats(w->mean, j, "mean", n) && given_floats(w->std, j, "std", n);
    json_decref(j);
    return given ? BM_OK : measure(w);
}

static int set_floats(json_t *object, const char *name, const float *x, int64_t n)
{
    json_t *list = json_array();
    int bad = 0;
    for (int64_t i = 0; i < n; i++) bad |= json_array_append_new(list, json_real((double)x[i]));
    return bad | json_object_set_new(object, name, list);
}

static bm_status describe_images(bm_samples_writer *w)
{
    bm_writer *out = w->writer;
    const bm_shape channels = BM_SHAPE(w->opts.input_shape.dim[0]);
    BM_TRY(normalisation(w));
    BM_TRY(bm_writer_attr_text(out, "/images", "layout", "NCHW"));
    BM_TRY(bm_writer_attr(out, "/images", "mean", BM_F32, &channels, w->mean));
    return bm_writer_attr(out, "/images", "std", BM_F32, &channels, w->std);
}

static bm_status add_encoding(bm_samples_writer *w)
{
    char *text = NULL;
    json_t *j;
    if (!w->opts.encoding_json) return BM_OK;
    BM_TRY(bm_fail_prefix(bm_json_parse(&j, w->opts.encoding_json, "the encoding"), "%s", w->path));
    int bad = 0;
    if (is_images(w)) {
        bad |= set_floats(j, "mean", w->mean, w->opts.input_shape.dim[0]);
        bad |= set_floats(j, "std", w->std, w->opts.input_shape.dim[0]);
    }
    bm_status status = bm_json_text(&text, bad ? NULL : j, JSON_INDENT(1) | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(9));
    if (!status) status = bm_writer_bytes(w->writer, "/encoding/json", text, strlen(text));
    bm_free(text);
    json_decref(j);
    return status;
}

static bm_status add_meta(bm_samples_writer *w)
{
    char *text = NULL;
    json_t *j;
    BM_TRY(bm_fail_prefix(bm_json_parse(&j, w->opts.meta_json ? w->opts.meta_json : "{}", "the description"), "%s", w->path));
    int bad = json_object_set_new(j, "samples", json_integer(w->count)) ||
              json_object_set_new(j, "classes", w->opts.classes ? json_integer(w->opts.classes) : json_null());
    bm_status status = bm_json_text(&text, bad ? NULL : j, JSON_INDENT(1) | JSON_ENSURE_ASCII);
    if (!status) status = bm_writer_bytes(w->writer, "/meta/json", text, strlen(text));
    bm_free(text);
    json_decref(j);
    return status;
}

/* [N, what one of them is] */
static bm_shape all_of(int64_t n, const bm_shape *one)
{
    bm_shape s = {.rank = one->rank + 1, .dim = {n}};
    for (int i = 0; i < one->rank; i++) s.dim[i + 1] = one->dim[i];
    return s;
}

static bm_status describe(bm_samples_writer *w, int64_t *inputs, int64_t *targets, int64_t *lengths)
{
    bm_writer *out = w->writer;
    const bm_samples_opts *o = &w->opts;
    const int images = is_images(w);
    const char *group = images ? "/images" : "/rows";
    bm_shape shape = all_of(w->count, &o->input_shape);
    BM_TRY(bm_writer_dataset(inputs, out, images ? "/images/data" : "/rows/inputs", o->input, &shape));
    shape = all_of(w->count, &o->target_shape);
    BM_TRY(bm_writer_dataset(targets, out, images ? "/images/label" : "/rows/targets", o->target, &shape));
    shape = BM_SHAPE(w->count);
    if (o->lengths) BM_TRY(bm_writer_dataset(lengths, out, "/rows/lengths", BM_I32, &shape));
    BM_TRY(bm_writer_attr_u64(out, group, "n_classes", (uint64_t)o->classes));
    if (o->vocab) BM_TRY(bm_writer_attr_u64(out, group, "vocab_size", (uint64_t)o->vocab));
    if (images) BM_TRY(describe_images(w));
    const int64_t train = train_count(w);
    BM_TRY(bm_part_write(out, "train", 0, train));
    if (train < w->count) BM_TRY(bm_part_write(out, "val", train, w->count - train));
    BM_TRY(add_encoding(w));
    return add_meta(w);
}

bm_status bm_samples_writer_commit(bm_content_id *id, bm_samples_writer *w)
{
    int64_t inputs = -1, targets = -1, lengths = -1;
    const bm_samples_opts *o = &w->opts;
    if (!w->count || !w->train) return bm_fail(BM_ERR_CONFIG, "%s: there are no samples to learn from", w->path);
    BM_TRY(describe(w, &inputs, &targets, &lengths));
    BM_TRY(bm_writer_begin(w->writer));
    BM_TRY(put(w, &w->inputs, inputs, bm_shape_elements(&o->input_shape), bm_dtype_size(o->input)));
    BM_TRY(put(w, &w->targets, targets, bm_shape_elements(&o->target_shape), bm_dtype_size(o->target)));
    if (o->lengths) BM_TRY(put(w, &w->lengths, lengths, 1, sizeof(int32_t)));
    return bm_writer_commit(id, w->writer);
}
