/* Datasets of images and rows: written, read back, decoded, and refused where they are no such thing; test_samples_loaded.c has how
 * they are loaded. */
/* ctest: threads */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "io/store/loader.h"
#include "io/store/writer.h"
#include "tests/lib/h5py.h"
#include "tests/lib/samplefile.h"
#include "tests/lib/storefile.h"
#include "tests/lib/syscalls.h"
#include "tests/lib/test.h"

/* ---- writing and reading ---- */

static void check_parts(const bm_data *d, int64_t train)
{
    int64_t n;
    test_ok(bm_data_part(&n, d, "train", 1));
    ck_assert_int_eq(n, train);
    ck_assert_int_eq(bm_data_has_part(d, "val"), train < N);
    if (train == N) return;
    test_ok(bm_data_part(&n, d, "val", 1));
    ck_assert_int_eq(n, N - train);
}

/* The samples in the order of the file: those of the training part first, each part in the order in which they came. */
static void check_order(bm_data *d, const bm_samples_opts *o, const int *order)
{
    bm_batch b;
    bm_samples *s = bm_data_samples(d);
    const bm_sample_form f = bm_samples_form(s);
    void *raw = malloc(bm_samples_raw_bytes(s));
    test_ok(bm_batch_create(&b, &f, 3));
    for (int i = 0; i < N; i++) {
        test_ok(bm_samples_read(s, raw, i));
        test_ok(bm_samples_decode(s, &b, i % 3, raw, i, NULL, 0));
        samplefile_expect(&b, i % 3, o, order[i], bm_samples_mean(s), bm_samples_std(s));
    }
    bm_batch_finish(&b);
    free(raw);
}

START_TEST(samples_come_back_with_a_part_that_was_named)
{
    bm_samples_opts o = samplefile_form(_i);
    int order[N];
    o.val_fraction = 0.9; /* overruled */
    for (int i = 0; i < N; i++) order[i] = i;
    bm_data *d = samplefile_make("named.h5", &o, 17);
    const bm_sample_form f = bm_data_form(d, 1);
    ck_assert_str_eq(bm_data_kind(d), _i == IMAGES ? "images" : "rows");
    ck_assert_int_eq(bm_data_count(d), N);
    ck_assert_int_eq(f.input, _i == IDS ? BM_I32 : BM_F32);
    ck_assert_int_eq(f.target, o.target);
    ck_assert_int_eq(f.lengths, o.lengths);
    ck_assert_int_eq(f.vocab, o.vocab);
    ck_assert_int_eq(f.classes, o.classes);
    const bm_shape image = BM_SHAPE(H, W, C);
    ck_assert(bm_shape_equal(&f.input_shape, _i == IMAGES ? &image : &o.input_shape));
    ck_assert(bm_shape_equal(&f.target_shape, &o.target_shape));
    check_parts(d, 17);
    check_order(d, &o, order);
    bm_data_close(d);
    test_ok(test_store_sound(test_path("named.h5")));
    test_same_with_h5py(test_path("named.h5"));
    ck_assert_int_eq(test_count_names(test_folder(), ".named.h5.tmp"), 0);
}
END_TEST

START_TEST(a_part_is_drawn_by_number_and_seed_alone)
{
    for (uint64_t seed = 1; seed < 4; seed++) {
        bm_samples_opts o = samplefile_form(_i);
        int order[N], n = 0;
        o.val_fraction = 0.3;
        o.split_seed = seed;
        for (int validation = 0; validation < 2; validation++)
            for (int i = 0; i < N; i++)
                if (bm_samples_is_validation(N, 0.3, seed, i) == validation) order[n++] = i;
        bm_data *d = samplefile_make("drawn.h5", &o, 0);
        check_parts(d, N - 6); /* floor(0.3 * 23) */
        check_order(d, &o, order);
        bm_data_close(d);
    }
    int same = 1;
    for (int i = 0; i < N; i++) same &= bm_samples_is_validation(N, 0.3, 1, i) == bm_samples_is_validation(N, 0.3, 2, i);
    ck_assert(!same);
    for (int i = 0; i < N; i++) ck_assert(!bm_samples_is_validation(N, 0, 1, i));
}
END_TEST

/* Over the training part alone, in units of 255; a channel of one value has deviation 1. */
START_TEST(images_are_normalised_by_their_training_part)
{
    bm_samples_writer *w = NULL;
    bm_data *d = NULL;
    bm_samples_opts o = samplefile_form(IMAGES);
    double sum = 0, squares = 0, n = 0;
    o.encoding_json = "{\"classes\": [\"a\"]}";
    test_ok(bm_samples_writer_create(&w, test_path("mean.h5"), &o));
    for (int i = 0; i < N; i++) {
        uint8_t x[C * H * W];
        for (int k = 0; k < C * H * W; k++) {
            x[k] = k < H * W ? samplefile_pixel(i, k) : 77;
            if (i >= 15) continue;
            if (k >= H * W) continue;
            sum += x[k];
            squares += (double)x[k] * x[k];
            n++;
        }
        if (i == 15) bm_samples_writer_validation(w);
        test_ok(bm_samples_writer_add(w, x, &(int32_t){0}, 0));
    }
    test_ok(bm_samples_writer_commit(NULL, w));
    bm_samples_writer_destroy(w);
    test_ok(bm_data_open(&d, test_path("mean.h5")));
    bm_samples *s = bm_data_samples(d);
    const float *mean = bm_samples_mean(s), *std = bm_samples_std(s);
    ck_assert_double_eq_tol((double)mean[0], sum / n / 255, 1e-7);
    ck_assert_double_eq_tol((double)std[0], sqrt(squares / n - sum / n * sum / n) / 255, 1e-7);
    ck_assert(mean[1] == 77.0f / 255 && std[1] == 1 && mean[2] == mean[1] && std[2] == 1);
    json_t *j = json_loads(bm_samples_encoding(s), 0, NULL);
    ck_assert_str_eq(json_string_value(json_array_get(json_object_get(j, "classes"), 0)), "a");
    for (int c = 0; c < C; c++) {
        ck_assert((float)json_real_value(json_array_get(json_object_get(j, "mean"), (size_t)c)) == mean[c]);
        ck_assert((float)json_real_value(json_array_get(json_object_get(j, "std"), (size_t)c)) == std[c]);
    }
    json_decref(j);
    /* Another model's numbers take their place. */
    const float other[C] = {0.5f, 0.25f, 0}, wide[C] = {2, 4, 1};
    const bm_sample_form f = bm_samples_form(s);
    bm_batch b;
    uint8_t *raw = malloc(bm_samples_raw_bytes(s));
    bm_samples_normalise(s, other, wide);
    test_ok(bm_batch_create(&b, &f, 1));
    test_ok(bm_samples_read(s, raw, 2));
    test_ok(bm_samples_decode(s, &b, 0, raw, 2, NULL, 0));
    ck_assert(((float *)b.input)[1] == (77.0f / 255 - 0.25f) / 4);
    bm_batch_finish(&b);
    free(raw);
    bm_data_close(d);
}
END_TEST

START_TEST(description_and_encoding_are_kept)
{
    bm_samples_opts o = samplefile_form(TABLE);
    bm_content_id a, b, c;
    o.meta_json = "{\"source\": [\"here\"], \"licence\": \"CC0\"}";
    o.encoding_json = "{\"target\": {\"name\": \"y\"}}";
    bm_data *d = samplefile_make("meta.h5", &o, 0);
    json_t *meta = json_loads(bm_data_meta(d), 0, NULL), *encoding = json_loads(bm_data_encoding(d), 0, NULL);
    ck_assert_str_eq(json_string_value(json_object_get(meta, "licence")), "CC0");
    ck_assert_int_eq(json_integer_value(json_object_get(meta, "samples")), N);
    ck_assert(json_is_null(json_object_get(meta, "classes")));
    ck_assert_str_eq(json_string_value(json_object_get(json_object_get(encoding, "target"), "name")), "y");
    json_decref(meta);
    json_decref(encoding);
    bm_data_close(d);
    /* The content is the samples and their parts, not where they are from. */
    test_ok(samplefile_write(&a, test_path("meta.h5"), &o, 0));
    o.meta_json = NULL;
    test_ok(samplefile_write(&b, test_path("meta.h5"), &o, 0));
    test_ok(samplefile_write(&c, test_path("meta.h5"), &o, 12));
    ck_assert(bm_content_id_equal(&a, &b));
    ck_assert(!bm_content_id_equal(&a, &c));
}
END_TEST

/* ---- refused ---- */

enum { BAD_FORMS = 18 };
static bm_samples_opts bad_form(int i)
{
    bm_samples_opts image = samplefile_form(IMAGES), table = samplefile_form(TABLE), ids = samplefile_form(IDS);
    switch (i) {
    case 0: image.input = BM_F32; return image;
    case 1: image.input_shape = BM_SHAPE(4, 4); return image;
    case 2: image.input_shape = BM_SHAPE(65, 4, 4); return image;
    case 3: image.input_shape = BM_SHAPE(1, 0, 4); return image;
    case 4: image.target_shape = BM_SHAPE(2); return image;
    case 5: image.target = BM_F32; return image;
    case 6: image.lengths = 1; return image;
    case 7: image.classes = 0; return image;
    case 8: table.classes = 3; return table;
    case 9: table.vocab = 3; return table;
    case 10: table.input = BM_F64; return table;
    case 11: table.input_shape = BM_SHAPE(1, 1, 1, 1); return table;
    case 12: table.target_shape = BM_SHAPE(1, 1); return table;
    case 13: table.val_fraction = 1; return table;
    case 14: table.val_fraction = -0.1; return table;
    case 15: table.val_fraction = NAN; return table;
    case 16: table.target_shape = (bm_shape){0}; return table;
    default: ids.vocab = 0; return ids;
    }
}

START_TEST(forms_that_there_are_not_are_refused)
{
    bm_samples_writer *w = NULL;
    const bm_samples_opts o = bad_form(_i);
    test_fails(bm_samples_writer_create(&w, test_path("never.h5"), &o), BM_ERR_USAGE, _i >= 13 && _i <= 15 ? "fraction" : "form");
    ck_assert_ptr_null(w);
}
END_TEST

START_TEST(what_is_no_sample_is_told_by_its_number)
{
    bm_samples_writer *w = NULL;
    samplefile_cell in, to;
    bm_samples_opts o = samplefile_form(IDS);
    const char *path = test_path("told.h5");
    unlink(path);
    test_ok(bm_samples_writer_create(&w, path, &o));
    test_fails(bm_samples_writer_commit(NULL, w), BM_ERR_CONFIG, "no samples");
    samplefile_fill(&in, &to, &o, 0);
    test_ok(bm_samples_writer_add(w, &in, &to, 0));
    test_ok(bm_samples_writer_add(w, &in, &to, T));
    to.id[T - 1] = CLASSES;
    test_fails(bm_samples_writer_add(w, &in, &to, 1), BM_ERR_CONFIG, "sample 2: class 7, of 7 from 0 on");
    to.id[T - 1] = 0;
    test_fails(bm_samples_writer_add(w, &in, &to, T + 1), BM_ERR_CONFIG, "sample 2: length 7 of 6");
    test_fails(bm_samples_writer_add(w, &in, &to, -1), BM_ERR_CONFIG, "sample 2: length -1");
    in.id[1] = VOCAB;
    test_fails(bm_samples_writer_add(w, &in, &to, 1), BM_ERR_CONFIG, "sample 2: id 50");
    in.id[1] = -1;
    test_fails(bm_samples_writer_add(w, &in, &to, 1), BM_ERR_CONFIG, "sample 2: id -1");
    ck_assert_int_eq(bm_samples_writer_count(w), 2);
    bm_samples_writer_destroy(w);
    ck_assert_int_ne(access(path, F_OK), 0);
    /* Nothing to learn from. */
    test_ok(bm_samples_writer_create(&w, path, &o));
    bm_samples_writer_validation(w);
    in.id[1] = 0;
    test_ok(bm_samples_writer_add(w, &in, &to, 1));
    test_fails(bm_samples_writer_commit(NULL, w), BM_ERR_CONFIG, "no samples to learn from");
    bm_samples_writer_destroy(w);
    o.meta_json = "[1]";
    test_fails(samplefile_write(NULL, path, &o, 0), BM_ERR_REFUSED, "object");
    o.meta_json = NULL;
    o.encoding_json = "[1]";
    test_fails(samplefile_write(NULL, path, &o, 0), BM_ERR_REFUSED, "object");
    ck_assert_int_ne(access(path, F_OK), 0);
    test_ok(samplefile_write(NULL, path, &(bm_samples_opts){.kind = "rows", .input = BM_F32, .target = BM_F32, .input_shape = BM_SHAPE(1), .target_shape = BM_SHAPE(1)}, 0));
    o = samplefile_form(TABLE);
    o.replace = 0;
    test_fails(samplefile_write(NULL, path, &o, 0), BM_ERR_EXISTS, "told.h5");
}
END_TEST

/* ---- failures ---- */

static bm_status write_and_read(void *which)
{
    bm_samples_opts o = samplefile_form(*(int *)which);
    bm_data *d = NULL;
    bm_loader *l = NULL;
    bm_batch b = {.size = 0};
    bm_status status;
    o.val_fraction = 0.3;
    o.encoding_json = o.meta_json = "{\"a\": 1}";
    BM_TRY(samplefile_write(NULL, test_path("fail.h5"), &o, 0));
    BM_TRY(bm_data_open(&d, test_path("fail.h5")));
    const bm_sample_form f = bm_data_form(d, 1);
    bm_loader_opts lo = bm_loader_opts_default();
    lo.batch = lo.ahead = 3;
    lo.shuffle = lo.threads = 1;
    BM_GO(bm_loader_create(&l, d, &lo));
    BM_GO(bm_batch_create(&b, &f, 3));
    status = bm_loader_next(l, &b, NULL);
done:
    bm_batch_finish(&b);
    bm_loader_destroy(l);
    bm_data_close(d);
    return status;
}

START_TEST(every_failing_allocation_is_survived)
{
    int which = _i;
    test_fail_allocations(write_and_read, &which);
    ck_assert_int_eq(test_count_names(test_folder(), ".fail.h5.tmp"), 0);
}
END_TEST

/* A full disk at any call leaves the file that was there. */
START_TEST(a_full_disk_leaves_the_old_file)
{
    const bm_samples_opts old = samplefile_form(TABLE), o = samplefile_form(IDS);
    const char *path = test_path("full.h5");
    bm_content_id due;
    char tidy[4300];
    snprintf(tidy, sizeof tidy, "rm -f '%s'/.full.h5.tmp*", test_folder());
    ck_assert_int_eq(system(tidy), 0);
    test_ok(samplefile_write(&due, path, &old, 0));
    for (int n = 1;; n++) {
        const int64_t live = bm_mem_get_stats().live;
        bm_store *s = NULL;
        test_sys_arm(n, SYS_FAIL, ENOSPC, 0);
        const bm_status status = samplefile_write(NULL, path, &o, 0);
        const char *hit = test_sys_hit();
        test_sys_arm(0, SYS_PASS, 0, 0);
        ck_assert_int_eq(bm_mem_get_stats().live, live);
        if (!hit) {
            test_ok(status);
            ck_assert_int_gt(n, 20);
            break;
        }
        const int left = test_count_names(test_folder(), ".full.h5.tmp");
        ck_assert_msg(left == !strcmp(hit, "unlink"), "%s %d: %d temporary files are left", hit, n, left);
        if (left) ck_assert_int_eq(system(tidy), 0);
        if (status) ck_assert_msg(status == BM_ERR_NO_SPACE, "%s %d: %s", hit, n, bm_error_text(status));
        test_ok(bm_store_open(&s, path));
        if (strcmp(hit, "fsync of the folder")) ck_assert_int_eq(bm_content_id_equal(bm_store_content_id(s), &due), status != BM_OK);
        bm_store_close(s);
        test_ok(samplefile_write(NULL, path, &old, 0));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("io/store/samples");
    TCase *t = tcase_create("samples");
    tcase_add_loop_test(t, samples_come_back_with_a_part_that_was_named, 0, FORMS);
    tcase_add_loop_test(t, a_part_is_drawn_by_number_and_seed_alone, 0, FORMS);
    tcase_add_test(t, images_are_normalised_by_their_training_part);
    tcase_add_test(t, description_and_encoding_are_kept);
    tcase_add_loop_test(t, forms_that_there_are_not_are_refused, 0, BAD_FORMS);
    tcase_add_test(t, what_is_no_sample_is_told_by_its_number);
    tcase_add_loop_test(t, every_failing_allocation_is_survived, 0, FORMS);
    tcase_add_test(t, a_full_disk_leaves_the_old_file);
    suite_add_tcase(suite, t);
    return test_run(suite);
}
