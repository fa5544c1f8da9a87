/* A chart: panels with axes, and lines in them. Built here once, drawn by gnuplot into a file or by us as text. Builders are sticky:
 * what was out of memory is kept until the chart is drawn, and calls given NULL do nothing. */
#ifndef BM_TOOLS_PLOT_CHART_H
#define BM_TOOLS_PLOT_CHART_H

#include <stdint.h>
#include <stdio.h>

#include "core/base/status.h"
#include "core/base/str.h"

typedef enum bm_mark {
    BM_MARK_LINE,
    BM_MARK_FAINT,  /* a line, thin and pale */
    BM_MARK_POINTS, /* a line with a mark at each point */
    BM_MARK_DOTS,   /* marks alone */
    BM_MARK_BARS,   /* from the bottom up to each point; all of one width */
    BM_MARK_LEVEL   /* a dashed line */
} bm_mark;

enum { BM_COLOURS = 8, BM_COLOUR_GREY = -1 };

typedef struct bm_line {
    char *name; /* in the legend; "": left out */
    bm_mark mark;
    int colour; /* counted from 0, the palette begins again after BM_COLOURS; or BM_COLOUR_GREY */
    int64_t n, room;
    double *x, *y; /* [n], x rising unless only marks are drawn; what is not finite is left out */
} bm_line;

typedef struct bm_panel {
    struct bm_chart *chart;
    char *x_label, *y_label;
    int log_x, log_y;
    double low, high; /* of y; NaN: as the lines have it */
    int words;        /* x is one of these, at 0, 1, ... */
    char **word;
    int lines;
    bm_line **line;
} bm_panel;

typedef struct bm_chart {
    char *title; /* "": none */
    int panels;
    bm_panel **panel;
    int columns;       /* of panels: 1, or more for a grid */
    int width, height; /* pixels of a picture, or columns of a screen and rows of each panel; 0: what is usual */
    bm_status status;
} bm_chart;

bm_chart *bm_chart_create(const char *title); /* NULL: no memory */
void bm_chart_destroy(bm_chart *c);
/* Texts are copied. */
bm_panel *bm_chart_panel(bm_chart *c, const char *x_label, const char *y_label);
void bm_panel_word(bm_panel *p, const char *word);
bm_line *bm_panel_line(bm_panel *p, const char *name, bm_mark mark, int colour);
/* The line must be the newest of its panel or kept by its maker: it moves never. */
void bm_line_add(bm_panel *p, bm_line *l, double x, double y);
/* Given NULL, BM_ERR_MEMORY. */
bm_status bm_chart_status(const bm_chart *c);

/* Leaves the points that are finite, or the means of `most` equal stretches of them where they are more. */
void bm_line_thin(bm_line *l, int64_t most);
/* The least distance of two points of bars; 0: it has none, or is no line of bars. */
double bm_bar_width(const bm_line *l);
/* The least and greatest of what can be drawn; 0 when there is nothing. With one value alone they lie around it. */
typedef struct bm_extent {
    double x0, x1, y0, y1;
} bm_extent;
int bm_panel_extent(bm_extent *out, const bm_panel *p);

/* Round values in [low, high], rising: at most `most` of them (2 or more) and few of them where there are few; how many. */
enum { BM_TICKS = 32 };
int bm_chart_ticks(double out[BM_TICKS], double low, double high, int log, int most);
/* One as text; returns buf. */
enum { BM_TICK_TEXT = 24 };
char *bm_tick_text(char buf[BM_TICK_TEXT], double x);

/* Draws into PATH.png or PATH.svg through gnuplot: old or new, never half. Thins the lines. */
bm_status bm_chart_write(bm_chart *c, const char *path);

/* Draws as text, in Unicode's braille patterns or in ASCII, where a letter stands for each line. Colours as the stream has them. Thins
 * the lines to what a screen shows. */
bm_status bm_chart_print(bm_chart *c, FILE *out, int unicode);
/* Whether this stream should get Unicode: the locale says UTF-8, and NO_COLOR is not set. */
int bm_chart_unicode(void);
/* Whether lines of one panel can be told apart by their colours alone, which pipes do not have. */
int bm_chart_needs_colours(const bm_chart *c);

#endif
