/* Attention against the rate of a matrix product measured between the rounds, in one run: operations of the pairs that the mask
 * leaves, two products forward and five backward, over the time. Each figure is the best of several rounds.
 * usage: bench_attention [SPEC]   (the device "auto") */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cl/ops/ops.h"
#include "cl/sources.h"
#include "core/graph/plan.h"

#define ROUNDS 40
#define GEMM 1024

static void must(bm_status status)
{
    if (!status) return;
    fprintf(stderr, "bench_attention: %s\n", bm_error_text(status));
    exit(1);
}

static bm_engine *engine;

typedef struct sizes {
    int64_t B, T, heads, d;
} sizes;

typedef struct run {
    bm_graph *graph;
    bm_plan *plan;
    const char *op[2]; /* nodes that are timed */
    double best_s[2];
} run;

static void run_begin(run *r, const char *first, const char *second)
{
    bm_graph_opts opts = bm_graph_opts_with_ops();
    *r = (run){.op = {first, second}, .best_s = {1e9, 1e9}};
    must(bm_graph_create(&r->graph, &opts));
}

static void run_write(const run *r, const bm_value *v)
{
    const int64_t n = bm_shape_elements(bm_value_shape(v));
    float *x = malloc((size_t)n * sizeof *x);
    if (!x) must(bm_fail(BM_ERR_MEMORY, "no memory for %lld floats", (long long)n));
    for (int64_t i = 0; i < n; i++) x[i] = (float)((i * 7919) % 2001 - 1000) / 500.0f;
    must(bm_plan_write(r->plan, v, x));
    free(x);
}

static void run_gemm(run *r)
{
    const bm_plan_opts none = {0};
    run_begin(r, "linear", NULL);
    bm_value *x = bm_graph_input(r->graph, "x", BM_F32, BM_SHAPE(GEMM, GEMM));
    bm_value *w = bm_graph_input(r->graph, "w", BM_F32, BM_SHAPE(GEMM, GEMM));
    bm_graph_output(r->graph, bm_linear(r->graph, x, w, NULL, BM_ACT_NONE), "y");
    must(bm_plan_create(&r->plan, engine, r->graph, &none));
    run_write(r, x);
    run_write(r, w);
}

static void run_attention(run *r, const sizes *s)
{
    const bm_plan_opts none = {0};
    const int64_t C = s->heads * s->d;
    run_begin(r, "attention", "attention_backward");
    bm_value *qkv = bm_graph_input(r->graph, "qkv", BM_F32, BM_SHAPE(s->B, s->T, 3 * C));
    bm_value *dy = bm_graph_input(r->graph, "dy", BM_F32, BM_SHAPE(s->B, s->T, C));
    bm_graph_want_gradient(r->graph, qkv);
    must(bm_graph_gradients(r->graph, bm_sum(r->graph, bm_mul(r->graph, bm_attention(r->graph, qkv, (int)s->heads), dy))));
    bm_graph_output(r->graph, bm_graph_gradient(r->graph, qkv), "dqkv");
    must(bm_plan_create(&r->plan, engine, r->graph, &none));
    run_write(r, qkv);
    run_write(r, dy);
}

static void run_end(run *r)
{
    bm_plan_destroy(r->plan);
    bm_graph_destroy(r->graph);
}

static void run_measure(run *r)
{
    const bm_profile_row *row;
    int n;
    bm_queue *q = bm_engine_queue(engine);
    must(bm_queue_finish(q));
    bm_queue_profile_reset(q);
    must(bm_plan_run(r->plan));
    must(bm_queue_finish(q));
    must(bm_queue_profile(q, &row, &n));
    for (int i = 0; i < n; i++)
        for (int k = 0; k < 2 && r->op[k]; k++)
            if (!strcmp(row[i].what, r->op[k]) && row[i].seconds < r->best_s[k]) r->best_s[k] = row[i].seconds;
}

int main(int argc, char **argv)
{
    static const sizes cases[] = {{4, 64, 12, 64}, {12, 256, 6, 64}, {4, 256, 12, 64}, {1, 1024, 12, 64}, {1, 512, 8, 128}};
    bm_device_list *list = NULL;
    const bm_device *device = NULL;
    int n = 0;
    bm_engine_opts opts = bm_engine_opts_default();
    opts.sources = bm_cl_sources;
    opts.profile = 1;
    opts.cl_dir = getenv("BM_CL_DIR");
    must(bm_device_list_create(&list));
    must(bm_device_select(&device, &n, 1, list, argc > 1 ? argv[1] : "auto"));
    must(bm_engine_open(&engine, device, &opts));
    printf("%s, f32; GFLOP/s and share of a product of %d\n%-24s %9s %9s %15s %15s %9s\n", bm_engine_device_name(engine), GEMM,
           "B T heads d", "GEMM", "", "forward", "backward", "both");
    run gemm;
    run_gemm(&gemm);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const sizes *s = &cases[i];
        run r;
        char label[64];
        run_attention(&r, s);
        gemm.best_s[0] = 1e9;
        for (int k = 0; k < ROUNDS; k++) {
            run_measure(&gemm);
            run_measure(&r);
        }
        const double product = (double)(s->B * s->heads * s->d) * (double)s->T * (double)(s->T + 1) / 1e9; /* one of them */
        const double rate = 2.0 * GEMM * GEMM * GEMM / gemm.best_s[0] / 1e9;
        const double forward = 2 * product / r.best_s[0], backward = 5 * product / r.best_s[1];
        snprintf(label, sizeof label, "%lld %lld %lld %lld", (long long)s->B, (long long)s->T, (long long)s->heads,
                 (long long)s->d);
        printf("%-24s %9.0f %9s %9.0f %4.0f%% %9.0f %4.0f%% %8.0f%%\n", label, rate, "", forward, 100 * forward / rate, backward,
               100 * backward / rate, 100 * 7 * product / (r.best_s[0] + r.best_s[1]) / rate);
        fflush(stdout);
        run_end(&r);
    }
    run_end(&gemm);
    bm_engine_close(engine);
    bm_device_list_destroy(list);
    return 0;
}
