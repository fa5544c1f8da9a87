#include "models/train/optimizer.h"

#include <string.h>

#include "cl/ops/ops.h"
#include "models/nn/nn.h"
#include "tests/lib/small_gpt.h"
#include "tests/lib/test.h"

static const char *const names[] = {"adamw", "sgd", "adagrad", "rmsprop", "adam", "lion"};
enum { NAMES = sizeof names / sizeof *names };

START_TEST(every_choice_is_a_rule_whose_numbers_are_keys)
{
    static const int slots[NAMES] = {2, 0, 1, 1, 2, 1};
    for (int i = 0; i < NAMES; i++) {
        bm_config *c = small_gpt_config((const char *[]){"train.clip=0.5", NULL});
        test_ok(bm_config_set_string(c, "train.optimizer", names[i]));
        const bm_optimizer o = bm_optimizer_of(c);
        ck_assert_int_eq(o.slots, slots[i]);
        ck_assert_int_gt(o.hypers, 0);
        ck_assert_str_eq(o.hyper[o.hypers - 1].name, "clip");
        ck_assert_double_eq(o.hyper[o.hypers - 1].value, 0.5);
        bm_config_destroy(c);
    }
}
END_TEST

START_TEST(slots_and_numbers_follow_the_keys)
{
    bm_config *c = small_gpt_config((const char *[]){"train.optimizer=rmsprop", "train.centered=true", "train.momentum=0.25", NULL});
    const bm_optimizer o = bm_optimizer_of(c);
    static const struct { const char *name; double value; } want[] = {
        {"alpha", 0.99}, {"eps", 1e-8}, {"momentum", 0.25}, {"centered", 1}, {"clip", 1},
    };
    ck_assert_int_eq(o.slots, 3);
    ck_assert_int_eq(o.hypers, 5);
    for (int i = 0; i < 5; i++) {
        ck_assert_str_eq(o.hyper[i].name, want[i].name);
        ck_assert_double_eq(o.hyper[i].value, want[i].value);
    }
    bm_config_destroy(c);
}
END_TEST

/* The default stands for those that have a decoupled decay; what a checkpoint then says can be read back. */
START_TEST(weight_decay_is_of_adamw_and_lion)
{
    for (int i = 0; i < NAMES; i++) {
        const int has = !strcmp(names[i], "adamw") || !strcmp(names[i], "lion");
        bm_config *c = small_gpt_config((const char *[]){NULL});
        test_ok(bm_config_set_string(c, "train.optimizer", names[i]));
        test_ok(bm_optimizer_check(c));
        ck_assert_double_eq(bm_config_f64(c, "train.weight_decay"), has ? 0.1 : 0);
        test_ok(bm_optimizer_check(c));
        test_ok(bm_config_set(c, "train.weight_decay=0.2"));
        if (has) test_ok(bm_optimizer_check(c));
        else test_fails(bm_optimizer_check(c), BM_ERR_CONFIG, "train.weight_decay: ");
        bm_config_destroy(c);
    }
}
END_TEST

START_TEST(keys_that_an_optimizer_has_not_are_refused)
{
    static const struct { const char *sets[4]; const char *words; } faults[] = {
        {{"train.optimizer=sgd", "train.weight_decay=0.1"},
         "train.weight_decay: sgd has none: set it to 0 (train.l2 is a decay within the gradient)"},
        {{"train.momentum=0.9"}, "train.momentum: adamw has none: set it to 0"},
        {{"train.optimizer=rmsprop", "train.momentum=0.9", "train.nesterov=true"}, "train.nesterov: rmsprop has none: set it to false"},
        {{"train.optimizer=sgd", "train.centered=true"}, "train.centered: sgd has none"},
        {{"train.optimizer=sgd", "train.nesterov=true"}, "train.nesterov: it wants a train.momentum above 0"},
    };
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        bm_config *c = small_gpt_config(faults[i].sets);
        test_fails(bm_optimizer_check(c), BM_ERR_CONFIG, faults[i].words);
        bm_config_destroy(c);
    }
}
END_TEST

typedef struct seen {
    const char *nodes[8];
    double flops[8];
    int n;
} seen;

static void see(void *user, const char *node, bm_cost c)
{
    seen *s = user;
    ck_assert_int_lt(s->n, 8);
    s->nodes[s->n] = node;
    s->flops[s->n++] = c.flops;
}

/* The penalty counts in the norm, and holds for tensors of rank 2 and more alone. */
START_TEST(an_update_is_penalty_norm_and_a_step_of_each_group)
{
    static const char *const order[] = {"penalty", "grad_norm", "adagrad", "adagrad"};
    bm_config *c = small_gpt_config((const char *[]){"train.optimizer=adagrad", _i ? "train.l1=1e-3" : "train.l1=0", NULL});
    bm_graph *g = NULL;
    bm_value *norm;
    bm_graph_opts opts = bm_graph_opts_with_ops();
    seen s = {.n = 0};
    test_ok(bm_graph_create(&g, &opts));
    bm_graph_param(g, "a", BM_F32, BM_SHAPE(6, 7), 0);
    bm_graph_param(g, "b", BM_F32, BM_SHAPE(5), 1);
    bm_graph_param(g, "not trained", BM_F32, BM_SHAPE(1000), BM_NN_BUFFERS);
    test_ok(bm_optimizer_build(&norm, g, c));
    bm_graph_each_cost(g, see, &s);
    ck_assert_int_eq(s.n, 3 + _i);
    for (int i = 0; i < s.n; i++) ck_assert_str_eq(s.nodes[i], order[i + !_i]);
    if (_i) ck_assert_double_eq(s.flops[0], 5 * 42);
    ck_assert_double_eq(s.flops[_i], 2 * 47);
    ck_assert_double_eq(s.flops[s.n - 2] * 5, s.flops[s.n - 1] * 42);
    bm_graph_destroy(g);
    bm_config_destroy(c);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("models/train/optimizer");
    TCase *t = tcase_create("optimizer");
    tcase_add_test(t, every_choice_is_a_rule_whose_numbers_are_keys);
    tcase_add_test(t, slots_and_numbers_follow_the_keys);
    tcase_add_test(t, weight_decay_is_of_adamw_and_lion);
    tcase_add_test(t, keys_that_an_optimizer_has_not_are_refused);
    tcase_add_loop_test(t, an_update_is_penalty_norm_and_a_step_of_each_group, 0, 2);
    suite_add_tcase(s, t);
    return test_run(s);
}
