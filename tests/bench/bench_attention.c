/* Attention against the rate of a matrix product measured between the rounds, in one run: operations of the pairs that the mask
 * leaves, two products forward and five backward, over the time. Each figure is the best of several rounds.
 * usage: bench_attention [--json] [--bf16] [SPEC]   (the device "auto")
 * --bf16 takes tensors and the product of that type; --json prints one object a line, which run_twins sets beside PyTorch's. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cl/ops/ops.h"
#include "tests/lib/bench.h"

#define ROUNDS 40
#define GEMM 1024

typedef struct sizes {
    int64_t B, T, heads, d;
} sizes;

static int json;
static bm_dtype type = BM_F32;

static void start_attention(bench_run *r, bm_engine *e, const sizes *s)
{
    const int64_t C = s->heads * s->d;
    bench_begin(r, e, "attention", "attention_backward");
    r->type = type;
    bm_value *qkv = bench_input(r, "qkv", BM_SHAPE(s->B, s->T, 3 * C)), *dy = bench_input(r, "dy", BM_SHAPE(s->B, s->T, C));
    bm_value *y = bm_attention(r->graph, qkv, (int)s->heads);
    bm_graph_want_gradient(r->graph, qkv);
    bench_must(bm_graph_gradients(r->graph, bm_sum(r->graph, bm_mul(r->graph, y, dy))));
    bm_graph_output(r->graph, bm_graph_gradient(r->graph, qkv), "dqkv");
    bench_plan(r);
}

static void report(const bench_run *r, const bench_run *gemm, const sizes *s)
{
    const double product = (double)(s->B * s->heads * s->d) * (double)s->T * (double)(s->T + 1) / 1e9; /* one of them */
    const double rate = 2.0 * GEMM * GEMM * GEMM / gemm->best_s[0] / 1e9;
    const double forward = 2 * product / r->best_s[0], backward = 5 * product / r->best_s[1];
    if (json) {
        printf("{\"B\": %lld, \"T\": %lld, \"heads\": %lld, \"d\": %lld, \"forward_ms\": %.6g, \"backward_ms\": %.6g, "
               "\"share\": %.4g}\n",
               (long long)s->B, (long long)s->T, (long long)s->heads, (long long)s->d, r->best_s[0] * 1e3, r->best_s[1] * 1e3,
               7 * product / (r->best_s[0] + r->best_s[1]) / rate);
        fflush(stdout);
        return;
    }
    char label[64];
    snprintf(label, sizeof label, "%lld %lld %lld %lld", (long long)s->B, (long long)s->T, (long long)s->heads,
             (long long)s->d);
    printf("%-24s %9.0f %9s %9.0f %4.0f%% %9.0f %4.0f%% %8.0f%%\n", label, rate, "", forward, 100 * forward / rate,
           backward, 100 * backward / rate, 100 * 7 * product / (r->best_s[0] + r->best_s[1]) / rate);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    static const sizes cases[] = {{16, 64, 12, 64}, {8, 128, 12, 64}, {4, 256, 12, 64}, {2, 512, 12, 64}, {1, 1024, 12, 64},
                                  {1, 2048, 12, 64}, {12, 256, 6, 64}, {1, 512, 8, 128}};
    const char *spec = "auto";
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--json")) json = 1;
        else if (!strcmp(argv[i], "--bf16")) type = BM_BF16;
        else spec = argv[i];
    }
    setenv("POCL_AFFINITY", "1", 0);
    bm_engine *engine = bench_open(spec);
    if (!json) printf("%s, %s; GFLOP/s and share of a product of %d\n%-24s %9s %9s %15s %15s %9s\n", bm_engine_device_name(engine),
                      bm_dtype_name(type), GEMM, "B T heads d", "GEMM", "", "forward", "backward", "both");
    bench_run gemm;
    bench_begin_gemm(&gemm, engine, type, GEMM);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bench_run r;
        start_attention(&r, engine, &cases[i]);
        bench_reset(&gemm);
        for (int k = 0; k < ROUNDS; k++) {
            bench_measure(&gemm);
            bench_measure(&r);
        }
        report(&r, &gemm, &cases[i]);
        bench_end(&r);
    }
    bench_end(&gemm);
    bm_engine_close(engine);
    return 0;
}
