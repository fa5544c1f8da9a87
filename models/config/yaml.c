/* Reading configuration files: mappings of scalars and lists, two deep; in the section search lists may hold lists. Anchors, aliases, tags and further documents are refused:
 * no key needs them. */
#include <string.h>
#include <yaml.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "models/config/config_priv.h"

#define MOST_BYTES (1 << 20)

typedef struct reader {
    yaml_parser_t parser;
    const char *name;
    bm_config_entries entries;
    bm_config_entries space; /* of the section search, as bm_config_space_take has them */
} reader;

static int line_of(const yaml_event_t *event) { return (int)event->start_mark.line + 1; }

static bm_status next_event(reader *r, yaml_event_t *event)
{
    const yaml_parser_t *p = &r->parser;
    if (yaml_parser_parse(&r->parser, event)) return BM_OK;
    memset(event, 0, sizeof *event);
    if (p->error == YAML_MEMORY_ERROR) return bm_fail(BM_ERR_MEMORY, "%s: no memory to parse it", r->name);
    if (p->error == YAML_READER_ERROR)
        return bm_fail(BM_ERR_CONFIG, "%s: not valid YAML: %s at byte %zu", r->name, p->problem, p->problem_offset);
    return bm_fail(BM_ERR_CONFIG, "%s:%zu: not valid YAML: %s%s%s", r->name, p->problem_mark.line + 1, p->problem,
                   p->context ? " " : "", p->context ? p->context : "");
}

static const char *anchor_of(const yaml_event_t *e)
{
    switch (e->type) {
    case YAML_ALIAS_EVENT: return (const char *)e->data.alias.anchor;
    case YAML_SCALAR_EVENT: return (const char *)e->data.scalar.anchor;
    case YAML_MAPPING_START_EVENT: return (const char *)e->data.mapping_start.anchor;
    case YAML_SEQUENCE_START_EVENT: return (const char *)e->data.sequence_start.anchor;
    default: return NULL;
    }
}

static int has_tag(const yaml_event_t *e)
{
    return (e->type == YAML_SCALAR_EVENT && e->data.scalar.tag) ||
           (e->type == YAML_MAPPING_START_EVENT && e->data.mapping_start.tag) ||
           (e->type == YAML_SEQUENCE_START_EVENT && e->data.sequence_start.tag);
}

/* The next event, with everything refused that no configuration needs. */
static bm_status next_plain_event(reader *r, yaml_event_t *event)
{
    BM_TRY(next_event(r, event));
    if (anchor_of(event))
        return bm_fail(BM_ERR_CONFIG, "%s:%d: anchors and aliases are not accepted (%s)", r->name, line_of(event),
                       anchor_of(event));
    if (has_tag(event)) return bm_fail(BM_ERR_CONFIG, "%s:%d: tags are not accepted", r->name, line_of(event));
    if (event->type == YAML_SCALAR_EVENT && memchr(event->data.scalar.value, '\0', event->data.scalar.length))
        return bm_fail(BM_ERR_CONFIG, "%s:%d: a NUL character in a text", r->name, line_of(event));
    return BM_OK;
}

static bm_status add_scalar(reader *r, const char *section, char *key, const yaml_event_t *value)
{
    bm_config_entry e = {.section = (char *)section, .name = key, .text = (char *)value->data.scalar.value,
                         .quoted = value->data.scalar.style != YAML_PLAIN_SCALAR_STYLE, .source = r->name, .line = line_of(value)};
    return bm_config_entries_add(&r->entries, &e);
}

/* The list that has begun as one text, "[a, b]". */
static bm_status join_list(reader *r, bm_str *text, const char *section, const char *key)
{
    bm_status status = BM_OK;
    const char *comma = "";
    bm_str_add(text, "[");
    for (int ended = 0; !ended; comma = ", ") {
        yaml_event_t element;
        status = next_plain_event(r, &element);
        ended = status || element.type == YAML_SEQUENCE_END_EVENT;
        if (!ended && element.type != YAML_SCALAR_EVENT) {
            status = bm_fail(BM_ERR_CONFIG, "%s:%d: %s%s%s: expected a list of numbers", r->name, line_of(&element), section,
                             *section ? "." : "", key);
            ended = 1;
        }
        if (!ended) bm_str_addf(text, "%s%s", comma, (const char *)element.data.scalar.value);
        yaml_event_delete(&element);
    }
    bm_str_add(text, "]");
    return status ? status : bm_str_status(text);
}

static bm_status add_list(reader *r, const char *section, char *key, int line)
{
    bm_str text;
    bm_str_init(&text);
    bm_status status = join_list(r, &text, section, key);
    bm_config_entry e = {.section = (char *)section, .name = key, .text = (char *)bm_str_text(&text), .list = 1, .source = r->name, .line = line};
    if (!status) status = bm_config_entries_add(&r->entries, &e);
    bm_str_finish(&text);
    return status;
}

/* A value of the section search: a scalar, or a list where the key takes one. */
static bm_status add_value(reader *r, const char *key, const yaml_event_t *value)
{
    bm_str text;
    bm_status status = BM_OK;
    bm_str_init(&text);
    bm_config_entry e = {.section = "", .name = "", .source = r->name, .line = line_of(value)};
    if (value->type == YAML_SEQUENCE_START_EVENT) {
        status = join_list(r, &text, "search", key);
        e.list = 1;
    } else if (value->type == YAML_SCALAR_EVENT) {
        bm_str_add(&text, (const char *)value->data.scalar.value);
        e.quoted = value->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    } else {
        status = bm_fail(BM_ERR_CONFIG, "%s:%d: search.%s: a mapping among the values", r->name, line_of(value), key);
    }
    if (!status) status = bm_str_status(&text);
    e.text = (char *)bm_str_text(&text);
    if (!status) status = bm_config_entries_add(&r->space, &e);
    bm_str_finish(&text);
    return status;
}

/* A key of the section search with what has begun behind it. */
static bm_status add_search(reader *r, char *key, const yaml_event_t *value)
{
    bm_config_entry head = {.section = "search", .name = key, .text = "", .list = value->type == YAML_SEQUENCE_START_EVENT, .source = r->name,
                            .line = line_of(value)};
    if (value->type == YAML_MAPPING_START_EVENT)
        return bm_fail(BM_ERR_CONFIG, "%s:%d: search.%s: a mapping; here a key is written with its section: %s.KEY: [...]", r->name,
                       line_of(value), key, key);
    bm_status status = bm_config_entries_add(&r->space, &head);
    while (!status && head.list) {
        yaml_event_t element;
        status = next_plain_event(r, &element);
        if (!status && element.type != YAML_SEQUENCE_END_EVENT) status = add_value(r, key, &element);
        else head.list = 0;
        yaml_event_delete(&element);
    }
    return status;
}

/* Whether the section was not opened before. */
static bm_status check_first(const reader *r, const char *section, int line)
{
    for (size_t i = 0; i < r->entries.n; i++) {
        const bm_config_entry *old = &r->entries.items[i];
        if (strcmp(old->section, section) == 0 && old->name[0] == '\0')
            return bm_fail(BM_ERR_CONFIG, "%s:%d: %s: given twice (first on line %d)", r->name, line, section, old->line);
    }
    return BM_OK;
}

static bm_status read_mapping(reader *r, const char *section);

/* The value of `key`: a scalar, or at the top level a section. */
static bm_status read_value(reader *r, const char *section, char *key, int key_line)
{
    yaml_event_t value;
    bm_status status = next_plain_event(r, &value);
    if (status) goto done;
    if (strcmp(section, "search") == 0) {
        status = add_search(r, key, &value);
    } else if (value.type == YAML_SCALAR_EVENT) {
        status = add_scalar(r, section, key, &value);
    } else if (value.type == YAML_SEQUENCE_START_EVENT) {
        status = add_list(r, section, key, line_of(&value));
    } else if (*section) {
        status = bm_fail(BM_ERR_CONFIG, "%s:%d: %s.%s: a mapping, but a value is expected", r->name, key_line, section, key);
    } else {
        /* an empty section is one entry without a name, so that a section given twice is seen */
        bm_config_entry e = {.section = key, .name = "", .text = "", .source = r->name, .line = key_line};
        status = check_first(r, key, key_line);
        if (!status) status = bm_config_entries_add(&r->entries, &e);
        if (!status) status = read_mapping(r, key);
    }
done:
    yaml_event_delete(&value);
    return status;
}

/* Keys and values up to the end of the mapping that has begun. */
static bm_status read_mapping(reader *r, const char *section)
{
    for (;;) {
        yaml_event_t event;
        bm_status status = next_plain_event(r, &event);
        int ended = !status && event.type == YAML_MAPPING_END_EVENT;
        if (!status && !ended) {
            status = event.type == YAML_SCALAR_EVENT
                         ? read_value(r, section, (char *)event.data.scalar.value, line_of(&event))
                         : bm_fail(BM_ERR_CONFIG, "%s:%d: a key must be a word", r->name, line_of(&event));
        }
        yaml_event_delete(&event);
        if (status || ended) return status;
    }
}

/* The one document: a mapping. */
static bm_status read_document(reader *r)
{
    bm_status status = BM_OK;
    int seen = 0, ended = 0;
    while (!status && !ended) {
        yaml_event_t event;
        status = next_plain_event(r, &event);
        if (!status) {
            ended = event.type == YAML_STREAM_END_EVENT;
            if (event.type == YAML_MAPPING_START_EVENT) {
                status = read_mapping(r, "");
            } else if (event.type == YAML_SCALAR_EVENT || event.type == YAML_SEQUENCE_START_EVENT) {
                status = bm_fail(BM_ERR_CONFIG, "%s:%d: expected keys (model:, data:, train:), found a %s", r->name,
                                 line_of(&event), event.type == YAML_SCALAR_EVENT ? "text" : "list");
            } else if (event.type == YAML_DOCUMENT_START_EVENT && seen++) {
                status = bm_fail(BM_ERR_CONFIG, "%s:%d: a second document", r->name, line_of(&event));
            }
        }
        yaml_event_delete(&event);
    }
    if (!status && !seen) return bm_fail(BM_ERR_CONFIG, "%s: no keys in it (expected model:, data:, train:)", r->name);
    return status;
}

static bm_status unknown_section(const bm_config_entry *e, const char *const *known, size_t n)
{
    const char *near = bm_nearest(e->section, known, n);
    if (near)
        return bm_fail(BM_ERR_CONFIG, "%s:%d: %s: no such section (did you mean %s?)", e->source, e->line, e->section, near);
    return bm_fail(BM_ERR_CONFIG, "%s:%d: %s: no such section (there are model, data, train, search)", e->source, e->line, e->section);
}

static int is_section(const char *name, const char *const *known, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(name, known[i]) == 0) return 1;
    }
    return 0;
}

/* Drops the entries that only mark sections (one without keys is a null there), naming an unknown section. */
static bm_status check_sections(bm_config_entries *list)
{
    static const char *const known[] = {"model", "data", "train", "search"};
    enum { KNOWN = sizeof known / sizeof *known };
    size_t kept = 0;
    bm_status status = BM_OK;
    for (size_t i = 0; i < list->n; i++) {
        bm_config_entry *e = &list->items[i];
        int bare = !e->section[0] && is_section(e->name, known, KNOWN);
        if (bare && e->text[0] && !status)
            status = bm_fail(BM_ERR_CONFIG, "%s:%d: %s: expected keys below it, found \"%.80s\"", e->source, e->line, e->name, e->text);
        if (e->section[0] && !is_section(e->section, known, KNOWN) && !status) status = unknown_section(e, known, KNOWN);
        if (bare || (e->section[0] && !e->name[0])) {
            bm_free(e->section);
            bm_free(e->name);
            bm_free(e->text);
        } else {
            list->items[kept++] = *e;
        }
    }
    list->n = kept;
    return status;
}

bm_status bm_config_load_text(bm_config *c, const char *text, size_t bytes, const char *name, const char *folder)
{
    reader r = {.name = NULL};
    char *real = NULL;
    bm_status status = BM_OK;
    if (!yaml_parser_initialize(&r.parser)) return bm_fail(BM_ERR_MEMORY, "%s: no memory to parse it", name);
    BM_GO(bm_config_add_source(&r.name, c, name));
    BM_GO(bm_path_real(&real, folder ? folder : "."));
    bm_free(c->folder);
    c->folder = real;
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, bytes);
    BM_GO(read_document(&r));
    BM_GO(check_sections(&r.entries));
    BM_GO(bm_config_apply_all(c, &r.entries));
    BM_GO(bm_config_space_take(c, &r.space));
done:
    bm_config_entries_finish(&r.entries);
    bm_config_entries_finish(&r.space);
    yaml_parser_delete(&r.parser);
    return status;
}

bm_status bm_config_load(bm_config *c, const char *path)
{
    char *text = NULL, *folder = NULL;
    size_t bytes;
    bm_status status = bm_file_read(&text, &bytes, path, MOST_BYTES);
    if (status) goto done;
    folder = bm_path_folder(path);
    status = folder ? bm_config_load_text(c, text, bytes, path, folder) : BM_ERR_MEMORY;
done:
    bm_free(folder);
    bm_free(text);
    return status;
}
