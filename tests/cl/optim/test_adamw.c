/* ctest: oclgrind rusticl */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cl/ops/ops.h"
#include "cl/optim/optim.h"
#include "core/base/rng.h"
#include "core/graph/scalars.h"
#include "tests/lib/device.h"
#include "tests/lib/fixture.h"
#include "tests/lib/optest.h"
#include "tests/lib/test.h"

#define TENSORS 5

/* A graph whose gradients are inputs: loss = sum over tensors of sum(w g). */
typedef struct net {
    bm_graph *graph;
    bm_value *w[TENSORS], *g[TENSORS], *norm;
    int64_t n[TENSORS];
    int count;
    bm_layout *layout;
    bm_bank *banks[4];
    bm_plan *plan;
} net;

static const bm_place places[4] = {BM_PLACE_WEIGHT, BM_PLACE_GRAD, BM_PLACE_STATE0, BM_PLACE_STATE1};

static void net_open(net *a, bm_engine *e, bm_dtype type, const bm_optim_opts *opts)
{
    bm_graph_opts graph_opts = bm_graph_opts_with_ops();
    test_ok(bm_graph_create(&a->graph, &graph_opts));
    bm_value *loss = NULL;
    for (int i = 0; i < a->count; i++) {
        char name[16];
        snprintf(name, sizeof name, "w%d", i);
        a->w[i] = bm_graph_param(a->graph, name, type, BM_SHAPE(a->n[i]), i % 2);
        snprintf(name, sizeof name, "g%d", i);
        a->g[i] = bm_graph_input(a->graph, name, type, BM_SHAPE(a->n[i]));
        bm_value *part = bm_sum(a->graph, bm_mul(a->graph, a->w[i], a->g[i]));
        loss = loss ? bm_add(a->graph, loss, part) : part;
    }
    test_ok(bm_graph_gradients(a->graph, loss));
    a->norm = bm_graph_output(a->graph, bm_grad_norm(a->graph, 2), "norm");
    bm_optim_opts plain = *opts;
    plain.weight_decay = 0;
    test_ok(bm_optim_step(a->graph, 0, a->norm, "adamw", opts));
    test_ok(bm_optim_step(a->graph, 1, a->norm, "adamw", &plain));
    test_ok(bm_layout_create(&a->layout, a->graph, BM_PLACE_WEIGHT, bm_engine_limits(e)));
    for (int i = 0; i < 4; i++) test_ok(bm_bank_create(&a->banks[i], e, a->layout, places[i]));
    bm_plan_opts plan_opts = {.banks = a->banks, .n_banks = 4};
    test_ok(bm_plan_create(&a->plan, e, a->graph, &plan_opts));
}

static void net_close(net *a)
{
    bm_plan_destroy(a->plan);
    for (int i = 0; i < 4; i++) bm_bank_destroy(a->banks[i]);
    bm_layout_destroy(a->layout);
    bm_graph_destroy(a->graph);
}

static void net_move(net *a, int bank, int i, float *x, int write)
{
    const bm_tensor *t = bm_layout_find(a->layout, bm_value_name(a->w[i]));
    if (!t->bytes) return;
    test_ok(write ? bm_bank_write(a->banks[bank], t, 0, x, t->bytes) : bm_bank_read(a->banks[bank], t, 0, x, t->bytes));
}

static void net_step(net *a, int step, double lr, const bm_optim_opts *o)
{
    bm_plan_set_u32(a->plan, BM_RT_STEP, (uint32_t)step);
    bm_plan_set_f32(a->plan, BM_RT_LR, (float)lr);
    bm_plan_set_f32(a->plan, BM_RT_BIAS1, (float)(1 - pow(o->beta1, step)));
    bm_plan_set_f32(a->plan, BM_RT_BIAS2, (float)(1 - pow(o->beta2, step)));
    test_ok(bm_plan_run(a->plan));
}

/* The formulas of adamw.cl in double, on one element. */
static void adamw(double *w, double *m, double *v, double g, double lr, int step, const bm_optim_opts *o)
{
    *m = o->beta1 * *m + (1 - o->beta1) * g;
    *v = o->beta2 * *v + (1 - o->beta2) * g * g;
    const double mhat = *m / (1 - pow(o->beta1, step)), vhat = *v / (1 - pow(o->beta2, step));
    *w = *w * (1 - lr * o->weight_decay) - lr * mhat / (sqrt(vhat) + o->eps);
}

static double lr_of(int step) { return 1e-2 / step; }

typedef struct twin {
    double *w, *m, *v;
    float *g;
} twin;

static double norm_of(const net *a, const twin *t)
{
    double s = 0;
    for (int i = 0; i < a->count; i++)
        for (int64_t k = 0; k < a->n[i]; k++) s += (double)t[i].g[k] * (double)t[i].g[k];
    return sqrt(s);
}

static void compare_all(net *a, const twin *t)
{
    static const char *const names[] = {"w", "", "m", "v"};
    for (int i = 0; i < a->count; i++)
        for (int bank = 0; bank < 4; bank++) {
            if (bank == 1) continue;
            float *got = calloc((size_t)a->n[i] + 1, sizeof *got);
            char what[32];
            snprintf(what, sizeof what, "%s of tensor %d", names[bank], i);
            net_move(a, bank, i, got, 0);
            optest_compare(what, got, BM_F32, bank == 0 ? t[i].w : bank == 2 ? t[i].m : t[i].v, a->n[i], 40, 0);
            free(got);
        }
}

/* Gradients are normal numbers times `size`. */
static void run_steps(bm_engine *e, const int64_t *sizes, int steps, double clip, float size)
{
    const bm_optim_opts o = {.beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0.1, .clip = clip};
    bm_optim_opts plain = o;
    plain.weight_decay = 0;
    net a = {.count = TENSORS};
    twin t[TENSORS];
    memcpy(a.n, sizes, sizeof a.n);
    net_open(&a, e, BM_F32, &o);
    for (int i = 0; i < TENSORS; i++) {
        const size_t n = (size_t)a.n[i] + 1;
        t[i] = (twin){calloc(n, sizeof(double)), calloc(n, sizeof(double)), calloc(n, sizeof(double)), calloc(n, sizeof(float))};
        bm_rng r = bm_rng_start(1, (uint32_t)i, 0);
        for (int64_t k = 0; k < a.n[i]; k++) t[i].w[k] = (double)(t[i].g[k] = bm_rng_normal(&r));
        net_move(&a, 0, i, t[i].g, 1);
    }
    for (int step = 1; step <= steps; step++) {
        for (int i = 0; i < TENSORS; i++) {
            bm_rng r = bm_rng_start(2, (uint32_t)i, (uint32_t)step);
            for (int64_t k = 0; k < a.n[i]; k++) t[i].g[k] = size * bm_rng_normal(&r);
            test_ok(bm_plan_write(a.plan, a.g[i], t[i].g));
        }
        net_step(&a, step, lr_of(step), &o);
        const double norm = norm_of(&a, t), factor = clip > 0 ? fmin(1, clip / (norm + 1e-6)) : 1;
        float got;
        test_ok(bm_plan_read(a.plan, a.norm, &got));
        optest_compare("the norm", &got, BM_F32, &norm, 1, 4, 0);
        for (int i = 0; i < TENSORS; i++)
            for (int64_t k = 0; k < a.n[i]; k++)
                adamw(&t[i].w[k], &t[i].m[k], &t[i].v[k], factor * (double)t[i].g[k], (double)(float)lr_of(step), step, i % 2 ? &plain : &o);
    }
    compare_all(&a, t);
    for (int i = 0; i < TENSORS; i++) free(t[i].w), free(t[i].m), free(t[i].v), free(t[i].g);
    net_close(&a);
}

START_TEST(twenty_steps_follow_the_formula)
{
    /* The last tensor of group 0 ends where its slab ends: no padding hides what is done to its last element. */
    static const int64_t small[TENSORS] = {1, 17, 0, 255, 96}, big[TENSORS] = {1, 4097, 0, 255, 12352};
    const int64_t *sizes = optest_small() ? small : big;
    const int steps = optest_small() ? 3 : 20;
    EACH_FORM(form) {
        bm_engine *e = optest_engine(form);
        run_steps(e, sizes, steps, 0, 1);
        run_steps(e, sizes, steps, 0.7, 1);
        run_steps(e, sizes, 2, 1e6, 1);                              /* a norm below the limit is left alone */
        run_steps(e, sizes, 2, optest_small() ? 5e-6 : 5e-5, 1e-6f); /* where eps and the 1e-6 beside the norm count */
    }
}
END_TEST

START_TEST(many_slabs_are_one_bank)
{
    static const int64_t sizes[TENSORS] = {9000, 9001, 8000, 8001, 100};
    bm_engine_opts opts = test_engine_opts();
    opts.max_alloc_bytes = 300000; /* the inputs fit, no two tensors of a group do when slabs hold 40000 */
    bm_engine *e = test_engine_open_with(&opts);
    run_steps(e, sizes, 2, 0.7, 1);
    bm_engine_close(e);
}
END_TEST

START_TEST(the_update_is_pytorchs)
{
    const char *file = "ops.h5";
    int64_t n, all;
    double *w = fixture_read(&n, file, "/adamw/w"), *g = fixture_read(&all, file, "/adamw/g"), *after = fixture_read(&n, file, "/adamw/after");
    double *m = fixture_read(&n, file, "/adamw/m"), *v = fixture_read(&n, file, "/adamw/v"), *norm = fixture_read(&all, file, "/adamw/norm");
    const bm_optim_opts o = {.beta1 = fixture_attribute(file, "/adamw", "beta1"), .beta2 = fixture_attribute(file, "/adamw", "beta2"),
                             .eps = fixture_attribute(file, "/adamw", "eps"), .clip = fixture_attribute(file, "/adamw", "clip"),
                             .weight_decay = fixture_attribute(file, "/adamw", "weight_decay")};
    EACH_FORM(form) {
        net a = {.count = 1};
        a.n[0] = n;
        net_open(&a, optest_engine(form), BM_F32, &o);
        float *x = calloc((size_t)n, sizeof *x), got;
        for (int64_t k = 0; k < n; k++) x[k] = (float)w[k];
        net_move(&a, 0, 0, x, 1);
        for (int step = 1; step <= (int)all; step++) {
            for (int64_t k = 0; k < n; k++) x[k] = (float)g[(step - 1) * n + k];
            test_ok(bm_plan_write(a.plan, a.g[0], x));
            net_step(&a, step, fixture_attribute(file, "/adamw", "lr"), &o);
            test_ok(bm_plan_read(a.plan, a.norm, &got));
            optest_compare("norm", &got, BM_F32, &norm[step - 1], 1, 4, 0);
        }
        net_move(&a, 0, 0, x, 0);
        optest_compare("w", x, BM_F32, after, n, 16, 0);
        net_move(&a, 2, 0, x, 0);
        optest_compare("m", x, BM_F32, m, n, 16, 0);
        net_move(&a, 3, 0, x, 0);
        optest_compare("v", x, BM_F32, v, n, 16, 0);
        free(x);
        net_close(&a);
    }
    free(w), free(g), free(after), free(m), free(v), free(norm);
}
END_TEST

/* From zero moments one step in 16-bit storage is each formula, rounded once (the first v twice: it is g^2 of a rounded g). */
START_TEST(a_step_in_16_bits_rounds_once)
{
    const bm_optim_opts o = {.beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8, .weight_decay = 0.1};
    EACH_FORM(form) {
        net a = {.count = 1};
        a.n[0] = 97;
        net_open(&a, optest_engine(form), BM_BF16, &o);
        uint16_t w[97], g[97], got[97];
        double want_w[97], want_m[97], want_v[97];
        for (int k = 0; k < 97; k++) {
            w[k] = bm_f32_to_bf16(sinf((float)k));
            g[k] = bm_f32_to_bf16(cosf((float)k) + 2);
            want_w[k] = (double)bm_bf16_to_f32(w[k]);
            want_m[k] = want_v[k] = 0;
            adamw(&want_w[k], &want_m[k], &want_v[k], (double)bm_bf16_to_f32(g[k]), (double)1e-2f, 1, &o);
        }
        const bm_tensor *t = bm_layout_at(a.layout, 0);
        test_ok(bm_bank_write(a.banks[0], t, 0, w, t->bytes));
        test_ok(bm_plan_write(a.plan, a.g[0], g));
        net_step(&a, 1, 1e-2, &o);
        double *want[4] = {want_w, NULL, want_m, want_v};
        for (int bank = 0; bank < 4; bank++) {
            if (bank == 1) continue;
            test_ok(bm_bank_read(a.banks[bank], t, 0, got, t->bytes));
            optest_compare("a tensor", got, BM_BF16, want[bank], 97, 8, 0);
        }
        net_close(&a);
    }
}
END_TEST

/* 1e6 equal squares: a running sum in f32 would be off by 1e-3. */
START_TEST(the_norm_of_many_gradients_is_exact_to_f32)
{
    const bm_optim_opts o = {.beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8};
    EACH_FORM(form) {
        net a = {.count = 2};
        a.n[0] = optest_small() ? 20000 : 5000000;
        a.n[1] = 12345;
        net_open(&a, optest_engine(form), BM_F32, &o);
        float *g = calloc((size_t)a.n[0], sizeof *g), got;
        for (int64_t k = 0; k < a.n[0]; k++) g[k] = 0.1f;
        test_ok(bm_plan_write(a.plan, a.g[0], g));
        test_ok(bm_plan_write(a.plan, a.g[1], g));
        net_step(&a, 1, 1e-2, &o);
        test_ok(bm_plan_read(a.plan, a.norm, &got));
        const double want = sqrt((double)(a.n[0] + a.n[1])) * (double)0.1f;
        ck_assert_msg(fabs((double)got - want) <= 3e-7 * want, "%.9g, not %.9g", (double)got, want);
        free(g);
        net_close(&a);
    }
}
END_TEST

/* Its partial sums are memory that nothing has written. */
START_TEST(the_norm_of_no_gradients_is_zero)
{
    EACH_FORM(form)
    {
        bm_engine *e = optest_engine(form);
        bm_graph_opts opts = bm_graph_opts_with_ops();
        bm_graph *g = NULL;
        bm_layout *layout = NULL;
        bm_bank *grads = NULL;
        bm_plan *p = NULL;
        float got = -1;
        test_ok(bm_graph_create(&g, &opts));
        bm_value *x = bm_graph_input(g, "x", BM_F32, BM_SHAPE(999)),
                 *sum = bm_sum(g, x); /* uses the same memory before */
        bm_value *norm = bm_graph_output(g, bm_grad_norm(g, 2), "norm");
        bm_graph_output(g, bm_mul(g, sum, norm), "product");
        test_ok(bm_layout_create(&layout, g, BM_PLACE_WEIGHT, bm_engine_limits(e)));
        test_ok(bm_bank_create(&grads, e, layout, BM_PLACE_GRAD));
        test_ok(bm_plan_create(&p, e, g, &(bm_plan_opts){.banks = &grads, .n_banks = 1}));
        float ones[999];
        for (int i = 0; i < 999; i++) ones[i] = 1;
        test_ok(bm_plan_write(p, x, ones));
        test_ok(bm_plan_run(p));
        test_ok(bm_plan_run(p));
        test_ok(bm_plan_read(p, norm, &got));
        ck_assert_float_eq(got, 0);
        bm_plan_destroy(p);
        bm_bank_destroy(grads);
        bm_layout_destroy(layout);
        bm_graph_destroy(g);
    }
}
END_TEST

START_TEST(wrong_use_is_refused)
{
    for (int i = 0; i < 5; i++) {
        bm_graph *g = NULL;
        bm_graph_opts opts = bm_graph_opts_with_ops();
        const bm_optim_opts o = {.beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8, .clip = 1};
        test_ok(bm_graph_create(&g, &opts));
        bm_graph_param(g, "a", BM_F32, BM_SHAPE(3), 0);
        bm_graph_param(g, "b", BM_F16, BM_SHAPE(3), 0);
        if (i == 0) test_fails(bm_optim_step(g, 1, NULL, "adamw", &o), BM_ERR_USAGE, "needs the norm");
        if (i == 1) test_fails(bm_optim_step(g, 0, NULL, "adamw", &o), BM_ERR_SHAPE, "b is f16");
        if (i == 2) {
            bm_value *norms = bm_graph_input(g, "norms", BM_F32, BM_SHAPE(2));
            test_fails(bm_optim_step(g, 1, norms, "adamw", &o), BM_ERR_SHAPE, "norms is [2], not [1]");
        }
        if (i > 2) {
            ck_assert_ptr_null(bm_grad_norm(g, i == 3 ? -1 : 9));
            test_fails(bm_graph_status(g), BM_ERR_USAGE, "at most 8");
        }
        bm_graph_destroy(g);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("adamw");
    TCase *c = optest_tcase(s, "adamw");
    tcase_add_test(c, twenty_steps_follow_the_formula);
    tcase_add_test(c, many_slabs_are_one_bank);
    tcase_add_test(c, the_update_is_pytorchs);
    tcase_add_test(c, a_step_in_16_bits_rounds_once);
    tcase_add_test(c, the_norm_of_many_gradients_is_exact_to_f32);
    tcase_add_test(c, the_norm_of_no_gradients_is_zero);
    tcase_add_test(c, wrong_use_is_refused);
    return test_run(s);
}
