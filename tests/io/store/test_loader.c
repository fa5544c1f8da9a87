/* ctest: threads */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "io/store/loader.h"
#include "io/store/writer.h"
#include "tests/lib/storefile.h"
#include "tests/lib/test.h"

enum { W = 8, N = 1001, VOCAB = 70000 };
static uint32_t ids[N];

static bm_data *make(const char *name, int64_t vocab, double val)
{
    bm_tokens_opts o = bm_tokens_opts_default();
    bm_tokens_writer *w;
    bm_data *t;
    o.vocab_size = vocab;
    o.val_fraction = val;
    o.replace = 1;
    for (int i = 0; i < N; i++) ids[i] = bm_rng_at(4, 2, 0, (uint64_t)i) % (uint32_t)vocab;
    test_ok(bm_tokens_writer_create(&w, test_path(name), &o));
    test_ok(bm_tokens_writer_add(w, ids, N));
    test_ok(bm_tokens_writer_commit(NULL, w));
    bm_tokens_writer_destroy(w);
    test_ok(bm_data_open(&t, test_path(name)));
    return t;
}

/* Row r of the batches after (epoch, sample) as the contract says it, from the ids themselves. */
static void expect_row(const int32_t *inputs, const int32_t *targets, const bm_loader_opts *o, int64_t start,
                       int64_t windows, uint64_t at)
{
    uint64_t n = (uint64_t)windows, epoch = at / n, i = at % n;
    if (o->shuffle) i = bm_permute(n, o->seed, epoch, i);
    for (int64_t k = 0; k < o->window; k++) {
        const uint32_t *p = ids + start + (int64_t)i * o->window + k;
        ck_assert_int_eq(inputs[k], (int32_t)p[0]);
        ck_assert_int_eq(targets[k], (int32_t)p[1]);
    }
}

static bm_loader_opts options(int shuffle, int threads, int64_t batch)
{
    bm_loader_opts o = bm_loader_opts_default();
    o.window = W;
    o.batch = batch;
    o.shuffle = shuffle;
    o.threads = threads;
    o.ahead = 3;
    o.seed = 99;
    return o;
}

/* The next batch of a loader with these options, into arrays. */
static bm_status next(bm_loader *l, const bm_loader_opts *o, int32_t *in, int32_t *out, int64_t *rows)
{
    const bm_sample_form f = bm_sample_tokens(o->window, VOCAB);
    bm_batch b = bm_batch_of(&f, o->batch, in, out, NULL);
    return bm_loader_next(l, &b, rows);
}

START_TEST(batches_are_those_of_the_contract_over_epoch_ends)
{
    static const int64_t vocabs[] = {257, VOCAB};
    int32_t in[16 * W], out[16 * W];
    for (int v = 0; v < 2; v++) {
        bm_data *t = make("a.h5", vocabs[v], 0.1);
        for (int shuffle = 0; shuffle < 2; shuffle++)
            for (int threads = 0; threads <= 4; threads++)
                for (int64_t batch = 1; batch <= 16; batch += 5) {
                    bm_loader_opts o = options(shuffle, threads, batch);
                    bm_loader *l;
                    int64_t windows = (901 - 1) / W, rows; /* train: 1001 - 100 tokens */
                    test_ok(bm_loader_create(&l, t, &o));
                    ck_assert_int_eq(bm_loader_samples(l), windows);
                    for (int64_t b = 0; b * batch < 3 * windows; b++) {
                        test_ok(next(l, &o, in, out, &rows));
                        ck_assert_int_eq(rows, batch);
                        for (int64_t r = 0; r < batch; r++)
                            expect_row(in + r * W, out + r * W, &o, 0, windows, (uint64_t)(b * batch + r));
                        bm_cursor c = bm_loader_get_cursor(l);
                        ck_assert_uint_eq(c.epoch * (uint64_t)windows + c.sample, (uint64_t)((b + 1) * batch));
                        ck_assert_uint_lt(c.sample, (uint64_t)windows);
                    }
                    bm_loader_destroy(l);
                }
        bm_data_close(t);
    }
}
END_TEST

START_TEST(a_cursor_goes_on_where_it_was_taken)
{
    enum { B = 7 };
    int32_t in[B * W], out[B * W], in2[B * W], out2[B * W];
    bm_data *t = make("b.h5", 257, 0.1);
    bm_loader_opts o = options(1, 2, B);
    bm_loader *l, *m;
    test_ok(bm_loader_create(&l, t, &o));
    for (int at = 0; at < 40; at++) {
        bm_cursor c = bm_loader_get_cursor(l);
        o.start = c;
        test_ok(bm_loader_create(&m, t, &o)); /* as after a resume */
        test_ok(next(l, &o, in, out, NULL));
        test_ok(next(m, &o, in2, out2, NULL));
        ck_assert_int_eq(memcmp(in, in2, sizeof in), 0);
        ck_assert_int_eq(memcmp(out, out2, sizeof out), 0);
        test_ok(bm_loader_set_cursor(m, c)); /* back, while the readers are ahead */
        memset(in2, 0, sizeof in2);
        test_ok(next(m, &o, in2, out2, NULL));
        ck_assert_int_eq(memcmp(in, in2, sizeof in), 0);
        bm_cursor after = bm_loader_get_cursor(m), due = bm_loader_get_cursor(l);
        ck_assert(after.epoch == due.epoch && after.sample == due.sample);
        bm_loader_destroy(m);
    }
    test_fails(bm_loader_set_cursor(l, (bm_cursor){0, 112}), BM_ERR_USAGE, "112");
    bm_loader_destroy(l);
    bm_data_close(t);
}
END_TEST

START_TEST(one_pass_ends_with_a_short_batch)
{
    enum { B = 5 };
    int32_t in[B * W], out[B * W];
    bm_data *t = make("c.h5", 257, 0.1);
    int64_t rows, seen = 0, windows = (100 - 1) / W; /* val: 100 tokens from 901 on */
    for (int limit = 0; limit <= 7; limit += 7) {
        bm_loader_opts o = options(0, 3, B);
        bm_loader *l;
        o.split = "val";
        o.once = 1;
        o.limit = limit;
        int64_t due = limit ? limit : windows;
        test_ok(bm_loader_create(&l, t, &o));
        for (int pass = 0; pass < 2; pass++) {
            seen = 0;
            for (;;) {
                test_ok(next(l, &o, in, out, &rows));
                if (!rows) break;
                for (int64_t r = 0; r < rows; r++)
                    expect_row(in + r * W, out + r * W, &o, 901, windows, (uint64_t)(seen + r));
                for (int64_t i = rows * W; i < B * W; i++) ck_assert(in[i] == 0 && out[i] == -1);
                seen += rows;
            }
            ck_assert_int_eq(seen, due);
            bm_cursor end = bm_loader_get_cursor(l);
            ck_assert(end.epoch == 1 && end.sample == 0);
            test_ok(bm_loader_set_cursor(l, (bm_cursor){0, 0})); /* and again, as for the next evaluation */
        }
        bm_loader_destroy(l);
    }
    bm_data_close(t);
}
END_TEST

START_TEST(the_last_target_is_inside_the_split)
{
    bm_data *t = make("d.h5", 257, 0);
    bm_loader_opts o = options(0, 1, 1);
    bm_loader *l;
    int32_t in[N], out[N];
    o.window = N - 1;
    test_ok(bm_loader_create(&l, t, &o));
    ck_assert_int_eq(bm_loader_samples(l), 1);
    test_ok(next(l, &o, in, out, NULL));
    ck_assert_int_eq(out[N - 2], (int32_t)ids[N - 1]);
    bm_loader_destroy(l);
    o.window = N;
    test_fails(bm_loader_create(&l, t, &o), BM_ERR_CONFIG, "1001 tokens");
    ck_assert_ptr_null(l);
    o.window = 0;
    test_fails(bm_loader_create(&l, t, &o), BM_ERR_CONFIG, "window");
    o.window = INT64_MAX / 4;
    ck_assert_int_eq(bm_loader_create(&l, t, &o), BM_ERR_CONFIG);
    o = options(0, 1, 1);
    o.split = "val";
    test_fails(bm_loader_create(&l, t, &o), BM_ERR_NOT_FOUND, "val");
    bm_data_close(t);
}
END_TEST

START_TEST(an_id_outside_the_vocabulary_is_found)
{
    bm_writer *w;
    bm_data *t;
    uint16_t raw[100] = {0};
    uint64_t offsets[2] = {0, 100};
    int32_t in[W], out[W];
    raw[50] = 257;
    test_ok(bm_writer_create(&w, test_path("e.h5"), &(bm_writer_opts){.kind = BM_STORE_DATASET, .replace = 1}));
    test_ok(bm_writer_numbers(w, "/tokens/ids", BM_U16, raw, 100));
    test_ok(bm_writer_numbers(w, "/tokens/doc_offsets", BM_U64, offsets, 2));
    test_ok(bm_writer_attr_u32(w, "/tokens", "vocab_size", 257));
    test_ok(bm_writer_group(w, "/splits/train"));
    test_ok(bm_writer_attr_u64(w, "/splits/train", "start", 0));
    test_ok(bm_writer_attr_u64(w, "/splits/train", "count", 100));
    test_ok(bm_writer_begin(w));
    test_ok(bm_writer_commit(NULL, w));
    bm_writer_destroy(w);
    test_ok(bm_data_open(&t, test_path("e.h5")));
    bm_loader_opts o = options(0, 2, 1);
    bm_loader *l;
    test_ok(bm_loader_create(&l, t, &o));
    for (int i = 0; i < 6; i++) test_ok(next(l, &o, in, out, NULL));
    for (int i = 0; i < 2; i++)
        test_fails(next(l, &o, in, out, NULL), BM_ERR_DAMAGED,
                   "token 257 at 50 is outside the vocabulary of 257");
    bm_loader_destroy(l);
    bm_data_close(t);
}
END_TEST

START_TEST(a_changed_bit_is_found_before_its_window_is_used)
{
    bm_data *t = make("h.h5", 257, 0);
    size_t n;
    char path[4096];
    int32_t in[W], out[W];
    int64_t offset = bm_store_find(bm_data_store(t), "/tokens/ids")->offset;
    bm_data_close(t);
    snprintf(path, sizeof path, "%s", test_path("h.h5"));
    unsigned char *data = test_read_file(&n, path);
    data[offset + 500] ^= 1; /* still inside the vocabulary */
    test_write_file(path, data, n);
    free(data);
    test_ok(bm_data_open(&t, path));
    bm_loader_opts o = options(0, 2, 1);
    bm_loader *l;
    test_ok(bm_loader_create(&l, t, &o));
    test_fails(next(l, &o, in, out, NULL), BM_ERR_DAMAGED, "/tokens/ids");
    bm_loader_destroy(l);
    bm_data_close(t);
}
END_TEST

START_TEST(nothing_is_allocated_by_a_batch)
{
    bm_data *t = make("f.h5", 257, 0);
    bm_loader_opts o = options(1, 2, 4);
    bm_loader *l;
    int32_t in[4 * W], out[4 * W];
    test_ok(bm_loader_create(&l, t, &o));
    test_ok(next(l, &o, in, out, NULL));
    int64_t before = bm_mem_get_stats().calls;
    for (int i = 0; i < 200; i++) test_ok(next(l, &o, in, out, NULL));
    ck_assert_int_eq(bm_mem_get_stats().calls, before);
    bm_loader_destroy(l);
    bm_data_close(t);
}
END_TEST

static bm_status create_once(void *data)
{
    bm_loader_opts o = options(1, 2, 4);
    bm_loader *l;
    BM_TRY(bm_loader_create(&l, data, &o));
    bm_loader_destroy(l);
    return BM_OK;
}

START_TEST(every_failing_allocation_is_survived)
{
    bm_data *t = make("g.h5", 257, 0);
    test_fail_allocations(create_once, t);
    bm_data_close(t);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("io/store/loader");
    TCase *t = tcase_create("loader");
    tcase_add_test(t, batches_are_those_of_the_contract_over_epoch_ends);
    tcase_add_test(t, a_cursor_goes_on_where_it_was_taken);
    tcase_add_test(t, one_pass_ends_with_a_short_batch);
    tcase_add_test(t, the_last_target_is_inside_the_split);
    tcase_add_test(t, an_id_outside_the_vocabulary_is_found);
    tcase_add_test(t, a_changed_bit_is_found_before_its_window_is_used);
    tcase_add_test(t, nothing_is_allocated_by_a_batch);
    tcase_add_test(t, every_failing_allocation_is_survived);
    suite_add_tcase(suite, t);
    return test_run(suite);
}
