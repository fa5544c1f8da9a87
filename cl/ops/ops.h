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
/* cl/ops/concat.c: a [.., M] and b [.., N] side by side, [.., M + N]. */
BM_API bm_value *bm_concat(bm_graph *g, bm_value *a, bm_value *b);
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

/* ---- cl/ops/conv.c: images [B, H, W, C], channels last ---- */
typedef struct bm_conv_opts {
    int64_t stride[2], pad[2], dilation[2]; /* of height and width; both sides are padded with zeros */
    int64_t groups;                         /* channels meet those of their own group only */
} bm_conv_opts;
BM_API bm_conv_opts bm_conv_opts_default(void); /* stride 1, no padding, dilation 1, one group */
/* y = act(x * w + b), a cross-correlation: x [B, H, W, C], w [O, kh, kw, C / groups], b [O] or NULL -> [B, Ho, Wo, O],
 * Ho = (H + 2 pad - dilation (kh - 1) - 1) / stride + 1. `o` may be NULL. BM_ERR_SHAPE where they do not fit. */
BM_API bm_value *bm_conv2d(bm_graph *g, bm_value *x, bm_value *w, bm_value *b, bm_activation act, const bm_conv_opts *o);

/* ---- cl/ops/pool.c: x [B, H, W, C] -> [B, Ho, Wo, C], Ho = (H + 2 pad - kernel) / stride + 1 ---- */
typedef struct bm_pool_opts {
    int64_t kernel[2], stride[2], pad[2]; /* of height and width; pad is at most half of the kernel */
} bm_pool_opts;
BM_API bm_pool_opts bm_pool_opts_default(int64_t kernel); /* a square, as far apart as it is wide, without padding */
/* The gradient goes to the first of equal maxima, row by row. Padding never is the maximum. */
BM_API bm_value *bm_max_pool2d(bm_graph *g, bm_value *x, const bm_pool_opts *o);
/* Padding counts as zeros. */
BM_API bm_value *bm_avg_pool2d(bm_graph *g, bm_value *x, const bm_pool_opts *o);
/* [B, H, W, C] -> [B, C] (Lin, Chen & Yan 2014). */
BM_API bm_value *bm_global_avg_pool(bm_graph *g, bm_value *x);

/* ---- cl/ops/norm.c: over the last dimension; w, b [N] f32-or-x's type; b may be NULL ---- */
/* Ba, Kiros & Hinton 2016: (x - mean) / sqrt(var + eps) w + b, var with 1/N. */
BM_API bm_value *bm_layernorm(bm_graph *g, bm_value *x, bm_value *w, bm_value *b, float eps);
/* Zhang & Sennrich 2019: x / sqrt(mean(x^2) + eps) w. */
BM_API bm_value *bm_rmsnorm(bm_graph *g, bm_value *x, bm_value *w, float eps);
/* *sum = x + r, returns norm(*sum): the residual stream and its normalised copy in one pass. The stream, x and *sum, may be of another
 * storage type than r and the norm. rms != 0: rmsnorm, b NULL. */
BM_API bm_value *bm_add_norm(bm_graph *g, bm_value **sum, bm_value *x, bm_value *r, bm_value *w, bm_value *b, float eps,
                             int rms);

/* ---- cl/ops/batchnorm.c: x [.., C], each channel over all leading dimensions (Ioffe & Szegedy 2015); w, b [C] f32-or-x's type ---- */
typedef struct bm_batchnorm_opts {
    bm_value *mean, *var; /* running statistics, parameters [C] f32 that no optimizer touches (bm_nn_buffer) */
    float eps, momentum;
    int training;
    int relu;             /* y = max(0, that) */
} bm_batchnorm_opts;
BM_API bm_batchnorm_opts bm_batchnorm_opts_default(bm_value *mean, bm_value *var); /* eps 1e-5, momentum 0.1, not training */
/* (x - mean) / sqrt(var + eps) w + b. Training: of this batch, var with 1/N, and each run moves the running statistics, s <- s +
 * momentum (of this batch - s), their variance with 1/(N - 1); at least two rows, else BM_ERR_SHAPE. Else with the running ones. */
BM_API bm_value *bm_batchnorm(bm_graph *g, bm_value *x, bm_value *w, bm_value *b, const bm_batchnorm_opts *o);

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

/* ---- cl/ops/recurrent.c: a recurrent layer over sequences. PyTorch's weights, order of gates and two biases. With a = x W_ih^T
 * + b_ih, made by bm_linear for all times at once, u = W_hh h' + b_hh, h' and c' the states before the step (0 before the first),
 * s the logistic function and blocks named as PyTorch stacks them:
 *
 *     RNN    h = tanh(a + u)                                                                    Elman 1990
 *     LSTM   i = s(a_i + u_i), f = s(a_f + u_f), g = tanh(a_g + u_g), o = s(a_o + u_o)          Hochreiter & Schmidhuber 1997,
 *            c = f c' + i g, h = o tanh(c)                                                      f: Gers et al. 2000
 *     GRU    r = s(a_r + u_r), z = s(a_z + u_z), n = tanh(a_n + r u_n), h = (1 - z) n + z h'    Cho et al. 2014, u_n with its
 *                                                                                               bias as cuDNN has it
 *
 * Keras has kernel and recurrent_kernel transposed and, of LSTM, one bias, which is b_ih (b_hh is NULL or 0); its order i, f, c, o is
 * i, f, g, o. Of GRU(reset_after=True) bias[0] is b_ih and bias[1] b_hh; its order z, r, h becomes r, z, n by swapping the first two
 * blocks of weights and biases. GRU(reset_after=False) puts r inside the product and cannot be expressed. models/rnn.c has this as
 * a table, by which models/convert reads weights of PyTorch and Keras. ---- */
typedef enum bm_cell { BM_CELL_RNN, BM_CELL_LSTM, BM_CELL_GRU } bm_cell;
/* x [B, T, G H] is a, T >= 1, G = 1, 4, 3 by the cell; w [G H, H] is W_hh, b [G H] b_hh or NULL; types as bm_linear takes them
 * -> h of all steps, [B, T, H]. lengths [B] i32 or NULL: a sequence ends after so many steps (at most T); those beyond give 0 and
 * change no state, as PyTorch's packed sequences have it. reverse: from the last step that counts to the first. *last (`last`
 * may be NULL) is h after all steps, [B, H]: that of the last step that counts, with reverse that of step 0; 0 where none does.
 * States are f32 within; y, and for the gradient the gates and c, are kept in the type of x. */
BM_API bm_value *bm_recurrent(bm_graph *g, bm_value **last, bm_cell cell, bm_value *x, bm_value *w, bm_value *b,
                              bm_value *lengths, int reverse);
/* Decoding: goes on from the states h [B, H] and, of an LSTM, c [B, H] (else NULL), f32 caches, from 0 where BM_RT_POSITION is 0, and
 * leaves them as they are after the first BM_RT_LENGTH of the T steps. No gradient. */
BM_API bm_value *bm_recurrent_cached(bm_graph *g, bm_cell cell, bm_value *x, bm_value *w, bm_value *b, bm_value *h_state,
                                     bm_value *c_state);

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
