/* From the description to the file: skeleton, bytes, manifest, and the moment it appears. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "io/store/image_priv.h"
#include "io/store/tempfile_priv.h"
#include "io/store/writer_priv.h"

void bm_writer_destroy(bm_writer *w)
{
    if (!w) return;
    if (w->temp) unlink(w->temp);
    if (w->fd >= 0) close(w->fd);
    for (int64_t i = 0; w->put && i < w->datasets; i++) bm_hasher_destroy(w->put[i].hasher);
    bm_manifest_finish(&w->manifest);
    bm_h5_tree_finish(&w->tree);
    bm_arena_finish(&w->arena);
    bm_free(w->dataset);
    bm_free(w->put);
    bm_free(w->temp);
    bm_free(w->path);
    bm_free(w);
}

static bm_status make_uuid(char out[37])
{
    uint8_t b[16];
    BM_TRY(bm_random_bytes(b, sizeof b));
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40); /* RFC 4122, version 4 */
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
    snprintf(out, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1], b[2], b[3],
             b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
    return BM_OK;
}

static bm_status add_root_attrs(bm_writer *w)
{
    static const struct {
        const char *name;
        uint16_t value;
    } version[] = {{"bm_version_major", BM_STORE_VERSION_MAJOR},
                   {"bm_version_minor", BM_STORE_VERSION_MINOR},
                   {"bm_min_reader", 0}};
    char uuid[37], now[32];
    bm_shape scalar = bm_shape_of(0, NULL);
    time_t t = time(NULL);
    struct tm utc;
    if (!gmtime_r(&t, &utc) || !strftime(now, sizeof now, "%Y-%m-%dT%H:%M:%SZ", &utc))
        return bm_fail(BM_ERR_IO, "the clock cannot be read");
    BM_TRY(make_uuid(uuid));
    BM_TRY(bm_writer_attr_text(w, "/", "bm_format", w->opts.kind == BM_STORE_CHECKPOINT ? "bm-ckpt" : "bm-data"));
    for (int i = 0; i < 3; i++) BM_TRY(bm_writer_attr(w, "/", version[i].name, BM_U16, &scalar, &version[i].value));
    BM_TRY(bm_writer_attr_text(w, "/", "created_utc", now));
    BM_TRY(bm_writer_attr_text(w, "/", "writer", "bm " BM_VERSION));
    return bm_writer_attr_text(w, "/", "uuid", uuid);
}

static void set_leaves(bm_writer *w, int64_t n)
{
    w->leaves->shape = bm_shape_of(2, (int64_t[]){n, BM_LEAF_BYTES});
    w->leaves->bytes = n * BM_LEAF_BYTES;
}

/* The head comes first, so that the table's length does not move it. */
static bm_status add_manifest(bm_writer *w)
{
    bm_node *head;
    int64_t leaves = 4;
    BM_TRY(bm_writer_add(&head, w, BM_MANIFEST_HEAD, 1));
    head->dtype = BM_U8;
    head->shape = bm_shape_of(1, (int64_t[]){BM_HEAD_BYTES});
    head->bytes = BM_HEAD_BYTES;
    BM_TRY(bm_writer_add(&w->leaves, w, BM_MANIFEST_LEAVES, 1));
    w->leaves->dtype = BM_U8;
    for (int64_t i = 0; i < w->datasets; i++) leaves += 1 + (w->dataset[i]->bytes + BM_LEAF_MOST - 1) / BM_LEAF_MOST;
    set_leaves(w, leaves);
    return BM_OK;
}

static bm_status check_space(const bm_writer *w)
{
    double need = (double)w->meta_bytes + (double)w->leaves->bytes + BM_HEAD_BYTES;
    for (int64_t i = 0; i < w->datasets; i++)
        need += (double)w->dataset[i]->bytes + (w->dataset[i]->bytes >= BM_H5_ALIGN ? BM_H5_ALIGN : 0);
    struct statvfs fs;
    char *folder = bm_path_folder(w->path);
    if (!folder) return BM_ERR_MEMORY;
    bm_status status = BM_OK;
    if (statvfs(folder, &fs)) {
        status = bm_fail_errno(errno, folder, "cannot tell its free space");
    } else {
        double have = (double)fs.f_bavail * (double)fs.f_frsize;
        if (have < 1.05 * need)
            status = bm_fail(BM_ERR_NO_SPACE, "%s: no space left for it: it needs %.0f bytes, %s has %.0f free",
                             w->path, 1.05 * need, folder, have);
    }
    bm_free(folder);
    return status;
}

/* The skeleton, until its table of leaves is as long as its own layout asks for, or a few rows longer: a length may
 * change the layout by a gap that libhdf5 then fills or leaves, so that two lengths can ask for each other. */
static bm_status make_skeleton(bm_writer *w)
{
    for (int tries = 0; tries < 8; tries++) {
        bm_image image = {0};
        bm_h5_tree_finish(&w->tree);
        bm_manifest_finish(&w->manifest);
        bm_status status = bm_skeleton_make(&image, w->root, w->meta_bytes);
        if (!status) status = bm_image_store(&image, w->fd, w->path);
        int64_t bytes = image.bytes;
        bm_image_finish(&image);
        BM_TRY(status);
        BM_TRY(bm_h5_tree_read(&w->tree, w->fd, bytes));
        BM_TRY(bm_manifest_layout(&w->manifest, &w->tree));
        int64_t spare = w->leaves->shape.dim[0] - w->manifest.leaves;
        if (spare >= 0 && spare <= BM_MOST_SPARE_LEAVES) return BM_OK;
        set_leaves(w, w->manifest.leaves);
    }
    return bm_fail(BM_ERR_UNSUPPORTED, "%s: libhdf5 lays it out anew each time", w->path);
}

/* Where libhdf5 says that the datasets lie must be where the strict reader finds them. */
static bm_status match_offsets(bm_writer *w)
{
    w->put = bm_calloc((size_t)w->datasets + 1, sizeof *w->put);
    if (!w->put) return BM_ERR_MEMORY;
    for (int64_t i = 0; i < w->datasets; i++) {
        const bm_node *n = w->dataset[i];
        int64_t entry = bm_h5_tree_find(&w->tree, n->path);
        const bm_entry *e = entry < 0 ? NULL : w->tree.entry + entry;
        if (!e || e->dtype != n->dtype || !bm_shape_equal(&e->shape, &n->shape) || (e->bytes && e->offset != n->offset))
            return bm_fail(BM_ERR_UNSUPPORTED, "%s: this libhdf5 stores %s in a way that bm does not know", w->path,
                           n->path);
        w->put[i].entry = entry;
    }
    return BM_OK;
}

static bm_status reserve(const bm_writer *w)
{
    int err;
    do err = posix_fallocate(w->fd, 0, (off_t)w->tree.file_bytes);
    while (err == EINTR);
    if (!err || err == EOPNOTSUPP || err == EINVAL) return BM_OK; /* not every file system can; the writes will tell */
    return bm_fail_errno(err, w->path, "cannot reserve its space");
}

bm_status bm_writer_begin(bm_writer *w)
{
    if (w->phase != BM_WRITER_DESCRIBING) return bm_fail(BM_ERR_USAGE, "%s: begun already", w->path);
    BM_TRY(add_root_attrs(w));
    BM_TRY(add_manifest(w));
    BM_TRY(check_space(w));
    BM_TRY(bm_temp_create(&w->temp, &w->fd, w->path));
    BM_TRY(make_skeleton(w));
    BM_TRY(match_offsets(w));
    BM_TRY(reserve(w));
    w->phase = BM_WRITER_PUTTING;
    return BM_OK;
}

bm_status bm_writer_put(bm_writer *w, int64_t index, const void *data, int64_t first, int64_t count)
{
    if (w->phase != BM_WRITER_PUTTING) return bm_fail(BM_ERR_USAGE, "%s: not begun", w->path);
    if (index < 0 || index >= w->datasets)
        return bm_fail(BM_ERR_USAGE, "%s: there is no dataset %" PRId64, w->path, index);
    bm_put_state *p = w->put + index;
    const bm_entry *e = w->tree.entry + p->entry;
    int64_t size = (int64_t)bm_dtype_size(e->dtype);
    if (first != p->done / size || count < 0 || count > e->bytes / size - first)
        return bm_fail(BM_ERR_USAGE,
                       "%s: %s: elements %" PRId64 " and %" PRId64 " on were put where %" PRId64 " of %" PRId64
                       " are due",
                       w->path, e->path, first, count, p->done / size, e->bytes / size);
    if (count && !p->hasher) BM_TRY(bm_hasher_create(&p->hasher));
    const uint8_t *from = data;
    for (int64_t rest = count * size; rest > 0;) {
        int64_t in_leaf = p->done % BM_LEAF_MOST, n = BM_LEAF_MOST - in_leaf;
        if (n > rest) n = rest;
        if (n > (int64_t)BM_PIECE_BYTES) n = (int64_t)BM_PIECE_BYTES;
        BM_TRY(bm_pwrite_all(w->fd, from, (size_t)n, e->offset + p->done, w->path));
        bm_hasher_add(p->hasher, from, (size_t)n);
        p->done += n;
        from += n;
        rest -= n;
        if (in_leaf + n == BM_LEAF_MOST || p->done == e->bytes) {
            w->manifest.leaf[w->manifest.first[p->entry] + (p->done - 1) / BM_LEAF_MOST].hash =
                bm_hasher_digest(p->hasher);
            bm_hasher_reset(p->hasher);
        }
    }
    if (p->done == e->bytes) {
        bm_hasher_destroy(p->hasher);
        p->hasher = NULL;
    }
    return BM_OK;
}

/* What was given with the description; then nothing may be missing. */
static bm_status put_rest(bm_writer *w)
{
    for (int64_t i = 0; i < w->datasets; i++) {
        const bm_node *n = w->dataset[i];
        if (n->data) BM_TRY(bm_writer_put(w, i, n->data, 0, n->bytes / (int64_t)bm_dtype_size(n->dtype)));
        if (w->put[i].done != n->bytes)
            return bm_fail(BM_ERR_USAGE, "%s: %s has %" PRId64 " of its %" PRId64 " bytes", w->path, n->path,
                           w->put[i].done, n->bytes);
    }
    return BM_OK;
}

/* Hashes of what libhdf5 wrote and of the padding, read back. */
static bm_status hash_metadata(bm_writer *w)
{
    bm_status status;
    bm_hasher *hasher = NULL;
    void *buffer = bm_alloc(BM_PIECE_BYTES);
    if (!buffer) return BM_ERR_MEMORY;
    BM_GO(bm_hasher_create(&hasher));
    for (int64_t i = 0; i < w->manifest.leaves; i++) {
        bm_leaf *leaf = w->manifest.leaf + i;
        if (leaf->kind == BM_LEAF_METADATA || leaf->kind == BM_LEAF_PADDING)
            BM_GO(bm_leaf_hash(&leaf->hash, w->fd, leaf, buffer, hasher));
    }
done:
    bm_hasher_destroy(hasher);
    bm_free(buffer);
    return status;
}

static bm_status write_manifest(bm_writer *w)
{
    bm_status status = BM_ERR_MEMORY;
    const bm_entry *leaves = bm_h5_tree_at(&w->tree, BM_MANIFEST_LEAVES),
                   *head = bm_h5_tree_at(&w->tree, BM_MANIFEST_HEAD);
    uint8_t *table = bm_alloc((size_t)leaves->bytes), *page = bm_alloc(BM_HEAD_BYTES);
    if (!table || !page) goto done;
    BM_GO(bm_manifest_summarise(&w->manifest.content_id, &w->manifest, &w->tree, w->opts.kind));
    bm_manifest_encode(table, page, &w->manifest, leaves->shape.dim[0], w->tree.file_bytes);
    BM_GO(bm_pwrite_all(w->fd, table, (size_t)leaves->bytes, leaves->offset, w->path));
    BM_GO(bm_pwrite_all(w->fd, page, BM_HEAD_BYTES, head->offset, w->path));
done:
    bm_free(table);
    bm_free(page);
    return status;
}

/* The temporary file becomes the file. Without `replace` by a hard link, which fails if a file has appeared meanwhile.
 */
static bm_status publish(bm_writer *w)
{
    struct stat st;
    if (w->opts.replace) {
        if (!stat(w->path, &st)) (void)fchmod(w->fd, st.st_mode & 0777);
    } else if (!link(w->temp, w->path)) {
        unlink(w->temp);
        return BM_OK;
    } else if (errno == EEXIST || bm_path_exists(w->path)) {
        return bm_fail(BM_ERR_EXISTS, "%s: exists already (--force replaces it)", w->path);
    } /* else a file system without hard links */
    if (rename(w->temp, w->path)) return bm_fail_errno(errno, w->path, "rename");
    return BM_OK;
}

bm_status bm_writer_commit(bm_content_id *id, bm_writer *w)
{
    if (w->phase != BM_WRITER_PUTTING) return bm_fail(BM_ERR_USAGE, "%s: not begun", w->path);
    BM_TRY(put_rest(w));
    w->phase = BM_WRITER_DONE; /* whatever comes now is not tried again */
    BM_TRY(hash_metadata(w));
    BM_TRY(write_manifest(w));
    if (fsync(w->fd)) return bm_fail_errno(errno, w->path, "fsync");
    BM_TRY(publish(w));
    bm_free(w->temp);
    w->temp = NULL;
    if (id) *id = w->manifest.content_id;
    char *folder = bm_path_folder(w->path);
    if (!folder) return BM_ERR_MEMORY;
    bm_status status = bm_folder_sync(folder);
    bm_free(folder);
    return status;
}
