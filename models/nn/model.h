/* What a model is to the rest of bm: a family of configuration keys, a check of their values and of what a data set holds, a build
 * function, and the names that other projects give its parameters. One file of models/ is one model;
 * models/models.def lists them. */
#ifndef BM_MODELS_NN_MODEL_H
#define BM_MODELS_NN_MODEL_H

#include "core/graph/graph.h"
#include "io/store/batch.h"
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

/* What is learned: model.task, where a family has it. */
typedef enum bm_objective {
    BM_OBJECTIVE_REGRESSION, /* numbers [B, D] */
    BM_OBJECTIVE_BINARY,     /* one of two classes, by one logit */
    BM_OBJECTIVE_CLASSES,    /* one of C classes */
    BM_OBJECTIVE_LM,         /* the next token, at each place */
    BM_OBJECTIVE_TAGS        /* a class at each place, or a shorter sequence of classes for all of them */
} bm_objective;

/* What a graph is built for. */
typedef struct bm_model_request {
    bm_model_mode mode;
    int64_t batch;    /* B */
    int64_t window;   /* T, the places of a sequence; 1 where a sample is none */
    int recompute;    /* blocks are computed again for the gradient */
    bm_dtype dtype;   /* of activations and of the weights as layers read them */
    bm_dtype stored;  /* of tensors of rank 2 and more where they lie (bm_nn_set_stored); f32 when training */
} bm_model_request;

/* The values by which a graph is fed and read; NULL where the mode or the model has none. */
typedef struct bm_model_io {
    bm_objective objective;
    int64_t vocab, classes; /* of the inputs and of the targets, as bm_sample_form has them */
    bm_value *inputs;  /* "inputs", a batch of bm_sample_form's */
    bm_value *targets; /* "targets", likewise: those that do not count are negative or NaN */
    bm_value *lengths; /* "lengths" [B] i32 */
    bm_value *class_weights; /* TRAIN: "class_weights" [C] f32, what a target of each class counts for; train.class_weights */
    int aligned;       /* targets are sequences of their own, which ctc aligns to the logits */
    bm_value *loss;    /* [1] f32: BM_RT_LOSS_SCALE times the sum over the targets that count */
    bm_value *rows;    /* EVAL: the loss of each target, f32 [B] or [B T] */
    bm_value *logits;  /* EVAL: [B, D] numbers, [B, C] or [B T, C] logits; DECODE: [B, V] */
    bm_value *hidden;  /* EVAL: what the head reads, [B, C] or [B, T, C] */
} bm_model_io;

/* How a tensor of another project becomes a parameter of ours. */
enum {
    BM_NAME_TRANSPOSED = 1 << 0, /* theirs is [in, out] */
    BM_NAME_SWAPPED = 1 << 1,    /* of three blocks of our rows the first two have changed places */
    BM_NAME_FIRST = 1 << 2,      /* theirs is [2, n], and ours its first row, */
    BM_NAME_SECOND = 1 << 3,     /* or its second */
    BM_NAME_OPTIONAL = 1 << 4,   /* where there is none, ours is 0 */
    BM_NAME_ABSENT = 1 << 5,     /* there is none ever: ours is 0 */
    BM_NAME_ALONE = 1 << 6,      /* there is no tensor of the same name but ".bias" for ".weight", */
    BM_NAME_PAIRED = 1 << 7      /* or there is one */
};

/* A parameter under another project's name. Several rows of one `ours` are several names that it may have; the first is written. */
typedef struct bm_name_map {
    const char *ours;   /* "h%d/attn/qkv/weight": %d is the layer */
    const char *theirs; /* "h.%d.attn.c_attn.weight"; of "lstm%k" %k is nothing, _1, _2, ... */
    int how;            /* BM_NAME_... */
    const char *hint;   /* said where it is missing or of another shape; may be NULL */
} bm_name_map;

typedef enum bm_names_file { BM_NAMES_SAFETENSORS, BM_NAMES_KERAS } bm_names_file;

/* A project's names for the parameters of a model, in files of one kind. */
typedef struct bm_names {
    bm_names_file file;
    const char *project;        /* "PyTorch" */
    const char *when;           /* "cell=gru": the names where this key of the section model has this value; NULL: always */
    const bm_name_map *map;     /* ends with a NULL `ours` */
    const char *prefix;         /* of theirs, which a file may leave out; NULL: none */
    int any_module;             /* of a name only what follows the last dot counts: modules are named as their user likes */
    const char *const *extras;  /* tensors that hold no weights: patterns as in theirs, or with a * at the end; NULL: none */
} bm_names;

typedef struct bm_model {
    bm_config_family family;
    /* Values that must fit together (heads divide width, ...): BM_ERR_CONFIG naming the key. NULL: there are none. */
    bm_status (*check)(const bm_config *c);
    /* Sets the keys that are null (vocab, outputs, ...) to what samples of this form need: BM_ERR_CONFIG where the model cannot
     * learn from them. `form` NULL: there is no data set, and no such key may be null (bm_model_need). */
    bm_status (*fit)(bm_config *c, const bm_sample_form *form);
    /* Appends the model to nn's graph. No key that `fit` sets is null. */
    bm_status (*build)(bm_model_io *io, bm_nn *nn, const bm_config *c, const bm_model_request *r);
    const bm_names *names; /* ends with a NULL `project`; NULL: no other project has such a model */
    /* The config.json of the transformers library: from ours (*json by bm_free; BM_ERR_UNSUPPORTED names a key that it cannot say),
     * and into ours. NULL: it has no such model. */
    bm_status (*export_config)(char **json, const bm_config *c);
    bm_status (*import_config)(bm_config *c, const char *json, size_t bytes, const char *name);
} bm_model;

/* BM_ERR_CONFIG when a key that a data set would decide is null. */
BM_API bm_status bm_model_need(const bm_config *c, const char *key);

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
