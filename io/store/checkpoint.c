#include "io/store/checkpoint.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "io/store/arena_priv.h"
#include "io/store/h5_priv.h"
#include "io/store/json_priv.h"
#include "io/store/runfolder.h"

#define MOST_BLOB ((int64_t)256 << 20)
#define MOST_COLUMN ((int64_t)1 << 30)

struct bm_checkpoint {
    char *path;
    bm_store *store;
    bm_arena arena; /* what desc points to, beside the store's own strings */
    bm_ckpt_desc desc;
    bm_ckpt_param *param; /* by name */
    char *text[6];        /* config, sched, provenance, encoding, tokenizer; blob */
    void *rng;
    void **column;
    int64_t columns;
};

static bm_status load_json(char **out, const bm_store *s, const char *path, int required)
{
    const bm_entry *e = bm_store_find(s, path);
    json_t *value;
    if (!e && !required) return BM_OK;
    BM_TRY(bm_store_require(&e, s, path, BM_U8, NULL));
    BM_TRY(bm_store_load((void **)out, s, e, BM_JSON_MOST));
    BM_TRY(bm_json_parse(&value, *out, path));
    json_decref(value);
    return BM_OK;
}

static bm_status read_texts(bm_checkpoint *c)
{
    bm_ckpt_desc *d = &c->desc;
    BM_TRY(load_json(&c->text[0], c->store, "/config/json", 1));
    BM_TRY(load_json(&c->text[1], c->store, "/sched/json", 0));
    BM_TRY(load_json(&c->text[2], c->store, "/provenance/json", 1));
    BM_TRY(load_json(&c->text[3], c->store, "/encoding/json", 0));
    BM_TRY(load_json(&c->text[4], c->store, "/tokenizer/json", 0));
    d->config_json = c->text[0];
    d->sched_json = c->text[1];
    d->provenance_json = c->text[2];
    d->encoding_json = c->text[3];
    d->tokenizer_json = c->text[4];
    if (!d->tokenizer_json) return BM_OK;
    const bm_entry *e;
    BM_TRY(bm_store_require(&e, c->store, "/tokenizer/blob", BM_U8, NULL));
    BM_TRY(bm_store_load((void **)&c->text[5], c->store, e, MOST_BLOB));
    d->tokenizer_blob = c->text[5];
    d->tokenizer_blob_bytes = (size_t)e->bytes;
    return BM_OK;
}

static bm_status param_attrs(bm_ckpt_param *p, const bm_store *s, const char *path)
{
    uint64_t trainable;
    const char *dtype;
    p->name = path + strlen("/params/");
    BM_TRY(bm_store_attr_text(&dtype, s, path, "dtype"));
    BM_TRY(bm_store_attr_text(&p->semantic, s, path, "semantic"));
    BM_TRY(bm_store_attr_u64(&trainable, s, path, "trainable"));
    p->trainable = trainable != 0;
    if (bm_dtype_parse(&p->dtype, dtype)) return bm_refuse(BM_RULE_SCHEMA, "%s: its dtype is \"%s\"", path, dtype);
    return BM_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const bm_ckpt_param *)a)->name, ((const bm_ckpt_param *)b)->name);
}

/* Every tied parameter takes the shape of the one it names, which has a tensor. */
static bm_status resolve_ties(bm_checkpoint *c)
{
    for (int64_t i = 0; i < c->desc.params; i++) {
        bm_ckpt_param *p = c->param + i;
        if (!p->tied_to) continue;
        int64_t other = bm_checkpoint_find(c, p->tied_to);
        if (other < 0 || c->param[other].tied_to)
            return bm_refuse(BM_RULE_SCHEMA, "/params/%s is tied to \"%s\", which has no tensor", p->name, p->tied_to);
        p->shape = c->param[other].shape;
    }
    return BM_OK;
}

static bm_status read_params(bm_checkpoint *c)
{
    const bm_store *s = c->store;
    size_t room = 0;
    for (int64_t i = 0; i < bm_store_count(s) + bm_store_group_count(s); i++) {
        const bm_entry *e = i < bm_store_count(s) ? bm_store_at(s, i) : NULL;
        const char *path = e ? e->path : bm_store_group_at(s, i - bm_store_count(s));
        const bm_attr *tied = e ? NULL : bm_store_attr(s, path, "tied_to");
        bm_ckpt_param p = {0};
        if (strncmp(path, "/params/", 8) || (!e && !tied)) continue;
        BM_TRY(param_attrs(&p, s, path));
        if (e && e->dtype != p.dtype)
            return bm_refuse(BM_RULE_SCHEMA, "%s is %s and says %s", path, bm_dtype_name(e->dtype),
                             bm_dtype_name(p.dtype));
        if (e) p.shape = e->shape;
        if (tied) BM_TRY(bm_store_attr_text(&p.tied_to, s, path, "tied_to"));
        bm_ckpt_param *grown = bm_grow(c->param, &room, c->desc.params, sizeof *grown);
        if (!grown) return BM_ERR_MEMORY;
        c->param = grown;
        c->param[c->desc.params++] = p;
    }
    if (c->desc.params) qsort(c->param, (size_t)c->desc.params, sizeof *c->param, by_name);
    c->desc.param = c->param;
    return resolve_ties(c);
}

int64_t bm_checkpoint_find(const bm_checkpoint *c, const char *name)
{
    bm_ckpt_param key = {.name = name};
    const bm_ckpt_param *p = c->param ? bsearch(&key, c->param, (size_t)c->desc.params, sizeof key, by_name) : NULL;
    return p ? p - c->param : -1;
}

/* The slots are the last names of the datasets below the optimizer's group. */
static bm_status find_slots(bm_ckpt_optim *o, int64_t *datasets, const bm_store *s, const char *group)
{
    size_t n = strlen(group);
    for (int64_t i = 0; i < bm_store_count(s); i++) {
        const char *path = bm_store_at(s, i)->path;
        if (strncmp(path, group, n) || path[n] != '/') continue;
        const char *slot = strrchr(path, '/') + 1;
        int k = 0;
        while (k < o->slots && strcmp(o->slot[k], slot)) k++;
        if (k == BM_CKPT_MOST_SLOTS)
            return bm_refuse(BM_RULE_SCHEMA, "%s holds more than %d tensors a parameter", group, k);
        if (k == o->slots) o->slot[o->slots++] = slot;
        ++*datasets;
    }
    return BM_OK;
}

static int has_slots(const bm_ckpt_param *p) { return p->trainable && !p->tied_to; }

/* A slot's dataset into *out; asks for its type and shape. */
static bm_status find_slot(const bm_entry **out, const bm_checkpoint *c, const bm_ckpt_optim *o, const bm_ckpt_param *p,
                           int slot)
{
    bm_str path;
    bm_str_init(&path);
    bm_str_addf(&path, "/optim/%s/%s/%s", o->name, p->name, o->slot[slot]);
    bm_status status = bm_str_status(&path);
    if (!status) status = bm_store_require(out, c->store, bm_str_text(&path), BM_F32, &p->shape);
    bm_str_finish(&path);
    return status;
}

static bm_status read_hypers(bm_ckpt_optim *o, bm_checkpoint *c, const char *group)
{
    const bm_store *s = c->store;
    bm_ckpt_number *hyper = bm_arena_alloc(&c->arena, BM_H5_MOST_ATTRS * sizeof *hyper);
    if (!hyper) return BM_ERR_MEMORY;
    for (int64_t i = 0; i < bm_store_attr_count(s); i++) {
        const bm_attr *a = bm_store_attr_at(s, i);
        if (strcmp(a->object, group) || a->is_text || a->dtype != BM_F64 || a->shape.rank) continue;
        hyper[o->hypers].name = a->name;
        BM_TRY(bm_store_attr_f64(&hyper[o->hypers++].value, s, group, a->name));
    }
    o->hyper = hyper;
    return BM_OK;
}

static bm_status read_optim(bm_ckpt_optim *o, bm_checkpoint *c, const char *group)
{
    const bm_entry *e;
    int64_t datasets = 0, due = 0;
    o->name = group + strlen("/optim/");
    BM_TRY(bm_store_attr_text(&o->type, c->store, group, "type"));
    BM_TRY(bm_store_attr_u64(&o->t, c->store, group, "t"));
    BM_TRY(read_hypers(o, c, group));
    BM_TRY(find_slots(o, &datasets, c->store, group));
    for (int64_t i = 0; i < c->desc.params; i++)
        for (int k = 0; has_slots(c->param + i) && k < o->slots; k++, due++)
            BM_TRY(find_slot(&e, c, o, c->param + i, k));
    if (datasets != due) return bm_refuse(BM_RULE_SCHEMA, "%s holds tensors of no parameter", group);
    return BM_OK;
}

static bm_status read_optims(bm_checkpoint *c)
{
    const bm_store *s = c->store;
    int64_t n = 0;
    for (int64_t i = 0; i < bm_store_group_count(s); i++) {
        const char *group = bm_store_group_at(s, i);
        n += !strncmp(group, "/optim/", 7) && !strchr(group + 7, '/');
    }
    if (n > BM_H5_MOST_ATTRS) return bm_refuse(BM_RULE_SCHEMA, "%" PRId64 " optimizers", n);
    bm_ckpt_optim *optim = bm_arena_alloc(&c->arena, (size_t)(n + 1) * sizeof *optim);
    if (!optim) return BM_ERR_MEMORY;
    c->desc.optim = optim;
    for (int64_t i = 0; i < bm_store_group_count(s); i++) {
        const char *group = bm_store_group_at(s, i);
        if (!strncmp(group, "/optim/", 7) && !strchr(group + 7, '/'))
            BM_TRY(read_optim(optim + c->desc.optims++, c, group));
    }
    return BM_OK;
}

/* One number of 8 bytes, checked against its hash. */
static bm_status read_scalar(void *out, const bm_store *s, const char *path, bm_dtype dtype)
{
    const bm_entry *e;
    void *value;
    bm_shape scalar = bm_shape_of(0, NULL);
    BM_TRY(bm_store_require(&e, s, path, dtype, &scalar));
    BM_TRY(bm_store_load(&value, s, e, 8));
    memcpy(out, value, 8);
    bm_free(value);
    return BM_OK;
}

static bm_status read_state(bm_checkpoint *c)
{
    const bm_store *s = c->store;
    bm_ckpt_state *state = &c->desc.state;
    const bm_entry *e;
    BM_TRY(read_scalar(&state->step, s, "/state/step", BM_U64));
    BM_TRY(read_scalar(&state->tokens_seen, s, "/state/tokens_seen", BM_U64));
    BM_TRY(read_scalar(&state->samples_seen, s, "/state/samples_seen", BM_U64));
    BM_TRY(read_scalar(&state->epoch, s, "/state/epoch", BM_U64));
    BM_TRY(read_scalar(&state->best_metric, s, "/state/best_metric", BM_F64));
    BM_TRY(read_scalar(&state->data_seed, s, "/state/data/seed", BM_U64));
    BM_TRY(read_scalar(&state->data_epoch, s, "/state/data/epoch", BM_U64));
    BM_TRY(read_scalar(&state->data_sample, s, "/state/data/sample_in_epoch", BM_U64));
    BM_TRY(read_scalar(&state->global_batch, s, "/state/data/global_batch", BM_U64));
    BM_TRY(bm_store_attr_text(&state->dataset_uuid, s, "/state/data", "dataset_uuid"));
    BM_TRY(bm_store_require(&e, s, "/state/rng", BM_U64, NULL));
    if (e->shape.rank != 2 || e->shape.dim[1] != 4) return bm_refuse(BM_RULE_SCHEMA, "/state/rng is not u64[S, 4]");
    BM_TRY(bm_store_load(&c->rng, s, e, MOST_BLOB));
    state->rng = c->rng;
    state->rngs = e->shape.dim[0];
    return BM_OK;
}

static bm_status read_column(bm_checkpoint *c, const bm_entry *e, bm_dtype dtype, int64_t rows)
{
    bm_shape shape = bm_shape_of(1, &rows);
    if (e->dtype != dtype || !bm_shape_equal(&e->shape, &shape))
        return bm_refuse(BM_RULE_SCHEMA, "%s is not %s[%" PRId64 "]", e->path, bm_dtype_name(dtype), rows);
    return bm_store_load(&c->column[c->columns++], c->store, e, MOST_COLUMN);
}

static bm_status read_history(bm_checkpoint *c)
{
    const bm_store *s = c->store;
    bm_ckpt_history *h = &c->desc.history;
    const bm_entry *step;
    int64_t n = 1;
    BM_TRY(bm_store_require(&step, s, "/history/step", BM_U64, NULL));
    if (step->shape.rank != 1) return bm_refuse(BM_RULE_SCHEMA, "/history/step is not u64[rows]");
    h->rows = step->shape.dim[0];
    for (int64_t i = 0; i < bm_store_count(s); i++) n += !strncmp(bm_store_at(s, i)->path, "/history/", 9);
    bm_ckpt_column *column = bm_arena_alloc(&c->arena, (size_t)n * sizeof *column);
    c->column = bm_arena_alloc(&c->arena, (size_t)n * sizeof *c->column);
    if (!column || !c->column) return BM_ERR_MEMORY;
    h->column = column;
    BM_TRY(read_column(c, step, BM_U64, h->rows));
    h->step = c->column[0];
    for (int64_t i = 0; i < bm_store_count(s); i++) {
        const bm_entry *e = bm_store_at(s, i);
        if (strncmp(e->path, "/history/", 9) || e == step) continue;
        BM_TRY(read_column(c, e, BM_F64, h->rows));
        bm_ckpt_column *k = column + h->columns++;
        k->name = e->path + 9;
        k->value = c->column[c->columns - 1];
        if (bm_store_attr(s, e->path, "units")) BM_TRY(bm_store_attr_text(&k->units, s, e->path, "units"));
    }
    return BM_OK;
}

static bm_status read_all(bm_checkpoint *c)
{
    if (bm_store_get_kind(c->store) != BM_STORE_CHECKPOINT)
        return bm_refuse(BM_RULE_SCHEMA, "a dataset, where a checkpoint is due");
    BM_TRY(read_texts(c));
    BM_TRY(read_params(c));
    BM_TRY(read_optims(c));
    BM_TRY(read_state(c));
    return read_history(c);
}

bm_status bm_checkpoint_open(bm_checkpoint **out, const char *path)
{
    bm_status status;
    *out = NULL;
    bm_checkpoint *c = bm_calloc(1, sizeof *c);
    if (!c) return BM_ERR_MEMORY;
    BM_GO(bm_run_resolve(&c->path, path));
    BM_GO(bm_store_open(&c->store, c->path));
    status = bm_fail_prefix(read_all(c), "%s", c->path);
done:
    if (status)
        bm_checkpoint_close(c);
    else
        *out = c;
    return status;
}

void bm_checkpoint_close(bm_checkpoint *c)
{
    if (!c) return;
    for (size_t i = 0; i < sizeof c->text / sizeof *c->text; i++) bm_free(c->text[i]);
    for (int64_t i = 0; i < c->columns; i++) bm_free(c->column[i]);
    bm_free(c->rng);
    bm_free(c->param);
    bm_arena_finish(&c->arena);
    bm_store_close(c->store);
    bm_free(c->path);
    bm_free(c);
}

const bm_ckpt_desc *bm_checkpoint_desc(const bm_checkpoint *c) { return &c->desc; }
bm_store *bm_checkpoint_store(const bm_checkpoint *c) { return c->store; }
const char *bm_checkpoint_path(const bm_checkpoint *c) { return c->path; }

/* The dataset of a tensor that is not tied. */
static bm_status find_entry(const bm_entry **out, const bm_checkpoint *c, const bm_ckpt_tensor *t)
{
    const bm_ckpt_param *p = c->param + t->param;
    if (t->optim >= 0) return find_slot(out, c, c->desc.optim + t->optim, p, t->slot);
    bm_str path;
    bm_str_init(&path);
    bm_str_addf(&path, "/params/%s", p->name);
    bm_status status = bm_str_status(&path);
    if (!status) status = bm_store_require(out, c->store, bm_str_text(&path), p->dtype, &p->shape);
    bm_str_finish(&path);
    return status;
}

const bm_entry *bm_checkpoint_entry(const bm_checkpoint *c, const bm_ckpt_tensor *t)
{
    const bm_entry *e = NULL;
    if (!c->param[t->param].tied_to) find_entry(&e, c, t);
    return e;
}

/* A stream of one tensor to the caller. */
typedef struct stream {
    const bm_ckpt_tensor *tensor;
    bm_ckpt_take take;
    void *user;
} stream;

static bm_status hand_over(void *user, const bm_entry *e, const void *data, int64_t first, int64_t count)
{
    const stream *s = user;
    (void)e;
    return s->take(s->user, s->tensor, data, first, count);
}

static bm_status read_tensor(const bm_checkpoint *c, const bm_ckpt_tensor *t, void *buffer, bm_ckpt_take take,
                             void *user)
{
    const bm_entry *e;
    bm_ckpt_tensor own = *t;
    if (t->optim < 0 && c->param[t->param].tied_to) own.param = bm_checkpoint_find(c, c->param[t->param].tied_to);
    BM_TRY(find_entry(&e, c, &own));
    return bm_store_stream(c->store, e, buffer, hand_over, &(stream){t, take, user});
}

bm_status bm_checkpoint_read(const bm_checkpoint *c, const bm_ckpt_tensor *t, bm_ckpt_take take, void *user)
{
    return read_tensor(c, t, NULL, take, user);
}

bm_status bm_checkpoint_read_all(const bm_checkpoint *c, bm_ckpt_take take, void *user)
{
    bm_status status = BM_OK;
    const bm_ckpt_desc *d = &c->desc;
    void *buffer = bm_alloc_aligned(BM_H5_ALIGN, (size_t)BM_LEAF_MOST);
    if (!buffer) return BM_ERR_MEMORY;
    for (int64_t i = 0; i < d->params; i++)
        if (!d->param[i].tied_to) BM_GO(read_tensor(c, &(bm_ckpt_tensor){i, -1, -1}, buffer, take, user));
    for (int64_t o = 0; o < d->optims; o++)
        for (int64_t i = 0; i < d->params; i++)
            for (int k = 0; has_slots(d->param + i) && k < d->optim[o].slots; k++)
                BM_GO(read_tensor(c, &(bm_ckpt_tensor){i, o, k}, buffer, take, user));
done:
    bm_free_aligned(buffer);
    return status;
}
