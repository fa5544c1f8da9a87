#include "tools/tensor_stats.h"

#include <math.h>

#include "tools/tensor.h"

enum { BLOCK = 4096 };

/* Adds a block: two passes inside it, then the merge of Chan, Golub and LeVeque, "Updating Formulae and a Pairwise
 * Algorithm for Computing Sample Variances" (1979), equation 2.1. */
static void add_block(bm_tensor_stats *s, const void *data, int64_t first, int64_t n)
{
    double value[BLOCK], sum = 0, m2 = 0;
    int64_t k = 0;
    for (int64_t i = 0; i < n; i++) {
        double x = bm_element_f64(data, s->dtype, first + i);
        s->zeros += x == 0;
        if (isnan(x))
            s->nans++;
        else if (isinf(x))
            s->infs++;
        else
            value[k++] = x;
    }
    s->count += n;
    if (!k) return;
    double low = value[0], high = value[0];
    for (int64_t i = 0; i < k; i++) {
        sum += value[i];
        if (value[i] < low) low = value[i];
        if (value[i] > high) high = value[i];
    }
    double mean = sum / (double)k, d = mean - s->mean, all = (double)(s->finite + k);
    for (int64_t i = 0; i < k; i++) m2 += (value[i] - mean) * (value[i] - mean);
    if (!s->finite || low < s->least) s->least = low;
    if (!s->finite || high > s->greatest) s->greatest = high;
    s->m2 += m2 + d * d * (double)s->finite * (double)k / all;
    s->mean += d * (double)k / all;
    s->finite += k;
}

static bm_status take_values(void *user, const bm_entry *e, const void *data, int64_t first, int64_t count)
{
    (void)e;
    (void)first;
    for (int64_t at = 0; at < count; at += BLOCK) add_block(user, data, at, count - at < BLOCK ? count - at : BLOCK);
    return BM_OK;
}

static bm_status take_bins(void *user, const bm_entry *e, const void *data, int64_t first, int64_t count)
{
    bm_tensor_stats *s = user;
    (void)e;
    (void)first;
    double width = (s->greatest - s->least) / s->bins;
    for (int64_t i = 0; i < count; i++) {
        double x = bm_element_f64(data, s->dtype, i);
        if (!isfinite(x)) continue;
        int b = width > 0 ? (int)((x - s->least) / width) : 0;
        s->bin[b < 0 ? 0 : b >= s->bins ? s->bins - 1 : b]++;
    }
    return BM_OK;
}

bm_status bm_tensor_measure(bm_tensor_stats *s, const bm_store *store, const bm_entry *e, int bins)
{
    *s = (bm_tensor_stats){.dtype = e->dtype, .bins = bins};
    BM_TRY(bm_store_stream(store, e, NULL, take_values, s));
    return bins ? bm_store_stream(store, e, NULL, take_bins, s) : BM_OK;
}
