#include <jansson.h>
#include <math.h>
#include <string.h>

#include "models/train/evaluate.h"
#include "models/train/task.h"
#include "tools/cmd.h"
#include "tools/opt.h"
#include "tools/out.h"
#include "tools/signals.h"
#include "tools/threads.h"
#include "tools/use.h"

static bm_status show_progress(void *user, int64_t done, int64_t all)
{
    char line[80];
    (void)user;
    if (bm_signals_stopped()) return bm_fail(BM_ERR_STOPPED, "stopped while evaluating");
    snprintf(line, sizeof line, "%lld of %lld samples", (long long)done, (long long)all);
    bm_out_progress(line);
    return BM_OK;
}

static int print_result(const bm_evaluation *v, int json)
{
    if (json)
        return bm_out_json(json_pack("{s:o, s:o, s:I}", "loss", bm_json_real(v->loss), "perplexity", bm_json_real(exp(v->loss)),
                                     "tokens", (json_int_t)v->tokens));
    char tokens[BM_OUT_NUMBER];
    printf("loss        %.6f nats per token\nperplexity  %.4f\ntokens      %s\n", v->loss, exp(v->loss),
           bm_out_count(tokens, v->tokens));
    return 0;
}

typedef struct eval_args {
    const char *checkpoint, *data, *split, *device, *gemm, *weights;
    bm_dtype type; /* of the weights */
    int64_t batch, tokens;
    int json;
} eval_args;

static int do_eval(const eval_args *a)
{
    bm_status status;
    bm_use u = {0};
    bm_data *data = NULL;
    bm_evaluator *evaluator = NULL;
    bm_evaluation v;
    int code = 0;
    BM_GO(bm_use_open(&u, a->checkpoint));
    BM_GO(bm_data_open(&data, a->data ? a->data : bm_config_string(u.config, "data.path")));
    BM_GO(bm_task_check_data(u.config, u.checkpoint, data));
    BM_GO(bm_use_load(&u, a->device, a->gemm, a->type));
    bm_evaluator_opts o = {.batch = a->batch ? a->batch : bm_config_i64(u.config, "train.micro_batch"), .split = a->split,
                           .tokens = a->tokens, .gemm = a->gemm};
    bm_signals_watch("\nbmtool: stopping\n");
    BM_GO(bm_evaluator_create(&evaluator, u.session.engine, u.model, u.config, u.params, data, &o));
    BM_GO(bm_evaluator_run(evaluator, &v, show_progress, NULL));
    bm_out_progress("");
    code = print_result(&v, a->json);
    if (!isfinite(v.loss))
        status =
            bm_fail(BM_ERR_NOT_FINITE, "%s: the loss is %g; `bmtool stats` tells which tensors hold what is not finite",
                    bm_checkpoint_path(u.checkpoint), v.loss);
done:
    if (status) code = bm_out_error(status);
    if (status == BM_ERR_STOPPED) code = bm_signals_exit_code();
    bm_evaluator_destroy(evaluator);
    bm_data_close(data);
    bm_use_close(&u);
    return code;
}

static int run_eval(int argc, char **argv)
{
    eval_args a = {.split = "val"};
    const bm_opt opts[] = {
        {"data", 0, BM_OPT_STRING, &a.data, 0},       {"split", 0, BM_OPT_STRING, &a.split, 0},
        {"tokens", 0, BM_OPT_I64, &a.tokens, 0},      {"batch", 'b', BM_OPT_I64, &a.batch, 0},
        {"device", 'd', BM_OPT_STRING, &a.device, 0},
        {"threads", 0, BM_OPT_I64, &bm_threads, 0}, {"gemm", 0, BM_OPT_STRING, &a.gemm, 0},
        {"weights", 0, BM_OPT_STRING, &a.weights, 0},
        {"json", 'j', BM_OPT_FLAG, &a.json, 0},       {NULL, 0, BM_OPT_FLAG, NULL, 0},
    };
    int code = bm_opt_parse(&argc, argv, &bm_cmd_eval, opts, 1, 1);
    if (code >= 0) return code;
    if (a.gemm && !strcmp(a.gemm, "auto")) a.gemm = NULL;
    if ((code = bm_session_check_gemm(&bm_cmd_eval, a.gemm))) return code;
    if ((code = bm_use_weights(&a.type, &bm_cmd_eval, a.weights))) return code;
    if ((code = bm_opt_range_i64(&bm_cmd_eval, "batch", a.batch, 0, 1 << 20))) return code;
    if ((code = bm_opt_range_i64(&bm_cmd_eval, "tokens", a.tokens, 0, INT64_MAX / 2))) return code;
    a.checkpoint = argv[0];
    return do_eval(&a);
}

const bm_cmd bm_cmd_eval = {
    .name = "eval",
    .group = "learn",
    .summary = "measure a checkpoint's loss on a data set",
    .help = "Examples:\n"
            "  bmtool eval runs/gpt --data kjv.h5\n"
            "  bmtool eval runs/gpt/checkpoints/step-00000500.h5 --data kjv.h5 --split train --tokens 65536 --json\n"
            "\n"
            "usage: bmtool eval CKPT [options]        CKPT: a checkpoint, or a run folder (its newest sound one)\n"
            "      --data D.h5      data set (default: the one it was trained on)\n"
            "      --split NAME     val (default) or train\n"
            "      --tokens N       only the first N tokens, in whole windows; 0 (default): all\n"
            "  -b, --batch N        windows at a time (default: train.micro_batch)\n"
            "  -d, --device SPEC    auto, cpu, gpu, gpu:1, pocl:0, ... (bmtool devices)\n"
            "      --threads N      of a CPU (default: as many as the process may use)\n"
            "      --gemm BACKEND   auto (measured), clblast, packed or tiled\n"
            "      --weights TYPE   f32, f16, bf16 or int8: how matrices are kept; f16 and bf16 take half the memory,\n"
            "                       int8 a quarter, with a scale for each row (default f32)\n"
            "  -j, --json           {\"loss\", \"perplexity\", \"tokens\"}; loss in nats per token\n",
    .run = run_eval,
};
