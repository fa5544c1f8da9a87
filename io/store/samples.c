#include "io/store/samples.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "io/store/h5_priv.h"
#include "io/store/json_priv.h"
#include "io/store/part_priv.h"

struct bm_samples {
    bm_store *store;
    const char *kind;
    const bm_entry *inputs, *targets, *lengths;
    bm_sample_form form;
    float mean[BM_MOST_CHANNELS], std[BM_MOST_CHANNELS]; /* of images */
    float *value;                                  /* [C, 256]: of a pixel, normalised */
    char *encoding_json, *meta_json;               /* NULL: none */
};

static int is_images(const bm_samples *s) { return s->inputs->dtype == BM_U8; }

int bm_samples_is(const bm_store *s) { return bm_store_find(s, "/images/data") || bm_store_find(s, "/rows/inputs"); }

static bm_status optional_text(char **out, const bm_store *s, const char *path)
{
    const bm_entry *e = bm_store_find(s, path);
    if (!e) return BM_OK;
    BM_TRY(bm_store_require(&e, s, path, BM_U8, NULL));
    return bm_store_load((void **)out, s, e, BM_JSON_MOST);
}

static bm_status read_floats(float *out, const bm_store *s, const char *object, const char *name, int64_t n)
{
    const bm_attr *a = bm_store_attr(s, object, name);
    if (!a || a->is_text || a->dtype != BM_F32 || bm_shape_elements(&a->shape) != n)
        return bm_refuse(BM_RULE_SCHEMA, "%s: there is no %s f32 [%" PRId64 "]", object, name, n);
    memcpy(out, a->data, (size_t)n * sizeof *out);
    return BM_OK;
}

/* The shape of one of N. */
static bm_shape one_of(const bm_entry *e)
{
    bm_shape s = {.rank = e->shape.rank - 1};
    for (int i = 0; i < s.rank; i++) s.dim[i] = e->shape.dim[i + 1];
    return s;
}

static void tabulate(bm_samples *s)
{
    for (int64_t c = 0; c < bm_shape_last(&s->form.input_shape); c++)
        for (int i = 0; i < 256; i++) s->value[c * 256 + i] = ((float)i / 255.0f - s->mean[c]) / s->std[c];
}

static bm_status read_images(bm_samples *s)
{
    const bm_shape *in = &s->inputs->shape;
    if (s->inputs->dtype != BM_U8 || in->rank != 4 || in->dim[1] > BM_MOST_CHANNELS)
        return bm_refuse(BM_RULE_SCHEMA, "/images/data is not u8 [N, C, H, W]");
    if (!s->targets || s->targets->dtype != BM_I32 || s->targets->shape.rank != 1)
        return bm_refuse(BM_RULE_SCHEMA, "there is no /images/label i32 [N]");
    s->form.input_shape = BM_SHAPE(in->dim[2], in->dim[3], in->dim[1]);
    BM_TRY(read_floats(s->mean, s->store, "/images", "mean", in->dim[1]));
    BM_TRY(read_floats(s->std, s->store, "/images", "std", in->dim[1]));
    for (int64_t c = 0; c < in->dim[1]; c++)
        if (!isfinite(s->mean[c]) || !isfinite(s->std[c]) || s->std[c] <= 0)
            return bm_refuse(BM_RULE_SCHEMA, "/images: mean or std of channel %" PRId64, c);
    s->value = bm_alloc((size_t)in->dim[1] * 256 * sizeof *s->value);
    if (!s->value) return BM_ERR_MEMORY;
    tabulate(s);
    return BM_OK;
}

static bm_status read_rows(bm_samples *s)
{
    uint64_t vocab = 0;
    const bm_entry *in = s->inputs, *to = s->targets;
    if ((in->dtype != BM_F32 && in->dtype != BM_I32) || in->shape.rank < 2 || in->shape.rank > 4)
        return bm_refuse(BM_RULE_SCHEMA, "/rows/inputs is not f32 or i32 [N, ...]");
    if (!to || (to->dtype != BM_F32 && to->dtype != BM_I32) || to->shape.rank < (to->dtype == BM_F32 ? 2 : 1) ||
        to->shape.rank > 2)
        return bm_refuse(BM_RULE_SCHEMA, "there are no /rows/targets i32 [N], i32 [N, L] or f32 [N, D]");
    if (in->dtype == BM_I32) BM_TRY(bm_store_attr_u64(&vocab, s->store, "/rows", "vocab_size"));
    if (in->dtype == BM_I32 && (vocab < 1 || vocab > INT32_MAX)) return bm_refuse(BM_RULE_IDS, "a vocabulary of %" PRIu64, vocab);
    s->form.vocab = (int64_t)vocab;
    s->form.input_shape = one_of(in);
    s->lengths = bm_store_find(s->store, "/rows/lengths");
    if (s->lengths && (s->lengths->dtype != BM_I32 || s->lengths->shape.rank != 1 || s->lengths->shape.dim[0] != in->shape.dim[0]))
        return bm_refuse(BM_RULE_SCHEMA, "/rows/lengths is not i32 [N]");
    s->form.lengths = s->lengths != NULL;
    return BM_OK;
}

static bm_status read_all(bm_samples *s)
{
    uint64_t classes;
    const bm_store *f = s->store;
    if (bm_store_get_kind(f) != BM_STORE_DATASET) return bm_refuse(BM_RULE_SCHEMA, "a checkpoint, where a dataset is due");
    const int images = bm_store_find(f, "/images/data") != NULL;
    s->kind = images ? "images" : "rows";
    s->inputs = bm_store_find(f, images ? "/images/data" : "/rows/inputs");
    s->targets = bm_store_find(f, images ? "/images/label" : "/rows/targets");
    if (!s->inputs) return bm_refuse(BM_RULE_SCHEMA, "there are neither /images/data nor /rows/inputs: no dataset of samples");
    BM_TRY(images ? read_images(s) : read_rows(s));
    if (!s->inputs->bytes || !s->targets->bytes) return bm_refuse(BM_RULE_SCHEMA, "it has no samples");
    if (s->targets->shape.dim[0] != s->inputs->shape.dim[0])
        return bm_refuse(BM_RULE_SCHEMA, "%" PRId64 " inputs and %" PRId64 " targets", s->inputs->shape.dim[0], s->targets->shape.dim[0]);
    BM_TRY(bm_store_attr_u64(&classes, f, images ? "/images" : "/rows", "n_classes"));
    if (classes > INT32_MAX || (classes != 0) != (s->targets->dtype == BM_I32))
        return bm_refuse(BM_RULE_SCHEMA, "%" PRIu64 " classes for targets of %s", classes, bm_dtype_name(s->targets->dtype));
    s->form.classes = (int64_t)classes;
    s->form.input = s->inputs->dtype == BM_I32 ? BM_I32 : BM_F32;
    s->form.target = s->targets->dtype;
    s->form.target_shape = one_of(s->targets);
    BM_TRY(bm_part_check(f, s->inputs->shape.dim[0]));
    BM_TRY(optional_text(&s->encoding_json, f, "/encoding/json"));
    return optional_text(&s->meta_json, f, "/meta/json");
}

bm_status bm_samples_open(bm_samples **out, bm_store *store)
{
    *out = NULL;
    bm_samples *s = bm_calloc(1, sizeof *s);
    if (!s) {
        bm_store_close(store);
        return BM_ERR_MEMORY;
    }
    s->store = store;
    bm_status status = bm_fail_prefix(read_all(s), "%s", bm_store_path(store));
    if (status) bm_samples_close(s);
    else *out = s;
    return status;
}

void bm_samples_close(bm_samples *s)
{
    if (!s) return;
    bm_free(s->value);
    bm_free(s->encoding_json);
    bm_free(s->meta_json);
    bm_store_close(s->store);
    bm_free(s);
}

const bm_store *bm_samples_store(const bm_samples *s) { return s->store; }
int64_t bm_samples_count(const bm_samples *s) { return s->inputs->shape.dim[0]; }
bm_sample_form bm_samples_form(const bm_samples *s) { return s->form; }
const char *bm_samples_kind(const bm_samples *s) { return s->kind; }
const char *bm_samples_encoding(const bm_samples *s) { return s->encoding_json ? s->encoding_json : ""; }
const char *bm_samples_meta(const bm_samples *s) { return s->meta_json ? s->meta_json : ""; }
const float *bm_samples_mean(const bm_samples *s) { return is_images(s) ? s->mean : NULL; }
const float *bm_samples_std(const bm_samples *s) { return is_images(s) ? s->std : NULL; }

void bm_samples_normalise(bm_samples *s, const float *mean, const float *std)
{
    const size_t bytes = (size_t)bm_shape_last(&s->form.input_shape) * sizeof *mean;
    memcpy(s->mean, mean, bytes);
    memcpy(s->std, std, bytes);
    tabulate(s);
}

/* ---- reading: the input, the target, the length, one after the other ---- */

static int64_t elements_each(const bm_entry *e) { return bm_shape_elements(&e->shape) / e->shape.dim[0]; }
static size_t bytes_each(const bm_entry *e) { return (size_t)(e->bytes / e->shape.dim[0]); }

size_t bm_samples_raw_bytes(const bm_samples *s)
{
    return bytes_each(s->inputs) + bytes_each(s->targets) + (s->lengths ? sizeof(int32_t) : 0);
}

bm_status bm_samples_read(const bm_samples *s, void *raw, int64_t sample)
{
    uint8_t *to = raw;
    const int64_t in = elements_each(s->inputs), out = elements_each(s->targets);
    BM_TRY(bm_store_read(s->store, s->inputs, to, sample * in, in));
    to += bytes_each(s->inputs);
    BM_TRY(bm_store_read(s->store, s->targets, to, sample * out, out));
    to += bytes_each(s->targets);
    return s->lengths ? bm_store_read(s->store, s->lengths, to, sample, 1) : BM_OK;
}

/* Where the pixels of an image come from. */
typedef struct view {
    int flip;
    int64_t dx, dy;
} view;

static view view_of(const bm_augment *a, int64_t sample, uint64_t epoch)
{
    view v = {0, 0, 0};
    if (!a || (!a->flip && !a->shift)) return v;
    bm_rng r = bm_rng_start(a->seed, bm_rng_stream("augment"), (uint32_t)epoch);
    r.element = (uint64_t)sample * 8;
    const uint64_t ways = (uint64_t)(2 * a->shift + 1);
    v.flip = a->flip && bm_rng_u32(&r) >> 31;
    v.dx = (int64_t)((uint64_t)bm_rng_u32(&r) * ways >> 32) - a->shift;
    v.dy = (int64_t)((uint64_t)bm_rng_u32(&r) * ways >> 32) - a->shift;
    return v;
}

/* [C, H, W] u8 -> [H, W, C] f32, normalised. */
static void decode_image(const bm_samples *s, float *to, const uint8_t *from, view v)
{
    const int64_t h = s->form.input_shape.dim[0], w = s->form.input_shape.dim[1], channels = s->form.input_shape.dim[2];
    for (int64_t c = 0; c < channels; c++) {
        const float *value = s->value + c * 256;
        for (int64_t y = 0; y < h; y++) {
            const int64_t from_y = y + v.dy;
            for (int64_t x = 0; x < w; x++) {
                const int64_t at = (v.flip ? w - 1 - x : x) + v.dx;
                const int inside = from_y >= 0 && from_y < h && at >= 0 && at < w;
                to[(y * w + x) * channels + c] = value[inside ? from[(c * h + from_y) * w + at] : 0];
            }
        }
    }
}

/* BM_ERR_DAMAGED for the first of n numbers that is not below `most`; below zero is fine with `missing`. */
static bm_status check_ids(const bm_samples *s, const int32_t *x, int64_t n, int64_t most, int missing, const char *what, int64_t sample)
{
    for (int64_t i = 0; i < n; i++)
        if (x[i] >= most || (x[i] < 0 && !missing))
            return bm_fail(BM_ERR_DAMAGED, "%s: sample %" PRId64 ": %s %" PRId32 " of %" PRId64, bm_store_path(s->store), sample, what,
                           x[i], most);
    return BM_OK;
}

bm_status bm_samples_decode(const bm_samples *s, bm_batch *b, int64_t row, const void *raw, int64_t sample,
                            const bm_augment *augment, uint64_t epoch)
{
    const uint8_t *from = raw;
    const bm_batch one = bm_batch_rows(b, row, 1);
    const int64_t in = elements_each(s->inputs), out = elements_each(s->targets);
    if (is_images(s)) decode_image(s, one.input, from, view_of(augment, sample, epoch));
    else memcpy(one.input, from, bytes_each(s->inputs));
    if (s->form.input == BM_I32) BM_TRY(check_ids(s, one.input, in, s->form.vocab, 0, "id", sample));
    from += bytes_each(s->inputs);
    memcpy(one.target, from, bytes_each(s->targets));
    if (s->form.target == BM_I32) BM_TRY(check_ids(s, one.target, out, s->form.classes, 1, "class", sample));
    from += bytes_each(s->targets);
    if (!s->lengths) return BM_OK;
    memcpy(one.lengths, from, sizeof *one.lengths);
    return check_ids(s, one.lengths, 1, s->form.input_shape.dim[0] + 1, 0, "length", sample);
}

bm_status bm_samples_read_targets(const bm_samples *s, int32_t *targets, int64_t first, int64_t count)
{
    BM_TRY(bm_store_read(s->store, s->targets, targets, first, count));
    return check_ids(s, targets, count, s->form.classes, 1, "class", first / elements_each(s->targets));
}

bm_status bm_samples_read_lengths(const bm_samples *s, int32_t *lengths, int64_t first, int64_t count)
{
    const int64_t places = bm_sample_places(&s->form);
    for (int64_t i = 0; !s->lengths && i < count; i++) lengths[i] = (int32_t)places;
    return s->lengths ? bm_store_read(s->store, s->lengths, lengths, first, count) : BM_OK;
}
