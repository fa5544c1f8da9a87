#include "models/config/space.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/base/str.h"
#include "models/config/config_priv.h"

void bm_config_space_finish(bm_config *c)
{
    for (size_t i = 0; i < c->n_space; i++) {
        bm_free(c->space[i].name);
        for (int k = 0; k < c->space[i].choices; k++) bm_free(c->space[i].choice[k]);
        bm_free(c->space[i].choice);
    }
    bm_free(c->space);
}

size_t bm_config_space(const bm_space_key **out, const bm_config *c)
{
    *out = c->space;
    return c->n_space;
}

static int is_number(const bm_config_slot *s)
{
    return s->key->type == BM_CONFIG_I64 || s->key->type == BM_CONFIG_F64 || s->key->type == BM_CONFIG_COUNT;
}

/* The value as the key takes it; *x of a number. */
static bm_status read_value(double *x, const bm_config *c, const bm_config_slot *s, const bm_config_entry *e)
{
    bm_config_slot value = {.section = s->section, .key = s->key};
    if (strlen(e->text) >= BM_SPACE_VALUE) return bm_fail(BM_ERR_CONFIG, "%.40s...: is too long", e->text);
    bm_status status = bm_config_parse(&value, c, e->text, e->quoted);
    *x = s->key->type == BM_CONFIG_F64 ? value.f64 : (double)value.i64;
    if (value.is_null || !strcmp(e->text, "all")) *x = NAN;
    bm_free(value.string);
    return status;
}

/* [LOW, HIGH, log] */
static bm_status take_range(bm_space_key *k, const bm_config *c, const bm_config_slot *s, const bm_config_entry *e)
{
    const char *word = e[2].text;
    k->kind = strcmp(word, "log") ? BM_SPACE_LINEAR : BM_SPACE_LOG;
    k->integer = s->key->type != BM_CONFIG_F64;
    BM_TRY(read_value(&k->low, c, s, &e[0]));
    BM_TRY(read_value(&k->high, c, s, &e[1]));
    if (!(k->low < k->high)) return bm_fail(BM_ERR_CONFIG, "[%s, %s, %s]: the first must be below the second", e[0].text, e[1].text, word);
    if (k->kind == BM_SPACE_LOG && k->low <= 0) return bm_fail(BM_ERR_CONFIG, "[%s, %s, log]: a range of logarithms begins above 0", e[0].text, e[1].text);
    return BM_OK;
}

static bm_status take_choices(bm_space_key *k, const bm_config *c, const bm_config_slot *s, const bm_config_entry *e, int n)
{
    double x;
    k->choice = bm_calloc((size_t)n, sizeof *k->choice);
    if (!k->choice) return BM_ERR_MEMORY;
    for (int i = 0; i < n; i++) {
        BM_TRY(read_value(&x, c, s, &e[i]));
        k->choice[i] = bm_strdup(e[i].text);
        if (!k->choice[i]) return BM_ERR_MEMORY;
        k->choices++;
    }
    return BM_OK;
}

static bm_status take_values(bm_space_key *k, const bm_config *c, const bm_config_slot *s, const bm_config_entry *e, int n)
{
    const char *last = n && !e[n - 1].quoted ? e[n - 1].text : "";
    if (!n) return bm_fail(BM_ERR_CONFIG, "an empty list");
    if (!is_number(s)) return take_choices(k, c, s, e, n);
    if (!strcmp(last, "log") || !strcmp(last, "linear")) {
        if (n == 3) return take_range(k, c, s, e);
        return bm_fail(BM_ERR_CONFIG, "a range is [LOW, HIGH, %s], and this has %d values before the word", last, n - 1);
    }
    if (!strcmp(last, "choice")) return n > 1 ? take_choices(k, c, s, e, n - 1) : bm_fail(BM_ERR_CONFIG, "nothing to choose from");
    if (n == 2)
        return bm_fail(BM_ERR_CONFIG, "[%s, %s]: say what they are: [%s, %s, log] or [.., linear] are a range, [.., choice] is one of the two",
                       e[0].text, e[1].text, e[0].text, e[1].text);
    return take_choices(k, c, s, e, n);
}

static bm_status check_key(const bm_config *c, const bm_config_entry *head)
{
    if (!strcmp(head->name, "model.family")) return bm_fail(BM_ERR_CONFIG, "a search is of one family");
    for (size_t i = 0; i < c->n_space; i++)
        if (!strcmp(c->space[i].name, head->name)) return bm_fail(BM_ERR_CONFIG, "given twice");
    if (!head->list) return bm_fail(BM_ERR_CONFIG, "expected a list: [LOW, HIGH, log], [LOW, HIGH, linear], or values to choose from");
    return BM_OK;
}

/* The entry of a list, and its values in the n entries behind it. */
static bm_status add_key(bm_config *c, const bm_config_entry *head, int n)
{
    const bm_config_slot *s = bm_config_find_dotted(c, head->name);
    BM_TRY(check_key(c, head));
    if (!s || !s->key->doc) return bm_config_unknown(c, head->name);
    bm_space_key *longer = bm_realloc(c->space, c->n_space + 1, sizeof *longer);
    if (!longer) return BM_ERR_MEMORY;
    c->space = longer;
    bm_space_key *k = &longer[c->n_space++];
    *k = (bm_space_key){.name = bm_strdup(head->name)};
    return k->name ? take_values(k, c, s, head + 1, n) : BM_ERR_MEMORY;
}

bm_status bm_config_space_take(bm_config *c, const bm_config_entries *list)
{
    for (size_t i = 0; i < list->n;) {
        const bm_config_entry *head = &list->items[i];
        int n = 0;
        while (head->list && i + 1 + (size_t)n < list->n && list->items[i + 1 + (size_t)n].section[0] == '\0') n++;
        BM_TRY(bm_fail_prefix(add_key(c, head, n), "%s:%d: search.%s", head->source, head->line, head->name));
        i += 1 + (size_t)n;
    }
    return BM_OK;
}

static double within(double x, const bm_space_key *k) { return x < k->low ? k->low : x > k->high ? k->high : x; }

/* Of integers each has the share of the interval from it to the next. */
static double in_range(const bm_space_key *k, double u)
{
    const double high = k->integer ? k->high + 1 : k->high;
    const double x = k->kind == BM_SPACE_LOG ? exp(log(k->low) + u * (log(high) - log(k->low))) : k->low + u * (high - k->low);
    return k->integer ? floor(x) : x;
}

char *bm_space_draw(char out[BM_SPACE_VALUE], const bm_space_key *k, uint64_t seed, uint32_t trial)
{
    bm_rng r = bm_rng_start(seed, bm_rng_stream(k->name), trial);
    double rounded = 0;
    if (k->kind == BM_SPACE_CHOICE) {
        snprintf(out, BM_SPACE_VALUE, "%s", k->choice[bm_rng_below(&r, (uint64_t)k->choices)]);
        return out;
    }
    const double x = within(in_range(k, (double)bm_rng_uniform(&r)), k);
    if (k->integer) {
        snprintf(out, BM_SPACE_VALUE, "%.0f", x);
        return out;
    }
    bm_parse_f64(&rounded, bm_format_f64(out, BM_SPACE_VALUE, x, 4));
    if (rounded != within(rounded, k)) bm_config_format_f64(out, BM_SPACE_VALUE, within(rounded, k));
    return out;
}

static int same_key(const bm_space_key *a, const bm_space_key *b)
{
    if (strcmp(a->name, b->name) || a->kind != b->kind || a->low != b->low || a->high != b->high || a->choices != b->choices) return 0;
    for (int i = 0; i < a->choices; i++)
        if (strcmp(a->choice[i], b->choice[i])) return 0;
    return 1;
}

int bm_config_same_space(const bm_config *a, const bm_config *b)
{
    if (a->n_space != b->n_space) return 0;
    for (size_t i = 0; i < a->n_space; i++)
        if (!same_key(&a->space[i], &b->space[i])) return 0;
    return 1;
}
