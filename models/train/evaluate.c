#include "models/train/evaluate.h"

#include "core/base/checked.h"
#include "core/base/mem.h"
#include "core/graph/scalars.h"
#include "io/store/loader.h"
#include "models/train/learner.h"

struct bm_evaluator {
    bm_network network;
    bm_loader *loader;
    bm_batch batch;
    int64_t samples;
};

static bm_status make_loader(bm_evaluator *v, const bm_data *data, const bm_evaluator_opts *opts, int64_t window)
{
    bm_loader_opts o = bm_loader_opts_default();
    o.split = opts->split;
    o.window = window;
    o.batch = opts->batch;
    o.shuffle = 0;
    o.limit = opts->tokens ? bm_ceil_div(opts->tokens, window) : 0;
    BM_TRY(bm_loader_create(&v->loader, data, &o));
    v->samples = bm_loader_samples(v->loader);
    return BM_OK;
}

bm_status bm_evaluator_create(bm_evaluator **out, bm_engine *e, const bm_model *m, const bm_config *c, bm_params *params,
                              const bm_data *data, const bm_evaluator_opts *opts)
{
    *out = NULL;
    bm_status status;
    bm_evaluator *v = bm_calloc(1, sizeof *v);
    if (!v) return BM_ERR_MEMORY;
    const int64_t window = opts->window ? opts->window : bm_window_of(c);
    const bm_sample_form form = bm_data_form(data, window);
    bm_model_request r = {.mode = BM_MODEL_EVAL, .batch = opts->batch, .window = window, .stored = bm_params_stored(params)};
    BM_GO(bm_network_build(&v->network, m, c, &r, 0));
    BM_GO(bm_network_check(&v->network, &form, bm_store_path(bm_data_store(data))));
    BM_GO(make_loader(v, data, opts, window));
    BM_GO(bm_batch_create(&v->batch, &form, opts->batch));
    bm_plan_opts plan = {.gemm = opts->gemm, .share_temps = opts->share_temps};
    plan.banks = bm_params_banks(params, &plan.n_banks);
    BM_GO(bm_network_plan(&v->network, e, &plan));
    bm_plan_set_f32(v->network.plan, BM_RT_LOSS_SCALE, 1.0f);
done:
    if (status) bm_evaluator_destroy(v);
    else *out = v;
    return status;
}

void bm_evaluator_destroy(bm_evaluator *v)
{
    if (!v) return;
    bm_network_finish(&v->network);
    bm_loader_destroy(v->loader);
    bm_batch_finish(&v->batch);
    bm_free(v);
}

int64_t bm_evaluator_samples(const bm_evaluator *v)
{
    return v->samples;
}

bm_status bm_evaluator_run(bm_evaluator *v, bm_evaluation *out,
                           bm_status (*progress)(void *user, int64_t done, int64_t all), void *user)
{
    double sum = 0;
    const bm_cursor start = {0, 0};
    out->tokens = 0;
    BM_TRY(bm_loader_set_cursor(v->loader, start));
    for (int64_t left = v->samples; left > 0; left -= v->batch.size) {
        if (progress) BM_TRY(progress(user, v->samples - left, v->samples));
        BM_TRY(bm_loader_next(v->loader, &v->batch, NULL));
        if (left < v->batch.size) bm_batch_void(&v->batch, left); /* the loader runs on into the next epoch */
        BM_TRY(bm_network_feed(&v->network, &v->batch));
        BM_TRY(bm_plan_run(v->network.plan));
        float loss;
        BM_TRY(bm_plan_read(v->network.plan, v->network.io.loss, &loss));
        sum += loss;
        out->tokens += bm_batch_counted(&v->batch);
    }
    out->loss = out->tokens ? sum / (double)out->tokens : 0;
    return BM_OK;
}
