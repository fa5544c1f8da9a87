#include "core/base/dtype.h"

#include <float.h>
#include <math.h>
#include <string.h>

static const struct {
    const char *name;
    size_t bytes;
} types[] = {
#define BM_DTYPE_ROW(name, stored, bytes) [name] = {stored, bytes},
    BM_DTYPE_LIST(BM_DTYPE_ROW)
#undef BM_DTYPE_ROW
};

const char *bm_dtype_name(bm_dtype t) { return (unsigned)t < BM_DTYPE_COUNT ? types[t].name : "unknown type"; }

size_t bm_dtype_size(bm_dtype t) { return (unsigned)t < BM_DTYPE_COUNT ? types[t].bytes : 0; }

int bm_dtype_is_float(bm_dtype t) { return t == BM_F32 || t == BM_F16 || t == BM_BF16 || t == BM_F64; }

bm_status bm_dtype_parse(bm_dtype *out, const char *name)
{
    for (int t = 0; t < BM_DTYPE_COUNT; t++) {
        if (strcmp(types[t].name, name) != 0) continue;
        *out = (bm_dtype)t;
        return BM_OK;
    }
#define BM_DTYPE_WORD(name, stored, bytes) " " stored
    return bm_fail(BM_ERR_USAGE, "\"%s\" is no element type (there are:" BM_DTYPE_LIST(BM_DTYPE_WORD) ")", name);
#undef BM_DTYPE_WORD
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

uint16_t bm_f32_to_f16(float x)
{
    uint32_t u = bits_of(x);
    const uint32_t sign = u >> 16 & 0x8000u;
    u &= 0x7fffffffu;
    if (u > 0x7f800000u) return (uint16_t)(sign | 0x7e00u | (u >> 13 & 0x3ffu));
    if (u >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u); /* 65520 and more round to infinity */
    if (u < 0x33000000u) return (uint16_t)sign;              /* less than half of the least subnormal, 2^-24 */
    if (u >= 0x38800000u) {
        u += 0xfffu + (u >> 13 & 1u);
        return (uint16_t)(sign | (u - 0x38000000u) >> 13);
    }
    const uint32_t shift = 126u - (u >> 23); /* the significand in units of 2^-24 */
    const uint32_t significand = (u & 0x7fffffu) | 0x800000u;
    const uint32_t rest = significand & ((1u << shift) - 1u), half = 1u << (shift - 1u);
    uint32_t q = significand >> shift;
    if (rest > half || (rest == half && (q & 1u))) q++;
    return (uint16_t)(sign | q);
}

float bm_f16_to_f32(uint16_t x)
{
    const uint32_t sign = (uint32_t)(x & 0x8000u) << 16, rest = x & 0x7fffu;
    if (rest > 0x7c00u) return float_of(sign | 0x7fc00000u | rest << 13);
    if (rest == 0x7c00u) return float_of(sign | 0x7f800000u);
    if (rest >= 0x400u) return float_of(sign | ((rest << 13) + 0x38000000u));
    const float magnitude = (float)rest * 0x1p-24f;
    return sign ? -magnitude : magnitude;
}

uint16_t bm_f32_to_bf16(float x)
{
    uint32_t u = bits_of(x);
    if ((u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(u >> 16 | 0x40u);
    u += 0x7fffu + (u >> 16 & 1u);
    return (uint16_t)(u >> 16);
}

float bm_bf16_to_f32(uint16_t x)
{
    uint32_t u = (uint32_t)x << 16;
    if ((u & 0x7fffffffu) > 0x7f800000u) u |= 0x400000u;
    return float_of(u);
}

/* f64 to f32 rounded to odd, so that rounding again to 16 bits gives what one rounding would (Boldo and Melquiond,
 * "Emulation of a FMA and Correctly Rounded Sums", IEEE TC 2008). */
static float narrow_to_odd(double x)
{
    float f = (float)x;
    if (isnan(x) || (double)f == x) return f;
    uint32_t u = bits_of(f);
    if (u & 1u) return f;
    return float_of(fabs((double)f) > fabs(x) ? u - 1u : u | 1u);
}

/* One element as f64: every type fits it exactly. */
static double load(const void *src, bm_dtype from, size_t i)
{
    switch (from) {
    case BM_F32: return ((const float *)src)[i];
    case BM_F16: return bm_f16_to_f32(((const uint16_t *)src)[i]);
    case BM_BF16: return bm_bf16_to_f32(((const uint16_t *)src)[i]);
    default: return ((const double *)src)[i];
    }
}

static void store(void *dst, bm_dtype to, size_t i, double x)
{
    switch (to) {
    case BM_F32: ((float *)dst)[i] = (float)x; break;
    case BM_F16: ((uint16_t *)dst)[i] = bm_f32_to_f16(narrow_to_odd(x)); break;
    case BM_BF16: ((uint16_t *)dst)[i] = bm_f32_to_bf16(narrow_to_odd(x)); break;
    default: ((double *)dst)[i] = x; break;
    }
}

bm_status bm_convert_floats(void *dst, bm_dtype to, const void *src, bm_dtype from, size_t n)
{
    if (!bm_dtype_is_float(to) || !bm_dtype_is_float(from))
        return bm_fail(BM_ERR_UNSUPPORTED, "conversion from %s to %s: both must be floating types", bm_dtype_name(from),
                       bm_dtype_name(to));
    if (to == from) {
        if (n > 0) memcpy(dst, src, n * bm_dtype_size(to));
    } else if (from == BM_F32 && to == BM_F16) {
        for (size_t i = 0; i < n; i++) ((uint16_t *)dst)[i] = bm_f32_to_f16(((const float *)src)[i]);
    } else if (from == BM_F32 && to == BM_BF16) {
        for (size_t i = 0; i < n; i++) ((uint16_t *)dst)[i] = bm_f32_to_bf16(((const float *)src)[i]);
    } else if (from == BM_F16 && to == BM_F32) {
        for (size_t i = 0; i < n; i++) ((float *)dst)[i] = bm_f16_to_f32(((const uint16_t *)src)[i]);
    } else if (from == BM_BF16 && to == BM_F32) {
        for (size_t i = 0; i < n; i++) ((float *)dst)[i] = bm_bf16_to_f32(((const uint16_t *)src)[i]);
    } else {
        for (size_t i = 0; i < n; i++) store(dst, to, i, load(src, from, i));
    }
    return BM_OK;
}

float bm_row_to_i8(int8_t *q, const float *x, size_t n)
{
    float most = 0;
    int finite = 1;
    for (size_t i = 0; i < n; i++) {
        const float size = fabsf(x[i]);
        finite &= size <= FLT_MAX;
        if (size > most) most = size;
    }
    const float scale = finite ? most / 127 : NAN;
    if (!(scale > 0)) {
        memset(q, 0, n);
        return scale;
    }
    for (size_t i = 0; i < n; i++) {
        const double whole = nearbyint((double)x[i] / (double)scale);
        q[i] = (int8_t)(whole > 127 ? 127 : whole < -127 ? -127 : whole); /* a subnormal scale is not exact */
    }
    return scale;
}
