/* ctest: oclgrind rusticl/plain */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cl/ops/ops.h"
#include "core/base/rng.h"
#include "core/graph/scalars.h"
#include "tests/lib/optest.h"
#include "tests/lib/test.h"

typedef struct sizes {
    int64_t B, T, heads, d;
    int64_t P;         /* cached: positions of the caches */
    uint32_t position; /* and how many are taken */
} sizes;

static void *must(size_t bytes)
{
    void *p = calloc(1, bytes + 1);
    ck_assert_ptr_nonnull(p);
    return p;
}

/* One query: y = softmax(q K^T / sqrt(d)) V over n keys, `row` elements apart; p [n] gets the weights. */
static void attend(double *y, double *p, const double *q, const double *k, const double *v, int64_t n, int64_t row, int64_t d)
{
    double m = -INFINITY, sum = 0;
    for (int64_t i = 0; i < n; i++) {
        double s = 0;
        for (int64_t c = 0; c < d; c++) s += q[c] * k[i * row + c];
        p[i] = s / sqrt((double)d);
        m = fmax(m, p[i]);
    }
    for (int64_t i = 0; i < n; i++) sum += exp(p[i] - m);
    for (int64_t c = 0; c < d; c++) y[c] = 0;
    for (int64_t i = 0; i < n; i++) {
        p[i] = exp(p[i] - m) / sum;
        for (int64_t c = 0; c < d; c++) y[c] += p[i] * v[i * row + c];
    }
}

static void reference(double *const *out, const double *const *in, const optest *t)
{
    const sizes *s = t->with;
    const int64_t C = s->heads * s->d;
    double *p = must((size_t)s->T * sizeof *p);
    for (int64_t b = 0; b < s->B; b++)
        for (int64_t h = 0; h < s->heads; h++)
            for (int64_t i = 0; i < s->T; i++) {
                const double *keys = in[0] + b * s->T * 3 * C + C + h * s->d;
                const double *q = in[0] + (b * s->T + i) * 3 * C + h * s->d;
                attend(out[0] + (b * s->T + i) * C + h * s->d, p, q, keys, keys + C, i + 1, 3 * C, s->d);
            }
    free(p);
}

static void build(bm_graph *g, bm_value **out, bm_value *const *in, const optest *t)
{
    out[0] = bm_attention(g, in[0], (int)((const sizes *)t->with)->heads);
}

/* The cpu form may round weights exp(s - max s) to bf16 before the mean, by 2^-8 of themselves: 2^-8 of the mean of the values'
 * sizes, 2 at most, as the largest weight is 1 and stays so. */
#define WEIGHTS_ROUNDED 0x1p17

/* A weight is exp of a sum over d, a value the mean of numbers of size 1 (the floor: they may cancel): the errors of the score, a
 * sum over d, and those of exp and of the mean, as much as 16 terms. Gradients pass through two more sums. */
static void check(const char *name, sizes s, int f32_only)
{
    optest t = {.name = name, .n_in = 1, .n_out = 1, .build = build, .reference = reference, .with = &s};
    t.in[0] = (optest_input){.shape = BM_SHAPE(s.B, s.T, 3 * s.heads * s.d), .gradient = s.B > 0};
    t.c = 3;
    t.grad_c = 6;
    t.length = 16 + (double)s.d;
    t.floor = 1;
    t.bf16_c = WEIGHTS_ROUNDED;
    t.f32_only = f32_only;
    optest_check(&t);
}

START_TEST(attention_is_the_formula)
{
    check("no batch", (sizes){.B = 0, .T = 5, .heads = 2, .d = 5}, 0);
    check("one", (sizes){.B = 1, .T = 1, .heads = 1, .d = 1}, 1);
    check("a few, odd", (sizes){.B = 2, .T = 7, .heads = 2, .d = 5}, 0);
    check("a tile", (sizes){.B = 1, .T = 8, .heads = 1, .d = 32}, 1);
    if (optest_small()) return;
    check("less than a block", (sizes){.B = 1, .T = 37, .heads = 2, .d = 16}, 1);
    check("a block less one", (sizes){.B = 1, .T = 63, .heads = 2, .d = 64}, 1);
    check("a block", (sizes){.B = 2, .T = 64, .heads = 2, .d = 64}, 1);
    check("a block and one", (sizes){.B = 1, .T = 65, .heads = 1, .d = 64}, 0);
    /* Enough for the cpu form to give two blocks of queries to a work-item. */
    const int64_t units = bm_engine_limits(optest_engine(BM_FORM_CPU))->compute_units;
    check("blocks in pairs", (sizes){.B = 2 * units, .T = 70, .heads = 2, .d = 5}, 1);
    check("a prime", (sizes){.B = 1, .T = 131, .heads = 3, .d = 64}, 0);
}
END_TEST

START_TEST(attention_takes_heads_of_any_size)
{
    if (optest_small()) return;
    check("heads of 5", (sizes){.B = 1, .T = 70, .heads = 2, .d = 5}, 1);
    check("heads of 80", (sizes){.B = 1, .T = 70, .heads = 1, .d = 80}, 0);
    check("heads of 128", (sizes){.B = 1, .T = 66, .heads = 1, .d = 128}, 1);
    check("heads of 200", (sizes){.B = 1, .T = 40, .heads = 1, .d = 50}, 1);
    check("heads of 256", (sizes){.B = 1, .T = 33, .heads = 1, .d = 256}, 1);
}
END_TEST

/* dQ, dK, dV of Dao 2023, algorithm 2, in double and without blocks. */
static void backward(double *dqkv, const double *qkv, const double *dy, const sizes *s)
{
    const int64_t C = s->heads * s->d, d = s->d;
    double *p = must((size_t)s->T * sizeof *p), *y = must((size_t)d * sizeof *y);
    for (int64_t b = 0; b < s->B; b++)
        for (int64_t h = 0; h < s->heads; h++)
            for (int64_t i = 0; i < s->T; i++) {
                const int64_t head = b * s->T * 3 * C + h * d, at = head + i * 3 * C;
                const double *g = dy + (b * s->T + i) * C + h * d;
                double delta = 0;
                attend(y, p, qkv + at, qkv + head + C, qkv + head + 2 * C, i + 1, 3 * C, d);
                for (int64_t c = 0; c < d; c++) delta += g[c] * y[c];
                for (int64_t j = 0; j <= i; j++) {
                    const int64_t k = head + C + j * 3 * C, v = k + C;
                    double dp = 0;
                    for (int64_t c = 0; c < d; c++) dp += g[c] * qkv[v + c];
                    const double ds = p[j] * (dp - delta) / sqrt((double)d);
                    for (int64_t c = 0; c < d; c++) {
                        dqkv[at + c] += ds * qkv[k + c];
                        dqkv[k + c] += ds * qkv[at + c];
                        dqkv[v + c] += p[j] * g[c];
                    }
                }
            }
    free(p);
    free(y);
}

static double to_type(void *to, int64_t i, double x, bm_dtype t)
{
    if (t == BM_F32) return ((float *)to)[i] = (float)x;
    ((uint16_t *)to)[i] = bm_f32_to_bf16((float)x);
    return bm_bf16_to_f32(((uint16_t *)to)[i]);
}

/* loss = sum(y r): dy is r exactly, in the type of y. The result is rounded to that type once. In bf16 y was rounded before:
 * delta is off by up to 2^-9 sqrt(d) for numbers of size 1, and dq by that times |k| / sqrt(d), |k| up to 4: 2^-7. The cpu form may
 * round weights and dS to bf16, too: 2^-8 of the terms of sums, whose sizes come to 4 at most: 2^-6. */
static void check_backward(bm_form form, bm_dtype type, sizes s)
{
    const int64_t C = s.heads * s.d, n = s.B * s.T * C;
    double *qkv = must((size_t)n * 24), *dy = must((size_t)n * 8), *want = must((size_t)n * 24);
    void *x = must((size_t)n * 12), *r = must((size_t)n * 4), *got = must((size_t)n * 12);
    bm_rng rng = bm_rng_start(4, bm_rng_stream("backward"), (uint32_t)s.T);
    for (int64_t i = 0; i < 3 * n; i++) qkv[i] = to_type(x, i, bm_rng_normal(&rng), type);
    for (int64_t i = 0; i < n; i++) dy[i] = to_type(r, i, bm_rng_normal(&rng), type);
    backward(want, qkv, dy, &s);
    bm_graph_opts opts = bm_graph_opts_with_ops();
    bm_graph *g = NULL;
    bm_plan *p = NULL;
    test_ok(bm_graph_create(&g, &opts));
    bm_value *in = bm_graph_input(g, "qkv", type, BM_SHAPE(s.B, s.T, 3 * C));
    bm_value *weight = bm_graph_input(g, "r", type, BM_SHAPE(s.B, s.T, C));
    bm_graph_want_gradient(g, in);
    test_ok(bm_graph_gradients(g, bm_sum(g, bm_mul(g, bm_attention(g, in, (int)s.heads), weight))));
    bm_value *d = bm_graph_output(g, bm_graph_gradient(g, in), "dqkv");
    bm_plan_opts none = {0};
    test_ok(bm_plan_create(&p, optest_engine(form), g, &none));
    test_ok(bm_plan_write(p, in, x));
    test_ok(bm_plan_write(p, weight, r));
    test_ok(bm_plan_run(p));
    test_ok(bm_plan_read(p, d, got));
    const double c = 8 * sqrt((double)s.d) + (type == BM_BF16 ? 0x1p17 + 0x1p18 : 0);
    optest_compare("dqkv", got, type, want, 3 * n, c, 1);
    bm_plan_destroy(p);
    bm_graph_destroy(g);
    free(qkv);
    free(dy);
    free(want);
    free(x);
    free(r);
    free(got);
}

START_TEST(every_element_of_the_gradient_is_the_formula)
{
    EACH_FORM(form) {
        check_backward(form, BM_F32, (sizes){.B = 2, .T = 9, .heads = 2, .d = 32});
        check_backward(form, BM_BF16, (sizes){.B = 1, .T = 9, .heads = 2, .d = 5});
        if (optest_small()) continue;
        check_backward(form, BM_F32, (sizes){.B = 2, .T = 64, .heads = 3, .d = 64});
        check_backward(form, BM_F32, (sizes){.B = 1, .T = 193, .heads = 2, .d = 64});
        check_backward(form, BM_F32, (sizes){.B = 1, .T = 131, .heads = 2, .d = 5});
        check_backward(form, BM_BF16, (sizes){.B = 1, .T = 131, .heads = 2, .d = 64});
        check_backward(form, BM_BF16, (sizes){.B = 2, .T = 270, .heads = 1, .d = 37});
    }
}
END_TEST

/* What comes later changes nothing, not by one bit. */
START_TEST(no_query_sees_what_comes_after_it)
{
    enum { T = 90, C = 2 * 32, SPLIT = 41 };
    EACH_FORM(form) {
        float qkv[T * 3 * C], y[2][T * C];
        bm_rng r = bm_rng_start(6, 1, 0);
        bm_graph_opts opts = bm_graph_opts_with_ops();
        bm_graph *g = NULL;
        bm_plan *p = NULL;
        test_ok(bm_graph_create(&g, &opts));
        bm_value *in = bm_graph_input(g, "qkv", BM_F32, BM_SHAPE(1, T, 3 * C));
        bm_value *out = bm_graph_output(g, bm_attention(g, in, 2), "y");
        bm_plan_opts none = {0};
        test_ok(bm_plan_create(&p, optest_engine(form), g, &none));
        for (int k = 0; k < 2; k++) {
            for (int i = k ? SPLIT * 3 * C : 0; i < T * 3 * C; i++) qkv[i] = bm_rng_normal(&r) * (k ? 30 : 1);
            test_ok(bm_plan_write(p, in, qkv));
            test_ok(bm_plan_run(p));
            test_ok(bm_plan_read(p, out, y[k]));
        }
        ck_assert_int_eq(memcmp(y[0], y[1], SPLIT * C * sizeof(float)), 0);
        ck_assert_int_ne(memcmp(y[0], y[1], sizeof y[0]), 0);
        bm_plan_destroy(p);
        bm_graph_destroy(g);
    }
}
END_TEST

/* ---- decoding ---- */

static void prepare(bm_plan *p, const optest *t)
{
    bm_plan_set_u32(p, BM_RT_POSITION, ((const sizes *)t->with)->position);
}

static void build_cached(bm_graph *g, bm_value **out, bm_value *const *in, const optest *t)
{
    out[0] = bm_attention_cached(g, in[0], in[1], in[2], (int)((const sizes *)t->with)->heads);
}

static void reference_cached(double *const *out, const double *const *in, const optest *t)
{
    const sizes *s = t->with;
    const int64_t C = s->heads * s->d, n = s->B * s->P * C;
    double *k = must((size_t)n * 8), *v = must((size_t)n * 8), *p = must((size_t)s->P * 8);
    memcpy(k, in[1], (size_t)n * 8);
    memcpy(v, in[2], (size_t)n * 8);
    for (int64_t b = 0; b < s->B; b++)
        for (int64_t i = 0; i < s->T; i++) {
            const double *row = in[0] + (b * s->T + i) * 3 * C;
            memcpy(k + (b * s->P + s->position + i) * C, row + C, (size_t)C * 8);
            memcpy(v + (b * s->P + s->position + i) * C, row + 2 * C, (size_t)C * 8);
            for (int64_t h = 0; h < s->heads; h++)
                attend(out[0] + (b * s->T + i) * C + h * s->d, p, row + h * s->d, k + b * s->P * C + h * s->d,
                       v + b * s->P * C + h * s->d, s->position + i + 1, C, s->d);
        }
    free(k);
    free(v);
    free(p);
}

static void check_cached(const char *name, sizes s)
{
    const int64_t C = s.heads * s.d;
    optest t = {.name = name, .n_in = 3, .n_out = 1, .build = build_cached, .reference = reference_cached, .with = &s,
                .prepare = prepare, .c = 3, .length = 16 + (double)s.d, .floor = 1, .bf16_c = WEIGHTS_ROUNDED};
    t.in[0] = (optest_input){.shape = BM_SHAPE(s.B, s.T, 3 * C)};
    t.in[1] = t.in[2] = (optest_input){.shape = BM_SHAPE(s.B, s.P, C), .place = BM_PLACE_CACHE};
    optest_check(&t);
}

START_TEST(cached_attention_sees_all_positions_so_far)
{
    check_cached("first token", (sizes){.B = 1, .T = 1, .heads = 2, .d = 5, .P = 4, .position = 0});
    check_cached("last token", (sizes){.B = 2, .T = 1, .heads = 2, .d = 32, .P = 9, .position = 8});
    check_cached("a few", (sizes){.B = 2, .T = 3, .heads = 1, .d = 16, .P = 11, .position = 4});
    if (optest_small()) return;
    check_cached("one of many", (sizes){.B = 2, .T = 1, .heads = 3, .d = 64, .P = 200, .position = 130});
    check_cached("15 queries", (sizes){.B = 1, .T = 15, .heads = 2, .d = 64, .P = 150, .position = 63});
    check_cached("16 queries", (sizes){.B = 1, .T = 16, .heads = 2, .d = 64, .P = 150, .position = 65});
    check_cached("a prompt", (sizes){.B = 2, .T = 70, .heads = 2, .d = 5, .P = 70, .position = 0});
    check_cached("a chunk of a prompt", (sizes){.B = 1, .T = 67, .heads = 2, .d = 64, .P = 211, .position = 131});
}
END_TEST

/* A text fed in pieces, by plans that share the caches, gives what it gives in one. */
static void feed_in_pieces(bm_form form)
{
    enum { B = 2, HEADS = 2, D = 16, C = HEADS * D, P = 53 };
    static const int pieces[] = {5, 1, 1, 17, 1, 20, 1};
    const sizes s = {.B = B, .T = P, .heads = HEADS, .d = D};
    double *qkv = must(B * P * 3 * C * sizeof *qkv), *want = must(B * P * C * sizeof *want);
    bm_rng r = bm_rng_start(8, 1, 0);
    for (int i = 0; i < B * P * 3 * C; i++) qkv[i] = bm_rng_normal(&r);
    const optest whole = {.with = &s};
    reference(&want, (const double *const *)&qkv, &whole);
    bm_engine *e = optest_engine(form);
    bm_layout *layout = NULL;
    bm_bank *bank = NULL;
    int at = 0;
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        const int T = pieces[i];
        bm_graph_opts opts = bm_graph_opts_with_ops();
        bm_graph *g = NULL;
        bm_plan *p = NULL;
        float x[B * P * 3 * C], y[B * P * C];
        test_ok(bm_graph_create(&g, &opts));
        bm_value *in = bm_graph_input(g, "qkv", BM_F32, BM_SHAPE(B, T, 3 * C));
        bm_value *k = bm_graph_cache(g, "k", BM_F32, BM_SHAPE(B, P, C)), *v = bm_graph_cache(g, "v", BM_F32, BM_SHAPE(B, P, C));
        bm_value *out = bm_graph_output(g, bm_attention_cached(g, in, k, v, HEADS), "y");
        test_ok(bm_graph_status(g));
        if (!bank) {
            test_ok(bm_layout_create(&layout, g, BM_PLACE_CACHE, bm_engine_limits(e)));
            test_ok(bm_bank_create(&bank, e, layout, BM_PLACE_CACHE));
        }
        bm_plan_opts with = {.banks = &bank, .n_banks = 1};
        test_ok(bm_plan_create(&p, e, g, &with));
        for (int b = 0; b < B; b++)
            for (int j = 0; j < T * 3 * C; j++) x[b * T * 3 * C + j] = (float)qkv[(b * P + at) * 3 * C + j];
        bm_plan_set_u32(p, BM_RT_POSITION, (uint32_t)at);
        test_ok(bm_plan_write(p, in, x));
        test_ok(bm_plan_run(p));
        test_ok(bm_plan_read(p, out, y));
        for (int b = 0; b < B; b++)
            for (int j = 0; j < T * C; j++)
                ck_assert_double_eq_tol(y[b * T * C + j], want[(b * P + at) * C + j], 16 * 0x1p-24 * sqrt(D));
        at += T;
        bm_plan_destroy(p);
        bm_graph_destroy(g);
    }
    float *k = must(B * P * C * sizeof *k);
    test_ok(bm_bank_read(bank, bm_layout_find(layout, "k"), 0, k, (int64_t)(B * P * C * sizeof *k)));
    for (int i = 0; i < B * P * C; i++) {
        const int row = i / C;
        ck_assert_float_eq(k[i], row % P < at ? (float)qkv[row * 3 * C + C + i % C] : 0.0f);
    }
    free(k);
    bm_bank_destroy(bank);
    bm_layout_destroy(layout);
    free(qkv);
    free(want);
}

START_TEST(a_text_in_pieces_is_the_text)
{
    EACH_FORM(form) feed_in_pieces(form);
}
END_TEST

/* Past the end of the caches nothing is written: the other cache, which lies beyond, stays as it was. */
START_TEST(positions_past_the_caches_touch_nothing)
{
    enum { C = 32, P = 4, T = 3 };
    EACH_FORM(form) {
        bm_engine *e = optest_engine(form);
        bm_graph_opts opts = bm_graph_opts_with_ops();
        bm_graph *g = NULL;
        bm_plan *p = NULL;
        bm_layout *layout = NULL;
        bm_bank *bank = NULL;
        float x[2 * T * 3 * C], k[2 * P * C];
        for (int i = 0; i < 2 * T * 3 * C; i++) x[i] = 1;
        test_ok(bm_graph_create(&g, &opts));
        bm_value *in = bm_graph_input(g, "qkv", BM_F32, BM_SHAPE(2, T, 3 * C));
        bm_value *ck = bm_graph_cache(g, "k", BM_F32, BM_SHAPE(2, P, C)), *cv = bm_graph_cache(g, "v", BM_F32, BM_SHAPE(2, P, C));
        bm_graph_output(g, bm_attention_cached(g, in, ck, cv, 1), "y");
        test_ok(bm_layout_create(&layout, g, BM_PLACE_CACHE, bm_engine_limits(e)));
        test_ok(bm_bank_create(&bank, e, layout, BM_PLACE_CACHE));
        bm_plan_opts with = {.banks = &bank, .n_banks = 1};
        test_ok(bm_plan_create(&p, e, g, &with));
        test_ok(bm_plan_write(p, in, x));
        for (uint32_t position = 3; position != 0; position = position == 3 ? 4 : position == 4 ? 0xfffffff0u : 0) {
            bm_plan_set_u32(p, BM_RT_POSITION, position);
            test_ok(bm_plan_run(p));
            test_ok(bm_bank_read(bank, bm_layout_find(layout, "k"), 0, k, sizeof k));
            for (int i = 0; i < 2 * P * C; i++) ck_assert_float_eq(k[i], i / C % P == 3 ? 1.0f : 0.0f);
        }
        bm_plan_destroy(p);
        bm_bank_destroy(bank);
        bm_layout_destroy(layout);
        bm_graph_destroy(g);
    }
}
END_TEST

START_TEST(shapes_that_do_not_fit_are_refused)
{
    static const struct {
        int64_t width;
        int heads;
        bm_status want;
    } cases[] = {{24, 0, BM_ERR_SHAPE}, {24, 3, BM_ERR_SHAPE}, {25, 1, BM_ERR_SHAPE}, {0, 1, BM_ERR_SHAPE},
                 {3 * 257, 1, BM_ERR_UNSUPPORTED}};
    bm_graph_opts opts = bm_graph_opts_with_ops();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bm_graph *g = NULL;
        test_ok(bm_graph_create(&g, &opts));
        ck_assert_ptr_null(bm_attention(g, bm_graph_input(g, "qkv", BM_F32, BM_SHAPE(1, 4, cases[i].width)), cases[i].heads));
        ck_assert_int_eq(bm_graph_status(g), cases[i].want);
        bm_graph_destroy(g);
    }
    bm_graph *g = NULL;
    test_ok(bm_graph_create(&g, &opts));
    bm_value *k = bm_graph_cache(g, "k", BM_F32, BM_SHAPE(1, 9, 7)), *v = bm_graph_cache(g, "v", BM_F32, BM_SHAPE(1, 9, 7));
    ck_assert_ptr_null(bm_attention_cached(g, bm_graph_input(g, "qkv", BM_F32, BM_SHAPE(1, 1, 24)), k, v, 2));
    ck_assert_int_eq(bm_graph_status(g), BM_ERR_SHAPE);
    bm_graph_destroy(g);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("attention");
    TCase *c = optest_tcase(s, "attention");
    tcase_add_test(c, attention_is_the_formula);
    tcase_add_test(c, attention_takes_heads_of_any_size);
    tcase_add_test(c, every_element_of_the_gradient_is_the_formula);
    tcase_add_test(c, no_query_sees_what_comes_after_it);
    tcase_add_test(c, cached_attention_sees_all_positions_so_far);
    tcase_add_test(c, a_text_in_pieces_is_the_text);
    tcase_add_test(c, positions_past_the_caches_touch_nothing);
    tcase_add_test(c, shapes_that_do_not_fit_are_refused);
    return test_run(s);
}
