/* Element types, and conversion between f32 and the 16-bit floating types. */
#ifndef BM_CORE_BASE_DTYPE_H
#define BM_CORE_BASE_DTYPE_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* X(name, stored name, bytes). The stored names are part of the file format. */
#define BM_DTYPE_LIST(X)                                                                           \
    X(BM_F32, "f32", 4)                                                                            \
    X(BM_F16, "f16", 2)                                                                            \
    X(BM_BF16, "bf16", 2)                                                                          \
    X(BM_F64, "f64", 8)                                                                            \
    X(BM_I8, "i8", 1)                                                                              \
    X(BM_U8, "u8", 1)                                                                              \
    X(BM_I16, "i16", 2)                                                                            \
    X(BM_U16, "u16", 2)                                                                            \
    X(BM_I32, "i32", 4)                                                                            \
    X(BM_U32, "u32", 4)                                                                            \
    X(BM_I64, "i64", 8)                                                                            \
    X(BM_U64, "u64", 8)

typedef enum bm_dtype {
#define BM_DTYPE_ENUM(name, stored, bytes) name,
    BM_DTYPE_LIST(BM_DTYPE_ENUM)
#undef BM_DTYPE_ENUM
    BM_DTYPE_COUNT
} bm_dtype;

BM_API const char *bm_dtype_name(bm_dtype t);
BM_API size_t bm_dtype_size(bm_dtype t);
BM_API int bm_dtype_is_float(bm_dtype t);
/* 0 and *out, or BM_ERR_USAGE naming the types there are. */
BM_API bm_status bm_dtype_parse(bm_dtype *out, const char *name);

/* IEEE 754 binary16 and bfloat16, round to nearest even; NaN stays NaN (quiet), overflow goes to infinity,
 * subnormals are kept. */
BM_API uint16_t bm_f32_to_f16(float x);
BM_API float bm_f16_to_f32(uint16_t x);
BM_API uint16_t bm_f32_to_bf16(float x);
BM_API float bm_bf16_to_f32(uint16_t x);

/* Converts n elements between any two floating types (f32, f16, bf16, f64); the arrays do not overlap. */
BM_API bm_status bm_convert_floats(void *dst, bm_dtype to, const void *src, bm_dtype from, size_t n);

/* n numbers as whole ones and a scale, which is returned: x[i] is about scale q[i], scale = max |x| / 127, q[i] = x[i] / scale to
 * nearest even, in [-127, 127]; 0 for a row of zeros, NaN where x is not finite (symmetric absmax by rows: Dettmers et
 * al. 2022, "LLM.int8()", sections 2.1 and 3.1). */
BM_API float bm_row_to_i8(int8_t *q, const float *x, size_t n);

#ifdef __cplusplus
}
#endif
#endif
