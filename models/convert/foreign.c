#include "models/convert/foreign_priv.h"

#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "io/formats/hdf5.h"
#include "io/store/store.h"
#include "models/convert/convert.h"

/* The first bytes of a file. */
static int begins(const char *path, const char *bytes, size_t n)
{
    char have[8] = {0};
    FILE *f = fopen(path, "rb");
    if (!f) return 0;
    const size_t got = fread(have, 1, n, f);
    fclose(f);
    return got == n && !memcmp(have, bytes, n);
}

static int is_zip(const char *path) { return begins(path, "PK\3\4", 4); }

/* HDF5 that is not of bm's profile. */
static bm_status is_others_hdf5(int *yes, const char *path)
{
    bm_store *own = NULL;
    *yes = 0;
    if (!begins(path, "\x89HDF\r\n\x1a\n", 8)) return BM_OK;
    const bm_status status = bm_store_open(&own, path);
    bm_store_close(own);
    *yes = status == BM_ERR_REFUSED;
    return status == BM_ERR_MEMORY ? status : BM_OK;
}

bm_status bm_convert_is_foreign(int *yes, const char *path)
{
    if ((*yes = bm_safetensors_is(path) || is_zip(path))) return BM_OK;
    return is_others_hdf5(yes, path);
}

/* Room for the names of n tensors. */
static bm_status make_room(bm_foreign *s, int64_t n)
{
    s->n = n;
    s->name = bm_calloc((size_t)n + 1, sizeof *s->name);
    return s->name ? BM_OK : BM_ERR_MEMORY;
}

static bm_status open_safetensors(bm_foreign *s)
{
    s->file = BM_NAMES_SAFETENSORS;
    BM_TRY(bm_safetensors_open(&s->safetensors, s->path));
    BM_TRY(make_room(s, bm_safetensors_count(s->safetensors)));
    for (int64_t i = 0; i < s->n; i++) s->name[i] = bm_safetensors_at(s->safetensors, i)->name;
    return BM_OK;
}

static bm_status open_keras(bm_foreign *s)
{
    size_t bytes;
    int64_t n = 0;
    s->file = BM_NAMES_KERAS;
    BM_TRY(bm_hdf5_list(&s->paths, &bytes, s->path));
    for (size_t i = 0; i < bytes; i++) n += !s->paths[i];
    BM_TRY(make_room(s, n));
    const char *at = s->paths;
    for (int64_t i = 0; i < n; i++, at += strlen(at) + 1) {
        s->name[i] = at;
        if (!strncmp(at, "model_weights/", 14))
            return bm_fail(
                BM_ERR_REFUSED,
                "%s: a model in Keras' older form: load it in Keras 3 and model.save_weights(\"NAME.weights.h5\")",
                s->path);
    }
    return BM_OK;
}

bm_status bm_foreign_open(bm_foreign *s, const char *path)
{
    int keras = 0;
    *s = (bm_foreign){.path = path};
    if (is_zip(path))
        return bm_fail(BM_ERR_REFUSED,
                       "%s is a zip; of a .keras file `unzip %s model.weights.h5` takes the weights out", path, path);
    bm_status status = is_others_hdf5(&keras, path);
    if (!status) status = keras ? open_keras(s) : open_safetensors(s);
    if (status) bm_foreign_close(s);
    return status;
}

void bm_foreign_close(bm_foreign *s)
{
    bm_safetensors_close(s->safetensors);
    bm_free(s->paths);
    bm_free((void *)s->name);
    *s = (bm_foreign){0};
}

int64_t bm_foreign_find(const bm_foreign *s, const char *name)
{
    int64_t i = 0;
    const bm_safetensor *t = s->safetensors ? bm_safetensors_find(s->safetensors, name) : NULL;
    if (s->safetensors) return t ? t - bm_safetensors_at(s->safetensors, 0) : -1;
    while (i < s->n && strcmp(s->name[i], name)) i++;
    return i < s->n ? i : -1;
}

bm_status bm_foreign_look(bm_shape *shape, const bm_foreign *s, int64_t i)
{
    bm_hdf5 *h;
    if (s->safetensors) {
        const bm_safetensor *t = bm_safetensors_at(s->safetensors, i);
        *shape = t->shape;
        return bm_dtype_is_float(t->dtype)
                   ? BM_OK
                   : bm_fail(BM_ERR_UNSUPPORTED, "%s: %s is of type %s", s->path, t->name, t->type);
    }
    BM_TRY(bm_hdf5_open(&h, s->path, &s->name[i], 1));
    const bm_hdf5_data *d = bm_hdf5_at(h, 0);
    *shape = d->shape;
    const int is_float = d->is_float;
    bm_hdf5_close(h);
    return is_float ? BM_OK : bm_fail(BM_ERR_UNSUPPORTED, "%s: %s holds whole numbers", s->path, s->name[i]);
}

static bm_status read_safetensors(float *out, const bm_safetensors *s, const bm_safetensor *t, int64_t first, int64_t n)
{
    void *raw = bm_calloc((size_t)n + 1, bm_dtype_size(t->dtype));
    bm_status status = raw ? bm_safetensors_read(s, t, raw, first, n) : BM_ERR_MEMORY;
    if (!status) status = bm_convert_floats(out, BM_F32, raw, t->dtype, (size_t)n);
    bm_free(raw);
    return status;
}

bm_status bm_foreign_read(float *out, const bm_foreign *s, int64_t i, int64_t first, int64_t n)
{
    bm_hdf5 *h;
    bm_status status = BM_OK;
    if (s->safetensors) return read_safetensors(out, s->safetensors, bm_safetensors_at(s->safetensors, i), first, n);
    BM_TRY(bm_hdf5_open(&h, s->path, &s->name[i], 1));
    const int64_t row = bm_hdf5_row(h, 0), most = BM_HDF5_MOST_BYTES / (int64_t)sizeof *out / row, rows = n / row;
    for (int64_t at = 0, piece; at < rows && !status; at += piece) {
        piece = most < 1 ? 1 : most < rows - at ? most : rows - at;
        status = bm_hdf5_read(h, 0, BM_F32, out + at * row, first / row + at, piece);
    }
    bm_hdf5_close(h);
    return status;
}
