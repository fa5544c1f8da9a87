/* One header message each: what bm writes is taken, all else refused. */
#include <inttypes.h>
#include <string.h>

#include "core/base/checked.h"
#include "io/store/bytes_priv.h"
#include "io/store/h5_priv.h"
#include "io/text/utf8.h"

enum {
    MSG_NIL = 0x00,
    MSG_DATASPACE = 0x01,
    MSG_LINK_INFO = 0x02,
    MSG_DATATYPE = 0x03,
    MSG_FILL = 0x05,
    MSG_LINK = 0x06,
    MSG_LAYOUT = 0x08,
    MSG_GROUP_INFO = 0x0a,
    MSG_ATTRIBUTE = 0x0c,
    MSG_CONTINUATION = 0x10,
    MSG_ATTRIBUTE_INFO = 0x15
};

static const char *message_name(unsigned type)
{
    static const char *const names[] = {"nil",
                                        "dataspace",
                                        "link info",
                                        "datatype",
                                        "old fill value",
                                        "fill value",
                                        "link",
                                        "external files",
                                        "layout",
                                        "bogus",
                                        "group info",
                                        "filters",
                                        "attribute",
                                        "comment",
                                        "old modification time",
                                        "shared messages",
                                        "continuation",
                                        "symbol table",
                                        "modification time",
                                        "B-tree K values",
                                        "driver info",
                                        "attribute info",
                                        "reference count"};
    return type < sizeof names / sizeof *names ? names[type] : "unknown";
}

/* Floating types by their 20 bytes after the version: bit field, size, offset, precision, exponent, mantissa, bias. */
#define FLOAT_TYPE(sign, size, bits, exp_at, exp_bits, mantissa, bias)                                                 \
    {                                                                                                                  \
        0x20, sign, 0, size, 0, 0, 0, 0, 0, bits, 0, exp_at, exp_bits, 0, mantissa, (bias)&255, (bias) >> 8, 0, 0      \
    }
static const struct {
    bm_dtype dtype;
    uint8_t bytes[19];
} float_types[] = {
    {BM_F16, FLOAT_TYPE(15, 2, 16, 10, 5, 10, 15)},
    {BM_BF16, FLOAT_TYPE(15, 2, 16, 7, 8, 7, 127)},
    {BM_F32, FLOAT_TYPE(31, 4, 32, 23, 8, 23, 127)},
    {BM_F64, FLOAT_TYPE(63, 8, 64, 52, 11, 52, 1023)},
};

static bm_status cut_short(const bm_h5_object *o, unsigned type)
{
    return bm_refuse(BM_RULE_MESSAGES, "\"%s\": the %s message is cut short or too long", o->path, message_name(type));
}

static bm_status parse_integer(bm_dtype *out, const bm_h5_object *o, const uint8_t *p, uint32_t size)
{
    static const bm_dtype types[2][4] = {{BM_U8, BM_U16, BM_U32, BM_U64}, {BM_I8, BM_I16, BM_I32, BM_I64}};
    int k = size == 1 ? 0 : size == 2 ? 1 : size == 4 ? 2 : size == 8 ? 3 : -1;
    if (k < 0 || (p[1] & ~8) || p[2] || p[3] || bm_get_u16(p + 8) || bm_get_u16(p + 10) != 8 * size)
        return bm_refuse(BM_RULE_TYPES, "\"%s\": an integer type that is not 8, 16, 32 or 64 plain little-endian bits",
                         o->path);
    *out = types[p[1] >> 3][k];
    return BM_OK;
}

/* *text_bytes is the length of a fixed string, or 0 for numbers of type *dtype. */
static bm_status parse_type(bm_dtype *dtype, uint32_t *text_bytes, const bm_h5_object *o, bm_span s)
{
    const uint8_t *p = s.p;
    if (s.n < 8) return cut_short(o, MSG_DATATYPE);
    unsigned class = p[0] & 15, version = p[0] >> 4;
    uint32_t size = bm_get_u32(p + 4);
    if (version != 1 && version != 3) return bm_refuse(BM_RULE_TYPES, "\"%s\": datatype version %u", o->path, version);
    *text_bytes = 0;
    if (class == 0) {
        if (s.n != 12) return cut_short(o, MSG_DATATYPE);
        return parse_integer(dtype, o, p, size);
    }
    if (class == 1) {
        if (s.n != 20) return cut_short(o, MSG_DATATYPE);
        for (size_t i = 0; i < sizeof float_types / sizeof *float_types; i++)
            if (!memcmp(p + 1, float_types[i].bytes, 19)) return *dtype = float_types[i].dtype, BM_OK;
        return bm_refuse(BM_RULE_TYPES, "\"%s\": a floating type that is not f16, bf16, f32 or f64, little-endian",
                         o->path);
    }
    if (class == 3) {
        if (s.n != 8) return cut_short(o, MSG_DATATYPE);
        if ((p[1] & 15) > 1 || (p[1] >> 4) > 1 || p[2] || p[3] || size < 1 || size > BM_H5_MOST_TEXT)
            return bm_refuse(BM_RULE_TYPES,
                             "\"%s\": a string of %" PRIu32 " bytes; fixed ones of 1 to %d, NUL-padded, are taken",
                             o->path, size, BM_H5_MOST_TEXT);
        *dtype = BM_U8;
        *text_bytes = size;
        return BM_OK;
    }
    return bm_refuse(BM_RULE_TYPES, "\"%s\": datatype class %u; only integers, floats and fixed strings are taken",
                     o->path, class);
}

static bm_status parse_shape(bm_shape *out, const bm_h5_object *o, bm_span s)
{
    const uint8_t *p = bm_span_take(&s, 4);
    if (!p) return cut_short(o, MSG_DATASPACE);
    unsigned rank = p[1], flags = p[2], type = p[3];
    if (p[0] != 2 || flags > 1 || type > 1 || (type == 0) != (rank == 0))
        return bm_refuse(BM_RULE_MESSAGES, "\"%s\": a dataspace that is neither scalar nor simple, version 2", o->path);
    if (rank > BM_MAX_RANK)
        return bm_refuse(BM_RULE_EXTENTS, "\"%s\": rank %u; at most %d is taken", o->path, rank, BM_MAX_RANK);
    if (s.n != (size_t)rank * 8 * (flags + 1)) return cut_short(o, MSG_DATASPACE);
    memset(out, 0, sizeof *out);
    out->rank = (int)rank;
    for (unsigned i = 0; i < rank; i++) {
        uint64_t dim = bm_get_u64(s.p + 8 * i);
        if (dim > INT64_MAX) return bm_refuse(BM_RULE_EXTENTS, "\"%s\": dimension %u is %" PRIu64, o->path, i, dim);
        if (flags && bm_get_u64(s.p + 8 * (rank + i)) != dim)
            return bm_refuse(BM_RULE_EXTENTS, "\"%s\": a dataset that may grow", o->path);
        out->dim[i] = (int64_t)dim;
    }
    return BM_OK;
}

/* Elements x size without overflow, or -1. */
static int64_t shape_bytes(const bm_shape *s, int64_t size)
{
    int64_t bytes = size;
    for (int i = 0; i < s->rank; i++)
        if (s->dim[i] == 0) return 0;
    for (int i = 0; i < s->rank; i++)
        if (bm_mul_i64(&bytes, bytes, s->dim[i])) return -1;
    return bytes;
}

static bm_status parse_datatype(bm_h5_object *o, bm_span s)
{
    uint32_t text;
    BM_TRY(parse_type(&o->dtype, &text, o, s));
    if (text) return bm_refuse(BM_RULE_TYPES, "\"%s\": a dataset of strings", o->path);
    return BM_OK;
}

static bm_status parse_layout(bm_h5_object *o, bm_span s)
{
    if (s.n < 2) return cut_short(o, MSG_LAYOUT);
    if (s.p[0] != 3 || s.p[1] != 1)
        return bm_refuse(BM_RULE_MESSAGES, "\"%s\": layout version %u class %u; only contiguous (3, 1) is taken%s",
                         o->path, s.p[0], s.p[1],
                         s.p[1] == 2   ? " (this one is chunked)"
                         : s.p[1] == 3 ? " (this one is virtual)"
                                       : "");
    if (s.n != 18) return cut_short(o, MSG_LAYOUT);
    o->data_at = bm_get_u64(s.p + 2);
    o->data_bytes = bm_get_u64(s.p + 10);
    return BM_OK;
}

static bm_status parse_fill(bm_h5_object *o, bm_span s)
{
    if (s.n != 2) return bm_refuse(BM_RULE_MESSAGES, "\"%s\": a fill value of its own", o->path);
    if (s.p[0] != 3 || s.p[1] & 0x20)
        return bm_refuse(BM_RULE_MESSAGES, "\"%s\": fill value version %u", o->path, s.p[0]);
    return BM_OK;
}

/* Link info and attribute info: nothing may be stored densely. */
static bm_status parse_dense_info(bm_h5_object *o, unsigned type, bm_span s)
{
    const uint8_t *p = bm_span_take(&s, 2);
    if (!p || s.n != 16) return cut_short(o, type);
    if (p[0] || p[1]) return bm_refuse(BM_RULE_MESSAGES, "\"%s\": %s with creation order", o->path, message_name(type));
    if (bm_get_u64(s.p) != BM_H5_UNDEFINED || bm_get_u64(s.p + 8) != BM_H5_UNDEFINED)
        return bm_refuse(BM_RULE_MESSAGES, "\"%s\": %s with dense storage", o->path, message_name(type));
    return BM_OK;
}

static bm_status parse_group_info(bm_h5_object *o, bm_span s)
{
    const uint8_t *p = bm_span_take(&s, 2);
    if (!p || p[0] || p[1] > 3 || s.n != (size_t)(p[1] & 1) * 4 + (size_t)(p[1] >> 1) * 4)
        return cut_short(o, MSG_GROUP_INFO);
    return BM_OK;
}

static bm_status parse_link(bm_h5_object *o, bm_span s)
{
    const uint8_t *p = bm_span_take(&s, 2);
    if (!p) return cut_short(o, MSG_LINK);
    unsigned flags = p[1];
    uint64_t kind = 0, charset = 0, name_bytes, address;
    if (p[0] != 1 || flags & 0xe4)
        return bm_refuse(BM_RULE_LINKS, "\"%s\": link version %u, flags 0x%02x", o->path, p[0], flags);
    if (flags & 8 && !bm_span_uint(&kind, &s, 1)) return cut_short(o, MSG_LINK);
    if (kind)
        return bm_refuse(BM_RULE_LINKS, "\"%s\" holds %s link; only hard links are taken", o->path,
                         kind == 1    ? "a soft"
                         : kind == 64 ? "an external"
                                      : "a user-defined");
    if (flags & 16 && !bm_span_uint(&charset, &s, 1)) return cut_short(o, MSG_LINK);
    if (!bm_span_uint(&name_bytes, &s, (size_t)1 << (flags & 3))) return cut_short(o, MSG_LINK);
    if (name_bytes > s.n) return cut_short(o, MSG_LINK);
    const char *name = (const char *)bm_span_take(&s, (size_t)name_bytes);
    if (!bm_span_uint(&address, &s, 8) || s.n) return cut_short(o, MSG_LINK);
    char shown[300];
    if (charset > 1 || !bm_h5_name_valid(name, (size_t)name_bytes))
        return bm_refuse(BM_RULE_LINKS, "\"%s\" holds the name \"%s\"", o->path,
                         bm_h5_escape(shown, sizeof shown, name, (size_t)name_bytes));
    if (++o->links > BM_H5_MOST_LINKS)
        return bm_refuse(BM_RULE_LINKS, "\"%s\" holds more than %d links", o->path, BM_H5_MOST_LINKS);
    if (o->depth + 1 > BM_H5_MOST_DEPTH)
        return bm_refuse(BM_RULE_LINKS, "\"%s\" is deeper than %d groups", o->path, BM_H5_MOST_DEPTH);

    size_t parent = o->depth ? strlen(o->path) : 0;
    char *path = bm_arena_alloc(&o->tree->arena, parent + 1 + (size_t)name_bytes + 1);
    bm_h5_pending *grown = bm_grow(o->pending, &o->pending_room, o->pendings, sizeof *grown);
    if (grown) o->pending = grown;
    if (!path || !grown) return BM_ERR_MEMORY;
    memcpy(path, o->path, parent);
    path[parent] = '/';
    memcpy(path + parent + 1, name, (size_t)name_bytes);
    o->pending[o->pendings++] = (bm_h5_pending){path, address, o->depth + 1};
    return BM_OK;
}

static bm_status attribute_value(bm_attr *a, bm_h5_object *o, uint32_t text_bytes, bm_span s)
{
    int64_t bytes = shape_bytes(&a->shape, text_bytes ? text_bytes : (int64_t)bm_dtype_size(a->dtype));
    if (bytes < 0 || (uint64_t)bytes != s.n || (text_bytes && a->shape.rank))
        return bm_refuse(BM_RULE_EXTENTS, "\"%s\": attribute \"%s\": its value does not fit its shape", o->path,
                         a->name);
    char *data = bm_arena_text(&o->tree->arena, (const char *)s.p, s.n);
    if (!data) return BM_ERR_MEMORY;
    a->data = data;
    a->bytes = a->is_text ? strlen(data) : s.n;
    if (a->is_text && !bm_utf8_valid(data, a->bytes))
        return bm_refuse(BM_RULE_TYPES, "\"%s\": attribute \"%s\" is not UTF-8", o->path, a->name);
    return BM_OK;
}

static bm_status parse_attribute(bm_h5_object *o, bm_span s)
{
    const uint8_t *p = bm_span_take(&s, 9);
    if (!p) return cut_short(o, MSG_ATTRIBUTE);
    size_t name_bytes = bm_get_u16(p + 2);
    if (p[0] != 3 || p[1] || p[8] > 1)
        return bm_refuse(BM_RULE_MESSAGES, "\"%s\": attribute version %u, flags 0x%02x (a shared type?)", o->path, p[0],
                         p[1]);
    const char *name = (const char *)bm_span_take(&s, name_bytes);
    if (!name || !name_bytes) return cut_short(o, MSG_ATTRIBUTE);
    char shown[300];
    if (name[name_bytes - 1] || !bm_h5_name_valid(name, name_bytes - 1))
        return bm_refuse(BM_RULE_LINKS, "\"%s\" has an attribute named \"%s\"", o->path,
                         bm_h5_escape(shown, sizeof shown, name, name_bytes));
    if (++o->attrs > BM_H5_MOST_ATTRS)
        return bm_refuse(BM_RULE_LINKS, "\"%s\" has more than %d attributes", o->path, BM_H5_MOST_ATTRS);
    size_t type_bytes = bm_get_u16(p + 4), space_bytes = bm_get_u16(p + 6);
    const uint8_t *type = bm_span_take(&s, type_bytes), *space = type ? bm_span_take(&s, space_bytes) : NULL;
    if (!space) return cut_short(o, MSG_ATTRIBUTE);

    bm_h5_tree *t = o->tree;
    bm_attr a = {.object = o->path, .name = bm_arena_text(&t->arena, name, name_bytes - 1)};
    bm_attr *grown = bm_grow(t->attr, &t->attr_room, t->attrs, sizeof *grown);
    if (grown) t->attr = grown;
    if (!a.name || !grown) return BM_ERR_MEMORY;
    uint32_t text_bytes;
    BM_TRY(parse_type(&a.dtype, &text_bytes, o, (bm_span){type, type_bytes}));
    BM_TRY(parse_shape(&a.shape, o, (bm_span){space, space_bytes}));
    a.is_text = text_bytes != 0;
    BM_TRY(attribute_value(&a, o, text_bytes, s));
    t->attr[t->attrs++] = a;
    return BM_OK;
}

static bm_status parse_continuation(bm_h5_object *o, bm_span s)
{
    if (s.n != 16) return cut_short(o, MSG_CONTINUATION);
    uint64_t at = bm_get_u64(s.p), bytes = bm_get_u64(s.p + 8);
    for (int i = 0; i < o->chunks; i++)
        if (o->chunk[i].at == at)
            return bm_refuse(BM_RULE_MESSAGES, "\"%s\": its header comes back to where it was", o->path);
    if (o->chunks == sizeof o->chunk / sizeof *o->chunk)
        return bm_refuse(BM_RULE_MESSAGES, "\"%s\": its header is in more than %d pieces", o->path, o->chunks);
    o->chunk[o->chunks].at = at;
    o->chunk[o->chunks++].bytes = bytes;
    return BM_OK;
}

bm_status bm_h5_message(bm_h5_object *o, unsigned type, unsigned flags, const uint8_t *body, size_t bytes)
{
    bm_span s = {body, bytes};
    if (type == MSG_NIL) return BM_OK;
    if (flags & ~5u)
        return bm_refuse(BM_RULE_MESSAGES, "\"%s\": the %s message has flags 0x%02x%s", o->path, message_name(type),
                         flags, flags & 2 ? " (shared)" : "");
    int many = type == MSG_LINK || type == MSG_ATTRIBUTE || type == MSG_CONTINUATION;
    if (type < 32 && !many && o->seen & 1u << type)
        return bm_refuse(BM_RULE_MESSAGES, "\"%s\" has two %s messages", o->path, message_name(type));
    if (type < 32) o->seen |= 1u << type;
    switch (type) {
    case MSG_DATASPACE: return parse_shape(&o->shape, o, s);
    case MSG_LINK_INFO:
    case MSG_ATTRIBUTE_INFO: return parse_dense_info(o, type, s);
    case MSG_DATATYPE: return parse_datatype(o, s);
    case MSG_FILL: return parse_fill(o, s);
    case MSG_LINK: return parse_link(o, s);
    case MSG_LAYOUT: return parse_layout(o, s);
    case MSG_GROUP_INFO: return parse_group_info(o, s);
    case MSG_ATTRIBUTE: return parse_attribute(o, s);
    case MSG_CONTINUATION: return parse_continuation(o, s);
    default:
        return bm_refuse(BM_RULE_MESSAGES, "\"%s\" has the message 0x%02x (%s)", o->path, type, message_name(type));
    }
}
