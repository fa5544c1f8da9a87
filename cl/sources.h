/* Every kernel source of cl/, embedded at build; an engine is handed this table. */
#ifndef BM_CL_SOURCES_H
#define BM_CL_SOURCES_H

#include "core/base/source.h"
#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

extern BM_API const bm_source_table bm_cl_sources;

#ifdef __cplusplus
}
#endif
#endif
