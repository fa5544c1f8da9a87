/* A recurrent layer with its input projection, forward and backward, f32: milliseconds of all its ops, and its products' operations
 * over that time against the rate of a matrix product measured between the rounds, in one run. Each figure is the best of
 * several rounds.
 * usage: bench_recurrent [--json] [SPEC]   (the device "auto")
 * --json prints one object a line, which run_twins sets beside PyTorch's. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cl/ops/ops.h"
#include "core/device/queue.h"
#include "tests/lib/bench.h"

#define ROUNDS 12
#define GEMM 1024

typedef struct sizes {
    bm_cell cell;
    int64_t B, T, H; /* as many inputs as H */
} sizes;

static const char *const cells[] = {"rnn", "lstm", "gru"};
static const int64_t gates[] = {1, 4, 3};

/* Gradients of the input, of both weights and of both biases. */
static void start_layer(bench_run *r, bm_engine *e, const sizes *s)
{
    const int64_t rows = s->B * s->T, GH = gates[s->cell] * s->H;
    bench_begin(r, e, "recurrent", "recurrent_backward");
    bm_graph *g = r->graph;
    bm_value *x = bench_input(r, "x", BM_SHAPE(s->B, s->T, s->H)), *dy = bench_input(r, "dy", BM_SHAPE(s->B, s->T, s->H));
    bm_value *w_ih = bm_graph_param(g, "w_ih", BM_F32, BM_SHAPE(GH, s->H), 0);
    bm_value *w_hh = bm_graph_param(g, "w_hh", BM_F32, BM_SHAPE(GH, s->H), 0);
    bm_value *b_ih = bm_graph_param(g, "b_ih", BM_F32, BM_SHAPE(GH), 1), *b_hh = bm_graph_param(g, "b_hh", BM_F32, BM_SHAPE(GH), 1);
    bm_graph_want_gradient(g, x);
    bm_value *a = bm_linear(g, bm_reshape(g, x, BM_SHAPE(rows, s->H)), w_ih, b_ih, BM_ACT_NONE);
    bm_value *y = bm_recurrent(g, NULL, s->cell, bm_reshape(g, a, BM_SHAPE(s->B, s->T, GH)), w_hh, b_hh, NULL, 0);
    bench_must(bm_graph_gradients(g, bm_sum(g, bm_mul(g, y, dy))));
    bm_graph_output(g, bm_graph_gradient(g, x), "dx");
    bench_plan(r);
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The wall time of one run, all ops, where it is better. */
static void measure(bench_run *r, double *best_s)
{
    const double start = seconds();
    bench_measure(r);
    const double s = seconds() - start;
    if (s < *best_s) *best_s = s;
}

static int json;

static void report(const bench_run *r, const bench_run *gemm, const sizes *s, double best_s)
{
    const double flops = 6 * 2.0 * (double)(s->B * s->T) * (double)(gates[s->cell] * s->H) * (double)s->H;
    const double share = flops / best_s / (2.0 * GEMM * GEMM * GEMM / gemm->best_s[0]);
    printf(json ? "{\"cell\": \"%s\", \"B\": %lld, \"T\": %lld, \"H\": %lld, \"ms\": %.6g, \"forward_ms\": %.6g, "
                  "\"backward_ms\": %.6g, \"share\": %.4g}\n"
                : "%-5s %4lld %4lld %5lld %9.2f %9.2f %9.2f %8.2f\n",
           cells[s->cell], (long long)s->B, (long long)s->T, (long long)s->H, best_s * 1e3, r->best_s[0] * 1e3,
           r->best_s[1] * 1e3, share);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    static const sizes cases[] = {{BM_CELL_LSTM, 32, 64, 256}, {BM_CELL_LSTM, 16, 128, 512}, {BM_CELL_LSTM, 64, 100, 128},
                                  {BM_CELL_GRU, 32, 64, 256},  {BM_CELL_RNN, 32, 64, 256},   {BM_CELL_LSTM, 1, 64, 256},
                                  {BM_CELL_LSTM, 4, 64, 256}};
    json = argc > 1 && !strcmp(argv[1], "--json");
    setenv("POCL_AFFINITY", "1", 0);
    bm_engine *engine = bench_open(argc > 1 + json ? argv[1 + json] : "auto");
    if (!json)
        printf("%s, f32; ms of all, of recurrent, of recurrent_backward; all products' rate over that of one of %d\n"
               "%-5s %4s %4s %5s %9s %9s %9s %8s\n", bm_engine_device_name(engine), GEMM, "cell", "B", "T", "H", "all", "forward",
               "backward", "of GEMM");
    bench_run gemm;
    bench_begin_gemm(&gemm, engine, BM_F32, GEMM);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bench_run r;
        double best_s = 1e9;
        start_layer(&r, engine, &cases[i]);
        bench_measure(&r);
        bench_reset(&r);
        bench_reset(&gemm);
        for (int k = 0; k < ROUNDS; k++) {
            bench_measure(&gemm);
            measure(&r, &best_s);
        }
        report(&r, &gemm, &cases[i], best_s);
        bench_end(&r);
    }
    bench_end(&gemm);
    bm_engine_close(engine);
    return 0;
}
