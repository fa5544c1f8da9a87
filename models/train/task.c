#include "models/train/task.h"

#include <float.h>
#include <jansson.h>
#include <string.h>

#include "io/store/store.h"
#include "core/base/checked.h"
#include "core/base/mem.h"
#include "models/infer/transcript.h"
#include "models/train/learner.h"
#include "models/train/optimizer.h"

/* Whether CTC can align the labels of a sample, up to the first below zero, to its frames. */
static bm_status check_labels(const bm_samples *s, int64_t sample, const int32_t *labels, int64_t most, int32_t frames)
{
    int64_t n = 0;
    const char *path = bm_store_path(bm_samples_store(s));
    for (; n < most && labels[n] >= 0; n++)
        if (!labels[n])
            return bm_fail(BM_ERR_CONFIG, "%s: sample %lld: label %lld is class 0, which is the blank of ctc: labels begin at 1", path,
                           (long long)sample, (long long)n);
    const int64_t steps = bm_ctc_steps(labels, n);
    if (steps <= frames) return BM_OK;
    return bm_fail(BM_ERR_CONFIG, "%s: sample %lld: %d frames, but ctc needs %lld to align its %lld labels: leave it out", path,
                   (long long)sample, (int)frames, (long long)steps, (long long)n);
}

static bm_status check_alignment(const bm_samples *s)
{
    enum { TOGETHER = 256 };
    const bm_sample_form f = bm_samples_form(s);
    const int64_t most = f.target_shape.dim[0], all = bm_samples_count(s);
    int32_t frames[TOGETHER], *labels = bm_calloc((size_t)(TOGETHER * most), sizeof *labels);
    bm_status status = labels ? BM_OK : BM_ERR_MEMORY;
    for (int64_t at = 0; !status && at < all; at += TOGETHER) {
        const int64_t n = all - at < TOGETHER ? all - at : TOGETHER;
        status = bm_samples_read_targets(s, labels, at * most, n * most);
        if (!status) status = bm_samples_read_lengths(s, frames, at, n);
        for (int64_t i = 0; !status && i < n; i++) status = check_labels(s, at + i, labels + i * most, most, frames[i]);
    }
    bm_free(labels);
    return status;
}

static bm_status open_data(bm_task *t)
{
    bm_config *c = t->config;
    bm_status status = bm_data_open(&t->data, bm_config_string(c, "data.path"));
    if (status == BM_ERR_REFUSED) {
        bm_error why = *bm_last_error();
        return bm_fail(status, "%s; `bmtool data text` makes a data set of texts, `bmtool data --help` tells of others", why.text);
    }
    if (status == BM_ERR_NOT_FOUND && !bm_config_is_null(c, "data.content_id")) {
        bm_error why = *bm_last_error();
        return bm_fail(status, "%s; if it was moved: --set data.path=NEW", why.text);
    }
    if (status) return status;
    char id[65];
    bm_content_id_hex(id, bm_store_content_id(bm_data_store(t->data)));
    if (!bm_config_is_null(c, "data.content_id") && strcmp(bm_config_string(c, "data.content_id"), id))
        return bm_fail(BM_ERR_DIFFERS,
                       "%s is not the data set that this run began with (content id %.16s..., the run has %.16s...): put "
                       "the old one back or start a new run with init",
                       bm_config_string(c, "data.path"), id, bm_config_string(c, "data.content_id"));
    BM_TRY(bm_config_set_string(c, "data.content_id", id));
    t->form = bm_data_form(t->data, bm_window_of(c));
    if (!bm_data_tokens(t->data)) BM_TRY(bm_config_set_i64(c, "data.window", bm_sample_places(&t->form)));
    BM_TRY(t->model->fit(c, &t->form));
    const int ctc = !bm_config_is_null(c, "train.loss") && !strcmp(bm_config_string(c, "train.loss"), "ctc");
    return ctc ? check_alignment(bm_data_samples(t->data)) : BM_OK;
}

static bm_status no_samples(const bm_task *t)
{
    const bm_config *c = t->config;
    const bm_tokens *tokens = bm_data_tokens(t->data);
    const int64_t window = bm_window_of(c);
    int64_t start, count;
    if (!tokens) return bm_fail(BM_ERR_CONFIG, "%s: the training part is empty", bm_config_string(c, "data.path"));
    BM_TRY(bm_tokens_split(&start, &count, tokens, "train"));
    return bm_fail(BM_ERR_CONFIG,
                   "%s: the training part has %lld tokens, a window of %lld needs %lld: use a shorter data.window or "
                   "model.context, or more text",
                   bm_config_string(c, "data.path"), (long long)count, (long long)window, (long long)window + 1);
}

/* Whether train.steps was asked for on the command line, beside epochs that were not. */
static int steps_asked(const bm_config *c)
{
    char steps[256], epochs[256];
    if (!bm_config_given(c, "train.steps")) return 0;
    if (!bm_config_given(c, "train.epochs")) return 1;
    return !*bm_config_where(c, "train.steps", steps, sizeof steps) && *bm_config_where(c, "train.epochs", epochs, sizeof epochs);
}

/* Turns `batch: all` and epochs into numbers. Unless told otherwise evaluations and checkpoints are made after whole epochs, each of
 * them where the epochs are few. */
static bm_status count_steps(bm_task *t)
{
    static const struct {
        const char *key;
        int64_t most; /* times in a run */
    } each_epoch[] = {{"train.eval_every", 100}, {"train.checkpoint_every", 10}};
    bm_config *c = t->config;
    int64_t samples, steps;
    BM_TRY(bm_data_part(&samples, t->data, "train", bm_window_of(c)));
    if (!samples) return no_samples(t);
    if (!bm_config_i64(c, "train.batch")) BM_TRY(bm_config_set_i64(c, "train.batch", samples));
    if (bm_config_is_null(c, "train.epochs")) return BM_OK;
    if (steps_asked(c)) return bm_config_set(c, "train.epochs=null");
    const int64_t epochs = bm_config_i64(c, "train.epochs"), batch = bm_config_i64(c, "train.batch");
    if (bm_mul_i64(&steps, epochs, samples)) return bm_fail(BM_ERR_CONFIG, "train.epochs: %lld are too many", (long long)epochs);
    for (int i = 0; i < 2; i++)
        if (!bm_config_given(c, each_epoch[i].key))
            BM_TRY(bm_config_set_i64(c, each_epoch[i].key, bm_ceil_div(samples, batch) * bm_ceil_div(epochs, each_epoch[i].most)));
    return bm_config_set_i64(c, "train.steps", bm_ceil_div(steps, batch));
}

/* What waits for evaluations needs some. */
static bm_status check_waiting(const bm_task *t)
{
    char where[256];
    int64_t val = 0;
    const bm_config *c = t->config;
    const int plateau = !strcmp(bm_config_string(c, "train.schedule"), "plateau");
    const char *key = bm_config_i64(c, "train.early_stop") ? "train.early_stop" : "train.schedule";
    if (!plateau && !bm_config_i64(c, "train.early_stop")) return BM_OK;
    if (bm_data_has_part(t->data, "val")) BM_TRY(bm_data_part(&val, t->data, "val", bm_window_of(c)));
    if (val && bm_config_i64(c, "train.eval_every")) return BM_OK;
    return bm_fail(BM_ERR_CONFIG, "%s%s: it waits for evaluations, but %s", bm_config_where(c, key, where, sizeof where), key,
                   val ? "train.eval_every is 0" : "the data set has no validation part");
}

/* Images alone can be mirrored and moved, and not out of sight. */
static bm_status check_augmentation(const bm_task *t)
{
    char where[256];
    const bm_config *c = t->config;
    const int64_t shift = bm_config_i64(c, "data.shift"), *size = t->form.input_shape.dim;
    const char *key = shift ? "data.shift" : "data.flip", *kind = bm_data_kind(t->data);
    if (!shift && !bm_config_bool(c, "data.flip")) return BM_OK;
    bm_config_where(c, key, where, sizeof where);
    if (strcmp(kind, "images"))
        return bm_fail(BM_ERR_CONFIG, "%s%s: that is for images; the data set holds %s", where, key, kind);
    if (shift < size[0] && shift < size[1]) return BM_OK;
    return bm_fail(BM_ERR_CONFIG, "%s%s: %lld pixels move images of %lld x %lld out of sight", where, key, (long long)shift,
                   (long long)size[1], (long long)size[0]);
}

/* Weights that are given: one for each class; in f32, as they are used, not all 0. */
static bm_status check_class_weights(const bm_task *t)
{
    char where[256];
    double sum = 0;
    const char *key = "train.class_weights";
    const int64_t classes = t->form.classes, n = bm_config_numbers(NULL, 0, t->config, key);
    if (n < 0 || bm_config_is_null(t->config, key)) return BM_OK;
    bm_config_where(t->config, key, where, sizeof where);
    if (n != classes)
        return bm_fail(BM_ERR_CONFIG, "%s%s: %lld weights, but the data set has %lld classes", where, key, (long long)n, (long long)classes);
    double *weights = bm_calloc((size_t)n, sizeof *weights);
    if (!weights) return BM_ERR_MEMORY;
    bm_config_numbers(weights, n, t->config, key);
    for (int64_t i = 0; i < n; i++) sum += (double)(float)weights[i];
    bm_free(weights);
    if (sum > 0 && sum <= (double)FLT_MAX) return BM_OK;
    return bm_fail(BM_ERR_CONFIG, "%s%s: %s", where, key, sum > 0 ? "they are too large" : "they are all 0");
}

bm_status bm_task_open(bm_task *t, bm_config *c, int no_data)
{
    bm_status status;
    memset(t, 0, sizeof *t);
    t->config = c;
    BM_GO(bm_config_check(c));
    t->model = bm_model_find(bm_config_get_family(c)->name);
    if (t->model->check) BM_GO(t->model->check(c));
    BM_GO(bm_optimizer_check(c));
    BM_GO(no_data ? t->model->fit(c, NULL) : open_data(t));
    if (!no_data) BM_GO(count_steps(t));
    if (!no_data) BM_GO(check_waiting(t));
    if (!no_data) BM_GO(check_augmentation(t));
    if (!no_data) BM_GO(check_class_weights(t));
done:
    if (status) bm_task_close(t);
    return status;
}

void bm_task_close(bm_task *t)
{
    bm_data_close(t->data);
    memset(t, 0, sizeof *t);
}

static bm_status first_difference(const bm_config *c, const bm_config *old, const char *path)
{
    size_t at = 0;
    const char *key;
    char mine[BM_CONFIG_VALUE], theirs[BM_CONFIG_VALUE];
    while ((key = bm_config_next_difference(&at, mine, theirs, c, old, "model"))) {
        if (!strcmp(key, "dropout")) continue;
        return bm_fail(BM_ERR_CONFIG,
                       "model.%s is %s, but %s has learned with %s: set it to that, or start without its weights", key,
                       mine, path, theirs);
    }
    return BM_OK;
}

bm_status bm_task_check_weights(const bm_config *c, const bm_checkpoint *from)
{
    size_t n;
    bm_config *old = NULL;
    const char *json = bm_checkpoint_desc(from)->config_json;
    const bm_config_family *const *families = bm_model_families(&n);
    BM_TRY(bm_config_create(&old, families, n));
    bm_status status = bm_config_from_json(old, json, strlen(json), bm_checkpoint_path(from));
    if (!status) status = first_difference(c, old, bm_checkpoint_path(from));
    bm_config_destroy(old);
    return status;
}

/* Equal as JSON. */
static int same_json(const char *mine, const char *theirs)
{
    json_error_t e;
    json_t *a = json_loads(mine, 0, &e), *b = json_loads(theirs, 0, &e);
    int same = a && b && json_equal(a, b);
    json_decref(a);
    json_decref(b);
    return same;
}

static bm_status check_tokens(const bm_config *c, const bm_checkpoint *from, const bm_tokens *data)
{
    size_t bytes;
    const bm_ckpt_desc *d = bm_checkpoint_desc(from);
    const void *blob = bm_tokens_tokenizer_blob(&bytes, data);
    const char *path = bm_store_path(bm_tokens_store(data)), *json = bm_tokens_tokenizer_json(data);
    int64_t have = bm_config_has(c, "model.vocab") ? bm_config_i64(c, "model.vocab") : 0, need = bm_tokens_vocab(data);
    if (need > have)
        return bm_fail(
            BM_ERR_CONFIG,
            "%s has a vocabulary of %lld, the model knows %lld tokens (was it tokenized with another tokenizer?)", path,
            (long long)need, (long long)have);
    if (!d->tokenizer_json || !json || !*json) return BM_OK;
    if (bytes == d->tokenizer_blob_bytes && (!bytes || !memcmp(blob, d->tokenizer_blob, bytes)) && same_json(d->tokenizer_json, json))
        return BM_OK;
    return bm_fail(
        BM_ERR_CONFIG,
        "%s was tokenized with another tokenizer than that of %s (bmtool data text --tokenizer %s makes one that fits)",
        path, bm_checkpoint_path(from), bm_checkpoint_path(from));
}

/* n numbers of a JSON list. */
static int read_floats(float *out, const json_t *list, int64_t n)
{
    if ((int64_t)json_array_size(list) != n) return 0;
    for (int64_t i = 0; i < n; i++) out[i] = (float)json_number_value(json_array_get(list, (size_t)i));
    return 1;
}

/* Images that a model predicts from are normalised by the numbers it has learned with, whatever their own are. */
static void normalise(json_t *theirs, json_t *ours, bm_samples *s)
{
    float mean[BM_MOST_CHANNELS], std[BM_MOST_CHANNELS];
    const bm_sample_form f = bm_samples_form(s);
    const int64_t n = bm_shape_last(&f.input_shape);
    if (bm_samples_mean(s) && read_floats(mean, json_object_get(theirs, "mean"), n) && read_floats(std, json_object_get(theirs, "std"), n))
        bm_samples_normalise(s, mean, std);
    static const char *const numbers[] = {"mean", "std"};
    for (int i = 0; i < 2 && bm_samples_mean(s); i++) {
        json_object_del(theirs, numbers[i]);
        json_object_del(ours, numbers[i]);
    }
}

static bm_status check_samples(const bm_checkpoint *from, bm_samples *s)
{
    json_error_t e;
    const bm_ckpt_desc *d = bm_checkpoint_desc(from);
    if (!d->encoding_json || !*bm_samples_encoding(s)) return BM_OK;
    json_t *theirs = json_loads(d->encoding_json, 0, &e), *ours = json_loads(bm_samples_encoding(s), 0, &e);
    normalise(theirs, ours, s);
    const int same = theirs && ours && json_equal(theirs, ours);
    json_decref(theirs);
    json_decref(ours);
    if (same) return BM_OK;
    return bm_fail(BM_ERR_CONFIG,
                   "%s was encoded otherwise (columns, categories, scales or classes) than what %s has learned from (bmtool data ... "
                   "--like %s makes one that fits)",
                   bm_store_path(bm_samples_store(s)), bm_checkpoint_path(from), bm_checkpoint_path(from));
}

bm_status bm_task_check_data(const bm_config *c, const bm_checkpoint *from, bm_data *data)
{
    return bm_data_tokens(data) ? check_tokens(c, from, bm_data_tokens(data)) : check_samples(from, bm_data_samples(data));
}
