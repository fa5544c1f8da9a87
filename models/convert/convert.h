/* Checkpoints from and to the safetensors files of the transformers library. */
#ifndef BM_MODELS_CONVERT_CONVERT_H
#define BM_MODELS_CONVERT_CONVERT_H

#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bm_convert_opts {
    const char *config_json; /* import: the model's config.json; NULL: what the file's metadata holds, else read off the shapes */
    const char *licence;     /* import: the weights', UTF-8, for the checkpoint's provenance; NULL: not stated */
    int replace;             /* the output may be replaced */
    bm_status (*progress)(void *user, const char *tensor); /* before each tensor; may be NULL; a failure ends it */
    void *user;
} bm_convert_opts;

/* IN.safetensors -> a checkpoint of weights at step 0. Names with or without "transformer."; 16-bit weights become f32.
 * BM_ERR_CONFIG or BM_ERR_SHAPE name what does not fit the model; a tensor that the model does not know is BM_ERR_UNSUPPORTED. */
BM_API bm_status bm_convert_import(const char *in, const char *out, const bm_convert_opts *opts);
/* A checkpoint (or a run folder) -> OUT.safetensors in f32, names with "transformer."; its metadata get the config.json. */
BM_API bm_status bm_convert_export(const char *in, const char *out, const bm_convert_opts *opts);
/* The config.json that the transformers library reads for a checkpoint; *json by bm_free. */
BM_API bm_status bm_convert_config(char **json, const char *in);

#ifdef __cplusplus
}
#endif
#endif
