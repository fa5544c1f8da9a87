/* The OpenCL headers at version 1.2, and the newer names that bm asks devices about. */
#ifndef BM_CORE_DEVICE_CL_COMPAT_H
#define BM_CORE_DEVICE_CL_COMPAT_H

#ifndef CL_TARGET_OPENCL_VERSION
#define CL_TARGET_OPENCL_VERSION 120
#endif
#ifndef CL_USE_DEPRECATED_OPENCL_1_2_APIS
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS
#endif
#if defined(__APPLE__)
#include <OpenCL/cl.h>
#else
#include <CL/cl.h>
#endif

#endif
