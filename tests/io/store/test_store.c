/* Writer and strict reader: what goes in comes out, and other HDF5 software agrees. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "io/store/h5_priv.h"
#include "tests/lib/h5py.h"
#include "tests/lib/storefile.h"
#include "tests/lib/test.h"

#define SEED 5u

static bm_status compare_piece(void *user, const bm_entry *e, const void *data, int64_t first, int64_t count)
{
    size_t size = bm_dtype_size(e->dtype);
    ck_assert_int_eq(memcmp((const char *)user + (size_t)first * size, data, (size_t)count * size), 0);
    return BM_OK;
}

START_TEST(what_is_written_is_read)
{
    bm_store *s;
    bm_content_id id;
    const char *path = test_path("a.h5");
    test_ok(test_store_write(&id, path, SEED, 1));
    test_ok(bm_store_open(&s, path));
    ck_assert_int_eq(bm_store_count(s), test_dataset_count);
    ck_assert_int_eq(bm_store_get_kind(s), BM_STORE_CHECKPOINT);
    ck_assert(bm_content_id_equal(&id, bm_store_content_id(s)));
    for (int i = 0; i < test_dataset_count; i++) {
        const test_dataset *d = test_datasets + i;
        bm_shape shape = bm_shape_of(d->rank, d->dim);
        const bm_entry *e;
        const void *map;
        void *loaded;
        test_ok(bm_store_require(&e, s, d->path, d->dtype, &shape));
        size_t bytes = (size_t)e->bytes, size = bm_dtype_size(d->dtype);
        int64_t n = e->bytes / (int64_t)size;
        unsigned char *due = malloc(bytes + 1), *got = malloc(bytes + 1);
        test_bytes(due, bytes, SEED + (uint64_t)i);
        test_ok(bm_store_read(s, e, got, 0, n));
        ck_assert_int_eq(memcmp(due, got, bytes), 0);
        if (n > 2) {
            test_ok(bm_store_read(s, e, got, 1, n - 2));
            ck_assert_int_eq(memcmp(due + size, got, bytes - 2 * size), 0);
        }
        test_fails(bm_store_read(s, e, got, 0, n + 1), BM_ERR_USAGE, d->path);
        test_fails(bm_store_read(s, e, got, n, INT64_MAX), BM_ERR_USAGE, d->path);
        test_ok(bm_store_stream(s, e, NULL, compare_piece, due));
        test_ok(bm_store_load(&loaded, s, e, e->bytes));
        ck_assert_int_eq(memcmp(due, loaded, bytes), 0);
        bm_free(loaded);
        test_ok(bm_store_map(&map, s, e));
        if (bytes) ck_assert_int_eq(memcmp(due, map, bytes), 0);
        if (bytes >= 4096) ck_assert_int_eq(e->offset % 4096, 0);
        free(due);
        free(got);
    }
    for (int64_t i = 1; i < bm_store_count(s); i++)
        ck_assert_int_lt(strcmp(bm_store_at(s, i - 1)->path, bm_store_at(s, i)->path), 0);
    test_ok(bm_store_verify(s, NULL));
    bm_store_close(s);
}
END_TEST

START_TEST(attributes_keep_their_types)
{
    bm_store *s;
    const char *text;
    uint64_t u;
    double x;
    test_ok(test_store_write(NULL, test_path("b.h5"), SEED, 1));
    test_ok(bm_store_open(&s, test_path("b.h5")));
    test_ok(bm_store_attr_text(&text, s, "/alone", "text"));
    ck_assert_str_eq(text, "gr\xc3\xbc\xc3\x9f");
    test_ok(bm_store_attr_text(&text, s, "/alone", "empty"));
    ck_assert_str_eq(text, "");
    test_ok(bm_store_attr_u64(&u, s, "/alone", "t"));
    ck_assert(u == UINT64_MAX);
    test_ok(bm_store_attr_u64(&u, s, "/alone", "u"));
    ck_assert(u == 7);
    test_ok(bm_store_attr_f64(&x, s, "/alone", "lr"));
    ck_assert(x == 0.1);
    test_ok(bm_store_attr_f64(&x, s, "/alone", "half"));
    ck_assert(x == 1.0);
    const bm_attr *a = bm_store_attr(s, "/alone", "mean");
    ck_assert(a && a->dtype == BM_F32 && a->shape.rank == 1 && a->shape.dim[0] == 3 &&
              ((const float *)a->data)[2] == 3);
    test_fails(bm_store_attr_u64(&u, s, "/alone", "none"), BM_ERR_REFUSED, "missing");
    test_fails(bm_store_attr_u64(&u, s, "/alone", "lr"), BM_ERR_REFUSED, "another type");
    ck_assert(bm_store_has_group(s, "/alone") && !bm_store_has_group(s, "/state/a") && !bm_store_find(s, "/alone"));
    ck_assert_uint_eq(strlen(bm_store_uuid(s)), 36);
    bm_store_close(s);
}
END_TEST

START_TEST(h5py_h5ls_and_h5dump_read_the_same)
{
    test_ok(test_store_write(NULL, test_path("c.h5"), SEED, 1));
    test_same_with_h5py(test_path("c.h5"));
}
END_TEST

START_TEST(content_id_depends_on_content_alone)
{
    bm_content_id a, b, c;
    bm_store *s, *t;
    test_ok(test_store_write(&a, test_path("d1.h5"), SEED, 1));
    test_ok(test_store_write(&b, test_path("d2.h5"), SEED, 1));
    test_ok(test_store_write(&c, test_path("d3.h5"), SEED + 100, 1));
    ck_assert(bm_content_id_equal(&a, &b));
    ck_assert(!bm_content_id_equal(&a, &c));
    test_ok(bm_store_open(&s, test_path("d1.h5")));
    test_ok(bm_store_open(&t, test_path("d2.h5")));
    ck_assert_str_ne(bm_store_uuid(s), bm_store_uuid(t));
    bm_store_close(s);
    bm_store_close(t);
}
END_TEST

START_TEST(a_file_is_replaced_only_when_asked)
{
    bm_content_id a, b;
    bm_store *s;
    const char *path = test_path("e.h5");
    unlink(path);
    test_ok(test_store_write(&a, path, 1, 0));
    test_fails(test_store_write(&b, path, 2, 0), BM_ERR_EXISTS, "e.h5");
    test_ok(bm_store_open(&s, path));
    ck_assert(bm_content_id_equal(&a, bm_store_content_id(s)));
    bm_store_close(s);
    test_ok(test_store_write(&b, path, 2, 1));
    test_ok(bm_store_open(&s, path));
    ck_assert(bm_content_id_equal(&b, bm_store_content_id(s)));
    bm_store_close(s);
    test_fails(test_store_write(NULL, test_path("none/e.h5"), 1, 0), BM_ERR_NOT_FOUND, "none");
    test_fails(test_store_write(NULL, test_folder(), 1, 1), BM_ERR_EXISTS, "regular");
}
END_TEST

START_TEST(wrong_use_is_told)
{
    bm_writer *w;
    int64_t a, b;
    bm_shape four = BM_SHAPE(4), flat = BM_SHAPE(-1);
    float x[4] = {0};
    bm_writer_opts opts = {.replace = 1};
    test_ok(bm_writer_create(&w, test_path("f.h5"), &opts));
    test_ok(bm_writer_dataset(&a, w, "/g/a", BM_F32, &four));
    test_ok(bm_writer_dataset(&b, w, "/g/b", BM_F32, &four));
    test_fails(bm_writer_dataset(NULL, w, "/g/a", BM_F32, &four), BM_ERR_USAGE, "twice");
    test_fails(bm_writer_dataset(NULL, w, "/g", BM_F32, &four), BM_ERR_USAGE, "twice");
    test_fails(bm_writer_group(w, "/g/a/x"), BM_ERR_USAGE, "dataset");
    test_fails(bm_writer_dataset(NULL, w, "g", BM_F32, &four), BM_ERR_USAGE, "begin");
    test_fails(bm_writer_dataset(NULL, w, "/", BM_F32, &four), BM_ERR_USAGE, "name");
    test_fails(bm_writer_dataset(NULL, w, "/g/../c", BM_F32, &four), BM_ERR_USAGE, "name");
    test_fails(bm_writer_dataset(NULL, w, "/g/\x01", BM_F32, &four), BM_ERR_USAGE, "name");
    test_fails(bm_writer_dataset(NULL, w, "/g/\xff", BM_F32, &four), BM_ERR_USAGE, "name");
    test_fails(bm_writer_dataset(NULL, w, "/1/2/3/4/5/6/7/8/9/10/11/12/13", BM_F32, &four), BM_ERR_USAGE, "deep");
    test_fails(bm_writer_group(w, "/manifest"), BM_ERR_USAGE, "manifest");
    ck_assert_int_ne(bm_writer_dataset(NULL, w, "/g/neg", BM_F32, &flat), BM_OK);
    test_fails(bm_writer_attr_u32(w, "/none", "x", 1), BM_ERR_USAGE, "/none");
    test_ok(bm_writer_attr_u32(w, "/g", "x", 1));
    test_fails(bm_writer_attr_u32(w, "/g", "x", 1), BM_ERR_USAGE, "twice");
    test_fails(bm_writer_put(w, a, x, 0, 4), BM_ERR_USAGE, "begun");
    test_ok(bm_writer_begin(w));
    test_fails(bm_writer_group(w, "/late"), BM_ERR_USAGE, "ended");
    test_fails(bm_writer_put(w, a, x, 1, 2), BM_ERR_USAGE, "/g/a");
    test_ok(bm_writer_put(w, a, x, 0, 2));
    test_fails(bm_writer_put(w, a, x, 0, 2), BM_ERR_USAGE, "/g/a");
    test_fails(bm_writer_put(w, a, x, 2, 3), BM_ERR_USAGE, "/g/a");
    test_ok(bm_writer_put(w, a, x, 2, 2));
    test_fails(bm_writer_put(w, 2, x, 0, 1), BM_ERR_USAGE, "no dataset");
    test_fails(bm_writer_commit(NULL, w), BM_ERR_USAGE, "/g/b");
    bm_writer_destroy(w);
    ck_assert_int_eq(test_count_names(test_folder(), ".f.h5.tmp"), 0);
    ck_assert_int_ne(access(test_path("f.h5"), F_OK), 0);
}
END_TEST

typedef struct put_job {
    bm_writer *w;
    int64_t index;
    const float *data;
    int64_t n;
    bm_status status;
} put_job;

static void *put_in_pieces(void *arg)
{
    put_job *j = arg;
    for (int64_t at = 0; at < j->n && !j->status; at += 1000) {
        int64_t k = j->n - at < 1000 ? j->n - at : 1000;
        j->status = bm_writer_put(j->w, j->index, j->data + at, at, k);
    }
    return NULL;
}

START_TEST(threads_put_different_datasets_and_leaves_are_many)
{
    enum { N = 4 };
    int64_t n = (BM_LEAF_MOST * 2 + 4096) / 4 + 5; /* three leaves, the last one short */
    float *data = malloc((size_t)n * 4);
    bm_writer *w;
    put_job job[N];
    pthread_t thread[N];
    bm_store *s;
    test_bytes(data, (size_t)n * 4, 3);
    test_ok(bm_writer_create(&w, test_path("g.h5"), &(bm_writer_opts){.replace = 1}));
    for (int i = 0; i < N; i++) {
        char path[16];
        bm_shape shape = BM_SHAPE(n - i);
        snprintf(path, sizeof path, "/params/t%d", i);
        job[i] = (put_job){w, -1, data + i, n - i, BM_OK};
        test_ok(bm_writer_dataset(&job[i].index, w, path, BM_F32, &shape));
    }
    test_ok(bm_writer_begin(w));
    for (int i = 0; i < N; i++) ck_assert_int_eq(pthread_create(&thread[i], NULL, put_in_pieces, &job[i]), 0);
    for (int i = 0; i < N; i++) pthread_join(thread[i], NULL);
    for (int i = 0; i < N; i++) ck_assert_int_eq(job[i].status, BM_OK);
    test_ok(bm_writer_commit(NULL, w));
    bm_writer_destroy(w);
    test_ok(bm_store_open(&s, test_path("g.h5")));
    test_ok(bm_store_verify(s, NULL));
    for (int i = 0; i < N; i++) test_ok(bm_store_stream(s, bm_store_at(s, i), NULL, compare_piece, data + i));
    bm_store_close(s);
    free(data);
    unlink(test_path("g.h5"));
}
END_TEST

START_TEST(wide_groups_and_deep_paths_stay_compact)
{
    bm_writer *w;
    bm_store *s;
    char path[300];
    float x = 1;
    test_ok(bm_writer_create(&w, test_path("h.h5"), &(bm_writer_opts){.replace = 1}));
    for (int i = 0; i < BM_H5_MOST_LINKS; i++) {
        snprintf(path, sizeof path, "/wide/dataset_with_a_name_%d", i);
        test_ok(bm_writer_numbers(w, path, BM_F32, &x, -1));
    }
    test_fails(bm_writer_group(w, "/wide/more"), BM_ERR_USAGE, "more than 4096");
    test_ok(bm_writer_numbers(w, "/1/2/3/4/5/6/7/8/9/10/11/12", BM_F32, &x, -1));
    for (int i = 0; i < BM_H5_MOST_ATTRS; i++) {
        snprintf(path, sizeof path, "a%d", i);
        test_ok(bm_writer_attr_f64(w, "/1/2/3", path, i));
    }
    test_ok(bm_writer_begin(w));
    test_ok(bm_writer_commit(NULL, w));
    bm_writer_destroy(w);
    test_ok(bm_store_open(&s, test_path("h.h5")));
    test_ok(bm_store_verify(s, NULL));
    ck_assert_int_eq(bm_store_count(s), BM_H5_MOST_LINKS + 1);
    bm_store_close(s);
}
END_TEST

/* Any number of small datasets has a layout whose table of leaves has its own length. */
START_TEST(every_number_of_datasets_finds_its_layout)
{
    for (int n = 0; n < 70; n++) {
        bm_writer *w;
        char path[32];
        test_ok(bm_writer_create(&w, test_path("i.h5"), &(bm_writer_opts){.replace = 1}));
        for (int i = 0; i < n; i++) {
            double x[600] = {0};
            snprintf(path, sizeof path, "/g%d/x", i);
            test_ok(bm_writer_numbers(w, path, BM_F64, x, i * 37 % 600));
        }
        test_ok(bm_writer_begin(w));
        test_ok(bm_writer_commit(NULL, w));
        bm_writer_destroy(w);
        test_ok(test_store_sound(test_path("i.h5")));
    }
}
END_TEST

static bm_status write_once(void *path) { return test_store_write(NULL, path, SEED, 1); }
static bm_status read_once(void *path) { return test_store_sound(path); }

START_TEST(every_failing_allocation_is_survived)
{
    char path[4096];
    snprintf(path, sizeof path, "%s", test_path("j.h5"));
    test_fail_allocations(write_once, path);
    test_fail_allocations(read_once, path);
    ck_assert_int_eq(test_count_names(test_folder(), ".j.h5.tmp"), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("io/store/store");
    TCase *t = tcase_create("store");
    tcase_add_test(t, what_is_written_is_read);
    tcase_add_test(t, attributes_keep_their_types);
    tcase_add_test(t, h5py_h5ls_and_h5dump_read_the_same);
    tcase_add_test(t, content_id_depends_on_content_alone);
    tcase_add_test(t, a_file_is_replaced_only_when_asked);
    tcase_add_test(t, wrong_use_is_told);
    tcase_add_test(t, threads_put_different_datasets_and_leaves_are_many);
    tcase_add_test(t, wide_groups_and_deep_paths_stay_compact);
    tcase_add_test(t, every_number_of_datasets_finds_its_layout);
    tcase_add_test(t, every_failing_allocation_is_survived);
    suite_add_tcase(suite, t);
    return test_run(suite);
}
