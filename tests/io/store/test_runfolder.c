#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "io/store/runfolder.h"
#include "io/store/tempfile_priv.h"
#include "tests/lib/storefile.h"
#include "tests/lib/test.h"

static char run[4096];

static void setup(void)
{
    char command[4200];
    snprintf(run, sizeof run, "%s", test_path("run"));
    snprintf(command, sizeof command, "rm -rf '%s'", run);
    ck_assert_int_eq(system(command), 0);
    test_ok(bm_folder_create(test_path("run/checkpoints")));
    test_listen();
}

static void write_step(uint64_t step)
{
    char *path;
    test_ok(bm_run_checkpoint(&path, run, step));
    test_ok(test_store_write(NULL, path, step, 1));
    bm_free(path);
}

static void damage_step(uint64_t step)
{
    char *path;
    size_t n;
    test_ok(bm_run_checkpoint(&path, run, step));
    unsigned char *data = test_read_file(&n, path);
    for (size_t at = 8192; at < 8192 + 4096; at += 64) data[at] ^= 1;
    test_write_file(path, data, n);
    free(data);
    bm_free(path);
}

static void expect_newest(uint64_t due)
{
    char *path;
    uint64_t step;
    test_ok(bm_run_newest(&path, &step, run));
    ck_assert_uint_eq(step, due);
    test_ok(test_store_sound(path));
    bm_free(path);
}

START_TEST(the_newest_sound_one_is_taken)
{
    char *path;
    test_fails(bm_run_newest(&path, NULL, run), BM_ERR_NOT_FOUND, "no checkpoint");
    test_fails(bm_run_newest(&path, NULL, test_path("nothing")), BM_ERR_NOT_FOUND, "nothing");
    write_step(5);
    write_step(100);
    write_step(12);
    expect_newest(100);
    ck_assert_str_eq(test_said, "");
    damage_step(100);
    expect_newest(12);
    test_text_holds(test_said, "step-00000100.h5");
    test_text_holds(test_said, "before it");
    test_ok(bm_run_resolve(&path, run));
    test_text_holds(path, "step-00000012.h5");
    bm_free(path);
    damage_step(5);
    damage_step(12);
    test_fails(bm_run_newest(&path, NULL, run), BM_ERR_DAMAGED, "none of its 3 checkpoints is sound");
    test_ok(bm_run_resolve(&path, "some.h5"));
    ck_assert_str_eq(path, "some.h5");
    bm_free(path);
}
END_TEST

START_TEST(the_last_and_the_best_are_kept)
{
    uint64_t *steps;
    int64_t n;
    for (uint64_t s = 1; s <= 8; s++) write_step(s * 10);
    test_write_file(test_path("run/checkpoints/other.h5"), "x", 1);
    test_ok(bm_run_prune(run, 3, 20));
    test_ok(bm_run_steps(&steps, &n, run));
    ck_assert(n == 4 && steps[0] == 20 && steps[1] == 60 && steps[2] == 70 && steps[3] == 80);
    bm_free(steps);
    test_ok(bm_run_prune(run, 2, 0));
    test_ok(bm_run_steps(&steps, &n, run));
    ck_assert(n == 2 && steps[0] == 70 && steps[1] == 80);
    bm_free(steps);
    test_ok(bm_run_prune(run, 0, 0)); /* never the newest */
    test_ok(bm_run_steps(&steps, &n, run));
    ck_assert(n == 1 && steps[0] == 80);
    bm_free(steps);
    ck_assert_int_eq(access(test_path("run/checkpoints/other.h5"), F_OK), 0);
}
END_TEST

START_TEST(latest_names_the_newest)
{
    char *text;
    size_t n;
    test_ok(bm_run_set_latest(run, 1234));
    test_ok(bm_file_read(&text, &n, test_path("run/LATEST"), 100));
    ck_assert_str_eq(text, "checkpoints/step-00001234.h5\n");
    bm_free(text);
}
END_TEST

/* A process number that belongs to nobody. */
static pid_t dead_process(void)
{
    pid_t pid = fork();
    if (pid == 0) _exit(0);
    waitpid(pid, NULL, 0);
    return pid;
}

START_TEST(only_what_the_dead_left_is_removed)
{
    char name[300], *alive;
    int fd;
    pid_t pid = dead_process();
    snprintf(name, sizeof name, "run/checkpoints/.step-00000010.h5.tmp.%ld.0123abcd", (long)pid);
    test_write_file(test_path(name), "x", 1);
    snprintf(name, sizeof name, "run/LATEST.%ld-0.tmp", (long)pid);
    test_write_file(test_path(name), "x", 1);
    snprintf(name, sizeof name, "run/checkpoints/.mine.tmp.%ld.0123abcd", (long)getpid());
    test_write_file(test_path(name), "x", 1);
    test_write_file(test_path("run/notes.tmp"), "x", 1);
    test_write_file(test_path("run/.a.tmp.0.0123abcd"), "x", 1);
    test_ok(bm_temp_create(&alive, &fd, test_path("run/checkpoints/step-00000020.h5")));
    /* locked, and named as if its process were dead: as a process of another machine or container looks */
    snprintf(name, sizeof name, "run/checkpoints/.locked.tmp.%ld.0123abcd", (long)pid);
    ck_assert_int_eq(rename(alive, test_path(name)), 0);
    bm_free(alive);
    test_ok(bm_run_clean(run));
    ck_assert_int_eq(access(test_path(name), F_OK), 0);
    ck_assert_int_eq(test_count_names(test_path("run/checkpoints"), ".tmp."), 2);
    ck_assert_int_eq(test_count_names(run, ".tmp"), 2);
    close(fd);
    test_ok(bm_run_clean(run));
    ck_assert_int_eq(test_count_names(test_path("run/checkpoints"), ".tmp."), 1);
}
END_TEST

/* Whether a new run may be made, whatever is there. */
START_TEST(a_new_run_is_made_where_nothing_is)
{
    char *made, command[4200];
    test_fails(bm_run_check_new(run), BM_ERR_EXISTS, "go on with it by `bmtool resume");
    test_fails(bm_run_create(&made, run), BM_ERR_EXISTS, "exists already");
    ck_assert_ptr_null(made);
    test_write_file(test_path("run/file"), "x", 1);
    test_fails(bm_run_check_new(test_path("run/file")), BM_ERR_EXISTS, "is no run");
    test_fails(bm_run_check_new(test_path("run/file/new/run")), BM_ERR_IO, "is no folder");
    test_ok(bm_run_check_new(test_path("run/a/b/c/")));
    test_ok(bm_run_create(&made, test_path("run/a/b/c/")));
    ck_assert_str_eq(made, test_path("run/a"));
    ck_assert(bm_run_is_folder(test_path("run/a/b/c/checkpoints")));
    static const char *const files[] = {"config.yaml", "gemm.json", "metrics.jsonl"};
    for (size_t i = 0; i < 3; i++) {
        snprintf(command, sizeof command, "run/a/b/c/%s", files[i]);
        test_write_file(test_path(command), "x", 1);
    }
    bm_run_discard(test_path("run/a/b/c/"), made);
    bm_free(made);
    ck_assert(!bm_path_exists(test_path("run/a")));
    ck_assert(bm_path_exists(test_path("run/file")) && bm_run_is_folder(test_path("run/checkpoints")));
}
END_TEST

static bm_status make_and_discard(void *arg)
{
    char *made;
    BM_TRY(bm_run_check_new(arg));
    BM_TRY(bm_run_create(&made, arg));
    ck_assert(bm_run_is_folder(arg));
    bm_run_discard(arg, made);
    bm_free(made);
    return BM_OK;
}

START_TEST(a_new_run_without_memory_leaves_nothing)
{
    char path[4096];
    snprintf(path, sizeof path, "%s", test_path("run/a/b"));
    test_fail_allocations(make_and_discard, path);
    ck_assert(!bm_path_exists(test_path("run/a")));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("io/store/runfolder");
    TCase *t = tcase_create("runfolder");
    tcase_add_checked_fixture(t, setup, NULL);
    tcase_add_test(t, the_newest_sound_one_is_taken);
    tcase_add_test(t, the_last_and_the_best_are_kept);
    tcase_add_test(t, latest_names_the_newest);
    tcase_add_test(t, only_what_the_dead_left_is_removed);
    tcase_add_test(t, a_new_run_is_made_where_nothing_is);
    tcase_add_test(t, a_new_run_without_memory_leaves_nothing);
    suite_add_tcase(suite, t);
    return test_run(suite);
}
