/* Attention (attention.cl has the formulas and how operands lie) on devices that run one work-item at full speed (CPUs).
 *
 * One work-item per work-group, panels of at most QUERIES queries and BLOCK keys in private memory, and scores of STRIP
 * queries at a time. They are kept transposed, queries in the lanes, so that softmax needs no sum over lanes and P enters the
 * second product as it lies. With PAIRS the products are of pairs of bf16, P and dS rounded to it; sums, softmax, lse and delta
 * are f32. An operand's units lie along its rows or across them, as the sum goes over columns or rows.
 *     forward    a work-item per (`parts` blocks of BLOCK queries, head, batch element).
 *     backward   a work-item per (1, head, batch element): one pass makes dQ, dK and dV, each product once. dK and dV gather in
 *                    `acc`: dqkv itself where rows can be written there as they are (f32, HEAD a multiple of 32), else
 *                    [B heads, T, 2, PITCH] f32.
 *
 * Options: HEAD (elements of a head, at most 256), STORAGE (types.clh), PAIRS (pairs.clh: with bf16). */

#include "grid.clh"
#include "head.clh"
#include "math.clh"
#include "scalars.clh"

#define ROW (PITCH / UNIT_K)              /* units of a row of a panel, which has PITCH elements */
#define BLOCK (HEAD > 128 ? 32 : 64)      /* keys of a panel */
#define QUERIES (2 * BLOCK)               /* queries that meet a panel of keys, at most, in the forward pass, */
#define QUERIES_BACK (PAIRS && HEAD <= 64 ? 256 : QUERIES) /* and in the backward pass */
#define STRIP 32                          /* of which a tile has */
#define DIRECT (STORAGE == 0 && HEAD % 32 == 0) /* dK and dV gather in dqkv itself */

/* Elements [0, HEAD) of x from `at` on as units along the row, then zeros. */
#if PAIRS
FN void load_units(float *p, __global const stored *x, size_t at)
{
    for (int c = 0; c < PITCH; c += 32) {
        if (c + 32 <= HEAD) {
            AT16(p + c / 2) = (float16)(as_float8(vload16(0, x + at + c)), as_float8(vload16(1, x + at + c)));
        } else {
            ushort row[32] = {0};
            for (int j = c; j < HEAD; j++) row[j - c] = x[at + j];
            AT16(p + c / 2) = (float16)(as_float8(vload16(0, row)), as_float8(vload16(1, row)));
        }
    }
}
#else
#define load_units load_row
#endif

FN void fill_panel(float *panel, int n, float value)
{
    for (int i = 0; i < n; i += 16) AT16(panel + i) = (float16)(value);
}

/* n rows rounded up to whole strips. */
FN int whole_strips(int n) { return (n + STRIP - 1) / STRIP * STRIP; }

/* panel[i][u]: rows [0, n) of x at element `at`, `row` apart, as units along the rows; zeros to the end of the strip. */
FN void load_panel(float *panel, __global const stored *x, size_t at, size_t row, int n)
{
    for (int i = 0; i < n; i++) load_units(panel + i * ROW, x, at + i * row);
    fill_panel(panel + n * ROW, (whole_strips(n) - n) * ROW, 0.0f);
}

/* Of such a panel, units across the rows: [i / UNIT_K][c]. In f32 the panel itself, else in `space`, which is ACROSS(rows) long. */
#if PAIRS
#define ACROSS(rows) ((rows) / 2 * PITCH)
FN const float *across(float *space, const float *panel, int n)
{
    for (int i = 0; i < whole_strips(n); i += 2)
        for (int u = 0; u < ROW; u += 16) {
            const float16 a = AT16(panel + i * ROW + u), b = AT16(panel + (i + 1) * ROW + u);
            AT16(space + i / 2 * PITCH + 2 * u) = pair_low(a, b);
            AT16(space + i / 2 * PITCH + 2 * u + 16) = pair_high(a, b);
        }
    return space;
}
#else
#define ACROSS(rows) 16
FN const float *across(float *space, const float *panel, int n)
{
    (void)space, (void)n;
    return panel;
}
#endif

/* t[strip][u][i] = panel[STRIP strip + i][u] */
FN void transpose_panel(float *t, const float *panel, int n)
{
    for (int i = 0; i < n; i += STRIP, t += ROW * STRIP, panel += STRIP * ROW)
        for (int u = 0; u < ROW; u += 16) {
            transpose16(t + u * STRIP, STRIP, panel + u, ROW);
            transpose16(t + u * STRIP + 16, STRIP, panel + 16 * ROW + u, ROW);
        }
}

/* Rows of a tensor that are written: the first at element `at`, `row` apart. */
typedef struct target {
    __global stored *x;
    size_t at, row;
} target;

FN target from_row(target to, int i)
{
    to.at += i * to.row;
    return to;
}

/* Columns c .. c + 31 of rows i, i + 1, ..., divided by l[i] .. when there is an l. */
FN void store_tile(target to, const tile *t, int i, int c, int rows, const float *l)
{
    const size_t at = to.at + i * to.row + c;
    if (HEAD % 32 == 0 || c + 32 <= HEAD) {
#define M(u)                                                                                                           \
    if (u < rows) {                                                                                                    \
        const float16 s = (float16)(l ? 1.0f / l[i + u] : 1.0f);                                                       \
        STORE_VECTOR(16, STORAGE, t->l##u * s, to.x, at + u * to.row);                                                 \
        STORE_VECTOR(16, STORAGE, t->r##u * s, to.x, at + u * to.row + 16);                                            \
    }
        TILE_ROWS(M)
#undef M
        return;
    }
    PANEL sums[8 * 32];
    tile_store(t, sums, 32);
    for (int u = 0; u < rows; u++)
        store_columns(to.x, at + u * to.row, sums + u * 32, HEAD - c, (float16)(l ? 1.0f / l[i + u] : 1.0f));
}

#define LANE_NUMBERS ((int16)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15))

/* Scores that may not be seen become -inf: key i of the block against queries whose positions less the block's first key's are
 * first + 0, 1, ... */
FN float16 causal(float16 s, int i, int first) { return i <= first + LANE_NUMBERS ? s : (float16)(-INFINITY); }

FN void causal_tile(tile *t, int i, int first)
{
#define M(u) t->l##u = causal(t->l##u, i + u, first), t->r##u = causal(t->r##u, i + u, first + 16);
    TILE_ROWS(M)
#undef M
}

#define LOG2E 1.44269504f
#define LN2 0.693147181f

/* 2^t for t <= 0, or a little more: what is left of exp16 when there is no overflow and results below 2^-126 may be 0. Minimax
 * polynomials on [-1/2, 1/2], relative error 2e-9, or 3e-6 where the result is rounded to bf16; 1 at 0; NaN stays. */
#if PAIRS
#define POWER2_POLYNOMIAL(r)                                                                                           \
    FMA(FMA(FMA(FMA((float16)(9.58285294e-3f), r, (float16)(5.59064262e-2f)), r, (float16)(2.40240991e-1f)), r,        \
            (float16)(6.93124175e-1f)), r, (float16)(1.0f))
#else
#define POWER2_POLYNOMIAL(r)                                                                                           \
    FMA(FMA(FMA(FMA(FMA(FMA((float16)(1.53458124e-4f), r, (float16)(1.33999309e-3f)), r, (float16)(9.61848907e-3f)), r, \
                    (float16)(5.55032864e-2f)), r, (float16)(2.40226462e-1f)), r, (float16)(6.93147182e-1f)), r,       \
        (float16)(1.0f))
#endif
FN float16 power2(float16 t)
{
#if defined(__clang__) && defined(__x86_64__) && defined(__AVX512DQ__)
    float16 r, p; /* r = t less the nearest whole number, 0 for an infinite t; p 2^(t - r), 0 for t - r = -inf */
    __asm__("vreduceps $0, %1, %0" : "=v"(r) : "v"(t));
    __asm__("vscalefps %2, %1, %0" : "=v"(p) : "v"(POWER2_POLYNOMIAL(r)), "v"(t - r));
    return p;
#else
    const float16 shifted = t + 12582912.0f; /* its low bits are t to the nearest whole number */
    const float16 r = t - (shifted - 12582912.0f);
    const float16 p = as_float16(as_int16(POWER2_POLYNOMIAL(r)) + (as_int16(shifted) << 23));
    return t < (float16)(-126.0f) ? (float16)(0.0f) : p;
#endif
}

/* What meets in a step: so many queries and keys; diag is the first query's position less the first key's. */
typedef struct span {
    int queries, keys, diag;
} span;

/* How many keys of the block queries [j, j + n) see. */
FN int seen(span x, int j, int n) { return min(x.keys, x.diag + j + n); }

/* t = k qt for keys i .. i + 7 and a strip of queries, the first at position x.diag + j less the first key's. */
FN __attribute__((always_inline)) void strip_mul(tile *t, const float *k, const float *qt, span x, int i, int j)
{
    tile_zero(t);
    if (i < x.diag + j + 16) tile_mul(t, k + i * ROW, ROW, 1, qt + j * ROW, STRIP, UNITS(HEAD));
    else tile_mul_right(t, k + i * ROW, ROW, 1, qt + j * ROW, STRIP, UNITS(HEAD)); /* queries to the left do not see these */
}

/* What is to be read when this is done: so many rows of the next queries of this head, or of the next head, with the keys and
 * values beside them. y and dy: NULL, or rows that go with them. And `to`: rows, so far apart, that this will write. */
typedef struct ahead {
    __global const stored *qkv, *y, *dy, *to;
    size_t apart;
    int rows, to_rows;
} ahead;

/* After queries [first, first + n) of this work-item's head; the rows that follow are at most n. */
FN ahead ahead_of(__global const stored *qkv, __global const stored *y, __global const stored *dy, __global const stored *to,
                  size_t apart, int T, int first, int n)
{
    const size_t heads = get_num_groups(1), C = heads * HEAD;
    size_t at = get_group_id(2) * heads + get_group_id(1), t = first + n;
    if (t >= (size_t)T) at++, t = 0;
    const size_t row = at / heads * T + t, column = at % heads * HEAD;
    ahead a = {qkv, y, dy, to, apart, 0, n};
    if (at / heads >= get_num_groups(2)) return a;
    a.rows = min(n, T - (int)t);
    a.qkv += row * 3 * C + column;
    if (y) a.y += row * C + column, a.dy += row * C + column;
    return a;
}

/* Fetches a few of the rows, beside each tile: more at once fill the buffers that loads need as well. */
FN void look_ahead(ahead *a)
{
    const size_t C = get_num_groups(1) * HEAD;
    for (int i = 0; i < 2 && a->to_rows > 0; i++, a->to_rows--, a->to += a->apart) fetch_row(a->to);
    for (int i = 0; i < 2 && a->rows > 0; i++, a->rows--, a->qkv += 3 * C) {
        fetch_row(a->qkv);
        fetch_row(a->qkv + C);
        fetch_row(a->qkv + 2 * C);
        if (!a->y) continue;
        fetch_row(a->y);
        fetch_row(a->dy);
        a->y += C;
        a->dy += C;
    }
}

FN float16 higher(float16 a, float16 b) { return a > b ? a : b; }

#define HIGHEST(t, side)                                                                                               \
    higher(higher(higher(t.side##0, t.side##1), higher(t.side##2, t.side##3)),                                         \
           higher(higher(t.side##4, t.side##5), higher(t.side##6, t.side##7)))

/* s[key][query] for the keys that a strip of queries sees, and the highest of each query. */
FN void scores(float *s, float *high, const float *kp, const float *qt, span x, ahead *next)
{
    const int n = seen(x, 0, STRIP);
    float16 high_l = (float16)(-INFINITY), high_r = high_l;
    for (int i = 0; i < n; i += 8) {
        tile t;
        look_ahead(next);
        strip_mul(&t, kp, qt, x, i, 0);
        if (i + 7 > x.diag) causal_tile(&t, i, x.diag);
        const float16 tile_l = HIGHEST(t, l), tile_r = HIGHEST(t, r);
        high_l = higher(high_l, tile_l);
        high_r = higher(high_r, tile_r);
        tile_store(&t, s + i * STRIP, STRIP);
    }
    AT16(high) = high_l;
    AT16(high + 16) = high_r;
}

/* One step of the running softmax of a strip: s becomes 2^(scale s - m) in units across the keys, and `alpha` what the sums so
 * far are to be scaled by. A key beyond the last that makes up a pair is later than every query, its score -inf. */
FN void softmax_step(float *s, const float *high, float *m, float *l, float *alpha, float scale, span x)
{
    for (int j = 0; j < x.queries; j += 16) {
        const int n = seen(x, j, 16);
        const float16 before = AT16(m + j), top = higher(before, AT16(high + j) * scale);
        float16 sum = (float16)(0.0f);
        for (int i = 0; i < n; i += UNIT_K) {
            const float16 e = power2(FMA(AT16(s + i * STRIP + j), (float16)(scale), -top));
#if PAIRS
            const float16 next = power2(FMA(AT16(s + (i + 1) * STRIP + j), (float16)(scale), -top));
            sum += e + next;
            AT16(s + i / 2 * STRIP + j) = round_pairs(e, next);
#else
            sum += e;
            AT16(s + i * STRIP + j) = e;
#endif
        }
        const float16 a = n > 0 ? power2(before - top) : (float16)(1.0f);
        AT16(m + j) = top;
        AT16(alpha + j) = a;
        AT16(l + j) = FMA(AT16(l + j), a, sum);
    }
}

/* Where the sums of queries gather: o, and what is complete goes to `to`, divided by l when there is an l. */
typedef struct answers {
    float *o;
    const float *l;
    target to;
} answers;

/* o[query] = alpha o[query] + sum over keys of w[key][query] y[key], in units across the keys, rows of w `ldw` apart. No alpha: 1.
 * When these keys are the `first`, there are no sums before; when they are the `last`, none after. */
FN __attribute__((always_inline)) void gather_values(answers a, const float *w, int ldw, const float *y, const float *alpha, span x,
                                                     int first, int last, ahead *next)
{
    for (int i = 0; i < x.queries; i += 8) {
        const int n = seen(x, i, 8), edge = n >= 8 && n == x.diag + i + 8 && n % UNIT_K == 0;
        const int all = UNITS(edge ? n - 8 : n); /* units that each of the eight sees */
        for (int c = 0; n > 0 && c < PITCH; c += 32) {
            tile t;
            look_ahead(next);
            if (first) tile_zero(&t);
            else tile_load(&t, a.o + i * PITCH + c, PITCH);
            if (!first && alpha) {
#define M(u) t.l##u *= alpha[i + u], t.r##u *= alpha[i + u];
                TILE_ROWS(M)
#undef M
            }
            tile_mul(&t, w + i, 1, ldw, y + c, PITCH, all);
            if (edge) tile_mul_edge(&t, w + i + all * ldw, 1, ldw, y + all * PITCH + c, PITCH, 1);
            if (last || x.diag + i + 8 <= BLOCK) store_tile(a.to, &t, i, c, min(8, x.queries - i), a.l);
            else tile_store(&t, a.o + i * PITCH + c, PITCH);
        }
    }
}

__kernel void forward(__global const stored *qkv, __global const stored *k, __global const stored *v,
                      __global stored *y, __global float *lse, __global const uint *rt, int T, int k_at, int v_at,
                      int kv_row, int kv_rows, int cached, float scale, int parts)
{
    PANEL qt[QUERIES * ROW], o[QUERIES * PITCH], m[QUERIES], l[QUERIES];
    PANEL kp[BLOCK * ROW], vp[BLOCK * ROW], space[ACROSS(BLOCK)], s[BLOCK * STRIP], high[STRIP], alpha[STRIP];
    const size_t h = get_group_id(1), b = get_group_id(2), heads = get_num_groups(1), at = b * heads + h, C = heads * HEAD;
    const int first = (int)get_group_id(0) * parts * BLOCK, n = min(parts * BLOCK, T - first);
    const target to = {y, (b * T + first) * C + h * HEAD, C};
    const int position = cached ? (int)min(rt[BM_RT_POSITION], (uint)kv_rows) : 0;
    for (int j = 0; j < n; j += BLOCK) {
        load_panel(kp, qkv, (b * T + first + j) * 3 * C + h * HEAD, 3 * C, min(BLOCK, n - j));
        transpose_panel(qt + j * ROW, kp, min(BLOCK, n - j));
    }
    fill_panel(m, QUERIES, -INFINITY);
    fill_panel(l, QUERIES, 0.0f);

    for (int j = 0; lse && j < n; j += 16) PREFETCH(lse + at * T + first + j);
    ahead next = ahead_of(qkv, 0, 0, y + (b * T + first) * C + h * HEAD, C, T, first, cached ? 0 : n);
    const int end = min(position + first + n, kv_rows);
    for (int k0 = 0; k0 < end; k0 += BLOCK) {
        const int keys = min(BLOCK, end - k0);
        const size_t from = (b * kv_rows + k0) * kv_row + h * HEAD;
        load_panel(kp, k, from + k_at, kv_row, keys);
        load_panel(vp, v, from + v_at, kv_row, keys);
        const float *const values = across(space, vp, keys);
        for (int j = 0; j < n; j += STRIP) {
            const span x = {min(STRIP, n - j), keys, position + first + j - k0};
            if (x.diag + x.queries <= 0) continue;
            scores(s, high, kp, qt + j * ROW, x, &next);
            softmax_step(s, high, m + j, l + j, alpha, scale * LOG2E, x);
            const answers a = {o + j * PITCH, l + j, from_row(to, j)};
            gather_values(a, s, STRIP, values, alpha, x, k0 == 0, k0 + keys == end, &next);
        }
    }
    for (int j = 0; lse && j < n; j += 16) AT16(m + j) = FMA(AT16(m + j), (float16)(LN2), log(AT16(l + j)));
    for (int j = 0; lse && j < n; j++) lse[at * T + first + j] = m[j];
}

/* The queries of the backward pass: q and dy transposed by strips, lse in units of ln 2, and scale delta. */
typedef struct asked {
    const float *qt, *dt, *lse, *delta;
    float scale;
} asked;

/* Rows of P and dS in units along the queries, and of dS in units across the keys; a little more, so that columns of them do not
 * fall into the same sets of a cache. */
#define ACROSS_ROW (QUERIES_BACK + 16)
#define ALONG_ROW (QUERIES_BACK / UNIT_K + 16)

/* The rows of a tile as units. */
FN __attribute__((always_inline)) void tile_store_units(const tile *t, float *p, int ld)
{
#if PAIRS
#define M(u) AT16(p + u * ld) = round_row(t->l##u, t->r##u);
    TILE_ROWS(M)
#undef M
#else
    tile_store(t, p, ld);
#endif
}

/* The same as units across the rows. In f32 they are the same. */
FN __attribute__((always_inline)) void tile_store_across(const tile *t, float *p, int ld)
{
#if PAIRS
#define M(u, next, row)                                                                                                \
    AT16(p + row * ld) = round_pairs(t->l##u, t->l##next), AT16(p + row * ld + 16) = round_pairs(t->r##u, t->r##next);
    M(0, 1, 0) M(2, 3, 1) M(4, 5, 2) M(6, 7, 3)
#undef M
#else
    (void)t, (void)p, (void)ld;
#endif
}

/* p = exp(s - lse) and ds = scale p (dp - delta), both [key][query]; ds in `dst` across the keys, too. */
FN void backward_scores(float *p, float *ds, float *dst, const float *kp, const float *vp, asked a, span x,
                        ahead *next)
{
    PANEL e[8 * STRIP];
    const float16 scale = (float16)(a.scale), scale2 = (float16)(a.scale * LOG2E);
    for (int j = 0; j < x.queries; j += STRIP) {
        const float16 lse_l = AT16(a.lse + j), lse_r = AT16(a.lse + j + 16);
        const float16 delta_l = AT16(a.delta + j), delta_r = AT16(a.delta + j + 16);
        const int n = seen(x, j, STRIP);
        for (int i = 0; i < n; i += 8) {
            const int at = i * ALONG_ROW + j / UNIT_K;
            tile t;
            look_ahead(next);
            strip_mul(&t, kp, a.qt, x, i, j);
            if (i + 7 > x.diag + j) causal_tile(&t, i, x.diag + j);
#define M(u) t.l##u = power2(FMA(t.l##u, scale2, -lse_l)), t.r##u = power2(FMA(t.r##u, scale2, -lse_r));
            TILE_ROWS(M)
#undef M
            tile_store(&t, e, STRIP);
            tile_store_units(&t, p + at, ALONG_ROW);
            strip_mul(&t, vp, a.dt, x, i, j);
#define M(u)                                                                                                           \
    t.l##u = FMA(t.l##u, scale, -delta_l) * AT16(e + u * STRIP);                                                       \
    t.r##u = FMA(t.r##u, scale, -delta_r) * AT16(e + u * STRIP + 16);
            TILE_ROWS(M)
#undef M
            tile_store_units(&t, ds + at, ALONG_ROW);
            tile_store_across(&t, dst + i / UNIT_K * ACROSS_ROW + j, ACROSS_ROW);
        }
    }
}

/* Where the sums of keys gather: f32, rows `row` apart; the last of them go to `to`. */
typedef struct gathered {
    __global float *acc;
    size_t row;
    target to;
} gathered;

FN gathered from_key(gathered g, int k0)
{
    g.acc += k0 * g.row;
    g.to = from_row(g.to, k0);
    return g;
}

/* acc[key] += sum over queries of w[key][query] y[query], units along w's and across y's queries; when `first`, there are no sums
 * before these, when `last` none after. */
FN void gather_keys(gathered g, const float *w, const float *y, span x, int first, int last, ahead *next)
{
    for (int i = 0; i < x.keys; i += 8) {
        const int n = UNITS(x.queries), from = max(0, i - x.diag) / UNIT_K; /* earlier queries do not see these keys */
        const int edge = from * UNIT_K == i - x.diag && n - from >= UNITS(8), all = edge ? from + UNITS(8) : from;
        const int rows = min(8, x.keys - i);
        for (int c = 0; c < PITCH; c += 32) {
            __global float *acc = g.acc + i * g.row + c;
            tile t;
            for (int u = 0; u < rows; u++) {
                if (last) {
                    PREFETCH(g.to.x + g.to.at + (i + u) * g.to.row + c);
                } else {
                    PREFETCH(acc + u * g.row);
                    PREFETCH(acc + u * g.row + 16);
                }
            }
            look_ahead(next);
            if (first) tile_zero(&t);
            else tile_load_rows(&t, acc, g.row, rows);
            if (edge) tile_mul_edge(&t, w + i * ALONG_ROW + from, ALONG_ROW, 1, y + from * PITCH + c, PITCH, 0);
            tile_mul(&t, w + i * ALONG_ROW + all, ALONG_ROW, 1, y + all * PITCH + c, PITCH, n - all);
            if (last) store_tile(g.to, &t, i, c, rows, 0);
            else tile_store_rows(&t, acc, g.row, rows);
        }
    }
}

/* The dot product of HEAD elements. */
FN float dot_rows(__global const stored *x, __global const stored *y, size_t at)
{
    float16 sum = (float16)(0.0f);
    int c = 0;
    for (; c + 16 <= HEAD; c += 16) sum = FMA(load16(x, at + c), load16(y, at + c), sum);
    float s = sum16(sum);
    for (; c < HEAD; c++) s = FMA(load1(x, at + c), load1(y, at + c), s);
    return s;
}

__kernel void backward(__global const stored *qkv, __global const stored *y, __global const float *lse_of,
                       __global const stored *dy, __global stored *dqkv, __global float *acc, int T, float scale)
{
    PANEL qp[QUERIES_BACK * ROW], dp[QUERIES_BACK * ROW], qt[QUERIES_BACK * ROW], dt[QUERIES_BACK * ROW], dq[QUERIES_BACK * PITCH];
    PANEL lse[QUERIES_BACK], delta[QUERIES_BACK];
    PANEL kp[BLOCK * ROW], vp[BLOCK * ROW], p[BLOCK * ALONG_ROW], ds[BLOCK * ALONG_ROW];
    PANEL q_space[ACROSS(QUERIES_BACK)], d_space[ACROSS(QUERIES_BACK)], k_space[ACROSS(BLOCK)];
#if PAIRS
    PANEL dst[BLOCK / 2 * ACROSS_ROW];
#else
    float *const dst = ds;
#endif
    const size_t h = get_group_id(1), b = get_group_id(2), heads = get_num_groups(1), at = b * heads + h, C = heads * HEAD;
    const size_t head = b * T * 3 * C + h * HEAD;
    const size_t k_at = head + C, v_at = head + 2 * C;
#if DIRECT
    const gathered dk = {acc + k_at, 3 * C, {dqkv, 0, 0}}, dv = {acc + v_at, 3 * C, {dqkv, 0, 0}};
#else
    acc += at * T * 2 * PITCH;
    const gathered dk = {acc, 2 * PITCH, {dqkv, k_at, 3 * C}}, dv = {acc + PITCH, 2 * PITCH, {dqkv, v_at, 3 * C}};
#endif
    const asked a = {qt, dt, lse, delta, scale};

    for (int first = 0; first < T; first += QUERIES_BACK) {
        const int n = min(QUERIES_BACK, T - first);
        const size_t from = (b * T + first) * C + h * HEAD;
        load_panel(qp, qkv, head + (size_t)first * 3 * C, 3 * C, n);
        load_panel(dp, dy, from, C, n);
        transpose_panel(qt, qp, n);
        transpose_panel(dt, dp, n);
        const float *const queries = across(q_space, qp, n), *const d = across(d_space, dp, n);
        fill_panel(lse, QUERIES_BACK, INFINITY); /* for queries that are not there: p = 0 */
        fill_panel(delta, QUERIES_BACK, 0.0f);
        for (int j = 0; j < n; j++) {
            lse[j] = LOG2E * lse_of[at * T + first + j];
            delta[j] = scale * dot_rows(y, dy, from + j * C);
        }
        const answers answer = {dq, 0, {dqkv, head + (size_t)first * 3 * C, 3 * C}};
        ahead next = ahead_of(qkv, y, dy, dqkv + head + (size_t)first * 3 * C, 3 * C, T, first, n);
        for (int k0 = 0; k0 < first + n; k0 += BLOCK) {
            const span x = {n, min(BLOCK, first + n - k0), first - k0};
            load_panel(kp, qkv, k_at + (size_t)k0 * 3 * C, 3 * C, x.keys);
            load_panel(vp, qkv, v_at + (size_t)k0 * 3 * C, 3 * C, x.keys);
            backward_scores(p, ds, dst, kp, vp, a, x, &next);
            const int newest = x.diag <= 0, last = !DIRECT && first + n == T; /* the first queries to see these keys, and the last */
            gather_keys(from_key(dv, k0), p, d, x, newest, last, &next);
            gather_keys(from_key(dk, k0), ds, queries, x, newest, last, &next);
            gather_values(answer, dst, ACROSS_ROW, across(k_space, kp, x.keys), 0, x, k0 == 0, k0 + x.keys == first + n,
                          &next);
        }
    }
}
