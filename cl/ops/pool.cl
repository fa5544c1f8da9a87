/* Pooling over windows of images, and the gradients.
 *
 *     max_pool           y[b, i, j, c] = the largest x[b, i sh - ph + r, j sw - pw + s, c] over r < kh, s < kw; NaN if one is NaN
 *     avg_pool           the sum of them, 0 outside the image, times 1 / (kh kw)
 *     max_pool_backward  dx = the sum of dy over the windows whose first element equal to y, row by row, this is
 *     avg_pool_backward  dx = the sum of dy over the windows that this is in, times 1 / (kh kw)
 *
 * x, dx [B, H, W, C]; y, dy [B, Ho, Wo, C]. `factor` is 1 / (kh kw). A work-item does four elements of the result, one after the other
 * where C is no multiple of 4; in the cpu form `each` of its `lines`, the rows of its images. Options: STORAGE (types.clh), CPU. */

#include "grid.clh"

#define SIZES                                                                                                          \
    const long each, const long lines, const float factor, const long H, const long W, const long C, const long Ho, const long Wo, \
        const long kh, const long kw, const long sh, const long sw, const long ph, const long pw

#define SELECT(w, no, yes, when) PASTE(SELECT_, w)(no, yes, when)
#define SELECT_1(no, yes, when) ((when) ? (yes) : (no))
#define SELECT_4(no, yes, when) select(no, yes, when)
#define SELECT_16(no, yes, when) select(no, yes, when)
#define MASK(w) PASTE(int, PASTE(WIDTH_, w))

/* STEP(w) for the elements i of the result that belong to this work-item, w of them in channels from c on of pixel (row, col) of
 * image b; its images have `height` rows of `width` pixels. */
#if CPU
#define PIXELS(height, width, STEP)                                                                                    \
    const long first_line = (long)get_group_id(0) * each, end_line = min(first_line + each, lines);                    \
    for (long line = first_line; line < end_line; line++) {                                                            \
        const long b = line / height, row = line % height;                                                             \
        for (long col = 0; col < width; col++) {                                                                       \
            size_t i = (line * width + col) * C;                                                                       \
            long c = 0;                                                                                                \
            for (; c + 16 <= C; c += 16, i += 16) { STEP(16) }                                                         \
            for (; c < C; c++, i++) { STEP(1) }                                                                        \
        }                                                                                                              \
    }
#else
#define PIXELS(height, width, STEP)                                                                                    \
    const size_t end = min((get_global_id(0) + 1) * 4, (size_t)(lines * width * C));                                   \
    size_t i = get_global_id(0) * 4;                                                                                   \
    (void)each;                                                                                                        \
    if (C % 4 == 0)                                                                                                    \
        for (; i < end; i += 4) { PLACE(height, width) STEP(4) }                                                       \
    else                                                                                                               \
        for (; i < end; i++) { PLACE(height, width) STEP(1) }
#define PLACE(height, width)                                                                                           \
    const long c = i % C, col = i / C % width, row = i / C / width % height, b = i / C / width / height;
#endif

/* STEP(w) for the elements of the window of y's element that lie in the image; `at` is theirs in x. */
#define OVER_WINDOW(w, STEP)                                                                                           \
    const long top = row * sh - ph, left = col * sw - pw;                                                              \
    for (long h = max(top, 0l); h < min(top + kh, H); h++)                                                             \
        for (long v = max(left, 0l); v < min(left + kw, W); v++) {                                                     \
            const size_t at = ((b * H + h) * W + v) * C + c;                                                           \
            STEP(w)                                                                                                    \
        }

#define TAKE_LARGER(w)                                                                                                 \
    const VEC(w) x_at = GET(w, x, at);                                                                                 \
    most = SELECT(w, most, x_at, (x_at > most) | (x_at != x_at));
#define MAX_STEP(w)                                                                                                    \
    VEC(w) most = (VEC(w))(-INFINITY);                                                                                 \
    OVER_WINDOW(w, TAKE_LARGER)                                                                                        \
    PUT(w, most, y, i);

__kernel void max_pool(__global const stored *x, __global stored *y, SIZES)
{
    (void)factor;
    PIXELS(Ho, Wo, MAX_STEP)
}

#define ADD_UP(w) sum += GET(w, x, at);
#define AVG_STEP(w)                                                                                                    \
    VEC(w) sum = (VEC(w))(0.0f);                                                                                       \
    OVER_WINDOW(w, ADD_UP)                                                                                             \
    PUT(w, sum * (VEC(w))(factor), y, i);

__kernel void avg_pool(__global const stored *x, __global stored *y, SIZES)
{
    PIXELS(Ho, Wo, AVG_STEP)
}

/* The first of the windows along one axis that reach `at`, and the one behind the last. */
FN long first_window(long at, long kernel_size, long stride, long pad)
{
    return at + pad < kernel_size ? 0 : (at + pad - kernel_size) / stride + 1;
}
FN long end_of_windows(long at, long stride, long pad, long count)
{
    return min((at + pad) / stride + 1, count);
}

/* STEP(w) for the elements of y, at `to`, whose windows hold dx's element. */
#define OVER_OUTPUTS(w, STEP)                                                                                          \
    for (long ho = first_window(row, kh, sh, ph); ho < end_of_windows(row, sh, ph, Ho); ho++)                          \
        for (long wo = first_window(col, kw, sw, pw); wo < end_of_windows(col, sw, pw, Wo); wo++) {                    \
            const size_t to = ((b * Ho + ho) * Wo + wo) * C + c;                                                       \
            STEP(w)                                                                                                    \
        }

/* In the window of y at `to`: dy where x here is y and is none before. */
#define IF_FIRST(w)                                                                                                    \
    const VEC(w) y_at = GET(w, y, to);                                                                                 \
    MASK(w) first = GET(w, x, i) == y_at;                                                                              \
    for (long p = max(ho * sh - ph, 0l); p <= row; p++)                                                                \
        for (long q = max(wo * sw - pw, 0l); q < (p < row ? min(wo * sw - pw + kw, W) : col); q++)                     \
            first &= GET(w, x, ((b * H + p) * W + q) * C + c) != y_at;                                                 \
    sum += SELECT(w, (VEC(w))(0.0f), GET(w, dy, to), first);
#define MAX_BACKWARD_STEP(w)                                                                                           \
    VEC(w) sum = (VEC(w))(0.0f);                                                                                       \
    OVER_OUTPUTS(w, IF_FIRST)                                                                                          \
    PUT(w, sum, dx, i);

__kernel void max_pool_backward(__global const stored *dy, __global const stored *x, __global const stored *y,
                                __global stored *dx, SIZES)
{
    (void)factor;
    PIXELS(H, W, MAX_BACKWARD_STEP)
}

#define ADD_DY(w) sum += GET(w, dy, to);
#define AVG_BACKWARD_STEP(w)                                                                                           \
    VEC(w) sum = (VEC(w))(0.0f);                                                                                       \
    OVER_OUTPUTS(w, ADD_DY)                                                                                            \
    PUT(w, sum * (VEC(w))(factor), dx, i);

__kernel void avg_pool_backward(__global const stored *dy, __global stored *dx, SIZES)
{
    PIXELS(H, W, AVG_BACKWARD_STEP)
}
