#ifndef BM_IO_FORMATS_SAFETENSORS_PRIV_H
#define BM_IO_FORMATS_SAFETENSORS_PRIV_H

#include "io/formats/safetensors.h"

#define BM_SAFETENSORS_MOST_HEADER ((int64_t)100 << 20) /* as the format's own reader has it */
#define BM_SAFETENSORS_MOST_NAME 1024
#define BM_SAFETENSORS_META "__metadata__"

/* What the types are called in the file; NULL for what it has no name for. */
const char *bm_safetensors_type_name(bm_dtype t);

#endif
