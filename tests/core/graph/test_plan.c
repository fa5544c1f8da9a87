/* ctest: rusticl */
/* ctest: oclgrind */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/mem.h"
#include "core/device/cl_api.h"
#include "core/graph/graph_priv.h"
#include "core/graph/launch.h"
#include "core/graph/plan.h"
#include "core/graph/scalars.h"
#include "tests/lib/device.h"
#include "tests/lib/layer.h"
#include "tests/lib/test.h"

enum { N = 1000, BYTES = N * 4 };

/* ---- a few ops with kernels of their own ---- */

static const char source[] =
    "__kernel void affine(__global float *y, __global const float *x, float a, float b) {\n"
    "    size_t i = get_global_id(0); y[i] = a * x[i] + b; }\n"
    "__kernel void add(__global float *y, __global const float *a, __global const float *b) {\n"
    "    size_t i = get_global_id(0); y[i] = a[i] + b[i]; }\n"
    "__kernel void times_step(__global float *y, __global const float *x, __global const uint *rt) {\n"
    "    size_t i = get_global_id(0); y[i] = x[i] * (float)rt[0] + as_float(rt[4]); }\n"
    "__kernel void slow(__global float *y, __global const float *x, int rounds) {\n"
    "    size_t i = get_global_id(0); float s = x[i];\n"
    "    for (int k = 0; k < rounds; k++) s = s * 0.5f + x[i] * 0.5f;\n"
    "    y[i] = s; }\n"
    "__kernel void reverse(__global float *y, __global const float *x, __global float *t, int n) {\n"
    "    int i = get_global_id(0); t[n - 1 - i] = x[i]; }\n"
    "__kernel void bring(__global float *y, __global const float *t) {\n"
    "    size_t i = get_global_id(0); y[i] = t[i]; }\n"
    "__kernel void descend(__global float *w, __global const float *g, __global const uint *rt) {\n"
    "    size_t i = get_global_id(0); w[i] -= as_float(rt[4]) * g[i]; }\n";

static const bm_source sources[] = {{"test/plan", source}, {"test/broken", "__kernel void broken(int) { no_such_function(1); }\n"}};

typedef struct attrs {
    float a, b;
    int rounds;
} attrs;

static const attrs *attrs_of(const bm_node *n) { return n->attrs; }

static bm_status infer_like(bm_graph *g, bm_node *n)
{
    bm_node_output(g, n, BM_F32, n->inputs[0]->shape);
    bm_node_inplace(n, 0, 0, BM_INPLACE_MAY);
    return BM_OK;
}

static bm_status infer_apart(bm_graph *g, bm_node *n)
{
    bm_node_output(g, n, BM_F32, n->inputs[0]->shape);
    return BM_OK;
}

static bm_status infer_update(bm_graph *g, bm_node *n)
{
    bm_node_output(g, n, BM_F32, n->inputs[0]->shape);
    bm_node_inplace(n, 0, 0, BM_INPLACE_MUST);
    return BM_OK;
}

static void add_kernel(bm_launcher *l, const char *name, int64_t n, const bm_arg *args, int n_args)
{
    bm_kernel_launch k = {.source = "test/plan", .kernel = name, .options = "", .dims = 1, .global = {(size_t)n}, .args = args,
                          .n_args = n_args};
    bm_launcher_kernel(l, &k);
}

static bm_arg mem(bm_launcher *l, const bm_value *v) { return bm_arg_mem(bm_launcher_mem(l, v)); }
static int64_t count(const bm_node *n) { return bm_shape_elements(&n->outputs[0]->shape); }

static bm_status launch_affine(bm_launcher *l, const bm_node *n)
{
    const bm_arg args[] = {mem(l, n->outputs[0]), mem(l, n->inputs[0]), bm_arg_f32(attrs_of(n)->a), bm_arg_f32(attrs_of(n)->b)};
    add_kernel(l, "affine", count(n), args, 4);
    return bm_launcher_status(l);
}

static bm_value *affine(bm_graph *g, bm_value *x, float a, float b);
static void gradient_affine(bm_graph *g, bm_node *n)
{
    bm_value *d = bm_grad_of(g, n->outputs[0]);
    bm_grad_add(g, n->inputs[0], affine(g, d, attrs_of(n)->a, 0));
}

static const bm_op op_affine = {.name = "affine", .attrs_bytes = sizeof(attrs), .infer = infer_like, .gradient = gradient_affine,
                                .launch = launch_affine};
static bm_value *affine(bm_graph *g, bm_value *x, float a, float b)
{
    return bm_node_first(bm_node_create(g, &op_affine, &(attrs){a, b, 0}, &x, 1, 0));
}

static bm_status launch_add(bm_launcher *l, const bm_node *n)
{
    const bm_arg args[] = {mem(l, n->outputs[0]), mem(l, n->inputs[0]), mem(l, n->inputs[1])};
    add_kernel(l, "add", count(n), args, 3);
    return bm_launcher_status(l);
}

static void gradient_add(bm_graph *g, bm_node *n)
{
    for (int i = 0; i < 2; i++) bm_grad_add(g, n->inputs[i], bm_grad_of(g, n->outputs[0]));
}

static const bm_op op_add = {.name = "add", .infer = infer_like, .gradient = gradient_add, .launch = launch_add};
static const bm_op op_update = {.name = "update", .infer = infer_update, .launch = launch_add};
static bm_value *add(bm_graph *g, bm_value *a, bm_value *b)
{
    return bm_node_first(bm_node_create(g, &op_add, NULL, (bm_value *[]){a, b}, 2, 0));
}
static bm_value *update(bm_graph *g, bm_value *cache, bm_value *x)
{
    return bm_node_first(bm_node_create(g, &op_update, NULL, (bm_value *[]){cache, x}, 2, 0));
}
static bm_value *copy(bm_graph *g, bm_value *a) { return affine(g, a, 1, 0); }

static bm_status launch_times_step(bm_launcher *l, const bm_node *n)
{
    const bm_arg args[] = {mem(l, n->outputs[0]), mem(l, n->inputs[0]), bm_arg_mem(bm_launcher_scalars(l))};
    add_kernel(l, "times_step", count(n), args, 3);
    return bm_launcher_status(l);
}

static const bm_op op_times_step = {.name = "times_step", .infer = infer_like, .launch = launch_times_step};
static bm_value *times_step(bm_graph *g, bm_value *x) { return bm_node_first(bm_node_create(g, &op_times_step, NULL, &x, 1, 0)); }

static bm_status launch_slow(bm_launcher *l, const bm_node *n)
{
    const bm_arg args[] = {mem(l, n->outputs[0]), mem(l, n->inputs[0]), bm_arg_i32(attrs_of(n)->rounds)};
    add_kernel(l, "slow", count(n), args, 3);
    return bm_launcher_status(l);
}

static const bm_op op_slow = {.name = "slow", .attrs_bytes = sizeof(attrs), .infer = infer_apart, .launch = launch_slow};
static bm_value *slow(bm_graph *g, bm_value *x, int rounds)
{
    if (getenv("BM_TEST_OCLGRIND")) rounds = 1; /* everything is slow there */
    return bm_node_first(bm_node_create(g, &op_slow, &(attrs){0, 0, rounds}, &x, 1, 0));
}

static bm_status scratch_reverse(int64_t *bytes, bm_launcher *l, const bm_node *n, const bm_limits *limits)
{
    (void)l;
    *bytes = limits->align_bytes + count(n) * 4;
    return BM_OK;
}

static bm_status launch_reverse(bm_launcher *l, const bm_node *n)
{
    cl_mem t = bm_launcher_scratch(l, bm_launcher_limits(l)->align_bytes, count(n) * 4);
    const bm_arg there[] = {mem(l, n->outputs[0]), mem(l, n->inputs[0]), bm_arg_mem(t), bm_arg_i32((int32_t)count(n))};
    add_kernel(l, "reverse", count(n), there, 4);
    const bm_arg back[] = {mem(l, n->outputs[0]), bm_arg_mem(t)};
    add_kernel(l, "bring", count(n), back, 2);
    return bm_launcher_status(l);
}

static bm_status infer_reverse(bm_graph *g, bm_node *n)
{
    BM_TRY(infer_like(g, n));
    bm_node_output_optional(g, n, BM_F32, n->inputs[0]->shape); /* what nothing here asks for */
    return BM_OK;
}

static const bm_op op_reverse = {.name = "reverse", .infer = infer_reverse, .scratch = scratch_reverse, .launch = launch_reverse};
static bm_value *reverse(bm_graph *g, bm_value *x) { return bm_node_first(bm_node_create(g, &op_reverse, NULL, &x, 1, 0)); }

/* w <- w - lr g over a whole group, slab by slab. */
static bm_status launch_descend(bm_launcher *l, const bm_node *n)
{
    int group = attrs_of(n)->rounds;
    for (int i = 0; i < bm_launcher_bank_slabs(l, group); i++) {
        const bm_arg args[] = {bm_arg_mem(bm_launcher_bank_mem(l, BM_PLACE_WEIGHT, group, i)),
                               bm_arg_mem(bm_launcher_bank_mem(l, BM_PLACE_GRAD, group, i)), bm_arg_mem(bm_launcher_scalars(l))};
        add_kernel(l, "descend", bm_launcher_bank_bytes(l, group, i) / 4, args, 3);
    }
    return bm_launcher_status(l);
}

static bm_status infer_nothing(bm_graph *g, bm_node *n)
{
    (void)g, (void)n;
    return BM_OK;
}

static const bm_op op_descend = {.name = "descend", .attrs_bytes = sizeof(attrs), .infer = infer_nothing,
                                 .launch = launch_descend, .effects = 1};
static void descend(bm_graph *g, int group) { bm_node_create(g, &op_descend, &(attrs){0, 0, group}, NULL, 0, 0); }

static bm_graph *new_graph(int accumulate)
{
    bm_graph *g = NULL;
    test_ok(bm_graph_create(&g, &(bm_graph_opts){add, copy, accumulate}));
    return g;
}

static bm_engine *engine;

static void open_with(int64_t max_alloc)
{
    bm_engine_opts opts = test_engine_opts();
    opts.sources = (bm_source_table){sources, 2};
    opts.cl_dir = NULL;
    opts.max_alloc_bytes = max_alloc;
    engine = test_engine_open_with(&opts);
}

static void open_engine(void) { open_with(0); }
static void close_engine(void)
{
    bm_engine_close(engine);
    engine = NULL;
}

static bm_plan *plan_with(bm_graph *g, bm_bank *const *banks, int n_banks, bm_plan *share)
{
    bm_plan *p = NULL;
    test_ok(bm_plan_create(&p, engine, g, &(bm_plan_opts){.banks = banks, .n_banks = n_banks, .share_temps = share}));
    return p;
}

static bm_value *input(bm_graph *g, const char *name) { return bm_graph_input(g, name, BM_F32, BM_SHAPE(N)); }

static float *ramp(float start)
{
    static float data[4][N];
    static int next;
    float *d = data[next++ % 4];
    for (int i = 0; i < N; i++) d[i] = start + (float)i;
    return d;
}

/* ---- running ---- */

START_TEST(a_plan_computes_and_constants_are_there)
{
    bm_graph *g = new_graph(0);
    bm_value *x = input(g, "x"), *c = bm_graph_constant(g, "c", BM_F32, BM_SHAPE(N), ramp(0.5f));
    bm_value *y = bm_reshape(g, affine(g, affine(g, add(g, x, c), 2, 1), 3, 0), BM_SHAPE(10, 100));
    bm_graph_output(g, y, "y");
    bm_value *z = bm_graph_output(g, reverse(g, bm_reshape(g, y, BM_SHAPE(N))), "z");
    bm_plan *p = plan_with(g, NULL, 0, NULL);
    float out[N];
    ck_assert_int_eq(bm_plan_launches(p), 5);
    for (int run = 0; run < 3; run++) {
        test_ok(bm_plan_write(p, x, ramp((float)run)));
        test_ok(bm_plan_run(p));
        test_ok(bm_plan_read(p, y, out));
        for (int i = 0; i < N; i++) ck_assert_float_eq(out[i], 3 * (2 * ((float)(run + i) + (float)i + 0.5f) + 1));
        test_ok(bm_plan_read(p, z, out));
        for (int i = 0; i < N; i++) ck_assert_float_eq(out[N - 1 - i], 3 * (2 * ((float)(run + i) + (float)i + 0.5f) + 1));
        test_ok(bm_plan_peek(p, z, 8, out, 4));
        ck_assert_float_eq(out[0], 3 * (2 * ((float)(run + N - 3) + (float)(N - 3) + 0.5f) + 1));
    }
    test_ok(bm_plan_run(p)); /* an input is kept between runs */
    test_ok(bm_plan_read(p, x, out));
    ck_assert_mem_eq(out, ramp(2), BYTES);
    bm_plan_destroy(p);
    bm_graph_destroy(g);
}
END_TEST

START_TEST(what_is_not_kept_cannot_be_read_or_written)
{
    bm_graph *g = new_graph(0);
    bm_value *x = input(g, "x"), *mid = affine(g, x, 2, 0), *dead = affine(g, x, 3, 0);
    bm_value *y = bm_graph_output(g, affine(g, bm_reshape(g, mid, BM_SHAPE(10, 100)), 2, 0), "y");
    bm_plan *p = plan_with(g, NULL, 0, NULL);
    float out[N];
    bm_ticket *t = NULL;
    test_ok(bm_ticket_create(&t));
    test_ok(bm_plan_run(p));
    test_ok(bm_plan_read(p, y, out));
    test_fails(bm_plan_read(p, dead, out), BM_ERR_USAGE, "affine is not computed by this plan");
    test_fails(bm_plan_write(p, y, out), BM_ERR_USAGE, "y is not an input of this plan");
    test_fails(bm_plan_write(p, NULL, out), BM_ERR_USAGE, "not an input");
    bm_plan_destroy(p);
    bm_graph_destroy(g);

    g = new_graph(0);
    x = input(g, "x");
    mid = slow(g, x, 1);
    y = bm_graph_output(g, slow(g, mid, 1), "y");
    p = plan_with(g, NULL, 0, NULL);
    test_fails(bm_plan_read(p, mid, out), BM_ERR_USAGE, "slow cannot be read: it is not an output");
    test_fails(bm_plan_read_ticket(p, mid, out, t), BM_ERR_USAGE, "slow cannot be read: it is not an output");
    ck_assert(bm_ticket_done(t));
    bm_ticket_destroy(t);
    bm_plan_destroy(p);
    bm_graph_destroy(g);
}
END_TEST

START_TEST(run_time_scalars_take_effect_with_the_next_run)
{
    bm_graph *g = new_graph(0);
    bm_value *x = input(g, "x"), *y = bm_graph_output(g, times_step(g, x), "y");
    bm_plan *p = plan_with(g, NULL, 0, NULL);
    float out[N];
    test_ok(bm_plan_write(p, x, ramp(1)));
    for (uint32_t step = 1; step < 6; step++) {
        bm_plan_set_u32(p, BM_RT_STEP, step);
        bm_plan_set_f32(p, BM_RT_LR, 0.25f * (float)step);
        test_ok(bm_plan_run(p));
        bm_plan_set_u32(p, BM_RT_STEP, 1000); /* too late for this run */
        test_ok(bm_plan_read(p, y, out));
        for (int i = 0; i < N; i++) ck_assert_float_eq(out[i], (float)(1 + i) * (float)step + 0.25f * (float)step);
    }
    bm_plan_destroy(p);
    bm_graph_destroy(g);
}
END_TEST

/* The host is always ahead: each run's input is written, and its memory used again, while earlier runs are under way. */
START_TEST(inputs_are_staged_so_that_the_host_may_run_ahead)
{
    enum { RUNS = 9 };
    bm_graph *g = new_graph(0);
    bm_value *x = input(g, "x"), *y = bm_graph_output(g, affine(g, slow(g, x, 3000), 1, 0), "y");
    bm_value *z = bm_graph_output(g, times_step(g, y), "z");
    bm_plan *p = plan_with(g, NULL, 0, NULL);
    bm_ticket *tickets[RUNS];
    static float data[N], out[RUNS][N];
    for (int run = 0; run < RUNS; run++) {
        test_ok(bm_ticket_create(&tickets[run]));
        for (int i = 0; i < N; i++) data[i] = (float)(run * 10000 + i);
        test_ok(bm_plan_write(p, x, data));
        bm_plan_set_u32(p, BM_RT_STEP, (uint32_t)run + 1);
        test_ok(bm_plan_run(p));
        memset(data, 0xff, sizeof data);
        test_ok(bm_plan_read_ticket(p, z, out[run], tickets[run]));
    }
    for (int run = RUNS - 1; run >= 0; run--) {
        test_ok(bm_ticket_wait(tickets[run]));
        ck_assert(bm_ticket_done(tickets[run]));
        for (int i = 0; i < N; i++) ck_assert_float_eq(out[run][i], (float)(run * 10000 + i) * (float)(run + 1));
        bm_ticket_destroy(tickets[run]);
    }
    bm_plan_destroy(p);
    bm_graph_destroy(g);
}
END_TEST

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

START_TEST(the_second_run_is_enqueued_while_the_first_is_under_way)
{
    for (int rounds = 10000, slow_enough = 0; !slow_enough; rounds *= 2) {
        bm_graph *g = new_graph(0);
        bm_value *x = input(g, "x"), *y = bm_graph_output(g, slow(g, x, rounds), "y");
        bm_plan *p = plan_with(g, NULL, 0, NULL);
        float out[N];
        double one = 0, enqueued = 0;
        for (int run = 0; run < 2; run++) { /* the first one builds what the driver left for later */
            double began = now();
            test_ok(bm_plan_run(p));
            test_ok(bm_plan_read(p, y, out));
            one = now() - began;
        }
        slow_enough = one > 0.2;
        double began = now();
        for (int run = 0; run < BM_PLAN_AHEAD; run++) {
            test_ok(bm_plan_write(p, x, ramp(0)));
            test_ok(bm_plan_run(p));
        }
        enqueued = now() - began;
        test_ok(bm_plan_read(p, y, out));
        ck_assert_msg(!slow_enough || enqueued < 0.5 * one, "a run takes %.3f s, enqueuing two %.3f s", one, enqueued);
        bm_plan_destroy(p);
        bm_graph_destroy(g);
    }
}
END_TEST

START_TEST(a_plan_goes_while_its_work_is_under_way)
{
    for (int run = 0; run < 2; run++) {
        bm_graph *g = new_graph(0);
        bm_value *x = input(g, "x");
        bm_graph_output(g, slow(g, x, 20000), "y");
        bm_plan *p = plan_with(g, NULL, 0, NULL);
        if (run) test_ok(bm_plan_run(p));
        test_ok(bm_plan_write(p, x, ramp(1)));
        bm_plan_destroy(p);
        bm_graph_destroy(g);
        ck_assert_int_eq(bm_engine_live_bytes(engine), 0);
    }
    bm_plan_destroy(NULL);
}
END_TEST

/* ---- banks ---- */

static bm_graph *training_graph(bm_value **w, int n_params)
{
    bm_graph *g = new_graph(0);
    bm_value *sum = NULL;
    for (int i = 0; i < n_params; i++) {
        char name[16];
        snprintf(name, sizeof name, "w%d", i);
        w[i] = bm_graph_param(g, name, BM_F32, BM_SHAPE(1), i % 2);
        bm_value *term = affine(g, w[i], (float)(i + 1), 0);
        sum = sum ? add(g, sum, term) : term;
    }
    bm_value *loss = bm_graph_output(g, sum, "loss");
    test_ok(bm_graph_gradients(g, loss));
    descend(g, 0);
    descend(g, 1);
    return g;
}

START_TEST(weights_live_in_banks_and_are_trained_there)
{
    enum { PARAMS = 7 };
    bm_value *w[PARAMS];
    bm_graph *g = training_graph(w, PARAMS);
    bm_layout *l = NULL;
    bm_bank *weights = NULL, *grads = NULL;
    test_ok(bm_layout_create(&l, g, BM_PLACE_WEIGHT, bm_engine_limits(engine)));
    test_ok(bm_bank_create(&weights, engine, l, BM_PLACE_WEIGHT));
    test_ok(bm_bank_create(&grads, engine, l, BM_PLACE_GRAD));
    ck_assert_int_eq(bm_bank_place(grads), BM_PLACE_GRAD);
    ck_assert_ptr_eq(bm_bank_layout(grads), l);
    for (int i = 0; i < PARAMS; i++) {
        float x = (float)i;
        test_ok(bm_bank_write(weights, bm_layout_find(l, w[i]->name), 0, &x, 4));
    }
    bm_plan *p = plan_with(g, (bm_bank *[]){grads, weights}, 2, NULL);
    bm_plan_set_f32(p, BM_RT_LR, 0.5f);
    for (int run = 0; run < 3; run++) test_ok(bm_plan_run(p));
    for (int i = 0; i < PARAMS; i++) {
        float x = -1, d = -1;
        test_ok(bm_bank_read(weights, bm_layout_find(l, w[i]->name), 0, &x, 4));
        test_ok(bm_bank_read(grads, bm_layout_find(l, w[i]->name), 0, &d, 4));
        ck_assert_float_eq(d, (float)(i + 1));
        ck_assert_float_eq(x, (float)i - 1.5f * (float)(i + 1));
    }
    float loss;
    test_ok(bm_plan_read(p, g->nodes[2 * PARAMS - 2]->outputs[0], &loss)); /* before the third update */
    double want = 0;
    for (int i = 0; i < PARAMS; i++) want += (i + 1) * ((double)i - 1.0 * (i + 1));
    ck_assert_double_eq((double)loss, want);

    /* Padding between tensors is zero and stays zero. */
    char slab[4096];
    ck_assert_int_le(bm_layout_slab_bytes(l, 0), (int64_t)sizeof slab);
    cl_mem m = NULL;
    test_ok(bm_region_piece(&m, bm_bank_region(weights), 0, 0, bm_layout_slab_bytes(l, 0)));
    test_ok(bm_queue_read(bm_engine_queue(engine), m, 0, slab, bm_layout_slab_bytes(l, 0)));
    int64_t step = bm_layout_find(l, "w2")->offset;
    for (int64_t i = 0; i < bm_layout_slab_bytes(l, 0); i++) ck_assert(i % step < 4 || slab[i] == 0);

    float two[2];
    test_fails(bm_bank_read(weights, bm_layout_find(l, "w0"), 0, two, 8), BM_ERR_USAGE, "bytes 0 to 8 of w0, which has 4");
    test_fails(bm_bank_write(weights, bm_layout_find(l, "w0"), -4, two, 4), BM_ERR_USAGE, "of w0");
    bm_plan_destroy(p);
    bm_bank_destroy(weights);
    bm_bank_destroy(grads);
    bm_bank_destroy(NULL);
    bm_layout_destroy(l);
    bm_graph_destroy(g);
}
END_TEST

START_TEST(a_missing_or_unfit_bank_is_named)
{
    bm_value *w[2];
    bm_graph *g = training_graph(w, 2), *other = new_graph(0);
    bm_graph_param(other, "w0", BM_F32, BM_SHAPE(3), 0);
    bm_graph_param(other, "w1", BM_F32, BM_SHAPE(1), 1);
    bm_layout *l = NULL, *unfit = NULL;
    bm_bank *weights = NULL, *wrong = NULL;
    bm_plan *p = NULL;
    test_ok(bm_layout_create(&l, g, BM_PLACE_WEIGHT, bm_engine_limits(engine)));
    test_ok(bm_layout_create(&unfit, other, BM_PLACE_WEIGHT, bm_engine_limits(engine)));
    test_ok(bm_bank_create(&weights, engine, l, BM_PLACE_WEIGHT));
    test_ok(bm_bank_create(&wrong, engine, unfit, BM_PLACE_WEIGHT));
    test_fails(bm_plan_create(&p, engine, g, NULL), BM_ERR_USAGE, "no bank holds w");
    ck_assert_ptr_null(p);
    test_fails(bm_plan_create(&p, engine, g, &(bm_plan_opts){.banks = &weights, .n_banks = 1}), BM_ERR_USAGE, "no bank holds w");
    test_fails(bm_plan_create(&p, engine, g, &(bm_plan_opts){.banks = &wrong, .n_banks = 1}), BM_ERR_SHAPE,
               "w0 is f32 [3], the graph wants f32 [1]");
    bm_graph *no_grads = new_graph(0);
    bm_graph_param(no_grads, "w0", BM_F32, BM_SHAPE(1), 0);
    descend(no_grads, 0);
    test_fails(bm_plan_create(&p, engine, no_grads, &(bm_plan_opts){.banks = &weights, .n_banks = 1}), BM_ERR_USAGE,
               "descend needs a bank that the plan was not given");
    bm_bank_destroy(weights);
    bm_bank_destroy(wrong);
    bm_layout_destroy(l);
    bm_layout_destroy(unfit);
    bm_graph_destroy(g);
    bm_graph_destroy(other);
    bm_graph_destroy(no_grads);
    ck_assert_int_eq(bm_engine_live_bytes(engine), 0);
}
END_TEST

START_TEST(two_plans_share_a_cache_and_temporaries)
{
    bm_graph *a = new_graph(0), *b = new_graph(0), *big = new_graph(0);
    bm_value *x = input(a, "x"), *sum = update(a, bm_graph_cache(a, "sum", BM_F32, BM_SHAPE(N)), slow(a, slow(a, x, 1), 1));
    (void)sum;
    bm_value *seen = bm_graph_output(b, affine(b, bm_graph_cache(b, "sum", BM_F32, BM_SHAPE(N)), 2, 0), "seen");
    bm_graph_output(big, affine(big, bm_graph_input(big, "x", BM_F32, BM_SHAPE(9 * N)), 1, 0), "y");
    bm_layout *l = NULL;
    bm_bank *cache = NULL;
    test_ok(bm_layout_create(&l, a, BM_PLACE_CACHE, bm_engine_limits(engine)));
    test_ok(bm_bank_create(&cache, engine, l, BM_PLACE_CACHE));
    bm_plan *first = plan_with(a, &cache, 1, NULL);
    int64_t live = bm_engine_live_bytes(engine);
    bm_plan *second = plan_with(b, &cache, 1, first);
    ck_assert_int_eq(bm_engine_live_bytes(engine) - live, bm_plan_get_memory(second)->input_bytes);
    live = bm_engine_live_bytes(engine);
    bm_plan *third = plan_with(big, NULL, 0, first); /* does not fit: it has memory of its own */
    const bm_plan_memory *m = bm_plan_get_memory(third);
    ck_assert_int_eq(bm_engine_live_bytes(engine) - live, m->input_bytes + m->temp_bytes);
    float out[N];
    for (int run = 0; run < 3; run++) {
        test_ok(bm_plan_write(first, x, ramp((float)run)));
        test_ok(bm_plan_run(first));
        test_ok(bm_plan_run(second));
    }
    test_ok(bm_plan_read(second, seen, out));
    for (int i = 0; i < N; i++) ck_assert_float_eq(out[i], 2 * (3 * (float)i + 3));
    bm_plan_destroy(third);
    bm_plan_destroy(second);
    bm_plan_destroy(first);
    bm_bank_destroy(cache);
    bm_layout_destroy(l);
    bm_graph_destroy(a);
    bm_graph_destroy(b);
    bm_graph_destroy(big);
}
END_TEST

/* ---- limits ---- */

START_TEST(a_small_largest_buffer_gives_several_slabs)
{
    open_with(2 * 4096);
    bm_graph *g = new_graph(0);
    bm_value *x = bm_graph_input(g, "x", BM_F32, BM_SHAPE(900)), *sum = NULL, *kept[6];
    for (int i = 0; i < 6; i++) kept[i] = affine(g, x, (float)i, 1);
    for (int i = 0; i < 6; i++) {
        char name[16];
        snprintf(name, sizeof name, "w%d", i);
        bm_value *w = bm_graph_param(g, name, BM_F32, BM_SHAPE(900), 0), *term = add(g, kept[i], w);
        sum = sum ? add(g, sum, term) : term;
    }
    bm_graph_output(g, sum, "y");
    bm_layout *l = NULL;
    bm_bank *weights = NULL;
    test_ok(bm_layout_create(&l, g, BM_PLACE_WEIGHT, bm_engine_limits(engine)));
    ck_assert_int_eq(bm_layout_slabs(l), 3);
    test_ok(bm_bank_create(&weights, engine, l, BM_PLACE_WEIGHT));
    for (int i = 0; i < 6; i++) {
        float w[900];
        for (int j = 0; j < 900; j++) w[j] = (float)(100 * i + j);
        test_ok(bm_bank_write(weights, bm_layout_at(l, i), 0, w, sizeof w));
    }
    bm_plan *p = plan_with(g, &weights, 1, NULL);
    ck_assert_int_gt(bm_plan_get_memory(p)->temp_bytes, 2 * 2 * 4096);
    float out[900];
    test_ok(bm_plan_write(p, x, ramp(1)));
    test_ok(bm_plan_run(p));
    test_ok(bm_plan_read(p, sum, out));
    for (int j = 0; j < 900; j++) ck_assert_float_eq(out[j], 15 * (float)(1 + j) + 6 + 1500 + 6 * (float)j);
    bm_plan_destroy(p);
    bm_bank_destroy(weights);
    bm_layout_destroy(l);
    bm_graph_destroy(g);

    g = new_graph(0);
    x = bm_graph_input(g, "x", BM_F32, BM_SHAPE(16));
    bm_graph_output(g, add(g, bm_graph_param(g, "w", BM_F32, BM_SHAPE(3000), 0), bm_graph_param(g, "w", BM_F32, BM_SHAPE(3000), 0)), "y");
    test_fails(bm_plan_create(&p, engine, g, NULL), BM_ERR_DEVICE_MEMORY, "memory");
    ck_assert_int_eq(bm_engine_live_bytes(engine), 0);
    bm_graph_destroy(g);
    close_engine();
}
END_TEST

START_TEST(what_a_plan_said_it_needs_is_what_it_takes)
{
    bm_graph *g = new_graph(0);
    bm_value *x = input(g, "x"), *y = slow(g, slow(g, slow(g, x, 1), 1), 1);
    bm_graph_output(g, reverse(g, add(g, y, x)), "y");
    bm_plan_memory said;
    test_ok(bm_plan_memory_of(&said, g, bm_engine_limits(engine)));
    const layer_api *layer = test_layer();
    int64_t before = layer->stats().buffer_bytes;
    bm_plan *p = plan_with(g, NULL, 0, NULL);
    ck_assert_int_eq(layer->stats().buffer_bytes - before, said.temp_bytes + said.input_bytes);
    ck_assert_int_eq(bm_engine_live_bytes(engine), said.temp_bytes + said.input_bytes);
    bm_plan_destroy(p);
    bm_graph_destroy(g);
}
END_TEST

/* ---- failures ---- */

typedef struct checked {
    char visited[200];
    const char *stop_at;
} checked;

static bm_status check_finite(void *user, bm_plan *p, const char *node, const bm_value *output)
{
    checked *c = user;
    float data[N];
    test_ok(bm_plan_peek(p, output, 0, data, BYTES));
    snprintf(c->visited + strlen(c->visited), sizeof c->visited - strlen(c->visited), "%s ", node);
    for (int i = 0; i < N; i++)
        if (!isfinite(data[i])) return bm_fail(BM_ERR_NOT_FINITE, "%s", node);
    return BM_OK;
}

START_TEST(a_checked_run_finds_the_first_bad_node)
{
    bm_graph *g = new_graph(0);
    bm_value *x = input(g, "x");
    bm_graph_scope_push(g, "a");
    bm_value *y = affine(g, x, 2, 0);
    bm_graph_scope_pop(g);
    bm_graph_scope_push(g, "b");
    y = affine(g, y, 3e38f, 0);
    bm_graph_scope_pop(g);
    y = bm_graph_output(g, reverse(g, y), "y");
    bm_plan *p = plan_with(g, NULL, 0, NULL);
    checked c = {.visited = ""};
    float zeros[N] = {0}, out[N];
    test_ok(bm_plan_write(p, x, zeros));
    test_ok(bm_plan_run_checked(p, check_finite, &c));
    ck_assert_str_eq(c.visited, "a/affine b/affine reverse ");
    c.visited[0] = 0;
    test_ok(bm_plan_write(p, x, ramp(1)));
    test_fails(bm_plan_run_checked(p, check_finite, &c), BM_ERR_NOT_FINITE, "b/affine");
    ck_assert_str_eq(c.visited, "a/affine b/affine ");
    test_ok(bm_plan_write(p, x, zeros)); /* the plan is usable as before */
    test_ok(bm_plan_run(p));
    test_ok(bm_plan_read(p, y, out));
    ck_assert_mem_eq(out, zeros, BYTES);
    bm_plan_destroy(p);
    bm_graph_destroy(g);
}
END_TEST

static bm_status launch_broken(bm_launcher *l, const bm_node *n)
{
    const bm_arg args[] = {mem(l, n->outputs[0])};
    bm_kernel_launch k = {.source = attrs_of(n)->rounds ? "test/plan" : "test/broken", .kernel = "no_such_kernel", .dims = 1,
                          .global = {1}, .args = args, .n_args = 1};
    bm_launcher_kernel(l, &k);
    return bm_launcher_status(l);
}

static const bm_op op_broken = {.name = "broken", .attrs_bytes = sizeof(attrs), .infer = infer_like, .launch = launch_broken};

static int calls_run, calls_destroyed;
static bm_status call_run(void *ctx, cl_command_queue queue)
{
    (void)queue;
    calls_run++;
    return *(int *)ctx ? bm_fail(BM_ERR_DEVICE, "refused by the test") : BM_OK;
}

static void call_destroy(void *ctx)
{
    calls_destroyed++;
    bm_free(ctx);
}

static bm_status launch_call(bm_launcher *l, const bm_node *n)
{
    int *ctx = bm_alloc(sizeof *ctx);
    if (!ctx) return BM_ERR_MEMORY;
    if (attrs_of(n)->rounds == 2) bm_launcher_scratch(l, 0, 4); /* was not asked for */
    *ctx = attrs_of(n)->rounds;
    bm_launcher_call(l, call_run, ctx, call_destroy);
    return bm_launcher_status(l);
}

static const bm_op op_call = {.name = "call", .attrs_bytes = sizeof(attrs), .infer = infer_like, .launch = launch_call};

static bm_value *special(bm_graph *g, const bm_op *op, bm_value *x, int kind)
{
    return bm_node_first(bm_node_create(g, op, &(attrs){0, 0, kind}, &x, 1, 0));
}

START_TEST(a_launch_that_fails_names_its_node)
{
    bm_graph *g = new_graph(0);
    bm_plan *p = NULL;
    bm_graph_scope_push(g, "h7");
    bm_graph_output(g, special(g, &op_broken, input(g, "x"), 1), "y");
    test_fails(bm_plan_create(&p, engine, g, NULL), BM_ERR_DEVICE, "h7/broken: kernel no_such_kernel of source test/plan");
    ck_assert_ptr_null(p);
    bm_graph_destroy(g);

    g = new_graph(0);
    bm_graph_output(g, special(g, &op_broken, input(g, "x"), 0), "y");
    test_fails(bm_plan_create(&p, engine, g, NULL), BM_ERR_BUILD, "broken: kernel source test/broken [");
    bm_graph_destroy(g);
    ck_assert_int_eq(bm_engine_live_bytes(engine), 0);
}
END_TEST

START_TEST(calls_run_with_the_plan_and_are_destroyed_with_it)
{
    bm_graph *g = new_graph(0);
    bm_value *x = input(g, "x");
    bm_graph_output(g, special(g, &op_call, special(g, &op_call, x, 0), 0), "y");
    bm_plan *p = plan_with(g, NULL, 0, NULL);
    calls_run = calls_destroyed = 0;
    test_ok(bm_plan_run(p));
    test_ok(bm_plan_run(p));
    ck_assert_int_eq(calls_run, 4);
    bm_plan_destroy(p);
    ck_assert_int_eq(calls_destroyed, 2);
    bm_graph_destroy(g);

    g = new_graph(0);
    x = input(g, "x");
    bm_graph_scope_push(g, "h1");
    bm_graph_output(g, special(g, &op_call, special(g, &op_call, x, 0), 1), "y");
    p = plan_with(g, NULL, 0, NULL);
    test_fails(bm_plan_run(p), BM_ERR_DEVICE, "h1/call: refused by the test");
    bm_plan_destroy(p);
    ck_assert_int_eq(calls_destroyed, 4);
    bm_graph_destroy(g);

    g = new_graph(0);
    x = input(g, "x");
    bm_graph_output(g, special(g, &op_call, x, 2), "y");
    test_fails(bm_plan_create(&p, engine, g, NULL), BM_ERR_USAGE, "call: scratch bytes 0 to 4 were not asked for");
    ck_assert_int_eq(calls_destroyed, 5); /* although the launcher had failed */
    bm_graph_destroy(g);
}
END_TEST

static bm_status make_run_read(void *arg)
{
    (void)arg;
    bm_graph *g = NULL;
    bm_plan *p = NULL;
    bm_layout *l = NULL;
    bm_bank *cache = NULL;
    bm_ticket *t = NULL;
    float out[N];
    bm_status status = bm_graph_create(&g, &(bm_graph_opts){add, copy, 0});
    if (status) return status;
    bm_value *x = bm_graph_input(g, "x", BM_F32, BM_SHAPE(N)), *c = bm_graph_constant(g, "c", BM_F32, BM_SHAPE(N), ramp(1));
    bm_value *y = bm_graph_output(g, special(g, &op_call, reverse(g, add(g, x, c)), 0), "y");
    update(g, bm_graph_cache(g, "k", BM_F32, BM_SHAPE(N)), c);
    BM_GO(bm_graph_status(g));
    BM_GO(bm_layout_create(&l, g, BM_PLACE_CACHE, bm_engine_limits(engine)));
    BM_GO(bm_bank_create(&cache, engine, l, BM_PLACE_CACHE));
    BM_GO(bm_plan_create(&p, engine, g, &(bm_plan_opts){.banks = &cache, .n_banks = 1}));
    BM_GO(bm_ticket_create(&t));
    BM_GO(bm_plan_write(p, x, ramp(1)));
    BM_GO(bm_plan_run(p));
    BM_GO(bm_plan_run(p));
    BM_GO(bm_plan_read_ticket(p, y, out, t));
    BM_GO(bm_ticket_wait(t));
    BM_GO(bm_plan_read(p, y, out));
done:
    bm_plan_destroy(p);
    bm_ticket_destroy(t);
    bm_bank_destroy(cache);
    bm_layout_destroy(l);
    bm_graph_destroy(g);
    return status;
}

/* Programs are made once per engine: made before, so that each round makes the same. */
START_TEST(every_failing_allocation_is_told)
{
    test_ok(make_run_read(NULL));
    test_fail_allocations(make_run_read, NULL);
}
END_TEST

START_TEST(every_failing_opencl_call_is_told)
{
    test_ok(make_run_read(NULL));
    test_fail_calls(make_run_read, NULL, CL_OUT_OF_RESOURCES);
}
END_TEST

START_TEST(a_run_makes_nothing_and_blocks_nowhere)
{
    const layer_api *layer = test_layer();
    bm_graph *g = new_graph(0);
    bm_value *x = input(g, "x"), *y = bm_graph_output(g, reverse(g, times_step(g, affine(g, x, 2, 0))), "y");
    bm_plan *p = plan_with(g, NULL, 0, NULL);
    bm_ticket *t = NULL;
    float out[N];
    test_ok(bm_ticket_create(&t));
    for (int run = 0; run < 50; run++) {
        if (run == 1) layer->reset();
        int64_t calls = bm_mem_get_stats().calls;
        bm_plan_set_u32(p, BM_RT_STEP, (uint32_t)run);
        test_ok(bm_plan_write(p, x, ramp(0)));
        test_ok(bm_plan_run(p));
        test_ok(bm_plan_read_ticket(p, y, out, t));
        test_ok(bm_ticket_wait(t));
        if (run) ck_assert_int_eq(bm_mem_get_stats().calls, calls);
        ck_assert_float_eq(out[N - 2], (float)(2 * run));
    }
    layer_stats s = layer->stats();
    ck_assert_int_eq(s.blocking, 0);
    ck_assert_int_eq(s.buffers_made, 0);
    ck_assert_int_eq(s.programs_made, 0);
    ck_assert_int_eq(s.kernels_made, 0);
    ck_assert_int_eq(layer->calls("EnqueueNDRangeKernel"), 4 * 49);
    bm_ticket_destroy(t);
    bm_plan_destroy(p);
    bm_graph_destroy(g);
}
END_TEST

int main(void)
{
    test_layer_use();
    Suite *s = suite_create("core/graph/plan");
    TCase *t = tcase_create("plan");
    tcase_add_checked_fixture(t, open_engine, close_engine);
    tcase_add_test(t, a_plan_computes_and_constants_are_there);
    tcase_add_test(t, what_is_not_kept_cannot_be_read_or_written);
    tcase_add_test(t, run_time_scalars_take_effect_with_the_next_run);
    tcase_add_test(t, inputs_are_staged_so_that_the_host_may_run_ahead);
    if (!getenv("BM_TEST_OCLGRIND") && !getenv("BM_TEST_SMALL")) /* nothing is under way there, or not for long */
        tcase_add_test(t, the_second_run_is_enqueued_while_the_first_is_under_way);
    tcase_add_test(t, a_plan_goes_while_its_work_is_under_way);
    tcase_add_test(t, weights_live_in_banks_and_are_trained_there);
    tcase_add_test(t, a_missing_or_unfit_bank_is_named);
    tcase_add_test(t, two_plans_share_a_cache_and_temporaries);
    tcase_add_test(t, what_a_plan_said_it_needs_is_what_it_takes);
    tcase_add_test(t, a_checked_run_finds_the_first_bad_node);
    if (!getenv("BM_TEST_OCLGRIND")) /* it would report the failures that are meant */
        tcase_add_test(t, a_launch_that_fails_names_its_node);
    tcase_add_test(t, calls_run_with_the_plan_and_are_destroyed_with_it);
    tcase_add_test(t, every_failing_allocation_is_told);
    tcase_add_test(t, every_failing_opencl_call_is_told);
    tcase_add_test(t, a_run_makes_nothing_and_blocks_nowhere);
    suite_add_tcase(s, t);
    t = tcase_create("slabs");
    tcase_add_test(t, a_small_largest_buffer_gives_several_slabs);
    suite_add_tcase(s, t);
    return test_run(s);
}
