#include "models/config/config.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "models/config/config_priv.h"

bm_status bm_config_entries_add(bm_config_entries *list, const bm_config_entry *e)
{
    bm_config_entry *copy;
    if (list->n == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 64;
        bm_config_entry *items = bm_realloc(list->items, capacity, sizeof *items);
        if (!items) return BM_ERR_MEMORY;
        list->items = items;
        list->capacity = capacity;
    }
    copy = &list->items[list->n];
    *copy = *e;
    copy->section = bm_strdup(e->section);
    copy->name = bm_strdup(e->name);
    copy->text = bm_strdup(e->text);
    list->n++;
    return copy->section && copy->name && copy->text ? BM_OK : BM_ERR_MEMORY;
}

void bm_config_entries_finish(bm_config_entries *list)
{
    for (size_t i = 0; i < list->n; i++) {
        bm_free(list->items[i].section);
        bm_free(list->items[i].name);
        bm_free(list->items[i].text);
    }
    bm_free(list->items);
    *list = (bm_config_entries){0};
}

bm_config_slot *bm_config_find(const bm_config *c, const char *section, const char *name)
{
    for (size_t i = 0; i < c->n_slots; i++) {
        bm_config_slot *s = &c->slots[i];
        if (strcmp(s->section, section) == 0 && strcmp(s->key->name, name) == 0) return s;
    }
    return NULL;
}

/* "train.lr" -> ("train", "lr"), "device" -> ("", "device"); the section's name must fit buf. */
bm_config_slot *bm_config_find_dotted(const bm_config *c, const char *key)
{
    char section[32] = "";
    const char *dot = strchr(key, '.');
    if (!dot) return bm_config_find(c, "", key);
    if ((size_t)(dot - key) >= sizeof section) return NULL;
    memcpy(section, key, (size_t)(dot - key));
    return bm_config_find(c, section, dot + 1);
}

static bm_status add_slots(bm_config *c, const char *section, const bm_config_key *keys, size_t n)
{
    bm_config_slot *slots = bm_realloc(c->slots, c->n_slots + n, sizeof *slots);
    if (!slots) return BM_ERR_MEMORY;
    c->slots = slots;
    for (size_t i = 0; i < n; i++) {
        bm_config_slot *s = &slots[c->n_slots++];
        *s = (bm_config_slot){.section = section, .key = &keys[i], .is_null = 1};
        if (!keys[i].fallback) continue;
        BM_TRY(bm_fail_prefix(bm_config_parse(s, c, keys[i].fallback, 0), "default of %s", keys[i].name));
    }
    return BM_OK;
}

static bm_status make_family_key(bm_config *c)
{
    bm_str names;
    bm_str_init(&names);
    for (size_t i = 0; i < c->n_families; i++) bm_str_addf(&names, "%s%s", i ? "|" : "", c->families[i]->name);
    bm_str_add(&names, "");
    c->family_names = bm_str_take(&names);
    bm_str_finish(&names);
    if (!c->family_names) return BM_ERR_MEMORY;
    c->family_key = (bm_config_key){"family", BM_CONFIG_CHOICE, NULL, c->family_names, "the kind of model"};
    return BM_OK;
}

bm_status bm_config_create(bm_config **out, const bm_config_family *const *families, size_t n_families)
{
    bm_status status = BM_OK;
    bm_config *c = bm_calloc(1, sizeof *c);
    *out = NULL;
    if (!c) return BM_ERR_MEMORY;
    c->families = families;
    c->n_families = n_families;
    BM_GO(bm_path_real(&c->folder, "."));
    BM_GO(make_family_key(c));
    BM_GO(add_slots(c, "model", &c->family_key, 1));
    for (size_t i = 0; i < BM_CONFIG_N_COMMON; i++)
        BM_GO(add_slots(c, bm_config_common[i].name, bm_config_common[i].keys, bm_config_common[i].n_keys));
    *out = c;
    c = NULL;
done:
    bm_config_destroy(c);
    return status;
}

void bm_config_destroy(bm_config *c)
{
    if (!c) return;
    for (size_t i = 0; i < c->n_slots; i++) bm_free(c->slots[i].string);
    for (size_t i = 0; i < c->n_sources; i++) bm_free(c->sources[i]);
    bm_free(c->sources);
    bm_free(c->slots);
    bm_free(c->family_names);
    bm_free(c->folder);
    bm_config_space_finish(c);
    bm_free(c);
}

/* The name the user may have meant: near in the same section, or equal in another. NULL: no idea. */
static const bm_config_slot *suggest(const bm_config *c, const char *section, const char *name)
{
    const char *names[256];
    const char *near;
    size_t n = 0;
    for (size_t i = 0; i < c->n_slots && n < 256; i++) {
        if (strcmp(c->slots[i].section, section) == 0 && c->slots[i].key->doc) names[n++] = c->slots[i].key->name;
    }
    near = bm_nearest(name, names, n);
    if (near) return bm_config_find(c, section, near);
    for (size_t i = 0; i < c->n_slots; i++) {
        if (strcmp(c->slots[i].key->name, name) == 0) return &c->slots[i];
    }
    n = 0;
    for (size_t i = 0; i < c->n_slots && n < 256; i++) {
        if (c->slots[i].key->doc) names[n++] = c->slots[i].key->name;
    }
    near = bm_nearest(name, names, n);
    for (size_t i = 0; near && i < c->n_slots; i++) {
        if (c->slots[i].key->name == near) return &c->slots[i];
    }
    return NULL;
}

#define DOTTED(section, name) (section), *(section) ? "." : "", (name)

static int is_section(const bm_config *c, const char *name)
{
    for (size_t i = 0; i < c->n_slots; i++)
        if (*c->slots[i].section && strcmp(c->slots[i].section, name) == 0) return 1;
    return 0;
}

/* No key is near: names those that there are, of the section, or of the file where there is no such section. */
static bm_status list_keys(const bm_config *c, const bm_config_entry *e)
{
    bm_str names;
    bm_str_init(&names);
    const char *section = is_section(c, e->section) ? e->section : "";
    for (size_t i = 0; i < c->n_slots; i++)
        if (strcmp(c->slots[i].section, section) == 0 && c->slots[i].key->doc)
            bm_str_addf(&names, ", %s", c->slots[i].key->name);
    bm_status status =
        bm_fail(BM_ERR_CONFIG, "%s%s%s: no such key (there are %s%s)", DOTTED(e->section, e->name),
                *section ? "" : "model, data, train", names.length ? bm_str_text(&names) + (*section ? 2 : 0) : "");
    bm_str_finish(&names);
    return status;
}

static bm_status unknown_key(const bm_config *c, const bm_config_entry *e)
{
    const bm_config_slot *s = suggest(c, e->section, e->name), *dotted = *e->section ? NULL : bm_config_find_dotted(c, e->name);
    if (strcmp(e->section, "model") == 0 && !c->family)
        return bm_fail(BM_ERR_CONFIG, "model.%s: model.family is not set yet (one of %s)", e->name, c->family_names);
    if (dotted)
        return bm_fail(BM_ERR_CONFIG, "%s: a dot is for the command line; in a file write %s: {%s: ...}", e->name,
                       dotted->section, dotted->key->name);
    if (!*e->section && is_section(c, e->name))
        return bm_fail(BM_ERR_CONFIG, "%s: has keys, and no value of its own: %s.KEY=VALUE", e->name, e->name);
    if (s) return bm_fail(BM_ERR_CONFIG, "%s%s%s: no such key (did you mean %s%s%s?)", DOTTED(e->section, e->name),
                          DOTTED(s->section, s->key->name));
    return list_keys(c, e);
}

bm_status bm_config_unknown(const bm_config *c, const char *key)
{
    char section[32];
    const char *dot = strchr(key, '.');
    snprintf(section, sizeof section, "%.*s", dot ? (int)(dot - key) : 0, key);
    const bm_config_entry e = {.section = section, .name = (char *)(dot ? dot + 1 : key)};
    return unknown_key(c, &e);
}

static const bm_config_family *find_family(const bm_config *c, const char *name)
{
    for (size_t i = 0; i < c->n_families; i++)
        if (strcmp(c->families[i]->name, name) == 0) return c->families[i];
    return NULL;
}

/* The family's keys and its defaults for keys not given yet. */
static bm_status choose_family(bm_config *c, const char *name)
{
    const bm_config_family *f = find_family(c, name);
    if (!f || c->family == f) return BM_OK;
    if (c->family) return bm_fail(BM_ERR_CONFIG, "is %s already: the family cannot be changed", c->family->name);
    BM_TRY(add_slots(c, "model", f->keys, f->n_keys));
    c->family = f;
    for (const char *const *d = f->defaults; d && *d; d++) {
        char key[64];
        const char *value = strchr(*d, '=');
        bm_config_slot *s;
        if (!value) return bm_fail(BM_ERR_CONFIG, "default \"%s\" of family %s has no \"=\"", *d, name);
        snprintf(key, sizeof key, "%.*s", (int)(value - *d), *d);
        s = bm_config_find_dotted(c, key);
        if (!s) return bm_fail(BM_ERR_CONFIG, "default \"%s\" of family %s: no such key", *d, name);
        if (s->given) continue;
        BM_TRY(bm_fail_prefix(bm_config_parse(s, c, value + 1, 0), "default of %s in family %s", key, name));
    }
    return BM_OK;
}

static bm_status assign(bm_config *c, const bm_config_entry *e)
{
    bm_config_slot *s = bm_config_find(c, e->section, e->name);
    bm_status status;
    if (!s) return unknown_key(c, e);
    if (e->list && s->key->type != BM_CONFIG_LIST && s->key->type != BM_CONFIG_NUMBERS)
        return bm_fail(BM_ERR_CONFIG, "%s%s%s: a list, but it takes one value", DOTTED(e->section, e->name));
    if (c->round && e->source && s->round == c->round)
        return bm_fail(BM_ERR_CONFIG, "%s%s%s: given twice (first on line %d)", DOTTED(e->section, e->name), s->line);
    status = s->key == &c->family_key && c->family && strcmp(c->family->name, e->text) != 0 && find_family(c, e->text)
                 ? bm_fail(BM_ERR_CONFIG, "is %s already: the family cannot be changed", c->family->name)
                 : bm_config_parse(s, c, e->text, e->quoted);
    if (status) return bm_fail_prefix(status, "%s%s%s", DOTTED(e->section, e->name));
    s->given = 1;
    s->source = e->source;
    s->line = e->line;
    s->round = e->source ? c->round : 0;
    /* s is not valid after this: the slots may move */
    return s->key == &c->family_key ? choose_family(c, s->string) : BM_OK;
}

bm_status bm_config_apply(bm_config *c, const bm_config_entry *e)
{
    bm_status status = assign(c, e);
    if (status && e->source && e->line) return bm_fail_prefix(status, "%s:%d", e->source, e->line);
    if (status && e->source) return bm_fail_prefix(status, "%s", e->source);
    return status;
}

static int is_family(const bm_config_entry *e)
{
    return strcmp(e->section, "model") == 0 && strcmp(e->name, "family") == 0;
}

bm_status bm_config_apply_all(bm_config *c, const bm_config_entries *list)
{
    c->round++;
    for (int family = 1; family >= 0; family--) {
        for (size_t i = 0; i < list->n; i++) {
            if (is_family(&list->items[i]) == family) BM_TRY(bm_config_apply(c, &list->items[i]));
        }
    }
    return BM_OK;
}

bm_status bm_config_add_source(const char **out, bm_config *c, const char *name)
{
    char **sources = bm_realloc(c->sources, c->n_sources + 1, sizeof *sources);
    *out = NULL;
    if (!sources) return BM_ERR_MEMORY;
    c->sources = sources;
    sources[c->n_sources] = bm_strdup(name);
    if (!sources[c->n_sources]) return BM_ERR_MEMORY;
    *out = sources[c->n_sources++];
    return BM_OK;
}

/* Splits "train.lr" and applies one value from the program or the command line. */
static bm_status set_text(bm_config *c, const char *key, size_t key_bytes, const char *text, int quoted)
{
    char section[32] = "", name[64];
    const char *dot = memchr(key, '.', key_bytes);
    size_t section_bytes = dot ? (size_t)(dot - key) : 0;
    size_t name_bytes = dot ? key_bytes - section_bytes - 1 : key_bytes;
    bm_config_entry e = {.section = section, .name = name, .quoted = quoted};
    bm_status status;
    if (section_bytes >= sizeof section || name_bytes >= sizeof name)
        return bm_fail(BM_ERR_CONFIG, "%.*s...: no such key", 40, key);
    memcpy(section, key, section_bytes);
    memcpy(name, dot ? dot + 1 : key, name_bytes);
    name[name_bytes] = '\0';
    e.text = bm_strdup(text);
    if (!e.text) return BM_ERR_MEMORY;
    status = bm_config_apply(c, &e);
    bm_free(e.text);
    return status;
}

bm_status bm_config_set(bm_config *c, const char *assignment)
{
    const char *equals = strchr(assignment, '=');
    if (!equals || equals == assignment)
        return bm_fail(BM_ERR_CONFIG, "\"%.80s\": expected KEY=VALUE, as in train.lr=3e-4", assignment);
    return set_text(c, assignment, (size_t)(equals - assignment), equals + 1, 0);
}

bm_status bm_config_set_i64(bm_config *c, const char *key, int64_t value)
{
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)value);
    return set_text(c, key, strlen(key), text, 0);
}

bm_status bm_config_set_list(bm_config *c, const char *key, const int64_t *value, int n)
{
    bm_str text;
    bm_str_init(&text);
    for (int i = 0; i < n; i++) bm_str_addf(&text, "%s%lld", i ? ", " : "", (long long)value[i]);
    bm_str_add(&text, "");
    bm_status status = bm_str_status(&text);
    if (!status) status = set_text(c, key, strlen(key), bm_str_text(&text), 0);
    bm_str_finish(&text);
    return status;
}

bm_status bm_config_set_string(bm_config *c, const char *key, const char *value)
{
    return set_text(c, key, strlen(key), value, 1);
}

bm_status bm_config_check(const bm_config *c)
{
    for (size_t i = 0; i < c->n_slots; i++) {
        const bm_config_slot *s = &c->slots[i];
        char expected[400];
        if (s->key->fallback || s->given) continue;
        return bm_fail(BM_ERR_CONFIG, "%s%s%s must be set: %s (%s)", DOTTED(s->section, s->key->name),
                       bm_config_expected(s->key, expected, sizeof expected), s->key->doc);
    }
    return BM_OK;
}

static const bm_config_slot *get(const bm_config *c, const char *key, unsigned types)
{
    static const bm_config_slot none = {.is_null = 1};
    const bm_config_slot *s = bm_config_find_dotted(c, key);
    assert(s && (types >> s->key->type & 1));
    (void)types;
    return s ? s : &none;
}

#define ANY_TYPE (~0u)
#define ONE(type) (1u << (type))

int64_t bm_config_i64(const bm_config *c, const char *key) { return get(c, key, ONE(BM_CONFIG_I64) | ONE(BM_CONFIG_COUNT))->i64; }
double bm_config_f64(const bm_config *c, const char *key) { return get(c, key, ONE(BM_CONFIG_F64))->f64; }
double bm_config_number(const bm_config *c, const char *key)
{
    const bm_config_slot *s = get(c, key, ONE(BM_CONFIG_I64) | ONE(BM_CONFIG_F64) | ONE(BM_CONFIG_BOOL));
    return s->key->type == BM_CONFIG_F64 ? s->f64 : (double)s->i64;
}

int bm_config_list(int64_t out[BM_CONFIG_LIST_MOST], const bm_config *c, const char *key)
{
    return bm_config_list_of(out, get(c, key, ONE(BM_CONFIG_LIST)));
}

int64_t bm_config_numbers(double *out, int64_t most, const bm_config *c, const char *key)
{
    return bm_config_numbers_of(out, most, get(c, key, ONE(BM_CONFIG_NUMBERS)));
}

int bm_config_bool(const bm_config *c, const char *key) { return get(c, key, ONE(BM_CONFIG_BOOL))->i64 != 0; }
int bm_config_is_null(const bm_config *c, const char *key) { return get(c, key, ANY_TYPE)->is_null; }
int bm_config_given(const bm_config *c, const char *key) { return get(c, key, ANY_TYPE)->given; }
int bm_config_has(const bm_config *c, const char *key) { return bm_config_find_dotted(c, key) != NULL; }
const bm_config_family *bm_config_get_family(const bm_config *c) { return c->family; }

const char *bm_config_string(const bm_config *c, const char *key)
{
    return get(c, key, ONE(BM_CONFIG_STRING) | ONE(BM_CONFIG_CHOICE) | ONE(BM_CONFIG_PATH) | ONE(BM_CONFIG_NUMBERS))->string;
}

const char *bm_config_where(const bm_config *c, const char *key, char *buf, size_t bytes)
{
    const bm_config_slot *s = bm_config_find_dotted(c, key);
    if (bytes) buf[0] = '\0';
    if (s && s->source && s->line) snprintf(buf, bytes, "%s:%d: ", s->source, s->line);
    else if (s && s->source) snprintf(buf, bytes, "%s: ", s->source);
    return buf;
}
