/* ctest: oclgrind rusticl unoptimized */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cl/ops/ops.h"
#include "core/graph/scalars.h"
#include "tests/lib/optest.h"
#include "tests/lib/test.h"

#define SCALE 0.5f
enum { MOST_STATES = 401, MOST_CLASSES = 600 };

static void probabilities(double *p, const double *x, int64_t n)
{
    double most = -INFINITY, sum = 0;
    for (int64_t k = 0; k < n; k++) most = fmax(most, x[k]);
    for (int64_t k = 0; k < n; k++) sum += p[k] = exp(x[k] - most);
    for (int64_t k = 0; k < n; k++) p[k] /= sum;
}

/* -log of the probability of a target, by the products and sums of Graves et al. 2006, equations 5 to 8; what would become too
 * small is multiplied up. */
static double sequence_loss(const double *x, int64_t length, int64_t classes, const double *target, int64_t labels)
{
    double a[2][MOST_STATES] = {{0}}, p[MOST_CLASSES], scaled = 0;
    int64_t n = 0;
    while (n < labels && target[n] >= 0) n++;
    const int64_t states = 2 * n + 1;
    if (!length) return n ? INFINITY : 0;
    for (int64_t t = 0; t < length; t++) {
        const double *before = a[(t + 1) % 2];
        double *now = a[t % 2], sum = 0;
        probabilities(p, x + t * classes, classes);
        for (int64_t s = 0; s < states; s++) {
            const int64_t k = s % 2 ? (int64_t)target[s / 2] : 0;
            double from = t ? before[s] + (s > 0 ? before[s - 1] : 0) : s < 2;
            if (t && s > 2 && s % 2 && k != (int64_t)target[s / 2 - 1]) from += before[s - 2];
            sum += now[s] = p[k] * from;
        }
        for (int64_t s = 0; s < states && sum > 0; s++) now[s] /= sum;
        if (sum > 0) scaled += log(sum);
    }
    const double *last = a[(length - 1) % 2];
    return -(log(last[states - 1] + (n ? last[states - 2] : 0)) + scaled);
}

static void prepare(bm_plan *p, const optest *t)
{
    (void)t;
    bm_plan_set_f32(p, BM_RT_LOSS_SCALE, SCALE);
}

static void build(bm_graph *g, bm_value **out, bm_value *const *in, const optest *t)
{
    out[0] = bm_ctc(g, t->n_out > 1 ? &out[1] : NULL, in[0], in[1], t->n_in > 2 ? in[2] : NULL);
}

static void reference(double *const *out, const double *const *in, const optest *t)
{
    const int64_t *d = t->in[0].shape.dim, labels = t->in[1].shape.dim[1];
    out[0][0] = 0;
    for (int64_t b = 0; b < d[0]; b++) {
        const int64_t length = t->n_in > 2 ? (int64_t)in[2][b] : d[1];
        const double loss = sequence_loss(in[0] + b * d[1] * d[2], length, d[2], in[1] + b * labels, labels);
        out[0][0] += (double)SCALE * loss;
        if (t->n_out > 1) out[1][b] = loss;
    }
}

/* A step adds the logarithm of a probability, up to about 8, and a rounding of it. Targets have all L labels, of few classes: many
 * repeat. With `shorter`, sequences have at least so many of the T steps. */
static void check(const char *name, int64_t b, int64_t t, int64_t c, int64_t l, int64_t shorter)
{
    optest o = {.name = name, .n_in = shorter ? 3 : 2, .n_out = 1, .build = build, .reference = reference, .prepare = prepare};
    o.in[0] = (optest_input){.shape = BM_SHAPE(b, t, c), .fill = OPTEST_UNIFORM, .low = -3, .high = 3, .gradient = b > 0};
    o.in[1] = (optest_input){.shape = BM_SHAPE(b, l), .fill = OPTEST_INDEX, .low = 1, .high = (double)c};
    o.in[2] = (optest_input){.shape = BM_SHAPE(b), .fill = OPTEST_INDEX, .low = (double)shorter, .high = (double)t + 1};
    o.c = 16;
    o.floor = 8 * (double)SCALE;
    o.length = (double)t;
    o.grad_c = 16;
    optest_check(&o);
    o.n_out = 2;
    o.in[0].gradient = 0;
    optest_check(&o);
}

START_TEST(ctc_is_the_formula)
{
    check("no sequences", 0, 3, 4, 2, 0);
    check("one step", 1, 1, 5, 1, 0);
    check("no labels", 2, 4, 3, 0, 0);
    check("only the blank", 1, 4, 1, 0, 0);
    check("one other class", 2, 9, 2, 4, 0);
    check("lengths", optest_small() ? 2 : 5, 12, 7, 3, 6);
    if (optest_small()) return;
    check("more states than a work-group", 2, 120, 5, 40, 85);
    check("more classes", 3, 20, 517, 5, 10);
    check("long", 2, 700, 30, 60, 300);
}
END_TEST

/* A graph with its gradient. */
typedef struct chain {
    bm_graph *g;
    bm_value *x, *bias, *targets, *lengths, *loss, *rows, *d;
} chain;

/* x + bias, so that x can be a temporary: then the gradient wanted is that of the bias, else that of x. */
static chain chain_build(int64_t b, int64_t t, int64_t c, int64_t l, int temporary)
{
    chain h = {0};
    bm_graph_opts opts = bm_graph_opts_with_ops();
    test_ok(bm_graph_create(&h.g, &opts));
    h.x = bm_graph_input(h.g, "x", BM_F32, BM_SHAPE(b, t, c));
    h.bias = bm_graph_input(h.g, "bias", BM_F32, BM_SHAPE(c));
    h.targets = bm_graph_input(h.g, "targets", BM_I32, BM_SHAPE(b, l));
    h.lengths = bm_graph_input(h.g, "lengths", BM_I32, BM_SHAPE(b));
    bm_value *wanted = temporary ? h.bias : h.x;
    bm_graph_want_gradient(h.g, wanted);
    bm_value *logits = temporary ? bm_add_bias(h.g, h.x, h.bias) : h.x;
    h.loss = bm_graph_output(h.g, bm_ctc(h.g, &h.rows, logits, h.targets, h.lengths), "loss");
    bm_graph_output(h.g, h.rows, "rows");
    test_ok(bm_graph_gradients(h.g, h.loss));
    h.d = bm_graph_output(h.g, bm_graph_gradient(h.g, wanted), "d");
    test_ok(bm_graph_status(h.g));
    return h;
}

static bm_plan *chain_run(chain *h, int form, const float *x, const int32_t *targets, const int32_t *lengths)
{
    bm_plan *plan = NULL;
    test_ok(bm_plan_create(&plan, optest_engine((bm_form)form), h->g, NULL));
    bm_plan_set_f32(plan, BM_RT_LOSS_SCALE, 1);
    test_ok(bm_plan_write(plan, h->x, x));
    test_ok(bm_plan_write(plan, h->targets, targets));
    test_ok(bm_plan_write(plan, h->lengths, lengths));
    test_ok(bm_plan_run(plan));
    return plan;
}

START_TEST(the_gradient_lies_where_the_logits_lay)
{
    const int64_t logits = 4 * 32 * 1000;
    chain h = chain_build(4, 32, 1000, 3, 1);
    bm_plan_memory m;
    const bm_limits limits = bm_limits_default(BM_DEVICE_CPU, (int64_t)1 << 32);
    test_ok(bm_plan_memory_of(&m, h.g, &limits));
    ck_assert_int_ge(m.temp_need, logits * 4);
    ck_assert_int_lt(m.temp_need, logits * 4 * 3 / 2);
    bm_graph_destroy(h.g);
}
END_TEST

/* Uniform logits, 3 steps of 4 classes, p = 1/4. Sequence 0 has no target: only blanks, p^3. Sequence 1 has one step and label 2:
 * p. Sequence 2 is too short for its target, sequence 3 counts for nothing, and 4 and 5 have labels that are none. */
START_TEST(ends_of_targets_and_sequences)
{
    enum { B = 6, T = 3, C = 4, L = 2 };
    static const int32_t targets[B * L] = {-1, -1, 2, -7, 3, 3, -1, 2, 1, C, 0, 1}, lengths[B] = {3, 1, 2, 0, 3, 3};
    static const float x[B * T * C] = {0};
    EACH_FORM(form) {
        chain h = chain_build(B, T, C, L, 0);
        float rows[B], d[B][T][C], loss;
        bm_plan *plan = chain_run(&h, form, x, targets, lengths);
        test_ok(bm_plan_read(plan, h.loss, &loss));
        test_ok(bm_plan_read(plan, h.rows, rows));
        test_ok(bm_plan_read(plan, h.d, d));
        ck_assert_float_eq_tol(rows[0], 3 * logf(4), 1e-6f);
        ck_assert_float_eq_tol(rows[1], logf(4), 1e-6f);
        ck_assert(isinf(rows[2]) && rows[2] > 0 && rows[3] == 0 && isnan(rows[4]) && isnan(rows[5]) && isnan(loss));
        for (int t = 0; t < T; t++)
            for (int k = 0; k < C; k++) {
                ck_assert_float_eq_tol(d[0][t][k], k ? 0.25f : -0.75f, 1e-6f);
                ck_assert_float_eq_tol(d[1][t][k], t ? 0 : k == 2 ? -0.75f : 0.25f, 1e-6f);
                ck_assert(t < 2 ? isnan(d[2][t][k]) : d[2][t][k] == 0);
                ck_assert(d[3][t][k] == 0);
            }
        ck_assert(isnan(d[4][0][0]) && isnan(d[5][2][3]));
        bm_plan_destroy(plan);
        bm_graph_destroy(h.g);
    }
}
END_TEST

START_TEST(shapes_that_do_not_fit_are_refused)
{
    static const struct {
        bm_dtype x, targets, lengths;
        int64_t x_dims[3], targets_rows, lengths_rows;
    } bad[] = {{BM_I32, BM_I32, BM_I32, {2, 3, 4}, 2, 2}, {BM_F32, BM_F32, BM_I32, {2, 3, 4}, 2, 2},
               {BM_F32, BM_I32, BM_F32, {2, 3, 4}, 2, 2}, {BM_F32, BM_I32, BM_I32, {2, 3, 4}, 3, 2},
               {BM_F32, BM_I32, BM_I32, {2, 3, 4}, 2, 3}, {BM_F32, BM_I32, BM_I32, {2, 0, 4}, 2, 2},
               {BM_F32, BM_I32, BM_I32, {2, 3, 0}, 2, 2}, {BM_F32, BM_I32, BM_I32, {2, 3}, 2, 2}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        bm_graph_opts opts = bm_graph_opts_with_ops();
        bm_graph *g = NULL;
        test_ok(bm_graph_create(&g, &opts));
        const int flat = i + 1 == sizeof bad / sizeof *bad;
        bm_value *x = bm_graph_input(g, "x", bad[i].x, bm_shape_of(flat ? 2 : 3, bad[i].x_dims));
        bm_value *y = bm_graph_input(g, "y", bad[i].targets, BM_SHAPE(bad[i].targets_rows, 2));
        bm_value *n = bm_graph_input(g, "n", bad[i].lengths, BM_SHAPE(bad[i].lengths_rows)), *rows = x;
        ck_assert_ptr_null(bm_ctc(g, &rows, x, y, n));
        ck_assert_ptr_null(rows);
        ck_assert_int_eq(bm_graph_status(g), BM_ERR_SHAPE);
        bm_graph_destroy(g);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("ctc");
    TCase *c = optest_tcase(s, "ctc");
    tcase_add_test(c, ctc_is_the_formula);
    tcase_add_test(c, the_gradient_lies_where_the_logits_lay);
    tcase_add_test(c, ends_of_targets_and_sequences);
    tcase_add_test(c, shapes_that_do_not_fit_are_refused);
    return test_run(s);
}
