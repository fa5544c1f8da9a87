/* What bmtool plot can draw: a file plot_NAME.c for each kind of picture. */
#ifndef BM_TOOLS_PLOT_PLOT_H
#define BM_TOOLS_PLOT_PLOT_H

#include <stdint.h>

#include "io/store/store.h"
#include "tools/opt.h"
#include "tools/plot/chart.h"

typedef struct bm_plot {
    const char *const *path; /* the arguments: runs, a checkpoint and names of tensors, ... */
    int paths;
    const char *output;      /* NULL: none */
    int force, terminal, log;
    int64_t width, height;   /* 0: what is usual */
    const char *what;        /* curves: "loss,lr" */
    double low, high;        /* of the first panel's y; NaN: as it comes */
    bm_opt_list levels;      /* curves: "VALUE=NAME" */
} bm_plot;

/* Loss, validation loss, learning rate, gradient norm and throughput of runs. */
bm_status bm_plot_curves(const bm_plot *p);
/* The table of confusion in what `eval --json` printed. */
bm_status bm_plot_confusion(const bm_plot *p);
/* The weights of a layer that reads pictures, as pictures: a PNG. */
bm_status bm_plot_filters(const bm_plot *p);
/* How the values of tensors are spread. */
bm_status bm_plot_histogram(const bm_plot *p);
/* The trials of a search: their scores, and against the values of each key. */
bm_status bm_plot_trials(const bm_plot *p);

/* What they share: the chart goes into the output file, onto stdout, or both. */
bm_status bm_plot_show(const bm_plot *p, bm_chart *c);

/* The tensors that the names behind the checkpoint's fit, as bm_view_select; "/params/" in front may be left out. No names: those
 * of `usual`. */
bm_status bm_plot_select(const bm_entry ***out, int64_t *n, const bm_store *s, const bm_plot *p, const char *usual);

#endif
