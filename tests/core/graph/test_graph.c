#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/graph/graph_priv.h"
#include "core/graph/plan.h"
#include "tests/lib/fake.h"
#include "tests/lib/test.h"

/* ---- sticky ---- */

START_TEST(the_first_error_stays_and_nothing_is_built_after_it)
{
    bm_graph *g = fake_graph(0);
    bm_value *a = bm_graph_input(g, "a", BM_F64, BM_SHAPE(3, 4)), *b = bm_graph_input(g, "b", BM_F64, BM_SHAPE(4, 3));
    bm_value *good = fake_sin(g, a);
    bm_graph_scope_push(g, "h%d", 3);
    ck_assert_ptr_null(fake_add(g, a, b));
    bm_graph_scope_pop(g);
    int nodes = g->n_nodes, values = g->n_values;
    ck_assert_ptr_null(fake_linear(g, good, a, NULL)); /* would be another error */
    ck_assert_ptr_null(fake_sin(g, good));
    ck_assert_ptr_null(bm_reshape(g, good, BM_SHAPE(12)));
    ck_assert_ptr_null(bm_graph_input(g, "c", BM_F64, BM_SHAPE(1)));
    ck_assert_ptr_null(bm_graph_param(g, "w", BM_F64, BM_SHAPE(1), 0));
    ck_assert_ptr_null(bm_graph_cache(g, "k", BM_F64, BM_SHAPE(1)));
    ck_assert_ptr_null(bm_graph_output(g, good, "y"));
    bm_graph_recompute_begin(g);
    bm_graph_recompute_begin(g);
    ck_assert_int_eq(g->n_nodes, nodes);
    ck_assert_int_eq(g->n_values, values);
    (void)bm_fail(BM_ERR_IO, "something else went wrong meanwhile");
    test_fails(bm_graph_status(g), BM_ERR_SHAPE, "h3/add: a [3, 4] and b [4, 3] differ");
    test_fails(bm_graph_gradients(g, good), BM_ERR_SHAPE, "h3/add");
    bm_plan_memory m;
    bm_limits limits = bm_limits_default(BM_DEVICE_CPU, 1 << 30);
    test_fails(bm_plan_memory_of(&m, g, &limits), BM_ERR_SHAPE, "h3/add");
    bm_layout *l = (bm_layout *)g;
    test_fails(bm_layout_create(&l, g, BM_PLACE_WEIGHT, &limits), BM_ERR_SHAPE, "h3/add");
    ck_assert_ptr_null(l);
    bm_graph_destroy(g);
    bm_graph_destroy(NULL);
}
END_TEST

START_TEST(missing_operands_pass_through_or_are_told)
{
    bm_graph *g = fake_graph(0);
    bm_value *a = bm_graph_input(g, "a", BM_F64, BM_SHAPE(4));
    ck_assert_ptr_null(bm_reshape(g, NULL, BM_SHAPE(4)));
    ck_assert_ptr_null(bm_graph_output(g, NULL, "y"));
    ck_assert_ptr_null(bm_node_first(NULL));
    test_ok(bm_graph_status(g));
    ck_assert_ptr_null(fake_add(g, a, NULL)); /* nothing failed before, so this is the mistake */
    test_fails(bm_graph_status(g), BM_ERR_USAGE, "add: operand 1 is missing");
    bm_graph_destroy(g);
}
END_TEST

START_TEST(a_shape_rule_that_fails_names_its_node)
{
    bm_graph *g = fake_graph(0);
    bm_value *a = bm_graph_input(g, "a", BM_F64, BM_SHAPE(4));
    fake_any_attrs attrs = {.infer_status = BM_ERR_UNSUPPORTED};
    bm_graph_scope_push(g, "encoder");
    bm_graph_scope_push(g, "h%d", 11);
    ck_assert_ptr_null(fake_any(g, &attrs, &a, 1));
    test_fails(bm_graph_status(g), BM_ERR_UNSUPPORTED, "encoder/h11/any: refused by the test");
    bm_graph_destroy(g);

    g = fake_graph(0);
    a = bm_graph_input(g, "a", BM_F64, BM_SHAPE(4));
    fake_any_attrs shape = {.n_outputs = 1, .shape[0] = {2, {3, -1}}};
    ck_assert_ptr_null(fake_any(g, &shape, &a, 1));
    ck_assert_int_eq(bm_graph_status(g), BM_ERR_SHAPE);
    bm_graph_destroy(g);

    g = fake_graph(0);
    bm_value *many[BM_MAX_INPUTS + 1];
    for (int i = 0; i <= BM_MAX_INPUTS; i++) many[i] = bm_graph_input(g, "a", BM_F64, BM_SHAPE(4));
    fake_any_attrs none = {0};
    ck_assert_ptr_nonnull(fake_any(g, &none, many, BM_MAX_INPUTS));
    ck_assert_ptr_null(fake_any(g, &none, many, BM_MAX_INPUTS + 1));
    test_fails(bm_graph_status(g), BM_ERR_USAGE, "more than 12 inputs");
    bm_graph_destroy(g);
}
END_TEST

static bm_status too_many_outputs(bm_graph *g, bm_node *n)
{
    for (int i = 0; i <= BM_MAX_OUTPUTS; i++) bm_node_output(g, n, BM_F64, BM_SHAPE(1));
    return BM_OK;
}

START_TEST(a_node_with_too_many_outputs_is_refused)
{
    static const bm_op op = {.name = "hydra", .infer = too_many_outputs};
    bm_graph *g = fake_graph(0);
    ck_assert_ptr_null(bm_node_create(g, &op, NULL, NULL, 0, 0));
    test_fails(bm_graph_status(g), BM_ERR_USAGE, "hydra has more than 6 outputs");
    bm_graph_destroy(g);
}
END_TEST

/* ---- names ---- */

START_TEST(a_name_means_one_value_in_each_place)
{
    bm_graph *g = fake_graph(0);
    const bm_shape shape = BM_SHAPE(2, 3);
    bm_value *w = bm_graph_param(g, "w", BM_F32, shape, 0);
    ck_assert_ptr_eq(bm_graph_param(g, "w", BM_F32, BM_SHAPE(2, 3), 0), w);
    ck_assert_ptr_ne(bm_graph_input(g, "w", BM_F32, BM_SHAPE(2, 3)), w);
    ck_assert_ptr_ne(bm_graph_cache(g, "w", BM_F32, BM_SHAPE(2, 3)), w);
    ck_assert_str_eq(bm_value_name(w), "w");
    ck_assert_int_eq(bm_value_dtype(w), BM_F32);
    ck_assert(bm_shape_equal(bm_value_shape(w), &shape));
    test_ok(bm_graph_status(g));
    ck_assert_ptr_null(bm_graph_param(g, "w", BM_F32, BM_SHAPE(3, 2), 0));
    test_fails(bm_graph_status(g), BM_ERR_SHAPE, "w is declared twice, as f32 [2, 3] and as f32 [3, 2]");
    bm_graph_destroy(g);

    g = fake_graph(0);
    bm_graph_param(g, "w", BM_F32, BM_SHAPE(2), 0);
    ck_assert_ptr_null(bm_graph_param(g, "w", BM_BF16, BM_SHAPE(2), 0));
    test_fails(bm_graph_status(g), BM_ERR_SHAPE, "as f32 [2] and as bf16 [2]");
    bm_graph_destroy(g);

    g = fake_graph(0);
    bm_graph_param(g, "w", BM_F32, BM_SHAPE(2), 0);
    ck_assert_ptr_null(bm_graph_param(g, "w", BM_F32, BM_SHAPE(2), 1));
    test_fails(bm_graph_status(g), BM_ERR_USAGE, "w is declared in group 0 and in group 1");
    bm_graph_destroy(g);
}
END_TEST

START_TEST(a_scaled_parameter_is_two)
{
    bm_graph *g = fake_graph(0);
    bm_value *q = bm_graph_param_scaled(g, "a/w", BM_SHAPE(5, 3), 1), *scale = bm_value_scale(q);
    test_ok(bm_graph_status(g));
    const bm_shape rows = BM_SHAPE(5);
    ck_assert_int_eq(bm_value_dtype(q), BM_I8);
    ck_assert_int_eq(bm_value_dtype(scale), BM_F32);
    ck_assert_str_eq(bm_value_name(scale), "a/w/scale");
    ck_assert(bm_shape_equal(bm_value_shape(scale), &rows));
    ck_assert_int_eq(bm_value_group(scale), 1);
    ck_assert_ptr_null(bm_value_scale(scale));
    ck_assert_ptr_eq(bm_graph_param_scaled(g, "a/w", BM_SHAPE(5, 3), 1), q);
    ck_assert_ptr_eq(bm_graph_param_find(g, "a/w"), q);
    ck_assert_ptr_eq(bm_reshape(g, q, BM_SHAPE(5, 3)), q);
    ck_assert_ptr_eq(bm_value_scale(q), scale);
    ck_assert_ptr_null(bm_reshape(g, q, BM_SHAPE(15)));
    test_fails(bm_graph_status(g), BM_ERR_UNSUPPORTED, "a/w has scaled rows");
    bm_graph_destroy(g);

    g = fake_graph(0);
    ck_assert_ptr_null(bm_graph_param_scaled(g, "w", BM_SHAPE(5), 0));
    test_fails(bm_graph_status(g), BM_ERR_SHAPE, "w has 1 dimensions");
    bm_graph_destroy(g);

    g = fake_graph(0);
    bm_graph_param(g, "w/scale", BM_F32, BM_SHAPE(4), 0);
    ck_assert_ptr_null(bm_graph_param_scaled(g, "w", BM_SHAPE(5, 3), 0));
    test_fails(bm_graph_status(g), BM_ERR_SHAPE, "w/scale is declared twice");
    bm_graph_destroy(g);
}
END_TEST

START_TEST(groups_names_and_shapes_out_of_range_are_refused)
{
    static const int groups[] = {-1, BM_MAX_GROUPS};
    for (int i = 0; i < 2; i++) {
        bm_graph *g = fake_graph(0);
        ck_assert_ptr_null(bm_graph_param(g, "w", BM_F32, BM_SHAPE(2), groups[i]));
        test_fails(bm_graph_status(g), BM_ERR_USAGE, "w: there is no group");
        bm_graph_destroy(g);
    }
    char name[300];
    memset(name, 'n', sizeof name);
    static const size_t lengths[] = {0, 255, 256, 299};
    for (int i = 0; i < 4; i++) {
        bm_graph *g = fake_graph(0);
        name[lengths[i]] = 0;
        bm_value *v = bm_graph_input(g, name, BM_F32, BM_SHAPE(2));
        name[lengths[i]] = 'n';
        ck_assert_int_eq(v != NULL, lengths[i] == 255);
        ck_assert_int_eq(bm_graph_status(g), v ? BM_OK : BM_ERR_USAGE);
        bm_graph_destroy(g);
    }
    bm_graph *g = fake_graph(0);
    ck_assert_ptr_null(bm_graph_input(g, "x", BM_F32, BM_SHAPE(1 << 30, 1 << 30, 1 << 30)));
    test_fails(bm_graph_status(g), BM_ERR_SHAPE, "x: ");
    bm_graph_destroy(g);
}
END_TEST

START_TEST(a_copy_of_a_parameter_is_in_16_bits_and_has_its_gradient)
{
    bm_graph *g = fake_graph(0);
    bm_value *w = bm_graph_param(g, "w", BM_F32, BM_SHAPE(3, 4), 1), *half = bm_graph_half(g, w, BM_BF16);
    ck_assert_ptr_eq(bm_graph_half(g, w, BM_BF16), half);
    ck_assert_ptr_eq(bm_graph_half_find(g, "w"), half);
    ck_assert_ptr_eq(bm_graph_param_find(g, "w"), w);
    ck_assert_ptr_null(bm_graph_half_find(g, "v"));
    ck_assert_ptr_null(bm_graph_half(g, NULL, BM_BF16));
    ck_assert_int_eq(bm_value_dtype(half), BM_BF16);
    ck_assert_int_eq(bm_value_group(half), 1);
    ck_assert_int_eq(bm_grad_dtype(half), BM_F32);
    ck_assert_ptr_eq(bm_graph_slot(g, half), bm_graph_slot(g, w));
    test_ok(bm_graph_status(g));
    ck_assert_ptr_null(bm_graph_half(g, w, BM_F16)); /* one type for all who read it */
    test_fails(bm_graph_status(g), BM_ERR_SHAPE, "w is declared twice, as bf16 [3, 4] and as f16 [3, 4]");
    bm_graph_destroy(g);
    for (int i = 0; i < 4; i++) {
        g = fake_graph(0);
        w = i == 2 ? bm_graph_input(g, "x", BM_F32, BM_SHAPE(4)) : bm_graph_param(g, "w", i == 3 ? BM_F16 : BM_F32, BM_SHAPE(4), 0);
        ck_assert_ptr_null(bm_graph_half(g, w, i == 0 ? BM_F32 : i == 1 ? BM_I16 : BM_BF16));
        test_fails(bm_graph_status(g), BM_ERR_USAGE, "is of an f32 parameter in f16 or bf16");
        bm_graph_destroy(g);
    }
}
END_TEST

START_TEST(a_constant_is_copied_and_has_one_content)
{
    bm_graph *g = fake_graph(0);
    float data[2] = {1, 2};
    bm_value *c = bm_graph_constant(g, "c", BM_F32, BM_SHAPE(2), data);
    ck_assert_ptr_eq(bm_graph_constant(g, "c", BM_F32, BM_SHAPE(2), data), c);
    data[1] = 3;
    ck_assert_float_eq(((const float *)c->data)[1], 2);
    test_ok(bm_graph_status(g));
    ck_assert_ptr_null(bm_graph_constant(g, "c", BM_F32, BM_SHAPE(2), data));
    test_fails(bm_graph_status(g), BM_ERR_USAGE, "c is declared twice, with other data");
    bm_graph_destroy(g);

    g = fake_graph(0);
    bm_graph_input(g, "c", BM_F32, BM_SHAPE(2));
    ck_assert_ptr_null(bm_graph_constant(g, "c", BM_F32, BM_SHAPE(2), data));
    test_fails(bm_graph_status(g), BM_ERR_USAGE, "without data");
    bm_graph_destroy(g);

    g = fake_graph(0);
    bm_graph_constant(g, "c", BM_F32, BM_SHAPE(2), data);
    ck_assert_ptr_null(bm_graph_input(g, "c", BM_F32, BM_SHAPE(2)));
    test_fails(bm_graph_status(g), BM_ERR_USAGE, "c is declared as a constant and as an input");
    bm_graph_destroy(g);

    g = fake_graph(0);
    ck_assert_ptr_nonnull(bm_graph_constant(g, "nothing", BM_F32, BM_SHAPE(0), NULL));
    bm_graph_destroy(g);
}
END_TEST

START_TEST(scopes_name_nodes_and_nest)
{
    bm_graph *g = fake_graph(0);
    bm_value *x = bm_graph_input(g, "x", BM_F64, BM_SHAPE(4));
    bm_graph_scope_push(g, "h%d", 3);
    bm_graph_scope_push(g, "attn");
    bm_value *y = fake_norm(g, x);
    bm_graph_scope_pop(g);
    bm_value *z = fake_sin(g, y);
    bm_graph_scope_pop(g);
    bm_graph_scope_pop(g); /* one too many does no harm */
    ck_assert_str_eq(y->node->name, "h3/attn/norm");
    ck_assert_str_eq(y->node->outputs[1]->name, "h3/attn/norm:1");
    ck_assert_str_eq(z->node->name, "h3/sin");
    ck_assert_str_eq(fake_sin(g, z)->node->name, "sin");
    bm_graph_scope_push(g, "%0300d", 1); /* does not fit: unnamed */
    bm_graph_scope_push(g, "inner");
    ck_assert_str_eq(fake_sin(g, z)->node->name, "inner/sin");
    bm_graph_scope_pop(g);
    bm_graph_scope_pop(g);
    ck_assert_str_eq(fake_sin(g, z)->node->name, "sin");
    test_ok(bm_graph_status(g));
    for (int i = 0; i < 17; i++) bm_graph_scope_push(g, "a");
    test_fails(bm_graph_status(g), BM_ERR_USAGE, "more than 16 scopes");
    bm_graph_destroy(g);
}
END_TEST

START_TEST(a_gradient_is_named_like_what_it_belongs_to)
{
    bm_graph *g = fake_graph(0);
    bm_graph_scope_push(g, "h5");
    bm_value *y = fake_sin(g, bm_graph_param(g, "w", BM_F64, BM_SHAPE(4), 0));
    bm_graph_scope_pop(g);
    test_ok(bm_graph_gradients(g, fake_sum(g, y)));
    ck_assert_str_eq(g->nodes[g->n_nodes - 1]->name, "h5/sin_gradient");
    ck_assert_str_eq(fake_sin(g, y)->node->name, "sin");
    bm_graph_destroy(g);
}
END_TEST

/* ---- views ---- */

START_TEST(a_reshape_is_the_same_memory)
{
    bm_graph *g = fake_graph(0);
    bm_value *x = bm_graph_input(g, "x", BM_F64, BM_SHAPE(3, 4));
    int before = g->n_values;
    ck_assert_ptr_eq(bm_reshape(g, x, BM_SHAPE(3, 4)), x);
    ck_assert_int_eq(g->n_values, before);
    bm_value *v = bm_reshape(g, bm_reshape(g, x, BM_SHAPE(12)), BM_SHAPE(2, 6));
    ck_assert_ptr_eq(bm_graph_storage(v), x);
    ck_assert_ptr_null(bm_reshape(g, v, BM_SHAPE(5, 2)));
    test_fails(bm_graph_status(g), BM_ERR_SHAPE, "x [2, 6] cannot be seen as [5, 2]");
    bm_graph_destroy(g);
}
END_TEST

START_TEST(recompute_blocks_do_not_nest)
{
    bm_graph *g = fake_graph(0);
    bm_graph_recompute_begin(g);
    bm_graph_recompute_end(g);
    test_ok(bm_graph_status(g));
    bm_graph_recompute_end(g);
    test_fails(bm_graph_status(g), BM_ERR_USAGE, "ends that was not begun");
    bm_graph_destroy(g);
    g = fake_graph(0);
    bm_graph_recompute_begin(g);
    bm_graph_recompute_begin(g);
    test_fails(bm_graph_status(g), BM_ERR_USAGE, "do not nest");
    bm_graph_destroy(g);
}
END_TEST

/* ---- dumps ---- */

static bm_graph *small_network(void)
{
    bm_graph *g = fake_graph(0);
    bm_value *x = bm_graph_input(g, "x", BM_F64, BM_SHAPE(3, 4));
    bm_value *w = bm_graph_param(g, "h0/\"w\\\"", BM_F64, BM_SHAPE(2, 4), 0);
    bm_graph_scope_push(g, "h0");
    bm_graph_recompute_begin(g);
    bm_value *y = bm_reshape(g, fake_tanh(g, fake_linear(g, x, w, NULL)), BM_SHAPE(6));
    bm_graph_recompute_end(g);
    bm_graph_scope_pop(g);
    test_ok(bm_graph_gradients(g, bm_graph_output(g, fake_sum(g, y), "loss")));
    return g;
}

START_TEST(the_text_dump_has_a_line_per_node_and_leaf)
{
    bm_graph *g = small_network();
    bm_str s;
    bm_str_init(&s);
    bm_graph_dump_text(g, &s);
    test_ok(bm_str_status(&s));
    const char *text = bm_str_text(&s);
    test_text_holds(text, "%0 f64 [3, 4] = input x\n");
    test_text_holds(text, "%1 f64 [2, 4] = weight h0/\"w\\\"\n");
    test_text_holds(text, "%2 f64 [3, 2] = linear(%0, %1, -)  # h0/linear, computed again for the gradient\n");
    test_text_holds(text, "%3 f64 [3, 2] = tanh(%2)  # h0/tanh, computed again for the gradient\n");
    test_text_holds(text, "%5 f64 [1] = sum(%3)  # sum\n");
    test_text_holds(text, " -> grad h0/\"w\\\" = product(");
    int lines = 0, leaves = 0;
    for (const char *p = text; *p; p++) lines += *p == '\n';
    for (int i = 0; i < g->n_values; i++) leaves += !g->values[i]->node && !g->values[i]->view_of;
    ck_assert_int_eq(lines, g->n_nodes + leaves);
    bm_str_finish(&s);
    bm_graph_destroy(g);
}
END_TEST

START_TEST(graphviz_reads_the_dot_dump)
{
    bm_graph *g = small_network();
    bm_str s;
    bm_str_init(&s);
    bm_graph_dump_dot(g, &s);
    test_ok(bm_str_status(&s));
    int edges = 0, operands = 0;
    for (const char *p = bm_str_text(&s); (p = strstr(p, " -> ")); p++) edges++;
    for (int i = 0; i < g->n_nodes; i++)
        for (int j = 0; j < g->nodes[i]->n_inputs; j++) operands += g->nodes[i]->inputs[j] != NULL;
    ck_assert_int_eq(edges, operands);
    test_text_holds(bm_str_text(&s), "label=\"h0/\\\"w\\\\\\\"\\nf64 [2, 4]\"");
    if (system("dot -V >dot.log 2>&1") == 0) {
        FILE *f = fopen(test_path("graph.dot"), "w");
        ck_assert_ptr_nonnull(f);
        ck_assert_int_ge(fputs(bm_str_text(&s), f), 0);
        ck_assert_int_eq(fclose(f), 0);
        char command[4500];
        snprintf(command, sizeof command, "dot -Tplain '%s' -o '%s' >>dot.log 2>&1", test_path("graph.dot"), test_path("graph.plain"));
        ck_assert_int_eq(system(command), 0);
    }
    bm_str_finish(&s);
    bm_graph_destroy(g);
}
END_TEST

/* ---- memory ---- */

static bm_status build_everything(void *arg)
{
    (void)arg;
    static const double big[8192]; /* a constant larger than a block of the arena */
    bm_graph *g = NULL;
    bm_graph_opts opts = fake_opts(0);
    bm_status s = bm_graph_create(&g, &opts);
    if (s) return s;
    bm_str text;
    bm_str_init(&text);
    bm_value *x = bm_graph_constant(g, "x", BM_F64, BM_SHAPE(8192), big), *c = NULL;
    for (int i = 0; i < 40; i++) {
        bm_value *y = fake_sincos(g, &c, x);
        x = fake_add(g, y, c);
    }
    bm_graph_want_gradient(g, x);
    bm_value *p = bm_graph_param(g, "p", BM_F64, BM_SHAPE(8192), 0);
    bm_graph_output(g, bm_reshape(g, fake_mul(g, x, p), BM_SHAPE(2, 4096)), "y");
    bm_graph_gradients(g, fake_sum(g, fake_mul(g, x, p)));
    bm_graph_dump_text(g, &text);
    bm_graph_dump_dot(g, &text);
    s = bm_graph_status(g);
    if (!s) s = bm_str_status(&text);
    bm_str_finish(&text);
    bm_graph_destroy(g);
    return s;
}

START_TEST(every_failing_allocation_is_told) { test_fail_allocations(build_everything, NULL); }
END_TEST

int main(void)
{
    Suite *s = suite_create("core/graph/graph");
    TCase *t = tcase_create("builders");
    tcase_add_test(t, the_first_error_stays_and_nothing_is_built_after_it);
    tcase_add_test(t, missing_operands_pass_through_or_are_told);
    tcase_add_test(t, a_shape_rule_that_fails_names_its_node);
    tcase_add_test(t, a_node_with_too_many_outputs_is_refused);
    tcase_add_test(t, a_name_means_one_value_in_each_place);
    tcase_add_test(t, a_scaled_parameter_is_two);
    tcase_add_test(t, groups_names_and_shapes_out_of_range_are_refused);
    tcase_add_test(t, a_copy_of_a_parameter_is_in_16_bits_and_has_its_gradient);
    tcase_add_test(t, a_constant_is_copied_and_has_one_content);
    tcase_add_test(t, scopes_name_nodes_and_nest);
    tcase_add_test(t, a_gradient_is_named_like_what_it_belongs_to);
    tcase_add_test(t, a_reshape_is_the_same_memory);
    tcase_add_test(t, recompute_blocks_do_not_nest);
    tcase_add_test(t, the_text_dump_has_a_line_per_node_and_leaf);
    tcase_add_test(t, graphviz_reads_the_dot_dump);
    tcase_add_test(t, every_failing_allocation_is_told);
    suite_add_tcase(s, t);
    return test_run(s);
}
