/* An OpenCL layer for running on Oclgrind 21.10, whose check of uninitialised reads follows what kernels store, but not what
 * the host does: a write or copy of part of a buffer makes it forget the rest, a fill is not seen, and a new buffer is taken
 * for the one that went from its address. Here writes, fills and copies become kernels that copy, and no buffer goes. */
#define CL_TARGET_OPENCL_VERSION 120
#define CL_USE_DEPRECATED_OPENCL_1_0_APIS
#define CL_USE_DEPRECATED_OPENCL_1_1_APIS
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS
#include <CL/cl.h>
#include <CL/cl_layer.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

static const cl_icd_dispatch *next;

static const char source[] =
    "__kernel void copy16(__global uchar *to, ulong to_offset, __global const uchar *from, ulong from_offset)\n"
    "{\n"
    "    size_t i = get_global_id(0);\n"
    "    vstore16(vload16(i, from + from_offset), i, to + to_offset);\n"
    "}\n"
    "__kernel void copy1(__global uchar *to, ulong to_offset, __global const uchar *from, ulong from_offset)\n"
    "{\n"
    "    size_t i = get_global_id(0);\n"
    "    to[to_offset + i] = from[from_offset + i];\n"
    "}\n";

/* One program per context that is alive. */
enum { CONTEXTS = 64 };
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    cl_context context;
    cl_program program;
} built[CONTEXTS];

static void must(int right, const char *what)
{
    if (right) return;
    fprintf(stderr, "Oclgrind layer: %s failed\n", what);
    abort();
}

static cl_program program_of(cl_context c)
{
    int free_at = -1;
    for (int i = 0; i < CONTEXTS; i++) {
        if (built[i].context == c) return built[i].program;
        if (!built[i].context && free_at < 0) free_at = i;
    }
    must(free_at >= 0, "keeping one more context");
    const char *text = source;
    cl_int err = CL_SUCCESS;
    cl_program p = next->clCreateProgramWithSource(c, 1, &text, NULL, &err);
    must(!err && !next->clBuildProgram(p, 0, NULL, "", NULL, NULL), "building");
    built[free_at].context = c;
    built[free_at].program = p;
    return p;
}

static cl_context context_of(cl_command_queue q)
{
    cl_context c = NULL;
    must(!next->clGetCommandQueueInfo(q, CL_QUEUE_CONTEXT, sizeof c, &c, NULL), "asking a queue for its context");
    return c;
}

typedef struct place {
    cl_mem mem;
    cl_ulong offset;
} place;

static cl_int run(cl_command_queue q, const char *name, place to, place from, size_t items, cl_uint n, const cl_event *after,
                  cl_event *event)
{
    cl_int err = CL_SUCCESS;
    const size_t one = 1;
    pthread_mutex_lock(&lock);
    cl_kernel k = next->clCreateKernel(program_of(context_of(q)), name, &err);
    pthread_mutex_unlock(&lock);
    must(!err, "making a kernel");
    err = next->clSetKernelArg(k, 0, sizeof to.mem, &to.mem);
    if (!err) err = next->clSetKernelArg(k, 1, sizeof to.offset, &to.offset);
    if (!err) err = next->clSetKernelArg(k, 2, sizeof from.mem, &from.mem);
    if (!err) err = next->clSetKernelArg(k, 3, sizeof from.offset, &from.offset);
    if (!err) err = next->clEnqueueNDRangeKernel(q, k, 1, NULL, &items, &one, n, after, event);
    next->clReleaseKernel(k);
    return err;
}

/* Copies by 16 bytes, then the rest; the event is that of the last part, which an in-order queue runs last. */
static cl_int copy(cl_command_queue q, place to, place from, size_t bytes, cl_uint n, const cl_event *after, cl_event *event)
{
    const size_t wide = bytes / 16, rest = bytes % 16;
    cl_int err = wide ? run(q, "copy16", to, from, wide, n, after, rest ? NULL : event) : CL_SUCCESS;
    if (err || !rest) return err;
    to.offset += wide * 16;
    from.offset += wide * 16;
    return run(q, "copy1", to, from, rest, n, after, event);
}

/* From the host's memory, which is the caller's again when this returns. */
static cl_int copy_from_host(cl_command_queue q, cl_mem m, size_t offset, size_t bytes, const void *data, cl_uint n,
                             const cl_event *after, cl_event *event)
{
    cl_int err = CL_SUCCESS;
    cl_mem staged = next->clCreateBuffer(context_of(q), CL_MEM_READ_WRITE | CL_MEM_COPY_HOST_PTR, bytes, (void *)data, &err);
    if (err) return err;
    err = copy(q, (place){m, offset}, (place){staged, 0}, bytes, n, after, event);
    cl_int finished = next->clFinish(q);
        return err ? err : finished;
}

static size_t bytes_of(cl_mem m)
{
    size_t bytes = 0;
    return next->clGetMemObjectInfo(m, CL_MEM_SIZE, sizeof bytes, &bytes, NULL) ? 0 : bytes;
}

/* What is not a sound request goes to Oclgrind, which says what is wrong with it. */
static int sound(cl_mem m, size_t offset, size_t bytes) { return bytes > 0 && offset <= bytes_of(m) && bytes <= bytes_of(m) - offset; }

static cl_int CL_API_CALL write_buffer(cl_command_queue q, cl_mem m, cl_bool blocks, size_t offset, size_t bytes,
                                       const void *data, cl_uint n, const cl_event *after, cl_event *event)
{
    if (!data || !sound(m, offset, bytes)) return next->clEnqueueWriteBuffer(q, m, blocks, offset, bytes, data, n, after, event);
    return copy_from_host(q, m, offset, bytes, data, n, after, event);
}

static cl_int CL_API_CALL fill_buffer(cl_command_queue q, cl_mem m, const void *pattern, size_t unit, size_t offset,
                                      size_t bytes, cl_uint n, const cl_event *after, cl_event *event)
{
    if (!pattern || unit == 0 || bytes % unit || offset % unit || !sound(m, offset, bytes))
        return next->clEnqueueFillBuffer(q, m, pattern, unit, offset, bytes, n, after, event);
    char *data = malloc(bytes);
    if (!data) return CL_OUT_OF_HOST_MEMORY;
    for (size_t i = 0; i < bytes; i += unit) memcpy(data + i, pattern, unit);
    cl_int err = copy_from_host(q, m, offset, bytes, data, n, after, event);
    free(data);
    return err;
}

static cl_int CL_API_CALL copy_buffer(cl_command_queue q, cl_mem from, cl_mem to, size_t from_offset, size_t to_offset,
                                      size_t bytes, cl_uint n, const cl_event *after, cl_event *event)
{
    int overlap = from == to && from_offset < to_offset + bytes && to_offset < from_offset + bytes;
    if (overlap || !sound(from, from_offset, bytes) || !sound(to, to_offset, bytes))
        return next->clEnqueueCopyBuffer(q, from, to, from_offset, to_offset, bytes, n, after, event);
    return copy(q, (place){to, to_offset}, (place){from, from_offset}, bytes, n, after, event);
}

/* Buffers stay: what Oclgrind keeps of one that went is taken for that of the next at its address, of whatever size. */
static cl_int CL_API_CALL release_mem(cl_mem m)
{
    (void)m;
    return CL_SUCCESS;
}

/* A later context may have the address of this one. */
static cl_int CL_API_CALL release_context(cl_context c)
{
    pthread_mutex_lock(&lock);
    for (int i = 0; i < CONTEXTS; i++) {
        if (built[i].context != c) continue;
        next->clReleaseProgram(built[i].program);
        built[i].context = NULL;
    }
    pthread_mutex_unlock(&lock);
    return next->clReleaseContext(c);
}

EXPORT cl_int CL_API_CALL clGetLayerInfo(cl_layer_info what, size_t n, void *out, size_t *got)
{
    static const char name[] = "bm's copies for Oclgrind";
    static const cl_layer_api_version version = CL_LAYER_API_VERSION_100;
    const void *value = what == CL_LAYER_API_VERSION ? (const void *)&version : name;
    size_t bytes = what == CL_LAYER_API_VERSION ? sizeof version : sizeof name;
    if (what != CL_LAYER_API_VERSION && what != CL_LAYER_NAME) return CL_INVALID_VALUE;
    if (out && n < bytes) return CL_INVALID_VALUE;
    if (out) memcpy(out, value, bytes);
    if (got) *got = bytes;
    return CL_SUCCESS;
}

/* Entries left NULL go straight on. */
static const cl_icd_dispatch table = {
    .clEnqueueWriteBuffer = write_buffer,
    .clEnqueueFillBuffer = fill_buffer,
    .clEnqueueCopyBuffer = copy_buffer,
    .clReleaseMemObject = release_mem,
    .clReleaseContext = release_context,
};

EXPORT cl_int CL_API_CALL clInitLayer(cl_uint n, const cl_icd_dispatch *target, cl_uint *entries,
                                      const cl_icd_dispatch **layer)
{
    if (!target || !entries || !layer) return CL_INVALID_VALUE;
    const cl_uint own = sizeof table / sizeof(void *);
    next = target;
    *entries = n < own ? n : own;
    *layer = &table;
    return CL_SUCCESS;
}
