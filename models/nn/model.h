/* What a model is to the rest of bm: a family of configuration keys, a check of their values, a build function, and the names that
 * other projects give its parameters. One file of models/ is one model;
 * models/models.def lists them. */
#ifndef BM_MODELS_NN_MODEL_H
#define BM_MODELS_NN_MODEL_H

#include "core/graph/graph.h"
#include "models/config/config.h"
#include "models/nn/nn.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum bm_model_mode {
    BM_MODEL_TRAIN,  /* dropout on; inputs, targets -> loss, whose gradients the caller then takes */
    BM_MODEL_EVAL,   /* dropout off; inputs, targets -> loss, row losses, logits and hidden states on demand */
    BM_MODEL_DECODE  /* appends `window` tokens to key/value caches of the model's context; logits of the last token */
} bm_model_mode;

/* What a graph is built for. */
typedef struct bm_model_request {
    bm_model_mode mode;
    int64_t batch;    /* B */
    int64_t window;   /* T, at most the context */
    int recompute;    /* blocks are computed again for the gradient */
    bm_dtype dtype;   /* of activations and of the weights as layers read them */
    bm_dtype stored;  /* of tensors of rank 2 and more where they lie (bm_nn_set_stored); f32 when training */
} bm_model_request;

/* The values by which a graph is fed and read; NULL where the mode has none. */
typedef struct bm_model_io {
    bm_value *inputs;  /* "inputs" [B, T] i32 */
    bm_value *targets; /* "targets" [B, T] i32; negative: does not count */
    bm_value *loss;    /* [1] f32: BM_RT_LOSS_SCALE times the sum of nats */
    bm_value *rows;    /* [B T] f32, the loss of each token (EVAL) */
    bm_value *logits;  /* EVAL: [B T, V]; DECODE: [B, V] */
    bm_value *hidden;  /* [B, T, C]: what the head reads (EVAL) */
} bm_model_io;

/* A parameter under another project's name. */
typedef struct bm_name_map {
    const char *ours;   /* "h%d/attn/qkv/weight": %d is the layer */
    const char *theirs; /* "h.%d.attn.c_attn.weight" */
    int transposed;     /* they store [in, out] */
} bm_name_map;

typedef struct bm_model {
    bm_config_family family;
    /* Values that must fit together (heads divide width, ...): BM_ERR_CONFIG naming the key. `vocab` is the data's, or 0. */
    bm_status (*check)(const bm_config *c, int64_t vocab);
    /* Appends the model to nn's graph. model.vocab and model.context must be set. */
    bm_status (*build)(bm_model_io *io, bm_nn *nn, const bm_config *c, const bm_model_request *r);
    const bm_name_map *names; /* the transformers library's; ends with a NULL `ours` */
    /* Its config.json: from ours (*json by bm_free; BM_ERR_UNSUPPORTED names a key that it cannot say), and into ours. */
    bm_status (*export_config)(char **json, const bm_config *c);
    bm_status (*import_config)(bm_config *c, const char *json, size_t bytes, const char *name);
} bm_model;

#define BM_MODEL_DECLARE(name) extern const bm_model bm_model_##name;
#include "models/models.def"

/* The models there are. */
BM_API int bm_model_count(void);
BM_API const bm_model *bm_model_at(int i);
BM_API const bm_model *bm_model_find(const char *family); /* NULL if none */
/* Their families, for bm_config_create; *n of them. Static. */
BM_API const bm_config_family *const *bm_model_families(size_t *n);

#ifdef __cplusplus
}
#endif
#endif
