/* The table of confusion that eval --json prints: what the samples of each class were taken for. */
#include <jansson.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "tools/out.h"
#include "tools/plot/gnuplot.h"
#include "tools/plot/plot.h"
#include "tools/table.h"

#define MOST_BYTES ((size_t)256 << 20)
#define MOST_COUNT ((int64_t)1 << 50)
enum { MOST_CLASSES = 1024, MOST_NUMBERS = 30 /* classes whose cells have room for a number */, MOST_WIDE = 40 };

typedef struct confusion {
    json_t *root;
    int n;
    int64_t *count;     /* [n, n]: rows are the classes, columns what they were taken for */
    int64_t *all;       /* [n]: of each class */
    const char **name;  /* [n] */
    char (*number)[12]; /* names of classes without */
} confusion;

static void finish(confusion *c)
{
    json_decref(c->root);
    bm_free(c->count);
    bm_free(c->all);
    bm_free(c->name);
    bm_free(c->number);
}

static bm_status read_counts(confusion *c, const char *path)
{
    const json_t *rows = json_object_get(c->root, "confusion"), *classes = json_object_get(c->root, "classes");
    const size_t n = json_array_size(rows);
    if (n > MOST_CLASSES) return bm_fail(BM_ERR_REFUSED, "%s: %zu classes are too many to draw", path, n);
    if (!n)
        return bm_fail(BM_ERR_REFUSED, "%s: has no \"confusion\": `bmtool eval CKPT --json` prints it of models that classify", path);
    c->n = (int)n;
    c->count = bm_calloc(n * n, sizeof *c->count);
    c->all = bm_calloc(n, sizeof *c->all);
    c->name = bm_calloc(n, sizeof *c->name);
    c->number = bm_calloc(n, sizeof *c->number);
    if (!c->count || !c->all || !c->name || !c->number) return BM_ERR_MEMORY;
    for (size_t i = 0; i < n; i++) {
        const json_t *row = json_array_get(rows, i);
        const char *name = json_string_value(json_array_get(classes, i));
        snprintf(c->number[i], sizeof c->number[i], "%d", (int)i);
        c->name[i] = name ? name : c->number[i];
        if (json_array_size(row) != n) return bm_fail(BM_ERR_DAMAGED, "%s: \"confusion\" is no square", path);
        for (size_t k = 0; k < n; k++) {
            c->count[i * n + k] = json_integer_value(json_array_get(row, k));
            if (c->count[i * n + k] < 0 || c->count[i * n + k] > MOST_COUNT)
                return bm_fail(BM_ERR_DAMAGED, "%s: \"confusion\" counts beyond what there can be", path);
            c->all[i] += c->count[i * n + k];
        }
    }
    return BM_OK;
}

static bm_status read_json(confusion *c, const char *path)
{
    char *text = NULL;
    size_t bytes;
    json_error_t e;
    const int standard = !strcmp(path, "-");
    BM_TRY(bm_file_read(&text, &bytes, standard ? "/dev/stdin" : path, MOST_BYTES));
    c->root = json_loadb(text, bytes, 0, &e);
    bm_free(text);
    path = standard ? "standard input" : path;
    return c->root ? read_counts(c, path) : bm_fail(BM_ERR_REFUSED, "%s:%d: not JSON: %s", path, e.line, e.text);
}

static double share(const confusion *c, int i, int k)
{
    return c->all[i] ? (double)c->count[(int64_t)i * c->n + k] / (double)c->all[i] : 0;
}

static int longest(const confusion *c)
{
    int most = 1;
    for (int i = 0; i < c->n; i++)
        if ((int)strlen(c->name[i]) > most) most = (int)strlen(c->name[i]);
    return most < 24 ? most : 24;
}

static void add_tics(bm_str *s, const confusion *c, const char *axis, const char *how)
{
    const int every = 1 + (c->n - 1) / 60;
    bm_str_addf(s, "set %stics %s (", axis, how);
    for (int i = 0; i < c->n; i += every) {
        char name[100];
        snprintf(name, sizeof name, "%.24s%s", c->name[i], strlen(c->name[i]) > 24 ? ".." : "");
        bm_str_add(s, i ? ", " : "");
        bm_gnuplot_quote(s, name);
        bm_str_addf(s, " %d", i);
    }
    bm_str_add(s, ")\n");
}

/* x, y, share, and the count as a text where it has room: light on dark cells. */
static void add_cells(bm_str *s, const confusion *c)
{
    bm_str_add(s, "$cells << EOD\n");
    for (int i = 0; i < c->n; i++) {
        for (int k = 0; k < c->n; k++) {
            bm_str_addf(s, "%d %d ", k, i);
            bm_gnuplot_number(s, share(c, i, k));
            bm_str_addf(s, " %lld\n", (long long)c->count[(int64_t)i * c->n + k]);
        }
        bm_str_add(s, "\n");
    }
    bm_str_add(s, "EOD\nplot $cells using 1:2:3 with image notitle");
    if (c->n <= MOST_NUMBERS)
        bm_str_add(s, ", $cells using 1:2:($3 <= 0.55 && $4 > 0 ? sprintf('%d', int($4)) : '') with labels textcolor rgb '#333333' notitle"
                      ", $cells using 1:2:($3 > 0.55 ? sprintf('%d', int($4)) : '') with labels textcolor rgb '#ffffff' notitle");
    bm_str_add(s, "\n");
}

static bm_status write_picture(const bm_plot *p, const confusion *c)
{
    const int names = 8 * longest(c), tilted = names > 40, cell = c->n <= 4 ? 80 : c->n <= 12 ? 52 : c->n <= MOST_NUMBERS ? 40 : c->n <= 100 ? 10 : 4;
    const int left = names + 60, right = 100, top = 24, bottom = (tilted ? names * 3 / 4 : 20) + 44;
    const int side = c->n * cell > 200 ? c->n * cell : 200;
    const int width = p->width ? (int)p->width : left + side + right, height = p->height ? (int)p->height : top + side + bottom;
    bm_str s;
    bm_str_init(&s);
    bm_str_add(&s, "set border lc rgb '#888888'\nset tics nomirror out scale 0 textcolor rgb '#333333'\nset palette defined (0 '#ffffff', 0.5 "
                   "'#8fb3d4', 1 '#1f4e79')\nset cbrange [0:1]\nset cblabel 'share of the class'\nset xlabel 'taken for'\nset ylabel 'class'\n");
    const char *const side_name[] = {"lmargin", "rmargin", "tmargin", "bmargin"};
    const double at[] = {(double)left / width, 1 - (double)right / width, 1 - (double)top / height, (double)bottom / height};
    for (int i = 0; i < 4; i++) {
        bm_str_addf(&s, "set %s at screen ", side_name[i]);
        bm_gnuplot_number(&s, at[i]);
        bm_str_add(&s, "\n");
    }
    bm_str_addf(&s, "set xrange [-0.5:%d.5]\nset yrange [%d.5:-0.5]\n", c->n - 1, c->n - 1);
    add_tics(&s, c, "x", tilted ? "rotate by 40 right" : "norotate");
    add_tics(&s, c, "y", "");
    add_cells(&s, c);
    bm_status status = bm_gnuplot_write(p->output, &s, width, height);
    if (!status) bm_out_note("wrote %s", p->output);
    bm_str_finish(&s);
    return status;
}

static bm_status print_table(const confusion *c)
{
    bm_table *t = NULL;
    char(*head)[32] = bm_calloc((size_t)c->n + 1, sizeof *head);
    const char **heads = bm_calloc((size_t)c->n + 3, sizeof *heads);
    bm_status status = BM_ERR_MEMORY;
    if (!head || !heads) goto done;
    heads[0] = "class \\ taken for";
    for (int i = 0; i < c->n; i++) {
        snprintf(head[i], sizeof head[i], ">%.12s", c->name[i]);
        heads[i + 1] = head[i];
    }
    heads[c->n + 1] = ">right";
    BM_GO(bm_table_create(&t, heads));
    for (int i = 0; i < c->n; i++) {
        bm_table_add(t, "%.24s", c->name[i]);
        for (int k = 0; k < c->n; k++) {
            if (c->count[(int64_t)i * c->n + k]) bm_table_add(t, "%lld", (long long)c->count[(int64_t)i * c->n + k]);
            else bm_table_add(t, ".");
        }
        bm_table_add(t, "%.1f %%", 100 * share(c, i, i));
    }
    status = bm_table_print(t, stdout);
done:
    bm_table_destroy(t);
    bm_free(heads);
    bm_free(head);
    return status;
}

bm_status bm_plot_confusion(const bm_plot *p)
{
    confusion c = {0};
    if (p->paths > 1) return bm_fail(BM_ERR_USAGE, "--confusion draws one table");
    bm_status status = read_json(&c, p->path[0]);
    if (!status && p->output) status = write_picture(p, &c);
    if (!status && (!p->output || p->terminal)) {
        if (c.n > MOST_WIDE) status = bm_fail(BM_ERR_REFUSED, "%d classes are too many for a terminal: -o FILE.png draws them", c.n);
        else status = print_table(&c);
    }
    finish(&c);
    return status;
}
