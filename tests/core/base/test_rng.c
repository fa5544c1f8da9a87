#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"
#include "tests/lib/test.h"

/* philox4x32 10 of kat_vectors in Random123, the authors' own library. */
START_TEST(philox_gives_the_published_vectors)
{
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } known[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        uint32_t out[4];
        bm_philox4x32(out, known[i].counter, known[i].key);
        ck_assert_mem_eq(out, known[i].out, sizeof out);
    }
}
END_TEST

START_TEST(seed_stream_step_and_element_land_in_key_and_counter)
{
    const uint64_t seed = 0x299f31d0a4093822u, block = 0x05a308d3243f6a88u;
    const uint32_t step = 0x13198a2e, stream = 0x03707344;
    const uint32_t counter[4] = {0x243f6a88, 0x05a308d3, step, stream}, key[2] = {0xa4093822, 0x299f31d0};
    uint32_t out[4];
    bm_philox4x32(out, counter, key);
    for (unsigned lane = 0; lane < 4; lane++)
        ck_assert_uint_eq(bm_rng_at(seed, stream, step, block * 4 + lane), out[lane]);
}
END_TEST

START_TEST(sequential_draws_are_the_addressed_ones)
{
    bm_rng r = bm_rng_start(7, 8, 9);
    for (uint64_t i = 0; i < 1001; i++) ck_assert_uint_eq(bm_rng_u32(&r), bm_rng_at(7, 8, 9, i));
    r.element = (uint64_t)5 << 33;
    ck_assert_uint_eq(bm_rng_u32(&r), bm_rng_at(7, 8, 9, (uint64_t)5 << 33));
}
END_TEST

START_TEST(uniform_is_the_top_24_bits)
{
    bm_rng r = bm_rng_start(1, 2, 3);
    double sum = 0;
    enum { N = 100000 };
    for (uint64_t i = 0; i < N; i++) {
        float u = bm_rng_uniform(&r);
        ck_assert(u >= 0 && u < 1);
        ck_assert(u == ldexpf((float)(bm_rng_at(1, 2, 3, i) / 256u), -24));
        sum += u;
    }
    ck_assert_double_eq_tol(sum / N, 0.5, 4 * sqrt(1.0 / 12 / N)); /* four standard deviations of the mean */
}
END_TEST

START_TEST(normals_have_the_moments_of_the_normal_distribution)
{
    enum { N = 200000 };
    bm_rng r = bm_rng_start(11, 5, 0);
    double m1 = 0, m2 = 0, m3 = 0, m4 = 0;
    int beyond2 = 0;
    for (int i = 0; i < N; i++) {
        double x = bm_rng_normal(&r);
        ck_assert(isfinite(x));
        m1 += x / N;
        m2 += x * x / N;
        m3 += x * x * x / N;
        m4 += x * x * x * x / N;
        beyond2 += fabs(x) > 2;
    }
    ck_assert_uint_eq(r.element, 2 * N);
    /* Five standard errors: variances of the sample moments are 1, 2, 15 and 96 over N. */
    ck_assert_double_eq_tol(m1, 0, 5 * sqrt(1.0 / N));
    ck_assert_double_eq_tol(m2, 1, 5 * sqrt(2.0 / N));
    ck_assert_double_eq_tol(m3, 0, 5 * sqrt(15.0 / N));
    ck_assert_double_eq_tol(m4, 3, 5 * sqrt(96.0 / N));
    const double p = erfc(2 / sqrt(2.0));
    ck_assert_double_eq_tol((double)beyond2 / N, p, 5 * sqrt(p * (1 - p) / N));
}
END_TEST

START_TEST(below_is_even_over_its_range)
{
    enum { SIDES = 6, N = 60000 };
    bm_rng r = bm_rng_start(99, 0, 0);
    double chi2 = 0;
    int seen[SIDES] = {0};
    for (int i = 0; i < N; i++) {
        uint64_t x = bm_rng_below(&r, SIDES);
        ck_assert_uint_lt(x, SIDES);
        seen[x]++;
    }
    for (int s = 0; s < SIDES; s++) chi2 += pow(seen[s] - (double)N / SIDES, 2) / ((double)N / SIDES);
    ck_assert_double_lt(chi2, 20.52); /* 99.9 % of chi-squared with 5 degrees of freedom */
    for (int i = 0; i < 100; i++) ck_assert_uint_eq(bm_rng_below(&r, 1), 0);
}
END_TEST

/* With n = 3 * 2^62 a plain remainder would land below 2^62 half of the time instead of a third. */
START_TEST(below_rejects_what_would_make_small_results_likelier)
{
    enum { N = 20000 };
    const uint64_t quarter = (uint64_t)1 << 62;
    bm_rng r = bm_rng_start(4, 4, 4);
    int low = 0;
    for (int i = 0; i < N; i++) low += bm_rng_below(&r, 3 * quarter) < quarter;
    ck_assert_double_eq_tol((double)low / N, 1.0 / 3, 5 * sqrt(2.0 / 9 / N));
}
END_TEST

/* Vectors of the FNV authors' test suite for the 32-bit 1a form. */
START_TEST(streams_are_fnv1a_of_the_name)
{
    ck_assert_uint_eq(bm_rng_stream(""), 0x811c9dc5u);
    ck_assert_uint_eq(bm_rng_stream("a"), 0xe40c292cu);
    ck_assert_uint_eq(bm_rng_stream("foobar"), 0xbf9cf968u);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("core/base/rng");
    TCase *t = tcase_create("rng");
    tcase_add_test(t, philox_gives_the_published_vectors);
    tcase_add_test(t, seed_stream_step_and_element_land_in_key_and_counter);
    tcase_add_test(t, sequential_draws_are_the_addressed_ones);
    tcase_add_test(t, uniform_is_the_top_24_bits);
    tcase_add_test(t, normals_have_the_moments_of_the_normal_distribution);
    tcase_add_test(t, below_is_even_over_its_range);
    tcase_add_test(t, below_rejects_what_would_make_small_results_likelier);
    tcase_add_test(t, streams_are_fnv1a_of_the_name);
    suite_add_tcase(s, t);
    return test_run(s);
}
