/* The resolved configuration as YAML and JSON, reading the JSON back, and the help text. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/json_priv.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "io/text/utf8.h"
#include "models/config/config_priv.h"

#define MOST_JSON_BYTES (16u << 20)

static const char *const section_order[] = {"model", "data", "train", ""};

/* Keys of the program's own that are null, and required ones not yet set, are not written. */
static int is_written(const bm_config_slot *s)
{
    return (s->key->doc || !s->is_null) && (s->key->fallback || s->given);
}

/* What YAML does not take as it is, or takes for a line break: c-printable of YAML 1.1, section 5.1, and b-char, 5.4. */
static int needs_escape(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029 || c == 0xfeff || c == 0xfffe || c == 0xffff;
}

/* A double-quoted text that is the same in YAML and JSON; `text` is valid UTF-8. */
static void add_quoted(bm_str *out, const char *text)
{
    size_t left = strlen(text);
    bm_str_add(out, "\"");
    for (const unsigned char *p = (const unsigned char *)text; left > 0;) {
        int n = bm_utf8_length(p, left);
        uint32_t c = n == 1 ? p[0] : n == 2 ? p[0] & 0x1fu : n == 3 ? p[0] & 0x0fu : p[0] & 0x07u;
        for (int i = 1; i < n; i++) c = c << 6 | (p[i] & 0x3fu);
        if (c == '"' || c == '\\') bm_str_add(out, "\\");
        if (needs_escape(c)) bm_str_addf(out, "\\u%04x", (unsigned)c);
        else bm_str_add_bytes(out, p, (size_t)n);
        p += n;
        left -= (size_t)n;
    }
    bm_str_add(out, "\"");
}

/* Whether a plain YAML scalar reads back as this very text. */
static int is_plain(const char *text)
{
    static const char *const words[] = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"};
    static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_/.+-:";
    size_t n = strlen(text);
    if (!n || text[strspn(text, safe)] || strchr("0123456789.+-:", text[0]) || text[n - 1] == ':') return 0;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t k = 0;
        while (text[k] && (text[k] | 0x20) == words[i][k]) k++;
        if (!text[k] && !words[i][k]) return 0;
    }
    return 1;
}

static void add_value(bm_str *out, const bm_config_slot *s, int json)
{
    char number[48];
    if (s->is_null) bm_str_add(out, "null");
    else if (s->key->type == BM_CONFIG_COUNT && !s->i64) bm_str_add(out, json ? "\"all\"" : "all");
    else if (s->key->type == BM_CONFIG_LIST || (s->key->type == BM_CONFIG_NUMBERS && *s->string == '[')) bm_str_add(out, s->string);
    else if (s->key->type == BM_CONFIG_I64 || s->key->type == BM_CONFIG_COUNT) bm_str_addf(out, "%lld", (long long)s->i64);
    else if (s->key->type == BM_CONFIG_BOOL) bm_str_add(out, s->i64 ? "true" : "false");
    else if (s->key->type == BM_CONFIG_F64) bm_str_add(out, bm_config_format_f64(number, sizeof number, s->f64));
    else if (!json && is_plain(s->string)) bm_str_add(out, s->string);
    else add_quoted(out, s->string);
}

static void value_text(char out[BM_CONFIG_VALUE], const bm_config_slot *s)
{
    bm_str text;
    bm_str_init(&text);
    add_value(&text, s, 0);
    snprintf(out, BM_CONFIG_VALUE, "%s", bm_str_status(&text) ? "?" : bm_str_text(&text));
    bm_str_finish(&text);
}

static int same_value(const bm_config_slot *a, const bm_config_slot *b)
{
    if (a->is_null || b->is_null) return 1;
    if (a->key->type == BM_CONFIG_F64) return a->f64 == b->f64;
    if (a->key->type == BM_CONFIG_I64 || a->key->type == BM_CONFIG_COUNT || a->key->type == BM_CONFIG_BOOL) return a->i64 == b->i64;
    return strcmp(a->string, b->string) == 0;
}

const char *bm_config_next_difference(size_t *at, char mine[BM_CONFIG_VALUE], char theirs[BM_CONFIG_VALUE],
                                      const bm_config *a, const bm_config *b, const char *section)
{
    while (*at < a->n_slots) {
        const bm_config_slot *x = &a->slots[(*at)++];
        const bm_config_slot *y = strcmp(x->section, section) ? NULL : bm_config_find(b, section, x->key->name);
        if (!y || same_value(x, y)) continue;
        value_text(mine, x);
        value_text(theirs, y);
        return x->key->name;
    }
    return NULL;
}

static bm_status take(char **out, bm_str *text)
{
    bm_status status;
    bm_str_add(text, "");
    status = bm_str_status(text);
    *out = bm_str_take(text);
    bm_str_finish(text);
    return status;
}

bm_status bm_config_to_yaml(char **out, const bm_config *c)
{
    bm_str text;
    bm_str_init(&text);
    for (size_t k = 0; k < 4; k++) {
        const char *section = section_order[k];
        if (*section) bm_str_addf(&text, "%s:\n", section);
        for (size_t i = 0; i < c->n_slots; i++) {
            const bm_config_slot *s = &c->slots[i];
            if (strcmp(s->section, section) != 0 || !is_written(s)) continue;
            bm_str_addf(&text, "%s%s: ", *section ? "  " : "", s->key->name);
            add_value(&text, s, 0);
            bm_str_add(&text, "\n");
        }
    }
    return take(out, &text);
}

bm_status bm_config_to_json(char **out, const bm_config *c)
{
    bm_str text;
    bm_str_init(&text);
    bm_str_add(&text, "{");
    for (size_t k = 0; k < 4; k++) {
        const char *section = section_order[k];
        const char *comma = *section ? "" : ", ";
        if (*section) bm_str_addf(&text, "%s\"%s\": {", k ? ", " : "", section);
        for (size_t i = 0; i < c->n_slots; i++) {
            const bm_config_slot *s = &c->slots[i];
            if (strcmp(s->section, section) != 0 || !is_written(s)) continue;
            bm_str_addf(&text, "%s\"%s\": ", comma, s->key->name);
            add_value(&text, s, 1);
            comma = ", ";
        }
        if (*section) bm_str_add(&text, "}");
    }
    bm_str_add(&text, "}");
    return take(out, &text);
}

static bm_status add_json(bm_config_entries *list, const char *section, const char *name, json_t *value,
                          const char *source)
{
    bm_config_entry e = {.section = (char *)section, .name = (char *)name, .quoted = json_is_string(value), .source = source};
    char *number = NULL;
    bm_status status;
    if (json_is_string(value)) {
        e.text = (char *)json_string_value(value);
        if (strlen(e.text) != json_string_length(value))
            return bm_fail(BM_ERR_CONFIG, "%s: %s: a NUL character in a text", source, name);
    } else if (json_is_number(value) || json_is_array(value)) {
        BM_TRY(bm_json_text(&number, value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(17)));
        e.text = number;
        e.list = json_is_array(value);
    } else if (json_is_boolean(value)) {
        e.text = json_is_true(value) ? "true" : "false";
    } else if (json_is_null(value)) {
        e.text = "null";
    } else {
        return bm_fail(BM_ERR_CONFIG, "%s: %s%s%s: expected a value, found an object", source, section,
                       *section ? "." : "", name);
    }
    status = bm_config_entries_add(list, &e);
    bm_free(number);
    return status;
}

static bm_status add_all(bm_config_entries *list, json_t *root, const char *source)
{
    const char *section, *name;
    json_t *value, *inner;
    json_object_foreach(root, section, value) {
        if (!json_is_object(value)) {
            BM_TRY(add_json(list, "", section, value, source));
            continue;
        }
        json_object_foreach(value, name, inner) BM_TRY(add_json(list, section, name, inner, source));
    }
    return BM_OK;
}

bm_status bm_config_from_json(bm_config *c, const char *text, size_t bytes, const char *name)
{
    bm_config_entries list = {0};
    const char *source;
    json_error_t error;
    json_t *root = NULL;
    bm_status status = BM_OK;
    if (bytes > MOST_JSON_BYTES) return bm_fail(BM_ERR_CONFIG, "%s: too large for a configuration", name);
    BM_GO(bm_config_add_source(&source, c, name));
    root = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &error);
    if (!root) {
        status = bm_fail(BM_ERR_CONFIG, "%s:%d: not valid JSON: %s", name, error.line, error.text);
        goto done;
    }
    if (!json_is_object(root)) {
        status = bm_fail(BM_ERR_CONFIG, "%s: expected an object", name);
        goto done;
    }
    BM_GO(add_all(&list, root, source));
    BM_GO(bm_config_apply_all(c, &list));
done:
    bm_config_entries_finish(&list);
    json_decref(root);
    return status;
}

static void add_help(bm_str *out, const char *section, const bm_config_key *keys, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char name[96], limits[320];
        if (!keys[i].doc) continue;
        snprintf(name, sizeof name, "%s%s%s", section, *section ? "." : "", keys[i].name);
        bm_str_addf(out, "  %-23s %-10s %s", name, keys[i].fallback ? keys[i].fallback : "(required)", keys[i].doc);
        if (keys[i].allowed) bm_str_addf(out, " [%s]", bm_config_limits(&keys[i], limits, sizeof limits));
        bm_str_add(out, "\n");
    }
}

bm_status bm_config_help(char **out, const bm_config_family *const *families, size_t n_families)
{
    bm_str text;
    bm_str_init(&text);
    bm_str_addf(&text, "  %-23s %-10s the kind of model:", "model.family", "(required)");
    for (size_t i = 0; i < n_families; i++) bm_str_addf(&text, "%s %s", i ? "," : "", families[i]->name);
    bm_str_add(&text, "\n");
    for (size_t i = 0; i < n_families; i++) {
        const bm_config_family *f = families[i];
        if (n_families > 1) bm_str_addf(&text, "family %s\n", f->name);
        add_help(&text, "model", f->keys, f->n_keys);
        for (const char *const *d = f->defaults; d && *d; d++) bm_str_addf(&text, "  (here %s)\n", *d);
    }
    if (n_families > 1) bm_str_add(&text, "every family\n");
    for (size_t i = 0; i < BM_CONFIG_N_COMMON; i++)
        add_help(&text, bm_config_common[i].name, bm_config_common[i].keys, bm_config_common[i].n_keys);
    return take(out, &text);
}
