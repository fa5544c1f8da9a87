/* inspect, ls, cat, stats, verify, data info and data verify, as a user calls them. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "io/store/checkpoint.h"
#include "io/store/dataset.h"
#include "io/store/runfolder.h"
#include "tests/lib/storefile.h"
#include "tests/lib/test.h"
#include "tools/view.h"

static char output[1 << 20];

/* Runs bmtool in the test's folder; its stdout lands in `output`, its stderr behind it when `both`. */
static int bmtool(int both, const char *arguments)
{
    char command[4096];
    snprintf(command, sizeof command, "cd '%s' && '%s' %s %s", test_folder(), getenv("BM_TEST_BMTOOL"), arguments,
             both ? "2>&1" : "2>/dev/null");
    FILE *f = popen(command, "r");
    ck_assert_ptr_nonnull(f);
    size_t n = fread(output, 1, sizeof output - 1, f);
    output[n] = 0;
    int code = pclose(f);
    return WIFEXITED(code) ? WEXITSTATUS(code) : -1;
}

static json_t *bmtool_json(int due, const char *arguments)
{
    json_error_t error;
    int code = bmtool(0, arguments);
    ck_assert_msg(code == due, "bmtool %s: exit code %d: %s", arguments, code, output);
    json_t *root = json_loads(output, JSON_REJECT_DUPLICATES, &error);
    ck_assert_msg(json_is_object(root), "bmtool %s: %s", arguments, error.text);
    ck_assert_int_eq(json_integer_value(json_object_get(root, "schema")), 1);
    return root;
}

static const char *text_of(const json_t *o, const char *key) { return json_string_value(json_object_get(o, key)); }
static json_int_t int_of(const json_t *o, const char *key) { return json_integer_value(json_object_get(o, key)); }
static double real_of(const json_t *o, const char *key) { return json_number_value(json_object_get(o, key)); }

/* Element i of parameter p is p + i / 8, but for one NaN, one infinity and two zeros in the last one. */
static bm_status fill(void *user, const bm_ckpt_tensor *t, void *data, int64_t first, int64_t count)
{
    float *x = data;
    (void)user;
    for (int64_t i = 0; i < count; i++) x[i] = t->optim < 0 ? (float)t->param + (float)(first + i) / 8 : 0;
    if (t->param == 12 && t->optim < 0) {
        const float odd[8] = {(float)NAN, (float)INFINITY, 0, 0, 1, 2, 3, 4};
        memcpy(x, odd, sizeof odd);
    }
    return BM_OK;
}

/* Twelve layers h0..h11, `last` of another shape, `tied`. */
static void make_run(void)
{
    static char name[12][32];
    static const double loss[3] = {3, 2, 1}, val[3] = {NAN, 2.5, NAN};
    static const uint64_t step[3] = {1, 2, 3};
    static const bm_ckpt_column column[] = {{"loss", "nats", loss}, {"val_loss", "nats", val}};
    bm_ckpt_param p[14];
    char *path;
    for (int i = 0; i < 12; i++) {
        snprintf(name[i], sizeof name[i], "h%d/w_1/weight", i);
        p[i] = (bm_ckpt_param){name[i], BM_F32, BM_SHAPE(2, 4), "weight", 1, NULL};
    }
    p[12] = (bm_ckpt_param){"last", BM_F32, BM_SHAPE(8), "bias", 1, NULL};
    p[13] = (bm_ckpt_param){"tied", BM_F32, BM_SHAPE(8), "bias", 1, "last"};
    bm_ckpt_optim adamw = {.name = "adamw", .type = "adamw", .t = 3, .slot = {"m", "v"}, .slots = 2};
    bm_ckpt_desc d = bm_ckpt_desc_default();
    d.config_json = "{\"model\": {\"family\": \"gpt\", \"layers\": 12}, \"train\": {\"lr\": 0.001}}";
    d.provenance_json = "{\"gemm\": {\"backend\": \"packed\", \"choices\": {}}}";
    d.param = p;
    d.params = 14;
    d.optim = &adamw;
    d.optims = 1;
    d.state.step = 3;
    d.history = (bm_ckpt_history){3, step, column, 2};
    test_ok(bm_folder_create(test_path("run/checkpoints")));
    test_ok(bm_run_checkpoint(&path, test_path("run"), 3));
    test_ok(bm_checkpoint_write(NULL, path, &d, fill, NULL, &(bm_ckpt_write_opts){.replace = 1, .buffer_bytes = 4096}));
    bm_free(path);
    unlink(test_path("run/checkpoints/step-00000007.h5"));
}

static void make_tokens(const char *name, int bad)
{
    bm_tokens_opts o = bm_tokens_opts_default();
    bm_tokens_writer *w;
    uint32_t ids[100];
    for (uint32_t i = 0; i < 100; i++) ids[i] = i;
    o.vocab_size = 257;
    o.eot_id = 256;
    o.val_fraction = 0.1;
    o.tokenizer_json = "{\"format\": \"bm-tokenizer\", \"version\": 1, \"kind\": \"byte\"}";
    o.replace = 1;
    test_ok(bm_tokens_writer_create(&w, test_path(name), &o));
    test_ok(bm_tokens_writer_add(w, ids, 100));
    test_ok(bm_tokens_writer_commit(NULL, w));
    bm_tokens_writer_destroy(w);
    if (!bad) return;
    bm_writer *x;
    test_ok(bm_writer_create(&x, test_path(name), &(bm_writer_opts){.kind = BM_STORE_DATASET, .replace = 1}));
    test_ok(bm_writer_numbers(x, "/tokens/ids", BM_U32, ids, 100));
    test_ok(bm_writer_numbers(x, "/tokens/doc_offsets", BM_U64, (const uint64_t[]){0, 100}, 2));
    test_ok(bm_writer_attr_u32(x, "/tokens", "vocab_size", 99));
    test_ok(bm_writer_begin(x));
    test_ok(bm_writer_commit(NULL, x));
    bm_writer_destroy(x);
}

/* Flips one bit of a dataset's first byte. */
static void damage(const char *name, const char *dataset)
{
    bm_store *s;
    size_t n;
    char path[4096];
    snprintf(path, sizeof path, "%s", test_path(name));
    test_ok(bm_store_open(&s, path));
    int64_t offset = bm_store_find(s, dataset)->offset;
    bm_store_close(s);
    unsigned char *data = test_read_file(&n, path);
    data[offset] ^= 4;
    test_write_file(path, data, n);
    free(data);
}

START_TEST(inspect_shows_one_screen)
{
    make_run();
    ck_assert_int_eq(bmtool(1, "inspect run"), 0);
    static const char *const words[] = {
        "checkpoint of a gpt, sound",  "layers 12",        "104, 416 B",  "1.0000 at step 3",
        "validation 2.5000 at step 2", "adamw, 3 updates", "gemm packed", "h0..h11/w_1/weight",
        "tied is tied to last",        "tokenizer   none"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) test_text_holds(output, words[i]);
    json_t *v = bmtool_json(0, "inspect run --json");
    ck_assert_str_eq(text_of(v, "kind"), "checkpoint");
    ck_assert_str_eq(text_of(v, "model"), "gpt");
    ck_assert_str_eq(text_of(v, "gemm"), "packed");
    ck_assert_int_eq(int_of(v, "step"), 3);
    ck_assert_int_eq(int_of(v, "parameters"), 12 * 8 + 8);
    ck_assert_uint_eq(strlen(text_of(v, "content_id")), 64);
    ck_assert(json_is_true(json_object_get(v, "sound")));
    ck_assert(real_of(v, "loss") == 1 && real_of(v, "val_loss") == 2.5 &&
              json_is_null(json_object_get(v, "best_metric")));
    ck_assert_int_gt(int_of(v, "bytes"), 4096);
    json_decref(v);
    v = bmtool_json(0, "inspect run --no-verify --json");
    ck_assert(json_is_null(json_object_get(v, "sound")));
    json_decref(v);
}
END_TEST

START_TEST(inspect_and_verify_tell_damage)
{
    make_run();
    damage("run/checkpoints/step-00000003.h5", "/params/h5/w_1/weight");
    ck_assert_int_eq(bmtool(1, "inspect run/checkpoints/step-00000003.h5"), 1);
    test_text_holds(output, "DAMAGED");
    test_text_holds(output, "/params/h5/w_1/weight");
    ck_assert_int_eq(bmtool(1, "verify run"), 1);
    test_text_holds(output, "damaged: /params/h5/w_1/weight: the 32 bytes at ");
    json_t *v = bmtool_json(1, "verify run --json");
    json_t *file = json_array_get(json_object_get(v, "files"), 0);
    ck_assert(json_is_false(json_object_get(v, "sound")) && json_is_false(json_object_get(file, "sound")));
    ck_assert_str_eq(text_of(json_array_get(json_object_get(file, "damage"), 0), "dataset"), "/params/h5/w_1/weight");
    json_decref(v);
    ck_assert_int_eq(bmtool(1, "cat run/checkpoints/step-00000003.h5 params/h5/w_1/weight"), 1);
    ck_assert_int_eq(bmtool(1, "stats run/checkpoints/step-00000003.h5"), 1);
    ck_assert_int_eq(bmtool(0, "cat run/checkpoints/step-00000003.h5 params/last"), 0); /* the rest can be read */
    ck_assert_int_eq(bmtool(1, "inspect run"), 1);                                      /* no sound one */
}
END_TEST

START_TEST(verify_tells_files_apart)
{
    make_run();
    make_tokens("tokens.h5", 0);
    ck_assert_int_eq(bmtool(1, "verify run tokens.h5"), 0);
    test_text_holds(output, "step-00000003.h5: sound");
    test_text_holds(output, "tokens.h5: sound");
    ck_assert_int_eq(bmtool(1, "verify none.h5"), 4);
    test_write_file(test_path("text.h5"), "this is not HDF5 at all", 23);
    ck_assert_int_eq(bmtool(1, "verify text.h5"), 3);
    test_text_holds(output, "not an HDF5 file");
    size_t n;
    unsigned char *data = test_read_file(&n, test_path("tokens.h5"));
    test_write_file(test_path("short.h5"), data, n / 2);
    free(data);
    ck_assert_int_eq(bmtool(1, "verify short.h5"), 1);
    test_text_holds(output, "truncated");
    ck_assert_int_eq(bmtool(1, "verify"), 2);
}
END_TEST

START_TEST(ls_lists_by_pattern_and_layer)
{
    make_run();
    json_t *v = bmtool_json(0, "ls run params --json"), *list = json_object_get(v, "datasets");
    ck_assert_uint_eq(json_array_size(list), 13);
    json_t *third = json_array_get(list, 2); /* h2, not h10 */
    ck_assert_str_eq(text_of(third, "path"), "/params/h2/w_1/weight");
    ck_assert_str_eq(text_of(third, "dtype"), "f32");
    ck_assert_int_eq(json_integer_value(json_array_get(json_object_get(third, "shape"), 1)), 4);
    ck_assert_str_eq(text_of(json_object_get(third, "attributes"), "semantic"), "weight");
    json_decref(v);
    v = bmtool_json(0, "ls run '*/h1/*' --json");
    ck_assert_uint_eq(json_array_size(json_object_get(v, "datasets")), 3);
    json_decref(v);
    ck_assert_int_eq(bmtool(0, "ls -c run params"), 0);
    test_text_holds(output, "h0..h11/w_1/weight     12");
    ck_assert_int_eq(bmtool(1, "ls run nothing"), 4);
    test_text_holds(output, "nothing");
}
END_TEST

START_TEST(cat_prints_slices_and_files)
{
    make_run();
    ck_assert_int_eq(bmtool(0, "cat run params/h3/w_1/weight"), 0);
    ck_assert_str_eq(output, "3 3.125 3.25 3.375\n3.5 3.625 3.75 3.875\n");
    ck_assert_int_eq(bmtool(0, "cat run /params/h3/w_1/weight --slice 1,1:3"), 0);
    ck_assert_str_eq(output, "3.625 3.75\n");
    ck_assert_int_eq(bmtool(0, "cat run params/h3/w_1/weight --slice :,2"), 0);
    ck_assert_str_eq(output, "3.25\n3.75\n");
    ck_assert_int_eq(bmtool(0, "cat run params/last"), 0);
    ck_assert_str_eq(output, "nan inf 0 0 1 2 3 4\n");
    ck_assert_int_eq(bmtool(0, "cat run state/step"), 0);
    ck_assert_str_eq(output, "3\n");
    ck_assert_int_eq(bmtool(0, "cat run provenance/json"), 0);
    ck_assert_str_eq(output, "{\"gemm\": {\"backend\": \"packed\", \"choices\": {}}}\n");
    static const char *const wrong[] = {"2", "0:3", "x", "1:0", "0,0,0", "-1", ",1"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char arguments[100];
        snprintf(arguments, sizeof arguments, "cat run params/h3/w_1/weight --slice=%s", wrong[i]);
        ck_assert_msg(bmtool(1, arguments) == 2, "--slice %s is taken", wrong[i]);
    }
    unlink(test_path("x.raw"));
    ck_assert_int_eq(bmtool(1, "cat run params/h3/w_1/weight --raw -o x.raw"), 0);
    ck_assert_int_eq(bmtool(1, "cat run params/h3/w_1/weight --raw -o x.raw"), 3);
    ck_assert_int_eq(bmtool(1, "cat run params/h4/w_1/weight --raw -o x.raw --force"), 0);
    size_t n;
    unsigned char *raw = test_read_file(&n, test_path("x.raw"));
    float x[8];
    ck_assert_uint_eq(n, sizeof x);
    memcpy(x, raw, n);
    for (int i = 0; i < 8; i++) ck_assert(x[i] == 4 + (float)i / 8);
    free(raw);
    ck_assert_int_eq(bmtool(1, "cat run params/h4/w_1/weight --npy -o x.npy --force"), 0);
    ck_assert_int_eq(system("/usr/bin/python3 -c 'import numpy as np; a=np.load(\"x.npy\"); assert a.shape==(2,4) and "
                            "a.dtype==np.float32 and "
                            "(a.ravel()==4+np.arange(8)/8).all()'"),
                     0);
    ck_assert_int_eq(bmtool(1, "cat run params/none"), 4);
}
END_TEST

START_TEST(stats_are_those_of_the_formulas)
{
    make_run();
    json_t *v = bmtool_json(0, "stats run params/h3 params/last --json --histogram"),
           *list = json_object_get(v, "tensors");
    ck_assert_uint_eq(json_array_size(list), 2);
    json_t *a = json_array_get(list, 0), *b = json_array_get(list, 1);
    /* 3 + i/8, i = 0..7: mean 3 + 7/16; variance (64 - 1) / 12 / 64 */
    ck_assert(real_of(a, "min") == 3 && real_of(a, "max") == 3.875 && fabs(real_of(a, "mean") - 3.4375) < 1e-8);
    ck_assert(fabs(real_of(a, "std") - sqrt(63.0 / 768)) < 1e-8);
    ck_assert(fabs(real_of(a, "rms") - sqrt(63.0 / 768 + 3.4375 * 3.4375)) < 1e-8);
    ck_assert(int_of(a, "count") == 8 && int_of(a, "zeros") == 0 && int_of(a, "nan") == 0);
    ck_assert(int_of(b, "zeros") == 2 && int_of(b, "nan") == 1 && int_of(b, "inf") == 1);
    ck_assert(real_of(b, "min") == 0 && real_of(b, "max") == 4 && fabs(real_of(b, "mean") - 10.0 / 6) < 1e-8);
    json_int_t sum = 0;
    for (size_t i = 0; i < 20; i++) sum += json_integer_value(json_array_get(json_object_get(b, "histogram"), i));
    ck_assert_int_eq(sum, 6);
    json_decref(v);
    ck_assert_int_eq(bmtool(0, "stats run"), 0);
    test_text_holds(output, "/params/h11/w_1/weight");
}
END_TEST

START_TEST(data_info_and_data_verify)
{
    make_tokens("tokens.h5", 0);
    json_t *v = bmtool_json(0, "data info tokens.h5 --json");
    ck_assert(int_of(v, "tokens") == 100 && int_of(v, "vocab_size") == 257 && int_of(v, "eot_id") == 256 &&
              int_of(v, "documents") == 1);
    json_t *val = json_object_get(json_object_get(v, "splits"), "val");
    ck_assert(int_of(val, "start") == 90 && int_of(val, "count") == 10);
    ck_assert_str_eq(text_of(v, "tokenizer"), "byte");
    json_decref(v);
    ck_assert_int_eq(bmtool(0, "data info tokens.h5"), 0);
    test_text_holds(output, "10 tokens, from 90 on");
    ck_assert_int_eq(bmtool(0, "inspect tokens.h5"), 0);
    test_text_holds(output, "dataset of tokens, sound");
    v = bmtool_json(0, "inspect tokens.h5 --json"); /* the keys that every file has */
    static const char *const none[] = {"model", "step", "parameters", "gemm"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        const json_t *value = json_object_get(v, none[i]);
        ck_assert_msg(value && json_is_null(value), "%s of a dataset", none[i]);
    }
    json_decref(v);
    ck_assert_int_eq(bmtool(0, "data verify tokens.h5"), 0);
    damage("tokens.h5", "/tokens/ids");
    ck_assert_int_eq(bmtool(1, "data verify tokens.h5"), 1);
    test_text_holds(output, "/tokens/ids");
    make_tokens("tokens.h5", 1);
    ck_assert_int_eq(bmtool(1, "verify tokens.h5"), 0);
    ck_assert_int_eq(bmtool(1, "data verify tokens.h5"), 1);
    test_text_holds(output, "token 99 at 99 is outside the vocabulary of 99");
    make_run();
    ck_assert_int_eq(bmtool(1, "data info run/checkpoints/step-00000003.h5"), 3);
}
END_TEST

START_TEST(names_are_ordered_by_their_numbers)
{
    ck_assert_int_lt(bm_view_compare("h2/x", "h10/x"), 0);
    ck_assert_int_gt(bm_view_compare("h10/b", "h10/a"), 0);
    ck_assert_int_eq(bm_view_compare("h10/a", "h10/a"), 0);
    ck_assert_int_lt(bm_view_compare("h1", "h1/a"), 0);
    ck_assert_int_lt(bm_view_compare("a9", "b1"), 0);
    ck_assert(bm_view_matches("/params/h1/b", (const char *const[]){"params"}, 1));
    ck_assert(!bm_view_matches("/params2/h1/b", (const char *const[]){"params"}, 1));
    ck_assert(bm_view_matches("/params/h1/b", (const char *const[]){"none", "*/b"}, 2));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tools/view");
    TCase *t = tcase_create("view");
    tcase_add_test(t, inspect_shows_one_screen);
    tcase_add_test(t, inspect_and_verify_tell_damage);
    tcase_add_test(t, verify_tells_files_apart);
    tcase_add_test(t, ls_lists_by_pattern_and_layer);
    tcase_add_test(t, cat_prints_slices_and_files);
    tcase_add_test(t, stats_are_those_of_the_formulas);
    tcase_add_test(t, data_info_and_data_verify);
    tcase_add_test(t, names_are_ordered_by_their_numbers);
    suite_add_tcase(suite, t);
    return test_run(suite);
}
