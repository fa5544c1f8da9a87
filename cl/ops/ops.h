/* The ops that models are built from. Each builder adds a node to the graph and returns its value; NULL in, NULL out (see
 * core/graph/graph.h). `[.., K]` stands for any leading dimensions. Each op's own file has its formula and source. */
#ifndef BM_CL_OPS_OPS_H
#define BM_CL_OPS_OPS_H

#include "cl/ops/activation_kind.h"
#include "core/graph/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Graph options with the add and copy of this file. */
BM_API bm_graph_opts bm_graph_opts_with_ops(void);

/* ---- element by element (cl/ops/elementwise.c): equal shapes ---- */
BM_API bm_value *bm_add(bm_graph *g, bm_value *a, bm_value *b);
BM_API bm_value *bm_sub(bm_graph *g, bm_value *a, bm_value *b);
BM_API bm_value *bm_mul(bm_graph *g, bm_value *a, bm_value *b);
BM_API bm_value *bm_scale(bm_graph *g, bm_value *a, float s); /* s a */
/* x [.., N] + b [N] */
BM_API bm_value *bm_add_bias(bm_graph *g, bm_value *x, bm_value *b);
/* scalar [1] times x, for gradients whose seed is not 1 */
BM_API bm_value *bm_mul_scalar(bm_graph *g, bm_value *x, bm_value *scalar);

/* ---- cl/ops/activation.c ---- */
BM_API bm_value *bm_activate(bm_graph *g, bm_value *x, bm_activation act);

/* ---- movement (cl/ops/copy.c) ---- */
BM_API bm_value *bm_copy(bm_graph *g, bm_value *a);
BM_API bm_value *bm_cast(bm_graph *g, bm_value *a, bm_dtype t);
/* x [B, T, C] -> [B, C], the last of T. No gradient: decoding only needs it forward. */
BM_API bm_value *bm_last_token(bm_graph *g, bm_value *x);
/* Swaps the last two dimensions, [.., M, N] -> [.., N, M]. */
BM_API bm_value *bm_transpose(bm_graph *g, bm_value *a);

/* ---- reductions (cl/ops/reduce.c), deterministic order ---- */
BM_API bm_value *bm_sum(bm_graph *g, bm_value *a);       /* all elements -> [1] f32 */
BM_API bm_value *bm_mean(bm_graph *g, bm_value *a);      /* all elements -> [1] f32 */
BM_API bm_value *bm_sum_rows(bm_graph *g, bm_value *a);  /* [R, N] -> [N]: over all leading dimensions */
BM_API bm_value *bm_sum_last(bm_graph *g, bm_value *a);  /* [.., N] -> [..] */
/* Whether every element is finite: [1] f32, 1 or 0. */
BM_API bm_value *bm_all_finite(bm_graph *g, bm_value *a);

/* ---- cl/ops/linear.c: y = act(x W^T + b); x [.., K], W [N, K] (which may be bm_graph_param_scaled's), b [N] or NULL
 * -> [.., N] ---- */
BM_API bm_value *bm_linear(bm_graph *g, bm_value *x, bm_value *w, bm_value *b, bm_activation act);
/* C = A B, [.., M, K] x [.., K, N] with equal leading dimensions; trans swaps the last two of that operand. */
BM_API bm_value *bm_matmul(bm_graph *g, bm_value *a, bm_value *b, int trans_a, int trans_b);

/* ---- cl/ops/norm.c: over the last dimension; w, b [N] f32-or-x's type; b may be NULL ---- */
/* Ba, Kiros & Hinton 2016: (x - mean) / sqrt(var + eps) w + b, var with 1/N. */
BM_API bm_value *bm_layernorm(bm_graph *g, bm_value *x, bm_value *w, bm_value *b, float eps);
/* Zhang & Sennrich 2019: x / sqrt(mean(x^2) + eps) w. */
BM_API bm_value *bm_rmsnorm(bm_graph *g, bm_value *x, bm_value *w, float eps);
/* *sum = x + r, returns norm(*sum): the residual stream and its normalised copy in one pass. The stream, x and *sum, may be of another
 * storage type than r and the norm. rms != 0: rmsnorm, b NULL. */
BM_API bm_value *bm_add_norm(bm_graph *g, bm_value **sum, bm_value *x, bm_value *r, bm_value *w, bm_value *b, float eps,
                             int rms);

/* ---- cl/ops/embedding.c ---- */
/* Tables may be bm_graph_param_scaled's. table [V, C], ids [..] i32 -> [.., C] of the table's type, f32 from a scaled one.
 * Gradient: deterministic scatter, ids in order. */
BM_API bm_value *bm_embedding(bm_graph *g, bm_value *table, bm_value *ids);
/* GPT-2's input: token[ids] + position[offset + t]; token [V, C], position [P, C], ids [B, T] -> [B, T, C] of a storage type
 * that may be another than that of the tables. offset is the run-time scalar BM_RT_POSITION (0 in training). */
BM_API bm_value *bm_embedding_positions(bm_graph *g, bm_value *token, bm_value *position, bm_value *ids, bm_dtype type);

/* ---- cl/ops/attention.c: scaled dot product, heads side by side in the last dimension ---- */
enum { BM_ATTENTION_MOST_HEAD = 256 }; /* elements of a head: what panels in private memory are sized for */
/* qkv [B, T, 3 C] (q, k, v after each other, C = heads * d) -> [B, T, C]; softmax(q k^T / sqrt(d)) v, causal. Keeps the
 * log-sum-exp of each row, [B, heads, T] f32 (Dao et al. 2022, FlashAttention). */
BM_API bm_value *bm_attention(bm_graph *g, bm_value *qkv, int heads);
/* Decoding: appends the keys and values of qkv [B, T, 3 C] to the caches [B, P, C] at BM_RT_POSITION and attends over all
 * positions so far. No gradient. */
BM_API bm_value *bm_attention_cached(bm_graph *g, bm_value *qkv, bm_value *k_cache, bm_value *v_cache, int heads);

/* ---- cl/ops/softmax.c ---- */
BM_API bm_value *bm_softmax(bm_graph *g, bm_value *x); /* over the last dimension */

/* ---- losses. Each returns the loss, [1] f32: the run-time scalar BM_RT_LOSS_SCALE times the sum of the losses of rows, which
 * `rows` (may be NULL) gets, [R] f32. The gradient takes the memory of what was predicted where nothing reads that later: it is
 * never kept twice. BM_ERR_SHAPE for operands that do not fit. ---- */

/* cl/ops/xent.c: softmax and cross-entropy; logits [R, C], targets [R] i32: logsumexp(row) - row[target]. Rows whose target is
 * negative do not count. As PyTorch has them: a row counts class_weights[target] times, [C] f32, which may be NULL; and
 * label_smoothing e in [0, 1] makes the target's share 1 - e and adds e / C of the loss of every class, weights and all (Szegedy et
 * al. 2016, "Rethinking the Inception Architecture"). opts may be NULL: no smoothing. */
typedef struct bm_xent_opts {
    float label_smoothing;
} bm_xent_opts;
BM_API bm_value *bm_softmax_xent(bm_graph *g, bm_value **rows, bm_value *logits, bm_value *targets, bm_value *class_weights,
                                 const bm_xent_opts *opts);

/* cl/ops/loss.c. x and targets [R, D], targets f32; those that are NaN do not count. e = x - target; a row's loss is the sum over
 * its D of: */
BM_API bm_value *bm_mse(bm_graph *g, bm_value **rows, bm_value *x, bm_value *targets); /* e^2 */
BM_API bm_value *bm_mae(bm_graph *g, bm_value **rows, bm_value *x, bm_value *targets); /* |e|, whose slope at 0 is 0 */
/* Huber 1964: e^2 / 2 where |e| <= delta, else delta (|e| - delta / 2). */
BM_API bm_value *bm_huber(bm_graph *g, bm_value **rows, bm_value *x, bm_value *targets, float delta);
/* Binary cross-entropy of logits x [R] or [R, 1]; targets [R] i32, 0 or 1, negative: does not count. */
BM_API bm_value *bm_bce_logits(bm_graph *g, bm_value **rows, bm_value *x, bm_value *targets);

/* cl/ops/ctc.c: connectionist temporal classification (Graves et al. 2006). logits [B, T, C], class 0 the blank; targets [B, L]
 * i32, labels 1 to C - 1, what is negative at the end of a row is padding; lengths [B] i32: how many of the T steps count, NULL: all.
 * A row is a sequence: -log of the probability of its target. Without steps and without a target it counts for nothing; a sequence
 * too short for its target has an infinite loss and a gradient of NaN. */
BM_API bm_value *bm_ctc(bm_graph *g, bm_value **rows, bm_value *logits, bm_value *targets, bm_value *lengths);

/* ---- cl/ops/dropout.c: x * mask / (1 - p); the mask is Philox of (seed, stream, BM_RT_RNG_STEP, element), never kept.
 * p = 0 returns x. Srivastava et al. 2014. ---- */
BM_API bm_value *bm_dropout(bm_graph *g, bm_value *x, float p, uint32_t stream);

/* ---- cl/ops/normal.c: overwrites x, a parameter, with N(mean, std): the draws of bm_rng_normal() for (seed, stream,
 * BM_RT_RNG_STEP), within 3e-7 std of them. ---- */
BM_API bm_status bm_normal(bm_graph *g, bm_value *x, float mean, float std, uint32_t stream);

/* ---- over whole banks (cl/ops/gradnorm.c, copy.c): groups of the parameters declared so far; cl/optim updates them ---- */
/* The HALF bank of a group from its weights, where it has copies. */
BM_API bm_status bm_copy_halves(bm_graph *g, int group);
/* sqrt(sum of squares of the GRAD bank's first `groups` groups), [1] f32. */
BM_API bm_value *bm_grad_norm(bm_graph *g, int groups);

#ifdef __cplusplus
}
#endif
#endif
