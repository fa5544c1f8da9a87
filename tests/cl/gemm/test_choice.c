/* The choice among backends: forced, measured, kept in a file, read back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cl/gemm/gemm.h"
#include "cl/gemm/measure.h"
#include "cl/gemm/tuning_priv.h"
#include "cl/gemm/bound_priv.h"
#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/device/memory.h"
#include "tests/lib/device.h"
#include "tests/lib/test.h"

static bm_engine *engine;

static void setup(void)
{
    test_listen();
    engine = test_engine_open();
}
static void teardown(void)
{
    bm_engine_close(engine);
}

static bm_gemm_desc product(int64_t m, int64_t n, int64_t k)
{
    bm_gemm_desc d = bm_gemm_desc_default(m, n, k);
    d.trans_b = 1;
    return bm_gemm_desc_full(&d);
}

static const char *chosen(bm_engine *e, const bm_gemm_desc *d)
{
    const bm_gemm_backend *b = NULL;
    test_ok(bm_gemm_choose(&b, e, d, NULL));
    return b->name;
}

static void write_text(const char *path, const char *text)
{
    test_ok(bm_file_replace(path, text, strlen(text)));
}

static char *choices(bm_engine *e)
{
    char *text = NULL;
    test_ok(bm_gemm_tuning_to_json(e, &text));
    return text;
}

START_TEST(nothing_is_measured_unless_asked_for)
{
    bm_gemm_desc d = product(40, 40, 40);
    ck_assert_str_eq(chosen(engine, &d), bm_gemm_default(&d, engine, bm_engine_limits(engine))->name);
    char *text = choices(engine);
    ck_assert_ptr_null(strstr(text, "40x40x40"));
    bm_free(text);
}
END_TEST

START_TEST(a_measured_choice_is_kept_in_the_file)
{
    const char *path = test_path("sub/tuning.json");
    remove(path);
    test_ok(bm_gemm_tuning_open(engine, path));
    bm_gemm_desc d = product(64, 96, 80);
    const char *name = chosen(engine, &d);
    ck_assert_str_eq(chosen(engine, &d), name);
    char *text = NULL, line[200];
    size_t bytes;
    test_ok(bm_file_read(&text, &bytes, path, 1 << 20));
    snprintf(line, sizeof line, "\"NT 64x96x80 f32\": \"%s\"", name);
    test_text_holds(text, line);
    bm_free(text);
    ck_assert_msg(test_times_said == 0, "said: %s", test_said);
}
END_TEST

/* `tiled` is never the outcome of measuring on a device that has a better default: if it comes out, it was read. */
/* The trial, on random whole numbers and scales, is passed by packed. */
START_TEST(scaled_products_have_choices_of_their_own)
{
    bm_gemm_desc d = product(3, 40, 40);
    test_ok(bm_gemm_tuning_open(engine, NULL));
    chosen(engine, &d);
    d.has_scale = 1;
    ck_assert_str_ne(chosen(engine, &d), "clblast");
    d.type_b = BM_I8;
    ck_assert_str_eq(chosen(engine, &d), bm_gemm_default(&d, engine, bm_engine_limits(engine))->name);
    char *text = choices(engine);
    ck_assert_ptr_nonnull(strstr(text, "\"NT 3x40x40 f32\""));
    ck_assert_ptr_nonnull(strstr(text, "\"NT 3x40x40 f32 scaled\""));
    ck_assert_ptr_nonnull(strstr(text, "\"NT 3x40x40 f32*i8->f32 scaled\""));
    ck_assert_int_eq(test_times_said, 0);
    bm_free(text);
}
END_TEST

START_TEST(a_choice_in_the_file_is_not_measured_again)
{
    const char *path = test_path("again.json");
    remove(path);
    test_ok(bm_gemm_tuning_open(engine, path));
    bm_gemm_desc d = product(32, 64, 48);
    const char *name = chosen(engine, &d);
    if (!strcmp(name, "tiled")) return;
    char *text = NULL, line[100];
    size_t bytes;
    test_ok(bm_file_read(&text, &bytes, path, 1 << 20));
    snprintf(line, sizeof line, "\"%s\"", name);
    char *at = strstr(text, line);
    ck_assert_ptr_nonnull(at);
    bm_str edited;
    bm_str_init(&edited);
    bm_str_add_bytes(&edited, text, (size_t)(at - text));
    bm_str_addf(&edited, "\"tiled\"%s", at + strlen(line));
    test_ok(bm_str_status(&edited));
    write_text(path, bm_str_text(&edited));
    bm_engine_close(engine);
    engine = test_engine_open();
    test_ok(bm_gemm_tuning_open(engine, path));
    ck_assert_str_eq(chosen(engine, &d), "tiled");
    /* Other choices are added beside it. */
    bm_gemm_desc other = product(33, 65, 49);
    chosen(engine, &other);
    bm_free(text);
    test_ok(bm_file_read(&text, &bytes, path, 1 << 20));
    test_text_holds(text, "\"NT 32x64x48 f32\": \"tiled\"");
    test_text_holds(text, "NT 33x65x49 f32");
    bm_free(text);
    bm_str_finish(&edited);
}
END_TEST

START_TEST(a_damaged_file_is_said_once_and_replaced)
{
    static const char *const damaged[] = {"", "{", "[]", "{\"format\": \"x\", \"devices\": {}}", "{\"format\": \"bm gemm tuning 1\"}",
                                          "{\"format\": \"bm gemm tuning 1\", \"devices\": 3}", "\xff\xfe"};
    const char *path = test_path("damaged.json");
    write_text(path, damaged[_i]);
    test_ok(bm_gemm_tuning_open(engine, path));
    test_ok(bm_gemm_tuning_open(engine, path));
    ck_assert_int_eq(test_times_said, 1);
    test_text_holds(test_said, "damaged.json");
    bm_gemm_desc d = product(16, 32, 24);
    chosen(engine, &d);
    char *text = NULL;
    size_t bytes;
    test_ok(bm_file_read(&text, &bytes, path, 1 << 20));
    test_text_holds(text, "NT 16x32x24 f32");
    bm_free(text);
}
END_TEST

START_TEST(a_file_that_cannot_be_written_is_said_once)
{
    write_text(test_path("plain"), "x");
    test_ok(bm_gemm_tuning_open(engine, test_path("plain/tuning.json")));
    bm_gemm_desc d = product(16, 32, 24), other = product(16, 32, 25);
    const char *name = chosen(engine, &d);
    chosen(engine, &other);
    ck_assert_str_eq(chosen(engine, &d), name);
    test_text_holds(test_said, "plain");
    ck_assert_msg(test_times_said <= 2, "said %d times: %s", test_times_said, test_said); /* reading, writing */
}
END_TEST

START_TEST(choices_travel_as_json)
{
    test_ok(bm_gemm_tuning_from_json(engine, "{\"format\": \"bm gemm tuning 1\", \"device\": \"any\", \"choices\": "
                                             "{\"NT 16x32x24 f32\": \"tiled\", \"NT 16x32x24 f32 +D\": \"packed\"}}"));
    bm_gemm_desc d = product(16, 32, 24), wide = d;
    ck_assert_str_eq(chosen(engine, &d), "tiled");
    d.beta = 1.0f;
    ck_assert_str_eq(chosen(engine, &d), "packed");
    wide.ldd = 40; /* another product: not the one named */
    ck_assert_str_eq(chosen(engine, &wide), bm_gemm_default(&wide, engine, bm_engine_limits(engine))->name);
    char *text = choices(engine);
    test_text_holds(text, "\"NT 16x32x24 f32\": \"tiled\"");
    bm_engine_close(engine);
    engine = test_engine_open();
    test_ok(bm_gemm_tuning_from_json(engine, text));
    char *again = choices(engine);
    ck_assert_str_eq(again, text);
    bm_free(again);
    bm_free(text);
    /* Those of a run replace what a file said. */
    test_ok(bm_gemm_tuning_from_json(engine, "{\"format\": \"bm gemm tuning 1\", \"choices\": {\"NT 16x32x24 f32\": \"packed\"}}"));
    d.beta = 0.0f;
    ck_assert_str_eq(chosen(engine, &d), "packed");
    test_fails(bm_gemm_tuning_from_json(engine, "{"), BM_ERR_DAMAGED, "line 1");
    test_fails(bm_gemm_tuning_from_json(engine, "{\"format\": \"bm gemm tuning 2\"}"), BM_ERR_DAMAGED, "format");
    test_fails(bm_gemm_tuning_from_json(engine, "{\"format\": \"bm gemm tuning 1\", \"choices\": {\"x\": 1}}"), BM_ERR_DAMAGED, "x");
}
END_TEST

/* Kernels of `packed` that give wrong numbers, or do not build. */
START_TEST(a_broken_backend_is_set_aside_and_said_once)
{
    static const char *const to[] = {"(F)(t->alpha * 1.001f)", "(F)(t->no_such_member)"};
    if (bm_engine_limits(engine)->type != BM_DEVICE_CPU || bm_engine_form(engine) == BM_FORM_PLAIN) return;
    char folder[500];
    snprintf(folder, sizeof folder, "%s", test_path("cl"));
    test_ok(bm_folder_create(test_path("cl/gemm")));
    test_copy_headers(folder);
    test_copy_kernel(folder, "gemm/packed.cl", "", "");
    test_copy_kernel(folder, "lib/result.clh", "(F)(t->alpha)", to[_i]);
    bm_engine_opts opts = test_engine_opts();
    opts.cl_dir = folder;
    bm_engine *broken = test_engine_open_with(&opts);
    test_ok(bm_gemm_tuning_open(broken, NULL));
    bm_gemm_desc d = product(48, 64, 56), other = product(48, 64, 57);
    ck_assert_str_ne(chosen(broken, &d), "packed");
    ck_assert_str_ne(chosen(broken, &other), "packed");
    ck_assert_int_eq(test_times_said, 1);
    test_text_holds(test_said, "packed");
    test_text_holds(test_said, "set aside");
    /* Large products are compared by some of their rows. */
    if (_i == 0 && !getenv("BM_TEST_SMALL")) {
        bm_gemm_desc large = product(900, 900, 700);
        ck_assert_str_ne(chosen(broken, &large), "packed");
    }
    bm_engine_close(broken);
}
END_TEST

START_TEST(a_forced_backend_refuses_aloud)
{
    bm_gemm_desc d = product(16, 32, 24);
    const bm_gemm_backend *b = NULL;
    for (const char *const *name = bm_gemm_backends(); *name; name++) {
        const char *why;
        if (!bm_gemm_backend_takes(*name, engine, &d, &why)) continue;
        test_ok(bm_gemm_choose(&b, engine, &d, *name));
        ck_assert_str_eq(b->name, *name);
    }
    test_fails(bm_gemm_choose(&b, engine, &d, "cublas"), BM_ERR_USAGE, "clblast, packed, packed_ab and tiled");
    ck_assert_ptr_null(b);
    bm_gemm_desc large = product(70000, 70000, 8);
    test_fails(bm_gemm_choose(&b, engine, &large, "clblast"), BM_ERR_UNSUPPORTED, "NT 70000x70000x8 f32");
    test_text_holds(bm_error_text(BM_ERR_UNSUPPORTED), "32 bits");
    large.type_d = BM_BF16; /* a storage type that CLBlast does not have: another runs it */
    test_ok(bm_gemm_choose(&b, engine, &large, "clblast"));
    ck_assert_ptr_eq(b, bm_gemm_default(&large, engine, bm_engine_limits(engine)));
}
END_TEST

START_TEST(packed_ab_takes_a_transposed_f32_and_leaves_the_rest_to_packed)
{
    const bm_gemm_backend *b = NULL;
    const char *why = NULL;
    bm_gemm_desc d = product(16, 32, 24);
    ck_assert(!bm_gemm_backend_takes("packed_ab", engine, &d, &why));
    test_text_holds(why, "not transposed");
    test_ok(bm_gemm_choose(&b, engine, &d, "packed_ab"));
    ck_assert_str_eq(b->name, "packed");
    d.trans_a = 1;
    d.lda = d.m;
    ck_assert(bm_gemm_backend_takes("packed_ab", engine, &d, &why));
    test_ok(bm_gemm_choose(&b, engine, &d, "packed_ab"));
    ck_assert_str_eq(b->name, "packed_ab");
    int64_t in_place = -1, copied = -1; /* copies lie in local memory */
    test_ok(bm_gemm_backend_find("packed")->scratch(&in_place, &d, engine, bm_engine_limits(engine)));
    test_ok(b->scratch(&copied, &d, engine, bm_engine_limits(engine)));
    ck_assert_int_eq(in_place, 0);
    ck_assert_int_eq(copied, 0);
    bm_limits small = *bm_engine_limits(engine);
    small.local_bytes = 8 << 10;
    ck_assert(!b->takes(&d, NULL, &small, &why));
    test_text_holds(why, "less than 12 KiB of local memory");
    d.type_a = BM_BF16;
    ck_assert(!bm_gemm_backend_takes("packed_ab", engine, &d, &why));
    test_text_holds(why, "not f32");
}
END_TEST

/* Sizes beyond 32 bits: refused by CLBlast, planned right by the others. */
START_TEST(sizes_beyond_32_bits)
{
    static const int64_t sizes[][3] = {{3000000000, 4, 4}, {4, 3000000000, 4}, {4, 4, 3000000000}, {60000, 60000, 2}, {2, 60000, 60000}};
    for (int i = 0; i < 5; i++) {
        bm_gemm_desc d = product(sizes[i][0], sizes[i][1], sizes[i][2]);
        const char *why = NULL;
        test_ok(bm_gemm_desc_check(&d));
        ck_assert(!bm_gemm_backend_takes("clblast", engine, &d, &why));
        ck_assert(bm_gemm_backend_takes("tiled", engine, &d, &why));
        int64_t bytes = -1;
        test_ok(bm_gemm_scratch(&bytes, NULL, &d, bm_engine_limits(engine)));
        ck_assert_msg(bytes >= 0 && bytes <= 256ll << 20, "%lld bytes of scratch", (long long)bytes);
    }
    bm_gemm_desc d = product(5, 5, 5);
    const char *why = NULL;
    d.offset_b = 3000000000;
    ck_assert(!bm_gemm_backend_takes("clblast", engine, &d, &why));
    d.offset_b = INT64_MAX / 2;
    test_fails(bm_gemm_desc_check(&d), BM_ERR_SHAPE, "64-bit");
    d = product(INT64_MAX / 2, 1, INT64_MAX / 2);
    test_fails(bm_gemm_desc_check(&d), BM_ERR_SHAPE, "64-bit");
}
END_TEST

START_TEST(descriptions_that_make_no_sense_are_refused)
{
    bm_gemm_desc d = product(-1, 4, 4);
    test_fails(bm_gemm_desc_check(&d), BM_ERR_SHAPE, "negative");
    d = product(4, 4, 4);
    d.lda = 3;
    test_fails(bm_gemm_desc_check(&d), BM_ERR_SHAPE, "rows of A");
    d = product(4, 4, 4);
    d.type_b = BM_I32;
    test_fails(bm_gemm_desc_check(&d), BM_ERR_SHAPE, "i32");
    d.type_b = BM_I8;
    test_ok(bm_gemm_desc_check(&d));
    d.type_a = BM_I8;
    test_fails(bm_gemm_desc_check(&d), BM_ERR_SHAPE, "A has type i8");
    d = product(4, 4, 4);
    d.batch = 2;
    d.stride_d = 15;
    test_fails(bm_gemm_desc_check(&d), BM_ERR_SHAPE, "overlap");
    d.stride_d = 16;
    test_ok(bm_gemm_desc_check(&d));
    d.offset_a = -1;
    test_fails(bm_gemm_desc_check(&d), BM_ERR_SHAPE, "negative offset");
}
END_TEST

START_TEST(planning_without_a_device_asks_for_the_same_scratch)
{
    static const int64_t sizes[][3] = {{256, 2304, 768}, {256, 768, 50257}, {768, 3072, 256}, {4, 768, 768}, {3000, 40, 3000}};
    const bm_limits *limits = bm_engine_limits(engine);
    if (limits->type != BM_DEVICE_CPU || bm_engine_form(engine) == BM_FORM_PLAIN) return;
    for (int i = 0; i < 5; i++)
        for (int trans_a = 0; trans_a < 2; trans_a++) {
            bm_gemm_desc d = bm_gemm_desc_default(sizes[i][0], sizes[i][1], sizes[i][2]);
            d.trans_a = trans_a;
            d = bm_gemm_desc_full(&d);
            int64_t planned = -1, used = -2;
            test_ok(bm_gemm_scratch(&planned, NULL, &d, limits));
            test_ok(bm_gemm_default(&d, engine, limits)->scratch(&used, &d, engine, limits));
            ck_assert_int_eq(planned, used);
            ck_assert_int_le(planned, 8 << 20); /* never a copy of a whole large operand */
        }
}
END_TEST

START_TEST(measuring_one_backend)
{
    bm_gemm_desc d = product(40, 50, 60);
    double s = 0;
    for (const char *const *name = bm_gemm_backends(); *name; name++) {
        const char *why;
        if (!bm_gemm_backend_takes(*name, engine, &d, &why)) continue;
        test_ok(bm_gemm_measure(&s, engine, *name, &d, 3));
        ck_assert(s > 0 && s < 60);
    }
    test_fails(bm_gemm_measure(&s, engine, "none", &d, 3), BM_ERR_UNSUPPORTED, "none");
    d.n = 0;
    test_fails(bm_gemm_measure(&s, engine, "tiled", &d, 3), BM_ERR_USAGE, "nothing");
}
END_TEST

static cl_mem operand;

static bm_status bind_one(void *name)
{
    bm_gemm_desc d = product(20, 40, 30);
    d.has_bias = 1;
    const bm_gemm_args args = {.a = operand, .b = operand, .d = operand, .bias = operand};
    bm_gemm_bound *b = NULL;
    BM_TRY(bm_gemm_bound_create(&b, engine, bm_gemm_backend_find(name), &d, &args));
    bm_gemm_bound_destroy(b);
    return BM_OK;
}

START_TEST(binding_survives_any_failed_allocation)
{
    const int64_t bytes = 4096 * 4;
    bm_region *r = NULL;
    test_ok(bm_region_create(&r, engine, "operand", &bytes, 1, 1));
    test_ok(bm_region_piece(&operand, r, 0, 0, bytes));
    for (const char *const *name = bm_gemm_backends(); *name; name++) {
        bm_gemm_desc d = product(20, 40, 30);
        const char *why;
        if (!bm_gemm_backend_takes(*name, engine, &d, &why)) continue;
        char copy[16];
        snprintf(copy, sizeof copy, "%s", *name);
        test_ok(bind_one(copy)); /* programs are built, and stay */
        test_fail_allocations(bind_one, copy);
    }
    bm_region_destroy(r);
}
END_TEST

/* An engine keeps its tuning; what a failed call leaves on it goes with it. */
static bm_status tune_one(void *path)
{
    bm_status status = BM_OK;
    char *text = NULL;
    BM_GO(bm_gemm_tuning_open(engine, path));
    BM_GO(bm_gemm_tuning_to_json(engine, &text));
    BM_GO(bm_gemm_tuning_from_json(engine, text));
done:
    bm_free(text);
    return status;
}

START_TEST(tuning_survives_any_failed_allocation)
{
    const char *path = test_path("alloc.json");
    remove(path);
    test_ok(bm_gemm_tuning_open(engine, path));
    bm_gemm_desc d = product(16, 32, 24);
    chosen(engine, &d);
    char copy[500];
    snprintf(copy, sizeof copy, "%s", path);
    test_fail_allocations(tune_one, copy);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cl/gemm/choice");
    TCase *t = tcase_create("choice");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, nothing_is_measured_unless_asked_for);
    tcase_add_test(t, a_measured_choice_is_kept_in_the_file);
    tcase_add_test(t, scaled_products_have_choices_of_their_own);
    tcase_add_test(t, a_choice_in_the_file_is_not_measured_again);
    tcase_add_loop_test(t, a_damaged_file_is_said_once_and_replaced, 0, 7);
    tcase_add_test(t, a_file_that_cannot_be_written_is_said_once);
    tcase_add_test(t, choices_travel_as_json);
    tcase_add_loop_test(t, a_broken_backend_is_set_aside_and_said_once, 0, 2);
    tcase_add_test(t, a_forced_backend_refuses_aloud);
    tcase_add_test(t, packed_ab_takes_a_transposed_f32_and_leaves_the_rest_to_packed);
    tcase_add_test(t, sizes_beyond_32_bits);
    tcase_add_test(t, descriptions_that_make_no_sense_are_refused);
    tcase_add_test(t, planning_without_a_device_asks_for_the_same_scratch);
    tcase_add_test(t, measuring_one_backend);
    tcase_add_test(t, binding_survives_any_failed_allocation);
    tcase_add_test(t, tuning_survives_any_failed_allocation);
    suite_add_tcase(s, t);
    return test_run(s);
}
