/* Convolutions on devices that run one work-item at full speed (CPUs): no windows are written down. A work-item copies a strip of an
 * image into local memory, with its padding, where the window of a position is kh runs of kw C elements (of C elements, kh kw of them,
 * with a dilation along the width). ROWS positions meet COLS outputs in registers, as in cl/gemm/packed.cl.
 *
 *     convolve          y[b, out(i, j), n] = act(bias[n] + sum over r, s, c of
 *                                               x[b, i sh - ph + r dh, j sw - pw + s dw, c] w[n, r, s, c])
 *                       for positions (i, j) of [Ho, Wo]; out = (oh + i th, ow + j tw) in [OH, OW]. pre is the value before act.
 *                       Global (strips of an image, images). The gradient of x is one too: of dy, and w with its taps from last to
 *                       first; with a stride, one for each remainder of the pixels by it, which some taps reach (oh, ow, th, tw).
 *     pack_weights      panels[n / COLS, run, UNITS(length), n % COLS]: the elements of each run of w[n, r, s, c], which lies at
 *                       first + n ld_n + r ld_r + s ld_s + c ld_c; 0 from N on; global (panels, runs of a window)
 *     convolve_weights  part[p, n, r, s, c] = the sum over the positions of the strips p, p + parts, ... of all images of
 *                       dy[b, i, j, n] x[b, i sh - ph + r dh, j sw - pw + s dw, c]; global (parts)
 *
 * x [B, H, W, C], y, dy [B, .., N]. A strip is `rows` rows of positions, image rows of Wp pixels. Sums are made of units (pairs.clh): an
 * f32 each, or with PAIRS, when both operands are bf16, the elements of two k: neighbours in a run, or in convolve_weights two positions
 * of a row. There a strip holds for each pixel what its position and the next one meet, and dy's units lie behind the strip.
 *
 * Local size 1; local memory: a strip and COLS elements, and dy. Options: STORAGE (of x, dy, y; types.clh), WSTORAGE (of w), ACT
 * (act.clh), HAS_PRE, WIDTH 16 or 8, lanes of a vector, PAIRS (WIDTH is 16 then). */

#include "pairs.clh"
#include "registers.clh"

#ifndef WSTORAGE
#define WSTORAGE 0
#endif
#ifndef HAS_PRE
#define HAS_PRE 0
#endif

/* Of a sum over k, and of a strip whose runs are read. */
#if PAIRS
typedef uint unit;
typedef ushort element;
#define UNITV uint16
#define ELEMENTV ushort16
#define COPYV(from, to) vstore16(vload16(0, from), 0, to)
#define COPY1(from, to) (*(to) = *(from))
#else
typedef float unit;
typedef float element;
#define UNITV VEC
#define ELEMENTV VEC
#define COPYV(from, to) VSTORE(LOADV(from, 0), 0, to)
#define COPY1(from, to) (*(to) = load1(from, 0))
#endif

#define LOADV(p, i) PASTE(load, WIDTH)(p, i)
#define STOREV(v, p, i) STORE_VECTOR(WIDTH, STORAGE, v, p, i)

#define WALK                                                                                                           \
    const long H, const long W, const long C, const long N, const long kh, const long kw, const long ph, const long pw, \
        const long sh, const long sw, const long dh, const long dw, const long Ho, const long Wo, const long rows,     \
        const long Wp

/* Runs of a window along a row of the image, and the elements of each. */
#define RUNS (dw == 1 ? (kw > 0 ? 1 : 0) : kw)
#define RUN_LENGTH (dw == 1 ? kw * C : C)

FN unit weights_at(__global const STORED(WSTORAGE) *w, long k, long C, long ld_s, long ld_c, long end)
{
#if PAIRS
    const uint second = k + 1 < end ? w[(k + 1) / C * ld_s + (k + 1) % C * ld_c] : 0;
    return w[k / C * ld_s + k % C * ld_c] | second << 16;
#else
    (void)end;
    return LOAD1(WSTORAGE, w, k / C * ld_s + k % C * ld_c);
#endif
}

__kernel void pack_weights(__global const STORED(WSTORAGE) *w, __global unit *panels, const long N, const long runs, const long length,
                           const long C, const long first, const long ld_n, const long ld_r, const long ld_s, const long ld_c)
{
    const long panel = get_group_id(0), run = get_group_id(1), n0 = panel * COLS;
    __global unit *to = panels + (panel * get_num_groups(1) + run) * UNITS(length) * COLS;
    w += first + run / runs * ld_r + run % runs * ld_s + n0 * ld_n;
    for (long k = 0; k < length; k += UNIT_K, to += COLS)
        for (long n = 0; n < COLS; n++) to[n] = n0 + n < N ? weights_at(w + n * ld_n, k, C, ld_s, ld_c, length) : 0;
}

FN void put_zeros(__local element *to, long n)
{
    long i = 0;
    for (; i + WIDTH <= n; i += WIDTH) VSTORE((ELEMENTV)(0), 0, to + i);
    for (; i < n; i++) to[i] = 0;
}

/* Every `every`-th of the image rows [top, top + lines) of x, one image, Wp pixels from `left` on, and COLS elements that vectors may
 * run over. */
FN void fill_strip(__local element *strip, __global const stored *x, long H, long W, long C, long top, long left, long lines, long Wp,
                   long every)
{
    const long from = clamp(-left, 0l, Wp), to = clamp(W - left, from, Wp), n = (to - from) * C;
    for (long y = 0; y < lines; y += every) {
        const long h = top + y;
        __local element *const row = strip + y * Wp * C;
        if (h < 0 || h >= H) {
            put_zeros(row, Wp * C);
            continue;
        }
        __global const stored *const in = x + (h * W + left + from) * C;
        __local element *const inner = row + from * C;
        long i = 0;
        put_zeros(row, from * C);
        for (; i + WIDTH <= n; i += WIDTH) COPYV(in + i, inner + i);
        for (; i < n; i++) COPY1(in + i, inner + i);
        put_zeros(inner + n, (Wp - to) * C);
    }
    put_zeros(strip + lines * Wp * C, COLS);
}

/* The same with units: an element, and the one `next` further on in the row, 0 beyond the row. */
#if PAIRS
FN void fill_units(__local uint *strip, __global const ushort *x, long H, long W, long C, long top, long left, long lines, long Wp,
                   long every, long next)
{
    const long from = clamp(-left, 0l, Wp), to = clamp(W - left, from, Wp), n = (to - from) * C;
    for (long y = 0; y < lines; y += every) {
        const long h = top + y;
        __local uint *const row = strip + y * Wp * C;
        put_zeros((__local ushort *)row, 2 * Wp * C);
        if (h < 0 || h >= H) continue;
        __global const ushort *const in = x + (h * W + left + from) * C;
        __local uint *const first = row + from * C, *const second = first - next;
        long i = 0;
        for (; i + 16 <= n; i += 16) vstore16(convert_uint16(vload16(0, in + i)), 0, first + i);
        for (; i < n; i++) first[i] = in[i];
        i = max(0l, next - from * C);
        for (; i + 16 <= n; i += 16) vstore16(vload16(0, second + i) | convert_uint16(vload16(0, in + i)) << 16u, 0, second + i);
        for (; i < n; i++) second[i] |= (uint)in[i] << 16;
    }
    put_zeros((__local ushort *)(strip + lines * Wp * C), 2 * COLS);
}

/* to[row][UNITS(columns)][N]: of dy's rows of positions, units of neighbours. */
FN void fill_dy(__local uint *to, __global const ushort *dy, long rows, long columns, long N)
{
    for (long r = 0; r < rows; r++)
        for (long j = 0; j < columns; j += 2, to += N) {
            const int pair = j + 1 < columns;
            long n = 0;
            for (; n + 16 <= N; n += 16) {
                const uint16 first = convert_uint16(vload16(0, dy + n));
                vstore16(pair ? first | convert_uint16(vload16(0, dy + N + n)) << 16u : first, 0, to + n);
            }
            for (; n < N; n++) to[n] = dy[n] | (pair ? (uint)dy[N + n] << 16 : 0);
            dy += pair ? 2 * N : N;
        }
}
typedef __local const uint *dy_row;
#define DY(i) dy[i]
#else
#define fill_units(strip, x, H, W, C, top, left, lines, Wp, every, next)                                               \
    fill_strip(strip, x, H, W, C, top, left, lines, Wp, every)
typedef __global const stored *dy_row;
#define DY(i) load1(dy, i)
#endif

/* With one tap the rows between the positions are not looked at. */
#define EVERY (kh == 1 ? sh : 1)

/* Where a tile goes: rows of N outputs. */
typedef struct target {
    __global stored *y, *pre;
    __global const stored *bias;
    size_t at[ROWS];
} target;

FN void finish(const target *t, VEC v, size_t at, long n, long cols)
{
    if (cols >= WIDTH) {
        if (t->bias) v += LOADV(t->bias, n);
        if (HAS_PRE) STOREV(v, t->pre, at + n);
        STOREV(ACTV(v), t->y, at + n);
        return;
    }
    float lanes[WIDTH];
    VSTORE(v, 0, lanes);
    for (long i = 0; i < cols; i++) {
        const float one = lanes[i] + (t->bias ? load1(t->bias, n + i) : 0.0f);
        if (HAS_PRE) store1(one, t->pre, at + n + i);
        store1(act1(one), t->y, at + n + i);
    }
}

/* Where the elements of a window lie in a strip: `lines` times `runs` runs of `length`. */
typedef struct window {
    long lines, line_step, runs, run_step, length;
} window;

FN window window_of(long kh, long kw, long dh, long dw, long C, long Wp)
{
    window w;
    w.lines = kh;
    w.line_step = dh * Wp * C;
    w.runs = RUNS;
    w.run_step = dw * C;
    w.length = RUN_LENGTH;
    return w;
}

/* tile [ROWS, COLS] = the windows at ROWS places of the strip, with `few` at FEW of them, times a panel; `two`: all COLS of it, else
 * half. */
#define FEW 4
#define ROW_IS_THERE(i) ((i) < FEW || !few)
FN __attribute__((always_inline)) void multiply(float *tile, __local const element *strip, const long *from,
                                                __global const unit *panel, const window *w, const int two, const int few)
{
#define ZERO(i) VEC lo##i = (VEC)(0.0f), hi##i = (VEC)(0.0f);
    EACH_ROW(ZERO)
    for (long r = 0; r < w->lines; r++)
        for (long s = 0; s < w->runs; s++) {
            __local const element *const run = strip + r * w->line_step + s * w->run_step;
#define RUN(i) __local const element *const a##i = run + from[i];
            EACH_ROW(RUN)
            for (long u = 0; u < w->length / UNIT_K; u++, panel += COLS) {
                const UNITV b0 = VLOAD(0, panel), b1 = two ? VLOAD(1, panel) : b0;
#define STEP_WITH(i, a_unit)                                                                                           \
    if (ROW_IS_THERE(i)) {                                                                                             \
        const UNITV x = (UNITV)(a_unit);                                                                               \
        MULTIPLY_ADD(x, b0, lo##i);                                                                                    \
        if (two) MULTIPLY_ADD(x, b1, hi##i);                                                                           \
    }
#if PAIRS
#define STEP(i) STEP_WITH(i, as_uint(vload2(u, a##i)))
#else
#define STEP(i) STEP_WITH(i, a##i[u])
#endif
                EACH_ROW(STEP)
            }
#if PAIRS
            if (w->length % 2) { /* the run ends with half a pair */
                const UNITV b0 = VLOAD(0, panel), b1 = two ? VLOAD(1, panel) : b0;
#define LAST_STEP(i) STEP_WITH(i, a##i[w->length - 1])
                EACH_ROW(LAST_STEP)
                panel += COLS;
            }
#endif
        }
#define KEEP(i)                                                                                                        \
    VSTORE(lo##i, 2 * i, tile);                                                                                        \
    VSTORE(hi##i, 2 * i + 1, tile);
    EACH_ROW(KEEP)
}

__kernel void convolve(__global const stored *x, __global const unit *panels, __global const stored *bias, __global stored *y,
                       __global stored *pre, __local element *strip, WALK, const long OH, const long OW, const long oh, const long ow,
                       const long th, const long tw)
{
    const long row0 = (long)get_group_id(0) * rows, lines = min(rows, Ho - row0), b = get_group_id(1);
    const long reach = kh > 0 ? (kh - 1) * dh : 0, places = lines * Wo;
    const window w = window_of(kh, kw, dh, dw, C, Wp);
    float tile[ROWS * COLS];
    target t;
    t.y = y;
    t.pre = pre;
    t.bias = bias;
    if (kh > 0 && kw > 0)
        fill_strip(strip, x + b * H * W * C, H, W, C, row0 * sh - ph, -pw, (lines - 1) * sh + reach + 1, Wp, EVERY);
    for (long n = 0; n < N; n += COLS) {
        __global const unit *const panel = panels + n * kh * RUNS * UNITS(RUN_LENGTH);
        long i = 0, j = 0; /* the next place */
        for (long p = 0; p < places; p += ROWS) {
            long from[ROWS];
            for (long q = 0; q < ROWS; q++) { /* places behind the last repeat it; they are not stored */
                from[q] = (i * sh * Wp + j * sw) * C;
                t.at[q] = ((b * OH + oh + (row0 + i) * th) * OW + ow + j * tw) * N;
                if (p + q + 1 >= places) continue;
                if (++j == Wo) j = 0, i++;
            }
            const int two = N - n > WIDTH, few = places - p <= FEW;
            if (two && !few) multiply(tile, strip, from, panel, &w, 1, 0);
            else if (two) multiply(tile, strip, from, panel, &w, 1, 1);
            else if (!few) multiply(tile, strip, from, panel, &w, 0, 0);
            else multiply(tile, strip, from, panel, &w, 0, 1);
            for (long q = 0; q < min(places - p, (long)ROWS); q++)
                for (long k = 0; k < min(N - n, (long)COLS); k += WIDTH)
                    finish(&t, VLOAD(0, tile + q * COLS + k), t.at[q], n + k, N - n - k);
        }
    }
}

/* Positions of a strip in units, how far apart these lie in it, and what a row has beyond whole units. */
typedef struct positions {
    long lines, line_step, columns, step, rest;
} positions;

/* tile [ROWS, COLS] = the sums over the positions of dy, rows of N, times the strip there; `full`: ROWS columns of dy, else `outs`;
 * `two`: all COLS elements of the strip, else half. */
FN __attribute__((always_inline)) void gather(float *tile, dy_row dy, long N, long outs, __local const unit *strip, const positions *p,
                                              const int full, const int two)
{
    EACH_ROW(ZERO)
    for (long r = 0; r < p->lines; r++) {
        __local const unit *x = strip + r * p->line_step;
        for (long j = 0; j < p->columns; j++, x += p->step, dy += N) {
            const UNITV b0 = VLOAD(0, x), b1 = two ? VLOAD(1, x) : b0;
#define GATHER(i)                                                                                                      \
    {                                                                                                                  \
        const UNITV d = (UNITV)(DY(full ? i : min((long)i, outs - 1)));                                                \
        MULTIPLY_ADD(d, b0, lo##i);                                                                                    \
        if (two) MULTIPLY_ADD(d, b1, hi##i);                                                                           \
    }
            EACH_ROW(GATHER)
        }
#if PAIRS
        if (p->rest) {
            const uint16 b0 = VLOAD(0, x) & 0xffff, b1 = two ? VLOAD(1, x) & 0xffff : b0;
            EACH_ROW(GATHER)
            dy += N;
        }
#endif
    }
    EACH_ROW(KEEP)
}

/* The first `outs` rows and `cols` columns of the tile into `to`, rows ld apart; `add`: to what is there. */
FN void put_tile(__global float *to, long ld, const float *tile, long outs, long cols, int add)
{
    for (long i = 0; i < outs; i++, to += ld, tile += COLS) {
        long k = 0;
        for (; k + WIDTH <= cols; k += WIDTH) {
            const VEC v = VLOAD(0, tile + k);
            VSTORE(add ? v + VLOAD(0, to + k) : v, 0, to + k);
        }
        for (; k < cols; k++) to[k] = add ? to[k] + tile[k] : tile[k];
    }
}

__kernel void convolve_weights(__global const stored *dy, __global const stored *x, __global float *part, __local unit *strip, WALK,
                               const long B)
{
    const long strips = (Ho + rows - 1) / rows, elements = kh * kw * C;
#if PAIRS
    __local uint *const dy_units = strip + ((rows - 1) * sh + (kh - 1) * dh + 1) * Wp * C + COLS;
#endif
    const window w = window_of(kh, kw, dh, dw, C, Wp);
    float tile[ROWS * COLS];
    part += get_group_id(0) * N * elements;
    int add = 0;
    for (long u = get_group_id(0); u < B * strips; u += get_num_groups(0), add = 1) {
        const long b = u / strips, row0 = u % strips * rows, lines = min(rows, Ho - row0);
        fill_units(strip, x + b * H * W * C, H, W, C, row0 * sh - ph, -pw, (lines - 1) * sh + (kh - 1) * dh + 1, Wp, EVERY, sw * C);
        __global const stored *const from_dy = dy + (b * Ho + row0) * Wo * N;
#if PAIRS
        fill_dy(dy_units, from_dy, lines, Wo, N);
        const dy_row all = dy_units;
#else
        const dy_row all = from_dy;
#endif
        positions p;
        p.lines = lines;
        p.line_step = sh * Wp * C;
        p.columns = Wo / UNIT_K;
        p.step = UNIT_K * sw * C;
        p.rest = Wo % UNIT_K;
        for (long n = 0; n < N; n += ROWS)
            for (long r = 0; r < kh; r++)
                for (long s = 0; s < w.runs; s++)
                    for (long k = 0; k < w.length; k += COLS) {
                        const dy_row d = all + n;
                        __local const unit *const from = strip + r * w.line_step + s * w.run_step + k;
                        const long outs = min(N - n, (long)ROWS), cols = min(w.length - k, (long)COLS);
                        const int full = outs == ROWS, two = cols > WIDTH;
                        if (full && two) gather(tile, d, N, outs, from, &p, 1, 1);
                        else if (full) gather(tile, d, N, outs, from, &p, 1, 0);
                        else if (two) gather(tile, d, N, outs, from, &p, 0, 1);
                        else gather(tile, d, N, outs, from, &p, 0, 0);
                        put_tile(part + n * elements + (r * kw + s) * C + k, elements, tile, outs, cols, add);
                    }
    }
}
