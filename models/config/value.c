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
    interval v = {"", "", text[0] == '(', text[strcspn(text, ")]")] == ')'};
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

/* What stands in the place of a list of numbers: "balanced" of "[0, inf)|balanced". */
static const char *words_of(const bm_config_key *key)
{
    const char *bar = key->type == BM_CONFIG_NUMBERS ? strchr(key->allowed, '|') : NULL;
    return bar ? bar + 1 : key->type == BM_CONFIG_COUNT ? "all" : "";
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
    static const char *const noun[] = {"an integer", "a number", "true or false", "a text", "one of", "a path", "an integer", "a list of integers",
                                       "a list of numbers"};
    char limits[320];
    const char *words = words_of(key);
    int only = key->type == BM_CONFIG_CHOICE && !strchr(key->allowed, '|');
    bm_config_limits(key, limits, sizeof limits);
    snprintf(buf, bytes, "%s%s%s%s%s%s", only ? "" : noun[key->type], limits[0] && !only ? " " : "", limits, *words ? " or " : "", words,
             key->fallback && strcmp(key->fallback, "null") == 0 ? " or null" : "");
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

enum { ELEMENT = 64 };

/* The part of a list that has its elements, with or without brackets around it; 0 where one is missing. */
static int list_open(const char **at, const char **end, const char *text)
{
    const int bracket = *text == '[';
    *at = text + bracket;
    *end = text + strlen(text);
    if (!bracket) return 1;
    return *at < *end && *--*end == ']';
}

/* Takes the element at *at and the comma after it; 0 where anything else follows. */
static int list_next(char element[ELEMENT], const char **at, const char *end)
{
    *at += strspn(*at, " ");
    const size_t length = strcspn(*at, ",] ");
    if (length >= ELEMENT) return 0;
    snprintf(element, ELEMENT, "%.*s", (int)length, *at);
    *at += length;
    *at += strspn(*at, " ");
    return *at >= end || *(*at)++ == ',';
}

/* Adds an element as it is kept; 0 where the key does not take it. */
static int add_element(bm_str *list, const bm_config_key *key, const char *element)
{
    int64_t i;
    double x;
    char number[48];
    if (!is_decimal(element)) return 0;
    if (key->type == BM_CONFIG_NUMBERS) {
        if (bm_parse_f64(&x, element) || !interval_holds(key->allowed, x)) return 0;
        bm_config_format_f64(number, sizeof number, x);
    } else {
        if (bm_parse_i64(&i, element) || !interval_holds(key->allowed, (double)i)) return 0;
        snprintf(number, sizeof number, "%lld", (long long)i);
    }
    bm_str_addf(list, "%s%s", list->length > 1 ? ", " : "", number);
    return 1;
}

/* "[64, 64]", "64, 64" or "64". */
static bm_status parse_list(bm_config_slot *slot, const char *text)
{
    char element[ELEMENT];
    const char *at, *end;
    bm_str list;
    int good = list_open(&at, &end, text);
    bm_str_init(&list);
    bm_str_add(&list, "[");
    for (int n = 0; good && at < end; n++) {
        good = list_next(element, &at, end) && add_element(&list, slot->key, element);
        if (slot->key->type == BM_CONFIG_LIST && n == BM_CONFIG_LIST_MOST) good = 0;
    }
    bm_str_add(&list, "]");
    bm_status status = good ? bm_str_status(&list) : unexpected(slot->key, text, 0);
    if (!status) {
        bm_free(slot->string);
        slot->string = bm_str_take(&list);
    }
    bm_str_finish(&list);
    return status;
}

int bm_config_list_of(int64_t out[BM_CONFIG_LIST_MOST], const bm_config_slot *slot)
{
    char element[ELEMENT];
    const char *at, *end;
    int n = 0;
    if (!slot->string || !list_open(&at, &end, slot->string)) return 0;
    for (; at < end; n++) {
        list_next(element, &at, end);
        bm_parse_i64(&out[n], element);
    }
    return n;
}

int64_t bm_config_numbers_of(double *out, int64_t most, const bm_config_slot *slot)
{
    char element[ELEMENT];
    const char *at, *end;
    int64_t n = 0;
    if (!slot->string) return 0;
    if (*slot->string != '[' || !list_open(&at, &end, slot->string)) return -1;
    for (; at < end; n++) {
        list_next(element, &at, end);
        if (n < most) bm_parse_f64(&out[n], element);
    }
    return n;
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
    const int word = choice_holds(words_of(key), text);
    if (quoted && !text_type && !word) return unexpected(key, text, quoted);
    if (word && key->type == BM_CONFIG_COUNT) {
        slot->i64 = 0;
    } else if (key->type == BM_CONFIG_I64 || key->type == BM_CONFIG_COUNT) {
        BM_TRY(parse_i64(slot, text));
        if (key->allowed && !interval_holds(key->allowed, (double)slot->i64)) return unexpected(key, text, 0);
    } else if (key->type == BM_CONFIG_F64) {
        if (!is_decimal(text) || bm_parse_f64(&slot->f64, text)) return unexpected(key, text, 0);
        if (key->allowed && !interval_holds(key->allowed, slot->f64)) return unexpected(key, text, 0);
    } else if (key->type == BM_CONFIG_BOOL) {
        BM_TRY(parse_bool(slot, text));
    } else if (key->type == BM_CONFIG_LIST || (key->type == BM_CONFIG_NUMBERS && !word)) {
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
