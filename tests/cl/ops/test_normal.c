/* ctest: oclgrind rusticl */
#include <math.h>
#include <stdlib.h>

#include "cl/ops/ops.h"
#include "core/base/rng.h"
#include "core/graph/scalars.h"
#include "tests/lib/optest.h"
#include "tests/lib/test.h"

#define SEED 0x9e3779b97f4a7c15u
#define STEP 5u

typedef struct law {
    float mean, std;
    uint32_t stream;
} law;

/* All that lies around a tensor in its slab is zero: the tensors before and behind, and the gaps between. */
static void check_around(bm_bank *bank, const bm_tensor *x)
{
    cl_mem m;
    const int64_t bytes = bm_region_slab_bytes(bm_bank_region(bank), x->slab);
    uint8_t *slab = malloc((size_t)bytes);
    test_ok(bm_region_piece(&m, bm_bank_region(bank), x->slab, 0, bytes));
    test_ok(bm_queue_read(bm_bank_queue(bank), m, 0, slab, bytes));
    for (int64_t i = 0; i < bytes; i++)
        if (i < x->offset || i >= x->offset + x->bytes) ck_assert_msg(!slab[i], "byte %d of the slab was written", (int)i);
    free(slab);
}

/* n draws of type t, in bytes that the caller frees. */
static void *draw(bm_form form, bm_dtype t, int64_t n, law a)
{
    bm_engine *e = optest_engine(form);
    const bm_graph_opts opts = bm_graph_opts_with_ops();
    bm_graph *g;
    bm_layout *layout;
    bm_bank *bank;
    bm_plan *plan;
    test_ok(bm_graph_create(&g, &opts));
    bm_graph_param(g, "a", t, BM_SHAPE(8), 0);
    bm_value *x = bm_graph_param(g, "b", t, BM_SHAPE(n), 0);
    bm_graph_param(g, "c", t, BM_SHAPE(8), 0);
    test_ok(bm_normal(g, x, a.mean, a.std, a.stream));
    test_ok(bm_layout_create(&layout, g, BM_PLACE_WEIGHT, bm_engine_limits(e)));
    test_ok(bm_bank_create(&bank, e, layout, BM_PLACE_WEIGHT));
    const bm_plan_opts o = {.banks = &bank, .n_banks = 1};
    test_ok(bm_plan_create(&plan, e, g, &o));
    bm_plan_set_u32(plan, BM_RT_SEED_LO, (uint32_t)SEED);
    bm_plan_set_u32(plan, BM_RT_SEED_HI, (uint32_t)(SEED >> 32));
    bm_plan_set_u32(plan, BM_RT_RNG_STEP, STEP);
    test_ok(bm_plan_run(plan));
    const bm_tensor *tensor = bm_layout_find(layout, "b");
    check_around(bank, tensor);
    void *got = calloc((size_t)tensor->bytes + 1, 1);
    if (tensor->bytes) test_ok(bm_bank_read(bank, tensor, 0, got, tensor->bytes));
    bm_plan_destroy(plan);
    bm_bank_destroy(bank);
    bm_layout_destroy(layout);
    bm_graph_destroy(g);
    return got;
}

static double *wanted(int64_t n, law a)
{
    double *want = calloc((size_t)n + 1, sizeof *want);
    bm_rng r = bm_rng_start(SEED, a.stream, STEP);
    for (int64_t i = 0; i < n; i++) want[i] = (double)a.mean + (double)a.std * (double)bm_rng_normal(&r);
    return want;
}

START_TEST(draws_are_those_of_the_generator_on_the_host)
{
    static const int64_t sizes[] = {0, 1, 2, 3, 15, 16, 17, 33, 4099, 70001};
    static const law laws[] = {{0, 1, 1}, {0, 0.02f, 0xffffffffu}, {-3, 0.5f, 7}};
    EACH_FORM(form)
        for (int i = 0; i < (optest_small() ? 8 : 10); i++)
            for (int k = 0; k < 3; k++) {
                double *want = wanted(sizes[i], laws[k]);
                for (bm_dtype t = BM_F32; t <= BM_BF16; t++) {
                    void *got = draw((bm_form)form, t, sizes[i], laws[k]);
                    optest_compare("normal", got, t, want, sizes[i], 6, 3 * (double)fabsf(laws[k].mean) + (double)laws[k].std);
                    free(got);
                }
                free(want);
            }
}
END_TEST

/* Far out the radius is large, near u = 1 it is small and 1 - u has few bits: the largest and the least of a million. */
START_TEST(the_largest_and_the_least_draws_are_right_too)
{
    enum { N = 1 << 20 };
    if (optest_small()) return;
    double *want = wanted(N, (law){0, 1, 3});
    EACH_FORM(form) {
        float *got = draw((bm_form)form, BM_F32, N, (law){0, 1, 3});
        double most = 0, least = 1, worst = 0;
        for (int i = 0; i < N; i++) {
            most = fmax(most, fabs(want[i]));
            least = fmin(least, fabs(want[i]));
            worst = fmax(worst, fabs((double)got[i] - want[i]) / fmax(1, fabs(want[i])));
        }
        ck_assert_msg(most > 4.5 && least < 1e-5 && worst < 3e-7, "up to %g, down to %g, off by %g", most, least, worst);
        free(got);
    }
    free(want);
}
END_TEST

START_TEST(no_deviation_writes_the_mean)
{
    EACH_FORM(form) {
        float *got = draw((bm_form)form, BM_F32, 100, (law){1, 0, 2});
        for (int i = 0; i < 100; i++) ck_assert_float_eq(got[i], 1);
        free(got);
    }
}
END_TEST

START_TEST(whole_numbers_are_refused)
{
    const bm_graph_opts opts = bm_graph_opts_with_ops();
    bm_graph *g;
    test_ok(bm_graph_create(&g, &opts));
    test_fails(bm_normal(g, bm_graph_param(g, "ids", BM_I32, BM_SHAPE(4), 0), 0, 1, 1), BM_ERR_SHAPE, "i32");
    bm_graph_destroy(g);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cl/ops/normal");
    TCase *t = optest_tcase(suite, "normal");
    tcase_add_test(t, draws_are_those_of_the_generator_on_the_host);
    tcase_add_test(t, the_largest_and_the_least_draws_are_right_too);
    tcase_add_test(t, no_deviation_writes_the_mean);
    tcase_add_test(t, whole_numbers_are_refused);
    return test_run(suite);
}
