/* Ops of images against what PyTorch computed in float64 (tests/fixtures/images.h5). A result may differ by c 2^-24 of the size of
 * what it is compared with, c the root of the number of terms of the longest sum, times 4. */
/* ctest: rusticl/plain */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cl/ops/ops.h"
#include "core/graph/bank.h"
#include "tests/lib/h5fixture.h"
#include "tests/lib/optest.h"
#include "tests/lib/test.h"

#define EPS24 5.9604644775390625e-8
#define MOST 6

static h5fixture *fixture;
static void open_fixture(void) { fixture = h5fixture_open("images.h5"); }
static void close_fixture(void) { h5fixture_close(fixture); }

/* One case: parameters named as its datasets are, x first, and d; loss = sum(y d). */
typedef struct work {
    const char *group;
    bm_engine *engine;
    bm_graph *graph;
    bm_plan *plan;
    bm_layout *layout;
    bm_bank *weights, *grads;
    bm_value *in[MOST], *d, *y;
    const char *name[MOST];
    int n;
} work;

static const char *path(const work *w, const char *name)
{
    static char p[64];
    snprintf(p, sizeof p, "/%s/%s", w->group, name);
    return p;
}

static int64_t attr(const work *w, const char *name, int i)
{
    char text[32], group[64];
    snprintf(text, sizeof text, "%s%d", name, i);
    snprintf(group, sizeof group, "/%s", w->group);
    return (int64_t)h5fixture_attr(fixture, group, text);
}

static bm_value *add(work *w, const char *name, int rank)
{
    bm_shape s = {.rank = rank};
    for (int i = 0; i < rank; i++) s.dim[i] = h5fixture_dim(fixture, path(w, name), i);
    w->name[w->n] = name;
    return w->in[w->n++] = bm_graph_param(w->graph, name, BM_F32, s, 0);
}

static work start(const char *group, int form)
{
    bm_graph_opts opts = bm_graph_opts_with_ops();
    work w = {.group = group, .engine = optest_engine((bm_form)form)};
    test_ok(bm_graph_create(&w.graph, &opts));
    return w;
}

static void run(work *w, bm_value *y)
{
    float *d = h5fixture_f32(fixture, path(w, "d"), NULL);
    w->y = bm_graph_output(w->graph, y, "y");
    test_ok(bm_graph_status(w->graph));
    w->d = bm_graph_input(w->graph, "d", BM_F32, *bm_value_shape(y));
    test_ok(bm_graph_gradients(w->graph, bm_sum(w->graph, bm_mul(w->graph, y, w->d))));
    test_ok(bm_layout_create(&w->layout, w->graph, BM_PLACE_WEIGHT, bm_engine_limits(w->engine)));
    test_ok(bm_bank_create(&w->weights, w->engine, w->layout, BM_PLACE_WEIGHT));
    test_ok(bm_bank_create(&w->grads, w->engine, w->layout, BM_PLACE_GRAD));
    bm_bank *const banks[] = {w->weights, w->grads};
    test_ok(bm_plan_create(&w->plan, w->engine, w->graph, &(bm_plan_opts){.banks = banks, .n_banks = 2}));
    for (int i = 0; i < w->n; i++) {
        float *data = h5fixture_f32(fixture, path(w, w->name[i]), NULL);
        const bm_tensor *t = bm_layout_find(w->layout, w->name[i]);
        test_ok(bm_bank_write(w->weights, t, 0, data, t->bytes));
        free(data);
    }
    test_ok(bm_plan_write(w->plan, w->d, d));
    test_ok(bm_plan_run(w->plan));
    free(d);
}

static void near(const work *w, const char *name, const float *got, int64_t n, double c)
{
    int64_t count;
    float *want = h5fixture_f32(fixture, path(w, name), &count);
    ck_assert_int_eq(n, count);
    const double d = fixture_distance(got, want, n);
    ck_assert_msg(d <= c * EPS24, "%s: %s is %.1f 2^-24 from PyTorch's", w->group, name, d / EPS24);
    free(want);
}

static void near_bank(const work *w, bm_bank *bank, const char *tensor, const char *name, double c)
{
    const bm_tensor *t = bm_layout_find(w->layout, tensor);
    float *got = malloc((size_t)t->bytes);
    test_ok(bm_bank_read(bank, t, 0, got, t->bytes));
    near(w, name, got, t->bytes / 4, c);
    free(got);
}

/* y, and the gradients of the first `gradients` parameters. */
static void compare(work *w, int gradients, double terms)
{
    const double c = 4 * sqrt(terms);
    const int64_t n = bm_shape_elements(bm_value_shape(w->y));
    float *y = malloc((size_t)n * sizeof *y);
    test_ok(bm_plan_read(w->plan, w->y, y));
    near(w, "y", y, n, c);
    free(y);
    for (int i = 0; i < gradients; i++) {
        char name[16];
        snprintf(name, sizeof name, "d%s", w->name[i]);
        near_bank(w, w->grads, w->name[i], name, c);
    }
}

static void finish(work *w)
{
    bm_plan_destroy(w->plan);
    bm_bank_destroy(w->weights);
    bm_bank_destroy(w->grads);
    bm_layout_destroy(w->layout);
    bm_graph_destroy(w->graph);
}

static const char *const convs[] = {"same", "five", "stride", "dilation", "groups", "depthwise", "point", "point_stride", "whole",
                                    "wide", "narrow"};

START_TEST(a_convolution)
{
    char group[64];
    snprintf(group, sizeof group, "conv/%s", convs[_i]);
    EACH_FORM(form) {
        work w = start(group, form);
        bm_conv_opts o = {.groups = (int64_t)h5fixture_attr(fixture, path(&w, ""), "groups")};
        for (int i = 0; i < 2; i++) {
            o.stride[i] = attr(&w, "stride", i);
            o.pad[i] = attr(&w, "pad", i);
            o.dilation[i] = attr(&w, "dilation", i);
        }
        bm_value *x = add(&w, "x", 4), *k = add(&w, "w", 4), *b = add(&w, "b", 1);
        run(&w, bm_conv2d(w.graph, x, k, b, BM_ACT_NONE, &o));
        compare(&w, 3, 288);
        finish(&w);
    }
}
END_TEST

static const char *const pools[] = {"max/two", "max/three", "max/over", "avg/two", "avg/three", "avg/over"};

START_TEST(a_pooling)
{
    EACH_FORM(form) {
        work w = start(pools[_i], form);
        bm_pool_opts o = bm_pool_opts_default(1);
        for (int i = 0; i < 2; i++) {
            o.kernel[i] = attr(&w, "kernel", i);
            o.stride[i] = attr(&w, "stride", i);
            o.pad[i] = attr(&w, "pad", i);
        }
        bm_value *x = add(&w, "x", 4);
        run(&w, _i < 3 ? bm_max_pool2d(w.graph, x, &o) : bm_avg_pool2d(w.graph, x, &o));
        compare(&w, 1, 9);
        finish(&w);
    }
}
END_TEST

static const char *const norms[] = {"batchnorm/table", "batchnorm/image", "batchnorm/evaluated"};

START_TEST(a_batch_normalisation)
{
    EACH_FORM(form) {
        work w = start(norms[_i], form);
        bm_value *x = add(&w, "x", _i ? 4 : 2), *k = add(&w, "w", 1), *b = add(&w, "b", 1);
        bm_batchnorm_opts o = bm_batchnorm_opts_default(add(&w, "mean", 1), add(&w, "var", 1));
        o.training = (int)h5fixture_attr(fixture, path(&w, ""), "training");
        run(&w, bm_batchnorm(w.graph, x, k, b, &o));
        compare(&w, 3, 64);
        near_bank(&w, w.weights, "mean", "mean_after", 4);
        near_bank(&w, w.weights, "var", "var_after", 4);
        finish(&w);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cl/ops/images");
    TCase *t = optest_tcase(s, "PyTorch");
    tcase_add_checked_fixture(t, open_fixture, close_fixture);
    tcase_add_loop_test(t, a_convolution, 0, (int)(sizeof convs / sizeof *convs));
    tcase_add_loop_test(t, a_pooling, 0, (int)(sizeof pools / sizeof *pools));
    tcase_add_loop_test(t, a_batch_normalisation, 0, (int)(sizeof norms / sizeof *norms));
    return test_run(s);
}
