#include <math.h>
#include <stdint.h>
#include <string.h>

#include "core/base/dtype.h"
#include "core/base/rng.h"
#include "tests/lib/test.h"

/* A 16-bit format by its definition in IEEE 754: sign, exponent of `exponent_bits`, fraction of `fraction_bits`. */
typedef struct format {
    int exponent_bits, fraction_bits;
} format;

static const format f16 = {5, 10}, bf16 = {8, 7};

/* The value of a pattern, by the formula; NaN for the patterns that are none. */
static double value_of(format f, uint16_t pattern)
{
    const int bias = (1 << (f.exponent_bits - 1)) - 1, top = (1 << f.exponent_bits) - 1;
    const int exponent = pattern >> f.fraction_bits & top, fraction = pattern & ((1 << f.fraction_bits) - 1);
    const double sign = pattern >> 15 ? -1 : 1;
    if (exponent == top) return fraction ? (double)NAN : sign * (double)INFINITY;
    if (exponent == 0) return sign * ldexp(fraction, 1 - bias - f.fraction_bits);
    return sign * ldexp((1 << f.fraction_bits) + fraction, exponent - bias - f.fraction_bits);
}

/* The same from a table, for the searches below; `pattern` without its sign. */
static double magnitude_of(format f, uint16_t pattern)
{
    static double table[2][0x8000];
    static int filled[2];
    const int which = f.exponent_bits == 5;
    for (int p = 0; !filled[which] && p < 0x8000; p++) table[which][p] = value_of(f, (uint16_t)p);
    filled[which] = 1;
    return table[which][pattern];
}

/* Nearest even by search: the patterns of positive numbers are in the order of their values, and the one past the
 * largest finite is infinity, standing where the next number would be. */
static uint16_t nearest_of(format f, double x)
{
    const uint16_t sign = signbit(x) ? 0x8000 : 0;
    const uint16_t infinity = (uint16_t)(((1 << f.exponent_bits) - 1) << f.fraction_bits);
    const double largest = magnitude_of(f, (uint16_t)(infinity - 1)),
                 before = magnitude_of(f, (uint16_t)(infinity - 2));
    const double a = fabs(x);
    uint16_t low = 0, high = infinity;
    while (high - low > 1) {
        uint16_t middle = (uint16_t)((low + high) / 2);
        if (magnitude_of(f, middle) <= a)
            low = middle;
        else
            high = middle;
    }
    const double below = magnitude_of(f, low);
    const double above = high == infinity ? largest + (largest - before) : magnitude_of(f, high);
    const double half = below + (above - below) / 2; /* exact: the formats are far narrower than double */
    const int up = a > half || (a == half && (low & 1));
    return (uint16_t)(sign | (up ? high : low));
}

static uint32_t bits_of(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static float float_of(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

typedef struct pair {
    format format;
    uint16_t (*narrow)(float);
    float (*widen)(uint16_t);
    uint16_t quiet; /* the bit that makes a NaN quiet */
} pair;

static const pair pairs[] = {{{5, 10}, bm_f32_to_f16, bm_f16_to_f32, 0x200},
                             {{8, 7}, bm_f32_to_bf16, bm_bf16_to_f32, 0x40}};

START_TEST(all_patterns_have_their_value_and_come_back)
{
    const pair *p = &pairs[_i];
    for (uint32_t u = 0; u <= 0xffff; u++) {
        const uint16_t pattern = (uint16_t)u;
        const double value = value_of(p->format, pattern);
        const float wide = p->widen(pattern);
        if (isnan(value)) {
            test_that(isnan(wide), "%04x", u);
            test_that(bits_of(wide) & 0x400000u, "%04x is not quiet", u);
            test_that(p->narrow(wide) == (pattern | p->quiet), "%04x", u);
        } else {
            test_that((double)wide == value, "%04x", u);
            test_that((signbit(wide) != 0) == pattern >> 15, "%04x", u);
            test_that(p->narrow(wide) == pattern, "%04x", u);
        }
    }
}
END_TEST

/* Around every pattern: the value itself, the midpoint to the next, and the floats one step to each side of both. */
START_TEST(narrowing_rounds_to_nearest_even_around_every_pattern)
{
    const pair *p = &pairs[_i];
    const uint16_t infinity = (uint16_t)(((1 << p->format.exponent_bits) - 1) << p->format.fraction_bits);
    for (uint16_t pattern = 0; pattern < infinity; pattern++) {
        const double here = value_of(p->format, pattern);
        const double next = pattern + 1 == infinity ? here + (here - value_of(p->format, (uint16_t)(pattern - 1)))
                                                    : value_of(p->format, (uint16_t)(pattern + 1));
        const float around[2] = {(float)here, (float)(here + (next - here) / 2)};
        for (int k = 0; k < 2; k++)
            for (int step = -1; step <= 1; step++) {
                float x = around[k];
                if (step < 0 && x == 0) continue;
                if (step != 0) x = float_of(bits_of(x) + (uint32_t)step);
                if (!isfinite(x)) continue;
                test_that(p->narrow(x) == nearest_of(p->format, x), "%a: %04x, not %04x", (double)x, p->narrow(x),
                          nearest_of(p->format, x));
                test_that(p->narrow(-x) == nearest_of(p->format, -x), "%a", -(double)x);
            }
    }
}
END_TEST

START_TEST(narrowing_agrees_on_floats_of_every_size)
{
    const pair *p = &pairs[_i];
    for (uint64_t u = 0; u <= 0xffffffffu; u += 65521) { /* a prime step: all exponents, spread fractions */
        const float x = float_of((uint32_t)u);
        if (isnan(x)) {
            test_that(isnan(value_of(p->format, p->narrow(x))), "%a", (double)x);
        } else if (isinf(x)) {
            test_that(isinf(value_of(p->format, p->narrow(x))), "%a", (double)x);
        } else {
            test_that(p->narrow(x) == nearest_of(p->format, x), "%a", (double)x);
        }
    }
    ck_assert(value_of(p->format, p->narrow(INFINITY)) == (double)INFINITY);
    ck_assert(value_of(p->format, p->narrow(-INFINITY)) == -(double)INFINITY);
}
END_TEST

#ifdef __FLT16_MAX__
__extension__ typedef _Float16 compiler_half;

START_TEST(f16_agrees_with_the_compiler)
{
    for (uint64_t u = 0; u <= 0xffffffffu; u += 251) {
        const float x = float_of((uint32_t)u);
        const compiler_half h = (compiler_half)x;
        uint16_t theirs;
        memcpy(&theirs, &h, sizeof theirs);
        if (!isnan(x)) test_that(bm_f32_to_f16(x) == theirs, "%a", (double)x);
    }
}
END_TEST
#endif

START_TEST(known_values_of_the_formats)
{
    ck_assert_uint_eq(bm_f32_to_f16(1.0f), 0x3c00);
    ck_assert_uint_eq(bm_f32_to_f16(-2.0f), 0xc000);
    ck_assert_uint_eq(bm_f32_to_f16(65504.0f), 0x7bff);
    ck_assert_uint_eq(bm_f32_to_f16(65519.996f), 0x7bff);
    ck_assert_uint_eq(bm_f32_to_f16(65520.0f), 0x7c00);
    ck_assert_uint_eq(bm_f32_to_f16(0x1p-24f), 0x0001);
    ck_assert_uint_eq(bm_f32_to_f16(0x1p-25f), 0x0000);
    ck_assert_uint_eq(bm_f32_to_bf16(1.0f), 0x3f80);
    ck_assert_uint_eq(bm_f32_to_bf16(3.4028235e38f), 0x7f80);
    ck_assert_uint_eq(bm_f32_to_bf16(float_of(0x7f800001u)), 0x7fc0); /* its fraction must not round away to infinity */
}
END_TEST

/* Doubles just beside the midpoint of two neighbours, nearer to it than f32 can tell: rounding twice gets them wrong.
 */
START_TEST(f64_is_narrowed_in_one_rounding)
{
    static const struct {
        double x;
        uint16_t f16, bf16;
    } known[] = {
        {1.0 + 0x1p-11 + 0x1p-40, 0x3c01, 0x3f80},
        {1.0 + 0x1p-11 - 0x1p-40, 0x3c00, 0x3f80},
        {1.0 + 0x1p-8 + 0x1p-40, 0x3c04, 0x3f81},
        {1.0 + 0x3p-8 - 0x1p-40, 0x3c0c, 0x3f81},
        {-1.0 - 0x1p-11 - 0x1p-50, 0xbc01, 0xbf80},
        {0x1p-25 + 0x1p-70, 0x0001, 0x3300},
        {1e300, 0x7c00, 0x7f80},
        {-1e-300, 0x8000, 0x8000},
        {65519.99999999999, 0x7bff, 0x4780},
        {65520.0, 0x7c00, 0x4780},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        uint16_t h, b;
        test_ok(bm_convert_floats(&h, BM_F16, &known[i].x, BM_F64, 1));
        test_ok(bm_convert_floats(&b, BM_BF16, &known[i].x, BM_F64, 1));
        ck_assert_msg(h == known[i].f16 && b == known[i].bf16, "%a: %04x %04x", known[i].x, h, b);
        ck_assert_uint_eq(h, fabs(known[i].x) < 65520 ? nearest_of(f16, known[i].x) : h);
        ck_assert_uint_eq(b, fabs(known[i].x) < 1e38 ? nearest_of(bf16, known[i].x) : b);
    }
}
END_TEST

START_TEST(arrays_convert_between_all_floating_types)
{
    static const double values[] = {0.0, -0.0, 1.0, -1.5, 0.25, 2.0, -96.0, 0x1p-10, 256.0}; /* exact in all four */
    static const bm_dtype types[] = {BM_F32, BM_F16, BM_BF16, BM_F64};
    enum { N = sizeof values / sizeof values[0] };
    for (int from = 0; from < 4; from++)
        for (int to = 0; to < 4; to++) {
            double a[N + 1], b[N + 1], back[N];
            memset(b, 0x5a, sizeof b);
            test_ok(bm_convert_floats(a, types[from], values, BM_F64, N));
            test_ok(bm_convert_floats(b, types[to], a, types[from], N));
            for (size_t i = N * bm_dtype_size(types[to]); i < sizeof b; i++) ck_assert_int_eq(((char *)b)[i], 0x5a);
            test_ok(bm_convert_floats(back, BM_F64, b, types[to], N));
            ck_assert_mem_eq(back, values, sizeof values);
        }
    test_ok(bm_convert_floats(NULL, BM_F16, NULL, BM_F32, 0));
    test_ok(bm_convert_floats(NULL, BM_F32, NULL, BM_F32, 0));
    float x = 1;
    test_fails(bm_convert_floats(&x, BM_F32, &x, BM_I32, 1), BM_ERR_UNSUPPORTED, "i32");
    test_fails(bm_convert_floats(&x, BM_U8, &x, BM_F32, 1), BM_ERR_UNSUPPORTED, "u8");
}
END_TEST

START_TEST(types_have_names_and_sizes)
{
    static const struct {
        const char *name;
        bm_dtype type;
        size_t bytes;
        int is_float;
    } known[BM_DTYPE_COUNT] = {
        {"f32", BM_F32, 4, 1}, {"f16", BM_F16, 2, 1}, {"bf16", BM_BF16, 2, 1}, {"f64", BM_F64, 8, 1},
        {"i8", BM_I8, 1, 0},   {"u8", BM_U8, 1, 0},   {"i16", BM_I16, 2, 0},   {"u16", BM_U16, 2, 0},
        {"i32", BM_I32, 4, 0}, {"u32", BM_U32, 4, 0}, {"i64", BM_I64, 8, 0},   {"u64", BM_U64, 8, 0},
    };
    for (int i = 0; i < BM_DTYPE_COUNT; i++) {
        bm_dtype t = BM_DTYPE_COUNT;
        ck_assert_str_eq(bm_dtype_name(known[i].type), known[i].name);
        ck_assert_uint_eq(bm_dtype_size(known[i].type), known[i].bytes);
        ck_assert_int_eq(bm_dtype_is_float(known[i].type), known[i].is_float);
        test_ok(bm_dtype_parse(&t, known[i].name));
        ck_assert_int_eq(t, known[i].type);
    }
    bm_dtype t = BM_I8;
    test_fails(bm_dtype_parse(&t, "float"), BM_ERR_USAGE, "f32 f16 bf16 f64");
    ck_assert_int_eq(t, BM_I8);
    ck_assert_uint_eq(bm_dtype_size(BM_DTYPE_COUNT), 0);
    ck_assert_str_eq(bm_dtype_name((bm_dtype)-1), "unknown type");
}
END_TEST

/* Of q: |x - scale q| <= scale / 2 and, where that is a tie, q even; the largest is 127 or -127. */
static void check_row(const float *x, size_t n)
{
    int8_t q[64];
    double most = 0;
    for (size_t i = 0; i < n; i++) most = fmax(most, fabs((double)x[i]));
    const double scale = (double)bm_row_to_i8(q, x, n);
    ck_assert(fabs(scale - most / 127) <= ldexp(most, -24) / 127 + ldexp(1, -150));
    for (size_t i = 0; i < n; i++) {
        const double off = fabs((double)x[i] - scale * q[i]);
        ck_assert_int_ge(q[i], -127);
        if (fabs((double)x[i]) == most) ck_assert_int_eq(q[i], x[i] > 0 ? 127 : -127);
        else ck_assert_msg(off < scale / 2 || (off == scale / 2 && q[i] % 2 == 0), "%a becomes %d of %a", (double)x[i], q[i], scale);
    }
}

START_TEST(rows_become_whole_numbers_and_a_scale)
{
    float x[64];
    int8_t q[4];
    for (int k = 0; k < 1000; k++) {
        const size_t n = 1 + (size_t)(k % 64);
        for (size_t i = 0; i < n; i++) x[i] = (float)ldexp((double)bm_rng_at(5, 1, (uint32_t)k, i) - 2147483648.0, k % 180 - 120);
        check_row(x, n);
    }
    for (int i = 0; i < 64; i++) x[i] = 0.25f * (float)(i - 32) + 0.125f;
    x[0] = 127 * 0.25f; /* scale 1/4: all others are ties */
    check_row(x, 64);
    ck_assert(bm_row_to_i8(q, x, 0) == 0);
    ck_assert(bm_row_to_i8(q, (const float[]){0, -0.0f, 0, 0}, 4) == 0);
    ck_assert_int_eq(q[0] | q[1] | q[2] | q[3], 0);
    ck_assert(isnan(bm_row_to_i8(q, (const float[]){1, NAN, 3, 0}, 4)));
    ck_assert(isnan(bm_row_to_i8(q, (const float[]){1, -INFINITY, 3, 0}, 4)));
    ck_assert_int_eq(q[0] | q[1] | q[2] | q[3], 0);
    /* Subnormals have scales of few digits. */
    ck_assert(bm_row_to_i8(q, (const float[]){0x1.8p-142f, -0x1.8p-142f}, 2) == 0x1p-148f);
    ck_assert_int_eq(q[0], 96);
    ck_assert(bm_row_to_i8(q, (const float[]){190 * 0x1p-149f, 190 * -0x1p-149f}, 2) == 0x1p-149f);
    ck_assert_int_eq(q[0], 127);
    ck_assert_int_eq(q[1], -127);
    ck_assert(bm_row_to_i8(q, (const float[]){60 * 0x1p-149f, 0}, 2) == 0);
    ck_assert_int_eq(q[0], 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("core/base/dtype");
    TCase *t = tcase_create("dtype");
    tcase_add_loop_test(t, all_patterns_have_their_value_and_come_back, 0, 2);
    tcase_add_loop_test(t, narrowing_rounds_to_nearest_even_around_every_pattern, 0, 2);
    tcase_add_loop_test(t, narrowing_agrees_on_floats_of_every_size, 0, 2);
#ifdef __FLT16_MAX__
    tcase_add_test(t, f16_agrees_with_the_compiler);
#endif
    tcase_add_test(t, known_values_of_the_formats);
    tcase_add_test(t, f64_is_narrowed_in_one_rounding);
    tcase_add_test(t, arrays_convert_between_all_floating_types);
    tcase_add_test(t, rows_become_whole_numbers_and_a_scale);
    tcase_add_test(t, types_have_names_and_sizes);
    suite_add_tcase(s, t);
    return test_run(s);
}
