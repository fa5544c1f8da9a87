#include "tests/lib/storefile.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "tests/lib/test.h"

const test_dataset test_datasets[] = {
    {"/params/block/h0/weight", BM_F32, 2, {40, 33}},
    {"/params/block/h0/bias", BM_F16, 1, {7}},
    {"/params/block/h1/weight", BM_BF16, 2, {3, 5}},
    {"/params/block/h1/bias", BM_F64, 1, {2}},
    {"/params/empty", BM_F32, 3, {4, 0, 2}},
    {"/params/scalar", BM_F32, 0, {0}},
    {"/params/deep", BM_I8, 8, {1, 2, 1, 3, 1, 1, 2, 1}},
    {"/state/a", BM_U8, 1, {11}},
    {"/state/b", BM_I16, 1, {3}},
    {"/state/c", BM_U16, 1, {3}},
    {"/state/d", BM_I32, 1, {3}},
    {"/state/e", BM_U32, 1, {3}},
    {"/state/f", BM_I64, 1, {3}},
    {"/state/g", BM_U64, 2, {2, 4}},
    {"/other/json", BM_U8, 1, {70}},
};
const int test_dataset_count = sizeof test_datasets / sizeof *test_datasets;

void test_bytes(void *data, size_t bytes, uint64_t seed)
{
    bm_rng r = bm_rng_start(seed, 77, 0);
    unsigned char *p = data;
    for (size_t i = 0; i < bytes; i++) p[i] = (unsigned char)bm_rng_u32(&r);
}

static bm_status describe(int64_t *index, bm_writer *w)
{
    bm_shape three = BM_SHAPE(3), scalar = bm_shape_of(0, NULL);
    for (int i = 0; i < test_dataset_count; i++) {
        const test_dataset *d = test_datasets + i;
        bm_shape s = bm_shape_of(d->rank, d->dim);
        BM_TRY(bm_writer_dataset(&index[i], w, d->path, d->dtype, &s));
        BM_TRY(bm_writer_attr_text(w, d->path, "dtype", bm_dtype_name(d->dtype)));
    }
    BM_TRY(bm_writer_group(w, "/alone"));
    BM_TRY(bm_writer_attr_text(w, "/alone", "empty", ""));
    BM_TRY(bm_writer_attr_text(w, "/alone", "text", "gr\xc3\xbc\xc3\x9f"));
    BM_TRY(bm_writer_attr_f64(w, "/alone", "lr", 0.1));
    BM_TRY(bm_writer_attr_u64(w, "/alone", "t", UINT64_MAX));
    BM_TRY(bm_writer_attr_u32(w, "/alone", "u", 7));
    BM_TRY(bm_writer_attr(w, "/alone", "mean", BM_F32, &three, (const float[]){1, 2, 3}));
    return bm_writer_attr(w, "/alone", "half", BM_BF16, &scalar, &(const uint16_t){0x3f80});
}

static bm_status put_all(bm_writer *w, const int64_t *index, uint64_t seed)
{
    for (int i = test_dataset_count; i-- > 0;) { /* not in the order of description */
        const test_dataset *d = test_datasets + i;
        bm_shape s = bm_shape_of(d->rank, d->dim);
        size_t bytes = bm_shape_bytes(&s, d->dtype);
        int64_t n = bm_shape_elements(&s), half = n / 2;
        unsigned char *data = malloc(bytes + 1);
        test_bytes(data, bytes, seed + (uint64_t)i);
        bm_status status = bm_writer_put(w, index[i], data, 0, half);
        if (!status) status = bm_writer_put(w, index[i], data + (size_t)half * bm_dtype_size(d->dtype), half, n - half);
        free(data);
        BM_TRY(status);
    }
    return BM_OK;
}

bm_status test_store_write(bm_content_id *id, const char *path, uint64_t seed, int replace)
{
    bm_status status;
    bm_writer *w = NULL;
    bm_writer_opts opts = bm_writer_opts_default();
    int64_t index[32];
    opts.replace = replace;
    BM_GO(bm_writer_create(&w, path, &opts));
    BM_GO(describe(index, w));
    BM_GO(bm_writer_begin(w));
    BM_GO(put_all(w, index, seed));
    status = bm_writer_commit(id, w);
done:
    bm_writer_destroy(w);
    return status;
}

unsigned char *test_read_file(size_t *bytes, const char *path)
{
    FILE *f = fopen(path, "rb");
    ck_assert_msg(f != NULL, "%s cannot be read", path);
    fseek(f, 0, SEEK_END);
    long n = ftell(f);
    rewind(f);
    unsigned char *data = malloc((size_t)n + 1);
    ck_assert_uint_eq(fread(data, 1, (size_t)n, f), (size_t)n);
    fclose(f);
    *bytes = (size_t)n;
    return data;
}

void test_write_file(const char *path, const void *data, size_t bytes)
{
    FILE *f = fopen(path, "wb");
    ck_assert_msg(f != NULL, "%s cannot be written", path);
    ck_assert_uint_eq(fwrite(data, 1, bytes, f), bytes);
    ck_assert_int_eq(fclose(f), 0);
}

int test_count_names(const char *folder, const char *words)
{
    int n = 0;
    DIR *d = opendir(folder);
    ck_assert(d != NULL);
    for (struct dirent *e; (e = readdir(d));) n += strstr(e->d_name, words) != NULL;
    closedir(d);
    return n;
}

bm_status test_store_sound(const char *path)
{
    bm_store *s;
    BM_TRY(bm_store_open(&s, path));
    bm_status status = bm_store_verify(s, NULL);
    bm_store_close(s);
    return status;
}

void test_store_refused(const char *path, const char *words)
{
    bm_store *s;
    double start = bm_now_s();
    int64_t live = bm_mem_get_stats().live;
    bm_status status = bm_store_open(&s, path);
    ck_assert_msg(status == BM_ERR_REFUSED, "%s: %s where it should be refused (%s)", path, bm_status_name(status),
                  words);
    test_text_holds(bm_error_text(status), "refused by rule ");
    test_text_holds(bm_error_text(status), words);
    ck_assert_int_eq(bm_mem_get_stats().live, live);
    ck_assert_msg(bm_now_s() - start < 5, "refusing took %g s", bm_now_s() - start);
}
