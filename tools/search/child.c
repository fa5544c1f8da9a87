#include "tools/search/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "tools/out.h"
#include "tools/signals.h"

#define MOST_OUTPUT ((int64_t)256 << 20)

/* What a child says of its end. */
typedef struct report {
    int code;
    bm_status status;
    char text[1000];
} report;

static void redirect(int from, int to)
{
    while (dup2(from, to) < 0 && errno == EINTR) continue;
}

/* The child's life. It is in a group of its own, so that a key of the terminal reaches it through its parent alone. */
static _Noreturn void be_child(const bm_child *c, int log, int output, int end, long parent)
{
    report r = {0};
    setpgid(0, 0);
    redirect(log, STDERR_FILENO);
    redirect(c->keep_stdout ? output : log, STDOUT_FILENO);
    bm_signals_follow_parent(parent);
    r.code = bm_out_finish(c->work(c->user));
    const bm_error *e = bm_last_error();
    r.status = r.code ? e->status : BM_OK;
    snprintf(r.text, sizeof r.text, "%s", r.code ? e->text : "");
    ssize_t written = write(end, &r, sizeof r);
    _exit(written == (ssize_t)sizeof r ? r.code : 4);
}

/* Waits with an eye on signals, handing the first on. */
static int wait_for(pid_t pid, const bm_child *c)
{
    const struct timespec pause = {0, 20000000};
    int wait_status = 0, told = 0;
    for (;;) {
        pid_t got = waitpid(pid, &wait_status, WNOHANG);
        if (got == pid || (got < 0 && errno != EINTR)) return wait_status;
        if (bm_signals_stopped() && !told) {
            kill(pid, SIGTERM);
            told = 1;
        }
        if (c->waiting) c->waiting(c->user);
        nanosleep(&pause, NULL);
    }
}

static bm_status take_output(char **out, FILE *f)
{
    const int64_t bytes = fseek(f, 0, SEEK_END) ? -1 : (int64_t)ftell(f);
    if (bytes < 0 || bytes > MOST_OUTPUT) return bm_fail(BM_ERR_IO, "the output of a child process: too much of it");
    *out = bm_calloc((size_t)bytes + 1, 1);
    return *out ? bm_pread_all(fileno(f), *out, (size_t)bytes, 0, "the output of a child process") : BM_ERR_MEMORY;
}

static void tell_end(bm_child_end *end, int wait_status, const report *r, int told)
{
    end->code = WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
    end->status = told ? r->status : BM_OK;
    if (told) snprintf(end->text, sizeof end->text, "%s", r->text);
    else if (WIFSIGNALED(wait_status))
        snprintf(end->text, sizeof end->text, "ended by signal %d (%s)", WTERMSIG(wait_status), strsignal(WTERMSIG(wait_status)));
    else snprintf(end->text, sizeof end->text, "ended with exit code %d", end->code);
}

bm_status bm_child_run(bm_child_end *end, const bm_child *c)
{
    bm_status status = BM_ERR_IO;
    int pipes[2] = {-1, -1}, log = open(c->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    FILE *output = tmpfile();
    report r;
    memset(end, 0, sizeof *end);
    if (log < 0 || !output || pipe(pipes)) {
        status = bm_fail_errno(errno, log < 0 ? c->log : "a pipe", "open");
        goto done;
    }
    fflush(NULL);
    const long parent = (long)getpid();
    const pid_t pid = fork();
    if (pid == 0) be_child(c, log, fileno(output), pipes[1], parent);
    if (pid < 0) {
        status = bm_fail(BM_ERR_IO, "a child process cannot be started: %s", strerror(errno));
        goto done;
    }
    close(pipes[1]);
    pipes[1] = -1;
    const int wait_status = wait_for(pid, c);
    const int told = read(pipes[0], &r, sizeof r) == (ssize_t)sizeof r;
    tell_end(end, wait_status, &r, told);
    status = c->keep_stdout ? take_output(&end->output, output) : BM_OK;
done:
    for (int i = 0; i < 2; i++)
        if (pipes[i] >= 0) close(pipes[i]);
    if (log >= 0) close(log);
    if (output) fclose(output);
    return status;
}
