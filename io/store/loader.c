#include "io/store/loader.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "core/base/checked.h"
#include "core/base/mem.h"
#include "io/store/data_priv.h"
#include "io/store/dataset_priv.h"
#include "io/store/part_priv.h"

enum { FREE, READING, READY };

/* A look at a slot costs some nanoseconds, putting a thread to sleep and waking it some thousands: so the caller looks
 * for about as long as reading a batch from the page cache takes before it sleeps. */
enum { LOOKS = 4000 };

/* A batch as it lies in the file: of tokens [batch, window + 1] ids, u16 or u32; else samples (samples.h). */
typedef struct slot {
    uint8_t *raw;
    uint64_t batch;   /* its number since the last set_cursor; valid while state is not FREE */
    atomic_int state; /* FREE, READING or READY; written under the lock, once looked at without it */
    bm_error error;   /* of the reader; status BM_OK: none */
} slot;

struct bm_loader {
    const bm_data *data;
    const bm_tokens *tokens;   /* one of the two */
    const bm_samples *samples;
    const bm_entry *ids;       /* of tokens */
    bm_loader_opts opts;
    uint64_t count;   /* samples of an epoch */
    int64_t first;    /* of the part, in tokens or samples */
    size_t row_bytes;

    pthread_mutex_t lock;
    pthread_cond_t work, ready; /* a slot was freed; one was filled */
    slot *ring;                 /* batch b goes to ring[b % ahead] */
    bm_cursor origin;           /* where batch 0 begins */
    uint64_t to_read, to_take;  /* the next batch for a reader; for the caller */
    int busy;                   /* readers at work */
    int paused, stop;
    pthread_t *thread;
    int threads;
};

bm_loader_opts bm_loader_opts_default(void)
{
    return (bm_loader_opts){.split = "train", .shuffle = 1, .threads = 2, .ahead = 8};
}

/* Samples that batch b holds: all, but for the end of a single pass. */
static int64_t rows_of(const bm_loader *l, uint64_t b)
{
    uint64_t batch = (uint64_t)l->opts.batch, left = l->count - l->origin.sample;
    if (!l->opts.once) return l->opts.batch;
    if (b >= (left + batch - 1) / batch) return 0;
    return left - b * batch < batch ? (int64_t)(left - b * batch) : l->opts.batch;
}

/* The sample of row r of batch b, and its epoch. */
static uint64_t sample_of(const bm_loader *l, uint64_t *epoch, uint64_t b, int64_t r)
{
    uint64_t at = l->origin.sample + b * (uint64_t)l->opts.batch + (uint64_t)r, sample = at % l->count;
    *epoch = l->origin.epoch + at / l->count;
    return l->opts.shuffle ? bm_permute(l->count, l->opts.seed, *epoch, sample) : sample;
}

/* Where in the file it begins: a token or a sample. */
static int64_t place_of(const bm_loader *l, uint64_t sample)
{
    return l->first + (int64_t)sample * (l->tokens ? l->opts.window : 1);
}

static bm_status read_batch(const bm_loader *l, slot *s, uint64_t b)
{
    uint64_t epoch;
    for (int64_t r = 0, rows = rows_of(l, b); r < rows; r++) {
        const int64_t at = place_of(l, sample_of(l, &epoch, b, r));
        void *raw = s->raw + (size_t)r * l->row_bytes;
        BM_TRY(l->tokens ? bm_store_read(bm_tokens_store(l->tokens), l->ids, raw, at, l->opts.window + 1)
                         : bm_samples_read(l->samples, raw, at));
    }
    return BM_OK;
}

/* Takes the next batch that nobody has begun and fills its slot; called, and returns, with the lock held. */
static void fill_next(bm_loader *l)
{
    uint64_t b = l->to_read++;
    slot *s = l->ring + b % (uint64_t)l->opts.ahead;
    s->state = READING;
    s->batch = b;
    l->busy++;
    pthread_mutex_unlock(&l->lock);
    bm_status status = read_batch(l, s, b);
    pthread_mutex_lock(&l->lock);
    s->error.status = status;
    if (status) s->error = *bm_last_error();
    s->state = READY;
    l->busy--;
    pthread_cond_broadcast(&l->ready);
}

static void *read_ahead(void *arg)
{
    bm_loader *l = arg;
    pthread_mutex_lock(&l->lock);
    while (!l->stop) {
        const slot *s = l->ring + l->to_read % (uint64_t)l->opts.ahead;
        if (l->paused || s->state != FREE || !rows_of(l, l->to_read))
            pthread_cond_wait(&l->work, &l->lock);
        else
            fill_next(l);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

static bm_status check_part(bm_loader *l)
{
    int64_t count, all;
    const bm_loader_opts *o = &l->opts;
    const bm_store *store = bm_data_store(l->data);
    BM_TRY(bm_part_find(&l->first, &all, store, o->split, bm_data_count(l->data)));
    BM_TRY(bm_data_part(&count, l->data, o->split, o->window));
    l->count = (uint64_t)count;
    if (!count && l->tokens)
        return bm_fail(BM_ERR_CONFIG,
                       "%s: part \"%s\" has %" PRId64 " tokens; a window of %" PRId64
                       " needs one more than its length: shorten it",
                       bm_store_path(store), o->split, all, o->window);
    if (!count) return bm_fail(BM_ERR_CONFIG, "%s: part \"%s\" has no samples", bm_store_path(store), o->split);
    if (o->limit > 0 && o->limit < count) l->count = (uint64_t)o->limit;
    return BM_OK;
}

static bm_status check_opts(bm_loader *l)
{
    const bm_loader_opts *o = &l->opts;
    int64_t row, all;
    if ((l->tokens && o->window < 1) || o->batch < 1)
        return bm_fail(BM_ERR_CONFIG, "a window of %" PRId64 " tokens, a batch of %" PRId64, o->window, o->batch);
    if (o->threads < 0 || o->threads > 64 || o->ahead < 1 || o->ahead > 1024)
        return bm_fail(BM_ERR_USAGE, "a loader of %d threads, %d batches ahead", o->threads, o->ahead);
    BM_TRY(check_part(l));
    l->row_bytes = l->tokens ? (size_t)(o->window + 1) * bm_dtype_size(l->ids->dtype) : bm_samples_raw_bytes(l->samples);
    if (bm_mul_i64(&row, (int64_t)l->row_bytes, o->batch) || bm_mul_i64(&all, row, o->ahead) || all > INT64_MAX / 2)
        return bm_fail(BM_ERR_CONFIG, "a batch of %" PRId64 " samples does not fit the memory", o->batch);
    if (o->start.sample >= l->count)
        return bm_fail(BM_ERR_USAGE, "%s: sample %" PRIu64 " of an epoch of %" PRIu64, bm_store_path(bm_data_store(l->data)),
                       o->start.sample, l->count);
    l->origin = o->start;
    return BM_OK;
}

bm_status bm_loader_create(bm_loader **out, const bm_data *data, const bm_loader_opts *opts)
{
    bm_status status;
    *out = NULL;
    bm_loader *l = bm_calloc(1, sizeof *l);
    if (!l) return BM_ERR_MEMORY;
    l->data = data;
    l->tokens = bm_data_tokens(data);
    l->samples = bm_data_samples(data);
    if (l->tokens) l->ids = bm_store_find(bm_tokens_store(l->tokens), "/tokens/ids");
    l->opts = *opts;
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->work, NULL);
    pthread_cond_init(&l->ready, NULL);
    BM_GO(check_opts(l));
    l->ring = bm_calloc((size_t)opts->ahead, sizeof *l->ring);
    l->thread = l->ring ? bm_calloc((size_t)opts->threads, sizeof *l->thread) : NULL;
    if (!l->thread) status = BM_ERR_MEMORY;
    for (int i = 0; i < opts->ahead && !status; i++)
        if (!(l->ring[i].raw = bm_alloc((size_t)opts->batch * l->row_bytes))) status = BM_ERR_MEMORY;
    for (int i = 0; i < opts->threads && !status; i++) {
        int err = pthread_create(l->thread + i, NULL, read_ahead, l);
        if (err)
            status = bm_fail(BM_ERR_MEMORY, "a reader thread cannot be started: %s", strerror(err));
        else
            l->threads++;
    }
done:
    if (status)
        bm_loader_destroy(l);
    else
        *out = l;
    return status;
}

void bm_loader_destroy(bm_loader *l)
{
    if (!l) return;
    pthread_mutex_lock(&l->lock);
    l->stop = 1;
    pthread_cond_broadcast(&l->work);
    pthread_mutex_unlock(&l->lock);
    for (int i = 0; i < l->threads; i++) pthread_join(l->thread[i], NULL);
    for (int i = 0; l->ring && i < l->opts.ahead; i++) bm_free(l->ring[i].raw);
    pthread_cond_destroy(&l->ready);
    pthread_cond_destroy(&l->work);
    pthread_mutex_destroy(&l->lock);
    bm_free(l->ring);
    bm_free(l->thread);
    bm_free(l);
}

int64_t bm_loader_samples(const bm_loader *l) { return (int64_t)l->count; }

/* n + 1 ids become n inputs and n targets, in blocks of a fixed length so that the compiler makes vectors of them.
 * Returns the place of the first id that is too large, or -1. */
#define BLOCK 16
#define WIDEN(name, type)                                                                                              \
    static int64_t name(int32_t *restrict inputs, int32_t *restrict targets, const type *restrict ids, int64_t n,      \
                        uint32_t vocab)                                                                                \
    {                                                                                                                  \
        uint32_t bad = ids[0] >= vocab;                                                                                \
        int64_t i = 0;                                                                                                 \
        for (; i + BLOCK <= n; i += BLOCK)                                                                             \
            for (int k = 0; k < BLOCK; k++) {                                                                          \
                inputs[i + k] = (int32_t)ids[i + k];                                                                   \
                targets[i + k] = (int32_t)ids[i + k + 1];                                                              \
                bad |= ids[i + k + 1] >= vocab;                                                                        \
            }                                                                                                          \
        for (; i < n; i++) {                                                                                           \
            inputs[i] = (int32_t)ids[i];                                                                               \
            targets[i] = (int32_t)ids[i + 1];                                                                          \
            bad |= ids[i + 1] >= vocab;                                                                                \
        }                                                                                                              \
        for (i = 0; bad && i <= n; i++)                                                                                \
            if (ids[i] >= vocab) return i;                                                                             \
        return -1;                                                                                                     \
    }
WIDEN(widen_u16, uint16_t)
WIDEN(widen_u32, uint32_t)

static bm_status widen_row(const bm_loader *l, bm_batch *b, int64_t row, const void *raw, int64_t at)
{
    const int64_t window = l->opts.window;
    const uint32_t vocab = (uint32_t)bm_tokens_vocab(l->tokens);
    int32_t *inputs = (int32_t *)b->input + row * window, *targets = (int32_t *)b->target + row * window;
    int64_t bad = l->ids->dtype == BM_U16 ? widen_u16(inputs, targets, raw, window, vocab) : widen_u32(inputs, targets, raw, window, vocab);
    if (bad < 0) return BM_OK;
    int64_t id = l->ids->dtype == BM_U16 ? ((const uint16_t *)raw)[bad] : ((const uint32_t *)raw)[bad];
    return bm_tokens_bad_id(l->tokens, id, at + bad);
}

static bm_status decode_batch(const bm_loader *l, bm_batch *b, const slot *s, int64_t rows)
{
    for (int64_t r = 0; r < rows; r++) {
        uint64_t epoch;
        const void *raw = s->raw + (size_t)r * l->row_bytes;
        const int64_t at = place_of(l, sample_of(l, &epoch, s->batch, r));
        BM_TRY(l->tokens ? widen_row(l, b, r, raw, at) : bm_samples_decode(l->samples, b, r, raw, at, &l->opts.augment, epoch));
    }
    bm_batch_void(b, rows);
    return BM_OK;
}

bm_status bm_loader_next(bm_loader *l, bm_batch *b, int64_t *filled)
{
    bm_status status;
    int64_t rows = rows_of(l, l->to_take);
    if (filled) *filled = rows;
    if (!rows) return BM_OK;
    slot *s = l->ring + l->to_take % (uint64_t)l->opts.ahead;
    pthread_mutex_lock(&l->lock);
    if (l->to_read == l->to_take) fill_next(l); /* no thread has begun it: quicker than to wait for one */
    pthread_mutex_unlock(&l->lock);
    for (int i = 0; i < LOOKS && atomic_load_explicit(&s->state, memory_order_acquire) != READY; i++) continue;
    if (atomic_load_explicit(&s->state, memory_order_acquire) != READY) {
        pthread_mutex_lock(&l->lock);
        while (s->state != READY) pthread_cond_wait(&l->ready, &l->lock);
        pthread_mutex_unlock(&l->lock);
    }

    status = s->error.status ? bm_error_restore(&s->error) : decode_batch(l, b, s, rows);
    if (status) return status; /* the cursor stays: the same batch fails again */

    pthread_mutex_lock(&l->lock);
    s->state = FREE;
    l->to_take++;
    /* Readers sleep when the ring is full and are woken when half of it is free: each wake is worth several batches. */
    if ((l->to_read - l->to_take) * 2 <= (uint64_t)l->opts.ahead) pthread_cond_broadcast(&l->work);
    pthread_mutex_unlock(&l->lock);
    return BM_OK;
}

bm_cursor bm_loader_get_cursor(const bm_loader *l)
{
    uint64_t at = l->origin.sample + l->to_take * (uint64_t)l->opts.batch;
    if (l->opts.once && at > l->count) at = l->count;
    return (bm_cursor){l->origin.epoch + at / l->count, at % l->count};
}

bm_status bm_loader_set_cursor(bm_loader *l, bm_cursor at)
{
    if (at.sample >= l->count)
        return bm_fail(BM_ERR_USAGE, "sample %" PRIu64 " of an epoch of %" PRIu64, at.sample, l->count);
    pthread_mutex_lock(&l->lock);
    l->paused = 1;
    while (l->busy) pthread_cond_wait(&l->ready, &l->lock);
    for (int i = 0; i < l->opts.ahead; i++) l->ring[i].state = FREE;
    l->origin = at;
    l->to_read = l->to_take = 0;
    l->paused = 0;
    pthread_cond_broadcast(&l->work);
    pthread_mutex_unlock(&l->lock);
    return BM_OK;
}
