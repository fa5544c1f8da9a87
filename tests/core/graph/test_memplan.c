#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/graph/graph_priv.h"
#include "tests/lib/fake.h"
#include "tests/lib/fake_run.h"
#include "tests/lib/test.h"

static bm_limits limits_of(int64_t max_alloc, int64_t align)
{
    return (bm_limits){.type = BM_DEVICE_CPU, .max_alloc_bytes = max_alloc, .align_bytes = align};
}

static const bm_shape small = {1, {16}}; /* 128 bytes */

static bm_memplan *plan_with(bm_graph *g, int64_t max_alloc, int64_t align)
{
    bm_memplan *p = NULL;
    bm_limits limits = limits_of(max_alloc, align);
    test_ok(bm_memplan_foresee(&p, g, &limits, NULL));
    return p;
}

static bm_status try_plan(bm_graph *g)
{
    bm_memplan *p = NULL;
    bm_limits limits = limits_of(1 << 20, 64);
    bm_status s = bm_memplan_foresee(&p, g, &limits, NULL);
    ck_assert(!s == (p != NULL));
    bm_memplan_destroy(p);
    return s;
}

static bm_value *input(bm_graph *g, const char *name) { return bm_graph_input(g, name, BM_F64, small); }

/* The nodes between which the memory of `root` is needed, from the graph alone: made, read, or kept to the end. */
static void lifetime_of(int *first, int *last, const bm_graph *g, const bm_memplan *p, const bm_value *root)
{
    *first = *last = root->node->index;
    for (int i = 0; i < g->n_nodes; i++) {
        const bm_node *n = g->nodes[i];
        for (int j = 0; n->live && j < n->n_inputs; j++)
            if (n->inputs[j] && p->root[n->inputs[j]->id] == root) *last = i;
        for (int j = 0; n->live && j < n->n_outputs; j++)
            if (p->root[n->outputs[j]->id] == root && i > *last) *last = i;
    }
    for (int i = 0; i < g->n_values; i++)
        if (g->values[i]->is_output && p->root[i] == root) *last = g->n_nodes;
}

static void check_lifetimes(const bm_graph *g, const bm_memplan *p)
{
    for (int i = 0; i < p->n_storages; i++) {
        const bm_storage *s = &p->storages[i];
        int first, last;
        if (!s->root) {
            ck_assert(s->first == s->last && p->of_scratch[s->first] == i);
            continue;
        }
        lifetime_of(&first, &last, g, p, s->root);
        ck_assert_msg(s->first == first && s->last == last, "%s lives from %d to %d, not from %d to %d", s->root->name,
                      s->first, s->last, first, last);
    }
}

static void check_places(const bm_memplan *p, int64_t max_alloc, int64_t align)
{
    int64_t total = 0;
    for (int i = 0; i < p->n_slabs; i++) {
        ck_assert_int_le(p->slab_bytes[i], max_alloc);
        ck_assert_int_gt(p->slab_bytes[i], 0);
        total += p->slab_bytes[i];
    }
    ck_assert_int_eq(total, p->sizes.temp_bytes);
    for (int i = 0; i < p->n_storages; i++) {
        const bm_storage *a = &p->storages[i];
        ck_assert_int_eq(a->offset % align, 0);
        ck_assert(a->offset >= 0 && a->slab >= 0 && a->slab < p->n_slabs);
        ck_assert_int_le(a->offset + a->bytes, p->slab_bytes[a->slab]);
        for (int j = 0; j < i; j++) {
            const bm_storage *b = &p->storages[j];
            int at_once = a->first <= b->last && b->first <= a->last;
            int overlap = a->slab == b->slab && a->offset < b->offset + b->bytes && b->offset < a->offset + a->bytes;
            ck_assert_msg(!at_once || !overlap, "storages %d and %d are alive at once and overlap", i, j);
        }
    }
}

/* The first node where most is alive, and how much. */
static void check_peak(const bm_graph *g, const bm_memplan *p)
{
    int64_t need = 0;
    int peak = -1;
    for (int i = 0; i < g->n_nodes; i++) {
        int64_t sum = 0;
        for (int j = 0; j < p->n_storages; j++)
            if (p->storages[j].first <= i && i <= p->storages[j].last) sum += p->storages[j].bytes;
        if (sum > need) need = sum, peak = i;
    }
    ck_assert_int_eq(p->sizes.temp_need, need);
    ck_assert_int_eq(p->sizes.peak_node, peak);
    ck_assert_int_ge(p->sizes.temp_bytes, need);
}

/* What must hold for any plan, whatever the graph. */
static void check_plan(const bm_graph *g, const bm_memplan *p, int64_t max_alloc, int64_t align)
{
    check_lifetimes(g, p);
    check_places(p, max_alloc, align);
    check_peak(g, p);
    for (int i = 0; i < g->n_nodes; i++) {
        const bm_node *n = g->nodes[i];
        for (int j = 0; n->live && j < n->n_inputs + n->n_outputs; j++) {
            const bm_value *v = j < n->n_inputs ? n->inputs[j] : n->outputs[j - n->n_inputs];
            if (!v || (v->optional && !v->used) || p->root[v->id]->place != BM_PLACE_TEMP) continue;
            int k = p->of_value[p->root[v->id]->id];
            ck_assert_msg(k >= 0, "%s has no memory", v->name);
            ck_assert(p->storages[k].bytes >= (int64_t)bm_shape_bytes(&v->shape, v->dtype));
        }
    }
}

START_TEST(a_chain_that_may_run_in_place_takes_one_piece)
{
    bm_graph *g = fake_graph(0);
    bm_value *v = fake_sin(g, input(g, "x"));
    for (int i = 0; i < 9; i++) v = fake_tanh(g, v);
    bm_graph_output(g, v, "y");
    bm_memplan *p = plan_with(g, 1 << 20, 64);
    ck_assert_int_eq(p->n_storages, 1);
    ck_assert_int_eq(p->sizes.temp_bytes, 128);
    ck_assert_int_eq(p->sizes.temp_need, 128);
    bm_memplan_destroy(p);
    bm_graph_destroy(g);
}
END_TEST

START_TEST(an_input_or_an_output_is_never_overwritten)
{
    bm_graph *g = fake_graph(0);
    bm_value *x = input(g, "x"), *a = fake_sin(g, x), *b = fake_sin(g, a), *c = fake_sin(g, b);
    bm_graph_output(g, a, "a");
    bm_graph_output(g, bm_reshape(g, c, BM_SHAPE(4, 4)), "c seen as a matrix");
    bm_graph_output(g, fake_sin(g, c), "d");
    bm_memplan *p = plan_with(g, 1 << 20, 64);
    ck_assert_ptr_eq(p->root[a->id], a);
    ck_assert_ptr_eq(p->root[b->id], b);
    ck_assert_ptr_eq(p->root[c->id], b); /* b is free to take, a is not */
    ck_assert_int_eq(p->n_storages, 3);
    for (int i = 0; i < 3; i++) ck_assert_int_eq(p->storages[i].last, g->n_nodes);
    check_plan(g, p, 1 << 20, 64);
    bm_memplan_destroy(p);
    bm_graph_destroy(g);
}
END_TEST

START_TEST(dead_nodes_have_no_memory)
{
    bm_graph *g = fake_graph(0);
    bm_value *x = input(g, "x"), *dead = fake_sin(g, fake_sin(g, x)), *live = fake_sin(g, x);
    int runs = 0;
    fake_norm(g, dead); /* has scratch */
    bm_graph_output(g, live, "y");
    bm_value *seen = fake_tanh(g, x);
    fake_effect(g, seen, &runs);
    bm_memplan *p = plan_with(g, 1 << 20, 64);
    ck_assert_int_eq(p->of_value[dead->id], -1);
    ck_assert(p->of_value[live->id] >= 0 && p->of_value[seen->id] >= 0);
    ck_assert_int_eq(p->n_storages, 2);
    for (int i = 0; i < g->n_nodes; i++) ck_assert_int_eq(p->of_scratch[i], -1);
    fake_store *s = fake_store_create();
    fake_run *r = fake_run_create(g, p);
    fake_run_nodes(r, s, -1);
    ck_assert_int_eq(runs, 1);
    ck_assert_ptr_null(fake_read(r, dead));
    fake_run_destroy(r);
    fake_store_destroy(s);
    bm_memplan_destroy(p);
    bm_graph_destroy(g);
}
END_TEST

START_TEST(an_optional_result_is_there_only_when_used)
{
    for (int used = 0; used < 2; used++) {
        bm_graph *g = fake_graph(0);
        bm_value *y = fake_norm(g, fake_sin(g, input(g, "x"))), *stats = y->node->outputs[1];
        bm_graph_output(g, y, "y");
        if (used) bm_graph_output(g, fake_scale(g, stats, 2), "twice");
        bm_cost cost = bm_graph_cost(g);
        bm_memplan *p = plan_with(g, 1 << 20, 64);
        ck_assert_int_eq(p->of_value[stats->id] >= 0, used);
        /* sin: 128 + 128, norm: 128 + 128 (+ 8), scale: 8 + 8 */
        ck_assert_double_eq(cost.bytes, used ? 512 + 24 : 512);
        bm_memplan_destroy(p);
        bm_graph_destroy(g);
    }
}
END_TEST

START_TEST(updates_of_a_cache_live_although_nothing_reads_them)
{
    bm_graph *g = fake_graph(0);
    bm_value *cache = bm_graph_cache(g, "keys", BM_F64, small), *x = input(g, "x");
    bm_value *one = fake_update(g, bm_reshape(g, cache, BM_SHAPE(4, 4)), bm_reshape(g, x, BM_SHAPE(4, 4)));
    bm_value *two = fake_update(g, one, bm_reshape(g, x, BM_SHAPE(4, 4)));
    bm_memplan *p = plan_with(g, 1 << 20, 64);
    ck_assert_int_eq(p->n_storages, 0);
    ck_assert_int_eq(p->n_slabs, 0);
    ck_assert_ptr_eq(p->root[two->id], cache);
    fake_store *s = fake_store_create();
    fake_run *r = fake_run_create(g, p);
    for (int i = 0; i < 16; i++) fake_data(s, x)[i] = i;
    for (int run = 0; run < 3; run++) fake_run_nodes(r, s, -1);
    for (int i = 0; i < 16; i++) ck_assert_double_eq(fake_data(s, cache)[i], 6 * i);
    fake_run_destroy(r);
    fake_store_destroy(s);
    bm_memplan_destroy(p);
    bm_graph_destroy(g);
}
END_TEST

static fake_any_attrs updates(int n_outputs, int input, bm_inplace mode)
{
    fake_any_attrs a = {.n_outputs = n_outputs};
    for (int i = 0; i < n_outputs; i++) {
        a.mode[i] = mode;
        a.input[i] = input;
        a.shape[i] = small;
    }
    return a;
}

START_TEST(an_update_in_place_that_would_harm_is_refused)
{
    fake_any_attrs must = updates(1, 0, BM_INPLACE_MUST);
    bm_graph *g = fake_graph(0);
    bm_value *x = fake_sin(g, input(g, "x"));
    bm_graph_output(g, bm_node_first(fake_any(g, &must, &x, 1)), "y");
    test_ok(try_plan(g));
    bm_graph_output(g, fake_tanh(g, bm_reshape(g, x, BM_SHAPE(4, 4))), "z");
    test_fails(try_plan(g), BM_ERR_USAGE, "any updates sin in place, which is read later");
    bm_graph_destroy(g);

    g = fake_graph(0);
    x = bm_graph_output(g, fake_sin(g, input(g, "x")), "kept");
    bm_graph_output(g, bm_node_first(fake_any(g, &must, &x, 1)), "y");
    test_fails(try_plan(g), BM_ERR_USAGE, "any updates kept in place, which is read later");
    bm_graph_destroy(g);

    g = fake_graph(0);
    x = fake_sin(g, input(g, "x"));
    bm_graph_output(g, bm_node_first(fake_any(g, &must, (bm_value *[]){x, x}, 2)), "y");
    test_fails(try_plan(g), BM_ERR_USAGE, "which is another operand as well");
    bm_graph_destroy(g);

    g = fake_graph(0);
    x = input(g, "x");
    bm_graph_output(g, bm_node_first(fake_any(g, &must, &x, 1)), "y");
    test_fails(try_plan(g), BM_ERR_USAGE, "any updates x in place, which is no temporary");
    bm_graph_destroy(g);

    g = fake_graph(0);
    x = bm_graph_param(g, "w", BM_F64, small, 0);
    bm_graph_output(g, bm_node_first(fake_any(g, &must, &x, 1)), "y");
    test_fails(try_plan(g), BM_ERR_USAGE, "which is no temporary");
    bm_graph_destroy(g);

    g = fake_graph(0);
    must.shape[0] = BM_SHAPE(17);
    x = fake_sin(g, input(g, "x"));
    bm_graph_output(g, bm_node_first(fake_any(g, &must, &x, 1)), "y");
    test_fails(try_plan(g), BM_ERR_USAGE, "which has another size");
    bm_graph_destroy(g);
}
END_TEST

START_TEST(two_updates_of_one_operand_are_refused)
{
    fake_any_attrs both = updates(2, 0, BM_INPLACE_MUST);
    bm_graph *g = fake_graph(0);
    bm_value *x = fake_sin(g, input(g, "x"));
    bm_graph_output(g, bm_node_first(fake_any(g, &both, &x, 1)), "y");
    test_fails(try_plan(g), BM_ERR_USAGE, "any updates sin in place, which another of its results updates too");
    bm_graph_destroy(g);
}
END_TEST

START_TEST(memory_of_one_operand_goes_to_one_result)
{
    bm_graph *g = fake_graph(0);
    fake_any_attrs a = updates(3, 0, BM_INPLACE_MAY);
    a.mode[2] = BM_INPLACE_MUST; /* the last one must have it, so the others may not */
    bm_value *x = fake_sin(g, input(g, "x"));
    bm_node *n = fake_any(g, &a, &x, 1);
    for (int i = 0; i < 3; i++) bm_graph_output(g, n->outputs[i], NULL);
    bm_memplan *p = plan_with(g, 1 << 20, 64);
    ck_assert_ptr_eq(p->root[n->outputs[0]->id], n->outputs[0]);
    ck_assert_ptr_eq(p->root[n->outputs[1]->id], n->outputs[1]);
    ck_assert_ptr_eq(p->root[n->outputs[2]->id], x);
    bm_memplan_destroy(p);
    bm_graph_destroy(g);

    g = fake_graph(0);
    a = updates(2, 0, BM_INPLACE_MAY);
    x = fake_sin(g, input(g, "x"));
    n = fake_any(g, &a, &x, 1);
    for (int i = 0; i < 2; i++) bm_graph_output(g, n->outputs[i], NULL);
    p = plan_with(g, 1 << 20, 64);
    ck_assert_ptr_eq(p->root[n->outputs[0]->id], x);
    ck_assert_ptr_eq(p->root[n->outputs[1]->id], n->outputs[1]);
    bm_memplan_destroy(p);
    bm_graph_destroy(g);
}
END_TEST

START_TEST(a_result_does_not_take_what_another_operand_reads)
{
    bm_graph *g = fake_graph(0);
    bm_value *x = fake_sin(g, input(g, "x")), *y = fake_mul(g, x, bm_reshape(g, x, small));
    bm_value *z = fake_mul(g, y, bm_reshape(g, bm_reshape(g, y, BM_SHAPE(4, 4)), small));
    bm_graph_output(g, z, "z");
    bm_memplan *p = plan_with(g, 1 << 20, 64);
    ck_assert_ptr_eq(p->root[y->id], y);
    ck_assert_ptr_eq(p->root[z->id], z);
    bm_memplan_destroy(p);
    bm_graph_destroy(g);
}
END_TEST

START_TEST(a_smaller_result_may_take_the_memory_of_a_larger_operand_only)
{
    for (int grows = 0; grows < 2; grows++) {
        bm_graph *g = fake_graph(0);
        fake_any_attrs a = updates(1, 0, BM_INPLACE_MAY);
        a.shape[0] = grows ? BM_SHAPE(17) : BM_SHAPE(15);
        bm_value *x = fake_sin(g, input(g, "x")), *y = bm_node_first(fake_any(g, &a, &x, 1));
        bm_graph_output(g, y, "y");
        bm_memplan *p = plan_with(g, 1 << 20, 64);
        ck_assert_ptr_eq(p->root[y->id], grows ? y : x);
        check_plan(g, p, 1 << 20, 64);
        bm_memplan_destroy(p);
        bm_graph_destroy(g);
    }
}
END_TEST

/* ---- sizes ---- */

START_TEST(what_does_not_fit_one_piece_is_named)
{
    bm_graph *g = fake_graph(0);
    bm_value *x = bm_graph_input(g, "x", BM_F64, BM_SHAPE(16));
    bm_graph_scope_push(g, "h3");
    fake_any_attrs big = {.n_outputs = 1, .shape[0] = BM_SHAPE(1 << 18)};
    bm_value *y = bm_node_first(fake_any(g, &big, &x, 1));
    bm_graph_scope_pop(g);
    bm_graph_output(g, y, NULL);
    test_fails(try_plan(g), BM_ERR_DEVICE_MEMORY, "h3/any needs 2.0 MiB of memory in one piece; the device gives at most 1.0 MiB");
    bm_graph_destroy(g);

    g = fake_graph(0);
    x = input(g, "x");
    fake_any_attrs scratch = {.n_outputs = 1, .shape[0] = small, .scratch = 3 << 20};
    bm_graph_output(g, bm_node_first(fake_any(g, &scratch, &x, 1)), NULL);
    test_fails(try_plan(g), BM_ERR_DEVICE_MEMORY, "any needs 3.0 MiB");
    bm_graph_destroy(g);

    g = fake_graph(0);
    x = input(g, "x");
    fake_any_attrs broken = {.n_outputs = 1, .shape[0] = small, .scratch_status = BM_ERR_UNSUPPORTED};
    bm_graph_output(g, bm_node_first(fake_any(g, &broken, &x, 1)), NULL);
    test_fails(try_plan(g), BM_ERR_UNSUPPORTED, "any: no scratch today");
    bm_graph_destroy(g);

    /* Close to the end of 64 bits, where rounding up would wrap. */
    g = fake_graph(0);
    x = input(g, "x");
    fake_any_attrs huge = {.n_outputs = 1, .shape[0] = BM_SHAPE(INT64_MAX / 8)};
    bm_graph_output(g, bm_node_first(fake_any(g, &huge, &x, 1)), NULL);
    test_fails(try_plan(g), BM_ERR_DEVICE_MEMORY, "in one piece");
    bm_graph_destroy(g);
}
END_TEST

static bm_value *sized(bm_graph *g, bm_value *x, int64_t blocks)
{
    fake_any_attrs a = {.n_outputs = 1, .shape[0] = BM_SHAPE(8 * blocks)}; /* of 64 bytes */
    return bm_node_first(fake_any(g, &a, &x, 1));
}

/* Blocks alive at each node, counted by hand: a 1, a b 1+4, b c 4+2, c d 2+3, c d e 2+3+1, d e f 3+1+2. */
START_TEST(the_peak_is_where_most_is_alive_at_once)
{
    bm_graph *g = fake_graph(0);
    bm_value *a = sized(g, input(g, "x"), 1), *b = sized(g, a, 4), *c = sized(g, b, 2), *d = sized(g, c, 3),
             *e = sized(g, c, 1);
    fake_any_attrs last = {.n_outputs = 1, .shape[0] = BM_SHAPE(16)};
    bm_graph_output(g, bm_node_first(fake_any(g, &last, (bm_value *[]){d, e}, 2)), "f");
    bm_memplan *p = plan_with(g, 1 << 20, 64);
    ck_assert_int_eq(p->sizes.temp_need, 6 * 64);
    ck_assert_int_eq(p->sizes.peak_node, 2); /* c, the first of three */
    check_plan(g, p, 1 << 20, 64);
    bm_memplan_destroy(p);
    bm_graph_destroy(g);
}
END_TEST

START_TEST(nothing_to_compute_is_a_plan_too)
{
    bm_graph *g = fake_graph(0);
    bm_memplan *p = plan_with(g, 1 << 20, 64);
    ck_assert_int_eq(p->sizes.temp_bytes, 0);
    ck_assert_int_eq(p->sizes.peak_node, -1);
    bm_memplan_destroy(p);
    bm_graph_output(g, fake_sin(g, bm_graph_input(g, "nothing", BM_F64, BM_SHAPE(0, 3))), "still nothing");
    p = plan_with(g, 1 << 20, 64);
    ck_assert_int_eq(p->n_storages, 1);
    check_plan(g, p, 1 << 20, 64);
    bm_memplan_destroy(p);
    bm_graph_destroy(g);
}
END_TEST

/* ---- random graphs of unequal sizes ---- */

static void random_graph(bm_graph *g, uint64_t seed)
{
    bm_rng r = bm_rng_start(seed, 3, 3);
    bm_value *pool[80];
    int n = 0, nodes = 1 + (int)(bm_rng_u32(&r) % 60);
    pool[n++] = input(g, "x");
    for (int i = 0; i < nodes; i++) {
        fake_any_attrs a = {.n_outputs = 1 + (int)(bm_rng_u32(&r) % 2), .scratch = bm_rng_u32(&r) % 4 ? 0 : bm_rng_u32(&r) % 3000};
        bm_value *in[3];
        for (int j = 0; j < 3; j++) in[j] = pool[n - 1 - (int)(bm_rng_u32(&r) % (uint32_t)(n < 6 ? n : 6))];
        for (int j = 0; j < a.n_outputs; j++) {
            a.shape[j] = BM_SHAPE(1 + (int64_t)(bm_rng_u32(&r) % 500));
            a.mode[j] = bm_rng_u32(&r) % 2 ? BM_INPLACE_MAY : BM_INPLACE_NO;
            a.input[j] = (int)(bm_rng_u32(&r) % 3);
            a.optional[j] = j == 1 && bm_rng_u32(&r) % 2;
        }
        pool[n++] = bm_node_first(fake_any(g, &a, in, 3));
        if (bm_rng_u32(&r) % 10 == 0) bm_graph_output(g, pool[n - 1], NULL);
    }
    bm_graph_output(g, pool[n - 1], NULL);
}

START_TEST(random_plans_never_overlap_and_respect_slabs)
{
    static const int64_t aligns[] = {64, 128, 4096}, most[] = {4096, 10000, 1 << 20};
    for (uint64_t seed = 0; seed < 300; seed++) {
        bm_graph *g = fake_graph(0);
        random_graph(g, seed);
        int64_t align = aligns[seed % 3], max_alloc = most[seed / 3 % 3];
        bm_memplan *p = plan_with(g, max_alloc, align);
        check_plan(g, p, max_alloc, align);
        bm_memplan_destroy(p);
        bm_graph_destroy(g);
    }
}
END_TEST

START_TEST(plans_take_little_more_than_what_is_alive_at_once)
{
    double worst = 1, sum = 0;
    enum { GRAPHS = 200 };
    for (uint64_t seed = 1000; seed < 1000 + GRAPHS; seed++) {
        bm_graph *g = fake_graph(0);
        random_graph(g, seed);
        bm_memplan *p = plan_with(g, 1 << 30, 64);
        double ratio = (double)p->sizes.temp_bytes / (double)p->sizes.temp_need;
        sum += ratio;
        if (ratio > worst) worst = ratio;
        ck_assert_int_le(p->n_slabs, 1);
        bm_memplan_destroy(p);
        bm_graph_destroy(g);
    }
    /* Pisarchyk & Lee report greedy by size within a few percent of the bound on networks; random sizes are harder. */
    ck_assert_msg(sum / GRAPHS < 1.08 && worst < 1.4, "mean %.3f, worst %.3f of the bound", sum / GRAPHS, worst);
}
END_TEST

/* The same graph built where the heap looks otherwise. */
START_TEST(a_plan_does_not_depend_on_addresses)
{
    for (uint64_t seed = 0; seed < 20; seed++) {
        bm_graph *a = fake_graph(0), *b = fake_graph(0);
        random_graph(a, seed);
        void *hole = malloc(100000 + 16 * seed);
        random_graph(b, seed);
        bm_memplan *p = plan_with(a, 10000, 64);
        void *more = malloc(50000);
        bm_memplan *q = plan_with(b, 10000, 64);
        ck_assert_int_eq(p->n_storages, q->n_storages);
        for (int i = 0; i < p->n_storages; i++) {
            const bm_storage *x = &p->storages[i], *y = &q->storages[i];
            ck_assert(x->slab == y->slab && x->offset == y->offset && x->bytes == y->bytes && x->first == y->first);
        }
        bm_memplan_destroy(p);
        bm_memplan_destroy(q);
        free(hole);
        free(more);
        bm_graph_destroy(a);
        bm_graph_destroy(b);
    }
}
END_TEST

START_TEST(planning_loads_no_opencl)
{
    bm_graph *g = fake_graph(0);
    random_graph(g, 1);
    bm_limits limits = bm_limits_default(BM_DEVICE_GPU, (int64_t)8 << 30);
    bm_plan_memory m;
    test_ok(bm_plan_memory_of(&m, g, &limits));
    ck_assert(m.temp_bytes > 0 && m.temp_bytes >= m.temp_need);
    ck_assert_int_ge(m.input_bytes, 128 + 256); /* x, and the run-time scalars */
    ck_assert(m.peak_node >= 0 && m.peak_node < g->n_nodes);
    bm_graph_destroy(g);
    FILE *maps = fopen("/proc/self/maps", "r");
    if (!maps) return;
    char line[1024];
    int lines = 0;
    while (fgets(line, sizeof line, maps)) {
        lines++;
        ck_assert_msg(!strstr(line, "libOpenCL") && !strstr(line, "libclblast") && !strstr(line, "libpocl"), "%s", line);
    }
    ck_assert_int_gt(lines, 0);
    fclose(maps);
}
END_TEST

static bm_status plan_random(void *arg)
{
    (void)arg;
    bm_graph *g = NULL;
    bm_graph_opts opts = fake_opts(0);
    bm_status s = bm_graph_create(&g, &opts);
    if (s) return s;
    random_graph(g, 4);
    s = bm_graph_status(g);
    if (!s) s = try_plan(g);
    bm_graph_destroy(g);
    return s;
}

START_TEST(every_failing_allocation_is_told) { test_fail_allocations(plan_random, NULL); }
END_TEST

int main(void)
{
    Suite *s = suite_create("core/graph/memplan");
    TCase *t = tcase_create("sharing");
    tcase_add_test(t, a_chain_that_may_run_in_place_takes_one_piece);
    tcase_add_test(t, an_input_or_an_output_is_never_overwritten);
    tcase_add_test(t, dead_nodes_have_no_memory);
    tcase_add_test(t, an_optional_result_is_there_only_when_used);
    tcase_add_test(t, updates_of_a_cache_live_although_nothing_reads_them);
    tcase_add_test(t, an_update_in_place_that_would_harm_is_refused);
    tcase_add_test(t, two_updates_of_one_operand_are_refused);
    tcase_add_test(t, memory_of_one_operand_goes_to_one_result);
    tcase_add_test(t, a_result_does_not_take_what_another_operand_reads);
    tcase_add_test(t, a_smaller_result_may_take_the_memory_of_a_larger_operand_only);
    suite_add_tcase(s, t);
    t = tcase_create("sizes");
    tcase_add_test(t, what_does_not_fit_one_piece_is_named);
    tcase_add_test(t, the_peak_is_where_most_is_alive_at_once);
    tcase_add_test(t, nothing_to_compute_is_a_plan_too);
    tcase_add_test(t, random_plans_never_overlap_and_respect_slabs);
    tcase_add_test(t, plans_take_little_more_than_what_is_alive_at_once);
    tcase_add_test(t, a_plan_does_not_depend_on_addresses);
    tcase_add_test(t, planning_loads_no_opencl);
    tcase_add_test(t, every_failing_allocation_is_told);
    suite_add_tcase(s, t);
    return test_run(s);
}
