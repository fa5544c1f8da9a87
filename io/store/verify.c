/* Bytes against their hashes: of one dataset on its way, of the whole file. */
#include <inttypes.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "io/store/store_priv.h"

static bm_status leaf_damaged(const bm_store *s, const char *path, const bm_leaf *leaf)
{
    return bm_fail(BM_ERR_DAMAGED, "%s: damaged: %s: the %" PRId64 " bytes at %" PRId64 " do not fit their hash",
                   s->path, path ? path : "metadata", leaf->bytes, leaf->offset);
}

bm_status bm_store_check_leaf(const bm_store *s, const bm_entry *e, int64_t leaf, const void *data)
{
    const bm_leaf *l = s->manifest.leaf + leaf;
    bm_hash128 h = bm_hash(data, (size_t)l->bytes);
    return bm_hash_equal(&h, &l->hash) ? BM_OK : leaf_damaged(s, e->path, l);
}

bm_status bm_checker_create(bm_checker **out, int64_t leaves)
{
    *out = NULL;
    bm_checker *c = bm_calloc(1, sizeof *c);
    if (!c) return BM_ERR_MEMORY;
    pthread_mutex_init(&c->lock, NULL);
    c->buffer = bm_alloc(BM_PIECE_BYTES);
    c->sound = bm_calloc((size_t)leaves + 1, sizeof *c->sound);
    bm_status status = c->buffer && c->sound ? bm_hasher_create(&c->hasher) : BM_ERR_MEMORY;
    if (status)
        bm_checker_destroy(c);
    else
        *out = c;
    return status;
}

void bm_checker_destroy(bm_checker *c)
{
    if (!c) return;
    bm_hasher_destroy(c->hasher);
    bm_free(c->buffer);
    bm_free(c->sound);
    pthread_mutex_destroy(&c->lock);
    bm_free(c);
}

static bm_status check_first_use(const bm_store *s, const bm_entry *e, int64_t i)
{
    bm_checker *c = s->checker;
    const bm_leaf *leaf = s->manifest.leaf + i;
    bm_status status = BM_OK;
    bm_hash128 h;
    pthread_mutex_lock(&c->lock);
    if (!atomic_load(&c->sound[i])) {
        status = bm_fail_prefix(bm_leaf_hash(&h, s->fd, leaf, c->buffer, c->hasher), "%s", s->path);
        if (!status && !bm_hash_equal(&h, &leaf->hash)) status = leaf_damaged(s, e->path, leaf);
        if (!status) atomic_store(&c->sound[i], 1);
    }
    pthread_mutex_unlock(&c->lock);
    return status;
}

bm_status bm_store_check(const bm_store *s, const bm_entry *e, int64_t at, int64_t bytes)
{
    int64_t first = s->manifest.first[bm_store_place(s, e)];
    if (!bytes || s->manifest.leaf[first].kind == BM_LEAF_MANIFEST) return BM_OK;
    for (int64_t i = first + at / BM_LEAF_MOST; i <= first + (at + bytes - 1) / BM_LEAF_MOST; i++)
        if (!atomic_load_explicit(&s->checker->sound[i], memory_order_acquire)) BM_TRY(check_first_use(s, e, i));
    return BM_OK;
}

bm_status bm_store_stream(const bm_store *s, const bm_entry *e, void *buffer, bm_store_take take, void *user)
{
    int64_t size = (int64_t)bm_dtype_size(e->dtype), leaf = s->manifest.first[bm_store_place(s, e)];
    bm_status status = BM_OK;
    if (!e->bytes) return BM_OK;
    void *own =
        buffer ? NULL : bm_alloc_aligned(BM_H5_ALIGN, (size_t)(e->bytes < BM_LEAF_MOST ? e->bytes : BM_LEAF_MOST));
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
    bm_hasher *hasher;
    bm_error first; /* the first damage found */
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
static bm_status verify_leaf(verifier *v, const bm_leaf *leaf)
{
    bm_hash128 h;
    if (leaf->kind == BM_LEAF_MANIFEST) return BM_OK; /* opening checked it */
    int of_dataset = leaf->kind == BM_LEAF_TENSOR || leaf->kind == BM_LEAF_JSON;
    const char *path = of_dataset ? v->store->tree.entry[leaf->index].path : NULL;
    bm_status status = bm_leaf_hash(&h, v->store->fd, leaf, v->buffer, v->hasher);
    if (status == BM_ERR_IO) {
        report(v, path, leaf, "cannot be read");
        return BM_OK;
    }
    if (!status && !bm_hash_equal(&h, &leaf->hash)) report(v, path, leaf, "does not fit its hash");
    return status;
}

bm_status bm_store_verify(const bm_store *s, const bm_verify_opts *opts)
{
    bm_status status = BM_OK;
    bm_verify_opts none = bm_verify_opts_default();
    verifier v = {.store = s, .opts = opts ? opts : &none};
    int64_t done_bytes = 0;
    v.buffer = bm_alloc(BM_PIECE_BYTES);
    if (!v.buffer) return BM_ERR_MEMORY;
    BM_GO(bm_hasher_create(&v.hasher));
    for (int64_t i = 0; i < s->manifest.leaves; i++) {
        BM_GO(verify_leaf(&v, s->manifest.leaf + i));
        done_bytes += s->manifest.leaf[i].bytes;
        if (v.opts->progress) BM_GO(v.opts->progress(v.opts->user, done_bytes, s->tree.file_bytes));
    }
    if (v.first.status) status = bm_error_restore(&v.first);
done:
    bm_hasher_destroy(v.hasher);
    bm_free(v.buffer);
    return status;
}
