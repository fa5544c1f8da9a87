#include "tools/text_input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "tools/out.h"
#include "tools/signals.h"

#define PIECE_BYTES ((size_t)256 << 10)
#define REPORT_EVERY_S 0.2

typedef struct source {
    const char *path;
    FILE *copy; /* of what cannot be read again, or NULL */
    int64_t bytes;
} source;

struct bm_text_inputs {
    source *sources;
    int count, more_than_once;
    unsigned char *piece;
    int64_t done, total; /* of all texts in this round; total is -1 when it is not known */
    double shown;
};

bm_status bm_text_inputs_create(bm_text_inputs **out, char *const *paths, int count, int more_than_once)
{
    int dashes = 0;
    bm_text_inputs *in = bm_calloc(1, sizeof *in);
    *out = NULL;
    if (!in) return BM_ERR_MEMORY;
    in->sources = bm_calloc((size_t)count, sizeof *in->sources);
    in->piece = bm_alloc(PIECE_BYTES);
    if (!in->sources || !in->piece) {
        bm_text_inputs_destroy(in);
        return BM_ERR_MEMORY;
    }
    in->count = count;
    in->more_than_once = more_than_once;
    for (int i = 0; i < count; i++) {
        in->sources[i].path = paths[i];
        dashes += strcmp(paths[i], "-") == 0;
    }
    if (dashes > 1) {
        bm_text_inputs_destroy(in);
        return bm_fail(BM_ERR_USAGE, "standard input (-) can be only one of the texts");
    }
    *out = in;
    return BM_OK;
}

void bm_text_inputs_destroy(bm_text_inputs *in)
{
    if (!in) return;
    for (int i = 0; i < in->count; i++) {
        if (in->sources[i].copy) fclose(in->sources[i].copy);
    }
    bm_free(in->sources);
    bm_free(in->piece);
    bm_free(in);
}

int bm_text_inputs_count(const bm_text_inputs *in) { return in->count; }
int64_t bm_text_inputs_bytes(const bm_text_inputs *in, int i) { return in->sources[i].bytes; }

const char *bm_text_inputs_name(const bm_text_inputs *in, int i)
{
    return strcmp(in->sources[i].path, "-") == 0 ? "standard input" : in->sources[i].path;
}

/* What all texts have together, when each is a regular file. */
static void start_round(bm_text_inputs *in)
{
    in->done = in->total = 0;
    in->shown = bm_now_s();
    for (int i = 0; i < in->count; i++) {
        struct stat st;
        if (stat(in->sources[i].path, &st) != 0 || !S_ISREG(st.st_mode)) {
            in->total = -1;
            return;
        }
        in->total += st.st_size;
    }
}

static void show(bm_text_inputs *in, const char *what)
{
    char line[160], done[BM_OUT_NUMBER], total[BM_OUT_NUMBER];
    double now = bm_now_s();
    if (now - in->shown < REPORT_EVERY_S) return;
    in->shown = now;
    bm_out_bytes(done, in->done);
    if (in->total > 0)
        snprintf(line, sizeof line, "%s  %s of %s  %d %%", what, done, bm_out_bytes(total, in->total),
                 (int)(100.0 * (double)in->done / (double)in->total));
    else snprintf(line, sizeof line, "%s  %s", what, done);
    bm_out_progress(line);
}

static bm_status open_source(int *fd, const source *s, const char *name)
{
    struct stat st;
    if (s->copy) {
        *fd = fileno(s->copy);
        return lseek(*fd, 0, SEEK_SET) < 0 ? bm_fail_errno(errno, name, "seek in its copy") : BM_OK;
    }
    *fd = strcmp(s->path, "-") == 0 ? STDIN_FILENO : open(s->path, O_RDONLY | O_CLOEXEC);
    if (*fd < 0) return bm_fail_errno(errno, name, "open");
    if (fstat(*fd, &st) == 0 && S_ISDIR(st.st_mode)) {
        close(*fd);
        return bm_fail(BM_ERR_IO, "%s: is a folder, not a text", name);
    }
    return BM_OK;
}

/* The file that keeps what is read from fd, where that is needed. */
static bm_status make_copy(FILE **copy, const bm_text_inputs *in, int fd, const char *name)
{
    struct stat st;
    *copy = NULL;
    if (!in->more_than_once || (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))) return BM_OK;
    *copy = tmpfile();
    return *copy ? BM_OK : bm_fail_errno(errno, name, "make a temporary copy");
}

static bm_status read_all(bm_text_inputs *in, source *s, int fd, FILE *copy, const char *what, bm_text_take take, void *user)
{
    const char *name = strcmp(s->path, "-") == 0 ? "standard input" : s->path;
    for (;;) {
        ssize_t n = read(fd, in->piece, PIECE_BYTES);
        if (bm_signals_stopped()) return bm_fail(BM_ERR_STOPPED, "stopped; nothing was written");
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return bm_fail_errno(errno, name, "read");
        if (n == 0) break;
        if (copy && fwrite(in->piece, 1, (size_t)n, copy) != (size_t)n) return bm_fail_errno(errno, name, "make a temporary copy");
        BM_TRY(take(user, in->piece, (size_t)n));
        s->bytes += n;
        in->done += n;
        show(in, what);
    }
    if (copy && fflush(copy) != 0) return bm_fail_errno(errno, name, "make a temporary copy");
    return s->bytes ? BM_OK : bm_fail(BM_ERR_CONFIG, "%s: the text is empty", name);
}

bm_status bm_text_inputs_read(bm_text_inputs *in, int i, const char *what, bm_text_take take, void *user)
{
    source *s = &in->sources[i];
    FILE *copy = NULL;
    int fd;
    bm_status status;
    if (i == 0) start_round(in);
    s->bytes = 0;
    BM_TRY(open_source(&fd, s, bm_text_inputs_name(in, i)));
    status = s->copy ? BM_OK : make_copy(&copy, in, fd, bm_text_inputs_name(in, i));
    if (!status) status = read_all(in, s, fd, copy, what, take, user);
    if (fd != STDIN_FILENO && !s->copy) close(fd);
    if (copy) s->copy = copy;
    return status;
}
