#include "tests/lib/fixture.h"

#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/lib/test.h"

static hid_t open_file(const char *file)
{
    char path[512];
    snprintf(path, sizeof path, "tests/fixtures/%s", file);
    hid_t f = H5Fopen(test_source(path), H5F_ACC_RDONLY, H5P_DEFAULT);
    ck_assert_msg(f >= 0, "%s cannot be opened", path);
    return f;
}

double *fixture_read(int64_t *n, const char *file, const char *dataset)
{
    const hid_t f = open_file(file), d = H5Dopen2(f, dataset, H5P_DEFAULT);
    ck_assert_msg(d >= 0, "%s has no %s", file, dataset);
    const hid_t space = H5Dget_space(d);
    *n = (int64_t)H5Sget_simple_extent_npoints(space);
    double *x = calloc((size_t)*n + 1, sizeof *x);
    ck_assert(x != NULL && H5Dread(d, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, x) >= 0);
    H5Sclose(space);
    H5Dclose(d);
    H5Fclose(f);
    return x;
}

double fixture_attribute(const char *file, const char *group, const char *name)
{
    const hid_t f = open_file(file), a = H5Aopen_by_name(f, group, name, H5P_DEFAULT, H5P_DEFAULT);
    double x = 0;
    ck_assert_msg(a >= 0, "%s: %s has no attribute %s", file, group, name);
    ck_assert(H5Aread(a, H5T_NATIVE_DOUBLE, &x) >= 0);
    H5Aclose(a);
    H5Fclose(f);
    return x;
}
