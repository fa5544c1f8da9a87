/* Ops against what PyTorch computed in float64 (tests/fixtures/ops.h5). A result may differ by c 2^-24 of the size of what it
 * is compared with, row by row where rows differ in size; c is said at each. */
/* ctest: rusticl/plain */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cl/ops/ops.h"
#include "cl/optim/optim.h"
#include "core/graph/scalars.h"
#include "tests/lib/h5fixture.h"
#include "tests/lib/optest.h"
#include "tests/lib/test.h"

#define EPS24 5.9604644775390625e-8

static h5fixture *fixture;

static void open_fixture(void) { fixture = h5fixture_open("ops.h5"); }
static void close_fixture(void) { h5fixture_close(fixture); }

static const char *path(const char *group, const char *name)
{
    static char paths[4][64];
    static int next;
    char *p = paths[next++ % 4];
    snprintf(p, sizeof paths[0], "/%s/%s", group, name);
    return p;
}

/* A graph under test: its values are inputs of the fixture, its loss is sum(y d) unless it has one of its own. */
typedef struct work {
    const char *group;
    bm_engine *engine;
    bm_graph *graph;
    bm_plan *plan;
    struct {
        bm_value *value;
        void *data;
    } in[8];
    int n;
    float loss_scale;
} work;

static work start(const char *group, int form)
{
    bm_graph_opts opts = bm_graph_opts_with_ops();
    work w = {.group = group, .engine = optest_engine((bm_form)form)};
    test_ok(bm_graph_create(&w.graph, &opts));
    return w;
}

static bm_value *add_input(work *w, const char *name, bm_dtype t, bm_shape shape, void *data)
{
    bm_value *v = bm_graph_input(w->graph, name, t, shape);
    w->in[w->n].value = v;
    w->in[w->n++].data = data;
    return v;
}

static bm_value *f32(work *w, const char *name, bm_shape shape)
{
    int64_t n;
    float *data = h5fixture_f32(fixture, path(w->group, name), &n);
    ck_assert_int_eq(n, bm_shape_elements(&shape));
    bm_value *v = add_input(w, name, BM_F32, shape, data);
    bm_graph_want_gradient(w->graph, v);
    return v;
}

static bm_value *i32(work *w, const char *name, bm_shape shape)
{
    int64_t n;
    int32_t *data = h5fixture_i32(fixture, path(w->group, name), &n);
    ck_assert_int_eq(n, bm_shape_elements(&shape));
    return add_input(w, name, BM_I32, shape, data);
}

static bm_value *loss_with(work *w, bm_value *y, bm_value *d) { return bm_sum(w->graph, bm_mul(w->graph, y, d)); }

static bm_value *gradient(work *w, bm_value *x, const char *name)
{
    return bm_graph_output(w->graph, bm_graph_gradient(w->graph, x), name);
}

static void run(work *w)
{
    test_ok(bm_graph_status(w->graph));
    test_ok(bm_plan_create(&w->plan, w->engine, w->graph, NULL));
    bm_plan_set_f32(w->plan, BM_RT_LOSS_SCALE, w->loss_scale);
    for (int i = 0; i < w->n; i++) test_ok(bm_plan_write(w->plan, w->in[i].value, w->in[i].data));
    test_ok(bm_plan_run(w->plan));
}

static void finish(work *w)
{
    bm_plan_destroy(w->plan);
    bm_graph_destroy(w->graph);
    for (int i = 0; i < w->n; i++) free(w->in[i].data);
}

/* Each row of `v` against the fixture's `name`. */
static void compare_rows(work *w, const bm_value *v, const char *name, double c, int64_t rows)
{
    int64_t n;
    float *want = h5fixture_f32(fixture, path(w->group, name), &n), *got = malloc((size_t)n * sizeof *got);
    ck_assert_int_eq(n, bm_shape_elements(bm_value_shape(v)));
    test_ok(bm_plan_read(w->plan, v, got));
    for (int64_t i = 0; i < rows; i++) {
        double d = fixture_distance(got + i * (n / rows), want + i * (n / rows), n / rows);
        ck_assert_msg(d <= c * EPS24, "%s/%s row %d: %.1f 2^-24 from PyTorch", w->group, name, (int)i, d / EPS24);
    }
    free(got);
    free(want);
}

static void compare(work *w, const bm_value *v, const char *name, double c) { compare_rows(w, v, name, c, 1); }

START_TEST(layernorm_and_its_gradients)
{
    EACH_FORM(form) {
        work w = start("layernorm", form);
        int64_t rows = h5fixture_dim(fixture, "/layernorm/x", 0), n = h5fixture_dim(fixture, "/layernorm/x", 1);
        bm_value *x = f32(&w, "x", BM_SHAPE(rows, n)), *a = f32(&w, "w", BM_SHAPE(n)), *b = f32(&w, "b", BM_SHAPE(n));
        bm_value *y = bm_layernorm(w.graph, x, a, b, (float)h5fixture_attr(fixture, "/layernorm", "eps"));
        bm_graph_output(w.graph, y, "y");
        test_ok(bm_graph_gradients(w.graph, loss_with(&w, y, f32(&w, "d", BM_SHAPE(rows, n)))));
        bm_value *dx = gradient(&w, x, "dx"), *da = gradient(&w, a, "dw"), *db = gradient(&w, b, "db");
        run(&w);
        /* The mean of row 1 is 30 times its spread: so much larger is the rounding of x - mean beside it. */
        compare_rows(&w, y, "y", 8 * 30, rows);
        compare_rows(&w, dx, "dx", 8 * 30, rows);
        compare(&w, y, "y", 8 * 30 / sqrt((double)rows));
        compare(&w, da, "dw", 8 * 30);
        compare(&w, db, "db", 8);
        finish(&w);
    }
}
END_TEST

static const struct {
    const char *y, *dx;
    bm_activation act;
} acts[] = {{"y_gelu_tanh", "dx_gelu_tanh", BM_ACT_GELU_TANH}, {"y_gelu", "dx_gelu", BM_ACT_GELU}, {"y_relu", "dx_relu", BM_ACT_RELU},
            {"y_silu", "dx_silu", BM_ACT_SILU}, {"y_tanh", "dx_tanh", BM_ACT_TANH}, {"y_sigmoid", "dx_sigmoid", BM_ACT_SIGMOID}};

/* Far from 0 as well, where a form that is not careful gives NaN. Element by element: an absolute error of c 2^-24, or of
 * c 2^-24 of the element; gradients are multiplied by d, up to 3. */
START_TEST(activations_and_their_gradients)
{
    EACH_FORM(form) {
        int64_t n = h5fixture_dim(fixture, "/activation/x", 0);
        work w = start("activation", form);
        bm_value *x = f32(&w, "x", BM_SHAPE(n)), *y = bm_activate(w.graph, x, acts[_i].act);
        bm_graph_output(w.graph, y, "y");
        test_ok(bm_graph_gradients(w.graph, loss_with(&w, y, f32(&w, "d", BM_SHAPE(n)))));
        bm_value *results[] = {y, gradient(&w, x, "dx")};
        run(&w);
        for (int k = 0; k < 2; k++) {
            float *got = malloc((size_t)n * sizeof *got), *want = h5fixture_f32(fixture, path("activation", k ? acts[_i].dx : acts[_i].y), NULL);
            test_ok(bm_plan_read(w.plan, results[k], got));
            for (int64_t i = 0; i < n; i++) {
                double d = fabs((double)got[i] - (double)want[i]) / EPS24;
                ck_assert_msg(d <= (k ? 48 : 16) * fmax(1, fabs((double)want[i])), "%s at %g: %g, not %g", k ? acts[_i].dx : acts[_i].y,
                              (double)((float *)w.in[0].data)[i], (double)got[i], (double)want[i]);
            }
            free(got);
            free(want);
        }
        finish(&w);
    }
}
END_TEST

START_TEST(attention_and_its_gradient)
{
    EACH_FORM(form) {
        work w = start("attention", form);
        int64_t b = h5fixture_dim(fixture, "/attention/qkv", 0), t = h5fixture_dim(fixture, "/attention/qkv", 1);
        int64_t c = h5fixture_dim(fixture, "/attention/qkv", 2) / 3;
        bm_value *qkv = f32(&w, "qkv", BM_SHAPE(b, t, 3 * c));
        bm_value *y = bm_attention(w.graph, qkv, (int)h5fixture_attr(fixture, "/attention", "heads"));
        bm_graph_output(w.graph, y, "y");
        test_ok(bm_graph_gradients(w.graph, loss_with(&w, y, f32(&w, "d", BM_SHAPE(b, t, c)))));
        bm_value *dqkv = gradient(&w, qkv, "dqkv");
        run(&w);
        /* Scores reach about 20, and exp() turns their rounding into that many ulps. */
        compare_rows(&w, y, "y", 2 * 20, b * t);
        compare(&w, dqkv, "dqkv", 2 * 20);
        finish(&w);
    }
}
END_TEST

START_TEST(cross_entropy_and_its_gradient)
{
    EACH_FORM(form) {
        work w = start("xent", form);
        int64_t rows = h5fixture_dim(fixture, "/xent/logits", 0), v = h5fixture_dim(fixture, "/xent/logits", 1);
        bm_value *logits = f32(&w, "logits", BM_SHAPE(rows, v)), *each = NULL;
        bm_value *loss = bm_softmax_xent(w.graph, &each, logits, i32(&w, "targets", BM_SHAPE(rows)), NULL, NULL);
        w.loss_scale = (float)h5fixture_attr(fixture, "/xent", "scale");
        bm_graph_output(w.graph, loss, "loss");
        bm_graph_output(w.graph, each, "rows");
        test_ok(bm_graph_gradients(w.graph, loss));
        bm_value *d = gradient(&w, logits, "dlogits");
        run(&w);
        float got = 0;
        double *want = h5fixture_f64(fixture, "/xent/loss", NULL);
        test_ok(bm_plan_read(w.plan, loss, &got));
        ck_assert_double_eq_tol((double)got / *want, 1, 16 * EPS24);
        free(want);
        /* Row 2 lies around 500, where an f32 logit has steps of 512 2^-24. */
        compare(&w, each, "rows", 512);
        compare(&w, d, "dlogits", 16);
        finish(&w);
    }
}
END_TEST

START_TEST(the_gradient_of_an_embedding)
{
    EACH_FORM(form) {
        work w = start("embedding", form);
        int64_t v = h5fixture_dim(fixture, "/embedding/table", 0), c = h5fixture_dim(fixture, "/embedding/table", 1);
        int64_t rows = h5fixture_dim(fixture, "/embedding/ids", 0);
        bm_value *table = f32(&w, "table", BM_SHAPE(v, c));
        bm_value *y = bm_embedding(w.graph, table, i32(&w, "ids", BM_SHAPE(rows)));
        test_ok(bm_graph_gradients(w.graph, loss_with(&w, y, f32(&w, "d", BM_SHAPE(rows, c)))));
        bm_value *d = gradient(&w, table, "dtable");
        run(&w);
        compare_rows(&w, d, "dtable", 2 * sqrt(150.0), v);
        finish(&w);
    }
}
END_TEST

START_TEST(adamw_with_clipping_over_steps)
{
    const char *o = "/adamw";
    float beta1 = (float)h5fixture_attr(fixture, o, "beta1"), beta2 = (float)h5fixture_attr(fixture, o, "beta2");
    int steps = (int)h5fixture_attr(fixture, o, "steps");
    int64_t n = h5fixture_dim(fixture, "/adamw/w", 0);
    EACH_FORM(form) {
        work w = start("adamw", form);
        bm_optim_opts opts = {.beta1 = beta1, .beta2 = beta2, .eps = (float)h5fixture_attr(fixture, o, "eps"),
                              .weight_decay = (float)h5fixture_attr(fixture, o, "weight_decay"),
                              .clip = (float)h5fixture_attr(fixture, o, "clip")};
        bm_graph_param(w.graph, "w", BM_F32, BM_SHAPE(n), 0);
        bm_value *norm = bm_graph_output(w.graph, bm_grad_norm(w.graph, 1), "norm");
        test_ok(bm_optim_step(w.graph, 0, norm, "adamw", &opts));
        static const bm_place places[] = {BM_PLACE_WEIGHT, BM_PLACE_GRAD, BM_PLACE_STATE0, BM_PLACE_STATE1};
        bm_layout *layout = NULL;
        bm_bank *banks[4] = {NULL};
        test_ok(bm_layout_create(&layout, w.graph, BM_PLACE_WEIGHT, bm_engine_limits(w.engine)));
        for (int i = 0; i < 4; i++) test_ok(bm_bank_create(&banks[i], w.engine, layout, places[i]));
        test_ok(bm_plan_create(&w.plan, w.engine, w.graph, &(bm_plan_opts){.banks = banks, .n_banks = 4}));
        const bm_tensor *t = bm_layout_find(layout, "w");
        float *start_w = h5fixture_f32(fixture, "/adamw/w", NULL), *g = h5fixture_f32(fixture, "/adamw/g", NULL);
        double *norms = h5fixture_f64(fixture, "/adamw/norm", NULL);
        test_ok(bm_bank_write(banks[0], t, 0, start_w, t->bytes));
        bm_plan_set_f32(w.plan, BM_RT_LR, (float)h5fixture_attr(fixture, o, "lr"));
        for (int step = 1; step <= steps; step++) {
            float got = 0;
            test_ok(bm_bank_write(banks[1], t, 0, g + (step - 1) * n, t->bytes));
            bm_plan_set_u32(w.plan, BM_RT_STEP, (uint32_t)step);
            bm_plan_set_f32(w.plan, BM_RT_BIAS1, (float)(1 - pow((double)beta1, step)));
            bm_plan_set_f32(w.plan, BM_RT_BIAS2, (float)(1 - pow((double)beta2, step)));
            test_ok(bm_plan_run(w.plan));
            test_ok(bm_plan_read(w.plan, norm, &got));
            ck_assert_double_eq_tol((double)got / norms[step - 1], 1, 8 * EPS24);
        }
        static const char *const names[] = {"after", NULL, "m", "v"};
        for (int i = 0; i < 4; i++) {
            float *got = malloc((size_t)t->bytes), *want = names[i] ? h5fixture_f32(fixture, path("adamw", names[i]), NULL) : NULL;
            test_ok(bm_bank_read(banks[i], t, 0, got, t->bytes));
            if (want) ck_assert_double_le(fixture_distance(got, want, n), 4 * steps * EPS24);
            free(got);
            free(want);
        }
        free(start_w);
        free(g);
        free(norms);
        finish(&w);
        for (int i = 0; i < 4; i++) bm_bank_destroy(banks[i]);
        bm_layout_destroy(layout);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cl/ops/torch");
    TCase *t = optest_tcase(s, "PyTorch");
    tcase_add_checked_fixture(t, open_fixture, close_fixture);
    tcase_add_test(t, layernorm_and_its_gradients);
    tcase_add_loop_test(t, activations_and_their_gradients, 0, (int)(sizeof acts / sizeof *acts));
    tcase_add_test(t, attention_and_its_gradient);
    tcase_add_test(t, cross_entropy_and_its_gradient);
    tcase_add_test(t, the_gradient_of_an_embedding);
    tcase_add_test(t, adamw_with_clipping_over_steps);
    return test_run(s);
}
