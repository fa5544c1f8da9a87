#include "tools/plot/chart.h"

#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "tools/out.h"

/* A copy that may be shown to a terminal; NULL: no memory. */
static char *shown(const char *text)
{
    bm_str s;
    bm_str_init(&s);
    bm_str_add_shown(&s, text, strlen(text));
    bm_str_add(&s, "");
    char *copy = bm_str_take(&s);
    bm_str_finish(&s);
    return copy;
}

bm_chart *bm_chart_create(const char *title)
{
    bm_chart *c = bm_calloc(1, sizeof *c);
    if (!c) return NULL;
    c->columns = 1;
    c->title = shown(title);
    if (!c->title) c->status = BM_ERR_MEMORY;
    return c;
}

static void destroy_panel(bm_panel *p)
{
    for (int i = 0; i < p->lines; i++) {
        bm_free(p->line[i]->name);
        bm_free(p->line[i]->x);
        bm_free(p->line[i]->y);
        bm_free(p->line[i]);
    }
    for (int i = 0; i < p->words; i++) bm_free(p->word[i]);
    bm_free(p->word);
    bm_free(p->line);
    bm_free(p->x_label);
    bm_free(p->y_label);
    bm_free(p);
}

void bm_chart_destroy(bm_chart *c)
{
    if (!c) return;
    for (int i = 0; i < c->panels; i++) destroy_panel(c->panel[i]);
    bm_free(c->panel);
    bm_free(c->title);
    bm_free(c);
}

bm_status bm_chart_status(const bm_chart *c) { return c ? c->status : BM_ERR_MEMORY; }

/* Appends `item` to a list of pointers, or says that there was no memory. */
static int append(void ***list, int *n, void *item)
{
    void **longer = item ? bm_realloc(*list, (size_t)*n + 1, sizeof *longer) : NULL;
    if (!longer) return 0;
    *list = longer;
    longer[(*n)++] = item;
    return 1;
}

bm_panel *bm_chart_panel(bm_chart *c, const char *x_label, const char *y_label)
{
    if (bm_chart_status(c)) return NULL;
    bm_panel *p = bm_calloc(1, sizeof *p);
    void **list = (void **)c->panel;
    if (!append(&list, &c->panels, p)) {
        c->status = BM_ERR_MEMORY;
        bm_free(p);
        return NULL;
    }
    c->panel = (bm_panel **)list;
    p->chart = c;
    p->low = p->high = NAN;
    p->x_label = shown(x_label);
    p->y_label = shown(y_label);
    if (!p->x_label || !p->y_label) c->status = BM_ERR_MEMORY;
    return p;
}

void bm_panel_word(bm_panel *p, const char *word)
{
    if (!p || p->chart->status) return;
    char *copy = shown(word);
    void **list = (void **)p->word;
    if (append(&list, &p->words, copy)) {
        p->word = (char **)list;
        return;
    }
    p->chart->status = BM_ERR_MEMORY;
    bm_free(copy);
}

bm_line *bm_panel_line(bm_panel *p, const char *name, bm_mark mark, int colour)
{
    if (!p || p->chart->status) return NULL;
    bm_line *l = bm_calloc(1, sizeof *l);
    void **list = (void **)p->line;
    if (!append(&list, &p->lines, l)) {
        p->chart->status = BM_ERR_MEMORY;
        bm_free(l);
        return NULL;
    }
    p->line = (bm_line **)list;
    l->mark = mark;
    l->colour = colour;
    l->name = shown(name);
    if (!l->name) p->chart->status = BM_ERR_MEMORY;
    return l;
}

void bm_line_add(bm_panel *p, bm_line *l, double x, double y)
{
    if (!l || p->chart->status) return;
    if (l->n == l->room) {
        const int64_t room = l->room ? 2 * l->room : 64;
        double *longer_x = bm_realloc(l->x, (size_t)room, sizeof *longer_x);
        if (longer_x) l->x = longer_x;
        double *longer_y = longer_x ? bm_realloc(l->y, (size_t)room, sizeof *longer_y) : NULL;
        if (!longer_y) {
            p->chart->status = BM_ERR_MEMORY;
            return;
        }
        l->y = longer_y;
        l->room = room;
    }
    l->x[l->n] = x;
    l->y[l->n++] = y;
}

void bm_line_thin(bm_line *l, int64_t most)
{
    int64_t finite = 0, seen = 0, stretch = -1, in_it = 0;
    for (int64_t i = 0; i < l->n; i++) finite += isfinite(l->x[i]) && isfinite(l->y[i]);
    for (int64_t i = 0; i < l->n; i++) {
        const double x = l->x[i], y = l->y[i];
        if (!isfinite(x) || !isfinite(y)) continue;
        const int64_t at = finite <= most ? seen : seen * most / finite;
        seen++;
        if (at != stretch) {
            stretch = at;
            in_it = 0;
            l->x[at] = l->y[at] = 0;
        }
        in_it++;
        l->x[at] += (x - l->x[at]) / (double)in_it;
        l->y[at] += (y - l->y[at]) / (double)in_it;
    }
    l->n = stretch + 1;
}

/* Room around a single value. */
static void widen(double *low, double *high, int log)
{
    if (*low < *high) return;
    const double by = *low == 0 ? 1 : fabs(*low) * 0.1;
    *low = log ? *low / 2 : *low - by;
    *high = log ? *high * 2 : *high + by;
}

double bm_bar_width(const bm_line *l)
{
    double width = HUGE_VAL;
    for (int64_t i = 1; i < l->n; i++) width = fmin(width, l->x[i] - l->x[i - 1]);
    return l->mark == BM_MARK_BARS && isfinite(width) ? width : 0;
}

int bm_panel_extent(bm_extent *out, const bm_panel *p)
{
    bm_extent e = {HUGE_VAL, -HUGE_VAL, HUGE_VAL, -HUGE_VAL};
    for (int k = 0; k < p->lines; k++) {
        const bm_line *l = p->line[k];
        const double half = bm_bar_width(l) / 2;
        for (int64_t i = 0; i < l->n; i++) {
            const double x = l->x[i], y = l->y[i];
            if (!isfinite(x) || !isfinite(y) || (p->log_x && x <= 0) || (p->log_y && y <= 0)) continue;
            e = (bm_extent){fmin(e.x0, x - half), fmax(e.x1, x + half), fmin(e.y0, y), fmax(e.y1, y)};
            if (l->mark == BM_MARK_BARS && !p->log_y) e.y0 = fmin(e.y0, 0);
        }
    }
    if (!(e.x0 <= e.x1)) return 0;
    if (isfinite(p->low) && !(p->log_y && p->low <= 0)) e.y0 = p->low;
    if (isfinite(p->high) && !(p->log_y && p->high <= 0)) e.y1 = p->high;
    widen(&e.x0, &e.x1, p->log_x);
    widen(&e.y0, &e.y1, p->log_y);
    *out = e;
    return 1;
}

int bm_chart_needs_colours(const bm_chart *c)
{
    for (int i = 0; i < c->panels; i++) {
        int of_mark[BM_MARK_LEVEL + 1] = {0};
        for (int k = 0; k < c->panel[i]->lines; k++)
            if (c->panel[i]->line[k]->n && of_mark[c->panel[i]->line[k]->mark]++) return 1;
    }
    return 0;
}
