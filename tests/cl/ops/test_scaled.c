/* ctest: oclgrind rusticl */
/* Matrices kept as i8 with a scale for each row: ops read them as they read the f32 matrices that they stand for. */
#include <stdio.h>
#include <stdlib.h>

#include "cl/ops/ops.h"
#include "core/base/rng.h"
#include "core/graph/scalars.h"
#include "tests/lib/device.h"
#include "tests/lib/optest.h"
#include "tests/lib/test.h"

enum { V = 7, P = 6, B = 2, T = 3, OFFSET = 2, MATRICES = 3, OUTPUTS = 6 };
enum { TOKEN, POSITION, WEIGHT };

typedef struct net {
    bm_graph *graph;
    bm_value *w[MATRICES], *ids, *x, *one, *out[OUTPUTS];
    bm_layout *layout;
    bm_bank *bank;
    bm_plan *plan;
} net;

typedef struct sizes {
    int64_t n, k, rows;
} sizes;

static int64_t rows_of(int i, const sizes *s)
{
    return i == TOKEN ? V : i == POSITION ? P : s->n;
}

/* Whole numbers -127 .. 127, and a power of two for each row: every product and sum is exact. */
static int8_t whole(int i, int64_t at)
{
    return (int8_t)(bm_rng_at(1, (uint32_t)i, 0, (uint64_t)at) % 255 - 127);
}
static float scale_of(int i, int64_t row)
{
    return row == 1 ? 0 : (float)(1 << bm_rng_at(2, (uint32_t)i, 0, (uint64_t)row) % 4) / 16;
}

static void build(net *a, const sizes *s, int scaled)
{
    static const char *const names[MATRICES] = {"token", "position", "weight"};
    const bm_graph_opts opts = bm_graph_opts_with_ops();
    test_ok(bm_graph_create(&a->graph, &opts));
    bm_graph *g = a->graph;
    for (int i = 0; i < MATRICES; i++)
        a->w[i] = scaled ? bm_graph_param_scaled(g, names[i], BM_SHAPE(rows_of(i, s), s->k), 0)
                         : bm_graph_param(g, names[i], BM_F32, BM_SHAPE(rows_of(i, s), s->k), 0);
    a->ids = bm_graph_input(g, "ids", BM_I32, BM_SHAPE(B, T));
    a->x = bm_graph_input(g, "x", BM_F32, BM_SHAPE(s->rows, s->k));
    a->one = bm_graph_input(g, "one", BM_F32, BM_SHAPE(1, s->k));
    bm_value *bias = bm_graph_input(g, "bias", BM_F32, BM_SHAPE(s->n));
    a->out[0] = bm_embedding(g, a->w[TOKEN], a->ids);
    a->out[1] = bm_embedding_positions(g, a->w[TOKEN], a->w[POSITION], a->ids, BM_F32);
    a->out[2] = bm_embedding_positions(g, a->w[TOKEN], a->w[POSITION], a->ids, BM_BF16);
    a->out[3] = bm_linear(g, a->x, a->w[WEIGHT], NULL, BM_ACT_NONE);
    a->out[4] = bm_linear(g, a->x, a->w[WEIGHT], bias, BM_ACT_RELU);
    a->out[5] = bm_linear(g, a->one, a->w[WEIGHT], bias, BM_ACT_NONE);
    for (int i = 0; i < OUTPUTS; i++) bm_graph_output(g, a->out[i], "y");
    test_ok(bm_graph_status(g));
}

static void write_matrix(net *a, int i, const sizes *s, int scaled)
{
    const int64_t rows = rows_of(i, s), n = rows * s->k;
    int8_t *q = calloc((size_t)n, 1);
    float *w = calloc((size_t)n, sizeof *w), *scale = calloc((size_t)rows, sizeof *scale);
    for (int64_t at = 0; at < n; at++) {
        q[at] = whole(i, at);
        scale[at / s->k] = scale_of(i, at / s->k);
        w[at] = scale[at / s->k] * q[at];
    }
    const bm_tensor *t = bm_layout_find(a->layout, bm_value_name(a->w[i]));
    test_ok(bm_bank_write(a->bank, t, 0, scaled ? (const void *)q : w, t->bytes));
    if (scaled) t = bm_layout_find(a->layout, bm_value_name(bm_value_scale(a->w[i])));
    if (scaled) test_ok(bm_bank_write(a->bank, t, 0, scale, t->bytes));
    free(q);
    free(w);
    free(scale);
}

static void write_input(net *a, const char *name, bm_value *v)
{
    const int64_t n = bm_shape_elements(bm_value_shape(v));
    float *x = calloc((size_t)n, sizeof *x);
    for (int64_t i = 0; i < n; i++) x[i] = (float)(bm_rng_at(3, bm_rng_stream(name), 0, (uint64_t)i) % 33) - 16;
    test_ok(bm_plan_write(a->plan, v, x));
    free(x);
}

static void run(net *a, bm_engine *e, const sizes *s, int scaled, const char *gemm)
{
    static const int32_t ids[B * T] = {0, 6, 2, 2, 1, 0};
    build(a, s, scaled);
    test_ok(bm_layout_create(&a->layout, a->graph, BM_PLACE_WEIGHT, bm_engine_limits(e)));
    test_ok(bm_bank_create(&a->bank, e, a->layout, BM_PLACE_WEIGHT));
    for (int i = 0; i < MATRICES; i++) write_matrix(a, i, s, scaled);
    test_ok(bm_plan_create(&a->plan, e, a->graph, &(bm_plan_opts){.banks = &a->bank, .n_banks = 1, .gemm = gemm}));
    test_ok(bm_plan_write(a->plan, a->ids, ids));
    write_input(a, "x", a->x);
    write_input(a, "one", a->one);
    write_input(a, "bias", bm_graph_input(a->graph, "bias", BM_F32, BM_SHAPE(s->n)));
    bm_plan_set_u32(a->plan, BM_RT_POSITION, OFFSET);
    test_ok(bm_plan_run(a->plan));
}

static void finish(net *a)
{
    bm_plan_destroy(a->plan);
    bm_bank_destroy(a->bank);
    bm_layout_destroy(a->layout);
    bm_graph_destroy(a->graph);
}

static float *read_output(net *a, int i)
{
    const size_t n = (size_t)bm_shape_elements(bm_value_shape(a->out[i]));
    float *x = calloc(n, sizeof *x), *stored = calloc(n, sizeof *stored);
    test_ok(bm_plan_read(a->plan, a->out[i], stored));
    test_ok(bm_convert_floats(x, BM_F32, stored, bm_value_dtype(a->out[i]), n));
    free(stored);
    return x;
}

static void check(bm_engine *e, const sizes *s, const char *gemm)
{
    net pair[2] = {{0}, {0}};
    for (int k = 0; k < 2; k++) run(&pair[k], e, s, k, gemm);
    for (int i = 0; i < OUTPUTS; i++) {
        const bm_value *v = pair[0].out[i];
        const int64_t n = bm_shape_elements(bm_value_shape(v));
        float *x[2];
        for (int k = 0; k < 2; k++) x[k] = read_output(&pair[k], i);
        for (int64_t at = 0; at < n; at++)
            test_that(x[1][at] == x[0][at], "%s, [%d, %d], output %d: element %d is %g, not %g", gemm, (int)s->n, (int)s->k, i, (int)at,
                      (double)x[1][at], (double)x[0][at]);
        for (int k = 0; k < 2; k++) free(x[k]);
    }
    for (int k = 0; k < 2; k++) finish(&pair[k]);
}

START_TEST(scaled_matrices_are_read_as_what_they_stand_for)
{
    static const sizes all[] = {{35, 33, 9}, {1, 1, 1}, {70, 64, 20}};
    EACH_FORM(form)
    for (int i = 0; i < (optest_small() ? 1 : 3); i++)
        check(optest_engine(form), &all[i], form == BM_FORM_CPU ? "packed" : "tiled");
}
END_TEST

static void check_refused(void (*use)(bm_graph *g, bm_value *w), bm_status status, const char *text)
{
    bm_graph *g = NULL;
    const bm_graph_opts opts = bm_graph_opts_with_ops();
    test_ok(bm_graph_create(&g, &opts));
    use(g, bm_graph_param_scaled(g, "w", BM_SHAPE(5, 5), 0));
    test_fails(bm_graph_status(g), status, text);
    bm_graph_destroy(g);
}

static void use_matmul(bm_graph *g, bm_value *w) { bm_matmul(g, w, w, 0, 1); }
static void use_cast(bm_graph *g, bm_value *w) { bm_cast(g, w, BM_F32); }
static void use_half(bm_graph *g, bm_value *w) { bm_graph_half(g, w, BM_BF16); }
static void use_add(bm_graph *g, bm_value *w) { bm_add(g, w, w); }
static void use_linear_of_it(bm_graph *g, bm_value *w) { bm_linear(g, w, w, NULL, BM_ACT_NONE); }
static void use_unscaled(bm_graph *g, bm_value *w)
{
    bm_value *x = bm_graph_input(g, "x", BM_F32, *bm_value_shape(w));
    bm_linear(g, x, bm_graph_param(g, "q", BM_I8, BM_SHAPE(5, 5), 0), NULL, BM_ACT_NONE);
}
static void use_linear_gradient(bm_graph *g, bm_value *w)
{
    bm_value *x = bm_graph_param(g, "x", BM_F32, BM_SHAPE(3, 5), 0);
    bm_graph_gradients(g, bm_sum(g, bm_linear(g, x, w, NULL, BM_ACT_NONE)));
}
static void use_table_gradient(bm_graph *g, bm_value *w)
{
    bm_graph_gradients(g, bm_sum(g, bm_embedding(g, w, bm_graph_input(g, "ids", BM_I32, BM_SHAPE(3)))));
}
static void use_position_gradient(bm_graph *g, bm_value *w)
{
    bm_value *ids = bm_graph_input(g, "ids", BM_I32, BM_SHAPE(1, 3));
    bm_graph_gradients(g, bm_sum(g, bm_embedding_positions(g, w, w, ids, BM_F32)));
}
static void use_mixed_tables(bm_graph *g, bm_value *w)
{
    bm_value *ids = bm_graph_input(g, "ids", BM_I32, BM_SHAPE(1, 3));
    bm_embedding_positions(g, w, bm_graph_param(g, "p", BM_F32, BM_SHAPE(5, 5), 0), ids, BM_F32);
}

START_TEST(what_does_not_know_scales_refuses)
{
    check_refused(use_matmul, BM_ERR_SHAPE, "w is i8");
    check_refused(use_cast, BM_ERR_SHAPE, "w is i8");
    check_refused(use_half, BM_ERR_USAGE, "w, i8");
    check_refused(use_add, BM_ERR_SHAPE, "w is i8");
    check_refused(use_linear_of_it, BM_ERR_SHAPE, "w is i8");
    check_refused(use_unscaled, BM_ERR_SHAPE, "q is i8");
    check_refused(use_mixed_tables, BM_ERR_SHAPE, "p is f32, not i8");
    check_refused(use_linear_gradient, BM_ERR_UNSUPPORTED, "w is kept in 8 bits");
    check_refused(use_table_gradient, BM_ERR_UNSUPPORTED, "w is kept in 8 bits");
    check_refused(use_position_gradient, BM_ERR_UNSUPPORTED, "w is kept in 8 bits");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scaled");
    TCase *c = optest_tcase(s, "scaled");
    tcase_add_test(c, scaled_matrices_are_read_as_what_they_stand_for);
    tcase_add_test(c, what_does_not_know_scales_refuses);
    return test_run(s);
}
