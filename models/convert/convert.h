/* Checkpoints from and to files of other projects, by family:
 *
 *   gpt: safetensors of the transformers library (GPT-2), in and out
 *   rnn: safetensors of PyTorch, in and out (nn.RNN, nn.LSTM, nn.GRU between an nn.Embedding and an nn.Linear, modules of
 *        any names); weights of a model of Keras 3, in, as model.save_weights("NAME.weights.h5") writes them (Embedding;
 *        SimpleRNN, LSTM, GRU(reset_after=True), alone or in Bidirectional; Dense)
 *
 * Weights alone do not say how a layer computes: the activations are those of cl/ops/recurrent.c, both projects'
 * defaults, and what comes after the head is not read. */
#ifndef BM_MODELS_CONVERT_CONVERT_H
#define BM_MODELS_CONVERT_CONVERT_H

#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bm_convert_opts {
    const char *config;  /* import: a file that says what the model is: the transformers library's config.json, or bm's
                          * own configuration; NULL: what the file's metadata hold, else GPT-2, read off the shapes */
    const char *licence; /* import: the weights', UTF-8, for the checkpoint's provenance; NULL: not stated */
    int replace;         /* the output may be replaced */
    bm_status (*progress)(void *user, const char *tensor); /* before each tensor; may be NULL; a failure ends it */
    void *user;
} bm_convert_opts;

/* Whether a file, by its content, is one for bm_convert_import: safetensors, HDF5 that is not bm's, or a zip, as .keras
 * files are (which it refuses: the weights are to be taken out). */
BM_API bm_status bm_convert_is_foreign(int *yes, const char *path);
/* IN -> a checkpoint of weights at step 0, f32. Each tensor is one parameter: BM_ERR_CONFIG or BM_ERR_SHAPE name what
 * does not fit the model, BM_ERR_UNSUPPORTED tensors that it does not know and those of which several could be one
 * parameter. GPT-2's names may lack "transformer.". */
BM_API bm_status bm_convert_import(const char *in, const char *out, const bm_convert_opts *opts);
/* A checkpoint (or a run folder) -> OUT.safetensors in f32, under the names above; its metadata get the configuration,
 * with which it is read again. */
BM_API bm_status bm_convert_export(const char *in, const char *out, const bm_convert_opts *opts);
/* The configuration that belongs to a checkpoint's weights: the config.json of the transformers library, or bm's own,
 * in JSON, for models that it does not have; *json by bm_free. */
BM_API bm_status bm_convert_config(char **json, const char *in);

#ifdef __cplusplus
}
#endif
#endif
