/* A chart as text. A cell of the screen has 2 x 4 dots (U+2800 + a bit for each), or is one letter. */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "tools/out.h"
#include "tools/plot/chart.h"

enum { LABEL = 9, LEAST_COLUMNS = 24, MOST_COLUMNS = 400, LEAST_ROWS = 4, MOST_ROWS = 120, DOTS_X = 2, DOTS_Y = 4 };

typedef struct cell {
    unsigned char dots; /* of braille */
    char letter;        /* of ASCII; 0: none */
    char mark;          /* a point stands here */
    int colour;
} cell;

typedef struct canvas {
    const bm_panel *panel;
    bm_extent e;
    FILE *out;
    int unicode;
    int columns, rows;
    int nx, ny; /* dots */
    cell *cells;
} canvas;

static const char *colour_of(FILE *out, int colour)
{
    static const char *const codes[BM_COLOURS] = {"\033[34m", "\033[31m", "\033[32m", "\033[33m", "\033[35m", "\033[36m", "\033[93m", "\033[1m"};
    if (!*bm_out_style(out, BM_BOLD)) return "";
    return colour == BM_COLOUR_GREY ? bm_out_style(out, BM_DIM) : codes[colour % BM_COLOURS];
}

static const char *plain(FILE *out) { return bm_out_style(out, BM_PLAIN); }

/* Lines have small letters, what is made of marks capitals, and the rest signs. */
static char letter_of(const bm_line *l)
{
    if (l->mark == BM_MARK_LEVEL) return '-';
    if (l->mark == BM_MARK_BARS) return '#';
    const char letter = l->colour == BM_COLOUR_GREY ? '.' : (char)('a' + l->colour % 26);
    return l->mark <= BM_MARK_FAINT ? letter : (char)toupper(letter);
}

static double share(double x, double low, double high, int log)
{
    if (low == high) return 0.5;
    return log ? (x > 0 ? (log10(x) - log10(low)) / (log10(high) - log10(low)) : -1) : (x - low) / (high - low);
}

/* Dot positions from the left and from the bottom; they may lie outside. */
static int dot_x(const canvas *c, double x) { return (int)lround(share(x, c->e.x0, c->e.x1, c->panel->log_x) * (c->nx - 1)); }
static int dot_y(const canvas *c, double y)
{
    const double s = share(y, c->e.y0, c->e.y1, c->panel->log_y);
    return (int)lround(fmax(-2, fmin(3, s)) * (c->ny - 1));
}

static void set(canvas *c, const bm_line *l, int x, int y, int mark)
{
    static const unsigned char bit[DOTS_X][DOTS_Y] = {{0x40, 0x04, 0x02, 0x01}, {0x80, 0x20, 0x10, 0x08}};
    if (x < 0 || x >= c->nx || y < 0 || y >= c->ny) return;
    const int column = c->unicode ? x / DOTS_X : x, row = c->unicode ? y / DOTS_Y : y;
    cell *at = &c->cells[row * c->columns + column];
    if (c->unicode) at->dots |= bit[x % DOTS_X][y % DOTS_Y];
    if (at->mark && !mark) return; /* a line does not hide a point */
    at->mark = (char)mark;
    at->letter = letter_of(l);
    at->colour = l->colour;
}

/* Bresenham's line. */
static void draw_between(canvas *c, const bm_line *l, int x0, int y0, int x1, int y1)
{
    const int dx = abs(x1 - x0), dy = -abs(y1 - y0), sx = x0 < x1 ? 1 : -1, sy = y0 < y1 ? 1 : -1;
    for (int error = dx + dy;;) {
        if (l->mark != BM_MARK_LEVEL || !c->unicode || x0 % 4 < 2) set(c, l, x0, y0, 0);
        if (x0 == x1 && y0 == y1) return;
        const int twice = 2 * error;
        if (twice >= dy) error += dy, x0 += sx;
        if (twice <= dx) error += dx, y0 += sy;
    }
}

static void draw_bar(canvas *c, const bm_line *l, double x, int top)
{
    const double half = bm_bar_width(l) / 2;
    const int from = dot_x(c, x - half), to = dot_x(c, x + half);
    for (int at = from; at < to || at == from; at++) draw_between(c, l, at, 0, at, top);
}

static void draw_line(canvas *c, const bm_line *l)
{
    const int joined = l->mark <= BM_MARK_FAINT || l->mark == BM_MARK_LEVEL || (l->mark == BM_MARK_POINTS && c->unicode);
    int last_x = 0, last_y = 0, any = 0;
    for (int64_t i = 0; i < l->n; i++) {
        if (!isfinite(l->x[i]) || !isfinite(l->y[i]) || (c->panel->log_x && l->x[i] <= 0) || (c->panel->log_y && l->y[i] <= 0)) continue;
        const int x = dot_x(c, l->x[i]), y = dot_y(c, l->y[i]);
        if (l->mark == BM_MARK_BARS) draw_bar(c, l, l->x[i], y);
        else if (joined) draw_between(c, l, any ? last_x : x, any ? last_y : y, x, y);
        if (l->mark == BM_MARK_POINTS || l->mark == BM_MARK_DOTS) set(c, l, x, y, 1);
        last_x = x;
        last_y = y;
        any = 1;
    }
}

static void print_cell(const canvas *c, const cell *at)
{
    if (!c->unicode) fputc(at->letter ? at->letter : ' ', c->out);
    else if (at->mark) fputs("\xe2\x97\x8f", c->out); /* a filled circle */
    else if (!at->dots) fputc(' ', c->out);
    else fprintf(c->out, "\xe2%c%c", 0xa0 + (at->dots >> 6), 0x80 + (at->dots & 0x3f));
}

/* The cells of a row up to the last that is drawn in; what is of one colour is told so once. */
static void print_cells(const canvas *c, const cell *row)
{
    const char *last = "";
    int n = c->columns;
    while (n > 0 && !row[n - 1].letter) n--;
    for (int i = 0; i < n; i++) {
        const char *colour = row[i].letter ? colour_of(c->out, row[i].colour) : last;
        if (strcmp(colour, last)) fprintf(c->out, "%s%s", *last ? plain(c->out) : "", colour);
        last = colour;
        print_cell(c, &row[i]);
    }
    fprintf(c->out, "%s\n", *last ? plain(c->out) : "");
}

/* The labels of y: of each row the tick that lies in it. */
static void print_rows(const canvas *c)
{
    double tick[BM_TICKS];
    char text[BM_TICK_TEXT];
    const int n = bm_chart_ticks(tick, c->e.y0, c->e.y1, c->panel->log_y, c->rows / 2);
    for (int row = c->rows - 1; row >= 0; row--) {
        const char *label = "";
        for (int i = 0; i < n; i++)
            if (dot_y(c, tick[i]) / (c->unicode ? DOTS_Y : 1) == row) label = bm_tick_text(text, tick[i]);
        fprintf(c->out, "%*s %s", LABEL - 1, label, c->unicode ? (*label ? "\xe2\x94\xa4" : "\xe2\x94\x82") : "|");
        print_cells(c, &c->cells[row * c->columns]);
    }
}

/* Puts `text` into a line of blanks with its middle at `at`, unless it would touch what stands there. */
static void place(char *line, int columns, int at, const char *text)
{
    const int n = (int)strlen(text);
    int from = at - n / 2;
    if (from + n > columns) from = columns - n;
    if (from < 0) from = 0;
    for (int i = from > 0 ? from - 1 : 0; i < from + n + 1 && i < columns; i++)
        if (line[i] != ' ') return;
    if (from + n <= columns) memcpy(line + from, text, (size_t)n);
}

static void print_axis(const canvas *c)
{
    double tick[BM_TICKS];
    char text[BM_TICK_TEXT], line[MOST_COLUMNS + 1];
    const bm_panel *p = c->panel;
    memset(line, ' ', (size_t)c->columns);
    line[c->columns] = 0;
    const int scale = c->unicode ? DOTS_X : 1;
    const int n = p->words ? p->words : bm_chart_ticks(tick, c->e.x0, c->e.x1, p->log_x, c->columns / 9);
    for (int i = 0; i < n; i++)
        place(line, c->columns, dot_x(c, p->words ? i : tick[i]) / scale, p->words ? p->word[i] : bm_tick_text(text, tick[i]));
    fprintf(c->out, "%*s%s", LABEL, "", c->unicode ? "\xe2\x94\x94" : "+");
    for (int i = 0; i < c->columns; i++) fputs(c->unicode ? "\xe2\x94\x80" : "-", c->out);
    for (int end = c->columns; end > 0 && line[end - 1] == ' ';) line[--end] = 0;
    fprintf(c->out, "\n%*s %s\n", LABEL, "", line);
    if (*p->x_label) fprintf(c->out, "%*s %*s%s\n", LABEL, "", (c->columns - (int)strlen(p->x_label)) / 2, "", p->x_label);
}

/* Names with what they are drawn in, as many in a row as fit. */
static void print_legend(const canvas *c)
{
    static const char *const sample[] = {"\xe2\xa0\xa4\xe2\xa0\xa4", "\xe2\xa0\xa4\xe2\xa0\xa4", "\xe2\x97\x8f", "\xe2\x97\x8f", "\xe2\xa3\xbf", "\xe2\xa0\xa4 \xe2\xa0\xa4"};
    int at = 0;
    for (int i = 0; i < c->panel->lines; i++) {
        const bm_line *l = c->panel->line[i];
        if (!*l->name) continue;
        const int width = (int)strlen(l->name) + 6;
        if (at && at + width > c->columns) fputc('\n', c->out), at = 0;
        const char letter[2] = {letter_of(l), 0}, *colour = colour_of(c->out, l->colour);
        const char *shown = c->unicode ? sample[l->mark] : letter;
        if (l->colour == BM_COLOUR_GREY && !c->unicode && !l->n) shown = l->mark <= BM_MARK_FAINT ? "abc" : "ABC";
        if (!at) fprintf(c->out, "%*s ", LABEL, "");
        fprintf(c->out, "%s%s%s %s   ", colour, shown, *colour ? plain(c->out) : "", l->name);
        at += width;
    }
    if (at) fputc('\n', c->out);
}

static bm_status print_panel(canvas *c)
{
    c->nx = c->columns * (c->unicode ? DOTS_X : 1);
    c->ny = c->rows * (c->unicode ? DOTS_Y : 1);
    for (int i = 0; i < c->panel->lines; i++) {
        bm_line *l = c->panel->line[i];
        if (l->mark <= BM_MARK_POINTS) bm_line_thin(l, l->mark == BM_MARK_POINTS ? c->columns / 3 : c->nx);
    }
    if (*c->panel->y_label) fprintf(c->out, "%*s %s\n", LABEL, "", c->panel->y_label);
    if (!bm_panel_extent(&c->e, c->panel)) {
        fprintf(c->out, "%*s (nothing to draw)\n", LABEL, "");
        return BM_OK;
    }
    if (c->panel->words) c->e.x0 = -0.5, c->e.x1 = c->panel->words - 0.5;
    c->cells = bm_calloc((size_t)(c->columns * c->rows), sizeof *c->cells);
    if (!c->cells) return BM_ERR_MEMORY;
    for (int i = 0; i < c->panel->lines; i++) draw_line(c, c->panel->line[i]);
    print_rows(c);
    print_axis(c);
    print_legend(c);
    bm_free(c->cells);
    return BM_OK;
}

static int within(int x, int least, int most) { return x < least ? least : x > most ? most : x; }

bm_status bm_chart_print(bm_chart *c, FILE *out, int unicode)
{
    bm_status status = bm_chart_status(c);
    if (status) return status;
    const int width = c->width ? c->width : bm_out_columns(out);
    canvas v = {.out = out, .unicode = unicode, .columns = within(width - LABEL - 1, LEAST_COLUMNS, MOST_COLUMNS),
                .rows = within(c->height ? c->height : c->panels > 1 ? 9 : 16, LEAST_ROWS, MOST_ROWS)};
    if (*c->title) fprintf(out, "%*s %s%s%s\n", LABEL, "", bm_out_style(out, BM_BOLD), c->title, plain(out));
    for (int i = 0; i < c->panels && !status; i++) {
        if (i) fputc('\n', out);
        v.panel = c->panel[i];
        status = print_panel(&v);
    }
    return status;
}

int bm_chart_unicode(void)
{
    const char *no_color = getenv("NO_COLOR"), *locale = NULL;
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    if (no_color && *no_color) return 0;
    for (int i = 0; i < 3 && !(locale && *locale); i++) locale = getenv(names[i]);
    return locale && (strstr(locale, "UTF-8") || strstr(locale, "utf8") || strstr(locale, "UTF8") || strstr(locale, "utf-8"));
}
