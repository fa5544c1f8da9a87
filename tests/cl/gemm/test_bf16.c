/* `packed` on bf16 operands: in pairs by vdpbf16ps where the device has it, and converted to f32 as everywhere else. Each test
 * runs for both, and for D in bf16 and in f32. */
#include <math.h>
#include <stdlib.h>

#include "cl/gemm/bound_priv.h"
#include "cl/gemm/gemm.h"
#include "cl/gemm/gemm_priv.h"
#include "core/device/memory.h"
#include "core/device/queue.h"
#include "tests/lib/device.h"
#include "tests/lib/dotstest.h"
#include "tests/lib/gemmtest.h"
#include "tests/lib/test.h"

/* Where host code is looked at, few products walk all of it. */
static int small(void) { return getenv("BM_TEST_SMALL") != NULL; }

static int has_pairs(const bm_engine *e)
{
    return bm_engine_limits(e)->bf16_dot && bm_engine_form(e) == BM_FORM_CPU;
}

static bm_gemm_desc product(int64_t m, int64_t n, int64_t k, int trans)
{
    bm_gemm_desc d = gemmtest_desc(m, n, k, trans);
    d.type_a = d.type_b = BM_BF16;
    return d;
}

static void check(bm_gemm_desc d)
{
    static const bm_dtype type[] = {BM_F32, BM_BF16};
    for (int form = has_pairs(dotstest_engine[DOTS]) ? DOTS : NO_DOTS; form < DOTS_FORMS; form++)
        for (int i = 0; i < 2; i++) {
            d.type_d = type[i];
            gemmtest_check(dotstest_engine[form], "packed", &d);
            ck_assert_msg(test_times_said == 0, "said: %s", test_said); /* the pairs were not given up */
        }
}

/* Scratch for the packed rows of a transposed A of bf16 tells the forms apart: a pair is as large as one f32. */
static int64_t scratch_bytes(bm_engine *e, bm_dtype type_b)
{
    bm_gemm_desc d = product(64, 64, 100, 1);
    d.type_b = type_b;
    d = bm_gemm_desc_full(&d);
    int64_t bytes = 0;
    test_ok(bm_gemm_backend_find("packed")->scratch(&bytes, &d, e, bm_engine_limits(e)));
    return bytes;
}

START_TEST(pairs_are_used_where_the_device_has_them)
{
    ck_assert_int_eq(bm_engine_limits(dotstest_engine[NO_DOTS])->bf16_dot, 0);
    ck_assert_int_eq(scratch_bytes(dotstest_engine[NO_DOTS], BM_BF16), 64 * 100 * 4);
    if (!has_pairs(dotstest_engine[DOTS])) return;
    ck_assert_int_eq(scratch_bytes(dotstest_engine[DOTS], BM_BF16), 64 * 50 * 4);
    ck_assert_int_eq(scratch_bytes(dotstest_engine[DOTS], BM_F32), 64 * 100 * 4); /* both operands have to be bf16 */
}
END_TEST

/* Tiles are 8 rows by 32 columns; 16 k of 8 rows or columns are transposed at once; 16 k are packed by a work-item. */
START_TEST(sizes_around_every_block)
{
    static const int64_t m[] = {9, 15, 16, 17, 31, 66, 1, 8, 23}, n[] = {1, 7, 8, 9, 31, 32, 33, 65, 40};
    static const int64_t k[] = {1, 2, 3, 15, 16, 17, 18, 31, 33, 63, 130};
    for (int i = _i; i < 99; i += small() ? 24 : 3) check(product(m[i % 9], n[i * 5 / 3 % 9], k[i % 11], _i));
}
END_TEST

/* A panel holds 768 k, 2048 with a 16-bit D of no more k: odd and even lengths around one, two and three of them. */
START_TEST(long_sums)
{
    static const int64_t lengths[] = {767, 768, 769, 1535, 1537, 2047, 2049, 4097, 8201};
    for (int i = 0; i < 9; i++) {
        bm_gemm_desc d = product(11, 35, lengths[i], _i);
        d.beta = i % 2 ? 0.5f : 0.0f;
        check(d);
    }
}
END_TEST

/* More packed rows of A than are kept at once, and more rows than one work-item takes. */
START_TEST(many_rows)
{
    if (!small()) check(product(5300, 9, 801, 1 | (_i & 2)));
    check(product(1000, 70, 35, _i));
}
END_TEST

START_TEST(rows_apart_and_odd_offsets)
{
    bm_gemm_desc d = product(21, 39, 27, _i);
    d.lda = 53;
    d.ldb = 61;
    d.ldd = 71;
    check(d);
    d.offset_a = 3;
    d.offset_b = 5;
    d.offset_d = 7;
    d.beta = -1.5f;
    check(d);
    d.offset_a = 4;
    d.offset_b = 6;
    d.k = 26;
    check(d);
}
END_TEST

START_TEST(batches)
{
    bm_gemm_desc d = product(10, 33, 19, _i);
    d.batch = 4;
    d.stride_a = 301;
    d.stride_b = 703;
    d.stride_d = 401;
    check(d);
    d.stride_a = 0; /* one A for all */
    d.offset_d = 9;
    d.beta = 1.0f;
    check(d);
}
END_TEST

START_TEST(scaling_and_epilogues)
{
    static const float factors[][2] = {{1, 1}, {-0.75f, 0}, {0, 0.5f}, {3, -2}};
    for (int i = 0; i < 4; i++) {
        bm_gemm_desc d = product(20, 50, i % 2 ? 45 : 801, _i);
        d.alpha = factors[i][0];
        d.beta = factors[i][1];
        check(d);
        d.has_bias = d.has_pre = 1;
        d.act = BM_ACT_GELU_TANH;
        check(d);
    }
}
END_TEST

/* Rows of A by ones: NaN and infinity stay what they are; halves of a last place go to the even neighbour. */
START_TEST(d_in_bf16_is_rounded_to_even_and_keeps_nan)
{
    static const float row[5][2] = {{NAN, 1}, {INFINITY, 1}, {1, 0x1p-8f}, {1, 0x3p-8f}, {-1, -0x1.8p-8f}};
    static const float want[5] = {NAN, INFINITY, 1, 1 + 0x1p-6f, -1 - 0x1p-7f};
    enum { M = 16, N = 32, K = 2 };
    bm_gemm_desc d = product(M, N, K, 0);
    d.type_d = BM_BF16;
    d = bm_gemm_desc_full(&d);
    for (int form = 0; form < DOTS_FORMS; form++) {
        bm_queue *q = bm_engine_queue(dotstest_engine[form]);
        bm_region *r = NULL;
        cl_mem mem[3];
        const int64_t bytes[3] = {2 * M * K, 2 * K * N, 2 * M * N};
        float x[M * N];
        uint16_t a[M * K], b[K * N], out[M * N];
        for (int i = 0; i < M * K; i++) x[i] = row[i / K % 5][i % K];
        test_ok(bm_convert_floats(a, BM_BF16, x, BM_F32, M * K));
        for (int i = 0; i < K * N; i++) x[i] = 1;
        test_ok(bm_convert_floats(b, BM_BF16, x, BM_F32, K * N));
        test_ok(bm_region_create(&r, dotstest_engine[form], "operands", bytes, 3, 0));
        for (int i = 0; i < 3; i++) test_ok(bm_region_piece(&mem[i], r, i, 0, bytes[i]));
        test_ok(bm_queue_write(q, mem[0], 0, a, bytes[0]));
        test_ok(bm_queue_write(q, mem[1], 0, b, bytes[1]));
        bm_gemm_bound *bound = NULL;
        const bm_gemm_args args = {.a = mem[0], .b = mem[1], .d = mem[2]};
        test_ok(bm_gemm_bound_create(&bound, dotstest_engine[form], bm_gemm_backend_find("packed"), &d, &args));
        test_ok(bm_gemm_bound_run(bound));
        test_ok(bm_queue_read(q, mem[2], 0, out, bytes[2]));
        test_ok(bm_convert_floats(x, BM_F32, out, BM_BF16, M * N));
        for (int i = 0; i < M * N; i++) {
            const float w = want[i / N % 5];
            test_that(isnan(w) ? isnan(x[i]) : x[i] == w, "form %d, row %d: %a, not %a", form, i / N, (double)x[i], (double)w);
        }
        bm_gemm_bound_destroy(bound);
        bm_region_destroy(r);
    }
}
END_TEST

/* ---- a form that does not build, or is wrong, is not used ---- */

static const char *const faults[][3] = {
    {"lib/pairs.clh", "__clang_major__ < 9", "__clang_major__ < 9000"},                  /* a compiler that is too old */
    {"lib/pairs.clh", "\"=v\"(rounded)", "\"=v\"(no_such_name)"},                        /* one that refuses the text */
    {"lib/pairs.clh", "\"vdpbf16ps", "\"no_such_one"},                                  /* an assembler that does not know it */
    {"lib/pairs.clh", "\"v\"(x), \"v\"(y))", "\"v\"(x), \"v\"(y << 16u | y >> 16u))"}, /* the pairs of B the other way round */
    {"gemm/packed.cl", "first | convert_uint##n", "first + 65536u | convert_uint##n"},   /* B packed wrong */
    {"gemm/packed.cl", "p[(k + 1) * ld] : 0;", "p[(k + 1) * ld] : 0x3f80;"},              /* no pad */
};

START_TEST(a_faulty_form_is_left_and_said_once)
{
    if (!has_pairs(dotstest_engine[DOTS])) return;
    bm_engine *faulty = dotstest_faulty("gemm/packed.cl", faults[_i][0], faults[_i][1], faults[_i][2]);
    ck_assert(bm_engine_limits(faulty)->bf16_dot);
    for (int trans = 0; trans < 4; trans += 3) {
        bm_gemm_desc d = product(20, 40, 33, trans);
        d.type_d = trans % 2 ? BM_F32 : BM_BF16;
        gemmtest_check(faulty, "packed", &d);
    }
    bm_engine_close(faulty);
    ck_assert_int_eq(test_times_said, 1);
    test_text_holds(test_said, "multiplied as f32");
    test_times_said = 0;
}
END_TEST

/* Lack of memory is no verdict on the form: the product fails, and works when there is memory again. */
static bm_status first_use(void *unused)
{
    (void)unused;
    bm_engine_opts opts = test_engine_opts();
    bm_engine *e = NULL;
    bm_gemm_desc d = product(64, 64, 100, 1);
    int64_t bytes = 0;
    d = bm_gemm_desc_full(&d);
    bm_status s = test_engine_try(&e, &opts);
    if (!s) s = bm_gemm_backend_find("packed")->scratch(&bytes, &d, e, bm_engine_limits(e));
    if (!s) ck_assert_int_eq(bytes, has_pairs(e) ? 64 * 50 * 4 : 64 * 100 * 4);
    bm_engine_close(e);
    return s;
}

START_TEST(the_first_use_survives_failing_allocations) { test_fail_allocations(first_use, NULL); }
END_TEST

int main(void)
{
    Suite *s = suite_create("cl/gemm/bf16");
    TCase *t = tcase_create("bf16 operands");
    test_together(t, dotstest_close);
    tcase_add_checked_fixture(t, dotstest_setup, NULL);
    tcase_add_test(t, pairs_are_used_where_the_device_has_them);
    tcase_add_loop_test(t, sizes_around_every_block, 0, 4);
    tcase_add_loop_test(t, long_sums, 0, 4);
    tcase_add_loop_test(t, many_rows, 0, 4);
    tcase_add_loop_test(t, rows_apart_and_odd_offsets, 0, 4);
    tcase_add_loop_test(t, batches, 0, 4);
    tcase_add_loop_test(t, scaling_and_epilogues, 0, 4);
    tcase_add_test(t, d_in_bf16_is_rounded_to_even_and_keeps_nan);
    tcase_add_loop_test(t, a_faulty_form_is_left_and_said_once, 0, (int)(sizeof faults / sizeof faults[0]));
    tcase_add_test(t, the_first_use_survives_failing_allocations);
    suite_add_tcase(s, t);
    return test_run(s);
}
