/* Samples as they are loaded: images flipped and moved, batches in the order of the contract. */
/* ctest: threads */
#include <stdlib.h>
#include <string.h>

#include "io/store/loader.h"
#include "tests/lib/samplefile.h"
#include "tests/lib/test.h"

/* ---- augmentation ---- */

/* Whether `got` is sample `s` flipped or not and moved by (dx, dy), black coming in. */
static int is_view(const float *got, const float *plain, const float *black, int flip, int dx, int dy)
{
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++)
            for (int c = 0; c < C; c++) {
                const int from_y = y + dy, from_x = (flip ? W - 1 - x : x) + dx;
                const int inside = from_y >= 0 && from_y < H && from_x >= 0 && from_x < W;
                if (got[(y * W + x) * C + c] != (inside ? plain[(from_y * W + from_x) * C + c] : black[c])) return 0;
            }
    return 1;
}

START_TEST(images_are_flipped_and_moved_by_sample_and_epoch_alone)
{
    enum { SHIFT = 2, WAYS = 2 * SHIFT + 1 };
    const bm_samples_opts o = samplefile_form(IMAGES);
    bm_data *d = samplefile_make("augment.h5", &o, 0);
    bm_samples *s = bm_data_samples(d);
    const bm_sample_form f = bm_samples_form(s);
    const bm_augment a = {.flip = 1, .shift = SHIFT, .seed = 9}, other = {.flip = 1, .shift = SHIFT, .seed = 10}, still = {.seed = 9};
    int seen[2][WAYS][WAYS] = {{{0}}}, ways = 0, other_seed = 0;
    bm_batch b, again;
    void *raw = malloc(bm_samples_raw_bytes(s));
    float black[C];
    for (int c = 0; c < C; c++) black[c] = (0.0f - bm_samples_mean(s)[c]) / bm_samples_std(s)[c];
    test_ok(bm_batch_create(&b, &f, 3));
    test_ok(bm_batch_create(&again, &f, 1));
    const int64_t each = H * W * C;
    for (uint64_t epoch = 0; epoch < 20; epoch++)
        for (int i = 0; i < N; i++) {
            test_ok(bm_samples_read(s, raw, i));
            test_ok(bm_samples_decode(s, &b, 0, raw, i, &still, epoch));
            test_ok(bm_samples_decode(s, &b, 1, raw, i, &a, epoch));
            test_ok(bm_samples_decode(s, &b, 2, raw, i, &other, epoch));
            test_ok(bm_samples_decode(s, &again, 0, raw, i, &a, epoch));
            const float *x = b.input;
            ck_assert_mem_eq(x + each, again.input, (size_t)each * sizeof *x);
            other_seed += memcmp(x + each, x + 2 * each, (size_t)each * sizeof *x) != 0;
            int found = 0;
            for (int flip = 0; flip < 2; flip++)
                for (int dx = -SHIFT; dx <= SHIFT; dx++)
                    for (int dy = -SHIFT; dy <= SHIFT; dy++)
                        if (is_view(x + each, x, black, flip, dx, dy)) {
                            found++;
                            seen[flip][dx + SHIFT][dy + SHIFT]++;
                        }
            ck_assert_msg(found == 1, "sample %d in epoch %d: %d views", i, (int)epoch, found);
        }
    for (int k = 0; k < 2 * WAYS * WAYS; k++) ways += (&seen[0][0][0])[k] > 0;
    ck_assert_int_eq(ways, 2 * WAYS * WAYS); /* 460 draws of 50 ways */
    ck_assert_int_gt(other_seed, 400);
    bm_batch_finish(&b);
    bm_batch_finish(&again);
    free(raw);
    bm_data_close(d);
}
END_TEST

/* A shift beyond the image leaves black. */
START_TEST(an_image_may_be_moved_out_of_sight)
{
    const bm_samples_opts o = samplefile_form(IMAGES);
    bm_data *d = samplefile_make("far.h5", &o, 0);
    bm_samples *s = bm_data_samples(d);
    const bm_sample_form f = bm_samples_form(s);
    const bm_augment a = {.shift = 1024, .seed = 9};
    bm_batch b;
    void *raw = malloc(bm_samples_raw_bytes(s));
    test_ok(bm_batch_create(&b, &f, 1));
    for (int i = 0; i < N; i++) {
        test_ok(bm_samples_read(s, raw, i));
        test_ok(bm_samples_decode(s, &b, 0, raw, i, &a, 0));
    }
    bm_batch_finish(&b);
    free(raw);
    bm_data_close(d);
}
END_TEST

/* ---- the loader ---- */

static bm_loader_opts loader_options(int shuffle, int threads, int64_t batch)
{
    bm_loader_opts o = bm_loader_opts_default();
    o.batch = batch;
    o.shuffle = shuffle;
    o.threads = threads;
    o.ahead = 3;
    o.seed = 99;
    return o;
}

START_TEST(batches_are_those_of_the_contract_over_epoch_ends)
{
    enum { TRAIN = 17 };
    const bm_samples_opts o = samplefile_form(_i);
    bm_data *d = samplefile_make("load.h5", &o, TRAIN);
    const bm_samples *s = bm_data_samples(d);
    const bm_sample_form f = bm_data_form(d, 1);
    for (int shuffle = 0; shuffle < 2; shuffle++)
        for (int threads = 0; threads <= 4; threads += 2)
            for (int64_t batch = 1; batch <= 21; batch += 5) {
                const bm_loader_opts lo = loader_options(shuffle, threads, batch);
                bm_loader *l = NULL;
                bm_batch b;
                int64_t rows;
                test_ok(bm_loader_create(&l, d, &lo));
                test_ok(bm_batch_create(&b, &f, batch));
                ck_assert_int_eq(bm_loader_samples(l), TRAIN);
                for (int64_t k = 0; k * batch < 3 * TRAIN; k++) {
                    test_ok(bm_loader_next(l, &b, &rows));
                    ck_assert_int_eq(rows, batch);
                    for (int64_t r = 0; r < batch; r++) {
                        const uint64_t at = (uint64_t)(k * batch + r), epoch = at / TRAIN, i = at % TRAIN;
                        samplefile_expect(&b, r, &o, (int)(shuffle ? bm_permute(TRAIN, 99, epoch, i) : i), bm_samples_mean(s), bm_samples_std(s));
                    }
                    const bm_cursor c = bm_loader_get_cursor(l);
                    ck_assert_uint_eq(c.epoch * TRAIN + c.sample, (uint64_t)((k + 1) * batch));
                }
                bm_batch_finish(&b);
                bm_loader_destroy(l);
            }
    bm_data_close(d);
}
END_TEST

/* One pass over the validation part, whose last batch is short: what is beyond it does not count. */
START_TEST(one_pass_ends_with_a_short_batch)
{
    const bm_samples_opts o = samplefile_form(_i);
    bm_data *d = samplefile_make("pass.h5", &o, 12);
    const bm_samples *s = bm_data_samples(d);
    const bm_sample_form f = bm_data_form(d, 1);
    bm_loader_opts lo = loader_options(0, 2, 4);
    bm_loader *l = NULL;
    bm_batch b;
    int64_t rows, seen = 0;
    lo.split = "val";
    lo.once = 1;
    test_ok(bm_loader_create(&l, d, &lo));
    test_ok(bm_batch_create(&b, &f, 4));
    for (;;) {
        test_ok(bm_loader_next(l, &b, &rows));
        if (!rows) break;
        ck_assert_int_eq(rows, seen < 8 ? 4 : 3);
        for (int64_t r = 0; r < rows; r++) samplefile_expect(&b, r, &o, 12 + (int)(seen + r), bm_samples_mean(s), bm_samples_std(s));
        seen += rows;
        if (rows == 4) continue;
        const bm_batch last = bm_batch_rows(&b, 3, 1);
        ck_assert_int_eq(bm_batch_counted(&last), 0);
        for (int64_t k = 0; k < bm_shape_elements(&f.input_shape); k++) ck_assert_int_eq(((int32_t *)last.input)[k], 0);
        if (f.lengths) ck_assert_int_eq(*last.lengths, 0);
    }
    ck_assert_int_eq(seen, N - 12);
    bm_batch_finish(&b);
    bm_loader_destroy(l);
    bm_data_close(d);
}
END_TEST

/* Augmented images depend on the cursor and not on who reads them, nor on where a run began. */
START_TEST(a_cursor_goes_on_with_the_same_views)
{
    enum { B = 5 };
    const bm_samples_opts o = samplefile_form(IMAGES);
    bm_data *d = samplefile_make("cursor.h5", &o, 0);
    const bm_sample_form f = bm_data_form(d, 1);
    bm_loader_opts lo = loader_options(1, 2, B);
    bm_loader *l = NULL, *m = NULL;
    bm_batch a, b;
    lo.augment = (bm_augment){.flip = 1, .shift = 1, .seed = 4};
    test_ok(bm_batch_create(&a, &f, B));
    test_ok(bm_batch_create(&b, &f, B));
    test_ok(bm_loader_create(&l, d, &lo));
    for (int at = 0; at < 20; at++) {
        lo.start = bm_loader_get_cursor(l);
        lo.threads = at % 4;
        test_ok(bm_loader_create(&m, d, &lo));
        test_ok(bm_loader_next(l, &a, NULL));
        for (int again = 0; again < 2; again++) {
            test_ok(bm_loader_set_cursor(m, lo.start));
            test_ok(bm_loader_next(m, &b, NULL));
            ck_assert_mem_eq(a.input, b.input, (size_t)(B * H * W * C) * sizeof(float));
            ck_assert_mem_eq(a.target, b.target, B * sizeof(int32_t));
        }
        bm_loader_destroy(m);
    }
    test_fails(bm_loader_set_cursor(l, (bm_cursor){0, N}), BM_ERR_USAGE, "23");
    bm_batch_finish(&a);
    bm_batch_finish(&b);
    bm_loader_destroy(l);
    lo = loader_options(0, 0, 1);
    lo.split = "val";
    test_fails(bm_loader_create(&l, d, &lo), BM_ERR_NOT_FOUND, "val");
    bm_data_close(d);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("io/store/samples_loaded");
    TCase *t = tcase_create("samples, loaded");
    tcase_add_test(t, images_are_flipped_and_moved_by_sample_and_epoch_alone);
    tcase_add_test(t, an_image_may_be_moved_out_of_sight);
    tcase_add_loop_test(t, batches_are_those_of_the_contract_over_epoch_ends, 0, FORMS);
    tcase_add_loop_test(t, one_pass_ends_with_a_short_batch, 0, FORMS);
    tcase_add_test(t, a_cursor_goes_on_with_the_same_views);
    suite_add_tcase(suite, t);
    return test_run(suite);
}
