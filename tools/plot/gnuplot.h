/* Running gnuplot, which is a program of its own and need not be there. */
#ifndef BM_TOOLS_PLOT_GNUPLOT_H
#define BM_TOOLS_PLOT_GNUPLOT_H

#include "core/base/status.h"
#include "core/base/str.h"

/* What a picture's name says: 1 PNG, 2 SVG, 0 neither. */
typedef enum bm_picture_kind { BM_PICTURE_NONE, BM_PICTURE_PNG, BM_PICTURE_SVG } bm_picture_kind;
bm_picture_kind bm_picture_kind_of(const char *path);

/* Appends 'TEXT' as gnuplot reads it: nothing in it is a command, control bytes are shown. */
void bm_gnuplot_quote(bm_str *script, const char *text);
/* Appends a number, whatever the locale; NaN where it is not finite. */
void bm_gnuplot_number(bm_str *script, double x);

/* Runs the script for a picture of width x height pixels in the kind that `path` says, and writes that: old or new, never half.
 * BM_ERR_NOT_FOUND with the remedy when there is no gnuplot; BM_ERR_IO with its words when it failed. */
bm_status bm_gnuplot_write(const char *path, const bm_str *script, int width, int height);

#endif
