#include "core/base/checked.h"

int bm_mul_i64(int64_t *out, int64_t a, int64_t b)
{
    int64_t product;
    if (__builtin_mul_overflow(a, b, &product)) return 1;
    *out = product;
    return 0;
}

int bm_add_i64(int64_t *out, int64_t a, int64_t b)
{
    int64_t sum;
    if (__builtin_add_overflow(a, b, &sum)) return 1;
    *out = sum;
    return 0;
}

int bm_mul_size(size_t *out, size_t a, size_t b)
{
    size_t product;
    if (__builtin_mul_overflow(a, b, &product)) return 1;
    *out = product;
    return 0;
}

int bm_add_size(size_t *out, size_t a, size_t b)
{
    size_t sum;
    if (__builtin_add_overflow(a, b, &sum)) return 1;
    *out = sum;
    return 0;
}

int bm_i64_to_size(size_t *out, int64_t a)
{
    if (a < 0 || (uint64_t)a > SIZE_MAX) return 1;
    *out = (size_t)a;
    return 0;
}
