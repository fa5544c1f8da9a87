/* How the values of tensors are spread: a panel for each. */
#include <math.h>

#include "core/base/mem.h"
#include "tools/out.h"
#include "tools/plot/plot.h"
#include "tools/tensor_stats.h"
#include "tools/view.h"

enum { BINS = 50, MOST_TENSORS = 24 };

static bm_status add_tensor(bm_chart *c, const bm_store *store, const bm_entry *e, int log)
{
    bm_tensor_stats s;
    char label[300];
    BM_TRY(bm_tensor_measure(&s, store, e, BINS));
    snprintf(label, sizeof label, "%.200s", e->path);
    bm_panel *p = bm_chart_panel(c, label, "elements");
    bm_line *l = bm_panel_line(p, "", BM_MARK_BARS, 0);
    const double width = (s.greatest - s.least) / BINS;
    for (int i = 0; i < BINS && s.finite; i++)
        if (s.bin[i] || !log) bm_line_add(p, l, s.least + (i + 0.5) * width, (double)s.bin[i]);
    if (p) p->log_y = log;
    if (s.nans + s.infs)
        bm_out_note("%s: %lld elements are NaN and %lld infinite: they are left out", e->path, (long long)s.nans, (long long)s.infs);
    return BM_OK;
}

static int has(const bm_store *s, const char *name)
{
    for (int64_t i = 0; i < bm_store_count(s); i++)
        if (bm_view_matches(bm_store_at(s, i)->path, &name, 1)) return 1;
    return 0;
}

bm_status bm_plot_select(const bm_entry ***out, int64_t *n, const bm_store *s, const bm_plot *p, const char *usual)
{
    const int given = p->paths - 1;
    if (!given) return bm_view_select(out, n, s, &usual, 1);
    bm_status status = BM_OK;
    const char **names = bm_calloc((size_t)given, sizeof *names);
    bm_str *below = bm_calloc((size_t)given, sizeof *below);
    *out = NULL;
    if (!names || !below) status = BM_ERR_MEMORY;
    for (int i = 0; i < given && !status; i++) {
        bm_str_init(&below[i]);
        bm_str_addf(&below[i], "/params/%s", p->path[i + 1]);
        status = bm_str_status(&below[i]);
        names[i] = has(s, p->path[i + 1]) || !has(s, bm_str_text(&below[i])) ? p->path[i + 1] : bm_str_text(&below[i]);
    }
    if (!status) status = bm_view_select(out, n, s, names, given);
    for (int i = 0; i < given && below; i++) bm_str_finish(&below[i]);
    bm_free(below);
    bm_free(names);
    return status;
}

/* As square a grid as there is. */
static int columns_for(int64_t n)
{
    int columns = 1;
    while ((int64_t)columns * columns < n) columns++;
    return columns;
}

bm_status bm_plot_histogram(const bm_plot *p)
{
    bm_status status;
    bm_store *s = NULL;
    const bm_entry **list = NULL;
    bm_chart *c = NULL;
    int64_t n = 0;
    BM_GO(bm_view_open(&s, p->path[0]));
    BM_GO(bm_plot_select(&list, &n, s, p, "/params"));
    if (n > MOST_TENSORS) {
        bm_out_note("the first %d of %lld tensors are drawn", MOST_TENSORS, (long long)n);
        n = MOST_TENSORS;
    }
    c = bm_chart_create(p->path[0]);
    if (c) c->columns = columns_for(n);
    for (int64_t i = 0; c && i < n; i++) {
        bm_out_progress(list[i]->path);
        BM_GO(add_tensor(c, s, list[i], p->log));
    }
    bm_out_progress("");
    status = bm_plot_show(p, c);
done:
    bm_chart_destroy(c);
    bm_free(list);
    bm_store_close(s);
    return status;
}
