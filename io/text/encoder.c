/* Streaming encoder: special tokens are found first, then text is split, and what a pretoken gave is remembered. */
#include <string.h>

#include "core/base/mem.h"
#include "io/text/intern_priv.h"
#include "io/text/split_priv.h"
#include "io/text/tokenizer_priv.h"

#define OUT_IDS 4096u
#define CACHE_WORD_BYTES 64u          /* longer pretokens hardly come again */
#define CACHE_WORDS ((size_t)1 << 16) /* then it starts anew */

struct bm_encoder {
    const bm_tokenizer *tokenizer;
    bm_encoder_opts opts;
    bm_encoder_fn fn;
    void *user;
    bm_splitter *splitter; /* NULL for `byte` */
    bm_bpe_scratch scratch;
    uint32_t *word_ids;    /* of one pretoken */
    size_t word_capacity;
    bm_intern cache;       /* pretokens; their ids are cached_ids[cached_start[i] .. cached_start[i + 1]) */
    uint32_t *cached_start, *cached_ids;
    size_t cached_room;
    size_t matched;        /* how much of BM_END_OF_TEXT the text fed so far ends with */
    uint32_t out[OUT_IDS];
    size_t n_out;
};

bm_encoder_opts bm_encoder_opts_default(void) { return (bm_encoder_opts){0}; }

static bm_status flush(bm_encoder *e)
{
    size_t n = e->n_out;
    e->n_out = 0;
    return n ? e->fn(e->user, e->out, n) : BM_OK;
}

static bm_status emit(bm_encoder *e, const uint32_t *ids, size_t n)
{
    while (n > 0) {
        size_t k = OUT_IDS - e->n_out < n ? OUT_IDS - e->n_out : n;
        memcpy(e->out + e->n_out, ids, k * sizeof *ids);
        e->n_out += k;
        ids += k;
        n -= k;
        if (e->n_out == OUT_IDS) BM_TRY(flush(e));
    }
    return BM_OK;
}

static bm_status remember(bm_encoder *e, const unsigned char *bytes, size_t n, size_t count)
{
    uint32_t number, at;
    if (e->cache.count == CACHE_WORDS) bm_intern_clear(&e->cache);
    at = e->cache.count ? e->cached_start[e->cache.count] : 0;
    if (at + count > e->cached_room) {
        size_t room = 2 * e->cached_room + CACHE_WORD_BYTES;
        uint32_t *ids = bm_realloc(e->cached_ids, room, sizeof *ids);
        if (!ids) return BM_ERR_MEMORY;
        e->cached_ids = ids;
        e->cached_room = room;
    }
    BM_TRY(bm_intern_add(&number, &e->cache, bytes, n));
    memcpy(e->cached_ids + at, e->word_ids, count * sizeof *e->cached_ids);
    e->cached_start[number + 1] = at + (uint32_t)count;
    return BM_OK;
}

static bm_status encode_word(void *user, const unsigned char *bytes, size_t n)
{
    bm_encoder *e = user;
    size_t count;
    uint32_t number = n <= CACHE_WORD_BYTES ? bm_intern_find(&e->cache, bytes, n) : BM_INTERN_NONE;
    if (number != BM_INTERN_NONE) {
        uint32_t start = e->cached_start[number];
        return emit(e, e->cached_ids + start, e->cached_start[number + 1] - start);
    }
    if (n > e->word_capacity) {
        uint32_t *ids = bm_realloc(e->word_ids, n, sizeof *ids);
        if (!ids) return BM_ERR_MEMORY;
        e->word_ids = ids;
        e->word_capacity = n;
    }
    if (n > INT32_MAX) return bm_fail(BM_ERR_UNSUPPORTED, "a single word of %zu bytes", n);
    BM_TRY(bm_bpe_encode(e->word_ids, &count, &e->tokenizer->bpe, &e->scratch, bytes, n));
    if (n <= CACHE_WORD_BYTES) BM_TRY(remember(e, bytes, n, count));
    return emit(e, e->word_ids, count);
}

bm_status bm_encoder_create(bm_encoder **out, const bm_tokenizer *t, const bm_encoder_opts *opts, bm_encoder_fn fn, void *user)
{
    bm_status status = BM_OK;
    bm_encoder *e = bm_calloc(1, sizeof *e);
    *out = NULL;
    if (!e) return BM_ERR_MEMORY;
    e->tokenizer = t;
    e->opts = opts ? *opts : bm_encoder_opts_default();
    e->fn = fn;
    e->user = user;
    bm_intern_init(&e->cache);
    if (t->kind == BM_TOKENIZER_BPE) {
        BM_GO(bm_splitter_create(&e->splitter, encode_word, e));
        e->word_capacity = CACHE_WORD_BYTES;
        e->word_ids = bm_calloc(e->word_capacity, sizeof *e->word_ids);
        e->cached_start = bm_calloc(CACHE_WORDS + 1, sizeof *e->cached_start);
        if (!e->word_ids || !e->cached_start) BM_GO(BM_ERR_MEMORY);
    }
    *out = e;
    e = NULL;
done:
    bm_encoder_destroy(e);
    return status;
}

void bm_encoder_destroy(bm_encoder *e)
{
    if (!e) return;
    bm_splitter_destroy(e->splitter);
    bm_bpe_scratch_finish(&e->scratch);
    bm_intern_finish(&e->cache);
    bm_free(e->cached_start);
    bm_free(e->cached_ids);
    bm_free(e->word_ids);
    bm_free(e);
}

static bm_status feed_plain(bm_encoder *e, const unsigned char *text, size_t n)
{
    if (e->splitter) return bm_splitter_feed(e->splitter, text, n);
    for (size_t i = 0; i < n; i++) {
        uint32_t id = e->tokenizer->bpe.byte_id[text[i]];
        BM_TRY(emit(e, &id, 1));
    }
    return BM_OK;
}

/* '<' stands only at the beginning of BM_END_OF_TEXT, so a failed match can begin anew at the byte that broke it, at most. */
static bm_status feed_special(bm_encoder *e, const unsigned char *text, size_t n)
{
    static const unsigned char mark[] = BM_END_OF_TEXT;
    size_t plain = 0; /* text[plain .. i - matched) is not fed yet */
    for (size_t i = 0; i < n; i++) {
        if (text[i] == mark[e->matched]) {
            if (e->matched == 0) {
                BM_TRY(feed_plain(e, text + plain, i - plain));
                plain = i;
            }
            plain++;
            if (++e->matched == sizeof mark - 1) {
                uint32_t eot = bm_tokenizer_eot(e->tokenizer);
                e->matched = 0;
                if (e->splitter) BM_TRY(bm_splitter_finish(e->splitter));
                BM_TRY(emit(e, &eot, 1));
            }
        } else if (e->matched) {
            size_t matched = e->matched;
            e->matched = 0;
            BM_TRY(feed_plain(e, mark, matched));
            i--; /* this byte may begin a match */
        }
    }
    return feed_plain(e, text + plain, n - plain);
}

bm_status bm_encoder_feed(bm_encoder *e, const void *text, size_t bytes)
{
    return e->opts.special ? feed_special(e, text, bytes) : feed_plain(e, text, bytes);
}

bm_status bm_encoder_finish(bm_encoder *e)
{
    size_t matched = e->matched;
    e->matched = 0;
    BM_TRY(feed_plain(e, (const unsigned char *)BM_END_OF_TEXT, matched));
    if (e->splitter) BM_TRY(bm_splitter_finish(e->splitter));
    return flush(e);
}

typedef struct gathered {
    uint32_t *ids;
    size_t n, capacity;
} gathered;

static bm_status gather(void *user, const uint32_t *ids, size_t n)
{
    gathered *g = user;
    if (n > g->capacity - g->n) {
        size_t capacity = 2 * g->capacity + n;
        uint32_t *p = bm_realloc(g->ids, capacity, sizeof *p);
        if (!p) return BM_ERR_MEMORY;
        g->ids = p;
        g->capacity = capacity;
    }
    memcpy(g->ids + g->n, ids, n * sizeof *ids);
    g->n += n;
    return BM_OK;
}

bm_status bm_tokenizer_encode(uint32_t **ids, size_t *count, const bm_tokenizer *t, const void *text, size_t bytes)
{
    gathered g = {0};
    bm_encoder *e = NULL;
    bm_status status;
    *ids = NULL;
    *count = 0;
    BM_GO(bm_encoder_create(&e, t, NULL, gather, &g));
    BM_GO(bm_encoder_feed(e, text, bytes));
    BM_GO(bm_encoder_finish(e));
    if (!g.ids) g.ids = bm_alloc(1);
    if (!g.ids) BM_GO(BM_ERR_MEMORY);
    *ids = g.ids;
    *count = g.n;
    g.ids = NULL;
done:
    bm_free(g.ids);
    bm_encoder_destroy(e);
    return status;
}
