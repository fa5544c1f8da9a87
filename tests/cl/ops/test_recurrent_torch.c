/* Recurrent layers against what PyTorch computed in float64 (tests/fixtures/recurrent.h5): both directions, sequences of unequal
 * length, stacks. */
/* ctest: rusticl/plain */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cl/ops/ops.h"
#include "tests/lib/h5fixture.h"
#include "tests/lib/optest.h"
#include "tests/lib/test.h"

/* States pass through up to 7 steps, each sums of 17 and a few roundings. */
#define MOST (48 * 0x1p-24)
#define VALUES 32

static h5fixture *fixture;

static void open_fixture(void) { fixture = h5fixture_open("recurrent.h5"); }
static void close_fixture(void) { h5fixture_close(fixture); }

/* A layer under test: inputs of the graph by the fixture's names, and what is compared with the fixture. */
typedef struct work {
    const char *group;
    int64_t B, T, I, H;
    bm_graph *graph;
    bm_plan *plan;
    bm_value *value[VALUES];
    void *data[VALUES]; /* NULL for a result */
    char name[VALUES][24];
    int n;
} work;

static const char *path(const work *w, const char *name)
{
    static char paths[2][64];
    static int next;
    char *p = paths[next++ % 2];
    snprintf(p, sizeof paths[0], "/%s/%s", w->group, name);
    return p;
}

static bm_value *add(work *w, bm_value *v, const char *name, void *data)
{
    ck_assert_int_lt(w->n, VALUES);
    snprintf(w->name[w->n], sizeof w->name[0], "%s", name);
    w->data[w->n] = data;
    return w->value[w->n++] = v;
}

static bm_value *input(work *w, bm_dtype t, bm_shape shape, const char *name)
{
    int64_t n;
    void *data = t == BM_I32 ? (void *)h5fixture_i32(fixture, path(w, name), &n)
                             : (void *)h5fixture_f32(fixture, path(w, name), &n);
    ck_assert_int_eq(n, bm_shape_elements(&shape));
    bm_value *v = bm_graph_input(w->graph, name, t, shape);
    bm_graph_want_gradient(w->graph, v);
    return add(w, v, name, data);
}

static bm_value *by_layer(work *w, bm_shape shape, const char *what, int l, int k)
{
    char name[24];
    snprintf(name, sizeof name, "%s_%d_%d", what, l, k);
    return input(w, BM_F32, shape, name);
}

static bm_value *layer(work *w, bm_value **last, bm_cell cell, bm_value *x, int l, int k, bm_value *lengths)
{
    const int64_t in = bm_value_shape(x)->dim[2], rows = bm_shape_elements(bm_value_shape(x)) / in;
    const int64_t G = h5fixture_dim(fixture, path(w, "w_hh_0_0"), 0) / w->H;
    bm_value *w_ih = by_layer(w, BM_SHAPE(G * w->H, in), "w_ih", l, k), *b_ih = by_layer(w, BM_SHAPE(G * w->H), "b_ih", l, k);
    bm_value *w_hh = by_layer(w, BM_SHAPE(G * w->H, w->H), "w_hh", l, k), *b_hh = by_layer(w, BM_SHAPE(G * w->H), "b_hh", l, k);
    bm_value *a = bm_linear(w->graph, bm_reshape(w->graph, x, BM_SHAPE(rows, in)), w_ih, b_ih, BM_ACT_NONE);
    return bm_recurrent(w->graph, last, cell, bm_reshape(w->graph, a, BM_SHAPE(w->B, w->T, G * w->H)), w_hh, b_hh, lengths, k);
}

/* One direction through all layers; its part of the loss. */
static bm_value *direction(work *w, bm_value *x, bm_value *lengths, int k)
{
    bm_graph *g = w->graph;
    bm_value *last = NULL, *h = x;
    char name[24];
    const int layers = (int)h5fixture_attr(fixture, path(w, "."), "layers");
    const bm_cell cell = (bm_cell)(int)h5fixture_attr(fixture, path(w, "."), "cell");
    for (int l = 0; l < layers; l++) h = layer(w, &last, cell, h, l, k, lengths);
    snprintf(name, sizeof name, "y_%d", k);
    add(w, bm_graph_output(g, h, NULL), name, NULL);
    snprintf(name, sizeof name, "last_%d", k);
    add(w, bm_graph_output(g, last, NULL), name, NULL);
    snprintf(name, sizeof name, "d_%d", k);
    bm_value *of_y = bm_sum(g, bm_mul(g, h, input(w, BM_F32, BM_SHAPE(w->B, w->T, w->H), name)));
    snprintf(name, sizeof name, "e_%d", k);
    return bm_add(g, of_y, bm_sum(g, bm_mul(g, last, input(w, BM_F32, BM_SHAPE(w->B, w->H), name))));
}

/* The gradients of x, weights and biases. */
static void ask_for_gradients(work *w)
{
    for (int i = 0, n = w->n; i < n; i++) {
        const char c = w->name[i][0];
        if (!w->data[i] || (c != 'x' && c != 'w' && c != 'b')) continue;
        char name[24];
        snprintf(name, sizeof name, "d%.20s", w->name[i]);
        add(w, bm_graph_output(w->graph, bm_graph_gradient(w->graph, w->value[i]), NULL), name, NULL);
    }
}

static void compare(const work *w, int i)
{
    int64_t n;
    float *want = h5fixture_f32(fixture, path(w, w->name[i]), &n), *got = malloc((size_t)n * sizeof *got);
    ck_assert_int_eq(n, bm_shape_elements(bm_value_shape(w->value[i])));
    test_ok(bm_plan_read(w->plan, w->value[i], got));
    const double d = fixture_distance(got, want, n);
    ck_assert_msg(d <= MOST, "%s/%s: %.1f 2^-24 from PyTorch", w->group, w->name[i], d * 0x1p24);
    free(got);
    free(want);
}

static void check(const char *group, int form)
{
    work w = {.group = group};
    bm_graph_opts opts = bm_graph_opts_with_ops();
    test_ok(bm_graph_create(&w.graph, &opts));
    w.B = h5fixture_dim(fixture, path(&w, "x"), 0);
    w.T = h5fixture_dim(fixture, path(&w, "x"), 1);
    w.I = h5fixture_dim(fixture, path(&w, "x"), 2);
    w.H = h5fixture_dim(fixture, path(&w, "w_hh_0_0"), 1);
    bm_value *x = input(&w, BM_F32, BM_SHAPE(w.B, w.T, w.I), "x"), *lengths = input(&w, BM_I32, BM_SHAPE(w.B), "lengths");
    bm_value *loss = direction(&w, x, lengths, 0);
    if ((int)h5fixture_attr(fixture, path(&w, "."), "directions") == 2) loss = bm_add(w.graph, loss, direction(&w, x, lengths, 1));
    test_ok(bm_graph_gradients(w.graph, loss));
    ask_for_gradients(&w);
    test_ok(bm_graph_status(w.graph));
    test_ok(bm_plan_create(&w.plan, optest_engine((bm_form)form), w.graph, NULL));
    for (int i = 0; i < w.n; i++)
        if (w.data[i]) test_ok(bm_plan_write(w.plan, w.value[i], w.data[i]));
    test_ok(bm_plan_run(w.plan));
    for (int i = 0; i < w.n; i++)
        if (!w.data[i]) compare(&w, i);
    bm_plan_destroy(w.plan);
    bm_graph_destroy(w.graph);
    for (int i = 0; i < w.n; i++) free(w.data[i]);
}

static const char *const groups[] = {"rnn", "lstm", "gru", "rnn_one", "lstm_one", "gru_one", "rnn_stacked", "lstm_stacked",
                                     "gru_stacked"};

START_TEST(layers_and_their_gradients)
{
    EACH_FORM(form) check(groups[_i], form);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cl/ops/recurrent_torch");
    TCase *t = optest_tcase(s, "PyTorch");
    tcase_add_checked_fixture(t, open_fixture, close_fixture);
    tcase_add_loop_test(t, layers_and_their_gradients, 0, (int)(sizeof groups / sizeof *groups));
    return test_run(s);
}
