/* Devices as found: looking at them makes no OpenCL object. */
#ifndef BM_CORE_DEVICE_DEVICE_H
#define BM_CORE_DEVICE_DEVICE_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum bm_device_type { BM_DEVICE_CPU, BM_DEVICE_GPU, BM_DEVICE_ACCELERATOR, BM_DEVICE_OTHER } bm_device_type;

/* What planning and kernels need to know of a device. It can be written by hand, so that a plan needs no device. */
typedef struct bm_limits {
    bm_device_type type;
    int64_t global_bytes;     /* CL_DEVICE_GLOBAL_MEM_SIZE */
    int64_t max_alloc_bytes;  /* CL_DEVICE_MAX_MEM_ALLOC_SIZE */
    int64_t local_bytes;      /* CL_DEVICE_LOCAL_MEM_SIZE */
    int64_t constant_bytes;
    int64_t align_bytes;      /* CL_DEVICE_MEM_BASE_ADDR_ALIGN, in bytes */
    int64_t max_work_group;   /* CL_DEVICE_MAX_WORK_GROUP_SIZE */
    int64_t max_work_item[3];
    int compute_units;
    int clock_mhz;
    int float_width;          /* CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT */
    int unified_memory;       /* shares the host's memory */
    int fp16, fp64;           /* cl_khr_fp16, cl_khr_fp64 */
    int compiler;             /* CL_DEVICE_COMPILER_AVAILABLE */
    int native_kernel;        /* CL_EXEC_NATIVE_KERNEL */
    int partition_counts;     /* CL_DEVICE_PARTITION_BY_COUNTS among its properties */
    int bf16_dot, i8_dot;     /* kernels run on this machine's CPU, and it has x86's vdpbf16ps, vpdpbusd; drivers do not say so */
} bm_limits;

/* Which form of a kernel runs: `cpu` (one work-item per work-group, explicit vectors) or `plain` (any device). */
typedef enum bm_form { BM_FORM_AUTO, BM_FORM_CPU, BM_FORM_PLAIN } bm_form;
/* The one that pays on a device of these limits: `cpu` on a CPU whose driver says that it has vectors of floats. One
 * that says 1 (Mesa's llvmpipe) deals work-items out to the lanes itself: explicit vectors gain nothing there, and
 * attention's cpu form takes it minutes to build. */
BM_API bm_form bm_limits_form(const bm_limits *l);

typedef struct bm_device bm_device; /* borrowed from its list */
typedef struct bm_device_list bm_device_list;

/* Every platform and device of the process' OpenCL loader, platforms in the loader's order; a platform without devices is
 * listed too. BM_ERR_NO_DEVICE when there is no loader or no platform, with the remedy. */
BM_API bm_status bm_device_list_create(bm_device_list **out);
BM_API void bm_device_list_destroy(bm_device_list *l);
BM_API int bm_device_list_platforms(const bm_device_list *l);
BM_API const char *bm_device_list_platform_name(const bm_device_list *l, int platform);
BM_API const char *bm_device_list_platform_version(const bm_device_list *l, int platform);
BM_API int bm_device_list_count(const bm_device_list *l); /* devices of all platforms */
BM_API const bm_device *bm_device_list_at(const bm_device_list *l, int i);

BM_API const char *bm_device_name(const bm_device *d);
BM_API const char *bm_device_vendor(const bm_device *d);
BM_API const char *bm_device_version(const bm_device *d);   /* "OpenCL 1.2 pocl ..." */
BM_API const char *bm_device_c_version(const bm_device *d);
BM_API const char *bm_device_driver(const bm_device *d);
/* Names this device and driver in file names and keys: 32 hex digits of a hash over platform, device and driver. */
BM_API bm_status bm_device_key(char out[33], const bm_device *d);
BM_API const char *bm_device_extensions(const bm_device *d);
BM_API const char *bm_device_platform_name(const bm_device *d);
BM_API const char *bm_device_short_name(const bm_device *d); /* "pocl:0": what --device takes */
BM_API int bm_device_platform(const bm_device *d);           /* index of its platform in the list */
BM_API const bm_limits *bm_device_limits(const bm_device *d);

/* Limits for planning without a device: an unnamed CPU or GPU with `global_bytes` of memory. */
BM_API bm_limits bm_limits_default(bm_device_type type, int64_t global_bytes);

/* SPEC: auto | cpu | gpu | fpga | all | NAME | any of these with ":N", joined by "+", where NAME is a platform's short name or
 * else part of a platform's, vendor's or device's name (case ignored) and "cpu/2" asks for equal sub-devices. N counts the
 * matches in the list's order; without it `all` means every device and any other word the best of its matches. `auto` is the
 * best that has a compiler: discrete GPUs, integrated ones, CPUs, accelerators; in each kind, lanes times clock.
 * Fills out[] with at most `most` devices and *n with their number. No match is BM_ERR_NO_DEVICE and lists what there is;
 * bad grammar is BM_ERR_USAGE. A sub-device request is BM_ERR_UNSUPPORTED until engines take them. */
BM_API bm_status bm_device_select(const bm_device **out, int *n, int most, const bm_device_list *l, const char *spec);

#ifdef __cplusplus
}
#endif
#endif
