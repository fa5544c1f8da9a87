#include "tests/lib/dotstest.h"

#include <stdio.h>
#include <string.h>

#include "core/base/file.h"
#include "tests/lib/device.h"
#include "tests/lib/test.h"

bm_engine *dotstest_engine[DOTS_FORMS];

static bm_engine *open_with(int no_dots, const char *cl_dir)
{
    bm_engine_opts opts = test_engine_opts();
    opts.no_dots |= no_dots;
    if (cl_dir) opts.cl_dir = cl_dir;
    return test_engine_open_with(&opts);
}

void dotstest_setup(void)
{
    test_listen();
    if (dotstest_engine[DOTS]) return;
    dotstest_engine[DOTS] = open_with(0, NULL);
    dotstest_engine[NO_DOTS] = open_with(1, NULL);
}

void dotstest_close(void)
{
    for (int i = 0; i < DOTS_FORMS; i++) bm_engine_close(dotstest_engine[i]);
    memset(dotstest_engine, 0, sizeof dotstest_engine);
}

bm_engine *dotstest_faulty(const char *kernel, const char *name, const char *from, const char *to)
{
    char folder[500];
    snprintf(folder, sizeof folder, "%s", test_path("cl"));
    test_ok(bm_folder_create(test_path("cl/gemm")));
    test_copy_headers(folder);
    test_copy_kernel(folder, kernel, "", "");
    test_copy_kernel(folder, name, from, to);
    return open_with(0, folder);
}
