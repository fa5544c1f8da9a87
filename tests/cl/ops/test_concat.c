/* ctest: oclgrind rusticl */
#include <stdlib.h>
#include <string.h>

#include "cl/ops/ops.h"
#include "tests/lib/optest.h"
#include "tests/lib/test.h"

static void build(bm_graph *g, bm_value **out, bm_value *const *in, const optest *t)
{
    (void)t;
    out[0] = bm_concat(g, in[0], in[1]);
}

static void reference(double *const *out, const double *const *in, const optest *t)
{
    const int64_t a = bm_shape_last(&t->in[0].shape), b = bm_shape_last(&t->in[1].shape), rows = bm_shape_rows(&t->in[0].shape);
    for (int64_t r = 0; r < rows; r++) {
        memcpy(out[0] + r * (a + b), in[0] + r * a, (size_t)a * sizeof **out);
        memcpy(out[0] + r * (a + b) + a, in[1] + r * b, (size_t)b * sizeof **out);
    }
}

/* Widths below, at and above that of a vector, and one side that is empty. */
START_TEST(the_second_stands_behind_the_first_in_each_row)
{
    static const int64_t widths[][2] = {{1, 1}, {3, 16}, {17, 5}, {64, 64}, {130, 0}};
    for (int i = 0; i < 5; i++) {
        optest t = {.name = "concat", .n_in = 2, .n_out = 1, .build = build, .reference = reference};
        t.in[0] = (optest_input){.shape = BM_SHAPE(3, 5, widths[i][0]), .gradient = 1};
        t.in[1] = (optest_input){.shape = BM_SHAPE(3, 5, widths[i][1]), .gradient = widths[i][1] > 0};
        optest_check(&t);
    }
}
END_TEST

START_TEST(rows_that_do_not_match_are_refused)
{
    bm_graph *g = NULL;
    bm_graph_opts opts = bm_graph_opts_with_ops();
    test_ok(bm_graph_create(&g, &opts));
    bm_value *a = bm_graph_input(g, "a", BM_F32, BM_SHAPE(2, 3)), *b = bm_graph_input(g, "b", BM_F32, BM_SHAPE(3, 3));
    ck_assert_ptr_null(bm_concat(g, a, b));
    test_fails(bm_graph_status(g), BM_ERR_SHAPE, "a and b differ in more than the last dimension");
    bm_graph_destroy(g);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cl/ops/concat");
    TCase *t = tcase_create("concat");
    tcase_add_test(t, the_second_stands_behind_the_first_in_each_row);
    tcase_add_test(t, rows_that_do_not_match_are_refused);
    suite_add_tcase(suite, t);
    return test_run(suite);
}
