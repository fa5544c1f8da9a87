#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/checked.h"
#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "io/formats/safetensors_priv.h"
#include "io/store/tempfile_priv.h"
#include "io/text/utf8.h"

typedef struct tensor {
    char *name;
    bm_dtype dtype;
    bm_shape shape;
    int64_t bytes;
    int64_t offset; /* in the data */
    int64_t put;    /* bytes that have come */
} tensor;

struct bm_safetensors_writer {
    char *path, *temp;
    int fd, replace;
    int begun;
    bm_str meta; /* the members of __metadata__ */
    tensor *tensors;
    int64_t count, capacity;
    int64_t data; /* offset of the data in the file */
};

bm_status bm_safetensors_writer_create(bm_safetensors_writer **out, const char *path, int replace)
{
    bm_safetensors_writer *w;
    *out = NULL;
    if (!replace && bm_path_exists(path)) return bm_fail(BM_ERR_EXISTS, "%s: exists already", path);
    w = bm_calloc(1, sizeof *w);
    if (!w) return BM_ERR_MEMORY;
    w->fd = -1;
    w->replace = replace;
    bm_str_init(&w->meta);
    w->path = bm_strdup(path);
    if (!w->path) {
        bm_safetensors_writer_destroy(w);
        return BM_ERR_MEMORY;
    }
    *out = w;
    return BM_OK;
}

void bm_safetensors_writer_destroy(bm_safetensors_writer *w)
{
    if (!w) return;
    if (w->fd >= 0) close(w->fd);
    if (w->temp) unlink(w->temp);
    for (int64_t i = 0; i < w->count; i++) bm_free(w->tensors[i].name);
    bm_str_finish(&w->meta);
    bm_free(w->tensors);
    bm_free(w->temp);
    bm_free(w->path);
    bm_free(w);
}

/* A JSON text. */
static void add_quoted(bm_str *out, const char *text)
{
    bm_str_add(out, "\"");
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p == '"' || *p == '\\') bm_str_addf(out, "\\%c", *p);
        else if (*p < 0x20) bm_str_addf(out, "\\u%04x", *p);
        else bm_str_add_bytes(out, p, 1);
    }
    bm_str_add(out, "\"");
}

bm_status bm_safetensors_writer_meta(bm_safetensors_writer *w, const char *key, const char *text)
{
    if (w->begun) return bm_fail(BM_ERR_USAGE, "%s: its header is written already", w->path);
    if (!bm_utf8_valid(key, strlen(key)) || !bm_utf8_valid(text, strlen(text)))
        return bm_fail(BM_ERR_USAGE, "%s: metadata that is not UTF-8", w->path);
    if (w->meta.length) bm_str_add(&w->meta, ",");
    add_quoted(&w->meta, key);
    bm_str_add(&w->meta, ":");
    add_quoted(&w->meta, text);
    return bm_str_status(&w->meta);
}

static bm_status check_new(const bm_safetensors_writer *w, const char *name, bm_dtype dtype)
{
    size_t n = strlen(name);
    if (w->begun) return bm_fail(BM_ERR_USAGE, "%s: its header is written already", w->path);
    if (!bm_safetensors_type_name(dtype)) return bm_fail(BM_ERR_USAGE, "%s: %s has a type that safetensors has not", w->path, name);
    if (n < 1 || n > BM_SAFETENSORS_MOST_NAME || !bm_utf8_valid(name, n) || strcmp(name, BM_SAFETENSORS_META) == 0)
        return bm_fail(BM_ERR_USAGE, "%s: \"%.80s\" cannot be the name of a tensor", w->path, name);
    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
            return bm_fail(BM_ERR_USAGE, "%s: the name of a tensor holds control characters", w->path);
    }
    return BM_OK;
}

bm_status bm_safetensors_writer_add(bm_safetensors_writer *w, int64_t *index, const char *name, bm_dtype dtype,
                                    const bm_shape *shape)
{
    tensor *t;
    BM_TRY(check_new(w, name, dtype));
    BM_TRY(bm_shape_check(shape, dtype));
    if (w->count == w->capacity) {
        int64_t capacity = 2 * w->capacity + 64;
        t = bm_realloc(w->tensors, (size_t)capacity, sizeof *t);
        if (!t) return BM_ERR_MEMORY;
        w->tensors = t;
        w->capacity = capacity;
    }
    t = &w->tensors[w->count];
    *t = (tensor){bm_strdup(name), dtype, *shape, (int64_t)bm_shape_bytes(shape, dtype), 0, 0};
    if (!t->name) return BM_ERR_MEMORY;
    if (index) *index = w->count;
    w->count++;
    return BM_OK;
}

static int by_name(const void *a, const void *b) { return strcmp((*(tensor *const *)a)->name, (*(tensor *const *)b)->name); }

static bm_status check_names(const bm_safetensors_writer *w)
{
    const tensor **sorted = bm_calloc((size_t)w->count + 1, sizeof *sorted);
    const char *twice = NULL;
    if (!sorted) return BM_ERR_MEMORY;
    for (int64_t i = 0; i < w->count; i++) sorted[i] = &w->tensors[i];
    qsort(sorted, (size_t)w->count, sizeof *sorted, by_name);
    for (int64_t i = 1; i < w->count && !twice; i++) {
        if (strcmp(sorted[i - 1]->name, sorted[i]->name) == 0) twice = sorted[i]->name;
    }
    bm_free(sorted);
    return twice ? bm_fail(BM_ERR_USAGE, "%s: two tensors have the name %s", w->path, twice) : BM_OK;
}

/* Offsets, the largest types first; within one size in the order in which the tensors came. */
static bm_status lay_out(bm_safetensors_writer *w)
{
    int64_t at = 0;
    for (size_t size = 8; size > 0; size /= 2) {
        for (int64_t i = 0; i < w->count; i++) {
            tensor *t = &w->tensors[i];
            if (bm_dtype_size(t->dtype) != size) continue;
            t->offset = at;
            if (bm_add_i64(&at, at, t->bytes)) return bm_fail(BM_ERR_USAGE, "%s: more bytes than a file can hold", w->path);
        }
    }
    return BM_OK;
}

static void add_tensor(bm_str *out, const tensor *t)
{
    add_quoted(out, t->name);
    bm_str_addf(out, ":{\"dtype\":\"%s\",\"shape\":[", bm_safetensors_type_name(t->dtype));
    for (int i = 0; i < t->shape.rank; i++) bm_str_addf(out, "%s%lld", i ? "," : "", (long long)t->shape.dim[i]);
    bm_str_addf(out, "],\"data_offsets\":[%lld,%lld]}", (long long)t->offset, (long long)(t->offset + t->bytes));
}

/* The header, with blanks behind it so that the data begins at a multiple of 8. */
static bm_status make_header(bm_str *out, const bm_safetensors_writer *w)
{
    unsigned char length[8] = {0};
    bm_str_add_bytes(out, length, sizeof length);
    bm_str_add(out, "{");
    if (w->meta.length) {
        bm_str_add(out, "\"" BM_SAFETENSORS_META "\":{");
        bm_str_add_bytes(out, w->meta.text, w->meta.length);
        bm_str_add(out, "}");
    }
    for (int64_t i = 0; i < w->count; i++) {
        if (i || w->meta.length) bm_str_add(out, ",");
        add_tensor(out, &w->tensors[i]);
    }
    bm_str_add(out, "}");
    while (out->length % 8 && !bm_str_status(out)) bm_str_add(out, " ");
    BM_TRY(bm_str_status(out));
    if ((int64_t)out->length - 8 > BM_SAFETENSORS_MOST_HEADER)
        return bm_fail(BM_ERR_UNSUPPORTED, "%s: its header would be larger than safetensors allows", w->path);
    for (int i = 0; i < 8; i++) out->text[i] = (char)((out->length - 8) >> 8 * i & 0xff);
    return BM_OK;
}

static bm_status begin(bm_safetensors_writer *w)
{
    bm_str header;
    bm_status status;
    bm_str_init(&header);
    w->begun = 1;
    BM_GO(check_names(w));
    BM_GO(lay_out(w));
    BM_GO(make_header(&header, w));
    BM_GO(bm_temp_create(&w->temp, &w->fd, w->path));
    BM_GO(bm_pwrite_all(w->fd, header.text, header.length, 0, w->path));
    w->data = (int64_t)header.length;
done:
    bm_str_finish(&header);
    return status;
}

bm_status bm_safetensors_writer_put(bm_safetensors_writer *w, int64_t index, const void *data, int64_t first, int64_t count)
{
    tensor *t;
    int64_t element, elements;
    if (index < 0 || index >= w->count) return bm_fail(BM_ERR_USAGE, "%s: there is no tensor %lld", w->path, (long long)index);
    if (!w->begun) BM_TRY(begin(w));
    if (w->fd < 0) return bm_fail(BM_ERR_USAGE, "%s: not open", w->path);
    t = &w->tensors[index];
    element = (int64_t)bm_dtype_size(t->dtype);
    elements = t->bytes / element;
    if (first < 0 || count < 0 || first > elements || count > elements - first)
        return bm_fail(BM_ERR_USAGE, "%s: %s has %lld elements", w->path, t->name, (long long)elements);
    BM_TRY(bm_pwrite_all(w->fd, data, (size_t)(count * element), w->data + t->offset + first * element, w->path));
    t->put += count * element;
    return BM_OK;
}

static bm_status publish(bm_safetensors_writer *w)
{
    char *folder;
    bm_status status;
    while (fsync(w->fd) != 0) {
        if (errno != EINTR) return bm_fail_errno(errno, w->path, "fsync");
    }
    if (!w->replace && bm_path_exists(w->path))
        return bm_fail(BM_ERR_EXISTS, "%s: exists already (--force replaces it)", w->path);
    folder = bm_path_folder(w->path);
    if (!folder) return BM_ERR_MEMORY;
    status = rename(w->temp, w->path) == 0 ? BM_OK : bm_fail_errno(errno, w->path, "rename");
    if (!status) {
        bm_free(w->temp);
        w->temp = NULL;
        status = bm_folder_sync(folder);
    }
    bm_free(folder);
    return status;
}

bm_status bm_safetensors_writer_commit(bm_safetensors_writer *w)
{
    if (!w->begun) BM_TRY(begin(w));
    if (w->fd < 0 || !w->temp) return bm_fail(BM_ERR_USAGE, "%s: not open", w->path);
    for (int64_t i = 0; i < w->count; i++) {
        const tensor *t = &w->tensors[i];
        if (t->put != t->bytes)
            return bm_fail(BM_ERR_USAGE, "%s: %s has got %lld of its %lld bytes", w->path, t->name, (long long)t->put,
                           (long long)t->bytes);
    }
    return publish(w);
}
