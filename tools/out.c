#include "tools/out.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "core/base/file.h"
#include "io/text/utf8.h"
#include "tools/signals.h"

static int progress_shown;

static void end_progress(void)
{
    if (progress_shown) fputs("\r\033[K", stderr);
    progress_shown = 0;
}

static void print_line(const char *before, const char *text, const char *after)
{
    bm_str s;
    bm_str_init(&s);
    bm_str_add_shown(&s, text, strlen(text));
    end_progress();
    fprintf(stderr, "bmtool%s: %s%s\n", before, bm_str_status(&s) ? text : bm_str_text(&s), after);
    bm_str_finish(&s);
}

int bm_out_error(bm_status s)
{
    if (s == BM_OK) return 0;
    print_line("", bm_error_text(s), "");
    const int code = s == BM_ERR_STOPPED ? bm_signals_exit_code() : 0;
    return code ? code : bm_status_exit_code(s);
}

int bm_out_usage(const bm_cmd *cmd, const char *fmt, ...)
{
    char text[1000], before[64], after[96];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    snprintf(before, sizeof before, " %s", cmd->name);
    snprintf(after, sizeof after, " (bmtool %s --help)", cmd->name);
    print_line(before, text, after);
    return bm_status_exit_code(BM_ERR_USAGE);
}

void bm_out_note(const char *fmt, ...)
{
    char text[1000];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    print_line("", text, "");
}

int bm_out_help(const bm_cmd *cmd)
{
    printf("bmtool %s: %s\n\n%s", cmd->name, cmd->summary, cmd->help);
    return 0;
}

/* "building kernels: attention (12 s)": how long the program has prepared so far, once that is a second or more. */
static void show_work(const char *line)
{
    static double start_s;
    char text[200];
    if (start_s == 0) start_s = bm_now_s();
    double s = bm_now_s() - start_s;
    if (s < 1) snprintf(text, sizeof text, "%s", line);
    else snprintf(text, sizeof text, "%s (%.0f s)", line, s);
    bm_out_progress(text);
}

void bm_out_log(void *user, bm_log_level level, const char *line)
{
    (void)user;
    if (level == BM_LOG_PROGRESS) show_work(line);
    else print_line(level == BM_LOG_WARN ? ": warning" : "", line, "");
}

int bm_out_columns(FILE *f)
{
    struct winsize w;
    return ioctl(fileno(f), TIOCGWINSZ, &w) == 0 && w.ws_col > 1 ? w.ws_col - 1 : 79;
}

void bm_out_progress(const char *line)
{
    if (!bm_out_is_terminal(stderr)) return;
    end_progress();
    if (!line[0]) return;
    bm_str s;
    bm_str_init(&s);
    bm_str_add_shown(&s, line, strlen(line));
    const char *text = bm_str_status(&s) ? "" : bm_str_text(&s);
    int n = (int)strlen(text), columns = bm_out_columns(stderr);
    if (n > columns)
        for (n = columns; n && ((unsigned char)text[n] & 0xc0) == 0x80;) n--; /* a line that wraps could not be taken away */
    fprintf(stderr, "%.*s", n, text);
    progress_shown = 1;
    bm_str_finish(&s);
}

bm_status bm_out_step(const char *fmt, ...)
{
    char line[1000];
    va_list args;
    if (bm_signals_stopped()) return bm_fail(BM_ERR_STOPPED, "stopped; nothing was written");
    va_start(args, fmt);
    vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    bm_out_progress(line);
    return BM_OK;
}

/* How much of a list "a, b, c" goes into a line of `room`: all, or as many of its parts as fit, but one at least. */
static size_t fitting(const char *text, size_t room)
{
    const size_t all = strlen(text);
    size_t n = 0;
    if (all <= room) return all;
    for (const char *at = text; (at = strstr(at, ", ")); at += 2) {
        const size_t end = (size_t)(at - text) + 1;
        if (n && end > room) break;
        n = end;
    }
    return n ? n : all;
}

void bm_out_field(const char *label, const char *text)
{
    enum { LABEL = 11, INDENT = LABEL + 3, LEAST = 20 };
    const int wraps = bm_out_is_terminal(stdout) && bm_out_columns(stdout) >= INDENT + LEAST;
    const size_t room = wraps ? (size_t)(bm_out_columns(stdout) - INDENT) : SIZE_MAX;
    printf("  %s%-*s%s ", bm_out_style(stdout, BM_DIM), LABEL, label, bm_out_style(stdout, BM_PLAIN));
    for (;;) {
        const size_t n = fitting(text, room);
        printf("%.*s\n", (int)n, text);
        text += n;
        while (*text == ' ') text++;
        if (!*text) return;
        printf("%*s", INDENT, "");
    }
}

int bm_out_json(json_t *root)
{
    if (!root) return bm_out_error(bm_fail(BM_ERR_MEMORY, "out of host memory while making JSON"));
    end_progress();
    int failed = json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9) | JSON_ENCODE_ANY);
    json_decref(root);
    if (failed && !ferror(stdout)) return bm_out_error(bm_fail(BM_ERR_MEMORY, "out of host memory while writing JSON"));
    putchar('\n');
    return 0;
}

json_t *bm_json_real(double x) { return isfinite(x) ? json_real(x) : json_null(); }

json_t *bm_json_shown(const char *text)
{
    bm_str s;
    json_t *json;
    if (bm_utf8_valid(text, strlen(text))) return json_string(text);
    bm_str_init(&s);
    bm_str_add_shown(&s, text, strlen(text));
    json = bm_str_status(&s) ? NULL : json_string(bm_str_text(&s));
    bm_str_finish(&s);
    return json;
}

json_t *bm_json_shape(const bm_shape *shape)
{
    json_t *list = json_array();
    for (int i = 0; list && i < shape->rank; i++)
        if (json_array_append_new(list, json_integer(shape->dim[i]))) {
            json_decref(list);
            list = NULL;
        }
    return list;
}

int bm_out_finish(int code)
{
    end_progress();
    if (fflush(stdout) == 0 && !ferror(stdout)) return code;
    if (code) return code; /* what went wrong has been said */
    fprintf(stderr, "bmtool: standard output: %s\n", strerror(errno));
    return bm_status_exit_code(BM_ERR_IO);
}

int bm_out_is_terminal(FILE *f)
{
    const char *term = getenv("TERM");
    return isatty(fileno(f)) && !(term && strcmp(term, "dumb") == 0);
}

const char *bm_out_style(FILE *f, bm_style style)
{
    static const char *const start[] = {"\033[0m", "\033[1m", "\033[2m", "\033[31m", "\033[32m", "\033[33m"};
    const char *no_color = getenv("NO_COLOR");
    if ((no_color && no_color[0]) || !bm_out_is_terminal(f)) return "";
    return start[style];
}

void bm_str_add_shown(bm_str *s, const void *text, size_t bytes)
{
    const unsigned char *p = text, *end = p + bytes;
    while (p < end) {
        const int length = bm_utf8_length(p, (size_t)(end - p));
        const int control = p[0] < 0x20 || p[0] == 0x7f || (p[0] == 0xc2 && length == 2 && p[1] < 0xa0);
        if (length > 0 && !control) {
            bm_str_add_bytes(s, p, (size_t)length);
            p += length;
        } else if (*p == '\n' || *p == '\t' || *p == '\r') {
            bm_str_add(s, *p == '\n' ? "\\n" : *p == '\t' ? "\\t" : "\\r");
            p++;
        } else {
            bm_str_addf(s, "\\x%02x", *p++);
        }
    }
}

char *bm_out_bytes(char buf[BM_OUT_NUMBER], int64_t bytes)
{
    static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double x = (double)bytes;
    int u = 0;
    for (; fabs(x) >= 1024 && u < 6; u++) x /= 1024;
    snprintf(buf, BM_OUT_NUMBER, u == 0 ? "%.0f %s" : "%.2f %s", x, unit[u]);
    return buf;
}

char *bm_out_count(char buf[BM_OUT_NUMBER], int64_t n)
{
    static const char *const unit[] = {" M", " G", " T"};
    if (llabs((long long)n) < 1000000) {
        const long long thousands = n / 1000, rest = llabs((long long)n % 1000);
        if (thousands)
            snprintf(buf, BM_OUT_NUMBER, "%lld,%03lld", thousands, rest);
        else
            snprintf(buf, BM_OUT_NUMBER, "%lld", (long long)n);
        return buf;
    }
    double x = (double)n / 1e6;
    int u = 0;
    for (; fabs(x) >= 1000 && u < 2; u++) x /= 1000;
    snprintf(buf, BM_OUT_NUMBER, "%.1f%s", x, unit[u]);
    return buf;
}

char *bm_out_seconds(char buf[BM_OUT_NUMBER], double s)
{
    if (!(s >= 0) || s > 1e9)
        snprintf(buf, BM_OUT_NUMBER, "?");
    else if (s > 0 && s < 0.9995)
        snprintf(buf, BM_OUT_NUMBER, "%.3g ms", s * 1e3);
    else if (s < 60)
        snprintf(buf, BM_OUT_NUMBER, "%.1f s", s);
    else if (s < 3600)
        snprintf(buf, BM_OUT_NUMBER, "%d min %02d s", (int)s / 60, (int)s % 60);
    else
        snprintf(buf, BM_OUT_NUMBER, "%d h %02d min", (int)s / 3600, (int)s / 60 % 60);
    return buf;
}
