/* Fixtures in HDF5 that other software wrote, read by libhdf5 itself and not by the code under test. A failure fails the test. */
#ifndef BM_TESTS_LIB_H5FIXTURE_H
#define BM_TESTS_LIB_H5FIXTURE_H

#include <stddef.h>
#include <stdint.h>

typedef struct h5fixture h5fixture;
/* `name` is a file in tests/fixtures, "gpt2_tiny.h5". */
h5fixture *h5fixture_open(const char *name);
void h5fixture_close(h5fixture *f);

/* The elements of a dataset, converted; *n their number, which may be NULL. The caller frees them by free(). */
float *h5fixture_f32(h5fixture *f, const char *path, int64_t *n);
double *h5fixture_f64(h5fixture *f, const char *path, int64_t *n);
int32_t *h5fixture_i32(h5fixture *f, const char *path, int64_t *n);
/* Dimension i of a dataset. */
int64_t h5fixture_dim(h5fixture *f, const char *path, int i);
/* A numeric attribute of the object `path` ("/" for the file). */
double h5fixture_attr(h5fixture *f, const char *path, const char *name);
/* A text attribute, of fixed size. The caller frees it by free(). */
char *h5fixture_text(h5fixture *f, const char *path, const char *name);
/* Whether there is an object of that path; its group must be there. */
int h5fixture_has(h5fixture *f, const char *path);

/* Calls visit with the path below `group` of each dataset in it, subgroups included, in order of names. */
void h5fixture_each(h5fixture *f, const char *group, void (*visit)(void *user, const char *name), void *user);

/* |a - b| / |b|, Euclidean; |a| where b is zero. */
double fixture_distance(const float *a, const float *b, int64_t n);

#endif
