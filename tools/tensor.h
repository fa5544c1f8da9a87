/* Tensor elements as numbers and text, for `cat` and `stats`. */
#ifndef BM_TOOLS_TENSOR_H
#define BM_TOOLS_TENSOR_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/dtype.h"

/* Element i of an array, as a double (64-bit integers beyond 2^53 are rounded). */
double bm_element_f64(const void *data, bm_dtype dtype, int64_t i);
/* Element i as text that reads back to the same value, whatever the locale: "nan", "inf", "-0.125", "42". Returns its
 * length. */
enum { BM_ELEMENT_TEXT = 40 };
size_t bm_element_text(char out[BM_ELEMENT_TEXT], const void *data, bm_dtype dtype, int64_t i);

#endif
