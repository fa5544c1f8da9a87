#include "io/formats/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/checked.h"
#include "core/base/file.h"
#include "core/base/mem.h"
#include "io/formats/safetensors_priv.h"

#define MOST_TENSORS ((int64_t)1 << 20)
#define MOST_DEPTH 3

struct bm_safetensors {
    char *path;
    int fd;
    json_t *header; /* owns every name */
    bm_safetensor *tensors; /* by offset */
    int64_t count;
    const bm_safetensor **by_name;
};

static const struct {
    const char *name;
    bm_dtype dtype; /* BM_DTYPE_COUNT: one that bm has not */
    size_t bytes;
} types[] = {
    {"F64", BM_F64, 8}, {"F32", BM_F32, 4}, {"F16", BM_F16, 2}, {"BF16", BM_BF16, 2}, {"I64", BM_I64, 8}, {"I32", BM_I32, 4},
    {"I16", BM_I16, 2}, {"I8", BM_I8, 1}, {"U64", BM_U64, 8}, {"U32", BM_U32, 4}, {"U16", BM_U16, 2}, {"U8", BM_U8, 1},
    {"BOOL", BM_DTYPE_COUNT, 1}, {"F8_E4M3", BM_DTYPE_COUNT, 1}, {"F8_E5M2", BM_DTYPE_COUNT, 1}, {"F8_E8M0", BM_DTYPE_COUNT, 1},
};
#define N_TYPES (sizeof types / sizeof *types)

const char *bm_safetensors_type_name(bm_dtype t)
{
    for (size_t i = 0; i < N_TYPES; i++) {
        if (types[i].dtype == t) return types[i].name;
    }
    return NULL;
}

/* Before anything is parsed: JSON that is deeper or has more values than any header needs would cost memory for nothing. */
static bm_status prescan(const char *text, size_t n)
{
    int64_t depth = 0, objects = 0, values = 0;
    int quoted = 0;
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        if (quoted) {
            i += c == '\\';
            quoted = c != '"';
        } else if (c == '"') {
            quoted = 1;
        } else if (c == '{' || c == '[') {
            objects += c == '{';
            if (++depth > MOST_DEPTH) return bm_fail(BM_ERR_REFUSED, "the header is nested deeper than %d", MOST_DEPTH);
        } else if (c == '}' || c == ']') {
            depth--;
        }
        values += !quoted && c == ',';
    }
    if (objects > MOST_TENSORS) return bm_fail(BM_ERR_REFUSED, "the header has more than %lld tensors", (long long)MOST_TENSORS);
    if (values > 100000 + (BM_MAX_RANK + 8) * objects) return bm_fail(BM_ERR_REFUSED, "the header has too many values");
    return BM_OK;
}

static bm_status read_header(bm_safetensors *s, int64_t n)
{
    json_error_t error;
    char *text = bm_alloc((size_t)n);
    bm_status status;
    if (!text) return BM_ERR_MEMORY;
    BM_GO(bm_pread_all(s->fd, text, (size_t)n, 8, s->path));
    if (text[0] != '{') BM_GO(bm_fail(BM_ERR_REFUSED, "the header does not begin with {"));
    BM_GO(prescan(text, (size_t)n));
    s->header = json_loadb(text, (size_t)n, JSON_REJECT_DUPLICATES, &error);
    if (!s->header && json_error_code(&error) == json_error_out_of_memory)
        BM_GO(bm_fail(BM_ERR_MEMORY, "no memory for a header of %lld bytes", (long long)n));
    if (!s->header) BM_GO(bm_fail(BM_ERR_REFUSED, "the header is not valid JSON: %s", error.text));
done:
    bm_free(text);
    return status;
}

static bm_status check_name(const char *name)
{
    size_t n = strlen(name);
    if (n < 1 || n > BM_SAFETENSORS_MOST_NAME) return bm_fail(BM_ERR_REFUSED, "a name of %zu bytes (1 to 1024 are allowed)", n);
    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f) return bm_fail(BM_ERR_REFUSED, "a name holds control characters");
    }
    return BM_OK;
}

static bm_status get_i64(int64_t *out, const json_t *value, const char *name, const char *what)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return bm_fail(BM_ERR_REFUSED, "%.200s: %s is not a number of 0 or more", name, what);
    *out = json_integer_value(value);
    return BM_OK;
}

static bm_status read_type(bm_safetensor *t, size_t *bytes, const json_t *value)
{
    const char *type = json_string_value(value);
    for (size_t i = 0; type && i < N_TYPES; i++) {
        if (strcmp(type, types[i].name) != 0) continue;
        t->type = types[i].name;
        t->dtype = types[i].dtype;
        *bytes = types[i].bytes;
        return BM_OK;
    }
    return bm_fail(BM_ERR_REFUSED, "%.200s: the type %.40s is not one of safetensors", t->name, type ? type : "(none)");
}

static bm_status read_shape(bm_safetensor *t, size_t element, const json_t *value)
{
    size_t rank = json_array_size(value);
    int64_t bytes = (int64_t)element;
    int empty = 0;
    if (!json_is_array(value) || rank > BM_MAX_RANK)
        return bm_fail(BM_ERR_REFUSED, "%.200s: the shape is not a list of up to %d numbers", t->name, BM_MAX_RANK);
    t->shape.rank = (int)rank;
    for (size_t i = 0; i < rank; i++) {
        int64_t *dim = &t->shape.dim[i];
        BM_TRY(get_i64(dim, json_array_get(value, i), t->name, "a dimension"));
        empty |= *dim == 0;
        if (bm_mul_i64(&bytes, bytes, *dim ? *dim : 1)) return bm_fail(BM_ERR_REFUSED, "%.200s: the shape is too large", t->name);
    }
    t->bytes = empty ? 0 : bytes;
    return BM_OK;
}

/* The offsets are counted from the beginning of the data; they become offsets in the file. */
static bm_status read_tensor(bm_safetensor *t, const char *name, const json_t *value, int64_t data, int64_t data_bytes)
{
    const json_t *offsets = json_object_get(value, "data_offsets");
    int64_t begin, end;
    size_t element = 0;
    t->name = name;
    BM_TRY(check_name(name));
    if (json_object_size(value) != 3 || json_array_size(offsets) != 2)
        return bm_fail(BM_ERR_REFUSED, "%.200s: expected dtype, shape and data_offsets, and nothing else", name);
    BM_TRY(read_type(t, &element, json_object_get(value, "dtype")));
    BM_TRY(read_shape(t, element, json_object_get(value, "shape")));
    BM_TRY(get_i64(&begin, json_array_get(offsets, 0), name, "an offset"));
    BM_TRY(get_i64(&end, json_array_get(offsets, 1), name, "an offset"));
    if (end < begin || end - begin != t->bytes)
        return bm_fail(BM_ERR_REFUSED, "%.200s: the offsets %lld to %lld do not hold the %lld bytes of its shape", name,
                       (long long)begin, (long long)end, (long long)t->bytes);
    if (end > data_bytes)
        return bm_fail(BM_ERR_DAMAGED, "%.200s ends at byte %lld of the data, but there are %lld: the file is cut off", name,
                       (long long)end, (long long)data_bytes);
    t->offset = data + begin;
    return BM_OK;
}

static int by_offset(const void *a, const void *b)
{
    const bm_safetensor *x = a, *y = b;
    if (x->offset != y->offset) return x->offset < y->offset ? -1 : 1;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? -1 : 1; /* empty ones first */
    return strcmp(x->name, y->name);
}

static bm_status check_meta(const json_t *meta)
{
    const char *key;
    json_t *value;
    if (!json_is_object(meta)) return bm_fail(BM_ERR_REFUSED, "__metadata__ is not an object");
    json_object_foreach((json_t *)meta, key, value) {
        if (!json_is_string(value)) return bm_fail(BM_ERR_REFUSED, "__metadata__: %.200s is not a text", key);
    }
    return BM_OK;
}

static bm_status read_tensors(bm_safetensors *s, int64_t data, int64_t data_bytes)
{
    const char *name;
    json_t *value;
    int64_t at = data;
    s->tensors = bm_calloc(json_object_size(s->header) + 1, sizeof *s->tensors);
    if (!s->tensors) return BM_ERR_MEMORY;
    json_object_foreach(s->header, name, value) {
        if (strcmp(name, BM_SAFETENSORS_META) == 0) BM_TRY(check_meta(value));
        else BM_TRY(read_tensor(&s->tensors[s->count++], name, value, data, data_bytes));
    }
    qsort(s->tensors, (size_t)s->count, sizeof *s->tensors, by_offset);
    for (int64_t i = 0; i < s->count; i++) {
        const bm_safetensor *t = &s->tensors[i];
        if (t->offset != at)
            return bm_fail(BM_ERR_REFUSED, "%.200s begins at byte %lld of the data, where %lld is due: %s", t->name,
                           (long long)(t->offset - data), (long long)(at - data),
                           t->offset < at ? "they overlap" : "there is a hole");
        at += t->bytes;
    }
    if (at - data != data_bytes)
        return bm_fail(BM_ERR_REFUSED, "%lld bytes behind the last tensor", (long long)(data_bytes - (at - data)));
    return BM_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const bm_safetensor *const *)a)->name, (*(const bm_safetensor *const *)b)->name);
}

static bm_status sort_names(bm_safetensors *s)
{
    s->by_name = bm_calloc((size_t)s->count + 1, sizeof *s->by_name);
    if (!s->by_name) return BM_ERR_MEMORY;
    for (int64_t i = 0; i < s->count; i++) s->by_name[i] = &s->tensors[i];
    qsort(s->by_name, (size_t)s->count, sizeof *s->by_name, by_name);
    return BM_OK;
}

static bm_status open_file(bm_safetensors *s)
{
    struct stat st;
    unsigned char head[8];
    uint64_t n = 0;
    do s->fd = open(s->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    while (s->fd < 0 && errno == EINTR);
    if (s->fd < 0) return bm_fail_errno(errno, s->path, "open");
    if (fstat(s->fd, &st) != 0) return bm_fail_errno(errno, s->path, "stat");
    if (!S_ISREG(st.st_mode)) return bm_fail(BM_ERR_REFUSED, "%s: not a regular file", s->path);
    if (st.st_size < 10)
        return bm_fail(BM_ERR_DAMAGED, "%s: %lld bytes are too few for a safetensors file", s->path, (long long)st.st_size);
    BM_TRY(bm_pread_all(s->fd, head, sizeof head, 0, s->path));
    for (int i = 7; i >= 0; i--) n = n << 8 | head[i];
    if (n < 2 || n > (uint64_t)BM_SAFETENSORS_MOST_HEADER)
        return bm_fail(BM_ERR_REFUSED, "%s: not safetensors: a header of %llu bytes (at most %lld)", s->path, (unsigned long long)n,
                       (long long)BM_SAFETENSORS_MOST_HEADER);
    if ((int64_t)n > st.st_size - 8) return bm_fail(BM_ERR_DAMAGED, "%s: the header is cut off", s->path);
    BM_TRY(bm_fail_prefix(read_header(s, (int64_t)n), "%s", s->path));
    BM_TRY(bm_fail_prefix(read_tensors(s, 8 + (int64_t)n, st.st_size - 8 - (int64_t)n), "%s", s->path));
    return sort_names(s);
}

bm_status bm_safetensors_open(bm_safetensors **out, const char *path)
{
    bm_safetensors *s = bm_calloc(1, sizeof *s);
    bm_status status;
    *out = NULL;
    if (!s) return BM_ERR_MEMORY;
    s->fd = -1;
    s->path = bm_strdup(path);
    status = s->path ? open_file(s) : BM_ERR_MEMORY;
    if (status) bm_safetensors_close(s);
    else *out = s;
    return status;
}

void bm_safetensors_close(bm_safetensors *s)
{
    if (!s) return;
    if (s->fd >= 0) close(s->fd);
    json_decref(s->header);
    bm_free(s->tensors);
    bm_free(s->by_name);
    bm_free(s->path);
    bm_free(s);
}

int64_t bm_safetensors_count(const bm_safetensors *s) { return s->count; }
const bm_safetensor *bm_safetensors_at(const bm_safetensors *s, int64_t i) { return &s->tensors[i]; }

const bm_safetensor *bm_safetensors_find(const bm_safetensors *s, const char *name)
{
    const bm_safetensor wanted = {.name = name}, *key = &wanted;
    const bm_safetensor **found = bsearch(&key, s->by_name, (size_t)s->count, sizeof *s->by_name, by_name);
    return found ? *found : NULL;
}

const char *bm_safetensors_meta(const bm_safetensors *s, const char *key)
{
    return json_string_value(json_object_get(json_object_get(s->header, BM_SAFETENSORS_META), key));
}

bm_status bm_safetensors_read(const bm_safetensors *s, const bm_safetensor *t, void *data, int64_t first, int64_t count)
{
    int64_t element, elements;
    if (t->dtype == BM_DTYPE_COUNT) return bm_fail(BM_ERR_UNSUPPORTED, "%s: %.200s has the type %s", s->path, t->name, t->type);
    element = (int64_t)bm_dtype_size(t->dtype);
    elements = t->bytes / element;
    if (first < 0 || count < 0 || first > elements || count > elements - first)
        return bm_fail(BM_ERR_USAGE, "%s: %.200s has %lld elements", s->path, t->name, (long long)elements);
    return bm_pread_all(s->fd, data, (size_t)(count * element), t->offset + first * element, s->path);
}

int bm_safetensors_is(const char *path)
{
    unsigned char head[9];
    struct stat st;
    uint64_t n = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), is = 0;
    if (fd < 0) return 0;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && pread(fd, head, sizeof head, 0) == (ssize_t)sizeof head) {
        for (int i = 7; i >= 0; i--) n = n << 8 | head[i];
        is = n >= 2 && n <= (uint64_t)BM_SAFETENSORS_MOST_HEADER && head[8] == '{';
    }
    close(fd);
    return is;
}
