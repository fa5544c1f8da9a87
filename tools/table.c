#include "tools/table.h"

#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "tools/out.h"

struct bm_table {
    const char *const *heads;
    size_t columns;
    bm_str text; /* all cells, each with its terminator */
    size_t cells;
    size_t *width; /* of each column so far */
};

/* Characters, not bytes: continuation bytes of UTF-8 take no room. */
static size_t width_of(const char *text)
{
    size_t n = 0;
    for (; *text; text++) n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

static const char *head_text(const char *head) { return head + (head[0] == '>'); }

bm_status bm_table_create(bm_table **out, const char *const *heads)
{
    *out = NULL;
    bm_table *t = bm_calloc(1, sizeof *t);
    if (!t) return BM_ERR_MEMORY;
    t->heads = heads;
    while (heads[t->columns]) t->columns++;
    bm_str_init(&t->text);
    t->width = bm_calloc(t->columns, sizeof *t->width);
    if (!t->width) {
        bm_table_destroy(t);
        return BM_ERR_MEMORY;
    }
    for (size_t c = 0; c < t->columns; c++) t->width[c] = width_of(head_text(heads[c]));
    *out = t;
    return BM_OK;
}

void bm_table_destroy(bm_table *t)
{
    if (!t) return;
    bm_str_finish(&t->text);
    bm_free(t->width);
    bm_free(t);
}

void bm_table_add(bm_table *t, const char *fmt, ...)
{
    char cell[512];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(cell, sizeof cell, fmt, args);
    va_end(args);
    size_t start = t->text.length;
    bm_str_add_shown(&t->text, cell, n < 0 ? 0 : strlen(cell));
    bm_str_add_bytes(&t->text, "", 1);
    if (bm_str_status(&t->text)) return;
    size_t width = width_of(t->text.text + start), *most = &t->width[t->cells++ % t->columns];
    if (width > *most) *most = width;
}

/* One cell; the last of a row that is aligned left gets no blanks behind it. */
static void print_cell(const bm_table *t, size_t c, const char *text, FILE *out)
{
    const int blanks = (int)(t->width[c] - width_of(text)), right = t->heads[c][0] == '>';
    const int last = c + 1 == t->columns;
    fprintf(out, "%*s%s%*s%s", right ? blanks : 0, "", text, right || last ? 0 : blanks, "", last ? "" : "  ");
}

bm_status bm_table_print(const bm_table *t, FILE *out)
{
    if (bm_str_status(&t->text)) return bm_str_status(&t->text);
    const char *bold = bm_out_style(out, BM_BOLD);
    fputs(bold, out);
    for (size_t c = 0; c < t->columns; c++) print_cell(t, c, head_text(t->heads[c]), out);
    fprintf(out, "%s\n", bold[0] ? bm_out_style(out, BM_PLAIN) : "");
    const char *text = t->text.text;
    for (size_t i = 0; i < t->cells; i++, text += strlen(text) + 1) {
        print_cell(t, i % t->columns, text, out);
        if (i % t->columns == t->columns - 1 || i + 1 == t->cells) fputc('\n', out);
    }
    return BM_OK;
}
