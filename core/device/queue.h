/* The in-order command queue of an engine. Events never leave queue.c; only finish, read and ticket_wait block. */
#ifndef BM_CORE_DEVICE_QUEUE_H
#define BM_CORE_DEVICE_QUEUE_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"
#include "core/device/cl_compat.h"
#include "core/device/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

/* For backends that enqueue by themselves (CLBlast). Borrowed. */
BM_API cl_command_queue bm_queue_cl(bm_queue *q);

/* Enqueues a kernel; `what` names the op in errors and profiles (static or as long as the queue). local may be NULL. */
BM_API bm_status bm_queue_launch(bm_queue *q, cl_kernel k, int dims, const size_t *global, const size_t *local,
                                 const char *what);
/* Enqueues; `data` must stay until the queue has passed it (see tickets). */
BM_API bm_status bm_queue_write(bm_queue *q, cl_mem m, int64_t offset, const void *data, int64_t bytes);
BM_API bm_status bm_queue_copy(bm_queue *q, cl_mem dst, int64_t dst_offset, cl_mem src, int64_t src_offset, int64_t bytes);
BM_API bm_status bm_queue_fill(bm_queue *q, cl_mem m, int64_t offset, int64_t bytes, uint32_t pattern);
/* Blocks until the bytes are in `data`. */
BM_API bm_status bm_queue_read(bm_queue *q, cl_mem m, int64_t offset, void *data, int64_t bytes);
/* Submits what was enqueued; does not block, unless flush_waits. */
BM_API bm_status bm_queue_flush(bm_queue *q);
/* Mesa 22's rusticl crashes now and then where commands are enqueued while flushed ones run: there a flush waits for them. */
BM_API int bm_queue_flush_waits(const bm_queue *q);
/* Intel's CPU runtime leaves one of its cores to the thread that finishes a queue, and blocking reads and clWaitForEvents do not help
 * it: there a read, and who waits for a ticket, finish the queue first. */
BM_API int bm_queue_host_works(const bm_queue *q);
/* Blocks until all is done. An asynchronous failure surfaces here (or in read and wait) and names the op. */
BM_API bm_status bm_queue_finish(bm_queue *q);

/* A ticket is reusable and marks a point of the queue. Waiting makes no blocking OpenCL call, unless flush_waits or host_works: an
 * event callback wakes the caller. One ticket marks one point at a time, of a queue that is there as long as it is waited for. */
typedef struct bm_ticket bm_ticket;
BM_API bm_status bm_ticket_create(bm_ticket **out);
BM_API void bm_ticket_destroy(bm_ticket *t); /* waits for the point it marks */
/* Enqueues a read that completes when the ticket does; `data` stays the caller's until then. */
BM_API bm_status bm_queue_read_ticket(bm_queue *q, cl_mem m, int64_t offset, void *data, int64_t bytes, bm_ticket *t);
/* Marks what was enqueued so far, and submits it. */
BM_API bm_status bm_queue_mark(bm_queue *q, bm_ticket *t);
BM_API bm_status bm_ticket_wait(bm_ticket *t); /* returns at once for a ticket that marks nothing */
BM_API int bm_ticket_done(const bm_ticket *t);
/* When the last point it marked was passed, on bm_now_s()'s clock; 0 before the first. */
BM_API double bm_ticket_passed_s(const bm_ticket *t);

/* With opts.profile: one row per `what`, in order of first use; times from event profiling, after a finish. */
typedef struct bm_profile_row {
    const char *what;
    int64_t calls;
    double seconds; /* between start and end on the device, summed */
} bm_profile_row;
BM_API bm_status bm_queue_profile(bm_queue *q, const bm_profile_row **rows, int *n); /* borrowed until the next call */
BM_API void bm_queue_profile_reset(bm_queue *q);

#ifdef __cplusplus
}
#endif
#endif
