#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/base/json_priv.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "io/store/checkpoint.h"
#include "models/convert/config_priv.h"
#include "models/convert/convert.h"
#include "models/convert/names_priv.h"
#include "models/nn/network.h"

/* What a parameter comes from. */
typedef struct match {
    int64_t from;   /* of the file's tensors; -1: none, it is 0 */
    int how;        /* BM_NAME_... */
    bm_shape shape; /* of theirs */
} match;

typedef struct import {
    const bm_convert_opts *opts;
    bm_foreign in;
    bm_config *config;
    const bm_model *model;
    const bm_names *names;
    bm_network network;   /* its parameters say what is wanted */
    bm_ckpt_param *param; /* [n + ties] */
    match *match;         /* [n + ties] */
    int n, ties;
    float *whole; /* of the parameter in hand */
    int64_t in_hand;
} import;

/* ---- which tensor a parameter is ---- */

/* Names for a message, the first of them. */
static void list_name(bm_str *list, int64_t *n, const char *name)
{
    enum { SHOWN = 8 };
    if (*n < SHOWN) bm_str_addf(list, "%s%.80s", *n ? ", " : "", name);
    if (*n == SHOWN) bm_str_add(list, ", ...");
    ++*n;
}

static int has_bias(const bm_foreign *in, const char *name)
{
    char bias[1088];
    const size_t n = strlen(name), tail = strlen("weight");
    if (n < tail || n > 1024 || strcmp(name + n - tail, "weight")) return 0;
    snprintf(bias, sizeof bias, "%.*sbias", (int)(n - tail), name);
    return bm_foreign_find(in, bias) >= 0;
}

/* Whether tensor t is what a row, with that name in it, means. */
static int fits(const import *m, const bm_name_map *row, const char *theirs, int64_t t)
{
    if (row->how & BM_NAME_ABSENT || !bm_names_fit(m->names, theirs, m->in.name[t])) return 0;
    if (!(row->how & (BM_NAME_ALONE | BM_NAME_PAIRED))) return 1;
    return has_bias(&m->in, m->in.name[t]) == !!(row->how & BM_NAME_PAIRED);
}

static bm_status is_ambiguous(const import *m, const char *ours)
{
    char theirs[BM_NAME_BYTES];
    const char *hint = NULL;
    const bm_name_map *row = NULL;
    int64_t listed = 0;
    bm_str list;
    bm_str_init(&list);
    while ((row = bm_names_next(theirs, m->names, ours, row))) {
        if (row->hint) hint = row->hint;
        for (int64_t t = 0; t < m->in.n; t++)
            if (fits(m, row, theirs, t)) list_name(&list, &listed, m->in.name[t]);
    }
    bm_status status = bm_fail(BM_ERR_UNSUPPORTED, "%s: several tensors could be our %s: %s%s%s", m->in.path, ours,
                               bm_str_text(&list), hint ? "; " : "", hint ? hint : "");
    bm_str_finish(&list);
    return status;
}

static bm_status is_missing(const import *m, const char *theirs, const char *hint)
{
    int64_t listed = 0;
    bm_str list;
    bm_str_init(&list);
    for (int64_t t = 0; t < m->in.n; t++) list_name(&list, &listed, m->in.name[t]);
    bm_status status =
        bm_fail(BM_ERR_CONFIG, "%s has no tensor %s%s%s%s; it has %s", m->in.path, theirs, hint ? " (" : "",
                hint ? hint : "", hint ? ")" : "", listed ? bm_str_text(&list) : "none");
    bm_str_finish(&list);
    return status;
}

/* The one tensor that is our parameter; what a tie shares need not be there. */
static bm_status choose(match *p, const char **hint, const import *m, const char *ours, int is_tie)
{
    char theirs[BM_NAME_BYTES], first[BM_NAME_BYTES] = "";
    int named = 0, need = 0;
    const bm_name_map *row = NULL;
    *hint = NULL;
    *p = (match){.from = -1};
    while ((row = bm_names_next(theirs, m->names, ours, row))) {
        if (row->hint) *hint = row->hint;
        if (!named++) strcpy(first, theirs);
        need |= !(row->how & (BM_NAME_OPTIONAL | BM_NAME_ABSENT));
        for (int64_t t = 0; t < m->in.n; t++) {
            if (!fits(m, row, theirs, t)) continue;
            if (p->from >= 0) return is_ambiguous(m, ours);
            p->from = t;
            p->how = row->how;
        }
    }
    if (!named) return bm_fail(BM_ERR_UNSUPPORTED, "%s has no name in %s", ours, m->names->project);
    return p->from < 0 && need && !is_tie ? is_missing(m, first, *hint) : BM_OK;
}

/* The shape in which a parameter is stored by them. */
static bm_shape stored(bm_shape s, int how)
{
    if (how & (BM_NAME_FIRST | BM_NAME_SECOND)) return BM_SHAPE(2, s.dim[0]);
    return how & BM_NAME_TRANSPOSED ? BM_SHAPE(s.dim[1], s.dim[0]) : s;
}

static bm_status match_param(import *m, int i, int is_tie)
{
    char have[BM_SHAPE_TEXT], want[BM_SHAPE_TEXT];
    const char *hint;
    const bm_ckpt_param *q = &m->param[i];
    match *p = &m->match[i];
    BM_TRY(choose(p, &hint, m, q->name, is_tie));
    if (p->from < 0) return BM_OK;
    const bm_shape shape = stored(q->shape, p->how);
    BM_TRY(bm_foreign_look(&p->shape, &m->in, p->from));
    if (bm_shape_equal(&shape, &p->shape)) return BM_OK;
    return bm_fail(BM_ERR_SHAPE, "%s: %s is %s, the configuration wants %s%s%s", m->in.path, m->in.name[p->from],
                   bm_shape_text(&p->shape, have, sizeof have), bm_shape_text(&shape, want, sizeof want),
                   hint ? "; " : "", hint ? hint : "");
}

/* Every tensor is a parameter's or known to hold no weights: else some would be lost without a word. */
static bm_status check_left_over(const import *m)
{
    int64_t listed = 0;
    bm_status status = BM_OK;
    bm_str list;
    char *used = bm_calloc((size_t)m->in.n + 1, 1);
    if (!used) return BM_ERR_MEMORY;
    bm_str_init(&list);
    for (int i = 0; i < m->n + m->ties; i++)
        if (m->match[i].from >= 0) used[m->match[i].from] = 1;
    for (int64_t t = 0; t < m->in.n; t++)
        if (!used[t] && !bm_names_is_extra(m->names, m->in.name[t])) list_name(&list, &listed, m->in.name[t]);
    if (listed)
        status = bm_fail(BM_ERR_UNSUPPORTED, "%s: the model has no place for the tensor%s %s", m->in.path,
                         listed > 1 ? "s" : "", bm_str_text(&list));
    bm_str_finish(&list);
    bm_free(used);
    return status;
}

static bm_status match_all(import *m)
{
    const bm_nn *nn = m->network.nn;
    m->n = bm_nn_count(nn);
    m->ties = bm_nn_ties(nn);
    m->param = bm_calloc((size_t)(m->n + m->ties) + 1, sizeof *m->param);
    m->match = bm_calloc((size_t)(m->n + m->ties) + 1, sizeof *m->match);
    if (!m->param || !m->match) return BM_ERR_MEMORY;
    for (int i = 0; i < m->n; i++) {
        const bm_nn_param *p = bm_nn_at(nn, i);
        const bm_shape *shape = bm_value_shape(bm_graph_param_find(m->network.graph, p->name));
        m->param[i] = (bm_ckpt_param){p->name, BM_F32, *shape, bm_semantic_name(p->semantic), 1, NULL};
        BM_TRY(match_param(m, i, 0));
    }
    for (int i = 0; i < m->ties; i++) {
        const bm_nn_tie *tie = bm_nn_tie_at(nn, i);
        const bm_shape *shape = bm_value_shape(bm_graph_param_find(m->network.graph, tie->to));
        m->param[m->n + i] = (bm_ckpt_param){tie->name, BM_F32, *shape, bm_semantic_name(tie->semantic), 1, tie->to};
        BM_TRY(match_param(m, m->n + i, 1));
    }
    return check_left_over(m);
}

/* ---- what is in them ---- */

/* Whether two tensors of one shape hold the same. */
static bm_status compare(int *same, const import *m, const match *a, const match *b)
{
    const int64_t all = bm_shape_elements(&a->shape), row = all / a->shape.dim[0],
                  piece = row < 1 << 16 ? (1 << 16) / row * row : row;
    bm_status status = BM_OK;
    float *pieces = bm_calloc(2, (size_t)piece * sizeof *pieces);
    if (!pieces) return BM_ERR_MEMORY;
    for (int64_t at = 0; at < all && *same && !status; at += piece) {
        const int64_t n = all - at < piece ? all - at : piece;
        status = bm_foreign_read(pieces, &m->in, a->from, at, n);
        if (!status) status = bm_foreign_read(pieces + piece, &m->in, b->from, at, n);
        *same = !memcmp(pieces, pieces + piece, (size_t)n * sizeof *pieces);
    }
    bm_free(pieces);
    return status;
}

/* A tied parameter that the file holds once more must be the one that it is tied to: else weights would be lost without
 * a word. */
static bm_status check_ties(const import *m)
{
    for (int i = m->n; i < m->n + m->ties; i++) {
        const match *tied = &m->match[i], *to = m->match;
        while (strcmp(m->param[to - m->match].name, m->param[i].tied_to)) to++;
        if (tied->from < 0) continue;
        int same = bm_shape_equal(&tied->shape, &to->shape);
        if (same) BM_TRY(compare(&same, m, tied, to));
        if (!same)
            return bm_fail(BM_ERR_CONFIG,
                           "%s: %s is not %s, though the configuration ties them: say \"tie_word_embeddings\": false "
                           "in its config.json",
                           m->in.path, m->in.name[tied->from], m->in.name[to->from]);
    }
    return BM_OK;
}

static void swap_blocks(float *x, int64_t n)
{
    for (int64_t i = 0; i < n / 3; i++) {
        const float a = x[i];
        x[i] = x[n / 3 + i];
        x[n / 3 + i] = a;
    }
}

/* A parameter of theirs, in *x, as it is ours. */
static bm_status turn(float **x, const match *p)
{
    int64_t n = bm_shape_elements(&p->shape);
    if (p->how & (BM_NAME_FIRST | BM_NAME_SECOND)) n /= 2;
    if (p->how & BM_NAME_SECOND) memcpy(*x, *x + n, (size_t)n * sizeof **x);
    if (p->how & BM_NAME_TRANSPOSED) {
        float *turned = bm_calloc((size_t)n + 1, sizeof *turned);
        if (!turned) return BM_ERR_MEMORY;
        bm_names_transpose(turned, *x, (long)p->shape.dim[0], (long)p->shape.dim[1]);
        bm_free(*x);
        *x = turned;
    }
    if (p->how & BM_NAME_SWAPPED) swap_blocks(*x, n);
    return BM_OK;
}

/* The parameter as f32 and whole: what fill hands out of. */
static bm_status load_param(import *m, int64_t i)
{
    const match *p = &m->match[i];
    const int64_t n = bm_shape_elements(p->from < 0 ? &m->param[i].shape : &p->shape);
    if (m->opts->progress) BM_TRY(m->opts->progress(m->opts->user, m->param[i].name));
    bm_free(m->whole);
    m->whole = bm_calloc((size_t)n + 1, sizeof *m->whole);
    if (!m->whole) return BM_ERR_MEMORY;
    if (p->from >= 0) {
        BM_TRY(bm_foreign_read(m->whole, &m->in, p->from, 0, n));
        BM_TRY(turn(&m->whole, p));
    }
    m->in_hand = i;
    return BM_OK;
}

static bm_status fill(void *user, const bm_ckpt_tensor *t, void *data, int64_t first, int64_t count)
{
    import *m = user;
    if (m->in_hand != t->param) BM_TRY(load_param(m, t->param));
    memcpy(data, m->whole + first, (size_t)count * sizeof(float));
    return BM_OK;
}

static bm_status write_checkpoint(import *m, const char *out)
{
    char *json = NULL, *provenance = NULL;
    bm_status status;
    json_t *made = json_pack("{s:s, s:s, s:[], s:[s?], s:{s:s, s:{}}}", "bm", BM_VERSION, "converted_from",
                             m->in.file == BM_NAMES_KERAS ? "keras" : "safetensors", "flags", "licence",
                             m->opts->licence, "gemm", "backend", "auto", "choices");
    BM_GO(bm_json_text(&provenance, made, JSON_SORT_KEYS));
    BM_GO(bm_config_to_json(&json, m->config));
    bm_ckpt_desc d = bm_ckpt_desc_default();
    bm_ckpt_write_opts o = bm_ckpt_write_opts_default();
    d.config_json = json;
    d.provenance_json = provenance;
    d.param = m->param;
    d.params = m->n + m->ties;
    d.state.best_metric = NAN;
    d.state.dataset_uuid = "";
    o.replace = m->opts->replace;
    status = bm_checkpoint_write(NULL, out, &d, fill, m, &o);
done:
    json_decref(made);
    bm_free(provenance);
    bm_free(json);
    return status;
}

/* The model that the configuration says, and its names in such a file. */
static bm_status find_names(import *m)
{
    m->model = bm_model_find(bm_config_get_family(m->config)->name);
    m->names = bm_names_of(m->model, m->config, m->in.file);
    if (m->names) return BM_OK;
    return bm_fail(BM_ERR_UNSUPPORTED, "%s: of the family %s nothing is read from %s", m->in.path,
                   m->model->family.name, m->in.file == BM_NAMES_KERAS ? "Keras' weights" : "safetensors");
}

bm_status bm_convert_import(const char *in, const char *out, const bm_convert_opts *opts)
{
    bm_status status;
    import m = {.opts = opts, .in_hand = -1};
    bm_model_request r = {.mode = BM_MODEL_EVAL, .batch = 1, .window = 1};
    BM_GO(bm_foreign_open(&m.in, in));
    BM_GO(bm_convert_read_config(&m.config, &m.in, opts->config));
    BM_GO(find_names(&m));
    BM_GO(bm_network_build(&m.network, m.model, m.config, &r, 0));
    BM_GO(match_all(&m));
    BM_GO(check_ties(&m));
    BM_GO(write_checkpoint(&m, out));
done:
    bm_free(m.whole);
    bm_free(m.param);
    bm_free(m.match);
    bm_network_finish(&m.network);
    bm_config_destroy(m.config);
    bm_foreign_close(&m.in);
    return status;
}
