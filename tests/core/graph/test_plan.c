/* ctest: rusticl */
/* ctest: oclgrind */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/device/cl_api.h"
#include "core/graph/graph_priv.h"
#include "core/graph/launch.h"
#include "core/graph/plan.h"
#include "core/graph/scalars.h"
#include "tests/lib/dev_ops.h"
#include "tests/lib/layer.h"
#include "tests/lib/test.h"

static bm_engine *engine;

static void open_engine(void) { engine = dev_open(0); }
static void close_engine(void)
{
    bm_engine_close(engine);
    engine = NULL;
}

/* ---- banks ---- */

static bm_graph *training_graph(bm_value **w, int n_params)
{
    bm_graph *g = dev_graph(0);
    bm_value *sum = NULL;
    for (int i = 0; i < n_params; i++) {
        char name[16];
        snprintf(name, sizeof name, "w%d", i);
        w[i] = bm_graph_param(g, name, BM_F32, BM_SHAPE(1), i % 2);
        bm_value *term = dev_affine(g, w[i], (float)(i + 1), 0);
        sum = sum ? dev_add(g, sum, term) : term;
    }
    bm_value *loss = bm_graph_output(g, sum, "loss");
    test_ok(bm_graph_gradients(g, loss));
    dev_descend(g, 0);
    dev_descend(g, 1);
    return g;
}

START_TEST(weights_live_in_banks_and_are_trained_there)
{
    enum { PARAMS = 7 };
    bm_value *w[PARAMS];
    bm_graph *g = training_graph(w, PARAMS);
    bm_layout *l = NULL;
    bm_bank *weights = NULL, *grads = NULL;
    test_ok(bm_layout_create(&l, g, BM_PLACE_WEIGHT, bm_engine_limits(engine)));
    test_ok(bm_bank_create(&weights, engine, l, BM_PLACE_WEIGHT));
    test_ok(bm_bank_create(&grads, engine, l, BM_PLACE_GRAD));
    ck_assert_int_eq(bm_bank_place(grads), BM_PLACE_GRAD);
    ck_assert_ptr_eq(bm_bank_layout(grads), l);
    for (int i = 0; i < PARAMS; i++) {
        float x = (float)i;
        test_ok(bm_bank_write(weights, bm_layout_find(l, w[i]->name), 0, &x, 4));
    }
    bm_plan *p = dev_plan(engine, g, (bm_bank *[]){grads, weights}, 2);
    bm_plan_set_f32(p, BM_RT_LR, 0.5f);
    for (int run = 0; run < 3; run++) test_ok(bm_plan_run(p));
    for (int i = 0; i < PARAMS; i++) {
        float x = -1, d = -1;
        test_ok(bm_bank_read(weights, bm_layout_find(l, w[i]->name), 0, &x, 4));
        test_ok(bm_bank_read(grads, bm_layout_find(l, w[i]->name), 0, &d, 4));
        ck_assert_float_eq(d, (float)(i + 1));
        ck_assert_float_eq(x, (float)i - 1.5f * (float)(i + 1));
    }
    float loss;
    test_ok(bm_plan_read(p, g->nodes[2 * PARAMS - 2]->outputs[0], &loss)); /* before the third update */
    double want = 0;
    for (int i = 0; i < PARAMS; i++) want += (i + 1) * ((double)i - 1.0 * (i + 1));
    ck_assert_double_eq((double)loss, want);

    /* Padding between tensors is zero and stays zero. */
    char slab[4096];
    ck_assert_int_le(bm_layout_slab_bytes(l, 0), (int64_t)sizeof slab);
    cl_mem m = NULL;
    test_ok(bm_region_piece(&m, bm_bank_region(weights), 0, 0, bm_layout_slab_bytes(l, 0)));
    test_ok(bm_queue_read(bm_engine_queue(engine), m, 0, slab, bm_layout_slab_bytes(l, 0)));
    int64_t step = bm_layout_find(l, "w2")->offset;
    for (int64_t i = 0; i < bm_layout_slab_bytes(l, 0); i++) ck_assert(i % step < 4 || slab[i] == 0);

    float two[2];
    test_fails(bm_bank_read(weights, bm_layout_find(l, "w0"), 0, two, 8), BM_ERR_USAGE, "bytes 0 to 8 of w0, which has 4");
    test_fails(bm_bank_write(weights, bm_layout_find(l, "w0"), -4, two, 4), BM_ERR_USAGE, "of w0");
    bm_plan_destroy(p);
    bm_bank_destroy(weights);
    bm_bank_destroy(grads);
    bm_bank_destroy(NULL);
    bm_layout_destroy(l);
    bm_graph_destroy(g);
}
END_TEST

START_TEST(a_missing_or_unfit_bank_is_named)
{
    bm_value *w[2];
    bm_graph *g = training_graph(w, 2), *other = dev_graph(0);
    bm_graph_param(other, "w0", BM_F32, BM_SHAPE(3), 0);
    bm_graph_param(other, "w1", BM_F32, BM_SHAPE(1), 1);
    bm_layout *l = NULL, *unfit = NULL;
    bm_bank *weights = NULL, *wrong = NULL;
    bm_plan *p = NULL;
    test_ok(bm_layout_create(&l, g, BM_PLACE_WEIGHT, bm_engine_limits(engine)));
    test_ok(bm_layout_create(&unfit, other, BM_PLACE_WEIGHT, bm_engine_limits(engine)));
    test_ok(bm_bank_create(&weights, engine, l, BM_PLACE_WEIGHT));
    test_ok(bm_bank_create(&wrong, engine, unfit, BM_PLACE_WEIGHT));
    test_fails(bm_plan_create(&p, engine, g, NULL), BM_ERR_USAGE, "no bank holds w");
    ck_assert_ptr_null(p);
    test_fails(bm_plan_create(&p, engine, g, &(bm_plan_opts){.banks = &weights, .n_banks = 1}), BM_ERR_USAGE, "no bank holds w");
    test_fails(bm_plan_create(&p, engine, g, &(bm_plan_opts){.banks = &wrong, .n_banks = 1}), BM_ERR_SHAPE,
               "w0 is f32 [3], the graph wants f32 [1]");
    bm_graph *no_grads = dev_graph(0);
    bm_graph_param(no_grads, "w0", BM_F32, BM_SHAPE(1), 0);
    dev_descend(no_grads, 0);
    test_fails(bm_plan_create(&p, engine, no_grads, &(bm_plan_opts){.banks = &weights, .n_banks = 1}), BM_ERR_USAGE,
               "descend needs a bank that the plan was not given");
    bm_bank_destroy(weights);
    bm_bank_destroy(wrong);
    bm_layout_destroy(l);
    bm_layout_destroy(unfit);
    bm_graph_destroy(g);
    bm_graph_destroy(other);
    bm_graph_destroy(no_grads);
    ck_assert_int_eq(bm_engine_live_bytes(engine), 0);
}
END_TEST

static bm_plan *plan_sharing(bm_graph *g, bm_bank *const *banks, int n_banks, bm_plan *share)
{
    bm_plan *p = NULL;
    test_ok(bm_plan_create(&p, engine, g, &(bm_plan_opts){.banks = banks, .n_banks = n_banks, .share_temps = share}));
    return p;
}

START_TEST(two_plans_share_a_cache_and_temporaries)
{
    bm_graph *a = dev_graph(0), *b = dev_graph(0), *big = dev_graph(0);
    bm_value *x = dev_input(a, "x"),
             *sum = dev_update(a, bm_graph_cache(a, "sum", BM_F32, BM_SHAPE(DEV_N)), dev_slow(a, dev_slow(a, x, 1), 1));
    (void)sum;
    bm_value *seen = bm_graph_output(b, dev_affine(b, bm_graph_cache(b, "sum", BM_F32, BM_SHAPE(DEV_N)), 2, 0), "seen");
    bm_graph_output(big, dev_affine(big, bm_graph_input(big, "x", BM_F32, BM_SHAPE(9 * DEV_N)), 1, 0), "y");
    bm_layout *l = NULL;
    bm_bank *cache = NULL;
    test_ok(bm_layout_create(&l, a, BM_PLACE_CACHE, bm_engine_limits(engine)));
    test_ok(bm_bank_create(&cache, engine, l, BM_PLACE_CACHE));
    bm_plan *first = dev_plan(engine, a, &cache, 1);
    int64_t live = bm_engine_live_bytes(engine);
    bm_plan *second = plan_sharing(b, &cache, 1, first);
    ck_assert_int_eq(bm_engine_live_bytes(engine) - live, bm_plan_get_memory(second)->input_bytes);
    live = bm_engine_live_bytes(engine);
    bm_plan *third = plan_sharing(big, NULL, 0, first); /* does not fit: it has memory of its own */
    const bm_plan_memory *m = bm_plan_get_memory(third);
    ck_assert_int_eq(bm_engine_live_bytes(engine) - live, m->input_bytes + m->temp_bytes);
    float out[DEV_N];
    for (int run = 0; run < 3; run++) {
        test_ok(bm_plan_write(first, x, dev_ramp((float)run)));
        test_ok(bm_plan_run(first));
        test_ok(bm_plan_run(second));
    }
    test_ok(bm_plan_read(second, seen, out));
    for (int i = 0; i < DEV_N; i++) ck_assert_float_eq(out[i], 2 * (3 * (float)i + 3));
    bm_plan_destroy(third);
    bm_plan_destroy(second);
    bm_plan_destroy(first);
    bm_bank_destroy(cache);
    bm_layout_destroy(l);
    bm_graph_destroy(a);
    bm_graph_destroy(b);
    bm_graph_destroy(big);
}
END_TEST

/* ---- limits ---- */

START_TEST(a_small_largest_buffer_gives_several_slabs)
{
    engine = dev_open(2 * 4096);
    bm_graph *g = dev_graph(0);
    bm_value *x = bm_graph_input(g, "x", BM_F32, BM_SHAPE(900)), *sum = NULL, *kept[6];
    for (int i = 0; i < 6; i++) kept[i] = dev_affine(g, x, (float)i, 1);
    for (int i = 0; i < 6; i++) {
        char name[16];
        snprintf(name, sizeof name, "w%d", i);
        bm_value *w = bm_graph_param(g, name, BM_F32, BM_SHAPE(900), 0), *term = dev_add(g, kept[i], w);
        sum = sum ? dev_add(g, sum, term) : term;
    }
    bm_graph_output(g, sum, "y");
    bm_layout *l = NULL;
    bm_bank *weights = NULL;
    test_ok(bm_layout_create(&l, g, BM_PLACE_WEIGHT, bm_engine_limits(engine)));
    ck_assert_int_eq(bm_layout_slabs(l), 3);
    test_ok(bm_bank_create(&weights, engine, l, BM_PLACE_WEIGHT));
    for (int i = 0; i < 6; i++) {
        float w[900];
        for (int j = 0; j < 900; j++) w[j] = (float)(100 * i + j);
        test_ok(bm_bank_write(weights, bm_layout_at(l, i), 0, w, sizeof w));
    }
    bm_plan *p = dev_plan(engine, g, &weights, 1);
    ck_assert_int_gt(bm_plan_get_memory(p)->temp_bytes, 2 * 2 * 4096);
    float out[900];
    test_ok(bm_plan_write(p, x, dev_ramp(1)));
    test_ok(bm_plan_run(p));
    test_ok(bm_plan_read(p, sum, out));
    for (int j = 0; j < 900; j++) ck_assert_float_eq(out[j], 15 * (float)(1 + j) + 6 + 1500 + 6 * (float)j);
    bm_plan_destroy(p);
    bm_bank_destroy(weights);
    bm_layout_destroy(l);
    bm_graph_destroy(g);

    g = dev_graph(0);
    x = bm_graph_input(g, "x", BM_F32, BM_SHAPE(16));
    bm_graph_output(g,
                    dev_add(g, bm_graph_param(g, "w", BM_F32, BM_SHAPE(3000), 0),
                            bm_graph_param(g, "w", BM_F32, BM_SHAPE(3000), 0)),
                    "y");
    test_fails(bm_plan_create(&p, engine, g, NULL), BM_ERR_DEVICE_MEMORY, "memory");
    ck_assert_int_eq(bm_engine_live_bytes(engine), 0);
    bm_graph_destroy(g);
    close_engine();
}
END_TEST

START_TEST(what_a_plan_said_it_needs_is_what_it_takes)
{
    bm_graph *g = dev_graph(0);
    bm_value *x = dev_input(g, "x"), *y = dev_slow(g, dev_slow(g, dev_slow(g, x, 1), 1), 1);
    bm_graph_output(g, dev_reverse(g, dev_add(g, y, x)), "y");
    bm_plan_memory said;
    test_ok(bm_plan_memory_of(&said, g, bm_engine_limits(engine)));
    const layer_api *layer = test_layer();
    int64_t before = layer->stats().buffer_bytes;
    bm_plan *p = dev_plan(engine, g, NULL, 0);
    ck_assert_int_eq(layer->stats().buffer_bytes - before, said.temp_bytes + said.input_bytes);
    ck_assert_int_eq(bm_engine_live_bytes(engine), said.temp_bytes + said.input_bytes);
    bm_plan_destroy(p);
    bm_graph_destroy(g);
}
END_TEST

/* ---- failures ---- */

/* Ops whose one attribute is what the test wants of them. */
static int kind_of(const bm_node *n) { return *(const int *)n->attrs; }

static bm_status infer_like(bm_graph *g, bm_node *n)
{
    bm_node_output(g, n, BM_F32, n->inputs[0]->shape);
    return BM_OK;
}

static bm_status launch_broken(bm_launcher *l, const bm_node *n)
{
    const bm_arg args[] = {bm_arg_mem(bm_launcher_mem(l, n->outputs[0]))};
    bm_kernel_launch k = {.source = kind_of(n) ? "test/plan" : "test/broken",
                          .kernel = "no_such_kernel",
                          .dims = 1,
                          .global = {1},
                          .args = args,
                          .n_args = 1};
    bm_launcher_kernel(l, &k);
    return bm_launcher_status(l);
}

static const bm_op op_broken = {
    .name = "broken", .attrs_bytes = sizeof(int), .infer = infer_like, .launch = launch_broken};

static int calls_run, calls_destroyed;
static bm_status call_run(void *ctx, cl_command_queue queue)
{
    (void)queue;
    calls_run++;
    return *(int *)ctx ? bm_fail(BM_ERR_DEVICE, "refused by the test") : BM_OK;
}

static void call_destroy(void *ctx)
{
    calls_destroyed++;
    bm_free(ctx);
}

static bm_status launch_call(bm_launcher *l, const bm_node *n)
{
    int *ctx = bm_alloc(sizeof *ctx);
    if (!ctx) return BM_ERR_MEMORY;
    if (kind_of(n) == 2) bm_launcher_scratch(l, 0, 4); /* was not asked for */
    *ctx = kind_of(n);
    bm_launcher_call(l, call_run, ctx, call_destroy);
    return bm_launcher_status(l);
}

static const bm_op op_call = {.name = "call", .attrs_bytes = sizeof(int), .infer = infer_like, .launch = launch_call};

static bm_value *special(bm_graph *g, const bm_op *op, bm_value *x, int kind)
{
    return bm_node_first(bm_node_create(g, op, &kind, &x, 1, 0));
}

START_TEST(a_launch_that_fails_names_its_node)
{
    bm_graph *g = dev_graph(0);
    bm_plan *p = NULL;
    bm_graph_scope_push(g, "h7");
    bm_graph_output(g, special(g, &op_broken, dev_input(g, "x"), 1), "y");
    test_fails(bm_plan_create(&p, engine, g, NULL), BM_ERR_DEVICE, "h7/broken: kernel no_such_kernel of source test/plan");
    ck_assert_ptr_null(p);
    bm_graph_destroy(g);

    g = dev_graph(0);
    bm_graph_output(g, special(g, &op_broken, dev_input(g, "x"), 0), "y");
    test_fails(bm_plan_create(&p, engine, g, NULL), BM_ERR_BUILD, "broken: kernel source test/broken [");
    bm_graph_destroy(g);
    ck_assert_int_eq(bm_engine_live_bytes(engine), 0);
}
END_TEST

START_TEST(calls_run_with_the_plan_and_are_destroyed_with_it)
{
    bm_graph *g = dev_graph(0);
    bm_value *x = dev_input(g, "x");
    bm_graph_output(g, special(g, &op_call, special(g, &op_call, x, 0), 0), "y");
    bm_plan *p = dev_plan(engine, g, NULL, 0);
    calls_run = calls_destroyed = 0;
    test_ok(bm_plan_run(p));
    test_ok(bm_plan_run(p));
    ck_assert_int_eq(calls_run, 4);
    bm_plan_destroy(p);
    ck_assert_int_eq(calls_destroyed, 2);
    bm_graph_destroy(g);

    g = dev_graph(0);
    x = dev_input(g, "x");
    bm_graph_scope_push(g, "h1");
    bm_graph_output(g, special(g, &op_call, special(g, &op_call, x, 0), 1), "y");
    p = dev_plan(engine, g, NULL, 0);
    test_fails(bm_plan_run(p), BM_ERR_DEVICE, "h1/call: refused by the test");
    bm_plan_destroy(p);
    ck_assert_int_eq(calls_destroyed, 4);
    bm_graph_destroy(g);

    g = dev_graph(0);
    x = dev_input(g, "x");
    bm_graph_output(g, special(g, &op_call, x, 2), "y");
    test_fails(bm_plan_create(&p, engine, g, NULL), BM_ERR_USAGE, "call: scratch bytes 0 to 4 were not asked for");
    ck_assert_int_eq(calls_destroyed, 5); /* although the launcher had failed */
    bm_graph_destroy(g);
}
END_TEST

static bm_status make_run_read(void *arg)
{
    (void)arg;
    bm_graph *g = NULL;
    bm_plan *p = NULL;
    bm_layout *l = NULL;
    bm_bank *cache = NULL;
    bm_ticket *t = NULL;
    float out[DEV_N];
    bm_status status = bm_graph_create(&g, &(bm_graph_opts){dev_add, dev_copy, 0});
    if (status) return status;
    bm_value *x = bm_graph_input(g, "x", BM_F32, BM_SHAPE(DEV_N)),
             *c = bm_graph_constant(g, "c", BM_F32, BM_SHAPE(DEV_N), dev_ramp(1));
    bm_value *y = bm_graph_output(g, special(g, &op_call, dev_reverse(g, dev_add(g, x, c)), 0), "y");
    dev_update(g, bm_graph_cache(g, "k", BM_F32, BM_SHAPE(DEV_N)), c);
    BM_GO(bm_graph_status(g));
    BM_GO(bm_layout_create(&l, g, BM_PLACE_CACHE, bm_engine_limits(engine)));
    BM_GO(bm_bank_create(&cache, engine, l, BM_PLACE_CACHE));
    BM_GO(bm_plan_create(&p, engine, g, &(bm_plan_opts){.banks = &cache, .n_banks = 1}));
    BM_GO(bm_ticket_create(&t));
    BM_GO(bm_plan_write(p, x, dev_ramp(1)));
    BM_GO(bm_plan_run(p));
    BM_GO(bm_plan_run(p));
    BM_GO(bm_plan_read_ticket(p, y, out, t));
    BM_GO(bm_ticket_wait(t));
    BM_GO(bm_plan_read(p, y, out));
done:
    bm_plan_destroy(p);
    bm_ticket_destroy(t);
    bm_bank_destroy(cache);
    bm_layout_destroy(l);
    bm_graph_destroy(g);
    return status;
}

/* Programs are made once per engine: made before, so that each round makes the same. */
START_TEST(every_failing_allocation_is_told)
{
    test_ok(make_run_read(NULL));
    test_fail_allocations(make_run_read, NULL);
}
END_TEST

START_TEST(every_failing_opencl_call_is_told)
{
    test_ok(make_run_read(NULL));
    test_fail_calls(make_run_read, NULL, CL_OUT_OF_RESOURCES);
}
END_TEST

int main(void)
{
    test_layer_use();
    Suite *s = suite_create("core/graph/plan");
    TCase *t = tcase_create("plan");
    tcase_add_checked_fixture(t, open_engine, close_engine);
    tcase_add_test(t, weights_live_in_banks_and_are_trained_there);
    tcase_add_test(t, a_missing_or_unfit_bank_is_named);
    tcase_add_test(t, two_plans_share_a_cache_and_temporaries);
    tcase_add_test(t, what_a_plan_said_it_needs_is_what_it_takes);
    if (!getenv("BM_TEST_OCLGRIND")) /* it would report the failures that are meant */
        tcase_add_test(t, a_launch_that_fails_names_its_node);
    tcase_add_test(t, calls_run_with_the_plan_and_are_destroyed_with_it);
    tcase_add_test(t, every_failing_allocation_is_told);
    tcase_add_test(t, every_failing_opencl_call_is_told);
    suite_add_tcase(s, t);
    t = tcase_create("slabs");
    tcase_add_test(t, a_small_largest_buffer_gives_several_slabs);
    suite_add_tcase(s, t);
    return test_run(s);
}
