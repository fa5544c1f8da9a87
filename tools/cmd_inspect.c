/* bmtool inspect: one screen about a checkpoint or a dataset. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "tools/out.h"
#include "tools/table.h"
#include "tools/view.h"

static const char help[] =
    "Examples:\n"
    "  bmtool inspect runs/a                 the newest sound checkpoint of a run\n"
    "  bmtool inspect step-00000500.h5 --json\n"
    "  bmtool inspect kjv.h5                 datasets too\n"
    "\n"
    "usage: bmtool inspect FILE|RUN [--no-verify] [--json]\n"
    "\n"
    "One screen: model, parameters by layer, optimizer, progress, tokenizer, origin, and whether every byte is sound.\n"
    "\n"
    "  --no-verify   do not read the tensors: quick for large files, says nothing about their soundness\n"
    "  --json        {\"schema\", \"kind\", \"model\", \"step\", \"parameters\", \"content_id\", \"bytes\", \"sound\", "
    "\"gemm\", ...}\n"
    "\n"
    "Exit code: 0, or 1 when the file is damaged.\n";

/* What is looked at, with the JSON texts in it parsed. */
typedef struct view {
    bm_checkpoint *ckpt;
    const bm_ckpt_desc *desc;
    const bm_store *store;
    json_t *config, *provenance, *tokenizer, *encoding; /* NULL: none */
    int sound;                                          /* 1, 0, -1: not verified */
    int64_t parameters, weight_bytes, optim_bytes;
} view;

static void view_finish(view *v)
{
    json_decref(v->config);
    json_decref(v->provenance);
    json_decref(v->tokenizer);
    json_decref(v->encoding);
    bm_checkpoint_close(v->ckpt);
}

static json_t *parsed(const char *text) { return text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL; }

static bm_status view_open(view *v, const char *path)
{
    BM_TRY(bm_checkpoint_open(&v->ckpt, path));
    v->store = bm_checkpoint_store(v->ckpt);
    v->desc = bm_checkpoint_desc(v->ckpt);
    v->config = parsed(v->desc->config_json);
    v->provenance = parsed(v->desc->provenance_json);
    v->tokenizer = parsed(v->desc->tokenizer_json);
    v->encoding = parsed(v->desc->encoding_json);
    for (int64_t i = 0; i < v->desc->params; i++) {
        const bm_ckpt_param *p = v->desc->param + i;
        if (p->tied_to) continue;
        v->parameters += bm_shape_elements(&p->shape);
        v->weight_bytes += (int64_t)bm_shape_bytes(&p->shape, p->dtype);
    }
    for (int64_t i = 0; i < bm_store_count(v->store); i++) {
        const bm_entry *e = bm_store_at(v->store, i);
        if (!strncmp(e->path, "/optim/", 7)) v->optim_bytes += e->bytes;
    }
    return BM_OK;
}

static const char *member_text(const json_t *object, const char *section, const char *key)
{
    return json_string_value(json_object_get(section ? json_object_get(object, section) : object, key));
}

/* "auto" or the backend that the run was made to use; NULL: no run made it. */
static const char *gemm_backend(const view *v) { return member_text(v->provenance, "gemm", "backend"); }

/* The last value of a history column, and its step; NaN: never measured. */
static double last_of(uint64_t *step, const bm_ckpt_history *h, const char *name)
{
    for (int64_t c = 0; c < h->columns; c++)
        for (int64_t i = strcmp(h->column[c].name, name) ? 0 : h->rows; i-- > 0;)
            if (!isnan(h->column[c].value[i])) {
                *step = h->step[i];
                return h->column[c].value[i];
            }
    return (double)NAN;
}

static json_t *view_json(const view *v)
{
    const bm_ckpt_desc *d = v->desc;
    char id[65];
    uint64_t at;
    json_t *optims = json_array();
    for (int64_t i = 0; i < d->optims; i++)
        json_array_append_new(optims, json_pack("{s:s, s:s, s:I}", "name", d->optim[i].name, "type", d->optim[i].type,
                                                "t", (json_int_t)d->optim[i].t));
    bm_content_id_hex(id, bm_store_content_id(v->store));
    json_t *root = json_pack("{s:i, s:s, s:o, s:s?, s:I, s:I, s:s, s:I, s:o}", "schema", BM_VIEW_SCHEMA, "kind",
                             "checkpoint", "path", bm_json_shown(bm_checkpoint_path(v->ckpt)), "model",
                             member_text(v->config, "model", "family"), "step", (json_int_t)d->state.step, "parameters",
                             (json_int_t)v->parameters, "content_id", id, "bytes", (json_int_t)bm_store_bytes(v->store),
                             "sound", v->sound < 0 ? json_null() : json_boolean(v->sound));
    if (!root) return NULL;
    json_t *more =
        json_pack("{s:s?, s:I, s:I, s:I, s:o, s:o, s:o, s:I, s:I, s:o, s:s, s:O?, s:O?, s:O?, s:O?}", "gemm", gemm_backend(v),
                  "epoch", (json_int_t)d->state.epoch, "tokens_seen", (json_int_t)d->state.tokens_seen, "samples_seen",
                  (json_int_t)d->state.samples_seen, "best_metric", bm_json_real(d->state.best_metric), "loss",
                  bm_json_real(last_of(&at, &d->history, "loss")), "val_loss",
                  bm_json_real(last_of(&at, &d->history, "val_loss")), "weight_bytes", (json_int_t)v->weight_bytes,
                  "optimizer_bytes", (json_int_t)v->optim_bytes, "optimizers", optims, "uuid", bm_store_uuid(v->store),
                  "config", v->config, "tokenizer", v->tokenizer, "provenance", v->provenance, "classes",
                  json_object_get(v->encoding, "classes"));
    if (!more || json_object_update(root, more)) {
        json_decref(root);
        root = NULL;
    }
    json_decref(more);
    return root;
}

static void members_line(const char *label, const json_t *object)
{
    bm_str s;
    bm_str_init(&s);
    bm_view_add_members(&s, object);
    if (s.length) bm_out_field(label, bm_str_text(&s));
    bm_str_finish(&s);
}

static void print_head(const view *v)
{
    const bm_style colour = v->sound > 0 ? BM_GREEN : v->sound ? BM_YELLOW : BM_RED;
    const char *family = member_text(v->config, "model", "family");
    bm_str shown;
    bm_str_init(&shown);
    bm_str_add_shown(&shown, family ? family : "?", family ? strlen(family) : 1);
    printf("%s%s%s: checkpoint of a %s, %s%s%s\n", bm_out_style(stdout, BM_BOLD), bm_checkpoint_path(v->ckpt),
           bm_out_style(stdout, BM_PLAIN), bm_str_text(&shown), bm_out_style(stdout, colour),
           v->sound > 0 ? "sound"
           : v->sound   ? "not verified"
                        : "DAMAGED",
           bm_out_style(stdout, BM_PLAIN));
    bm_str_finish(&shown);
}

static void print_progress(const view *v)
{
    const bm_ckpt_desc *d = v->desc;
    char text[400], a[BM_OUT_NUMBER], b[BM_OUT_NUMBER];
    uint64_t at = 0;
    snprintf(text, sizeof text, "%" PRIu64 " (epoch %" PRIu64 ", %s tokens, %s samples seen)", d->state.step,
             d->state.epoch, bm_out_count(a, (int64_t)d->state.tokens_seen),
             bm_out_count(b, (int64_t)d->state.samples_seen));
    bm_out_field("step", text);
    double loss = last_of(&at, &d->history, "loss"), val;
    if (isnan(loss)) return;
    int n = snprintf(text, sizeof text, "%.4f at step %" PRIu64, loss, at);
    val = last_of(&at, &d->history, "val_loss");
    if (!isnan(val)) snprintf(text + n, sizeof text - (size_t)n, ", validation %.4f at step %" PRIu64, val, at);
    bm_out_field("loss", text);
}

static void print_optims(const view *v)
{
    for (int64_t i = 0; i < v->desc->optims; i++) {
        const bm_ckpt_optim *o = v->desc->optim + i;
        bm_str s;
        char number[BM_OUT_NUMBER];
        bm_str_init(&s);
        bm_str_add_shown(&s, o->type, strlen(o->type));
        bm_str_addf(&s, ", %" PRIu64 " updates", o->t);
        for (int64_t k = 0; k < o->hypers; k++) {
            bm_str_addf(&s, ", %s ", o->hyper[k].name);
            bm_str_add(&s, bm_format_f64(number, sizeof number, o->hyper[k].value, 6));
        }
        if (v->desc->optims == 1) bm_str_addf(&s, ", %s", bm_out_bytes(number, v->optim_bytes));
        bm_out_field("optimizer", bm_str_text(&s));
        bm_str_finish(&s);
    }
}

/* "bm 0.1.0, gemm auto, on NAME (PLATFORM)" */
static void print_origin(const view *v)
{
    const char *device = member_text(v->provenance, "device", "name"), *gemm = gemm_backend(v);
    const char *platform = member_text(v->provenance, "device", "platform");
    bm_str s;
    bm_str_init(&s);
    bm_view_add_members(&s, v->provenance);
    if (gemm) bm_str_add(&s, ", gemm ");
    if (gemm) bm_str_add_shown(&s, gemm, strlen(gemm));
    if (device) bm_str_add(&s, ", on ");
    if (device) bm_str_add_shown(&s, device, strlen(device));
    if (platform) bm_str_add(&s, " (");
    if (platform) bm_str_add_shown(&s, platform, strlen(platform));
    if (platform) bm_str_add(&s, ")");
    if (s.length) bm_out_field("origin", bm_str_text(&s));
    bm_str_finish(&s);
}

/* What the weights are made from was given under these licences. */
static void print_licences(const view *v)
{
    const json_t *list = json_object_get(v->provenance, "licence"), *one;
    size_t i;
    bm_str s;
    bm_str_init(&s);
    json_array_foreach(list, i, one)
    {
        const char *text = json_string_value(one) ? json_string_value(one) : "not stated";
        if (i) bm_str_add(&s, "; ");
        bm_str_add_shown(&s, text, strlen(text));
    }
    if (s.length) bm_out_field("licence", bm_str_text(&s));
    bm_str_finish(&s);
}

static bm_status print_params(const view *v)
{
    static const char *const heads[] = {"  parameter", ">count", "type", "shape", ">elements", ">size", NULL};
    static const char *const all[] = {"/params"};
    const bm_entry **list = NULL;
    bm_view_group *groups = NULL;
    bm_table *t = NULL;
    int64_t n = 0, count = 0;
    if (!v->desc->params) return BM_OK;
    bm_status status = bm_view_select(&list, &n, v->store, all, 1);
    if (!status) status = bm_view_collapse(&groups, &count, list, n, strlen("/params/"));
    if (!status) status = bm_table_create(&t, heads);
    for (int64_t i = 0; i < count && !status; i++) {
        const bm_entry *e = groups[i].entry;
        char shape[BM_SHAPE_TEXT], number[BM_OUT_NUMBER];
        bm_table_add(t, "  %s", groups[i].name);
        bm_table_add(t, "%" PRId64, groups[i].count);
        bm_table_add(t, "%s", bm_dtype_name(e->dtype));
        bm_table_add(t, "%s", bm_shape_text(&e->shape, shape, sizeof shape));
        bm_table_add(t, "%s", bm_out_count(number, groups[i].count * bm_shape_elements(&e->shape)));
        bm_table_add(t, "%s", bm_out_bytes(number, groups[i].bytes));
    }
    if (!status) printf("\n");
    if (!status) status = bm_table_print(t, stdout);
    for (int64_t i = 0; i < v->desc->params && !status; i++)
        if (v->desc->param[i].tied_to)
            printf("  %s is tied to %s\n", v->desc->param[i].name, v->desc->param[i].tied_to);
    bm_table_destroy(t);
    bm_view_groups_free(groups, count);
    bm_free(list);
    return status;
}

static bm_status print_view(const view *v)
{
    char text[200], a[BM_OUT_NUMBER];
    print_head(v);
    members_line("model", json_object_get(v->config, "model"));
    const size_t classes = json_array_size(json_object_get(v->encoding, "classes"));
    if (classes) bm_view_print_classes(v->encoding, NULL, (int64_t)classes);
    int n = snprintf(text, sizeof text, "%s", bm_out_count(a, v->parameters));
    if (v->parameters >= 1000000) n += snprintf(text + n, sizeof text - (size_t)n, " (%" PRId64 ")", v->parameters);
    snprintf(text + n, sizeof text - (size_t)n, ", %s", bm_out_bytes(a, v->weight_bytes));
    bm_out_field("parameters", text);
    print_progress(v);
    members_line("training", json_object_get(v->config, "train"));
    members_line("data", json_object_get(v->config, "data"));
    print_optims(v);
    if (v->tokenizer)
        members_line("tokenizer", v->tokenizer);
    else
        bm_out_field("tokenizer", "none");
    print_origin(v);
    print_licences(v);
    bm_view_print_file(v->store);
    return print_params(v);
}

static int inspect_dataset(const bm_store *s, int no_verify, int as_json)
{
    bm_status status = no_verify ? BM_OK : bm_view_verify(s, NULL, as_json);
    if (status && status != BM_ERR_DAMAGED) return bm_out_error(status);
    int sound = no_verify ? -1 : status == BM_OK;
    int code = bm_store_find(s, "/tokens/ids") || bm_samples_is(s) ? bm_view_dataset(bm_store_path(s), sound, 0, as_json)
                                               : bm_view_arrays(s, sound, as_json);
    return code ? code : bm_status_exit_code(status);
}

static int inspect(const char *path, int no_verify, int as_json)
{
    view v = {.sound = -1};
    bm_store *s = NULL;
    bm_status status = bm_view_open(&s, path), damaged = BM_OK;
    if (status) return bm_out_error(status);
    if (bm_store_get_kind(s) == BM_STORE_DATASET) {
        int code = inspect_dataset(s, no_verify, as_json);
        bm_store_close(s);
        return code;
    }
    if (!no_verify) {
        damaged = bm_view_verify(s, NULL, as_json);
        if (damaged != BM_OK && damaged != BM_ERR_DAMAGED) status = damaged;
        v.sound = damaged == BM_OK;
    }
    int code = 0;
    if (!status) status = view_open(&v, bm_store_path(s));
    if (!status && as_json)
        code = bm_out_json(view_json(&v));
    else if (!status)
        status = print_view(&v);
    if (status) code = bm_out_error(status);
    view_finish(&v);
    bm_store_close(s);
    return code ? code : bm_status_exit_code(damaged);
}

static int run(int argc, char **argv)
{
    int as_json = 0, no_verify = 0;
    const bm_opt opts[] = {{"json", 'j', BM_OPT_FLAG, &as_json, 0},
                           {"no-verify", 0, BM_OPT_FLAG, &no_verify, 0},
                           {NULL, 0, BM_OPT_FLAG, NULL, 0}};
    int code = bm_opt_parse(&argc, argv, &bm_cmd_inspect, opts, 1, 1);
    return code >= 0 ? code : inspect(argv[0], no_verify, as_json);
}

const bm_cmd bm_cmd_inspect = {"inspect", "look into checkpoints", "one screen about a checkpoint or a dataset", help,
                               run};
