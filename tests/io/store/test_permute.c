#include <stdint.h>
#include <stdlib.h>

#include "io/store/loader.h"
#include "tests/lib/test.h"

static void check_permutation(uint64_t n, uint64_t seed, uint64_t epoch)
{
    unsigned char *seen = calloc(n, 1);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t p = bm_permute(n, seed, epoch, i);
        ck_assert_msg(p < n && !seen[p], "n %lu: %lu comes twice or is outside", (unsigned long)n, (unsigned long)p);
        seen[p] = 1;
    }
    free(seen);
}

START_TEST(every_size_is_permuted)
{
    static const uint64_t large[] = {1009, 4095, 4096, 4097, 16384, 16385, 65537, 99991};
    for (uint64_t n = 1; n <= 300; n++)
        for (uint64_t epoch = 0; epoch < 3; epoch++) check_permutation(n, 12345 + n, epoch);
    for (size_t i = 0; i < sizeof large / sizeof *large; i++) check_permutation(large[i], UINT64_MAX - i, i);
}
END_TEST

START_TEST(seed_and_epoch_change_the_order)
{
    enum { N = 1000 };
    int by_seed = 0, by_epoch = 0, fixed = 0, high = 0;
    for (uint64_t i = 0; i < N; i++) {
        uint64_t p = bm_permute(N, 1, 0, i);
        by_seed += p == bm_permute(N, 2, 0, i);
        by_epoch += p == bm_permute(N, 1, 1, i);
        high += p == bm_permute(N, 1 + ((uint64_t)1 << 40), (uint64_t)1 << 40, i);
        fixed += p == i;
    }
    /* two random permutations agree in one place on average; 12 is beyond one case in 10^9 */
    ck_assert_int_lt(by_seed, 12);
    ck_assert_int_lt(by_epoch, 12);
    ck_assert_int_lt(high, 12);
    ck_assert_int_lt(fixed, 12);
}
END_TEST

/* Position against value over many keys: chi-squared over an 8 x 8 table of 200 orders of 64 numbers. */
START_TEST(orders_are_even)
{
    enum { N = 64, K = 200 };
    double count[8][8] = {{0}}, chi = 0;
    for (uint64_t seed = 0; seed < K; seed++)
        for (uint64_t i = 0; i < N; i++) count[i / 8][bm_permute(N, seed, 7, i) / 8]++;
    for (int a = 0; a < 8; a++)
        for (int b = 0; b < 8; b++) {
            double due = K * N / 64.0, d = count[a][b] - due;
            chi += d * d / due;
        }
    ck_assert_msg(chi < 100, "chi-squared %.1f with 49 degrees of freedom", chi); /* p = 2e-5 */
}
END_TEST

START_TEST(huge_sizes_stay_inside)
{
    for (uint64_t i = 0; i < 1000; i++) {
        ck_assert(bm_permute(UINT64_MAX, 1, 2, i) < UINT64_MAX);
        ck_assert(bm_permute(((uint64_t)1 << 62) + 1, 1, 2, i) <= (uint64_t)1 << 62);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("io/store/permute");
    TCase *t = tcase_create("permute");
    tcase_add_test(t, every_size_is_permuted);
    tcase_add_test(t, seed_and_epoch_change_the_order);
    tcase_add_test(t, orders_are_even);
    tcase_add_test(t, huge_sizes_stay_inside);
    suite_add_tcase(suite, t);
    return test_run(suite);
}
