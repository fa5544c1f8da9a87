#include "io/media/idx.h"

#include <string.h>

#include "core/base/checked.h"
#include "core/base/mem.h"
#include "io/media/input_priv.h"

#define TYPE_U8 0x08
#define MOST_RANK 4
#define MOST_ITEM_BYTES ((int64_t)1 << 30)

struct bm_idx {
    char *path;
    bm_input *in;
    bm_shape shape;
    int64_t item, left; /* bytes of an item; items not read yet */
    int ended;          /* and nothing follows */
};

static bm_status read_dims(bm_idx *x)
{
    unsigned char bytes[4 * MOST_RANK];
    size_t got;
    BM_TRY(bm_input_read(x->in, bytes, (size_t)x->shape.rank * 4, &got));
    if (got < (size_t)x->shape.rank * 4) return bm_fail(BM_ERR_DAMAGED, "%s: cut off in its sizes", x->path);
    x->item = 1;
    for (int i = 0; i < x->shape.rank; i++) {
        const unsigned char *b = bytes + 4 * i;
        x->shape.dim[i] = (int64_t)b[0] << 24 | (int64_t)b[1] << 16 | (int64_t)b[2] << 8 | b[3];
        if (i == 0) continue;
        if (x->shape.dim[i] == 0 || bm_mul_i64(&x->item, x->item, x->shape.dim[i]) || x->item > MOST_ITEM_BYTES)
            return bm_fail(BM_ERR_REFUSED, "%s: a dimension is %lld: one item must have 1 byte to 1 GiB", x->path,
                           (long long)x->shape.dim[i]);
    }
    x->left = x->shape.dim[0];
    return BM_OK;
}

static bm_status read_head(bm_idx *x)
{
    unsigned char magic[4];
    size_t got;
    int64_t have;
    BM_TRY(bm_input_read(x->in, magic, sizeof magic, &got));
    if (got < 4 || magic[0] || magic[1]) return bm_fail(BM_ERR_REFUSED, "%s: does not begin as an IDX file", x->path);
    if (magic[3] < 1 || magic[3] > MOST_RANK)
        return bm_fail(BM_ERR_REFUSED, "%s: IDX of rank %d (1 to %d are read)", x->path, magic[3], MOST_RANK);
    if (magic[2] != TYPE_U8)
        return bm_fail(BM_ERR_UNSUPPORTED, "%s: IDX of type 0x%02x (0x08, bytes, is read)", x->path, magic[2]);
    x->shape.rank = magic[3];
    BM_TRY(read_dims(x));
    have = bm_input_bytes(x->in);
    if (have >= 0) { /* neither product nor sum can overflow: 2^32 items of 2^30 bytes */
        const int64_t want = 4 + 4 * x->shape.rank + x->left * x->item;
        if (have != want)
            return bm_fail(BM_ERR_DAMAGED, "%s: %lld bytes, where its sizes ask for %lld", x->path, (long long)have,
                           (long long)want);
    }
    return BM_OK;
}

bm_status bm_idx_open(bm_idx **out, const char *path)
{
    bm_idx *x = bm_calloc(1, sizeof *x);
    bm_status status;
    *out = NULL;
    if (!x) return BM_ERR_MEMORY;
    x->path = bm_strdup(path);
    status = x->path ? bm_input_open(&x->in, path) : BM_ERR_MEMORY;
    if (!status) status = read_head(x);
    if (status) bm_idx_close(x);
    else *out = x;
    return status;
}

void bm_idx_close(bm_idx *x)
{
    if (!x) return;
    bm_input_close(x->in);
    bm_free(x->path);
    bm_free(x);
}

const bm_shape *bm_idx_shape(const bm_idx *x) { return &x->shape; }
int64_t bm_idx_item_bytes(const bm_idx *x) { return x->item; }

bm_status bm_idx_next(bm_idx *x, int64_t *got, uint8_t *data, int64_t most)
{
    const int64_t n = most < x->left ? most : x->left;
    size_t bytes, done;
    *got = 0;
    if (bm_mul_size(&bytes, (size_t)n, (size_t)x->item)) return bm_fail(BM_ERR_USAGE, "%s: a batch too large", x->path);
    BM_TRY(bm_input_read(x->in, data, bytes, &done));
    if (done < bytes)
        return bm_fail(BM_ERR_DAMAGED, "%s: cut off in item %lld of %lld", x->path,
                       (long long)(x->shape.dim[0] - x->left + (int64_t)done / x->item), (long long)x->shape.dim[0]);
    x->left -= n;
    if (x->left == 0 && !x->ended) {
        const int more = bm_input_peek(x->in) >= 0;
        BM_TRY(x->in->status);
        if (more) return bm_fail(BM_ERR_DAMAGED, "%s: bytes follow the %lld items", x->path, (long long)x->shape.dim[0]);
        x->ended = 1;
    }
    *got = n;
    return BM_OK;
}
