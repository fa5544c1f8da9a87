#include "models/infer/transcript.h"

#include "core/base/mem.h"

int64_t bm_ctc_greedy(int32_t *labels, const float *logits, int64_t steps, int64_t classes)
{
    int64_t n = 0;
    int32_t before = 0;
    for (int64_t t = 0; t < steps; t++) {
        const float *x = logits + t * classes;
        int32_t best = 0;
        for (int32_t k = 1; k < classes; k++)
            if (x[k] > x[best]) best = k;
        if (best && best != before) labels[n++] = best;
        before = best;
    }
    return n;
}

int64_t bm_ctc_steps(const int32_t *labels, int64_t n)
{
    int64_t steps = n;
    for (int64_t i = 1; i < n; i++) steps += labels[i] == labels[i - 1];
    return steps;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

bm_status bm_edit_distance(int64_t *out, const int32_t *a, int64_t n, const int32_t *b, int64_t m)
{
    int64_t *row = bm_calloc((size_t)m + 1, sizeof *row); /* the distances of a's first i from each beginning of b */
    if (!row) return BM_ERR_MEMORY;
    for (int64_t k = 0; k <= m; k++) row[k] = k;
    for (int64_t i = 1; i <= n; i++) {
        int64_t corner = row[0]; /* of a's first i - 1 from b's first k - 1 */
        row[0] = i;
        for (int64_t k = 1; k <= m; k++) {
            const int64_t replaced = corner + (a[i - 1] != b[k - 1]);
            corner = row[k];
            row[k] = least(replaced, least(row[k], row[k - 1]) + 1);
        }
    }
    *out = row[m];
    bm_free(row);
    return BM_OK;
}
