/* The same file through h5py, h5ls and h5dump. */
#ifndef BM_TESTS_LIB_H5PY_H
#define BM_TESTS_LIB_H5PY_H

/* Asserts that the three open the file, and that h5py gives for every dataset the path, type, shape and bytes that
 * bm_store gives. Says so on stderr and returns 0 where there is no h5py. */
int test_same_with_h5py(const char *path);

#endif
