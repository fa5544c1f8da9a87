/* Rows of a table by number, and the gradient: a scatter in which each element of the table has one owner, who adds in the order
 * of the ids. No atomics; the cost goes with rows n, not with V n.
 *
 *     embedding            y[r] = table[ids[r]]
 *     embedding_positions  y[r] = table[ids[r]] + position[offset + r % T], offset = rt[BM_RT_POSITION]
 *     scatter              dtable[ids[r]] += dy[r], r = 0, 1, ...
 *     scatter_positions    dposition[offset + t] += sum over b of dy[b T + t]
 *
 * table, dtable [V, n]; position, dposition [P, n]; ids [rows] i32; y, dy [rows, n], rows = B T. Row i of a table of i8 is
 * multiplied by its scale, table_scale[i] or position_scale[i]. An id outside [0, V), which the host should have refused, and a
 * position outside [0, P): the row of y is NaN, and its gradient goes nowhere.
 *
 * embedding, scatter_positions: a work-group does `each` rows. scatter: a work-group owns 64 columns (cpu), or 64 columns of the
 * ids that are group_id(1) modulo num_groups(1) (plain), and walks over all ids. No local memory. Options:
 * STORAGE (types.clh), TABLE (the same, of the tables; default STORAGE), SCALED 1 where that is i8 (forward only), CPU (grid.clh). */

#include "grid.clh"
#include "scalars.clh"

#ifndef TABLE
#define TABLE STORAGE
#endif
#ifndef SCALED
#define SCALED 0
#endif
typedef STORED(TABLE) entry; /* of a table */
#define ENTRY(w, p, i) PASTE(LOAD, w)(TABLE, p, i)
#define SET_ENTRY(w, v, p, i) PASTE(STORE, w)(TABLE, v, p, i)

/* Elements of row `row` of table p. */
#if SCALED
#define OF_ROW(w, p, row) (ENTRY(w, p, (size_t)(row) * n + i) * (VEC(w))(p##_scale[row]))
#else
#define OF_ROW(w, p, row) ENTRY(w, p, (size_t)(row) * n + i)
#endif
#define COPY_STEP(w) PUT(w, OF_ROW(w, table, id), y, r * n + i);
#define SUM_STEP(w) PUT(w, OF_ROW(w, table, id) + OF_ROW(w, position, at), y, r * n + i);
#define NAN_STEP(w) PUT(w, (VEC(w))(NAN), y, r * n + i);

__kernel void embedding(__global const entry *table, __global const float *table_scale, __global const int *ids,
                        __global stored *y, const int V, const long rows, const long n, const long each)
{
    (void)table_scale;
    ROWS(rows, each)
    {
        const int id = ids[r];
        if (id >= 0 && id < V) COLUMNS(n, COPY_STEP)
        else COLUMNS(n, NAN_STEP)
    }
}

__kernel void embedding_positions(__global const entry *table, __global const entry *position,
                                  __global const float *table_scale, __global const float *position_scale,
                                  __global const int *ids, __global stored *y, __global const uint *rt, const int V,
                                  const long P, const long T, const long rows, const long n, const long each)
{
    (void)table_scale, (void)position_scale;
    ROWS(rows, each)
    {
        const int id = ids[r];
        const long at = (long)rt[BM_RT_POSITION] + (long)r % T;
        if (id >= 0 && id < V && at < P) COLUMNS(n, SUM_STEP)
        else COLUMNS(n, NAN_STEP)
    }
}

#if !SCALED
__kernel void scatter(__global const stored *dy, __global const int *ids, __global entry *dtable, const int V,
                      const long rows, const long n)
{
#if CPU
    const long first = get_group_id(0) * 64, end = min(first + 64, n);
    for (long r = 0; r < rows; r++) {
        const int id = ids[r];
        if (id < 0 || id >= V) continue;
        long i = first;
        const size_t to = (size_t)id * n;
        for (; i + 16 <= end; i += 16) SET_ENTRY(16, ENTRY(16, dtable, to + i) + load16(dy, r * n + i), dtable, to + i);
        for (; i < end; i++) SET_ENTRY(1, ENTRY(1, dtable, to + i) + load1(dy, r * n + i), dtable, to + i);
    }
#else
    const long i = get_global_id(0);
    const int bucket = (int)get_group_id(1), buckets = (int)get_num_groups(1);
    for (long r = 0; i < n && r < rows; r++) {
        const int id = ids[r];
        if (id < 0 || id >= V || id % buckets != bucket) continue;
        const size_t to = (size_t)id * n + i;
        SET_ENTRY(1, ENTRY(1, dtable, to) + load1(dy, r * n + i), dtable, to);
    }
#endif
}

#define POSITION_STEP(w)                                                                                               \
    VEC(w) sum = ENTRY(w, dposition, at * n + i);                                                                      \
    for (long b = 0; b < B; b++) sum += GET(w, dy, (b * T + (long)r) * n + i);                                         \
    SET_ENTRY(w, sum, dposition, at * n + i);

__kernel void scatter_positions(__global const stored *dy, __global entry *dposition, __global const uint *rt, const long P,
                                const long B, const long T, const long n, const long each)
{
    ROWS(T, each)
    {
        const long at = (long)rt[BM_RT_POSITION] + (long)r;
        if (at < P) COLUMNS(n, POSITION_STEP)
    }
}
#endif
