/* Kernels of cl/ops against the bandwidth of the copy op measured between them, in one run: bytes that an op must move, each
 * operand once, over its time, as a share of copy's rate. Each figure is the best of several rounds.
 * usage: bench_ops [MIB_PER_TENSOR] [SPEC]   (64 MiB, the device "auto") */
#include <stdio.h>
#include <stdlib.h>

#include "cl/ops/ops.h"
#include "cl/optim/optim.h"
#include "tests/lib/bench.h"

#define WIDTH 768
#define ROUNDS 60

static int64_t rows;

/* `op` is the name of the nodes that are timed. */
typedef struct subject {
    const char *label, *op;
    double tensors; /* bytes moved, in tensors of rows * WIDTH floats */
    void (*build)(bm_graph *g, const struct subject *s);
    int act;
    double wanted;  /* share of copy's rate */
} subject;

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
    bench_must(bm_graph_gradients(g, bm_sum(g, bm_mul(g, y, tensor(g, "r")))));
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
    loss = bm_softmax_xent(g, NULL, x, bm_graph_input(g, "ids", BM_I32, BM_SHAPE(R)), NULL, NULL);
    keep(g, loss);
    if (!s->act) return;
    bench_must(bm_graph_gradients(g, loss));
    keep(g, bm_graph_gradient(g, x));
}
/* With the gradient; act: huber. */
static void build_numbers(bm_graph *g, const subject *s)
{
    bm_value *x = tensor(g, "x"), *y = tensor(g, "y");
    bm_graph_want_gradient(g, x);
    bench_must(bm_graph_gradients(g, s->act ? bm_huber(g, NULL, x, y, 1) : bm_mse(g, NULL, x, y)));
    keep(g, bm_graph_gradient(g, x));
}
/* Steps of 32 classes, as many as a tensor has room for, in sequences of 512 with 64 labels. With the gradient. */
static void build_ctc(bm_graph *g, const subject *s)
{
    const int64_t T = 512, C = 32, L = 64, B = rows * WIDTH / (T * C);
    bm_value *x = bm_graph_input(g, "x", BM_F32, BM_SHAPE(B, T, C));
    int32_t *labels = malloc((size_t)(B * L) * sizeof *labels);
    (void)s;
    if (!labels) bench_must(bm_fail(BM_ERR_MEMORY, "no memory for labels"));
    for (int64_t i = 0; i < B * L; i++) labels[i] = (int32_t)(1 + i * 7919 % (C - 1));
    bm_graph_want_gradient(g, x);
    bench_must(bm_graph_gradients(g, bm_ctc(g, NULL, x, bm_graph_constant(g, "labels", BM_I32, BM_SHAPE(B, L), labels), NULL)));
    free(labels);
    keep(g, bm_graph_gradient(g, x));
}
/* Rows of a table as large as the result; act: the gradient, which reads and writes rows of the table. */
static void build_embedding(bm_graph *g, const subject *s)
{
    bm_value *table = tensor(g, "x"), *y = bm_embedding(g, table, bm_graph_input(g, "ids", BM_I32, BM_SHAPE(rows)));
    if (s->act) differentiate(g, y, table);
    else keep(g, y);
}
/* Images of 8 x 8 with `act` channels. */
static bm_value *images(bm_graph *g, const subject *s)
{
    return bm_graph_input(g, "x", BM_F32, BM_SHAPE(rows * WIDTH / (64 * s->act), 8, 8, s->act));
}
static bm_value *pooled(bm_graph *g, bm_value *x)
{
    const bm_pool_opts two = bm_pool_opts_default(2);
    return bm_max_pool2d(g, x, &two);
}
static bm_value *normalised(bm_graph *g, bm_value *x)
{
    bm_value *v[4];
    static const char *const names[] = {"w", "b", "mean", "var"};
    for (int i = 0; i < 4; i++) v[i] = bm_graph_param(g, names[i], BM_F32, BM_SHAPE(bm_shape_last(bm_value_shape(x))), 1);
    bm_batchnorm_opts o = bm_batchnorm_opts_default(v[2], v[3]);
    o.training = o.relu = 1;
    return bm_batchnorm(g, x, v[0], v[1], &o);
}
static void keep_gradient(bm_graph *g, bm_value *y, bm_value *x)
{
    bm_graph_want_gradient(g, x);
    bench_must(bm_graph_gradients(g, bm_sum(g, bm_mul(g, y, bm_graph_input(g, "r", BM_F32, *bm_value_shape(y))))));
    keep(g, bm_graph_gradient(g, x));
}
static void build_pool(bm_graph *g, const subject *s) { keep(g, pooled(g, images(g, s))); }
static void build_batchnorm(bm_graph *g, const subject *s) { keep(g, normalised(g, images(g, s))); }
static void build_pool_backward(bm_graph *g, const subject *s)
{
    bm_value *x = images(g, s);
    keep_gradient(g, pooled(g, x), x);
}
static void build_batchnorm_backward(bm_graph *g, const subject *s)
{
    bm_value *x = images(g, s);
    keep_gradient(g, normalised(g, x), x);
}
/* The two that work on banks: one parameter, its gradient an input. */
static void build_update(bm_graph *g, const subject *s)
{
    const bm_optim_opts o = {.beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8, .weight_decay = 0.1};
    bm_value *p = bm_graph_param(g, "w", BM_F32, BM_SHAPE(rows, WIDTH), 0);
    bench_must(bm_graph_gradients(g, bm_mean(g, p)));
    if (s->act)
        bench_must(bm_optim_step(g, 0, NULL, "adamw", &o));
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
    {"mse with gradient", "mse", 3, build_numbers, 0, 0},
    {"huber with gradient", "huber", 3, build_numbers, 1, 0},
    {"ctc with gradient", "ctc", 2, build_ctc, 0, 0},
    {"dropout", "dropout", 2, build_dropout, 0, 0},
    {"embedding", "embedding", 2, build_embedding, 0, 0},
    {"embedding, backward", "scatter", 3, build_embedding, 1, 0},
    {"max_pool 32", "max_pool2d", 1.25, build_pool, 32, 0},
    {"max_pool 32, backward", "max_pool2d_backward", 2.5, build_pool_backward, 32, 0},
    {"batchnorm 32", "batchnorm", 2, build_batchnorm, 32, 0},
    {"batchnorm 128", "batchnorm", 2, build_batchnorm, 128, 0},
    {"batchnorm 32, backward", "batchnorm_backward", 4, build_batchnorm_backward, 32, 0},
    {"batchnorm 128, backwd", "batchnorm_backward", 4, build_batchnorm_backward, 128, 0},
    {"grad_norm", "grad_norm", 1, build_update, 0, 0},
    {"adamw", "adamw", 7, build_update, 1, 0.75},
};
#define SUBJECTS ((int)(sizeof subjects / sizeof *subjects))

static void start(bench_run *r, bm_engine *e, const subject *s)
{
    bench_begin(r, e, s->op, NULL);
    s->build(r->graph, s);
    bench_plan(r);
}

static double rate(const bench_run *r, const subject *s)
{
    return s->tensors * 4 * (double)(rows * WIDTH) / r->best_s[0] / 1e9;
}

int main(int argc, char **argv)
{
    int short_of = 0;
    rows = (argc > 1 ? atoll(argv[1]) : 64) * 1048576 / (4 * WIDTH);
    bm_engine *engine = bench_open(argc > 2 ? argv[2] : "auto");
    printf("%s, tensors of [%lld, %d] f32\n%-22s %9s %9s %9s %7s\n", bm_engine_device_name(engine), (long long)rows,
           WIDTH, "op", "GB/s", "copy", "of copy", "wanted");
    bench_run copy;
    start(&copy, engine, &subjects[0]);
    for (int i = 1; i < SUBJECTS; i++) {
        const subject *s = &subjects[i];
        bench_run r;
        start(&r, engine, s);
        bench_reset(&copy);
        for (int k = 0; k < ROUNDS; k++) {
            bench_measure(&copy);
            bench_measure(&r);
        }
        const double of_copy = rate(&copy, &subjects[0]), share = rate(&r, s) / of_copy;
        printf("%-22s %9.1f %9.1f %8.0f%% ", s->label, rate(&r, s), of_copy, 100 * share);
        if (s->wanted > 0) printf("%6.0f%%%s\n", 100 * s->wanted, share < s->wanted ? "  short" : "");
        else printf("\n");
        short_of += share < s->wanted;
        fflush(stdout);
        bench_end(&r);
    }
    bench_end(&copy);
    bm_engine_close(engine);
    return short_of > 0;
}
