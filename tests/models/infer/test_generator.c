/* Decoding with the caches against the full forward pass over the same tokens. */
#include <stdio.h>
#include <string.h>

#include "core/base/checked.h"
#include "core/graph/memplan.h"
#include "models/infer/generator.h"
#include "tests/lib/device.h"
#include "tests/lib/layer.h"
#include "tests/lib/small_gpt.h"
#include "tests/lib/test.h"

enum { N = 3 * SMALL_CONTEXT };

static small_gpt s;
static int32_t text[N];

static void open_all(void)
{
    small_gpt_open(&s);
    small_gpt_ids(text, N, 7);
}
static void close_all(void) { small_gpt_close(&s); }

static bm_generator *generator(const char *gemm)
{
    bm_generator *g = NULL;
    test_ok(bm_generator_create(&g, s.engine, s.model, s.config, s.params, gemm));
    ck_assert_int_eq(bm_generator_vocab(g), SMALL_VOCAB);
    return g;
}

/* Feeds ids, of which the sequence is then `sequence` [n], and compares with the full pass over that. */
static void feed(bm_generator *g, const int32_t *ids, int64_t count, const int32_t *sequence, int64_t n)
{
    float want[SMALL_CONTEXT * SMALL_VOCAB];
    const float *got = NULL;
    char what[64];
    snprintf(what, sizeof what, "%d tokens more, %d in all", (int)count, (int)n);
    test_ok(bm_generator_feed(g, ids, count, &got));
    small_gpt_forward(&s, want, NULL, sequence, n);
    small_gpt_near(what, got, want + (n - 1) * SMALL_VOCAB, SMALL_VOCAB);
}

START_TEST(one_token_after_the_other)
{
    static const char *const backends[] = {"clblast", "packed", "tiled"};
    bm_generator *g = generator(backends[_i]);
    for (int n = 1; n <= SMALL_CONTEXT; n++) feed(g, text + n - 1, 1, text, n);
    bm_generator_destroy(g);
}
END_TEST

/* A prompt is read in pieces of the context (it is less than 128) and of 32: less than one, one, and more, at once or in parts. */
START_TEST(prompts_of_any_length)
{
    static const int parts[][4] = {{2}, {31}, {32}, {33}, {40}, {5, 7, 1, 20}, {33, 1, 1, 2}, {1, 32, 6, 1}};
    bm_generator *g = generator(NULL);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        int n = 0;
        for (int k = 0; k < 4 && parts[i][k]; k++) {
            feed(g, text + n, parts[i][k], text, n + parts[i][k]);
            n += parts[i][k];
        }
        bm_generator_reset(g);
    }
    bm_generator_destroy(g);
}
END_TEST

/* A longer context's prompts are read 512, 128 and 32 tokens at a time, as one token after the other gives them. */
START_TEST(long_prompts_are_read_in_pieces_of_every_length)
{
    enum { CONTEXT = 700 };
    static const int64_t lengths[] = {127, 129, 161, 511, 512, 545, CONTEXT};
    const bm_model_request r = {.mode = BM_MODEL_EVAL, .batch = 1, .window = 1};
    const float *want = NULL, *got = NULL;
    int32_t ids[CONTEXT];
    bm_network n = {0};
    bm_params *params = NULL;
    bm_generator *one = NULL, *g = NULL;
    bm_config *c = small_gpt_config((const char *const[]){"model.layers=1", "model.heads=2", "model.width=24", "model.context=700",
                                                          "model.vocab=41", NULL});
    test_ok(bm_network_build(&n, s.model, c, &r, 0));
    test_ok(bm_params_create(&params, s.engine, n.nn, n.graph, &(bm_params_opts){0}));
    test_ok(bm_params_init(params, 1));
    test_ok(bm_generator_create(&one, s.engine, s.model, c, params, NULL));
    test_ok(bm_generator_create(&g, s.engine, s.model, c, params, NULL));
    small_gpt_ids(ids, CONTEXT, 9);
    for (int i = 0, k = 0; i < CONTEXT; i++) {
        test_ok(bm_generator_feed(one, ids + i, 1, &want));
        if (i + 1 < lengths[k]) continue;
        char what[64];
        snprintf(what, sizeof what, "%d tokens at once", i + 1);
        bm_generator_reset(g);
        test_ok(bm_generator_feed(g, ids, lengths[k++], &got));
        small_gpt_near(what, got, want, SMALL_VOCAB);
    }
    bm_generator_destroy(g);
    bm_generator_destroy(one);
    bm_params_destroy(params);
    bm_network_finish(&n);
    bm_config_destroy(c);
}
END_TEST

/* `data` of matrix x into p, and data as it is there. */
static void narrow_matrix(bm_params *p, const bm_tensor *x, float *data)
{
    const size_t elements = (size_t)bm_shape_elements(&x->shape), columns = (size_t)bm_shape_last(&x->shape);
    uint16_t stored[4 * SMALL_WIDTH * SMALL_WIDTH];
    bm_bank *to = bm_params_bank(p, BM_PLACE_WEIGHT);
    if (x->dtype != BM_I8) {
        test_ok(bm_convert_floats(stored, x->dtype, data, BM_F32, elements));
        test_ok(bm_bank_write(to, x, 0, stored, x->bytes));
        test_ok(bm_convert_floats(data, BM_F32, stored, x->dtype, elements));
        return;
    }
    char name[200];
    int8_t q[4 * SMALL_WIDTH * SMALL_WIDTH];
    float scale[4 * SMALL_WIDTH];
    for (size_t i = 0; i < elements; i++) {
        if (i % columns == 0) scale[i / columns] = bm_row_to_i8(q + i, data + i, columns);
        data[i] = scale[i / columns] * (float)q[i];
    }
    snprintf(name, sizeof name, "%s/scale", x->name);
    const bm_tensor *t = bm_layout_find(bm_params_layout(p), name);
    ck_assert_int_eq(t->bytes, (int64_t)(elements / columns * sizeof *scale));
    test_ok(bm_bank_write(to, x, 0, q, x->bytes));
    test_ok(bm_bank_write(to, t, 0, scale, t->bytes));
}

/* Parameters whose matrices are kept in type t, and those of `s` rounded to what they hold. */
static bm_params *narrow(bm_dtype t)
{
    bm_network n = {0};
    bm_params *p = NULL;
    const bm_model_request r = {.mode = BM_MODEL_EVAL, .batch = 1, .window = 1, .stored = t};
    test_ok(bm_network_build(&n, s.model, s.config, &r, 0));
    test_ok(bm_params_create(&p, s.engine, n.nn, n.graph, &(bm_params_opts){0}));
    bm_network_finish(&n);
    bm_bank *from = bm_params_bank(s.params, BM_PLACE_WEIGHT), *to = bm_params_bank(p, BM_PLACE_WEIGHT);
    for (int i = 0; i < bm_layout_count(bm_params_layout(p)); i++) {
        const bm_tensor *x = bm_layout_at(bm_params_layout(p), i), *wide = bm_layout_find(bm_params_layout(s.params), x->name);
        float data[4 * SMALL_WIDTH * SMALL_WIDTH];
        ck_assert_int_eq(x->dtype, x->shape.rank < 2 ? BM_F32 : t);
        if (!wide) continue; /* scales */
        test_ok(bm_bank_read(from, wide, 0, data, wide->bytes));
        if (x->dtype == BM_F32) test_ok(bm_bank_write(to, x, 0, data, x->bytes));
        else narrow_matrix(p, x, data);
        test_ok(bm_bank_write(from, wide, 0, data, wide->bytes));
    }
    return p;
}

START_TEST(matrices_kept_in_16_or_8_bits_are_used_as_they_are)
{
    static const bm_dtype types[] = {BM_F16, BM_BF16, BM_I8};
    bm_params *p = narrow(types[_i]);
    ck_assert_int_eq(bm_params_stored(p), types[_i]);
    bm_generator *g = NULL;
    test_ok(bm_generator_create(&g, s.engine, s.model, s.config, p, NULL));
    feed(g, text, 1, text, 1);
    feed(g, text + 1, 33, text, 34);
    feed(g, text + 34, 1, text, 35);
    bm_generator_destroy(g);
    bm_params_destroy(p);
}
END_TEST

/* The 41st token: the sequence goes on with its last half, read anew, and the token. Then until the next time. */
START_TEST(beyond_the_context_it_goes_on_with_the_last_half)
{
    const int half = SMALL_CONTEXT / 2;
    bm_generator *g = generator("tiled");
    feed(g, text, SMALL_CONTEXT, text, SMALL_CONTEXT);
    for (int end = SMALL_CONTEXT + 1, from = end - half - 1; end <= SMALL_CONTEXT + half + 2; end++) {
        if (end - from > SMALL_CONTEXT) from = end - half - 1;
        feed(g, text + end - 1, 1, text + from, end - from);
    }
    bm_generator_destroy(g);
}
END_TEST

START_TEST(long_prompts_keep_what_can_matter)
{
    bm_generator *g = generator("tiled");
    const float *logits;
    feed(g, text, N, text + N - SMALL_CONTEXT, SMALL_CONTEXT); /* longer than the context: its last tokens */
    bm_generator_reset(g);
    /* 30 and 15 tokens do not fit: 20 of the 30 are kept. 30 and 35: 5 are. */
    feed(g, text, 30, text, 30);
    feed(g, text + 30, 15, text + 10, 35);
    bm_generator_reset(g);
    feed(g, text, 30, text, 30);
    feed(g, text + 30, 35, text + 25, 40);
    /* 3 and 39: all but 2 of the 3 go. */
    bm_generator_reset(g);
    test_ok(bm_generator_feed(g, text, 3, &logits));
    feed(g, text + 3, 39, text + 2, 40);
    bm_generator_destroy(g);
}
END_TEST

START_TEST(what_is_no_token_is_refused_and_changes_nothing)
{
    bm_generator *g = generator("tiled");
    const float *logits = (const float *)text;
    const int32_t bad[] = {1, SMALL_VOCAB}, negative[] = {-1};
    feed(g, text, 3, text, 3);
    test_fails(bm_generator_feed(g, bad, 2, &logits), BM_ERR_USAGE, "token 41 is outside the model's vocabulary of 41");
    ck_assert_ptr_null(logits);
    test_fails(bm_generator_feed(g, negative, 1, &logits), BM_ERR_USAGE, "token -1");
    test_fails(bm_generator_feed(g, text, 0, &logits), BM_ERR_USAGE, "no tokens");
    feed(g, text + 3, 2, text, 5);
    bm_generator_destroy(g);
    bm_generator_destroy(NULL);
}
END_TEST

/* The plan for one token uses the temporaries of that for a piece. */
START_TEST(it_takes_memory_for_caches_inputs_and_one_plan)
{
    const bm_limits *limits = bm_engine_limits(s.engine);
    const int64_t before = bm_engine_live_bytes(s.engine);
    const int64_t keys = bm_round_up(SMALL_CONTEXT * SMALL_WIDTH * 4, limits->align_bytes); /* as many bytes as values */
    int64_t want = 2 * 2 * keys; /* of two layers */
    bm_generator *g = generator("tiled");
    for (int i = 0; i < 3; i++) {
        static const int64_t lengths[] = {1, 32, SMALL_CONTEXT};
        const bm_model_request r = {.mode = BM_MODEL_DECODE, .batch = 1, .window = lengths[i]};
        bm_network n = {0};
        bm_memplan *p = NULL;
        test_ok(bm_network_build(&n, s.model, s.config, &r, 0));
        test_ok(bm_memplan_foresee(&p, n.graph, limits, "tiled"));
        want += p->sizes.input_bytes + (i == 2 ? p->sizes.temp_bytes : 0);
        bm_memplan_destroy(p);
        bm_network_finish(&n);
    }
    ck_assert_int_eq(bm_engine_live_bytes(s.engine) - before, want);
    bm_generator_destroy(g);
    ck_assert_int_eq(bm_engine_live_bytes(s.engine), before);
}
END_TEST

static bm_status make(void *arg)
{
    bm_generator *g = NULL;
    const float *logits;
    (void)arg;
    bm_status status = bm_generator_create(&g, s.engine, s.model, s.config, s.params, "tiled");
    ck_assert(!status == (g != NULL));
    if (!status) status = bm_generator_feed(g, text, 3, &logits);
    bm_generator_destroy(g);
    return status;
}

/* Programs are made once per engine: made before, so that each round makes the same. */
START_TEST(every_failing_allocation_is_told)
{
    test_ok(make(NULL));
    test_fail_allocations(make, NULL);
}
END_TEST

START_TEST(every_failing_opencl_call_is_told)
{
    test_ok(make(NULL));
    test_fail_calls(make, NULL, CL_OUT_OF_RESOURCES);
}
END_TEST

int main(void)
{
    test_layer_use();
    Suite *suite = suite_create("models/infer/generator");
    TCase *t = tcase_create("generator");
    test_share_engine(t);
    tcase_add_checked_fixture(t, open_all, close_all);
    tcase_add_loop_test(t, one_token_after_the_other, 0, 3);
    tcase_add_test(t, prompts_of_any_length);
    tcase_add_test(t, long_prompts_are_read_in_pieces_of_every_length);
    tcase_add_loop_test(t, matrices_kept_in_16_or_8_bits_are_used_as_they_are, 0, 3);
    tcase_add_test(t, beyond_the_context_it_goes_on_with_the_last_half);
    tcase_add_test(t, long_prompts_keep_what_can_matter);
    tcase_add_test(t, what_is_no_token_is_refused_and_changes_nothing);
    tcase_add_test(t, it_takes_memory_for_caches_inputs_and_one_plan);
    tcase_add_test(t, every_failing_allocation_is_told);
    tcase_add_test(t, every_failing_opencl_call_is_told);
    suite_add_tcase(suite, t);
    return test_run(suite);
}
