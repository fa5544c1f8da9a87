/* What a run leaves on the disk. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "cl/gemm/gemm.h"
#include "core/base/file.h"
#include "core/base/json_priv.h"
#include "core/base/mem.h"
#include "io/store/runfolder.h"
#include "models/train/schedule.h"
#include "models/train/trainer_priv.h"

static bm_status write_in(const bm_trainer *t, const char *name, const char *text)
{
    char *path = bm_path_join(t->run, name);
    if (!path) return BM_ERR_MEMORY;
    bm_status s = bm_file_replace(path, text, strlen(text));
    bm_free(path);
    return s;
}

bm_status bm_trainer_open_folder(bm_trainer *t)
{
    if (t->metrics) return BM_OK;
    bm_status status = BM_ERR_MEMORY;
    char *made = NULL, *yaml = NULL, *folder = bm_path_join(t->run, "checkpoints"),
         *metrics = bm_path_join(t->run, "metrics.jsonl");
    if (!folder || !metrics) goto done;
    BM_GO(t->opts.resume || t->opts.restart ? bm_folder_create(folder) : bm_run_create(&made, t->run));
    /* first of all, for it keeps other processes out */
    BM_GO(bm_metrics_open(&t->metrics, metrics,
                          t->opts.resume ? (int64_t)bm_checkpoint_desc(t->opts.resume)->state.step : 0));
    BM_GO(bm_run_clean(t->run));
    BM_GO(bm_config_to_yaml(&yaml, t->task->config));
    BM_GO(write_in(t, "config.yaml", yaml));
    BM_GO(write_in(t, "gemm.json", t->gemm_json));
done:
    if (status && made) bm_run_discard(t->run, made);
    bm_free(made);
    bm_free(folder);
    bm_free(yaml);
    bm_free(metrics);
    return status;
}

static bm_status parse(json_t **out, const char *text, const char *what)
{
    json_error_t e;
    *out = json_loads(text, 0, &e);
    if (*out) return BM_OK;
    if (!e.text[0] || json_error_code(&e) == json_error_out_of_memory) return BM_ERR_MEMORY;
    return bm_fail(BM_ERR_USAGE, "%s: not JSON: %s", what, e.text);
}

/* Adds a licence, null where none is stated, unless the list has it. */
static int add_licence(json_t *list, const json_t *licence)
{
    size_t i;
    json_t *known, *one = licence ? (json_t *)licence : json_null();
    json_array_foreach(list, i, known) if (json_equal(known, one)) return 0;
    return json_array_append(list, one);
}

/* The licences of all that the weights are made from: those of the checkpoint that the run began with, then the data set's. */
static bm_status list_licences(json_t **out, const bm_checkpoint *from, const bm_data *data)
{
    bm_status status;
    size_t i;
    int bad = 0;
    json_t *one, *parent = NULL, *meta = NULL;
    const json_t *before;
    *out = json_array();
    if (from) BM_GO(parse(&parent, bm_checkpoint_desc(from)->provenance_json, bm_checkpoint_path(from)));
    if (*bm_data_meta(data)) BM_GO(parse(&meta, bm_data_meta(data), "the data's description"));
    before = json_object_get(parent, "licence");
    json_array_foreach(before, i, one) bad |= add_licence(*out, one);
    if (from && !json_array_size(before)) bad |= add_licence(*out, NULL);
    bad |= add_licence(*out, json_object_get(meta, "licence"));
    status = bad ? BM_ERR_MEMORY : BM_OK;
done:
    json_decref(parent);
    json_decref(meta);
    return status;
}

/* What made the checkpoint: build, device, the GEMM choices and the data. t->gemm_json, the choices, becomes its part "gemm". */
static bm_status make_provenance(bm_trainer *t)
{
    const bm_config *c = t->task->config;
    char parent[65] = "";
    const bm_checkpoint *from = t->opts.resume ? t->opts.resume : t->opts.init;
    if (from) bm_content_id_hex(parent, bm_store_content_id(bm_checkpoint_store(from)));
    bm_status status;
    json_t *j = NULL, *licences = NULL, *flags = NULL, *choices = NULL;
    BM_GO(parse(&choices, t->gemm_json, "the GEMM choices"));
    BM_GO(parse(&flags, t->opts.flags_json ? t->opts.flags_json : "[]", "the flags"));
    BM_GO(list_licences(&licences, from, t->task->data));
    j = json_pack("{s:s, s:O, s:O, s:{s:s, s:s, s:s}, s:{s:s, s:O}, s:{s:s, s:s}, s:s*}", "bm", BM_VERSION,
                  "flags", flags, "licence", licences,
                  "device", "name", bm_engine_device_name(t->engine), "platform", bm_engine_platform_name(t->engine),
                  "driver", bm_engine_driver(t->engine),
                  "gemm", "backend", t->opts.gemm ? t->opts.gemm : "auto", "choices", choices,
                  "data", "path", bm_config_string(c, "data.path"), "content_id", bm_config_string(c, "data.content_id"),
                  "parent", from ? parent : NULL);
    BM_GO(bm_json_text(&t->provenance_json, j, JSON_INDENT(1) | JSON_SORT_KEYS));
    bm_free(t->gemm_json);
    t->gemm_json = NULL;
    status = bm_json_text(&t->gemm_json, json_object_get(j, "gemm"), JSON_INDENT(1) | JSON_SORT_KEYS);
done:
    json_decref(j);
    json_decref(choices);
    json_decref(flags);
    json_decref(licences);
    return status;
}

bm_status bm_trainer_describe(bm_trainer *t)
{
    BM_TRY(bm_config_to_json(&t->config_json, t->task->config));
    BM_TRY(bm_schedule_to_json(&t->sched_json, t->task->config));
    BM_TRY(bm_gemm_tuning_to_json(t->engine, &t->gemm_json));
    return make_provenance(t);
}

/* On the writing thread, once the checkpoint is there: the hint, then what is no longer kept. */
static bm_status after_write(void *user)
{
    bm_trainer *t = user;
    BM_TRY(bm_run_set_latest(t->run, t->pending_step));
    return bm_run_prune(t->run, bm_config_i64(t->task->config, "train.keep_last"), t->pending_best);
}

bm_status bm_trainer_saved(bm_trainer *t)
{
    bm_status s = bm_saver_wait(t->saver);
    if (!t->pending) return s;
    if (!s) {
        t->saved = (int64_t)t->pending_step;
        if (t->opts.on_checkpoint) t->opts.on_checkpoint(t->opts.user, t->pending);
    }
    bm_free(t->pending);
    t->pending = NULL;
    return s;
}

bm_status bm_trainer_save(bm_trainer *t, int wait)
{
    BM_TRY(bm_trainer_saved(t));
    BM_TRY(bm_run_checkpoint(&t->pending, t->run, (uint64_t)t->step));
    t->pending_step = (uint64_t)t->step;
    t->pending_best = (uint64_t)t->course.best_step;
    size_t blob = 0;
    bm_ckpt_desc d = bm_ckpt_desc_default();
    d.config_json = t->config_json;
    d.sched_json = t->sched_json;
    d.provenance_json = t->provenance_json;
    const bm_tokens *tokens = bm_data_tokens(t->task->data);
    if (tokens) {
        d.tokenizer_json = bm_tokens_tokenizer_json(tokens);
        d.tokenizer_blob = bm_tokens_tokenizer_blob(&blob, tokens);
        d.tokenizer_blob_bytes = blob;
        if (!*d.tokenizer_json) d.tokenizer_json = NULL;
    }
    if (*bm_data_encoding(t->task->data)) d.encoding_json = bm_data_encoding(t->task->data);
    t->rng[0] = (uint64_t)bm_config_i64(t->task->config, "train.seed");
    t->rng[1] = (uint64_t)t->step;
    d.state = (bm_ckpt_state){.step = (uint64_t)t->step,
                              .tokens_seen = (uint64_t)(t->step * t->tokens_per_step),
                              .samples_seen = (uint64_t)(t->step * bm_learner_batch(t->learner)),
                              .epoch = t->cursor.epoch,
                              .best_metric = t->course.best,
                              .rng = t->rng,
                              .rngs = 1,
                              .dataset_uuid = bm_store_uuid(bm_data_store(t->task->data)),
                              .data_seed = t->rng[0],
                              .data_epoch = t->cursor.epoch,
                              .data_sample = t->cursor.sample,
                              .global_batch = (uint64_t)bm_learner_batch(t->learner)};
    bm_history_view(&d.history, t->history);
    BM_TRY(bm_saver_save(t->saver, t->pending, &d, after_write, t));
    return wait ? bm_trainer_saved(t) : BM_OK;
}
