#include "core/base/shape.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/base/checked.h"

bm_shape bm_shape_of(int rank, const int64_t *dims)
{
    bm_shape s = {.rank = rank};
    for (int i = 0; i < rank && i < BM_MAX_RANK; i++) s.dim[i] = dims[i];
    return s;
}

bm_status bm_shape_check(const bm_shape *s, bm_dtype t)
{
    if (s->rank < 0 || s->rank > BM_MAX_RANK)
        return bm_fail(BM_ERR_SHAPE, "rank %d: 0 to %d are possible", s->rank, BM_MAX_RANK);
    char text[BM_SHAPE_TEXT];
    int64_t bytes = (int64_t)bm_dtype_size(t);
    if (bytes == 0) return bm_fail(BM_ERR_SHAPE, "element type %d is unknown", (int)t);
    for (int i = 0; i < s->rank; i++) {
        if (s->dim[i] < 0)
            return bm_fail(BM_ERR_SHAPE, "shape %s: dimension %d is negative", bm_shape_text(s, text, sizeof text), i);
        /* A zero is left out, so that the product of any of the others fits as well. */
        if (s->dim[i] > 0 && bm_mul_i64(&bytes, bytes, s->dim[i]))
            return bm_fail(BM_ERR_SHAPE, "shape %s of %s: its bytes do not fit 63 bits",
                           bm_shape_text(s, text, sizeof text), bm_dtype_name(t));
    }
    size_t size;
    if (bm_i64_to_size(&size, bytes))
        return bm_fail(BM_ERR_SHAPE, "shape %s of %s: its bytes do not fit an address",
                       bm_shape_text(s, text, sizeof text), bm_dtype_name(t));
    return BM_OK;
}

int bm_shape_equal(const bm_shape *a, const bm_shape *b)
{
    if (a->rank != b->rank) return 0;
    for (int i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i]) return 0;
    return 1;
}

static int64_t product(const bm_shape *s, int rank)
{
    int64_t n = 1;
    for (int i = 0; i < rank; i++) n *= s->dim[i];
    return n;
}

int64_t bm_shape_elements(const bm_shape *s) { return product(s, s->rank); }

int64_t bm_shape_rows(const bm_shape *s) { return s->rank > 0 ? product(s, s->rank - 1) : 1; }

int64_t bm_shape_last(const bm_shape *s) { return s->rank > 0 ? s->dim[s->rank - 1] : 1; }

size_t bm_shape_bytes(const bm_shape *s, bm_dtype t) { return (size_t)bm_shape_elements(s) * bm_dtype_size(t); }

char *bm_shape_text(const bm_shape *s, char *buf, size_t bytes)
{
    if (bytes == 0) return buf;
    char text[BM_SHAPE_TEXT];
    size_t n = 0;
    text[n++] = '[';
    for (int i = 0; i < s->rank && i < BM_MAX_RANK; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%" PRId64, i > 0 ? ", " : "", s->dim[i]);
    text[n++] = ']';
    if (n > bytes - 1) n = bytes - 1;
    memcpy(buf, text, n);
    buf[n] = '\0';
    return buf;
}
