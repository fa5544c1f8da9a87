/* ctest: oclgrind rusticl */
/* Twenty steps of each rule against PyTorch (tests/fixtures/optim.h5), and of Lion, which PyTorch has not, against its formula. */
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

enum { N = 257, STEPS = 20, BANKS = 7, AVERAGE = 6 };

static const bm_place places[BANKS] = {BM_PLACE_WEIGHT, BM_PLACE_GRAD, BM_PLACE_HALF, BM_PLACE_STATE0, BM_PLACE_STATE1, BM_PLACE_STATE2,
                                       BM_PLACE_AVERAGE};

/* Two tensors of one group, so that padding lies behind the first; the second is zero and has no gradient. */
typedef struct net {
    bm_graph *graph;
    bm_value *norm;
    bm_layout *layout;
    bm_bank *banks[BANKS];
    bm_plan *plan;
    const bm_tensor *w;
} net;

static void net_open(net *a, bm_engine *e, const char *rule, const bm_optim_opts *o, const double penalty[2], double ema)
{
    bm_graph_opts opts = bm_graph_opts_with_ops();
    *a = (net){0};
    test_ok(bm_graph_create(&a->graph, &opts));
    bm_graph_half(a->graph, bm_graph_param(a->graph, "w", BM_F32, BM_SHAPE(N), 0), BM_BF16);
    bm_graph_param(a->graph, "zero", BM_F32, BM_SHAPE(33), 0);
    test_ok(bm_optim_penalty(a->graph, 0, penalty[0], penalty[1]));
    a->norm = bm_graph_output(a->graph, bm_grad_norm(a->graph, 1), "norm");
    test_ok(bm_optim_step(a->graph, 0, a->norm, rule, o));
    test_ok(bm_optim_average(a->graph, 0, ema));
    test_ok(bm_layout_create(&a->layout, a->graph, BM_PLACE_WEIGHT, bm_engine_limits(e)));
    for (int i = 0; i < BANKS; i++) test_ok(bm_bank_create(&a->banks[i], e, a->layout, places[i]));
    test_ok(bm_plan_create(&a->plan, e, a->graph, &(bm_plan_opts){.banks = a->banks, .n_banks = BANKS}));
    a->w = bm_layout_find(a->layout, "w");
}

static void net_close(net *a)
{
    bm_plan_destroy(a->plan);
    for (int i = 0; i < BANKS; i++) bm_bank_destroy(a->banks[i]);
    bm_layout_destroy(a->layout);
    bm_graph_destroy(a->graph);
}

static void net_step(net *a, int step, double lr, const bm_optim_opts *o, const float *g)
{
    test_ok(bm_bank_write(a->banks[1], a->w, 0, g, a->w->bytes));
    bm_plan_set_u32(a->plan, BM_RT_STEP, (uint32_t)step);
    bm_plan_set_f32(a->plan, BM_RT_LR, (float)lr);
    bm_plan_set_f32(a->plan, BM_RT_BIAS1, (float)(1 - pow(o->beta1, step)));
    bm_plan_set_f32(a->plan, BM_RT_BIAS2, (float)(1 - pow(o->beta2, step)));
    test_ok(bm_plan_run(a->plan));
}

/* The copies are the weights, rounded; what is no tensor's is zero in every bank. */
static void check_surroundings(net *a)
{
    float w[N];
    uint16_t half[N], want[N];
    test_ok(bm_bank_read(a->banks[0], a->w, 0, w, a->w->bytes));
    test_ok(bm_bank_read(a->banks[2], a->w, 0, half, a->w->bytes / 2));
    test_ok(bm_convert_floats(want, BM_BF16, w, BM_F32, N));
    ck_assert_mem_eq(half, want, sizeof want);
    for (int bank = 0; bank < BANKS; bank++) {
        float rest[15], none[15] = {0};
        bm_tensor behind = *a->w;
        behind.offset += behind.bytes;
        test_ok(bm_bank_read(a->banks[bank], &behind, 0, rest, places[bank] == BM_PLACE_HALF ? 30 : 60));
        ck_assert_mem_eq(rest, none, places[bank] == BM_PLACE_HALF ? 30 : 60);
    }
}

/* What a decay of 0 keeps: to the last bit. */
static void check_average_is_the_weights(net *a)
{
    float w[N], average[N];
    test_ok(bm_bank_read(a->banks[0], a->w, 0, w, a->w->bytes));
    test_ok(bm_bank_read(a->banks[AVERAGE], a->w, 0, average, a->w->bytes));
    ck_assert_mem_eq(average, w, sizeof w);
}

static void compare_bank(net *a, int bank, const char *what, const double *want, double c)
{
    float got[N];
    test_ok(bm_bank_read(a->banks[bank], a->w, 0, got, a->w->bytes));
    optest_compare(what, got, BM_F32, want, N, c, 0);
}

/* ---- PyTorch ---- */

/* c is that of the weights and states. Where centered RMSprop takes v - u^2 from two numbers close to each other, their rounding
 * grows. */
static const struct {
    const char *name, *rule, *attributes;
    double c;
} cases[] = {
    {"sgd", "sgd", "", 16},
    {"sgd_momentum", "sgd", "momentum", 16},
    {"sgd_nesterov", "sgd", "momentum nesterov", 16},
    {"adagrad", "adagrad", "eps", 16},
    {"rmsprop", "rmsprop", "alpha eps", 16},
    {"rmsprop_centered", "rmsprop", "alpha eps centered", 64},
    {"rmsprop_momentum", "rmsprop", "alpha eps centered momentum", 64},
    {"adam", "adam", "beta1 beta2 eps", 16},
    {"adam_elastic", "adam", "beta1 beta2 eps", 16},
};

static h5fixture *fixture;

static void open_fixture(void) { fixture = h5fixture_open("optim.h5"); }
static void close_fixture(void) { h5fixture_close(fixture); }

static const char *path(int i, const char *name)
{
    static char text[64];
    snprintf(text, sizeof text, "/%s%s%s", cases[i].name, *name ? "/" : "", name);
    return text;
}

static double attribute(int i, const char *name)
{
    return strstr(cases[i].attributes, name) ? h5fixture_attr(fixture, path(i, ""), name) : 0;
}

static bm_optim_opts options(int i)
{
    return (bm_optim_opts){.beta1 = attribute(i, "beta1"), .beta2 = attribute(i, "beta2"), .alpha = attribute(i, "alpha"),
                           .eps = attribute(i, "eps"), .momentum = attribute(i, "momentum"),
                           .nesterov = (int)attribute(i, "nesterov"), .centered = (int)attribute(i, "centered"),
                           .clip = h5fixture_attr(fixture, path(i, ""), "clip")};
}

static void follow(int i, bm_engine *e)
{
    const bm_optim_opts o = options(i);
    const double penalty[2] = {h5fixture_attr(fixture, path(i, ""), "l1"), h5fixture_attr(fixture, path(i, ""), "l2")};
    const double lr = h5fixture_attr(fixture, path(i, ""), "lr");
    const char *names[BM_OPTIM_MOST_STATES];
    float *w = h5fixture_f32(fixture, "/w", NULL), *g = h5fixture_f32(fixture, "/g", NULL);
    double *norm = h5fixture_f64(fixture, path(i, "norm"), NULL), *after = h5fixture_f64(fixture, path(i, "after"), NULL);
    double *average = h5fixture_f64(fixture, path(i, "average"), NULL);
    const int by_torch = (int)h5fixture_attr(fixture, path(i, ""), "decay_by_torch");
    net a;
    net_open(&a, e, cases[i].rule, &o, penalty, h5fixture_attr(fixture, "/", "ema"));
    test_ok(bm_bank_write(a.banks[0], a.w, 0, w, a.w->bytes));
    for (int step = 1; step <= STEPS; step++) {
        float got;
        net_step(&a, step, lr, &o, g + (step - 1) * N);
        test_ok(bm_plan_read(a.plan, a.norm, &got));
        if (!by_torch) optest_compare("the norm", &got, BM_F32, &norm[step - 1], 1, 8, 0);
    }
    compare_bank(&a, 0, cases[i].name, after, cases[i].c);
    compare_bank(&a, AVERAGE, "average", average, cases[i].c);
    const int states = bm_optim_states(names, cases[i].rule, &o);
    for (int k = 0; k < states; k++) {
        double *want = h5fixture_f64(fixture, path(i, names[k]), NULL);
        compare_bank(&a, 3 + k, names[k], want, cases[i].c);
        free(want);
    }
    check_surroundings(&a);
    net_close(&a);
    free(w), free(g), free(norm), free(after), free(average);
}

START_TEST(twenty_steps_are_pytorchs)
{
    EACH_FORM(form) follow(_i, optest_engine((bm_form)form));
}
END_TEST

/* ---- Lion ---- */

/* Chen et al. 2023, algorithm 2, on one element. */
static void lion(double *w, double *m, double g, double lr, const bm_optim_opts *o)
{
    const double c = o->beta1 * *m + (1 - o->beta1) * g;
    *w -= lr * ((c > 0) - (c < 0) + o->weight_decay * *w);
    *m = o->beta2 * *m + (1 - o->beta2) * g;
}

START_TEST(twenty_steps_are_lions)
{
    const bm_optim_opts o = {.beta1 = 0.9, .beta2 = 0.99, .weight_decay = 0.1, .clip = _i ? 1.0 : 0};
    const double none[2] = {0, 0}, lr = (double)3e-3f;
    EACH_FORM(form) {
        float *w = h5fixture_f32(fixture, "/w", NULL), *g = h5fixture_f32(fixture, "/g", NULL);
        double want[N], m[N] = {0};
        net a;
        net_open(&a, optest_engine((bm_form)form), "lion", &o, none, 0);
        test_ok(bm_bank_write(a.banks[0], a.w, 0, w, a.w->bytes));
        for (int k = 0; k < N; k++) want[k] = (double)w[k];
        for (int step = 1; step <= STEPS; step++) {
            const float *now = g + (step - 1) * N;
            double squares = 0;
            for (int k = 0; k < N; k++) squares += (double)now[k] * (double)now[k];
            const double factor = o.clip > 0 ? fmin(1, o.clip / (sqrt(squares) + 1e-6)) : 1;
            for (int k = 0; k < N; k++) lion(&want[k], &m[k], factor * (double)now[k], lr, &o);
            net_step(&a, step, lr, &o, now);
        }
        compare_bank(&a, 0, "w", want, 16);
        compare_bank(&a, 3, "m", m, 16);
        check_average_is_the_weights(&a);
        check_surroundings(&a);
        net_close(&a);
        free(w), free(g);
    }
}
END_TEST

/* Equal gradients: v and u^2 meet, and rounding must not make a root of less than nothing. */
START_TEST(centered_rmsprop_stays_finite)
{
    const bm_optim_opts o = {.alpha = 0.5, .eps = 1e-8, .centered = 1};
    const double none[2] = {0, 0};
    EACH_FORM(form) {
        float g[N], got[N];
        net a;
        net_open(&a, optest_engine((bm_form)form), "rmsprop", &o, none, 0);
        for (int k = 0; k < N; k++) g[k] = 1 + (float)k / 7;
        for (int step = 1; step <= 2 * STEPS; step++) net_step(&a, step, 1e-9, &o, g);
        test_ok(bm_bank_read(a.banks[0], a.w, 0, got, a.w->bytes));
        for (int k = 0; k < N; k++) ck_assert_msg(isfinite(got[k]), "weight %d is %f", k, (double)got[k]);
        net_close(&a);
    }
}
END_TEST

START_TEST(states_are_those_that_the_options_need)
{
    static const struct {
        const char *rule, *names;
        bm_optim_opts opts;
    } want[] = {
        {"adamw", "mv", {.momentum = 0.9}},
        {"adam", "mv", {.centered = 1}},
        {"sgd", "", {.nesterov = 1}},
        {"sgd", "m", {.momentum = 0.9}},
        {"adagrad", "s", {.momentum = 0.9}},
        {"rmsprop", "v", {.eps = 1}},
        {"rmsprop", "vu", {.centered = 1}},
        {"rmsprop", "vm", {.momentum = 0.1}},
        {"rmsprop", "vum", {.centered = 1, .momentum = 0.1}},
        {"lion", "m", {.eps = 1}},
    };
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        const char *names[BM_OPTIM_MOST_STATES];
        char got[8] = "";
        int n = bm_optim_states(names, want[i].rule, &want[i].opts);
        for (int k = 0; k < n; k++) strcat(got, names[k]);
        ck_assert_msg(!strcmp(got, want[i].names), "%s: %s, not %s", want[i].rule, got, want[i].names);
    }
}
END_TEST

START_TEST(wrong_use_is_refused)
{
    const bm_optim_opts o = {.clip = 1};
    const char *names[BM_OPTIM_MOST_STATES];
    for (int i = 0; i < 2; i++) {
        bm_graph *g = NULL;
        bm_graph_opts opts = bm_graph_opts_with_ops();
        test_ok(bm_graph_create(&g, &opts));
        bm_graph_param(g, "a", BM_F32, BM_SHAPE(3), 0);
        if (i) test_fails(bm_optim_step(g, 0, NULL, "lion", &o), BM_ERR_USAGE, "lion: clipping at 1 needs the norm");
        else test_fails(bm_optim_step(g, 0, NULL, "lino", &o), BM_ERR_USAGE, "no optimizer lino");
        bm_graph_destroy(g);
    }
    ck_assert_int_eq(bm_optim_states(names, "lino", &o), -1);
    ck_assert_ptr_null(bm_optim_hyper("lino"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cl/optim/optim");
    TCase *t = optest_tcase(s, "optim");
    tcase_add_checked_fixture(t, open_fixture, close_fixture);
    tcase_add_loop_test(t, twenty_steps_are_pytorchs, 0, (int)(sizeof cases / sizeof *cases));
    tcase_add_loop_test(t, twenty_steps_are_lions, 0, 2);
    tcase_add_test(t, centered_rmsprop_stays_finite);
    tcase_add_test(t, states_are_those_that_the_options_need);
    tcase_add_test(t, wrong_use_is_refused);
    return test_run(s);
}
