#include "io/store/bigrams.h"

#include <math.h>

#include "core/base/mem.h"

#define CHUNK 65536

/* H from counts [v, v] of pairs. */
static double entropy_of(const uint64_t *count, int64_t v)
{
    double h = 0, all = 0;
    for (int64_t a = 0; a < v; a++) {
        double row = 0;
        for (int64_t b = 0; b < v; b++) row += (double)count[a * v + b];
        for (int64_t b = 0; b < v; b++) {
            double n = (double)count[a * v + b];
            if (n > 0) h -= n * log(n / row);
        }
        all += row;
    }
    return all > 0 ? h / all : 0;
}

bm_status bm_bigram_entropy(double *nats, const bm_tokens *t)
{
    bm_status status = BM_OK;
    int64_t v = bm_tokens_vocab(t), n = bm_tokens_count(t);
    if (v > BM_BIGRAMS_MOST_VOCAB)
        return bm_fail(BM_ERR_UNSUPPORTED, "pairs of %lld tokens: at most %d are counted", (long long)v,
                       BM_BIGRAMS_MOST_VOCAB);
    uint64_t *count = bm_calloc((size_t)(v * v), sizeof *count);
    int32_t *ids = bm_calloc(CHUNK, sizeof *ids), last = -1;
    if (!count || !ids) status = BM_ERR_MEMORY;
    for (int64_t at = 0; at < n && !status; at += CHUNK) {
        int64_t k = n - at < CHUNK ? n - at : CHUNK;
        status = bm_tokens_read(t, ids, at, k);
        for (int64_t i = 0; i < k && !status; i++) {
            if (last >= 0) count[last * v + ids[i]]++;
            last = ids[i];
        }
    }
    if (!status) *nats = entropy_of(count, v);
    bm_free(ids);
    bm_free(count);
    return status;
}
