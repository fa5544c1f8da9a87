/* Bytes against their hashes: of one dataset on its way, of the whole file. */
#include <inttypes.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "io/store/store_priv.h"

static bm_status leaf_damaged(const bm_store *s, const char *path, const bm_leaf *leaf)
{
    return bm_fail(BM_ERR_DAMAGED, "%s: damaged: %s: the %" PRId64 " bytes at %" PRId64 " do not fit their hash", s->path,
                   path ? path : "metadata", leaf->bytes, leaf->offset);
}

bm_status bm_store_check_leaf(const bm_store *s, const bm_entry *e, int64_t leaf, const void *data)
{
    const bm_leaf *l = s->manifest.leaf + leaf;
    bm_hash128 h = bm_hash(data, (size_t)l->bytes);
    return bm_hash_equal(&h, &l->hash) ? BM_OK : leaf_damaged(s, e->path, l);
}

bm_status bm_store_stream(const bm_store *s, const bm_entry *e, void *buffer, bm_store_take take, void *user)
{
    int64_t size = (int64_t)bm_dtype_size(e->dtype), leaf = s->manifest.first[bm_store_place(s, e)];
    bm_status status = BM_OK;
    if (!e->bytes) return BM_OK;
    void *own = buffer ? NULL : bm_alloc_aligned(BM_H5_ALIGN, (size_t)(e->bytes < BM_LEAF_MOST ? e->bytes : BM_LEAF_MOST));
    if (!buffer && !own) return BM_ERR_MEMORY;
    void *data = buffer ? buffer : own;
    for (int64_t at = 0; at < e->bytes && !status; at += BM_LEAF_MOST, leaf++) {
        int64_t bytes = s->manifest.leaf[leaf].bytes;
        status = bm_pread_all(s->fd, data, (size_t)bytes, e->offset + at, s->path);
        if (!status) status = bm_store_check_leaf(s, e, leaf, data);
        if (!status) status = take(user, e, data, at / size, bytes / size);
    }
    bm_free_aligned(own);
    return status;
}

bm_verify_opts bm_verify_opts_default(void) { return (bm_verify_opts){0}; }

typedef struct verifier {
    const bm_store *store;
    const bm_verify_opts *opts;
    void *buffer;
    bm_hasher *leaf, *tensor;
    int64_t damaged; /* the leaf that begins the last damaged dataset; -1: none */
    bm_error first;  /* the first damage found */
} verifier;

static void report(verifier *v, const char *path, const bm_leaf *leaf, const char *what)
{
    if (!v->first.status) {
        leaf_damaged(v->store, path, leaf);
        v->first = *bm_last_error();
    }
    if (v->opts->damage) v->opts->damage(v->opts->user, path, leaf->offset, leaf->bytes, what);
}

/* A piece that cannot be read is a damaged one; other failures end the work. */
static bm_status verify_bytes(verifier *v, const bm_leaf *leaf, const bm_entry *e, int *sound)
{
    bm_hash128 h;
    const char *path = e ? e->path : NULL;
    bm_status status = bm_leaf_hash(&h, v->store->fd, leaf, v->buffer, v->leaf, e ? v->tensor : NULL);
    *sound = !status && bm_hash_equal(&h, &leaf->hash);
    if (!status && !*sound) report(v, path, leaf, "does not fit its hash");
    if (status != BM_ERR_IO) return status;
    report(v, path, leaf, "cannot be read");
    return BM_OK;
}

/* One leaf; on the last of a dataset, its tensor hash too. */
static bm_status verify_leaf(verifier *v, int64_t i)
{
    const bm_store *s = v->store;
    const bm_manifest *m = &s->manifest;
    const bm_leaf *leaf = m->leaf + i;
    int sound;
    if (leaf->kind == BM_LEAF_MANIFEST) return BM_OK; /* opening checked it */
    if (leaf->kind != BM_LEAF_TENSOR && leaf->kind != BM_LEAF_JSON) return verify_bytes(v, leaf, NULL, &sound);

    const bm_entry *e = s->tree.entry + leaf->index;
    int64_t first = m->first[leaf->index];
    if (first == i) bm_tensor_hash_start(v->tensor, e->path, e->dtype, &e->shape);
    BM_TRY(verify_bytes(v, leaf, e, &sound));
    if (!sound) v->damaged = first;
    if (leaf->offset + leaf->bytes < e->offset + e->bytes || v->damaged == first) return BM_OK;
    bm_hash128 whole = bm_hasher_digest(v->tensor);
    if (!bm_hash_equal(&whole, &m->leaf[first].tensor)) report(v, e->path, m->leaf + first, "does not fit its tensor hash");
    return BM_OK;
}

bm_status bm_store_verify(const bm_store *s, const bm_verify_opts *opts)
{
    bm_status status = BM_OK;
    bm_verify_opts none = bm_verify_opts_default();
    verifier v = {.store = s, .opts = opts ? opts : &none, .damaged = -1};
    int64_t done_bytes = 0;
    v.buffer = bm_alloc(BM_PIECE_BYTES);
    if (!v.buffer) return BM_ERR_MEMORY;
    BM_GO(bm_hasher_create(&v.leaf));
    BM_GO(bm_hasher_create(&v.tensor));
    for (int64_t i = 0; i < s->manifest.leaves; i++) {
        BM_GO(verify_leaf(&v, i));
        done_bytes += s->manifest.leaf[i].bytes;
        if (v.opts->progress) BM_GO(v.opts->progress(v.opts->user, done_bytes, s->tree.file_bytes));
    }
    if (v.first.status) status = bm_error_restore(&v.first);
done:
    bm_hasher_destroy(v.leaf);
    bm_hasher_destroy(v.tensor);
    bm_free(v.buffer);
    return status;
}
