/* Layers with named parameters. An nn is the book of a model's parameters while its graph is built: name, how it begins, what it
 * means. Names are paths, "h0/attn/qkv/weight"; each is one dataset below /params in a checkpoint. Sticky like the graph. */
#ifndef BM_MODELS_NN_NN_H
#define BM_MODELS_NN_NN_H

#include "cl/ops/ops.h"
#include "core/graph/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The activations that a configuration may name. */
#define BM_ACTIVATIONS "gelu_tanh|gelu|relu|silu|tanh|sigmoid"
BM_API bm_activation bm_activation_of(const char *name); /* BM_ACT_NONE: none of them */
/* The standard deviation that a layer's weights begin with: sqrt(2 / in) before relu and its kind (He et al. 2015), sqrt(2 / (in +
 * out)) before tanh and sigmoid (Glorot & Bengio 2010). */
BM_API float bm_nn_std(bm_activation act, int64_t in, int64_t out);

typedef enum bm_semantic {
    BM_SEMANTIC_WEIGHT,
    BM_SEMANTIC_BIAS,
    BM_SEMANTIC_EMBEDDING,
    BM_SEMANTIC_NORM,
    BM_SEMANTIC_BUFFER /* bm_nn_buffer */
} bm_semantic;
BM_API const char *bm_semantic_name(bm_semantic s); /* as checkpoints store it: "weight", ... */

/* How a parameter begins: a constant, or a normal distribution with mean 0. */
typedef enum bm_init_kind { BM_INIT_CONSTANT, BM_INIT_NORMAL } bm_init_kind;
typedef struct bm_init {
    bm_init_kind kind;
    float value; /* the constant, or the standard deviation */
} bm_init;

typedef struct bm_nn_param {
    const char *name; /* the graph's */
    bm_init init;
    bm_semantic semantic;
} bm_nn_param;

/* A second name for a parameter: checkpoints show it, without a tensor of its own. */
typedef struct bm_nn_tie {
    const char *name, *to; /* `to` has the tensor */
    bm_semantic semantic;
} bm_nn_tie;

typedef struct bm_nn bm_nn;
/* The graph is borrowed. */
BM_API bm_status bm_nn_create(bm_nn **out, bm_graph *g);
BM_API void bm_nn_destroy(bm_nn *nn);
BM_API bm_graph *bm_nn_graph(bm_nn *nn);
/* The type of activations, f32 at first. With f16 or bf16 layers read copies of their weights in that type, made and trained in
 * f32; those of norms are read as they are. */
BM_API void bm_nn_set_dtype(bm_nn *nn, bm_dtype t);
BM_API int bm_nn_count(const bm_nn *nn);
BM_API const bm_nn_param *bm_nn_at(const bm_nn *nn, int i);
BM_API const bm_nn_param *bm_nn_find(const bm_nn *nn, const char *name); /* NULL if none */
BM_API int bm_nn_ties(const bm_nn *nn);
BM_API const bm_nn_tie *bm_nn_tie_at(const bm_nn *nn, int i);

/* The prefix of parameter names and node names until the next pop: "h3", then "attn". */
BM_API void bm_nn_push(bm_nn *nn, const char *fmt, ...) BM_PRINTF(2, 3);
BM_API void bm_nn_pop(bm_nn *nn);

/* The type that tensors of rank 2 and more are kept in, f32 at first: for models that only infer. i8 is for those of rank 2, with
 * scaled rows (bm_graph_param_scaled); the scales are no parameters of the book. */
BM_API void bm_nn_set_stored(bm_nn *nn, bm_dtype t);

/* A parameter "PREFIX/name", f32, or the copy that is read in its stead. Tensors of rank 2 and more are group 0 (decayed), others
 * group 1. */
BM_API bm_value *bm_nn_weight(bm_nn *nn, const char *name, bm_shape shape, bm_init init, bm_semantic semantic);

/* The group of what is saved with a model but not trained: no optimizer, norm or penalty sees it. */
#define BM_NN_BUFFERS 2
/* A parameter "PREFIX/name" of that group, f32: running statistics. */
BM_API bm_value *bm_nn_buffer(bm_nn *nn, const char *name, bm_shape shape, bm_init init);

/* The parameter w once more, as a head that is the embedding; returns w. `name` is whole and a literal: it is kept. */
BM_API bm_value *bm_nn_tied(bm_nn *nn, const char *name, bm_value *w, bm_semantic semantic);

/* y = act(x W^T + b): NAME/weight [out, in] ~ N(0, std), NAME/bias [out] = 0 (left out without `bias`). x [.., in] -> [.., out] */
BM_API bm_value *bm_nn_linear(bm_nn *nn, const char *name, bm_value *x, int64_t out, float std, int bias, bm_activation act);

/* A square kernel over images: x [B, H, W, C] -> [B, Ho, Wo, out]; NAME/weight [out, kernel, kernel, C] ~ N(0, sqrt(2 / (kernel^2 C)))
 * (He et al. 2015), NAME/bias [out] = 0 (left out without `bias`). */
typedef struct bm_nn_conv_opts {
    int64_t kernel, stride, pad;
    int bias;
    bm_activation act;
} bm_nn_conv_opts;
BM_API bm_value *bm_nn_conv(bm_nn *nn, const char *name, bm_value *x, int64_t out, const bm_nn_conv_opts *o);

/* NAME/weight, NAME/var [C] = 1, NAME/bias, NAME/mean [C] = 0; mean and var are running statistics. x [.., C]. */
BM_API bm_value *bm_nn_batchnorm(bm_nn *nn, const char *name, bm_value *x, int training, int relu);

/* One direction of a recurrent layer: x [B, T, in] -> [B, T, H]. NAME/input/weight [G H, in], NAME/hidden/weight [G H, H] ~ N(0, 1 / (3
 * H)) (the variance of PyTorch's), NAME/{input,hidden}/bias [G H] = 0; G and what the two biases are: bm_recurrent. *last, which may be
 * NULL, is [B, H]. hidden/weight is never kept in 8 bits (bm_nn_set_stored). `cached`: decoding, with caches NAME/h and, of an LSTM, NAME/c. */
typedef struct bm_nn_recurrent_opts {
    bm_cell cell;
    int64_t width;       /* H */
    bm_value *lengths;   /* [B] i32 or NULL */
    int reverse, cached;
} bm_nn_recurrent_opts;
BM_API bm_value *bm_nn_recurrent(bm_nn *nn, const char *name, bm_value **last, bm_value *x, const bm_nn_recurrent_opts *o);

typedef struct bm_nn_norm_opts {
    int rms;   /* rmsnorm, which has no bias */
    int bias;
    float eps;
} bm_nn_norm_opts;
/* NAME/weight [N] = 1, NAME/bias [N] = 0. x [.., N] of any storage type, as the stream x and *sum below; the norm is of the type of
 * activations. */
BM_API bm_value *bm_nn_norm(bm_nn *nn, const char *name, bm_value *x, const bm_nn_norm_opts *o);
/* *sum = x + r; returns the norm of it. */
BM_API bm_value *bm_nn_add_norm(bm_nn *nn, const char *name, bm_value **sum, bm_value *x, bm_value *r,
                                const bm_nn_norm_opts *o);

#ifdef __cplusplus
}
#endif
#endif
