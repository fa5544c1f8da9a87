/* Every GEMM backend and a CBLAS on the products of two models' training steps, and on those of decoding.
 * usage: [BM_TEST_DEVICE=pocl] bench_gemm [--rounds N] [--threads N] [--only TEXT] [--tiled] [--cpu] [--bf16 | --int8]
 *
 * The runs of one product alternate; times are medians, from the call to the end, packing and copies counted; ratios are to the
 * CBLAS (libopenblas.so.0, opened here and nowhere else in bm). OPENBLAS_CORETYPE and the like slow it: unset them, but where it does not
 * know the CPU and takes kernels for an old one, which it says: OPENBLAS_CORETYPE=SkylakeX for one with AVX-512.
 * Threads that OpenBLAS leaves spinning push PoCL's two onto one core at times: POCL_AFFINITY=1, set here, holds them apart.
 * --bf16 multiplies the same shapes of bf16 into bf16 by `packed`, and gives the ratio to its products of f32 instead; --int8 those
 * of f32 and an i8 B with scales.
 * --cpu counts the process' CPU time instead, for a machine that is busy: with --threads 1 and POCL_MAX_PTHREAD_COUNT=1. */
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cl/gemm/trial_priv.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "tests/lib/bench.h"
#include "tests/lib/device.h"

typedef void (*sgemm_fn)(int order, int trans_a, int trans_b, int m, int n, int k, float alpha, const float *a, int lda,
                         const float *b, int ldb, float beta, float *c, int ldc);

static struct {
    int rounds, threads, tiled, cpu;
    bm_dtype narrow; /* BM_F32: backends and CBLAS are compared, on f32 */
    const char *only;
    sgemm_fn sgemm;
} opts = {.rounds = 7, .threads = 2};

typedef struct shape {
    const char *what;
    int trans_a, trans_b;
    int64_t m, n, k;
    float beta;
} shape;

/* GPT-2 124M with 4 windows of 64 tokens; GPT 6 x 384 with 12 of 256; GPT-2 with one of 1024, and 512 tokens of a prompt; decoding with
 * one row and with eight. */
static const shape shapes[] = {
    {"gpt2 qkv", 0, 1, 256, 2304, 768, 0},      {"gpt2 proj", 0, 1, 256, 768, 768, 0},
    {"gpt2 fc", 0, 1, 256, 3072, 768, 0},       {"gpt2 fc2", 0, 1, 256, 768, 3072, 0},
    {"gpt2 head", 0, 1, 256, 50257, 768, 0},    {"gpt2 d qkv", 0, 0, 256, 768, 2304, 0},
    {"gpt2 d proj", 0, 0, 256, 768, 768, 0},    {"gpt2 d fc", 0, 0, 256, 768, 3072, 0},
    {"gpt2 d fc2", 0, 0, 256, 3072, 768, 0},    {"gpt2 d head", 0, 0, 256, 768, 50257, 0},
    {"gpt2 dW qkv", 1, 0, 2304, 768, 256, 0},   {"gpt2 dW proj", 1, 0, 768, 768, 256, 0},
    {"gpt2 dW fc", 1, 0, 3072, 768, 256, 0},    {"gpt2 dW fc2", 1, 0, 768, 3072, 256, 0},
    {"gpt2 dW head", 1, 0, 50257, 768, 256, 0}, {"gpt2 dW head +", 1, 0, 50257, 768, 256, 1},
    {"gpt6 qkv", 0, 1, 3072, 1152, 384, 0},     {"gpt6 proj", 0, 1, 3072, 384, 384, 0},
    {"gpt6 fc", 0, 1, 3072, 1536, 384, 0},      {"gpt6 fc2", 0, 1, 3072, 384, 1536, 0},
    {"gpt6 head", 0, 1, 3072, 257, 384, 0},     {"gpt6 d qkv", 0, 0, 3072, 384, 1152, 0},
    {"gpt6 d proj", 0, 0, 3072, 384, 384, 0},   {"gpt6 d fc", 0, 0, 3072, 384, 1536, 0},
    {"gpt6 d fc2", 0, 0, 3072, 1536, 384, 0},   {"gpt6 d head", 0, 0, 3072, 384, 257, 0},
    {"gpt6 dW qkv", 1, 0, 1152, 384, 3072, 0},  {"gpt6 dW proj", 1, 0, 384, 384, 3072, 0},
    {"gpt6 dW fc", 1, 0, 1536, 384, 3072, 0},   {"gpt6 dW fc +", 1, 0, 1536, 384, 3072, 1},
    {"gpt6 dW fc2", 1, 0, 384, 1536, 3072, 0},  {"gpt6 dW head", 1, 0, 257, 384, 3072, 0},
    {"long qkv", 0, 1, 1024, 2304, 768, 0},     {"long proj", 0, 1, 1024, 768, 768, 0},
    {"long fc", 0, 1, 1024, 3072, 768, 0},      {"long fc2", 0, 1, 1024, 768, 3072, 0},
    {"long head", 0, 1, 1024, 50257, 768, 0},   {"long d qkv", 0, 0, 1024, 768, 2304, 0},
    {"long d proj", 0, 0, 1024, 768, 768, 0},   {"long d fc", 0, 0, 1024, 768, 3072, 0},
    {"long d fc2", 0, 0, 1024, 3072, 768, 0},   {"long d head", 0, 0, 1024, 768, 50257, 0},
    {"long dW qkv", 1, 0, 2304, 768, 1024, 0},  {"long dW proj", 1, 0, 768, 768, 1024, 0},
    {"long dW fc", 1, 0, 3072, 768, 1024, 0},   {"long dW fc2", 1, 0, 768, 3072, 1024, 0},
    {"long dW head", 1, 0, 50257, 768, 1024, 0}, {"long dW head +", 1, 0, 50257, 768, 1024, 1},
    {"prompt qkv", 0, 1, 512, 2304, 768, 0},    {"prompt proj", 0, 1, 512, 768, 768, 0},
    {"prompt fc", 0, 1, 512, 3072, 768, 0},     {"prompt fc2", 0, 1, 512, 768, 3072, 0},
    {"decode 1 fc", 0, 1, 1, 3072, 768, 0},     {"decode 1 head", 0, 1, 1, 50257, 768, 0},
    {"decode 8 fc", 0, 1, 8, 3072, 768, 0},     {"decode 8 head", 0, 1, 8, 50257, 768, 0},
};
#define SHAPES (sizeof shapes / sizeof shapes[0])

static double now(void)
{
    struct timespec t;
    clock_gettime(opts.cpu ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void load_symbol(void *out, void *handle, const char *name)
{
    void *p = handle ? dlsym(handle, name) : NULL;
    memcpy(out, &p, sizeof p);
}

static void load_cblas(void)
{
    void *h = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
    void (*threads)(int) = NULL;
    char *(*config)(void) = NULL, *(*core)(void) = NULL;
    load_symbol(&opts.sgemm, h, "cblas_sgemm");
    load_symbol(&threads, h, "openblas_set_num_threads");
    load_symbol(&config, h, "openblas_get_config");
    load_symbol(&core, h, "openblas_get_corename");
    if (!opts.sgemm) {
        printf("no CBLAS (libopenblas.so.0): figures without ratios\n");
        return;
    }
    if (threads) threads(opts.threads);
    printf("CBLAS: %s, kernels for %s, %d threads\n", config ? config() : "?", core ? core() : "?", opts.threads);
    static const char *const slow[] = {"OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "OPENBLAS_NUM_THREADS"};
    for (int i = 0; i < 3; i++)
        if (getenv(slow[i])) printf("warning: %s is set: the CBLAS may run slower than it can\n", slow[i]);
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *x, int n)
{
    qsort(x, (size_t)n, sizeof *x, by_size);
    return x[n / 2];
}

static float *random_matrix(int64_t n)
{
    float *x = bm_alloc((size_t)n * sizeof *x);
    if (!x) bench_must(BM_ERR_MEMORY);
    uint32_t s = 1;
    for (int64_t i = 0; i < n; i++) {
        s = s * 1664525u + 1013904223u;
        x[i] = (float)(s >> 8) / 8388608.0f - 1.0f;
    }
    return x;
}

typedef struct cblas_case {
    float *a, *b, *d;
} cblas_case;

static double time_cblas(const cblas_case *c, const shape *s)
{
    const double start = now();
    opts.sgemm(101, s->trans_a ? 112 : 111, s->trans_b ? 112 : 111, (int)s->m, (int)s->n, (int)s->k, 1, c->a,
               (int)(s->trans_a ? s->m : s->k), c->b, (int)(s->trans_b ? s->k : s->n), s->beta, c->d, (int)s->n);
    return now() - start;
}

static double time_backend(bm_gemm_trial *t, bm_gemm_bound *b)
{
    double wall = 0;
    const double start = now();
    bench_must(bm_gemm_trial_time(&wall, t, b));
    return opts.cpu ? now() - start : wall;
}

static bm_gemm_desc desc_of(const shape *s, bm_dtype type)
{
    bm_gemm_desc d = bm_gemm_desc_default(s->m, s->n, s->k);
    d.trans_a = s->trans_a;
    d.trans_b = s->trans_b;
    d.beta = s->beta;
    d.type_b = type;
    if (type == BM_I8) d.has_scale = 1;
    else d.type_a = d.type_d = type;
    return bm_gemm_desc_full(&d);
}

static void print_shape(const shape *s)
{
    printf("%-15s %c%c %5lld %5lld %5lld ", s->what, s->trans_a ? 'T' : 'N', s->trans_b ? 'T' : 'N', (long long)s->m,
           (long long)s->n, (long long)s->k);
}

enum { BACKENDS = 4 };
static const char *const names[BACKENDS] = {"packed", "packed_ab", "clblast", "tiled"};
static double log_ratio[BACKENDS];
static int counted[BACKENDS];

static void bench(bm_engine *e, const shape *s)
{
    const bm_gemm_desc d = desc_of(s, BM_F32);
    const double flops = bm_gemm_flops(&d), weights = 4.0 * (double)(s->n * s->k);
    bm_gemm_trial *t = NULL;
    bm_gemm_bound *bound[BACKENDS] = {NULL};
    double *times = bm_calloc((size_t)(BACKENDS + 1) * (size_t)opts.rounds, sizeof *times);
    if (!times) bench_must(BM_ERR_MEMORY);
    bench_must(bm_gemm_trial_create(&t, e, &d));
    for (int i = 0; i < BACKENDS; i++) {
        const char *why;
        if ((i == BACKENDS - 1 && !opts.tiled) || !bm_gemm_backend_takes(names[i], e, &d, &why)) continue;
        bench_must(bm_gemm_trial_bind(&bound[i], t, bm_gemm_backend_find(names[i])));
        bench_must(bm_gemm_trial_check(t, bound[i]));
    }
    cblas_case c = {NULL, NULL, NULL};
    if (opts.sgemm) c = (cblas_case){random_matrix(s->m * s->k), random_matrix(s->n * s->k), random_matrix(s->m * s->n)};
    for (int r = -1; r < opts.rounds; r++) { /* the first is not counted */
        const int at = r < 0 ? 0 : r;
        if (opts.sgemm) times[at] = time_cblas(&c, s);
        for (int i = 0; i < BACKENDS; i++)
            if (bound[i]) times[(i + 1) * opts.rounds + at] = time_backend(t, bound[i]);
    }
    const double cblas = opts.sgemm ? median(times, opts.rounds) : 0;
    print_shape(s);
    if (cblas > 0) printf(" cblas %6.1f", flops / cblas * 1e-9);
    for (int i = 0; i < BACKENDS; i++) {
        if (!bound[i]) continue;
        const double x = median(times + (i + 1) * opts.rounds, opts.rounds);
        printf("  %s %6.1f", names[i], flops / x * 1e-9);
        if (s->m <= 8) printf(" (%4.1f GB/s)", weights / x * 1e-9);
        if (cblas > 0) {
            printf(" %4.2f", cblas / x);
            if (s->m > 8) log_ratio[i] += log(cblas / x), counted[i]++;
        }
        bm_gemm_bound_destroy(bound[i]);
    }
    printf("\n");
    fflush(stdout);
    bm_gemm_trial_destroy(t);
    bm_free(times);
    bm_free(c.a);
    bm_free(c.b);
    bm_free(c.d);
}

/* `packed` on f32 and on the narrower type, in turn. */
static void bench_narrow(bm_engine *e, const shape *s)
{
    const bm_dtype type[2] = {BM_F32, opts.narrow};
    bm_gemm_trial *t[2] = {NULL};
    bm_gemm_bound *bound[2] = {NULL};
    double *times[2], x[2];
    for (int i = 0; i < 2; i++) {
        const bm_gemm_desc d = desc_of(s, type[i]);
        if (!(times[i] = bm_calloc((size_t)opts.rounds, sizeof *times[i]))) bench_must(BM_ERR_MEMORY);
        bench_must(bm_gemm_trial_create(&t[i], e, &d));
        bench_must(bm_gemm_trial_bind(&bound[i], t[i], bm_gemm_backend_find("packed")));
        bench_must(bm_gemm_trial_check(t[i], bound[i]));
    }
    for (int r = -1; r < opts.rounds; r++) /* the first is not counted */
        for (int i = 0; i < 2; i++) times[i][r < 0 ? 0 : r] = time_backend(t[i], bound[i]);
    for (int i = 0; i < 2; i++) {
        x[i] = median(times[i], opts.rounds);
        bm_gemm_bound_destroy(bound[i]);
        bm_gemm_trial_destroy(t[i]);
        bm_free(times[i]);
    }
    const double flops = 2.0 * (double)s->m * (double)s->n * (double)s->k;
    print_shape(s);
    for (int i = 0; i < 2; i++) {
        printf(" %s %6.1f ", bm_dtype_name(type[i]), flops / x[i] * 1e-9);
        if (s->m <= 8) printf("(%4.1f GB/s) ", (double)(s->n * s->k) * (double)bm_dtype_size(type[i]) / x[i] * 1e-9);
    }
    printf("%4.2f\n", x[0] / x[1]);
    fflush(stdout);
    if (s->m > 8) log_ratio[0] += log(x[0] / x[1]), counted[0]++;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        int64_t n = 0;
        if (!strcmp(argv[i], "--tiled")) opts.tiled = 1;
        else if (!strcmp(argv[i], "--cpu")) opts.cpu = 1;
        else if (!strcmp(argv[i], "--bf16")) opts.narrow = BM_BF16;
        else if (!strcmp(argv[i], "--int8")) opts.narrow = BM_I8;
        else if (i + 1 < argc && !strcmp(argv[i], "--only")) opts.only = argv[++i];
        else if (i + 1 < argc && !strcmp(argv[i], "--rounds") && !bm_parse_i64(&n, argv[i + 1]) && n > 0) opts.rounds = (int)n, i++;
        else if (i + 1 < argc && !strcmp(argv[i], "--threads") && !bm_parse_i64(&n, argv[i + 1]) && n > 0) opts.threads = (int)n, i++;
        else {
            fprintf(stderr, "usage: bench_gemm [--rounds N] [--threads N] [--only TEXT] [--tiled] [--cpu] [--bf16 | --int8]\n");
            return 2;
        }
    }
    setenv("POCL_AFFINITY", "1", 0);
    const bm_engine_opts engine = test_engine_opts();
    bm_engine *e = NULL;
    bench_must(test_engine_try(&e, &engine));
    printf("device: %s, %s\n", bm_engine_device_name(e), bm_engine_driver(e));
    if (opts.narrow == BM_F32) load_cblas();
    printf("GFLOP/s, and the ratio to the %s\n", opts.narrow ? "product of f32" : "CBLAS");
    for (size_t i = 0; i < SHAPES; i++)
        if (!opts.only || strstr(shapes[i].what, opts.only)) (opts.narrow ? bench_narrow : bench)(e, &shapes[i]);
    for (int i = 0; i < BACKENDS; i++)
        if (counted[i]) printf("%s: geometric mean of ratios over training %.3f\n", names[i], exp(log_ratio[i] / counted[i]));
    bm_engine_close(e);
    return 0;
}
