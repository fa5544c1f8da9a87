/* The strict reader: superblock, object headers, the walk over all links. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/checked.h"
#include "core/base/file.h"
#include "core/base/mem.h"
#include "io/store/bytes_priv.h"
#include "io/store/h5_priv.h"

#define WINDOW_BYTES ((size_t)64 << 10)
#define MOST_HEADER_BYTES ((uint64_t)8 << 20)
#define HEADER_TYPES_DATASET (1u << 0x01 | 1u << 0x03 | 1u << 0x08)
#define HEADER_TYPES_GROUP (1u << 0x02)
#define HEADER_TYPES_GROUP_ALL (1u << 0x02 | 1u << 0x06 | 1u << 0x0a)

/* The file through a window, so that headers that lie together cost one read. */
typedef struct window {
    int fd;
    int64_t file_bytes;
    uint8_t *data;
    size_t room;
    int64_t at;
    size_t have;
} window;

/* n bytes at `at`, which the caller has found to lie inside the file; valid until the next call. */
static bm_status window_read(const uint8_t **out, window *w, int64_t at, size_t n)
{
    if (at < w->at || at + (int64_t)n > w->at + (int64_t)w->have) {
        size_t want = n > WINDOW_BYTES ? n : WINDOW_BYTES;
        if (want > w->room) {
            uint8_t *p = bm_realloc(w->data, want, 1);
            if (!p) return BM_ERR_MEMORY;
            w->data = p;
            w->room = want;
        }
        if ((int64_t)want > w->file_bytes - at) want = (size_t)(w->file_bytes - at);
        w->have = 0;
        BM_TRY(bm_pread_all(w->fd, w->data, want, at, "metadata"));
        w->at = at;
        w->have = want;
    }
    *out = w->data + (at - w->at);
    return BM_OK;
}

static int inside(const window *w, uint64_t at, uint64_t bytes)
{
    return at <= (uint64_t)w->file_bytes && bytes <= (uint64_t)w->file_bytes - at;
}

/* Addresses seen: open addressing, at most half full. */
typedef struct address_set {
    uint64_t *slot; /* address + 1; 0 is free */
    size_t room;
    size_t used;
} address_set;

static int address_place(address_set *s, uint64_t address)
{
    size_t i = (size_t)(address * 0x9e3779b97f4a7c15u >> 20) & (s->room - 1);
    while (s->slot[i] && s->slot[i] != address + 1) i = (i + 1) & (s->room - 1);
    int is_new = !s->slot[i];
    s->slot[i] = address + 1;
    s->used += (size_t)is_new;
    return is_new;
}

static bm_status address_add(int *is_new, address_set *s, uint64_t address)
{
    if (2 * (s->used + 1) > s->room) {
        address_set more = {.room = s->room ? 2 * s->room : 256};
        more.slot = bm_calloc(more.room, sizeof *more.slot);
        if (!more.slot) return BM_ERR_MEMORY;
        for (size_t i = 0; i < s->room; i++)
            if (s->slot[i]) address_place(&more, s->slot[i] - 1);
        bm_free(s->slot);
        *s = more;
    }
    *is_new = address_place(s, address);
    return BM_OK;
}

typedef struct walk {
    bm_h5_tree *tree;
    window window;
    address_set seen;
    bm_h5_object object;
} walk;

static bm_status add_extent(bm_h5_tree *t, uint64_t offset, uint64_t bytes, int64_t entry)
{
    bm_h5_extent *grown = bm_grow(t->extent, &t->extent_room, t->extents, sizeof *grown);
    if (!grown) return BM_ERR_MEMORY;
    t->extent = grown;
    t->extent[t->extents++] = (bm_h5_extent){(int64_t)offset, (int64_t)bytes, entry};
    return BM_OK;
}

static bm_status checksum_fails(const char *what, uint64_t at)
{
    return bm_fail(BM_ERR_DAMAGED, "damaged: the checksum of the %s at %" PRIu64 " does not fit", what, at);
}

static bm_status read_superblock(uint64_t *root, walk *w)
{
    static const uint8_t signature[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};
    int64_t have = w->window.file_bytes;
    size_t head = have < BM_H5_SUPERBLOCK_BYTES ? (size_t)have : BM_H5_SUPERBLOCK_BYTES;
    const uint8_t *p;
    if (!have) return bm_fail(BM_ERR_DAMAGED, "truncated: it is empty");
    BM_TRY(window_read(&p, &w->window, 0, head));
    if (memcmp(p, signature, head < 8 ? head : 8))
        return bm_refuse(BM_RULE_SUPERBLOCK, "not an HDF5 file (its first bytes are not the signature)");
    if (head < BM_H5_SUPERBLOCK_BYTES)
        return bm_fail(BM_ERR_DAMAGED, "truncated: %" PRId64 " bytes are not even an HDF5 superblock", have);
    if (p[8] != 2) return bm_refuse(BM_RULE_SUPERBLOCK, "superblock version %u; bm's files have 2", p[8]);
    if (p[9] != 8 || p[10] != 8)
        return bm_refuse(BM_RULE_SUPERBLOCK, "offsets of %u and lengths of %u bytes", p[9], p[10]);
    if (bm_get_u32(p + 44) != bm_h5_checksum(p, 44)) return checksum_fails("superblock", 0);
    if (p[11]) return bm_refuse(BM_RULE_SUPERBLOCK, "marked as open for writing (flags 0x%02x)", p[11]);
    if (bm_get_u64(p + 12)) return bm_refuse(BM_RULE_SUPERBLOCK, "a base address that is not 0");
    if (bm_get_u64(p + 20) != BM_H5_UNDEFINED) return bm_refuse(BM_RULE_SUPERBLOCK, "a superblock extension");
    uint64_t end = bm_get_u64(p + 28);
    if (end != (uint64_t)have)
        return bm_fail(BM_ERR_DAMAGED, "%s: the file has %" PRId64 " bytes and should have %" PRIu64,
                       end > (uint64_t)have ? "truncated" : "damaged", have, end);
    *root = bm_get_u64(p + 36);
    return add_extent(w->tree, 0, BM_H5_SUPERBLOCK_BYTES, -1);
}

/* The messages of one piece of a header; what is left over at its end must be a gap of zeros. */
static bm_status read_messages(bm_h5_object *o, bm_span s)
{
    while (s.n >= 4) {
        const uint8_t *p = bm_span_take(&s, 4);
        size_t bytes = bm_get_u16(p + 1);
        const uint8_t *body = bm_span_take(&s, bytes);
        if (!body) return bm_refuse(BM_RULE_MESSAGES, "\"%s\": a message reaches over the end of its header", o->path);
        BM_TRY(bm_h5_message(o, p[0], p[3], body, bytes));
    }
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i]) return bm_refuse(BM_RULE_MESSAGES, "\"%s\": bytes in the gap of its header", o->path);
    return BM_OK;
}

/* Version 2 object header: "OHDR", version, flags, [4 bytes of attribute limits], size of the first piece, messages,
 * checksum. */
static bm_status read_first_piece(walk *w, uint64_t at)
{
    bm_h5_object *o = &w->object;
    const uint8_t *p;
    if (!inside(&w->window, at, 16))
        return bm_refuse(BM_RULE_EXTENTS, "\"%s\": its header at %" PRIu64 " is outside the file", o->path, at);
    BM_TRY(window_read(&p, &w->window, (int64_t)at, 16));
    if (memcmp(p, "OHDR", 4)) return bm_refuse(BM_RULE_MESSAGES, "\"%s\": no object header at %" PRIu64, o->path, at);
    unsigned flags = p[5];
    if (p[4] != 2 || flags & ~0x13u)
        return bm_refuse(BM_RULE_MESSAGES, "\"%s\": object header version %u, flags 0x%02x", o->path, p[4], flags);
    size_t width = (size_t)1 << (flags & 3), before = 6 + (flags & 0x10 ? 4 : 0) + width;
    uint64_t bytes = 0;
    for (size_t i = 0; i < width && before - width + i < 16; i++) bytes |= (uint64_t)p[before - width + i] << 8 * i;
    if (before > 16 || bytes > MOST_HEADER_BYTES || !inside(&w->window, at, before + bytes + 4))
        return bm_refuse(BM_RULE_MESSAGES, "\"%s\": a header of %" PRIu64 " bytes", o->path, bytes);
    BM_TRY(window_read(&p, &w->window, (int64_t)at, before + (size_t)bytes + 4));
    if (bm_get_u32(p + before + bytes) != bm_h5_checksum(p, before + (size_t)bytes))
        return checksum_fails("object header", at);
    BM_TRY(add_extent(w->tree, at, before + bytes + 4, -1));
    return read_messages(o, (bm_span){p + before, (size_t)bytes});
}

static bm_status read_continuation(walk *w, uint64_t at, uint64_t bytes)
{
    bm_h5_object *o = &w->object;
    const uint8_t *p;
    if (bytes < 8 || bytes > MOST_HEADER_BYTES || !inside(&w->window, at, bytes))
        return bm_refuse(BM_RULE_MESSAGES, "\"%s\": a continuation of %" PRIu64 " bytes at %" PRIu64, o->path, bytes,
                         at);
    BM_TRY(window_read(&p, &w->window, (int64_t)at, (size_t)bytes));
    if (memcmp(p, "OCHK", 4)) return bm_refuse(BM_RULE_MESSAGES, "\"%s\": no continuation at %" PRIu64, o->path, at);
    if (bm_get_u32(p + bytes - 4) != bm_h5_checksum(p, (size_t)bytes - 4)) return checksum_fails("continuation", at);
    BM_TRY(add_extent(w->tree, at, bytes, -1));
    return read_messages(o, (bm_span){p + 4, (size_t)bytes - 8});
}

/* Rule 6 for one dataset, and its place in the tree. */
static bm_status add_entry(walk *w)
{
    bm_h5_object *o = &w->object;
    bm_h5_tree *t = w->tree;
    int64_t bytes = 1;
    for (int i = 0; i < o->shape.rank; i++)
        if (o->shape.dim[i] == 0) bytes = 0;
    if (bytes) bytes = (int64_t)bm_dtype_size(o->dtype);
    for (int i = 0; i < o->shape.rank && bytes; i++)
        if (bm_mul_i64(&bytes, bytes, o->shape.dim[i]))
            return bm_refuse(BM_RULE_EXTENTS, "\"%s\": the product of its dimensions does not fit", o->path);
    if ((uint64_t)bytes != o->data_bytes)
        return bm_refuse(BM_RULE_EXTENTS, "\"%s\": its shape takes %" PRId64 " bytes, %" PRIu64 " are stored", o->path,
                         bytes, o->data_bytes);
    if (bytes && !inside(&w->window, o->data_at, o->data_bytes))
        return bm_refuse(BM_RULE_EXTENTS, "\"%s\": its %" PRId64 " bytes at %" PRIu64 " reach outside the file",
                         o->path, bytes, o->data_at);
    if (bytes >= BM_H5_ALIGN && o->data_at % BM_H5_ALIGN)
        return bm_refuse(BM_RULE_EXTENTS, "\"%s\": its bytes at %" PRIu64 " are not aligned to %d", o->path, o->data_at,
                         BM_H5_ALIGN);
    if (!bytes && o->data_at != BM_H5_UNDEFINED)
        return bm_refuse(BM_RULE_EXTENTS, "\"%s\": no elements, but a place at %" PRIu64, o->path, o->data_at);
    bm_entry *grown = bm_grow(t->entry, &t->entry_room, t->entries, sizeof *grown);
    if (!grown) return BM_ERR_MEMORY;
    t->entry = grown;
    t->entry[t->entries++] = (bm_entry){o->path, o->dtype, o->shape, bytes ? (int64_t)o->data_at : 0, bytes};
    return BM_OK;
}

static int by_pending_path(const void *a, const void *b)
{
    return strcmp(((const bm_h5_pending *)a)->path, ((const bm_h5_pending *)b)->path);
}

/* Links found at [first, ...) of the pending ones: no name twice, no object twice. */
static bm_status check_links(walk *w, int64_t first)
{
    bm_h5_object *o = &w->object;
    int64_t n = o->pendings - first;
    if (!n) return BM_OK;
    bm_h5_pending *link = o->pending + first;
    qsort(link, (size_t)n, sizeof *link, by_pending_path);
    for (int64_t i = 0; i < n; i++) {
        int is_new;
        if (i && !strcmp(link[i - 1].path, link[i].path))
            return bm_refuse(BM_RULE_LINKS, "two objects are named \"%s\"", link[i].path);
        BM_TRY(address_add(&is_new, &w->seen, link[i].address));
        if (!is_new) return bm_refuse(BM_RULE_LINKS, "\"%s\" is a second name of an object", link[i].path);
    }
    if (w->seen.used > BM_H5_MOST_OBJECTS) return bm_refuse(BM_RULE_LINKS, "more than %d objects", BM_H5_MOST_OBJECTS);
    return BM_OK;
}

static bm_status read_object(walk *w, const bm_h5_pending *next)
{
    bm_h5_object *o = &w->object;
    bm_h5_tree *t = w->tree;
    int64_t first = o->pendings;
    o->path = next->path;
    o->depth = next->depth;
    o->seen = 0;
    o->links = o->attrs = 0;
    o->chunks = 0;
    BM_TRY(read_first_piece(w, next->address));
    for (int i = 0; i < o->chunks; i++) BM_TRY(read_continuation(w, o->chunk[i].at, o->chunk[i].bytes));

    int is_dataset = (o->seen & HEADER_TYPES_DATASET) == HEADER_TYPES_DATASET && !(o->seen & HEADER_TYPES_GROUP_ALL);
    int is_group = (o->seen & HEADER_TYPES_GROUP) && !(o->seen & HEADER_TYPES_DATASET);
    if (is_dataset && o->depth) return add_entry(w);
    if (!is_group) return bm_refuse(BM_RULE_MESSAGES, "\"%s\" is neither a group nor a dataset", o->path);
    const char **grown = bm_grow(t->group, &t->group_room, t->groups, sizeof *grown);
    if (!grown) return BM_ERR_MEMORY;
    t->group = grown;
    t->group[t->groups++] = o->path;
    return check_links(w, first);
}

static int by_entry_path(const void *a, const void *b)
{
    return strcmp(((const bm_entry *)a)->path, ((const bm_entry *)b)->path);
}
static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static int by_attr(const void *a, const void *b)
{
    const bm_attr *x = a, *y = b;
    int order = strcmp(x->object, y->object);
    return order ? order : strcmp(x->name, y->name);
}

static int by_offset(const void *a, const void *b)
{
    const bm_h5_extent *x = a, *y = b;
    return x->offset != y->offset ? (x->offset > y->offset) - (x->offset < y->offset)
                                  : (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

/* Sorts all, and finds what lies upon another. */
static bm_status settle(bm_h5_tree *t)
{
    if (t->entries) qsort(t->entry, (size_t)t->entries, sizeof *t->entry, by_entry_path);
    qsort(t->group, (size_t)t->groups, sizeof *t->group, by_text);
    if (t->attrs) qsort(t->attr, (size_t)t->attrs, sizeof *t->attr, by_attr);
    for (int64_t i = 1; i < t->attrs; i++)
        if (!by_attr(t->attr + i - 1, t->attr + i))
            return bm_refuse(BM_RULE_LINKS, "\"%s\" has two attributes \"%s\"", t->attr[i].object, t->attr[i].name);
    for (int64_t i = 0; i < t->entries; i++)
        if (t->entry[i].bytes) BM_TRY(add_extent(t, (uint64_t)t->entry[i].offset, (uint64_t)t->entry[i].bytes, i));
    qsort(t->extent, (size_t)t->extents, sizeof *t->extent, by_offset);
    for (int64_t i = 1; i < t->extents; i++) {
        const bm_h5_extent *a = t->extent + i - 1, *b = t->extent + i;
        if (a->offset + a->bytes > b->offset)
            return bm_refuse(BM_RULE_EXTENTS, "%s and %s overlap at %" PRId64,
                             a->entry < 0 ? "metadata" : t->entry[a->entry].path,
                             b->entry < 0 ? "metadata" : t->entry[b->entry].path, b->offset);
    }
    return BM_OK;
}

bm_status bm_h5_tree_read(bm_h5_tree *t, int fd, int64_t file_bytes)
{
    bm_status status;
    walk w = {.tree = t, .window = {.fd = fd, .file_bytes = file_bytes}, .object = {.tree = t}};
    uint64_t root = 0;
    int is_new;
    t->file_bytes = file_bytes;
    BM_GO(read_superblock(&root, &w));
    BM_GO(address_add(&is_new, &w.seen, root));
    BM_GO(read_object(&w, &(bm_h5_pending){"/", root, 0}));
    while (w.object.pendings) {
        bm_h5_pending next = w.object.pending[--w.object.pendings];
        BM_GO(read_object(&w, &next));
    }
    status = settle(t);
done:
    bm_free(w.window.data);
    bm_free(w.seen.slot);
    bm_free(w.object.pending);
    return status;
}

void bm_h5_tree_finish(bm_h5_tree *t)
{
    bm_free(t->entry);
    bm_free(t->group);
    bm_free(t->attr);
    bm_free(t->extent);
    bm_arena_finish(&t->arena);
    memset(t, 0, sizeof *t);
}

int64_t bm_h5_tree_find(const bm_h5_tree *t, const char *path)
{
    bm_entry key = {.path = path};
    const bm_entry *e = t->entries ? bsearch(&key, t->entry, (size_t)t->entries, sizeof key, by_entry_path) : NULL;
    return e ? e - t->entry : -1;
}

const bm_entry *bm_h5_tree_at(const bm_h5_tree *t, const char *path)
{
    int64_t i = bm_h5_tree_find(t, path);
    return i < 0 ? NULL : t->entry + i;
}
