#include "tests/lib/dev_ops.h"

#include <stdlib.h>

#include "core/graph/launch.h"
#include "core/graph/op.h"
#include "core/graph/scalars.h"
#include "tests/lib/device.h"
#include "tests/lib/test.h"

static const char source[] =
    "__kernel void affine(__global float *y, __global const float *x, float a, float b) {\n"
    "    size_t i = get_global_id(0); y[i] = a * x[i] + b; }\n"
    "__kernel void add(__global float *y, __global const float *a, __global const float *b) {\n"
    "    size_t i = get_global_id(0); y[i] = a[i] + b[i]; }\n"
    "__kernel void times_step(__global float *y, __global const float *x, __global const uint *rt) {\n"
    "    size_t i = get_global_id(0); y[i] = x[i] * (float)rt[0] + as_float(rt[4]); }\n"
    "__kernel void slow(__global float *y, __global const float *x, int rounds) {\n"
    "    size_t i = get_global_id(0); float s = x[i];\n"
    "    for (int k = 0; k < rounds; k++) s = s * 0.5f + x[i] * 0.5f;\n"
    "    y[i] = s; }\n"
    "__kernel void reverse(__global float *y, __global const float *x, __global float *t, int n) {\n"
    "    int i = get_global_id(0); t[n - 1 - i] = x[i]; }\n"
    "__kernel void bring(__global float *y, __global const float *t) {\n"
    "    size_t i = get_global_id(0); y[i] = t[i]; }\n"
    "__kernel void descend(__global float *w, __global const float *g, __global const uint *rt) {\n"
    "    size_t i = get_global_id(0); w[i] -= as_float(rt[4]) * g[i]; }\n";

static const bm_source sources[] = {{"test/plan", source},
                                    {"test/broken", "__kernel void broken(int) { no_such_function(1); }\n"}};

typedef struct attrs {
    float a, b;
    int rounds;
} attrs;

static const attrs *attrs_of(const bm_node *n) { return n->attrs; }

static bm_status infer_like(bm_graph *g, bm_node *n)
{
    bm_node_output(g, n, BM_F32, n->inputs[0]->shape);
    bm_node_inplace(n, 0, 0, BM_INPLACE_MAY);
    return BM_OK;
}

static bm_status infer_apart(bm_graph *g, bm_node *n)
{
    bm_node_output(g, n, BM_F32, n->inputs[0]->shape);
    return BM_OK;
}

static bm_status infer_update(bm_graph *g, bm_node *n)
{
    bm_node_output(g, n, BM_F32, n->inputs[0]->shape);
    bm_node_inplace(n, 0, 0, BM_INPLACE_MUST);
    return BM_OK;
}

static void add_kernel(bm_launcher *l, const char *name, int64_t n, const bm_arg *args, int n_args)
{
    bm_kernel_launch k = {.source = "test/plan",
                          .kernel = name,
                          .options = "",
                          .dims = 1,
                          .global = {(size_t)n},
                          .args = args,
                          .n_args = n_args};
    bm_launcher_kernel(l, &k);
}

static bm_arg mem(bm_launcher *l, const bm_value *v) { return bm_arg_mem(bm_launcher_mem(l, v)); }
static int64_t count(const bm_node *n) { return bm_shape_elements(&n->outputs[0]->shape); }

static bm_status launch_affine(bm_launcher *l, const bm_node *n)
{
    const bm_arg args[] = {mem(l, n->outputs[0]), mem(l, n->inputs[0]), bm_arg_f32(attrs_of(n)->a),
                           bm_arg_f32(attrs_of(n)->b)};
    add_kernel(l, "affine", count(n), args, 4);
    return bm_launcher_status(l);
}

static void gradient_affine(bm_graph *g, bm_node *n)
{
    bm_value *d = bm_grad_of(g, n->outputs[0]);
    bm_grad_add(g, n->inputs[0], dev_affine(g, d, attrs_of(n)->a, 0));
}

static const bm_op op_affine = {.name = "affine",
                                .attrs_bytes = sizeof(attrs),
                                .infer = infer_like,
                                .gradient = gradient_affine,
                                .launch = launch_affine};
bm_value *dev_affine(bm_graph *g, bm_value *x, float a, float b)
{
    return bm_node_first(bm_node_create(g, &op_affine, &(attrs){a, b, 0}, &x, 1, 0));
}

static bm_status launch_add(bm_launcher *l, const bm_node *n)
{
    const bm_arg args[] = {mem(l, n->outputs[0]), mem(l, n->inputs[0]), mem(l, n->inputs[1])};
    add_kernel(l, "add", count(n), args, 3);
    return bm_launcher_status(l);
}

static void gradient_add(bm_graph *g, bm_node *n)
{
    for (int i = 0; i < 2; i++) bm_grad_add(g, n->inputs[i], bm_grad_of(g, n->outputs[0]));
}

static const bm_op op_add = {.name = "add", .infer = infer_like, .gradient = gradient_add, .launch = launch_add};
static const bm_op op_update = {.name = "update", .infer = infer_update, .launch = launch_add};
bm_value *dev_add(bm_graph *g, bm_value *a, bm_value *b)
{
    return bm_node_first(bm_node_create(g, &op_add, NULL, (bm_value *[]){a, b}, 2, 0));
}
bm_value *dev_update(bm_graph *g, bm_value *cache, bm_value *x)
{
    return bm_node_first(bm_node_create(g, &op_update, NULL, (bm_value *[]){cache, x}, 2, 0));
}
bm_value *dev_copy(bm_graph *g, bm_value *a) { return dev_affine(g, a, 1, 0); }

static bm_status launch_times_step(bm_launcher *l, const bm_node *n)
{
    const bm_arg args[] = {mem(l, n->outputs[0]), mem(l, n->inputs[0]), bm_arg_mem(bm_launcher_scalars(l))};
    add_kernel(l, "times_step", count(n), args, 3);
    return bm_launcher_status(l);
}

static const bm_op op_times_step = {.name = "times_step", .infer = infer_like, .launch = launch_times_step};
bm_value *dev_times_step(bm_graph *g, bm_value *x)
{
    return bm_node_first(bm_node_create(g, &op_times_step, NULL, &x, 1, 0));
}

static bm_status launch_slow(bm_launcher *l, const bm_node *n)
{
    const bm_arg args[] = {mem(l, n->outputs[0]), mem(l, n->inputs[0]), bm_arg_i32(attrs_of(n)->rounds)};
    add_kernel(l, "slow", count(n), args, 3);
    return bm_launcher_status(l);
}

static const bm_op op_slow = {
    .name = "slow", .attrs_bytes = sizeof(attrs), .infer = infer_apart, .launch = launch_slow};
bm_value *dev_slow(bm_graph *g, bm_value *x, int rounds)
{
    if (getenv("BM_TEST_OCLGRIND")) rounds = 1; /* everything is slow there */
    return bm_node_first(bm_node_create(g, &op_slow, &(attrs){0, 0, rounds}, &x, 1, 0));
}

static bm_status scratch_reverse(int64_t *bytes, bm_launcher *l, const bm_node *n, const bm_limits *limits)
{
    (void)l;
    *bytes = limits->align_bytes + count(n) * 4;
    return BM_OK;
}

static bm_status launch_reverse(bm_launcher *l, const bm_node *n)
{
    cl_mem t = bm_launcher_scratch(l, bm_launcher_limits(l)->align_bytes, count(n) * 4);
    const bm_arg there[] = {mem(l, n->outputs[0]), mem(l, n->inputs[0]), bm_arg_mem(t), bm_arg_i32((int32_t)count(n))};
    add_kernel(l, "reverse", count(n), there, 4);
    const bm_arg back[] = {mem(l, n->outputs[0]), bm_arg_mem(t)};
    add_kernel(l, "bring", count(n), back, 2);
    return bm_launcher_status(l);
}

static bm_status infer_reverse(bm_graph *g, bm_node *n)
{
    BM_TRY(infer_like(g, n));
    bm_node_output_optional(g, n, BM_F32, n->inputs[0]->shape); /* what nothing here asks for */
    return BM_OK;
}

static const bm_op op_reverse = {
    .name = "reverse", .infer = infer_reverse, .scratch = scratch_reverse, .launch = launch_reverse};
bm_value *dev_reverse(bm_graph *g, bm_value *x)
{
    return bm_node_first(bm_node_create(g, &op_reverse, NULL, &x, 1, 0));
}

/* w <- w - lr g over a whole group, slab by slab. */
static bm_status launch_descend(bm_launcher *l, const bm_node *n)
{
    int group = attrs_of(n)->rounds;
    for (int i = 0; i < bm_launcher_bank_slabs(l, group); i++) {
        const bm_arg args[] = {bm_arg_mem(bm_launcher_bank_mem(l, BM_PLACE_WEIGHT, group, i)),
                               bm_arg_mem(bm_launcher_bank_mem(l, BM_PLACE_GRAD, group, i)),
                               bm_arg_mem(bm_launcher_scalars(l))};
        add_kernel(l, "descend", bm_launcher_bank_bytes(l, group, i) / 4, args, 3);
    }
    return bm_launcher_status(l);
}

static bm_status infer_nothing(bm_graph *g, bm_node *n)
{
    (void)g, (void)n;
    return BM_OK;
}

static const bm_op op_descend = {
    .name = "descend", .attrs_bytes = sizeof(attrs), .infer = infer_nothing, .launch = launch_descend, .effects = 1};
void dev_descend(bm_graph *g, int group) { bm_node_create(g, &op_descend, &(attrs){0, 0, group}, NULL, 0, 0); }

bm_graph *dev_graph(int accumulate)
{
    bm_graph *g = NULL;
    test_ok(bm_graph_create(&g, &(bm_graph_opts){dev_add, dev_copy, accumulate}));
    return g;
}

bm_engine *dev_open(int64_t max_alloc_bytes)
{
    bm_engine_opts opts = test_engine_opts();
    opts.sources = (bm_source_table){sources, 2};
    opts.cl_dir = NULL;
    opts.max_alloc_bytes = max_alloc_bytes;
    return test_engine_open_with(&opts);
}

bm_plan *dev_plan(bm_engine *e, bm_graph *g, bm_bank *const *banks, int n_banks)
{
    bm_plan *p = NULL;
    test_ok(bm_plan_create(&p, e, g, &(bm_plan_opts){.banks = banks, .n_banks = n_banks}));
    return p;
}

bm_value *dev_input(bm_graph *g, const char *name) { return bm_graph_input(g, name, BM_F32, BM_SHAPE(DEV_N)); }

float *dev_ramp(float start)
{
    static float data[4][DEV_N];
    static int next;
    float *d = data[next++ % 4];
    for (int i = 0; i < DEV_N; i++) d[i] = start + (float)i;
    return d;
}
