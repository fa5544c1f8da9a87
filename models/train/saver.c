#include "models/train/saver.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/device/queue.h"

#define MOST_BANKS (2 + BM_OPTIM_MOST_STATES)
#define RAW "raw"

/* ---- reading ---- */

typedef struct loading {
    bm_params *params;
    bm_bank *bank;
    const bm_tensor *tensor;
    bm_dtype from; /* in the file */
    const bm_tensor *scale; /* NULL; else rows become i8 and scales */
    float *row;             /* that is not yet whole: `have` elements; `rows` before it are done */
    int64_t have, rows;
} loading;

/* What is there of rows, from where the last call ended: `q` and `scale` have room for the rows that become whole. */
static int64_t narrow_rows(loading *l, int8_t *q, float *scale, const float *x, int64_t count)
{
    const int64_t n = bm_shape_last(&l->tensor->shape);
    int64_t done = 0;
    while (count > 0) {
        const int64_t take = count < n - l->have ? count : n - l->have;
        memcpy(l->row + l->have, x, (size_t)take * sizeof *x);
        l->have += take;
        x += take;
        count -= take;
        if (l->have < n) continue;
        scale[done] = bm_row_to_i8(q + done * n, l->row, (size_t)n);
        done++;
        l->have = 0;
    }
    return done;
}

static bm_status take_rows(void *user, const bm_ckpt_tensor *t, const void *data, int64_t first, int64_t count)
{
    (void)t;
    (void)first;
    bm_status status = BM_OK;
    loading *l = user;
    const int64_t n = bm_shape_last(&l->tensor->shape), most = n ? (l->have + count) / n : 0;
    int8_t *q = bm_alloc((size_t)(most * n) + 1);
    float *scale = bm_alloc((size_t)(most + 1) * sizeof *scale);
    BM_GO(q && scale ? BM_OK : BM_ERR_MEMORY);
    const int64_t done = narrow_rows(l, q, scale, data, count);
    BM_GO(bm_bank_write(l->bank, l->tensor, l->rows * n, q, done * n));
    BM_GO(bm_bank_write(l->bank, l->scale, l->rows * (int64_t)sizeof *scale, scale, done * (int64_t)sizeof *scale));
    l->rows += done;
done:
    bm_free(q);
    bm_free(scale);
    return status;
}

static bm_status take(void *user, const bm_ckpt_tensor *t, const void *data, int64_t first, int64_t count)
{
    (void)t;
    const loading *l = user;
    int64_t size = (int64_t)bm_dtype_size(l->tensor->dtype);
    if (l->from == l->tensor->dtype) return bm_bank_write(l->bank, l->tensor, first * size, data, count * size);
    void *narrow = bm_alloc((size_t)(count * size) + 1);
    if (!narrow) return BM_ERR_MEMORY;
    bm_status s = bm_convert_floats(narrow, l->tensor->dtype, data, l->from, (size_t)count);
    if (!s) s = bm_bank_write(l->bank, l->tensor, first * size, narrow, count * size);
    bm_free(narrow);
    return s;
}

/* Matrices that the model keeps in 16 bits, or in 8 with scales, are narrowed. */
static bm_status check_param(const bm_ckpt_desc *d, int64_t i, const bm_tensor *t, const char *path)
{
    char have[BM_SHAPE_TEXT], want[BM_SHAPE_TEXT];
    if (i < 0) return bm_fail(BM_ERR_SHAPE, "%s has no parameter %s, which the model has", path, t->name);
    const int narrowed = d->param[i].dtype == BM_F32 && (t->dtype == BM_F16 || t->dtype == BM_BF16 || t->dtype == BM_I8);
    if ((d->param[i].dtype == t->dtype || narrowed) && bm_shape_equal(&d->param[i].shape, &t->shape)) return BM_OK;
    return bm_fail(BM_ERR_SHAPE, "%s: %s is %s %s, the model has %s %s", path, t->name, bm_dtype_name(d->param[i].dtype),
                   bm_shape_text(&d->param[i].shape, have, sizeof have), bm_dtype_name(t->dtype),
                   bm_shape_text(&t->shape, want, sizeof want));
}

static bm_status read_weight(const bm_checkpoint *from, const bm_ckpt_tensor *which, loading *l)
{
    if (!l->scale) return bm_checkpoint_read(from, which, take, l);
    l->row = bm_alloc((size_t)bm_shape_last(&l->tensor->shape) * sizeof *l->row + 1);
    const bm_status s = l->row ? bm_checkpoint_read(from, which, take_rows, l) : BM_ERR_MEMORY;
    bm_free(l->row);
    return s;
}

static int64_t find_optim(const bm_ckpt_desc *d, const char *name)
{
    for (int64_t i = 0; i < d->optims; i++)
        if (!strcmp(d->optim[i].name, name)) return i;
    return -1;
}

static int find_slot(const bm_ckpt_optim *o, const char *name)
{
    for (int i = 0; i < o->slots; i++)
        if (!strcmp(o->slot[i], name)) return i;
    return -1;
}

/* Whether t holds scales, which the file has not: they are made. */
static int is_scale(const bm_params *p, const bm_tensor *t)
{
    int i = 0;
    while (i < bm_layout_count(bm_params_layout(p)) && bm_params_scale(p, i) != t) i++;
    return i < bm_layout_count(bm_params_layout(p));
}

/* Weights that the model has no place for were not learned for nothing. */
static bm_status check_all_taken(const bm_params *p, const bm_ckpt_desc *d, const char *path)
{
    const bm_layout *layout = bm_params_layout(p);
    for (int64_t i = 0; i < d->params; i++) {
        int at = 0;
        while (at < bm_layout_count(layout) && (strcmp(bm_layout_at(layout, at)->name, d->param[i].name) ||
                                                is_scale(p, bm_layout_at(layout, at)))) at++;
        if (at == bm_layout_count(layout) && !d->param[i].tied_to)
            return bm_fail(BM_ERR_SHAPE, "%s has a parameter %s, which the model has not", path, d->param[i].name);
    }
    return BM_OK;
}

/* A state of the tensor of l, or its raw weight, into a bank. */
static bm_status read_state(loading *l, bm_place place, const bm_checkpoint *from, int64_t param, int64_t optim, const char *slot)
{
    const bm_ckpt_optim *o = &bm_checkpoint_desc(from)->optim[optim];
    const bm_ckpt_tensor which = {param, optim, find_slot(o, slot)};
    if (which.slot < 0)
        return bm_fail(BM_ERR_REFUSED, "%s: the optimizer %s has no state %s", bm_checkpoint_path(from), o->name, slot);
    l->bank = bm_params_bank(l->params, place);
    return bm_checkpoint_read(from, &which, take, l);
}

/* The optimizer's states in the file, and whether the weights there are averages, beside the raw ones. */
static bm_status check_optim(int64_t *optim, int *averaged, bm_params *p, const bm_checkpoint *from, const bm_optimizer *optimizer)
{
    const bm_ckpt_desc *d = bm_checkpoint_desc(from);
    *optim = find_optim(d, optimizer->name);
    if (*optim < 0)
        return bm_fail(BM_ERR_CONFIG, "%s has no state of the optimizer %s: use it as init of a new run", bm_checkpoint_path(from),
                       optimizer->name);
    *averaged = find_slot(&d->optim[*optim], RAW) >= 0;
    if (*averaged || !bm_params_bank(p, BM_PLACE_AVERAGE)) return BM_OK;
    return bm_fail(BM_ERR_CONFIG, "%s has no averages of weights for train.ema to go on with: set it to 0, or use the file as init of a new run",
                   bm_checkpoint_path(from));
}

bm_status bm_params_load(bm_params *p, const bm_checkpoint *from, const bm_optimizer *optimizer)
{
    const bm_ckpt_desc *d = bm_checkpoint_desc(from);
    const char *path = bm_checkpoint_path(from);
    const bm_layout *layout = bm_params_layout(p);
    int64_t optim = -1;
    int averaged = 0;
    if (optimizer) BM_TRY(check_optim(&optim, &averaged, p, from, optimizer));
    BM_TRY(check_all_taken(p, d, path));
    for (int i = 0; i < bm_layout_count(layout); i++) {
        const bm_tensor *t = bm_layout_at(layout, i);
        if (is_scale(p, t)) continue;
        int64_t at = bm_checkpoint_find(from, t->name);
        BM_TRY(check_param(d, at, t, path));
        loading l = {.params = p, .bank = bm_params_bank(p, BM_PLACE_WEIGHT), .tensor = t, .from = d->param[at].dtype,
                     .scale = bm_params_scale(p, i)};
        const bm_ckpt_tensor which = {at, -1, -1};
        BM_TRY(read_weight(from, &which, &l));
        l.bank = bm_params_bank(p, BM_PLACE_AVERAGE);
        if (l.bank) BM_TRY(read_weight(from, &which, &l));
        if (!optimizer || t->group == BM_NN_BUFFERS) continue;
        for (int s = 0; s < optimizer->slots; s++)
            BM_TRY(read_state(&l, (bm_place)(BM_PLACE_STATE0 + s), from, at, optim, optimizer->slot[s]));
        if (averaged) BM_TRY(read_state(&l, BM_PLACE_WEIGHT, from, at, optim, RAW));
    }
    return bm_params_written(p);
}

/* ---- writing ---- */

struct bm_saver {
    bm_params *params;
    const bm_optimizer *optimizer;
    bm_bank *banks[MOST_BANKS];
    char *mirror[MOST_BANKS]; /* the slabs of a bank, one after another */
    int n_banks;
    int averages;             /* the bank of the averages; 0: none */
    int64_t *slab_at;         /* slab -> offset in a mirror */
    bm_ckpt_param *param;
    bm_ckpt_optim optim;
    bm_ckpt_number hyper[BM_OPTIM_MOST_HYPER];

    bm_ckpt_desc desc;
    char *path;
    bm_status (*done)(void *user);
    void *user;
    pthread_t thread;
    int running;
    atomic_int finished; /* the thread has nothing left to do */
    bm_error error; /* of the writing thread */
};

static void describe(bm_saver *s)
{
    const bm_layout *layout = bm_params_layout(s->params);
    for (int i = 0; i < bm_layout_count(layout); i++) {
        const bm_tensor *t = bm_layout_at(layout, i);
        s->param[i] = (bm_ckpt_param){t->name, t->dtype, t->shape, bm_semantic_name(bm_params_semantic(s->params, i)),
                                      t->group != BM_NN_BUFFERS, NULL};
    }
    for (int i = 0; i < bm_params_ties(s->params); i++) {
        const bm_nn_tie *tie = bm_params_tie_at(s->params, i);
        const bm_tensor *t = bm_layout_find(layout, tie->to);
        s->param[bm_layout_count(layout) + i] =
            (bm_ckpt_param){tie->name, t->dtype, t->shape, bm_semantic_name(tie->semantic), 1, tie->to};
    }
    if (!s->optimizer) return;
    s->optim.name = s->optim.type = s->optimizer->name;
    s->optim.slots = s->optimizer->slots;
    for (int i = 0; i < s->optimizer->slots; i++) s->optim.slot[i] = s->optimizer->slot[i];
    if (s->averages) s->optim.slot[s->optim.slots++] = RAW;
    s->optim.hyper = s->hyper;
    s->optim.hypers = s->optimizer->hypers;
    for (int i = 0; i < s->optimizer->hypers; i++)
        s->hyper[i] = (bm_ckpt_number){s->optimizer->hyper[i].name, s->optimizer->hyper[i].value};
}

bm_status bm_saver_create(bm_saver **out, bm_params *params, const bm_optimizer *optimizer)
{
    *out = NULL;
    bm_status status = BM_ERR_MEMORY;
    bm_saver *s = bm_calloc(1, sizeof *s);
    if (!s) return BM_ERR_MEMORY;
    const bm_layout *layout = bm_params_layout(params);
    s->params = params;
    s->optimizer = optimizer;
    s->param = bm_calloc((size_t)(bm_layout_count(layout) + bm_params_ties(params)) + 1, sizeof *s->param);
    s->slab_at = bm_calloc((size_t)bm_layout_slabs(layout) + 1, sizeof *s->slab_at);
    if (!s->param || !s->slab_at) goto done;
    for (int i = 0; i < bm_layout_slabs(layout); i++) s->slab_at[i + 1] = s->slab_at[i] + bm_layout_slab_bytes(layout, i);
    s->banks[s->n_banks++] = bm_params_bank(params, BM_PLACE_WEIGHT);
    for (int i = 0; optimizer && i < optimizer->slots; i++)
        s->banks[s->n_banks++] = bm_params_bank(params, (bm_place)(BM_PLACE_STATE0 + i));
    if (optimizer && bm_params_bank(params, BM_PLACE_AVERAGE)) {
        s->averages = s->n_banks;
        s->banks[s->n_banks++] = bm_params_bank(params, BM_PLACE_AVERAGE);
    }
    for (int i = 0; i < s->n_banks; i++) {
        s->mirror[i] = bm_alloc((size_t)bm_layout_bytes(layout) + 1);
        if (!s->mirror[i]) goto done;
    }
    describe(s);
    status = BM_OK;
done:
    if (status) bm_saver_destroy(s);
    else *out = s;
    return status;
}

void bm_saver_destroy(bm_saver *s)
{
    if (!s) return;
    if (s->running) pthread_join(s->thread, NULL);
    for (int i = 0; i < MOST_BANKS; i++) bm_free(s->mirror[i]);
    bm_free(s->slab_at);
    bm_free(s->param);
    bm_free(s->path);
    bm_free(s);
}

/* The bank whose tensors are the parameters, or a slot, of the file. */
static int bank_of(const bm_saver *s, const bm_ckpt_tensor *which)
{
    if (which->optim < 0) return s->averages;
    return which->slot < s->optimizer->slots ? 1 + (int)which->slot : 0;
}

static bm_status fill(void *user, const bm_ckpt_tensor *which, void *data, int64_t first, int64_t count)
{
    const bm_saver *s = user;
    const bm_tensor *t = bm_layout_at(bm_params_layout(s->params), (int)which->param);
    size_t size = bm_dtype_size(t->dtype);
    const char *from = s->mirror[bank_of(s, which)] + s->slab_at[t->slab] + t->offset;
    memcpy(data, from + (size_t)first * size, (size_t)count * size);
    return BM_OK;
}

static void *write_in_background(void *arg)
{
    bm_saver *s = arg;
    bm_ckpt_write_opts o = bm_ckpt_write_opts_default();
    o.replace = 1;
    bm_status status = bm_checkpoint_write(NULL, s->path, &s->desc, fill, s, &o);
    if (!status && s->done) status = s->done(s->user);
    memset(&s->error, 0, sizeof s->error);
    if (status) s->error = *bm_last_error();
    atomic_store(&s->finished, 1);
    return NULL;
}

static bm_status snapshot(bm_saver *s)
{
    for (int i = 0; i < s->n_banks; i++) {
        bm_region *r = bm_bank_region(s->banks[i]);
        for (int j = 0; j < bm_region_slabs(r); j++) {
            cl_mem m;
            int64_t bytes = bm_region_slab_bytes(r, j);
            BM_TRY(bm_region_piece(&m, r, j, 0, bytes));
            BM_TRY(bm_queue_read(bm_bank_queue(s->banks[i]), m, 0, s->mirror[i] + s->slab_at[j], bytes));
        }
    }
    return BM_OK;
}

bm_status bm_saver_save(bm_saver *s, const char *path, const bm_ckpt_desc *desc, bm_status (*done)(void *user), void *user)
{
    BM_TRY(bm_saver_wait(s));
    BM_TRY(snapshot(s));
    bm_free(s->path);
    s->path = bm_strdup(path);
    if (!s->path) return BM_ERR_MEMORY;
    s->desc = *desc;
    s->desc.param = s->param;
    s->desc.params = bm_layout_count(bm_params_layout(s->params)) + bm_params_ties(s->params);
    s->optim.t = desc->state.step;
    s->desc.optim = &s->optim;
    s->desc.optims = s->optimizer ? 1 : 0;
    s->done = done;
    s->user = user;
    atomic_store(&s->finished, 0);
    int err = pthread_create(&s->thread, NULL, write_in_background, s);
    if (err) return bm_fail(BM_ERR_MEMORY, "no thread to write %s: %s", path, strerror(err));
    s->running = 1;
    return BM_OK;
}

int bm_saver_finished(const bm_saver *s)
{
    return !s->running || atomic_load(&s->finished);
}

bm_status bm_saver_wait(bm_saver *s)
{
    if (!s->running) return BM_OK;
    pthread_join(s->thread, NULL);
    s->running = 0;
    return s->error.status ? bm_error_restore(&s->error) : BM_OK;
}
