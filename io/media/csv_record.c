/* The record that is being read: bytes into fields. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "io/media/csv_priv.h"
#include "io/text/utf8.h"

void bm_csv_begin(bm_csv *c)
{
    c->length = 0;
    c->n = 0;
    c->record = c->line;
}

static bm_status grow_fields(bm_csv *c)
{
    int64_t room = c->room ? 2 * c->room : 16;
    bm_csv_span *spans = bm_realloc(c->spans, (size_t)room, sizeof *spans);
    if (!spans) return BM_ERR_MEMORY;
    c->spans = spans;
    bm_csv_field *fields = bm_realloc(c->fields, (size_t)room, sizeof *fields);
    if (!fields) return BM_ERR_MEMORY;
    c->fields = fields;
    c->room = room;
    return BM_OK;
}

bm_status bm_csv_field_begin(bm_csv *c, int quoted)
{
    if (c->n == BM_CSV_MOST_FIELDS)
        return bm_csv_fail(c, c->record, "more than %d fields", BM_CSV_MOST_FIELDS);
    if (c->n == c->room) BM_TRY(grow_fields(c));
    c->spans[c->n++] = (bm_csv_span){c->length, quoted};
    return BM_OK;
}

bm_status bm_csv_put(bm_csv *c, int byte)
{
    if (c->length == c->capacity) {
        if (c->capacity >= BM_CSV_MOST_RECORD)
            return bm_csv_fail(c, c->record, "the record is longer than %zu MiB", BM_CSV_MOST_RECORD >> 20);
        size_t capacity = c->capacity ? 2 * c->capacity : 1024;
        char *text = bm_realloc(c->text, capacity, 1);
        if (!text) return BM_ERR_MEMORY;
        c->text = text;
        c->capacity = capacity;
    }
    c->text[c->length++] = (char)byte;
    return BM_OK;
}

bm_status bm_csv_field_end(bm_csv *c)
{
    const bm_csv_span *s = &c->spans[c->n - 1];
    while (!s->quoted && c->length > s->start && (c->text[c->length - 1] == ' ' || c->text[c->length - 1] == '\t')) c->length--;
    return bm_csv_put(c, '\0');
}

static int is_missing(const bm_csv *c, const char *text, size_t length, int quoted)
{
    static const char *const words[] = {"?", "NA", "NaN", "nan", "null", "NULL"};
    if (c->arff) return !quoted && strcmp(text, "?") == 0;
    if (length == 0) return 1;
    for (size_t i = 0; !quoted && i < sizeof words / sizeof *words; i++) {
        if (strcmp(text, words[i]) == 0) return 1;
    }
    return 0;
}

bm_status bm_csv_record_end(bm_csv *c)
{
    for (int64_t i = 0; i < c->n; i++) {
        const bm_csv_span *s = &c->spans[i];
        const char *text = c->text + s->start;
        const size_t length = (i + 1 < c->n ? c->spans[i + 1].start : c->length) - s->start - 1;
        if (memchr(text, '\0', length))
            return bm_csv_fail(c, c->record, "a NUL in field %lld: no text, or one in UTF-16 (save it as UTF-8)",
                               (long long)i + 1);
        if (!bm_utf8_valid(text, length))
            return bm_csv_fail(c, c->record, "field %lld is not UTF-8: save the file as UTF-8", (long long)i + 1);
        c->fields[i] = (bm_csv_field){text, length, is_missing(c, text, length, s->quoted)};
    }
    return BM_OK;
}

int bm_csv_take(bm_csv *c)
{
    int byte = bm_input_next(c->in);
    if (byte == '\r') {
        if (bm_input_peek(c->in) == '\n') bm_input_next(c->in);
        byte = '\n';
    }
    c->line += byte == '\n';
    return byte;
}

int bm_csv_peek(bm_csv *c)
{
    int byte = bm_input_peek(c->in);
    return byte == '\r' ? '\n' : byte;
}

/* With the blank as the delimiter, any number of blanks and tabs is one, and skipped. */
int bm_csv_is_blank(const bm_csv *c, int byte)
{
    return (byte == ' ' || byte == '\t') && (byte != c->opts.delimiter || byte == ' ');
}

void bm_csv_skip_blanks(bm_csv *c)
{
    while (bm_csv_is_blank(c, bm_csv_peek(c))) bm_csv_take(c);
}

const char *bm_csv_excerpt(char buf[BM_CSV_EXCERPT], const char *text)
{
    const size_t most = BM_CSV_EXCERPT - 4;
    size_t n = strlen(text);
    const int cut = n > most;
    if (cut) {
        n = most;
        while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80) n--; /* to where a character of UTF-8 begins */
    }
    for (size_t i = 0; i < n; i++) buf[i] = (unsigned char)text[i] < 0x20 ? ' ' : text[i];
    strcpy(buf + n, cut ? "..." : "");
    return buf;
}

int bm_csv_number(double *out, const char *text)
{
    double x;
    if (text[strspn(text, "0123456789+-.eE")] || bm_parse_f64(&x, text) || !isfinite(x)) return 0;
    *out = x;
    return 1;
}
