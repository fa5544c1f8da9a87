#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "io/store/checkpoint.h"
#include "io/store/writer.h"

bm_ckpt_desc bm_ckpt_desc_default(void)
{
    return (bm_ckpt_desc){
        .config_json = "{}", .provenance_json = "{}", .state = {.best_metric = (double)NAN, .dataset_uuid = ""}};
}

bm_ckpt_write_opts bm_ckpt_write_opts_default(void) { return (bm_ckpt_write_opts){.buffer_bytes = (size_t)16 << 20}; }

/* A write under way. */
typedef struct job {
    const bm_ckpt_desc *desc;
    bm_writer *w;
    bm_str path; /* the one being made */
    bm_ckpt_fill fill;
    void *user;
    void *buffer;
    size_t room;
    int64_t next; /* dataset to be put */
} job;

static const char *path_of(job *j, const char *fmt, const char *a, const char *b, const char *c)
{
    bm_str_clear(&j->path);
    bm_str_addf(&j->path, fmt, a, b, c);
    return bm_str_text(&j->path);
}

static bm_status text_dataset(bm_writer *w, const char *path, const char *text)
{
    return text ? bm_writer_bytes(w, path, text, strlen(text)) : BM_OK;
}

static bm_status describe_texts(job *j)
{
    const bm_ckpt_desc *d = j->desc;
    BM_TRY(text_dataset(j->w, "/config/json", d->config_json));
    BM_TRY(text_dataset(j->w, "/sched/json", d->sched_json));
    BM_TRY(text_dataset(j->w, "/provenance/json", d->provenance_json));
    BM_TRY(text_dataset(j->w, "/encoding/json", d->encoding_json));
    BM_TRY(text_dataset(j->w, "/tokenizer/json", d->tokenizer_json));
    return d->tokenizer_json ? bm_writer_bytes(j->w, "/tokenizer/blob", d->tokenizer_blob, d->tokenizer_blob_bytes)
                             : BM_OK;
}

static bm_status describe_param(job *j, const bm_ckpt_param *p)
{
    static const uint8_t flag[2] = {0, 1};
    bm_shape scalar = bm_shape_of(0, NULL);
    const char *path = path_of(j, "/params/%s%s%s", p->name, "", "");
    BM_TRY(bm_str_status(&j->path));
    BM_TRY(p->tied_to ? bm_writer_group(j->w, path) : bm_writer_dataset(NULL, j->w, path, p->dtype, &p->shape));
    BM_TRY(bm_writer_attr_text(j->w, path, "dtype", bm_dtype_name(p->dtype)));
    BM_TRY(bm_writer_attr_text(j->w, path, "semantic", p->semantic));
    BM_TRY(bm_writer_attr(j->w, path, "trainable", BM_U8, &scalar, &flag[p->trainable != 0]));
    return p->tied_to ? bm_writer_attr_text(j->w, path, "tied_to", p->tied_to) : BM_OK;
}

static int has_slots(const bm_ckpt_param *p) { return p->trainable && !p->tied_to; }

static bm_status describe_optim(job *j, const bm_ckpt_optim *o)
{
    const char *path = path_of(j, "/optim/%s%s%s", o->name, "", "");
    BM_TRY(bm_str_status(&j->path));
    if (o->slots < 0 || o->slots > BM_CKPT_MOST_SLOTS)
        return bm_fail(BM_ERR_USAGE, "optimizer %s has %d slots", o->name, o->slots);
    BM_TRY(bm_writer_group(j->w, path));
    BM_TRY(bm_writer_attr_text(j->w, path, "type", o->type));
    BM_TRY(bm_writer_attr_u64(j->w, path, "t", o->t));
    for (int64_t i = 0; i < o->hypers; i++) BM_TRY(bm_writer_attr_f64(j->w, path, o->hyper[i].name, o->hyper[i].value));
    for (int64_t i = 0; i < j->desc->params; i++) {
        const bm_ckpt_param *p = j->desc->param + i;
        for (int k = 0; has_slots(p) && k < o->slots; k++) {
            path = path_of(j, "/optim/%s/%s/%s", o->name, p->name, o->slot[k]);
            BM_TRY(bm_str_status(&j->path));
            BM_TRY(bm_writer_dataset(NULL, j->w, path, BM_F32, &p->shape));
        }
    }
    return BM_OK;
}

static bm_status describe_state(job *j, int64_t *rng)
{
    const bm_ckpt_state *s = &j->desc->state;
    const struct {
        const char *path;
        const uint64_t *value;
    } counter[] = {{"/state/step", &s->step},
                   {"/state/tokens_seen", &s->tokens_seen},
                   {"/state/samples_seen", &s->samples_seen},
                   {"/state/epoch", &s->epoch},
                   {"/state/data/seed", &s->data_seed},
                   {"/state/data/epoch", &s->data_epoch},
                   {"/state/data/sample_in_epoch", &s->data_sample},
                   {"/state/data/global_batch", &s->global_batch}};
    for (size_t i = 0; i < sizeof counter / sizeof *counter; i++)
        BM_TRY(bm_writer_numbers(j->w, counter[i].path, BM_U64, counter[i].value, -1));
    BM_TRY(bm_writer_numbers(j->w, "/state/best_metric", BM_F64, &s->best_metric, -1));
    bm_shape shape = bm_shape_of(2, (int64_t[]){s->rngs, 4});
    BM_TRY(bm_writer_dataset(rng, j->w, "/state/rng", BM_U64, &shape));
    return bm_writer_attr_text(j->w, "/state/data", "dataset_uuid", s->dataset_uuid ? s->dataset_uuid : "");
}

static bm_status describe_history(job *j)
{
    const bm_ckpt_history *h = &j->desc->history;
    BM_TRY(bm_writer_numbers(j->w, "/history/step", BM_U64, h->step, h->rows));
    for (int64_t i = 0; i < h->columns; i++) {
        const char *path = path_of(j, "/history/%s%s%s", h->column[i].name, "", "");
        BM_TRY(bm_str_status(&j->path));
        BM_TRY(bm_writer_numbers(j->w, path, BM_F64, h->column[i].value, h->rows));
        if (h->column[i].units) BM_TRY(bm_writer_attr_text(j->w, path, "units", h->column[i].units));
    }
    return BM_OK;
}

/* One tensor through the staging buffer into the next dataset. */
static bm_status put_tensor(job *j, const bm_ckpt_tensor *t)
{
    const bm_ckpt_param *p = j->desc->param + t->param;
    size_t size = bm_dtype_size(t->optim < 0 ? p->dtype : BM_F32);
    int64_t all = bm_shape_elements(&p->shape), most = (int64_t)(j->room / size);
    for (int64_t at = 0; at < all;) {
        int64_t n = all - at < most ? all - at : most;
        BM_TRY(j->fill(j->user, t, j->buffer, at, n));
        BM_TRY(bm_writer_put(j->w, j->next, j->buffer, at, n));
        at += n;
    }
    j->next++;
    return BM_OK;
}

static bm_status put_tensors(job *j)
{
    const bm_ckpt_desc *d = j->desc;
    for (int64_t i = 0; i < d->params; i++)
        if (!d->param[i].tied_to) BM_TRY(put_tensor(j, &(bm_ckpt_tensor){i, -1, -1}));
    for (int64_t o = 0; o < d->optims; o++)
        for (int64_t i = 0; i < d->params; i++)
            for (int k = 0; has_slots(d->param + i) && k < d->optim[o].slots; k++)
                BM_TRY(put_tensor(j, &(bm_ckpt_tensor){i, o, k}));
    return BM_OK;
}

/* Tensors are described first, so that their datasets are numbered from 0 in the order of putting. */
static bm_status describe(job *j, int64_t *rng)
{
    for (int64_t i = 0; i < j->desc->params; i++) BM_TRY(describe_param(j, j->desc->param + i));
    for (int64_t i = 0; i < j->desc->optims; i++) BM_TRY(describe_optim(j, j->desc->optim + i));
    BM_TRY(describe_texts(j));
    BM_TRY(describe_state(j, rng));
    return describe_history(j);
}

bm_status bm_checkpoint_write(bm_content_id *id, const char *path, const bm_ckpt_desc *desc, bm_ckpt_fill fill,
                              void *user, const bm_ckpt_write_opts *opts)
{
    bm_status status;
    bm_ckpt_write_opts o = opts ? *opts : bm_ckpt_write_opts_default();
    job j = {.desc = desc, .fill = fill, .user = user, .room = o.buffer_bytes < 4096 ? 4096 : o.buffer_bytes};
    int64_t rng = -1;
    bm_str_init(&j.path);
    j.buffer = bm_alloc_aligned(4096, j.room);
    if (!j.buffer) return BM_ERR_MEMORY;
    BM_GO(bm_writer_create(&j.w, path, &(bm_writer_opts){.kind = BM_STORE_CHECKPOINT, .replace = o.replace}));
    BM_GO(describe(&j, &rng));
    BM_GO(bm_writer_begin(j.w));
    BM_GO(put_tensors(&j));
    BM_GO(bm_writer_put(j.w, rng, desc->state.rng, 0, desc->state.rngs * 4));
    status = bm_writer_commit(id, j.w);
done:
    bm_writer_destroy(j.w);
    bm_free_aligned(j.buffer);
    bm_str_finish(&j.path);
    return status;
}
