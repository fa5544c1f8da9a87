/* What ops say they cost, counted by hand: bytes exactly, every operand read or written once; operations exactly where
 * they are those of a product or one for each element, else within what the formula has, exp and the like being 1
 * to 20. */
#include <string.h>

#include "cl/ops/ops.h"
#include "cl/optim/optim.h"
#include "core/graph/graph_priv.h"
#include "tests/lib/test.h"

enum { F = 4, HALF = 2 }; /* bytes of an element */

static bm_graph *graph;

static void open_graph(void)
{
    bm_graph_opts opts = bm_graph_opts_with_ops();
    test_ok(bm_graph_create(&graph, &opts));
}

static void close_graph(void) { bm_graph_destroy(graph); }

static bm_value *in(const char *name, bm_shape shape) { return bm_graph_input(graph, name, BM_F32, shape); }
static bm_value *weight(const char *name, bm_shape shape) { return bm_graph_param(graph, name, BM_F32, shape, 0); }
static bm_value *ids(bm_shape shape) { return bm_graph_input(graph, "ids", BM_I32, shape); }
static bm_value *kept(bm_value *v) { return bm_graph_output(graph, v, "y"); }

/* Appends the gradient of sum(v). */
static void differentiate(bm_value *v) { test_ok(bm_graph_gradients(graph, bm_sum(graph, v))); }

/* The costs of all live nodes of one op. */
static void expect(const char *op, double least_flops, double most_flops, double bytes)
{
    bm_cost sum = {0, 0};
    int n = 0;
    test_ok(bm_graph_status(graph));
    bm_graph_cost(graph); /* marks what is live */
    for (int i = 0; i < graph->n_nodes; i++) {
        const bm_node *node = graph->nodes[i];
        if (!node->live || strcmp(node->op->name, op) != 0) continue;
        const bm_cost c = bm_node_cost(node);
        sum.flops += c.flops;
        sum.bytes += c.bytes;
        n++;
    }
    ck_assert_msg(n > 0, "there is no %s", op);
    ck_assert_msg(sum.bytes == bytes, "%s moves %g bytes, not %g", op, sum.bytes, bytes);
    ck_assert_msg(sum.flops >= least_flops && sum.flops <= most_flops, "%s takes %g operations, not %g to %g", op,
                  sum.flops, least_flops, most_flops);
}

START_TEST(elementwise)
{
    bm_value *x = in("x", BM_SHAPE(6, 7)), *y = in("y", BM_SHAPE(6, 7)), *b = in("b", BM_SHAPE(7)),
             *s = in("s", BM_SHAPE(1));
    kept(bm_add(graph, x, y));
    kept(bm_sub(graph, x, y));
    kept(bm_mul(graph, x, y));
    kept(bm_scale(graph, x, 3));
    kept(bm_mul_scalar(graph, x, s));
    kept(bm_add_bias(graph, x, b));
    expect("add", 42, 42, F * 3 * 42);
    expect("sub", 42, 42, F * 3 * 42);
    expect("mul", 42, 42, F * 3 * 42);
    expect("scale", 42, 42, F * 2 * 42);
    expect("mul_scalar", 42, 42, F * (2 * 42 + 1));
    expect("add_bias", 42, 42, F * (2 * 42 + 7));
}
END_TEST

START_TEST(movement)
{
    bm_value *x = in("x", BM_SHAPE(6, 7));
    kept(bm_copy(graph, x));
    kept(bm_cast(graph, x, BM_F16));
    kept(bm_transpose(graph, x));
    kept(bm_concat(graph, x, x));
    kept(bm_last_token(graph, in("t", BM_SHAPE(2, 5, 7))));
    expect("copy", 0, 0, F * 2 * 42);
    expect("cast", 0, 0, (F + HALF) * 42);
    expect("transpose", 0, 0, F * 2 * 42);
    expect("concat", 0, 0, F * 4 * 42);
    expect("last_token", 0, 0, F * 2 * 14); /* of the 70 elements it reads 14 */
}
END_TEST

START_TEST(reductions)
{
    bm_value *x = in("x", BM_SHAPE(6, 7));
    kept(bm_sum(graph, x));
    kept(bm_mean(graph, x));
    kept(bm_all_finite(graph, x));
    kept(bm_sum_rows(graph, x));
    kept(bm_sum_last(graph, x));
    expect("sum", 42, 42, F * (42 + 1));
    expect("mean", 42, 42, F * (42 + 1));
    expect("all_finite", 42, 42, F * (42 + 1));
    expect("sum_rows", 42, 42, F * (42 + 7));
    expect("sum_last", 42, 42, F * (42 + 6));
}
END_TEST

START_TEST(activations)
{
    bm_value *x = weight("x", BM_SHAPE(6, 7));
    differentiate(kept(bm_activate(graph, x, (bm_activation)_i)));
    /* ReLU has one operation, sigmoid three of which one is exp, GELU eight. */
    expect("activation", 42, 28 * 42, F * 2 * 42);
    expect("activation_backward", 42, 40 * 42, F * 3 * 42);
}
END_TEST

/* x [6, 5], w [7, 5]: 6 x 7 sums of 5, and as many operations for each of the two gradients. */
START_TEST(products)
{
    bm_value *x = weight("x", BM_SHAPE(6, 5)), *w = weight("w", BM_SHAPE(7, 5)), *b = weight("b", BM_SHAPE(7));
    differentiate(kept(bm_linear(graph, x, w, b, BM_ACT_NONE)));
    expect("linear", 2 * 210 + 42, 2 * 210 + 42, F * (30 + 35 + 7 + 42));
    expect("matmul", 2 * 2 * 210, 2 * 2 * 210, F * ((42 + 35 + 30) + (42 + 30 + 35)));
    expect("sum_rows", 42, 42, F * (42 + 7));
}
END_TEST

/* With a gradient the value before the activation is written too. */
START_TEST(products_with_an_activation)
{
    bm_value *x = in("x", BM_SHAPE(6, 5)), *w = weight("w", BM_SHAPE(7, 5));
    differentiate(kept(bm_linear(graph, x, w, NULL, BM_ACT_GELU_TANH)));
    expect("linear", 2 * 210 + 42 * 8, 2 * 210 + 42 * 28, F * (30 + 35 + 42 + 42));
    expect("matmul", 2 * 210, 2 * 210, F * (42 + 30 + 35)); /* x is no parameter: only dw */
}
END_TEST

START_TEST(batched_products)
{
    kept(bm_matmul(graph, in("a", BM_SHAPE(2, 3, 5)), in("b", BM_SHAPE(2, 5, 4)), 0, 0));
    expect("matmul", 2 * 2 * 3 * 4 * 5, 2 * 2 * 3 * 4 * 5, F * (30 + 40 + 24));
}
END_TEST

/* x [2, 5, 4, 6], w [8, 3, 3, 6 / groups], 2 x 3 x 2 positions of y: so many windows for each output, and each gradient. */
START_TEST(convolutions)
{
    const bm_conv_opts o = {.stride = {1, 1}, .dilation = {1, 1}, .groups = 1 + _i};
    const double k = 54 / (1 + _i), flops = 2.0 * 12 * 8 * k;
    bm_value *x = weight("x", BM_SHAPE(2, 5, 4, 6)), *w = weight("w", BM_SHAPE(8, 3, 3, 6 / (1 + _i))), *b = weight("b", BM_SHAPE(8));
    differentiate(kept(bm_conv2d(graph, x, w, b, BM_ACT_NONE, &o)));
    expect("conv2d", flops + 96, flops + 96, F * (240 + 8 * k + 8 + 96));
    expect("conv2d_dx", flops, flops, F * (240 + 8 * k + 96));
    expect("conv2d_dw", flops, flops, F * (240 + 8 * k + 96));
}
END_TEST

/* 2 x 2 x 2 windows of 2 x 2, 7 channels. An average is 4 terms, its gradient 1; for a maximum's an element may be compared with
 * those of its window. */
START_TEST(poolings)
{
    const bm_pool_opts o = bm_pool_opts_default(2);
    bm_value *x = weight("x", BM_SHAPE(2, 4, 4, 7));
    differentiate(bm_add(graph, kept(bm_max_pool2d(graph, x, &o)), kept(bm_avg_pool2d(graph, x, &o))));
    expect("max_pool2d", 4 * 56, 4 * 56, F * (224 + 56));
    expect("avg_pool2d", 4 * 56, 4 * 56, F * (224 + 56));
    expect("max_pool2d_backward", 224, 5 * 224, F * (56 + 224 + 56 + 224));
    expect("avg_pool2d_backward", 224, 224, F * (56 + 224));
}
END_TEST

START_TEST(batch_norms)
{
    bm_value *v[4];
    static const char *const names[] = {"w", "b", "mean", "var"};
    for (int i = 0; i < 4; i++) v[i] = weight(names[i], BM_SHAPE(7));
    bm_batchnorm_opts o = bm_batchnorm_opts_default(v[2], v[3]);
    o.training = 1;
    differentiate(kept(bm_batchnorm(graph, weight("x", BM_SHAPE(6, 7)), v[0], v[1], &o)));
    expect("batchnorm", 6 * 42, 8 * 42, F * (42 + 7 + 7 + 42 + 3 * 7));
    expect("batchnorm_running", 7 * 7, 7 * 7, F * 6 * 7);
    expect("batchnorm_backward", 9 * 42, 12 * 42, F * (42 + 42 + 7 + 7 + 7 + 42 + 7 + 7));
}
END_TEST

START_TEST(norms)
{
    bm_value *x = weight("x", BM_SHAPE(6, 7)), *w = weight("w", BM_SHAPE(7)), *b = weight("b", BM_SHAPE(7));
    differentiate(kept(bm_layernorm(graph, x, w, b, 1e-5f)));
    expect("norm", 7 * 42, 10 * 42, F * (42 + 7 + 7 + 42 + 6 + 6));
    expect("norm_backward", 9 * 42, 16 * 42, F * (42 + 42 + 7 + 6 + 6 + 42 + 7 + 7));
}
END_TEST

/* Without a gradient the mean and the deviation stay where they are; with a residual the sum is written too. */
START_TEST(norms_of_a_sum)
{
    bm_value *x = in("x", BM_SHAPE(6, 7)), *r = in("r", BM_SHAPE(6, 7)), *w = in("w", BM_SHAPE(7)), *sum = NULL;
    kept(bm_add_norm(graph, &sum, x, r, w, NULL, 1e-5f, 1));
    expect("norm", 5 * 42, 10 * 42, F * (42 + 42 + 7 + 42 + 42));
}
END_TEST

/* By the rows of the table that 6 ids touch, 7 columns each. */
START_TEST(embeddings)
{
    differentiate(kept(bm_embedding(graph, weight("table", BM_SHAPE(1000, 7)), ids(BM_SHAPE(6)))));
    expect("embedding", 0, 0, F * (6 + 42 + 42));
    expect("scatter", 42, 42, F * (6 + 42 + 42 + 42));
}
END_TEST

START_TEST(embeddings_with_positions)
{
    bm_value *token = weight("token", BM_SHAPE(1000, 7)), *position = weight("position", BM_SHAPE(50, 7));
    differentiate(kept(bm_embedding_positions(graph, token, position, ids(BM_SHAPE(2, 3)), BM_F32)));
    expect("embedding_positions", 42, 42, F * (6 + 42 + 21 + 42));
    expect("scatter", 42, 42, F * (6 + 42 + 42 + 42));
    expect("scatter_positions", 42, 42, F * (42 + 21 + 21));
}
END_TEST

/* 2 sequences of 5, 2 heads of 4: 15 pairs for each sequence and head, each two products of 4 forward, five backward.
 */
START_TEST(attention)
{
    bm_value *qkv = weight("qkv", BM_SHAPE(2, 5, 24));
    differentiate(kept(bm_attention(graph, qkv, 2)));
    const double pairs = 2 * 2 * 15;
    expect("attention", pairs * 2 * 2 * 4, pairs * (2 * 2 * 4 + 30), F * (240 + 80 + 20));
    expect("attention_backward", pairs * 5 * 2 * 4, pairs * (5 * 2 * 4 + 30), F * (240 + 80 + 20 + 80 + 240));
}
END_TEST

/* One new position in caches of 6, 2 heads of 4: the caches are read, a row of each is written. */
START_TEST(attention_over_caches)
{
    bm_value *k = bm_graph_cache(graph, "k", BM_F32, BM_SHAPE(1, 6, 8)),
             *v = bm_graph_cache(graph, "v", BM_F32, BM_SHAPE(1, 6, 8));
    kept(bm_attention_cached(graph, in("qkv", BM_SHAPE(1, 1, 24)), k, v, 2));
    expect("attention_cached", 2 * 6 * 2 * 2 * 4, 2 * 6 * (2 * 2 * 4 + 30), F * (24 + 8 + 48 + 48 + 8 + 8));
}
END_TEST

/* 2 sequences of 3 steps, 4 gates of 5: a product of 5 x 20 for each step that has a state before it. y, gates and cells are written;
 * backward all of them and dy are read, the gradient of the gates and the states before are written. */
START_TEST(recurrent)
{
    bm_value *x = weight("x", BM_SHAPE(2, 3, 20)), *w = weight("w", BM_SHAPE(20, 5)), *b = weight("b", BM_SHAPE(20));
    differentiate(kept(bm_recurrent(graph, NULL, BM_CELL_LSTM, x, w, b, NULL, 0)));
    const double steps = 2 * 2 * 2 * 100;
    expect("recurrent", steps + 30 * 40, steps + 30 * 80, F * (120 + 100 + 20 + 30 + 120 + 30));
    expect("recurrent_backward", steps + 30 * 30, steps + 30 * 50, F * (30 + 100 + 30 + 120 + 30 + 120 + 30));
    expect("matmul", 2 * 6 * 100, 2 * 6 * 100, F * (120 + 30 + 100));
}
END_TEST

/* Two steps, both with a state before them. */
START_TEST(recurrent_with_states)
{
    bm_value *h = bm_graph_cache(graph, "h", BM_F32, BM_SHAPE(2, 5));
    kept(bm_recurrent_cached(graph, BM_CELL_GRU, in("x", BM_SHAPE(2, 2, 15)), in("w", BM_SHAPE(15, 5)), NULL, h, NULL));
    expect("recurrent_cached", 2 * 4 * 75 + 20 * 30, 2 * 4 * 75 + 20 * 60, F * (60 + 75 + 10 + 20 + 10));
}
END_TEST

START_TEST(softmax)
{
    differentiate(kept(bm_softmax(graph, weight("x", BM_SHAPE(6, 7)))));
    expect("softmax", 4 * 42, 23 * 42, F * 2 * 42);
    expect("softmax_backward", 4 * 42, 4 * 42, F * 3 * 42);
}
END_TEST

START_TEST(cross_entropy)
{
    bm_value *loss = kept(bm_softmax_xent(graph, NULL, weight("x", BM_SHAPE(6, 7)), ids(BM_SHAPE(6)), NULL, NULL));
    expect("softmax_xent", 3 * 42, 24 * 42, F * (42 + 6 + 6 + 1));
    test_ok(bm_graph_gradients(graph, loss));
    expect("softmax_xent", 6 * 42, 44 * 42, F * (42 + 6 + 6 + 1 + 42));
}
END_TEST

START_TEST(weighted_cross_entropy)
{
    bm_value *loss = kept(bm_softmax_xent(graph, NULL, weight("x", BM_SHAPE(6, 7)), ids(BM_SHAPE(6)), in("w", BM_SHAPE(7)),
                                          &(bm_xent_opts){.label_smoothing = 0.1f}));
    test_ok(bm_graph_gradients(graph, loss));
    expect("softmax_xent", 10 * 42, 48 * 42, F * (42 + 6 + 7 + 6 + 1 + 42));
}
END_TEST

/* Without the gradient, then with it: a difference, its square and a sum; the slope and its factor. */
START_TEST(losses_of_numbers)
{
    bm_value *x = weight("x", BM_SHAPE(6, 7)), *y = in("y", BM_SHAPE(6, 7));
    kept(bm_mse(graph, NULL, in("z", BM_SHAPE(6, 7)), y));
    expect("mse", 3 * 42, 5 * 42, F * (2 * 42 + 6 + 1));
    test_ok(bm_graph_gradients(graph, bm_add(graph, bm_mae(graph, NULL, x, y), bm_huber(graph, NULL, x, y, 1))));
    expect("mae", 4 * 42, 8 * 42, F * (3 * 42 + 6 + 1));
    expect("huber", 4 * 42, 12 * 42, F * (3 * 42 + 6 + 1));
}
END_TEST

START_TEST(binary_cross_entropy)
{
    test_ok(bm_graph_gradients(graph, bm_bce_logits(graph, NULL, weight("x", BM_SHAPE(6, 1)), ids(BM_SHAPE(6)))));
    expect("bce_logits", 8 * 6, 40 * 6, F * (6 + 6 + 1 + 6 + 6));
}
END_TEST

/* 2 sequences of 5 steps, 7 classes, 3 labels: 7 states. An exp for each class, three and a logarithm for each state; both twice. */
START_TEST(ctc)
{
    bm_value *x = weight("x", BM_SHAPE(2, 5, 7));
    test_ok(bm_graph_gradients(graph, bm_ctc(graph, NULL, x, ids(BM_SHAPE(2, 3)), NULL)));
    expect("ctc", 10 * 2 * 70 + 10 * 2 * 4 * 7, 10 * 2 * 70 + 10 * 2 * 60 * 7, F * (70 + 6 + 1 + 2 + 70));
}
END_TEST

START_TEST(dropout)
{
    differentiate(kept(bm_dropout(graph, weight("x", BM_SHAPE(6, 7)), 0.5f, 1)));
    /* Ten rounds of two products, two high halves, four xors and two sums make four numbers; forward and backward. */
    expect("dropout", 2 * 25 * 42, 2 * 30 * 42, 2 * F * 2 * 42);
}
END_TEST

/* w, m and v read and written, g read; per element some 14 operations of the formula. */
START_TEST(updates)
{
    const bm_optim_opts o = {.beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8, .clip = 1};
    weight("a", BM_SHAPE(6, 7));
    weight("b", BM_SHAPE(5));
    bm_value *norm = kept(bm_grad_norm(graph, 1));
    test_ok(bm_optim_step(graph, 0, norm, "adamw", &o));
    expect("grad_norm", 2 * 47, 2 * 47, F * (47 + 1));
    expect("adamw", 12 * 47, 16 * 47, F * 7 * 47);
    test_ok(bm_optim_penalty(graph, 0, 0.1, 0.1));
    test_ok(bm_optim_step(graph, 0, norm, "sgd", &o));
    expect("penalty", 4 * 47, 6 * 47, F * 3 * 47);
    expect("sgd", 2 * 47, 8 * 47, F * 3 * 47);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("costs");
    TCase *c = tcase_create("costs");
    tcase_add_checked_fixture(c, open_graph, close_graph);
    tcase_add_test(c, elementwise);
    tcase_add_test(c, movement);
    tcase_add_test(c, reductions);
    tcase_add_loop_test(c, activations, BM_ACT_GELU_TANH, BM_ACT_SIGMOID + 1);
    tcase_add_test(c, products);
    tcase_add_test(c, products_with_an_activation);
    tcase_add_test(c, batched_products);
    tcase_add_loop_test(c, convolutions, 0, 2);
    tcase_add_test(c, poolings);
    tcase_add_test(c, batch_norms);
    tcase_add_test(c, norms);
    tcase_add_test(c, norms_of_a_sum);
    tcase_add_test(c, embeddings);
    tcase_add_test(c, embeddings_with_positions);
    tcase_add_test(c, attention);
    tcase_add_test(c, attention_over_caches);
    tcase_add_test(c, recurrent);
    tcase_add_test(c, recurrent_with_states);
    tcase_add_test(c, softmax);
    tcase_add_test(c, cross_entropy);
    tcase_add_test(c, weighted_cross_entropy);
    tcase_add_test(c, losses_of_numbers);
    tcase_add_test(c, binary_cross_entropy);
    tcase_add_test(c, ctc);
    tcase_add_test(c, dropout);
    tcase_add_test(c, updates);
    suite_add_tcase(s, c);
    return test_run(s);
}
