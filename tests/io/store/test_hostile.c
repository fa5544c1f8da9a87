/* Files that HDF5 allows and bm does not: each is refused by its rule, quickly, and without libhdf5 opening it. Those of the first
 * part are made by libhdf5 itself; those of the second are a sound file with bytes changed and checksums put right. */
#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "io/store/bytes_priv.h"
#include "io/store/h5_priv.h"
#include "io/store/manifest_priv.h"
#include "tests/lib/storefile.h"
#include "tests/lib/test.h"

static void refused(const char *path, const char *words)
{
    bm_store *s;
    double start = bm_now_s();
    int64_t live = bm_mem_get_stats().live;
    bm_status status = bm_store_open(&s, path);
    ck_assert_msg(status == BM_ERR_REFUSED, "%s: %s where it should be refused (%s)", path, bm_status_name(status), words);
    test_text_holds(bm_error_text(status), "refused by rule ");
    test_text_holds(bm_error_text(status), words);
    ck_assert_int_eq(bm_mem_get_stats().live, live);
    ck_assert_msg(bm_now_s() - start < 5, "refusing took %g s", bm_now_s() - start);
}

/* ---- made by libhdf5 ---- */

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

static hid_t space_of(hsize_t n, hsize_t most)
{
    return H5Screate_simple(1, &n, most ? &most : NULL);
}

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
static void make_name(hid_t f, const char *name) { H5Gclose(H5Gcreate2(f, name, H5P_DEFAULT, group_list(), H5P_DEFAULT)); }
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
    refused(test_path(name), made[_i].words);
}
END_TEST

START_TEST(other_versions_of_the_format_are_refused)
{
    hid_t list = access_list(H5F_LIBVER_EARLIEST);
    H5Fclose(H5Fcreate(test_path("v0.h5"), H5F_ACC_TRUNC, H5P_DEFAULT, list));
    refused(test_path("v0.h5"), "superblock version 0");
    list = access_list(H5F_LIBVER_V110);
    H5Fclose(H5Fcreate(test_path("v3.h5"), H5F_ACC_TRUNC, H5P_DEFAULT, list));
    refused(test_path("v3.h5"), "superblock version 3");
    hid_t create = H5Pcreate(H5P_FILE_CREATE);
    H5Pset_userblock(create, 512);
    H5Fclose(H5Fcreate(test_path("user.h5"), H5F_ACC_TRUNC, create, access_list(H5F_LIBVER_V18)));
    refused(test_path("user.h5"), "not an HDF5 file");
    create = H5Pcreate(H5P_FILE_CREATE);
    H5Pset_sizes(create, 4, 4);
    H5Fclose(H5Fcreate(test_path("narrow.h5"), H5F_ACC_TRUNC, create, access_list(H5F_LIBVER_V18)));
    refused(test_path("narrow.h5"), "rule 2");
    create = H5Pcreate(H5P_FILE_CREATE);
    H5Pset_shared_mesg_nindexes(create, 1);
    H5Pset_shared_mesg_index(create, 0, H5O_SHMESG_ALL_FLAG, 8);
    H5Fclose(H5Fcreate(test_path("shared.h5"), H5F_ACC_TRUNC, create, access_list(H5F_LIBVER_V18)));
    refused(test_path("shared.h5"), "superblock extension");
}
END_TEST

START_TEST(what_is_no_regular_file_is_refused)
{
    bm_store *s;
    unlink(test_path("fifo"));
    ck_assert_int_eq(mkfifo(test_path("fifo"), 0600), 0);
    refused(test_path("fifo"), "rule 1 (file): not a regular file");
    refused(test_folder(), "rule 1");
    refused("/dev/zero", "rule 1");
    test_fails(bm_store_open(&s, test_path("nothing.h5")), BM_ERR_NOT_FOUND, "nothing.h5");
    test_write_file(test_path("empty.h5"), "", 0);
    test_fails(bm_store_open(&s, test_path("empty.h5")), BM_ERR_DAMAGED, "truncated");
    test_write_file(test_path("text.h5"), "hello", 5);
    refused(test_path("text.h5"), "rule 2 (superblock): not an HDF5 file");
}
END_TEST

/* ---- a sound file with bytes changed ---- */

typedef struct patch {
    unsigned char *data;
    size_t n;
    bm_h5_tree tree;
} patch;

static void patch_start(patch *p)
{
    bm_store *s;
    test_ok(test_store_write(NULL, test_path("sound.h5"), 1, 1));
    test_ok(bm_store_open(&s, test_path("sound.h5")));
    bm_store_close(s);
    p->data = test_read_file(&p->n, test_path("sound.h5"));
}

static uint64_t root_of(const patch *p) { return bm_get_u64(p->data + 36); }

/* The bytes before the messages of the header at `at`, and the bytes of messages. */
static size_t header_body(const patch *p, uint64_t at, size_t *bytes)
{
    const unsigned char *h = p->data + at;
    size_t width = (size_t)1 << (h[5] & 3), before = 6 + (h[5] & 16 ? 4 : 0);
    *bytes = 0;
    ck_assert_int_eq(memcmp(h, "OHDR", 4), 0);
    for (size_t i = 0; i < width; i++) *bytes |= (size_t)h[before + i] << 8 * i;
    return before + width;
}

static void seal(patch *p, uint64_t at)
{
    size_t bytes, before = header_body(p, at, &bytes);
    bm_put_u32(p->data + at + before + bytes, bm_h5_checksum(p->data + at, before + bytes));
}

/* The n-th message of a type in the header at `at`: its place in the file. */
static uint64_t message(const patch *p, uint64_t at, unsigned type, int n)
{
    size_t bytes, before = header_body(p, at, &bytes);
    for (size_t i = before; i + 4 <= before + bytes;) {
        const unsigned char *m = p->data + at + i;
        if (m[0] == type && n-- == 0) return at + i;
        i += 4 + bm_get_u16(m + 1);
    }
    ck_abort_msg("no such message");
    return 0;
}

/* The object header that the n-th link of the group at `at` names. */
static uint64_t linked(const patch *p, uint64_t at, int n)
{
    uint64_t m = message(p, at, 6, n);
    return bm_get_u64(p->data + m + 4 + bm_get_u16(p->data + m + 1) - 8);
}

/* The header of the object at a path. */
static uint64_t object(const patch *p, const char *path)
{
    uint64_t at = root_of(p);
    for (const char *name = path + 1; *name;) {
        size_t k = strcspn(name, "/");
        for (int i = 0;; i++) {
            uint64_t m = message(p, at, 6, i);
            const unsigned char *link = p->data + m + 4; /* version, flags, [charset], length, name */
            size_t skip = link[1] & 16 ? 3 : 2;
            if (link[skip] == k && !memcmp(link + skip + 1, name, k)) {
                at = linked(p, at, i);
                break;
            }
        }
        name += k + (name[k] == '/');
    }
    return at;
}

static void patched_is_refused(patch *p, const char *words)
{
    test_write_file(test_path("patched.h5"), p->data, p->n);
    refused(test_path("patched.h5"), words);
    free(p->data);
}

START_TEST(huge_dimensions_are_refused)
{
    patch p;
    for (int i = 0; i < 2; i++) {
        patch_start(&p);
        uint64_t at = object(&p, "/params/block/h0/weight"), space = message(&p, at, 1, 0);
        int fields = p.data[space + 4 + 2] & 1 ? 2 : 1;
        for (int k = 0; k < fields; k++) bm_put_u64(p.data + space + 8 + 16 * k, i ? (uint64_t)1 << 46 : UINT64_MAX / 2);
        seal(&p, at);
        patched_is_refused(&p, "rule 6");
    }
    patch_start(&p); /* and the stored length with them */
    uint64_t at = object(&p, "/params/block/h1/bias"), space = message(&p, at, 1, 0), layout = message(&p, at, 8, 0);
    for (int k = 0; k < (p.data[space + 6] & 1 ? 2 : 1); k++) bm_put_u64(p.data + space + 8 + 8 * k, (uint64_t)1 << 40);
    bm_put_u64(p.data + layout + 4 + 10, (uint64_t)1 << 43);
    seal(&p, at);
    patched_is_refused(&p, "outside the file");
}
END_TEST

START_TEST(overlapping_extents_are_refused)
{
    patch p;
    patch_start(&p);
    uint64_t a = object(&p, "/state/f"), b = object(&p, "/params/block/h1/bias");
    uint64_t la = message(&p, a, 8, 0), lb = message(&p, b, 8, 0);
    bm_put_u64(p.data + la + 6, bm_get_u64(p.data + lb + 6) + 8);
    seal(&p, a);
    patched_is_refused(&p, "overlap");
    patch_start(&p); /* and on the metadata */
    bm_put_u64(p.data + la + 6, 48);
    seal(&p, a);
    patched_is_refused(&p, "overlap");
}
END_TEST

START_TEST(duplicate_names_and_objects_are_refused)
{
    patch p;
    patch_start(&p);
    uint64_t g = object(&p, "/state"), m = message(&p, g, 6, 0), next = message(&p, g, 6, 1);
    size_t skip = p.data[m + 5] & 16 ? 4 : 3; /* to the name: one letter each */
    p.data[next + 4 + skip] = p.data[m + 4 + skip];
    seal(&p, g);
    patched_is_refused(&p, "two objects are named \"/state/a\"");
    patch_start(&p);
    memcpy(p.data + next + 4 + skip + 1, p.data + m + 4 + skip + 1, 8);
    seal(&p, g);
    patched_is_refused(&p, "second name");
    patch_start(&p); /* a group that holds the root */
    bm_put_u64(p.data + m + 4 + skip + 1, root_of(&p));
    seal(&p, g);
    patched_is_refused(&p, "second name");
}
END_TEST

/* A nil message is made the continuation of the header's own first piece, and of a loop of pieces. */
START_TEST(continuation_loops_are_refused)
{
    patch p;
    bm_store *s;
    for (int loop = 0; loop < 2; loop++) {
        patch_start(&p);
        uint64_t g = object(&p, "/alone"), hole = message(&p, g, 0, 0), block = p.n;
        for (int k = 1; bm_get_u16(p.data + hole + 1) < 20; k++) hole = message(&p, g, 0, k);
        size_t rest = bm_get_u16(p.data + hole + 1);
        p.data[hole] = 16;
        p.data[hole + 1] = 16;
        p.data[hole + 2] = 0;
        bm_put_u64(p.data + hole + 4, loop ? block : g);
        bm_put_u64(p.data + hole + 12, 64);
        memset(p.data + hole + 20, 0, rest - 16);
        p.data[hole + 21] = (unsigned char)(rest - 20);
        p.data[hole + 22] = (unsigned char)((rest - 20) >> 8);
        if (loop) { /* a piece at the end of the file that names itself */
            p.data = realloc(p.data, p.n + 64);
            unsigned char *c = p.data + block;
            memset(c, 0, 64);
            memcpy(c, "OCHK", 4);
            c[4] = 16;
            c[5] = 16;
            bm_put_u64(c + 8, block);
            bm_put_u64(c + 16, 64);
            c[25] = 64 - 24 - 4 - 4;
            bm_put_u32(c + 60, bm_h5_checksum(c, 60));
            p.n += 64;
            bm_put_u64(p.data + 28, p.n);
            bm_put_u32(p.data + 44, bm_h5_checksum(p.data, 44));
        }
        seal(&p, g);
        test_write_file(test_path("patched.h5"), p.data, p.n);
        free(p.data);
        ck_assert_int_eq(bm_store_open(&s, test_path("patched.h5")), BM_ERR_REFUSED);
        test_text_holds(bm_error_text(BM_ERR_REFUSED), loop ? "comes back to where it was" : "no continuation");
    }
}
END_TEST

START_TEST(broken_messages_are_refused)
{
    static const struct {
        unsigned type, at, value;
        const char *words;
    } change[] = {
        {1, 4, 3, "rule 3"},     /* dataspace version */
        {1, 5, 9, "rule 6"},     /* rank */
        {1, 6, 2, "rule 3"},     /* flags */
        {1, 1, 200, "rule 3"},   /* length of the message */
        {3, 4, 0x41, "rule 5"},  /* datatype version */
        {3, 8, 3, "rule 5"},     /* size */
        {8, 4, 4, "rule 3"},     /* layout version */
        {8, 5, 0, "rule 3"},     /* compact */
        {5, 4, 2, "fill"},       /* fill value version */
        {12, 4, 1, "rule 3"},    /* attribute version */
        {12, 5, 1, "shared"},    /* shared type */
        {12, 13, '/', "rule 4"}, /* its name */
        {12, 6, 1, "rule "},     /* length of its name */
        {21, 5, 1, "creation order"},
        {3, 3, 2, "shared"},
        {1, 0, 0x0b, "filters"}, /* another type of message */
        {1, 0, 0x30, "unknown"},
    };
    for (size_t i = 0; i < sizeof change / sizeof *change; i++) {
        patch p;
        patch_start(&p);
        uint64_t at = object(&p, "/params/block/h0/weight"), m = message(&p, at, change[i].type, 0);
        p.data[m + change[i].at] = (unsigned char)change[i].value;
        seal(&p, at);
        patched_is_refused(&p, change[i].words);
    }
}
END_TEST

START_TEST(a_wrong_manifest_is_refused)
{
    for (int what = 0; what < 6; what++) {
        patch p;
        patch_start(&p);
        uint64_t lh = message(&p, object(&p, "/manifest/head"), 8, 0), ll = message(&p, object(&p, "/manifest/leaves"), 8, 0);
        uint64_t head = bm_get_u64(p.data + lh + 6), leaves = bm_get_u64(p.data + ll + 6), bytes = bm_get_u64(p.data + ll + 14);
        unsigned char *leaf = p.data + leaves;
        if (what == 0) bm_put_u64(leaf + 8, bm_get_u64(leaf + 8) - 1); /* a gap */
        if (what == 1) bm_put_u32(leaf + 64, BM_LEAF_MANIFEST);        /* "do not look here" */
        if (what == 2) leaf[100] = 1;
        if (what == 3) bm_put_u32(p.data + head + 8, 2); /* version */
        if (what == 4) bm_put_u32(p.data + head + 12, 0x7fffffff);
        if (what == 5) p.data[head + 80] ^= 1; /* content id */
        bm_hash128 root = bm_hash(leaf, bytes);
        memcpy(p.data + head + 28, root.byte, 16);
        bm_put_u32(p.data + head + 4092, bm_crc32c(0, p.data + head, 4092));
        patched_is_refused(&p, "rule 7 (manifest)");
    }
    hid_t f = file_create(test_path("bare.h5"));
    for (int i = 0; i < 7; i++) {
        static const char *const names[] = {"bm_version_major", "bm_version_minor", "bm_min_reader", "bm_format", "created_utc", "writer", "uuid"};
        hid_t t = i < 3 ? H5T_STD_U16LE : H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR);
        const char *text = i == 3 ? "bm-ckpt" : "8b8be1f4-0000-4000-8000-000000000000";
        uint16_t number = i == 0 ? 1 : 0;
        if (i >= 3) H5Tset_size(t, strlen(text));
        hid_t a = H5Acreate2(f, names[i], t, space, H5P_DEFAULT, H5P_DEFAULT);
        H5Awrite(a, t, i < 3 ? (const void *)&number : text);
        H5Aclose(a);
    }
    H5Fclose(f);
    refused(test_path("bare.h5"), "rule 7 (manifest): there is none");
}
END_TEST

START_TEST(a_newer_version_is_refused)
{
    patch p;
    patch_start(&p);
    size_t bytes, before = header_body(&p, root_of(&p), &bytes);
    unsigned char *h = p.data + root_of(&p);
    for (size_t i = before; i + 20 < before + bytes; i++)
        if (!memcmp(h + i, "bm_version_major", 17)) {
            uint64_t m = 0; /* the value is the last two bytes of that message */
            for (int k = 0; !m; k++) {
                uint64_t c = message(&p, root_of(&p), 12, k);
                if (!memcmp(p.data + c + 13, "bm_version_major", 17)) m = c;
            }
            p.data[m + 4 + bm_get_u16(p.data + m + 1) - 2] = 9;
            break;
        }
    seal(&p, root_of(&p));
    patched_is_refused(&p, "version 9.0; this bm reads 1.0");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("io/store/hostile");
    TCase *t = tcase_create("hostile");
    tcase_add_loop_test(t, what_libhdf5_can_make_is_refused, 0, sizeof made / sizeof *made);
    tcase_add_test(t, other_versions_of_the_format_are_refused);
    tcase_add_test(t, what_is_no_regular_file_is_refused);
    tcase_add_test(t, huge_dimensions_are_refused);
    tcase_add_test(t, overlapping_extents_are_refused);
    tcase_add_test(t, duplicate_names_and_objects_are_refused);
    tcase_add_test(t, continuation_loops_are_refused);
    tcase_add_test(t, broken_messages_are_refused);
    tcase_add_test(t, a_wrong_manifest_is_refused);
    tcase_add_test(t, a_newer_version_is_refused);
    suite_add_tcase(suite, t);
    return test_run(suite);
}
