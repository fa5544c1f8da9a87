/* Configurations of a model family against what PyTorch makes of them (tests/fixtures/make_models_fixture.py). */
#ifndef BM_TESTS_LIB_FAMILY_H
#define BM_TESTS_LIB_FAMILY_H

#include <check.h>

/* The suite over n groups of the fixture, whose names are static; for test_run(). Called in main() before OpenCL is. */
Suite *family_suite(const char *name, const char *const *cases, int n);

#endif
