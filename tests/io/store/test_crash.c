/* A file is old or new, never half: under errors, short transfers, full disks, kills and power failures at every call.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "io/store/tempfile_priv.h"
#include "tests/lib/storefile.h"
#include "tests/lib/syscalls.h"
#include "tests/lib/test.h"

#define OLD 1u
#define NEW 1001u

static char path[4096];
static bm_content_id old_id, new_id;

static void setup(void)
{
    snprintf(path, sizeof path, "%s", test_path("it.h5"));
    test_ok(bm_temp_clean(test_folder()));
    test_ok(test_store_write(&new_id, path, NEW, 1));
    test_ok(test_store_write(&old_id, path, OLD, 1));
}

/* 0: the old file, 1: the new one; fails the test for anything else. */
static int generation(const char *file, const char *after)
{
    bm_store *s;
    bm_status status = bm_store_open(&s, file);
    ck_assert_msg(status == BM_OK, "after %s: %s", after, bm_error_text(status));
    status = bm_store_verify(s, NULL);
    ck_assert_msg(status == BM_OK, "after %s: %s", after, bm_error_text(status));
    int is_new = bm_content_id_equal(bm_store_content_id(s), &new_id);
    ck_assert_msg(is_new || bm_content_id_equal(bm_store_content_id(s), &old_id), "after %s: mixed", after);
    bm_store_close(s);
    return is_new;
}

static int open_files(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    if (!d) return 0;
    while (readdir(d)) n++;
    closedir(d);
    return n;
}

/* Lets every call of a write over the old file fail in turn. */
static int fail_every_call(sys_action action, int error, int with_reads)
{
    int points = 0;
    for (int n = 1;; n++, points++) {
        int files = open_files();
        int64_t live = bm_mem_get_stats().live;
        test_sys_arm(n, action, error, with_reads);
        bm_status status = test_store_write(NULL, path, NEW, 1);
        const char *hit = test_sys_hit();
        test_sys_arm(0, SYS_PASS, 0, 0);
        if (!hit) {
            test_ok(status);
            return points;
        }
        int is_new = generation(path, hit);
        if (!status) ck_assert_msg(is_new, "%s %d: success was reported, the old file is there", hit, n);
        if (status && strcmp(hit, "fsync of the folder"))
            ck_assert_msg(!is_new, "%s %d: %s, but the new file is there", hit, n, bm_error_text(status));
        if (status && error == ENOSPC)
            ck_assert_msg(status == BM_ERR_NO_SPACE, "%s %d: %s", hit, n, bm_error_text(status));
        if (strcmp(hit, "unlink"))
            ck_assert_msg(!test_count_names(test_folder(), ".it.h5.tmp"), "%s %d: the temporary file is left", hit, n);
        ck_assert_msg(open_files() == files, "%s %d: %d files are left open", hit, n, open_files() - files);
        ck_assert_int_eq(bm_mem_get_stats().live, live);
        test_ok(test_store_write(NULL, path, OLD, 1));
    }
}

START_TEST(every_call_may_fail)
{
    int points = fail_every_call(SYS_FAIL, EIO, 1);
    ck_assert_msg(points > 40, "only %d calls were seen", points);
    test_ok(test_store_write(NULL, path, OLD, 1));
    fail_every_call(SYS_FAIL, ENOSPC, 0);
}
END_TEST

START_TEST(every_call_may_be_interrupted_or_short)
{
    fail_every_call(SYS_FAIL, EINTR, 1);
    test_ok(test_store_write(NULL, path, OLD, 1));
    fail_every_call(SYS_SHORT, 0, 1);
}
END_TEST

START_TEST(too_little_space_is_told_before_anything_is_written)
{
    test_sys_free(20000);
    test_sys_arm(0, SYS_PASS, 0, 0);
    test_fails(test_store_write(NULL, path, NEW, 1), BM_ERR_NO_SPACE, "free");
    ck_assert_int_eq(test_sys_calls(), 0);
    test_sys_free(-1);
    ck_assert_int_eq(generation(path, "no space"), 0);
}
END_TEST

/* A limit on the size of files stands for a disk that is full after so many bytes. */
START_TEST(a_disk_full_at_any_page_leaves_the_old_file)
{
    struct rlimit all;
    int failed = 0;
    getrlimit(RLIMIT_FSIZE, &all);
    signal(SIGXFSZ, SIG_IGN);
    for (rlim_t limit = 0;; limit += 4096) {
        struct rlimit some = {limit, all.rlim_max};
        setrlimit(RLIMIT_FSIZE, &some);
        bm_status status = test_store_write(NULL, path, NEW, 1);
        setrlimit(RLIMIT_FSIZE, &all);
        ck_assert_int_eq(generation(path, "a full disk"), !status);
        ck_assert_int_eq(test_count_names(test_folder(), ".it.h5.tmp"), 0);
        if (!status) break;
        ck_assert_int_eq(bm_status_exit_code(status), 4);
        failed++;
    }
    ck_assert_int_gt(failed, 3);
}
END_TEST

/* In a child that dies at call n. Returns whether it lived. */
static int write_and_die(int n, sys_action action)
{
    int status;
    fflush(NULL);
    pid_t pid = fork();
    if (!pid) {
        test_sys_arm(n, action, 0, 0);
        _exit(test_store_write(NULL, path, NEW, 1) != BM_OK);
    }
    waitpid(pid, &status, 0);
    if (WIFEXITED(status)) {
        ck_assert_int_eq(WEXITSTATUS(status), 0);
        return 1;
    }
    ck_assert_int_eq(WTERMSIG(status), SIGKILL);
    return 0;
}

START_TEST(killed_at_any_call_it_is_old_or_new)
{
    int count[2] = {0, 0};
    for (sys_action action = SYS_KILL; action <= SYS_KILL_AFTER; action++)
        for (int n = 1; !write_and_die(n, action); n++) {
            count[generation(path, "a kill")]++;
            test_ok(bm_temp_clean(test_folder()));
            ck_assert_int_eq(test_count_names(test_folder(), ".it.h5.tmp"), 0);
            test_ok(test_store_write(NULL, path, OLD, 1));
        }
    ck_assert_msg(count[0] > 90 && count[1] > 3, "%d old, %d new", count[0], count[1]);
}
END_TEST

/* BM_TEST_KILLS=10000 asks for more; by itself a slow disk ends it sooner. */
START_TEST(killed_at_any_time_it_is_old_or_new)
{
    const char *asked = getenv("BM_TEST_KILLS");
    int kills = asked ? atoi(asked) : 150, count[2] = {0, 0};
    double start = bm_now_s();
    for (int i = 0; i < 4; i++) test_ok(test_store_write(NULL, path, OLD, 1));
    double write_s = (bm_now_s() - start) / 4;
    for (int i = 0; i < kills && (asked || bm_now_s() - start < 20); i++) {
        int status;
        double wait_s = 2 * write_s * (bm_rng_at(8, 1, 0, (uint64_t)i) % 1000) / 1000;
        struct timespec wait = {(time_t)wait_s, (long)((wait_s - (double)(time_t)wait_s) * 1e9)};
        fflush(NULL);
        pid_t pid = fork();
        if (!pid)
            for (;;)
                if (test_store_write(NULL, path, NEW, 1)) _exit(1);
        nanosleep(&wait, NULL);
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
        ck_assert(WIFSIGNALED(status));
        int is_new = generation(path, "a kill");
        count[is_new]++;
        test_ok(bm_temp_clean(test_folder()));
        if (is_new) test_ok(test_store_write(NULL, path, OLD, 1));
    }
    ck_assert_msg(count[0] > 0 && count[1] > 0, "%d old, %d new: the kills miss the write", count[0], count[1]);
    if (asked) fprintf(stderr, "%d kills: %d old, %d new, none else\n", count[0] + count[1], count[0], count[1]);
}
END_TEST

/* ---- power failures: what of the recorded calls reached the disk ---- */

enum { KEEP_NONE, KEEP_ALL, KEEP_TORN, KEEP_EVERY_OTHER, KEEPS };

typedef struct image {
    unsigned char data[1 << 20];
    size_t n;
} image;

static void apply(image *f, const sys_op *op, size_t bytes)
{
    size_t end = (size_t)op->offset + (op->kind == SYS_WRITE ? bytes : 0);
    ck_assert_uint_le(end, sizeof f->data);
    if (op->kind == SYS_WRITE) memcpy(f->data + op->offset, op->data, bytes);
    if (op->kind == SYS_RESIZE && end < f->n) memset(f->data + end, 0, f->n - end);
    if (op->kind == SYS_RESIZE || end > f->n) f->n = end;
}

/* The file `inode` as it is on the disk when power fails after the first k calls: what was synced, and as much of the
 * rest as `keep` says. */
static void replay(image *f, const sys_op *ops, int k, uint64_t inode, int keep, int ignore_sync)
{
    int synced = 0, other = 0;
    memset(f, 0, sizeof *f);
    for (int i = 0; i < k && !ignore_sync; i++)
        if (ops[i].kind == SYS_SYNC && ops[i].inode == inode) synced = i;
    for (int i = 0; i < k; i++) {
        if (ops[i].inode != inode || (ops[i].kind != SYS_WRITE && ops[i].kind != SYS_RESIZE)) continue;
        size_t bytes = ops[i].bytes;
        if (i >= synced && (keep == KEEP_NONE || (keep == KEEP_EVERY_OTHER && other++ % 2))) continue;
        if (i >= synced && keep == KEEP_TORN && i + 1 == k) bytes /= 2;
        apply(f, &ops[i], bytes);
    }
}

/* Every state that a power failure can leave; returns how many of them are bad. A rename is on the disk once its folder
 * is synced, and may be there before. */
static int bad_states(const sys_op *ops, int count, int ignore_sync, int *states)
{
    static image f;
    int bad = 0;
    *states = 0;
    for (int k = 0; k <= count; k++) {
        uint64_t inode = 0;
        for (int i = 0; i < k; i++)
            if (ops[i].kind == SYS_NAME && !strcmp(ops[i].name, "it.h5")) inode = ops[i].inode;
        for (int keep = 0; keep < KEEPS; keep++) {
            ++*states;
            if (!inode) continue; /* the old file, which nobody touched */
            replay(&f, ops, k, inode, keep, ignore_sync);
            test_write_file(test_path("replayed.h5"), f.data, f.n);
            bad += test_store_sound(test_path("replayed.h5")) != BM_OK;
        }
    }
    return bad;
}

START_TEST(after_a_power_failure_it_is_old_or_new)
{
    int count, states, synced_folder = 0;
    test_sys_record(1);
    test_ok(test_store_write(NULL, path, NEW, 1));
    test_sys_record(0);
    const sys_op *ops = test_sys_ops(&count);
    ck_assert_int_gt(count, 30);
    ck_assert_int_eq(bad_states(ops, count, 0, &states), 0);
    ck_assert_int_gt(states, 100);
    /* the control: were the sync not there, the harness would see it */
    ck_assert_int_gt(bad_states(ops, count, 1, &states), 0);
    for (int i = 0; i < count; i++)
        if (ops[i].kind == SYS_SYNC_FOLDER) synced_folder = i;
    ck_assert_msg(synced_folder == count - 1, "the folder is not synced last"); /* else "success" could be undone */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("io/store/crash");
    TCase *t = tcase_create("crash");
    tcase_add_checked_fixture(t, setup, NULL);
    tcase_add_test(t, every_call_may_fail);
    tcase_add_test(t, every_call_may_be_interrupted_or_short);
    tcase_add_test(t, too_little_space_is_told_before_anything_is_written);
    tcase_add_test(t, a_disk_full_at_any_page_leaves_the_old_file);
    tcase_add_test(t, killed_at_any_call_it_is_old_or_new);
    tcase_add_test(t, killed_at_any_time_it_is_old_or_new);
    tcase_add_test(t, after_a_power_failure_it_is_old_or_new);
    suite_add_tcase(suite, t);
    return test_run(suite);
}
