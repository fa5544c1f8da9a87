/* What a convolution by matrix products needs around them, and convolutions in groups as they stand.
 *
 *     y[b, i, j, o] = act(bias[o] + sum over r, s, c of x[b, i sh - ph + r dh, j sw - pw + s dw, first(o) + c] w[o, r, s, c])
 *
 * x [B, H, W, C], w [O, kh, kw, c], y [B, Ho, Wo, O]; x is 0 outside. c = C / groups; first(o) = c (o / (O / groups)).
 *
 *     unfold         rows[m, (r, s, c)] = the x that w[., r, s, c] meets at y's position m; images [image, image + images)
 *     fold           dx = the sum of what unfold took from it, of drows f32; the same images
 *     group_forward  y, and pre, the value before act; a work-item makes one element, as in
 *     group_dx       dx = sum over r, s, o of dy w
 *     group_dw       dw (+)= sum over b, i, j of dy x, image by image
 *
 * unfold and fold go over CHANNELS (grid.clh), the others over single elements, 64 to a work-group. Options: STORAGE (of x, rows,
 * y, dx; types.clh), WSTORAGE (of w, dw), ACT (act.clh), CPU. */

#include "act.clh"
#include "grid.clh"

#ifndef WSTORAGE
#define WSTORAGE 0
#endif
typedef STORED(WSTORAGE) weight;

#define SIZES                                                                                                          \
    const long B, const long H, const long W, const long C, const long O, const long kh, const long kw, const long Ho, \
        const long Wo, const long sh, const long sw, const long ph, const long pw, const long dh, const long dw,       \
        const long groups

/* Where output i of `outs` meets `at` through tap r: -1 where it does not. */
FN long meets(long at, long r, long pad, long dilation, long stride, long outs)
{
    const long d = at + pad - r * dilation;
    return d >= 0 && d % stride == 0 && d / stride < outs ? d / stride : -1;
}

#define UNFOLD_STEP(w)                                                                                                 \
    {                                                                                                                  \
        const long k = i % window, m = i / window, c = k % C, s = k / C % kw, r = k / C / kw;                          \
        const long h = m / Wo % Ho * sh - ph + r * dh, v = m % Wo * sw - pw + s * dw, b = image + m / Wo / Ho;         \
        const int inside = h >= 0 && h < H && v >= 0 && v < W;                                                         \
        PUT(w, inside ? GET(w, x, ((b * H + h) * W + v) * C + c) : (VEC(w))(0.0f), rows, i);                           \
    }

__kernel void unfold(__global const stored *x, __global stored *rows, const long image, const long images, SIZES)
{
    const long window = kh * kw * C;
    (void)B, (void)O, (void)groups;
    CHANNELS(images * Ho * Wo * window, C, UNFOLD_STEP)
}

#define FOLD_STEP(w)                                                                                                   \
    {                                                                                                                  \
        const long c = i % C, v = i / C % W, h = i / C / W % H, b = i / C / W / H;                                     \
        VEC(w) sum = (VEC(w))(0.0f);                                                                                   \
        for (long r = 0; r < kh; r++) {                                                                                \
            const long ho = meets(h, r, ph, dh, sh, Ho);                                                               \
            for (long s = 0; ho >= 0 && s < kw; s++) {                                                                 \
                const long wo = meets(v, s, pw, dw, sw, Wo);                                                           \
                if (wo >= 0) sum += PASTE(LOAD, w)(0, drows, (((b * Ho + ho) * Wo + wo) * kh * kw + r * kw + s) * C + c); \
            }                                                                                                          \
        }                                                                                                              \
        PUT(w, sum, dx, image * H * W * C + i);                                                                        \
    }

__kernel void fold(__global const float *drows, __global stored *dx, const long image, const long images, SIZES)
{
    (void)B, (void)O, (void)groups;
    CHANNELS(images * H * W * C, C, FOLD_STEP)
}

__kernel void group_forward(__global const stored *x, __global const weight *w, __global const stored *bias, __global stored *y,
                            __global stored *pre, SIZES)
{
    const size_t i = get_global_id(0);
    if (i >= (size_t)(B * Ho * Wo * O)) return;
    const long o = i % O, wo = i / O % Wo, ho = i / O / Wo % Ho, b = i / O / Wo / Ho, n = C / groups;
    const long first = o / (O / groups) * n;
    float sum = bias ? load1(bias, o) : 0.0f;
    for (long r = 0; r < kh; r++)
        for (long s = 0; s < kw; s++) {
            const long h = ho * sh - ph + r * dh, v = wo * sw - pw + s * dw;
            if (h < 0 || h >= H || v < 0 || v >= W) continue;
            const size_t at = ((b * H + h) * W + v) * C + first, at_w = ((o * kh + r) * kw + s) * n;
            for (long c = 0; c < n; c++) sum = FMA(load1(x, at + c), LOAD1(WSTORAGE, w, at_w + c), sum);
        }
    if (pre) store1(sum, pre, i);
    store1(act1(sum), y, i);
}

__kernel void group_dx(__global const stored *dy, __global const weight *w, __global stored *dx, SIZES)
{
    const size_t i = get_global_id(0);
    if (i >= (size_t)(B * H * W * C)) return;
    const long c = i % C, v = i / C % W, h = i / C / W % H, b = i / C / W / H, n = C / groups, outs = O / groups;
    const long first = c / n * outs;
    float sum = 0.0f;
    for (long r = 0; r < kh; r++) {
        const long ho = meets(h, r, ph, dh, sh, Ho);
        for (long s = 0; ho >= 0 && s < kw; s++) {
            const long wo = meets(v, s, pw, dw, sw, Wo);
            if (wo < 0) continue;
            const size_t at = ((b * Ho + ho) * Wo + wo) * O;
            for (long o = first; o < first + outs; o++)
                sum = FMA(load1(dy, at + o), LOAD1(WSTORAGE, w, ((o * kh + r) * kw + s) * n + c % n), sum);
        }
    }
    store1(sum, dx, i);
}

__kernel void group_dw(__global const stored *dy, __global const stored *x, __global weight *dw_, const int add, SIZES)
{
    const long n = C / groups;
    const size_t i = get_global_id(0);
    if (i >= (size_t)(O * kh * kw * n)) return;
    const long c = i % n, s = i / n % kw, r = i / n / kw % kh, o = i / n / kw / kh, from = o / (O / groups) * n + c;
    float sum = add ? LOAD1(WSTORAGE, dw_, i) : 0.0f;
    for (long b = 0; b < B; b++) {
        float of_image = 0.0f;
        for (long ho = 0; ho < Ho; ho++)
            for (long wo = 0; wo < Wo; wo++) {
                const long h = ho * sh - ph + r * dh, v = wo * sw - pw + s * dw;
                if (h < 0 || h >= H || v < 0 || v >= W) continue;
                of_image = FMA(load1(dy, ((b * Ho + ho) * Wo + wo) * O + o), load1(x, ((b * H + h) * W + v) * C + from), of_image);
            }
        sum += of_image;
    }
    STORE1(WSTORAGE, sum, dw_, i);
}
