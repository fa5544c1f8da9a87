/* Convolutions of 3 x 3 taps side by side, on devices that run one work-item at full speed (CPUs), by the minimal filtering F(2 x 2,
 * 3 x 3) of Winograd, as in Lavin & Gray 2016 (arXiv:1509.09308, section 4.1): 16 products for the 2 x 2 positions of a tile instead
 * of 36. d is the 4 x 4 pixels of x that a tile meets, g the taps of an output and a channel:
 *
 *     y = T (sum over channels of (G g G^T) .* (D d D^T)) T^T              dg = G^T (sum over tiles of (T^T dy T) .* (D d D^T)) G
 *
 *         1  0 -1  0             1    0    0
 *     D = 0  1  1  0         G = 1/2  1/2  1/2         T = 1  1  1  0
 *         0 -1  1  0             1/2 -1/2  1/2             0  1 -1 -1
 *         0  1  0 -1             0    0    1
 *
 * Each of the 16 elements of the middle is a product of matrices, made as in cl/gemm/packed.cl. All is f32; the errors of normal numbers
 * are no larger than those of sums tap by tap. A NaN or an infinity reaches all positions of the tiles that meet it.
 *
 *     transform_weights  panels[n / COLS, i, j, c, n % COLS] = (G g G^T)[i, j], where g[r, s] = w[first + n ld_n + r ld_r + s ld_s +
 *                        c ld_c] and ld_n or ld_c is 1; global (panels, vectors of c)
 *     convolve_tiles     y, and pre, the value before act; global (blocks of tiles). The gradient of x is one too: of dy, and w with
 *                        its taps from last to first
 *     gather_weights     part[p, i, j, n, c] = the sum over tiles of (T^T dy T)[i, j] (D d D^T)[i, j]; global (parts, rows i)
 *     finish_weights     dw[n, r, s, c] (+)= (G^T (sum over p of part) G)[r, s]; global (outputs)
 *
 * x [B, H, W, C], y, dy [B, Ho, Wo, N]; C and N are multiples of WIDTH. Tiles are numbered as they lie, [B, (Ho + 1) / 2,
 * (Wo + 1) / 2]. Local size 1; local memory: what a block of tiles is made to, [16, LD_IMAGES] and [16, LD_SUMS], of gather_weights
 * [4, LD_IMAGES] and [4, LD_GRADIENTS]. Options: STORAGE (of x, dy, y; types.clh), WSTORAGE (of w, dw), ACT (act.clh), HAS_PRE,
 * WIDTH 16 or 8, lanes of a vector. */

#include "registers.clh"

#ifndef WSTORAGE
#define WSTORAGE 0
#endif
#ifndef HAS_PRE
#define HAS_PRE 0
#endif

#define LOADV(p, i) PASTE(load, WIDTH)(p, i)
#define STOREV(v, p, i) PASTE(store, WIDTH)(v, p, i)
#define INLINE FN __attribute__((always_inline))

#define SIZES                                                                                                          \
    const long H, const long W, const long C, const long N, const long ph, const long pw, const long Ho, const long Wo, \
        const long tiles, const long block

/* For the 16 elements of the middle. */
#define EACH_COLUMN(X, i) X(i, 0) X(i, 1) X(i, 2) X(i, 3)
#define EACH_ELEMENT(X) EACH_COLUMN(X, 0) EACH_COLUMN(X, 1) EACH_COLUMN(X, 2) EACH_COLUMN(X, 3)

/* Floats between these 16, of a panel and of a block: a vector more than they hold, so that they do not meet in a cache. */
#define LD_PANEL (C * COLS + WIDTH)
#define LD_IMAGES (block * C + WIDTH)
#define LD_SUMS (block * COLS + WIDTH)
#define LD_GRADIENTS (block * N + WIDTH)

/* G times three vectors, in four. */
INLINE void times_g(VEC *a, VEC *b, VEC *c, VEC *d)
{
    const VEC outer = (VEC)(0.5f) * (*a + *c), inner = (VEC)(0.5f) * *b;
    *d = *c;
    *b = outer + inner;
    *c = outer - inner;
}

/* Vectors lie along what lies side by side in w, channels or outputs. */
__kernel void transform_weights(__global const STORED(WSTORAGE) *w, __global float *panels, const long N, const long C,
                                const long first, const long ld_n, const long ld_r, const long ld_s, const long ld_c)
{
    const long panel = get_group_id(0), n0 = panel * COLS, c0 = (long)get_group_id(1) * WIDTH, cols = min(N - n0, (long)COLS);
    const int along_n = ld_n == 1;
    const long step_n = along_n ? WIDTH : 1, step_c = along_n ? 1 : WIDTH, step = along_n ? 1 : COLS;
    w += first + n0 * ld_n;
    panels += panel * 16 * LD_PANEL;
    for (long c = c0; c < c0 + WIDTH; c += step_c)
        for (long n = 0; n < cols; n += step_n) {
            VEC elements[16];
            const long at = n * ld_n + c * ld_c;
#define TAP(r, s) PASTE(LOAD, WIDTH)(WSTORAGE, w, at + r * ld_r + s * ld_s)
#define TAPS(r) VEC g##r##0 = TAP(r, 0), g##r##1 = TAP(r, 1), g##r##2 = TAP(r, 2), g##r##3;
            TAPS(0)
            TAPS(1)
            TAPS(2)
            VEC g30, g31, g32, g33;
            times_g(&g00, &g10, &g20, &g30);
            times_g(&g01, &g11, &g21, &g31);
            times_g(&g02, &g12, &g22, &g32);
            times_g(&g00, &g01, &g02, &g03);
            times_g(&g10, &g11, &g12, &g13);
            times_g(&g20, &g21, &g22, &g23);
            times_g(&g30, &g31, &g32, &g33);
#define KEEP_ELEMENT(i, j) elements[4 * i + j] = g##i##j;
            EACH_ELEMENT(KEEP_ELEMENT)
            for (long e = 0; e < 16; e++)
                for (long k = 0; k < WIDTH; k++)
                    panels[e * LD_PANEL + c * COLS + n + k * step] = ((const float *)elements)[e * WIDTH + k];
        }
}

/* A tile's place. */
typedef struct place {
    long b, i, j;
} place;

FN place place_of(long tile, long Ho, long Wo)
{
    const long down = (Ho + 1) / 2, wide = (Wo + 1) / 2;
    place p;
    p.b = tile / wide / down;
    p.i = tile / wide % down;
    p.j = tile % wide;
    return p;
}

FN void to_next(place *p, long Ho, long Wo)
{
    if (++p->j < (Wo + 1) / 2) return;
    p->j = 0;
    if (++p->i < (Ho + 1) / 2) return;
    p->i = 0;
    p->b++;
}

/* D times four vectors, where they are. */
INLINE void times_d(VEC *a, VEC *b, VEC *c, VEC *d)
{
    const VEC second = *b + *c, third = *c - *b;
    *a -= *c;
    *d = *b - *d;
    *b = second;
    *c = third;
}

/* T times four vectors, in the first two. */
INLINE void times_t(VEC *a, VEC *b, VEC c, VEC d)
{
    const VEC first = *a + *b + c;
    *b = *b - c - d;
    *a = first;
}

/* The 4 x 4 pixels that a tile meets. */
typedef struct window {
    __global const stored *image;
    long H, W, C, top, left;
} window;

#define HAS_ROW(w, r) ((w)->top + (r) >= 0 && (w)->top + (r) < (w)->H)
#define HAS_COLUMN(w, s) ((w)->left + (s) >= 0 && (w)->left + (s) < (w)->W)
#define IS_WHOLE(w) (HAS_ROW(w, 0) && HAS_ROW(w, 3) && HAS_COLUMN(w, 0) && HAS_COLUMN(w, 3))

/* That of the first pixel, which may lie outside. */
FN long offset_of(const window *w) { return (w->top * w->W + w->left) * w->C; }

FN void move_window(window *w, const place *p, __global const stored *x, long ph, long pw)
{
    w->image = x + p->b * w->H * w->W * w->C;
    w->top = 2 * p->i - ph;
    w->left = 2 * p->j - pw;
}

#define WINDOW                                                                                                         \
    window w;                                                                                                          \
    w.H = H;                                                                                                           \
    w.W = W;                                                                                                           \
    w.C = C;

/* to[(i, j) ld + c] = (D d D^T)[i, j]; `whole`: all pixels are inside the image. */
INLINE void transform_image(__local VEC *to, long ld, const window *w, const int whole)
{
    const long at = offset_of(w);
    for (long c = 0; c < w->C; c += WIDTH) {
#define PIXEL(r, s)                                                                                                    \
    VEC d##r##s = whole || (HAS_ROW(w, r) && HAS_COLUMN(w, s)) ? LOADV(w->image, at + (r * w->W + s) * w->C + c) : (VEC)(0.0f);
        EACH_ELEMENT(PIXEL)
        times_d(&d00, &d10, &d20, &d30);
        times_d(&d01, &d11, &d21, &d31);
        times_d(&d02, &d12, &d22, &d32);
        times_d(&d03, &d13, &d23, &d33);
        times_d(&d00, &d01, &d02, &d03);
        times_d(&d10, &d11, &d12, &d13);
        times_d(&d20, &d21, &d22, &d23);
        times_d(&d30, &d31, &d32, &d33);
#define PUT_ELEMENT(i, j) to[((4 * i + j) * ld + c) / WIDTH] = d##i##j;
        EACH_ELEMENT(PUT_ELEMENT)
    }
}

/* sums[t, COLS] = images[t, C] times the panel [C, COLS], for ROWS tiles t (`full`, else `count`); `two`: all COLS of it, else half. */
INLINE void multiply(__local VEC *sums, __local const float *images, __global const float *panel, long C, long count, const int full,
                     const int two)
{
    /* Rows beyond the last repeat it. */
#define START(i)                                                                                                       \
    __local const float *const a##i = images + (full ? i : min((long)i, count - 1)) * C;                               \
    VEC lo##i = (VEC)(0.0f), hi##i = (VEC)(0.0f);
    EACH_ROW(START)
    for (long c = 0; c < C; c++, panel += COLS) {
        const VEC b0 = VLOAD(0, panel), b1 = two ? VLOAD(1, panel) : b0;
#define STEP(i)                                                                                                        \
    {                                                                                                                  \
        const VEC a = (VEC)(a##i[c]);                                                                                  \
        lo##i = FMA(a, b0, lo##i);                                                                                     \
        if (two) hi##i = FMA(a, b1, hi##i);                                                                            \
    }
        EACH_ROW(STEP)
    }
#define KEEP(i)                                                                                                        \
    if (full || i < count) {                                                                                           \
        sums[2 * i] = lo##i;                                                                                           \
        if (two) sums[2 * i + 1] = hi##i;                                                                              \
    }
    EACH_ROW(KEEP)
}

/* Where positions go. */
typedef struct target {
    __global stored *y, *pre;
    __global const stored *bias;
    long Ho, Wo, N;
} target;

INLINE void put(const target *t, VEC v, size_t at, long n)
{
    if (t->bias) v += LOADV(t->bias, n);
    if (HAS_PRE) STOREV(v, t->pre, at + n);
    STOREV(ACTV(v), t->y, at + n);
}

/* WIDTH outputs from n on of the positions of a tile, whose 16 elements lie ld apart. */
INLINE void put_tile(const target *t, const place *p, __local const VEC *sums, long ld, long n)
{
    const int right = 2 * p->j + 1 < t->Wo;
    const size_t at = ((p->b * t->Ho + 2 * p->i) * t->Wo + 2 * p->j) * t->N;
#define SUM(i, j) VEC m##i##j = sums[(4 * i + j) * ld / WIDTH];
    EACH_ELEMENT(SUM)
    times_t(&m00, &m10, m20, m30);
    times_t(&m01, &m11, m21, m31);
    times_t(&m02, &m12, m22, m32);
    times_t(&m03, &m13, m23, m33);
    times_t(&m00, &m01, m02, m03);
    times_t(&m10, &m11, m12, m13);
    put(t, m00, at, n);
    if (right) put(t, m01, at + t->N, n);
    if (2 * p->i + 1 >= t->Ho) return;
    put(t, m10, at + t->Wo * t->N, n);
    if (right) put(t, m11, at + (t->Wo + 1) * t->N, n);
}

__kernel void convolve_tiles(__global const stored *x, __global const float *panels, __global const stored *bias, __global stored *y,
                             __global stored *pre, __local VEC *images, __local VEC *sums, SIZES)
{
    const long first = (long)get_group_id(0) * block, count = min(block, tiles - first);
    const place start = place_of(first, Ho, Wo);
    target to;
    to.y = y;
    to.pre = pre;
    to.bias = bias;
    to.Ho = Ho;
    to.Wo = Wo;
    to.N = N;
    WINDOW
    place p = start;
    for (long t = 0; t < count; t++, to_next(&p, Ho, Wo)) {
        __local VEC *const image = images + t * C / WIDTH;
        move_window(&w, &p, x, ph, pw);
        if (IS_WHOLE(&w)) transform_image(image, LD_IMAGES, &w, 1);
        else transform_image(image, LD_IMAGES, &w, 0);
    }
    for (long n = 0; n < N; n += COLS) {
        const int two = N - n > WIDTH;
        for (long e = 0; e < 16; e++, panels += LD_PANEL)
            for (long t = 0; t < count; t += ROWS) {
                __local VEC *const out = sums + (e * LD_SUMS + t * COLS) / WIDTH;
                __local const float *const in = (__local const float *)images + e * LD_IMAGES + t * C;
                const int full = t + ROWS <= count;
                if (full && two) multiply(out, in, panels, C, count - t, 1, 1);
                else if (full) multiply(out, in, panels, C, count - t, 1, 0);
                else if (two) multiply(out, in, panels, C, count - t, 0, 1);
                else multiply(out, in, panels, C, count - t, 0, 0);
            }
        p = start;
        for (long t = 0; t < count; t++, to_next(&p, Ho, Wo))
            for (long k = 0; k < min(N - n, (long)COLS); k += WIDTH) put_tile(&to, &p, sums + (t * COLS + k) / WIDTH, LD_SUMS, n + k);
    }
}

/* ---- the gradient of w ---- */

/* to[j ld + c] = (D d D^T)[i, j]. Row i of D is a pixel, and another that is added or taken away. */
INLINE void transform_image_row(__local VEC *to, long ld, const window *w, long i, const int whole)
{
    const long first = i == 0 ? 0 : i == 2 ? 2 : 1, second = i == 3 ? 3 : i == 2 ? 1 : 2;
    const int has_first = whole || HAS_ROW(w, first), has_second = whole || HAS_ROW(w, second);
    const long at = offset_of(w) + first * w->W * w->C, at_second = at + (second - first) * w->W * w->C;
    for (long c = 0; c < w->C; c += WIDTH) {
#define TWO_PIXELS(s)                                                                                                  \
    VEC d##s = (VEC)(0.0f);                                                                                            \
    if (whole || HAS_COLUMN(w, s)) {                                                                                   \
        if (has_first) d##s = LOADV(w->image, at + s * w->C + c);                                                      \
        if (has_second) {                                                                                              \
            const VEC v = LOADV(w->image, at_second + s * w->C + c);                                                   \
            d##s += i == 1 ? v : -v;                                                                                   \
        }                                                                                                              \
    }
        TWO_PIXELS(0)
        TWO_PIXELS(1)
        TWO_PIXELS(2)
        TWO_PIXELS(3)
        times_d(&d0, &d1, &d2, &d3);
        to[c / WIDTH] = d0;
        to[(ld + c) / WIDTH] = d1;
        to[(2 * ld + c) / WIDTH] = d2;
        to[(3 * ld + c) / WIDTH] = d3;
    }
}

typedef struct gradient {
    __global const stored *dy;
    long Ho, Wo, N;
} gradient;

/* to[j ld + n] = (T^T dy T)[i, j] of the tile at p. */
INLINE void transform_gradient_row(__local VEC *to, long ld, const gradient *g, const place *p, long i)
{
    const int has_first = i < 3, has_second = i > 0 && 2 * p->i + 1 < g->Ho, right = 2 * p->j + 1 < g->Wo;
    const size_t at = ((p->b * g->Ho + 2 * p->i) * g->Wo + 2 * p->j) * g->N, below = at + g->Wo * g->N;
    for (long n = 0; n < g->N; n += WIDTH) {
        VEC a = (VEC)(0.0f), b = (VEC)(0.0f);
        if (has_first) a = LOADV(g->dy, at + n);
        if (has_first && right) b = LOADV(g->dy, at + g->N + n);
        if (has_second) {
            const VEC c = LOADV(g->dy, below + n), d = right ? LOADV(g->dy, below + g->N + n) : (VEC)(0.0f);
            a += i == 1 ? c : -c;
            b += i == 1 ? d : -d;
        }
        to[n / WIDTH] = a;
        to[(ld + n) / WIDTH] = a + b;
        to[(2 * ld + n) / WIDTH] = a - b;
        to[(3 * ld + n) / WIDTH] = -b;
    }
}

/* What all tiles of a block have in common; `add`: to the sums of earlier ones. */
typedef struct common {
    long N, C, count;
    int add;
} common;

/* sums [ROWS, COLS], rows of C, (+)= the products of dy's ROWS elements (`full`, else `outs`) and the image's COLS (`two`, else
 * half), over the tiles. */
INLINE void gather(__global VEC *sums, __local const float *dy, __local const VEC *image, const common *all, long outs, const int full,
                   const int two)
{
    const long next = all->C / WIDTH;
#define AGAIN(i)                                                                                                       \
    __global VEC *const to##i = sums + (full ? i : min((long)i, outs - 1)) * next;                                     \
    VEC lo##i = all->add ? to##i[0] : (VEC)(0.0f), hi##i = all->add && two ? to##i[1] : (VEC)(0.0f);
    EACH_ROW(AGAIN)
    for (long t = 0; t < all->count; t++, dy += all->N, image += next) {
        const VEC b0 = image[0], b1 = two ? image[1] : b0;
#define GATHER(i)                                                                                                      \
    {                                                                                                                  \
        const VEC a = (VEC)(dy[full ? i : min((long)i, outs - 1)]);                                                    \
        lo##i = FMA(a, b0, lo##i);                                                                                     \
        if (two) hi##i = FMA(a, b1, hi##i);                                                                            \
    }
        EACH_ROW(GATHER)
    }
#define PUT_BACK(i)                                                                                                    \
    to##i[0] = lo##i;                                                                                                  \
    if (two) to##i[1] = hi##i;
    EACH_ROW(PUT_BACK)
}

__kernel void gather_weights(__global const stored *dy, __global const stored *x, __global VEC *part, __local VEC *images,
                             __local VEC *gradients, SIZES)
{
    const long i = get_group_id(1), parts = get_num_groups(0);
    gradient g;
    g.dy = dy;
    g.Ho = Ho;
    g.Wo = Wo;
    g.N = N;
    WINDOW
    common all;
    all.N = N;
    all.C = C;
    all.add = 0;
    part += ((long)get_group_id(0) * 4 + i) * 4 * N * C / WIDTH;
    for (long first = (long)get_group_id(0) * block; first < tiles; first += parts * block, all.add = 1) {
        all.count = min(block, tiles - first);
        place p = place_of(first, Ho, Wo);
        for (long t = 0; t < all.count; t++, to_next(&p, Ho, Wo)) {
            __local VEC *const image = images + t * C / WIDTH;
            move_window(&w, &p, x, ph, pw);
            if (IS_WHOLE(&w)) transform_image_row(image, LD_IMAGES, &w, i, 1);
            else transform_image_row(image, LD_IMAGES, &w, i, 0);
            transform_gradient_row(gradients + t * N / WIDTH, LD_GRADIENTS, &g, &p, i);
        }
        for (long j = 0; j < 4; j++)
            for (long n = 0; n < N; n += ROWS)
                for (long c = 0; c < C; c += COLS) {
                    __global VEC *const to = part + ((j * N + n) * C + c) / WIDTH;
                    __local const float *const d = (__local const float *)gradients + j * LD_GRADIENTS + n;
                    __local const VEC *const from = images + (j * LD_IMAGES + c) / WIDTH;
                    const long outs = min(N - n, (long)ROWS);
                    const int full = outs == ROWS, two = C - c > WIDTH;
                    if (full && two) gather(to, d, from, &all, outs, 1, 1);
                    else if (full) gather(to, d, from, &all, outs, 1, 0);
                    else if (two) gather(to, d, from, &all, outs, 0, 1);
                    else gather(to, d, from, &all, outs, 0, 0);
                }
    }
}

/* G^T times four vectors, in the first three. */
INLINE void times_g_transposed(VEC *a, VEC *b, VEC *c, VEC d)
{
    const VEC sum = (VEC)(0.5f) * (*b + *c), difference = (VEC)(0.5f) * (*b - *c);
    *a += sum;
    *b = difference;
    *c = sum + d;
}

__kernel void finish_weights(__global const float *part, __global STORED(WSTORAGE) *dw, const long N, const long C, const long parts,
                             const int add)
{
    const long n = get_group_id(0);
    for (long c = 0; c < C; c += WIDTH) {
#define NOTHING(i, j) VEC u##i##j = (VEC)(0.0f);
        EACH_ELEMENT(NOTHING)
        for (long p = 0; p < parts; p++) {
#define PART(i, j) u##i##j += VLOAD(0, part + (((p * 4 + i) * 4 + j) * N + n) * C + c);
            EACH_ELEMENT(PART)
        }
        times_g_transposed(&u00, &u10, &u20, u30);
        times_g_transposed(&u01, &u11, &u21, u31);
        times_g_transposed(&u02, &u12, &u22, u32);
        times_g_transposed(&u03, &u13, &u23, u33);
        times_g_transposed(&u00, &u01, &u02, u03);
        times_g_transposed(&u10, &u11, &u12, u13);
        times_g_transposed(&u20, &u21, &u22, u23);
#define PUT_TAP(r, s)                                                                                                  \
    {                                                                                                                  \
        const size_t at = ((n * 3 + r) * 3 + s) * C + c;                                                               \
        const VEC old = add ? PASTE(LOAD, WIDTH)(WSTORAGE, dw, at) : (VEC)(0.0f);                                      \
        PASTE(STORE, WIDTH)(WSTORAGE, old + u##r##s, dw, at);                                                          \
    }
#define PUT_TAPS(r) PUT_TAP(r, 0) PUT_TAP(r, 1) PUT_TAP(r, 2)
        PUT_TAPS(0)
        PUT_TAPS(1)
        PUT_TAPS(2)
    }
}
