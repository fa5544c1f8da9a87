#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "tests/lib/test.h"

static char folder[4000];

static const char *in_folder(const char *name)
{
    static char path[4][5000];
    static unsigned next;
    char *p = path[next++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", folder, name);
    return p;
}

static int entries(void)
{
    int n = 0;
    DIR *d = opendir(folder);
    ck_assert_ptr_nonnull(d);
    while (readdir(d)) n++;
    closedir(d);
    return n - 2;
}

static void make_folder(void)
{
    snprintf(folder, sizeof folder, "%s/file-XXXXXX", test_folder());
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void remove_folder(void)
{
    char line[5000];
    snprintf(line, sizeof line, "rm -rf '%s'", folder);
    ck_assert_int_eq(system(line), 0);
}

START_TEST(what_is_written_is_read)
{
    char data[10000], *back;
    size_t bytes;
    for (size_t i = 0; i < sizeof data; i++) data[i] = (char)(i * 7);
    const char *path = in_folder("a");
    test_ok(bm_file_replace(path, data, sizeof data));
    test_ok(bm_file_read(&back, &bytes, path, sizeof data));
    ck_assert_uint_eq(bytes, sizeof data);
    ck_assert_mem_eq(back, data, sizeof data);
    ck_assert_int_eq(back[bytes], 0);
    bm_free(back);
    test_ok(bm_file_replace(path, NULL, 0));
    test_ok(bm_file_read(&back, &bytes, path, 0));
    ck_assert_uint_eq(bytes, 0);
    ck_assert_str_eq(back, "");
    bm_free(back);
    ck_assert_int_eq(entries(), 1);
}
END_TEST

START_TEST(reading_refuses_what_is_too_large_or_missing)
{
    char *back = (char *)1;
    size_t bytes = 9;
    const char *path = in_folder("a");
    test_ok(bm_file_replace(path, "12345", 5));
    test_fails(bm_file_read(&back, &bytes, path, 4), BM_ERR_IO, path);
    ck_assert_ptr_null(back);
    ck_assert_uint_eq(bytes, 0);
    test_fails(bm_file_read(&back, &bytes, in_folder("b"), 4), BM_ERR_NOT_FOUND, "No such file");
    test_fails(bm_file_read(&back, &bytes, folder, 4000000), BM_ERR_IO, "directory");
    test_fails(bm_file_read(&back, &bytes, "/dev/zero", 100000), BM_ERR_IO, "100000");
    /* A file whose size is not known beforehand. */
    test_ok(bm_file_read(&back, &bytes, "/proc/self/status", 1 << 20));
    ck_assert_uint_gt(bytes, 100);
    ck_assert_uint_eq(strlen(back), bytes);
    bm_free(back);
}
END_TEST

START_TEST(replacing_keeps_permissions)
{
    struct stat st;
    const char *path = in_folder("a");
    umask(022);
    test_ok(bm_file_replace(path, "1", 1));
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0644);
    ck_assert_int_eq(chmod(path, 0600), 0);
    test_ok(bm_file_replace(path, "2", 1));
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0600);
}
END_TEST

START_TEST(a_failed_replacement_leaves_the_old_file_alone)
{
    char *back, data[65536] = {0};
    size_t bytes;
    const char *path = in_folder("a");
    test_ok(bm_file_replace(path, "old", 3));
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &(struct rlimit){4096, 4096}), 0); /* as a disk that fills up midway */
    test_fails(bm_file_replace(path, data, sizeof data), BM_ERR_IO, path);
    test_ok(bm_file_read(&back, &bytes, path, 10));
    ck_assert_str_eq(back, "old");
    bm_free(back);
    ck_assert_int_eq(entries(), 1);
    test_fails(bm_file_replace(in_folder("no/such"), "x", 1), BM_ERR_NOT_FOUND, "no/such");
    ck_assert_int_eq(entries(), 1);
}
END_TEST

START_TEST(a_full_disk_has_its_own_status)
{
    int fd = open("/dev/full", O_WRONLY);
    ck_assert_int_ge(fd, 0);
    test_fails(bm_pwrite_all(fd, "x", 1, 0, "full.h5"), BM_ERR_NO_SPACE, "full.h5: write");
    close(fd);
    ck_assert_int_eq(bm_fail_errno(EDQUOT, "p", "w"), BM_ERR_NO_SPACE);
    ck_assert_int_eq(bm_fail_errno(ENOENT, "p", "w"), BM_ERR_NOT_FOUND);
    ck_assert_int_eq(bm_fail_errno(EACCES, "p", "w"), BM_ERR_IO);
}
END_TEST

START_TEST(ranges_are_whole_or_an_error)
{
    char data[8] = "........";
    int fd = open(in_folder("r"), O_RDWR | O_CREAT, 0600);
    ck_assert_int_ge(fd, 0);
    test_ok(bm_pwrite_all(fd, "abcdef", 6, 10, "r"));
    test_ok(bm_pread_all(fd, data, 4, 12, "r"));
    ck_assert_mem_eq(data, "cdef....", 8);
    test_ok(bm_pread_all(fd, data, 0, 99, "r"));
    test_fails(bm_pread_all(fd, data, 5, 12, "r"), BM_ERR_IO, "r: ends at 16, 1 bytes before");
    close(fd);
    test_fails(bm_pread_all(fd, data, 1, 0, "r"), BM_ERR_IO, "r: read");
}
END_TEST

START_TEST(folders_are_made_with_their_parents)
{
    struct stat st;
    test_ok(bm_folder_create(in_folder("x/y/z/")));
    test_ok(bm_folder_create(in_folder("x/y/z")));
    ck_assert_int_eq(stat(in_folder("x/y/z"), &st), 0);
    ck_assert(S_ISDIR(st.st_mode));
    test_ok(bm_file_replace(in_folder("x/f"), "", 0));
    test_fails(bm_folder_create(in_folder("x/f")), BM_ERR_IO, "no folder");
    test_fails(bm_folder_create(in_folder("x/f/g")), BM_ERR_IO, "x/f");
    test_ok(bm_folder_sync(in_folder("x")));
    test_fails(bm_folder_sync(in_folder("none")), BM_ERR_NOT_FOUND, "none");
    ck_assert_int_eq(bm_path_exists(in_folder("x/f")), 1);
    ck_assert_int_eq(bm_path_exists(in_folder("x/g")), 0);
    ck_assert_int_eq(chdir(folder), 0);
    test_ok(bm_folder_create("rel/ative"));
    ck_assert_int_eq(bm_path_exists("rel/ative"), 1);
}
END_TEST

START_TEST(paths_come_apart_and_together)
{
    static const struct {
        const char *path, *folder;
    } folders[] = {{"a/b", "a"},  {"a", "."},    {"/a", "/"},  {"/", "/"},
                   {"a/b/", "a"}, {"a//b", "a"}, {"//a", "/"}, {"", "."}};
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        char *f = bm_path_folder(folders[i].path);
        ck_assert_msg(strcmp(f, folders[i].folder) == 0, "%s: %s", folders[i].path, f);
        bm_free(f);
    }
    static const struct {
        const char *base, *name, *path;
    } joins[] = {{"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"a", "/b", "/b"},
                 {"/", "b", "/b"},  {"", "b", "b"},     {".", "b", "./b"}};
    for (size_t i = 0; i < sizeof joins / sizeof joins[0]; i++) {
        char *p = bm_path_join(joins[i].base, joins[i].name);
        ck_assert_msg(strcmp(p, joins[i].path) == 0, "%s", p);
        bm_free(p);
    }
}
END_TEST

START_TEST(real_paths_are_free_of_links)
{
    char *real, *target;
    test_ok(bm_file_replace(in_folder("file"), "", 0));
    ck_assert_int_eq(symlink("file", in_folder("link")), 0);
    test_ok(bm_path_real(&real, in_folder("./link")));
    test_ok(bm_path_real(&target, in_folder("file")));
    ck_assert_str_eq(real, target);
    bm_free(real);
    bm_free(target);
    test_fails(bm_path_real(&real, in_folder("none")), BM_ERR_NOT_FOUND, "none");
    ck_assert_ptr_null(real);
}
END_TEST

static bm_status everything(void *arg)
{
    (void)arg;
    bm_status status = BM_OK;
    char *data = NULL, *real = NULL, *folder_of = NULL, *joined = NULL;
    size_t bytes;
    BM_GO(bm_folder_create(in_folder("m/n")));
    BM_GO(bm_file_replace(in_folder("m/a"), "text", 4));
    BM_GO(bm_file_read(&data, &bytes, "/proc/self/status", 1 << 20));
    BM_GO(bm_path_real(&real, in_folder("m/a")));
    folder_of = bm_path_folder(real);
    joined = folder_of ? bm_path_join(folder_of, "b") : NULL;
    if (!joined) status = BM_ERR_MEMORY;
done:
    bm_free(data);
    bm_free(real);
    bm_free(folder_of);
    bm_free(joined);
    return status;
}

START_TEST(no_memory_is_an_error_and_leaves_no_file)
{
    test_fail_allocations(everything, NULL);
    snprintf(folder + strlen(folder), 3, "/m");
    ck_assert_int_eq(entries(), 2); /* a and n */
    folder[strlen(folder) - 2] = '\0';
}
END_TEST

START_TEST(the_clock_goes_forward)
{
    double before = bm_now_s();
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    double after = bm_now_s();
    ck_assert_double_ge(after - before, 0.02);
    ck_assert_double_lt(after - before, 10);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("core/base/file");
    TCase *t = tcase_create("file");
    tcase_add_checked_fixture(t, make_folder, remove_folder);
    tcase_add_test(t, what_is_written_is_read);
    tcase_add_test(t, reading_refuses_what_is_too_large_or_missing);
    tcase_add_test(t, replacing_keeps_permissions);
    tcase_add_test(t, a_failed_replacement_leaves_the_old_file_alone);
    tcase_add_test(t, a_full_disk_has_its_own_status);
    tcase_add_test(t, ranges_are_whole_or_an_error);
    tcase_add_test(t, folders_are_made_with_their_parents);
    tcase_add_test(t, paths_come_apart_and_together);
    tcase_add_test(t, real_paths_are_free_of_links);
    tcase_add_test(t, no_memory_is_an_error_and_leaves_no_file);
    tcase_add_test(t, the_clock_goes_forward);
    suite_add_tcase(s, t);
    return test_run(s);
}
