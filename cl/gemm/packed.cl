/* D [M, N] = act(alpha scale op(A) op(B) + beta D + bias), for devices that run one work-item at full speed (CPUs).
 *
 * After Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (ACM TOMS 34-3, 2008). A work-item makes
 * COLS columns, `panels` times, by `block_rows` rows of D. For each run of `kc` of the k in [k_begin, k_end) it copies the panels
 * op(B) [kc, COLS] into local memory, 4 UNITS(kc) COLS bytes each, and multiplies every ROWS rows of op(A) with them: the ROWS * 2
 * vectors of a tile stay in registers. B is therefore read once from memory for each block of rows, and never copied as a whole.
 * What it, or the next work-item, reads of B after that is fetched meanwhile. The sums of earlier runs lie in `part`, f32: D's own
 * memory when D is f32. With `past` a D that is made in one run is written past the caches (result.clh).
 *
 *     gemm_block    global (column blocks, row blocks, batch)
 *     pack_rows     op(A) [M, K] -> [M / ROWS][UNITS(K)][ROWS], zeros beyond M, for an A that multiply_tile cannot read where it
 *                   lies: narrower than f32 but rows of bf16 for PAIRS; global (runs of K, groups of rows, batch)
 *
 * With OWN_TILES gemm_block copies A as well, CHUNK rows of a run of k at a time, into local memory behind the panels: an A that can
 * be read where it lies but better is not, transposed, where that measured faster (the backend packed_ab).
 *
 * Panels and tiles hold units of 4 bytes (pairs.clh): an f32 each, or with PAIRS, when A and B are bf16, the elements of two k
 * beside each other, the second 0 beyond the last k.
 *
 * Local size 1 for all. Offsets, leading dimensions and strides in elements. Options: TYPE_A, TYPE_B, TYPE_D (storage numbers);
 * TRANS_A, TRANS_B; WIDTH 16 or 8, the lanes of a vector; A_PACKED 1 when tiles of A are copied, by pack_rows or with OWN_TILES 1;
 * PAIRS 1 (WIDTH is 16 then); HAS_SCALE, HAS_BIAS, HAS_PRE, ACT. */

#include "pairs.clh"
#include "registers.clh"
#include "result.clh"

#ifndef TYPE_A
#define TYPE_A 0
#endif
#ifndef TYPE_B
#define TYPE_B 0
#endif
#ifndef TRANS_A
#define TRANS_A 0
#endif
#ifndef TRANS_B
#define TRANS_B 0
#endif
#ifndef A_PACKED
#define A_PACKED 0
#endif
#ifndef OWN_TILES
#define OWN_TILES 0
#endif

/* The units of matrices whose k are `ld` apart, k < end: one at k, or 8 or 16 columns beside each other at k; and units along a
 * row (ld = 1), 8 in the lanes of a float8. */
#if PAIRS
typedef uint unit;
#define EIGHT_UNITS uint8
#define UNITV uint16

FN uint unit1(__global const ushort *p, long k, long ld, long end)
{
    const uint second = k + 1 < end ? p[(k + 1) * ld] : 0;
    return p[k * ld] | second << 16;
}
#define UNITS_OF_WIDTH(n)                                                                                              \
    FN uint##n unit##n(__global const ushort *p, long k, long ld, long end)                                            \
    {                                                                                                                  \
        const uint##n first = convert_uint##n(vload##n(0, p + k * ld));                                                \
        return k + 1 < end ? first | convert_uint##n(vload##n(0, p + (k + 1) * ld)) << 16u : first;                    \
    }
UNITS_OF_WIDTH(8)
UNITS_OF_WIDTH(16)
#define UNIT1(T, p, k, ld, end) unit1(p, k, ld, end)
#define UNIT8(T, p, k, ld, end) unit8(p, k, ld, end)
#define UNIT16(T, p, k, ld, end) unit16(p, k, ld, end)
#define UNITS_ALONG(T, p, k) as_float8(vload16(0, (p) + (k)))
#else
typedef float unit;
#define EIGHT_UNITS float8
#define UNITV VEC
#define UNIT1(T, p, k, ld, end) LOAD1(T, p, (k) * (ld))
#define UNIT8(T, p, k, ld, end) LOAD8(T, p, (k) * (ld))
#define UNIT16(T, p, k, ld, end) LOAD16(T, p, (k) * (ld))
#define UNITS_ALONG(T, p, k) LOAD8(T, p, k)
#endif

/* Eight vectors of eight, transposed where they are. */
#define TRANSPOSE8(r0, r1, r2, r3, r4, r5, r6, r7)                                                                     \
    do {                                                                                                               \
        const float8 a0 = (float8)(r0.s0, r1.s0, r0.s1, r1.s1, r0.s4, r1.s4, r0.s5, r1.s5);                            \
        const float8 a1 = (float8)(r0.s2, r1.s2, r0.s3, r1.s3, r0.s6, r1.s6, r0.s7, r1.s7);                            \
        const float8 a2 = (float8)(r2.s0, r3.s0, r2.s1, r3.s1, r2.s4, r3.s4, r2.s5, r3.s5);                            \
        const float8 a3 = (float8)(r2.s2, r3.s2, r2.s3, r3.s3, r2.s6, r3.s6, r2.s7, r3.s7);                            \
        const float8 a4 = (float8)(r4.s0, r5.s0, r4.s1, r5.s1, r4.s4, r5.s4, r4.s5, r5.s5);                            \
        const float8 a5 = (float8)(r4.s2, r5.s2, r4.s3, r5.s3, r4.s6, r5.s6, r4.s7, r5.s7);                            \
        const float8 a6 = (float8)(r6.s0, r7.s0, r6.s1, r7.s1, r6.s4, r7.s4, r6.s5, r7.s5);                            \
        const float8 a7 = (float8)(r6.s2, r7.s2, r6.s3, r7.s3, r6.s6, r7.s6, r6.s7, r7.s7);                            \
        const float8 b0 = (float8)(a0.s01, a2.s01, a0.s45, a2.s45), b1 = (float8)(a0.s23, a2.s23, a0.s67, a2.s67);     \
        const float8 b2 = (float8)(a1.s01, a3.s01, a1.s45, a3.s45), b3 = (float8)(a1.s23, a3.s23, a1.s67, a3.s67);     \
        const float8 b4 = (float8)(a4.s01, a6.s01, a4.s45, a6.s45), b5 = (float8)(a4.s23, a6.s23, a4.s67, a6.s67);     \
        const float8 b6 = (float8)(a5.s01, a7.s01, a5.s45, a7.s45), b7 = (float8)(a5.s23, a7.s23, a5.s67, a7.s67);     \
        r0 = (float8)(b0.lo, b4.lo), r1 = (float8)(b1.lo, b5.lo), r2 = (float8)(b2.lo, b6.lo);                         \
        r3 = (float8)(b3.lo, b7.lo), r4 = (float8)(b0.hi, b4.hi), r5 = (float8)(b1.hi, b5.hi);                         \
        r6 = (float8)(b2.hi, b6.hi), r7 = (float8)(b3.hi, b7.hi);                                                      \
    } while (0)

#define LOAD_ROWS_ALONG(T, p, ld, k)                                                                                   \
    float8 r0 = UNITS_ALONG(T, p, k), r1 = UNITS_ALONG(T, p, (ld) + (k));                                              \
    float8 r2 = UNITS_ALONG(T, p, 2 * (ld) + (k)), r3 = UNITS_ALONG(T, p, 3 * (ld) + (k));                             \
    float8 r4 = UNITS_ALONG(T, p, 4 * (ld) + (k)), r5 = UNITS_ALONG(T, p, 5 * (ld) + (k));                             \
    float8 r6 = UNITS_ALONG(T, p, 6 * (ld) + (k)), r7 = UNITS_ALONG(T, p, 7 * (ld) + (k));                             \
    TRANSPOSE8(r0, r1, r2, r3, r4, r5, r6, r7)
#define STORE_ROWS(p, ld)                                                                                              \
    vstore8(r0, 0, p), vstore8(r1, 0, (p) + (ld)), vstore8(r2, 0, (p) + 2 * (ld)), vstore8(r3, 0, (p) + 3 * (ld));     \
    vstore8(r4, 0, (p) + 4 * (ld)), vstore8(r5, 0, (p) + 5 * (ld)), vstore8(r6, 0, (p) + 6 * (ld));                    \
    vstore8(r7, 0, (p) + 7 * (ld))

/* k whose elements are fetched before they are used, where two k lie further apart than a processor looks by itself; units of a panel,
 * which is as large as a first-level cache and comes from the second; units of a cache line of a row. A core whose caches a neighbour
 * shares does not keep up by itself with the latter two. */
#define AHEAD 16
#define PANEL_AHEAD 12
#define LINE 16

/* panel[UNITS(kc)][COLS] = op(B)[k .., n ..]; columns from `cols` on are zero. */
#if TRANS_B
FN void pack_panel(__local unit *panel, __global const STORED(TYPE_B) *b, long ldb, long kc, long cols)
{
    for (int n = 0; n < COLS; n += 8) {
        long k = 0;
        if (n + 8 <= cols) {
            __global const STORED(TYPE_B) *const row = b + n * ldb;
            for (; k + 8 * UNIT_K <= kc; k += 8 * UNIT_K) {
                LOAD_ROWS_ALONG(TYPE_B, row, ldb, k);
                __local float *const p = (__local float *)panel + UNITS(k) * COLS + n;
                STORE_ROWS(p, COLS);
            }
        }
        for (; k < kc; k += UNIT_K)
            for (int i = n; i < n + 8; i++) panel[UNITS(k) * COLS + i] = i < cols ? UNIT1(TYPE_B, b + i * ldb, k, 1, kc) : 0;
    }
}
#else
FN void pack_panel(__local unit *panel, __global const STORED(TYPE_B) *b, long ldb, long kc, long cols)
{
    if (cols >= COLS) {
        for (long k = 0; k < kc; k += UNIT_K) {
            PREFETCH(b + (k + AHEAD) * ldb);
            PREFETCH(b + (k + AHEAD) * ldb + WIDTH);
            const UNITV lo = PASTE(UNIT, WIDTH)(TYPE_B, b, k, ldb, kc), hi = PASTE(UNIT, WIDTH)(TYPE_B, b + WIDTH, k, ldb, kc);
            VSTORE(lo, 0, panel + UNITS(k) * COLS);
            VSTORE(hi, 0, panel + UNITS(k) * COLS + WIDTH);
        }
        return;
    }
    for (long k = 0; k < kc; k += UNIT_K)
        for (int n = 0; n < COLS; n++) panel[UNITS(k) * COLS + n] = n < cols ? UNIT1(TYPE_B, b + n, k, ldb, kc) : 0;
}
#endif

/* What multiply_tile reads A as: units of tiles, or A's own elements. */
#if A_PACKED
typedef unit row_element;
#elif PAIRS
typedef ushort row_element;
#else
typedef float row_element;
#endif
#if OWN_TILES
#define TILE_SPACE __local
#else
#define TILE_SPACE __global
#endif

/* ROWS rows of A times the panel, into D at row, col. */
FN void multiply_tile(const target *t, TILE_SPACE const row_element *a, long lda, __local const unit *panel, long kc,
                      long row, long rows, long col, long cols)
{
#define ZERO(i) VEC lo##i = (VEC)(0.0f), hi##i = (VEC)(0.0f);
    EACH_ROW(ZERO)
    long whole = UNITS(kc);
#if A_PACKED
    (void)lda;
#define UNIT_OF(i) a[u * ROWS + i]
#else
    const long down = TRANS_A ? 1 : lda;
    /* Rows beyond the last repeat it; they are not stored. */
#define POINT(i) __global const row_element *const a##i = a + (i < rows ? i : rows - 1) * down;
    EACH_ROW(POINT)
#if PAIRS
    whole = kc / 2;
#define UNIT_OF(i) as_uint(vload2(u, a##i))
#else
#define UNIT_OF(i) a##i[u * (TRANS_A ? lda : 1)]
#endif
#endif
#define STEP_WITH(i, a_unit)                                                                                           \
    {                                                                                                                  \
        const UNITV x = (UNITV)(a_unit);                                                                               \
        MULTIPLY_ADD(x, b0, lo##i);                                                                                    \
        MULTIPLY_ADD(x, b1, hi##i);                                                                                    \
    }
#define STEP(i) STEP_WITH(i, UNIT_OF(i))
#define FETCH_COLS(p) PREFETCH(p), PREFETCH((p) + COLS - 1)
    for (long i = 0; i < min(rows, (long)ROWS); i++) { /* the products are over sooner than what is added to them comes from memory */
        if (t->steps & ADD_PART) FETCH_COLS(t->part + (row + i) * t->ld_part + col);
        if (t->steps & ADD_OLD) FETCH_COLS(t->d + (row + i) * t->ldd + col);
    }
    for (long u = 0; u < whole; u++) {
        PREFETCH(panel + (u + PANEL_AHEAD) * COLS);
        PREFETCH(panel + (u + PANEL_AHEAD) * COLS + WIDTH);
#if TRANS_A && !A_PACKED
        PREFETCH(a + (u + AHEAD) * lda);
#elif !A_PACKED
#define FETCH_LINE(i) PREFETCH(a##i + (u + LINE) * UNIT_K);
        if (u % LINE == 0) { EACH_ROW(FETCH_LINE) }
#endif
        const UNITV b0 = VLOAD(0, panel + u * COLS), b1 = VLOAD(0, panel + u * COLS + WIDTH);
        EACH_ROW(STEP)
    }
#if PAIRS && !A_PACKED
    if (whole < UNITS(kc)) { /* the row ends with half a pair */
        const UNITV b0 = VLOAD(0, panel + whole * COLS), b1 = VLOAD(0, panel + whole * COLS + WIDTH);
#define LAST_STEP(i) STEP_WITH(i, a##i[kc - 1])
        EACH_ROW(LAST_STEP)
    }
#endif
    if (cols >= COLS) {
#define FINISH(i)                                                                                                      \
    if (i < rows) {                                                                                                    \
        finish_vec(t, lo##i, row + i, col);                                                                            \
        finish_vec(t, hi##i, row + i, col + WIDTH);                                                                    \
    }
        EACH_ROW(FINISH)
    } else {
        float tile[ROWS * COLS];
#define KEEP(i)                                                                                                        \
    VSTORE(lo##i, 0, tile + i * COLS);                                                                                 \
    VSTORE(hi##i, 0, tile + i * COLS + WIDTH);
        EACH_ROW(KEEP)
        for (long i = 0; i < min(rows, (long)ROWS); i++)
            for (long j = 0; j < cols; j++) finish_one(t, tile[i * COLS + j], row + i, col + j);
    }
}

/* What of B is read when the panels at hand have met every row of A: so many of its rows, of so many elements. */
typedef struct ahead {
    __global const STORED(TYPE_B) *b;
    long rows, width;
} ahead;

FN ahead ahead_of(__global const STORED(TYPE_B) *b, long ldb, long k, long run, long col, long cols)
{
    const ahead a = {b + (TRANS_B ? col * ldb + k : k * ldb + col), TRANS_B ? cols : run, TRANS_B ? run : cols};
    return a;
}

/* Fetches the first of the rows, so that they come from memory while products are made. */
FN void look_ahead(ahead *a, long ldb, long rows)
{
    for (long i = min(rows, a->rows); i > 0; i--, a->rows--, a->b += ldb)
        for (long j = 0; j < a->width; j += 64 / (long)sizeof(STORED(TYPE_B))) PREFETCH_FAR(a->b + j);
}

#if A_PACKED
#if TRANS_A
#define PACK_RUN 16
#define PACK_ROWS (64 * ROWS)
#if OWN_TILES
#define STORE_EIGHT(v, p) vstore8(v, 0, p)
#else
#define STORE_EIGHT(v, p) STORE_PAST(v, (__global EIGHT_UNITS *)(p)) /* lines of another core's cache as a rule, read by all next */
#endif
#else
#define PACK_RUN 256
#define PACK_ROWS (4 * ROWS)
#endif

FN void pack_one(TILE_SPACE unit *tile, __global const STORED(TYPE_A) *a, long lda, long rows, long run)
{
    const long down = TRANS_A ? 1 : lda, along = TRANS_A ? lda : 1;
    for (long k = 0; k < run; k += UNIT_K)
        for (long i = 0; i < ROWS; i++) tile[UNITS(k) * ROWS + i] = i < rows ? UNIT1(TYPE_A, a + i * down, k, along, run) : 0;
}

/* tiles[row / ROWS][ld][ROWS] = op(A) [rows, run], zeros beyond the last row. */
FN void pack_tiles(TILE_SPACE unit *tiles, long ld, __global const STORED(TYPE_A) *a, long lda, long rows, long run)
{
    long row = 0;
#if TRANS_A && ROWS == 8
    /* Two tiles at once: whole cache lines. */
    for (; row + 16 <= rows; row += 16) {
        TILE_SPACE unit *const lo = tiles + row * ld, *const hi = lo + ROWS * ld;
        for (long k = 0; k < run; k += UNIT_K) {
#if OWN_TILES
            PREFETCH(a + (k + AHEAD) * lda + row);
#endif
            const UNITV x = UNIT16(TYPE_A, a + row, k, lda, run);
            STORE_EIGHT(x.lo, lo + UNITS(k) * ROWS);
            STORE_EIGHT(x.hi, hi + UNITS(k) * ROWS);
        }
    }
#endif
    for (; row < rows; row += ROWS) {
        TILE_SPACE unit *const tile = tiles + row * ld;
        __global const STORED(TYPE_A) *const from = a + (TRANS_A ? row : row * lda);
        long k = 0;
#if ROWS == 8
        if (row + ROWS <= rows) {
#if TRANS_A
            for (; k < run; k += UNIT_K) STORE_EIGHT(UNIT8(TYPE_A, from, k, lda, run), tile + UNITS(k) * ROWS);
#else
            for (; k + 8 * UNIT_K <= run; k += 8 * UNIT_K) {
                LOAD_ROWS_ALONG(TYPE_A, from, lda, k);
                TILE_SPACE float *const p = (TILE_SPACE float *)tile + UNITS(k) * ROWS;
                STORE_ROWS(p, ROWS);
            }
#endif
        }
#endif
        if (k < run) pack_one(tile + UNITS(k) * ROWS, from + k * (TRANS_A ? lda : 1), lda, rows - row, run - k);
    }
}
#endif

/* Rows that meet one panel after the other while they are in a cache. */
#define CHUNK (8 * ROWS)

__kernel void gemm_block(__global const STORED(TYPE_A) *a, __global const STORED(TYPE_B) *b, __global STORED(TYPE_D) *d,
                         __global const STORED(TYPE_D) *bias, __global STORED(TYPE_D) *pre, __global const float *scale,
                         __global float *part, __local unit *packed, long m, long n, long k_begin, long k_end, long k_all, long kc,
                         long panels, long block_rows, int past, long lda, long ldb, long ldd, long ld_part, long offset_a,
                         long offset_b, long offset_d, long offset_part, long stride_a, long stride_b, long stride_d, long stride_part,
                         float alpha, float beta)
{
    const long col0 = (long)get_group_id(0) * panels * COLS, col_end = min(n, col0 + panels * COLS);
    const long first = (long)get_group_id(1) * block_rows, end = min(first + block_rows, m);
    const long batch = (long)get_group_id(2);
#if A_PACKED && !OWN_TILES
    __global const unit *const rows = (__global const unit *)a + batch * stride_a;
    const long down = UNITS(k_end - k_begin);
    (void)offset_a;
#define ALONG(k) (UNITS(k) * ROWS)
#else
    __global const STORED(TYPE_A) *const rows = a + offset_a + batch * stride_a + (TRANS_A ? k_begin * lda : k_begin);
    const long down = TRANS_A ? 1 : lda;
#define ALONG(k) (TRANS_A ? (k) * lda : (k))
#endif
#if OWN_TILES
    __local unit *const tiles = packed + panels * UNITS(kc) * COLS;
#endif
    b += offset_b + batch * stride_b;
    target t;
    t.d = d + offset_d + batch * stride_d;
    t.pre = HAS_PRE ? pre + offset_d + batch * stride_d : 0;
    t.bias = bias;
    t.scale = scale;
    t.part = part + offset_part + batch * stride_part;
    t.ldd = ldd;
    t.ld_part = ld_part;
    t.alpha = alpha;
    t.beta = beta;
    for (long k = k_begin; k < k_end; k += kc) {
        const long run = min(kc, k_end - k);
        t.steps = (k > 0 ? ADD_PART : beta != 0.0f ? ADD_OLD : 0) | (k + run == k_all ? LAST : 0);
        if (past && t.steps == LAST) t.steps |= PAST;
        for (long col = col0; col < col_end; col += COLS)
            pack_panel(packed + (col - col0) * UNITS(kc), b + (TRANS_B ? col * ldb + k : k * ldb + col), ldb, run, col_end - col);
        const long then_k = k + run < k_end ? k + run : k_begin, then_col = k + run < k_end ? col0 : col_end;
        ahead next = ahead_of(b, ldb, then_k, min(kc, k_end - then_k), then_col, min(panels * COLS, n - then_col));
        const long times = (end - first + ROWS - 1) / ROWS * panels, share = (next.rows + times - 1) / times;
        for (long chunk = first; chunk < end; chunk += CHUNK) {
#if OWN_TILES
            for (long k0 = 0; k0 < run; k0 += PACK_RUN)
                pack_tiles(tiles + UNITS(k0) * ROWS, UNITS(run), rows + chunk * down + ALONG(k - k_begin + k0), lda,
                           min((long)CHUNK, end - chunk), min((long)PACK_RUN, run - k0));
#define TILE_AT(row) (tiles + (row - chunk) * UNITS(run))
#else
#define TILE_AT(row) (rows + row * down + ALONG(k - k_begin))
#endif
            for (long col = col0; col < col_end; col += COLS)
                for (long row = chunk; row < min(chunk + CHUNK, end); row += ROWS) {
                    look_ahead(&next, ldb, share);
                    multiply_tile(&t, TILE_AT(row), lda, packed + (col - col0) * UNITS(kc), run, row, end - row, col, col_end - col);
                }
        }
    }
}

#if A_PACKED && !OWN_TILES
/* tiles[batch][row / ROWS][UNITS(k_count)][ROWS] = op(A)[row, k_begin + k]. A work-item copies PACK_ROWS rows of PACK_RUN k. */
__kernel void pack_rows(__global const STORED(TYPE_A) *a, __global unit *tiles, long m, long k_begin, long k_count, long lda,
                        long offset_a, long stride_a, long stride_tiles)
{
    const long k0 = (long)get_group_id(0) * PACK_RUN, first = (long)get_group_id(1) * PACK_ROWS, batch = (long)get_group_id(2);
    const long ld = UNITS(k_count), k = k_begin + k0;
    pack_tiles(tiles + batch * stride_tiles + first * ld + UNITS(k0) * ROWS, ld,
               a + offset_a + batch * stride_a + (TRANS_A ? k * lda + first : first * lda + k), lda,
               min((long)PACK_ROWS, m - first), min((long)PACK_RUN, k_count - k0));
}
#endif
