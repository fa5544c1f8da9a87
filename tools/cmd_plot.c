/* bmtool plot: pictures of runs, in files and on the terminal. */
#include <math.h>
#include <string.h>

#include "tools/cmd.h"
#include "tools/opt.h"
#include "tools/out.h"
#include "tools/output_file.h"
#include "tools/plot/gnuplot.h"
#include "tools/plot/plot.h"

static const char help[] =
    "Examples:\n"
    "  bmtool plot runs/a                               the loss, on the terminal\n"
    "  bmtool plot runs/* --what all -o runs.png        several runs: loss, learning rate, gradient norm, throughput\n"
    "  bmtool plot runs/a -o a.svg --log --line 0.31=best\n"
    "  bmtool eval runs/a --json | bmtool plot - --confusion -o confusion.png\n"
    "  bmtool plot runs/a --filters -o filters.png      what the first layer looks for\n"
    "  bmtool plot runs/a --histogram 'layer*/weight'\n"
    "  bmtool plot studies/a --trials -o trials.png\n"
    "\n"
    "usage: bmtool plot RUN... [options]          RUN: the folder of a run, or a checkpoint (its history)\n"
    "       bmtool plot EVAL.json --confusion     EVAL.json: what `bmtool eval --json` printed; -: standard input\n"
    "       bmtool plot CKPT [NAME] --filters     CKPT: a checkpoint or a run; NAME: of a tensor (default: the first layer's)\n"
    "       bmtool plot CKPT NAME... --histogram  NAME: as `bmtool stats` takes patterns (default: params)\n"
    "       bmtool plot STUDY --trials            STUDY: the folder of a search\n"
    "  -o, --output FILE     FILE.png or FILE.svg, drawn by gnuplot (--filters: FILE.png, without it)\n"
    "  -t, --terminal        draw on the terminal; done also where there is no -o. Braille patterns, a colour for each run;\n"
    "                        ASCII, a letter for each, where the locale has no UTF-8, with NO_COLOR, and runs into pipes\n"
    "      --what LIST       loss (default), lr, grad_norm, throughput, joined by commas, or all\n"
    "      --log             a logarithmic y axis\n"
    "      --y-range A:B     from A to B, either may be left out\n"
    "      --line Y=NAME     a dashed line across the loss at Y; may be repeated\n"
    "      --width N         pixels of the picture, or columns of the terminal\n"
    "      --height N        pixels of the picture, or rows of each panel on the terminal\n"
    "  -f, --force           replace FILE\n"
    "\n"
    "Runs of many steps are drawn as the means of equal stretches. --filters: of one channel blue is negative, red positive,\n"
    "of three they are colours around grey; each filter by its own greatest weight.\n";

/* "A:B" */
static int parse_range(double *low, double *high, const char *text)
{
    char part[40];
    const char *colon = text ? strchr(text, ':') : NULL;
    if (!text) return 0;
    if (!colon || (size_t)(colon - text) >= sizeof part) return 1;
    snprintf(part, sizeof part, "%.*s", (int)(colon - text), text);
    if (*part && bm_parse_f64(low, part)) return 1;
    return (colon[1] && bm_parse_f64(high, colon + 1)) || *low >= *high;
}

static int check_output(const bm_plot *p, int filters)
{
    const bm_picture_kind kind = p->output ? bm_picture_kind_of(p->output) : BM_PICTURE_NONE;
    if (filters && kind != BM_PICTURE_PNG) return bm_out_usage(&bm_cmd_plot, "--filters needs -o FILE.png");
    if (p->output && !kind) return bm_out_usage(&bm_cmd_plot, "%s: a picture is FILE.png or FILE.svg", p->output);
    return p->output ? bm_out_error(bm_output_check(p->output, p->force, p->path, p->paths)) : 0;
}

static int run(int argc, char **argv)
{
    bm_plot p = {.what = "loss", .low = NAN, .high = NAN};
    const char *range = NULL;
    int confusion = 0, filters = 0, histogram = 0, trials = 0;
    const bm_opt opts[] = {
        {"output", 'o', BM_OPT_STRING, &p.output, 0},  {"terminal", 't', BM_OPT_FLAG, &p.terminal, 0},
        {"what", 0, BM_OPT_STRING, &p.what, 0},      {"log", 0, BM_OPT_FLAG, &p.log, 0},
        {"y-range", 0, BM_OPT_STRING, &range, 0},      {"line", 0, BM_OPT_LIST, &p.levels, 0},
        {"width", 0, BM_OPT_I64, &p.width, 0},         {"height", 0, BM_OPT_I64, &p.height, 0},
        {"confusion", 0, BM_OPT_FLAG, &confusion, 0},  {"filters", 0, BM_OPT_FLAG, &filters, 0},
        {"histogram", 0, BM_OPT_FLAG, &histogram, 0},  {"trials", 0, BM_OPT_FLAG, &trials, 0},
        {"force", 'f', BM_OPT_FLAG, &p.force, 0},
        {NULL, 0, BM_OPT_FLAG, NULL, 0},
    };
    int code = bm_opt_parse(&argc, argv, &bm_cmd_plot, opts, 1, 1 << 16);
    if (code >= 0) return code;
    p.path = (const char *const *)argv;
    p.paths = argc;
    if (confusion + filters + histogram + trials > 1) return bm_out_usage(&bm_cmd_plot, "one kind of picture at a time");
    if (parse_range(&p.low, &p.high, range)) return bm_out_usage(&bm_cmd_plot, "--y-range %s: expected A:B, A below B", range);
    if (p.width && (code = bm_opt_range_i64(&bm_cmd_plot, "width", p.width, 20, 16384))) return code;
    if (p.height && (code = bm_opt_range_i64(&bm_cmd_plot, "height", p.height, 4, 16384))) return code;
    if ((code = check_output(&p, filters))) return code;
    return bm_out_error(confusion   ? bm_plot_confusion(&p)
                        : filters   ? bm_plot_filters(&p)
                        : histogram ? bm_plot_histogram(&p)
                        : trials    ? bm_plot_trials(&p)
                                    : bm_plot_curves(&p));
}

bm_status bm_plot_show(const bm_plot *p, bm_chart *c)
{
    BM_TRY(bm_chart_status(c));
    if (c->panels) {
        c->panel[0]->low = p->low;
        c->panel[0]->high = p->high;
    }
    if (p->output) {
        c->width = (int)p->width;
        c->height = (int)p->height;
        BM_TRY(bm_chart_write(c, p->output));
        bm_out_note("wrote %s", p->output);
    }
    if (p->output && !p->terminal) return BM_OK;
    c->width = p->output ? 0 : (int)p->width;
    c->height = p->output ? 0 : (int)p->height;
    return bm_chart_print(c, stdout, bm_chart_unicode() && (bm_out_is_terminal(stdout) || !bm_chart_needs_colours(c)));
}

const bm_cmd bm_cmd_plot = {"plot", "look into checkpoints", "draw runs, confusion, filters, histograms, trials", help, run};
