#include <string.h>

#include "models/infer/predict.h"
#include "models/train/learner.h"
#include "models/train/task.h"
#include "tools/cmd.h"
#include "tools/opt.h"
#include "tools/out.h"
#include "tools/output_file.h"
#include "tools/signals.h"
#include "tools/threads.h"
#include "tools/use.h"

static bm_status show_progress(void *user, int64_t done, int64_t all)
{
    (void)user;
    return bm_out_step("%lld of %lld samples", (long long)done, (long long)all);
}

/* "logits,hidden" -> flags; 0, or prints the mistake and returns 2. */
static int parse_outputs(const char *list, bm_predict_opts *o)
{
    while (*list) {
        size_t n = strcspn(list, ",");
        if (n == 6 && !strncmp(list, "logits", n)) o->outputs = 1;
        else if (n == 6 && !strncmp(list, "hidden", n)) o->hidden = 1;
        else return bm_out_usage(&bm_cmd_predict, "--outputs %.*s: there are logits and hidden", (int)n, list);
        list += n + (list[n] == ',');
    }
    return o->outputs || o->hidden ? 0 : bm_out_usage(&bm_cmd_predict, "--outputs is empty");
}

typedef struct predict_args {
    const char *checkpoint, *input, *output, *outputs, *device, *gemm, *weights;
    bm_dtype type; /* of the weights */
    int64_t batch;
    int force;
} predict_args;

static void say_what(const bm_data *data, const char *output, int64_t window)
{
    const int64_t n = bm_data_count(data);
    if (bm_data_tokens(data))
        bm_out_note("%s: %lld samples of %lld tokens%s", output, (long long)(n / window), (long long)window,
                    n % window ? "; the tokens left at the end are no whole one" : "");
    else bm_out_note("%s: %lld samples", output, (long long)n);
}

static int do_predict(const predict_args *a, bm_predict_opts *o)
{
    bm_status status;
    bm_use u = {0};
    bm_data *data = NULL;
    BM_GO(bm_output_check(a->output, a->force, (const char *const[]){a->input, a->checkpoint}, 2));
    BM_GO(bm_use_open(&u, a->checkpoint));
    BM_GO(bm_data_open(&data, a->input));
    BM_GO(bm_task_check_data(u.config, u.checkpoint, data));
    BM_GO(bm_use_load(&u, a->device, a->gemm, a->type));
    o->batch = a->batch ? a->batch : bm_learner_request(u.config).batch;
    o->window = bm_window_of(u.config);
    if (bm_data_tokens(data) && o->window > bm_data_count(data)) o->window = bm_data_count(data);
    o->encoding_json = bm_checkpoint_desc(u.checkpoint)->encoding_json;
    o->gemm = a->gemm;
    o->replace = a->force;
    o->progress = show_progress;
    bm_signals_watch("\nbmtool: stopping\n");
    BM_GO(bm_predict(u.session.engine, u.model, u.config, u.params, data, a->output, o));
    bm_out_progress("");
    say_what(data, a->output, o->window);
done:
    bm_out_progress("");
    bm_data_close(data);
    int code = bm_out_error(status);
    bm_use_close(&u);
    return code;
}

static int run_predict(int argc, char **argv)
{
    predict_args a = {.outputs = "logits"};
    bm_predict_opts o = {0};
    const bm_opt opts[] = {
        {"input", 'i', BM_OPT_STRING, &a.input, 1},   {"output", 'o', BM_OPT_STRING, &a.output, 1},
        {"outputs", 0, BM_OPT_STRING, &a.outputs, 0}, {"batch", 'b', BM_OPT_I64, &a.batch, 0},
        {"device", 'd', BM_OPT_STRING, &a.device, 0},
        {"threads", 0, BM_OPT_I64, &bm_threads, 0}, {"gemm", 0, BM_OPT_STRING, &a.gemm, 0},
        {"weights", 0, BM_OPT_STRING, &a.weights, 0},
        {"force", 'f', BM_OPT_FLAG, &a.force, 0},     {NULL, 0, BM_OPT_FLAG, NULL, 0},
    };
    int code = bm_opt_parse(&argc, argv, &bm_cmd_predict, opts, 1, 1);
    if (code >= 0) return code;
    if (a.gemm && !strcmp(a.gemm, "auto")) a.gemm = NULL;
    if ((code = bm_session_check_gemm(&bm_cmd_predict, a.gemm))) return code;
    if ((code = bm_use_weights(&a.type, &bm_cmd_predict, a.weights))) return code;
    if ((code = bm_opt_range_i64(&bm_cmd_predict, "batch", a.batch, 0, 1 << 20))) return code;
    if ((code = parse_outputs(a.outputs, &o))) return code;
    a.checkpoint = argv[0];
    return do_predict(&a, &o);
}

const bm_cmd bm_cmd_predict = {
    .name = "predict",
    .group = "use",
    .summary = "one forward pass over every sample of a data set",
    .help = "Examples:\n"
            "  bmtool predict runs/gpt --input kjv.h5 --output logits.h5\n"
            "  bmtool predict runs/gpt -i kjv.h5 -o out.h5 --outputs logits,hidden\n"
            "\n"
            "usage: bmtool predict CKPT --input IN.h5 --output OUT.h5 [options]\n"
            "  -i, --input IN.h5    a data set: its N samples in their order, or of tokens whole windows of T\n"
            "  -o, --output OUT.h5  gets what the model's task tells:\n"
            "                       regression     /outputs/values f32 [N, D], in the target's own units\n"
            "                       binary         /outputs/logits f32 [N, 1], /outputs/class i32 [N]\n"
            "                       classes        /outputs/logits f32 [N, C], /outputs/class i32 [N]\n"
            "                       tags           /outputs/logits f32 [N, T, C], /outputs/class i32 [N, T]\n"
            "                       tags by ctc    /outputs/logits f32 [N, T, C], /outputs/labels i32 [N, T]: the labels that\n"
            "                                      the likeliest classes spell, repeats and blanks left out, -1 behind the end\n"
            "                       lm             /outputs/logits f32 [N, T, vocabulary]\n"
            "                       (bmtool inspect CKPT names the classes)\n"
            "      --outputs LIST   logits (default: the above), hidden (/outputs/hidden f32, what the last layer reads),\n"
            "                       or both joined by a comma\n"
            "  -b, --batch N        samples at a time (default: train.micro_batch)\n"
            "  -d, --device SPEC    auto, cpu, gpu, gpu:1, pocl:0, ... (bmtool devices)\n"
            "      --threads N      of a CPU (default: as many as the process may use)\n"
            "      --gemm BACKEND   auto (measured), clblast, packed, packed_ab or tiled\n"
            "      --weights TYPE   f32, f16, bf16 or int8: how matrices are kept; f16 and bf16 take half the memory,\n"
            "                       int8 a quarter, with a scale for each row (default f32)\n"
            "  -f, --force          replace OUT.h5 when it exists\n",
    .run = run_predict,
};
