/* Programs in memory and on disk; what is on disk may be damaged in any way. */
/* ctest: rusticl */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cl/sources.h"
#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/device/cl_api.h"
#include "core/device/engine_priv.h"
#include "core/device/memory.h"
#include "core/device/program.h"
#include "core/device/queue.h"
#include "tests/lib/device.h"
#include "tests/lib/layer.h"
#include "tests/lib/test.h"

static const bm_source sources[] = {
    {"set", "#line 1 \"set.cl\"\n"
            "__kernel void set(__global int *x)\n"
            "{\n"
            "    x[get_global_id(0)] = VALUE;\n"
            "}\n"},
    {"wrong", "#line 1 \"wrong.cl\"\n"
              "__kernel void wrong(__global int *x)\n"
              "{\n"
              "#line 70 \"lib/header.clh\"\n"
              "    x[0] = undeclared_name;\n"
              "}\n"},
};

static char folder[64];

/* A cache of this test's own, empty. */
static bm_engine_opts cached_opts(void)
{
    static int serial;
    snprintf(folder, sizeof folder, "cache-%ld-%d", (long)getpid(), serial++);
    bm_engine_opts opts = test_engine_opts();
    opts.sources = (bm_source_table){sources, sizeof sources / sizeof sources[0]};
    opts.cl_dir = NULL;
    opts.cache_dir = test_path(folder);
    opts.cache_always = 1;
    return opts;
}

/* What `x[0] = VALUE` leaves: shows that the program which was got is the one asked for. */
static bm_status run_set(int *out, bm_engine *e, const char *options)
{
    bm_status status = BM_OK;
    bm_region *r = NULL;
    cl_mem m = NULL;
    cl_kernel k = NULL;
    const size_t one = 1;
    *out = -1;
    BM_GO(bm_kernel_create(&k, e, "set", options, "set"));
    BM_GO(bm_region_create(&r, e, "r", (int64_t[]){sizeof *out}, 1, 1));
    BM_GO(bm_region_piece(&m, r, 0, 0, sizeof *out));
    cl_int err = bm_cl.SetKernelArg(k, 0, sizeof m, &m);
    BM_GO(err ? bm_fail_cl(BM_ERR_DEVICE, err, "argument") : BM_OK);
    BM_GO(bm_queue_launch(bm_engine_queue(e), k, 1, &one, &one, "set"));
    BM_GO(bm_queue_read(bm_engine_queue(e), m, 0, out, sizeof *out));
done:
    if (k) bm_cl.ReleaseKernel(k);
    bm_region_destroy(r);
    return status;
}

/* Opens an engine, runs the program of VALUE=42, and says how many programs were built and loaded. */
static bm_program_stats run_42(const bm_engine_opts *opts)
{
    bm_engine *e = test_engine_open_with(opts);
    int x = 0;
    test_ok(run_set(&x, e, "-DVALUE=42"));
    ck_assert_int_eq(x, 42);
    bm_program_stats stats = bm_program_get_stats(e);
    bm_engine_close(e);
    return stats;
}

#define built(opts) ck_assert_msg(run_42(opts).built == 1, "it was not built")
#define loaded(opts) ck_assert_msg(run_42(opts).loaded == 1, "it was not loaded")

/* The one file in the cache. */
static const char *only_entry(const bm_engine_opts *opts)
{
    static char path[8192];
    char *programs = bm_path_join(opts->cache_dir, "programs");
    ck_assert_ptr_nonnull(programs);
    DIR *d = opendir(programs);
    ck_assert_ptr_nonnull(d);
    int n = 0;
    for (struct dirent *f; (f = readdir(d));)
        if (f->d_name[0] != '.') {
            snprintf(path, sizeof path, "%s/%s", programs, f->d_name);
            n++;
        }
    closedir(d);
    bm_free(programs);
    ck_assert_int_eq(n, 1);
    return path;
}

static size_t file_bytes(const char *path)
{
    struct stat st;
    ck_assert_int_eq(stat(path, &st), 0);
    return (size_t)st.st_size;
}

static void flip_byte(const char *path, size_t at)
{
    FILE *f = fopen(path, "r+b");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(fseek(f, (long)at, SEEK_SET), 0);
    int c = fgetc(f);
    ck_assert_int_ne(c, EOF);
    ck_assert_int_eq(fseek(f, (long)at, SEEK_SET), 0);
    ck_assert_int_ne(fputc(c ^ 0x10, f), EOF);
    ck_assert_int_eq(fclose(f), 0);
}

START_TEST(one_program_per_name_and_options)
{
    bm_engine_opts opts = cached_opts();
    bm_engine *e = test_engine_open_with(&opts);
    cl_program a = NULL, b = NULL;
    test_ok(bm_program_get(&a, e, "set", "-DVALUE=1"));
    test_ok(bm_program_get(&b, e, "set", "-DVALUE=1"));
    ck_assert_ptr_eq(a, b);
    test_ok(bm_program_get(&b, e, "set", "-DVALUE=2"));
    ck_assert_ptr_ne(a, b);
    ck_assert_int_eq(bm_program_get_stats(e).built, 2);
    int x = 0;
    test_ok(run_set(&x, e, "-DVALUE=1"));
    ck_assert_int_eq(x, 1);
    test_ok(run_set(&x, e, "-DVALUE=2"));
    ck_assert_int_eq(x, 2);
    ck_assert_int_eq(bm_program_get_stats(e).built, 2);
    test_fails(bm_program_get(&a, e, "no/such", ""), BM_ERR_NOT_FOUND, "no/such");
    ck_assert_ptr_null(a);
    cl_kernel k = NULL;
    test_fails(bm_kernel_create(&k, e, "set", "-DVALUE=1", "sett"), BM_ERR_DEVICE, "sett");
    ck_assert_ptr_null(k);
    bm_engine_close(e);
}
END_TEST

START_TEST(a_later_run_loads_what_an_earlier_one_built)
{
    bm_engine_opts opts = cached_opts();
    built(&opts);
    loaded(&opts);
    /* The source is part of the key. */
    const bm_source other = {"set", "__kernel void set(__global int *x) { x[0] = VALUE + 0; }"};
    opts.sources = (bm_source_table){&other, 1};
    built(&opts);
    loaded(&opts);
    opts.cache_dir = NULL;
    built(&opts);
    built(&opts);
}
END_TEST

START_TEST(programs_of_pocl_are_left_to_it)
{
    bm_engine_opts opts = cached_opts();
    opts.cache_always = 0;
    bm_engine *e = test_engine_open_with(&opts);
    int pocl = !strcmp(bm_engine_platform_name(e), "Portable Computing Language");
    bm_engine_close(e);
    built(&opts);
    if (pocl) {
        built(&opts);
        ck_assert(!bm_path_exists(opts.cache_dir));
    } else {
        loaded(&opts);
    }
}
END_TEST

START_TEST(a_damaged_entry_is_built_again_and_replaced)
{
    bm_engine_opts opts = cached_opts();
    built(&opts);
    const char *path = only_entry(&opts);
    /* First and last byte of magic, key, length and checksum (8, 16, 8 and 16 bytes); of the binary, from the end. */
    const long at[] = {0, 7, 8, 23, 24, 31, 32, 47, 48, -100, -1};
    for (size_t i = 0; i < sizeof at / sizeof at[0]; i++) {
        flip_byte(path, at[i] < 0 ? file_bytes(path) - (size_t)-at[i] : (size_t)at[i]);
        built(&opts);
        loaded(&opts);
    }
}
END_TEST

START_TEST(a_cut_or_longer_entry_is_built_again_and_replaced)
{
    bm_engine_opts opts = cached_opts();
    built(&opts);
    const char *path = only_entry(&opts);
    enum { BEFORE_END = 500 };
    const long lengths[] = {0, 1, 47, 48, 49, BEFORE_END - 100, BEFORE_END - 1, BEFORE_END + 1};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        off_t whole = (off_t)file_bytes(path);
        ck_assert_int_gt(whole, BEFORE_END);
        ck_assert_int_eq(truncate(path, lengths[i] < 50 ? lengths[i] : whole + lengths[i] - BEFORE_END), 0);
        built(&opts);
        loaded(&opts);
    }
}
END_TEST

START_TEST(a_binary_that_the_driver_refuses_is_built_again)
{
    const layer_api *layer = test_layer();
    bm_engine_opts opts = cached_opts();
    built(&opts);
    layer->fail_nth("CreateProgramWithBinary", 1, CL_INVALID_BINARY, 0);
    built(&opts);
    ck_assert(layer->fired());
    layer->fail_nth("BuildProgram", 1, CL_BUILD_PROGRAM_FAILURE, 0); /* of the loaded binary */
    built(&opts);
    ck_assert(layer->fired());
    loaded(&opts);
    ck_assert_int_eq(layer->stats().programs, 0);
}
END_TEST

START_TEST(a_cache_that_cannot_be_written_is_said_once)
{
    bm_engine_opts opts = cached_opts();
    /* A file where the folder should be: no user may write into that, root included. */
    test_ok(bm_file_replace(opts.cache_dir, "x", 1));
    test_listen();
    bm_engine *e = test_engine_open_with(&opts);
    int x = 0;
    test_ok(run_set(&x, e, "-DVALUE=5"));
    ck_assert_int_eq(x, 5);
    test_ok(run_set(&x, e, "-DVALUE=6"));
    ck_assert_int_eq(x, 6);
    bm_engine_close(e);
    bm_log_set(NULL, NULL, BM_LOG_WARN);
    test_text_holds(test_said, "programs are built anew each time");
    test_text_holds(test_said, opts.cache_dir);
    const char *written = strstr(test_said, "written");
    ck_assert(written && !strstr(written + 1, "written"));
    ck_assert_int_le(test_times_said, 2); /* once for reading, once for writing */
}
END_TEST

static int builds_42(const bm_engine_opts *opts)
{
    bm_engine *e = NULL;
    int x = 0;
    int right = !test_engine_try(&e, opts) && !run_set(&x, e, "-DVALUE=42") && x == 42;
    bm_engine_close(e);
    return right;
}

/* This process has not opened OpenCL yet: a driver's threads would not be there in the children. */
START_TEST(processes_may_race_for_an_entry)
{
    enum { FIRST, RACERS = 4 };
    bm_engine_opts opts = cached_opts();
    pid_t child[1 + RACERS];
    const char *entry = NULL;
    for (int i = 0; i <= RACERS; i++) {
        child[i] = fork();
        ck_assert_int_ge(child[i], 0);
        if (child[i] == 0) {
            int right = 1;
            for (int round = 0; round < 3; round++) {
                right = right && builds_42(&opts);
                if (i == 1) unlink(entry); /* entries come and go */
            }
            _exit(right ? 0 : 1);
        }
        if (i > FIRST) continue;
        int state = 0;
        ck_assert_int_eq(waitpid(child[FIRST], &state, 0), child[FIRST]);
        ck_assert(WIFEXITED(state) && WEXITSTATUS(state) == 0);
        entry = only_entry(&opts);
    }
    for (int i = 1; i <= RACERS; i++) {
        int state = 0;
        ck_assert_int_eq(waitpid(child[i], &state, 0), child[i]);
        ck_assert_msg(WIFEXITED(state) && WEXITSTATUS(state) == 0, "racer %d ended with %d", i, state);
    }
    run_42(&opts);
    loaded(&opts);
    only_entry(&opts); /* and no temporary file is left */
}
END_TEST

START_TEST(a_failed_build_keeps_the_log_with_the_source_numbered)
{
    bm_engine_opts opts = cached_opts();
    bm_engine *e = test_engine_open_with(&opts);
    cl_program p = NULL;
    ck_assert_str_eq(bm_program_log(e), "");
    test_fails(bm_program_get(&p, e, "wrong", "-DSOME=1"), BM_ERR_BUILD, "wrong");
    ck_assert_ptr_null(p);
    test_text_holds(bm_error_text(BM_ERR_BUILD), "-DSOME=1");
    const char *log = bm_program_log(e);
    test_text_holds(log, "-DSOME=1");
    test_text_holds(log, "undeclared_name"); /* by the driver and by the listing */
    test_text_holds(log, "\n    2  {\n");
    test_text_holds(log, "\n   70      x[0] = undeclared_name;\n   71  }\n");
    /* An engine goes on after it, and asks the compiler again. */
    int x = 0;
    test_ok(run_set(&x, e, "-DVALUE=8"));
    ck_assert_int_eq(x, 8);
    test_fails(bm_program_get(&p, e, "wrong", ""), BM_ERR_BUILD, "wrong");
    bm_engine_close(e);
}
END_TEST

static void write_file(const char *name, const char *text)
{
    char *path = bm_path_join(test_path("kernels"), name), *parent = path ? bm_path_folder(path) : NULL;
    ck_assert_ptr_nonnull(parent);
    test_ok(bm_folder_create(parent));
    test_ok(bm_file_replace(path, text, strlen(text)));
    bm_free(parent);
    bm_free(path);
}

START_TEST(a_folder_of_sources_replaces_embedded_ones)
{
    write_file("set.cl", "#include \"value.clh\"\n#include \"value.clh\"\n__kernel void set(__global int *x)\n{\n    x[0] = "
                         "TWICE(VALUE);\n}\n");
    write_file("lib/value.clh", "  #  include \"base.clh\"\n#define TWICE(v) (BASE + 2 * (v))\nint twice(int v);\nint twice(int v) "
                                "{ return TWICE(v); }\n"); /* defined twice if it came twice */
    write_file("lib/base.clh", "#include \"core/graph/ten.h\"\n#define BASE (100 * TEN)");
    write_file("../core/graph/ten.h", "#define TEN 10\n");
    bm_engine_opts opts = cached_opts();
    opts.cl_dir = test_path("kernels");
    bm_engine *e = test_engine_open_with(&opts);
    int x = 0;
    test_ok(run_set(&x, e, "-DVALUE=8"));
    ck_assert_int_eq(x, 1016);
    cl_program p = NULL;
    test_fails(bm_program_get(&p, e, "wrong", ""), BM_ERR_BUILD, "wrong"); /* not in the folder: the embedded one */
    bm_engine_close(e);

    write_file("set.cl", "\n#include \"value.clh\"\n\nbroken\n");
    e = test_engine_open_with(&opts);
    test_fails(bm_program_get(&p, e, "set", ""), BM_ERR_BUILD, "set");
    test_text_holds(bm_program_log(e), "#line 3 \"set.cl\"\n    3  \n    4  broken\n");
    bm_engine_close(e);

    write_file("set.cl", "#include \"missing.clh\"\n");
    e = test_engine_open_with(&opts);
    test_fails(bm_program_get(&p, e, "set", ""), BM_ERR_NOT_FOUND, "lib/missing.clh");
    bm_engine_close(e);
}
END_TEST

START_TEST(a_source_of_the_tree_is_the_one_that_is_embedded)
{
    ck_assert_uint_gt(bm_cl_sources.count, 0);
    for (size_t i = 0; i < bm_cl_sources.count; i++) {
        const bm_source *embedded = &bm_cl_sources.entries[i];
        char *text = NULL;
        test_ok(bm_source_text(&text, &(bm_source_table){NULL, 0}, test_source("cl"), embedded->name));
        ck_assert_str_eq(text, embedded->text);
        bm_free(text);
    }
}
END_TEST

static bm_status build_in_new_engine(void *arg)
{
    const bm_engine_opts *opts = arg;
    bm_engine *e = NULL;
    int x = 0;
    bm_status status = test_engine_try(&e, opts);
    if (!status) status = run_set(&x, e, "-DVALUE=3");
    if (!status) ck_assert_int_eq(x, 3);
    bm_engine_close(e);
    return status;
}

START_TEST(building_survives_failing_calls)
{
    bm_engine_opts opts = cached_opts();
    opts.cache_dir = NULL;
    test_fail_calls(build_in_new_engine, &opts, CL_OUT_OF_HOST_MEMORY);
    opts = cached_opts();
    test_fail_calls(build_in_new_engine, &opts, CL_OUT_OF_HOST_MEMORY); /* from the first success on, with an entry to load */
}
END_TEST

START_TEST(building_survives_failing_allocations)
{
    /* Not test_fail_allocations(): memory that lacks for the cache is no failure of the build. */
    for (int with_cache = 0; with_cache < 2; with_cache++) {
        bm_engine_opts opts = cached_opts();
        if (!with_cache) opts.cache_dir = NULL;
        int64_t live = bm_mem_get_stats().live, failures = 0;
        for (int64_t n = 1, failed = 1; failed; n++) {
            bm_mem_fail_nth(n, 0);
            bm_status s = build_in_new_engine(&opts);
            failed = bm_mem_failed();
            bm_mem_fail_nth(0, 0);
            failures += s != BM_OK;
            ck_assert_msg(s == BM_OK || s == BM_ERR_MEMORY, "allocation %d: %s", (int)n, bm_status_name(s));
            ck_assert_int_eq(bm_mem_get_stats().live, live);
        }
        ck_assert_int_gt(failures, 5);
    }
}
END_TEST

int main(void)
{
    test_layer_use();
    Suite *s = suite_create("core/device/program");
    TCase *c = tcase_create("program");
    tcase_add_test(c, one_program_per_name_and_options);
    tcase_add_test(c, a_later_run_loads_what_an_earlier_one_built);
    tcase_add_test(c, programs_of_pocl_are_left_to_it);
    tcase_add_test(c, a_damaged_entry_is_built_again_and_replaced);
    tcase_add_test(c, a_cut_or_longer_entry_is_built_again_and_replaced);
    tcase_add_test(c, a_binary_that_the_driver_refuses_is_built_again);
    tcase_add_test(c, a_cache_that_cannot_be_written_is_said_once);
    tcase_add_test(c, processes_may_race_for_an_entry);
    tcase_add_test(c, a_failed_build_keeps_the_log_with_the_source_numbered);
    tcase_add_test(c, a_folder_of_sources_replaces_embedded_ones);
    tcase_add_test(c, a_source_of_the_tree_is_the_one_that_is_embedded);
    tcase_add_test(c, building_survives_failing_calls);
    tcase_add_test(c, building_survives_failing_allocations);
    suite_add_tcase(s, c);
    return test_run(s);
}
