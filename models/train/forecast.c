#include "models/train/forecast.h"

#include <stdio.h>
#include <string.h>

#include "cl/ops/ops.h"
#include "core/base/checked.h"
#include "core/graph/graph_priv.h"
#include "core/graph/memplan.h"
#include "models/nn/network.h"
#include "models/train/learner.h"

/* What is forecast, and for what. */
typedef struct forecast {
    bm_forecast *out;
    const bm_task *task;
    const bm_limits *limits;
    const char *gemm;
} forecast;

/* Adds a plan: its inputs, and temporaries where they do not fit those of `share`. */
static bm_status add_plan(const forecast *w, bm_memplan **keep, bm_graph *g, const bm_memplan *share)
{
    bm_memplan *p;
    bm_forecast *f = w->out;
    BM_TRY(bm_memplan_foresee(&p, g, w->limits, w->gemm));
    int fits = share && share->n_slabs >= p->n_slabs;
    for (int i = 0; fits && i < p->n_slabs; i++) fits = share->slab_bytes[i] >= p->slab_bytes[i];
    if (!fits) f->temp_bytes += p->sizes.temp_bytes;
    f->input_bytes += p->sizes.input_bytes;
    if (keep) *keep = p;
    else bm_memplan_destroy(p);
    return BM_OK;
}

static bm_status add_update(const forecast *w, const bm_network *first, const bm_memplan *share)
{
    bm_status status;
    bm_graph *g = NULL;
    bm_value *norm;
    bm_graph_opts o = bm_graph_opts_with_ops();
    BM_GO(bm_graph_create(&g, &o));
    BM_GO(bm_network_declare(g, first));
    BM_GO(bm_optimizer_build(&norm, g, w->task->config));
    BM_GO(add_plan(w, NULL, g, share));
    bm_cost cost = bm_graph_cost(g);
    w->out->flops += cost.flops;
    w->out->bytes += cost.bytes;
done:
    bm_graph_destroy(g);
    return status;
}

static bm_status add_evaluation(const forecast *w, int64_t micro, const bm_memplan *share)
{
    const bm_task *task = w->task;
    bm_network p = {0};
    int64_t count = 0;
    if (!bm_config_i64(task->config, "train.eval_every")) return BM_OK;
    if (task->data && !bm_data_has_part(task->data, "val")) return BM_OK;
    if (task->data) BM_TRY(bm_data_part(&count, task->data, "val", bm_window_of(task->config)));
    if (task->data && !count) return BM_OK;
    bm_model_request r = {.mode = BM_MODEL_EVAL, .batch = micro, .window = bm_window_of(task->config)};
    bm_status status = bm_network_build(&p, task->model, task->config, &r, 0);
    if (!status) status = add_plan(w, NULL, p.graph, share);
    bm_network_finish(&p);
    return status;
}

static int has_halves(const bm_graph *g)
{
    for (int i = 0; i < g->n_values; i++)
        if (g->values[i]->place == BM_PLACE_HALF) return 1;
    return 0;
}

static bm_status add_banks(const forecast *w, const bm_graph *g)
{
    bm_layout *l;
    bm_forecast *f = w->out;
    BM_TRY(bm_layout_create(&l, g, BM_PLACE_WEIGHT, w->limits));
    const bm_optimizer o = bm_optimizer_of(w->task->config);
    const int slots = o.slots + (o.ema > 0);
    f->parameters = bm_layout_elements(l);
    f->weight_bytes = f->gradient_bytes = bm_layout_bytes(l);
    f->state_bytes = slots * f->weight_bytes;
    f->half_bytes = has_halves(g) ? f->weight_bytes / 2 : 0;
    f->snapshot_bytes = (1 + slots) * f->weight_bytes;
    bm_layout_destroy(l);
    return BM_OK;
}

bm_status bm_forecast_training(bm_forecast *f, const bm_task *task, const bm_limits *limits, const char *gemm)
{
    bm_status status;
    const forecast w = {f, task, limits, gemm};
    bm_network first = {0}, more = {0};
    bm_memplan *plan = NULL;
    memset(f, 0, sizeof *f);
    const bm_config *c = task->config;
    const bm_model_request r = bm_learner_request(c);
    BM_GO(bm_network_build(&first, task->model, c, &r, 0));
    BM_GO(add_banks(&w, first.graph));
    BM_GO(add_plan(&w, &plan, first.graph, NULL));
    bm_cost cost = bm_graph_cost(first.graph);
    const int64_t micros = bm_ceil_div(bm_config_i64(c, "train.batch"), r.batch);
    const bm_sample_form form = bm_network_form(&first);
    f->tokens = bm_config_i64(c, "train.batch") * bm_sample_places(&form);
    f->flops = cost.flops * (double)micros;
    f->bytes = cost.bytes * (double)micros;
    f->nodes = first.graph->n_nodes;
    f->peak_bytes = plan->sizes.temp_need;
    if (plan->sizes.peak_node >= 0) snprintf(f->peak, sizeof f->peak, "%s", first.graph->nodes[plan->sizes.peak_node]->name);
    if (micros > 1) {
        BM_GO(bm_network_build(&more, task->model, c, &r, 1));
        BM_GO(add_plan(&w, NULL, more.graph, plan));
    }
    BM_GO(add_update(&w, &first, plan));
    BM_GO(add_evaluation(&w, r.batch, plan));
    f->total_bytes = f->weight_bytes + f->gradient_bytes + f->state_bytes + f->half_bytes + f->temp_bytes + f->input_bytes;
done:
    bm_memplan_destroy(plan);
    bm_network_finish(&first);
    bm_network_finish(&more);
    return status;
}
