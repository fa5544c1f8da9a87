/* Fixtures that the scripts of tests/fixtures wrote, read by libhdf5. */
#ifndef BM_TESTS_LIB_FIXTURE_H
#define BM_TESTS_LIB_FIXTURE_H

#include <stdint.h>

/* All elements of a dataset of tests/fixtures/FILE, "ops.h5" say, as double, and their number; free() it. What is missing fails
 * the test. */
double *fixture_read(int64_t *n, const char *file, const char *dataset);
/* A numeric attribute of a group. */
double fixture_attribute(const char *file, const char *group, const char *name);

#endif
