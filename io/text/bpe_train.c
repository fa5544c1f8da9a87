/* All distinct pretokens stand in one row of places, a byte each, with a gap behind each pretoken. A symbol takes as many
 * places as it has bytes; its id is at the first, the others are dead, and both ends hold its length, so that neighbours are
 * found either way. */
#include "io/text/bpe_train.h"

#include <string.h>

#include "core/base/mem.h"
#include "io/text/bpe_priv.h"
#include "io/text/pair_queue_priv.h"
#include "io/text/split_priv.h"
#include "io/text/word_count_priv.h"

#define GAP UINT32_MAX
#define DEAD (UINT32_MAX - 1)
#define MERGES_PER_REPORT 100

struct bm_bpe_trainer {
    bm_bpe_train_opts opts;
    bm_splitter *splitter;
    bm_word_counts words;
    uint32_t *id;     /* [n_places] */
    uint16_t *span;   /* [n_places] */
    uint32_t *gap;    /* [n_words]: the place behind each pretoken, ascending; words.count goes with it */
    size_t n_words;
    bm_pair_queue queue;
    uint32_t *merges; /* [n_merges][2] */
    uint32_t n_merges;
};

bm_bpe_train_opts bm_bpe_train_opts_default(void) { return (bm_bpe_train_opts){.vocab_size = 4096}; }

static bm_status count_word(void *user, const unsigned char *bytes, size_t n)
{
    bm_bpe_trainer *t = user;
    return bm_word_counts_add(&t->words, bytes, n);
}

bm_status bm_bpe_trainer_create(bm_bpe_trainer **out, const bm_bpe_train_opts *opts)
{
    bm_bpe_trainer *t;
    bm_status status;
    *out = NULL;
    if (opts->vocab_size < 257 || opts->vocab_size > 257 + BM_BPE_MOST_MERGES)
        return bm_fail(BM_ERR_USAGE, "a BPE vocabulary of %u: expected 257 (the bytes and end-of-text) to %zu", opts->vocab_size,
                       257 + BM_BPE_MOST_MERGES);
    t = bm_calloc(1, sizeof *t);
    if (!t) return BM_ERR_MEMORY;
    t->opts = *opts;
    bm_word_counts_init(&t->words);
    bm_pair_queue_init(&t->queue);
    status = bm_splitter_create(&t->splitter, count_word, t);
    if (status) bm_bpe_trainer_destroy(t);
    else *out = t;
    return status;
}

void bm_bpe_trainer_destroy(bm_bpe_trainer *t)
{
    if (!t) return;
    bm_splitter_destroy(t->splitter);
    bm_word_counts_finish(&t->words);
    bm_pair_queue_finish(&t->queue);
    bm_free(t->id);
    bm_free(t->span);
    bm_free(t->gap);
    bm_free(t->merges);
    bm_free(t);
}

bm_status bm_bpe_trainer_feed(bm_bpe_trainer *t, const void *text, size_t bytes)
{
    return bm_splitter_feed(t->splitter, text, bytes);
}

bm_status bm_bpe_trainer_end_document(bm_bpe_trainer *t) { return bm_splitter_finish(t->splitter); }

/* Lays the pretokens out in their row and counts the pairs of bytes; the table of pretokens is given up for it. */
static bm_status lay_out(bm_bpe_trainer *t)
{
    const bm_intern *words = &t->words.words;
    size_t n = words->used + words->count;
    uint32_t at = 0;
    t->n_words = words->count;
    t->id = bm_calloc(n + 1, sizeof *t->id);
    t->span = bm_calloc(n + 1, sizeof *t->span);
    t->gap = bm_calloc(t->n_words + 1, sizeof *t->gap);
    if (!t->id || !t->span || !t->gap) return BM_ERR_MEMORY;
    for (uint32_t w = 0; w < t->n_words; w++) {
        size_t length;
        const unsigned char *text = bm_intern_text(words, w, &length);
        for (size_t i = 0; i < length; i++, at++) {
            t->id[at] = text[i];
            t->span[at] = 1;
            if (i) BM_TRY(bm_pair_queue_add(&t->queue, bm_pair(text[i - 1], text[i]), t->words.count[w], at - 1));
        }
        t->gap[w] = at;
        t->id[at] = GAP;
        t->span[at++] = 1;
    }
    bm_intern_finish(&t->words.words);
    return bm_pair_queue_end_step(&t->queue);
}

/* The pretoken that a place lies in. */
static size_t word_at(const bm_bpe_trainer *t, uint32_t place)
{
    size_t low = 0, high = t->n_words;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (t->gap[middle] < place) low = middle + 1;
        else high = middle;
    }
    return low;
}

/* Joins the symbols at `place` and behind it into `fresh`, and corrects the counts of the pairs around. */
static bm_status join(bm_bpe_trainer *t, uint32_t place, uint32_t next, uint32_t fresh)
{
    uint32_t left = t->id[place], right = t->id[next];
    uint32_t behind = next + t->span[next], prev = place ? place - t->span[place - 1] : 0;
    int64_t count = t->words.count[word_at(t, place)];
    uint16_t span = (uint16_t)(t->span[place] + t->span[next]);
    t->id[next] = DEAD;
    t->id[place] = fresh;
    t->span[place] = t->span[behind - 1] = span;
    if (place && t->id[prev] != GAP) {
        bm_pair_queue_subtract(&t->queue, bm_pair(t->id[prev], left), count);
        BM_TRY(bm_pair_queue_add(&t->queue, bm_pair(t->id[prev], fresh), count, prev));
    }
    if (t->id[behind] != GAP) {
        bm_pair_queue_subtract(&t->queue, bm_pair(right, t->id[behind]), count);
        BM_TRY(bm_pair_queue_add(&t->queue, bm_pair(fresh, t->id[behind]), count, place));
    }
    return BM_OK;
}

/* Joins every occurrence of a pair, from left to right. */
static bm_status merge(bm_bpe_trainer *t, const bm_queued_pair *best)
{
    uint32_t left = (uint32_t)(best->key >> 32), right = (uint32_t)best->key, fresh = BM_BPE_BYTES + t->n_merges;
    for (uint32_t i = 0; i < best->n; i++) {
        uint32_t place = t->queue.places[best->first + i], next;
        if (t->id[place] != left) continue;
        next = place + t->span[place];
        if (t->id[next] == right) BM_TRY(join(t, place, next, fresh));
    }
    t->merges[2 * t->n_merges] = left;
    t->merges[2 * t->n_merges + 1] = right;
    t->n_merges++;
    return bm_pair_queue_end_step(&t->queue);
}

bm_status bm_bpe_trainer_train(bm_tokenizer **out, bm_bpe_trainer *t)
{
    uint32_t byte_id[BM_BPE_BYTES], wanted = t->opts.vocab_size - 257;
    bm_queued_pair best;
    *out = NULL;
    BM_TRY(bm_splitter_finish(t->splitter));
    t->merges = bm_calloc((size_t)wanted + 1, 2 * sizeof *t->merges);
    if (!t->merges) return BM_ERR_MEMORY;
    BM_TRY(lay_out(t));
    while (t->n_merges < wanted) {
        if (!bm_pair_queue_pop(&best, &t->queue))
            return bm_fail(BM_ERR_USAGE, "the text is too small for a vocabulary of %u: it has pairs for %u", t->opts.vocab_size,
                           257 + t->n_merges);
        BM_TRY(merge(t, &best));
        if (t->opts.progress && t->n_merges % MERGES_PER_REPORT == 0 && t->opts.progress(t->opts.user, t->n_merges, wanted))
            return bm_fail(BM_ERR_STOPPED, "training of the tokenizer was stopped");
    }
    for (uint32_t i = 0; i < BM_BPE_BYTES; i++) byte_id[i] = i;
    return bm_tokenizer_create_bpe(out, byte_id, t->merges, t->n_merges);
}
