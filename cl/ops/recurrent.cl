/* Recurrent cells over whole sequences: Elman's RNN (1990), the LSTM of Hochreiter and Schmidhuber (1997) with the forget gate of
 * Gers, Schmidhuber and Cummins (2000), the GRU of Cho et al. (2014) with the reset gate behind the product. Formulas: ops.h.
 *
 * x [rows, T, G H] is the projected input, G = 1, 4 or 3 gates; z [rows, ld_z] f32 the products W h of one step; h, c [rows, H] f32
 * the states; b [G H]; y [rows, T, H]. For the backward pass gates [rows, T, G H] keeps i, f, g, o or r, z, n, and cells
 * [rows, T, H] the LSTM's c or the GRU's W_n h + b_n; gates may be the memory of x. Steps from lengths[row] on give y = 0 and
 * leave the states alone; where the pass begins, the states are 0 if FIRST is set. CACHED: `lengths` are the run-time scalars, steps end
 * at rt[BM_RT_LENGTH], and the states begin at 0 where rt[BM_RT_POSITION] is 0. last [rows, H]: h after all steps.
 *
 * backward goes through the steps the other way. dz [rows, G H] f32 is the gradient of W h + b of one step, dh [rows, ld_h] f32
 * what its product with W gives the step before, dc [rows, H] f32 the same for c. dx [rows, T, G H] may be the memory of gates, or
 * with G = 1 of dy; hidden is dz of all steps where that is not dx (GRU); prev [rows, T, H] the h that each step began with.
 *
 *     forward_step, backward_step    one step t of a row: a work-group of 64, or of 1 in the cpu form. Products come from cl/gemm
 *     forward, backward              cpu form: a work-item runs `each` rows through all T steps. Rows never meet, so nothing waits.
 *                                    Products are tiles of TILE_ROWS rows by COLS columns in registers, of panels of W:
 *     pack_forward, pack_backward    panels [N / COLS][K][COLS] of W^T (N = G H, K = H) and of W (N = H, K = G H), zeros beyond N;
 *                                    global (panels, runs of PACK_RUN of K)
 *
 * b, lengths, last, gates and cells, dy, dlast, hidden and prev may be NULL where they are not there or not wanted; c, dc and cells
 * where the cell has none. Options: STORAGE (types.clh), WSTORAGE (of W; default STORAGE), CELL (0 RNN, 1 LSTM, 2 GRU), CACHED
 * (0), CPU (grid.clh), VECTOR (lanes, 16 or 8), TILE_ROWS (1 to 8). */

#include "grid.clh"
#include "math.clh"
#include "scalars.clh"

#ifndef WSTORAGE
#define WSTORAGE STORAGE
#endif
#ifndef CELL
#define CELL 1
#endif
#ifndef CACHED
#define CACHED 0
#endif
#ifndef VECTOR
#define VECTOR 16
#endif
#ifndef TILE_ROWS
#define TILE_ROWS 8
#endif

#define RNN 0
#define LSTM 1
#define GRU 2
#if CELL == LSTM
#define G 4
#elif CELL == GRU
#define G 3
#else
#define G 1
#endif

/* Flags. */
#define FIRST 1
#define FINAL 2
#define REVERSE 4

#define FGET(w, p, i) PASTE(LOAD, w)(0, p, i)
#define FPUT(w, v, p, i) PASTE(STORE, w)(0, v, p, i)
#define ZERO(w) ((VEC(w))(0.0f))
#define TANH(w) PASTE(TANH_, w) /* tanh by itself is a macro of some drivers */
#define TANH_1 tanh1
#define TANH_4 tanh4
#define TANH_16 tanh16

FN size_t length_of(__global const int *lengths, size_t r, size_t T)
{
    return lengths ? (size_t)clamp((long)lengths[CACHED ? BM_RT_LENGTH : r], 0L, (long)T) : T;
}

/* What is left of FIRST: a cached pass goes on from states, but from the first position on. */
FN int begins(__global const int *lengths, int flags)
{
    return CACHED && lengths[BM_RT_POSITION] ? flags & ~FIRST : flags;
}

/* ---- forward ---- */

typedef struct forward_args {
    __global const stored *x, *b;
    __global const int *lengths;
    __global float *z, *h, *c;
    __global stored *y, *gates, *cells, *last;
    size_t T, H, ld_z;
} forward_args;

/* Elements i .. i + w of gate k: of W h + b, of x, and where the activated gate goes. */
#define HIDDEN(w, k) PASTE(hidden, w)(s, r, (k) * s->H + i, first)
#define INPUT(w, k) GET(w, s->x, (at * G + (k)) * s->H + i)
#define KEEP_GATE(w, v, k) PUT(w, v, s->gates, (at * G + (k)) * s->H + i)
#define KEEP_CELL(w, v) PUT(w, v, s->cells, at * s->H + i)

#define HIDDEN_OF_WIDTH(w)                                                                                             \
    FN VEC(w) PASTE(hidden, w)(const forward_args *s, size_t r, size_t i, int first)                                   \
    {                                                                                                                  \
        const VEC(w) v = first ? ZERO(w) : FGET(w, s->z, r * s->ld_z + i);                                             \
        return s->b ? v + GET(w, s->b, i) : v;                                                                         \
    }
HIDDEN_OF_WIDTH(WIDE)
HIDDEN_OF_WIDTH(1)

/* The next h of row r, whose step lies at `at` = r T + t. */
#if CELL == LSTM
#define CELL_OF_WIDTH(w)                                                                                               \
    FN VEC(w) PASTE(cell, w)(const forward_args *s, size_t r, size_t at, size_t i, VEC(w) before, int first)           \
    {                                                                                                                  \
        const VEC(w) in = PASTE(sigmoid, w)(INPUT(w, 0) + HIDDEN(w, 0));                                               \
        const VEC(w) forget = PASTE(sigmoid, w)(INPUT(w, 1) + HIDDEN(w, 1));                                           \
        const VEC(w) new = TANH(w)(INPUT(w, 2) + HIDDEN(w, 2));                                                        \
        const VEC(w) out = PASTE(sigmoid, w)(INPUT(w, 3) + HIDDEN(w, 3));                                              \
        VEC(w) c = in * new;                                                                                           \
        if (!first) c = FMA(forget, FGET(w, s->c, r * s->H + i), c);                                                   \
        FPUT(w, c, s->c, r * s->H + i);                                                                                \
        if (s->gates) {                                                                                                \
            KEEP_GATE(w, in, 0);                                                                                       \
            KEEP_GATE(w, forget, 1);                                                                                   \
            KEEP_GATE(w, new, 2);                                                                                      \
            KEEP_GATE(w, out, 3);                                                                                      \
            KEEP_CELL(w, c);                                                                                           \
        }                                                                                                              \
        (void)before;                                                                                                  \
        return out * TANH(w)(c);                                                                                       \
    }
#elif CELL == GRU
#define CELL_OF_WIDTH(w)                                                                                               \
    FN VEC(w) PASTE(cell, w)(const forward_args *s, size_t r, size_t at, size_t i, VEC(w) before, int first)           \
    {                                                                                                                  \
        const VEC(w) reset = PASTE(sigmoid, w)(INPUT(w, 0) + HIDDEN(w, 0));                                            \
        const VEC(w) update = PASTE(sigmoid, w)(INPUT(w, 1) + HIDDEN(w, 1));                                           \
        const VEC(w) inner = HIDDEN(w, 2);                                                                             \
        const VEC(w) new = TANH(w)(FMA(reset, inner, INPUT(w, 2)));                                                    \
        if (s->gates) {                                                                                                \
            KEEP_GATE(w, reset, 0);                                                                                    \
            KEEP_GATE(w, update, 1);                                                                                   \
            KEEP_GATE(w, new, 2);                                                                                      \
            KEEP_CELL(w, inner);                                                                                       \
        }                                                                                                              \
        return FMA(update, before - new, new);                                                                         \
    }
#else
#define CELL_OF_WIDTH(w)                                                                                               \
    FN VEC(w) PASTE(cell, w)(const forward_args *s, size_t r, size_t at, size_t i, VEC(w) before, int first)           \
    {                                                                                                                  \
        (void)before;                                                                                                  \
        return TANH(w)(INPUT(w, 0) + HIDDEN(w, 0));                                                                    \
    }
#endif
CELL_OF_WIDTH(WIDE)
CELL_OF_WIDTH(1)

#define FORWARD_STEP(w)                                                                                                \
    {                                                                                                                  \
        VEC(w) h = flags & FIRST ? ZERO(w) : FGET(w, s->h, r * s->H + i);                                              \
        if (counts) h = PASTE(cell, w)(s, r, at, i, h, flags & FIRST);                                                 \
        else if (CELL == LSTM && flags & FIRST) FPUT(w, h, s->c, r * s->H + i);                                        \
        FPUT(w, h, s->h, r * s->H + i);                                                                                \
        PUT(w, counts ? h : ZERO(w), s->y, at * s->H + i);                                                             \
        if (flags & FINAL && s->last) PUT(w, h, s->last, r * s->H + i);                                                \
    }

FN void forward_row(const forward_args *s, size_t r, size_t t, int flags)
{
    const size_t at = r * s->T + t;
    const int counts = t < length_of(s->lengths, r, s->T);
    COLUMNS(s->H, FORWARD_STEP)
}

#define FORWARD_ARGS                                                                                                   \
    __global const stored *x, __global const stored *b, __global const int *lengths, __global float *z,                \
        __global float *h, __global float *c, __global stored *y, __global stored *gates, __global stored *cells,      \
        __global stored *last, const long T, const long H, const long ld_z, const int flags

#define GATHER_FORWARD_ARGS                                                                                            \
    forward_args s;                                                                                                    \
    s.x = x;                                                                                                           \
    s.b = b;                                                                                                           \
    s.lengths = lengths;                                                                                               \
    s.z = z;                                                                                                           \
    s.h = h;                                                                                                           \
    s.c = c;                                                                                                           \
    s.y = y;                                                                                                           \
    s.gates = gates;                                                                                                   \
    s.cells = cells;                                                                                                   \
    s.last = last;                                                                                                     \
    s.T = T;                                                                                                           \
    s.H = H;                                                                                                           \
    s.ld_z = ld_z;

__kernel void forward_step(FORWARD_ARGS, const long t)
{
    GATHER_FORWARD_ARGS
    forward_row(&s, get_group_id(0), t, begins(lengths, flags));
}

/* ---- backward ---- */

typedef struct backward_args {
    __global const stored *dy, *dlast, *gates, *cells, *y;
    __global const int *lengths;
    __global float *dz, *dh, *dc;
    __global stored *dx, *hidden, *prev;
    size_t T, H, ld_h;
} backward_args;

/* Step `at` = r T + t of row r. */
typedef struct place {
    size_t r, at, before; /* before: the step that gave this one its state */
    int starts;           /* there is none: that state was 0 */
    int ends;             /* no step of the row came after this one: what flows in besides dy is dlast */
} place;

/* The gradient of gate k: of its x and of its W h + b. */
#define PUT_GATE(w, v, v_hidden, k)                                                                                    \
    PUT(w, v, s->dx, (p->at * G + (k)) * s->H + i);                                                                    \
    FPUT(w, v_hidden, s->dz, (p->r * G + (k)) * s->H + i);                                                             \
    if (s->hidden) PUT(w, v_hidden, s->hidden, (p->at * G + (k)) * s->H + i)

#define GATE(w, k) GET(w, s->gates, (p->at * G + (k)) * s->H + i)
#define SLOPE(y) ((y) - (y) * (y)) /* of the logistic function, from its value */

#if CELL == LSTM
#define CELL_BACKWARD_OF_WIDTH(w)                                                                                      \
    FN void PASTE(cell_backward, w)(const backward_args *s, const place *p, size_t i, VEC(w) dh, VEC(w) before)        \
    {                                                                                                                  \
        const size_t state = p->r * s->H + i;                                                                          \
        const VEC(w) in = GATE(w, 0), forget = GATE(w, 1), new = GATE(w, 2), out = GATE(w, 3);                         \
        const VEC(w) tanh_c = TANH(w)(GET(w, s->cells, p->at * s->H + i));                                             \
        const VEC(w) c_before = p->starts ? ZERO(w) : GET(w, s->cells, p->before * s->H + i);                          \
        const VEC(w) carried = p->ends ? ZERO(w) : FGET(w, s->dc, state);                                              \
        const VEC(w) dc = FMA(dh * out, FMA(-tanh_c, tanh_c, (VEC(w))(1.0f)), carried);                                \
        const VEC(w) d_in = dc * new * SLOPE(in), d_forget = dc * c_before * SLOPE(forget);                            \
        const VEC(w) d_new = dc * in * FMA(-new, new, (VEC(w))(1.0f)), d_out = dh * tanh_c * SLOPE(out);               \
        FPUT(w, dc * forget, s->dc, state);                                                                            \
        PUT_GATE(w, d_in, d_in, 0);                                                                                    \
        PUT_GATE(w, d_forget, d_forget, 1);                                                                            \
        PUT_GATE(w, d_new, d_new, 2);                                                                                  \
        PUT_GATE(w, d_out, d_out, 3);                                                                                  \
        (void)before;                                                                                                  \
    }
#elif CELL == GRU
/* What goes around the product, dh z, waits in dh for the product to be added. */
#define CELL_BACKWARD_OF_WIDTH(w)                                                                                      \
    FN void PASTE(cell_backward, w)(const backward_args *s, const place *p, size_t i, VEC(w) dh, VEC(w) before)        \
    {                                                                                                                  \
        const VEC(w) reset = GATE(w, 0), update = GATE(w, 1), new = GATE(w, 2);                                        \
        const VEC(w) d_new = (dh - dh * update) * FMA(-new, new, (VEC(w))(1.0f));                                      \
        const VEC(w) d_reset = d_new * GET(w, s->cells, p->at * s->H + i) * SLOPE(reset);                              \
        const VEC(w) d_update = dh * (before - new) * SLOPE(update);                                                   \
        FPUT(w, dh * update, s->dh, p->r * s->ld_h + i);                                                               \
        PUT_GATE(w, d_reset, d_reset, 0);                                                                              \
        PUT_GATE(w, d_update, d_update, 1);                                                                            \
        PUT_GATE(w, d_new, d_new * reset, 2);                                                                          \
    }
#else
#define CELL_BACKWARD_OF_WIDTH(w)                                                                                      \
    FN void PASTE(cell_backward, w)(const backward_args *s, const place *p, size_t i, VEC(w) dh, VEC(w) before)        \
    {                                                                                                                  \
        const VEC(w) y = GET(w, s->y, p->at * s->H + i), d = dh * FMA(-y, y, (VEC(w))(1.0f));                          \
        PUT_GATE(w, d, d, 0);                                                                                          \
        (void)before;                                                                                                  \
    }
#endif
CELL_BACKWARD_OF_WIDTH(WIDE)
CELL_BACKWARD_OF_WIDTH(1)

#define BACKWARD_STEP(w)                                                                                               \
    {                                                                                                                  \
        VEC(w) dh = s->dy ? GET(w, s->dy, p->at * s->H + i) : ZERO(w);                                                 \
        if (!p->ends) dh += FGET(w, s->dh, p->r * s->ld_h + i);                                                        \
        else if (s->dlast) dh += GET(w, s->dlast, p->r * s->H + i);                                                    \
        const VEC(w) before = p->starts ? ZERO(w) : GET(w, s->y, p->before * s->H + i);                                \
        PASTE(cell_backward, w)(s, p, i, dh, before);                                                                  \
        if (s->prev) PUT(w, before, s->prev, p->at * s->H + i);                                                        \
    }

/* A step that does not count: nothing flows through it. */
#define BLANK_STEP(w)                                                                                                  \
    {                                                                                                                  \
        for (int k = 0; k < G; k++) {                                                                                  \
            PUT_GATE(w, ZERO(w), ZERO(w), k);                                                                          \
        }                                                                                                              \
        if (CELL == GRU) FPUT(w, ZERO(w), s->dh, p->r * s->ld_h + i);                                                  \
        if (s->prev) PUT(w, ZERO(w), s->prev, p->at * s->H + i);                                                       \
    }

FN void backward_row(const backward_args *s, size_t r, size_t t, int flags)
{
    const size_t length = length_of(s->lengths, r, s->T);
    const int low = t == 0, high = t + 1 == length;
    place at, *const p = &at;
    p->r = r;
    p->at = r * s->T + t;
    p->before = flags & REVERSE ? p->at + 1 : p->at - 1;
    p->starts = flags & REVERSE ? high : low;
    p->ends = flags & REVERSE ? low : high;
    if (t < length) COLUMNS(s->H, BACKWARD_STEP)
    else COLUMNS(s->H, BLANK_STEP)
}

#define BACKWARD_ARGS                                                                                                  \
    __global const stored *dy, __global const stored *dlast, __global const stored *gates,                             \
        __global const stored *cells, __global const stored *y, __global const int *lengths, __global float *dz,       \
        __global float *dh, __global float *dc, __global stored *dx, __global stored *hidden, __global stored *prev,   \
        const long T, const long H, const long ld_h, const int flags

#define GATHER_BACKWARD_ARGS                                                                                           \
    backward_args s;                                                                                                   \
    s.dy = dy;                                                                                                         \
    s.dlast = dlast;                                                                                                   \
    s.gates = gates;                                                                                                   \
    s.cells = cells;                                                                                                   \
    s.y = y;                                                                                                           \
    s.lengths = lengths;                                                                                               \
    s.dz = dz;                                                                                                         \
    s.dh = dh;                                                                                                         \
    s.dc = dc;                                                                                                         \
    s.dx = dx;                                                                                                         \
    s.hidden = hidden;                                                                                                 \
    s.prev = prev;                                                                                                     \
    s.T = T;                                                                                                           \
    s.H = H;                                                                                                           \
    s.ld_h = ld_h;

__kernel void backward_step(BACKWARD_ARGS, const long t)
{
    GATHER_BACKWARD_ARGS
    backward_row(&s, get_group_id(0), t, flags);
}

#if CPU

#include "transpose.clh"

/* ---- products ---- */

#define COLS (2 * VECTOR)
#define PACK_RUN 256

#define EACH_ROW(X) EACH_OF(TILE_ROWS, X)

#define VECF PASTE(float, VECTOR)
#define VLOAD PASTE(vload, VECTOR)
#define VSTORE PASTE(vstore, VECTOR)

/* d[i][0 .. COLS) (+)= sum over k of a[i][k] panel[k][0 .. COLS), i < rows; rows beyond repeat the last and are not stored. */
FN void multiply_tile(__global float *d, size_t ldd, __global const float *a, size_t lda, __global const float *panel,
                      size_t K, int rows, int add)
{
#define POINT(i) __global const float *const a##i = a + (i < rows ? i : rows - 1) * lda;
    EACH_ROW(POINT)
#define START(i) VECF lo##i = (VECF)(0.0f), hi##i = (VECF)(0.0f);
    EACH_ROW(START)
#define TAKE(i)                                                                                                        \
    if (i < rows) {                                                                                                    \
        lo##i = VLOAD(0, d + i * ldd);                                                                                 \
        hi##i = VLOAD(1, d + i * ldd);                                                                                 \
    }
    if (add) {
        EACH_ROW(TAKE)
    }
    for (size_t k = 0; k < K; k++) {
        const VECF b0 = VLOAD(0, panel + k * COLS), b1 = VLOAD(1, panel + k * COLS);
#define MULTIPLY(i)                                                                                                    \
    {                                                                                                                  \
        const VECF x = (VECF)(a##i[k]);                                                                                \
        lo##i = FMA(x, b0, lo##i);                                                                                     \
        hi##i = FMA(x, b1, hi##i);                                                                                     \
    }
        EACH_ROW(MULTIPLY)
    }
#define GIVE(i)                                                                                                        \
    if (i < rows) {                                                                                                    \
        VSTORE(lo##i, 0, d + i * ldd);                                                                                 \
        VSTORE(hi##i, 1, d + i * ldd);                                                                                 \
    }
    EACH_ROW(GIVE)
}

/* d [rows, N] (+)= a [rows, K] times the panels; d has room for whole panels. */
FN void multiply(__global float *d, size_t ldd, __global const float *a, size_t lda, __global const float *panels, size_t K,
                 size_t N, size_t rows, int add)
{
    for (size_t n = 0; n < N; n += COLS)
        for (size_t r = 0; r < rows; r += TILE_ROWS)
            multiply_tile(d + r * ldd + n, ldd, a + r * lda, lda, panels + n * K, K, (int)min(rows - r, (size_t)TILE_ROWS), add);
}

__kernel void pack_forward(__global const STORED(WSTORAGE) *w, __global float *panels, const long N, const long K)
{
    const size_t n0 = get_group_id(0) * COLS, k0 = get_group_id(1) * PACK_RUN, end = min(k0 + PACK_RUN, (size_t)K);
    for (size_t n = n0; n < n0 + COLS; n += SIDE)
        for (size_t k = k0; k < end; k += SIDE) {
            __global float *const to = panels + n0 * K + k * COLS + n - n0;
            if (n + SIDE <= (size_t)N && k + SIDE <= end) {
                uint16 rows[SIDE];
                for (int i = 0; i < SIDE; i++) rows[i] = as_uint16(LOAD16(WSTORAGE, w, (n + i) * K + k));
                transpose_tile(rows);
                for (int i = 0; i < SIDE; i++) vstore16(as_float16(rows[i]), 0, to + i * COLS);
                continue;
            }
            for (size_t i = 0; i < min(end - k, (size_t)SIDE); i++)
                for (size_t j = 0; j < SIDE; j++)
                    to[i * COLS + j] = n + j < (size_t)N ? LOAD1(WSTORAGE, w, (n + j) * K + k + i) : 0.0f;
        }
}

__kernel void pack_backward(__global const STORED(WSTORAGE) *w, __global float *panels, const long N, const long K)
{
    const size_t n0 = get_group_id(0) * COLS, k0 = get_group_id(1) * PACK_RUN, end = min(k0 + PACK_RUN, (size_t)K);
    for (size_t k = k0; k < end; k++)
        for (size_t n = n0; n < n0 + COLS; n += SIDE) {
            __global float *const to = panels + n0 * K + k * COLS + n - n0;
            if (n + SIDE <= (size_t)N) vstore16(LOAD16(WSTORAGE, w, k * N + n), 0, to);
            else for (size_t j = 0; j < SIDE; j++) to[j] = n + j < (size_t)N ? LOAD1(WSTORAGE, w, k * N + n + j) : 0.0f;
        }
}

/* ---- whole sequences ---- */

__kernel void forward(FORWARD_ARGS, __global const float *panels, const long count, const long each)
{
    GATHER_FORWARD_ARGS
    const size_t begin = get_group_id(0) * each, rows = min((size_t)each, (size_t)count - begin);
    for (size_t step = 0; step < s.T; step++) {
        const size_t t = flags & REVERSE ? s.T - 1 - step : step;
        const int of_step = (step == 0 ? begins(lengths, flags) & FIRST : 0) | (step + 1 == s.T ? FINAL : 0);
        if (!(of_step & FIRST)) multiply(z + begin * ld_z, ld_z, h + begin * H, H, panels, H, G * H, rows, 0);
        for (size_t r = begin; r < begin + rows; r++) forward_row(&s, r, t, of_step);
    }
}

__kernel void backward(BACKWARD_ARGS, __global const float *panels, const long count, const long each)
{
    GATHER_BACKWARD_ARGS
    const size_t begin = get_group_id(0) * each, rows = min((size_t)each, (size_t)count - begin);
    for (size_t step = 0; step < s.T; step++) {
        const size_t t = flags & REVERSE ? step : s.T - 1 - step;
        for (size_t r = begin; r < begin + rows; r++) backward_row(&s, r, t, flags);
        if (step + 1 < s.T) multiply(dh + begin * ld_h, ld_h, dz + begin * G * H, G * H, panels, G * H, H, rows, CELL == GRU);
    }
}

#endif
