/* The OpenCL calls of this process, counted and made to fail by the layer library (tests/lib/layer/). */
#ifndef BM_TESTS_LIB_LAYER_H
#define BM_TESTS_LIB_LAYER_H

#include "core/base/status.h"
#include "tests/lib/layer/layer.h"

/* Puts the layer under this process' OpenCL calls. Call it in main(), before the first of them; test_layer() then gives the
 * functions of layer.h, and fails the test when the layer is not there. */
void test_layer_use(void);
const layer_api *test_layer(void);

/* Calls fn(arg) with the 1st, 2nd, ... OpenCL call failing with `code`, until none failed; each time as many host blocks and
 * OpenCL objects must be left as before. fn frees what it made when it succeeds, and may succeed in spite of a failure
 * (a program cache does). Asserts that at least one call failed fn. */
void test_fail_calls(bm_status (*fn)(void *arg), void *arg, int code);

#endif
