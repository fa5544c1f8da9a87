/* ARFF: the header's declarations become columns, then one line is one record. */
#include <string.h>
#include <strings.h>

#include "core/base/mem.h"
#include "io/media/csv_priv.h"

static int is_blank(int byte) { return byte == ' ' || byte == '\t'; }

/* To the end of the line, which is left. */
static void skip_rest(bm_csv *c)
{
    for (int byte = bm_csv_peek(c); byte >= 0 && byte != '\n'; byte = bm_csv_peek(c)) bm_csv_take(c);
}

/* Blanks, empty lines and comments; what comes next, -1 at the end. */
static int skip_to_text(bm_csv *c)
{
    for (;;) {
        int byte = bm_csv_peek(c);
        if (byte == '%') skip_rest(c);
        else if (is_blank(byte) || byte == '\n') bm_csv_take(c);
        else return byte;
    }
}

static int escaped(int byte)
{
    switch (byte) {
    case 'n': return '\n';
    case 't': return '\t';
    case 'r': return '\r';
    default: return byte;
    }
}

static bm_status read_quoted(bm_csv *c)
{
    const int quote = bm_csv_take(c);
    BM_TRY(bm_csv_field_begin(c, 1));
    for (;;) {
        if (bm_csv_peek(c) < 0 || bm_csv_peek(c) == '\n') {
            if (c->in->status) return c->in->status;
            return bm_csv_fail(c, c->line, "a quote (%c) that begins here is never closed", quote);
        }
        int byte = bm_csv_take(c);
        if (byte == quote) break;
        if (byte == '\\' && bm_csv_peek(c) >= 0) byte = escaped(bm_csv_take(c));
        BM_TRY(bm_csv_put(c, byte));
    }
    return bm_csv_field_end(c);
}

/* A quoted text, or bytes up to one of `ends` or the end of the line. */
static bm_status read_word(bm_csv *c, const char *ends)
{
    int byte = bm_csv_peek(c);
    if (byte == '"' || byte == '\'') return read_quoted(c);
    BM_TRY(bm_csv_field_begin(c, 0));
    for (; byte >= 0 && byte != '\n' && !(byte && strchr(ends, byte)); byte = bm_csv_peek(c))
        BM_TRY(bm_csv_put(c, bm_csv_take(c)));
    return bm_csv_field_end(c);
}

static bm_status read_values(bm_csv *c)
{
    int byte;
    bm_csv_take(c); /* { */
    do {
        bm_csv_skip_blanks(c);
        BM_TRY(read_word(c, ",}%"));
        bm_csv_skip_blanks(c);
        byte = bm_csv_take(c);
    } while (byte == ',');
    if (byte == '}') return BM_OK;
    return c->in->status ? c->in->status : bm_csv_fail(c, c->record, "%s", "expected , or } in the list of values");
}

static bm_status copy_values(bm_csv_column *column, const bm_csv *c)
{
    char **values = bm_calloc((size_t)c->n, sizeof *values);
    if (!values) return BM_ERR_MEMORY;
    column->values = (const char *const *)values;
    for (int64_t i = 1; i < c->n; i++) {
        values[i - 1] = bm_strdup(c->fields[i].text);
        if (!values[i - 1]) return BM_ERR_MEMORY;
        column->n_values = i;
    }
    return BM_OK;
}

static bm_status kind_of(bm_csv_kind *out, const bm_csv *c, const char *type)
{
    static const struct {
        const char *name;
        bm_csv_kind kind;
    } kinds[] = {{"numeric", BM_CSV_NUMBER}, {"real", BM_CSV_NUMBER}, {"integer", BM_CSV_NUMBER}, {"string", BM_CSV_STRING}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcasecmp(type, kinds[i].name) != 0) continue;
        *out = kinds[i].kind;
        return BM_OK;
    }
    return bm_fail(BM_ERR_UNSUPPORTED, "%s:%lld: an attribute of type %.40s (there are numeric, real, integer, string and lists)",
                   c->path, (long long)c->record, type);
}

/* NAME TYPE or NAME {VALUE, ...}, as the fields of one record. */
static bm_status read_attribute(bm_csv *c)
{
    bm_csv_kind kind = BM_CSV_NOMINAL;
    bm_csv_skip_blanks(c);
    BM_TRY(read_word(c, " \t{%"));
    bm_csv_skip_blanks(c);
    const int listed = bm_csv_peek(c) == '{';
    BM_TRY(listed ? read_values(c) : read_word(c, " \t{%"));
    BM_TRY(c->in->status);
    BM_TRY(bm_csv_record_end(c));
    if (!c->fields[0].length || !c->fields[1].length)
        return bm_csv_fail(c, c->record, "%s", "@attribute needs a name and a type");
    if (!listed) BM_TRY(kind_of(&kind, c, c->fields[1].text));
    BM_TRY(bm_csv_add_column(c, c->fields[0].text, kind));
    return listed ? copy_values(&c->columns[c->n_columns - 1], c) : BM_OK;
}

/* One line that begins with @; *data when it is the last of the header. */
static bm_status read_declaration(bm_csv *c, int *data)
{
    bm_csv_begin(c);
    BM_TRY(read_word(c, " \t%"));
    BM_TRY(bm_csv_record_end(c));
    *data = strcasecmp(c->fields[0].text, "@data") == 0;
    const int attribute = strcasecmp(c->fields[0].text, "@attribute") == 0;
    if (!*data && !attribute && strcasecmp(c->fields[0].text, "@relation") != 0)
        return bm_csv_fail(c, c->record, "\"%.40s\" is none of @relation, @attribute and @data", c->fields[0].text);
    if (attribute) {
        bm_csv_begin(c);
        BM_TRY(read_attribute(c));
    }
    skip_rest(c);
    return BM_OK;
}

bm_status bm_arff_header(bm_csv *c)
{
    int data = 0;
    c->named = 1;
    while (!data) {
        if (skip_to_text(c) < 0)
            return c->in->status ? c->in->status : bm_csv_fail(c, c->line, "%s", "the file ends before @data");
        BM_TRY(read_declaration(c, &data));
    }
    return c->n_columns ? BM_OK : bm_csv_fail(c, c->line, "%s", "no @attribute before @data");
}

static bm_status refuse_braces(const bm_csv *c)
{
    return bm_fail(BM_ERR_UNSUPPORTED, "%s:%lld: sparse rows and weights ({...}) are not read", c->path, (long long)c->record);
}

bm_status bm_arff_record(bm_csv *c)
{
    int byte = skip_to_text(c);
    bm_csv_begin(c);
    if (byte < 0) return c->in->status;
    for (;;) {
        while (is_blank(bm_csv_peek(c))) bm_csv_take(c);
        if (bm_csv_peek(c) == '{') return refuse_braces(c);
        BM_TRY(read_word(c, ",\t%"));
        bm_csv_skip_blanks(c);
        byte = bm_csv_peek(c);
        if (byte == ',') bm_csv_take(c);
        else if (byte < 0 || byte == '\n' || byte == '%') break;
        else if (c->spans[c->n - 1].quoted)
            return bm_csv_fail(c, c->record, "value %lld has text behind its closing quote", (long long)c->n);
    }
    skip_rest(c);
    BM_TRY(c->in->status);
    return bm_csv_record_end(c);
}
