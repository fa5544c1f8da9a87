#include "io/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "io/store/store_priv.h"

#define MOST_FILE_BYTES ((int64_t)1 << 60)

static bm_status open_file(int *fd, int64_t *bytes, const char *path)
{
    struct stat st;
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (*fd < 0) return bm_fail_errno(errno, path, "cannot open it");
    if (fstat(*fd, &st)) return bm_fail_errno(errno, path, "cannot look at it");
    if (!S_ISREG(st.st_mode)) return bm_fail_prefix(bm_refuse(BM_RULE_FILE, "not a regular file"), "%s", path);
    if (st.st_size > MOST_FILE_BYTES) return bm_fail_prefix(bm_refuse(BM_RULE_FILE, "too large"), "%s", path);
    *bytes = (int64_t)st.st_size;
    return BM_OK;
}

static bm_status root_version(uint64_t *out, const bm_store *s, const char *name)
{
    const bm_attr *a = bm_store_attr(s, "/", name);
    if (!a || a->is_text || a->dtype != BM_U16)
        return bm_refuse(BM_RULE_SCHEMA, "the root has no attribute %s u16", name);
    return bm_store_attr_u64(out, s, "/", name);
}

/* What stands at the root: the kind and the version. */
static bm_status read_root(bm_store *s)
{
    const char *format, *text;
    uint64_t major, minor, least;
    BM_TRY(bm_store_attr_text(&format, s, "/", "bm_format"));
    BM_TRY(root_version(&major, s, "bm_version_major"));
    BM_TRY(root_version(&minor, s, "bm_version_minor"));
    BM_TRY(root_version(&least, s, "bm_min_reader"));
    if (major != BM_STORE_VERSION_MAJOR || least > BM_STORE_VERSION_MINOR)
        return bm_refuse(BM_RULE_SCHEMA,
                         "its format is version %" PRIu64 ".%" PRIu64 "; this bm reads %d.%d: use a newer one", major,
                         minor, BM_STORE_VERSION_MAJOR, BM_STORE_VERSION_MINOR);
    if (!strcmp(format, "bm-ckpt"))
        s->kind = BM_STORE_CHECKPOINT;
    else if (!strcmp(format, "bm-data"))
        s->kind = BM_STORE_DATASET;
    else
        return bm_refuse(BM_RULE_SCHEMA, "bm_format is neither \"bm-ckpt\" nor \"bm-data\"");
    BM_TRY(bm_store_attr_text(&text, s, "/", "created_utc"));
    BM_TRY(bm_store_attr_text(&text, s, "/", "writer"));
    BM_TRY(bm_store_attr_text(&s->uuid, s, "/", "uuid"));
    if (strlen(s->uuid) != 36) return bm_refuse(BM_RULE_SCHEMA, "uuid is not one");
    return BM_OK;
}

static bm_status read_all(bm_store *s, int64_t bytes)
{
    struct stat st;
    BM_TRY(bm_h5_tree_read(&s->tree, s->fd, bytes));
    BM_TRY(read_root(s));
    BM_TRY(bm_manifest_read(&s->manifest, &s->tree, s->kind, s->fd));
    BM_TRY(bm_checker_create(&s->checker, s->manifest.leaves));
    s->hidden = bm_h5_tree_find(&s->tree, BM_MANIFEST_HEAD);
    if (fstat(s->fd, &st)) return bm_fail(BM_ERR_IO, "cannot look at it: %s", strerror(errno));
    if (st.st_size != bytes) return bm_fail(BM_ERR_DAMAGED, "damaged: its size changed while it was opened");
    return BM_OK;
}

bm_status bm_store_open(bm_store **out, const char *path)
{
    bm_status status;
    int64_t bytes = 0;
    *out = NULL;
    bm_store *s = bm_calloc(1, sizeof *s);
    if (!s) return BM_ERR_MEMORY;
    s->fd = -1;
    pthread_mutex_init(&s->lock, NULL);
    if (!(s->path = bm_strdup(path))) {
        status = BM_ERR_MEMORY;
        goto done;
    }
    BM_GO(open_file(&s->fd, &bytes, path));
    status = bm_fail_prefix(read_all(s, bytes), "%s", path);
done:
    if (status)
        bm_store_close(s);
    else
        *out = s;
    return status;
}

void bm_store_close(bm_store *s)
{
    if (!s) return;
    if (s->map) munmap(s->map, (size_t)s->tree.file_bytes);
    if (s->fd >= 0) close(s->fd);
    bm_checker_destroy(s->checker);
    bm_manifest_finish(&s->manifest);
    bm_h5_tree_finish(&s->tree);
    pthread_mutex_destroy(&s->lock);
    bm_free(s->path);
    bm_free(s);
}

const char *bm_store_path(const bm_store *s) { return s->path; }
bm_store_kind bm_store_get_kind(const bm_store *s) { return s->kind; }
int64_t bm_store_bytes(const bm_store *s) { return s->tree.file_bytes; }
const char *bm_store_uuid(const bm_store *s) { return s->uuid; }
const bm_content_id *bm_store_content_id(const bm_store *s) { return &s->manifest.content_id; }

int64_t bm_store_count(const bm_store *s) { return s->tree.entries - 2; }
const bm_entry *bm_store_at(const bm_store *s, int64_t i) { return s->tree.entry + (i < s->hidden ? i : i + 2); }
int64_t bm_store_group_count(const bm_store *s) { return s->tree.groups; }
const char *bm_store_group_at(const bm_store *s, int64_t i) { return s->tree.group[i]; }

const bm_entry *bm_store_find(const bm_store *s, const char *path) { return bm_h5_tree_at(&s->tree, path); }

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

int bm_store_has_group(const bm_store *s, const char *path)
{
    return bsearch(&path, s->tree.group, (size_t)s->tree.groups, sizeof path, by_text) != NULL;
}

bm_status bm_store_require(const bm_entry **out, const bm_store *s, const char *path, bm_dtype dtype,
                           const bm_shape *shape)
{
    const bm_entry *e = bm_store_find(s, path);
    *out = NULL;
    if (!e) return bm_fail_prefix(bm_refuse(BM_RULE_SCHEMA, "it has no dataset %s", path), "%s", s->path);
    if (e->dtype != dtype || (shape && !bm_shape_equal(&e->shape, shape))) {
        char is[BM_SHAPE_TEXT], due[BM_SHAPE_TEXT] = "";
        if (shape) bm_shape_text(shape, due, sizeof due);
        return bm_fail_prefix(bm_refuse(BM_RULE_SCHEMA, "%s is %s %s where %s %s is due", path, bm_dtype_name(e->dtype),
                                        bm_shape_text(&e->shape, is, sizeof is), bm_dtype_name(dtype), due),
                              "%s", s->path);
    }
    *out = e;
    return BM_OK;
}

bm_hash128 bm_store_tensor_hash(const bm_store *s, const bm_entry *e)
{
    return s->manifest.tensor[bm_store_place(s, e)];
}

int64_t bm_store_attr_count(const bm_store *s) { return s->tree.attrs; }
const bm_attr *bm_store_attr_at(const bm_store *s, int64_t i) { return s->tree.attr + i; }

static int by_attr(const void *a, const void *b)
{
    const bm_attr *x = a, *y = b;
    int order = strcmp(x->object, y->object);
    return order ? order : strcmp(x->name, y->name);
}

const bm_attr *bm_store_attr(const bm_store *s, const char *object, const char *name)
{
    bm_attr key = {.object = object, .name = name};
    return s->tree.attrs ? bsearch(&key, s->tree.attr, (size_t)s->tree.attrs, sizeof key, by_attr) : NULL;
}

static bm_status attr_fails(const bm_attr *a, const char *object, const char *name, const char *due)
{
    return bm_refuse(BM_RULE_SCHEMA, "attribute %s of \"%s\" is %s where %s is due", name, object,
                     a ? "of another type" : "missing", due);
}

bm_status bm_store_attr_u64(uint64_t *out, const bm_store *s, const char *object, const char *name)
{
    const bm_attr *a = bm_store_attr(s, object, name);
    *out = 0;
    if (!a || a->is_text || a->shape.rank ||
        (a->dtype != BM_U8 && a->dtype != BM_U16 && a->dtype != BM_U32 && a->dtype != BM_U64))
        return attr_fails(a, object, name, "an unsigned number");
    memcpy(out, a->data, a->bytes);
    return BM_OK;
}

bm_status bm_store_attr_f64(double *out, const bm_store *s, const char *object, const char *name)
{
    const bm_attr *a = bm_store_attr(s, object, name);
    *out = 0;
    if (!a || a->is_text || a->shape.rank || !bm_dtype_is_float(a->dtype))
        return attr_fails(a, object, name, "a floating number");
    return bm_convert_floats(out, BM_F64, a->data, a->dtype, 1);
}

bm_status bm_store_attr_text(const char **out, const bm_store *s, const char *object, const char *name)
{
    const bm_attr *a = bm_store_attr(s, object, name);
    *out = NULL;
    if (!a || !a->is_text) return attr_fails(a, object, name, "a text");
    *out = a->data;
    return BM_OK;
}

bm_status bm_store_read(const bm_store *s, const bm_entry *e, void *data, int64_t first, int64_t count)
{
    int64_t size = (int64_t)bm_dtype_size(e->dtype), all = e->bytes / size;
    if (first < 0 || count < 0 || first > all || count > all - first)
        return bm_fail(BM_ERR_USAGE, "%s: %s has %" PRId64 " elements; %" PRId64 " from %" PRId64 " were asked for",
                       s->path, e->path, all, count, first);
    BM_TRY(bm_store_check(s, e, first * size, count * size));
    return bm_pread_all(s->fd, data, (size_t)(count * size), e->offset + first * size, s->path);
}

bm_status bm_store_load(void **out, const bm_store *s, const bm_entry *e, int64_t most)
{
    *out = NULL;
    if (e->bytes > most)
        return bm_fail_prefix(bm_refuse(BM_RULE_SCHEMA, "%s has %" PRId64 " bytes; at most %" PRId64 " are taken",
                                        e->path, e->bytes, most),
                              "%s", s->path);
    char *data = bm_alloc((size_t)e->bytes + 1);
    if (!data) return BM_ERR_MEMORY;
    bm_status status = bm_store_read(s, e, data, 0, e->bytes / (int64_t)bm_dtype_size(e->dtype));
    data[e->bytes] = 0;
    if (status)
        bm_free(data);
    else
        *out = data;
    return status;
}

bm_status bm_store_map(const void **out, bm_store *s, const bm_entry *e)
{
    bm_status status = BM_OK;
    *out = NULL;
    if (!e->bytes) return BM_OK;
    BM_TRY(bm_store_check(s, e, 0, e->bytes));
    pthread_mutex_lock(&s->lock);
    if (!s->map) {
        void *p = mmap(NULL, (size_t)s->tree.file_bytes, PROT_READ, MAP_SHARED, s->fd, 0);
        struct stat st;
        if (p == MAP_FAILED) {
            status = bm_fail_errno(errno, s->path, "cannot map it");
        } else if (fstat(s->fd, &st) || st.st_size != s->tree.file_bytes) {
            munmap(p, (size_t)s->tree.file_bytes);
            status = bm_fail(BM_ERR_DAMAGED, "%s: damaged: its size changed after it was opened", s->path);
        } else {
            s->map = p;
        }
    }
    if (s->map) *out = (const char *)s->map + e->offset;
    pthread_mutex_unlock(&s->lock);
    return status;
}
