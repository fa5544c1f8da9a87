/* Values of one key: reading, checking against what is allowed, saying what was expected, writing numbers. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "io/text/utf8.h"
#include "models/config/config_priv.h"

typedef struct interval {
    char low[32], high[32]; /* as the table writes them; high may be "inf" */
    int low_open, high_open;
} interval;

/* "[0, 1)" out of a table: the tables are the program's own, and a test reads every row. */
static interval interval_split(const char *text)
{
    interval v = {"", "", text[0] == '(', text[strlen(text) - 1] == ')'};
    const char *comma = strchr(text, ',');
    snprintf(v.low, sizeof v.low, "%.*s", (int)(comma - text - 1), text + 1);
    comma += strspn(comma, ", ");
    snprintf(v.high, sizeof v.high, "%.*s", (int)strcspn(comma, ")]"), comma);
    return v;
}

static int interval_holds(const char *text, double x)
{
    interval v = interval_split(text);
    double low = -HUGE_VAL, high = HUGE_VAL;
    bm_parse_f64(&low, v.low);
    if (strcmp(v.high, "inf") != 0) bm_parse_f64(&high, v.high);
    return (v.low_open ? x > low : x >= low) && (v.high_open ? x < high : x <= high);
}

static int choice_holds(const char *choices, const char *text)
{
    size_t n = strlen(text);
    while (*choices) {
        size_t m = strcspn(choices, "|");
        if (n == m && memcmp(choices, text, n) == 0) return 1;
        choices += m + (choices[m] == '|');
    }
    return 0;
}

char *bm_config_limits(const bm_config_key *key, char *buf, size_t bytes)
{
    if (key->type == BM_CONFIG_CHOICE || !key->allowed) {
        snprintf(buf, bytes, "%s", key->allowed ? key->allowed : "");
    } else {
        interval v = interval_split(key->allowed);
        int closed = strcmp(v.high, "inf") != 0;
        snprintf(buf, bytes, "%s %s%s%s", v.low_open ? ">" : ">=", v.low, closed ? (v.high_open ? " and < " : " and <= ") : "",
                 closed ? v.high : "");
    }
    return buf;
}

char *bm_config_expected(const bm_config_key *key, char *buf, size_t bytes)
{
    static const char *const noun[] = {"an integer", "a number", "true or false", "a text", "one of", "a path", "an integer", "a list of integers"};
    char limits[320];
    int only = key->type == BM_CONFIG_CHOICE && !strchr(key->allowed, '|');
    bm_config_limits(key, limits, sizeof limits);
    snprintf(buf, bytes, "%s%s%s%s%s", only ? "" : noun[key->type], limits[0] && !only ? " " : "", limits,
             key->type == BM_CONFIG_COUNT ? " or all" : "", key->fallback && strcmp(key->fallback, "null") == 0 ? " or null" : "");
    return buf;
}

static bm_status unexpected(const bm_config_key *key, const char *text, int quoted)
{
    char expected[400];
    const char *q = quoted ? "\"" : "";
    bm_config_expected(key, expected, sizeof expected);
    return bm_fail(BM_ERR_CONFIG, "%s%.80s%s%s: expected %s", q, text, q, strlen(text) > 80 ? "..." : "", expected);
}

/* A decimal number as YAML 1.2 and JSON have it: no hexadecimal, no underscores, no infinities. */
static int is_decimal(const char *text)
{
    return text[strspn(text, "0123456789+-.eE")] == '\0' && strpbrk(text, "0123456789") != NULL;
}

static bm_status parse_i64(bm_config_slot *slot, const char *text)
{
    double x;
    if (is_decimal(text) && bm_parse_i64(&slot->i64, text) == 0) return BM_OK;
    if (is_decimal(text) && bm_parse_f64(&x, text) == 0 && x == floor(x) && fabs(x) < 1e15) {
        char expected[400];
        return bm_fail(BM_ERR_CONFIG, "%.80s: expected %s (write %.0f)", text,
                       bm_config_expected(slot->key, expected, sizeof expected), x);
    }
    return unexpected(slot->key, text, 0);
}

void bm_config_list_add(bm_str *list, const char *element)
{
    bm_str_addf(list, "%s%s", list->length ? ", " : "", element);
}

/* The elements of "[64, 64]", "64, 64" or "64"; how many, or -1. */
static int read_list(int64_t out[BM_CONFIG_LIST_MOST], const bm_config_key *key, const char *text)
{
    char element[32];
    int n = 0, bracket = *text == '[';
    const char *end = text + strlen(text), *at = text + bracket;
    if (bracket && (end - at < 1 || end[-1] != ']')) return -1;
    end -= bracket;
    while (at < end) {
        at += strspn(at, " ");
        const size_t length = strcspn(at, ",] ");
        if (n == BM_CONFIG_LIST_MOST || length >= sizeof element) return -1;
        snprintf(element, sizeof element, "%.*s", (int)length, at);
        if (!is_decimal(element) || bm_parse_i64(&out[n], element) || !interval_holds(key->allowed, (double)out[n])) return -1;
        n++;
        at += length;
        at += strspn(at, " ");
        if (at < end && *at++ != ',') return -1;
    }
    return n;
}

/* Kept as it is written. */
static bm_status parse_list(bm_config_slot *slot, const char *text)
{
    int64_t element[BM_CONFIG_LIST_MOST];
    const int n = read_list(element, slot->key, text);
    bm_str list;
    if (n < 0) return unexpected(slot->key, text, 0);
    bm_str_init(&list);
    bm_str_add(&list, "[");
    for (int i = 0; i < n; i++) bm_str_addf(&list, "%s%lld", i ? ", " : "", (long long)element[i]);
    bm_str_add(&list, "]");
    bm_status status = bm_str_status(&list);
    bm_free(slot->string);
    slot->string = bm_str_take(&list);
    bm_str_finish(&list);
    return status;
}

int bm_config_list_of(int64_t out[BM_CONFIG_LIST_MOST], const bm_config_slot *slot)
{
    return slot->string ? read_list(out, slot->key, slot->string) : 0;
}

static bm_status parse_bool(bm_config_slot *slot, const char *text)
{
    static const char *const words[] = {"false", "False", "FALSE", "true", "True", "TRUE"};
    for (int i = 0; i < 6; i++) {
        if (strcmp(text, words[i]) == 0) {
            slot->i64 = i >= 3;
            return BM_OK;
        }
    }
    return unexpected(slot->key, text, 0);
}

static bm_status parse_string(bm_config_slot *slot, const bm_config *c, const char *text, int quoted)
{
    char *copy;
    const bm_config_key *key = slot->key;
    if (!bm_utf8_valid(text, strlen(text))) return bm_fail(BM_ERR_CONFIG, "the text is not valid UTF-8");
    if (key->type == BM_CONFIG_CHOICE && !choice_holds(key->allowed, text)) return unexpected(key, text, quoted);
    if (key->type == BM_CONFIG_PATH && text[0] == '\0') return unexpected(key, text, 1);
    copy = key->type == BM_CONFIG_PATH ? bm_path_join(c->folder, text) : bm_strdup(text);
    if (!copy) return BM_ERR_MEMORY;
    bm_free(slot->string);
    slot->string = copy;
    return BM_OK;
}

static int is_null_word(const char *text)
{
    return text[0] == '\0' || strcmp(text, "~") == 0 || strcmp(text, "null") == 0 || strcmp(text, "Null") == 0 ||
           strcmp(text, "NULL") == 0;
}

bm_status bm_config_parse(bm_config_slot *slot, const bm_config *c, const char *text, int quoted)
{
    const bm_config_key *key = slot->key;
    const int text_type = key->type == BM_CONFIG_STRING || key->type == BM_CONFIG_CHOICE || key->type == BM_CONFIG_PATH;
    if (!quoted && is_null_word(text)) {
        if (!key->fallback || strcmp(key->fallback, "null") != 0) return unexpected(key, "null", 0);
        slot->is_null = 1;
        slot->i64 = 0;
        slot->f64 = 0;
        bm_free(slot->string);
        slot->string = NULL;
        return BM_OK;
    }
    const int all = key->type == BM_CONFIG_COUNT && !strcmp(text, "all");
    if (quoted && !text_type && !all) return unexpected(key, text, quoted);
    if (all) {
        slot->i64 = 0;
    } else if (key->type == BM_CONFIG_I64 || key->type == BM_CONFIG_COUNT) {
        BM_TRY(parse_i64(slot, text));
        if (key->allowed && !interval_holds(key->allowed, (double)slot->i64)) return unexpected(key, text, 0);
    } else if (key->type == BM_CONFIG_F64) {
        if (!is_decimal(text) || bm_parse_f64(&slot->f64, text)) return unexpected(key, text, 0);
        if (key->allowed && !interval_holds(key->allowed, slot->f64)) return unexpected(key, text, 0);
    } else if (key->type == BM_CONFIG_BOOL) {
        BM_TRY(parse_bool(slot, text));
    } else if (key->type == BM_CONFIG_LIST) {
        BM_TRY(parse_list(slot, text));
    } else {
        BM_TRY(parse_string(slot, c, text, quoted));
    }
    slot->is_null = 0;
    return BM_OK;
}

char *bm_config_format_f64(char *buf, size_t bytes, double x)
{
    double back;
    char *exponent;
    for (int digits = 1; digits <= 17; digits++) {
        bm_format_f64(buf, bytes, x, digits);
        if (bm_parse_f64(&back, buf) == 0 && back == x) break;
    }
    if (strchr(buf, '.')) return buf;
    exponent = strchr(buf, 'e');
    if (exponent) memmove(exponent + 2, exponent, strlen(exponent) + 1);
    else exponent = buf + strlen(buf), exponent[2] = '\0';
    memcpy(exponent, ".0", 2);
    return buf;
}
