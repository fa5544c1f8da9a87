/* The backend clblast: products cut into slices, and what a run may take. What all backends share is in test_backends.c. */
#include <string.h>

#include "cl/gemm/bound_priv.h"
#include "cl/gemm/trial_priv.h"
#include "core/device/queue.h"
#include "tests/lib/device.h"
#include "tests/lib/gemmtest.h"
#include "tests/lib/layer.h"
#include "tests/lib/test.h"

static bm_engine *engine;

static void setup(void)
{
    engine = test_engine_shared();
    bm_gemm_desc d = bm_gemm_desc_default(1, 1, 1);
    const char *why = NULL;
    ck_assert_msg(bm_gemm_backend_takes("clblast", engine, &d, &why), "%s", why);
}

/* Rows by 384, k by 384, columns by 4 MiB of what is arranged of B but 256 at least: the last slice of each is a short one. */
EACH_TRANSPOSE(slices_of_rows_keep_their_epilogue)
{
    static const int64_t cols[] = {64, 21}; /* the sums go into D at once, or through scratch */
    for (int i = 0; i < 2; i++) {
        bm_gemm_desc d = gemmtest_desc(1100, cols[i], 50, trans);
        d.beta = 0.5f;
        d.has_bias = d.has_pre = 1;
        d.act = BM_ACT_SILU;
        gemmtest_check(engine, "clblast", &d);
    }
}

EACH_TRANSPOSE(slices_of_columns_keep_their_epilogue)
{
    bm_gemm_desc d = gemmtest_desc(33, 2900, 760, trans);
    d.offset_b = 1; /* so that B never lies as it should */
    d.ldd = 2910;
    d.offset_d = 32;
    d.beta = -0.5f;
    d.has_bias = d.has_pre = 1;
    d.act = BM_ACT_TANH;
    gemmtest_check(engine, "clblast", &d);
}

/* One slice of rows: B is arranged run by run, and what is there of D counts once. */
EACH_TRANSPOSE(slabs_of_k_make_one_product)
{
    static const int64_t cols[] = {64, 21};
    for (int i = 0; i < 2; i++) {
        bm_gemm_desc d = gemmtest_desc(128, cols[i], 1000, trans);
        d.offset_b = 1;
        d.beta = 0.5f;
        d.has_bias = 1;
        gemmtest_check(engine, "clblast", &d);
    }
}

EACH_TRANSPOSE(slices_of_both_make_one_product)
{
    bm_gemm_desc d = gemmtest_desc(1000, 530, 4100, trans);
    gemmtest_check_by_vector(engine, "clblast", &d);
}

EACH_TRANSPOSE(batches_share_the_scratch)
{
    bm_gemm_desc d = gemmtest_desc(70, 40, 65, trans);
    d.batch = 3;
    d.stride_a = 4608;
    d.stride_b = 2624;
    d.stride_d = 2816;
    d.beta = 1;
    d.has_bias = 1;
    gemmtest_check(engine, "clblast", &d);
}

/* Rows a multiple of 4 KiB apart are copied on CPUs; the last has slices of so many columns. */
EACH_TRANSPOSE(operands_in_the_same_sets_of_a_cache)
{
    static const int64_t sizes[][3] = {{1024, 32, 70}, {64, 1024, 70}, {8, 32768, 64}};
    for (int i = 0; i < 3; i++) {
        bm_gemm_desc d = gemmtest_desc(sizes[i][0], sizes[i][1], sizes[i][2], trans);
        gemmtest_check(engine, "clblast", &d);
        d.beta = 1;
        gemmtest_check(engine, "clblast", &d);
    }
}

/* The library makes a buffer where it was given no room for a copy: it must not want one. */
EACH_TRANSPOSE(no_run_makes_a_buffer)
{
    static const int64_t sizes[][3] = {{64, 32, 64}, {128, 96, 500}, {65, 33, 31}, {1, 70, 385}, {257, 257, 257}};
    const layer_api *layer = test_layer();
    for (int i = 0; i < 5; i++)
        for (int offset = 0; offset <= 1024; offset += offset < 5 ? 5 : 1019) {
            bm_gemm_desc d = gemmtest_desc(sizes[i][0], sizes[i][1], sizes[i][2], trans);
            d = bm_gemm_desc_full(&d);
            d.offset_a = d.offset_b = d.offset_d = offset;
            bm_gemm_trial *t = NULL;
            bm_gemm_bound *b = NULL;
            test_ok(bm_gemm_trial_create(&t, engine, &d));
            test_ok(bm_gemm_trial_bind(&b, t, bm_gemm_backend_find("clblast")));
            const layer_stats before = layer->stats();
            test_ok(bm_gemm_bound_run(b));
            const layer_stats after = layer->stats();
            ck_assert_int_eq(after.buffers_made, before.buffers_made);
            ck_assert_int_eq(after.blocking, before.blocking);
            ck_assert_int_gt(after.calls, before.calls);
            test_ok(bm_queue_finish(bm_engine_queue(engine)));
            bm_gemm_bound_destroy(b);
            bm_gemm_trial_destroy(t);
        }
}

/* On a CPU the scratch follows from the product and the limits alone: a plan made without a device says the same. */
EACH_TRANSPOSE(scratch_is_known_without_a_device)
{
    const bm_limits *limits = bm_engine_limits(engine);
    const bm_gemm_backend *clblast = bm_gemm_backend_find("clblast");
    if (limits->type != BM_DEVICE_CPU) return;
    bm_gemm_desc d = gemmtest_desc(257, 600, 1000, trans);
    d = bm_gemm_desc_full(&d);
    int64_t with = 0, without = 0;
    test_ok(clblast->scratch(&with, &d, engine, limits));
    test_ok(clblast->scratch(&without, &d, NULL, limits));
    ck_assert_int_eq(with, without);
    ck_assert_int_gt(with, 0);
}

int main(void)
{
    test_layer_use();
    Suite *s = suite_create("cl/gemm/clblast");
    TCase *t = tcase_create("clblast");
    test_share_engine(t);
    tcase_add_checked_fixture(t, setup, NULL);
    tcase_add_test(t, slices_of_rows_keep_their_epilogue);
    tcase_add_test(t, slices_of_columns_keep_their_epilogue);
    tcase_add_test(t, slabs_of_k_make_one_product);
    tcase_add_test(t, slices_of_both_make_one_product);
    tcase_add_test(t, batches_share_the_scratch);
    tcase_add_test(t, operands_in_the_same_sets_of_a_cache);
    tcase_add_test(t, no_run_makes_a_buffer);
    tcase_add_test(t, scratch_is_known_without_a_device);
    suite_add_tcase(s, t);
    return test_run(s);
}
