#include "models/train/history.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "core/base/checked.h"
#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#define COLUMNS 5
static const struct {
    const char *name, *units;
} columns[COLUMNS] = {{"loss", "nats"}, {"val_loss", "nats"}, {"lr", NULL}, {"grad_norm", NULL}, {"tokens_per_s", "1/s"}};

struct bm_history {
    int64_t rows, capacity;
    uint64_t *step;
    double *value[COLUMNS];
    bm_ckpt_column column[COLUMNS];
};

bm_status bm_history_create(bm_history **out, int64_t rows)
{
    int64_t bytes;
    *out = NULL;
    if (bm_mul_i64(&bytes, rows, (COLUMNS + 1) * 8)) bytes = INT64_MAX;
    BM_TRY(bm_mem_check(bytes));
    bm_history *h = bm_calloc(1, sizeof *h);
    if (!h) return BM_ERR_MEMORY;
    h->capacity = rows;
    h->step = bm_calloc((size_t)rows + 1, sizeof *h->step);
    int failed = !h->step;
    for (int i = 0; i < COLUMNS; i++) {
        h->value[i] = bm_calloc((size_t)rows + 1, sizeof *h->value[i]);
        failed |= !h->value[i];
        h->column[i] = (bm_ckpt_column){columns[i].name, columns[i].units, h->value[i]};
    }
    if (failed) {
        bm_history_destroy(h);
        return BM_ERR_MEMORY;
    }
    *out = h;
    return BM_OK;
}

void bm_history_destroy(bm_history *h)
{
    if (!h) return;
    bm_free(h->step);
    for (int i = 0; i < COLUMNS; i++) bm_free(h->value[i]);
    bm_free(h);
}

bm_status bm_history_add(bm_history *h, const bm_metrics *m)
{
    if (h->rows == h->capacity) return bm_fail(BM_ERR_USAGE, "more than %lld rows of history", (long long)h->capacity);
    const double row[COLUMNS] = {m->loss, m->val_loss, m->lr, m->grad_norm, m->tokens_per_s};
    h->step[h->rows] = (uint64_t)m->step;
    for (int i = 0; i < COLUMNS; i++) h->value[i][h->rows] = row[i];
    h->rows++;
    return BM_OK;
}

void bm_history_view(bm_ckpt_history *out, const bm_history *h)
{
    *out = (bm_ckpt_history){.rows = h->rows, .step = h->step, .column = h->column, .columns = COLUMNS};
}

bm_status bm_history_load(bm_history *h, const bm_ckpt_history *from)
{
    if (from->rows > h->capacity)
        return bm_fail(BM_ERR_REFUSED, "the checkpoint's history has %lld rows, the run at most %lld", (long long)from->rows,
                       (long long)h->capacity);
    h->rows = from->rows;
    for (int64_t r = 0; r < h->rows; r++) h->step[r] = from->step[r];
    for (int i = 0; i < COLUMNS; i++) {
        for (int64_t r = 0; r < h->rows; r++) h->value[i][r] = NAN;
        for (int64_t j = 0; j < from->columns; j++)
            if (!strcmp(from->column[j].name, columns[i].name))
                for (int64_t r = 0; r < h->rows; r++) h->value[i][r] = from->column[j].value[r];
    }
    return BM_OK;
}

/* ---- metrics.jsonl ---- */

struct bm_metrics_file {
    int fd;
    char *path;
};

/* Bytes of the leading lines that are whole and whose step is at most `step`. */
static size_t kept_bytes(const char *text, size_t bytes, int64_t step)
{
    size_t kept = 0;
    while (kept < bytes) {
        const char *end = memchr(text + kept, '\n', bytes - kept);
        if (!end) break;
        json_error_t e;
        json_t *line = json_loadb(text + kept, (size_t)(end - text) - kept, 0, &e);
        json_t *at = line ? json_object_get(line, "step") : NULL;
        int keep = json_is_integer(at) && json_integer_value(at) <= step;
        json_decref(line);
        if (!keep) break;
        kept = (size_t)(end - text) + 1;
    }
    return kept;
}

bm_status bm_metrics_open(bm_metrics_file **out, const char *path, int64_t step)
{
    *out = NULL;
    bm_status status = BM_ERR_MEMORY;
    char *text = NULL;
    size_t bytes = 0, kept = 0;
    bm_metrics_file *f = bm_calloc(1, sizeof *f);
    if (!f) return BM_ERR_MEMORY;
    f->fd = -1;
    f->path = bm_strdup(path);
    if (!f->path) goto done;
    f->fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (f->fd >= 0 && flock(f->fd, LOCK_EX | LOCK_NB) &&
        errno == EWOULDBLOCK) { /* where there are no locks, none is kept */
        status = bm_fail(BM_ERR_REFUSED, "%s: another process is training this run", path);
        goto done;
    }
    if (f->fd >= 0 && step) {
        BM_GO(bm_file_read(&text, &bytes, path, (size_t)1 << 32));
        kept = kept_bytes(text, bytes, step);
    }
    if (f->fd < 0 || ftruncate(f->fd, (off_t)kept) || lseek(f->fd, 0, SEEK_END) < 0) {
        status = bm_fail_errno(errno, path, "cannot be written");
        goto done;
    }
    status = BM_OK;
done:
    bm_free(text);
    if (status) bm_metrics_close(f);
    else *out = f;
    return status;
}

void bm_metrics_close(bm_metrics_file *f)
{
    if (!f) return;
    if (f->fd >= 0) close(f->fd);
    bm_free(f->path);
    bm_free(f);
}

/* A number as JSON; what is not finite is null. */
static const char *number(char *buf, size_t bytes, double x)
{
    return isfinite(x) ? bm_format_f64(buf, bytes, x, 9) : "null";
}

char *bm_metrics_text(const bm_metrics *m, char *buf, size_t bytes)
{
    char t[7][40];
    snprintf(buf, bytes,
             "{\"step\": %lld, \"loss\": %s, \"val_loss\": %s, \"lr\": %s, \"grad_norm\": %s, \"tokens\": %lld, "
             "\"tokens_per_s\": %s, \"ms\": %s, \"mfu\": %s, \"mem_bytes\": %lld}",
             (long long)m->step, number(t[0], sizeof t[0], m->loss), number(t[1], sizeof t[1], m->val_loss),
             number(t[2], sizeof t[2], m->lr), number(t[3], sizeof t[3], m->grad_norm), (long long)m->tokens,
             number(t[4], sizeof t[4], m->tokens_per_s), number(t[5], sizeof t[5], m->ms),
             number(t[6], sizeof t[6], m->mfu), (long long)m->mem_bytes);
    return buf;
}

bm_status bm_metrics_write(bm_metrics_file *f, const bm_metrics *m)
{
    char line[512];
    size_t n = strlen(bm_metrics_text(m, line, sizeof line - 1));
    line[n++] = '\n';
    for (size_t at = 0; at < n;) {
        ssize_t w = write(f->fd, line + at, n - at);
        if (w < 0 && errno != EINTR) return bm_fail_errno(errno, f->path, "cannot be written");
        if (w > 0) at += (size_t)w;
    }
    return BM_OK;
}
