#include <string.h>

#include "core/base/mem.h"
#include "io/formats/safetensors.h"
#include "io/store/checkpoint.h"
#include "models/convert/config_priv.h"
#include "models/convert/convert.h"
#include "models/convert/names_priv.h"

typedef struct source {
    bm_checkpoint *checkpoint;
    bm_config *config;
    const bm_model *model;
    const bm_names *names;
} source;

static void close_source(source *s)
{
    bm_config_destroy(s->config);
    bm_checkpoint_close(s->checkpoint);
}

static bm_status open_source(source *s, const char *path)
{
    bm_status status;
    size_t n;
    memset(s, 0, sizeof *s);
    const bm_config_family *const *families = bm_model_families(&n);
    BM_GO(bm_checkpoint_open(&s->checkpoint, path));
    const char *json = bm_checkpoint_desc(s->checkpoint)->config_json;
    BM_GO(bm_config_create(&s->config, families, n));
    BM_GO(bm_config_from_json(s->config, json, strlen(json), bm_checkpoint_path(s->checkpoint)));
    s->model = bm_model_find(bm_config_get_family(s->config)->name);
    s->names = bm_names_of(s->model, s->config, BM_NAMES_SAFETENSORS);
    if (!s->names)
        status = bm_fail(BM_ERR_UNSUPPORTED, "%s: the family %s has no form in safetensors of other projects", path,
                         s->model->family.name);
done:
    if (status) close_source(s);
    return status;
}

bm_status bm_convert_config(char **json, const char *in)
{
    source s;
    *json = NULL;
    BM_TRY(open_source(&s, in));
    bm_status status = bm_convert_write_config(json, s.model, s.config);
    close_source(&s);
    return status;
}

/* A tensor on its way: straight through, or gathered whole and turned. */
typedef struct passage {
    bm_safetensors_writer *writer;
    int64_t index;
    float *whole; /* NULL: straight through */
} passage;

static bm_status take(void *user, const bm_ckpt_tensor *t, const void *data, int64_t first, int64_t count)
{
    passage *p = user;
    (void)t;
    if (!p->whole) return bm_safetensors_writer_put(p->writer, p->index, data, first, count);
    memcpy(p->whole + first, data, (size_t)count * sizeof *p->whole);
    return BM_OK;
}

static bm_status pass(const source *s, passage *p, int64_t i, int transposed)
{
    const bm_ckpt_param *q = &bm_checkpoint_desc(s->checkpoint)->param[i];
    const bm_ckpt_tensor t = {i, -1, -1};
    int64_t n = bm_shape_elements(&q->shape);
    if (!transposed) return bm_checkpoint_read(s->checkpoint, &t, take, p);
    float *turned = bm_calloc((size_t)n, sizeof *turned);
    p->whole = bm_calloc((size_t)n, sizeof *p->whole);
    bm_status status = turned && p->whole ? bm_checkpoint_read(s->checkpoint, &t, take, p) : BM_ERR_MEMORY;
    if (!status) {
        bm_names_transpose(turned, p->whole, (long)q->shape.dim[0], (long)q->shape.dim[1]);
        status = bm_safetensors_writer_put(p->writer, p->index, turned, 0, n);
    }
    bm_free(turned);
    bm_free(p->whole);
    p->whole = NULL;
    return status;
}

static bm_status declare(const source *s, bm_safetensors_writer *w, int64_t *index, int *transposed, int64_t i)
{
    char theirs[BM_NAME_BYTES];
    const bm_ckpt_param *q = &bm_checkpoint_desc(s->checkpoint)->param[i];
    if (q->dtype != BM_F32) return bm_fail(BM_ERR_UNSUPPORTED, "%s is %s, not f32", q->name, bm_dtype_name(q->dtype));
    const bm_name_map *row = bm_names_next(theirs, s->names, q->name, NULL);
    if (!row) return bm_fail(BM_ERR_UNSUPPORTED, "%s has no name in %s", q->name, s->names->project);
    bm_shape shape = q->shape;
    *transposed = !!(row->how & BM_NAME_TRANSPOSED);
    if (*transposed) {
        shape.dim[0] = q->shape.dim[1];
        shape.dim[1] = q->shape.dim[0];
    }
    return bm_safetensors_writer_add(w, index, theirs, BM_F32, &shape);
}

static bm_status write_tensors(const source *s, bm_safetensors_writer *w, const bm_convert_opts *opts)
{
    bm_status status = BM_ERR_MEMORY;
    const bm_ckpt_desc *d = bm_checkpoint_desc(s->checkpoint);
    int64_t *index = bm_calloc((size_t)d->params + 1, sizeof *index);
    int *transposed = bm_calloc((size_t)d->params + 1, sizeof *transposed);
    if (!index || !transposed) goto done;
    for (int64_t i = 0; i < d->params; i++)
        if (!d->param[i].tied_to) BM_GO(declare(s, w, &index[i], &transposed[i], i));
    for (int64_t i = 0; i < d->params; i++) {
        if (d->param[i].tied_to) continue;
        if (opts->progress) BM_GO(opts->progress(opts->user, d->param[i].name));
        passage p = {w, index[i], NULL};
        BM_GO(pass(s, &p, i, transposed[i]));
    }
    status = BM_OK;
done:
    bm_free(index);
    bm_free(transposed);
    return status;
}

bm_status bm_convert_export(const char *in, const char *out, const bm_convert_opts *opts)
{
    bm_status status;
    source s;
    char *json = NULL;
    bm_safetensors_writer *w = NULL;
    BM_TRY(open_source(&s, in));
    BM_GO(bm_convert_write_config(&json, s.model, s.config));
    BM_GO(bm_safetensors_writer_create(&w, out, opts->replace));
    BM_GO(bm_safetensors_writer_meta(w, "format", "pt"));
    BM_GO(bm_safetensors_writer_meta(w, "config", json));
    BM_GO(write_tensors(&s, w, opts));
    BM_GO(bm_safetensors_writer_commit(w));
done:
    bm_safetensors_writer_destroy(w);
    bm_free(json);
    close_source(&s);
    return status;
}
