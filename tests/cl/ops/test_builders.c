/* What holds for every builder: a missing operand makes nothing, a failed allocation leaks nothing, and costs are counted. */
#include "cl/ops/ops.h"
#include "cl/optim/optim.h"
#include "tests/lib/test.h"

/* Its ops of images. */
static bm_value *images(bm_graph *g)
{
    const bm_shape n = BM_SHAPE(3);
    const bm_conv_opts conv = {.stride = {2, 1}, .pad = {1, 1}, .dilation = {1, 1}, .groups = 1};
    const bm_pool_opts pool = bm_pool_opts_default(2);
    bm_value *x = bm_graph_input(g, "image", BM_F32, BM_SHAPE(2, 6, 6, 2)), *w = bm_graph_param(g, "filter", BM_F32, BM_SHAPE(3, 3, 3, 2), 0);
    bm_value *b = bm_graph_param(g, "norm", BM_F32, n, 1);
    bm_batchnorm_opts o = bm_batchnorm_opts_default(bm_graph_param(g, "mean", BM_F32, n, 2), bm_graph_param(g, "var", BM_F32, n, 2));
    o.training = 1;
    x = bm_batchnorm(g, bm_conv2d(g, x, w, b, BM_ACT_TANH, &conv), b, b, &o);
    return bm_sum(g, bm_global_avg_pool(g, bm_add(g, bm_max_pool2d(g, x, &pool), bm_avg_pool2d(g, x, &pool))));
}

/* A small net with every op of the files beside this one, and its gradients, norm and update. */
static bm_value *net(bm_graph *g)
{
    bm_value *x = bm_graph_input(g, "x", BM_F32, BM_SHAPE(4, 6)), *s = bm_graph_input(g, "s", BM_F32, BM_SHAPE(1));
    bm_value *w = bm_graph_param(g, "w", BM_F32, BM_SHAPE(6, 6), 0), *b = bm_graph_param(g, "b", BM_F32, BM_SHAPE(6), 1), *sum;
    bm_value *h = bm_linear(g, bm_layernorm(g, x, b, b, 1e-5f), w, b, BM_ACT_GELU_TANH);
    h = bm_add_norm(g, &sum, h, bm_activate(g, bm_sub(g, x, bm_scale(g, x, 2)), BM_ACT_SILU), b, NULL, 1e-5f, 1);
    h = bm_add(g, bm_mul(g, sum, h), bm_add_bias(g, bm_rmsnorm(g, h, b, 1e-5f), b));
    h = bm_mul_scalar(g, bm_copy(g, h), s);
    h = bm_matmul(g, bm_transpose(g, h), bm_cast(g, bm_cast(g, h, BM_F16), BM_F32), 0, 0);
    h = bm_add(g, bm_sum_rows(g, h), bm_sum_last(g, h));
    bm_value *u = bm_graph_param(g, "u", BM_F32, BM_SHAPE(6, 2), 0);
    h = bm_recurrent(g, &sum, BM_CELL_GRU, bm_reshape(g, h, BM_SHAPE(1, 1, 6)), u, b, NULL, 0);
    h = bm_add(g, bm_reshape(g, h, BM_SHAPE(2)), bm_reshape(g, sum, BM_SHAPE(2)));
    return bm_add(g, bm_add(g, bm_sum(g, h), bm_mean(g, h)), images(g));
}

static bm_status build(void *arg)
{
    bm_graph *g = NULL;
    bm_graph_opts opts = bm_graph_opts_with_ops();
    const bm_optim_opts o = {.beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8, .clip = 1};
    bm_cost *cost = arg;
    BM_TRY(bm_graph_create(&g, &opts));
    bm_value *loss = net(g);
    bm_status s = loss ? bm_graph_gradients(g, loss) : bm_graph_status(g);
    bm_value *norm = s ? NULL : bm_grad_norm(g, 2);
    if (!s) s = bm_optim_penalty(g, 0, 0.1, 0);
    if (norm) s = bm_optim_step(g, 0, norm, "adamw", &o);
    else if (!s) s = bm_graph_status(g);
    if (!s) bm_graph_output(g, loss, "loss");
    if (!s) *cost = bm_graph_cost(g);
    if (!s) s = bm_graph_status(g);
    bm_graph_destroy(g);
    return s;
}

START_TEST(failing_allocations_leak_nothing)
{
    bm_cost cost = {0};
    test_fail_allocations(build, &cost);
    /* At least the products: 4 x 6 x 6 forward and twice backward, 6 x 6 x 4 the same. */
    ck_assert_double_ge(cost.flops, 2.0 * 3 * (4 * 6 * 6 + 6 * 6 * 4));
    ck_assert_double_ge(cost.bytes, 1000);
}
END_TEST

/* The i-th builder with an operand missing; the others are sound. */
static bm_value *broken(int i, bm_graph *g, bm_value *x, bm_value *v)
{
    bm_value *sum = x;
    const bm_pool_opts pool = bm_pool_opts_default(1);
    const bm_batchnorm_opts norm = bm_batchnorm_opts_default(v, NULL);
    switch (i) {
    case 0: return bm_add(g, x, NULL);
    case 1: return bm_sub(g, NULL, x);
    case 2: return bm_mul(g, x, NULL);
    case 3: return bm_scale(g, NULL, 2);
    case 4: return bm_add_bias(g, x, NULL);
    case 5: return bm_mul_scalar(g, NULL, v);
    case 6: return bm_activate(g, NULL, BM_ACT_RELU);
    case 7: return bm_copy(g, NULL);
    case 8: return bm_cast(g, NULL, BM_F16);
    case 9: return bm_transpose(g, NULL);
    case 10: return bm_sum(g, NULL);
    case 11: return bm_mean(g, NULL);
    case 12: return bm_sum_rows(g, NULL);
    case 13: return bm_sum_last(g, NULL);
    case 14: return bm_all_finite(g, NULL);
    case 15: return bm_linear(g, x, NULL, NULL, BM_ACT_NONE);
    case 16: return bm_matmul(g, NULL, x, 0, 0);
    case 17: return bm_layernorm(g, x, NULL, NULL, 1e-5f);
    case 18: return bm_rmsnorm(g, NULL, v, 1e-5f);
    case 19: return bm_conv2d(g, NULL, x, NULL, BM_ACT_NONE, NULL);
    case 20: return bm_conv2d(g, x, NULL, NULL, BM_ACT_NONE, NULL);
    case 21: return bm_max_pool2d(g, NULL, &pool);
    case 22: return bm_avg_pool2d(g, NULL, &pool);
    case 23: return bm_global_avg_pool(g, NULL);
    case 24: return bm_batchnorm(g, x, v, v, &norm);
    case 25: return bm_softmax_xent(g, NULL, x, NULL, NULL, NULL);
    case 26: return bm_mse(g, NULL, x, NULL);
    case 27: return bm_bce_logits(g, NULL, NULL, v);
    case 28: return bm_ctc(g, NULL, NULL, x, NULL);
    case 29: return bm_concat(g, x, NULL);
    case 30: bm_recurrent(g, &sum, BM_CELL_RNN, x, NULL, NULL, NULL, 0); return sum;
    case 31: return bm_recurrent_cached(g, BM_CELL_RNN, x, x, NULL, NULL, NULL);
    default: bm_add_norm(g, &sum, x, NULL, v, NULL, 1e-5f, 0); return sum;
    }
}

START_TEST(a_missing_operand_makes_nothing)
{
    bm_graph *g = NULL;
    bm_graph_opts opts = bm_graph_opts_with_ops();
    test_ok(bm_graph_create(&g, &opts));
    bm_value *x = bm_graph_input(g, "x", BM_F32, BM_SHAPE(6, 6)), *v = bm_graph_input(g, "v", BM_F32, BM_SHAPE(6));
    test_ok(bm_graph_status(g));
    ck_assert(broken(_i, g, x, v) == NULL);
    test_fails(bm_graph_status(g), BM_ERR_USAGE, "is missing");
    bm_graph_destroy(g);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("builders");
    TCase *c = tcase_create("builders");
    tcase_add_test(c, failing_allocations_leak_nothing);
    tcase_add_loop_test(c, a_missing_operand_makes_nothing, 0, 33);
    suite_add_tcase(s, c);
    return test_run(s);
}
