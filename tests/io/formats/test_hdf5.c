/* Others' HDF5: numbers come as libhdf5 wrote them, whatever the chunks; what leads out of the file or holds no numbers
 * is refused; damaged files and a child that dies are errors, never a crash. */
#include "io/formats/hdf5.h"

#include <dirent.h>
#include <hdf5.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "tests/lib/storefile.h"
#include "tests/lib/test.h"

enum { N = 37, H = 5, W = 4 };

static int64_t value(int64_t i) { return i * 7 % 101; }

/* A data set [N, H, W] of value(i) as `type`; chunks of `chunk` rows, 0: contiguous. */
static void put(hid_t file, const char *path, hid_t type, hsize_t chunk, const hsize_t *across, int pack)
{
    const hsize_t dims[] = {N, H, W}, chunks[] = {chunk, across ? across[0] : H, across ? across[1] : W};
    int64_t x[N * H * W];
    hid_t space = H5Screate_simple(3, dims, NULL), list = H5Pcreate(H5P_DATASET_CREATE),
          links = H5Pcreate(H5P_LINK_CREATE);
    H5Pset_create_intermediate_group(links, 1);
    if (chunk) H5Pset_chunk(list, 3, chunks);
    if (pack) {
        H5Pset_shuffle(list);
        H5Pset_deflate(list, 4);
        H5Pset_fletcher32(list);
    }
    for (int64_t i = 0; i < N * H * W; i++) x[i] = value(i);
    hid_t data = H5Dcreate2(file, path, type, space, links, list, H5P_DEFAULT);
    ck_assert_int_ge(data, 0);
    ck_assert_int_ge(H5Dwrite(data, H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, x), 0);
    H5Dclose(data);
    H5Sclose(space);
    H5Pclose(list);
    H5Pclose(links);
}

/* A data set of any space and creation, without data. */
static void put_empty(hid_t file, const char *path, hid_t type, hid_t space, hid_t list)
{
    hid_t data = H5Dcreate2(file, path, type, space, H5P_DEFAULT, list, H5P_DEFAULT);
    ck_assert_int_ge(data, 0);
    H5Dclose(data);
    H5Sclose(space);
    if (list != H5P_DEFAULT) H5Pclose(list);
}

static const struct {
    const char *path;
    hid_t *type;
    hsize_t chunk, across[2];
    int pack, is_float, is_signed, bytes;
} kinds[] = {
    {"u8", &H5T_STD_U8LE_g, 0, {0, 0}, 0, 0, 0, 1},        {"a/i8", &H5T_STD_I8LE_g, 1, {5, 4}, 0, 0, 1, 1},
    {"a/b/u16", &H5T_STD_U16BE_g, 10, {2, 3}, 1, 0, 0, 2}, {"i32", &H5T_STD_I32BE_g, 37, {1, 1}, 1, 0, 1, 4},
    {"u64", &H5T_STD_U64LE_g, 50, {5, 4}, 1, 0, 0, 8},     {"f32", &H5T_IEEE_F32LE_g, 7, {5, 4}, 1, 1, 1, 4},
    {"f64", &H5T_IEEE_F64BE_g, 3, {3, 3}, 0, 1, 1, 8},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static hid_t make(const char *name)
{
    hid_t file = H5Fcreate(test_path(name), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    ck_assert_int_ge(file, 0);
    return file;
}

static const char *make_kinds(void)
{
    H5open();
    hid_t file = make("kinds.h5");
    for (int i = 0; i < KINDS; i++) {
        hsize_t chunk = kinds[i].chunk > N ? N : kinds[i].chunk;
        put(file, kinds[i].path, *kinds[i].type, chunk, kinds[i].across, kinds[i].pack);
    }
    H5Lcreate_soft("/a/b/u16", file, "/soft", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_soft("b", file, "/a/near", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_hard(file, "/a/b", file, "/other", H5P_DEFAULT, H5P_DEFAULT);
    H5Fclose(file);
    return test_path("kinds.h5");
}

START_TEST(numbers_come_as_they_were_written)
{
    bm_hdf5 *h;
    int64_t i64[N * H * W];
    float f32[N * H * W];
    const char *file = make_kinds();
    test_ok(bm_hdf5_open(&h, file, &kinds[_i].path, 1));
    const bm_hdf5_data *d = bm_hdf5_at(h, 0);
    const bm_shape shape = BM_SHAPE(N, H, W);
    ck_assert(bm_shape_equal(&d->shape, &shape));
    ck_assert_int_eq(d->is_float, kinds[_i].is_float);
    ck_assert_int_eq(d->is_signed, kinds[_i].is_signed);
    ck_assert_int_eq(d->bytes, kinds[_i].bytes);
    ck_assert_int_eq(bm_hdf5_row(h, 0), H * W);
    for (int64_t at = 0, n; at < N; at += n) {
        n = at + 4 > N ? N - at : 4;
        test_ok(bm_hdf5_read(h, 0, BM_I64, i64 + at * H * W, at, n));
        test_ok(bm_hdf5_read(h, 0, BM_F32, f32 + at * H * W, at, n));
    }
    for (int64_t i = 0; i < N * H * W; i++)
        test_that(i64[i] == value(i) && f32[i] == (float)value(i), "element %d", (int)i);
    test_ok(bm_hdf5_read(h, 0, BM_I64, i64, N, 0));
    test_fails(bm_hdf5_read(h, 0, BM_I64, i64, N, 1), BM_ERR_USAGE, "cannot be read together");
    test_fails(bm_hdf5_read(h, 0, BM_F64, i64, 0, 1), BM_ERR_USAGE, "cannot be read together");
    bm_hdf5_close(h);
}
END_TEST

START_TEST(links_within_the_file_are_followed)
{
    static const char *const paths[] = {"soft", "/a/near/u16", "other//u16", "/a/./b/u16"};
    const char *file = make_kinds();
    bm_hdf5 *h;
    uint8_t x[H * W];
    test_ok(bm_hdf5_open(&h, file, paths, 4));
    for (int i = 0; i < 4; i++) {
        test_ok(bm_hdf5_read(h, i, BM_U8, x, N - 1, 1));
        ck_assert_int_eq(x[3], value((N - 1) * H * W + 3));
    }
    bm_hdf5_close(h);
}
END_TEST

/* Each once, whatever the links to it. */
START_TEST(the_data_sets_of_a_file_are_listed)
{
    static const char want[] = "a/b/u16\0a/i8\0f32\0f64\0i32\0u64\0u8";
    char file[300], *paths = NULL;
    size_t bytes = 1;
    snprintf(file, sizeof file, "%s", make_kinds());
    test_ok(bm_hdf5_list(&paths, &bytes, file));
    ck_assert_uint_eq(bytes, sizeof want);
    ck_assert_int_eq(memcmp(paths, want, bytes), 0);
    bm_free(paths);
    H5Fclose(make("empty.h5"));
    test_ok(bm_hdf5_list(&paths, &bytes, test_path("empty.h5")));
    ck_assert_uint_eq(bytes, 0);
    bm_free(paths);
    hid_t many = make("many.h5");
    for (int i = 0; i < 4097; i++) {
        char name[16];
        hsize_t n = 1;
        snprintf(name, sizeof name, "/%d", i);
        put_empty(many, name, H5T_STD_U8LE, H5Screate_simple(1, &n, NULL), H5P_DEFAULT);
    }
    H5Fclose(many);
    test_fails(bm_hdf5_list(&paths, &bytes, test_path("many.h5")), BM_ERR_REFUSED, "many.h5: it has more than 4096 data sets");
    ck_assert_ptr_null(paths);
    test_fails(bm_hdf5_list(&paths, &bytes, test_path("nowhere.h5")), BM_ERR_NOT_FOUND, "nowhere.h5: open");
}
END_TEST

static const char *make_bad(void)
{
    hsize_t n = 3, far = (hsize_t)1 << 46;
    hid_t file = make("bad.h5"), list, source;
    put(file, "/good/x", H5T_STD_U8LE, 0, NULL, 0);
    H5Lcreate_external("kinds.h5", "/u8", file, "/out", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_soft("/out", file, "/to_out", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_soft("/round", file, "/round", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_soft("/nowhere", file, "/to_nowhere", H5P_DEFAULT, H5P_DEFAULT);
    list = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_external(list, "/etc/passwd", 0, 3);
    put_empty(file, "/external", H5T_STD_U8LE, H5Screate_simple(1, &n, NULL), list);
    list = H5Pcreate(H5P_DATASET_CREATE);
    source = H5Screate_simple(1, &n, NULL);
    H5Pset_virtual(list, source, "kinds.h5", "/u8", source);
    H5Sclose(source);
    put_empty(file, "/virtual", H5T_STD_U8LE, H5Screate_simple(1, &n, NULL), list);
    hid_t text = H5Tcopy(H5T_C_S1);
    H5Tset_size(text, 8);
    put_empty(file, "/text", text, H5Screate_simple(1, &n, NULL), H5P_DEFAULT);
    H5Tclose(text);
    hid_t record = H5Tcreate(H5T_COMPOUND, 4);
    H5Tinsert(record, "a", 0, H5T_STD_I32LE);
    put_empty(file, "/record", record, H5Screate_simple(1, &n, NULL), H5P_DEFAULT);
    H5Tclose(record);
    put_empty(file, "/single", H5T_STD_U8LE, H5Screate(H5S_SCALAR), H5P_DEFAULT);
    put_empty(file, "/null", H5T_STD_U8LE, H5Screate(H5S_NULL), H5P_DEFAULT);
    list = H5Pcreate(H5P_DATASET_CREATE);
    n = 1024;
    H5Pset_chunk(list, 1, &n);
    put_empty(file, "/far", H5T_STD_U8LE, H5Screate_simple(1, &far, NULL), list);
    list = H5Pcreate(H5P_DATASET_CREATE);
    n = 64;
    H5Pset_chunk(list, 1, &n);
    H5Pset_scaleoffset(list, H5Z_SO_INT, 0);
    put_empty(file, "/filter", H5T_STD_I32LE, H5Screate_simple(1, &n, NULL), list);
    H5Fclose(file);
    return test_path("bad.h5");
}

/* Chunks beyond what the child keeps need a file that could hold them: one with a hole. */
static const char *make_large(void)
{
    const hsize_t dims[] = {8, 1 << 27}, chunk[] = {8, 1 << 27}, rows[] = {1 << 22, 256}, column[] = {1 << 22, 16};
    hid_t file = make("large.h5"), list = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(list, 2, chunk);
    put_empty(file, "/chunk", H5T_STD_U8LE, H5Screate_simple(2, dims, NULL), list);
    list = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(list, 2, column);
    put_empty(file, "/band", H5T_STD_I16LE, H5Screate_simple(2, rows, NULL), list);
    H5Fclose(file);
    const char *path = test_path("large.h5");
    ck_assert_int_eq(truncate(path, 16 << 20), 0);
    return path;
}

static const struct {
    const char *path;
    bm_status status;
    const char *words;
} bad[] = {
    {"out", BM_ERR_REFUSED, "bad.h5: out is a link to /u8 in another file, kinds.h5"},
    {"to_out", BM_ERR_REFUSED, "/out is a link to /u8 in another file"},
    {"round", BM_ERR_REFUSED, "links lead to each other"},
    {"to_nowhere", BM_ERR_NOT_FOUND, "there is no /nowhere"},
    {"/good/y", BM_ERR_NOT_FOUND, "there is no /good/y; is it /good/x?"},
    {"/elsewhere/entirely", BM_ERR_NOT_FOUND, "it has /external, /far, /filter"},
    {"/good/x/y", BM_ERR_NOT_FOUND, "there is no /good/x/y"},
    {"good", BM_ERR_REFUSED, "good is no data set"},
    {"/", BM_ERR_REFUSED, "/ is no data set"},
    {"external", BM_ERR_REFUSED, "external has its data in another file"},
    {"virtual", BM_ERR_REFUSED, "virtual is a virtual data set"},
    {"text", BM_ERR_REFUSED, "text holds texts, not numbers"},
    {"record", BM_ERR_REFUSED, "record holds records, not numbers"},
    {"single", BM_ERR_REFUSED, "single has 0 dimensions"},
    {"null", BM_ERR_REFUSED, "null has 0 dimensions"},
    {"far", BM_ERR_REFUSED, "more numbers than a file of"},
    {"filter", BM_ERR_REFUSED, "filter is packed by filter 6"},
};

START_TEST(what_is_no_plain_data_set_is_refused)
{
    bm_hdf5 *h;
    test_fails(bm_hdf5_open(&h, make_bad(), &bad[_i].path, 1), bad[_i].status, bad[_i].words);
    ck_assert_ptr_null(h);
}
END_TEST

START_TEST(what_is_too_much_for_memory_is_refused)
{
    static const char *const chunk = "chunk", *const band = "band";
    bm_hdf5 *h;
    const char *file = make_large();
    test_fails(bm_hdf5_open(&h, file, &chunk, 1), BM_ERR_REFUSED, "chunk is in chunks of more than 512 MiB");
    test_fails(bm_hdf5_open(&h, file, &band, 1), BM_ERR_REFUSED, "band: its rows lie in 16 chunks of 134217728 bytes");
}
END_TEST

START_TEST(what_is_no_hdf5_is_an_error)
{
    static const char *const x = "x";
    bm_hdf5 *h;
    test_fails(bm_hdf5_open(&h, test_path("nowhere.h5"), &x, 1), BM_ERR_NOT_FOUND, "nowhere.h5: open");
    test_fails(bm_hdf5_open(&h, test_folder(), &x, 1), BM_ERR_REFUSED, "not a regular file");
    test_write_file(test_path("text.h5"), "not HDF5 at all", 15);
    test_fails(bm_hdf5_open(&h, test_path("text.h5"), &x, 1), BM_ERR_DAMAGED, "text.h5: libhdf5 cannot open it: ");
    test_fails(bm_hdf5_open(&h, test_path("text.h5"), &x, 0), BM_ERR_USAGE, "0 paths");
}
END_TEST

/* The process whose parent this one is; 0: none. */
static pid_t find_child(void)
{
    pid_t found = 0;
    DIR *d = opendir("/proc");
    for (const struct dirent *e; d && (e = readdir(d));) {
        char path[300];
        int pid, parent;
        snprintf(path, sizeof path, "/proc/%s/stat", e->d_name);
        FILE *f = fopen(path, "r");
        if (f && fscanf(f, "%d (%*[^)]) %*c %d", &pid, &parent) == 2 && parent == getpid()) found = pid;
        if (f) fclose(f);
    }
    if (d) closedir(d);
    return found;
}

START_TEST(a_child_that_dies_is_an_error)
{
    static const struct {
        int signal;
        bm_status status;
        const char *words;
    } ends[] = {{SIGABRT, BM_ERR_DAMAGED, "libhdf5 crashed on it (signal 6)"},
                {SIGXCPU, BM_ERR_REFUSED, "more time than a file of its size"},
                {SIGKILL, BM_ERR_DAMAGED, "the process that read it with libhdf5 ended"}};
    uint8_t x[H * W];
    bm_hdf5 *h;
    const char *file = make_kinds();
    if (!find_child() && access("/proc/self/stat", R_OK)) return;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        test_ok(bm_hdf5_open(&h, file, &kinds[0].path, 1));
        const pid_t child = find_child();
        ck_assert_int_gt(child, 0);
        ck_assert_int_eq(kill(child, ends[i].signal), 0);
        test_fails(bm_hdf5_read(h, 0, BM_U8, x, 0, 1), ends[i].status, ends[i].words);
        test_fails(bm_hdf5_read(h, 0, BM_U8, x, 0, 1), BM_ERR_DAMAGED, "could not be read before");
        bm_hdf5_close(h);
        ck_assert_int_eq(find_child(), 0);
    }
}
END_TEST

/* One bit flipped, at places all over the file: numbers or an error, and the parent lives. */
START_TEST(damaged_files_crash_nothing)
{
    size_t bytes;
    int64_t x[N * H * W];
    const char *file = make_kinds();
    const char *paths[] = {kinds[2].path, kinds[5].path};
    unsigned char *whole = test_read_file(&bytes, file);
    int failed = 0;
    for (size_t at = 0; at < bytes; at += 1 + bytes / 150) {
        bm_hdf5 *h;
        whole[at] ^= 0x10;
        test_write_file(test_path("flipped.h5"), whole, bytes);
        whole[at] ^= 0x10;
        bm_status status = bm_hdf5_open(&h, test_path("flipped.h5"), paths, 2);
        if (!status && bm_hdf5_row(h, 0) <= H * W)
            status = bm_hdf5_read(h, 0, BM_I64, x, 0, bm_hdf5_at(h, 0)->shape.dim[0] < N ? 1 : N);
        failed += status != BM_OK;
        bm_hdf5_close(h);
    }
    ck_assert_int_gt(failed, 0);
    for (size_t keep = 0; keep < bytes; keep += 1 + bytes / 20) {
        bm_hdf5 *h;
        test_write_file(test_path("cut.h5"), whole, keep);
        ck_assert_int_ne(bm_hdf5_open(&h, test_path("cut.h5"), paths, 2), BM_OK);
    }
    free(whole);
}
END_TEST

static bm_status open_kinds(void *file)
{
    bm_hdf5 *h;
    bm_status status = bm_hdf5_open(&h, file, &kinds[5].path, 1);
    bm_hdf5_close(h);
    return status;
}

START_TEST(failing_memory_is_reported_and_nothing_leaks)
{
    test_fail_allocations(open_kinds, (void *)make_kinds());
}
END_TEST

int main(void)
{
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    Suite *s = suite_create("hdf5");
    TCase *t = tcase_create("hdf5");
    tcase_add_loop_test(t, numbers_come_as_they_were_written, 0, KINDS);
    tcase_add_test(t, links_within_the_file_are_followed);
    tcase_add_test(t, the_data_sets_of_a_file_are_listed);
    tcase_add_loop_test(t, what_is_no_plain_data_set_is_refused, 0, sizeof bad / sizeof *bad);
    tcase_add_test(t, what_is_too_much_for_memory_is_refused);
    tcase_add_test(t, what_is_no_hdf5_is_an_error);
    tcase_add_test(t, a_child_that_dies_is_an_error);
    tcase_add_test(t, damaged_files_crash_nothing);
    tcase_add_test(t, failing_memory_is_reported_and_nothing_leaks);
    suite_add_tcase(s, t);
    return test_run(s);
}
