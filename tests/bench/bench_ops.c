/* Kernels of cl/ops against the bandwidth of the copy op measured between them, in one run: bytes that an op must move, each
 * operand once, over its time, as a share of copy's rate. Each figure is the best of several rounds.
 * usage: bench_ops [MIB_PER_TENSOR] [SPEC]   (64 MiB, the device "auto") */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cl/ops/ops.h"
#include "cl/sources.h"
#include "core/graph/graph_priv.h"
#include "core/graph/plan.h"
#include "core/graph/scalars.h"

#define WIDTH 768
#define ROUNDS 60

static void must(bm_status status)
{
    if (!status) return;
    fprintf(stderr, "bench_ops: %s\n", bm_error_text(status));
    exit(1);
}

static bm_engine *engine;
static int64_t rows;

/* `op` is the name of the nodes that are timed. */
typedef struct subject {
    const char *label, *op;
    double tensors; /* bytes moved, in tensors of rows * WIDTH floats */
    void (*build)(bm_graph *g, const struct subject *s);
    int act;
    double wanted;  /* share of copy's rate */
} subject;

typedef struct run {
    const subject *s;
    bm_graph *graph;
    bm_layout *layout;
    bm_bank *banks[4];
    int n_banks;
    bm_plan *plan;
    double best_s;
} run;

static bm_value *tensor(bm_graph *g, const char *name)
{
    return bm_graph_input(g, name, BM_F32, BM_SHAPE(rows, WIDTH));
}

static bm_value *vector(bm_graph *g, const char *name)
{
    return bm_graph_input(g, name, BM_F32, BM_SHAPE(WIDTH));
}

static void keep(bm_graph *g, bm_value *v)
{
    bm_graph_output(g, v, "out");
}

/* sum(y r): gives y a gradient that lies in memory. */
static void differentiate(bm_graph *g, bm_value *y, bm_value *x)
{
    bm_graph_want_gradient(g, x);
    must(bm_graph_gradients(g, bm_sum(g, bm_mul(g, y, tensor(g, "r")))));
    keep(g, bm_graph_gradient(g, x));
}

static void build_copy(bm_graph *g, const subject *s) { (void)s; keep(g, bm_copy(g, tensor(g, "x"))); }
static void build_add(bm_graph *g, const subject *s) { (void)s; keep(g, bm_add(g, tensor(g, "x"), tensor(g, "y"))); }
static void build_mul(bm_graph *g, const subject *s) { (void)s; keep(g, bm_mul(g, tensor(g, "x"), tensor(g, "y"))); }
static void build_scale(bm_graph *g, const subject *s) { (void)s; keep(g, bm_scale(g, tensor(g, "x"), 2)); }
static void build_bias(bm_graph *g, const subject *s) { (void)s; keep(g, bm_add_bias(g, tensor(g, "x"), vector(g, "b"))); }
static void build_cast(bm_graph *g, const subject *s) { (void)s; keep(g, bm_cast(g, tensor(g, "x"), BM_BF16)); }
static void build_transpose(bm_graph *g, const subject *s) { (void)s; keep(g, bm_transpose(g, tensor(g, "x"))); }
static void build_sum(bm_graph *g, const subject *s) { (void)s; keep(g, bm_sum(g, tensor(g, "x"))); }
static void build_sum_rows(bm_graph *g, const subject *s) { (void)s; keep(g, bm_sum_rows(g, tensor(g, "x"))); }
static void build_sum_last(bm_graph *g, const subject *s) { (void)s; keep(g, bm_sum_last(g, tensor(g, "x"))); }
static void build_act(bm_graph *g, const subject *s) { keep(g, bm_activate(g, tensor(g, "x"), (bm_activation)s->act)); }
static void build_act_backward(bm_graph *g, const subject *s)
{
    bm_value *x = tensor(g, "x");
    differentiate(g, bm_activate(g, x, (bm_activation)s->act), x);
}
static void build_norm(bm_graph *g, const subject *s)
{
    keep(g, s->act ? bm_rmsnorm(g, tensor(g, "x"), vector(g, "w"), 1e-5f)
                   : bm_layernorm(g, tensor(g, "x"), vector(g, "w"), vector(g, "b"), 1e-5f));
}
static void build_add_norm(bm_graph *g, const subject *s)
{
    bm_value *sum;
    (void)s;
    keep(g, bm_add_norm(g, &sum, tensor(g, "x"), tensor(g, "y"), vector(g, "w"), vector(g, "b"), 1e-5f, 0));
    keep(g, sum);
}
static void build_norm_backward(bm_graph *g, const subject *s)
{
    bm_value *x = tensor(g, "x"), *w = vector(g, "w"), *b = vector(g, "b");
    (void)s;
    bm_graph_want_gradient(g, w);
    bm_graph_want_gradient(g, b);
    differentiate(g, bm_layernorm(g, x, w, b, 1e-5f), x);
    keep(g, bm_graph_gradient(g, w));
    keep(g, bm_graph_gradient(g, b));
}
static void build_softmax(bm_graph *g, const subject *s) { (void)s; keep(g, bm_softmax(g, tensor(g, "x"))); }
static void build_softmax_backward(bm_graph *g, const subject *s)
{
    bm_value *x = tensor(g, "x");
    (void)s;
    differentiate(g, bm_softmax(g, x), x);
}
static void build_dropout(bm_graph *g, const subject *s) { (void)s; keep(g, bm_dropout(g, tensor(g, "x"), 0.1f, 1)); }
/* GPT-2's vocabulary, as many rows as a tensor has room for; act: with the gradient. */
static void build_xent(bm_graph *g, const subject *s)
{
    const int64_t V = 50257, R = rows * WIDTH / V;
    bm_value *x = bm_graph_input(g, "x", BM_F32, BM_SHAPE(R, V)), *loss;
    if (s->act) bm_graph_want_gradient(g, x);
    loss = bm_softmax_xent(g, NULL, x, bm_graph_input(g, "ids", BM_I32, BM_SHAPE(R)), 1.0f);
    keep(g, loss);
    if (!s->act) return;
    must(bm_graph_gradients(g, loss));
    keep(g, bm_graph_gradient(g, x));
}
/* Rows of a table as large as the result; act: the gradient, which reads and writes rows of the table. */
static void build_embedding(bm_graph *g, const subject *s)
{
    bm_value *table = tensor(g, "x"), *y = bm_embedding(g, table, bm_graph_input(g, "ids", BM_I32, BM_SHAPE(rows)));
    if (s->act) differentiate(g, y, table);
    else keep(g, y);
}
/* The two that work on banks: one parameter, its gradient an input. */
static void build_update(bm_graph *g, const subject *s)
{
    const bm_adamw_opts o = {.beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8, .weight_decay = 0.1};
    bm_value *p = bm_graph_param(g, "w", BM_F32, BM_SHAPE(rows, WIDTH), 0);
    must(bm_graph_gradients(g, bm_mean(g, p)));
    if (s->act) must(bm_adamw(g, 0, NULL, &o));
    else keep(g, bm_grad_norm(g, 1));
}

static const subject subjects[] = {
    {"copy", "copy", 2, build_copy, 0, 0},
    {"add", "add", 3, build_add, 0, 0.8},
    {"mul", "mul", 3, build_mul, 0, 0.8},
    {"scale", "scale", 2, build_scale, 0, 0.8},
    {"add_bias", "add_bias", 2, build_bias, 0, 0.8},
    {"cast f32 to bf16", "cast", 1.5, build_cast, 0, 0.8},
    {"transpose", "transpose", 2, build_transpose, 0, 0},
    {"sum", "sum", 1, build_sum, 0, 0},
    {"sum_rows", "sum_rows", 1, build_sum_rows, 0, 0},
    {"sum_last", "sum_last", 1, build_sum_last, 0, 0},
    {"gelu_tanh", "activation", 2, build_act, BM_ACT_GELU_TANH, 0.5},
    {"gelu", "activation", 2, build_act, BM_ACT_GELU, 0.5},
    {"relu", "activation", 2, build_act, BM_ACT_RELU, 0.5},
    {"silu", "activation", 2, build_act, BM_ACT_SILU, 0.5},
    {"tanh", "activation", 2, build_act, BM_ACT_TANH, 0.5},
    {"sigmoid", "activation", 2, build_act, BM_ACT_SIGMOID, 0.5},
    {"gelu_tanh, backward", "activation_backward", 3, build_act_backward, BM_ACT_GELU_TANH, 0.5},
    {"gelu, backward", "activation_backward", 3, build_act_backward, BM_ACT_GELU, 0.5},
    {"silu, backward", "activation_backward", 3, build_act_backward, BM_ACT_SILU, 0.5},
    {"layernorm", "norm", 2, build_norm, 0, 0},
    {"rmsnorm", "norm", 2, build_norm, 1, 0},
    {"add_norm", "norm", 4, build_add_norm, 0, 0},
    {"layernorm, backward", "norm_backward", 3, build_norm_backward, 0, 0},
    {"softmax", "softmax", 2, build_softmax, 0, 0},
    {"softmax, backward", "softmax_backward", 3, build_softmax_backward, 0, 0.5},
    {"xent", "softmax_xent", 1, build_xent, 0, 0},
    {"xent with gradient", "softmax_xent", 2, build_xent, 1, 0},
    {"dropout", "dropout", 2, build_dropout, 0, 0},
    {"embedding", "embedding", 2, build_embedding, 0, 0},
    {"embedding, backward", "scatter", 3, build_embedding, 1, 0},
    {"grad_norm", "grad_norm", 1, build_update, 0, 0},
    {"adamw", "adamw", 7, build_update, 1, 0.75},
};
#define SUBJECTS ((int)(sizeof subjects / sizeof *subjects))

/* Numbers of both signs, so that no branch of a kernel is a special case. */
static void run_write(const run *r)
{
    static float *x;
    const int64_t n = rows * WIDTH;
    if (!x) {
        x = malloc((size_t)n * sizeof *x);
        if (!x) must(bm_fail(BM_ERR_MEMORY, "no memory for %lld floats", (long long)n));
        for (int64_t i = 0; i < n; i++) x[i] = (float)((i * 7919) % 2001 - 1000) / 300.0f;
    }
    static const char *const names[] = {"x", "y", "r", "w", "b"};
    for (int i = 0; i < 5; i++) {
        const bm_value *v = bm_graph_find(r->graph, BM_PLACE_INPUT, names[i]);
        if (v) must(bm_plan_write(r->plan, v, x));
    }
    const bm_value *v = bm_graph_find(r->graph, BM_PLACE_INPUT, "ids");
    const int64_t ids = v ? bm_shape_elements(&v->shape) : 0;
    int32_t *id = malloc((size_t)(ids + 1) * sizeof *id);
    if (!id) must(bm_fail(BM_ERR_MEMORY, "no memory for %lld ids", (long long)ids));
    for (int64_t i = 0; i < ids; i++) id[i] = (int32_t)(i * 7919 % ids);
    if (v) must(bm_plan_write(r->plan, v, id));
    free(id);
}

static void run_open(run *r, const subject *s)
{
    static const bm_place places[] = {BM_PLACE_WEIGHT, BM_PLACE_GRAD, BM_PLACE_STATE0, BM_PLACE_STATE1};
    bm_graph_opts opts = bm_graph_opts_with_ops();
    *r = (run){.s = s, .best_s = 1e9};
    must(bm_graph_create(&r->graph, &opts));
    s->build(r->graph, s);
    must(bm_graph_status(r->graph));
    must(bm_layout_create(&r->layout, r->graph, BM_PLACE_WEIGHT, bm_engine_limits(engine)));
    for (int i = 0; i < 4 && bm_layout_count(r->layout); i++)
        must(bm_bank_create(&r->banks[r->n_banks++], engine, r->layout, places[i]));
    bm_plan_opts plan_opts = {.banks = r->banks, .n_banks = r->n_banks};
    must(bm_plan_create(&r->plan, engine, r->graph, &plan_opts));
    bm_plan_set_f32(r->plan, BM_RT_LR, 1e-3f);
    bm_plan_set_f32(r->plan, BM_RT_BIAS1, 0.1f);
    bm_plan_set_f32(r->plan, BM_RT_BIAS2, 0.01f);
    run_write(r);
}

static void run_close(run *r)
{
    bm_plan_destroy(r->plan);
    for (int i = 0; i < r->n_banks; i++) bm_bank_destroy(r->banks[i]);
    bm_layout_destroy(r->layout);
    bm_graph_destroy(r->graph);
}

/* One run; the time of the op's launches. */
static void run_measure(run *r)
{
    const bm_profile_row *row;
    int n;
    bm_queue *q = bm_engine_queue(engine);
    must(bm_queue_finish(q));
    bm_queue_profile_reset(q);
    must(bm_plan_run(r->plan));
    must(bm_queue_finish(q));
    must(bm_queue_profile(q, &row, &n));
    for (int i = 0; i < n; i++)
        if (!strcmp(row[i].what, r->s->op) && row[i].seconds < r->best_s) r->best_s = row[i].seconds;
}

static double rate(const run *r)
{
    return r->s->tensors * 4 * (double)(rows * WIDTH) / r->best_s / 1e9;
}

int main(int argc, char **argv)
{
    bm_device_list *list = NULL;
    const bm_device *device = NULL;
    int n = 0, short_of = 0;
    bm_engine_opts opts = bm_engine_opts_default();
    rows = (argc > 1 ? atoll(argv[1]) : 64) * 1048576 / (4 * WIDTH);
    opts.sources = bm_cl_sources;
    opts.profile = 1;
    opts.cl_dir = getenv("BM_CL_DIR");
    must(bm_device_list_create(&list));
    must(bm_device_select(&device, &n, 1, list, argc > 2 ? argv[2] : "auto"));
    must(bm_engine_open(&engine, device, &opts));
    printf("%s, tensors of [%lld, %d] f32\n%-22s %9s %9s %9s %7s\n", bm_engine_device_name(engine), (long long)rows, WIDTH, "op",
           "GB/s", "copy", "of copy", "wanted");
    run copy;
    run_open(&copy, &subjects[0]);
    for (int i = 1; i < SUBJECTS; i++) {
        const subject *s = &subjects[i];
        run r;
        run_open(&r, s);
        copy.best_s = 1e9;
        for (int k = 0; k < ROUNDS; k++) {
            run_measure(&copy);
            run_measure(&r);
        }
        const double share = rate(&r) / rate(&copy);
        printf("%-22s %9.1f %9.1f %8.0f%% ", s->label, rate(&r), rate(&copy), 100 * share);
        if (s->wanted > 0) printf("%6.0f%%%s\n", 100 * s->wanted, share < s->wanted ? "  short" : "");
        else printf("\n");
        short_of += share < s->wanted;
        fflush(stdout);
        run_close(&r);
    }
    run_close(&copy);
    bm_engine_close(engine);
    bm_device_list_destroy(list);
    return short_of > 0;
}
