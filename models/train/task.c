#include "models/train/task.h"

#include <string.h>

#include "io/store/store.h"

static bm_status open_data(bm_task *t)
{
    bm_config *c = t->config;
    BM_TRY(bm_tokens_open(&t->data, bm_config_string(c, "data.path")));
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
