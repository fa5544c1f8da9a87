#include "tests/lib/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cl/ops/ops.h"
#include "cl/sources.h"
#include "core/graph/graph_priv.h"
#include "core/graph/scalars.h"

void bench_must(bm_status status)
{
    if (!status) return;
    fprintf(stderr, "bench: %s\n", bm_error_text(status));
    exit(1);
}

bm_engine *bench_open(const char *spec)
{
    bm_engine *e = NULL;
    bm_device_list *list = NULL;
    const bm_device *device = NULL;
    int n = 0;
    bm_engine_opts opts = bm_engine_opts_default();
    opts.sources = bm_cl_sources;
    opts.profile = 1;
    opts.cl_dir = getenv("BM_CL_DIR");
    bench_must(bm_device_list_create(&list));
    bench_must(bm_device_select(&device, &n, 1, list, spec));
    bench_must(bm_engine_open(&e, device, &opts));
    bm_device_list_destroy(list);
    return e;
}

void bench_begin(bench_run *r, bm_engine *e, const char *first, const char *second)
{
    bm_graph_opts opts = bm_graph_opts_with_ops();
    *r = (bench_run){.engine = e, .op = {first, second}};
    bench_reset(r);
    bench_must(bm_graph_create(&r->graph, &opts));
}

static void write_input(const bench_run *r, const bm_value *v)
{
    const int64_t n = bm_shape_elements(&v->shape);
    const int whole = v->dtype == BM_I32;
    union {
        float f;
        int32_t i;
    } *x = malloc((size_t)(n + 1) * sizeof *x);
    if (!x) bench_must(bm_fail(BM_ERR_MEMORY, "no memory for %lld numbers", (long long)n));
    for (int64_t i = 0; i < n; i++)
        if (whole)
            x[i].i = (int32_t)(i * 7919 % n);
        else
            x[i].f = (float)((i * 7919) % 2001 - 1000) / 300.0f;
    if (v->dtype == BM_BF16)
        for (int64_t i = 0; i < n; i++) ((uint16_t *)x)[i] = bm_f32_to_bf16(x[i].f);
    bench_must(bm_plan_write(r->plan, v, x));
    free(x);
}

void bench_plan(bench_run *r)
{
    static const bm_place places[] = {BM_PLACE_WEIGHT, BM_PLACE_GRAD, BM_PLACE_STATE0, BM_PLACE_STATE1};
    bench_must(bm_graph_status(r->graph));
    bench_must(bm_layout_create(&r->layout, r->graph, BM_PLACE_WEIGHT, bm_engine_limits(r->engine)));
    for (int i = 0; i < 4 && bm_layout_count(r->layout); i++)
        bench_must(bm_bank_create(&r->banks[r->n_banks++], r->engine, r->layout, places[i]));
    bm_plan_opts opts = {.banks = r->banks, .n_banks = r->n_banks};
    bench_must(bm_plan_create(&r->plan, r->engine, r->graph, &opts));
    bm_plan_set_f32(r->plan, BM_RT_LR, 1e-3f);
    bm_plan_set_f32(r->plan, BM_RT_LOSS_SCALE, 1.0f);
    bm_plan_set_f32(r->plan, BM_RT_BIAS1, 0.1f);
    bm_plan_set_f32(r->plan, BM_RT_BIAS2, 0.01f);
    for (int i = 0; i < r->graph->n_values; i++) {
        const bm_value *v = r->graph->values[i];
        if (v->place == BM_PLACE_INPUT && !v->view_of && !v->data) write_input(r, v);
    }
}

bm_value *bench_input(bench_run *r, const char *name, bm_shape shape)
{
    return bm_graph_input(r->graph, name, r->type, shape);
}

void bench_begin_gemm(bench_run *r, bm_engine *e, bm_dtype t, int64_t size)
{
    bench_begin(r, e, "linear", NULL);
    r->type = t;
    bm_value *x = bench_input(r, "x", BM_SHAPE(size, size)), *w = bench_input(r, "w", BM_SHAPE(size, size));
    bm_graph_output(r->graph, bm_linear(r->graph, x, w, NULL, BM_ACT_NONE), "y");
    bench_plan(r);
}

void bench_end(bench_run *r)
{
    bm_plan_destroy(r->plan);
    for (int i = 0; i < r->n_banks; i++) bm_bank_destroy(r->banks[i]);
    bm_layout_destroy(r->layout);
    bm_graph_destroy(r->graph);
}

void bench_reset(bench_run *r)
{
    for (int i = 0; i < BENCH_OPS; i++) r->best_s[i] = 1e9;
}

void bench_measure(bench_run *r)
{
    const bm_profile_row *row;
    int n;
    bm_queue *q = bm_engine_queue(r->engine);
    bench_must(bm_queue_finish(q));
    bm_queue_profile_reset(q);
    bench_must(bm_plan_run(r->plan));
    bench_must(bm_queue_finish(q));
    bench_must(bm_queue_profile(q, &row, &n));
    for (int i = 0; i < n; i++)
        for (int k = 0; k < BENCH_OPS && r->op[k]; k++)
            if (!strcmp(row[i].what, r->op[k]) && row[i].seconds < r->best_s[k]) r->best_s[k] = row[i].seconds;
}
