/* Every changed byte is found, every truncation refused, and nothing that was read of a damaged file is wrong. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/rng.h"
#include "io/store/checkpoint.h"
#include "tests/lib/storefile.h"
#include "tests/lib/test.h"

#define SEED 31u

static unsigned char leaf[BM_LEAF_MOST];

static bm_status compare_piece(void *user, const bm_entry *e, const void *data, int64_t first, int64_t count)
{
    size_t size = bm_dtype_size(e->dtype);
    ck_assert_msg(!memcmp((const char *)user + (size_t)first * size, data, (size_t)count * size),
                  "%s: a wrong byte was handed over", e->path);
    return BM_OK;
}

/* What opens hands over right bytes or says DAMAGED; returns whether verify found the damage. */
static int damage_is_found(const char *path)
{
    bm_store *s;
    if (bm_store_open(&s, path)) {
        ck_assert_ptr_null(s);
        return 1;
    }
    int streams = 0;
    for (int i = 0; i < test_dataset_count; i++) {
        unsigned char due[8192];
        const bm_entry *e = bm_store_find(s, test_datasets[i].path);
        ck_assert_ptr_nonnull(e);
        test_bytes(due, (size_t)e->bytes, SEED + (uint64_t)i);
        bm_status status = bm_store_stream(s, e, leaf, compare_piece, due);
        ck_assert(status == BM_OK || status == BM_ERR_DAMAGED);
        if (e->bytes) { /* a single element too */
            size_t size = bm_dtype_size(e->dtype);
            bm_status read = bm_store_read(s, e, leaf, e->bytes / (int64_t)size - 1, 1);
            ck_assert_int_eq(read, status);
            if (!read) ck_assert_int_eq(memcmp(leaf, due + (size_t)e->bytes - size, size), 0);
        }
        streams += status != BM_OK;
    }
    bm_status status = bm_store_verify(s, NULL);
    bm_store_close(s);
    ck_assert(status == BM_OK || status == BM_ERR_DAMAGED);
    ck_assert_int_eq(streams > 0, status != BM_OK);
    return status != BM_OK;
}

START_TEST(a_flipped_bit_in_any_byte_is_found)
{
    const char *path = test_path("flip.h5");
    size_t n;
    test_ok(test_store_write(NULL, path, SEED, 1));
    ck_assert(!damage_is_found(path));
    unsigned char *data = test_read_file(&n, path);
    int fd = open(path, O_RDWR);
    ck_assert_int_ge(fd, 0);
    for (size_t i = 0; i < n; i++) {
        unsigned char flipped = (unsigned char)(data[i] ^ 1u << bm_rng_at(1, 1, 0, i) % 8);
        ck_assert_int_eq(pwrite(fd, &flipped, 1, (off_t)i), 1);
        ck_assert_msg(damage_is_found(path), "the byte at %zu of %zu", i, n);
        ck_assert_int_eq(pwrite(fd, data + i, 1, (off_t)i), 1);
    }
    close(fd);
    ck_assert(!damage_is_found(path));
    free(data);
}
END_TEST

/* A page of the disk that was never written, or two pages swapped: what Fletcher's sums do not see. */
START_TEST(zeroed_and_swapped_pieces_are_found)
{
    const char *path = test_path("piece.h5");
    size_t n;
    test_ok(test_store_write(NULL, path, SEED, 1));
    unsigned char *data = test_read_file(&n, path);
    for (size_t size = 64; size <= 4096; size *= 8)
        for (size_t at = 0; at + 2 * size <= n; at += size) {
            unsigned char *copy = malloc(n);
            memcpy(copy, data, n);
            memset(copy + at, 0, size);
            int changed = memcmp(copy, data, n) != 0;
            test_write_file(path, copy, n);
            ck_assert_msg(!changed || damage_is_found(path), "%zu zeros at %zu", size, at);
            memcpy(copy + at, data + at + size, size);
            memcpy(copy + at + size, data + at, size);
            changed = memcmp(copy, data, n) != 0;
            test_write_file(path, copy, n);
            ck_assert_msg(!changed || damage_is_found(path), "%zu bytes swapped at %zu", size, at);
            free(copy);
        }
    free(data);
}
END_TEST

START_TEST(every_truncation_is_refused)
{
    const char *path = test_path("short.h5");
    size_t n;
    bm_store *s;
    test_ok(test_store_write(NULL, path, SEED, 1));
    unsigned char *data = test_read_file(&n, path);
    for (size_t i = n; i-- > 0;) {
        ck_assert_int_eq(truncate(path, (off_t)i), 0);
        test_fails(bm_store_open(&s, path), BM_ERR_DAMAGED, "truncated");
        ck_assert_ptr_null(s);
    }
    test_write_file(path, data, n);
    ck_assert_int_eq(truncate(path, (off_t)n + 1), 0);
    test_fails(bm_store_open(&s, path), BM_ERR_DAMAGED, "should have");
    free(data);
}
END_TEST

START_TEST(verify_names_every_damaged_dataset)
{
    const char *path = test_path("names.h5");
    bm_store *s;
    size_t n;
    test_ok(test_store_write(NULL, path, SEED, 1));
    test_ok(bm_store_open(&s, path));
    unsigned char *data = test_read_file(&n, path);
    const bm_entry *a = bm_store_find(s, "/params/block/h0/weight"), *b = bm_store_find(s, "/state/g");
    data[a->offset + 17] ^= 1;
    data[b->offset + b->bytes - 1] ^= 128;
    test_write_file(path, data, n);
    free(data);
    test_fails(bm_store_verify(s, NULL), BM_ERR_DAMAGED, "names.h5: damaged: /");
    bm_store_close(s);
}
END_TEST

START_TEST(a_changed_manifest_is_found_by_opening)
{
    const char *path = test_path("manifest.h5");
    bm_store *s;
    size_t n;
    test_ok(test_store_write(NULL, path, SEED, 1));
    test_ok(bm_store_open(&s, path));
    int64_t leaves = bm_store_find(s, "/manifest/leaves")->offset, head = bm_store_find(s, "/manifest/head")->offset;
    bm_store_close(s);
    unsigned char *data = test_read_file(&n, path);
    data[leaves + 20] ^= 1; /* the hash of the first leaf */
    test_write_file(path, data, n);
    test_fails(bm_store_open(&s, path), BM_ERR_DAMAGED, "root hash");
    data[leaves + 20] ^= 1;
    data[head + 4000] ^= 1; /* padding */
    test_write_file(path, data, n);
    test_fails(bm_store_open(&s, path), BM_ERR_DAMAGED, "CRC");
    free(data);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("io/store/damage");
    TCase *t = tcase_create("damage");
    tcase_add_test(t, a_flipped_bit_in_any_byte_is_found);
    tcase_add_test(t, zeroed_and_swapped_pieces_are_found);
    tcase_add_test(t, every_truncation_is_refused);
    tcase_add_test(t, verify_names_every_damaged_dataset);
    tcase_add_test(t, a_changed_manifest_is_found_by_opening);
    suite_add_tcase(suite, t);
    return test_run(suite);
}
