#include "models/train/evaluate.h"

#include "core/base/checked.h"
#include "core/base/mem.h"
#include "core/graph/scalars.h"
#include "io/store/loader.h"
#include "models/train/learner.h"

struct bm_evaluator {
    bm_network network;
    bm_bank *averages;   /* as weights; NULL where none are kept */
    bm_loader *loader;
    bm_batch batch;
    int64_t samples;
    bm_scores *scores;   /* NULL without */
    bm_value *judged;    /* the logits, or the rows' losses */
    float *outputs;      /* of judged */
    const double *bytes;
    const char *path;    /* of the data; borrowed */
};

/* What the outputs are judged as. */
static bm_scores_kind kind_of(const bm_model_io *io)
{
    switch (io->objective) {
    case BM_OBJECTIVE_REGRESSION: return BM_SCORES_NUMBERS;
    case BM_OBJECTIVE_BINARY: return BM_SCORES_BINARY;
    case BM_OBJECTIVE_LM: return BM_SCORES_TOKENS;
    case BM_OBJECTIVE_TAGS: return io->aligned ? BM_SCORES_SEQUENCES : BM_SCORES_CLASSES;
    default: return BM_SCORES_CLASSES;
    }
}

static bm_status make_scores(bm_evaluator *v, const bm_evaluator_opts *opts)
{
    const bm_model_io *io = &v->network.io;
    const bm_scores_kind kind = kind_of(io);
    const int64_t width = kind == BM_SCORES_TOKENS || kind == BM_SCORES_BINARY ? 1 : bm_shape_last(bm_value_shape(io->logits));
    v->bytes = opts->bytes;
    v->judged = bm_graph_output(v->network.graph, kind == BM_SCORES_TOKENS ? io->rows : io->logits, "judged");
    if (!v->judged) return bm_graph_status(v->network.graph);
    v->outputs = bm_calloc((size_t)bm_shape_elements(bm_value_shape(v->judged)), sizeof *v->outputs);
    return v->outputs ? bm_scores_create(&v->scores, kind, width) : BM_ERR_MEMORY;
}

/* The bytes that the targets of a batch stand for. */
static double bytes_of(const bm_evaluator *v)
{
    double sum = 0;
    const int32_t *ids = v->batch.target;
    const int64_t n = v->batch.size * bm_shape_elements(&v->batch.form.target_shape);
    for (int64_t i = 0; v->bytes && i < n; i++) sum += ids[i] >= 0 ? v->bytes[ids[i]] : 0;
    return sum;
}

static bm_status judge(bm_evaluator *v)
{
    const bm_batch *b = &v->batch;
    const bm_scores_kind kind = kind_of(&v->network.io);
    const int sequences = kind == BM_SCORES_SEQUENCES;
    BM_TRY(bm_plan_read(v->network.plan, v->judged, v->outputs));
    bm_scores_batch s = {.rows = b->size, .outputs = v->outputs};
    if (kind == BM_SCORES_NUMBERS) s.numbers = b->target;
    else s.labels = b->target;
    if (!sequences && kind != BM_SCORES_NUMBERS) s.rows *= bm_shape_elements(&b->form.target_shape);
    if (kind == BM_SCORES_TOKENS) s.bytes = bytes_of(v);
    if (sequences) {
        s.lengths = b->lengths;
        s.steps = bm_shape_rows(bm_value_shape(v->network.io.logits)) / b->size;
        s.most = b->form.target_shape.dim[0];
    }
    return bm_scores_add(v->scores, &s);
}

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
    v->path = bm_store_path(bm_data_store(data));
    BM_GO(make_loader(v, data, opts, window));
    BM_GO(bm_batch_create(&v->batch, &form, opts->batch));
    if (opts->scores) BM_GO(make_scores(v, opts));
    bm_plan_opts plan = {.gemm = opts->gemm, .share_temps = opts->share_temps};
    plan.banks = bm_params_banks(params, &plan.n_banks);
    const bm_bank *averages = bm_params_bank(params, BM_PLACE_AVERAGE);
    if (averages) {
        BM_GO(bm_bank_view(&v->averages, averages, BM_PLACE_WEIGHT));
        plan.banks = &v->averages;
        plan.n_banks = 1;
    }
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
    bm_bank_destroy(v->averages);
    bm_loader_destroy(v->loader);
    bm_batch_finish(&v->batch);
    bm_scores_destroy(v->scores);
    bm_free(v->outputs);
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
    *out = (bm_evaluation){.samples = v->samples, .scores = v->scores};
    if (v->scores) bm_scores_reset(v->scores);
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
        if (v->scores) BM_TRY(judge(v));
    }
    if (!out->tokens) return bm_fail(BM_ERR_CONFIG, "%s: none of the targets counts: there is nothing to measure by", v->path);
    out->loss = sum / (double)out->tokens;
    return BM_OK;
}
