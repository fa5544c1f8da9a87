#include "core/device/queue.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "core/base/checked.h"
#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/device/cl_api.h"
#include "core/device/engine_priv.h"

enum {
    RECENT = 4,    /* names of the last commands, for messages */
    KEPT = 256,    /* events kept for their times: thousands of live ones slow drivers down */
    HARVEST = KEPT / 2,
};

typedef struct profile {
    pthread_mutex_t lock; /* of all below */
    cl_event event[KEPT];
    const char *what[KEPT];
    cl_uint n_kept;
    bm_profile_row *rows;
    int n_rows, capacity;
    cl_int failed_err; /* the first command found to have failed, told at the next blocking point */
    const char *failed_what;
} profile;

struct bm_queue {
    bm_engine *engine;
    cl_command_queue cl;
    profile *profile; /* NULL: commands are not timed */
    atomic_uint n_commands;
    _Atomic(const char *) recent[RECENT];
};

struct bm_ticket {
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t passed;
    int pending;
    cl_command_queue finish; /* by who waits, or NULL */
    cl_int err;
    double passed_s;
    char after[160]; /* the commands before the point */
};

bm_status bm_queue_create(bm_queue **out, bm_engine *e, int timed)
{
    *out = NULL;
    bm_queue *q = bm_calloc(1, sizeof *q);
    if (!q) return BM_ERR_MEMORY;
    q->engine = e;
    bm_status status = BM_OK;
    if (timed) {
        q->profile = bm_calloc(1, sizeof *q->profile);
        BM_GO(q->profile ? BM_OK : BM_ERR_MEMORY);
        pthread_mutex_init(&q->profile->lock, NULL);
    }
    cl_int err = CL_SUCCESS;
    q->cl = bm_cl.CreateCommandQueue(e->context, e->device, timed ? CL_QUEUE_PROFILING_ENABLE : 0, &err);
    if (err) {
        q->cl = NULL;
        BM_GO(bm_fail_cl(bm_cl_status(err), err, "%s: no command queue: %s", e->name, bm_cl_error_name(err)));
    }
    *out = q;
    q = NULL;
done:
    bm_queue_destroy(q);
    return status;
}

void bm_queue_destroy(bm_queue *q)
{
    if (!q) return;
    if (q->cl) bm_cl.Finish(q->cl);
    if (q->profile) {
        for (cl_uint i = 0; i < q->profile->n_kept; i++) bm_cl.ReleaseEvent(q->profile->event[i]);
        pthread_mutex_destroy(&q->profile->lock);
        bm_free(q->profile->rows);
        bm_free(q->profile);
    }
    if (q->cl) bm_cl.ReleaseCommandQueue(q->cl);
    bm_free(q);
}

cl_command_queue bm_queue_cl(bm_queue *q) { return q->cl; }

static void note(bm_queue *q, const char *what) { atomic_store(&q->recent[atomic_fetch_add(&q->n_commands, 1) % RECENT], what); }

/* The names of the last commands, oldest first. */
static void recent_names(char *out, size_t most, bm_queue *q)
{
    unsigned n = atomic_load(&q->n_commands), first = n > RECENT ? n - RECENT : 0;
    size_t at = (size_t)snprintf(out, most, "%s", n == 0 ? "nothing" : first > 0 ? "..." : "");
    for (unsigned i = first; i < n && at < most; i++) {
        const char *what = atomic_load(&q->recent[i % RECENT]);
        at += (size_t)snprintf(out + at, most - at, "%s%s", i > 0 ? ", " : "", what ? what : "?");
    }
}

/* Which command it was is not known, only that it is not after those named. */
static bm_status fail_late(bm_queue *q, cl_int err, const char *where)
{
    char names[160];
    recent_names(names, sizeof names, q);
    return bm_fail_cl(bm_cl_status(err), err, "%s: a command failed (%s), seen at %s after: %s", q->engine->name,
                      bm_cl_error_name(err), where, names);
}

/* Profiling. Functions named locked_ are called with the profile's lock held. */

static bm_profile_row *locked_row(profile *p, const char *what)
{
    for (int i = 0; i < p->n_rows; i++)
        if (p->rows[i].what == what || !strcmp(p->rows[i].what, what)) return &p->rows[i];
    if (p->n_rows == p->capacity) {
        int capacity = p->capacity ? 2 * p->capacity : 32;
        bm_profile_row *grown = bm_realloc(p->rows, (size_t)capacity, sizeof *grown);
        if (!grown) return NULL;
        p->rows = grown;
        p->capacity = capacity;
    }
    p->rows[p->n_rows] = (bm_profile_row){.what = what};
    return &p->rows[p->n_rows++];
}

/* Adds the time of a completed command; its failure is remembered for the next blocking point. */
static bm_status locked_take_times(profile *p, cl_event event, const char *what)
{
    cl_int state = CL_COMPLETE;
    cl_ulong start = 0, end = 0;
    cl_int err = bm_cl.GetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof state, &state, NULL);
    if (!err && state < 0) err = state;
    if (!err) err = bm_cl.GetEventProfilingInfo(event, CL_PROFILING_COMMAND_START, sizeof start, &start, NULL);
    if (!err) err = bm_cl.GetEventProfilingInfo(event, CL_PROFILING_COMMAND_END, sizeof end, &end, NULL);
    if (err) {
        if (!p->failed_err) {
            p->failed_err = err;
            p->failed_what = what;
        }
        return BM_OK;
    }
    bm_profile_row *row = locked_row(p, what);
    if (!row) return BM_ERR_MEMORY;
    row->calls++;
    if (end > start) row->seconds += (double)(end - start) * 1e-9;
    return BM_OK;
}

/* Waits for the oldest n events and lets them go. */
static bm_status locked_harvest(profile *p, cl_uint n)
{
    bm_status status = BM_OK;
    if (n == 0) return BM_OK;
    bm_cl.WaitForEvents(n, p->event); /* what failed is told by the events themselves */
    for (cl_uint i = 0; i < n; i++) {
        bm_status one = locked_take_times(p, p->event[i], p->what[i]);
        if (!status) status = one;
        bm_cl.ReleaseEvent(p->event[i]);
    }
    p->n_kept -= n;
    memmove(p->event, p->event + n, p->n_kept * sizeof p->event[0]);
    memmove(p->what, p->what + n, p->n_kept * sizeof p->what[0]);
    return status;
}

static bm_status keep_event(profile *p, cl_event event, const char *what)
{
    pthread_mutex_lock(&p->lock);
    bm_status status = p->n_kept == KEPT ? locked_harvest(p, HARVEST) : BM_OK;
    p->event[p->n_kept] = event;
    p->what[p->n_kept++] = what;
    pthread_mutex_unlock(&p->lock);
    return status;
}

/* Takes all times, and tells of a command that failed. */
static bm_status settle_profile(bm_queue *q)
{
    profile *p = q->profile;
    if (!p) return BM_OK;
    pthread_mutex_lock(&p->lock);
    bm_status status = locked_harvest(p, p->n_kept);
    cl_int err = p->failed_err;
    const char *what = p->failed_what;
    p->failed_err = CL_SUCCESS;
    p->failed_what = NULL;
    pthread_mutex_unlock(&p->lock);
    if (err) return bm_fail_cl(bm_cl_status(err), err, "%s: %s failed: %s", q->engine->name, what, bm_cl_error_name(err));
    return status;
}

bm_status bm_queue_profile(bm_queue *q, const bm_profile_row **rows, int *n)
{
    *rows = NULL;
    *n = 0;
    if (!q->profile) return bm_fail(BM_ERR_USAGE, "commands are not timed: the engine was opened without profiling");
    BM_TRY(settle_profile(q));
    *rows = q->profile->rows;
    *n = q->profile->n_rows;
    return BM_OK;
}

void bm_queue_profile_reset(bm_queue *q)
{
    profile *p = q->profile;
    if (!p) return;
    pthread_mutex_lock(&p->lock);
    locked_harvest(p, p->n_kept);
    p->n_rows = 0;
    pthread_mutex_unlock(&p->lock);
}

/* What every command goes through after it was enqueued; `event` was asked for only when commands are timed. */
static bm_status enqueued(bm_queue *q, cl_int err, cl_event event, const char *what)
{
    if (err) return bm_fail_cl(bm_cl_status(err), err, "%s: %s: %s", q->engine->name, what, bm_cl_error_name(err));
    note(q, what);
    return q->profile ? keep_event(q->profile, event, what) : BM_OK;
}

static cl_event *if_timed(bm_queue *q, cl_event *event) { return q->profile ? event : NULL; }

static bm_status check_range(size_t *offset, size_t *bytes, int64_t from, int64_t n, const char *what)
{
    if (!bm_i64_to_size(offset, from) && !bm_i64_to_size(bytes, n)) return BM_OK;
    return bm_fail(BM_ERR_USAGE, "%s: %lld bytes at %lld", what, (long long)n, (long long)from);
}

bm_status bm_queue_launch(bm_queue *q, cl_kernel k, int dims, const size_t *global, const size_t *local, const char *what)
{
    cl_event event = NULL;
    cl_int err = bm_cl.EnqueueNDRangeKernel(q->cl, k, (cl_uint)dims, NULL, global, local, 0, NULL, if_timed(q, &event));
    return enqueued(q, err, event, what);
}

bm_status bm_queue_write(bm_queue *q, cl_mem m, int64_t offset, const void *data, int64_t bytes)
{
    size_t at, n;
    cl_event event = NULL;
    BM_TRY(check_range(&at, &n, offset, bytes, "write"));
    if (n == 0) return BM_OK;
    cl_int err = bm_cl.EnqueueWriteBuffer(q->cl, m, CL_FALSE, at, n, data, 0, NULL, if_timed(q, &event));
    return enqueued(q, err, event, "write");
}

bm_status bm_queue_copy(bm_queue *q, cl_mem dst, int64_t dst_offset, cl_mem src, int64_t src_offset, int64_t bytes)
{
    size_t to, from, n;
    cl_event event = NULL;
    BM_TRY(check_range(&to, &n, dst_offset, bytes, "copy"));
    BM_TRY(check_range(&from, &n, src_offset, bytes, "copy"));
    if (n == 0) return BM_OK;
    cl_int err = bm_cl.EnqueueCopyBuffer(q->cl, src, dst, from, to, n, 0, NULL, if_timed(q, &event));
    return enqueued(q, err, event, "copy");
}

bm_status bm_queue_fill(bm_queue *q, cl_mem m, int64_t offset, int64_t bytes, uint32_t pattern)
{
    size_t at, n;
    cl_event event = NULL;
    BM_TRY(check_range(&at, &n, offset, bytes, "fill"));
    if (at % sizeof pattern || n % sizeof pattern)
        return bm_fail(BM_ERR_USAGE, "fill: %zu bytes at %zu are not whole words of %zu", n, at, sizeof pattern);
    if (n == 0) return BM_OK;
    cl_int err = bm_cl.EnqueueFillBuffer(q->cl, m, &pattern, sizeof pattern, at, n, 0, NULL, if_timed(q, &event));
    return enqueued(q, err, event, "fill");
}

bm_status bm_queue_read(bm_queue *q, cl_mem m, int64_t offset, void *data, int64_t bytes)
{
    size_t at, n;
    cl_event event = NULL;
    BM_TRY(check_range(&at, &n, offset, bytes, "read"));
    if (n == 0) return BM_OK;
    if (bm_queue_host_works(q)) BM_TRY(bm_queue_finish(q));
    cl_int err = bm_cl.EnqueueReadBuffer(q->cl, m, CL_TRUE, at, n, data, 0, NULL, if_timed(q, &event));
    if (err) return fail_late(q, err, "a read");
    BM_TRY(enqueued(q, err, event, "read"));
    return settle_profile(q);
}

int bm_queue_flush_waits(const bm_queue *q)
{
    return !strcmp(q->engine->platform, "rusticl") && !strncmp(q->engine->driver, "22.", 3);
}

int bm_queue_host_works(const bm_queue *q)
{
    static const char name[] = "Intel(R) OpenCL";
    return !strncmp(q->engine->platform, name, sizeof name - 1) && q->engine->limits.type == BM_DEVICE_CPU;
}

bm_status bm_queue_flush(bm_queue *q)
{
    cl_int err = bm_queue_flush_waits(q) ? bm_cl.Finish(q->cl) : bm_cl.Flush(q->cl);
    return err ? fail_late(q, err, "a flush") : BM_OK;
}

bm_status bm_queue_finish(bm_queue *q)
{
    cl_int err = bm_cl.Finish(q->cl);
    bm_status status = settle_profile(q); /* names the command */
    if (status) return status;
    return err ? fail_late(q, err, "a finish") : BM_OK;
}

/* Tickets. */

bm_status bm_ticket_create(bm_ticket **out)
{
    *out = bm_calloc(1, sizeof **out);
    if (!*out) return BM_ERR_MEMORY;
    pthread_mutex_init(&(*out)->lock, NULL);
    pthread_cond_init(&(*out)->passed, NULL);
    return BM_OK;
}

static cl_int wait_passed(bm_ticket *t)
{
    pthread_mutex_lock(&t->lock);
    if (t->pending && t->finish) {
        pthread_mutex_unlock(&t->lock);
        bm_cl.Finish(t->finish); /* what failed is told by the callback */
        pthread_mutex_lock(&t->lock);
    }
    while (t->pending) pthread_cond_wait(&t->passed, &t->lock);
    cl_int err = t->err;
    t->err = CL_SUCCESS;
    pthread_mutex_unlock(&t->lock);
    return err;
}

void bm_ticket_destroy(bm_ticket *t)
{
    if (!t) return;
    wait_passed(t);
    pthread_cond_destroy(&t->passed);
    pthread_mutex_destroy(&t->lock);
    bm_free(t);
}

/* A driver calls this from a thread of its own. */
static void CL_CALLBACK on_passed(cl_event event, cl_int state, void *user)
{
    (void)event;
    bm_ticket *t = user;
    pthread_mutex_lock(&t->lock);
    t->pending = 0;
    t->err = state < 0 ? state : CL_SUCCESS;
    t->passed_s = bm_now_s();
    pthread_cond_broadcast(&t->passed);
    pthread_mutex_unlock(&t->lock);
}

/* Readies a ticket before its command is enqueued. */
static bm_status take_ticket(bm_queue *q, bm_ticket *t)
{
    pthread_mutex_lock(&t->lock);
    int taken = t->pending;
    t->pending = 1;
    t->finish = bm_queue_host_works(q) ? q->cl : NULL;
    t->err = CL_SUCCESS;
    pthread_mutex_unlock(&t->lock);
    return taken ? bm_fail(BM_ERR_USAGE, "a ticket marks a point that the queue has not passed yet") : BM_OK;
}

static void give_ticket_back(bm_ticket *t)
{
    pthread_mutex_lock(&t->lock);
    t->pending = 0;
    pthread_mutex_unlock(&t->lock);
}

/* Ties the ticket to the command's event, which is given away. On failure the command has completed, so that nothing still
 * writes to the caller's memory, and the ticket marks nothing. */
static bm_status tie_ticket(bm_queue *q, bm_ticket *t, cl_event event, const char *what, int timed)
{
    recent_names(t->after, sizeof t->after, q);
    cl_int err = bm_cl.SetEventCallback(event, CL_COMPLETE, on_passed, t);
    if (err) {
        bm_cl.WaitForEvents(1, &event);
        bm_cl.ReleaseEvent(event);
        give_ticket_back(t);
        return bm_fail_cl(bm_cl_status(err), err, "%s: %s: event callback: %s", q->engine->name, what, bm_cl_error_name(err));
    }
    bm_status status = BM_OK;
    if (timed) status = keep_event(q->profile, event, what);
    else bm_cl.ReleaseEvent(event);
    bm_status flushed = bm_queue_flush(q);
    if (!flushed) return status;
    bm_cl.Finish(q->cl);
    wait_passed(t);
    return flushed;
}

bm_status bm_queue_read_ticket(bm_queue *q, cl_mem m, int64_t offset, void *data, int64_t bytes, bm_ticket *t)
{
    size_t at, n;
    cl_event event = NULL;
    BM_TRY(check_range(&at, &n, offset, bytes, "read"));
    if (n == 0) return bm_queue_mark(q, t);
    BM_TRY(take_ticket(q, t));
    cl_int err = bm_cl.EnqueueReadBuffer(q->cl, m, CL_FALSE, at, n, data, 0, NULL, &event);
    if (err) {
        give_ticket_back(t);
        return bm_fail_cl(bm_cl_status(err), err, "%s: read: %s", q->engine->name, bm_cl_error_name(err));
    }
    note(q, "read");
    return tie_ticket(q, t, event, "read", q->profile != NULL);
}

bm_status bm_queue_mark(bm_queue *q, bm_ticket *t)
{
    cl_event event = NULL;
    BM_TRY(take_ticket(q, t));
    cl_int err = bm_cl.EnqueueMarkerWithWaitList(q->cl, 0, NULL, &event);
    if (err) {
        give_ticket_back(t);
        return bm_fail_cl(bm_cl_status(err), err, "%s: mark: %s", q->engine->name, bm_cl_error_name(err));
    }
    return tie_ticket(q, t, event, "mark", 0);
}

bm_status bm_ticket_wait(bm_ticket *t)
{
    cl_int err = wait_passed(t);
    if (!err) return BM_OK;
    return bm_fail_cl(bm_cl_status(err), err, "a command failed on the device (%s), after: %s", bm_cl_error_name(err), t->after);
}

int bm_ticket_done(const bm_ticket *t)
{
    bm_ticket *locked = (bm_ticket *)t; /* the lock changes, the ticket does not */
    pthread_mutex_lock(&locked->lock);
    int done = !locked->pending;
    pthread_mutex_unlock(&locked->lock);
    return done;
}

double bm_ticket_passed_s(const bm_ticket *t)
{
    bm_ticket *locked = (bm_ticket *)t;
    pthread_mutex_lock(&locked->lock);
    double s = locked->passed_s;
    pthread_mutex_unlock(&locked->lock);
    return s;
}
