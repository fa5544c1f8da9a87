/* A chart as a script for gnuplot. */
#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "tools/plot/chart.h"
#include "tools/plot/gnuplot.h"

/* Distances in pixels. */
enum { LEFT = 96, RIGHT = 24, TOP = 18, TITLE = 30, BOTTOM = 52, BETWEEN = 22, LETTER = 8, SAMPLE = 64, MOST_POINTS = 1000 };

/* Of Paul Tol's bright and vibrant schemes (personal.sron.nl/~pault): told apart by colour-blind readers too. */
static const char *const palette[BM_COLOURS] = {"4477aa", "cc3311", "228833", "ee7733", "aa3377", "33bbee", "999933", "222222"};

typedef struct layout {
    const bm_chart *chart;
    int width, height, columns, rows;
    int legend; /* pixels at the right; 0: the legend stands inside the first panel */
    bm_extent all; /* of a column of panels, which share x */
    int shared;
} layout;

static int named(const bm_panel *p, int *longest)
{
    int n = 0;
    for (int i = 0; i < p->lines; i++) {
        const int length = (int)strlen(p->line[i]->name);
        n += length > 0;
        if (length > *longest) *longest = length;
    }
    return n;
}

static layout make_layout(const bm_chart *c)
{
    int longest = 0;
    layout l = {.chart = c, .columns = c->columns, .rows = (c->panels + c->columns - 1) / c->columns, .shared = c->columns == 1};
    const int names = c->panels ? named(c->panel[0], &longest) : 0;
    if (names > 3 || (names > 1 && c->panels > 1) || (names && c->columns > 1)) l.legend = SAMPLE + LETTER * longest;
    l.width = c->width ? c->width : (l.columns == 1 ? 800 : 380 * l.columns) + l.legend;
    l.height = c->height ? c->height : l.rows == 1 && l.columns == 1 ? 420 : 60 + (l.columns == 1 ? 200 : 290) * l.rows;
    if (l.legend > l.width * 2 / 5) l.legend = l.width * 2 / 5;
    for (int i = 0, any = 0; i < c->panels; i++) {
        bm_extent e;
        if (!bm_panel_extent(&e, c->panel[i])) continue;
        l.all.x0 = any ? fmin(l.all.x0, e.x0) : e.x0;
        l.all.x1 = any ? fmax(l.all.x1, e.x1) : e.x1;
        any = 1;
    }
    return l;
}

/* Where a panel's plot lies: pixels from the left and from the bottom. */
typedef struct box {
    double x0, x1, y0, y1;
} box;

static box place(const layout *l, int i)
{
    const double h = l->height, top = *l->chart->title ? TITLE : TOP, cell = (double)(l->width - l->legend) / l->columns;
    const int row = i / l->columns, column = i % l->columns;
    const double each = l->shared ? (h - top - BOTTOM + BETWEEN) / l->rows : (h - top) / l->rows, y1 = h - top - row * each;
    return (box){column * cell + LEFT, (column + 1) * cell - RIGHT, y1 - each + (l->shared ? BETWEEN : BOTTOM + BETWEEN / 2), y1};
}

static void add_position(bm_str *s, const char *before, double pixels, int of)
{
    bm_str_addf(s, "%s screen ", before);
    bm_gnuplot_number(s, pixels / of);
}

static void add_margins(bm_str *s, const layout *l, const box *b)
{
    add_position(s, "set lmargin at", b->x0, l->width);
    add_position(s, "\nset rmargin at", b->x1, l->width);
    add_position(s, "\nset tmargin at", b->y1, l->height);
    add_position(s, "\nset bmargin at", b->y0, l->height);
    bm_str_add(s, "\n");
}

/* gnuplot's own labels of axes stand where the widest number ends, or outside the picture. */
static void add_label(bm_str *s, const layout *l, int number, const char *text, double x, double y, const char *how)
{
    bm_str_addf(s, "set label %d ", number);
    bm_gnuplot_quote(s, text);
    add_position(s, " at", x, l->width);
    add_position(s, ",", y, l->height);
    bm_str_addf(s, " %s textcolor rgb '#222222'\n", how);
}

static void add_axis(bm_str *s, const char *axis, double low, double high, int log, double pixels, int shown)
{
    double tick[BM_TICKS];
    char text[BM_TICK_TEXT];
    const int n = bm_chart_ticks(tick, low, high, log, (int)(pixels / (*axis != 'x' ? 36 : log ? 80 : 56)));
    bm_str_addf(s, "set %srange [", axis);
    bm_gnuplot_number(s, low);
    bm_str_add(s, ":");
    bm_gnuplot_number(s, high);
    bm_str_addf(s, "]\n%sset logscale %s\nset %stics norotate (", log ? "" : "un", axis, axis);
    for (int i = 0; i < n; i++) {
        bm_str_addf(s, "%s'%s' ", i ? ", " : "", shown ? bm_tick_text(text, tick[i]) : "");
        bm_gnuplot_number(s, tick[i]);
    }
    bm_str_add(s, ")\n");
}

static void add_words(bm_str *s, const bm_panel *p)
{
    bm_str_addf(s, "set xrange [-0.5:%d.5]\nunset logscale x\nset xtics %s (", p->words - 1, p->words > 4 ? "rotate by 30 right" : "norotate");
    for (int w = 0; w < p->words; w++) {
        bm_str_add(s, w ? ", " : "");
        bm_gnuplot_quote(s, p->word[w]);
        bm_str_addf(s, " %d", w);
    }
    bm_str_add(s, ")\n");
}

static int has_dots(const bm_panel *p)
{
    int dots = 0;
    for (int i = 0; i < p->lines; i++) dots |= p->line[i]->mark == BM_MARK_DOTS;
    return dots;
}

/* A little room between what is drawn and the frame, where no range was asked for. */
static void add_room(bm_extent *e, const bm_panel *p)
{
    const double by = p->log_y ? pow(e->y1 / e->y0, 0.04) : (e->y1 - e->y0) * 0.04;
    const int bars = p->lines && p->line[0]->mark == BM_MARK_BARS;
    if (!isfinite(p->high)) e->y1 = p->log_y ? e->y1 * by : e->y1 + by;
    if (!isfinite(p->low) && !(bars && e->y0 == 0)) e->y0 = p->log_y ? e->y0 / by : e->y0 - by;
    if (!has_dots(p)) return;
    const double beside = p->log_x ? pow(e->x1 / e->x0, 0.03) : (e->x1 - e->x0) * 0.03;
    e->x0 = p->log_x ? e->x0 / beside : e->x0 - beside;
    e->x1 = p->log_x ? e->x1 * beside : e->x1 + beside;
}

static void add_axes(bm_str *s, const layout *l, int i)
{
    const bm_panel *p = l->chart->panel[i];
    const box b = place(l, i);
    const int last = !l->shared || i == l->chart->panels - 1;
    bm_extent e;
    if (bm_panel_extent(&e, p)) add_room(&e, p);
    else e = (bm_extent){1, 2, 1, 2};
    add_margins(s, l, &b);
    add_label(s, l, 2, last ? p->x_label : "", (b.x0 + b.x1) / 2, b.y0 - 40, "center");
    add_label(s, l, 3, p->y_label, b.x0 - LEFT + 14, (b.y0 + b.y1) / 2, "rotate by 90 center");
    if (p->words) add_words(s, p);
    else if (l->shared) add_axis(s, "x", l->all.x0, l->all.x1, p->log_x, b.x1 - b.x0, last);
    else add_axis(s, "x", e.x0, e.x1, p->log_x, b.x1 - b.x0, 1);
    add_axis(s, "y", e.y0, e.y1, p->log_y, b.y1 - b.y0, 1);
}

/* The points of a line as a block that the plot command names. */
static void add_data(bm_str *s, const bm_line *l, int panel, int line)
{
    bm_str_addf(s, "$d%d_%d << EOD\n", panel, line);
    for (int64_t i = 0; i < l->n; i++) {
        bm_gnuplot_number(s, l->x[i]);
        bm_str_add(s, " ");
        bm_gnuplot_number(s, l->y[i]);
        bm_str_add(s, "\n");
    }
    if (!l->n) bm_str_add(s, "NaN NaN\n");
    bm_str_add(s, "EOD\n");
}

/* " with lines lc rgb '#4477aa'" */
static void add_style(bm_str *s, const bm_line *l)
{
    static const char *const style[] = {"lines lw 1.6", "lines lw 1", "linespoints pt 7 ps 0.45 lw 1.3", "points pt 7 ps 0.75",
                                        "boxes fs solid 0.75 noborder", "lines lw 1.3 dt 2"};
    bm_str_addf(s, " with %s lc rgb '#%s%s'", style[l->mark], l->mark == BM_MARK_FAINT ? "90" : "",
                l->colour == BM_COLOUR_GREY ? "777777" : palette[l->colour % BM_COLOURS]);
}

static void add_title(bm_str *s, const bm_line *l)
{
    bm_str_add(s, *l->name ? " title " : " notitle");
    if (*l->name) bm_gnuplot_quote(s, l->name);
}

/* All names of the first panel in the strip at the right, as a plot of nothing: inside a panel there may not be room. */
static void add_legend(bm_str *s, const layout *l)
{
    const bm_panel *p = l->chart->panel[0];
    const box strip = {l->width - l->legend - RIGHT / 2, l->width - 1, 1, l->height - TOP / 2};
    add_margins(s, l, &strip);
    bm_str_add(s, "unset border\nunset tics\nunset grid\nunset logscale\nset xrange [0:1]\nset yrange [0:1]\n"
                  "set key inside left top Left reverse samplen 2 spacing 1.2 maxcols 1\nplot NaN notitle");
    for (int i = 0; i < p->lines; i++) {
        if (!*p->line[i]->name) continue;
        bm_str_add(s, ", NaN");
        add_style(s, p->line[i]);
        add_title(s, p->line[i]);
    }
    bm_str_add(s, "\n");
}

static void add_panel(bm_str *s, const layout *l, int i)
{
    const bm_panel *p = l->chart->panel[i];
    add_axes(s, l, i);
    bm_str_add(s, i || l->legend ? "unset key\n" : "set key inside right top Left reverse samplen 2 spacing 1.2\n");
    for (int k = 0; k < p->lines; k++) add_data(s, p->line[k], i, k);
    for (int k = 0; k < p->lines; k++) {
        bm_str_addf(s, "%s$d%d_%d using 1:2", k ? ", " : "plot ", i, k);
        add_style(s, p->line[k]);
        add_title(s, p->line[k]);
    }
    bm_str_add(s, p->lines ? "\nunset label\n" : "plot NaN notitle\nunset label\n");
}

bm_status bm_chart_write(bm_chart *c, const char *path)
{
    BM_TRY(bm_chart_status(c));
    for (int i = 0; i < c->panels; i++)
        for (int k = 0; k < c->panel[i]->lines; k++)
            if (c->panel[i]->line[k]->mark <= BM_MARK_POINTS) bm_line_thin(c->panel[i]->line[k], MOST_POINTS);
    const layout l = make_layout(c);
    bm_str s;
    bm_str_init(&s);
    bm_str_add(&s, "set border 3 lc rgb '#888888'\nset tics nomirror out scale 0.5 textcolor rgb '#333333'\n"
                   "set grid lt 1 lw 1 lc rgb '#e6e6e6'\nset multiplot\n");
    if (*c->title) add_label(&s, &l, 1, c->title, l.width / 2.0, l.height - TITLE / 2.0, "center");
    for (int i = 0; i < c->panels; i++) add_panel(&s, &l, i);
    if (l.legend) add_legend(&s, &l);
    bm_str_add(&s, "unset multiplot\n");
    bm_status status = bm_gnuplot_write(path, &s, l.width, l.height);
    bm_str_finish(&s);
    return status;
}
