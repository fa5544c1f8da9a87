#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "models/config/config.h"
#include "tests/lib/test.h"

/* The model keys of the contract, and a second family with a default of its own. */
static const bm_config_key gpt_keys[] = {
    {"layers", BM_CONFIG_I64, "6", "[1, 1000]", "blocks"},
    {"heads", BM_CONFIG_I64, "6", "[1, inf)", "attention heads"},
    {"width", BM_CONFIG_I64, "384", "[1, inf)", "width of the residual stream"},
    {"context", BM_CONFIG_I64, "256", "[1, inf)", "tokens"},
    {"dropout", BM_CONFIG_F64, "0.0", "[0, 1)", "probability"},
    {"tie_embeddings", BM_CONFIG_BOOL, "true", NULL, "one matrix for both ends"},
    {"ffn", BM_CONFIG_I64, "null", "[1, inf)", "null: 4 x width"},
    {"activation", BM_CONFIG_CHOICE, "gelu_tanh", "gelu_tanh|gelu|relu|silu", "of the ffn"},
    {"norm_eps", BM_CONFIG_F64, "1e-5", "(0, inf)", "added to the variance"},
    {"vocab", BM_CONFIG_I64, "null", "[1, inf)", "null: the data set's"},
};
static const bm_config_key mlp_keys[] = {
    {"hidden", BM_CONFIG_I64, "64", "[1, inf)", "units"},
    {"widths", BM_CONFIG_LIST, "[64, 32]", "[1, inf)", "units of each layer"},
    {"input", BM_CONFIG_LIST, "null", "[1, 100]", "null: the data set's"},
};
static const char *const mlp_defaults[] = {"train.lr=0.5", "train.schedule=constant", NULL};
static const bm_config_family gpt = {"gpt", gpt_keys, sizeof gpt_keys / sizeof *gpt_keys, NULL};
static const bm_config_family mlp = {"mlp", mlp_keys, sizeof mlp_keys / sizeof *mlp_keys, mlp_defaults};
static const bm_config_family *const families[] = {&gpt, &mlp};

static bm_config *config(void)
{
    bm_config *c;
    test_ok(bm_config_create(&c, families, 2));
    return c;
}

static bm_status load(bm_config *c, const char *text) { return bm_config_load_text(c, text, strlen(text), "t.yaml", NULL); }

static bm_config *loaded(const char *text)
{
    bm_config *c = config();
    test_ok(load(c, text));
    return c;
}

START_TEST(defaults_are_those_of_the_contract)
{
    static const struct { const char *key; double value; } numbers[] = {
        {"train.lr", 1e-3}, {"train.min_lr", 1e-4}, {"train.beta1", 0.9}, {"train.beta2", 0.99},
        {"train.eps", 1e-8}, {"train.weight_decay", 0.1}, {"train.clip", 1.0}, {"train.momentum", 0}, {"train.alpha", 0.99},
        {"train.l1", 0}, {"train.l2", 0},
    };
    static const struct { const char *key; int64_t value; } integers[] = {
        {"train.steps", 500}, {"train.batch", 12}, {"train.micro_batch", 12}, {"train.warmup", 50}, {"train.seed", 1},
        {"train.eval_every", 100}, {"train.eval_tokens", 65536}, {"train.checkpoint_every", 100}, {"train.keep_last", 3},
        {"train.log_every", 1},
    };
    bm_config *c = config();
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        ck_assert_double_eq(bm_config_f64(c, numbers[i].key), numbers[i].value);
    for (size_t i = 0; i < sizeof integers / sizeof *integers; i++)
        ck_assert_int_eq(bm_config_i64(c, integers[i].key), integers[i].value);
    ck_assert_str_eq(bm_config_string(c, "train.optimizer"), "adamw");
    ck_assert(!bm_config_bool(c, "train.nesterov") && !bm_config_bool(c, "train.centered"));
    ck_assert_str_eq(bm_config_string(c, "train.schedule"), "cosine");
    ck_assert_str_eq(bm_config_string(c, "train.dtype"), "f32");
    ck_assert_str_eq(bm_config_string(c, "device"), "auto");
    ck_assert(bm_config_is_null(c, "init"));
    ck_assert(bm_config_is_null(c, "data.window"));
    ck_assert(bm_config_bool(c, "data.shuffle"));
    ck_assert(!bm_config_has(c, "model.layers"));
    ck_assert(!bm_config_has(c, "modal.layers"));
    bm_config_destroy(c);
}
END_TEST

START_TEST(a_file_sets_values_of_every_type)
{
    bm_config *c = loaded("# a comment\n"
                          "train: {lr: 3e-4, steps: 7, clip: 1, schedule: \"linear\"}\n"
                          "model:\n  heads: 12\n  tie_embeddings: false\n  family: gpt\n  ffn: ~\n  vocab: null\n"
                          "data: {path: /d/kjv.h5, shuffle: False}\n"
                          "device: cpu\n");
    ck_assert_double_eq(bm_config_f64(c, "train.lr"), 3e-4);
    ck_assert_double_eq(bm_config_f64(c, "train.clip"), 1.0);
    ck_assert_int_eq(bm_config_i64(c, "train.steps"), 7);
    ck_assert_str_eq(bm_config_string(c, "train.schedule"), "linear");
    ck_assert_int_eq(bm_config_i64(c, "model.heads"), 12);
    ck_assert_int_eq(bm_config_i64(c, "model.layers"), 6);
    ck_assert(!bm_config_bool(c, "model.tie_embeddings"));
    ck_assert(bm_config_is_null(c, "model.ffn"));
    ck_assert_str_eq(bm_config_string(c, "data.path"), "/d/kjv.h5");
    ck_assert(!bm_config_bool(c, "data.shuffle"));
    ck_assert_str_eq(bm_config_string(c, "device"), "cpu");
    ck_assert(bm_config_given(c, "train.lr"));
    ck_assert(!bm_config_given(c, "train.min_lr"));
    ck_assert_ptr_eq(bm_config_get_family(c), &gpt);
    test_ok(bm_config_check(c));
    bm_config_destroy(c);
}
END_TEST

static void check_list(const bm_config *c, const char *key, int n, const int64_t *want)
{
    int64_t got[BM_CONFIG_LIST_MOST];
    ck_assert_int_eq(bm_config_list(got, c, key), n);
    for (int i = 0; i < n; i++) ck_assert_int_eq(got[i], want[i]);
}

START_TEST(lists_and_counts_are_read_and_written)
{
    static const char *const texts[] = {"model: {family: mlp, widths: [7, 8, 9]}\n",
                                        "model:\n  family: mlp\n  widths:\n  - 7\n  - 8\n  - 9\n"};
    for (int i = 0; i < 2; i++) {
        char *yaml = NULL, *json = NULL;
        bm_config *c = loaded(texts[i]), *again;
        check_list(c, "model.widths", 3, (const int64_t[]){7, 8, 9});
        ck_assert(bm_config_is_null(c, "model.input"));
        test_ok(bm_config_set_list(c, "model.input", (const int64_t[]){28, 28, 1}, 3));
        test_ok(bm_config_set(c, "train.batch=all"));
        test_ok(bm_config_set(c, "data.path=x"));
        ck_assert_int_eq(bm_config_i64(c, "train.batch"), 0);
        test_ok(bm_config_to_yaml(&yaml, c));
        ck_assert_ptr_nonnull(strstr(yaml, "batch: all\n"));
        again = loaded(yaml);
        check_list(again, "model.widths", 3, (const int64_t[]){7, 8, 9});
        check_list(again, "model.input", 3, (const int64_t[]){28, 28, 1});
        ck_assert_int_eq(bm_config_i64(again, "train.batch"), 0);
        bm_config_destroy(again);
        test_ok(bm_config_to_json(&json, c));
        again = config();
        test_ok(bm_config_from_json(again, json, strlen(json), "j"));
        check_list(again, "model.widths", 3, (const int64_t[]){7, 8, 9});
        ck_assert_int_eq(bm_config_i64(again, "train.batch"), 0);
        test_ok(bm_config_set(again, "model.widths=5"));
        check_list(again, "model.widths", 1, (const int64_t[]){5});
        test_ok(bm_config_set(again, "model.widths=[]"));
        check_list(again, "model.widths", 0, NULL);
        bm_config_destroy(again);
        bm_config_destroy(c);
        bm_free(yaml);
        bm_free(json);
    }
    bm_config *empty = loaded("model: {family: mlp, widths: []}\n");
    check_list(empty, "model.widths", 0, NULL);
    bm_config_destroy(empty);
}
END_TEST

static const double odd_weights[] = {1, 2.5, 0, 0.1234567890123456789, 5e-324, 1.0 / 3};
enum { ODD_WEIGHTS = sizeof odd_weights / sizeof *odd_weights };

static void check_numbers(const bm_config *c, const double *want, int n)
{
    double got[ODD_WEIGHTS] = {0};
    ck_assert_int_eq(bm_config_numbers(got, ODD_WEIGHTS, c, "train.class_weights"), n);
    for (int i = 0; i < n; i++) ck_assert_double_eq(got[i], want[i]);
}

static void check_both_ways(const bm_config *c, void (*check)(const bm_config *))
{
    char *yaml = NULL, *json = NULL;
    bm_config *again;
    check(c);
    test_ok(bm_config_to_yaml(&yaml, c));
    again = loaded(yaml);
    check(again);
    bm_config_destroy(again);
    test_ok(bm_config_to_json(&json, c));
    again = config();
    test_ok(bm_config_from_json(again, json, strlen(json), "j"));
    check(again);
    bm_config_destroy(again);
    bm_free(yaml);
    bm_free(json);
}

static void check_odd_weights(const bm_config *c)
{
    check_numbers(c, odd_weights, ODD_WEIGHTS);
}

static void check_balanced(const bm_config *c)
{
    ck_assert_int_eq(bm_config_numbers(NULL, 0, c, "train.class_weights"), -1);
    ck_assert_str_eq(bm_config_string(c, "train.class_weights"), "balanced");
}

START_TEST(a_list_of_numbers_may_be_a_word)
{
    static const char odd[] = "1, 2.5, 0, 0.1234567890123456789, 5e-324, 0.33333333333333331";
    char text[200];
    char *yaml = NULL;
    snprintf(text, sizeof text, "model: {family: mlp}\ndata: {path: x}\ntrain: {class_weights: [%s]}\n", odd);
    bm_config *c = loaded(text);
    check_both_ways(c, check_odd_weights);
    test_ok(bm_config_to_yaml(&yaml, c));
    test_text_holds(yaml, "  class_weights: [1.0, 2.5, 0.0, 0.12345678901234568, 5.0e-324, 0.3333333333333333]\n");
    bm_free(yaml);
    test_ok(bm_config_set(c, "train.class_weights=balanced"));
    check_both_ways(c, check_balanced);
    test_ok(bm_config_set(c, "train.class_weights=[1,2.5]"));
    check_numbers(c, odd_weights, 2);
    ck_assert_int_eq(bm_config_numbers(NULL, 0, c, "train.class_weights"), 2);
    test_ok(bm_config_set(c, "train.class_weights=null"));
    check_numbers(c, NULL, 0);
    char *many = malloc(4000); /* more than a list of integers may have */
    strcpy(many, "train.class_weights=[1");
    for (int i = 1; i < 1000; i++) strcat(many, ",1");
    test_ok(bm_config_set(c, strcat(many, "]")));
    ck_assert_int_eq(bm_config_numbers(NULL, 0, c, "train.class_weights"), 1000);
    free(many);
    bm_config_destroy(c);
}
END_TEST

/* What is wrong, and words of the message: place, key, what is expected. */
static const struct { const char *text; const char *words;
} faults[] = {
    {"model: {family: gpt}\ntrain:\n  stesp: 3\n", "t.yaml:3: train.stesp: no such key (did you mean train.steps?)"},
    {"model: {family: gpt, layres: 3}\n", "t.yaml:1: model.layres: no such key (did you mean model.layers?)"},
    {"model: {family: gpt, lr: 3}\n", "model.lr: no such key (did you mean train.lr?)"},
    {"model: {family: gpt}\nlr: 3\n", "t.yaml:2: lr: no such key (did you mean train.lr?)"},
    {"model: {family: gpt}\nzzzzzz: 3\n", "t.yaml:2: zzzzzz: no such key (there are model, data, train, device, init)"},
    {"train: {learning_rate: 3}\n",
     "t.yaml:1: train.learning_rate: no such key (there are steps, epochs, batch, micro_batch, "},
    {"model: {family: gpt}\nmodel.layers: 3\n",
     "t.yaml:2: model.layers: a dot is for the command line; in a file write "
     "model: {layers: ...}"},
    {"\xff\xfe", "t.yaml: not valid YAML: "},
    {"model: {family: gpt}\ntrian: {lr: 3}\n", "t.yaml:2: trian: no such section (did you mean train?)"},
    {"model: {family: gpt}\noptions: {lr: 3}\n", "options: no such section (there are model, data, train, search)"},
    {"model: {layers: 6}\n", "model.layers: model.family is not set yet (one of gpt|mlp)"},
    {"model: {family: gtp}\n", "t.yaml:1: model.family: gtp: expected one of gpt|mlp"},
    {"model: {family: null}\n", "model.family: null: expected one of gpt|mlp"},
    {"model: {family: gpt, heads: 3.5}\n", "model.heads: 3.5: expected an integer >= 1"},
    {"train: {steps: 1e3}\n", "train.steps: 1e3: expected an integer >= 1 (write 1000)"},
    {"train: {steps: \"10\"}\n", "train.steps: \"10\": expected an integer >= 1"},
    {"train: {steps: 0x10}\n", "train.steps: 0x10: expected an integer"},
    {"train: {steps: 1_000}\n", "train.steps: 1_000: expected an integer"},
    {"train: {steps: 99999999999999999999}\n", "train.steps: 99999999999999999999: expected an integer"},
    {"train: {steps: 0}\n", "train.steps: 0: expected an integer >= 1"},
    {"train: {steps: }\n", "train.steps: null: expected an integer >= 1"},
    {"train: {lr: fast}\n", "train.lr: fast: expected a number >= 0"},
    {"train: {lr: -1e-3}\n", "train.lr: -1e-3: expected a number >= 0"},
    {"train: {lr: .nan}\n", "train.lr: .nan: expected a number"},
    {"train: {lr: nan}\n", "train.lr: nan: expected a number"},
    {"train: {lr: inf}\n", "train.lr: inf: expected a number"},
    {"train: {lr: 1e999}\n", "train.lr: 1e999: expected a number"},
    {"train: {lr: 1,5}\n", "train.5"},
    {"train: {beta1: 1}\n", "train.beta1: 1: expected a number >= 0 and < 1"},
    {"train: {eps: 0}\n", "train.eps: 0: expected a number > 0"},
    {"model: {family: gpt, layers: 1001}\n", "model.layers: 1001: expected an integer >= 1 and <= 1000"},
    {"model: {family: gpt, ffn: 0}\n", "model.ffn: 0: expected an integer >= 1 or null"},
    {"data: {shuffle: yes}\n", "data.shuffle: yes: expected true or false"},
    {"data: {shuffle: 1}\n", "data.shuffle: 1: expected true or false"},
    {"data: {path: \"\"}\n", "data.path: \"\": expected a path"},
    {"train: {schedule: cosin}\n", "train.schedule: cosin: expected one of cosine|linear|constant|step|plateau|wsd|one_cycle"},
    {"train:\n  lr: 1\n  lr: 2\n", "t.yaml:3: train.lr: given twice (first on line 2)"},
    {"train: {lr: 1}\ntrain: {steps: 2}\n", "t.yaml:2: train: given twice (first on line 1)"},
    {"device: cpu\ndevice: gpu\n", "t.yaml:2: device: given twice (first on line 1)"},
    {"train: &a {lr: 1}\n", "t.yaml:1: anchors and aliases are not accepted"},
    {"train: {lr: &a 1}\n", "anchors and aliases are not accepted"},
    {"train: *a\n", "anchors and aliases are not accepted"},
    {"train: {lr: !!float 1}\n", "t.yaml:1: tags are not accepted"},
    {"model: gpt\n", "t.yaml:1: model: expected keys below it, found \"gpt\""},
    {"train: [1, 2]\n", "t.yaml:1: train: expected keys below it, found \"[1, 2]\""},
    {"train: {lr: [1]}\n", "train.lr: a list, but it takes one value"},
    {"train: {lr: {x: 1}}\n", "t.yaml:1: train.lr: a mapping, but a value is expected"},
    {"? [a]\n: 1\n", "a key must be a word"},
    {"? {a: 1}\n: 1\n", "a key must be a word"},
    {"model: {family: mlp, widths: [1, 0]}\n", "model.widths: [1, 0]: expected a list of integers >= 1"},
    {"model: {family: mlp, widths: [1, x]}\n", "model.widths: [1, x]: expected a list of integers"},
    {"model: {family: mlp, widths: [1, [2]]}\n", "t.yaml:1: model.widths: expected a list of numbers"},
    {"model: {family: mlp, input: [101]}\n", "model.input: [101]: expected a list of integers >= 1 and <= 100 or null"},
    {"train: {class_weights: [1, -0.5]}\n", "t.yaml:1: train.class_weights: [1, -0.5]: expected a list of numbers >= 0 or balanced or null"},
    {"train: {class_weights: [1, .inf]}\n", "train.class_weights: [1, .inf]: expected a list of numbers >= 0"},
    {"train: {class_weights: [1, 1e999]}\n", "train.class_weights: [1, 1e999]: expected a list of numbers >= 0"},
    {"train: {class_weights: [balanced]}\n", "train.class_weights: [balanced]: expected a list of numbers >= 0"},
    {"train: {class_weights: \"[1, 2]\"}\n", "train.class_weights: \"[1, 2]\": expected a list of numbers >= 0"},
    {"train: {class_weights: balance}\n", "train.class_weights: balance: expected a list of numbers >= 0 or balanced or null"},
    {"train: {batch: most}\n", "train.batch: most: expected an integer >= 1 or all"},
    {"- 1\n", "expected keys (model:, data:, train:), found a list"},
    {"hello\n", "t.yaml:1: expected keys (model:, data:, train:), found a text"},
    {"", "no keys in it"},
    {"# nothing\n", "no keys in it"},
    {"device: a\n---\ndevice: b\n", "a second document"},
    {"train: {lr: 1\n", "t.yaml:2: not valid YAML"},
    {"a:\n\tb: 1\n", "t.yaml:2: not valid YAML"},
    {"device: \"a\xff\"\n", "t.yaml: not valid YAML: invalid leading UTF-8 octet at byte 10"},
    {"device: \"a\\0b\"\n", "t.yaml:1: a NUL character in a text"},
};

START_TEST(a_fault_names_place_key_and_expectation)
{
    bm_config *c = config();
    test_fails(load(c, faults[_i].text), BM_ERR_CONFIG, faults[_i].words);
    bm_config_destroy(c);
}
END_TEST

START_TEST(deep_nesting_and_large_files_are_refused)
{
    char *deep = malloc(2 << 20);
    bm_config *c = config();
    const char *path = test_path("large.yaml");
    memset(deep, '{', 100000);
    deep[100000] = '\0';
    ck_assert_int_ne(load(c, deep), BM_OK);
    bm_config_destroy(c);
    c = config();
    memset(deep, '#', 2 << 20);
    test_ok(bm_file_replace(path, deep, 2 << 20));
    ck_assert_int_ne(bm_config_load(c, path), BM_OK);
    bm_config_destroy(c);
    free(deep);
}
END_TEST

START_TEST(a_section_may_be_empty)
{
    bm_config *c = loaded("train:\nmodel: {family: gpt}\ndata: {}\n");
    ck_assert_int_eq(bm_config_i64(c, "train.steps"), 500);
    bm_config_destroy(c);
}
END_TEST

START_TEST(numbers_have_a_point_whatever_the_locale)
{
    char *yaml, *json;
    if (!test_set_comma_locale()) printf("no locale with a decimal comma here: only the C locale was tried\n");
    bm_config *c = loaded("model: {family: gpt}\ntrain: {lr: 2.5e-1, clip: 0.75}\n"), *d = config();
    ck_assert_double_eq(bm_config_f64(c, "train.lr"), 0.25);
    test_ok(bm_config_set(c, "train.beta1=0.5"));
    test_fails(bm_config_set(c, "train.beta1=0,5"), BM_ERR_CONFIG, "0,5: expected a number");
    test_ok(bm_config_to_yaml(&yaml, c));
    test_text_holds(yaml, "  clip: 0.75\n");
    test_ok(bm_config_to_json(&json, c));
    test_text_holds(json, "\"lr\": 0.25,");
    test_ok(bm_config_from_json(d, json, strlen(json), "json"));
    ck_assert_double_eq(bm_config_f64(d, "train.beta1"), 0.5);
    bm_free(yaml);
    bm_free(json);
    bm_config_destroy(c);
    bm_config_destroy(d);
}
END_TEST

START_TEST(set_takes_key_and_value)
{
    bm_config *c = loaded("model: {family: gpt}\ntrain: {lr: 1}\n");
    test_ok(bm_config_set(c, "train.lr=3e-4"));
    ck_assert_double_eq(bm_config_f64(c, "train.lr"), 3e-4);
    test_ok(bm_config_set(c, "model.ffn=99"));
    ck_assert_int_eq(bm_config_i64(c, "model.ffn"), 99);
    test_ok(bm_config_set(c, "model.ffn=null"));
    ck_assert(bm_config_is_null(c, "model.ffn"));
    test_ok(bm_config_set(c, "device=gpu:0+cpu"));
    ck_assert_str_eq(bm_config_string(c, "device"), "gpu:0+cpu");
    test_ok(bm_config_set(c, "device=a=b"));
    ck_assert_str_eq(bm_config_string(c, "device"), "a=b");
    test_ok(bm_config_set_i64(c, "model.vocab", 257));
    ck_assert_int_eq(bm_config_i64(c, "model.vocab"), 257);
    test_ok(bm_config_set_string(c, "data.content_id", "00ff"));
    ck_assert_str_eq(bm_config_string(c, "data.content_id"), "00ff");
    test_ok(bm_config_set(c, "model.family=gpt"));
    test_fails(bm_config_set(c, "model.family=mlp"), BM_ERR_CONFIG, "model.family: is gpt already");
    test_fails(bm_config_set(c, "model.family=none"), BM_ERR_CONFIG, "model.family: none: expected one of gpt|mlp");
    test_fails(bm_config_set(c, "train=3"), BM_ERR_CONFIG, "train: has keys, and no value of its own: train.KEY=VALUE");
    test_fails(bm_config_set(c, "train.stesp=3"), BM_ERR_CONFIG, "train.stesp: no such key (did you mean train.steps?)");
    test_fails(bm_config_set(c, "train.steps"), BM_ERR_CONFIG, "expected KEY=VALUE");
    test_fails(bm_config_set(c, "=3"), BM_ERR_CONFIG, "expected KEY=VALUE");
    test_fails(bm_config_set(c, "train.steps=1e3"), BM_ERR_CONFIG, "(write 1000)");
    test_fails(bm_config_set(c, "device=\xff"), BM_ERR_CONFIG, "device: the text is not valid UTF-8");
    test_fails(bm_config_set(c, "a.very.long.name.that.no.section.or.key.of.any.family.would.ever.have.because.nobody=1"),
               BM_ERR_CONFIG, "no such key");
    bm_config_destroy(c);
}
END_TEST

START_TEST(where_points_into_the_file)
{
    char buf[100];
    bm_config *c = loaded("model:\n  family: gpt\n  heads: 5\n");
    ck_assert_str_eq(bm_config_where(c, "model.heads", buf, sizeof buf), "t.yaml:3: ");
    ck_assert_str_eq(bm_config_where(c, "model.width", buf, sizeof buf), "");
    test_ok(bm_config_set(c, "model.heads=6"));
    ck_assert_str_eq(bm_config_where(c, "model.heads", buf, sizeof buf), "");
    bm_config_destroy(c);
}
END_TEST

START_TEST(a_family_brings_its_keys_and_defaults)
{
    bm_config *c = loaded("train: {lr: 0.25}\nmodel: {family: mlp}\n");
    ck_assert(bm_config_has(c, "model.hidden"));
    ck_assert(!bm_config_has(c, "model.heads"));
    ck_assert_double_eq(bm_config_f64(c, "train.lr"), 0.25); /* what the user gave stays */
    ck_assert_str_eq(bm_config_string(c, "train.schedule"), "constant");
    bm_config_destroy(c);
    c = config();
    test_ok(bm_config_set(c, "train.lr=0.25"));
    test_ok(load(c, "model: {family: mlp}\n"));
    ck_assert_double_eq(bm_config_f64(c, "train.lr"), 0.25);
    bm_config_destroy(c);
}
END_TEST

START_TEST(required_keys_are_named)
{
    bm_config *c = config();
    test_fails(bm_config_check(c), BM_ERR_CONFIG, "model.family must be set");
    test_ok(bm_config_set(c, "model.family=gpt"));
    test_fails(bm_config_check(c), BM_ERR_CONFIG, "data.path must be set");
    test_ok(bm_config_set(c, "data.path=x.h5"));
    test_ok(bm_config_check(c));
    bm_config_destroy(c);
}
END_TEST

START_TEST(paths_start_at_the_folder_of_the_file)
{
    bm_config *c = config();
    char *real, expected[4200];
    const char *text = "model: {family: gpt}\ndata: {path: sub/d.h5}\ninit: /abs/step.h5\n";
    test_ok(bm_folder_create(test_path("conf")));
    test_ok(bm_file_replace(test_path("conf/a.yaml"), text, strlen(text)));
    test_ok(bm_config_load(c, test_path("conf/a.yaml")));
    test_ok(bm_path_real(&real, test_path("conf")));
    snprintf(expected, sizeof expected, "%s/sub/d.h5", real);
    ck_assert_str_eq(bm_config_string(c, "data.path"), expected);
    ck_assert_str_eq(bm_config_string(c, "init"), "/abs/step.h5");
    test_ok(bm_config_set(c, "data.path=e.h5"));
    snprintf(expected, sizeof expected, "%s/e.h5", real);
    ck_assert_str_eq(bm_config_string(c, "data.path"), expected);
    bm_free(real);
    bm_config_destroy(c);
    c = config();
    test_fails(bm_config_load(c, test_path("conf/none.yaml")), BM_ERR_NOT_FOUND, "none.yaml");
    bm_config_destroy(c);
}
END_TEST

/* Values that are hard to write: shortest doubles, texts that look like something else. */
static const char odd_values[] =
    "model: {family: gpt, dropout: 0.1, norm_eps: 1e-12}\n"
    "train: {class_weights: [0.1, 3], lr: 0.1234567890123456789, min_lr: 5e-324, clip: 1.7976931348623157e308, eps: 1e-08, seed: 9223372036854775807}\n"
    "data: {path: \"/a b/\\\"quoted\\\"\\\\ \\u00e4\\t: #x \\N \\L \\P \\ufeff\\U0001f44d\", window: 12}\n"
    "device: \"true\"\n";

static void check_odd_values(const bm_config *c)
{
    ck_assert_double_eq(bm_config_f64(c, "train.lr"), 0.1234567890123456789);
    ck_assert_double_eq(bm_config_f64(c, "train.min_lr"), 5e-324);
    ck_assert_double_eq(bm_config_f64(c, "train.clip"), 1.7976931348623157e308);
    ck_assert_double_eq(bm_config_f64(c, "train.eps"), 1e-8);
    ck_assert_double_eq(bm_config_f64(c, "model.norm_eps"), 1e-12);
    ck_assert_int_eq(bm_config_i64(c, "train.seed"), INT64_MAX);
    ck_assert_str_eq(bm_config_string(c, "data.path"), "/a b/\"quoted\"\\ \xc3\xa4\t: #x \xc2\x85 \xe2\x80\xa8 \xe2\x80\xa9 \xef\xbb\xbf\xf0\x9f\x91\x8d");
    ck_assert_str_eq(bm_config_string(c, "device"), "true");
    ck_assert(bm_config_is_null(c, "init"));
}

START_TEST(yaml_that_was_written_reads_back_equal)
{
    bm_config *a = loaded(odd_values), *b = config();
    char *first, *second;
    check_odd_values(a);
    test_ok(bm_config_to_yaml(&first, a));
    test_ok(load(b, first));
    check_odd_values(b);
    test_ok(bm_config_to_yaml(&second, b));
    ck_assert_str_eq(first, second);
    test_text_holds(first, "  eps: 1.0e-08\n");
    test_text_holds(first, "model:\n  family: gpt\n  layers: 6\n");
    test_text_holds(first, "device: \"true\"\ninit: null\n");
    ck_assert_ptr_null(strstr(first, "content_id"));
    bm_free(first);
    bm_free(second);
    bm_config_destroy(a);
    bm_config_destroy(b);
}
END_TEST

START_TEST(json_that_was_written_reads_back_equal)
{
    bm_config *a = loaded(odd_values), *b = config();
    char *first, *second;
    test_ok(bm_config_set_string(a, "data.content_id", "12ab"));
    test_ok(bm_config_to_json(&first, a));
    test_ok(bm_config_from_json(b, first, strlen(first), "/config/json"));
    check_odd_values(b);
    ck_assert_str_eq(bm_config_string(b, "data.content_id"), "12ab");
    test_ok(bm_config_to_json(&second, b));
    ck_assert_str_eq(first, second);
    bm_free(first);
    bm_free(second);
    bm_config_destroy(a);
    bm_config_destroy(b);
}
END_TEST

static const struct { const char *text; const char *words; } json_faults[] = {
    {"{\"train\": {\"lr\": 1, \"lr\": 2}}", "duplicate"},
    {"{\"train\": {\"lr\": [1]}}", "a list, but it takes one value"},
    {"{\"train\": {\"lr\": \"1\"}}", "/config/json: train.lr: \"1\": expected a number"},
    {"{\"train\": {\"steps\": 1.5}}", "train.steps: 1.5: expected an integer"},
    {"{\"train\": {\"stesp\": 1}}", "did you mean train.steps?"},
    {"{\"device\": \"a\\u0000b\"}", "not valid JSON"},
    {"[1]", "expected an object"},
    {"{\"a\": ", "not valid JSON"},
};

START_TEST(hostile_json_is_refused)
{
    bm_config *c = config();
    const char *text = json_faults[_i].text;
    test_fails(bm_config_from_json(c, text, strlen(text), "/config/json"), BM_ERR_CONFIG, json_faults[_i].words);
    bm_config_destroy(c);
}
END_TEST

START_TEST(help_lists_every_key)
{
    char *help;
    test_ok(bm_config_help(&help, families, 2));
    test_text_holds(help, "model.family");
    test_text_holds(help, "model.hidden");
    test_text_holds(help, "data.path               (required)");
    test_text_holds(help, "train.lr                1e-3       learning rate after the warm-up [>= 0]");
    test_text_holds(help, "train.schedule          cosine");
    test_text_holds(help, "train.class_weights     null       in training, by class: [1, 2.5]; balanced: ");
    test_text_holds(help, "[cosine|linear|constant|step|plateau|wsd|one_cycle]");
    test_text_holds(help, "(here train.lr=0.5)");
    ck_assert_ptr_null(strstr(help, "content_id"));
    for (const char *line = help; *line; line += strcspn(line, "\n") + 1) ck_assert_uint_le(strcspn(line, "\n"), 120);
    bm_free(help);
}
END_TEST

static bm_status round_trip(void *unused)
{
    bm_config *c = NULL, *d = NULL;
    char *yaml = NULL, *json = NULL;
    bm_status status;
    (void)unused;
    BM_GO(bm_config_create(&c, families, 2));
    BM_GO(load(c, odd_values));
    BM_GO(bm_config_set(c, "train.lr=1"));
    BM_GO(bm_config_to_yaml(&yaml, c));
    BM_GO(bm_config_to_json(&json, c));
    BM_GO(bm_config_create(&d, families, 2));
    BM_GO(bm_config_from_json(d, json, strlen(json), "json"));
done:
    bm_config_destroy(c);
    bm_config_destroy(d);
    bm_free(yaml);
    bm_free(json);
    return status;
}

START_TEST(failing_memory_is_reported_and_nothing_leaks) { test_fail_allocations(round_trip, NULL); }
END_TEST

int main(void)
{
    Suite *s = suite_create("config");
    TCase *t = tcase_create("config");
    tcase_add_test(t, defaults_are_those_of_the_contract);
    tcase_add_test(t, a_file_sets_values_of_every_type);
    tcase_add_loop_test(t, a_fault_names_place_key_and_expectation, 0, sizeof faults / sizeof *faults);
    tcase_add_test(t, deep_nesting_and_large_files_are_refused);
    tcase_add_test(t, a_section_may_be_empty);
    tcase_add_test(t, numbers_have_a_point_whatever_the_locale);
    tcase_add_test(t, set_takes_key_and_value);
    tcase_add_test(t, where_points_into_the_file);
    tcase_add_test(t, a_family_brings_its_keys_and_defaults);
    tcase_add_test(t, required_keys_are_named);
    tcase_add_test(t, paths_start_at_the_folder_of_the_file);
    tcase_add_test(t, yaml_that_was_written_reads_back_equal);
    tcase_add_test(t, json_that_was_written_reads_back_equal);
    tcase_add_loop_test(t, hostile_json_is_refused, 0, sizeof json_faults / sizeof *json_faults);
    tcase_add_test(t, lists_and_counts_are_read_and_written);
    tcase_add_test(t, a_list_of_numbers_may_be_a_word);
    tcase_add_test(t, help_lists_every_key);
    tcase_add_test(t, failing_memory_is_reported_and_nothing_leaks);
    suite_add_tcase(s, t);
    return test_run(s);
}
