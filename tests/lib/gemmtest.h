/* Tests of matrix products: a case has random operands, is run by one backend outside of any plan, and is compared with a
 * reference in double on the host. A result may differ from it by
 *
 *     8 2^-24 sqrt(K) max(|want|, rms of the sums)  +  one rounding to the type of D
 *
 * where rms = |alpha scale[n]| sqrt(K) / 3 for entries uniform in [-1, 1], and 127 times that for a B of i8 in [-127, 127].
 * Sums by pairs of bf16 (vdpbf16ps) are held to the same: their products are exact, and they round no more often than FMAs do. */
#ifndef BM_TESTS_LIB_GEMMTEST_H
#define BM_TESTS_LIB_GEMMTEST_H

#include <check.h>

#include "cl/gemm/gemm.h"
#include "core/device/engine.h"

/* A product with trans_a and trans_b from the bits of `trans`. */
bm_gemm_desc gemmtest_desc(int64_t m, int64_t n, int64_t k, int trans);

/* A test that runs for each pair of transposes. */
#define EACH_TRANSPOSE(name)                                                                                           \
    static void name##_of(int trans);                                                                                  \
    START_TEST(name)                                                                                                   \
    {                                                                                                                  \
        for (int t = 0; t < 4; t++) name##_of(t);                                                                      \
    }                                                                                                                  \
    END_TEST                                                                                                           \
    static void name##_of(int trans)

/* Backend by name on `d`; fails the test where a result is off. What lies between the rows of A and B, and around them, is NaN, or
 * 127 in i8. D starts with random values, or with NaN when beta is 0. Gaps between its rows and around it must stay as they were. */
void gemmtest_check(bm_engine *e, const char *backend, const bm_gemm_desc *d);
/* The same for a large product without epilogue: with a vector x of random signs, D x against A (B x) in double, each within
 * 8 2^-24 sqrt(K) sqrt(N) rms. */
void gemmtest_check_by_vector(bm_engine *e, const char *backend, const bm_gemm_desc *d);

#endif
