/* What bmtool prints: messages, JSON, tables, one progress line. Data goes to stdout, all else to stderr. */
#ifndef BM_TOOLS_OUT_H
#define BM_TOOLS_OUT_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "core/base/log.h"
#include "core/base/shape.h"
#include "core/base/status.h"
#include "core/base/str.h"
#include "tools/cmd.h"

/* "bmtool: MESSAGE" of a failure on stderr; returns the exit code of `s` (0 for BM_OK, printing nothing), or that of the
 * signal which stopped the command. */
int bm_out_error(bm_status s);
/* "bmtool COMMAND: MESSAGE (bmtool COMMAND --help)" on stderr; returns 2. */
int bm_out_usage(const bm_cmd *cmd, const char *fmt, ...) BM_PRINTF(2, 3);
/* One line on stderr, after ending a progress line. */
void bm_out_note(const char *fmt, ...) BM_PRINTF(1, 2);
/* The help of a command on stdout; returns 0. */
int bm_out_help(const bm_cmd *cmd);
/* For bm_log_set: warnings and errors of the library on stderr, work under way as a progress line. */
void bm_out_log(void *user, bm_log_level level, const char *line);

/* Shows a line in place on stderr when that is a terminal, as much of it as fits, and does nothing otherwise; "" takes it
 * away. */
void bm_out_progress(const char *line);
/* The same, formatted, between two pieces of work: BM_ERR_STOPPED when a signal has come. */
bm_status bm_out_step(const char *fmt, ...) BM_PRINTF(1, 2);

/* "  label       text" on stdout; a terminal gets lists "a, b, c" wrapped below their beginning. */
void bm_out_field(const char *label, const char *text);

/* Prints a document on stdout with a newline and releases it: floats with 9 digits, keys in their order. Returns the
 * exit code; NULL counts as out of memory. */
int bm_out_json(json_t *root);
/* null where JSON has no number. */
json_t *bm_json_real(double x);
/* A name or a message, as it is shown where it is not UTF-8, which JSON must be. */
json_t *bm_json_shown(const char *text);
/* [12, 384] as a JSON array; NULL: no memory. */
json_t *bm_json_shape(const bm_shape *shape);

/* Ends every command: the exit code, or 4 with a message when stdout could not be written. */
int bm_out_finish(int code);

/* Whether a stream is a terminal that can take away what it shows (TERM is not "dumb"); whether to colour it (a
 * terminal, and no NO_COLOR). */
int bm_out_is_terminal(FILE *f);
/* The columns of a terminal but one, so that the cursor stays in the line; of what is none, 79. */
int bm_out_columns(FILE *f);
typedef enum bm_style { BM_PLAIN, BM_BOLD, BM_DIM, BM_RED, BM_GREEN, BM_YELLOW } bm_style;
/* The sequence that starts a style on this stream, "" where it is not to be coloured. */
const char *bm_out_style(FILE *f, bm_style style);

/* Appends text as it may be shown to a terminal: control bytes and broken UTF-8 become \n, \t, \x1b ... */
void bm_str_add_shown(bm_str *s, const void *text, size_t bytes);

/* "1.50 GiB", "512 B"; "124.4 M", "1,234"; "1 h 02 min", "3.2 s". Each needs BM_OUT_NUMBER bytes; returns buf. */
enum { BM_OUT_NUMBER = 32 };
char *bm_out_bytes(char buf[BM_OUT_NUMBER], int64_t bytes);
char *bm_out_count(char buf[BM_OUT_NUMBER], int64_t n);
char *bm_out_seconds(char buf[BM_OUT_NUMBER], double s);

#endif
