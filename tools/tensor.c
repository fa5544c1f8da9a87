#include "tools/tensor.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/base/str.h"

double bm_element_f64(const void *data, bm_dtype dtype, int64_t i)
{
    switch (dtype) {
    case BM_F32: return (double)((const float *)data)[i];
    case BM_F64: return ((const double *)data)[i];
    case BM_F16: return (double)bm_f16_to_f32(((const uint16_t *)data)[i]);
    case BM_BF16: return (double)bm_bf16_to_f32(((const uint16_t *)data)[i]);
    case BM_I8: return ((const int8_t *)data)[i];
    case BM_U8: return ((const uint8_t *)data)[i];
    case BM_I16: return ((const int16_t *)data)[i];
    case BM_U16: return ((const uint16_t *)data)[i];
    case BM_I32: return ((const int32_t *)data)[i];
    case BM_U32: return ((const uint32_t *)data)[i];
    case BM_I64: return (double)((const int64_t *)data)[i];
    case BM_U64: return (double)((const uint64_t *)data)[i];
    default: return (double)NAN;
    }
}

size_t bm_element_text(char out[BM_ELEMENT_TEXT], const void *data, bm_dtype dtype, int64_t i)
{
    if (dtype == BM_U64)
        snprintf(out, BM_ELEMENT_TEXT, "%" PRIu64, ((const uint64_t *)data)[i]);
    else if (dtype == BM_I64)
        snprintf(out, BM_ELEMENT_TEXT, "%" PRId64, ((const int64_t *)data)[i]);
    else if (bm_dtype_is_float(dtype))
        bm_format_f64(out, BM_ELEMENT_TEXT, bm_element_f64(data, dtype, i),
                      dtype == BM_F64   ? 17
                      : dtype == BM_F32 ? 9
                                        : 5);
    else
        snprintf(out, BM_ELEMENT_TEXT, "%.0f", bm_element_f64(data, dtype, i));
    return strlen(out);
}
