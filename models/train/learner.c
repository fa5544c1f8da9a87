#include "models/train/learner.h"

#include <math.h>
#include <string.h>

#include "cl/ops/ops.h"
#include "core/base/checked.h"
#include "core/base/mem.h"
#include "core/graph/scalars.h"

/* Where the numbers of one step arrive. */
typedef struct slot {
    int64_t step;
    float *loss;         /* [micros] */
    bm_ticket **tickets; /* [micros] */
    float norm;
    bm_ticket *done;
} slot;

struct bm_learner {
    bm_engine *engine;
    const bm_config *config;
    bm_optimizer optimizer;
    bm_params *params;
    bm_network first;  /* writes the gradients */
    bm_network more;   /* adds to them; only with several micro-batches */
    bm_graph *update_graph;
    bm_plan *update;
    bm_value *norm;
    int64_t batch, micro, micros;
    bm_batch padded;   /* the last micro-batch when it is short */
    float *class_weights; /* NULL: all classes count alike */
    slot slots[BM_LEARNER_AHEAD];
    int oldest, under_way;
};

int64_t bm_window_of(const bm_config *c)
{
    if (!bm_config_is_null(c, "data.window")) return bm_config_i64(c, "data.window");
    return bm_config_has(c, "model.context") ? bm_config_i64(c, "model.context") : 1;
}

bm_model_request bm_learner_request(const bm_config *c)
{
    const int64_t batch = bm_config_i64(c, "train.batch"), micro = bm_config_i64(c, "train.micro_batch");
    bm_model_request r = {.mode = BM_MODEL_TRAIN, .batch = micro < batch ? micro : batch,
                          .recompute = bm_config_bool(c, "train.recompute")};
    r.window = bm_window_of(c);
    bm_dtype_parse(&r.dtype, bm_config_string(c, "train.dtype")); /* one of the choices */
    return r;
}

static bm_status build_update(bm_learner *l)
{
    bm_graph_opts opts = bm_graph_opts_with_ops();
    BM_TRY(bm_graph_create(&l->update_graph, &opts));
    BM_TRY(bm_network_declare(l->update_graph, &l->first));
    return bm_optimizer_build(&l->norm, l->update_graph, l->config);
}

static bm_status build_plans(bm_learner *l, const bm_model *m, const bm_model_request *r, const char *gemm)
{
    BM_TRY(bm_network_build(&l->first, m, l->config, r, 0));
    if (l->micros > 1) BM_TRY(bm_network_build(&l->more, m, l->config, r, 1));
    BM_TRY(build_update(l));
    bm_params_opts po = {.gradients = 1, .states = l->optimizer.slots, .average = l->optimizer.ema > 0};
    BM_TRY(bm_params_create(&l->params, l->engine, l->first.nn, l->first.graph, &po));
    bm_plan_opts o = {.gemm = gemm};
    o.banks = bm_params_banks(l->params, &o.n_banks);
    BM_TRY(bm_network_plan(&l->first, l->engine, &o));
    o.share_temps = l->first.plan;
    if (l->micros > 1) BM_TRY(bm_network_plan(&l->more, l->engine, &o));
    return bm_plan_create(&l->update, l->engine, l->update_graph, &o);
}

static bm_status make_slots(bm_learner *l)
{
    for (int i = 0; i < BM_LEARNER_AHEAD; i++) {
        slot *s = &l->slots[i];
        s->loss = bm_calloc((size_t)l->micros, sizeof *s->loss);
        s->tickets = bm_calloc((size_t)l->micros, sizeof *s->tickets);
        if (!s->loss || !s->tickets) return BM_ERR_MEMORY;
        for (int64_t j = 0; j < l->micros; j++) BM_TRY(bm_ticket_create(&s->tickets[j]));
        BM_TRY(bm_ticket_create(&s->done));
    }
    return BM_OK;
}

/* Rows that fill up a short micro-batch do not count for the loss, but they would for what is measured over all rows. */
static bm_status check_micro(const bm_learner *l)
{
    char where[256];
    for (int i = 0; i < bm_graph_params(l->first.graph) && l->batch % l->micro; i++)
        if (bm_value_group(bm_graph_param_at(l->first.graph, i)) == BM_NN_BUFFERS)
            return bm_fail(BM_ERR_CONFIG, "%strain.micro_batch: %lld does not divide train.batch %lld, which batch norm wants",
                           bm_config_where(l->config, "train.micro_batch", where, sizeof where), (long long)l->micro, (long long)l->batch);
    return BM_OK;
}

static bm_status weigh_alike(bm_learner *l)
{
    float *ones = bm_calloc((size_t)l->first.io.classes, sizeof *ones);
    if (!ones) return BM_ERR_MEMORY;
    for (int64_t i = 0; i < l->first.io.classes; i++) ones[i] = 1;
    l->first.class_weights = l->more.class_weights = l->class_weights = ones;
    return BM_OK;
}

bm_status bm_learner_create(bm_learner **out, bm_engine *e, const bm_model *m, const bm_config *c, const char *gemm)
{
    *out = NULL;
    bm_status status;
    bm_learner *l = bm_calloc(1, sizeof *l);
    if (!l) return BM_ERR_MEMORY;
    l->engine = e;
    l->config = c;
    l->optimizer = bm_optimizer_of(c);
    l->batch = bm_config_i64(c, "train.batch");
    const bm_model_request r = bm_learner_request(c);
    l->micro = r.batch;
    l->micros = bm_ceil_div(l->batch, l->micro);
    BM_GO(build_plans(l, m, &r, gemm));
    BM_GO(check_micro(l));
    const bm_sample_form form = bm_learner_form(l);
    if (l->first.io.class_weights) BM_GO(weigh_alike(l));
    if (l->batch % l->micro) BM_GO(bm_batch_create(&l->padded, &form, l->micro));
    BM_GO(make_slots(l));
done:
    if (status) bm_learner_destroy(l);
    else *out = l;
    return status;
}

void bm_learner_destroy(bm_learner *l)
{
    if (!l) return;
    for (int i = 0; i < BM_LEARNER_AHEAD; i++) {
        slot *s = &l->slots[i];
        for (int64_t j = 0; s->tickets && j < l->micros; j++) bm_ticket_destroy(s->tickets[j]);
        bm_ticket_destroy(s->done);
        bm_free(s->tickets);
        bm_free(s->loss);
    }
    bm_plan_destroy(l->update);
    bm_graph_destroy(l->update_graph);
    bm_network_finish(&l->more);
    bm_network_finish(&l->first);
    bm_params_destroy(l->params);
    bm_batch_finish(&l->padded);
    bm_free(l->class_weights);
    bm_free(l);
}

bm_params *bm_learner_params(bm_learner *l)
{
    return l->params;
}

const bm_optimizer *bm_learner_optimizer(const bm_learner *l)
{
    return &l->optimizer;
}

bm_plan *bm_learner_plan(bm_learner *l)
{
    return l->first.plan;
}

void bm_learner_each_cost(const bm_learner *l, void (*see)(void *user, const char *node, bm_cost c), void *user)
{
    for (int64_t m = 0; m < l->micros; m++) bm_graph_each_cost(m ? l->more.graph : l->first.graph, see, user);
    bm_graph_each_cost(l->update_graph, see, user);
}

static void add_flops(void *user, const char *node, bm_cost c)
{
    (void)node;
    *(double *)user += c.flops;
}

double bm_learner_flops(const bm_learner *l)
{
    double sum = 0;
    bm_learner_each_cost(l, add_flops, &sum);
    return sum;
}

typedef struct roofline {
    double flops_per_s, bytes_per_s, seconds;
} roofline;

static void add_least(void *user, const char *node, bm_cost c)
{
    roofline *r = user;
    (void)node;
    r->seconds += bm_cost_least_s(c, r->flops_per_s, r->bytes_per_s);
}

double bm_learner_roofline_s(const bm_learner *l, double flops_per_s, double bytes_per_s)
{
    roofline r = {flops_per_s, bytes_per_s, 0};
    bm_learner_each_cost(l, add_least, &r);
    return r.seconds;
}

const bm_nn *bm_learner_nn(const bm_learner *l)
{
    return l->first.nn;
}

bm_sample_form bm_learner_form(const bm_learner *l)
{
    return bm_network_form(&l->first);
}

bm_status bm_learner_check(const bm_learner *l, const bm_sample_form *f, const char *what)
{
    return bm_network_check(&l->first, f, what);
}

bm_status bm_learner_weigh(bm_learner *l, const double *weights, int64_t n)
{
    if (!l->class_weights) return bm_fail(BM_ERR_USAGE, "train.class_weights is null: no class is weighed");
    if (n > l->first.io.classes) return bm_fail(BM_ERR_USAGE, "weights of %lld classes", (long long)n);
    for (int64_t i = 0; i < n; i++) l->class_weights[i] = (float)weights[i];
    return BM_OK;
}

bm_objective bm_learner_objective(const bm_learner *l)
{
    return l->first.io.objective;
}

int64_t bm_learner_batch(const bm_learner *l)
{
    return l->batch;
}

int bm_learner_under_way(const bm_learner *l)
{
    return l->under_way;
}

/* One over what the targets of the whole batch count for. */
static bm_status loss_scale(float *out, const bm_learner *l, int64_t n, const bm_batch *b)
{
    const double weight = l->class_weights ? bm_batch_weight(b, l->class_weights) : (double)bm_batch_counted(b);
    *out = 1.0f / (float)weight;
    return weight > 0 ? BM_OK : bm_fail(BM_ERR_CONFIG, "step %lld: none of the batch's targets counts: does the data set have any?", (long long)n);
}

/* Writes what micro-batch m of step n reads: its rows of the batch, filled up with rows that do not count. */
static bm_status feed(bm_learner *l, bm_network *p, int64_t n, int64_t m, const bm_batch *b, float scale)
{
    const uint64_t seed = (uint64_t)bm_config_i64(l->config, "train.seed");
    const int64_t left = l->batch - m * l->micro;
    bm_batch part = bm_batch_rows(b, m * l->micro, left < l->micro ? left : l->micro);
    if (left < l->micro) {
        bm_batch_copy(&l->padded, &part);
        part = l->padded;
    }
    BM_TRY(bm_network_feed(p, &part));
    bm_plan_set_u32(p->plan, BM_RT_SEED_LO, (uint32_t)seed);
    bm_plan_set_u32(p->plan, BM_RT_SEED_HI, (uint32_t)(seed >> 32));
    bm_plan_set_u32(p->plan, BM_RT_STEP, (uint32_t)n);
    bm_plan_set_u32(p->plan, BM_RT_RNG_STEP, (uint32_t)(n * l->micros + m));
    bm_plan_set_f32(p->plan, BM_RT_LOSS_SCALE, scale);
    return BM_OK;
}

/* The scalars of the update: bias corrections as Kingma & Ba 2015, algorithm 1. */
static void set_update_scalars(bm_learner *l, int64_t n, double lr)
{
    bm_plan_set_u32(l->update, BM_RT_STEP, (uint32_t)n);
    bm_plan_set_f32(l->update, BM_RT_LR, (float)lr);
    bm_plan_set_f32(l->update, BM_RT_BIAS1, (float)(1.0 - pow(bm_config_f64(l->config, "train.beta1"), (double)n)));
    bm_plan_set_f32(l->update, BM_RT_BIAS2, (float)(1.0 - pow(bm_config_f64(l->config, "train.beta2"), (double)n)));
}

bm_status bm_learner_step(bm_learner *l, int64_t n, double lr, const bm_batch *b)
{
    if (l->under_way == BM_LEARNER_AHEAD) return bm_fail(BM_ERR_USAGE, "step %lld: collect the step before", (long long)n);
    float scale;
    BM_TRY(loss_scale(&scale, l, n, b));
    slot *s = &l->slots[(l->oldest + l->under_way) % BM_LEARNER_AHEAD];
    s->step = n;
    for (int64_t m = 0; m < l->micros; m++) {
        bm_network *p = m ? &l->more : &l->first;
        BM_TRY(feed(l, p, n, m, b, scale));
        BM_TRY(bm_plan_run(p->plan));
        BM_TRY(bm_plan_read_ticket(p->plan, p->io.loss, &s->loss[m], s->tickets[m]));
    }
    set_update_scalars(l, n, lr);
    BM_TRY(bm_plan_run(l->update));
    BM_TRY(bm_plan_read_ticket(l->update, l->norm, &s->norm, s->done));
    l->under_way++;
    return bm_queue_flush(bm_engine_queue(l->engine));
}

bm_status bm_learner_collect(bm_learner *l, bm_step_result *out)
{
    if (!l->under_way) return bm_fail(BM_ERR_USAGE, "no step is under way");
    slot *s = &l->slots[l->oldest];
    bm_status status = BM_OK;
    for (int64_t m = 0; m < l->micros && !status; m++) status = bm_ticket_wait(s->tickets[m]);
    if (!status) status = bm_ticket_wait(s->done);
    l->oldest = (l->oldest + 1) % BM_LEARNER_AHEAD;
    l->under_way--;
    if (status) return status;
    double loss = 0;
    for (int64_t m = 0; m < l->micros; m++) loss += s->loss[m];
    *out = (bm_step_result){s->step, loss, s->norm, bm_ticket_passed_s(s->done)};
    return BM_OK;
}

/* ---- looking for the first result that is not finite ---- */

#define PEEK_ELEMENTS 4096

static bm_status check_finite(void *user, bm_plan *p, const char *node, const bm_value *v)
{
    const char **found = user;
    float part[PEEK_ELEMENTS], stored[PEEK_ELEMENTS];
    const bm_dtype type = bm_value_dtype(v);
    const int64_t size = (int64_t)bm_dtype_size(type);
    if (!bm_dtype_is_float(type)) return BM_OK;
    int64_t n = bm_shape_elements(bm_value_shape(v));
    for (int64_t at = 0; at < n; at += PEEK_ELEMENTS) {
        int64_t k = n - at < PEEK_ELEMENTS ? n - at : PEEK_ELEMENTS;
        BM_TRY(bm_plan_peek(p, v, at * size, stored, k * size));
        BM_TRY(bm_convert_floats(part, BM_F32, stored, type, (size_t)k));
        for (int64_t i = 0; i < k; i++)
            if (!isfinite(part[i])) {
                *found = node;
                return bm_fail(BM_ERR_NOT_FINITE, "%s: element %lld is %f", node, (long long)(at + i), (double)part[i]);
            }
    }
    return BM_OK;
}

bm_status bm_learner_find_not_finite(bm_learner *l, const char **node, int64_t n, double lr, const bm_batch *b)
{
    *node = NULL;
    float scale;
    bm_status s = loss_scale(&scale, l, n, b);
    for (int64_t m = 0; m < l->micros && !s; m++) {
        bm_network *p = m ? &l->more : &l->first;
        BM_TRY(feed(l, p, n, m, b, scale));
        s = bm_plan_run_checked(p->plan, check_finite, node);
    }
    if (!s) {
        set_update_scalars(l, n, lr);
        s = bm_plan_run_checked(l->update, check_finite, node);
    }
    return *node ? BM_OK : s;
}
