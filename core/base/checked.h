/* Arithmetic that says when it does not fit. Each returns 0 on success and nonzero on overflow, leaving *out as it was. */
#ifndef BM_CORE_BASE_CHECKED_H
#define BM_CORE_BASE_CHECKED_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

BM_API int bm_mul_i64(int64_t *out, int64_t a, int64_t b);
BM_API int bm_add_i64(int64_t *out, int64_t a, int64_t b);
BM_API int bm_mul_size(size_t *out, size_t a, size_t b);
BM_API int bm_add_size(size_t *out, size_t a, size_t b);
BM_API int bm_i64_to_size(size_t *out, int64_t a); /* negative does not fit */

/* ceil(a / b) for a >= 0, b > 0; the least multiple of b that is >= a (the caller knows that it fits). */
static inline int64_t bm_ceil_div(int64_t a, int64_t b) { return a / b + (a % b != 0); }
static inline int64_t bm_round_up(int64_t a, int64_t b) { return bm_ceil_div(a, b) * b; }

#ifdef __cplusplus
}
#endif
#endif
