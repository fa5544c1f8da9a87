/* The device that tests run on: BM_TEST_DEVICE (a SPEC of DESIGN 5, default "auto"), kernels in the form BM_TEST_FORM ("cpu" or
 * "plain"; default: the device's own), sources replaced from BM_CL_DIR, programs kept in BM_CACHE_DIR; BM_TEST_NO_DOTS hides
 * limits.bf16_dot and i8_dot.
 * libcheck runs each test in a process of its own: open the engine within the test, not before, or share one. */
#ifndef BM_TESTS_LIB_DEVICE_H
#define BM_TESTS_LIB_DEVICE_H

#include <check.h>

#include "core/device/engine.h"

/* What the environment asks for, with the embedded sources; change it and hand it to test_engine_open_with(). */
bm_engine_opts test_engine_opts(void);
/* Opens the device; a failure fails the test with its reason. The caller closes it. */
bm_engine *test_engine_open(void);
bm_engine *test_engine_open_with(const bm_engine_opts *opts);
/* The same for tests that must see the status. */
bm_status test_engine_try(bm_engine **out, const bm_engine_opts *opts);

/* The tests of a case run in one process, so that what one has built is there for the next; close() comes after the last. On
 * Oclgrind each has its own still: no buffer goes there while a process lives (tests/lib/layer/oclgrind.c). */
void test_together(TCase *t, void (*close)(void));
/* The same with one engine, which the first test that asks for it opens. Borrowed. */
void test_share_engine(TCase *t);
bm_engine *test_engine_shared(void);

/* Copies the kernel source cl/NAME into a folder for opts.cl_dir, the first `from` in it replaced by `to` ("": nothing). */
void test_copy_kernel(const char *folder, const char *name, const char *from, const char *to);
/* All that sources include, cl/lib, into the same folder. */
void test_copy_headers(const char *folder);

#endif
