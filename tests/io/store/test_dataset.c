#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "io/store/dataset.h"
#include "tests/lib/h5py.h"
#include "tests/lib/storefile.h"
#include "tests/lib/test.h"

static const unsigned char blob[] = {0, 1, 2, 0xff, 0};

/* n ids of documents of `length` tokens, in calls of odd sizes. */
static bm_status make(bm_content_id *id, const char *path, const bm_tokens_opts *opts, int64_t n, int64_t length)
{
    bm_status status;
    bm_tokens_writer *w = NULL;
    uint32_t piece[97];
    BM_GO(bm_tokens_writer_create(&w, path, opts));
    for (int64_t at = 0; at < n;) {
        int64_t k = 1 + at % 97;
        if (k > n - at) k = n - at;
        if (k > length - at % length) k = length - at % length;
        for (int64_t i = 0; i < k; i++) piece[i] = bm_rng_at(9, 1, 0, (uint64_t)(at + i)) % (uint32_t)opts->vocab_size;
        BM_GO(bm_tokens_writer_add(w, piece, k));
        at += k;
        if (at % length == 0) BM_GO(bm_tokens_writer_end_document(w));
    }
    status = bm_tokens_writer_commit(id, w);
done:
    bm_tokens_writer_destroy(w);
    return status;
}

static bm_tokens_opts options(int64_t vocab, double val)
{
    bm_tokens_opts o = bm_tokens_opts_default();
    o.vocab_size = vocab;
    o.eot_id = vocab - 1;
    o.val_fraction = val;
    o.meta_json = "{\"source\": \"here\"}";
    o.tokenizer_json = "{\"type\": \"byte\"}";
    o.tokenizer_blob = blob;
    o.tokenizer_blob_bytes = sizeof blob;
    o.replace = 1;
    return o;
}

static void check(const char *path, int64_t vocab, int64_t n, int64_t length, bm_dtype stored)
{
    bm_tokens *t;
    int64_t start, count;
    size_t bytes;
    test_ok(bm_tokens_open(&t, path));
    ck_assert_int_eq(bm_tokens_count(t), n);
    ck_assert_int_eq(bm_tokens_vocab(t), vocab);
    ck_assert_int_eq(bm_tokens_eot(t), vocab - 1);
    ck_assert_int_eq(bm_tokens_documents(t), (n + length - 1) / length);
    ck_assert_int_eq(bm_store_find(bm_tokens_store(t), "/tokens/ids")->dtype, stored);
    int32_t *ids = malloc((size_t)n * 4);
    test_ok(bm_tokens_read(t, ids, 0, n));
    for (int64_t i = 0; i < n; i++)
        ck_assert_int_eq(ids[i], (int32_t)(bm_rng_at(9, 1, 0, (uint64_t)i) % (uint32_t)vocab));
    free(ids);
    test_ok(bm_tokens_split(&start, &count, t, "train"));
    ck_assert(start == 0 && count == n - n / 4);
    test_ok(bm_tokens_split(&start, &count, t, "val"));
    ck_assert(start == n - n / 4 && count == n / 4);
    test_fails(bm_tokens_split(&start, &count, t, "test"), BM_ERR_NOT_FOUND, "train, val");
    ck_assert_str_eq(bm_tokens_tokenizer_json(t), "{\"type\": \"byte\"}");
    ck_assert_int_eq(memcmp(bm_tokens_tokenizer_blob(&bytes, t), blob, sizeof blob), 0);
    ck_assert_uint_eq(bytes, sizeof blob);
    json_t *meta = json_loads(bm_tokens_meta_json(t), 0, NULL);
    ck_assert_str_eq(json_string_value(json_object_get(meta, "source")), "here");
    ck_assert_int_eq(json_integer_value(json_object_get(meta, "tokens")), n);
    ck_assert_uint_eq(json_string_length(json_object_get(meta, "tokenizer_xxh128")), 32);
    json_decref(meta);
    bm_tokens_close(t);
}

START_TEST(ids_and_documents_come_back)
{
    static const struct {
        int64_t vocab, n, length;
        bm_dtype stored;
    } c[] = {{257, 10007, 100, BM_U16},
             {65536, 4000, 1000, BM_U16},
             {65537, 4000, 7, BM_U32},
             {200000, 600000, 599999, BM_U32}};
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        bm_tokens_opts o = options(c[i].vocab, 0.25);
        test_ok(make(NULL, test_path("t.h5"), &o, c[i].n, c[i].length));
        check(test_path("t.h5"), c[i].vocab, c[i].n, c[i].length, c[i].stored);
        test_ok(test_store_sound(test_path("t.h5")));
        test_same_with_h5py(test_path("t.h5"));
    }
    ck_assert_int_eq(test_count_names(test_folder(), ".tmp."), 0);
}
END_TEST

START_TEST(without_validation_or_tokenizer)
{
    bm_tokens_opts o = options(257, 0.001);
    bm_tokens *t;
    o.tokenizer_json = NULL;
    o.eot_id = -1;
    o.meta_json = NULL;
    test_ok(make(NULL, test_path("v.h5"), &o, 999, 100));
    test_ok(bm_tokens_open(&t, test_path("v.h5")));
    ck_assert(!bm_tokens_has_split(t, "val") && bm_tokens_has_split(t, "train"));
    ck_assert_int_eq(bm_tokens_eot(t), -1);
    ck_assert_str_eq(bm_tokens_tokenizer_json(t), "");
    bm_tokens_close(t);
}
END_TEST

START_TEST(content_id_covers_ids_and_splits)
{
    bm_content_id a, b, c, d;
    bm_tokens_opts o = options(257, 0.25), other = options(257, 0.5), named = options(257, 0.25);
    named.meta_json = "{\"source\": \"there\"}";
    test_ok(make(&a, test_path("c.h5"), &o, 1000, 100));
    test_ok(make(&b, test_path("c.h5"), &other, 1000, 100));
    test_ok(make(&c, test_path("c.h5"), &named, 1000, 100));
    test_ok(make(&d, test_path("c.h5"), &o, 1001, 100));
    ck_assert(!bm_content_id_equal(&a, &b));
    ck_assert(bm_content_id_equal(&a, &c));
    ck_assert(!bm_content_id_equal(&a, &d));
}
END_TEST

START_TEST(wrong_input_is_told)
{
    bm_tokens_opts o = options(257, 0.25);
    bm_tokens_writer *w;
    bm_tokens *t;
    const char *path = test_path("w.h5");
    unlink(path);
    test_fails(make(NULL, path, &o, 0, 1), BM_ERR_CONFIG, "empty");
    test_ok(bm_tokens_writer_create(&w, path, &o));
    test_fails(bm_tokens_writer_add(w, &(uint32_t){257}, 1), BM_ERR_USAGE, "257");
    bm_tokens_writer_destroy(w);
    ck_assert_int_ne(access(path, F_OK), 0);
    o.val_fraction = 1;
    test_fails(bm_tokens_writer_create(&w, path, &o), BM_ERR_USAGE, "fraction");
    o = options(0, 0);
    test_fails(bm_tokens_writer_create(&w, path, &o), BM_ERR_USAGE, "vocabulary");
    o = options(257, 0);
    o.meta_json = "[1]";
    test_fails(make(NULL, path, &o, 10, 10), BM_ERR_REFUSED, "object");
    test_ok(test_store_write(NULL, path, 1, 1));
    test_fails(bm_tokens_open(&t, path), BM_ERR_REFUSED, "checkpoint");
    test_fails(bm_tokens_open(&t, test_path("none.h5")), BM_ERR_NOT_FOUND, "none.h5");
}
END_TEST

/* A file of kind "bm-data" whose /tokens break rule 9. */
static bm_status make_broken(const char *path, int what)
{
    bm_status status;
    bm_writer *w;
    uint16_t ids[4] = {1, 2, 300, 3};
    uint64_t offsets[3] = {0, 2, 4}, down[3] = {0, 5, 4}, late[3] = {1, 2, 4};
    BM_TRY(bm_writer_create(&w, path, &(bm_writer_opts){.kind = BM_STORE_DATASET, .replace = 1}));
    BM_GO(bm_writer_numbers(w, "/tokens/ids", BM_U16, ids, 4));
    BM_GO(bm_writer_numbers(w, "/tokens/doc_offsets", BM_U64,
                            what == 0   ? down
                            : what == 1 ? late
                                        : offsets,
                            what == 2 ? 2 : 3));
    BM_GO(bm_writer_attr_u32(w, "/tokens", "vocab_size", 257));
    if (what == 3) BM_GO(bm_writer_attr_u32(w, "/tokens", "eot_id", 257));
    BM_GO(bm_writer_group(w, "/splits/train"));
    BM_GO(bm_writer_attr_u64(w, "/splits/train", "start", what == 4 ? UINT64_MAX : 0));
    BM_GO(bm_writer_attr_u64(w, "/splits/train", "count", 4));
    BM_GO(bm_writer_begin(w));
    status = bm_writer_commit(NULL, w);
done:
    bm_writer_destroy(w);
    return status;
}

START_TEST(rule_9_is_checked)
{
    bm_tokens *t;
    int32_t ids[4];
    for (int what = 0; what < 5; what++) {
        test_ok(make_broken(test_path("r.h5"), what));
        test_fails(bm_tokens_open(&t, test_path("r.h5")), BM_ERR_REFUSED, "rule 9");
        ck_assert_ptr_null(t);
    }
    test_ok(make_broken(test_path("r.h5"), 5));
    test_ok(bm_tokens_open(&t, test_path("r.h5")));
    test_ok(bm_tokens_read(t, ids, 0, 2));
    test_fails(bm_tokens_read(t, ids, 1, 3), BM_ERR_DAMAGED, "token 300 at 2 is outside the vocabulary of 257");
    bm_tokens_close(t);
}
END_TEST

static bm_status write_and_read(void *path)
{
    bm_tokens_opts o = options(257, 0.25);
    bm_tokens *t;
    BM_TRY(make(NULL, path, &o, 50, 9));
    BM_TRY(bm_tokens_open(&t, path));
    bm_tokens_close(t);
    return BM_OK;
}

START_TEST(every_failing_allocation_is_survived)
{
    char path[4096];
    snprintf(path, sizeof path, "%s", test_path("m.h5"));
    test_fail_allocations(write_and_read, path);
    ck_assert_int_eq(test_count_names(test_folder(), ".m.h5.tmp"), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("io/store/dataset");
    TCase *t = tcase_create("dataset");
    tcase_add_test(t, ids_and_documents_come_back);
    tcase_add_test(t, without_validation_or_tokenizer);
    tcase_add_test(t, content_id_covers_ids_and_splits);
    tcase_add_test(t, wrong_input_is_told);
    tcase_add_test(t, rule_9_is_checked);
    tcase_add_test(t, every_failing_allocation_is_survived);
    suite_add_tcase(suite, t);
    return test_run(suite);
}
