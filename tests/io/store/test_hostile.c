/* Files that libhdf5 can make and bm does not take: each is refused by its rule, quickly, and without libhdf5 opening
 * it. */
#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/storefile.h"
#include "tests/lib/test.h"

static hid_t access_list(H5F_libver_t version)
{
    hid_t list = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_libver_bounds(list, version, version == H5F_LIBVER_EARLIEST ? H5F_LIBVER_LATEST : version);
    return list;
}

static hid_t group_list(void)
{
    hid_t list = H5Pcreate(H5P_GROUP_CREATE);
    H5Pset_link_phase_change(list, 65535, 0);
    H5Pset_obj_track_times(list, 0);
    return list;
}

static hid_t file_create(const char *path)
{
    hid_t list = H5Pcreate(H5P_FILE_CREATE), access = access_list(H5F_LIBVER_V18);
    H5Pset_link_phase_change(list, 65535, 0);
    H5Pset_obj_track_times(list, 0);
    hid_t f = H5Fcreate(path, H5F_ACC_TRUNC, list, access);
    H5Pclose(list);
    H5Pclose(access);
    ck_assert_int_ge(f, 0);
    return f;
}

static hid_t data_list(void)
{
    hid_t list = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_obj_track_times(list, 0);
    H5Pset_alloc_time(list, H5D_ALLOC_TIME_EARLY);
    H5Pset_fill_time(list, H5D_FILL_TIME_NEVER);
    return list;
}

static hid_t space_of(hsize_t n, hsize_t most) { return H5Screate_simple(1, &n, most ? &most : NULL); }

static void add_dataset(hid_t f, const char *name, hid_t type, hid_t list)
{
    hid_t space = space_of(100, 0), d = H5Dcreate2(f, name, type, space, H5P_DEFAULT, list, H5P_DEFAULT);
    ck_assert_int_ge(d, 0);
    H5Dclose(d);
    H5Sclose(space);
}

typedef void (*make)(hid_t f);

static void make_external(hid_t f)
{
    hid_t list = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_obj_track_times(list, 0);
    H5Pset_external(list, "/etc/passwd", 0, 400);
    add_dataset(f, "x", H5T_STD_I32LE, list);
}
static void make_chunked(hid_t f)
{
    hid_t list = data_list();
    H5Pset_chunk(list, 1, (const hsize_t[]){10});
    add_dataset(f, "x", H5T_STD_I32LE, list);
}
static void make_deflated(hid_t f)
{
    hid_t list = data_list();
    H5Pset_chunk(list, 1, (const hsize_t[]){10});
    H5Pset_deflate(list, 6);
    add_dataset(f, "x", H5T_STD_I32LE, list);
}
static void make_checksummed(hid_t f)
{
    hid_t list = data_list();
    H5Pset_chunk(list, 1, (const hsize_t[]){10});
    H5Pset_fletcher32(list);
    add_dataset(f, "x", H5T_STD_I32LE, list);
}
static void make_compact(hid_t f)
{
    hid_t list = data_list();
    H5Pset_layout(list, H5D_COMPACT);
    add_dataset(f, "x", H5T_STD_I32LE, list);
}
static void make_late(hid_t f)
{
    hid_t list = data_list();
    H5Pset_alloc_time(list, H5D_ALLOC_TIME_LATE); /* no place in the file yet */
    add_dataset(f, "x", H5T_STD_I32LE, list);
}
static void make_filled(hid_t f)
{
    hid_t list = data_list();
    int seven = 7;
    H5Pset_fill_value(list, H5T_NATIVE_INT, &seven);
    add_dataset(f, "x", H5T_STD_I32LE, list);
}
static void make_timed(hid_t f)
{
    hid_t list = data_list();
    H5Pset_obj_track_times(list, 1);
    add_dataset(f, "x", H5T_STD_I32LE, list);
}
static void make_growing(hid_t f)
{
    hid_t list = data_list(), space = space_of(10, H5S_UNLIMITED);
    H5Pset_chunk(list, 1, (const hsize_t[]){10});
    H5Dclose(H5Dcreate2(f, "x", H5T_STD_I32LE, space, H5P_DEFAULT, list, H5P_DEFAULT));
}
static void make_soft(hid_t f) { H5Lcreate_soft("/a", f, "x", H5P_DEFAULT, H5P_DEFAULT); }
static void make_external_link(hid_t f) { H5Lcreate_external("other.h5", "/a", f, "x", H5P_DEFAULT, H5P_DEFAULT); }
static void make_two_names(hid_t f)
{
    add_dataset(f, "x", H5T_STD_I32LE, data_list());
    H5Lcreate_hard(f, "x", f, "y", H5P_DEFAULT, H5P_DEFAULT);
}
static void make_cycle(hid_t f)
{
    hid_t g = H5Gcreate2(f, "g", H5P_DEFAULT, group_list(), H5P_DEFAULT);
    H5Lcreate_hard(f, "/", g, "up", H5P_DEFAULT, H5P_DEFAULT);
    H5Gclose(g);
}
static void make_deep(hid_t f)
{
    hid_t g = f, list = group_list();
    for (int i = 0; i < 2000; i++) {
        hid_t next = H5Gcreate2(g, "g", H5P_DEFAULT, list, H5P_DEFAULT);
        if (g != f) H5Gclose(g);
        g = next;
    }
    H5Gclose(g);
}
static void make_dense(hid_t f)
{
    hid_t list = group_list(), wide = group_list();
    H5Pset_link_phase_change(wide, 4, 2);
    hid_t g = H5Gcreate2(f, "wide", H5P_DEFAULT, wide, H5P_DEFAULT);
    for (int i = 0; i < 50; i++) {
        char name[16];
        snprintf(name, sizeof name, "g%d", i);
        H5Gclose(H5Gcreate2(g, name, H5P_DEFAULT, list, H5P_DEFAULT));
    }
    H5Gclose(g);
}
static void make_many_attributes(hid_t f)
{
    hid_t s = H5Screate(H5S_SCALAR), g = H5Gcreate2(f, "g", H5P_DEFAULT, group_list(), H5P_DEFAULT);
    for (int i = 0; i < 20; i++) { /* the ninth makes the storage dense */
        char name[16];
        snprintf(name, sizeof name, "a%d", i);
        H5Aclose(H5Acreate2(g, name, H5T_STD_U8LE, s, H5P_DEFAULT, H5P_DEFAULT));
    }
    H5Gclose(g);
}
static void make_creation_order(hid_t f)
{
    hid_t list = group_list();
    H5Pset_link_creation_order(list, H5P_CRT_ORDER_TRACKED);
    H5Gclose(H5Gcreate2(f, "g", H5P_DEFAULT, list, H5P_DEFAULT));
}
static void make_type(hid_t f, hid_t type) { add_dataset(f, "x", type, data_list()); }
static void make_big_endian(hid_t f) { make_type(f, H5T_STD_I32BE); }
static void make_big_endian_float(hid_t f) { make_type(f, H5T_IEEE_F32BE); }
static void make_compound(hid_t f)
{
    hid_t t = H5Tcreate(H5T_COMPOUND, 8);
    H5Tinsert(t, "a", 0, H5T_STD_I32LE);
    H5Tinsert(t, "b", 4, H5T_STD_I32LE);
    make_type(f, t);
}
static void make_narrow(hid_t f)
{
    hid_t t = H5Tcopy(H5T_STD_I32LE);
    H5Tset_precision(t, 24);
    make_type(f, t);
}
static void make_strings(hid_t f)
{
    hid_t t = H5Tcopy(H5T_C_S1);
    H5Tset_size(t, 16);
    make_type(f, t);
}
static void make_variable(hid_t f)
{
    hid_t t = H5Tcopy(H5T_C_S1);
    H5Tset_size(t, H5T_VARIABLE);
    hid_t list = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_obj_track_times(list, 0);
    add_dataset(f, "x", t, list);
}
static void make_reference(hid_t f) { make_type(f, H5T_STD_REF_OBJ); }
static void make_committed(hid_t f)
{
    hid_t t = H5Tcopy(H5T_STD_I32LE);
    H5Tcommit2(f, "t", t, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    make_type(f, t); /* refers to it by a shared message */
}
static void make_null_space(hid_t f)
{
    H5Dclose(H5Dcreate2(f, "x", H5T_STD_I32LE, H5Screate(H5S_NULL), H5P_DEFAULT, data_list(), H5P_DEFAULT));
}
static void make_rank_9(hid_t f)
{
    hsize_t dims[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
    H5Dclose(H5Dcreate2(f, "x", H5T_STD_I32LE, H5Screate_simple(9, dims, NULL), H5P_DEFAULT, data_list(), H5P_DEFAULT));
}
static void make_name(hid_t f, const char *name)
{
    H5Gclose(H5Gcreate2(f, name, H5P_DEFAULT, group_list(), H5P_DEFAULT));
}
static void make_control_name(hid_t f) { make_name(f, "a\033[31m"); }
static void make_broken_name(hid_t f) { make_name(f, "a\xff"); }
static void make_long_name(hid_t f)
{
    char name[300];
    memset(name, 'n', sizeof name);
    name[256] = 0;
    make_name(f, name);
}
static void make_misaligned(hid_t f)
{
    hid_t space = space_of(8192, 0); /* the file has no alignment: behind the headers */
    H5Dclose(H5Dcreate2(f, "x", H5T_STD_U8LE, space, H5P_DEFAULT, data_list(), H5P_DEFAULT));
}
static void make_plain(hid_t f) { make_name(f, "g"); }
static void make_comment(hid_t f) { H5Oset_comment(f, "hello"); }
static void make_long_text(hid_t f)
{
    char text[5000];
    memset(text, 'x', sizeof text);
    hid_t t = H5Tcopy(H5T_C_S1);
    H5Tset_size(t, sizeof text);
    hid_t a = H5Acreate2(f, "a", t, H5Screate(H5S_SCALAR), H5P_DEFAULT, H5P_DEFAULT);
    H5Awrite(a, t, text);
    H5Aclose(a);
}

static const struct {
    const char *name;
    make fn;
    const char *words;
} made[] = {
    {"external", make_external, "rule 3 (header messages): \"/x\" has the message 0x07 (external files)"},
    {"chunked", make_chunked, "chunked"},
    {"deflated", make_deflated, "rule 3"},
    {"checksummed", make_checksummed, "rule 3"},
    {"compact", make_compact, "rule 3"},
    {"late", make_late, "rule 6"},
    {"filled", make_filled, "fill value"},
    {"timed", make_timed, "rule 3"},
    {"growing", make_growing, "rule "},
    {"soft", make_soft, "rule 4 (links and names): \"/\" holds a soft link"},
    {"external-link", make_external_link, "an external link"},
    {"two-names", make_two_names, "rule "},
    {"cycle", make_cycle, "rule "},
    {"deep", make_deep, "deeper than 12"},
    {"dense", make_dense, "dense storage"},
    {"many-attributes", make_many_attributes, "dense storage"},
    {"creation-order", make_creation_order, "rule 3"},
    {"big-endian", make_big_endian, "rule 5"},
    {"big-endian-float", make_big_endian_float, "rule 5"},
    {"compound", make_compound, "rule 5 (types): \"/x\": datatype class 6"},
    {"narrow", make_narrow, "rule 5"},
    {"strings", make_strings, "strings"},
    {"variable", make_variable, "rule 5 (types): \"/x\": datatype class 9"},
    {"reference", make_reference, "rule 5"},
    {"committed", make_committed, "rule 3"},
    {"null-space", make_null_space, "rule 3"},
    {"rank-9", make_rank_9, "rule 6 (shapes and extents): \"/x\": rank 9"},
    {"control-name", make_control_name, "\"a\\x1b[31m\""},
    {"broken-name", make_broken_name, "\"a\\xff\""},
    {"long-name", make_long_name, "rule 4"},
    {"misaligned", make_misaligned, "not aligned"},
    {"comment", make_comment, "rule 3"},
    {"long-text", make_long_text, "rule 5"},
    {"plain", make_plain, "rule 8 (schema): attribute bm_format"}, /* inside the profile, but not of bm */
};

START_TEST(what_libhdf5_can_make_is_refused)
{
    char name[64];
    snprintf(name, sizeof name, "made-%s.h5", made[_i].name);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    hid_t f = file_create(test_path(name));
    made[_i].fn(f);
    H5Fflush(f, H5F_SCOPE_GLOBAL);
    H5close(); /* all that the maker left open */
    test_store_refused(test_path(name), made[_i].words);
}
END_TEST

START_TEST(other_versions_of_the_format_are_refused)
{
    hid_t list = access_list(H5F_LIBVER_EARLIEST);
    H5Fclose(H5Fcreate(test_path("v0.h5"), H5F_ACC_TRUNC, H5P_DEFAULT, list));
    test_store_refused(test_path("v0.h5"), "superblock version 0");
    list = access_list(H5F_LIBVER_V110);
    H5Fclose(H5Fcreate(test_path("v3.h5"), H5F_ACC_TRUNC, H5P_DEFAULT, list));
    test_store_refused(test_path("v3.h5"), "superblock version 3");
    hid_t create = H5Pcreate(H5P_FILE_CREATE);
    H5Pset_userblock(create, 512);
    H5Fclose(H5Fcreate(test_path("user.h5"), H5F_ACC_TRUNC, create, access_list(H5F_LIBVER_V18)));
    test_store_refused(test_path("user.h5"), "not an HDF5 file");
    create = H5Pcreate(H5P_FILE_CREATE);
    H5Pset_sizes(create, 4, 4);
    H5Fclose(H5Fcreate(test_path("narrow.h5"), H5F_ACC_TRUNC, create, access_list(H5F_LIBVER_V18)));
    test_store_refused(test_path("narrow.h5"), "rule 2");
    create = H5Pcreate(H5P_FILE_CREATE);
    H5Pset_shared_mesg_nindexes(create, 1);
    H5Pset_shared_mesg_index(create, 0, H5O_SHMESG_ALL_FLAG, 8);
    H5Fclose(H5Fcreate(test_path("shared.h5"), H5F_ACC_TRUNC, create, access_list(H5F_LIBVER_V18)));
    test_store_refused(test_path("shared.h5"), "superblock extension");
}
END_TEST

START_TEST(what_is_no_regular_file_is_refused)
{
    bm_store *s;
    unlink(test_path("fifo"));
    ck_assert_int_eq(mkfifo(test_path("fifo"), 0600), 0);
    test_store_refused(test_path("fifo"), "rule 1 (file): not a regular file");
    test_store_refused(test_folder(), "rule 1");
    test_store_refused("/dev/zero", "rule 1");
    test_fails(bm_store_open(&s, test_path("nothing.h5")), BM_ERR_NOT_FOUND, "nothing.h5");
    test_write_file(test_path("empty.h5"), "", 0);
    test_fails(bm_store_open(&s, test_path("empty.h5")), BM_ERR_DAMAGED, "truncated");
    test_write_file(test_path("text.h5"), "hello", 5);
    test_store_refused(test_path("text.h5"), "rule 2 (superblock): not an HDF5 file");
}
END_TEST

START_TEST(a_file_without_a_manifest_is_refused)
{
    hid_t f = file_create(test_path("bare.h5"));
    for (int i = 0; i < 7; i++) {
        static const char *const names[] = {"bm_version_major", "bm_version_minor", "bm_min_reader", "bm_format",
                                            "created_utc",      "writer",           "uuid"};
        hid_t t = i < 3 ? H5T_STD_U16LE : H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR);
        const char *text = i == 3 ? "bm-ckpt" : "8b8be1f4-0000-4000-8000-000000000000";
        uint16_t number = i == 0 ? 1 : 0;
        if (i >= 3) H5Tset_size(t, strlen(text));
        hid_t a = H5Acreate2(f, names[i], t, space, H5P_DEFAULT, H5P_DEFAULT);
        H5Awrite(a, t, i < 3 ? (const void *)&number : text);
        H5Aclose(a);
    }
    H5Fclose(f);
    test_store_refused(test_path("bare.h5"), "rule 7 (manifest): there is none");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("io/store/hostile");
    TCase *t = tcase_create("hostile");
    tcase_add_loop_test(t, what_libhdf5_can_make_is_refused, 0, sizeof made / sizeof *made);
    tcase_add_test(t, other_versions_of_the_format_are_refused);
    tcase_add_test(t, what_is_no_regular_file_is_refused);
    tcase_add_test(t, a_file_without_a_manifest_is_refused);
    suite_add_tcase(suite, t);
    return test_run(suite);
}
