#include "tests/lib/h5fixture.h"

#include <check.h>
#include <hdf5.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/lib/test.h"

struct h5fixture {
    hid_t file;
};

h5fixture *h5fixture_open(const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "tests/fixtures/%s", name);
    h5fixture *f = malloc(sizeof *f);
    ck_assert_ptr_nonnull(f);
    f->file = H5Fopen(test_source(path), H5F_ACC_RDONLY, H5P_DEFAULT);
    ck_assert_msg(f->file >= 0, "%s cannot be opened", path);
    return f;
}

void h5fixture_close(h5fixture *f)
{
    ck_assert_int_ge(H5Fclose(f->file), 0);
    free(f);
}

static void *read_all(h5fixture *f, const char *path, int64_t *n, hid_t type)
{
    hid_t d = H5Dopen2(f->file, path, H5P_DEFAULT), s = d >= 0 ? H5Dget_space(d) : -1;
    ck_assert_msg(s >= 0, "the fixture has no %s", path);
    hssize_t count = H5Sget_simple_extent_npoints(s);
    void *data = calloc((size_t)count + 1, H5Tget_size(type));
    ck_assert_ptr_nonnull(data);
    ck_assert_int_ge(H5Dread(d, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data), 0);
    if (n) *n = count;
    H5Sclose(s);
    H5Dclose(d);
    return data;
}

float *h5fixture_f32(h5fixture *f, const char *path, int64_t *n) { return read_all(f, path, n, H5T_NATIVE_FLOAT); }
double *h5fixture_f64(h5fixture *f, const char *path, int64_t *n) { return read_all(f, path, n, H5T_NATIVE_DOUBLE); }
int32_t *h5fixture_i32(h5fixture *f, const char *path, int64_t *n) { return read_all(f, path, n, H5T_NATIVE_INT32); }

int64_t h5fixture_dim(h5fixture *f, const char *path, int i)
{
    hsize_t dims[H5S_MAX_RANK];
    hid_t d = H5Dopen2(f->file, path, H5P_DEFAULT), s = d >= 0 ? H5Dget_space(d) : -1;
    ck_assert_msg(s >= 0, "the fixture has no %s", path);
    int rank = H5Sget_simple_extent_dims(s, dims, NULL);
    ck_assert_int_lt(i, rank);
    H5Sclose(s);
    H5Dclose(d);
    return (int64_t)dims[i];
}

double h5fixture_attr(h5fixture *f, const char *path, const char *name)
{
    double x = 0;
    hid_t a = H5Aopen_by_name(f->file, path, name, H5P_DEFAULT, H5P_DEFAULT);
    ck_assert_msg(a >= 0, "the fixture's %s has no attribute %s", path, name);
    ck_assert_int_ge(H5Aread(a, H5T_NATIVE_DOUBLE, &x), 0);
    H5Aclose(a);
    return x;
}

char *h5fixture_text(h5fixture *f, const char *path, const char *name)
{
    hid_t a = H5Aopen_by_name(f->file, path, name, H5P_DEFAULT, H5P_DEFAULT), type = a >= 0 ? H5Aget_type(a) : -1;
    ck_assert_msg(type >= 0 && H5Tget_class(type) == H5T_STRING && !H5Tis_variable_str(type), "the fixture's %s has no text %s", path, name);
    char *text = calloc(H5Tget_size(type) + 1, 1);
    ck_assert_ptr_nonnull(text);
    ck_assert_int_ge(H5Aread(a, type, text), 0);
    H5Tclose(type);
    H5Aclose(a);
    return text;
}

int h5fixture_has(h5fixture *f, const char *path) { return H5Lexists(f->file, path, H5P_DEFAULT) > 0; }

typedef struct visitor {
    void (*visit)(void *user, const char *name);
    void *user;
} visitor;

static herr_t visit_one(hid_t object, const char *name, const H5O_info_t *info, void *data)
{
    const visitor *v = data;
    (void)object;
    if (info->type == H5O_TYPE_DATASET) v->visit(v->user, name);
    return 0;
}

void h5fixture_each(h5fixture *f, const char *group, void (*visit)(void *user, const char *name), void *user)
{
    visitor v = {visit, user};
    hid_t g = H5Gopen2(f->file, group, H5P_DEFAULT);
    ck_assert_msg(g >= 0, "the fixture has no %s", group);
    ck_assert_int_ge(H5Ovisit(g, H5_INDEX_NAME, H5_ITER_INC, visit_one, &v), 0);
    H5Gclose(g);
}

double fixture_distance(const float *a, const float *b, int64_t n)
{
    double difference = 0, size = 0;
    for (int64_t i = 0; i < n; i++) {
        double d = (double)a[i] - (double)b[i];
        difference += d * d;
        size += (double)b[i] * (double)b[i];
    }
    return size > 0 ? sqrt(difference / size) : sqrt(difference);
}
