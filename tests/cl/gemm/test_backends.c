/* Every backend of gemm, one suite for all: they must agree with the same reference in double. */
/* ctest: oclgrind unoptimized rusticl */
#include <stdlib.h>
#include <string.h>

#include "cl/gemm/gemm.h"
#include "cl/gemm/gemm_priv.h"
#include "tests/lib/device.h"
#include "tests/lib/gemmtest.h"
#include "tests/lib/test.h"

static bm_engine *engine;

/* Slow implementations are given small sizes. */
static int small(void)
{
    return getenv("BM_TEST_SMALL") || getenv("BM_TEST_OCLGRIND");
}

static void setup(void)
{
    engine = test_engine_shared();
}

/* On Oclgrind, which is slow, the cpu form stands for packed and packed_ab, and the plain form for tiled. */
static int left_out(const char *backend)
{
    if (!getenv("BM_TEST_OCLGRIND")) return 0;
    return strncmp(backend, bm_engine_form(engine) == BM_FORM_CPU ? "packed" : "tiled", 6) != 0;
}

/* There tiled takes half a second for each run of 16 k of each tile of 32 x 32, full or not: its cases have one of
 * them, but for those that cross an edge. */
static int scarce(void) { return getenv("BM_TEST_OCLGRIND") && bm_engine_form(engine) == BM_FORM_PLAIN; }

/* Runs the case on every backend that takes it; f32 must be taken by packed and tiled at least. */
static void check_all(const bm_gemm_desc *d)
{
    for (const char *const *name = bm_gemm_backends(); *name; name++) {
        const char *why = NULL;
        if (left_out(*name)) continue;
        if (bm_gemm_backend_takes(*name, engine, d, &why)) gemmtest_check(engine, *name, d);
        else ck_assert_msg(why && strcmp(*name, "tiled") && strcmp(*name, "packed"), "%s refuses: %s", *name, why);
    }
}

EACH_TRANSPOSE(all_transposes_at_odd_sizes)
{
    static const int64_t sizes[][3] = {{1, 1, 1}, {2, 3, 5}, {7, 31, 13}, {13, 17, 19}, {37, 41, 43}, {67, 71, 73}};
    const int n = scarce() ? 3 : small() ? 4 : 6;
    for (int i = scarce() ? 2 : 0; i < n; i++) {
        bm_gemm_desc d = gemmtest_desc(sizes[i][0], sizes[i][1], sizes[i][2], trans);
        check_all(&d);
    }
}

/* Tiles are 6 or 8 rows by 16 or 32 columns (packed), 32 by 32 by 16 (tiled), 64 (clblast's first choice among its kernels). */
EACH_TRANSPOSE(sizes_around_every_block)
{
    static const int64_t edges[] = {5, 6, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65};
    const int step = small() ? 5 : 1;
    if (scarce()) {
        bm_gemm_desc d = gemmtest_desc(33, 33, 1, trans);
        check_all(&d);
        d = gemmtest_desc(5, 6, 17, trans);
        check_all(&d);
        return;
    }
    for (int i = 0; i < 14; i += step) {
        bm_gemm_desc d = gemmtest_desc(edges[i], edges[13 - i], edges[(i * 5 + 3) % 14], trans);
        check_all(&d);
    }
}

/* Panels hold 384 k, or 768 where rows of A are read where they lie (256 where local memory is small), launches 4096: each border is
 * crossed. */
EACH_TRANSPOSE(long_sums)
{
    static const int64_t lengths[] = {257, 383, 385, 384, 767, 768, 769, 1030, 1537, 4095, 4097, 8200};
    if (scarce()) return; /* tiled knows no such border */
    for (int i = small() ? 2 : 0; i < (small() ? 3 : 12); i++) {
        bm_gemm_desc d = gemmtest_desc(11, 35, lengths[i], trans);
        d.beta = 0.5f;
        check_all(&d);
    }
}

EACH_TRANSPOSE(few_rows)
{
    static const int64_t rows[] = {1, 2, 5, 8, 9};
    if (scarce()) return; /* and has one kernel for any number of rows */
    for (int i = 0; i < 5; i += small() ? 3 : 1) {
        bm_gemm_desc d = gemmtest_desc(rows[i], small() ? 35 : 70, small() ? 37 : 83, trans);
        check_all(&d);
    }
}

/* 4 MiB of packed rows at once: more than 2730 rows are cut at 384 k, and then by rows. */
EACH_TRANSPOSE(many_rows_are_packed_in_groups)
{
    if (small()) return;
    bm_gemm_desc d = gemmtest_desc(3300, 9, 700, 1);
    d.beta = 1.0f;
    check_all(&d);
    d = gemmtest_desc(9, 2500, 300, trans);
    check_all(&d);
    d = gemmtest_desc(1500, 9, 1100, trans); /* sums of a 16-bit D across groups of k */
    d.type_a = d.type_b = d.type_d = BM_BF16;
    check_all(&d);
}

EACH_TRANSPOSE(sizes_of_zero)
{
    bm_gemm_desc none = gemmtest_desc(0, 5, 5, trans);
    test_ok(bm_gemm_desc_check(&none));
    int64_t bytes = -1;
    test_ok(bm_gemm_scratch(&bytes, NULL, &none, bm_engine_limits(engine)));
    ck_assert_int_eq(bytes, 0);
    /* A sum over nothing is 0; what is left is beta D, the bias and the activation. */
    bm_gemm_desc d = gemmtest_desc(5, 37, 0, trans);
    d.has_bias = 1;
    d.act = BM_ACT_TANH;
    d.beta = 2.0f;
    gemmtest_check(engine, "tiled", &d);
    const bm_gemm_backend *chosen = NULL;
    for (const char *const *name = bm_gemm_backends(); *name; name++) {
        bm_gemm_desc full = bm_gemm_desc_full(&d);
        test_ok(bm_gemm_choose(&chosen, engine, &full, *name));
        ck_assert_str_eq(chosen->name, "tiled");
    }
}

EACH_TRANSPOSE(rows_apart_and_offsets)
{
    bm_gemm_desc d = scarce() ? gemmtest_desc(9, 8, 7, trans) : gemmtest_desc(21, 39, 27, trans);
    d.lda = 53;
    d.ldb = 61;
    d.ldd = 71;
    check_all(&d);
    d.offset_a = 3;
    d.offset_b = 5;
    d.offset_d = 7;
    d.beta = -1.5f;
    check_all(&d);
    if (scarce()) return;
    /* Offsets that a sub-buffer can begin at. */
    d.offset_a = 1024;
    d.offset_b = 2048;
    d.offset_d = 512;
    check_all(&d);
}

EACH_TRANSPOSE(batches)
{
    bm_gemm_desc d = scarce() ? gemmtest_desc(10, 11, 12, trans) : gemmtest_desc(10, 33, 19, trans);
    d.batch = small() ? 2 : 5;
    d.stride_a = 300;
    d.stride_b = 700;
    d.stride_d = 400;
    check_all(&d);
    d.stride_a = 0; /* one A for all */
    d.offset_d = 9;
    d.beta = 1.0f;
    check_all(&d);
    if (scarce()) return;
    d = gemmtest_desc(3, 33, 19, trans); /* few rows */
    d.batch = small() ? 2 : 3;
    d.stride_a = 64;
    d.stride_b = 640;
    d.stride_d = 128;
    check_all(&d);
}

EACH_TRANSPOSE(scaling)
{
    static const float factors[][2] = {{1, 0}, {1, 1}, {-0.75f, 0}, {0, 0.5f}, {3, -2}};
    if (scarce() && trans) return;
    for (int i = 0; i < 5; i++) {
        bm_gemm_desc d = scarce() ? gemmtest_desc(9, 10, 11, trans) : gemmtest_desc(19, 45, small() ? 30 : 300, trans);
        d.alpha = factors[i][0];
        d.beta = factors[i][1];
        check_all(&d);
    }
}

/* 5 and 20 rows: the kernel for few rows, and the other. A product of one run of k and of several. */
START_TEST(epilogues)
{
    for (int i = 0; i < 4; i++) {
        if (small() && i != 3) continue;
        if (!(i & 1) && _i != BM_ACT_GELU_TANH) continue;
        bm_gemm_desc d = gemmtest_desc(i & 1 ? 20 : 5, 50, i & 2 ? (small() ? 45 : 270) : 40, 2);
        if (scarce()) d = gemmtest_desc(8, 9, 10, 2);
        d.act = (bm_activation)_i;
        d.has_bias = _i != 5;
        d.has_pre = _i != 3;
        check_all(&d);
    }
}
END_TEST

START_TEST(storage_types)
{
    static const bm_dtype types[][3] = {{BM_F16, BM_F16, BM_F16}, {BM_BF16, BM_BF16, BM_BF16}, {BM_F32, BM_BF16, BM_F32},
                                        {BM_F16, BM_F32, BM_BF16}, {BM_BF16, BM_F16, BM_F16}};
    for (int i = 0; i < 6; i++) { /* a run of k, a D of several, and more than a 16-bit D sums without a buffer */
        if ((small() && i > (scarce() ? 0 : 1)) || i == 2 || i == 4) continue;
        bm_gemm_desc d = gemmtest_desc(i % 2 ? 18 : 4, 37, i < 2 ? 41 : i < 4 ? 700 : 3000, _i % 4);
        if (scarce()) d = gemmtest_desc(4, 5, 6, _i % 4);
        d.type_a = types[_i][0];
        d.type_b = types[_i][1];
        d.type_d = types[_i][2];
        d.has_bias = d.has_pre = 1;
        d.act = BM_ACT_GELU_TANH;
        d.beta = i % 2 ? 0.0f : 0.5f;
        check_all(&d);
    }
}
END_TEST

/* 5 rows and 20, of B in 8 bits: one run of k, and several, whose sums meet in D or apart from it. Types and epilogue go with the
 * transposes, since each of their combinations is a program. */
EACH_TRANSPOSE(scaled_whole_numbers)
{
    static const int64_t rows[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 20}, lengths[] = {1, 15, 16, 17, 41, 64, 83, 130, 700, 4200};
    static const bm_dtype types[][2] = {{BM_F32, BM_F32}, {BM_BF16, BM_BF16}, {BM_F32, BM_F16}};
    for (int i = (small() ? 6 : 0) + trans % 3; i < 10; i += 3) {
        bm_gemm_desc d = gemmtest_desc(rows[i], i % 2 ? 70 : 37, small() ? 45 : lengths[(3 * i) % 10], trans);
        if (scarce()) d = gemmtest_desc(4, 5, 6, trans);
        d.type_b = BM_I8;
        d.type_a = types[trans % 3][0];
        d.type_d = types[trans % 3][1];
        d.has_scale = 1;
        d.alpha = 0.01f;
        d.has_bias = d.has_pre = trans > 0;
        d.act = trans > 1 ? BM_ACT_GELU_TANH : BM_ACT_NONE;
        d.beta = i % 2 ? -0.5f : 0.0f;
        check_all(&d);
        d.type_b = BM_F32; /* scales are for any B */
        d.beta = 0.0f;
        if (i % 4 == 3) check_all(&d);
    }
}

START_TEST(whole_numbers_of_several_products)
{
    bm_gemm_desc d = gemmtest_desc(_i / 2 ? 3 : 10, 33, 19, _i % 2 ? 2 : 0);
    d.type_b = BM_I8;
    d.has_scale = 1;
    d.batch = 2;
    d.stride_a = 300;
    d.stride_b = 1200;
    d.stride_d = 400;
    d.offset_b = 5;
    d.ldb = 35;
    check_all(&d);
}
END_TEST

/* A product too large to sum on the host: D x must be A (B x), with x of random signs. One wrong element of D's size shows. */
EACH_TRANSPOSE(large_products_by_a_vector)
{
    const int64_t m = 517, n = 1030, k = 777;
    if (small()) return;
    for (const char *const *name = bm_gemm_backends(); *name; name++) {
        bm_gemm_desc d = gemmtest_desc(m, n, k, trans);
        const char *why = NULL;
        if (bm_gemm_backend_takes(*name, engine, &d, &why)) gemmtest_check_by_vector(engine, *name, &d);
    }
}

/* 6 MiB of f32 and more: written once, whole vectors of it go past the caches; not where rows or D lie between vectors, and not what
 * is added to. */
START_TEST(results_that_leave_the_caches)
{
    static const struct {
        int64_t n, k, ldd, offset, batch;
        float beta;
    } cases[] = {{976, 9, 0, 0, 1, 0}, {976, 9, 984, 0, 1, 0}, {976, 9, 0, 8, 1, 0}, {976, 9, 0, 16, 2, 0}, {977, 9, 992, 0, 1, 0},
                 {976, 9, 0, 0, 1, 1}, {976, 780, 0, 0, 1, 0}};
    if (small()) return;
    bm_gemm_desc d = gemmtest_desc(1651, cases[_i].n, cases[_i].k, _i % 4);
    d.ldd = cases[_i].ldd;
    d.offset_d = cases[_i].offset;
    d.batch = cases[_i].batch;
    d.stride_d = d.batch > 1 ? d.m * d.n + 32 : 0;
    d.beta = cases[_i].beta;
    d.has_bias = d.has_pre = 1;
    d.act = BM_ACT_RELU;
    gemmtest_check(engine, "packed", &d);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cl/gemm/backends");
    TCase *t = tcase_create("every backend");
    test_share_engine(t);
    tcase_add_checked_fixture(t, setup, NULL);
    tcase_add_test(t, all_transposes_at_odd_sizes);
    tcase_add_test(t, sizes_around_every_block);
    tcase_add_test(t, long_sums);
    tcase_add_test(t, few_rows);
    tcase_add_test(t, many_rows_are_packed_in_groups);
    tcase_add_test(t, sizes_of_zero);
    tcase_add_test(t, rows_apart_and_offsets);
    tcase_add_test(t, batches);
    tcase_add_test(t, scaling);
    tcase_add_loop_test(t, epilogues, BM_ACT_NONE, BM_ACT_SIGMOID + 1);
    tcase_add_loop_test(t, storage_types, 0, 5);
    tcase_add_test(t, scaled_whole_numbers);
    tcase_add_loop_test(t, whole_numbers_of_several_products, 0, 4);
    tcase_add_test(t, large_products_by_a_vector);
    tcase_add_loop_test(t, results_that_leave_the_caches, 0, 7);
    suite_add_tcase(s, t);
    return test_run(s);
}
