/* ctest: oclgrind rusticl */
#include <stdlib.h>
#include <string.h>

#include "cl/ops/ops.h"
#include "tests/lib/optest.h"
#include "tests/lib/test.h"

static const int64_t sizes[] = {0, 1, 3, 4, 16, 17, 97, 255, 257, 4096, 4097};
static int n_sizes(void) { return optest_small() ? 8 : 11; }

static void build_copy(bm_graph *g, bm_value **out, bm_value *const *in, const optest *t)
{
    (void)t;
    out[0] = bm_copy(g, in[0]);
}
static void ref_same(double *const *out, const double *const *in, const optest *t)
{
    memcpy(out[0], in[0], (size_t)bm_shape_elements(&t->in[0].shape) * sizeof **out);
}

START_TEST(copy_is_exact)
{
    for (int i = 0; i < n_sizes(); i++) {
        optest t = {.name = "copy", .n_in = 1, .n_out = 1, .build = build_copy, .reference = ref_same};
        t.in[0] = (optest_input){.shape = BM_SHAPE(sizes[i]), .gradient = 1};
        optest_check(&t);
        t.in[0] = (optest_input){.shape = BM_SHAPE(sizes[i]), .fill = OPTEST_INDEX, .low = -2e9, .high = 2e9};
        optest_check(&t);
    }
}
END_TEST

/* Types of 8 bytes are moved as words of 4, whatever they mean. */
START_TEST(copy_moves_numbers_of_8_bytes)
{
    static const bm_dtype types[] = {BM_I64, BM_F64};
    EACH_FORM(form)
    for (int k = 0; k < 2; k++) {
        enum { N = 4099 };
        bm_graph *g = NULL;
        bm_plan *p = NULL;
        bm_graph_opts opts = bm_graph_opts_with_ops();
        const bm_plan_opts plan_opts = {0};
        test_ok(bm_graph_create(&g, &opts));
        bm_value *x = bm_graph_input(g, "x", types[k], BM_SHAPE(N)), *y = bm_graph_output(g, bm_copy(g, x), "y");
        test_ok(bm_plan_create(&p, optest_engine(form), g, &plan_opts));
        uint64_t in[N], out[N] = {0};
        for (uint64_t i = 0; i < N; i++) in[i] = (i + 1) * 0x9e3779b97f4a7c15u;
        test_ok(bm_plan_write(p, x, in));
        test_ok(bm_plan_run(p));
        test_ok(bm_plan_read(p, y, out));
        ck_assert_mem_eq(out, in, sizeof in);
        bm_plan_destroy(p);
        bm_graph_destroy(g);
    }
}
END_TEST

static void build_cast(bm_graph *g, bm_value **out, bm_value *const *in, const optest *t)
{
    out[0] = bm_cast(g, in[0], *(const bm_dtype *)t->with);
}

START_TEST(cast_rounds_to_nearest_even)
{
    static const bm_dtype types[] = {BM_F32, BM_F16, BM_BF16};
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < n_sizes(); i++) {
            optest t = {.name = "cast", .n_in = 1, .n_out = 1, .build = build_cast, .reference = ref_same, .with = &types[k]};
            t.in[0] = (optest_input){.shape = BM_SHAPE(sizes[i])};
            optest_check(&t);
        }
}
END_TEST

static void build_round_trip(bm_graph *g, bm_value **out, bm_value *const *in, const optest *t)
{
    (void)t;
    out[0] = bm_cast(g, bm_cast(g, in[0], BM_BF16), BM_F32);
}
static void ref_round_trip(double *const *out, const double *const *in, const optest *t)
{
    for (int64_t i = 0; i < bm_shape_elements(&t->in[0].shape); i++)
        out[0][i] = bm_bf16_to_f32(bm_f32_to_bf16((float)in[0][i]));
}

/* All 65,536 patterns of a type as f32 and back again; NaN stays NaN. */
static void every_pattern(bm_form form, bm_dtype type)
{
    bm_graph *g = NULL;
    bm_plan *p = NULL;
    bm_graph_opts opts = bm_graph_opts_with_ops();
    bm_plan_opts plan_opts = {0};
    test_ok(bm_graph_create(&g, &opts));
    bm_value *x = bm_graph_input(g, "x", type, BM_SHAPE(65536)), *wide = bm_cast(g, x, BM_F32);
    bm_value *back = bm_cast(g, wide, type);
    bm_graph_output(g, wide, "wide");
    bm_graph_output(g, back, "back");
    test_ok(bm_plan_create(&p, optest_engine(form), g, &plan_opts));
    uint16_t *in = malloc(65536 * sizeof *in), *out = malloc(65536 * sizeof *out);
    float *f = malloc(65536 * sizeof *f);
    for (int i = 0; i < 65536; i++) in[i] = (uint16_t)i;
    test_ok(bm_plan_write(p, x, in));
    test_ok(bm_plan_run(p));
    test_ok(bm_plan_read(p, wide, f));
    test_ok(bm_plan_read(p, back, out));
    for (int i = 0; i < 65536; i++) {
        const float want = type == BM_F16 ? bm_f16_to_f32(in[i]) : bm_bf16_to_f32(in[i]);
        if (want != want) {
            const float again = type == BM_F16 ? bm_f16_to_f32(out[i]) : bm_bf16_to_f32(out[i]);
            ck_assert_msg(f[i] != f[i] && again != again, "%s %04x is NaN", bm_dtype_name(type), (unsigned)i);
        } else {
            ck_assert_msg(f[i] == want && out[i] == in[i], "%s %04x: %g, not %g; back: %04x", bm_dtype_name(type), (unsigned)i,
                          (double)f[i], (double)want, (unsigned)out[i]);
        }
    }
    free(in);
    free(out);
    free(f);
    bm_plan_destroy(p);
    bm_graph_destroy(g);
}

START_TEST(every_pattern_survives_a_round_trip)
{
    EACH_FORM(form) {
        every_pattern(form, BM_F16);
        every_pattern(form, BM_BF16);
    }
}
END_TEST

START_TEST(the_gradient_of_a_cast_is_cast_back)
{
    optest t = {.name = "round_trip", .n_in = 1, .n_out = 1, .build = build_round_trip, .reference = ref_round_trip,
                .f32_only = 1};
    t.in[0] = (optest_input){.shape = BM_SHAPE(97)};
    optest_check(&t);
    bm_graph *g = NULL;
    bm_graph_opts opts = bm_graph_opts_with_ops();
    test_ok(bm_graph_create(&g, &opts));
    bm_value *x = bm_graph_input(g, "x", BM_F16, BM_SHAPE(5));
    bm_graph_want_gradient(g, x);
    test_ok(bm_graph_gradients(g, bm_sum(g, bm_cast(g, x, BM_F32))));
    ck_assert_int_eq(bm_value_dtype(bm_graph_gradient(g, x)), BM_F16);
    bm_graph_destroy(g);
}
END_TEST

static void build_transpose(bm_graph *g, bm_value **out, bm_value *const *in, const optest *t)
{
    (void)t;
    out[0] = bm_transpose(g, in[0]);
}
static void ref_transpose(double *const *out, const double *const *in, const optest *t)
{
    const bm_shape *s = &t->in[0].shape;
    const int64_t m = s->dim[s->rank - 2], n = s->dim[s->rank - 1], all = bm_shape_elements(s);
    for (int64_t i = 0; i < all; i++) {
        const int64_t b = i / (m * n), r = i / n % m, c = i % n;
        out[0][b * m * n + c * m + r] = in[0][i];
    }
}

START_TEST(transpose_swaps_the_last_two_dimensions)
{
    const bm_shape shapes[] = {BM_SHAPE(1, 1),   BM_SHAPE(0, 3),      BM_SHAPE(3, 0),
                               BM_SHAPE(16, 64), BM_SHAPE(17, 5),     BM_SHAPE(2, 3, 15, 16),
                               BM_SHAPE(31, 67), BM_SHAPE(3, 67, 33), BM_SHAPE(97, 129)};
    for (int i = 0; i < (optest_small() ? 7 : 9); i++) {
        optest t = {.name = "transpose", .n_in = 1, .n_out = 1, .build = build_transpose, .reference = ref_transpose};
        t.in[0] = (optest_input){.shape = shapes[i], .gradient = 1};
        optest_check(&t);
    }
}
END_TEST

START_TEST(what_cannot_be_moved_is_refused)
{
    static const char *const words[] = {"two dimensions or more", "b is i8", "i32", "of 2 or 4 bytes"};
    for (int i = 0; i < 4; i++) {
        bm_graph *g = NULL;
        bm_graph_opts opts = bm_graph_opts_with_ops();
        test_ok(bm_graph_create(&g, &opts));
        bm_value *v = bm_graph_input(g, "v", BM_F32, BM_SHAPE(4)), *b = bm_graph_input(g, "b", BM_I8, BM_SHAPE(4));
        bm_value *wide = bm_graph_input(g, "wide", BM_F64, BM_SHAPE(2, 2));
        ck_assert_ptr_eq(bm_cast(g, v, BM_F32), v); /* nothing to do is no node */
        bm_value *y = i == 0   ? bm_transpose(g, v)
                      : i == 1 ? bm_copy(g, b)
                      : i == 2 ? bm_cast(g, v, BM_I32)
                               : bm_transpose(g, wide);
        ck_assert_ptr_null(y);
        test_fails(bm_graph_status(g), i == 1 ? BM_ERR_UNSUPPORTED : BM_ERR_SHAPE, words[i]);
        bm_graph_destroy(g);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("copy");
    TCase *c = optest_tcase(s, "copy");
    tcase_add_test(c, copy_is_exact);
    tcase_add_test(c, copy_moves_numbers_of_8_bytes);
    tcase_add_test(c, cast_rounds_to_nearest_even);
    tcase_add_test(c, every_pattern_survives_a_round_trip);
    tcase_add_test(c, the_gradient_of_a_cast_is_cast_back);
    tcase_add_test(c, transpose_swaps_the_last_two_dimensions);
    tcase_add_test(c, what_cannot_be_moved_is_refused);
    return test_run(s);
}
