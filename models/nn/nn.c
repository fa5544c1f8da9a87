#include "models/nn/nn.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/graph/op.h"

#define NAME_BYTES 200
#define DEPTH 8
#define MOST_TIES 8

struct bm_nn {
    bm_graph *graph;
    bm_dtype dtype, stored; /* of activations, of matrices where they lie; BM_F32 is 0 */
    bm_nn_param *params;
    int n_params, cap_params;
    bm_nn_tie ties[MOST_TIES];
    int n_ties;
    char prefix[NAME_BYTES];
    size_t length[DEPTH];
    int depth;
};

static const char *const semantic_names[] = {"weight", "bias", "embedding", "norm", "buffer"};

const char *bm_semantic_name(bm_semantic s)
{
    return semantic_names[s];
}

static const struct {
    const char *name;
    bm_activation act;
} activations[] = {
    {"gelu_tanh", BM_ACT_GELU_TANH}, {"gelu", BM_ACT_GELU}, {"relu", BM_ACT_RELU},
    {"silu", BM_ACT_SILU},           {"tanh", BM_ACT_TANH}, {"sigmoid", BM_ACT_SIGMOID},
};

bm_activation bm_activation_of(const char *name)
{
    for (size_t i = 0; i < sizeof activations / sizeof activations[0]; i++)
        if (!strcmp(activations[i].name, name)) return activations[i].act;
    return BM_ACT_NONE;
}

float bm_nn_std(bm_activation act, int64_t in, int64_t out)
{
    const int flat = act == BM_ACT_TANH || act == BM_ACT_SIGMOID;
    return sqrtf(2.0f / (float)(flat ? in + out : in));
}

bm_status bm_nn_create(bm_nn **out, bm_graph *g)
{
    *out = bm_calloc(1, sizeof **out);
    if (!*out) return BM_ERR_MEMORY;
    (*out)->graph = g;
    return BM_OK;
}

void bm_nn_destroy(bm_nn *nn)
{
    if (!nn) return;
    bm_free(nn->params);
    bm_free(nn);
}

void bm_nn_set_dtype(bm_nn *nn, bm_dtype t)
{
    nn->dtype = t;
}

void bm_nn_set_stored(bm_nn *nn, bm_dtype t)
{
    nn->stored = t;
}

bm_graph *bm_nn_graph(bm_nn *nn)
{
    return nn->graph;
}

int bm_nn_count(const bm_nn *nn)
{
    return nn->n_params;
}

const bm_nn_param *bm_nn_at(const bm_nn *nn, int i)
{
    return &nn->params[i];
}

const bm_nn_param *bm_nn_find(const bm_nn *nn, const char *name)
{
    for (int i = 0; i < nn->n_params; i++)
        if (!strcmp(nn->params[i].name, name)) return &nn->params[i];
    return NULL;
}

int bm_nn_ties(const bm_nn *nn)
{
    return nn->n_ties;
}

const bm_nn_tie *bm_nn_tie_at(const bm_nn *nn, int i)
{
    return &nn->ties[i];
}

void bm_nn_push(bm_nn *nn, const char *fmt, ...)
{
    char name[64];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(name, sizeof name, fmt, ap);
    va_end(ap);
    size_t at = strlen(nn->prefix);
    if (nn->depth == DEPTH || at + strlen(name) + 2 > sizeof nn->prefix) {
        bm_graph_fail(nn->graph, bm_fail(BM_ERR_USAGE, "%s%s: layers too deep inside each other", nn->prefix, name));
        return;
    }
    nn->length[nn->depth++] = at;
    strcat(strcat(nn->prefix, name), "/");
    bm_graph_scope_push(nn->graph, "%s", name);
}

void bm_nn_pop(bm_nn *nn)
{
    if (!nn->depth) return;
    nn->prefix[nn->length[--nn->depth]] = 0;
    bm_graph_scope_pop(nn->graph);
}

/* Writes down how a parameter begins; 0 on success. One that is asked for again (tied) keeps its first entry. */
static int note(bm_nn *nn, const bm_value *v, bm_init init, bm_semantic semantic)
{
    if (bm_nn_find(nn, bm_value_name(v))) return 0;
    if (nn->n_params == nn->cap_params) {
        int more = nn->cap_params ? 2 * nn->cap_params : 64;
        bm_nn_param *p = bm_realloc(nn->params, (size_t)more, sizeof *p);
        if (!p) {
            bm_graph_fail(nn->graph, BM_ERR_MEMORY);
            return -1;
        }
        nn->params = p;
        nn->cap_params = more;
    }
    nn->params[nn->n_params++] = (bm_nn_param){bm_value_name(v), init, semantic};
    return 0;
}

/* Where it lies it is of type `stored`, when it has two dimensions or more. */
static bm_value *weight_in(bm_nn *nn, bm_dtype stored, const char *name, bm_shape shape, bm_init init, bm_semantic semantic)
{
    char full[2 * NAME_BYTES];
    snprintf(full, sizeof full, "%s%s", nn->prefix, name);
    const int flat = shape.rank < 2, scaled = stored == BM_I8;
    bm_value *v = scaled && shape.rank == 2 ? bm_graph_param_scaled(nn->graph, full, shape, flat)
                                            : bm_graph_param(nn->graph, full, flat || scaled ? BM_F32 : stored, shape, flat);
    if (!v || note(nn, v, init, semantic)) return NULL;
    return nn->dtype == BM_F32 || semantic == BM_SEMANTIC_NORM ? v : bm_graph_half(nn->graph, v, nn->dtype);
}

bm_value *bm_nn_buffer(bm_nn *nn, const char *name, bm_shape shape, bm_init init)
{
    char full[2 * NAME_BYTES];
    snprintf(full, sizeof full, "%s%s", nn->prefix, name);
    bm_value *v = bm_graph_param(nn->graph, full, BM_F32, shape, BM_NN_BUFFERS);
    return v && !note(nn, v, init, BM_SEMANTIC_BUFFER) ? v : NULL;
}

bm_value *bm_nn_weight(bm_nn *nn, const char *name, bm_shape shape, bm_init init, bm_semantic semantic)
{
    return weight_in(nn, nn->stored, name, shape, init, semantic);
}

bm_value *bm_nn_tied(bm_nn *nn, const char *name, bm_value *w, bm_semantic semantic)
{
    if (!w) return NULL;
    if (nn->n_ties == MOST_TIES) {
        bm_graph_fail(nn->graph, bm_fail(BM_ERR_USAGE, "%s: more than %d tied parameters", name, MOST_TIES));
        return NULL;
    }
    nn->ties[nn->n_ties++] = (bm_nn_tie){name, bm_value_name(w), semantic};
    return w;
}

static const bm_init zero = {BM_INIT_CONSTANT, 0.0f}, one = {BM_INIT_CONSTANT, 1.0f};

bm_value *bm_nn_linear(bm_nn *nn, const char *name, bm_value *x, int64_t out, float std, int bias, bm_activation act)
{
    if (!x) return NULL;
    bm_nn_push(nn, "%s", name);
    int64_t in = bm_shape_last(bm_value_shape(x));
    bm_init init = {BM_INIT_NORMAL, std};
    bm_value *w = bm_nn_weight(nn, "weight", BM_SHAPE(out, in), init, BM_SEMANTIC_WEIGHT);
    bm_value *b = bias ? bm_nn_weight(nn, "bias", BM_SHAPE(out), zero, BM_SEMANTIC_BIAS) : NULL;
    bm_value *y = bm_linear(nn->graph, x, w, b, act);
    bm_nn_pop(nn);
    return y;
}

static void norm_params(bm_nn *nn, bm_value **w, bm_value **b, int64_t n, const bm_nn_norm_opts *o)
{
    *w = bm_nn_weight(nn, "weight", BM_SHAPE(n), one, BM_SEMANTIC_NORM);
    *b = o->bias && !o->rms ? bm_nn_weight(nn, "bias", BM_SHAPE(n), zero, BM_SEMANTIC_NORM) : NULL;
}

bm_value *bm_nn_norm(bm_nn *nn, const char *name, bm_value *x, const bm_nn_norm_opts *o)
{
    if (!x) return NULL;
    bm_value *w, *b;
    bm_nn_push(nn, "%s", name);
    norm_params(nn, &w, &b, bm_shape_last(bm_value_shape(x)), o);
    bm_value *y = o->rms ? bm_rmsnorm(nn->graph, x, w, o->eps) : bm_layernorm(nn->graph, x, w, b, o->eps);
    y = bm_cast(nn->graph, y, nn->dtype);
    bm_nn_pop(nn);
    return y;
}

bm_value *bm_nn_add_norm(bm_nn *nn, const char *name, bm_value **sum, bm_value *x, bm_value *r, const bm_nn_norm_opts *o)
{
    *sum = NULL;
    if (!x || !r) return NULL;
    bm_value *w, *b;
    bm_nn_push(nn, "%s", name);
    norm_params(nn, &w, &b, bm_shape_last(bm_value_shape(x)), o);
    bm_value *y = bm_add_norm(nn->graph, sum, x, r, w, b, o->eps, o->rms);
    bm_nn_pop(nn);
    return y;
}

bm_value *bm_nn_conv(bm_nn *nn, const char *name, bm_value *x, int64_t out, const bm_nn_conv_opts *o)
{
    if (!x) return NULL;
    bm_nn_push(nn, "%s", name);
    const int64_t k = o->kernel, in = bm_shape_last(bm_value_shape(x));
    const bm_init init = {BM_INIT_NORMAL, sqrtf(2.0f / (float)(k * k * in))};
    bm_conv_opts c = bm_conv_opts_default();
    c.stride[0] = c.stride[1] = o->stride;
    c.pad[0] = c.pad[1] = o->pad;
    bm_value *w = bm_nn_weight(nn, "weight", BM_SHAPE(out, k, k, in), init, BM_SEMANTIC_WEIGHT);
    bm_value *b = o->bias ? bm_nn_weight(nn, "bias", BM_SHAPE(out), zero, BM_SEMANTIC_BIAS) : NULL;
    bm_value *y = bm_conv2d(nn->graph, x, w, b, o->act, &c);
    bm_nn_pop(nn);
    return y;
}

bm_value *bm_nn_batchnorm(bm_nn *nn, const char *name, bm_value *x, int training, int relu)
{
    if (!x) return NULL;
    bm_nn_push(nn, "%s", name);
    const bm_shape channels = BM_SHAPE(bm_shape_last(bm_value_shape(x)));
    bm_value *w = bm_nn_weight(nn, "weight", channels, one, BM_SEMANTIC_NORM);
    bm_value *b = bm_nn_weight(nn, "bias", channels, zero, BM_SEMANTIC_NORM);
    bm_value *mean = bm_nn_buffer(nn, "mean", channels, zero), *var = bm_nn_buffer(nn, "var", channels, one);
    bm_batchnorm_opts o = bm_batchnorm_opts_default(mean, var);
    o.training = training;
    o.relu = relu;
    bm_value *y = bm_batchnorm(nn->graph, x, w, b, &o);
    bm_nn_pop(nn);
    return y;
}

static bm_value *cache(bm_nn *nn, const char *name, int64_t batch, int64_t width)
{
    char full[2 * NAME_BYTES];
    snprintf(full, sizeof full, "%s%s", nn->prefix, name);
    return bm_graph_cache(nn->graph, full, BM_F32, BM_SHAPE(batch, width));
}

bm_value *bm_nn_recurrent(bm_nn *nn, const char *name, bm_value **last, bm_value *x, const bm_nn_recurrent_opts *o)
{
    static const int64_t gates[] = {[BM_CELL_RNN] = 1, [BM_CELL_LSTM] = 4, [BM_CELL_GRU] = 3};
    if (last) *last = NULL;
    if (!x) return NULL;
    bm_nn_push(nn, "%s", name);
    const int64_t wide = gates[o->cell] * o->width, batch = bm_value_shape(x)->dim[0];
    const bm_init init = {BM_INIT_NORMAL, 1.0f / sqrtf(3.0f * (float)o->width)};
    bm_value *a = bm_nn_linear(nn, "input", x, wide, init.value, 1, BM_ACT_NONE), *y;
    bm_nn_push(nn, "hidden");
    const bm_dtype stored = nn->stored == BM_I8 ? BM_F32 : nn->stored; /* bm_recurrent takes no scaled rows */
    bm_value *w = weight_in(nn, stored, "weight", BM_SHAPE(wide, o->width), init, BM_SEMANTIC_WEIGHT);
    bm_value *b = bm_nn_weight(nn, "bias", BM_SHAPE(wide), zero, BM_SEMANTIC_BIAS);
    bm_nn_pop(nn);
    if (o->cached) y = bm_recurrent_cached(nn->graph, o->cell, a, w, b, cache(nn, "h", batch, o->width),
                                           o->cell == BM_CELL_LSTM ? cache(nn, "c", batch, o->width) : NULL);
    else y = bm_recurrent(nn->graph, last, o->cell, a, w, b, o->lengths, o->reverse);
    bm_nn_pop(nn);
    return y;
}
