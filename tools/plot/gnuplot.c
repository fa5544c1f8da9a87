#include "tools/plot/gnuplot.h"

#include <errno.h>
#include <math.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "tools/out.h"

extern char **environ;

#define MOST_PICTURE ((int64_t)1 << 30)
#define MOST_WORDS 400 /* of what gnuplot says */

bm_picture_kind bm_picture_kind_of(const char *path)
{
    const char *dot = strrchr(path, '.');
    if (dot && !strcmp(dot, ".png")) return BM_PICTURE_PNG;
    return dot && !strcmp(dot, ".svg") ? BM_PICTURE_SVG : BM_PICTURE_NONE;
}

/* In single quotes gnuplot expands nothing; one that is meant is written twice. */
void bm_gnuplot_quote(bm_str *script, const char *text)
{
    bm_str shown;
    bm_str_init(&shown);
    bm_str_add_shown(&shown, text, strlen(text));
    bm_str_add(script, "'");
    for (const char *p = bm_str_text(&shown); *p; p++) {
        if (*p == '\'') bm_str_add(script, "'");
        bm_str_add_bytes(script, p, 1);
    }
    bm_str_add(script, "'");
    bm_str_finish(&shown);
}

void bm_gnuplot_number(bm_str *script, double x)
{
    char text[40];
    bm_str_add(script, isfinite(x) ? bm_format_f64(text, sizeof text, x, 9) : "NaN");
}

/* The size and how it looks, before everything else. */
static void add_terminal(bm_str *out, bm_picture_kind kind, int width, int height)
{
    const char *png = "size %d,%d noenhanced font ',11' background '#ffffff'";
    if (kind == BM_PICTURE_SVG) {
        bm_str_addf(out, "set terminal svg size %d,%d noenhanced font 'sans-serif,13' background '#ffffff'\n", width, height);
    } else {
        bm_str_add(out, "if (strstrt(GPVAL_TERMINALS, 'pngcairo')) set terminal pngcairo ");
        bm_str_addf(out, png, width, height);
        bm_str_add(out, "; else set terminal png ");
        bm_str_addf(out, png, width, height);
        bm_str_add(out, "\n");
    }
    bm_str_add(out, "set encoding utf8\nset decimalsign '.'\n");
}

/* An unnamed file with this text, rewound. */
static bm_status open_scratch(FILE **out, const bm_str *text)
{
    *out = tmpfile();
    if (!*out) return bm_fail_errno(errno, "a temporary file", "create");
    if (text && (fwrite(bm_str_text(text), 1, text->length, *out) != text->length || fflush(*out)))
        return bm_fail_errno(errno, "a temporary file", "write");
    rewind(*out);
    return BM_OK;
}

/* The streams of the child are these three files; its wait status. */
static bm_status run(int *wait_status, FILE *const stream[3])
{
    char name[] = "gnuplot", dash[] = "-", *argv[] = {name, dash, NULL};
    posix_spawn_file_actions_t actions;
    pid_t pid;
    posix_spawn_file_actions_init(&actions);
    for (int i = 0; i < 3; i++) posix_spawn_file_actions_adddup2(&actions, fileno(stream[i]), i);
    int failed = posix_spawnp(&pid, name, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (!failed)
        while (waitpid(pid, wait_status, 0) < 0 && errno == EINTR) continue;
    if (failed == ENOENT || (!failed && WIFEXITED(*wait_status) && WEXITSTATUS(*wait_status) == 127))
        return bm_fail(BM_ERR_NOT_FOUND, "pictures are drawn by gnuplot, which is not installed: on Debian `apt install gnuplot-nox`, "
                                         "elsewhere the package gnuplot; --terminal draws without it");
    return failed ? bm_fail(BM_ERR_IO, "gnuplot could not be started: %s", strerror(failed)) : BM_OK;
}

static bm_status said(FILE *err, int wait_status)
{
    char words[MOST_WORDS + 1];
    rewind(err);
    words[fread(words, 1, MOST_WORDS, err)] = 0;
    const char *text = words + strspn(words, " \n");
    if (WIFSIGNALED(wait_status)) return bm_fail(BM_ERR_IO, "gnuplot was ended by signal %d", WTERMSIG(wait_status));
    return bm_fail(BM_ERR_IO, "gnuplot failed: %s", *text ? text : "it does not say why");
}

static bm_status take_picture(const char *path, FILE *f)
{
    bm_status status;
    char *data = NULL;
    const int64_t bytes = fseek(f, 0, SEEK_END) ? -1 : (int64_t)ftell(f);
    if (bytes <= 0 || bytes > MOST_PICTURE) return bm_fail(BM_ERR_IO, "%s: gnuplot drew nothing that could be kept", path);
    data = bm_alloc((size_t)bytes);
    status = data ? bm_pread_all(fileno(f), data, (size_t)bytes, 0, "gnuplot's picture") : BM_ERR_MEMORY;
    if (!status) status = bm_file_replace(path, data, (size_t)bytes);
    bm_free(data);
    return status;
}

bm_status bm_gnuplot_write(const char *path, const bm_str *script, int width, int height)
{
    bm_status status;
    int wait_status = 0;
    FILE *stream[3] = {NULL, NULL, NULL};
    bm_str all;
    bm_str_init(&all);
    add_terminal(&all, bm_picture_kind_of(path), width, height);
    bm_str_add_bytes(&all, bm_str_text(script), script->length);
    BM_GO(bm_str_status(script));
    BM_GO(bm_str_status(&all));
    for (int i = 0; i < 3; i++) BM_GO(open_scratch(&stream[i], i ? NULL : &all));
    BM_GO(run(&wait_status, stream));
    status = WIFEXITED(wait_status) && !WEXITSTATUS(wait_status) ? take_picture(path, stream[1]) : said(stream[2], wait_status);
done:
    for (int i = 0; i < 3; i++)
        if (stream[i]) fclose(stream[i]);
    bm_str_finish(&all);
    return status;
}
