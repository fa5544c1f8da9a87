#include "core/base/log.h"
#include "core/base/mem.h"
#include "io/text/word_count_priv.h"

void bm_word_counts_init(bm_word_counts *c)
{
    *c = (bm_word_counts){0};
    bm_intern_init(&c->words);
}

void bm_word_counts_finish(bm_word_counts *c)
{
    bm_intern_finish(&c->words);
    bm_free(c->count);
    bm_word_counts_init(c);
}

static int is_full(const bm_word_counts *c)
{
    return c->words.count >= BM_WORD_MOST || c->words.used >= BM_WORD_MOST_BYTES;
}

/* Drops what occurred `rare` times or less; counts of the rest move down in the same order. */
static bm_status drop(bm_word_counts *c, int64_t rare)
{
    bm_intern kept;
    bm_intern_init(&kept);
    for (uint32_t i = 0; i < c->words.count; i++) {
        size_t n;
        const unsigned char *text = bm_intern_text(&c->words, i, &n);
        uint32_t number;
        bm_status status;
        if (c->count[i] <= rare) continue;
        status = bm_intern_add(&number, &kept, text, n);
        if (status) {
            bm_intern_finish(&kept);
            return status;
        }
        c->count[number] = c->count[i];
    }
    bm_intern_finish(&c->words);
    c->words = kept;
    return BM_OK;
}

/* Until a quarter of the room is free again. */
static bm_status make_room(bm_word_counts *c)
{
    bm_log_once("bpe-rare-words", BM_LOG_WARN,
                "the text has more than %zu distinct words (or %zu bytes of them): the rarest are left out of training",
                BM_WORD_MOST, BM_WORD_MOST_BYTES);
    while (c->words.count > BM_WORD_MOST / 4 * 3 || c->words.used > BM_WORD_MOST_BYTES / 4 * 3) {
        int64_t least = INT64_MAX;
        for (size_t i = 0; i < c->words.count; i++) {
            if (c->count[i] < least) least = c->count[i];
        }
        if (c->rare < least) c->rare = least;
        BM_TRY(drop(c, c->rare));
    }
    return BM_OK;
}

static bm_status add(bm_word_counts *c, const unsigned char *bytes, size_t n)
{
    uint32_t number;
    if (is_full(c) && bm_intern_find(&c->words, bytes, n) == BM_INTERN_NONE) BM_TRY(make_room(c));
    if (c->words.count == c->capacity) {
        size_t capacity = c->capacity ? c->capacity + c->capacity / 2 : 256;
        int64_t *count = bm_realloc(c->count, capacity, sizeof *count);
        if (!count) return BM_ERR_MEMORY;
        c->count = count;
        c->capacity = capacity;
    }
    number = (uint32_t)c->words.count;
    c->count[number] = 0;
    BM_TRY(bm_intern_add(&number, &c->words, bytes, n));
    c->count[number]++;
    return BM_OK;
}

bm_status bm_word_counts_add(bm_word_counts *c, const unsigned char *bytes, size_t n)
{
    while (n > 0) {
        size_t k = n < BM_WORD_LONGEST ? n : BM_WORD_LONGEST;
        BM_TRY(add(c, bytes, k));
        bytes += k;
        n -= k;
    }
    return BM_OK;
}
