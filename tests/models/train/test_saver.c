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

static bm_checkpoint *saved(bm_params *p)
{
    bm_saver *s = NULL;
    bm_checkpoint *c = NULL;
    bm_ckpt_desc d = bm_ckpt_desc_default();
    d.config_json = d.provenance_json = "{}";
    test_ok(bm_saver_create(&s, p, NULL));
    test_ok(bm_saver_save(s, test_path("some.h5"), &d, NULL, NULL));
    test_ok(bm_saver_wait(s));
    bm_saver_destroy(s);
    test_ok(bm_checkpoint_open(&c, test_path("some.h5")));
    return c;
}

static void check_matrix(bm_params *wide, bm_params *narrow, const char *name, int64_t rows)
{
    char scale_name[32];
    snprintf(scale_name, sizeof scale_name, "%s/scale", name);
    float *w = read_tensor(wide, name), *scale = read_tensor(narrow, scale_name);
    int8_t *q = read_tensor(narrow, name);
    for (int64_t r = 0; r < rows; r++) {
        double most = 0;
        for (int k = 0; k < COLUMNS; k++) most = fmax(most, fabs((double)w[r * COLUMNS + k]));
        ck_assert_msg(scale[r] == (float)most / 127, "%s: row %d has scale %g", name, (int)r, (double)scale[r]);
        for (int k = 0; k < COLUMNS; k++)
            ck_assert_msg(q[r * COLUMNS + k] == rint((double)w[r * COLUMNS + k] / (double)scale[r]), "%s: row %d, column %d is %d", name,
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
    bm_checkpoint *c = saved(wide);
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
    tcase_add_test(t, rows_are_narrowed_wherever_the_file_is_cut);
    suite_add_tcase(s, t);
    return test_run(s);
}
