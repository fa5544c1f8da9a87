/* ctest: oclgrind rusticl */
#include <string.h>

#include "cl/ops/ops.h"
#include "core/graph/scalars.h"
#include "tests/lib/optest.h"
#include "tests/lib/test.h"

static void build(bm_graph *g, bm_value **out, bm_value *const *in, const optest *t)
{
    (void)t;
    out[0] = bm_last_token(g, in[0]);
}

static void prepare(bm_plan *p, const optest *t) { bm_plan_set_u32(p, BM_RT_LENGTH, *(const uint32_t *)t->with); }

static void reference(double *const *out, const double *const *in, const optest *t)
{
    const int64_t *dim = t->in[0].shape.dim;
    const uint32_t length = *(const uint32_t *)t->with;
    const int64_t last = (length < (uint32_t)dim[1] ? (int64_t)length : dim[1]) - 1;
    for (int64_t b = 0; b < dim[0]; b++)
        memcpy(out[0] + b * dim[2], in[0] + (b * dim[1] + last) * dim[2], (size_t)dim[2] * sizeof **out);
}

START_TEST(the_row_at_the_length_is_taken)
{
    static const uint32_t lengths[] = {1, 4, 5, 6, 0xffffffffu}; /* beyond T: the last row */
    const bm_shape shapes[] = {BM_SHAPE(1, 5, 1), BM_SHAPE(3, 5, 17), BM_SHAPE(2, 5, 97), BM_SHAPE(0, 5, 3)};
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < 5; k++) {
            optest t = {.name = "last_token",
                        .n_in = 1,
                        .n_out = 1,
                        .build = build,
                        .reference = reference,
                        .prepare = prepare,
                        .with = &lengths[k]};
            t.in[0] = (optest_input){.shape = shapes[i]};
            optest_check(&t);
        }
}
END_TEST

START_TEST(what_has_no_tokens_is_refused)
{
    for (int i = 0; i < 2; i++) {
        bm_graph *g = NULL;
        bm_graph_opts opts = bm_graph_opts_with_ops();
        test_ok(bm_graph_create(&g, &opts));
        ck_assert_ptr_null(bm_last_token(g, bm_graph_input(g, "x", BM_F32, i ? BM_SHAPE(2, 0, 3) : BM_SHAPE(2, 3))));
        test_fails(bm_graph_status(g), BM_ERR_SHAPE, "not [B, T, C]");
        bm_graph_destroy(g);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("last_token");
    TCase *c = optest_tcase(s, "last_token");
    tcase_add_test(c, the_row_at_the_length_is_taken);
    tcase_add_test(c, what_has_no_tokens_is_refused);
    return test_run(s);
}
