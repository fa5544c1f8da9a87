#include "io/store/manifest.h"

#include <inttypes.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "io/store/bytes_priv.h"
#include "io/store/manifest_priv.h"

#define VERSION 1u
#define ALGORITHMS 1u /* XXH3-128 */
#define HEAD_USED 108 /* bytes before the zeros */
#define LEAF_USED 72

static const char magic[9] = "BMMANIF1";

int bm_content_id_equal(const bm_content_id *a, const bm_content_id *b) { return !memcmp(a, b, sizeof *a); }

void bm_content_id_hex(char out[65], const bm_content_id *id)
{
    static const char digit[] = "0123456789abcdef";
    for (int i = 0; i < 32; i++) {
        out[2 * i] = digit[id->byte[i] >> 4];
        out[2 * i + 1] = digit[id->byte[i] & 15];
    }
    out[64] = 0;
}

void bm_manifest_finish(bm_manifest *m)
{
    bm_free(m->leaf);
    bm_free(m->first);
    bm_free(m->tensor);
    memset(m, 0, sizeof *m);
}

static int starts_with(const char *text, const char *prefix) { return !strncmp(text, prefix, strlen(prefix)); }

static int is_manifest(const char *path)
{
    return !strcmp(path, BM_MANIFEST_HEAD) || !strcmp(path, BM_MANIFEST_LEAVES);
}

static uint32_t kind_of(const char *path)
{
    if (is_manifest(path)) return BM_LEAF_MANIFEST;
    size_t n = strlen(path);
    return n > 5 && !strcmp(path + n - 5, "/json") ? BM_LEAF_JSON : BM_LEAF_TENSOR;
}

/* Leaves for [offset, offset + bytes). */
static bm_status add_leaves(bm_manifest *m, size_t *room, bm_leaf like)
{
    int64_t end = like.offset + like.bytes;
    for (int64_t at = like.offset; at < end; at += BM_LEAF_MOST) {
        bm_leaf *grown = bm_grow(m->leaf, room, m->leaves, sizeof *grown);
        if (!grown) return BM_ERR_MEMORY;
        m->leaf = grown;
        like.offset = at;
        like.bytes = end - at < BM_LEAF_MOST ? end - at : BM_LEAF_MOST;
        m->leaf[m->leaves++] = like;
    }
    return BM_OK;
}

bm_status bm_manifest_layout(bm_manifest *m, const bm_h5_tree *t)
{
    size_t room = 0;
    int64_t at = 0;
    int metadata = 0;
    m->first = bm_alloc((size_t)(t->entries + 1) * sizeof *m->first);
    if (!m->first) return BM_ERR_MEMORY;
    for (int64_t i = 0; i < t->entries; i++) m->first[i] = -1;
    for (int64_t i = 0; i < t->extents; i++) {
        const bm_h5_extent *x = t->extent + i;
        if (x->entry < 0) {
            metadata = 1;
            continue;
        }
        BM_TRY(add_leaves(
            m, &room,
            (bm_leaf){.offset = at, .bytes = x->offset - at, .kind = metadata ? BM_LEAF_METADATA : BM_LEAF_PADDING}));
        m->first[x->entry] = m->leaves;
        BM_TRY(add_leaves(m, &room,
                          (bm_leaf){.offset = x->offset,
                                    .bytes = x->bytes,
                                    .kind = kind_of(t->entry[x->entry].path),
                                    .index = (uint32_t)x->entry}));
        at = x->offset + x->bytes;
        metadata = 0;
    }
    return add_leaves(
        m, &room,
        (bm_leaf){.offset = at, .bytes = t->file_bytes - at, .kind = metadata ? BM_LEAF_METADATA : BM_LEAF_PADDING});
}

void bm_manifest_encode(uint8_t *table, uint8_t *head, bm_manifest *m, int64_t rows, int64_t file_bytes)
{
    memset(table, 0, (size_t)rows * BM_LEAF_BYTES);
    for (int64_t i = 0; i < m->leaves; i++) {
        const bm_leaf *leaf = m->leaf + i;
        uint8_t *p = table + i * BM_LEAF_BYTES;
        bm_put_u64(p, (uint64_t)leaf->offset);
        bm_put_u64(p + 8, (uint64_t)leaf->bytes);
        memcpy(p + 16, leaf->hash.byte, 16);
        bm_put_u32(p + 64, leaf->kind);
        bm_put_u32(p + 68, leaf->index);
    }
    m->root = bm_hash(table, (size_t)rows * BM_LEAF_BYTES);
    memset(head, 0, BM_HEAD_BYTES);
    memcpy(head, magic, 8);
    bm_put_u32(head + 8, VERSION);
    bm_put_u32(head + 12, (uint32_t)m->leaves);
    bm_put_u64(head + 16, (uint64_t)file_bytes);
    bm_put_u32(head + 24, ALGORITHMS);
    memcpy(head + 28, m->root.byte, 16);
    memcpy(head + 76, m->content_id.byte, 32);
    bm_put_u32(head + BM_HEAD_BYTES - 4, bm_crc32c(0, head, BM_HEAD_BYTES - 4));
}

/* Starts the hash of a tensor or an attribute; leaves or bytes follow. */
static void start_hash(bm_hasher *h, const char *path, bm_dtype dtype, const bm_shape *shape)
{
    uint8_t dims[4 + 8 * BM_MAX_RANK];
    bm_put_u32(dims, (uint32_t)shape->rank);
    for (int i = 0; i < shape->rank; i++) bm_put_u64(dims + 4 + 8 * i, (uint64_t)shape->dim[i]);
    bm_hasher_reset(h);
    bm_hasher_add(h, path, strlen(path) + 1);
    bm_hasher_add(h, bm_dtype_name(dtype), strlen(bm_dtype_name(dtype)) + 1);
    bm_hasher_add(h, dims, 4 + 8 * (size_t)shape->rank);
}

static int covers(bm_store_kind kind, const char *path)
{
    if (kind == BM_STORE_CHECKPOINT)
        return starts_with(path, "/params/") || starts_with(path, "/optim/") ||
               (starts_with(path, "/state/") && strcmp(path, "/state/best_metric"));
    return !starts_with(path, "/meta/") && !is_manifest(path);
}

static bm_status attr_hash(bm_hash128 *out, bm_hasher *h, const bm_attr *a)
{
    size_t object = strlen(a->object), name = strlen(a->name);
    char *path = bm_alloc(object + 1 + name + 1);
    if (!path) return BM_ERR_MEMORY;
    memcpy(path, a->object, object);
    path[object] = '@';
    memcpy(path + object + 1, a->name, name + 1);
    start_hash(h, path, a->dtype, &a->shape);
    bm_hasher_add(h, a->data, a->bytes);
    *out = bm_hasher_digest(h);
    bm_free(path);
    return BM_OK;
}

/* What a dataset's id covers besides its tensors: where its splits lie, how large its vocabulary is. */
static bm_status add_group_attrs(bm_hasher *half[2], bm_hasher *one, const bm_h5_tree *t)
{
    for (int64_t i = 0; i < t->attrs; i++) {
        const bm_attr *a = t->attr + i;
        if (a->is_text || !strcmp(a->object, "/") || bm_h5_tree_find(t, a->object) >= 0) continue;
        bm_hash128 h;
        BM_TRY(attr_hash(&h, one, a));
        for (int k = 0; k < 2; k++) bm_hasher_add(half[k], h.byte, sizeof h.byte);
    }
    return BM_OK;
}

static bm_hash128 tensor_hash(bm_hasher *h, const bm_manifest *m, const bm_h5_tree *t, int64_t entry)
{
    const bm_entry *e = t->entry + entry;
    const bm_leaf *leaf = m->first[entry] < 0 ? NULL : m->leaf + m->first[entry];
    start_hash(h, e->path, e->dtype, &e->shape);
    for (int64_t at = 0; at < e->bytes; at += BM_LEAF_MOST, leaf++)
        bm_hasher_add(h, leaf->hash.byte, sizeof leaf->hash.byte);
    return bm_hasher_digest(h);
}

bm_status bm_manifest_summarise(bm_content_id *id, bm_manifest *m, const bm_h5_tree *t, bm_store_kind kind)
{
    bm_status status;
    bm_hasher *half[2] = {NULL, NULL}, *one = NULL;
    m->tensor = bm_alloc((size_t)(t->entries + 1) * sizeof *m->tensor);
    if (!m->tensor) return BM_ERR_MEMORY;
    BM_GO(bm_hasher_create(&one));
    for (int k = 0; k < 2; k++) {
        BM_GO(bm_hasher_create(&half[k]));
        bm_hasher_add(half[k], (uint8_t[]){(uint8_t)k}, 1);
    }
    for (int64_t i = 0; i < t->entries; i++) {
        m->tensor[i] = tensor_hash(one, m, t, i);
        for (int k = 0; k < 2 && covers(kind, t->entry[i].path); k++)
            bm_hasher_add(half[k], m->tensor[i].byte, sizeof m->tensor[i].byte);
    }
    if (kind == BM_STORE_DATASET) BM_GO(add_group_attrs(half, one, t));
    for (int k = 0; k < 2; k++) memcpy(id->byte + 16 * k, bm_hasher_digest(half[k]).byte, 16);
done:
    bm_hasher_destroy(half[0]);
    bm_hasher_destroy(half[1]);
    bm_hasher_destroy(one);
    return status;
}

bm_status bm_leaf_hash(bm_hash128 *out, int fd, const bm_leaf *leaf, void *buffer, bm_hasher *hasher)
{
    bm_hasher_reset(hasher);
    for (int64_t done = 0; done < leaf->bytes;) {
        size_t n = leaf->bytes - done < (int64_t)BM_PIECE_BYTES ? (size_t)(leaf->bytes - done) : BM_PIECE_BYTES;
        BM_TRY(bm_pread_all(fd, buffer, n, leaf->offset + done, "reading"));
        bm_hasher_add(hasher, buffer, n);
        done += (int64_t)n;
    }
    *out = bm_hasher_digest(hasher);
    return BM_OK;
}

static int all_zero(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i]) return 0;
    return 1;
}

static bm_status read_head(bm_manifest *m, const bm_h5_tree *t, const bm_entry *at, int fd)
{
    uint8_t head[BM_HEAD_BYTES];
    if (at->dtype != BM_U8 || at->shape.rank != 1 || at->bytes != BM_HEAD_BYTES)
        return bm_refuse(BM_RULE_MANIFEST, BM_MANIFEST_HEAD " is not u8[%d]", BM_HEAD_BYTES);
    BM_TRY(bm_pread_all(fd, head, sizeof head, at->offset, BM_MANIFEST_HEAD));
    if (bm_get_u32(head + BM_HEAD_BYTES - 4) != bm_crc32c(0, head, BM_HEAD_BYTES - 4))
        return bm_fail(BM_ERR_DAMAGED, "damaged: the CRC of " BM_MANIFEST_HEAD " at %" PRId64 " does not fit",
                       at->offset);
    if (memcmp(head, magic, 8) || bm_get_u32(head + 8) != VERSION)
        return bm_refuse(BM_RULE_MANIFEST, "its version is %" PRIu32 "; %u is known", bm_get_u32(head + 8), VERSION);
    if (bm_get_u64(head + 16) != (uint64_t)t->file_bytes)
        return bm_refuse(BM_RULE_MANIFEST, "it is of a file of %" PRIu64 " bytes", bm_get_u64(head + 16));
    if (bm_get_u32(head + 24) != ALGORITHMS || !all_zero(head + 44, 32) ||
        !all_zero(head + HEAD_USED, BM_HEAD_BYTES - 4 - HEAD_USED))
        return bm_refuse(BM_RULE_MANIFEST, "it uses hashes that are not known (0x%" PRIx32 ")", bm_get_u32(head + 24));
    if (bm_get_u32(head + 12) != (uint64_t)m->leaves)
        return bm_refuse(BM_RULE_MANIFEST, "it has %" PRIu32 " leaves; the file takes %" PRId64, bm_get_u32(head + 12),
                         m->leaves);
    memcpy(m->root.byte, head + 28, 16);
    memcpy(m->content_id.byte, head + 76, 32);
    return BM_OK;
}

/* The leaves must be those of the layout, and carry hashes where the layout allows them. */
static bm_status read_table(bm_manifest *m, const uint8_t *table, int64_t rows)
{
    if (!all_zero(table + m->leaves * BM_LEAF_BYTES, (size_t)(rows - m->leaves) * BM_LEAF_BYTES))
        return bm_refuse(BM_RULE_MANIFEST, "its last leaves lie outside the file");
    for (int64_t i = 0; i < m->leaves; i++) {
        const uint8_t *p = table + i * BM_LEAF_BYTES;
        bm_leaf *leaf = m->leaf + i;
        if (bm_get_u64(p) != (uint64_t)leaf->offset || bm_get_u64(p + 8) != (uint64_t)leaf->bytes ||
            bm_get_u32(p + 64) != leaf->kind || bm_get_u32(p + 68) != leaf->index)
            return bm_refuse(BM_RULE_MANIFEST,
                             "leaf %" PRId64 " does not tile the file (%" PRId64 " bytes at %" PRId64 " are due)", i,
                             leaf->bytes, leaf->offset);
        if (!all_zero(p + 32, 32) || !all_zero(p + LEAF_USED, BM_LEAF_BYTES - LEAF_USED) ||
            (leaf->kind == BM_LEAF_MANIFEST && !all_zero(p + 16, 16)))
            return bm_refuse(BM_RULE_MANIFEST, "leaf %" PRId64 " has hashes where none may be", i);
        memcpy(leaf->hash.byte, p + 16, 16);
    }
    return BM_OK;
}

static bm_status check_metadata(const bm_manifest *m, int fd)
{
    bm_status status = BM_OK;
    bm_hasher *hasher = NULL;
    void *buffer = bm_alloc(BM_PIECE_BYTES);
    if (!buffer) return BM_ERR_MEMORY;
    BM_GO(bm_hasher_create(&hasher));
    for (int64_t i = 0; i < m->leaves; i++) {
        const bm_leaf *leaf = m->leaf + i;
        bm_hash128 h;
        if (leaf->kind != BM_LEAF_METADATA && leaf->kind != BM_LEAF_PADDING) continue;
        BM_GO(bm_leaf_hash(&h, fd, leaf, buffer, hasher));
        if (!bm_hash_equal(&h, &leaf->hash)) {
            status =
                bm_fail(BM_ERR_DAMAGED, "damaged: the %s of %" PRId64 " bytes at %" PRId64 " does not fit its hash",
                        leaf->kind == BM_LEAF_METADATA ? "metadata" : "padding", leaf->bytes, leaf->offset);
            goto done;
        }
    }
done:
    bm_hasher_destroy(hasher);
    bm_free(buffer);
    return status;
}

bm_status bm_manifest_read(bm_manifest *m, const bm_h5_tree *t, bm_store_kind kind, int fd)
{
    bm_status status;
    uint8_t *table = NULL;
    bm_content_id id;
    int64_t head = bm_h5_tree_find(t, BM_MANIFEST_HEAD), leaves = bm_h5_tree_find(t, BM_MANIFEST_LEAVES);
    if (head < 0 || leaves != head + 1) return bm_refuse(BM_RULE_MANIFEST, "there is none");
    const bm_entry *at = t->entry + leaves;
    BM_GO(bm_manifest_layout(m, t));
    BM_GO(read_head(m, t, t->entry + head, fd));
    if (at->dtype != BM_U8 || at->shape.rank != 2 || at->shape.dim[1] != BM_LEAF_BYTES ||
        at->shape.dim[0] < m->leaves || at->shape.dim[0] > m->leaves + BM_MOST_SPARE_LEAVES) {
        status =
            bm_refuse(BM_RULE_MANIFEST, BM_MANIFEST_LEAVES " is not u8[%" PRId64 ", %d]", m->leaves, BM_LEAF_BYTES);
        goto done;
    }
    table = bm_alloc((size_t)at->bytes);
    if (!table) {
        status = BM_ERR_MEMORY;
        goto done;
    }
    BM_GO(bm_pread_all(fd, table, (size_t)at->bytes, at->offset, BM_MANIFEST_LEAVES));
    bm_hash128 root = bm_hash(table, (size_t)at->bytes);
    if (!bm_hash_equal(&root, &m->root)) {
        status = bm_fail(BM_ERR_DAMAGED, "damaged: " BM_MANIFEST_LEAVES " at %" PRId64 " does not fit the root hash",
                         at->offset);
        goto done;
    }
    BM_GO(read_table(m, table, at->shape.dim[0]));
    BM_GO(check_metadata(m, fd));
    BM_GO(bm_manifest_summarise(&id, m, t, kind));
    if (!bm_content_id_equal(&id, &m->content_id))
        status = bm_refuse(BM_RULE_MANIFEST, "its content id is not that of its hashes");
done:
    bm_free(table);
    return status;
}
