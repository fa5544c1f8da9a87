#include "tools/bench_ops.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/table.h"

/* The row of the op that made a node, "h3/attn/linear"; what there is no room for shares the last. */
static bm_op_time *row_of(bm_op_times *t, const char *node)
{
    const char *slash = strrchr(node, '/'), *op = slash ? slash + 1 : node;
    int i = 0;
    while (i < t->n && strcmp(t->of[i].op, op) != 0) i++;
    if (i == BM_OP_TIMES) return &t->of[BM_OP_TIMES - 1];
    if (i == t->n) snprintf(t->of[t->n++].op, sizeof t->of[0].op, "%s", op);
    return &t->of[i];
}

typedef struct limits {
    bm_op_times *times;
    double flops_per_s, bytes_per_s;
} limits;

static void add_least(void *user, const char *node, bm_cost c)
{
    const limits *l = user;
    row_of(l->times, node)->least += bm_cost_least_s(c, l->flops_per_s, l->bytes_per_s);
}

static int by_seconds(const void *a, const void *b)
{
    const double x = ((const bm_op_time *)a)->seconds, y = ((const bm_op_time *)b)->seconds;
    return x < y ? 1 : x > y ? -1 : 0;
}

bm_status bm_op_times_of(bm_op_times *out, const bm_learner *l, bm_queue *q, int steps, double flops_per_s, double bytes_per_s)
{
    const bm_profile_row *row;
    int n;
    limits at = {out, flops_per_s, bytes_per_s};
    memset(out, 0, sizeof *out);
    BM_TRY(bm_queue_finish(q));
    BM_TRY(bm_queue_profile(q, &row, &n));
    for (int i = 0; i < n; i++) {
        bm_op_time *t = row_of(out, row[i].what);
        t->calls += row[i].calls / steps;
        t->seconds += row[i].seconds / steps;
    }
    bm_learner_each_cost(l, add_least, &at);
    qsort(out->of, (size_t)out->n, sizeof *out->of, by_seconds);
    return BM_OK;
}

bm_status bm_op_times_print(const bm_op_times *t, double step_s)
{
    static const char *const heads[] = {"op", ">kernels", ">ms", ">share of the step", ">least ms", ">share of its limit", NULL};
    bm_table *table;
    double sum = 0;
    BM_TRY(bm_table_create(&table, heads));
    for (int i = 0; i < t->n; i++) {
        const bm_op_time *o = &t->of[i];
        sum += o->seconds;
        if (o->seconds < 5e-5) continue;
        bm_table_add(table, "%s", o->op);
        bm_table_add(table, "%lld", (long long)o->calls);
        bm_table_add(table, "%.1f", o->seconds * 1e3);
        bm_table_add(table, "%.1f %%", 100 * o->seconds / step_s);
        bm_table_add(table, "%.1f", o->least * 1e3);
        bm_table_add(table, "%.0f %%", 100 * o->least / o->seconds);
    }
    printf("\n");
    bm_status s = bm_table_print(table, stdout);
    bm_table_destroy(table);
    printf("\nall ops: %.1f ms a step; between them, and in products by CLBlast, which cannot be timed apart: %.1f ms\n", sum * 1e3,
           step_s > sum ? (step_s - sum) * 1e3 : 0);
    return s;
}

json_t *bm_op_times_json(const bm_op_times *t)
{
    json_t *all = json_array();
    for (int i = 0; i < t->n; i++)
        json_array_append_new(all, json_pack("{s:s, s:I, s:f, s:f}", "op", t->of[i].op, "kernels", (json_int_t)t->of[i].calls, "ms",
                                             t->of[i].seconds * 1e3, "least_ms", t->of[i].least * 1e3));
    return all;
}
