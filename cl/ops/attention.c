#include "cl/gemm/gemm.h"
#include "cl/ops/ops_priv.h"
#include "core/base/checked.h"

#include <math.h>

#define DECODE_ROWS 16 /* queries below which the cpu form reads the caches once per query instead of by blocks */

typedef struct attrs {
    int heads;
} attrs;

/* The sizes of a node whose first input is qkv [B, T, 3 C]. */
typedef struct sizes {
    int64_t B, T, C, heads, head;
} sizes;

static sizes sizes_of(const bm_node *n)
{
    const bm_shape *s = &n->inputs[0]->shape;
    const int64_t heads = ((const attrs *)n->attrs)->heads;
    return (sizes){s->dim[0], s->dim[1], s->dim[2] / 3, heads, s->dim[2] / 3 / heads};
}

/* ---- shape rules ---- */

static bm_status check_qkv(const bm_node *n)
{
    const bm_value *qkv = n->inputs[0];
    const int heads = ((const attrs *)n->attrs)->heads;
    char text[BM_SHAPE_TEXT];
    BM_TRY(bm_ops_want_float(qkv));
    bm_shape_text(&qkv->shape, text, sizeof text);
    if (heads < 1) return bm_fail(BM_ERR_SHAPE, "attention with %d heads", heads);
    if (qkv->shape.rank != 3 || qkv->shape.dim[2] < 1 || qkv->shape.dim[2] % (3 * (int64_t)heads))
        return bm_fail(BM_ERR_SHAPE, "%s is %s, not [B, T, 3 x %d heads x d]", qkv->name, text, heads);
    if (qkv->shape.dim[2] / 3 / heads > BM_ATTENTION_MOST_HEAD)
        return bm_fail(BM_ERR_UNSUPPORTED, "%s is %s: heads of %lld elements, more than %d", qkv->name, text,
                       (long long)(qkv->shape.dim[2] / 3 / heads), BM_ATTENTION_MOST_HEAD);
    if (qkv->shape.dim[1] > INT32_MAX / 2 || qkv->shape.dim[2] > INT32_MAX)
        return bm_fail(BM_ERR_UNSUPPORTED, "%s is %s: too long", qkv->name, text);
    return BM_OK;
}

static bm_status infer(bm_graph *g, bm_node *n)
{
    BM_TRY(check_qkv(n));
    const sizes s = sizes_of(n);
    bm_node_output(g, n, n->inputs[0]->dtype, BM_SHAPE(s.B, s.T, s.C));
    bm_node_output_optional(g, n, BM_F32, BM_SHAPE(s.B, s.heads, s.T));
    return bm_graph_status(g);
}

static bm_status infer_backward(bm_graph *g, bm_node *n)
{
    BM_TRY(bm_ops_want_same(n->inputs[1], n->inputs[3]));
    bm_node_output(g, n, n->inputs[0]->dtype, n->inputs[0]->shape);
    return bm_graph_status(g);
}

static bm_status infer_cached(bm_graph *g, bm_node *n)
{
    BM_TRY(check_qkv(n));
    const sizes s = sizes_of(n);
    const bm_shape *cache = &n->inputs[1]->shape;
    BM_TRY(bm_ops_want_type(n->inputs[1], n->inputs[0]->dtype));
    BM_TRY(bm_ops_want_same(n->inputs[1], n->inputs[2]));
    if (cache->rank != 3 || cache->dim[0] != s.B || cache->dim[2] != s.C || cache->dim[1] > INT32_MAX / 2) {
        char text[BM_SHAPE_TEXT];
        return bm_fail(BM_ERR_SHAPE, "%s is %s, not [%lld, positions, %lld]", n->inputs[1]->name,
                       bm_shape_text(cache, text, sizeof text), (long long)s.B, (long long)s.C);
    }
    bm_node_output(g, n, n->inputs[0]->dtype, BM_SHAPE(s.B, s.T, s.C));
    for (int i = 1; i <= 2; i++) {
        bm_node_output(g, n, n->inputs[i]->dtype, *cache);
        bm_node_inplace(n, i, i, BM_INPLACE_MUST);
    }
    return bm_graph_status(g);
}

/* ---- costs: two products forward, five backward, over the pairs that the mask leaves; exp counts 8 ---- */

static bm_cost cost_pairs(const bm_node *n, double pairs, int products)
{
    const sizes s = sizes_of(n);
    bm_cost c = bm_ops_cost(n, 0);
    c.flops = (double)s.B * (double)s.heads * pairs * (2.0 * products * (double)s.head + 12.0);
    return c;
}

static bm_cost cost(const bm_node *n)
{
    const double T = (double)sizes_of(n).T;
    return cost_pairs(n, T * (T + 1) / 2, 2);
}

static bm_cost cost_backward(const bm_node *n)
{
    const double T = (double)sizes_of(n).T;
    return cost_pairs(n, T * (T + 1) / 2, 5);
}

/* As if the caches were full: all of them is read, the rows of the new positions are written. */
static bm_cost cost_cached(const bm_node *n)
{
    const sizes s = sizes_of(n);
    const bm_value *cache = n->inputs[1];
    bm_cost c = cost_pairs(n, (double)s.T * (double)cache->shape.dim[1], 2);
    c.bytes -= 2.0 * (double)bm_dtype_size(cache->dtype) * (double)(bm_ops_elements(cache) - s.B * s.T * s.C);
    return c;
}

/* ---- launches ---- */

/* BLOCK and PITCH of attention_cpu.cl. */
static int64_t block_rows(const bm_launcher *l, int64_t head)
{
    return bm_launcher_form(l) == BM_FORM_PLAIN ? 64 : head > 128 ? 32 : 64;
}

/* PAIRS of attention_cpu.cl. */
static bm_status in_pairs(int *out, bm_launcher *l, const bm_node *n)
{
    *out = 0;
    if (n->inputs[0]->dtype != BM_BF16 || bm_launcher_form(l) != BM_FORM_CPU) return BM_OK;
    return bm_gemm_in_pairs(out, bm_launcher_engine(l));
}

/* `blocks` work-groups for each head of each batch element. */
static void launch_blocks(bm_launcher *l, const bm_node *n, bm_kernel_launch *k, int64_t blocks, int64_t heads)
{
    char options[BM_OPS_OPTIONS];
    const sizes s = sizes_of(n);
    int pairs = 0;
    const bm_status status = in_pairs(&pairs, l, n);
    if (status) bm_launcher_fail(l, status);
    if (!k->source) k->source = bm_launcher_form(l) == BM_FORM_CPU ? "ops/attention_cpu" : "ops/attention";
    k->options = bm_ops_options_with(options, l, n->inputs[0]->dtype, " -DHEAD=%d -DPAIRS=%d", (int)s.head, pairs);
    k->dims = 3;
    k->local[0] = bm_launcher_form(l) == BM_FORM_CPU ? 1 : 64;
    k->local[1] = k->local[2] = 1;
    k->global[0] = (size_t)blocks * k->local[0];
    k->global[1] = (size_t)heads;
    k->global[2] = (size_t)s.B;
    bm_launcher_kernel(l, k);
}

/* Where keys and values lie: in qkv itself, or in the caches. */
typedef struct keys {
    cl_mem k, v;
    int64_t k_at, v_at, row, rows;
    int cached;
} keys;

static void launch_forward(bm_launcher *l, const bm_node *n, const keys *kv, cl_mem lse)
{
    const sizes s = sizes_of(n);
    const int cpu = bm_launcher_form(l) == BM_FORM_CPU;
    /* Two blocks of queries to a work-item halve the reads of keys and values, where that leaves enough work-items. */
    const int64_t blocks = s.B * s.heads * bm_ceil_div(s.T, block_rows(l, s.head));
    const int parts = cpu && s.T > block_rows(l, s.head) && blocks >= 8 * bm_launcher_limits(l)->compute_units ? 2 : 1;
    const bm_arg args[] = {bm_arg_mem(bm_launcher_mem(l, n->inputs[0])),
                           bm_arg_mem(kv->k),
                           bm_arg_mem(kv->v),
                           bm_arg_mem(bm_launcher_mem(l, n->outputs[0])),
                           bm_arg_mem(lse),
                           bm_arg_mem(bm_launcher_scalars(l)),
                           bm_arg_i32((int32_t)s.T),
                           bm_arg_i32((int32_t)kv->k_at),
                           bm_arg_i32((int32_t)kv->v_at),
                           bm_arg_i32((int32_t)kv->row),
                           bm_arg_i32((int32_t)kv->rows),
                           bm_arg_i32(kv->cached),
                           bm_arg_f32(1.0f / sqrtf((float)s.head)),
                           bm_arg_i32(parts)};
    bm_kernel_launch k = {.kernel = "forward", .args = args, .n_args = cpu ? 14 : 13};
    launch_blocks(l, n, &k, bm_ceil_div(s.T, parts * block_rows(l, s.head)), s.heads);
}

static bm_status launch(bm_launcher *l, const bm_node *n)
{
    const sizes s = sizes_of(n);
    const cl_mem qkv = bm_launcher_mem(l, n->inputs[0]);
    const keys kv = {qkv, qkv, s.C, 2 * s.C, 3 * s.C, s.T, 0};
    launch_forward(l, n, &kv, n->outputs[1]->used ? bm_launcher_mem(l, n->outputs[1]) : NULL);
    return bm_launcher_status(l);
}

static void launch_append(bm_launcher *l, const bm_node *n)
{
    const sizes s = sizes_of(n);
    const bm_arg args[] = {bm_arg_mem(bm_launcher_mem(l, n->inputs[0])),
                           bm_arg_mem(bm_launcher_mem(l, n->inputs[1])),
                           bm_arg_mem(bm_launcher_mem(l, n->inputs[2])),
                           bm_arg_mem(bm_launcher_scalars(l)),
                           bm_arg_i32((int32_t)s.T),
                           bm_arg_i32((int32_t)s.C),
                           bm_arg_i32((int32_t)n->inputs[1]->shape.dim[1])};
    bm_kernel_launch k = {.source = "ops/attention", .kernel = "append", .args = args, .n_args = 7};
    launch_blocks(l, n, &k, s.T, 1);
}

static void launch_decode(bm_launcher *l, const bm_node *n)
{
    const sizes s = sizes_of(n);
    const bm_arg args[] = {bm_arg_mem(bm_launcher_mem(l, n->inputs[0])),
                           bm_arg_mem(bm_launcher_mem(l, n->inputs[1])),
                           bm_arg_mem(bm_launcher_mem(l, n->inputs[2])),
                           bm_arg_mem(bm_launcher_mem(l, n->outputs[0])),
                           bm_arg_mem(bm_launcher_scalars(l)),
                           bm_arg_i32((int32_t)s.T),
                           bm_arg_i32((int32_t)s.C),
                           bm_arg_i32((int32_t)n->inputs[1]->shape.dim[1]),
                           bm_arg_f32(1.0f / sqrtf((float)s.head))};
    bm_kernel_launch k = {.source = "ops/attention_decode", .kernel = "decode", .args = args, .n_args = 9};
    launch_blocks(l, n, &k, s.T, s.heads);
}

static bm_status launch_cached(bm_launcher *l, const bm_node *n)
{
    const sizes s = sizes_of(n);
    launch_append(l, n);
    if (bm_launcher_form(l) == BM_FORM_CPU && s.T < DECODE_ROWS) {
        launch_decode(l, n);
    } else {
        const keys kv = {bm_launcher_mem(l, n->inputs[1]), bm_launcher_mem(l, n->inputs[2]), 0, 0, s.C,
                         n->inputs[1]->shape.dim[1], 1};
        launch_forward(l, n, &kv, NULL);
    }
    return bm_launcher_status(l);
}

/* cpu: dK and dV in f32, where dqkv cannot hold them as they are made. plain: delta. */
static bm_status scratch_backward(int64_t *bytes, bm_launcher *l, const bm_node *n, const bm_limits *limits)
{
    const sizes s = sizes_of(n);
    const int cpu = (bm_launcher_engine(l) ? bm_launcher_form(l) : bm_limits_form(limits)) == BM_FORM_CPU;
    const int direct = n->inputs[0]->dtype == BM_F32 && s.head % 32 == 0;
    *bytes = 4 * s.B * s.heads * s.T;
    if (cpu) *bytes *= direct ? 0 : 2 * bm_round_up(s.head, 32);
    return BM_OK;
}

static void launch_backward_cpu(bm_launcher *l, const bm_node *n, int64_t scratch)
{
    const sizes s = sizes_of(n);
    const cl_mem dqkv = bm_launcher_mem(l, n->outputs[0]);
    const bm_arg args[] = {bm_arg_mem(bm_launcher_mem(l, n->inputs[0])),
                           bm_arg_mem(bm_launcher_mem(l, n->inputs[1])),
                           bm_arg_mem(bm_launcher_mem(l, n->inputs[2])),
                           bm_arg_mem(bm_launcher_mem(l, n->inputs[3])),
                           bm_arg_mem(dqkv),
                           bm_arg_mem(scratch ? bm_launcher_scratch(l, 0, scratch) : dqkv),
                           bm_arg_i32((int32_t)s.T),
                           bm_arg_f32(1.0f / sqrtf((float)s.head))};
    bm_kernel_launch k = {.kernel = "backward", .args = args, .n_args = 8};
    launch_blocks(l, n, &k, s.T > 0, s.heads);
}

static void launch_backward_plain(bm_launcher *l, const bm_node *n, int64_t scratch)
{
    const sizes s = sizes_of(n);
    const bm_arg delta = bm_arg_mem(scratch ? bm_launcher_scratch(l, 0, scratch) : NULL);
    const bm_arg dots[] = {bm_arg_mem(bm_launcher_mem(l, n->inputs[1])),
                           bm_arg_mem(bm_launcher_mem(l, n->inputs[3])),
                           delta,
                           bm_arg_i32((int32_t)s.T)};
    bm_kernel_launch k = {.kernel = "delta", .args = dots, .n_args = 4};
    launch_blocks(l, n, &k, bm_ceil_div(s.T, 64), s.heads);
    const bm_arg args[] = {bm_arg_mem(bm_launcher_mem(l, n->inputs[0])),
                           bm_arg_mem(bm_launcher_mem(l, n->inputs[2])),
                           delta,
                           bm_arg_mem(bm_launcher_mem(l, n->inputs[3])),
                           bm_arg_mem(bm_launcher_mem(l, n->outputs[0])),
                           bm_arg_i32((int32_t)s.T),
                           bm_arg_f32(1.0f / sqrtf((float)s.head))};
    k = (bm_kernel_launch){.kernel = "backward_q", .args = args, .n_args = 7};
    launch_blocks(l, n, &k, bm_ceil_div(s.T, block_rows(l, s.head)), s.heads);
    k.kernel = "backward_kv";
    launch_blocks(l, n, &k, bm_ceil_div(s.T, block_rows(l, s.head)), s.heads);
}

static bm_status launch_backward(bm_launcher *l, const bm_node *n)
{
    int64_t scratch = 0;
    BM_TRY(scratch_backward(&scratch, l, n, bm_launcher_limits(l)));
    if (bm_launcher_form(l) == BM_FORM_CPU) launch_backward_cpu(l, n, scratch);
    else launch_backward_plain(l, n, scratch);
    return bm_launcher_status(l);
}

/* ---- the ops ---- */

static const bm_op op_backward = {.name = "attention_backward", .attrs_bytes = sizeof(attrs), .infer = infer_backward,
                                  .cost = cost_backward, .scratch = scratch_backward, .launch = launch_backward};

static void gradient(bm_graph *g, bm_node *n)
{
    bm_value *const in[] = {n->inputs[0], n->outputs[0], n->outputs[1], bm_grad_of(g, n->outputs[0])};
    bm_grad_add(g, n->inputs[0], bm_node_first(bm_node_create(g, &op_backward, n->attrs, in, 4, 0)));
}

static const bm_op op_attention = {.name = "attention", .attrs_bytes = sizeof(attrs), .infer = infer, .gradient = gradient,
                                   .cost = cost, .launch = launch};
static const bm_op op_cached = {.name = "attention_cached", .attrs_bytes = sizeof(attrs), .infer = infer_cached,
                                .cost = cost_cached, .launch = launch_cached};

bm_value *bm_attention(bm_graph *g, bm_value *qkv, int heads)
{
    const attrs a = {heads};
    return bm_node_first(bm_node_create(g, &op_attention, &a, &qkv, 1, 0));
}

bm_value *bm_attention_cached(bm_graph *g, bm_value *qkv, bm_value *k_cache, bm_value *v_cache, int heads)
{
    const attrs a = {heads};
    bm_value *const in[] = {qkv, k_cache, v_cache};
    return bm_node_first(bm_node_create(g, &op_cached, &a, in, 3, 0));
}
