/* Checkpoints read into parameters of other types. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"
#include "models/train/saver.h"
#include "tests/lib/device.h"
#include "tests/lib/test.h"

/* More than a leaf of the file's 16 MiB, which does not end with a row. */
enum { ROWS = 170000, COLUMNS = 25, OTHER = 3 };

/* A model of three tensors, matrices kept in type t. */
static bm_params *params(bm_engine *e, bm_dtype t)
{
    const bm_init init = {BM_INIT_NORMAL, 0.02f};
    bm_graph *g = NULL;
    bm_nn *nn = NULL;
    bm_params *p = NULL;
    test_ok(bm_graph_create(&g, NULL));
    test_ok(bm_nn_create(&nn, g));
    bm_nn_set_stored(nn, t);
    bm_nn_weight(nn, "large", BM_SHAPE(ROWS, COLUMNS), init, BM_SEMANTIC_WEIGHT);
    bm_nn_weight(nn, "bias", BM_SHAPE(COLUMNS), init, BM_SEMANTIC_BIAS);
    bm_nn_weight(nn, "small", BM_SHAPE(OTHER, COLUMNS), init, BM_SEMANTIC_EMBEDDING);
    ck_assert_int_eq(bm_nn_count(nn), 3);
    test_ok(bm_params_create(&p, e, nn, g, &(bm_params_opts){0}));
    bm_nn_destroy(nn);
    bm_graph_destroy(g);
    return p;
}

static void *read_tensor(bm_params *p, const char *name)
{
    const bm_tensor *t = bm_layout_find(bm_params_layout(p), name);
    ck_assert_msg(t != NULL, "no %s", name);
    void *data = malloc((size_t)t->bytes);
    test_ok(bm_bank_read(bm_params_bank(p, BM_PLACE_WEIGHT), t, 0, data, t->bytes));
    return data;
}

static bm_checkpoint *saved(bm_params *p, const bm_optimizer *o)
{
    bm_saver *s = NULL;
    bm_checkpoint *c = NULL;
    bm_ckpt_desc d = bm_ckpt_desc_default();
    d.config_json = d.provenance_json = "{}";
    test_ok(bm_saver_create(&s, p, o));
    test_ok(bm_saver_save(s, test_path("some.h5"), &d, NULL, NULL));
    test_ok(bm_saver_wait(s));
    bm_saver_destroy(s);
    test_ok(bm_checkpoint_open(&c, test_path("some.h5")));
    return c;
}

/* A model with running statistics, as bm_nn_buffer declares them. */
static bm_params *with_buffer(bm_engine *e, int states, int average)
{
    const bm_init init = {BM_INIT_NORMAL, 0.02f}, one = {BM_INIT_CONSTANT, 1};
    bm_graph *g = NULL;
    bm_nn *nn = NULL;
    bm_params *p = NULL;
    test_ok(bm_graph_create(&g, NULL));
    test_ok(bm_nn_create(&nn, g));
    bm_nn_weight(nn, "weight", BM_SHAPE(3, 5), init, BM_SEMANTIC_WEIGHT);
    bm_nn_push(nn, "norm");
    const bm_value *var = bm_nn_buffer(nn, "var", BM_SHAPE(5), one);
    bm_nn_pop(nn);
    ck_assert_str_eq(bm_value_name(var), "norm/var");
    ck_assert_int_eq(bm_value_group(var), BM_NN_BUFFERS);
    test_ok(bm_params_create(&p, e, nn, g, &(bm_params_opts){.gradients = 1, .states = states, .average = average}));
    bm_nn_destroy(nn);
    bm_graph_destroy(g);
    return p;
}

/* A buffer is saved as not trainable and without state, and comes back bit by bit; the other's state does too. */
START_TEST(buffers_are_saved_without_state)
{
    bm_engine *e = test_engine_open();
    const bm_optimizer o = {.name = "sgd", .slots = 1, .slot = {"m"}};
    bm_params *p = with_buffer(e, 1, 0), *q = with_buffer(e, 1, 0);
    test_ok(bm_params_init(p, 5));
    const bm_tensor *w = bm_layout_find(bm_params_layout(p), "weight"), *v = bm_layout_find(bm_params_layout(p), "norm/var");
    const float moved[5] = {0.1f, 2, 3.3f, 4, 5}, m[15] = {1, 2, 3};
    float got[15], *before = read_tensor(p, "norm/var");
    for (int i = 0; i < 5; i++) ck_assert_float_eq(before[i], 1);
    free(before);
    test_ok(bm_bank_write(bm_params_bank(p, BM_PLACE_WEIGHT), v, 0, moved, sizeof moved));
    test_ok(bm_bank_write(bm_params_bank(p, BM_PLACE_STATE0), w, 0, m, sizeof m));
    bm_checkpoint *c = saved(p, &o);
    const bm_ckpt_desc *d = bm_checkpoint_desc(c);
    const int64_t at = bm_checkpoint_find(c, "norm/var");
    ck_assert_int_ge(at, 0);
    ck_assert_int_eq(d->param[at].trainable, 0);
    ck_assert_str_eq(d->param[at].semantic, "buffer");
    ck_assert_int_eq(d->param[bm_checkpoint_find(c, "weight")].trainable, 1);
    ck_assert(bm_checkpoint_entry(c, &(bm_ckpt_tensor){at, 0, 0}) == NULL);
    test_ok(bm_params_load(q, c, &o));
    float *after = read_tensor(q, "norm/var");
    ck_assert_mem_eq(after, moved, sizeof moved);
    test_ok(bm_bank_read(bm_params_bank(q, BM_PLACE_STATE0), w, 0, got, sizeof got));
    ck_assert_mem_eq(got, m, sizeof m);
    free(after);
    bm_checkpoint_close(c);
    bm_params_destroy(p);
    bm_params_destroy(q);
    bm_engine_close(e);
}
END_TEST

static void expect_tensor(bm_params *p, bm_place place, const char *name, const float *want)
{
    const bm_tensor *t = bm_layout_find(bm_params_layout(p), name);
    float got[15];
    test_ok(bm_bank_read(bm_params_bank(p, place), t, 0, got, t->bytes));
    ck_assert_msg(!memcmp(got, want, (size_t)t->bytes), "%s of place %d begins with %g, not %g", name, (int)place, (double)got[0],
                  (double)want[0]);
}

/* They are the parameters of the file: what uses the model has them, a training that goes on the weights beside them. */
START_TEST(averages_are_the_model_and_raw_weights_go_on)
{
    bm_engine *e = test_engine_open();
    const bm_optimizer o = {.name = "sgd", .slots = 1, .slot = {"m"}, .ema = 0.5};
    bm_params *p = with_buffer(e, 1, 1), *again = with_buffer(e, 1, 1), *use = with_buffer(e, 0, 0), *off = with_buffer(e, 1, 0);
    const bm_tensor *w = bm_layout_find(bm_params_layout(p), "weight"), *v = bm_layout_find(bm_params_layout(p), "norm/var");
    const float raw[15] = {1, 2}, mean[15] = {3, 4}, m[15] = {5, 6}, var[5] = {7, 8, 9, 10, 11};
    test_ok(bm_bank_write(bm_params_bank(p, BM_PLACE_WEIGHT), w, 0, raw, sizeof raw));
    test_ok(bm_bank_write(bm_params_bank(p, BM_PLACE_AVERAGE), w, 0, mean, sizeof mean));
    test_ok(bm_bank_write(bm_params_bank(p, BM_PLACE_STATE0), w, 0, m, sizeof m));
    test_ok(bm_bank_write(bm_params_bank(p, BM_PLACE_WEIGHT), v, 0, var, sizeof var));
    test_ok(bm_bank_write(bm_params_bank(p, BM_PLACE_AVERAGE), v, 0, var, sizeof var));
    bm_checkpoint *c = saved(p, &o);
    test_ok(bm_params_load(again, c, &o));
    expect_tensor(again, BM_PLACE_WEIGHT, "weight", raw);
    expect_tensor(again, BM_PLACE_AVERAGE, "weight", mean);
    expect_tensor(again, BM_PLACE_STATE0, "weight", m);
    expect_tensor(again, BM_PLACE_WEIGHT, "norm/var", var);
    expect_tensor(again, BM_PLACE_AVERAGE, "norm/var", var);
    test_ok(bm_params_load(use, c, NULL));
    expect_tensor(use, BM_PLACE_WEIGHT, "weight", mean);
    expect_tensor(use, BM_PLACE_WEIGHT, "norm/var", var);
    test_ok(bm_params_load(off, c, &o)); /* it goes on without averages */
    expect_tensor(off, BM_PLACE_WEIGHT, "weight", raw);
    bm_checkpoint_close(c);
    c = saved(off, &o);
    test_fails(bm_params_load(again, c, &o), BM_ERR_CONFIG, "has no averages of weights for train.ema to go on with: set it to 0");
    bm_checkpoint_close(c);
    bm_params_destroy(p);
    bm_params_destroy(again);
    bm_params_destroy(use);
    bm_params_destroy(off);
    bm_engine_close(e);
}
END_TEST

static void check_matrix(bm_params *wide, bm_params *narrow, const char *name, int64_t rows)
{
    char scale_name[32];
    snprintf(scale_name, sizeof scale_name, "%s/scale", name);
    float *w = read_tensor(wide, name), *scale = read_tensor(narrow, scale_name);
    int8_t *q = read_tensor(narrow, name);
    for (int64_t r = 0; r < rows; r++) {
        double most = 0;
        for (int k = 0; k < COLUMNS; k++) most = fmax(most, fabs((double)w[r * COLUMNS + k]));
        test_that(scale[r] == (float)most / 127, "%s: row %d has scale %g", name, (int)r, (double)scale[r]);
        for (int k = 0; k < COLUMNS; k++)
            test_that(q[r * COLUMNS + k] == rint((double)w[r * COLUMNS + k] / (double)scale[r]), "%s: row %d, column %d is %d", name,
                          (int)r, k, q[r * COLUMNS + k]);
    }
    free(w);
    free(scale);
    free(q);
}

START_TEST(rows_are_narrowed_wherever_the_file_is_cut)
{
    bm_engine *e = test_engine_open();
    bm_params *wide = params(e, BM_F32), *narrow = params(e, BM_I8);
    test_ok(bm_params_init(wide, 5));
    bm_checkpoint *c = saved(wide, NULL);
    test_ok(bm_params_load(narrow, c, NULL));
    ck_assert_int_eq(bm_params_stored(narrow), BM_I8);
    check_matrix(wide, narrow, "large", ROWS);
    check_matrix(wide, narrow, "small", OTHER);
    float *want = read_tensor(wide, "bias"), *got = read_tensor(narrow, "bias");
    ck_assert_mem_eq(got, want, COLUMNS * sizeof *want);
    free(want);
    free(got);
    bm_checkpoint_close(c);
    bm_params_destroy(wide);
    bm_params_destroy(narrow);
    bm_engine_close(e);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("models/train/saver");
    TCase *t = tcase_create("saver");
    tcase_add_test(t, buffers_are_saved_without_state);
    tcase_add_test(t, averages_are_the_model_and_raw_weights_go_on);
    tcase_add_test(t, rows_are_narrowed_wherever_the_file_is_cut);
    suite_add_tcase(s, t);
    return test_run(s);
}
