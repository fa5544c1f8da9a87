/* A checkpoint: all that is needed to go on as if nothing had happened. One description serves for writing and reading;
 * the tensors themselves stream through callbacks, so that device memory passes through a bounded buffer.
 *
 * In the file (x: present only if given):
 *   /config/json, /sched/json x, /provenance/json, /encoding/json x, /tokenizer/json x, /tokenizer/blob x    u8[n]
 *   /params/NAME                    the tensor; attributes dtype, semantic text, trainable u8. A tied one is a group
 *                                   without a dataset and has the attribute tied_to (the other's NAME) as well
 *   /optim/OPT/NAME/SLOT            f32 in the parameter's shape; attributes on /optim/OPT: type text, t u64,
 *                                   hyperparameters f64
 *   /state/{step,tokens_seen,samples_seen,epoch} u64, best_metric f64, rng u64[S, 4]
 *   /state/data/{seed,epoch,sample_in_epoch,global_batch} u64; attribute dataset_uuid text
 *   /history/COLUMN                 u64 step, f64 others, all of one length; NaN: not measured; attribute units text */
#ifndef BM_IO_STORE_CHECKPOINT_H
#define BM_IO_STORE_CHECKPOINT_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/dtype.h"
#include "core/base/shape.h"
#include "core/base/status.h"
#include "io/store/manifest.h"
#include "io/store/store.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bm_ckpt_param {
    const char *name; /* "h0/attn/qkv/weight": its path below /params */
    bm_dtype dtype;
    bm_shape shape;
    const char *semantic; /* "weight", "bias", "embedding", "norm" or "buffer" */
    int trainable;        /* has state of the optimizers; buffers have none */
    const char *tied_to; /* the name whose tensor this one shares; NULL: it has its own */
} bm_ckpt_param;

typedef struct bm_ckpt_number {
    const char *name;
    double value;
} bm_ckpt_number;

#define BM_CKPT_MOST_SLOTS 4
typedef struct bm_ckpt_optim {
    const char *name; /* its group below /optim, "adamw" */
    const char *type;
    uint64_t t;                           /* updates so far */
    const char *slot[BM_CKPT_MOST_SLOTS]; /* "m", "v": an f32 tensor for each trainable parameter that is not tied */
    int slots;
    const bm_ckpt_number *hyper;
    int64_t hypers;
} bm_ckpt_optim;

typedef struct bm_ckpt_state {
    uint64_t step;
    uint64_t tokens_seen;
    uint64_t samples_seen;
    uint64_t epoch;
    double best_metric;  /* NaN: none yet */
    const uint64_t *rng; /* [rngs, 4], the meaning of the four is the caller's */
    int64_t rngs;
    const char *dataset_uuid; /* "" when there is none */
    uint64_t data_seed;
    uint64_t data_epoch;
    uint64_t data_sample; /* in the epoch, the next to be used */
    uint64_t global_batch;
} bm_ckpt_state;

typedef struct bm_ckpt_column {
    const char *name;    /* "loss" */
    const char *units;   /* "nats"; NULL: none */
    const double *value; /* [rows] */
} bm_ckpt_column;

typedef struct bm_ckpt_history {
    int64_t rows;
    const uint64_t *step; /* [rows] */
    const bm_ckpt_column *column;
    int64_t columns;
} bm_ckpt_history;

typedef struct bm_ckpt_desc {
    const char *config_json;     /* the resolved configuration, as JSON */
    const char *sched_json;      /* NULL: none */
    const char *provenance_json; /* what made it: bm, flags, device, driver, gemm, content ids of data and parent, licences */
    const char *encoding_json;   /* how samples were made (samples.h); NULL: none */
    const char *tokenizer_json;  /* NULL: none */
    const void *tokenizer_blob;
    size_t tokenizer_blob_bytes;
    const bm_ckpt_param *param;
    int64_t params;
    const bm_ckpt_optim *optim; /* none for weights alone */
    int64_t optims;
    bm_ckpt_state state;
    bm_ckpt_history history;
} bm_ckpt_desc;
BM_API bm_ckpt_desc bm_ckpt_desc_default(void);

/* A tensor of a checkpoint: parameter `param`, and its value (optim and slot -1) or a slot of an optimizer. */
typedef struct bm_ckpt_tensor {
    int64_t param;
    int64_t optim;
    int slot;
} bm_ckpt_tensor;

/* Fills data with elements [first, first + count) of t. Called in the order of the description: all values, then the
 * slots, each tensor from its first element to its last. */
typedef bm_status (*bm_ckpt_fill)(void *user, const bm_ckpt_tensor *t, void *data, int64_t first, int64_t count);
/* Takes them; data is valid during the call and was checked against the manifest. */
typedef bm_status (*bm_ckpt_take)(void *user, const bm_ckpt_tensor *t, const void *data, int64_t first, int64_t count);

typedef struct bm_ckpt_write_opts {
    int replace;
    size_t buffer_bytes; /* the staging buffer; 16 MiB */
} bm_ckpt_write_opts;
BM_API bm_ckpt_write_opts bm_ckpt_write_opts_default(void);

/* Writes the whole checkpoint: old or new, never half. Blocks until it is on the disk. Safe in a background thread. */
BM_API bm_status bm_checkpoint_write(bm_content_id *id, const char *path, const bm_ckpt_desc *desc, bm_ckpt_fill fill,
                                     void *user, const bm_ckpt_write_opts *opts);

typedef struct bm_checkpoint bm_checkpoint;

/* Opens the store and reads the description; no tensor yet. `path` is a checkpoint or a run folder (its newest sound
 * one). */
BM_API bm_status bm_checkpoint_open(bm_checkpoint **out, const char *path);
BM_API void bm_checkpoint_close(bm_checkpoint *c);
BM_API const bm_ckpt_desc *bm_checkpoint_desc(const bm_checkpoint *c); /* borrowed */
BM_API bm_store *bm_checkpoint_store(const bm_checkpoint *c);          /* borrowed */
BM_API const char *bm_checkpoint_path(const bm_checkpoint *c);         /* of the file, whatever was given */
/* -1 when there is none of this name. */
BM_API int64_t bm_checkpoint_find(const bm_checkpoint *c, const char *name);
/* Where t lies in the file; NULL for a tied parameter. */
BM_API const bm_entry *bm_checkpoint_entry(const bm_checkpoint *c, const bm_ckpt_tensor *t);
/* Streams one tensor (the other's, for a tied one), or every tensor that has a dataset, in the order of the
 * description. */
BM_API bm_status bm_checkpoint_read(const bm_checkpoint *c, const bm_ckpt_tensor *t, bm_ckpt_take take, void *user);
BM_API bm_status bm_checkpoint_read_all(const bm_checkpoint *c, bm_ckpt_take take, void *user);

#ifdef __cplusplus
}
#endif
#endif
