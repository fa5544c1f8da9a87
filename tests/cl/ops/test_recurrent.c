/* ctest: oclgrind rusticl/plain */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cl/ops/ops.h"
#include "core/graph/scalars.h"
#include "core/base/rng.h"
#include "tests/lib/h5fixture.h"
#include "tests/lib/optest.h"
#include "tests/lib/test.h"

typedef struct sizes {
    bm_cell cell;
    int64_t B, T, H;
    int bias, lengths, reverse;
} sizes;

static const int gates[] = {1, 4, 3};

static void *must(size_t bytes)
{
    void *p = calloc(1, bytes + 1);
    ck_assert_ptr_nonnull(p);
    return p;
}

/* ---- the formulas of ops.h, in double ---- */

static double logistic(double x) { return 1 / (1 + exp(-x)); }

/* One step of a row: a and u [G H]; h and c [H] go on. */
static void cell_step(bm_cell cell, double *h, double *c, const double *a, const double *u, int64_t H)
{
    for (int64_t j = 0; j < H; j++) {
        if (cell == BM_CELL_RNN) h[j] = tanh(a[j] + u[j]);
        if (cell == BM_CELL_LSTM) {
            c[j] = logistic(a[H + j] + u[H + j]) * c[j] + logistic(a[j] + u[j]) * tanh(a[2 * H + j] + u[2 * H + j]);
            h[j] = logistic(a[3 * H + j] + u[3 * H + j]) * tanh(c[j]);
        }
        if (cell == BM_CELL_GRU) {
            const double r = logistic(a[j] + u[j]), z = logistic(a[H + j] + u[H + j]);
            h[j] = (1 - z) * tanh(a[2 * H + j] + r * u[2 * H + j]) + z * h[j];
        }
    }
}

/* A row through its steps; y [T, H]. w and b may be NULL: 0. */
static void row(const sizes *s, double *y, double *h, double *c, const double *x, const double *w, const double *b, int64_t length)
{
    const int64_t H = s->H, GH = gates[s->cell] * H;
    double *u = must((size_t)GH * sizeof *u);
    memset(y, 0, (size_t)(s->T * H) * sizeof *y);
    for (int64_t k = 0; k < length; k++) {
        const int64_t t = s->reverse ? length - 1 - k : k;
        for (int64_t n = 0; n < GH; n++) {
            u[n] = b ? b[n] : 0;
            for (int64_t j = 0; j < H; j++) u[n] += w[n * H + j] * h[j];
        }
        cell_step(s->cell, h, c, x + t * GH, u, H);
        memcpy(y + t * H, h, (size_t)H * sizeof *h);
    }
    free(u);
}

enum { X, W, BIAS, LENGTHS };

static void reference(double *const *out, const double *const *in, const optest *t)
{
    const sizes *s = t->with;
    double *c = must((size_t)s->H * sizeof *c);
    for (int64_t r = 0; r < s->B; r++) {
        const int64_t given = s->lengths ? (int64_t)in[s->bias ? LENGTHS : BIAS][r] : s->T;
        const int64_t length = given < 0 ? 0 : given > s->T ? s->T : given;
        double *h = out[1] + r * s->H;
        memset(h, 0, (size_t)s->H * sizeof *h);
        memset(c, 0, (size_t)s->H * sizeof *c);
        row(s, out[0] + r * s->T * s->H, h, c, in[X] + r * s->T * gates[s->cell] * s->H, in[W], s->bias ? in[BIAS] : NULL, length);
    }
    free(c);
}

static void build(bm_graph *g, bm_value **out, bm_value *const *in, const optest *t)
{
    const sizes *s = t->with;
    out[0] = bm_recurrent(g, &out[1], s->cell, in[X], in[W], s->bias ? in[BIAS] : NULL,
                          s->lengths ? in[s->bias ? LENGTHS : BIAS] : NULL, s->reverse);
}

/* Weights of a size at which states neither die nor saturate. An error of a step passes to the next about as it is. */
static optest case_of(const char *name, const sizes *s)
{
    const double size = 2 / sqrt((double)s->H);
    optest t = {.name = name, .n_in = 2 + s->bias + s->lengths, .n_out = 2, .build = build, .reference = reference, .with = s};
    const int64_t GH = gates[s->cell] * s->H;
    t.in[X] = (optest_input){.shape = BM_SHAPE(s->B, s->T, GH), .gradient = s->B > 0};
    t.in[W] = (optest_input){.shape = BM_SHAPE(GH, s->H), .fill = OPTEST_UNIFORM, .low = -size, .high = size,
                             .place = BM_PLACE_WEIGHT, .gradient = 1};
    if (s->bias) t.in[BIAS] = (optest_input){.shape = BM_SHAPE(GH), .place = BM_PLACE_WEIGHT, .gradient = 1};
    if (s->lengths)
        t.in[s->bias ? LENGTHS : BIAS] =
            (optest_input){.shape = BM_SHAPE(s->B), .fill = OPTEST_INDEX, .low = -1, .high = (double)s->T + 2};
    t.c = 2;
    t.grad_c = 8;
    t.length = (double)s->T * (16 + (double)s->H);
    t.floor = 1;
    t.f32_only = 1;
    return t;
}

static void check(const char *name, sizes s)
{
    const optest t = case_of(name, &s);
    optest_check(&t);
}

static void check_storage(const char *name, sizes s)
{
    optest t = case_of(name, &s);
    t.f32_only = 0;
    optest_check(&t);
}

/* Five to a core. */
static int64_t rows(void) { return optest_small() ? 2 : 5 * bm_engine_limits(optest_engine(BM_FORM_CPU))->compute_units; }

START_TEST(a_cell_is_its_formula)
{
    const bm_cell cell = (bm_cell)_i;
    check("no batch", (sizes){.cell = cell, .B = 0, .T = 3, .H = 5, .bias = 1});
    check("one", (sizes){.cell = cell, .B = 1, .T = 1, .H = 1});
    check("one step", (sizes){.cell = cell, .B = 3, .T = 1, .H = 7, .bias = 1, .lengths = 1});
    if (!optest_small()) check("one row", (sizes){.cell = cell, .B = 1, .T = 6, .H = 16, .bias = 1, .reverse = 1});
    const int64_t T = optest_small() ? 2 : 5; /* each step is a product */
    check("a few", (sizes){.cell = cell, .B = rows(), .T = T, .H = 5, .lengths = 1});
    if (cell == BM_CELL_LSTM || !optest_small())
        check_storage("a few, reversed", (sizes){.cell = cell, .B = rows(), .T = T, .H = optest_small() ? 5 : 19, .bias = 1, .lengths = 1, .reverse = 1});
}
END_TEST

/* Whole tiles of rows and less, panels that are filled or not, more than one run of K. */
START_TEST(rows_and_widths_of_any_number)
{
    const bm_cell cell = (bm_cell)_i;
    const int64_t units = bm_engine_limits(optest_engine(BM_FORM_CPU))->compute_units;
    if (optest_small()) return;
    if (cell == BM_CELL_LSTM) check("a tile of rows", (sizes){.cell = cell, .B = 8 * units, .T = 3, .H = 32});
    check("more than a tile", (sizes){.cell = cell, .B = 9 * units + 1, .T = 5, .H = 35, .bias = 1, .lengths = 1});
    if (cell == BM_CELL_LSTM) check("long rows", (sizes){.cell = cell, .B = 5, .T = 2, .H = 259, .bias = 1});
}
END_TEST

/* More than 2 MiB of weights and a row to a core: the cpu form goes step by step. */
START_TEST(large_weights_for_few_rows)
{
    const sizes s = {.cell = BM_CELL_LSTM, .B = 1, .T = 3, .H = 365};
    optest t = case_of("large weights", &s);
    if (optest_small()) return;
    t.in[W].gradient = 0;
    optest_check(&t);
}
END_TEST

START_TEST(gradients_gather)
{
    const sizes s = {.cell = (bm_cell)_i, .B = 3, .T = 4, .H = 6, .bias = 1, .lengths = 1};
    const optest t = case_of("gather", &s);
    optest_check_accumulate(&t);
}
END_TEST

/* ---- 16-bit storage: the gradients are those of f32 but for the rounding of what is kept ---- */

typedef struct gradients {
    float *d[3]; /* of x, w, b */
} gradients;

static gradients gradients_in(bm_form form, bm_dtype type, const sizes *s)
{
    const int64_t GH = gates[s->cell] * s->H;
    const bm_shape shapes[] = {BM_SHAPE(s->B, s->T, GH), BM_SHAPE(GH, s->H), BM_SHAPE(GH), BM_SHAPE(s->B, s->T, s->H)};
    static const char *const names[] = {"x", "w", "b", "r"};
    bm_graph_opts opts = bm_graph_opts_with_ops();
    bm_graph *g = NULL;
    bm_plan *p = NULL;
    bm_value *in[4], *d[3];
    gradients all;
    test_ok(bm_graph_create(&g, &opts));
    for (int i = 0; i < 4; i++) {
        in[i] = bm_graph_input(g, names[i], type, shapes[i]);
        if (i < 3) bm_graph_want_gradient(g, in[i]);
    }
    bm_value *y = bm_recurrent(g, NULL, s->cell, in[0], in[1], in[2], NULL, s->reverse);
    test_ok(bm_graph_gradients(g, bm_sum(g, bm_mul(g, y, in[3]))));
    for (int i = 0; i < 3; i++) d[i] = bm_graph_output(g, bm_graph_gradient(g, in[i]), NULL);
    test_ok(bm_plan_create(&p, optest_engine(form), g, NULL));
    bm_rng r = bm_rng_start(7, 1, 0);
    for (int i = 0; i < 4; i++) {
        const int64_t n = bm_shape_elements(&shapes[i]);
        float *f = must((size_t)n * 4);
        void *data = must((size_t)n * 4);
        for (int64_t k = 0; k < n; k++) /* as bf16 holds them */
            f[k] = bm_bf16_to_f32(bm_f32_to_bf16((float)(bm_rng_normal(&r) * (i == 1 ? 1 / sqrt((double)s->H) : 1))));
        test_ok(bm_convert_floats(data, type, f, BM_F32, n));
        test_ok(bm_plan_write(p, in[i], data));
        free(f);
        free(data);
    }
    test_ok(bm_plan_run(p));
    for (int i = 0; i < 3; i++) {
        const int64_t n = bm_shape_elements(&shapes[i]);
        void *data = must((size_t)n * 4);
        all.d[i] = must((size_t)n * 4);
        test_ok(bm_plan_read(p, d[i], data));
        test_ok(bm_convert_floats(all.d[i], BM_F32, data, type, n));
        free(data);
    }
    bm_plan_destroy(p);
    bm_graph_destroy(g);
    return all;
}

/* Gates, states and the gradients themselves are rounded, each by 2^-9 of itself at most. */
START_TEST(gradients_in_bf16_are_those_of_f32)
{
    if (optest_small() && _i != BM_CELL_GRU) return;
    EACH_FORM(form) {
        const sizes s = {.cell = (bm_cell)_i, .B = rows(), .T = optest_small() ? 3 : 6, .H = 21, .reverse = _i == 1};
        const int64_t GH = gates[s.cell] * s.H, n[] = {s.B * s.T * GH, GH * s.H, GH};
        gradients wide = gradients_in((bm_form)form, BM_F32, &s), narrow = gradients_in((bm_form)form, BM_BF16, &s);
        for (int i = 0; i < 3; i++) {
            const double d = fixture_distance(narrow.d[i], wide.d[i], n[i]);
            ck_assert_msg(d > 0 && d < 0x1p-7, "the gradient of operand %d is %g from that of f32", i, d);
            free(wide.d[i]);
            free(narrow.d[i]);
        }
    }
}
END_TEST

/* ---- decoding ---- */

/* A sequence fed in pieces, by plans that share the states, gives what it gives in one, and leaves the states of its end. */
static void feed_in_pieces(bm_form form, bm_cell cell, int64_t B)
{
    enum { H = 18, T = 11 };
    static const int64_t pieces[] = {3, 1, 1, 5, 1};
    const int64_t GH = gates[cell] * H;
    const sizes s = {.cell = cell, .B = B, .T = T, .H = H, .bias = 1};
    float *x = must((size_t)(B * T * GH) * 4), *part = must((size_t)(B * T * GH) * 4);
    float *w = must((size_t)(GH * H) * 4), *b = must((size_t)GH * 4);
    double *wide = must((size_t)(T * GH + GH * H + GH) * 8), *w8 = wide + T * GH, *b8 = w8 + GH * H;
    double *want = must((size_t)(B * T * H) * 8), *h8 = must((size_t)(B * H) * 8), *c8 = must((size_t)(B * H) * 8);
    bm_rng rng = bm_rng_start(9, (uint32_t)cell, 0);
    for (int64_t i = 0; i < B * T * GH; i++) x[i] = bm_rng_normal(&rng);
    for (int64_t i = 0; i < GH * H; i++) w8[i] = w[i] = bm_rng_normal(&rng) / 4;
    for (int64_t i = 0; i < GH; i++) b8[i] = b[i] = bm_rng_normal(&rng);
    for (int64_t r = 0; r < B; r++) {
        for (int64_t i = 0; i < T * GH; i++) wide[i] = x[r * T * GH + i];
        row(&s, want + r * T * H, h8 + r * H, c8 + r * H, wide, w8, b8, T);
    }
    bm_engine *e = optest_engine(form);
    bm_layout *layout = NULL;
    bm_bank *bank = NULL;
    int64_t at = 0;
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        const int64_t n = pieces[i], room = n + 1; /* the last step does not count */
        bm_graph_opts opts = bm_graph_opts_with_ops();
        bm_graph *g = NULL;
        bm_plan *p = NULL;
        test_ok(bm_graph_create(&g, &opts));
        bm_value *in = bm_graph_input(g, "x", BM_F32, BM_SHAPE(B, room, GH)), *vw = bm_graph_input(g, "w", BM_F32, BM_SHAPE(GH, H));
        bm_value *vb = bm_graph_input(g, "b", BM_F32, BM_SHAPE(GH)), *h = bm_graph_cache(g, "h", BM_F32, BM_SHAPE(B, H));
        bm_value *c = cell == BM_CELL_LSTM ? bm_graph_cache(g, "c", BM_F32, BM_SHAPE(B, H)) : NULL;
        bm_value *y = bm_graph_output(g, bm_recurrent_cached(g, cell, in, vw, vb, h, c), "y");
        test_ok(bm_graph_status(g));
        if (!bank) {
            test_ok(bm_layout_create(&layout, g, BM_PLACE_CACHE, bm_engine_limits(e)));
            test_ok(bm_bank_create(&bank, e, layout, BM_PLACE_CACHE));
        }
        test_ok(bm_plan_create(&p, e, g, &(bm_plan_opts){.banks = &bank, .n_banks = 1}));
        if (!i) { /* what was in the caches does not matter */
            for (int64_t j = 0; j < B * H; j++) part[j] = 7;
            test_ok(bm_bank_write(bank, bm_layout_find(layout, "h"), 0, part, B * H * 4));
            if (c) test_ok(bm_bank_write(bank, bm_layout_find(layout, "c"), 0, part, B * H * 4));
        }
        bm_plan_set_u32(p, BM_RT_POSITION, (uint32_t)at);
        bm_plan_set_u32(p, BM_RT_LENGTH, (uint32_t)n);
        for (int64_t j = 0; j < B * room * GH; j++) part[j] = 3;
        for (int64_t r = 0; r < B; r++)
            memcpy(part + r * room * GH, x + (r * T + at) * GH, (size_t)(n * GH) * 4);
        test_ok(bm_plan_write(p, in, part));
        test_ok(bm_plan_write(p, vw, w));
        test_ok(bm_plan_write(p, vb, b));
        test_ok(bm_plan_run(p));
        test_ok(bm_plan_read(p, y, part));
        for (int64_t r = 0; r < B; r++)
            for (int64_t j = 0; j < n * H; j++)
                ck_assert_double_eq_tol(part[r * room * H + j], want[(r * T + at) * H + j], 32 * 0x1p-24 * sqrt(H));
        at += n;
        bm_plan_destroy(p);
        bm_graph_destroy(g);
    }
    test_ok(bm_bank_read(bank, bm_layout_find(layout, "h"), 0, part, B * H * 4));
    for (int64_t j = 0; j < B * H; j++) ck_assert_double_eq_tol(part[j], h8[j], 32 * 0x1p-24 * sqrt(H));
    if (cell == BM_CELL_LSTM) test_ok(bm_bank_read(bank, bm_layout_find(layout, "c"), 0, part, B * H * 4));
    for (int64_t j = 0; cell == BM_CELL_LSTM && j < B * H; j++)
        ck_assert_double_eq_tol(part[j], c8[j], 32 * 0x1p-24 * sqrt(H) * fmax(1, fabs(c8[j])));
    bm_bank_destroy(bank);
    bm_layout_destroy(layout);
    void *all[] = {x, w, b, part, wide, want, h8, c8};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

START_TEST(a_sequence_in_pieces_is_the_sequence)
{
    EACH_FORM(form) {
        feed_in_pieces(form, (bm_cell)_i, 1);
        if (!optest_small()) feed_in_pieces(form, (bm_cell)_i, rows());
    }
}
END_TEST

/* ---- what is refused ---- */

static void refuses(bm_shape x, bm_shape w, bm_shape b, bm_shape lengths, const char *words)
{
    bm_graph *g = NULL;
    bm_graph_opts opts = bm_graph_opts_with_ops();
    bm_value *last;
    test_ok(bm_graph_create(&g, &opts));
    ck_assert_ptr_null(bm_recurrent(g, &last, BM_CELL_LSTM, bm_graph_input(g, "the_x", BM_F32, x),
                                    bm_graph_input(g, "the_w", BM_F32, w), bm_graph_input(g, "the_b", BM_F32, b),
                                    bm_graph_input(g, "the_lengths", BM_I32, lengths), 0));
    ck_assert_ptr_null(last);
    test_fails(bm_graph_status(g), BM_ERR_SHAPE, words);
    bm_graph_destroy(g);
}

START_TEST(shapes_that_do_not_fit_are_refused)
{
    const bm_shape x = BM_SHAPE(2, 3, 20), w = BM_SHAPE(20, 5), b = BM_SHAPE(20), n = BM_SHAPE(2);
    refuses(BM_SHAPE(6, 20), w, b, n, "the_x is [6, 20], not [B, T, 4 x H]");
    refuses(BM_SHAPE(2, 3, 21), w, b, n, "the_x is [2, 3, 21]");
    refuses(BM_SHAPE(2, 0, 20), w, b, n, "the_x is [2, 0, 20]");
    refuses(BM_SHAPE(2, 3, 0), w, b, n, "the_x is [2, 3, 0]");
    refuses(x, BM_SHAPE(5, 20), b, n, "the_w is [5, 20], not [20, 5]");
    refuses(x, w, BM_SHAPE(5), n, "the_b is [5], not [20]");
    refuses(x, w, b, BM_SHAPE(3), "the_lengths is [3], not [2]");
}
END_TEST

static void refuses_states(bm_cell cell, bm_dtype type, bm_shape h, int with_c, const char *words)
{
    bm_graph *g = NULL;
    bm_graph_opts opts = bm_graph_opts_with_ops();
    test_ok(bm_graph_create(&g, &opts));
    bm_value *x = bm_graph_input(g, "x", BM_F32, BM_SHAPE(2, 1, 5 * gates[cell]));
    bm_value *w = bm_graph_input(g, "w", BM_F32, BM_SHAPE(5 * gates[cell], 5)), *state = bm_graph_cache(g, "the_h", type, h);
    bm_value *c = with_c ? bm_graph_cache(g, "the_c", BM_F32, BM_SHAPE(2, 5)) : NULL;
    ck_assert_ptr_null(bm_recurrent_cached(g, cell, x, w, NULL, state, c));
    test_fails(bm_graph_status(g), BM_ERR_SHAPE, words);
    bm_graph_destroy(g);
}

START_TEST(states_that_do_not_fit_are_refused)
{
    refuses_states(BM_CELL_GRU, BM_F32, BM_SHAPE(5, 2), 0, "the_h is [5, 2], not [2, 5]");
    refuses_states(BM_CELL_GRU, BM_BF16, BM_SHAPE(2, 5), 0, "the_h is bf16, not f32");
    refuses_states(BM_CELL_GRU, BM_F32, BM_SHAPE(2, 5), 1, "only an LSTM");
    refuses_states(BM_CELL_LSTM, BM_F32, BM_SHAPE(2, 5), 0, "c is missing");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("recurrent");
    TCase *c = optest_tcase(s, "recurrent");
    tcase_add_loop_test(c, a_cell_is_its_formula, 0, 3);
    tcase_add_loop_test(c, rows_and_widths_of_any_number, 0, 3);
    tcase_add_test(c, large_weights_for_few_rows);
    tcase_add_loop_test(c, gradients_gather, 0, 3);
    tcase_add_loop_test(c, gradients_in_bf16_are_those_of_f32, 0, 3);
    tcase_add_loop_test(c, a_sequence_in_pieces_is_the_sequence, 0, 3);
    tcase_add_test(c, shapes_that_do_not_fit_are_refused);
    tcase_add_test(c, states_that_do_not_fit_are_refused);
    return test_run(s);
}
