#include <stdint.h>
#include <string.h>

#include "core/base/shape.h"
#include "tests/lib/test.h"

START_TEST(sizes_of_shapes)
{
    const bm_shape scalar = bm_shape_of(0, NULL), vector = BM_SHAPE(5), cube = BM_SHAPE(2, 3, 4),
                   empty = BM_SHAPE(4, 0);
    ck_assert_int_eq(bm_shape_elements(&scalar), 1);
    ck_assert_int_eq(bm_shape_rows(&scalar), 1);
    ck_assert_int_eq(bm_shape_last(&scalar), 1);
    ck_assert_int_eq(bm_shape_rows(&vector), 1);
    ck_assert_int_eq(bm_shape_last(&vector), 5);
    ck_assert_int_eq(cube.rank, 3);
    ck_assert_int_eq(bm_shape_elements(&cube), 24);
    ck_assert_int_eq(bm_shape_rows(&cube), 6);
    ck_assert_int_eq(bm_shape_last(&cube), 4);
    ck_assert_uint_eq(bm_shape_bytes(&cube, BM_BF16), 48);
    ck_assert_int_eq(bm_shape_elements(&empty), 0);
    ck_assert_int_eq(bm_shape_rows(&empty), 4);
    for (int i = cube.rank; i < BM_MAX_RANK; i++) ck_assert_int_eq(cube.dim[i], 0);
}
END_TEST

START_TEST(equal_means_rank_and_every_dimension)
{
    const bm_shape a = BM_SHAPE(2, 3), b = BM_SHAPE(2, 3), c = BM_SHAPE(3, 2), d = BM_SHAPE(2, 3, 1);
    ck_assert(bm_shape_equal(&a, &b));
    ck_assert(!bm_shape_equal(&a, &c));
    ck_assert(!bm_shape_equal(&a, &d));
}
END_TEST

START_TEST(what_does_not_fit_is_refused)
{
    const bm_shape good = BM_SHAPE(1, 2, 3, 4, 5, 6, 7, 8), negative = BM_SHAPE(2, -1),
                   large = BM_SHAPE(1 << 30, 1 << 30, 8);
    const bm_shape nine = bm_shape_of(9, (const int64_t[9]){1, 1, 1, 1, 1, 1, 1, 1, 1}), below = {.rank = -1};
    const bm_shape fits = BM_SHAPE((int64_t)1 << 60), hidden = BM_SHAPE(INT64_MAX, 0, INT64_MAX), none = BM_SHAPE(0);
    test_ok(bm_shape_check(&good, BM_F32));
    test_ok(bm_shape_check(&none, BM_F32));
    test_ok(bm_shape_check(&fits, BM_F32));
    test_fails(bm_shape_check(&fits, BM_F64), BM_ERR_SHAPE, "f64");
    test_fails(bm_shape_check(&negative, BM_F32), BM_ERR_SHAPE, "[2, -1]");
    test_fails(bm_shape_check(&large, BM_F32), BM_ERR_SHAPE, "1073741824");
    test_fails(bm_shape_check(&hidden, BM_U8), BM_ERR_SHAPE, "fit"); /* its rows alone would overflow */
    test_fails(bm_shape_check(&nine, BM_F32), BM_ERR_SHAPE, "rank 9");
    test_fails(bm_shape_check(&below, BM_F32), BM_ERR_SHAPE, "rank -1");
    test_fails(bm_shape_check(&good, BM_DTYPE_COUNT), BM_ERR_SHAPE, "type");
}
END_TEST

START_TEST(text_is_always_terminated)
{
    char buf[BM_SHAPE_TEXT], small[6];
    const bm_shape s = BM_SHAPE(12, 256, 384), scalar = bm_shape_of(0, NULL);
    const bm_shape widest =
        BM_SHAPE(INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN);
    ck_assert_str_eq(bm_shape_text(&s, buf, sizeof buf), "[12, 256, 384]");
    ck_assert_str_eq(bm_shape_text(&scalar, buf, sizeof buf), "[]");
    ck_assert_str_eq(bm_shape_text(&s, small, sizeof small), "[12, ");
    bm_shape_text(&widest, buf, sizeof buf);
    ck_assert_uint_eq(strlen(buf), 2 + 8 * strlen("-9223372036854775808") + 7 * strlen(", "));
    ck_assert_int_eq(buf[strlen(buf) - 1], ']');
}
END_TEST

int main(void)
{
    Suite *s = suite_create("core/base/shape");
    TCase *t = tcase_create("shape");
    tcase_add_test(t, sizes_of_shapes);
    tcase_add_test(t, equal_means_rank_and_every_dimension);
    tcase_add_test(t, what_does_not_fit_is_refused);
    tcase_add_test(t, text_is_always_terminated);
    suite_add_tcase(s, t);
    return test_run(s);
}
