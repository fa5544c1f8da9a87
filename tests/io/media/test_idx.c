/* IDX: files written down byte by byte, every one cut or longer, and headers that ask for too much. */
#include "io/media/idx.h"

#include <stdlib.h>
#include <string.h>

#include "tests/lib/packed.h"
#include "tests/lib/test.h"

/* 3 images of 2 x 2 */
static const unsigned char images[] = {0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 255};
static const unsigned char labels[] = {0, 0, 8, 1, 0, 0, 0, 2, 7, 0};

/* All items, `most` at a time. */
static bm_status read_all(uint8_t *out, int64_t *n, const char *path, int64_t most)
{
    bm_idx *x;
    int64_t got;
    bm_status status;
    *n = 0;
    BM_TRY(bm_idx_open(&x, path));
    do {
        status = bm_idx_next(x, &got, out + *n * bm_idx_item_bytes(x), most);
        *n += got;
    } while (!status && got);
    bm_idx_close(x);
    return status;
}

START_TEST(items_come_in_batches)
{
    uint8_t got[16];
    int64_t n;
    bm_idx *x;
    size_t bytes;
    unsigned char *packed = gzip_of(&bytes, images, sizeof images);
    const char *paths[] = {file_of("images", images, sizeof images), file_of("images.gz", packed, bytes)};
    for (int i = 0; i < 2; i++) {
        for (int64_t most = 1; most <= 4; most++) {
            test_ok(read_all(got, &n, paths[i], most));
            ck_assert_int_eq(n, 3);
            ck_assert_mem_eq(got, images + 16, 12);
        }
    }
    test_ok(bm_idx_open(&x, file_of("labels", labels, sizeof labels)));
    ck_assert_int_eq(bm_idx_item_bytes(x), 1);
    ck_assert(bm_idx_shape(x)->rank == 1 && bm_idx_shape(x)->dim[0] == 2);
    test_ok(bm_idx_next(x, &n, got, 16));
    ck_assert(n == 2 && got[0] == 7 && got[1] == 0);
    bm_idx_close(x);
    free(packed);
}
END_TEST

START_TEST(every_other_length_is_refused)
{
    unsigned char more[sizeof images + 1] = {0};
    uint8_t got[16];
    int64_t n;
    bm_idx *x;
    memcpy(more, images, sizeof images);
    for (size_t bytes = 0; bytes <= sizeof more; bytes++) {
        size_t size;
        unsigned char *packed = gzip_of(&size, more, bytes);
        bm_status want = bytes < 4 ? BM_ERR_REFUSED : bytes == sizeof images ? BM_OK : BM_ERR_DAMAGED;
        ck_assert_int_eq(bm_idx_open(&x, file_of("cut", more, bytes)), want); /* of a plain file, at once */
        bm_idx_close(x);
        ck_assert_int_eq(read_all(got, &n, file_of("cut.gz", packed, size), 2), want);
        free(packed);
    }
    test_fails(read_all(got, &n, file_of("cut", images, 20), 2), BM_ERR_DAMAGED, "cut: 20 bytes, where its sizes ask for 28");
}
END_TEST

static const struct {
    unsigned char head[20];
    bm_status code;
    const char *words;
} bad[] = {
    {{1, 0, 8, 1}, BM_ERR_REFUSED, "does not begin as an IDX"},
    {{0, 0, 8, 0}, BM_ERR_REFUSED, "rank 0"},
    {{0, 0, 8, 5}, BM_ERR_REFUSED, "rank 5"},
    {{0, 0, 0x0d, 1}, BM_ERR_UNSUPPORTED, "type 0x0d"},
    {{0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1}, BM_ERR_REFUSED, "a dimension is 0"},
    {{0, 0, 8, 3, 0, 0, 0, 1, 0x40, 0, 0, 0, 0, 0, 0, 2}, BM_ERR_REFUSED, "1 byte to 1 GiB"},
    {{0, 0, 8, 4, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255}, BM_ERR_REFUSED, "1 byte to 1 GiB"},
    {{0, 0, 8, 3, 255, 255, 255, 255, 0x40, 0, 0, 0, 0, 0, 0, 1}, BM_ERR_DAMAGED, "its sizes ask for"},
};

START_TEST(headers_are_checked)
{
    bm_idx *x;
    test_fails(bm_idx_open(&x, file_of("bad", bad[_i].head, sizeof bad[_i].head)), bad[_i].code, bad[_i].words);
    ck_assert_ptr_null(x);
}
END_TEST

static bm_status read_packed(void *path)
{
    uint8_t got[16];
    int64_t n;
    return read_all(got, &n, path, 2);
}

START_TEST(failing_memory_is_reported_and_nothing_leaks)
{
    size_t bytes;
    unsigned char *packed = gzip_of(&bytes, images, sizeof images);
    test_fail_allocations(read_packed, (void *)file_of("memory.gz", packed, bytes));
    free(packed);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("idx");
    TCase *t = tcase_create("idx");
    tcase_add_test(t, items_come_in_batches);
    tcase_add_test(t, every_other_length_is_refused);
    tcase_add_loop_test(t, headers_are_checked, 0, sizeof bad / sizeof *bad);
    tcase_add_test(t, failing_memory_is_reported_and_nothing_leaks);
    suite_add_tcase(s, t);
    return test_run(s);
}
