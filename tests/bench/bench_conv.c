/* Convolutions, forward and both gradients, against the rate of a matrix product measured between the rounds, in one run. Each
 * figure is the best of several rounds; torch_conv.py measures the same shapes.
 * usage: bench_conv [--json] [SPEC]   (the device "auto") */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cl/ops/ops.h"
#include "tests/lib/bench.h"

#define ROUNDS 8
#define GEMM 1024
#define BATCH 64

typedef struct sizes {
    const char *name;
    int64_t H, C, O, k, stride, pad;
} sizes;

/* torch_conv.py has the same list. */
static const sizes cases[] = {
    {"lenet1", 28, 1, 6, 5, 1, 2},   {"lenet2", 14, 6, 16, 5, 1, 0},   {"vgg1", 28, 1, 32, 3, 1, 1},    {"vgg2", 28, 32, 32, 3, 1, 1},
    {"vgg3", 14, 32, 64, 3, 1, 1},   {"vgg4", 14, 64, 64, 3, 1, 1},    {"vgg5", 7, 64, 128, 3, 1, 1},   {"vgg6", 7, 128, 128, 3, 1, 1},
    {"stem", 32, 3, 32, 3, 1, 1},    {"res1", 32, 32, 32, 3, 1, 1},    {"res2d", 32, 32, 64, 3, 2, 1},  {"res2", 16, 64, 64, 3, 1, 1},
    {"res3d", 16, 64, 128, 3, 2, 1}, {"res3", 8, 128, 128, 3, 1, 1},   {"short", 32, 32, 64, 1, 2, 0},
};

static int64_t places(const sizes *s) { return (s->H + 2 * s->pad - s->k) / s->stride + 1; }

static void start_conv(bench_run *r, bm_engine *e, const sizes *s)
{
    const bm_conv_opts o = {{s->stride, s->stride}, {s->pad, s->pad}, {1, 1}, 1};
    bench_begin(r, e, "conv2d", "conv2d_dx");
    r->op[2] = "conv2d_dw";
    bm_value *x = bench_input(r, "x", BM_SHAPE(BATCH, s->H, s->H, s->C)), *w = bench_input(r, "w", BM_SHAPE(s->O, s->k, s->k, s->C));
    bm_value *dy = bench_input(r, "dy", BM_SHAPE(BATCH, places(s), places(s), s->O));
    bm_value *y = bm_graph_output(r->graph, bm_conv2d(r->graph, x, w, NULL, BM_ACT_NONE, &o), "y");
    bm_graph_want_gradient(r->graph, x);
    bm_graph_want_gradient(r->graph, w);
    bench_must(bm_graph_gradients(r->graph, bm_sum(r->graph, bm_mul(r->graph, y, dy))));
    bm_graph_output(r->graph, bm_graph_gradient(r->graph, x), "dx");
    bm_graph_output(r->graph, bm_graph_gradient(r->graph, w), "dw");
    bench_plan(r);
}

static void report(const bench_run *r, const bench_run *gemm, const sizes *s, int json)
{
    const double flops = 2.0 * BATCH * (double)(places(s) * places(s)) * (double)(s->O * s->C * s->k * s->k);
    const double rate = 2.0 * GEMM * GEMM * GEMM / gemm->best_s[0], *t = r->best_s;
    if (json)
        printf("{\"name\": \"%s\", \"forward_ms\": %.6g, \"dx_ms\": %.6g, \"dw_ms\": %.6g, \"share\": %.4g}\n", s->name, t[0] * 1e3,
               t[1] * 1e3, t[2] * 1e3, 3 * flops / (t[0] + t[1] + t[2]) / rate);
    else
        printf("%-8s %9.3f %4.0f%% %9.3f %4.0f%% %9.3f %4.0f%% %8.0f%%\n", s->name, t[0] * 1e3, 100 * flops / t[0] / rate, t[1] * 1e3,
               100 * flops / t[1] / rate, t[2] * 1e3, 100 * flops / t[2] / rate, 100 * 3 * flops / (t[0] + t[1] + t[2]) / rate);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    const int json = argc > 1 && !strcmp(argv[1], "--json");
    setenv("POCL_AFFINITY", "1", 0);
    bm_engine *engine = bench_open(argc > 1 + json ? argv[1 + json] : "auto");
    if (!json)
        printf("%s, f32, %d images; ms and share of the rate of a product of %d\n%-8s %15s %15s %15s %9s\n", bm_engine_device_name(engine),
               BATCH, GEMM, "", "forward", "dx", "dw", "all");
    bench_run gemm;
    bench_begin_gemm(&gemm, engine, BM_F32, GEMM);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bench_run r;
        start_conv(&r, engine, &cases[i]);
        bench_reset(&gemm);
        for (int k = 0; k < ROUNDS; k++) {
            bench_measure(&gemm);
            bench_measure(&r);
        }
        report(&r, &gemm, &cases[i], json);
        bench_end(&r);
    }
    bench_end(&gemm);
    bm_engine_close(engine);
    return 0;
}
