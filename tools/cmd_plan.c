#include <jansson.h>
#include <string.h>

#include "core/base/str.h"
#include "models/nn/network.h"
#include "models/train/forecast.h"
#include "models/train/learner.h"
#include "tools/cmd.h"
#include "tools/config_arg.h"
#include "tools/opt.h"
#include "tools/out.h"
#include "tools/session.h"
#include "tools/table.h"
#include "tools/threads.h"

typedef struct plan_args {
    const char *config, *device, *memory, *gemm, *graph;
    bm_opt_list sets;
    double gflops;
    int no_data, json;
} plan_args;

/* "16G", "512M", "1.5T", bytes -> bytes; 0 on success. */
static int parse_bytes(int64_t *out, const char *text)
{
    static const char units[] = "KMGT";
    char number[64];
    double x;
    size_t n = strlen(text);
    if (!n || n >= sizeof number) return -1;
    memcpy(number, text, n + 1);
    const char *unit = strchr(units, number[n - 1] & ~0x20);
    if (unit) number[n - 1] = 0;
    if (bm_parse_f64(&x, number) || !(x > 0)) return -1;
    for (long i = unit ? unit - units + 1 : 0; i > 0; i--) x *= 1024;
    if (x > 9e18) return -1;
    *out = (int64_t)x;
    return 0;
}

/* The limits to plan for: those of a device that is there, and its GEMM rate in type t where that was measured before, or of one
 * that is described. No OpenCL is loaded for the latter. */
static bm_status find_limits(bm_limits *out, char *name, size_t bytes, plan_args *a, bm_dtype t)
{
    int64_t memory = (int64_t)16 << 30;
    if (a->memory && parse_bytes(&memory, a->memory))
        return bm_fail(BM_ERR_USAGE, "--memory %s: a size such as 16G or 512M is wanted", a->memory);
    if (!a->device || !strcmp(a->device, "none")) {
        *out = bm_limits_default(BM_DEVICE_CPU, memory);
        snprintf(name, bytes, "a CPU device");
        return BM_OK;
    }
    if (!strcmp(a->device, "any-gpu")) {
        *out = bm_limits_default(BM_DEVICE_GPU, memory);
        snprintf(name, bytes, "a GPU");
        return BM_OK;
    }
    bm_status status;
    bm_device_list *list = NULL;
    const bm_device *d;
    int n = 0;
    BM_GO(bm_threads_tell());
    BM_GO(bm_device_list_create(&list));
    BM_GO(bm_device_select(&d, &n, 1, list, a->device));
    *out = *bm_device_limits(d);
    if (a->memory) out->global_bytes = memory;
    if (a->gflops <= 0) a->gflops = bm_session_kept_gemm(d, t) / 1e9;
    snprintf(name, bytes, "%s", bm_device_name(d));
done:
    bm_device_list_destroy(list);
    return status;
}

static int print_json(const bm_forecast *f, const bm_limits *l, const char *device, double gflops)
{
    return bm_out_json(json_pack(
        "{s:i, s:s, s:I, s:{s:I, s:I, s:I, s:I, s:I, s:I, s:I}, s:I, s:I, s:b, s:{s:s, s:I}, s:I, s:f, s:f, s:I, s:o}",
        "schema", 1, "device", device, "parameters", (json_int_t)f->parameters, "memory", "weights",
        (json_int_t)f->weight_bytes, "gradients", (json_int_t)f->gradient_bytes, "optimizer",
        (json_int_t)f->state_bytes, "copies", (json_int_t)f->half_bytes, "temporaries", (json_int_t)f->temp_bytes, "inputs", (json_int_t)f->input_bytes,
        "total", (json_int_t)f->total_bytes, "snapshot_bytes", (json_int_t)f->snapshot_bytes, "device_bytes",
        (json_int_t)l->global_bytes, "fits", f->total_bytes <= l->global_bytes, "peak", "op", f->peak, "bytes",
        (json_int_t)f->peak_bytes, "tokens_per_step", (json_int_t)f->tokens, "flops_per_step", f->flops,
        "bytes_per_step", f->bytes, "nodes", (json_int_t)f->nodes, "least_s_per_step",
        gflops > 0 ? json_real(f->flops / 1e9 / gflops) : json_null()));
}

static void row(bm_table *t, const char *what, int64_t bytes, const char *why)
{
    char text[BM_OUT_NUMBER];
    bm_table_add(t, "%s", what);
    bm_table_add(t, "%s", bm_out_bytes(text, bytes));
    bm_table_add(t, "%s", why);
}

static bm_status print_table(const bm_forecast *f, const bm_limits *l, const char *device, double gflops)
{
    static const char *const heads[] = {"memory", ">bytes", "for", NULL};
    char a[BM_OUT_NUMBER], b[BM_OUT_NUMBER], c[BM_OUT_NUMBER], peak[300];
    bm_table *t;
    printf("%s parameters, %s tokens a step, planned for %s with %s\n\n", bm_out_count(a, f->parameters),
           bm_out_count(b, f->tokens), device, bm_out_bytes(c, l->global_bytes));
    BM_TRY(bm_table_create(&t, heads));
    snprintf(peak, sizeof peak, "activations and scratch; most are alive at %s", f->peak);
    row(t, "weights", f->weight_bytes, "");
    row(t, "gradients", f->gradient_bytes, "");
    row(t, "optimizer", f->state_bytes, "its states of every weight");
    if (f->half_bytes) row(t, "copies", f->half_bytes, "the weights in 16 bits, as layers read them");
    row(t, "temporaries", f->temp_bytes, peak);
    row(t, "inputs", f->input_bytes, "batches and run-time scalars");
    row(t, "total", f->total_bytes, f->total_bytes <= l->global_bytes ? "fits" : "DOES NOT FIT: see train.micro_batch, train.recompute");
    bm_status s = bm_table_print(t, stdout);
    bm_table_destroy(t);
    BM_TRY(s);
    printf("\nhost memory for a checkpoint being written: %s\n", bm_out_bytes(a, f->snapshot_bytes));
    printf("a step: %.4g GFLOP, %s moved\n", f->flops / 1e9, bm_out_bytes(a, (int64_t)f->bytes));
    if (gflops > 0) printf("at %g GFLOP/s: at least %s a step\n", gflops, bm_out_seconds(b, f->flops / 1e9 / gflops));
    else printf("time: give the device (--device) or its rate (--gflops); bmtool bench measures it\n");
    return BM_OK;
}

/* The forward and backward pass of a micro-batch. */
static bm_status print_graph(const bm_task *task, const char *format)
{
    bm_status status;
    bm_network n = {0};
    bm_str text;
    bm_str_init(&text);
    const bm_model_request r = bm_learner_request(task->config);
    BM_GO(bm_network_build(&n, task->model, task->config, &r, 0));
    if (!strcmp(format, "dot")) bm_graph_dump_dot(n.graph, &text);
    else bm_graph_dump_text(n.graph, &text);
    BM_GO(bm_str_status(&text));
    fputs(bm_str_text(&text), stdout);
done:
    bm_str_finish(&text);
    bm_network_finish(&n);
    return status;
}

static bm_status do_plan(plan_args *a, int *code)
{
    bm_status status;
    size_t n;
    bm_config *c = NULL;
    bm_task task = {0};
    bm_limits limits;
    bm_forecast f;
    char device[256];
    const bm_config_family *const *families = bm_model_families(&n);
    BM_GO(bm_config_create(&c, families, n));
    BM_GO(bm_config_arg(c, a->config, &a->sets));
    if (a->no_data && !bm_config_given(c, "data.path")) BM_GO(bm_config_set_string(c, "data.path", "none"));
    BM_GO(bm_task_open(&task, c, a->no_data));
    if (a->graph) {
        status = print_graph(&task, a->graph);
        goto done;
    }
    BM_GO(find_limits(&limits, device, sizeof device, a, bm_learner_request(c).dtype));
    BM_GO(bm_forecast_training(&f, &task, &limits, a->gemm));
    if (a->json) *code = print_json(&f, &limits, device, a->gflops);
    else BM_GO(print_table(&f, &limits, device, a->gflops));
done:
    bm_task_close(&task);
    bm_config_destroy(c);
    return status;
}

static int run_plan(int argc, char **argv)
{
    plan_args a = {.sets = {.count = 0}};
    const bm_opt opts[] = {
        {"set", 's', BM_OPT_LIST, &a.sets, 0},        {"device", 'd', BM_OPT_STRING, &a.device, 0},
        {"memory", 0, BM_OPT_STRING, &a.memory, 0},   {"no-data", 0, BM_OPT_FLAG, &a.no_data, 0},
        {"gflops", 0, BM_OPT_F64, &a.gflops, 0},      {"gemm", 0, BM_OPT_STRING, &a.gemm, 0},
        {"graph", 0, BM_OPT_STRING, &a.graph, 0},     {"json", 'j', BM_OPT_FLAG, &a.json, 0},
        {NULL, 0, BM_OPT_FLAG, NULL, 0},
    };
    int code = bm_opt_parse(&argc, argv, &bm_cmd_plan, opts, 1, 1);
    if (code >= 0) return code;
    if (a.graph && strcmp(a.graph, "text") && strcmp(a.graph, "dot"))
        return bm_out_usage(&bm_cmd_plan, "--graph %s: there is text and dot", a.graph);
    if (a.gemm && !strcmp(a.gemm, "auto")) a.gemm = NULL;
    if ((code = bm_session_check_gemm(&bm_cmd_plan, a.gemm))) return code;
    a.config = argv[0];
    bm_status s = do_plan(&a, &code);
    return s ? bm_out_error(s) : code;
}

const bm_cmd bm_cmd_plan = {
    .name = "plan",
    .group = "look at the machine",
    .summary = "what a training run needs, before it takes it",
    .help = "Examples:\n"
            "  bmtool plan gpt.yaml\n"
            "  bmtool plan gpt.yaml --device gpu --set train.micro_batch=4\n"
            "  bmtool plan big.yaml --device any-gpu --memory 24G --no-data --set model.vocab=50257 --json\n"
            "  bmtool plan gpt.yaml --graph dot | dot -Tsvg -o gpt.svg\n"
            "\n"
            "usage: bmtool plan CONFIG.yaml [options]\n"
            "  -s, --set KEY=VALUE  set a key of the configuration; may be repeated\n"
            "  -d, --device SPEC    plan for a device that is there (auto, gpu:1, pocl:0, ...); none (default) and any-gpu\n"
            "                       stand for a CPU and a GPU that need not be there\n"
            "      --memory SIZE    its memory, such as 24G (default: 16G, or what the device has)\n"
            "      --no-data        do not open the data set; model.vocab must be given\n"
            "      --gflops X       the device's GEMM rate, for the least time of a step (default: with --device, as measured\n"
            "                       there by bench or train)\n"
            "      --gemm BACKEND   plan for clblast, packed, packed_ab or tiled alone; auto (default) counts what the default needs\n"
            "      --graph FORMAT   text or dot: the training graph of a micro-batch instead (dot is for Graphviz)\n"
            "  -j, --json           one object; bytes and FLOP\n"
            "\n"
            "Nothing is allocated, and without --device no OpenCL library is loaded.\n",
    .run = run_plan,
};
