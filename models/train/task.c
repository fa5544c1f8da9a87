#include "models/train/task.h"

#include <jansson.h>
#include <string.h>

#include "io/store/store.h"
#include "models/train/optimizer.h"

static bm_status open_data(bm_task *t)
{
    bm_config *c = t->config;
    bm_status status = bm_tokens_open(&t->data, bm_config_string(c, "data.path"));
    if (status == BM_ERR_REFUSED) {
        bm_error why = *bm_last_error();
        return bm_fail(status, "%s; `bmtool data text` makes a data set of texts", why.text);
    }
    if (status == BM_ERR_NOT_FOUND && !bm_config_is_null(c, "data.content_id")) {
        bm_error why = *bm_last_error();
        return bm_fail(status, "%s; if it was moved: --set data.path=NEW", why.text);
    }
    if (status) return status;
    char id[65];
    bm_content_id_hex(id, bm_store_content_id(bm_tokens_store(t->data)));
    if (!bm_config_is_null(c, "data.content_id") && strcmp(bm_config_string(c, "data.content_id"), id))
        return bm_fail(BM_ERR_DIFFERS,
                       "%s is not the data set that this run began with (content id %.16s..., the run has %.16s...): put "
                       "the old one back or start a new run with init",
                       bm_config_string(c, "data.path"), id, bm_config_string(c, "data.content_id"));
    BM_TRY(bm_config_set_string(c, "data.content_id", id));
    BM_TRY(t->model->check(c, bm_tokens_vocab(t->data)));
    if (bm_config_is_null(c, "model.vocab")) BM_TRY(bm_config_set_i64(c, "model.vocab", bm_tokens_vocab(t->data)));
    return BM_OK;
}

/* The training part must hold a window; the window fit the context. */
static bm_status check_window(const bm_task *t)
{
    char where[256];
    const bm_config *c = t->config;
    int64_t context = bm_config_i64(c, "model.context"), start, count;
    if (t->window > context)
        return bm_fail(BM_ERR_CONFIG, "%sdata.window: %lld tokens do not fit model.context %lld",
                       bm_config_where(c, "data.window", where, sizeof where), (long long)t->window, (long long)context);
    if (!t->data) return BM_OK;
    BM_TRY(bm_tokens_split(&start, &count, t->data, "train"));
    if (count < t->window + 1)
        return bm_fail(BM_ERR_CONFIG,
                       "%s: the training part has %lld tokens, a window of %lld needs %lld: use a shorter data.window or "
                       "model.context, or more text",
                       bm_config_string(c, "data.path"), (long long)count, (long long)t->window, (long long)t->window + 1);
    return BM_OK;
}

bm_status bm_task_open(bm_task *t, bm_config *c, int no_data)
{
    bm_status status;
    memset(t, 0, sizeof *t);
    t->config = c;
    BM_GO(bm_config_check(c));
    t->model = bm_model_find(bm_config_get_family(c)->name);
    BM_GO(t->model->check(c, 0));
    BM_GO(bm_optimizer_check(c));
    if (!no_data) BM_GO(open_data(t));
    if (bm_config_is_null(c, "model.vocab")) {
        status = bm_fail(BM_ERR_CONFIG, "model.vocab is null and there is no data set to take it from: --set model.vocab=N");
        goto done;
    }
    t->window = bm_config_is_null(c, "data.window") ? bm_config_i64(c, "model.context") : bm_config_i64(c, "data.window");
    BM_GO(check_window(t));
done:
    if (status) bm_task_close(t);
    return status;
}

void bm_task_close(bm_task *t)
{
    bm_tokens_close(t->data);
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

/* Equal as JSON, and equal bytes beside it. */
static int same_tokenizer(const bm_ckpt_desc *d, const bm_tokens *data)
{
    size_t bytes;
    json_error_t e;
    const void *blob = bm_tokens_tokenizer_blob(&bytes, data);
    if (bytes != d->tokenizer_blob_bytes || (bytes && memcmp(blob, d->tokenizer_blob, bytes))) return 0;
    json_t *a = json_loads(d->tokenizer_json, 0, &e), *b = json_loads(bm_tokens_tokenizer_json(data), 0, &e);
    int same = a && b && json_equal(a, b);
    json_decref(a);
    json_decref(b);
    return same;
}

bm_status bm_task_check_tokens(const bm_config *c, const bm_checkpoint *from, const bm_tokens *data)
{
    const bm_ckpt_desc *d = bm_checkpoint_desc(from);
    const char *path = bm_store_path(bm_tokens_store(data)), *json = bm_tokens_tokenizer_json(data);
    int64_t have = bm_config_i64(c, "model.vocab"), need = bm_tokens_vocab(data);
    if (need > have)
        return bm_fail(
            BM_ERR_CONFIG,
            "%s has a vocabulary of %lld, the model knows %lld tokens (was it tokenized with another tokenizer?)", path,
            (long long)need, (long long)have);
    if (!d->tokenizer_json || !json || !*json || same_tokenizer(d, data)) return BM_OK;
    return bm_fail(
        BM_ERR_CONFIG,
        "%s was tokenized with another tokenizer than that of %s (bmtool data text --tokenizer %s makes one that fits)",
        path, bm_checkpoint_path(from), bm_checkpoint_path(from));
}
