#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/json_priv.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "models/convert/config_priv.h"

/* The model of the transformers library that config.json is read of. */
static const bm_model *transformers(void)
{
    int i = 0;
    while (!bm_model_at(i)->import_config) i++;
    return bm_model_at(i);
}

static bm_status choose_transformers(bm_config *c)
{
    return bm_config_set_string(c, "model.family", transformers()->family.name);
}

/* Theirs is JSON without a section model; what has one is ours, and so is a file (NULL: the text is from none) that is
 * no JSON. */
static bm_status read_text(bm_config *c, const char *text, size_t bytes, const char *name, const char *file)
{
    json_error_t e;
    json_t *j = json_loadb(text, bytes, 0, &e);
    const int is_json = json_is_object(j), is_ours = json_object_get(j, "model") != NULL;
    json_decref(j);
    if (is_ours) return bm_config_from_json(c, text, bytes, name);
    if (!is_json && file) return bm_config_load(c, file);
    BM_TRY(choose_transformers(c));
    return transformers()->import_config(c, text, bytes, name);
}

static bm_status read_file(bm_config *c, const char *file)
{
    char *text = NULL;
    size_t bytes;
    BM_TRY(bm_file_read(&text, &bytes, file, (size_t)16 << 20));
    bm_status status = read_text(c, text, bytes, file, file);
    bm_free(text);
    return status;
}

/* A tensor of GPT-2 with or without the prefix. */
static int find(bm_shape *shape, const bm_foreign *s, const char *name)
{
    char full[96];
    snprintf(full, sizeof full, "transformer.%s", name);
    int64_t i = bm_foreign_find(s, name);
    if (i < 0) i = bm_foreign_find(s, full);
    return i >= 0 && !bm_foreign_look(shape, s, i);
}

/* Without a config.json: sizes from the shapes; heads of 64 elements, as all published sizes of GPT-2 have them. */
static bm_status read_shapes(bm_config *c, const bm_foreign *s)
{
    char name[64];
    bm_shape token, position, fc, norm;
    if (s->file == BM_NAMES_KERAS)
        return bm_fail(
            BM_ERR_CONFIG,
            "%s: Keras' weights do not say what model they are of: give bm's configuration of it by --config", s->path);
    if (!find(&token, s, "wte.weight") || !find(&position, s, "wpe.weight") || !find(&fc, s, "h.0.mlp.c_fc.weight") ||
        token.rank != 2 || position.rank != 2 || fc.rank != 2)
        return bm_fail(BM_ERR_CONFIG,
                       "%s does not look like GPT-2 (no wte.weight, wpe.weight or h.0): give its config.json, or bm's "
                       "configuration of the model, by --config",
                       s->path);
    const int64_t width = token.dim[1];
    int64_t layers = 0;
    do snprintf(name, sizeof name, "h.%lld.ln_1.weight", (long long)++layers);
    while (find(&norm, s, name));
    BM_TRY(choose_transformers(c));
    BM_TRY(bm_config_set_i64(c, "model.layers", layers));
    BM_TRY(bm_config_set_i64(c, "model.width", width));
    BM_TRY(bm_config_set_i64(c, "model.heads", width % 64 ? 1 : width / 64));
    BM_TRY(bm_config_set_i64(c, "model.vocab", token.dim[0]));
    BM_TRY(bm_config_set_i64(c, "model.context", position.dim[0]));
    if (fc.dim[1] != 4 * width) BM_TRY(bm_config_set_i64(c, "model.ffn", fc.dim[1]));
    bm_log(BM_LOG_WARN, "%s: no config.json: %lld heads, gelu_tanh and eps 1e-5 are assumed (--config gives it)",
           s->path, (long long)bm_config_i64(c, "model.heads"));
    return BM_OK;
}

static bm_status read_any(bm_config *c, const bm_foreign *s, const char *file)
{
    const char *meta = s->safetensors ? bm_safetensors_meta(s->safetensors, "config") : NULL;
    if (file) return read_file(c, file);
    return meta ? read_text(c, meta, strlen(meta), s->path, NULL) : read_shapes(c, s);
}

bm_status bm_convert_read_config(bm_config **out, const bm_foreign *s, const char *file)
{
    size_t n;
    bm_config *c = NULL;
    bm_status status;
    const bm_config_family *const *families = bm_model_families(&n);
    *out = NULL;
    BM_GO(bm_config_create(&c, families, n));
    BM_GO(read_any(c, s, file));
    if (!bm_config_get_family(c)) BM_GO(bm_fail(BM_ERR_CONFIG, "%s: model.family is missing", file ? file : s->path));
    const bm_model *m = bm_model_find(bm_config_get_family(c)->name);
    if (!bm_config_given(c, "data.path")) BM_GO(bm_config_set_string(c, "data.path", "none"));
    if (m->check) BM_GO(m->check(c));
    BM_GO(m->fit(c, NULL));
    *out = c;
    return BM_OK;
done:
    bm_config_destroy(c);
    return status;
}

/* Ours as JSON without what holds on this machine alone. */
static bm_status strip(char **out, const bm_config *c)
{
    static const char *const here[] = {"device", "init", "init_content_id"};
    json_error_t e;
    char *all = NULL;
    BM_TRY(bm_config_to_json(&all, c));
    json_t *j = json_loads(all, 0, &e);
    bm_free(all);
    for (size_t i = 0; i < sizeof here / sizeof *here; i++) json_object_del(j, here[i]);
    json_object_del(json_object_get(j, "data"), "path");
    json_object_del(json_object_get(j, "data"), "content_id");
    bm_status status = bm_json_text(out, j, JSON_REAL_PRECISION(17));
    json_decref(j);
    return status;
}

/* Written by the configuration itself, numbers are as short as they can be. */
static bm_status write_ours(char **json, const bm_config *c)
{
    size_t n;
    char *text = NULL;
    bm_config *kept = NULL;
    bm_status status;
    const bm_config_family *const *families = bm_model_families(&n);
    BM_GO(strip(&text, c));
    BM_GO(bm_config_create(&kept, families, n));
    BM_GO(bm_config_from_json(kept, text, strlen(text), "configuration"));
    BM_GO(bm_config_to_json(json, kept));
done:
    bm_config_destroy(kept);
    bm_free(text);
    return status;
}

bm_status bm_convert_write_config(char **json, const bm_model *m, const bm_config *c)
{
    *json = NULL;
    return m->export_config ? m->export_config(json, c) : write_ours(json, c);
}
