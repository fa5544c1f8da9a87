/* An OpenCL layer (CL/cl_layer.h) for tests on Oclgrind 21.10, whose check for uninitialised memory forgets a whole buffer when
 * the host writes to a part of it, and does not see fills. Writes and fills become writes of the whole buffer. */
#define CL_TARGET_OPENCL_VERSION 120
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS
#include <CL/cl.h>
#include <CL/cl_layer.h>

#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

static struct _cl_icd_dispatch table;
static const struct _cl_icd_dispatch *next;

/* Repeats `unit` bytes of `data` over [offset, offset + size) of the buffer. */
static cl_int write_whole(cl_command_queue q, cl_mem m, size_t offset, size_t size, const void *data, size_t unit)
{
    cl_mem whole = NULL;
    size_t origin = 0, bytes = 0;
    cl_int err = next->clGetMemObjectInfo(m, CL_MEM_ASSOCIATED_MEMOBJECT, sizeof whole, &whole, NULL);
    if (!err && whole) err = next->clGetMemObjectInfo(m, CL_MEM_OFFSET, sizeof origin, &origin, NULL);
    if (!whole) whole = m;
    if (!err) err = next->clGetMemObjectInfo(whole, CL_MEM_SIZE, sizeof bytes, &bytes, NULL);
    if (err) return err;
    if (origin + offset + size > bytes) return CL_INVALID_VALUE;
    char *copy = malloc(bytes);
    if (!copy) return CL_OUT_OF_HOST_MEMORY;
    err = next->clEnqueueReadBuffer(q, whole, CL_TRUE, 0, bytes, copy, 0, NULL, NULL);
    for (size_t i = 0; i < size; i += unit) memcpy(copy + origin + offset + i, data, unit);
    if (!err) err = next->clEnqueueWriteBuffer(q, whole, CL_TRUE, 0, bytes, copy, 0, NULL, NULL);
    free(copy);
    return err;
}

static cl_int CL_API_CALL write_buffer(cl_command_queue q, cl_mem m, cl_bool blocking, size_t offset, size_t size,
                                       const void *data, cl_uint n_wait, const cl_event *wait, cl_event *event)
{
    cl_int err = write_whole(q, m, offset, size, data, size);
    (void)blocking;
    return !err && event ? next->clEnqueueMarkerWithWaitList(q, n_wait, wait, event) : err;
}

static cl_int CL_API_CALL fill_buffer(cl_command_queue q, cl_mem m, const void *pattern, size_t unit, size_t offset,
                                      size_t size, cl_uint n_wait, const cl_event *wait, cl_event *event)
{
    cl_int err = write_whole(q, m, offset, size, pattern, unit);
    return !err && event ? next->clEnqueueMarkerWithWaitList(q, n_wait, wait, event) : err;
}

EXPORT CL_API_ENTRY cl_int CL_API_CALL clGetLayerInfo(cl_layer_info name, size_t size, void *value, size_t *size_out)
{
    static const cl_layer_api_version version = CL_LAYER_API_VERSION_100;
    if (name != CL_LAYER_API_VERSION) return CL_INVALID_VALUE;
    if (value && size < sizeof version) return CL_INVALID_VALUE;
    if (value) memcpy(value, &version, sizeof version);
    if (size_out) *size_out = sizeof version;
    return CL_SUCCESS;
}

EXPORT CL_API_ENTRY cl_int CL_API_CALL clInitLayer(cl_uint n, const struct _cl_icd_dispatch *target, cl_uint *n_out,
                                                   const struct _cl_icd_dispatch **out)
{
    if (!target || !n_out || !out || n < sizeof table / sizeof(void *)) return CL_INVALID_VALUE;
    next = target;
    table.clEnqueueWriteBuffer = write_buffer;
    table.clEnqueueFillBuffer = fill_buffer;
    *n_out = sizeof table / sizeof(void *);
    *out = &table;
    return CL_SUCCESS;
}
