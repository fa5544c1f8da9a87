#include "core/graph/bank.h"

#include "core/base/mem.h"
#include "core/device/queue.h"

struct bm_bank {
    bm_engine *engine;
    const bm_layout *layout;
    bm_place place;
    int divisor; /* of the layout's offsets and sizes: 2 in a HALF bank */
    bm_region *region;
    int borrowed; /* the region */
};

static const char *const place_names[BM_PLACE_COUNT] = {
    [BM_PLACE_TEMP] = "temporaries", [BM_PLACE_INPUT] = "inputs",           [BM_PLACE_WEIGHT] = "weights",
    [BM_PLACE_GRAD] = "gradients",   [BM_PLACE_STATE0] = "optimizer state", [BM_PLACE_STATE1] = "optimizer state",
    [BM_PLACE_STATE2] = "optimizer state", [BM_PLACE_AVERAGE] = "averaged weights",
    [BM_PLACE_HALF] = "16-bit weights", [BM_PLACE_CACHE] = "key/value cache",
};

bm_status bm_bank_create(bm_bank **out, bm_engine *e, const bm_layout *l, bm_place place)
{
    *out = NULL;
    bm_status status = BM_ERR_MEMORY;
    int n = bm_layout_slabs(l);
    int64_t *bytes = bm_calloc((size_t)n + 1, sizeof *bytes);
    bm_bank *b = bm_calloc(1, sizeof *b);
    if (!bytes || !b) goto done;
    b->engine = e;
    b->layout = l;
    b->place = place;
    b->divisor = place == BM_PLACE_HALF ? 2 : 1;
    for (int i = 0; i < n; i++) bytes[i] = bm_layout_slab_bytes(l, i) / b->divisor;
    BM_GO(bm_region_create(&b->region, e, place_names[place], bytes, n, 1));
done:
    bm_free(bytes);
    if (status) bm_bank_destroy(b);
    else *out = b;
    return status;
}

bm_status bm_bank_view(bm_bank **out, const bm_bank *of, bm_place place)
{
    *out = bm_alloc(sizeof **out);
    if (!*out) return BM_ERR_MEMORY;
    **out = *of;
    (*out)->place = place;
    (*out)->borrowed = 1;
    return BM_OK;
}

void bm_bank_destroy(bm_bank *b)
{
    if (!b) return;
    if (!b->borrowed) bm_region_destroy(b->region);
    bm_free(b);
}

bm_place bm_bank_place(const bm_bank *b)
{
    return b->place;
}

const bm_layout *bm_bank_layout(const bm_bank *b)
{
    return b->layout;
}

bm_region *bm_bank_region(bm_bank *b)
{
    return b->region;
}

bm_queue *bm_bank_queue(bm_bank *b)
{
    return bm_engine_queue(b->engine);
}

bm_status bm_bank_clear(bm_bank *b)
{
    for (int i = 0; i < bm_region_slabs(b->region); i++) {
        cl_mem m;
        int64_t bytes = bm_region_slab_bytes(b->region, i);
        BM_TRY(bm_region_piece(&m, b->region, i, 0, bytes));
        BM_TRY(bm_queue_fill(bm_engine_queue(b->engine), m, 0, bytes, 0));
    }
    return BM_OK;
}

bm_status bm_bank_piece(cl_mem *out, bm_bank *b, const bm_tensor *t)
{
    int64_t bytes = t->bytes / b->divisor;
    return bm_region_piece(out, b->region, t->slab, t->offset / b->divisor, bytes > 0 ? bytes : 1);
}

/* The whole slab that a tensor lies in; refuses bytes outside the tensor. */
static bm_status slab_of(cl_mem *out, bm_bank *b, const bm_tensor *t, int64_t offset, int64_t bytes)
{
    if (offset < 0 || bytes < 0 || offset > t->bytes / b->divisor - bytes)
        return bm_fail(BM_ERR_USAGE, "bytes %lld to %lld of %s, which has %lld", (long long)offset,
                       (long long)(offset + bytes), t->name, (long long)(t->bytes / b->divisor));
    return bm_region_piece(out, b->region, t->slab, 0, bm_region_slab_bytes(b->region, t->slab));
}

bm_status bm_bank_read(bm_bank *b, const bm_tensor *t, int64_t offset, void *data, int64_t bytes)
{
    cl_mem m;
    BM_TRY(slab_of(&m, b, t, offset, bytes));
    return bytes ? bm_queue_read(bm_engine_queue(b->engine), m, t->offset / b->divisor + offset, data, bytes) : BM_OK;
}

bm_status bm_bank_write(bm_bank *b, const bm_tensor *t, int64_t offset, const void *data, int64_t bytes)
{
    cl_mem m;
    BM_TRY(slab_of(&m, b, t, offset, bytes));
    if (!bytes) return BM_OK;
    bm_queue *q = bm_engine_queue(b->engine);
    BM_TRY(bm_queue_write(q, m, t->offset / b->divisor + offset, data, bytes));
    return bm_queue_finish(q);
}
