/* `packed` on few rows and a B of i8: by products of bytes (vpdpbusd) where the device has them, and converted to f32 as everywhere
 * else. Each test runs for both. */
#include <math.h>
#include <stdlib.h>

#include "cl/gemm/bound_priv.h"
#include "cl/gemm/packed_priv.h"
#include "core/base/rng.h"
#include "core/device/memory.h"
#include "core/device/queue.h"
#include "tests/lib/device.h"
#include "tests/lib/dotstest.h"
#include "tests/lib/gemmtest.h"
#include "tests/lib/test.h"

/* Where host code is looked at, few products walk all of it. */
static int small(void) { return getenv("BM_TEST_SMALL") != NULL; }

static int has_bytes(const bm_engine *e)
{
    return bm_engine_limits(e)->i8_dot && bm_engine_form(e) == BM_FORM_CPU;
}

/* A [m, k] times B, [n, k] of i8. */
static bm_gemm_desc product(int64_t m, int64_t n, int64_t k)
{
    bm_gemm_desc d = gemmtest_desc(m, n, k, 2);
    d.type_b = BM_I8;
    return d;
}

static void check(bm_gemm_desc d)
{
    for (int form = has_bytes(dotstest_engine[DOTS]) ? DOTS : NO_DOTS; form < DOTS_FORMS; form++) {
        gemmtest_check(dotstest_engine[form], "packed", &d);
        ck_assert_msg(test_times_said == 0, "said: %s", test_said); /* bytes were not given up */
    }
}

static bm_packed_form form_of(bm_engine *e, bm_gemm_desc d)
{
    bm_packed_form form;
    d = bm_gemm_desc_full(&d);
    test_ok(bm_packed_form_of(&form, &d, e, bm_engine_limits(e)));
    return form;
}

START_TEST(bytes_are_multiplied_where_the_device_has_them)
{
    ck_assert_int_eq(bm_engine_limits(dotstest_engine[NO_DOTS])->i8_dot, 0);
    ck_assert_int_eq(form_of(dotstest_engine[NO_DOTS], product(1, 40, 70)), BM_PACKED_FLOATS);
    if (!has_bytes(dotstest_engine[DOTS])) return;
    bm_engine *e = dotstest_engine[DOTS];
    ck_assert_int_eq(form_of(e, product(1, 40, 70)), BM_PACKED_BYTES);
    ck_assert_int_eq(form_of(e, product(8, 40, 70)), BM_PACKED_BYTES);
    ck_assert_int_eq(form_of(e, product(9, 40, 70)), BM_PACKED_FLOATS);
    ck_assert_int_eq(form_of(e, product(8, 40, bm_engine_limits(e)->local_bytes)), BM_PACKED_FLOATS); /* digits have no room */
    bm_gemm_desc d = product(1, 40, 70);
    d.trans_b = 0;
    ck_assert_int_eq(form_of(e, d), BM_PACKED_FLOATS);
    d = product(2, 40, 70);
    d.trans_a = 1;
    ck_assert_int_eq(form_of(e, d), BM_PACKED_FLOATS);
    d = product(1, 40, 70);
    d.type_b = BM_BF16;
    ck_assert_int_eq(form_of(e, d), BM_PACKED_FLOATS);
}
END_TEST

/* 64 k are multiplied at once; panels are 32 columns wide, up to 8 of them for a work-item. */
START_TEST(sizes_around_every_block)
{
    static const int64_t m[] = {1, 2, 3, 4, 5, 6, 7, 8}, n[] = {1, 31, 32, 33, 65, 40, 257};
    static const int64_t k[] = {1, 15, 16, 17, 63, 64, 65, 127, 128, 130, 777};
    for (int i = 0; i < 77; i += small() ? 19 : 1) check(product(m[i % 8], n[i % 7], k[i % 11]));
    if (!small()) check(product(2, 3000, 65));
}
END_TEST

START_TEST(types_and_epilogues)
{
    static const bm_dtype type[] = {BM_F32, BM_BF16, BM_F16};
    for (int i = 0; i < 3; i++) {
        bm_gemm_desc d = product(2, 70, 100);
        d.type_a = type[i];
        d.type_d = type[(i + 1) % 3];
        d.alpha = -0.01f;
        d.has_scale = d.has_bias = d.has_pre = 1;
        d.act = BM_ACT_GELU_TANH;
        check(d);
        d.beta = 0.5f;
        check(d);
    }
}
END_TEST

START_TEST(rows_apart_and_odd_offsets)
{
    bm_gemm_desc d = product(3, 39, 77);
    d.lda = 83;
    d.ldb = 101;
    d.ldd = 71;
    d.offset_a = 3;
    d.offset_b = 5;
    d.offset_d = 7;
    check(d);
    d.batch = 3;
    d.stride_a = 300;
    d.stride_b = 4001;
    d.stride_d = 401;
    check(d);
}
END_TEST

/* ---- what a row of A may hold ---- */

enum { M = 4, N = 40, K = 200 };

/* D of A [M, K] times B [N, K] on an engine. */
static void multiply(float *out, bm_engine *e, const float *a, const int8_t *b)
{
    const bm_gemm_desc d = bm_gemm_desc_full(&(bm_gemm_desc){.m = M, .n = N, .k = K, .trans_b = 1, .batch = 1, .type_b = BM_I8, .alpha = 1});
    const int64_t bytes[3] = {4 * M * K, N * K, 4 * M * N};
    bm_queue *q = bm_engine_queue(e);
    bm_region *r = NULL;
    bm_gemm_bound *bound = NULL;
    cl_mem mem[3];
    test_ok(bm_region_create(&r, e, "operands", bytes, 3, 0));
    for (int i = 0; i < 3; i++) test_ok(bm_region_piece(&mem[i], r, i, 0, bytes[i]));
    test_ok(bm_queue_write(q, mem[0], 0, a, bytes[0]));
    test_ok(bm_queue_write(q, mem[1], 0, b, bytes[1]));
    test_ok(bm_gemm_bound_create(&bound, e, bm_gemm_backend_find("packed"), &d, &(bm_gemm_args){.a = mem[0], .b = mem[1], .d = mem[2]}));
    test_ok(bm_gemm_bound_run(bound));
    test_ok(bm_queue_read(q, mem[2], 0, out, bytes[2]));
    bm_gemm_bound_destroy(bound);
    bm_region_destroy(r);
}

static int random_number(uint32_t stream, uint64_t i, int most)
{
    return (int)(bm_rng_at(1, stream, 0, i) % (2 * (unsigned)most + 1)) - most;
}

static void fill_b(int8_t b[N * K])
{
    for (int i = 0; i < N * K; i++) b[i] = (int8_t)random_number(1, (uint64_t)i, 128);
    for (int k = 0; k < K; k++) {
        b[k] = 127; /* a first column of the largest, a second of the least */
        b[K + k] = -128;
    }
}

/* Sums are exact while they and the numbers are, at any power of two; the least k of a row is as good as the first. */
START_TEST(whole_numbers_are_exact)
{
    static const int most[M] = {1, 127, 128, 600};
    static const int power[] = {0, -40, 60};
    float a[M * K], got[M * N];
    int8_t b[N * K];
    fill_b(b);
    for (int i = 0; i < 3; i++) {
        for (int j = 0; j < M * K; j++) a[j] = ldexpf((float)random_number(2, (uint64_t)j, most[j / K]), power[i]);
        for (int form = 0; form < DOTS_FORMS; form++) {
            multiply(got, dotstest_engine[form], a, b);
            for (int row = 0; row < M; row++)
                for (int n = 0; n < N; n++) {
                    double want = 0;
                    for (int k = 0; k < K; k++) want += (double)a[row * K + k] * b[n * K + k];
                    test_that((double)got[row * N + n] == want, "form %d, power %d, D[%d][%d] is %a, not %a", form, power[i], row, n,
                              (double)got[row * N + n], want);
                }
        }
    }
}
END_TEST

/* Rows of one sign, of few large elements among small ones, of the largest floats, of the least: each element may be off by half a
 * step, 2^-22 of the largest, and the sum by its roundings. */
START_TEST(rows_of_any_size_keep_their_precision)
{
    float a[M * K], got[M * N];
    int8_t b[N * K];
    fill_b(b);
    for (int k = 0; k < K; k++) {
        const float x = (float)random_number(3, (uint64_t)k, 1 << 24) * 0x1p-24f;
        a[k] = 1 + fabsf(x);
        a[K + k] = k % 97 == 5 ? 1000 * x : x;
        a[2 * K + k] = x * 0x1p100f;
        a[3 * K + k] = x * 0x1p-135f; /* subnormal: lost below 2^-126 at most */
    }
    for (int form = 0; form < DOTS_FORMS; form++) {
        multiply(got, dotstest_engine[form], a, b);
        for (int row = 0; row < M; row++) {
            double largest = 0;
            for (int k = 0; k < K; k++) largest = fmax(largest, fabs((double)a[row * K + k]));
            for (int n = 0; n < N; n++) {
                double want = 0, sum = 0, sum_b = 0;
                for (int k = 0; k < K; k++) {
                    const double w = b[n * K + k], x = a[row * K + k];
                    want += x * w;
                    sum += fabs(x * w);
                    sum_b += fabs(w);
                }
                const double off = fabs((double)got[row * N + n] - want);
                test_that(off <= 0x1p-22 * largest * sum_b / 4 + 0x1p-22 * sum / 4 + 0x1p-126 * sum_b, "form %d, D[%d][%d] is off by %g of %g",
                          form, row, n, off, want);
            }
        }
    }
}
END_TEST

START_TEST(nan_and_infinity_stay_in_their_row_and_zero_is_zero)
{
    float a[M * K], got[M * N];
    int8_t b[N * K];
    fill_b(b);
    for (int i = 0; i < M * K; i++) a[i] = i / K == 3 ? 0.0f : (float)random_number(4, (uint64_t)i, 9);
    a[5] = NAN;
    a[K + 199] = -INFINITY;
    for (int form = 0; form < DOTS_FORMS; form++) {
        multiply(got, dotstest_engine[form], a, b);
        for (int n = 0; n < N; n++) {
            test_that(isnan(got[n]), "form %d: %g of NaN", form, (double)got[n]);
            test_that(!isfinite(got[N + n]), "form %d: %g of infinity", form, (double)got[N + n]);
            test_that(isfinite(got[2 * N + n]), "form %d: %g of a row beside them", form, (double)got[2 * N + n]);
            test_that(got[3 * N + n] == 0, "form %d: %g of zeros", form, (double)got[3 * N + n]);
        }
    }
}
END_TEST

/* ---- a form that does not build, or is wrong, is not used ---- */

static const char *const faults[][2] = {
    {"__clang_major__ < 9", "__clang_major__ < 9000"},                     /* a compiler that is too old */
    {"\"vpdpbusd", "\"no_such_one"},                                      /* an assembler that does not know it */
    {"DOT_BYTES(mid##i, w, x[i * DIGITS + 1])", "DOT_BYTES(mid##i, w, x[i * DIGITS])"},
    {"convert_uchar16(x & 255)", "convert_uchar16(x & 127)"},              /* a digit of half its size */
    {"(x + 128) >> 8", "(x + 127) >> 8"},                                  /* 128, that a digit cannot be */
    {"(uint16)(0x80808080u)", "(uint16)(0x7f7f7f7fu)"},                    /* sums that begin wrong */
    {"k + i < k_all ?", "k + i <= k_all ?"},                               /* beyond the end of a row */
    {"(exponent - 21) << 23", "(exponent - 20) << 23"},                    /* another step */
};

START_TEST(a_faulty_form_is_left_and_said_once)
{
    if (!has_bytes(dotstest_engine[DOTS])) return;
    bm_engine *faulty = dotstest_faulty("gemm/few.cl", "gemm/few.cl", faults[_i][0], faults[_i][1]);
    ck_assert(bm_engine_limits(faulty)->i8_dot);
    for (int m = 1; m < 4; m += 2) {
        bm_gemm_desc d = product(m, 40, 133);
        gemmtest_check(faulty, "packed", &d);
    }
    bm_engine_close(faulty);
    ck_assert_int_eq(test_times_said, 1);
    test_text_holds(test_said, "int8 weights are multiplied as f32");
    test_times_said = 0;
}
END_TEST

/* Lack of memory is no verdict on the form: the product fails, and works when there is memory again. */
static bm_status first_use(void *unused)
{
    (void)unused;
    bm_engine_opts opts = test_engine_opts();
    bm_engine *e = NULL;
    bm_packed_form form = BM_PACKED_FLOATS;
    bm_gemm_desc d = product(1, 40, 70);
    d = bm_gemm_desc_full(&d);
    bm_status s = test_engine_try(&e, &opts);
    if (!s) s = bm_packed_form_of(&form, &d, e, bm_engine_limits(e));
    if (!s) ck_assert_int_eq(form, has_bytes(e) ? BM_PACKED_BYTES : BM_PACKED_FLOATS);
    bm_engine_close(e);
    return s;
}

START_TEST(the_first_use_survives_failing_allocations) { test_fail_allocations(first_use, NULL); }
END_TEST

int main(void)
{
    Suite *s = suite_create("cl/gemm/i8");
    TCase *t = tcase_create("few rows by whole numbers");
    test_together(t, dotstest_close);
    tcase_add_checked_fixture(t, dotstest_setup, NULL);
    tcase_add_test(t, bytes_are_multiplied_where_the_device_has_them);
    tcase_add_test(t, sizes_around_every_block);
    tcase_add_test(t, types_and_epilogues);
    tcase_add_test(t, rows_apart_and_odd_offsets);
    tcase_add_test(t, whole_numbers_are_exact);
    tcase_add_test(t, rows_of_any_size_keep_their_precision);
    tcase_add_test(t, nan_and_infinity_stay_in_their_row_and_zero_is_zero);
    tcase_add_loop_test(t, a_faulty_form_is_left_and_said_once, 0, (int)(sizeof faults / sizeof faults[0]));
    tcase_add_test(t, the_first_use_survives_failing_allocations);
    suite_add_tcase(s, t);
    return test_run(s);
}
