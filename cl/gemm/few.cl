/* D [M, N] = act(alpha scale A op(B) + beta D + bias) for an A of few rows, M = FEW <= 8, that is not transposed; for devices that run
 * one work-item at full speed (CPUs). B is read once, where it lies.
 *
 *     gemm_few      global (column blocks, 1, batch); a work-item makes COLS columns, `panels` times
 *
 * With BYTES, for a transposed B of i8, A is taken for whole numbers too, and x86's vpdpbusd multiplies 64 at a time and sums them
 * exactly: split_row says how.
 *
 * Local size 1. Offsets, leading dimensions and strides in elements. Options: TYPE_A, TYPE_B, TYPE_D (storage numbers); TRANS_B; FEW;
 * WIDTH 16 or 8, the lanes of a vector; BYTES 1 (WIDTH is 16 then); HAS_SCALE, HAS_BIAS, HAS_PRE, ACT. */

#include "math.clh"
#include "registers.clh"
#include "result.clh"

#ifndef TYPE_A
#define TYPE_A 0
#endif
#ifndef TYPE_B
#define TYPE_B 0
#endif
#ifndef TRANS_B
#define TRANS_B 0
#endif
#ifndef FEW
#define FEW 1
#endif
#ifndef BYTES
#define BYTES 0
#endif

#define EACH_FEW(X) EACH_OF(FEW, X)

/* Bytes of B that are fetched, into the second cache, before they are used: a processor that looks ahead by itself sees too little of
 * the memory, the less the narrower B is and the more arithmetic its bytes want. */
#define AHEAD 4096

#if BYTES
#if !defined(__x86_64__) || !defined(__AVX512F__) || !defined(__clang_major__) || __clang_major__ < 9
#error "this compiler does not know vpdpbusd"
#endif

/* A row of A is taken for whole numbers x of a step, a power of two: |x| <= 2^22, so that the largest element keeps 22 of its 24 bits,
 * and others lose what lies below them. x = 65536 high + 256 mid + low, digits in -128 .. 127. vpdpbusd adds the products of
 * four unsigned bytes and four signed ones, at most 4 * 255 * 128, to each sum of 32 bits: w + 128 of B's row and the digits of x.
 * The sums of 128 x are taken off first: the sums begin with minus them. */
#define CHUNK 64
#define DIGITS 3

#define DOT_BYTES(sum, w, x) __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(w), "v"(x))
typedef __attribute__((aligned(1))) uint16 packed_uint16;

/* Local memory: what the sums of each row begin with, int16 [FEW][DIGITS]; digits [chunks][FEW][DIGITS][CHUNK]. */
#define STARTS (FEW * DIGITS * 64)
#define DIGITS_AT(i, k) (STARTS + ((k) / CHUNK * FEW + (i)) * DIGITS * CHUNK + (k) % CHUNK)

FN float16 some_of_row(__global const STORED(TYPE_A) *a, long k, long k_all)
{
    if (k + 16 <= k_all) return LOAD16(TYPE_A, a, k);
    float some[16];
    for (int i = 0; i < 16; i++) some[i] = k + i < k_all ? LOAD1(TYPE_A, a, k + i) : 0.0f;
    return vload16(0, some);
}

/* Of row i: digits and starts into `bytes`; returns the step. A row with NaN or infinity has a step of NaN. */
FN float split_row(__local char *bytes, __global const STORED(TYPE_A) *a, int i, long k_all)
{
    uint16 above = 0;
    for (long k = 0; k < k_all; k += 16) above = max(above, as_uint16(some_of_row(a, k, k_all)) & 0x7fffffffu);
    uint lane[16], exponent = 22; /* of a step that is not subnormal */
    vstore16(above >> 23u, 0, lane);
    for (int j = 0; j < 16; j++) exponent = max(exponent, lane[j]);

    /* Added to 1.5 * 2^23, whole numbers up to 2^22 stand in the last bits. */
    const float16 per_step = (float16)(as_float((275u - exponent) << 23));
    for (long k = 0; k < k_all || k % CHUNK; k += 16) {
        const int16 x = as_int16(FMA(some_of_row(a, k, k_all), per_step, (float16)(0x1.8p23f))) - as_int(0x1.8p23f);
        const int16 above_low = (x + 128) >> 8, above_mid = (above_low + 128) >> 8;
        __local uchar16 *const to = (__local uchar16 *)(bytes + DIGITS_AT(i, k));
        to[0] = convert_uchar16(above_mid & 255);
        to[CHUNK / 16] = convert_uchar16(above_low & 255);
        to[2 * CHUNK / 16] = convert_uchar16(x & 255);
    }
    for (int digit = 0; digit < DIGITS; digit++) {
        int16 sum = 0;
        for (long k = 0; k < k_all; k += CHUNK) {
            const int16 x = *(__local const int16 *)(bytes + DIGITS_AT(i, k) + digit * CHUNK);
            DOT_BYTES(sum, (uint16)(0x80808080u), x);
        }
        *(__local int16 *)(bytes + (i * DIGITS + digit) * 64) = -sum;
    }
    return exponent == 255 ? NAN : as_float((exponent - 21) << 23);
}

/* sums[i COLS] = row i of A times one row of B. */
FN void dot_bytes(float *sums, __local const char *bytes, const float *steps, __global const char *b, long k_all)
{
    __local const int16 *x = (__local const int16 *)bytes;
#define BEGIN(i) int16 high##i = x[i * DIGITS], mid##i = x[i * DIGITS + 1], low##i = x[i * DIGITS + 2];
    EACH_FEW(BEGIN)
    x += FEW * DIGITS;
#define DOT_DIGITS(i)                                                                                                  \
    DOT_BYTES(high##i, w, x[i * DIGITS]);                                                                              \
    DOT_BYTES(mid##i, w, x[i * DIGITS + 1]);                                                                           \
    DOT_BYTES(low##i, w, x[i * DIGITS + 2]);
    long k = 0;
    for (; k + CHUNK <= k_all; k += CHUNK, x += FEW * DIGITS) {
        PREFETCH_FAR(b + k + AHEAD);
        const uint16 w = *(__global const packed_uint16 *)(b + k) ^ 0x80808080u;
        EACH_FEW(DOT_DIGITS)
    }
    if (k < k_all) {
        uint16 w = 0;
        for (long j = k; j < k_all; j++) ((uchar *)&w)[j - k] = (uchar)(b[j] ^ 0x80); /* the digits of x are 0 beyond */
        EACH_FEW(DOT_DIGITS)
    }
#define JOIN_DIGITS(i)                                                                                                 \
    sums[i * COLS] = steps[i] * sum16(FMA(convert_float16(high##i), (float16)(65536.0f),                               \
                                          FMA(convert_float16(mid##i), (float16)(256.0f), convert_float16(low##i))));
    EACH_FEW(JOIN_DIGITS)
}
#elif TRANS_B
FN float sum_lanes(VEC v)
{
#if WIDTH == 16
    return sum16(v);
#else
    const float4 a = v.lo + v.hi;
    const float2 b = a.lo + a.hi;
    return b.x + b.y;
#endif
}

/* Each row of B has PARTS sums of vectors for each row of A, as many as registers hold: one alone would wait for itself. */
#if 4 * FEW <= WIDTH
#define PARTS 4
#define EACH_PART(X, i) X(i, 0) X(i, 1) X(i, 2) X(i, 3)
#define JOIN(sum) ((sum##_0 + sum##_1) + (sum##_2 + sum##_3))
#else
#define PARTS 2
#define EACH_PART(X, i) X(i, 0) X(i, 1)
#define JOIN(sum) (sum##_0 + sum##_1)
#endif

/* sums[i COLS] = row i of A times one row of B. */
FN void dot_row(float *sums, __global const STORED(TYPE_A) *a, __global const STORED(TYPE_B) *b, long lda, long k_all)
{
#define ZERO_PART(i, p) VEC sum##i##_##p = (VEC)(0.0f);
#define ZERO_PARTS(i) EACH_PART(ZERO_PART, i)
    EACH_FEW(ZERO_PARTS)
    long k = 0;
    for (; k + PARTS * WIDTH <= k_all; k += PARTS * WIDTH) {
#define LOAD_PART(i, p) const VEC y##p = LOADV(TYPE_B, b, k + p * WIDTH);
#define DOT_PART(i, p) sum##i##_##p = FMA(LOADV(TYPE_A, a, i * lda + k + p * WIDTH), y##p, sum##i##_##p);
#define DOT_PARTS(i) EACH_PART(DOT_PART, i)
        for (int at = 0; at < PARTS * WIDTH * (int)sizeof *b; at += 64) PREFETCH_FAR((__global const char *)(b + k) + AHEAD + at);
        EACH_PART(LOAD_PART, 0)
        EACH_FEW(DOT_PARTS)
    }
    for (; k + WIDTH <= k_all; k += WIDTH) {
        const VEC y = LOADV(TYPE_B, b, k);
#define DOT(i) sum##i##_0 = FMA(LOADV(TYPE_A, a, i * lda + k), y, sum##i##_0);
        EACH_FEW(DOT)
    }
#define SUM(i) float s##i = sum_lanes(JOIN(sum##i));
    EACH_FEW(SUM)
    for (; k < k_all; k++) {
        const float y = LOAD1(TYPE_B, b, k);
#define DOT_ONE(i) s##i = FMA(LOAD1(TYPE_A, a, i * lda + k), y, s##i);
        EACH_FEW(DOT_ONE)
    }
#define KEEP_SUM(i) sums[i * COLS] = s##i;
    EACH_FEW(KEEP_SUM)
}
#endif

#if TRANS_B
FN void finish_sums(const target *t, const float *sums, long col, long cols)
{
    for (long i = 0; i < FEW; i++, sums += COLS) {
        if (cols >= COLS) {
            finish_vec(t, VLOAD(0, sums), i, col);
            finish_vec(t, VLOAD(0, sums + WIDTH), i, col + WIDTH);
        } else {
            for (long j = 0; j < cols; j++) finish_one(t, sums[j], i, col + j);
        }
    }
}

/* The rows of B one after the other, as they lie: what a processor fetches ahead of a single run of addresses is what comes next.
 * Two rows in turn took twice as long on a Zen 4 where B was in memory. */
FN void multiply_few(const target *t, __global const STORED(TYPE_A) *a, __global const STORED(TYPE_B) *b, __local char *bytes,
                     long lda, long ldb, long k_all, long col, long end)
{
    float sums[FEW * COLS];
#if BYTES
    float steps[FEW];
    for (int i = 0; i < FEW; i++) steps[i] = split_row(bytes, a + i * lda, i, k_all);
#define MULTIPLY_ROW(sums, row) dot_bytes(sums, bytes, steps, row, k_all)
#else
    (void)bytes;
#define MULTIPLY_ROW(sums, row) dot_row(sums, a, row, lda, k_all)
#endif
    for (; col < end; col += COLS) {
        const long cols = min(end - col, (long)COLS);
        for (long j = 0; j < cols; j++) MULTIPLY_ROW(sums + j, b + (col + j) * ldb);
        finish_sums(t, sums, col, cols);
    }
}
#else
/* The rows of B in turn, COLS columns of each. */
FN void multiply_panel(const target *t, __global const STORED(TYPE_A) *a, __global const STORED(TYPE_B) *b, long lda, long ldb,
                       long k_all, long col, long cols)
{
    if (cols >= COLS) {
#define ZERO(i) VEC lo##i = (VEC)(0.0f), hi##i = (VEC)(0.0f);
        EACH_FEW(ZERO)
        for (long k = 0; k < k_all; k++) {
            const VEC y0 = LOADV(TYPE_B, b, k * ldb), y1 = LOADV(TYPE_B, b, k * ldb + WIDTH);
#define ADD_ROW(i)                                                                                                     \
    {                                                                                                                  \
        const VEC x = (VEC)(LOAD1(TYPE_A, a, i * lda + k));                                                            \
        lo##i = FMA(x, y0, lo##i);                                                                                     \
        hi##i = FMA(x, y1, hi##i);                                                                                     \
    }
            EACH_FEW(ADD_ROW)
        }
#define FINISH_ROW(i)                                                                                                  \
    finish_vec(t, lo##i, i, col);                                                                                      \
    finish_vec(t, hi##i, i, col + WIDTH);
        EACH_FEW(FINISH_ROW)
        return;
    }
    for (long j = 0; j < cols; j++)
        for (long i = 0; i < FEW; i++) {
            float sum = 0.0f;
            for (long k = 0; k < k_all; k++) sum = FMA(LOAD1(TYPE_A, a, i * lda + k), LOAD1(TYPE_B, b, k * ldb + j), sum);
            finish_one(t, sum, i, col + j);
        }
}

FN void multiply_few(const target *t, __global const STORED(TYPE_A) *a, __global const STORED(TYPE_B) *b, __local char *bytes,
                     long lda, long ldb, long k_all, long col, long end)
{
    (void)bytes;
    for (; col < end; col += COLS) multiply_panel(t, a, b + col, lda, ldb, k_all, col, end - col);
}
#endif

__kernel void gemm_few(__global const STORED(TYPE_A) *a, __global const STORED(TYPE_B) *b, __global STORED(TYPE_D) *d,
                       __global const STORED(TYPE_D) *bias, __global STORED(TYPE_D) *pre, __global const float *scale,
                       __local char *bytes, long n, long k, long panels, long lda, long ldb, long ldd, long offset_a, long offset_b,
                       long offset_d, long stride_a, long stride_b, long stride_d, float alpha, float beta)
{
    const long col = (long)get_group_id(0) * panels * COLS, batch = (long)get_group_id(2);
    target t;
    t.d = d + offset_d + batch * stride_d;
    t.pre = HAS_PRE ? pre + offset_d + batch * stride_d : 0;
    t.bias = bias;
    t.scale = scale;
    t.part = 0;
    t.ldd = ldd;
    t.ld_part = 0;
    t.alpha = alpha;
    t.beta = beta;
    t.steps = (beta != 0.0f ? ADD_OLD : 0) | LAST;
    multiply_few(&t, a + offset_a + batch * stride_a, b + offset_b + batch * stride_b, bytes, lda, ldb, k, col,
                 min(n, col + panels * COLS));
}
