/* Files of the HDF5 profile for tests. */
#ifndef BM_TESTS_LIB_STOREFILE_H
#define BM_TESTS_LIB_STOREFILE_H

#include <stddef.h>
#include <stdint.h>

#include "io/store/store.h"
#include "io/store/writer.h"

/* Bytes that depend on the seed alone. */
void test_bytes(void *data, size_t bytes, uint64_t seed);

/* A dataset of test_store_write. Its bytes are test_bytes(seed + place). */
typedef struct test_dataset {
    const char *path;
    bm_dtype dtype;
    int rank;
    int64_t dim[BM_MAX_RANK];
} test_dataset;
extern const test_dataset test_datasets[];
extern const int test_dataset_count;

/* A checkpoint-kind file with every type, a scalar, an empty dataset, rank 8, text in JSON, attributes of each kind. */
bm_status test_store_write(bm_content_id *id, const char *path, uint64_t seed, int replace);

/* A whole file; free() it. */
unsigned char *test_read_file(size_t *bytes, const char *path);
void test_write_file(const char *path, const void *data, size_t bytes);

/* Names in a folder that hold `words`. */
int test_count_names(const char *folder, const char *words);

/* bm_store_open, bm_store_verify, bm_store_close. */
bm_status test_store_sound(const char *path);

/* Asserts that opening is refused by a rule with these words in the message, quickly and without a leak. */
void test_store_refused(const char *path, const char *words);

#endif
