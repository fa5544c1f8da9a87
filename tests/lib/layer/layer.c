/* An OpenCL layer (CL/cl_layer.h) that counts calls and objects, and makes chosen calls fail. The loader puts it between a
 * program and every driver when OPENCL_LAYERS holds its full path. For whole programs:
 *   BM_LAYER_REPORT=FILE          writes the counts at exit, as JSON
 *   BM_LAYER_FAIL=FUNCTION:N:CODE the N-th call of FUNCTION ("any" for all) returns CODE */
#define CL_TARGET_OPENCL_VERSION 120
#define CL_USE_DEPRECATED_OPENCL_1_0_APIS
#define CL_USE_DEPRECATED_OPENCL_1_1_APIS
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS
#include <CL/cl.h>
#include <CL/cl_layer.h>

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/layer/layer.h"

#define EXPORT __attribute__((visibility("default")))

#define FUNCTIONS(X)                                                                                                   \
    X(GetPlatformIDs) X(GetPlatformInfo) X(GetDeviceIDs) X(GetDeviceInfo) X(CreateSubDevices) X(CreateContext)         \
    X(CreateCommandQueue) X(CreateBuffer) X(CreateSubBuffer) X(CreateProgramWithSource) X(CreateProgramWithBinary)     \
    X(BuildProgram) X(GetProgramInfo) X(GetProgramBuildInfo) X(CreateKernel) X(SetKernelArg) X(GetKernelWorkGroupInfo) \
    X(EnqueueNDRangeKernel) X(EnqueueReadBuffer) X(EnqueueWriteBuffer) X(EnqueueCopyBuffer) X(EnqueueFillBuffer)       \
    X(EnqueueMapBuffer) X(EnqueueUnmapMemObject) X(EnqueueMarkerWithWaitList) X(SetEventCallback)                      \
    X(GetEventInfo) X(GetEventProfilingInfo) X(WaitForEvents) X(Flush) X(Finish)
#define REFERENCES(X)                                                                                                  \
    X(RetainContext) X(ReleaseContext) X(RetainCommandQueue) X(ReleaseCommandQueue) X(RetainMemObject)                 \
    X(ReleaseMemObject) X(RetainProgram) X(ReleaseProgram) X(RetainKernel) X(ReleaseKernel) X(RetainEvent)             \
    X(ReleaseEvent)

enum {
#define ID(name) id_##name,
    FUNCTIONS(ID) id_EventCallback, n_failable, /* the last one is no function of OpenCL's */
    id_before_references = n_failable - 1,
    REFERENCES(ID) n_functions
#undef ID
};

static const char *const names[] = {
#define NAME(name) [id_##name] = #name,
    FUNCTIONS(NAME) REFERENCES(NAME)[id_EventCallback] = "EventCallback",
#undef NAME
};

typedef enum kind { CONTEXT, QUEUE, BUFFER, PROGRAM, KERNEL, EVENT } kind;

typedef struct object {
    struct object *next;
    const void *handle;
    kind kind;
    int references;
    int64_t bytes;
} object;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of all that follows */
static int64_t calls[n_functions];
static layer_stats stats;
static object *objects[4096];
static struct {
    int id; /* -1: any */
    int64_t left; /* 0: off */
    int code, sticky, fired;
} failing;

static const cl_icd_dispatch *next;

/* Counts a call; the code it must fail with, or 0. */
static cl_int enter(int id)
{
    cl_int code = 0;
    pthread_mutex_lock(&lock);
    calls[id]++;
    if (id < n_failable) {
        stats.calls++;
        if (failing.left > 0 && (failing.id < 0 || failing.id == id)) {
            if (failing.left == 1) {
                failing.fired = 1;
                code = failing.code;
            }
            if (failing.left > 1 || !failing.sticky) failing.left--;
        }
    }
    pthread_mutex_unlock(&lock);
    return code;
}

static void count_blocking(int blocks)
{
    pthread_mutex_lock(&lock);
    stats.blocking += blocks != 0;
    pthread_mutex_unlock(&lock);
}

static int64_t *alive(kind k)
{
    switch (k) {
    case CONTEXT: return &stats.contexts;
    case QUEUE: return &stats.queues;
    case BUFFER: return &stats.buffers;
    case PROGRAM: return &stats.programs;
    case KERNEL: return &stats.kernels;
    default: return &stats.events;
    }
}

static object **find(const void *handle)
{
    object **at = &objects[((uintptr_t)handle >> 4) % (sizeof objects / sizeof objects[0])];
    while (*at && (*at)->handle != handle) at = &(*at)->next;
    return at;
}

static void made(kind k, const void *handle, int64_t bytes)
{
    if (!handle) return;
    object *o = malloc(sizeof *o);
    if (!o) abort();
    pthread_mutex_lock(&lock);
    object **at = find(handle);
    *o = (object){NULL, handle, k, 1, bytes};
    *at = o;
    ++*alive(k);
    stats.buffer_bytes += bytes;
    if (stats.buffer_bytes > stats.peak_bytes) stats.peak_bytes = stats.buffer_bytes;
    if (k == BUFFER && bytes > 0) stats.buffers_made++;
    if (k == PROGRAM) stats.programs_made++;
    if (k == KERNEL) stats.kernels_made++;
    pthread_mutex_unlock(&lock);
}

/* Before the driver is told, for a handle may be given out again at once. */
static void referred(const void *handle, int change)
{
    pthread_mutex_lock(&lock);
    object **at = find(handle), *o = *at;
    if (o) {
        o->references += change;
        if (o->references == 0) {
            *at = o->next;
            --*alive(o->kind);
            stats.buffer_bytes -= o->bytes;
            free(o);
        }
    }
    pthread_mutex_unlock(&lock);
}

/* The calls. INT: returns a code. MAKE: returns an object. COMMAND: may make an event. REFER: retains or releases. */
#define INT(name, params, args)                                                                                        \
    static cl_int CL_API_CALL call_##name params                                                                       \
    {                                                                                                                  \
        cl_int code = enter(id_##name);                                                                                \
        return code ? code : next->cl##name args;                                                                      \
    }
#define MAKE(type, kind, bytes, name, params, args)                                                                    \
    static type CL_API_CALL call_##name params                                                                         \
    {                                                                                                                  \
        cl_int code = enter(id_##name);                                                                                \
        type o = code ? NULL : next->cl##name args;                                                               \
        if (code && err) *err = code;                                                                                  \
        made(kind, o, (int64_t)(bytes));                                                                          \
        return o;                                                                                                      \
    }
#define COMMAND(blocks, name, params, args)                                                                            \
    static cl_int CL_API_CALL call_##name params                                                                       \
    {                                                                                                                  \
        cl_int code = enter(id_##name);                                                                                \
        count_blocking(blocks);                                                                                        \
        if (!code) code = next->cl##name args;                                                                         \
        if (!code && event) made(EVENT, *event, 0);                                                                    \
        return code;                                                                                                   \
    }
#define REFER(change, name, type)                                                                                      \
    static cl_int CL_API_CALL call_##name(type handle)                                                                 \
    {                                                                                                                  \
        enter(id_##name);                                                                                              \
        referred(handle, change);                                                                                      \
        return next->cl##name(handle);                                                                                 \
    }

INT(GetPlatformIDs, (cl_uint n, cl_platform_id *out, cl_uint *found), (n, out, found))
INT(GetPlatformInfo, (cl_platform_id p, cl_platform_info what, size_t n, void *out, size_t *got), (p, what, n, out, got))
INT(GetDeviceIDs, (cl_platform_id p, cl_device_type t, cl_uint n, cl_device_id *out, cl_uint *found), (p, t, n, out, found))
INT(GetDeviceInfo, (cl_device_id d, cl_device_info what, size_t n, void *out, size_t *got), (d, what, n, out, got))
INT(CreateSubDevices,
    (cl_device_id d, const cl_device_partition_property *how, cl_uint n, cl_device_id *out, cl_uint *found),
    (d, how, n, out, found))
INT(BuildProgram,
    (cl_program p, cl_uint n, const cl_device_id *d, const char *options, void(CL_CALLBACK *done)(cl_program, void *), void *user),
    (p, n, d, options, done, user))
INT(GetProgramInfo, (cl_program p, cl_program_info what, size_t n, void *out, size_t *got), (p, what, n, out, got))
INT(GetProgramBuildInfo, (cl_program p, cl_device_id d, cl_program_build_info what, size_t n, void *out, size_t *got),
    (p, d, what, n, out, got))
INT(SetKernelArg, (cl_kernel k, cl_uint i, size_t n, const void *value), (k, i, n, value))
INT(GetKernelWorkGroupInfo, (cl_kernel k, cl_device_id d, cl_kernel_work_group_info what, size_t n, void *out, size_t *got),
    (k, d, what, n, out, got))
INT(GetEventInfo, (cl_event e, cl_event_info what, size_t n, void *out, size_t *got), (e, what, n, out, got))
INT(GetEventProfilingInfo, (cl_event e, cl_profiling_info what, size_t n, void *out, size_t *got), (e, what, n, out, got))
INT(Flush, (cl_command_queue q), (q))

MAKE(cl_context, CONTEXT, 0, CreateContext,
     (const cl_context_properties *property, cl_uint n, const cl_device_id *d,
      void(CL_CALLBACK *notify)(const char *, const void *, size_t, void *), void *user, cl_int *err),
     (property, n, d, notify, user, err))
MAKE(cl_command_queue, QUEUE, 0, CreateCommandQueue,
     (cl_context c, cl_device_id d, cl_command_queue_properties property, cl_int *err), (c, d, property, err))
MAKE(cl_mem, BUFFER, bytes, CreateBuffer, (cl_context c, cl_mem_flags flags, size_t bytes, void *host, cl_int *err),
     (c, flags, bytes, host, err))
MAKE(cl_mem, BUFFER, 0, CreateSubBuffer,
     (cl_mem m, cl_mem_flags flags, cl_buffer_create_type type, const void *range, cl_int *err), (m, flags, type, range, err))
MAKE(cl_program, PROGRAM, 0, CreateProgramWithSource,
     (cl_context c, cl_uint n, const char **text, const size_t *bytes, cl_int *err), (c, n, text, bytes, err))
MAKE(cl_program, PROGRAM, 0, CreateProgramWithBinary,
     (cl_context c, cl_uint n, const cl_device_id *d, const size_t *bytes, const unsigned char **binary, cl_int *state,
      cl_int *err),
     (c, n, d, bytes, binary, state, err))
MAKE(cl_kernel, KERNEL, 0, CreateKernel, (cl_program p, const char *name, cl_int *err), (p, name, err))

COMMAND(0, EnqueueNDRangeKernel,
        (cl_command_queue q, cl_kernel k, cl_uint dims, const size_t *offset, const size_t *global, const size_t *local,
         cl_uint n, const cl_event *after, cl_event *event),
        (q, k, dims, offset, global, local, n, after, event))
COMMAND(blocks, EnqueueReadBuffer,
        (cl_command_queue q, cl_mem m, cl_bool blocks, size_t offset, size_t bytes, void *data, cl_uint n,
         const cl_event *after, cl_event *event),
        (q, m, blocks, offset, bytes, data, n, after, event))
COMMAND(blocks, EnqueueWriteBuffer,
        (cl_command_queue q, cl_mem m, cl_bool blocks, size_t offset, size_t bytes, const void *data, cl_uint n,
         const cl_event *after, cl_event *event),
        (q, m, blocks, offset, bytes, data, n, after, event))
COMMAND(0, EnqueueCopyBuffer,
        (cl_command_queue q, cl_mem from, cl_mem to, size_t from_offset, size_t to_offset, size_t bytes, cl_uint n,
         const cl_event *after, cl_event *event),
        (q, from, to, from_offset, to_offset, bytes, n, after, event))
COMMAND(0, EnqueueFillBuffer,
        (cl_command_queue q, cl_mem m, const void *pattern, size_t unit, size_t offset, size_t bytes, cl_uint n,
         const cl_event *after, cl_event *event),
        (q, m, pattern, unit, offset, bytes, n, after, event))
COMMAND(0, EnqueueUnmapMemObject,
        (cl_command_queue q, cl_mem m, void *mapped, cl_uint n, const cl_event *after, cl_event *event),
        (q, m, mapped, n, after, event))
COMMAND(0, EnqueueMarkerWithWaitList, (cl_command_queue q, cl_uint n, const cl_event *after, cl_event *event),
        (q, n, after, event))

REFER(1, RetainContext, cl_context)
REFER(-1, ReleaseContext, cl_context)
REFER(1, RetainCommandQueue, cl_command_queue)
REFER(-1, ReleaseCommandQueue, cl_command_queue)
REFER(1, RetainMemObject, cl_mem)
REFER(-1, ReleaseMemObject, cl_mem)
REFER(1, RetainProgram, cl_program)
REFER(-1, ReleaseProgram, cl_program)
REFER(1, RetainKernel, cl_kernel)
REFER(-1, ReleaseKernel, cl_kernel)
REFER(1, RetainEvent, cl_event)
REFER(-1, ReleaseEvent, cl_event)

static cl_int CL_API_CALL call_Finish(cl_command_queue q)
{
    cl_int code = enter(id_Finish);
    count_blocking(1);
    cl_int real = next->clFinish(q); /* a failed finish has waited all the same: memory of the caller is free again */
    return code ? code : real;
}

static cl_int CL_API_CALL call_WaitForEvents(cl_uint n, const cl_event *events)
{
    cl_int code = enter(id_WaitForEvents);
    count_blocking(1);
    cl_int real = next->clWaitForEvents(n, events);
    return code ? code : real;
}

static void *CL_API_CALL call_EnqueueMapBuffer(cl_command_queue q, cl_mem m, cl_bool blocks, cl_map_flags flags, size_t offset,
                                               size_t bytes, cl_uint n, const cl_event *after, cl_event *event, cl_int *err)
{
    cl_int code = enter(id_EnqueueMapBuffer);
    count_blocking((int)blocks);
    void *mapped = code ? NULL : next->clEnqueueMapBuffer(q, m, blocks, flags, offset, bytes, n, after, event, err);
    if (code && err) *err = code;
    if (mapped && event) made(EVENT, *event, 0);
    return mapped;
}

/* A callback that is told of a failure instead of what happened. */
typedef struct lie {
    void(CL_CALLBACK *callback)(cl_event, cl_int, void *);
    void *user;
    cl_int code;
} lie;

static void CL_CALLBACK tell_lie(cl_event event, cl_int state, void *user)
{
    (void)state;
    lie told = *(lie *)user;
    free(user);
    told.callback(event, told.code, told.user);
}

static cl_int CL_API_CALL call_SetEventCallback(cl_event e, cl_int state, void(CL_CALLBACK *callback)(cl_event, cl_int, void *),
                                                void *user)
{
    cl_int code = enter(id_SetEventCallback);
    if (code) return code;
    code = enter(id_EventCallback);
    if (!code) return next->clSetEventCallback(e, state, callback, user);
    lie *told = malloc(sizeof *told);
    if (!told) abort();
    *told = (lie){callback, user, code};
    return next->clSetEventCallback(e, state, tell_lie, told);
}

/* For the test process. */

static layer_stats get_stats(void)
{
    pthread_mutex_lock(&lock);
    layer_stats s = stats;
    pthread_mutex_unlock(&lock);
    return s;
}

static int id_of(const char *function)
{
    for (int i = 0; i < n_functions; i++)
        if (!strcmp(names[i], function)) return i;
    return -1;
}

static int64_t get_calls(const char *function)
{
    int id = id_of(function);
    pthread_mutex_lock(&lock);
    int64_t n = id < 0 ? -1 : calls[id];
    pthread_mutex_unlock(&lock);
    return n;
}

static void reset(void)
{
    pthread_mutex_lock(&lock);
    memset(calls, 0, sizeof calls);
    stats.calls = stats.buffers_made = stats.programs_made = stats.kernels_made = stats.blocking = 0;
    stats.peak_bytes = stats.buffer_bytes;
    pthread_mutex_unlock(&lock);
}

static int fail(const char *function, int64_t nth, int code, int sticky)
{
    int id = function ? id_of(function) : -1;
    if (function && (id < 0 || id >= n_failable)) return 0;
    pthread_mutex_lock(&lock);
    failing.id = id;
    failing.left = nth;
    failing.code = code;
    failing.sticky = sticky;
    failing.fired = 0;
    pthread_mutex_unlock(&lock);
    return 1;
}

static int fired(void)
{
    pthread_mutex_lock(&lock);
    int f = failing.fired;
    pthread_mutex_unlock(&lock);
    return f;
}

EXPORT extern const layer_api bm_layer;
const layer_api bm_layer = {get_stats, get_calls, reset, fail, fired};

/* For whole programs. */

static void read_environment(void)
{
    const char *text = getenv("BM_LAYER_FAIL");
    char function[64];
    long nth = 0;
    int code = 0;
    if (!text) return;
    if (sscanf(text, "%63[A-Za-z]:%ld:%d", function, &nth, &code) != 3 ||
        !fail(strcmp(function, "any") ? function : NULL, nth, code, 0)) {
        fprintf(stderr, "BM_LAYER_FAIL=%s is not FUNCTION:N:CODE\n", text);
        abort();
    }
}

__attribute__((destructor)) static void report(void)
{
    const char *path = getenv("BM_LAYER_REPORT");
    FILE *f = path && next ? fopen(path, "w") : NULL;
    if (!f) return;
    fprintf(f,
            "{\"buffers_made\": %" PRId64 ", \"peak_bytes\": %" PRId64 ", \"programs_made\": %" PRId64
            ", \"kernels_made\": %" PRId64 ", \"blocking\": %" PRId64 ", \"fired\": %d,\n \"alive\": {\"contexts\": %" PRId64
            ", \"queues\": %" PRId64 ", \"buffers\": %" PRId64 ", \"programs\": %" PRId64 ", \"kernels\": %" PRId64
            ", \"events\": %" PRId64 "},\n \"calls\": {",
            stats.buffers_made, stats.peak_bytes, stats.programs_made, stats.kernels_made, stats.blocking, failing.fired,
            stats.contexts, stats.queues, stats.buffers, stats.programs, stats.kernels, stats.events);
    for (int i = 0; i < n_functions; i++) fprintf(f, "%s\"%s\": %" PRId64, i ? ", " : "", names[i], calls[i]);
    fprintf(f, "}}\n");
    fclose(f);
}

/* The loader's side. */

EXPORT cl_int CL_API_CALL clGetLayerInfo(cl_layer_info what, size_t n, void *out, size_t *got)
{
    static const char name[] = "bm's counts and faults";
    static const cl_layer_api_version version = CL_LAYER_API_VERSION_100;
    const void *value = what == CL_LAYER_API_VERSION ? (const void *)&version : name;
    size_t bytes = what == CL_LAYER_API_VERSION ? sizeof version : sizeof name;
    if (what != CL_LAYER_API_VERSION && what != CL_LAYER_NAME) return CL_INVALID_VALUE;
    if (out && n < bytes) return CL_INVALID_VALUE;
    if (out) memcpy(out, value, bytes);
    if (got) *got = bytes;
    return CL_SUCCESS;
}

/* Entries left NULL go straight to the driver. */
static const cl_icd_dispatch table = {
#define ENTRY(name) .cl##name = call_##name,
    FUNCTIONS(ENTRY) REFERENCES(ENTRY)
#undef ENTRY
};

EXPORT cl_int CL_API_CALL clInitLayer(cl_uint n, const cl_icd_dispatch *target, cl_uint *entries,
                                      const cl_icd_dispatch **layer)
{
    if (!target || !entries || !layer) return CL_INVALID_VALUE;
    const cl_uint own = sizeof table / sizeof(void *);
    next = target;
    read_environment();
    *entries = n < own ? n : own;
    *layer = &table;
    return CL_SUCCESS;
}
