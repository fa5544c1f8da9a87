#include <jansson.h>
#include <string.h>

#include "cl/gemm/gemm.h"
#include "cl/gemm/measure.h"
#include "core/base/file.h"
#include "core/base/mem.h"
#include "models/train/learner.h"
#include "models/train/schedule.h"
#include "models/train/task.h"
#include "tools/bench_device.h"
#include "tools/bench_generate.h"
#include "tools/bench_ops.h"
#include "tools/cmd.h"
#include "tools/config_arg.h"
#include "tools/opt.h"
#include "tools/out.h"
#include "tools/session.h"
#include "tools/signals.h"
#include "tools/table.h"
#include "tools/threads.h"
#include "tools/use.h"

#define MOST_SHAPES 64
#define MOST_BACKENDS 8
#define GEMM_RUNS 5

typedef struct shape {
    int trans_a, trans_b;
    int64_t m, n, k;
    double gflops[MOST_BACKENDS]; /* 0: not taken */
    double cblas;                 /* 0: no CBLAS */
} shape;

typedef struct bench {
    bm_session session;
    bm_task task;
    const char *gemm;
    bm_dtype type;                /* of the operands of products */
    bm_bandwidth bandwidth;
    double rate[BM_DTYPE_COUNT];  /* the best GEMM's FLOP/s in f32 and bf16 */
    shape shapes[MOST_SHAPES];
    int n_shapes;
    double step_s, roofline_s, flops;
    int64_t tokens;
    bm_dtype weights;             /* --weights */
    bm_generation generation;
    int by_op;                    /* --ops */
    bm_op_times ops;
} bench;

static bm_status stopped(void)
{
    return bm_signals_stopped() ? bm_fail(BM_ERR_STOPPED, "stopped") : BM_OK;
}

static void add_shape(bench *b, int trans_a, int trans_b, int64_t m, int64_t n, int64_t k)
{
    for (int i = 0; i < b->n_shapes; i++) {
        const shape *s = &b->shapes[i];
        if (s->trans_a == trans_a && s->trans_b == trans_b && s->m == m && s->n == n && s->k == k) return;
    }
    if (b->n_shapes < MOST_SHAPES) b->shapes[b->n_shapes++] = (shape){.trans_a = trans_a, .trans_b = trans_b, .m = m, .n = n, .k = k};
}

/* The products of a training step: y = x W^T, dx = dy W, dW = dy^T x for every matrix that is multiplied. */
static void find_shapes(bench *b, const bm_learner *l, bm_params *params)
{
    const bm_config *c = b->task.config;
    int64_t micro = bm_config_i64(c, "train.micro_batch"), batch = bm_config_i64(c, "train.batch");
    const bm_sample_form form = bm_learner_form(l);
    const int64_t rows = (micro < batch ? micro : batch) * bm_sample_places(&form);
    int tied = bm_config_has(c, "model.tie_embeddings") && bm_config_bool(c, "model.tie_embeddings");
    for (int i = 0; i < bm_nn_count(bm_learner_nn(l)); i++) {
        const bm_nn_param *p = bm_nn_at(bm_learner_nn(l), i);
        const bm_tensor *t = bm_layout_find(bm_params_layout(params), p->name);
        int head = tied && !strcmp(p->name, "token/weight");
        if (t->shape.rank != 2 || !(p->semantic == BM_SEMANTIC_WEIGHT || head)) continue;
        int64_t n = t->shape.dim[0], k = t->shape.dim[1];
        add_shape(b, 0, 1, rows, n, k);
        add_shape(b, 0, 0, rows, k, n);
        add_shape(b, 1, 0, n, k, rows);
    }
}

static bm_status measure_shapes(bench *b)
{
    for (int i = 0; i < b->n_shapes; i++) {
        shape *s = &b->shapes[i];
        char line[80];
        double seconds;
        bm_gemm_desc d = bm_gemm_desc_default(s->m, s->n, s->k);
        d.trans_a = s->trans_a;
        d.trans_b = s->trans_b;
        d.type_a = d.type_b = b->type;
        d.type_d = s->trans_a ? BM_F32 : b->type; /* gradients of weights are f32 */
        snprintf(line, sizeof line, "GEMM %d of %d", i + 1, b->n_shapes);
        bm_out_progress(line);
        for (int j = 0; bm_gemm_backends()[j] && j < MOST_BACKENDS; j++) {
            const char *name = bm_gemm_backends()[j], *why;
            BM_TRY(stopped());
            if (!bm_gemm_backend_takes(name, b->session.engine, &d, &why)) continue;
            /* tiled is the plain reference; one run is enough to know it. */
            BM_TRY(bm_gemm_measure(&seconds, b->session.engine, name, &d, strcmp(name, "tiled") ? GEMM_RUNS : 1));
            s->gflops[j] = bm_gemm_flops(&d) / seconds / 1e9;
            if (s->gflops[j] * 1e9 > b->rate[b->type]) b->rate[b->type] = s->gflops[j] * 1e9;
        }
    }
    bm_out_progress("");
    return BM_OK;
}

/* Comes last: OpenBLAS' threads spin for a while after a product, and would push the device's own onto one core. */
static bm_status measure_cblas(bench *b)
{
    if (bm_engine_limits(b->session.engine)->type != BM_DEVICE_CPU) return BM_OK;
    for (int i = 0; i < b->n_shapes; i++) {
        shape *s = &b->shapes[i];
        char line[80];
        snprintf(line, sizeof line, "OpenBLAS %d of %d", i + 1, b->n_shapes);
        bm_out_progress(line);
        BM_TRY(stopped());
        double seconds = bm_bench_cblas(s->trans_a, s->trans_b, s->m, s->n, s->k, GEMM_RUNS);
        if (seconds > 0) s->cblas = 2.0 * (double)s->m * (double)s->n * (double)s->k / seconds / 1e9;
    }
    bm_out_progress("");
    return BM_OK;
}

/* Ids and classes below their number, and numbers between -1 and 1. */
static void make_up_half(void *data, bm_dtype type, int64_t n, int64_t most)
{
    for (int64_t i = 0; i < n; i++) {
        if (type == BM_I32) ((int32_t *)data)[i] = (int32_t)(i * 7919 % most);
        else ((float *)data)[i] = (float)(i * 7919 % 2001) / 1000.0f - 1.0f;
    }
}

static void make_up(bm_batch *b)
{
    const bm_sample_form *f = &b->form;
    make_up_half(b->input, f->input, b->size * bm_shape_elements(&f->input_shape), f->vocab);
    make_up_half(b->target, f->target, b->size * bm_shape_elements(&f->target_shape), f->classes);
    for (int64_t i = 0; f->lengths && i < b->size; i++) b->lengths[i] = (int32_t)f->input_shape.dim[0];
}

/* Steps on made-up samples; the median of their times, the first one left out. */
static bm_status measure_steps(bench *b, bm_learner *l, int steps)
{
    bm_status status = BM_OK;
    bm_batch batch = {0};
    const bm_sample_form form = bm_learner_form(l);
    double *t = bm_calloc((size_t)steps, sizeof *t);
    if (!t) {
        status = BM_ERR_MEMORY;
        goto done;
    }
    BM_GO(bm_batch_create(&batch, &form, bm_learner_batch(l)));
    make_up(&batch);
    BM_GO(bm_params_init(bm_learner_params(l), 1));
    for (int i = -1; i < steps; i++) {
        char line[80];
        bm_step_result r;
        if (i == 0 && b->by_op) bm_queue_profile_reset(bm_engine_queue(b->session.engine));
        snprintf(line, sizeof line, "training step %d of %d", i + 2, steps + 1);
        bm_out_progress(line);
        BM_GO(stopped());
        double start = bm_now_s();
        BM_GO(bm_learner_step(l, i + 2, bm_schedule_lr(b->task.config, i + 2), &batch));
        BM_GO(bm_learner_collect(l, &r));
        if (i >= 0) t[i] = r.done_s - start;
    }
    b->step_s = bm_bench_median(t, steps);
    b->tokens = batch.size * bm_sample_places(&form);
    b->flops = bm_learner_flops(l);
done:
    bm_out_progress("");
    bm_batch_finish(&batch);
    bm_free(t);
    return status;
}

static bm_status measure(bench *b, int steps)
{
    bm_status status;
    bm_learner *l = NULL;
    bm_out_progress("bandwidth");
    BM_GO(bm_bench_bandwidth(&b->bandwidth, b->session.engine, bm_bench_bytes(b->session.engine)));
    bm_out_progress("GEMM rate");
    b->rate[BM_F32] = bm_session_measure_gemm(&b->session, BM_F32);
    b->rate[BM_BF16] = bm_session_measure_gemm(&b->session, BM_BF16);
    bm_out_progress("planning and building kernels");
    BM_GO(bm_learner_create(&l, b->session.engine, b->task.model, b->task.config, b->gemm));
    find_shapes(b, l, bm_learner_params(l));
    BM_GO(measure_shapes(b));
    bm_session_keep_gemm(&b->session, b->type, b->rate[b->type]); /* the best of them all */
    BM_GO(measure_steps(b, l, steps));
    b->roofline_s = bm_learner_roofline_s(l, b->rate[b->type], b->bandwidth.copy);
    if (b->by_op)
        BM_GO(bm_op_times_of(&b->ops, l, bm_engine_queue(b->session.engine), steps, b->rate[b->type], b->bandwidth.copy));
    const int writes = bm_learner_objective(l) == BM_OBJECTIVE_LM;
    bm_learner_destroy(l);
    l = NULL;
    if (writes) BM_GO(bm_bench_generation(&b->generation, &b->session, b->task.model, b->task.config, b->gemm, b->weights, stopped));
    BM_GO(measure_cblas(b));
done:
    bm_out_progress("");
    bm_learner_destroy(l);
    return status;
}

static json_t *shapes_json(const bench *b)
{
    json_t *all = json_array();
    for (int i = 0; i < b->n_shapes; i++) {
        const shape *s = &b->shapes[i];
        char trans[3] = {s->trans_a ? 'T' : 'N', s->trans_b ? 'T' : 'N', 0};
        json_t *row = json_pack("{s:s, s:I, s:I, s:I}", "trans", trans, "m", (json_int_t)s->m, "n", (json_int_t)s->n, "k", (json_int_t)s->k);
        for (int j = 0; bm_gemm_backends()[j] && j < MOST_BACKENDS; j++)
            json_object_set_new(row, bm_gemm_backends()[j], s->gflops[j] > 0 ? json_real(s->gflops[j]) : json_null());
        json_object_set_new(row, "cblas", s->cblas > 0 ? json_real(s->cblas) : json_null());
        json_array_append_new(all, row);
    }
    return all;
}

static double share_of_gemm(const bench *b) { return b->generation.prompt_flops / b->generation.prompt_s / b->rate[BM_F32]; }
static double share_of_read(const bench *b) { return b->generation.token_bytes / b->generation.token_s / b->generation.read; }

static json_t *generation_json(const bench *b)
{
    const bm_generation *g = &b->generation;
    if (!g->prompt) return json_null(); /* a model that writes nothing */
    return json_pack("{s:s, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "weights", bm_dtype_name(b->weights), "prompt_tokens", (json_int_t)g->prompt,
                     "prompt_ms", g->prompt_s * 1e3, "prompt_gflops", g->prompt_flops / g->prompt_s / 1e9, "prompt_share_of_gemm",
                     share_of_gemm(b), "token_ms", g->token_s * 1e3, "token_gb_per_s", g->token_bytes / g->token_s / 1e9,
                     "token_share_of_read", share_of_read(b), "read_gb_per_s", g->read / 1e9);
}

static int print_json(const bench *b)
{
    const char *cblas = bm_bench_cblas_name(), *kernels = bm_bench_cblas_kernels();
    return bm_out_json(json_pack(
        "{s:i, s:{s:s, s:s, s:s}, s:f, s:f, s:f, s:f, s:f, s:s, s:o, s:s?, s:s?, s:{s:f, s:f, s:f, s:f, s:f, s:I}, s:o, s:o*}",
        "schema", 1, "device", "name", bm_engine_device_name(b->session.engine), "platform", bm_engine_platform_name(b->session.engine),
        "driver", bm_engine_driver(b->session.engine), "read_gb_per_s", b->bandwidth.read / 1e9, "write_gb_per_s",
        b->bandwidth.write / 1e9, "copy_gb_per_s", b->bandwidth.copy / 1e9, "gemm_gflops", b->rate[BM_F32] / 1e9, "gemm_bf16_gflops",
        b->rate[BM_BF16] / 1e9, "dtype", bm_dtype_name(b->type), "gemm", shapes_json(b), "cblas_library", cblas, "cblas_kernels",
        kernels, "train_step", "ms",
        b->step_s * 1e3, "tokens_per_s", (double)b->tokens / b->step_s, "gflops", b->flops / b->step_s / 1e9,
        "least_ms", b->roofline_s * 1e3, "share_of_limit", b->roofline_s / b->step_s, "tokens", (json_int_t)b->tokens, "generate",
        generation_json(b), "ops",
        b->by_op ? bm_op_times_json(&b->ops) : NULL));
}

static void add_gflops(bm_table *t, double x)
{
    if (x > 0) bm_table_add(t, "%.1f", x);
    else bm_table_add(t, "-");
}

static bm_status print_table(const bench *b)
{
    const char *heads[6 + MOST_BACKENDS] = {"product", ">M", ">N", ">K"}, *cblas = bm_bench_cblas_name();
    char names[MOST_BACKENDS][32];
    int n = 4;
    bm_table *t;
    for (int j = 0; bm_gemm_backends()[j] && j < MOST_BACKENDS; j++) {
        snprintf(names[j], sizeof names[j], ">%s", bm_gemm_backends()[j]);
        heads[n++] = names[j];
    }
    heads[n++] = ">cblas";
    heads[n] = NULL;
    printf("%s (%s, driver %s)\n", bm_engine_device_name(b->session.engine), bm_engine_platform_name(b->session.engine),
           bm_engine_driver(b->session.engine));
    printf("read %.1f GB/s, write %.1f GB/s, copy %.1f GB/s (read + written), best GEMM %.1f GFLOP/s in f32, %.1f in bf16\n\n",
           b->bandwidth.read / 1e9, b->bandwidth.write / 1e9, b->bandwidth.copy / 1e9, b->rate[BM_F32] / 1e9, b->rate[BM_BF16] / 1e9);
    BM_TRY(bm_table_create(&t, heads));
    for (int i = 0; i < b->n_shapes; i++) {
        const shape *s = &b->shapes[i];
        bm_table_add(t, "%c%c", s->trans_a ? 'T' : 'N', s->trans_b ? 'T' : 'N');
        bm_table_add(t, "%lld", (long long)s->m);
        bm_table_add(t, "%lld", (long long)s->n);
        bm_table_add(t, "%lld", (long long)s->k);
        for (int j = 0; bm_gemm_backends()[j] && j < MOST_BACKENDS; j++) add_gflops(t, s->gflops[j]);
        add_gflops(t, s->cblas);
    }
    bm_status status = bm_table_print(t, stdout);
    bm_table_destroy(t);
    BM_TRY(status);
    const char *kernels = bm_bench_cblas_kernels();
    printf("\nGFLOP/s in %s, packing and copies counted; cblas, in f32: %s%s%s\n", bm_dtype_name(b->type),
           cblas ? cblas : "none (install libopenblas0-pthread for the comparison)", kernels ? ", kernels for " : "",
           kernels ? kernels : "");
    printf("training step: %.1f ms, %.0f tokens/s, %.1f GFLOP/s; least possible here %.1f ms: %.0f %% of the limit\n", b->step_s * 1e3,
           (double)b->tokens / b->step_s, b->flops / b->step_s / 1e9, b->roofline_s * 1e3, 100 * b->roofline_s / b->step_s);
    const bm_generation *g = &b->generation;
    if (!g->prompt) return b->by_op ? bm_op_times_print(&b->ops, b->step_s) : BM_OK; /* a model that writes nothing */
    printf("a prompt of %lld tokens: %.1f ms, %.1f GFLOP/s in matrices: %.0f %% of the best GEMM\n", (long long)g->prompt, g->prompt_s * 1e3,
           g->prompt_flops / g->prompt_s / 1e9, 100 * share_of_gemm(b));
    printf("a token after it: %.2f ms, %.1f GB/s of matrices in %s and of the cache: %.0f %% of the %.1f GB/s read beside it\n", g->token_s * 1e3,
           g->token_bytes / g->token_s / 1e9, bm_dtype_name(b->weights), 100 * share_of_read(b), g->read / 1e9);
    return b->by_op ? bm_op_times_print(&b->ops, b->step_s) : BM_OK;
}

typedef struct bench_args {
    const char *config, *device, *gemm, *weights;
    bm_dtype type; /* of the weights */
    bm_opt_list sets;
    int64_t steps;
    int json, ops;
} bench_args;

static bm_status load_config(bm_config *c, const bench_args *a)
{
    if (!a->config) BM_TRY(bm_config_set(c, "model.family=gpt"));
    BM_TRY(bm_config_arg(c, a->config, &a->sets));
    if (!bm_config_given(c, "data.path")) BM_TRY(bm_config_set_string(c, "data.path", "none"));
    if (bm_config_has(c, "model.vocab") && bm_config_is_null(c, "model.vocab")) BM_TRY(bm_config_set_i64(c, "model.vocab", 257));
    return BM_OK;
}

static int do_bench(const bench_args *a)
{
    bm_status status;
    size_t n;
    bm_config *c = NULL;
    int code = 0;
    bench *b = bm_calloc(1, sizeof *b);
    if (!b) return bm_out_error(BM_ERR_MEMORY);
    const bm_config_family *const *families = bm_model_families(&n);
    b->gemm = a->gemm;
    b->by_op = a->ops;
    b->weights = a->type;
    BM_GO(bm_config_create(&c, families, n));
    BM_GO(load_config(c, a));
    BM_GO(bm_task_open(&b->task, c, !bm_path_exists(bm_config_string(c, "data.path"))));
    b->type = bm_learner_request(c).dtype;
    bm_session_opts so = {.device = a->device, .config = bm_config_string(c, "device"), .profile = a->ops};
    BM_GO(bm_session_open(&b->session, &so));
    bm_signals_watch("\nbmtool: stopping\n");
    BM_GO(measure(b, (int)a->steps));
    if (a->json) code = print_json(b);
    else BM_GO(print_table(b));
done:
    if (status) code = bm_out_error(status);
    bm_session_close(&b->session);
    bm_task_close(&b->task);
    bm_config_destroy(c);
    bm_free(b);
    return code;
}

static int run_bench(int argc, char **argv)
{
    bench_args a = {.steps = 5};
    const bm_opt opts[] = {
        {"set", 's', BM_OPT_LIST, &a.sets, 0},   {"device", 'd', BM_OPT_STRING, &a.device, 0},
        {"threads", 0, BM_OPT_I64, &bm_threads, 0},
        {"gemm", 0, BM_OPT_STRING, &a.gemm, 0},  {"steps", 0, BM_OPT_I64, &a.steps, 0},
        {"weights", 0, BM_OPT_STRING, &a.weights, 0},
        {"ops", 0, BM_OPT_FLAG, &a.ops, 0},      {"json", 'j', BM_OPT_FLAG, &a.json, 0},
        {NULL, 0, BM_OPT_FLAG, NULL, 0},
    };
    int code = bm_opt_parse(&argc, argv, &bm_cmd_bench, opts, 0, 1);
    if (code >= 0) return code;
    if (a.gemm && !strcmp(a.gemm, "auto")) a.gemm = NULL;
    if ((code = bm_session_check_gemm(&bm_cmd_bench, a.gemm))) return code;
    if ((code = bm_use_weights(&a.type, &bm_cmd_bench, a.weights))) return code;
    if ((code = bm_opt_range_i64(&bm_cmd_bench, "steps", a.steps, 1, 1000))) return code;
    a.config = argc ? argv[0] : NULL;
    return do_bench(&a);
}

const bm_cmd bm_cmd_bench = {
    .name = "bench",
    .group = "look at the machine",
    .summary = "what the device can do, and how near a training step comes",
    .help = "Examples:\n"
            "  bmtool bench\n"
            "  bmtool bench gpt.yaml --device gpu --json\n"
            "  bmtool bench --set model.layers=12 --set model.heads=12 --set model.width=768 --set model.vocab=50257 \\\n"
            "               --set model.context=1024 --set data.window=64 --set train.batch=4\n"
            "\n"
            "usage: bmtool bench [CONFIG.yaml] [options]     (default: the configuration's defaults, 257 tokens)\n"
            "  -s, --set KEY=VALUE  set a key of the configuration; may be repeated\n"
            "  -d, --device SPEC    auto, cpu, gpu, gpu:1, pocl:0, ... (bmtool devices)\n"
            "      --threads N      of a CPU (default: as many as the process may use)\n"
            "      --gemm BACKEND   of the training step: auto (measured), clblast, packed, packed_ab or tiled\n"
            "      --steps N        training steps to time (default 5)\n"
            "      --weights TYPE   of the text written: f32, f16, bf16 or int8, how matrices are kept (default f32)\n"
            "      --ops            also a table of the step's ops: time, and share of the limit (it costs a little time)\n"
            "  -j, --json           one object\n"
            "\n"
            "Measures read, write and copy bandwidth, the best GEMM rate in f32 and in bf16 (summed in f32), every GEMM backend\n"
            "(and OpenBLAS in f32, where it is installed, on a CPU) on the products of the model in the type of train.dtype, a\n"
            "training step with its share of the limit: each op at that type's best GEMM rate or at the copy bandwidth, whichever\n"
            "takes longer (3 x 3 convolutions, counted tap by tap, may be faster on a CPU); and a prompt and a token written by\n"
            "the model, against the GEMM rate and the read bandwidth.\n",
    .run = run_bench,
};
