/* ctest: oclgrind rusticl */
/* Parameters that ops read through 16-bit copies: their gradients and updates are those of the f32 parameters. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cl/ops/ops.h"
#include "cl/optim/optim.h"
#include "core/base/rng.h"
#include "core/graph/scalars.h"
#include "tests/lib/device.h"
#include "tests/lib/optest.h"
#include "tests/lib/test.h"

enum { V = 7, P = 5, B = 3, T = 4, K = 33, N = 35, ROWS = 37, PARAMS = 6, BANKS = 5 };
enum { TOKEN, POSITION, WEIGHT, BIAS, NORM, SHIFT };

static const bm_place places[BANKS] = {BM_PLACE_WEIGHT, BM_PLACE_GRAD, BM_PLACE_STATE0, BM_PLACE_STATE1, BM_PLACE_HALF};
static const bm_dtype halves[] = {BM_F16, BM_BF16};

typedef struct net {
    bm_graph *graph;
    bm_value *w[PARAMS], *ids, *x, *stream, *branch;
    bm_value *r[4]; /* dL/d(output) of the embedding, the layer, the norm and the residual sum */
    bm_layout *layout;
    bm_bank *banks[BANKS];
    int n_banks;
    bm_plan *plan;
} net;

/* Sixteenths in [-2, 2): exact in every type, as are all the sums of their products. */
static void fill(float *x, int64_t n, uint32_t stream)
{
    bm_rng r = bm_rng_start(1, stream, 0);
    for (int64_t i = 0; i < n; i++) x[i] = ((float)(bm_rng_u32(&r) % 64) - 32) / 16;
}

static bm_value *param(net *a, int i, bm_dtype t, bm_shape shape, int group)
{
    char name[8];
    snprintf(name, sizeof name, "w%d", i);
    a->w[i] = bm_graph_param(a->graph, name, BM_F32, shape, group);
    return t == BM_F32 ? a->w[i] : bm_graph_half(a->graph, a->w[i], t);
}

static void build(net *a, bm_dtype t)
{
    bm_graph *g = a->graph;
    bm_value *token = param(a, TOKEN, t, BM_SHAPE(V, K), 0), *position = param(a, POSITION, t, BM_SHAPE(P, K), 0);
    bm_value *w = param(a, WEIGHT, t, BM_SHAPE(N, K), 0), *b = param(a, BIAS, t, BM_SHAPE(N), 1);
    a->ids = bm_graph_input(g, "ids", BM_I32, BM_SHAPE(B, T));
    a->x = bm_graph_input(g, "x", t, BM_SHAPE(ROWS, K));
    a->r[0] = bm_graph_input(g, "r0", t, BM_SHAPE(B, T, K));
    a->r[1] = bm_graph_input(g, "r1", t, BM_SHAPE(ROWS, N));
    a->stream = bm_graph_input(g, "stream", BM_F32, BM_SHAPE(ROWS, K));
    a->branch = bm_graph_input(g, "branch", t, BM_SHAPE(ROWS, K));
    a->r[2] = bm_graph_input(g, "r2", t, BM_SHAPE(ROWS, K));
    a->r[3] = bm_graph_input(g, "r3", BM_F32, BM_SHAPE(ROWS, K));
    bm_value *out[4], *loss = NULL;
    out[0] = bm_embedding_positions(g, token, position, a->ids, t);
    out[1] = bm_linear(g, a->x, w, b, BM_ACT_NONE);
    out[2] = bm_add_norm(g, &out[3], a->stream, a->branch, param(a, NORM, BM_F32, BM_SHAPE(K), 1),
                         param(a, SHIFT, BM_F32, BM_SHAPE(K), 1), 1e-5f, 0);
    for (int i = 0; i < 4; i++) {
        bm_value *part = bm_sum(g, bm_mul(g, out[i], a->r[i]));
        loss = loss ? bm_add(g, loss, part) : part;
    }
    bm_graph_want_gradient(g, a->stream);
    bm_graph_want_gradient(g, a->branch);
    test_ok(bm_graph_gradients(g, loss));
    bm_graph_output(g, bm_graph_gradient(g, a->stream), NULL);
    bm_graph_output(g, bm_graph_gradient(g, a->branch), NULL);
    const bm_optim_opts o = {.beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8, .weight_decay = 0.1, .clip = 1};
    bm_value *norm = bm_grad_norm(g, 2);
    test_ok(bm_optim_step(g, 0, norm, "adamw", &o));
    test_ok(bm_optim_step(g, 1, norm, "adamw", &o));
}

static void open_banks(net *a, bm_engine *e, int n)
{
    test_ok(bm_graph_status(a->graph));
    test_ok(bm_layout_create(&a->layout, a->graph, BM_PLACE_WEIGHT, bm_engine_limits(e)));
    a->n_banks = n;
    for (int i = 0; i < n; i++) test_ok(bm_bank_create(&a->banks[i], e, a->layout, places[i]));
    for (int i = 0; i < bm_layout_count(a->layout); i++) {
        const bm_tensor *t = bm_layout_at(a->layout, i);
        float *data = calloc((size_t)t->bytes + 1, 1);
        fill(data, t->bytes / 4, (uint32_t)i);
        test_ok(bm_bank_write(a->banks[0], t, 0, data, t->bytes));
        free(data);
    }
    test_ok(bm_plan_create(&a->plan, e, a->graph, &(bm_plan_opts){.banks = a->banks, .n_banks = a->n_banks}));
}

static void write_floats(net *a, bm_value *v, uint32_t stream)
{
    const int64_t n = bm_shape_elements(bm_value_shape(v));
    float *x = calloc((size_t)n, sizeof *x), *stored = calloc((size_t)n, sizeof *stored);
    fill(x, n, stream);
    test_ok(bm_convert_floats(stored, bm_value_dtype(v), x, BM_F32, (size_t)n));
    test_ok(bm_plan_write(a->plan, v, stored));
    free(x);
    free(stored);
}

static void step(net *a, int n)
{
    static const int32_t ids[B * T] = {0, 6, 2, 2, 3, 0, 0, 5, 6, 6, 6, 1};
    test_ok(bm_plan_write(a->plan, a->ids, ids));
    write_floats(a, a->x, 100);
    write_floats(a, a->stream, 98);
    write_floats(a, a->branch, 99);
    for (int i = 0; i < 4; i++) write_floats(a, a->r[i], 101 + (uint32_t)i);
    bm_plan_set_f32(a->plan, BM_RT_LR, 0.01f);
    bm_plan_set_f32(a->plan, BM_RT_BIAS1, (float)(1 - pow(0.9, n)));
    bm_plan_set_f32(a->plan, BM_RT_BIAS2, (float)(1 - pow(0.99, n)));
    test_ok(bm_plan_run(a->plan));
}

static void *read_tensor(net *a, int bank, int i, int64_t *bytes)
{
    const bm_tensor *t = bm_layout_at(a->layout, i);
    *bytes = places[bank] == BM_PLACE_HALF ? t->bytes / 2 : t->bytes;
    void *data = calloc((size_t)*bytes + 1, 1);
    test_ok(bm_bank_read(a->banks[bank], t, 0, data, *bytes));
    return data;
}

static void check_copies(net *a, bm_dtype t, int params)
{
    for (int i = 0; i < params; i++) {
        int64_t bytes;
        float *w = read_tensor(a, 0, i, &bytes);
        uint16_t *got = read_tensor(a, BANKS - 1, i, &bytes), *want = calloc((size_t)bytes + 1, 1);
        test_ok(bm_convert_floats(want, t, w, BM_F32, (size_t)bytes / 2));
        ck_assert_msg(!memcmp(got, want, (size_t)bytes), "%s: its copy in %s differs", bm_layout_at(a->layout, i)->name, bm_dtype_name(t));
        free(w);
        free(got);
        free(want);
    }
}

/* The gradient of the f32 stream is the same; that of what is added to it is rounded. */
static void check_stream(net *f32, net *half, bm_dtype t)
{
    float want[ROWS * K], got[ROWS * K];
    uint16_t rounded[ROWS * K], stored[ROWS * K];
    test_ok(bm_plan_read(f32->plan, bm_graph_gradient(f32->graph, f32->stream), want));
    test_ok(bm_plan_read(half->plan, bm_graph_gradient(half->graph, half->stream), got));
    ck_assert_mem_eq(got, want, sizeof want);
    test_ok(bm_plan_read(f32->plan, bm_graph_gradient(f32->graph, f32->branch), want));
    test_ok(bm_plan_read(half->plan, bm_graph_gradient(half->graph, half->branch), stored));
    test_ok(bm_convert_floats(rounded, t, want, BM_F32, ROWS * K));
    ck_assert_mem_eq(stored, rounded, sizeof stored);
}

static void finish(net *a)
{
    bm_plan_destroy(a->plan);
    for (int i = 0; i < a->n_banks; i++) bm_bank_destroy(a->banks[i]);
    bm_layout_destroy(a->layout);
    bm_graph_destroy(a->graph);
}

static void check_as_f32(bm_engine *e, bm_dtype t, int accumulate)
{
    net pair[2] = {{0}, {0}};
    bm_graph_opts opts = bm_graph_opts_with_ops();
    opts.accumulate = accumulate;
    for (int k = 0; k < 2; k++) {
        test_ok(bm_graph_create(&pair[k].graph, &opts));
        build(&pair[k], k ? t : BM_F32);
        open_banks(&pair[k], e, k ? BANKS : BANKS - 1);
    }
    for (int n = 1; n <= 2; n++) {
        for (int k = 0; k < 2; k++) step(&pair[k], n);
        for (int bank = 0; bank < BANKS - 1; bank++)
            for (int i = 0; i < PARAMS; i++) {
                int64_t bytes;
                float *want = read_tensor(&pair[0], bank, i, &bytes), *got = read_tensor(&pair[1], bank, i, &bytes);
                for (int64_t j = 0; j < bytes / 4; j++)
                    test_that(got[j] == want[j], "%s, step %d, bank %d: element %d of %s is %.9g, not %.9g", bm_dtype_name(t), n, bank,
                              (int)j, bm_layout_at(pair[0].layout, i)->name, (double)got[j], (double)want[j]);
                free(want);
                free(got);
            }
        check_copies(&pair[1], t, NORM);
        check_stream(&pair[0], &pair[1], t);
    }
    for (int k = 0; k < 2; k++) finish(&pair[k]);
}

START_TEST(gradients_and_updates_are_those_of_f32_parameters)
{
    EACH_FORM(form)
    for (int i = optest_small(); i < 2; i++) check_as_f32(optest_engine(form), halves[i], _i);
}
END_TEST

/* Sizes around vectors, blocks and work-groups; one group has no copies and its part of the bank stays zero. */
START_TEST(copies_are_made_of_weights)
{
    const int64_t sizes[] = {1, 15, 300, optest_small() ? 257 : 12345};
    EACH_FORM(form)
    for (int i = 0; i < 2; i++) {
        net a = {0};
        bm_graph_opts opts = bm_graph_opts_with_ops();
        test_ok(bm_graph_create(&a.graph, &opts));
        for (int k = 0; k < 4; k++) param(&a, k, halves[i], BM_SHAPE(sizes[k]), k == 3);
        bm_graph_param(a.graph, "none", BM_F32, BM_SHAPE(100), 2);
        for (int group = 0; group < 4; group++) test_ok(bm_copy_halves(a.graph, group));
        open_banks(&a, optest_engine(form), BANKS);
        test_ok(bm_plan_run(a.plan));
        check_copies(&a, halves[i], 4);
        int64_t bytes;
        uint16_t *none = read_tensor(&a, BANKS - 1, 4, &bytes);
        for (int64_t k = 0; k < bytes / 2; k++) ck_assert_int_eq(none[k], 0);
        free(none);
        finish(&a);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("half");
    TCase *c = optest_tcase(s, "half");
    tcase_add_loop_test(c, gradients_and_updates_are_those_of_f32_parameters, 0, 2);
    tcase_add_test(c, copies_are_made_of_weights);
    return test_run(s);
}
