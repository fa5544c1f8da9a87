/* OpenCL, loaded when first needed: no bm library or program links to libOpenCL, so that commands which need no device
 * run without it. Every call of bm goes through the table `bm_cl`, filled by bm_cl_load(). */
#ifndef BM_CORE_DEVICE_CL_API_H
#define BM_CORE_DEVICE_CL_API_H

#include "core/base/status.h"
#include "core/device/cl_compat.h"

#ifdef __cplusplus
extern "C" {
#endif

/* X(name without "cl"): OpenCL 1.2 only. */
#define BM_CL_FUNCTIONS(X)                                                                         \
    X(GetPlatformIDs) X(GetPlatformInfo) X(GetDeviceIDs) X(GetDeviceInfo)                          \
    X(CreateSubDevices) X(ReleaseDevice)                                                           \
    X(CreateContext) X(ReleaseContext) X(CreateCommandQueue) X(ReleaseCommandQueue)                \
    X(CreateBuffer) X(CreateSubBuffer) X(ReleaseMemObject) X(GetMemObjectInfo)                                       \
    X(CreateProgramWithSource) X(CreateProgramWithBinary) X(BuildProgram) X(GetProgramInfo)        \
    X(GetProgramBuildInfo) X(ReleaseProgram)                                                       \
    X(CreateKernel) X(SetKernelArg) X(GetKernelWorkGroupInfo) X(ReleaseKernel)                     \
    X(EnqueueNDRangeKernel) X(EnqueueReadBuffer) X(EnqueueWriteBuffer) X(EnqueueCopyBuffer)        \
    X(EnqueueFillBuffer) X(EnqueueMapBuffer) X(EnqueueUnmapMemObject) X(EnqueueMarkerWithWaitList) \
    X(SetEventCallback) X(GetEventInfo) X(GetEventProfilingInfo) X(WaitForEvents) X(ReleaseEvent)  \
    X(Flush) X(Finish)

typedef struct bm_cl_table {
#define BM_CL_MEMBER(name) __typeof__(cl##name) *name;
    BM_CL_FUNCTIONS(BM_CL_MEMBER)
#undef BM_CL_MEMBER
} bm_cl_table;

extern BM_API bm_cl_table bm_cl;

/* Loads libOpenCL.so.1 (macOS: the framework) once per process and has it find its drivers; safe from any thread.
 * BM_ERR_NO_DEVICE with the remedy (which package to install) when there is none. */
BM_API bm_status bm_cl_load(void);
/* "CL_OUT_OF_RESOURCES" for -5, ... ; "CL error -9999" for unknown ones (static or thread-local text). */
BM_API const char *bm_cl_error_name(cl_int err);
/* The bm_status of an OpenCL error: memory errors are BM_ERR_DEVICE_MEMORY, build errors BM_ERR_BUILD, others BM_ERR_DEVICE. */
BM_API bm_status bm_cl_status(cl_int err);

#ifdef __cplusplus
}
#endif
#endif
