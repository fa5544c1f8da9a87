/* The description of a file. */
#include "io/store/writer.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/base/checked.h"
#include "core/base/file.h"
#include "core/base/mem.h"
#include "io/store/tempfile_priv.h"
#include "io/store/writer_priv.h"
#include "io/text/utf8.h"

/* What libhdf5 takes for one header, its link in the parent and one attribute, without the names. */
#define HEADER_BYTES 224
#define ATTR_BYTES 96

bm_writer_opts bm_writer_opts_default(void) { return (bm_writer_opts){.kind = BM_STORE_CHECKPOINT}; }

/* Where the new file will stand: a link is followed to what it names. */
static bm_status resolve_target(char **out, const char *path, int replace)
{
    struct stat st;
    char *folder;
    if (!lstat(path, &st)) {
        if (!replace) return bm_fail(BM_ERR_EXISTS, "%s: exists already (--force replaces it)", path);
        if (stat(path, &st) || !S_ISREG(st.st_mode))
            return bm_fail(BM_ERR_EXISTS, "%s: is no regular file; it is not replaced", path);
        return bm_path_real(out, path);
    }
    if (!*path || path[strlen(path) - 1] == '/') return bm_fail(BM_ERR_USAGE, "\"%s\" names no file", path);
    if (!(folder = bm_path_folder(path))) return BM_ERR_MEMORY;
    bm_status status = BM_OK;
    if (stat(folder, &st) || !S_ISDIR(st.st_mode))
        status = bm_fail(BM_ERR_NOT_FOUND, "%s: there is no folder %s", path, folder);
    bm_free(folder);
    if (!status && !(*out = bm_strdup(path))) status = BM_ERR_MEMORY;
    return status;
}

bm_status bm_writer_create(bm_writer **out, const char *path, const bm_writer_opts *opts)
{
    *out = NULL;
    bm_writer *w = bm_calloc(1, sizeof *w);
    if (!w) return BM_ERR_MEMORY;
    bm_status status = BM_ERR_MEMORY;
    w->opts = opts ? *opts : bm_writer_opts_default();
    w->fd = -1;
    w->root = bm_arena_alloc(&w->arena, sizeof *w->root);
    if (w->root) {
        w->root->path = w->root->name = "/";
        w->meta_bytes = 512;
        status = resolve_target(&w->path, path, w->opts.replace);
    }
    if (status)
        bm_writer_destroy(w);
    else
        *out = w;
    return status;
}

static bm_node *find_child(const bm_node *parent, const char *name, size_t n)
{
    bm_node *last = parent->last; /* most often the one just made */
    if (last && !strncmp(last->name, name, n) && !last->name[n]) return last;
    for (bm_node *c = parent->first; c; c = c->next)
        if (!strncmp(c->name, name, n) && !c->name[n]) return c;
    return NULL;
}

static bm_status add_child(bm_node **out, bm_writer *w, bm_node *parent, const char *path, size_t path_bytes,
                           size_t name_bytes)
{
    if (parent->children >= BM_H5_MOST_LINKS)
        return bm_fail(BM_ERR_USAGE, "%s holds more than %d objects", parent->path, BM_H5_MOST_LINKS);
    bm_node *n = bm_arena_alloc(&w->arena, sizeof *n);
    char *text = n ? bm_arena_text(&w->arena, path, path_bytes) : NULL;
    if (!text) return BM_ERR_MEMORY;
    n->path = text;
    n->name = text + path_bytes - name_bytes;
    n->parent = parent;
    n->depth = parent->depth + 1;
    if (parent->last)
        parent->last->next = n;
    else
        parent->first = n;
    parent->last = n;
    parent->children++;
    parent->name_bytes += name_bytes;
    w->meta_bytes += HEADER_BYTES + name_bytes;
    *out = n;
    return BM_OK;
}

bm_status bm_writer_add(bm_node **out, bm_writer *w, const char *path, int is_dataset)
{
    bm_node *n = w->root;
    if (w->phase != BM_WRITER_DESCRIBING) return bm_fail(BM_ERR_USAGE, "%s: the description has ended", path);
    if (path[0] != '/') return bm_fail(BM_ERR_USAGE, "\"%s\" does not begin with /", path);
    for (const char *p = path + 1; *p || is_dataset;) {
        size_t bytes = strcspn(p, "/");
        int last = !p[bytes];
        if (!bm_h5_name_valid(p, bytes))
            return bm_fail(BM_ERR_USAGE, "\"%s\" holds a name that cannot be stored", path);
        if (n->is_dataset) return bm_fail(BM_ERR_USAGE, "%s: %s is a dataset", path, n->path);
        if (n->depth >= BM_H5_MOST_DEPTH) return bm_fail(BM_ERR_USAGE, "%s is deeper than %d", path, BM_H5_MOST_DEPTH);
        bm_node *child = find_child(n, p, bytes);
        if (child && last && (is_dataset || child->is_dataset))
            return bm_fail(BM_ERR_USAGE, "%s is described twice", path);
        if (!child) BM_TRY(add_child(&child, w, n, path, (size_t)(p - path) + bytes, bytes));
        n = child;
        p += bytes + !last;
        if (last) break;
    }
    n->is_dataset = is_dataset;
    *out = n;
    return BM_OK;
}

static bm_status check_path(const bm_writer *w, const char *path)
{
    if (!strcmp(path, "/manifest") || !strncmp(path, "/manifest/", 10))
        return bm_fail(BM_ERR_USAGE, "%s: /manifest is written by the writer of %s itself", path, w->path);
    return BM_OK;
}

bm_status bm_writer_group(bm_writer *w, const char *path)
{
    bm_node *n;
    BM_TRY(check_path(w, path));
    return bm_writer_add(&n, w, path, 0);
}

bm_status bm_writer_dataset(int64_t *index, bm_writer *w, const char *path, bm_dtype dtype, const bm_shape *shape)
{
    bm_node *n;
    if (index) *index = -1;
    BM_TRY(check_path(w, path));
    BM_TRY(bm_shape_check(shape, dtype));
    bm_node **grown = bm_grow(w->dataset, &w->dataset_room, w->datasets, sizeof *grown);
    if (!grown) return BM_ERR_MEMORY;
    w->dataset = grown;
    BM_TRY(bm_writer_add(&n, w, path, 1));
    n->dtype = dtype;
    n->shape = *shape;
    n->bytes = (int64_t)bm_shape_bytes(shape, dtype);
    n->index = w->datasets;
    w->dataset[w->datasets++] = n;
    if (index) *index = n->index;
    return BM_OK;
}

static void *copy(bm_writer *w, const void *data, size_t bytes) { return bm_arena_text(&w->arena, data, bytes); }

bm_status bm_writer_numbers(bm_writer *w, const char *path, bm_dtype dtype, const void *data, int64_t n)
{
    int64_t index;
    bm_shape shape = n < 0 ? bm_shape_of(0, NULL) : bm_shape_of(1, &n);
    BM_TRY(bm_writer_dataset(&index, w, path, dtype, &shape));
    if (!w->dataset[index]->bytes) return BM_OK;
    w->dataset[index]->data = copy(w, data, (size_t)w->dataset[index]->bytes);
    return w->dataset[index]->data ? BM_OK : BM_ERR_MEMORY;
}

bm_status bm_writer_bytes(bm_writer *w, const char *path, const void *data, size_t bytes)
{
    return bm_writer_numbers(w, path, BM_U8, data, (int64_t)bytes);
}

static bm_node *find_node(const bm_writer *w, const char *path)
{
    bm_node *n = w->root;
    for (const char *p = path + 1; n && *p;) {
        size_t bytes = strcspn(p, "/");
        n = find_child(n, p, bytes);
        p += bytes + (p[bytes] == '/');
    }
    return n;
}

static bm_status add_attr(bm_writer *w, const char *object, const char *name, bm_node_attr *a)
{
    bm_node *n = object[0] == '/' ? find_node(w, object) : NULL;
    if (w->phase != BM_WRITER_DESCRIBING) return bm_fail(BM_ERR_USAGE, "%s: the description has ended", object);
    if (!n) return bm_fail(BM_ERR_USAGE, "attribute %s: there is no object %s", name, object);
    if (!bm_h5_name_valid(name, strlen(name)))
        return bm_fail(BM_ERR_USAGE, "%s: an attribute cannot be named \"%s\"", object, name);
    for (const bm_node_attr *b = n->first_attr; b; b = b->next)
        if (!strcmp(b->name, name)) return bm_fail(BM_ERR_USAGE, "%s: attribute %s is described twice", object, name);
    if (n->attrs >= BM_H5_MOST_ATTRS)
        return bm_fail(BM_ERR_USAGE, "%s has more than %d attributes", object, BM_H5_MOST_ATTRS);
    bm_node_attr *kept = bm_arena_alloc(&w->arena, sizeof *kept);
    if (!kept) return BM_ERR_MEMORY;
    *kept = *a;
    kept->name = copy(w, name, strlen(name));
    kept->data = copy(w, a->data, a->bytes);
    if (!kept->name || !kept->data) return BM_ERR_MEMORY;
    if (n->last_attr)
        n->last_attr->next = kept;
    else
        n->first_attr = kept;
    n->last_attr = kept;
    n->attrs++;
    n->attr_bytes += ATTR_BYTES + strlen(name) + a->bytes;
    w->meta_bytes += ATTR_BYTES + strlen(name) + a->bytes;
    return BM_OK;
}

bm_status bm_writer_attr(bm_writer *w, const char *object, const char *name, bm_dtype dtype, const bm_shape *shape,
                         const void *data)
{
    BM_TRY(bm_shape_check(shape, dtype));
    bm_node_attr a = {.dtype = dtype, .shape = *shape, .data = data, .bytes = bm_shape_bytes(shape, dtype)};
    if (a.bytes > BM_H5_MOST_TEXT)
        return bm_fail(BM_ERR_USAGE, "%s: attribute %s is longer than %d bytes", object, name, BM_H5_MOST_TEXT);
    return add_attr(w, object, name, &a);
}

static bm_status attr_number(bm_writer *w, const char *object, const char *name, bm_dtype dtype, const void *value)
{
    bm_shape scalar = bm_shape_of(0, NULL);
    return bm_writer_attr(w, object, name, dtype, &scalar, value);
}

bm_status bm_writer_attr_u32(bm_writer *w, const char *object, const char *name, uint32_t value)
{
    return attr_number(w, object, name, BM_U32, &value);
}
bm_status bm_writer_attr_u64(bm_writer *w, const char *object, const char *name, uint64_t value)
{
    return attr_number(w, object, name, BM_U64, &value);
}
bm_status bm_writer_attr_f64(bm_writer *w, const char *object, const char *name, double value)
{
    return attr_number(w, object, name, BM_F64, &value);
}

bm_status bm_writer_attr_text(bm_writer *w, const char *object, const char *name, const char *text)
{
    size_t n = strlen(text);
    if (n > BM_H5_MOST_TEXT || !bm_utf8_valid(text, n))
        return bm_fail(BM_ERR_USAGE, "%s: attribute %s is longer than %d bytes or not UTF-8", object, name,
                       BM_H5_MOST_TEXT);
    bm_node_attr a = {.is_text = 1, .shape = bm_shape_of(0, NULL), .data = text, .bytes = n ? n : 1};
    return add_attr(w, object, name, &a);
}
