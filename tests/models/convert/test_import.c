/* Networks as Keras and PyTorch saved them tell what they told there; files that do not fit say why. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "io/formats/safetensors.h"
#include "io/store/checkpoint.h"
#include "models/convert/convert.h"
#include "models/nn/network.h"
#include "models/nn/params.h"
#include "models/train/saver.h"
#include "tests/lib/device.h"
#include "tests/lib/h5fixture.h"
#include "tests/lib/test.h"

static const char *const cases[] = {"lstm", "gru", "rnn_tags", "rnn", "torch", "torch_bare"};
enum { CASES = sizeof cases / sizeof *cases, BATCH = 3, PLACES = 6 };

static h5fixture *fixture;

static void open_fixture(void) { fixture = h5fixture_open("keras.h5"); }
static void close_fixture(void) { h5fixture_close(fixture); }

static const char *at(const char *network, const char *path)
{
    static char full[2][100];
    static int turn;
    snprintf(full[turn ^= 1], sizeof full[0], "/%s/%s", network, path);
    return full[turn];
}

/* The network's file and bm's configuration of it, in the test's folder. `set` ("width: 6") replaces that key of it;
 * NULL: nothing. */
static void unpack(char file[300], char config[300], const char *network, const char *set)
{
    int64_t n;
    int32_t *wide = h5fixture_i32(fixture, at(network, "file"), &n);
    char *bytes = malloc((size_t)n), *name = h5fixture_text(fixture, at(network, ""), "name"),
         *text = h5fixture_text(fixture, at(network, ""), "config"), other[400];
    for (int64_t i = 0; i < n; i++) bytes[i] = (char)wide[i];
    snprintf(file, 300, "%s", test_path(name));
    test_ok(bm_file_replace(file, bytes, (size_t)n));
    const int key = set ? (int)strcspn(set, ":") + 1 : 0;
    char word[40];
    snprintf(word, sizeof word, " %.*s", key, set ? set : "");
    char *old = set ? strstr(text, word) : text;
    ck_assert_ptr_nonnull(old);
    snprintf(other, sizeof other, "%.*s%s%s%s", (int)(old - text), text, set ? " " : "", set ? set : "",
             old + (set ? strcspn(old, ",}") : 0));
    snprintf(config, 300, "%s", test_path("model.yaml"));
    test_ok(bm_file_replace(config, other, strlen(other)));
    free(wide);
    free(bytes);
    free(name);
    free(text);
}

static bm_status import(const char *in, const char *out, const char *config)
{
    return bm_convert_import(in, test_path(out), &(bm_convert_opts){.config = config, .replace = 1});
}

/* What the checkpoint's network makes of the fixture's inputs. */
static float *forward(const char *network, const char *checkpoint, int64_t *n)
{
    size_t families;
    bm_engine *e = test_engine_shared();
    bm_checkpoint *c = NULL;
    bm_config *config = NULL;
    bm_params *params = NULL;
    bm_network p = {0};
    int banks;
    const bm_config_family *const *all = bm_model_families(&families);
    test_ok(bm_checkpoint_open(&c, test_path(checkpoint)));
    const char *json = bm_checkpoint_desc(c)->config_json;
    test_ok(bm_config_create(&config, all, families));
    test_ok(bm_config_from_json(config, json, strlen(json), checkpoint));
    const bm_model_request r = {.mode = BM_MODEL_EVAL, .batch = BATCH, .window = PLACES};
    test_ok(bm_network_build(&p, bm_model_find("rnn"), config, &r, 0));
    bm_graph_output(p.graph, p.io.logits, "logits");
    test_ok(bm_params_create(&params, e, p.nn, p.graph, &(bm_params_opts){0}));
    test_ok(bm_params_load(params, c, NULL));
    const bm_plan_opts o = {.gemm = "tiled", .banks = bm_params_banks(params, &banks), .n_banks = banks};
    test_ok(bm_network_plan(&p, e, &o));
    void *x = p.io.vocab ? (void *)h5fixture_i32(fixture, at(network, "x"), NULL)
                         : h5fixture_f32(fixture, at(network, "x"), NULL);
    void *none = calloc(1, (size_t)bm_shape_elements(bm_value_shape(p.io.targets)) * 4);
    test_ok(bm_plan_write(p.plan, p.io.inputs, x));
    test_ok(bm_plan_write(p.plan, p.io.targets, none));
    test_ok(bm_plan_run(p.plan));
    *n = bm_shape_elements(bm_value_shape(p.io.logits));
    float *y = malloc((size_t)*n * sizeof *y);
    test_ok(bm_plan_read(p.plan, p.io.logits, y));
    free(x);
    free(none);
    bm_network_finish(&p);
    bm_params_destroy(params);
    bm_config_destroy(config);
    bm_checkpoint_close(c);
    return y;
}

START_TEST(a_network_tells_what_it_told_there)
{
    char file[300], config[300];
    int64_t n, wanted;
    int foreign = 0;
    unpack(file, config, cases[_i], NULL);
    test_ok(bm_convert_is_foreign(&foreign, file));
    ck_assert(foreign);
    test_ok(import(file, "in.h5", config));
    test_ok(bm_convert_is_foreign(&foreign, test_path("in.h5")));
    ck_assert(!foreign);
    float *got = forward(cases[_i], "in.h5", &n), *want = h5fixture_f32(fixture, at(cases[_i], "y"), &wanted), most = 0;
    ck_assert_int_eq(n, wanted);
    for (int64_t i = 0; i < n; i++) {
        most = fmaxf(most, fabsf(want[i]));
        test_that(fabsf(got[i] - want[i]) <= 1e-5f, "%s: number %d is %.9g, not %.9g", cases[_i], (int)i,
                  (double)got[i], (double)want[i]);
    }
    ck_assert(most > 0.1f);
    free(got);
    free(want);
}
END_TEST

/* ---- out and in again ---- */

static bm_status keep(void *user, const bm_ckpt_tensor *t, const void *data, int64_t first, int64_t count)
{
    float **all = user;
    (void)t;
    (void)first;
    memcpy(*all, data, (size_t)count * sizeof **all);
    *all += count;
    return BM_OK;
}

static float *weights(const char *checkpoint, int64_t *n)
{
    bm_checkpoint *c = NULL;
    test_ok(bm_checkpoint_open(&c, test_path(checkpoint)));
    const bm_ckpt_desc *d = bm_checkpoint_desc(c);
    *n = 0;
    for (int64_t i = 0; i < d->params; i++) *n += bm_shape_elements(&d->param[i].shape);
    float *all = malloc((size_t)*n * sizeof *all), *end = all;
    test_ok(bm_checkpoint_read_all(c, keep, &end));
    ck_assert_int_eq(end - all, *n);
    bm_checkpoint_close(c);
    return all;
}

START_TEST(what_is_written_is_read_again_without_a_configuration)
{
    static const char *const names[] = {"embedding.weight", "rnn.weight_ih_l0", "rnn.bias_hh_l1_reverse", "head.weight",
                                        "head.bias"};
    char file[300], config[300];
    int64_t n, m;
    bm_safetensors *s = NULL;
    unpack(file, config, "torch", NULL);
    test_ok(import(file, "first.h5", config));
    const bm_convert_opts o = {.replace = 1};
    test_ok(bm_convert_export(test_path("first.h5"), test_path("out.safetensors"), &o));
    test_ok(bm_safetensors_open(&s, test_path("out.safetensors")));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        ck_assert_msg(bm_safetensors_find(s, names[i]) != NULL, "no %s", names[i]);
    ck_assert_ptr_null(strstr(bm_safetensors_meta(s, "config"), test_folder())); /* nothing of this machine */
    bm_safetensors_close(s);
    test_ok(import(test_path("out.safetensors"), "second.h5", NULL));
    float *a = weights("first.h5", &n), *b = weights("second.h5", &m);
    ck_assert_int_eq(n, m);
    ck_assert_int_eq(memcmp(a, b, (size_t)n * sizeof *a), 0);
    free(a);
    free(b);
}
END_TEST

/* ---- what does not fit ---- */

static const struct {
    const char *network, *set;
    bm_status status;
    const char *words;
} bad[] = {
    {"reset_before", NULL, BM_ERR_SHAPE,
     "layers/gru/cell/vars/2 is [12], the configuration wants [2, 12]; bias [2, 3 H] of GRU(reset_after=True)"},
    {"legacy", NULL, BM_ERR_REFUSED, "save_weights(\"NAME.weights.h5\")"},
    {"lstm", "layers: 3", BM_ERR_CONFIG,
     "has no tensor layers/lstm_2/cell/vars/0; it has layers/dense/vars/0, layers/dense/vars/1, layers/emb"},
    {"lstm", "layers: 1", BM_ERR_UNSUPPORTED,
     "no place for the tensors layers/lstm_1/cell/vars/0, layers/lstm_1/cell/vars/1, layers/lstm_1/"},
    {"lstm", "width: 7", BM_ERR_SHAPE, "layers/lstm/cell/vars/0 is [5, 24], the configuration wants [5, 28]"},
    {"lstm", "cell: gru", BM_ERR_CONFIG, "has no tensor layers/gru/cell/vars/0"},
    {"lstm", "vocab: null", BM_ERR_CONFIG, "model.vocab is null"},
    {"gru", "cell: lstm", BM_ERR_SHAPE,
     "layers/bidirectional/forward_layer/cell/vars/0 is [4, 18], the configuration wants [4, 24]"},
    {"gru", "bidirectional: false", BM_ERR_SHAPE,
     "layers/bidirectional_1/forward_layer/cell/vars/0 is [12, 18], the configuration wants [6, 18]"},
    {"rnn", "outputs: 3", BM_ERR_SHAPE, "layers/dense/vars/0 is [5, 2], the configuration wants [5, 3]"},
    {"torch", "layers: 3", BM_ERR_CONFIG, "has no tensor rnn.weight_ih_l2"},
    {"torch", "layers: 1", BM_ERR_UNSUPPORTED, "no place for the tensors encoder.net."},
    {"torch", "vocab: null, features: 4", BM_ERR_UNSUPPORTED, "no place for the tensor words.weight"},
    {"torch", "width: 6", BM_ERR_SHAPE, "weight_ih_l0 is [15, 4], the configuration wants [18, 4]"},
};

START_TEST(what_does_not_fit_is_named)
{
    char file[300], config[300];
    unpack(file, config, bad[_i].network, bad[_i].set);
    test_fails(import(file, "bad.h5", config), bad[_i].status, bad[_i].words);
    ck_assert(!bm_path_exists(test_path("bad.h5")));
}
END_TEST

START_TEST(what_is_no_weights_file_is_told_apart)
{
    char file[300], config[300];
    unpack(file, config, "lstm", NULL);
    test_fails(import(file, "bad.h5", NULL), BM_ERR_CONFIG, "give bm's configuration of it by --config");
    test_ok(bm_file_replace(config, "{\"n_layer\": 2}", 14));
    test_fails(import(file, "bad.h5", config), BM_ERR_CONFIG, "n_head is missing");
    test_ok(bm_file_replace(config, "data: {path: x.h5}\n", 19));
    test_fails(import(file, "bad.h5", config), BM_ERR_CONFIG, "model.family is missing");
    test_ok(bm_file_replace(config, "model: {family: mlp, task: classes, input: [4], outputs: 2}\n", 60));
    test_fails(import(file, "bad.h5", config), BM_ERR_UNSUPPORTED,
               "of the family mlp nothing is read from Keras' weights");
    test_ok(bm_file_replace(test_path("model.keras"), "PK\3\4....", 8));
    test_fails(import(test_path("model.keras"), "bad.h5", config), BM_ERR_REFUSED,
               "model.keras model.weights.h5` takes the weights out");
}
END_TEST

/* The tensors of a file for one layer of width 2 over vectors of 3 numbers, ids of 4, 5 outputs, and others. */
static const char *make_torch(const char *const *others)
{
    static const struct {
        const char *name;
        int64_t rows, columns; /* 0: none */
    } own[] = {
        {"l.weight_ih_l0", 2, 3}, {"l.weight_hh_l0", 2, 2}, {"e.weight", 4, 3}, {"h.weight", 5, 2}, {"h.bias", 5, 0}};
    const float zeros[12] = {0};
    bm_safetensors_writer *w = NULL;
    test_ok(bm_safetensors_writer_create(&w, test_path("made.safetensors"), 1));
    for (int put = 0; put < 2; put++) {
        int64_t index = 0;
        for (size_t i = 0; i < sizeof own / sizeof *own; i++, index++) {
            const bm_shape s = own[i].columns ? BM_SHAPE(own[i].rows, own[i].columns) : BM_SHAPE(own[i].rows);
            if (put)
                test_ok(bm_safetensors_writer_put(w, index, zeros, 0, bm_shape_elements(&s)));
            else
                test_ok(bm_safetensors_writer_add(w, &index, own[i].name, BM_F32, &s));
        }
        for (const char *const *o = others; *o; o++, index++) {
            const bm_shape s = BM_SHAPE(2);
            if (put)
                test_ok(bm_safetensors_writer_put(w, index, zeros, 0, 2));
            else
                test_ok(bm_safetensors_writer_add(w, &index, *o, BM_F32, &s));
        }
    }
    test_ok(bm_safetensors_writer_commit(w));
    bm_safetensors_writer_destroy(w);
    return test_path("made.safetensors");
}

START_TEST(which_module_is_what_must_be_plain)
{
    static const char yaml[] =
        "model: {family: rnn, task: classes, cell: rnn, layers: 1, width: 2, embedding: 3, vocab: 4, outputs: 5}\n";
    static const struct {
        const char *others[3], *words;
    } tries[] = {
        {{"g.weight", "g.bias", NULL},
         "several tensors could be our head/weight: h.weight, g.weight; the head is the one"},
        {{"g.weight", NULL}, "several tensors could be our token/weight: e.weight, g.weight; the embedding is the one"},
        {{"g.bias", NULL}, "several tensors could be our head/bias: "},
        {{"m.weight_hh_l0", NULL}, "several tensors could be our layer0/forward/hidden/weight: "},
        {{"l.weight_hr_l0", "weight_ih", NULL}, "no place for the tensors "},
    };
    const char *none[] = {NULL};
    char config[300];
    snprintf(config, sizeof config, "%s", test_path("plain.yaml"));
    test_ok(bm_file_replace(config, yaml, sizeof yaml - 1));
    test_ok(import(make_torch(none), "plain.h5", config));
    for (size_t i = 0; i < sizeof tries / sizeof *tries; i++)
        test_fails(import(make_torch(tries[i].others), "plain.h5", config), BM_ERR_UNSUPPORTED, tries[i].words);
}
END_TEST

typedef struct job {
    char file[300], config[300];
} job;

/* As test_fail_allocations, but some fail in the process that reads HDF5. */
static void fail_allocations(const job *j)
{
    const int64_t live = bm_mem_get_stats().live;
    bm_status status = BM_ERR_MEMORY;
    for (int64_t n = 1; status; n++) {
        bm_mem_fail_nth(n, 0);
        status = import(j->file, "again.h5", j->config);
        const int failed = bm_mem_failed();
        bm_mem_fail_nth(0, 0);
        ck_assert_msg(bm_mem_get_stats().live == live, "allocation %lld failed: blocks leaked", (long long)n);
        ck_assert_msg(status == (failed || status ? BM_ERR_MEMORY : BM_OK), "allocation %lld failed: %s", (long long)n,
                      bm_error_text(status));
    }
}

START_TEST(every_failed_allocation_is_told)
{
    static const char *const networks[] = {"rnn", "torch"};
    job j;
    unpack(j.file, j.config, networks[_i], NULL);
    fail_allocations(&j);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("models/convert/import");
    TCase *t = tcase_create("networks"), *f = tcase_create("files");
    test_share_engine(t);
    tcase_add_checked_fixture(t, open_fixture, close_fixture);
    tcase_add_loop_test(t, a_network_tells_what_it_told_there, 0, CASES);
    suite_add_tcase(s, t);
    tcase_add_checked_fixture(f, open_fixture, close_fixture);
    tcase_add_test(f, what_is_written_is_read_again_without_a_configuration);
    tcase_add_loop_test(f, what_does_not_fit_is_named, 0, sizeof bad / sizeof *bad);
    tcase_add_test(f, what_is_no_weights_file_is_told_apart);
    tcase_add_test(f, which_module_is_what_must_be_plain);
    tcase_add_loop_test(f, every_failed_allocation_is_told, 0, 2);
    suite_add_tcase(s, f);
    return test_run(s);
}
