/* ctest: oclgrind rusticl */
#include <math.h>
#include <string.h>

#include "cl/ops/ops.h"
#include "cl/optim/optim.h"
#include "core/base/rng.h"
#include "tests/lib/optest.h"
#include "tests/lib/test.h"

enum { ROWS = 5, COLS = 37, BANKS = 2 };

/* Rows of norms below, at and above the limit; a row of zeros stays; tensors of other groups and the copies are seen to. */
START_TEST(rows_beyond_the_limit_are_cut_to_it)
{
    static const float norms[ROWS] = {0.5f, 0, 2, 1.0f, 40};
    static const bm_place places[BANKS] = {BM_PLACE_WEIGHT, BM_PLACE_HALF};
    EACH_FORM(form) {
        float w[ROWS * COLS], got[ROWS * COLS], other[COLS], same[COLS];
        uint16_t half[ROWS * COLS], want_half[ROWS * COLS];
        bm_engine *e = optest_engine(form);
        bm_graph_opts opts = bm_graph_opts_with_ops();
        bm_graph *g = NULL;
        bm_layout *layout = NULL;
        bm_bank *banks[BANKS];
        bm_plan *p = NULL;
        test_ok(bm_graph_create(&g, &opts));
        bm_graph_half(g, bm_graph_param(g, "w", BM_F32, BM_SHAPE(ROWS, COLS), 0), BM_BF16);
        bm_graph_param(g, "b", BM_F32, BM_SHAPE(COLS), 1);
        test_ok(bm_optim_max_norm(g, 0, 1.0));
        test_ok(bm_layout_create(&layout, g, BM_PLACE_WEIGHT, bm_engine_limits(e)));
        for (int i = 0; i < BANKS; i++) test_ok(bm_bank_create(&banks[i], e, layout, places[i]));
        test_ok(bm_plan_create(&p, e, g, &(bm_plan_opts){.banks = banks, .n_banks = BANKS}));
        bm_rng rng = bm_rng_start(3, 1, 0);
        for (int r = 0; r < ROWS; r++) {
            double sum = 0;
            for (int i = 0; i < COLS; i++) {
                w[r * COLS + i] = bm_rng_normal(&rng);
                sum += (double)w[r * COLS + i] * w[r * COLS + i];
            }
            for (int i = 0; i < COLS; i++) w[r * COLS + i] *= norms[r] / (float)sqrt(sum);
        }
        for (int i = 0; i < COLS; i++) other[i] = 100;
        test_ok(bm_bank_write(banks[0], bm_layout_find(layout, "w"), 0, w, sizeof w));
        test_ok(bm_bank_write(banks[0], bm_layout_find(layout, "b"), 0, other, sizeof other));
        test_ok(bm_plan_run(p));
        test_ok(bm_bank_read(banks[0], bm_layout_find(layout, "w"), 0, got, sizeof got));
        test_ok(bm_bank_read(banks[0], bm_layout_find(layout, "b"), 0, same, sizeof same));
        test_ok(bm_bank_read(banks[1], bm_layout_find(layout, "w"), 0, half, sizeof half));
        for (int i = 0; i < ROWS * COLS; i++) {
            const double scale = norms[i / COLS] > 1 ? 1 / (double)norms[i / COLS] : 1;
            ck_assert_double_eq_tol(got[i], w[i] * scale, 8 * 0x1p-24);
        }
        ck_assert_mem_eq(got, w, 2 * COLS * sizeof *w);
        ck_assert_mem_eq(same, other, sizeof same);
        test_ok(bm_convert_floats(want_half, BM_BF16, got, BM_F32, ROWS * COLS));
        ck_assert_mem_eq(half, want_half, sizeof half);
        bm_plan_destroy(p);
        for (int i = 0; i < BANKS; i++) bm_bank_destroy(banks[i]);
        bm_layout_destroy(layout);
        bm_graph_destroy(g);
    }
}
END_TEST

START_TEST(none_is_asked_for)
{
    bm_graph *g = NULL;
    bm_graph_opts opts = bm_graph_opts_with_ops();
    test_ok(bm_graph_create(&g, &opts));
    bm_graph_param(g, "w", BM_F32, BM_SHAPE(2, 2), 0);
    test_ok(bm_optim_max_norm(g, 0, 0));
    ck_assert_double_eq(bm_graph_cost(g).flops, 0);
    bm_graph_destroy(g);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cl/optim/max_norm");
    TCase *t = tcase_create("max_norm");
    tcase_add_test(t, rows_beyond_the_limit_are_cut_to_it);
    tcase_add_test(t, none_is_asked_for);
    suite_add_tcase(s, t);
    return test_run(s);
}
