#include "io/store/data.h"

#include <string.h>

#include "core/base/mem.h"
#include "io/store/data_priv.h"
#include "io/store/h5_priv.h"
#include "io/store/part_priv.h"

bm_status bm_data_open(bm_data **out, const char *path)
{
    bm_status status;
    bm_store *s = NULL;
    *out = NULL;
    bm_data *d = bm_calloc(1, sizeof *d);
    if (!d) return BM_ERR_MEMORY;
    BM_GO(bm_store_open(&s, path));
    if (bm_samples_is(s)) {
        status = bm_samples_open(&d->samples, s);
    } else if (bm_store_find(s, "/tokens/ids") || bm_store_get_kind(s) != BM_STORE_DATASET) {
        status = bm_tokens_from_store(&d->tokens, s);
    } else {
        status = bm_refuse(BM_RULE_SCHEMA, "%s: there are neither tokens nor images nor rows in it", path);
        bm_store_close(s);
    }
done:
    if (status) bm_data_close(d);
    else *out = d;
    return status;
}

void bm_data_close(bm_data *d)
{
    if (!d) return;
    bm_tokens_close(d->tokens);
    bm_samples_close(d->samples);
    bm_free(d);
}

const bm_store *bm_data_store(const bm_data *d) { return d->tokens ? bm_tokens_store(d->tokens) : bm_samples_store(d->samples); }
const char *bm_data_kind(const bm_data *d) { return d->tokens ? "tokens" : bm_samples_kind(d->samples); }
bm_tokens *bm_data_tokens(const bm_data *d) { return d->tokens; }
bm_samples *bm_data_samples(const bm_data *d) { return d->samples; }
int bm_data_has_part(const bm_data *d, const char *part) { return bm_part_has(bm_data_store(d), part); }
int64_t bm_data_count(const bm_data *d) { return d->tokens ? bm_tokens_count(d->tokens) : bm_samples_count(d->samples); }
const char *bm_data_meta(const bm_data *d) { return d->tokens ? bm_tokens_meta_json(d->tokens) : bm_samples_meta(d->samples); }
const char *bm_data_encoding(const bm_data *d) { return d->tokens ? "" : bm_samples_encoding(d->samples); }

bm_sample_form bm_data_form(const bm_data *d, int64_t window)
{
    return d->tokens ? bm_sample_tokens(window, bm_tokens_vocab(d->tokens)) : bm_samples_form(d->samples);
}

bm_status bm_data_part(int64_t *count, const bm_data *d, const char *part, int64_t window)
{
    int64_t first, n;
    *count = 0;
    BM_TRY(bm_part_find(&first, &n, bm_data_store(d), part, bm_data_count(d)));
    *count = !d->tokens ? n : n > 0 ? (n - 1) / window : 0;
    return BM_OK;
}

#define PIECE 4096 /* targets read together */

bm_status bm_data_class_counts(int64_t *counts, const bm_data *d, const char *part)
{
    int32_t piece[PIECE];
    int64_t first, n;
    const bm_sample_form f = bm_data_form(d, 1);
    if (!f.classes) return bm_fail(BM_ERR_CONFIG, "%s: its targets are no classes", bm_store_path(bm_data_store(d)));
    memset(counts, 0, (size_t)f.classes * sizeof *counts);
    BM_TRY(bm_part_find(&first, &n, bm_data_store(d), part, bm_data_count(d)));
    const int64_t each = d->tokens ? 1 : bm_shape_elements(&f.target_shape);
    for (int64_t at = first * each, end = (first + n) * each; at < end;) {
        const int64_t k = end - at < PIECE ? end - at : PIECE;
        BM_TRY(d->tokens ? bm_tokens_read(d->tokens, piece, at, k) : bm_samples_read_targets(d->samples, piece, at, k));
        for (int64_t i = 0; i < k; i++)
            if (piece[i] >= 0) counts[piece[i]]++;
        at += k;
    }
    return BM_OK;
}
