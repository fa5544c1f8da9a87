#include "core/device/cl_api_priv.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#if defined(__APPLE__)
#define OPENCL_LIBRARY "/System/Library/Frameworks/OpenCL.framework/OpenCL"
#define OPENCL_REMEDY "the OpenCL framework of macOS is missing"
#else
#define OPENCL_LIBRARY "libOpenCL.so.1"
#define OPENCL_REMEDY                                                                              \
    "install an OpenCL loader and a driver (Debian: ocl-icd-libopencl1 and, for the CPU, pocl-opencl-icd)"
#endif

bm_cl_table bm_cl;

static pthread_mutex_t load_lock = PTHREAD_MUTEX_INITIALIZER;
static int loaded;

/* dlsym gives an object pointer; POSIX lets it be stored as a function pointer. */
static int find(void *library, const char *name, void *slot)
{
    void *symbol = dlsym(library, name);
    memcpy(slot, &symbol, sizeof symbol);
    return symbol != NULL;
}

bm_status bm_cl_table_load(bm_cl_table *out, const char *library)
{
    memset(out, 0, sizeof *out);
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (!handle) return bm_fail(BM_ERR_NO_DEVICE, "OpenCL cannot be loaded (%s): %s", dlerror(), OPENCL_REMEDY);

    const char *missing = NULL;
#define LOAD(name)                                                                                 \
    if (!missing && !find(handle, "cl" #name, &out->name)) missing = "cl" #name;
    BM_CL_FUNCTIONS(LOAD)
#undef LOAD
    if (!missing) return BM_OK;

    memset(out, 0, sizeof *out);
    dlclose(handle);
    return bm_fail(BM_ERR_NO_DEVICE, "%s is not an OpenCL 1.2 loader, it has no %s: %s", library, missing, OPENCL_REMEDY);
}

bm_status bm_cl_load(void)
{
    pthread_mutex_lock(&load_lock);
    bm_status status = loaded ? BM_OK : bm_cl_table_load(&bm_cl, OPENCL_LIBRARY);
    if (!status && !loaded) {
        /* A loader finds its drivers and layers at the first call, not always under a lock of its own. What it found is
         * asked for again where it is wanted. */
        cl_uint n = 0;
        (void)bm_cl.GetPlatformIDs(0, NULL, &n);
        loaded = 1;
    }
    pthread_mutex_unlock(&load_lock);
    return status;
}

/* The codes of OpenCL 1.2 and of the ICD loader, in the header's order. */
#define ERROR_LIST(X)                                                                              \
    X(0, "CL_SUCCESS")                                                                             \
    X(-1, "CL_DEVICE_NOT_FOUND")                                                                   \
    X(-2, "CL_DEVICE_NOT_AVAILABLE")                                                               \
    X(-3, "CL_COMPILER_NOT_AVAILABLE")                                                             \
    X(-4, "CL_MEM_OBJECT_ALLOCATION_FAILURE")                                                      \
    X(-5, "CL_OUT_OF_RESOURCES")                                                                   \
    X(-6, "CL_OUT_OF_HOST_MEMORY")                                                                 \
    X(-7, "CL_PROFILING_INFO_NOT_AVAILABLE")                                                       \
    X(-8, "CL_MEM_COPY_OVERLAP")                                                                   \
    X(-9, "CL_IMAGE_FORMAT_MISMATCH")                                                              \
    X(-10, "CL_IMAGE_FORMAT_NOT_SUPPORTED")                                                        \
    X(-11, "CL_BUILD_PROGRAM_FAILURE")                                                             \
    X(-12, "CL_MAP_FAILURE")                                                                       \
    X(-13, "CL_MISALIGNED_SUB_BUFFER_OFFSET")                                                      \
    X(-14, "CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST")                                         \
    X(-15, "CL_COMPILE_PROGRAM_FAILURE")                                                           \
    X(-16, "CL_LINKER_NOT_AVAILABLE")                                                              \
    X(-17, "CL_LINK_PROGRAM_FAILURE")                                                              \
    X(-18, "CL_DEVICE_PARTITION_FAILED")                                                           \
    X(-19, "CL_KERNEL_ARG_INFO_NOT_AVAILABLE")                                                     \
    X(-30, "CL_INVALID_VALUE")                                                                     \
    X(-31, "CL_INVALID_DEVICE_TYPE")                                                               \
    X(-32, "CL_INVALID_PLATFORM")                                                                  \
    X(-33, "CL_INVALID_DEVICE")                                                                    \
    X(-34, "CL_INVALID_CONTEXT")                                                                   \
    X(-35, "CL_INVALID_QUEUE_PROPERTIES")                                                          \
    X(-36, "CL_INVALID_COMMAND_QUEUE")                                                             \
    X(-37, "CL_INVALID_HOST_PTR")                                                                  \
    X(-38, "CL_INVALID_MEM_OBJECT")                                                                \
    X(-39, "CL_INVALID_IMAGE_FORMAT_DESCRIPTOR")                                                   \
    X(-40, "CL_INVALID_IMAGE_SIZE")                                                                \
    X(-41, "CL_INVALID_SAMPLER")                                                                   \
    X(-42, "CL_INVALID_BINARY")                                                                    \
    X(-43, "CL_INVALID_BUILD_OPTIONS")                                                             \
    X(-44, "CL_INVALID_PROGRAM")                                                                   \
    X(-45, "CL_INVALID_PROGRAM_EXECUTABLE")                                                        \
    X(-46, "CL_INVALID_KERNEL_NAME")                                                               \
    X(-47, "CL_INVALID_KERNEL_DEFINITION")                                                         \
    X(-48, "CL_INVALID_KERNEL")                                                                    \
    X(-49, "CL_INVALID_ARG_INDEX")                                                                 \
    X(-50, "CL_INVALID_ARG_VALUE")                                                                 \
    X(-51, "CL_INVALID_ARG_SIZE")                                                                  \
    X(-52, "CL_INVALID_KERNEL_ARGS")                                                               \
    X(-53, "CL_INVALID_WORK_DIMENSION")                                                            \
    X(-54, "CL_INVALID_WORK_GROUP_SIZE")                                                           \
    X(-55, "CL_INVALID_WORK_ITEM_SIZE")                                                            \
    X(-56, "CL_INVALID_GLOBAL_OFFSET")                                                             \
    X(-57, "CL_INVALID_EVENT_WAIT_LIST")                                                           \
    X(-58, "CL_INVALID_EVENT")                                                                     \
    X(-59, "CL_INVALID_OPERATION")                                                                 \
    X(-60, "CL_INVALID_GL_OBJECT")                                                                 \
    X(-61, "CL_INVALID_BUFFER_SIZE")                                                               \
    X(-62, "CL_INVALID_MIP_LEVEL")                                                                 \
    X(-63, "CL_INVALID_GLOBAL_WORK_SIZE")                                                          \
    X(-64, "CL_INVALID_PROPERTY")                                                                  \
    X(-65, "CL_INVALID_IMAGE_DESCRIPTOR")                                                          \
    X(-66, "CL_INVALID_COMPILER_OPTIONS")                                                          \
    X(-67, "CL_INVALID_LINKER_OPTIONS")                                                            \
    X(-68, "CL_INVALID_DEVICE_PARTITION_COUNT")                                                    \
    X(-1001, "CL_PLATFORM_NOT_FOUND_KHR")

const char *bm_cl_error_name(cl_int err)
{
    static _Thread_local char unknown[32];
    switch (err) {
#define ERROR_CASE(code, name)                                                                     \
    case code: return name;
        ERROR_LIST(ERROR_CASE)
#undef ERROR_CASE
    default: snprintf(unknown, sizeof unknown, "CL error %d", (int)err); return unknown;
    }
}

bm_status bm_cl_status(cl_int err)
{
    switch (err) {
    case CL_SUCCESS: return BM_OK;
    case CL_MEM_OBJECT_ALLOCATION_FAILURE:
    case CL_OUT_OF_HOST_MEMORY:
    case CL_INVALID_BUFFER_SIZE: return BM_ERR_DEVICE_MEMORY;
    case CL_COMPILER_NOT_AVAILABLE:
    case CL_BUILD_PROGRAM_FAILURE:
    case CL_COMPILE_PROGRAM_FAILURE:
    case CL_LINK_PROGRAM_FAILURE:
    case CL_INVALID_BINARY:
    case CL_INVALID_BUILD_OPTIONS: return BM_ERR_BUILD;
    case CL_DEVICE_NOT_FOUND:
    case -1001: return BM_ERR_NO_DEVICE; /* CL_PLATFORM_NOT_FOUND_KHR, of an extension's header */
    default: return BM_ERR_DEVICE;
    }
}
