#include <jansson.h>
#include <math.h>
#include <string.h>

#include "models/train/evaluate.h"
#include "core/base/mem.h"
#include "io/text/tokenizer.h"
#include "models/train/learner.h"
#include "models/train/task.h"
#include "tools/cmd.h"
#include "tools/opt.h"
#include "tools/out.h"
#include "tools/signals.h"
#include "tools/threads.h"
#include "tools/use.h"

#define MOST_ROWS 20 /* of the table of confusion on a screen */

static bm_status show_progress(void *user, int64_t done, int64_t all)
{
    char line[80];
    (void)user;
    if (bm_signals_stopped()) return bm_fail(BM_ERR_STOPPED, "stopped while evaluating");
    snprintf(line, sizeof line, "%lld of %lld samples", (long long)done, (long long)all);
    bm_out_progress(line);
    return BM_OK;
}

/* What is needed to tell of an evaluation. */
typedef struct telling {
    const bm_evaluation *v;
    json_t *encoding; /* NULL: none */
    int64_t classes;
} telling;

/* A score; distances of standardised numbers in the units that they had before. */
static double score(const telling *t, const char *name)
{
    const json_t *scale = json_object_get(json_object_get(t->encoding, "target"), "scale");
    const int distance = !strcmp(name, "mae") || !strcmp(name, "rmse");
    return bm_scores_get(t->v->scores, name) * (distance && scale ? json_number_value(scale) : 1);
}

static json_t *confusion_json(const telling *t)
{
    const int64_t *table = bm_scores_confusion(t->v->scores);
    json_t *rows = table ? json_array() : NULL;
    for (int64_t i = 0; table && i < t->classes; i++) {
        json_t *row = json_array();
        for (int64_t k = 0; k < t->classes; k++) json_array_append_new(row, json_integer(table[i * t->classes + k]));
        json_array_append_new(rows, row);
    }
    return rows;
}

static int print_json(const telling *t)
{
    const char *name;
    json_t *o = json_pack("{s:o, s:o, s:I, s:I}", "loss", bm_json_real(t->v->loss), "perplexity",
                          bm_json_real(t->classes ? exp(t->v->loss) : NAN), "tokens",
                          (json_int_t)t->v->tokens, "samples", (json_int_t)t->v->samples);
    for (int i = 0; (name = bm_scores_name(t->v->scores, i)); i++)
        if (!json_object_get(o, name)) json_object_set_new(o, name, bm_json_real(score(t, name)));
    json_t *confusion = confusion_json(t), *classes = json_object_get(t->encoding, "classes");
    if (confusion) json_object_set_new(o, "confusion", confusion);
    if (confusion && classes) json_object_set(o, "classes", classes);
    return bm_out_json(o);
}

/* The rows of the table of confusion: a class, how often it was there, how often it was told, and what for. */
static void print_confusion(const telling *t)
{
    const int64_t *table = bm_scores_confusion(t->v->scores);
    const json_t *classes = json_object_get(t->encoding, "classes");
    if (!table || t->classes > MOST_ROWS) return;
    printf("\n%-20s %8s %9s %9s %9s   taken for\n", "class", "samples", "precision", "recall", "f1");
    for (int64_t i = 0; i < t->classes; i++) {
        const bm_class_scores c = bm_scores_of_class(t->v->scores, i);
        const char *name = json_string_value(json_array_get(classes, (size_t)i));
        char number[24];
        snprintf(number, sizeof number, "%lld", (long long)i);
        printf("%-20.20s %8lld %9.4f %9.4f %9.4f  ", name ? name : number, (long long)c.support, c.precision, c.recall, c.f1);
        for (int64_t k = 0; k < t->classes; k++) printf(" %5lld", (long long)table[i * t->classes + k]);
        printf("\n");
    }
}

static void print_text(const telling *t)
{
    const char *name;
    char tokens[BM_OUT_NUMBER];
    const int text = !isnan(bm_scores_get(t->v->scores, "perplexity"));
    printf("%-16s %.6f%s\n", "loss", t->v->loss, text ? " nats per token" : "");
    for (int i = 0; (name = bm_scores_name(t->v->scores, i)); i++)
        if (!isnan(score(t, name))) printf("%-16s %.4f\n", name, score(t, name));
    printf("%-16s %s\n", text ? "tokens" : "targets", bm_out_count(tokens, t->v->tokens));
    print_confusion(t);
}

static int print_result(const bm_evaluation *v, const bm_data *data, int json)
{
    json_error_t e;
    int code = 0;
    telling t = {.v = v, .encoding = json_loads(bm_data_encoding(data), 0, &e), .classes = bm_data_form(data, 1).classes};
    if (json) code = print_json(&t);
    else print_text(&t);
    json_decref(t.encoding);
    return code;
}

/* How many bytes each id of a tokenizer stands for; NULL where there is none. bm_free. */
static double *token_bytes(const bm_tokens *t)
{
    size_t n, blob_bytes;
    bm_tokenizer *k = NULL;
    const char *json = t ? bm_tokens_tokenizer_json(t) : "";
    if (!*json) return NULL;
    const void *blob = bm_tokens_tokenizer_blob(&blob_bytes, t);
    if (bm_tokenizer_from_parts(&k, json, strlen(json), blob, blob_bytes, "tokenizer")) return NULL;
    double *bytes = bm_calloc((size_t)bm_tokens_vocab(t), sizeof *bytes);
    for (int64_t i = 0; bytes && i < bm_tokens_vocab(t); i++) {
        n = 0;
        if ((uint32_t)i != bm_tokenizer_eot(k)) bm_tokenizer_token(k, (uint32_t)i, &n);
        bytes[i] = (double)n;
    }
    bm_tokenizer_destroy(k);
    return bytes;
}

/* Whether the data has the part. */
static bm_status check_split(const bm_data *data, const char *split)
{
    int64_t n;
    const bm_status status = bm_data_part(&n, data, split, 1);
    if (status != BM_ERR_NOT_FOUND) return status;
    const bm_error why = *bm_last_error();
    return bm_fail(status, "%s: --split NAME measures on another", why.text);
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
    double *bytes = NULL;
    int code = 0;
    BM_GO(bm_use_open(&u, a->checkpoint));
    BM_GO(bm_data_open(&data, a->data ? a->data : bm_config_string(u.config, "data.path")));
    BM_GO(check_split(data, a->split));
    BM_GO(bm_task_check_data(u.config, u.checkpoint, data));
    BM_GO(bm_use_load(&u, a->device, a->gemm, a->type));
    bm_evaluator_opts o = {.batch = a->batch ? a->batch : bm_learner_request(u.config).batch, .split = a->split,
                           .tokens = a->tokens, .gemm = a->gemm, .scores = 1};
    o.bytes = bytes = token_bytes(bm_data_tokens(data));
    bm_signals_watch("\nbmtool: stopping\n");
    BM_GO(bm_evaluator_create(&evaluator, u.session.engine, u.model, u.config, u.params, data, &o));
    BM_GO(bm_evaluator_run(evaluator, &v, show_progress, NULL));
    bm_out_progress("");
    code = print_result(&v, data, a->json);
    if (!isfinite(v.loss))
        status =
            bm_fail(BM_ERR_NOT_FINITE, "%s: the loss is %g; `bmtool stats` tells which tensors hold what is not finite",
                    bm_checkpoint_path(u.checkpoint), v.loss);
done:
    if (status) code = bm_out_error(status);
    bm_evaluator_destroy(evaluator);
    bm_free(bytes);
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
            "      --gemm BACKEND   auto (measured), clblast, packed, packed_ab or tiled\n"
            "      --weights TYPE   f32, f16, bf16 or int8: how matrices are kept; f16 and bf16 take half the memory,\n"
            "                       int8 a quarter, with a scale for each row (default f32)\n"
            "  -j, --json           {\"loss\", \"perplexity\", \"tokens\", \"samples\", ...}: the mean loss over the targets that\n"
            "                       count, in nats for classes, and the scores of the task: accuracy, top5_accuracy,\n"
            "                       precision_macro, recall_macro, f1_macro, confusion; roc_auc of two classes; r2, mae,\n"
            "                       rmse; bits_per_byte; word_error_rate\n",
    .run = run_eval,
};
