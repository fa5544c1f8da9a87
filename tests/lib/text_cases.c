#include "tests/lib/text_cases.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/test.h"

/* Blocks that live as long as the program stay in sight, so that they are no leaks. */
static void *keep(void *block)
{
    static void *kept[32];
    static size_t n;
    ck_assert(block != NULL && n < sizeof kept / sizeof kept[0]);
    kept[n++] = block;
    return block;
}

static json_t *read_json(const char *name)
{
    json_error_t error;
    json_t *root = json_load_file(test_source(name), 0, &error);
    ck_assert_msg(root != NULL, "%s: %s", name, error.text);
    return keep(root);
}

static unsigned char hex(const char *at)
{
    char digits[3] = {at[0], at[1], '\0'};
    return (unsigned char)strtol(digits, NULL, 16);
}

text_case *text_cases(size_t *n, const char *vocabulary)
{
    json_t *root = read_json("tests/io/text/text_ids.json"), *list = json_object_get(root, "cases");
    *n = json_array_size(list);
    ck_assert_uint_ge(*n, 90);
    text_case *cases = keep(calloc(*n, sizeof *cases));
    for (size_t i = 0; i < *n; i++) {
        const json_t *item = json_array_get(list, i), *ids = json_object_get(item, vocabulary);
        const char *digits = json_string_value(json_object_get(item, "hex"));
        text_case *c = &cases[i];
        c->bytes = strlen(digits) / 2;
        c->text = malloc(c->bytes + 1);
        for (size_t k = 0; k < c->bytes; k++) c->text[k] = hex(digits + 2 * k);
        ck_assert(json_is_array(ids));
        c->n_ids = json_array_size(ids);
        c->ids = calloc(c->n_ids + 1, sizeof *c->ids);
        for (size_t k = 0; k < c->n_ids; k++) c->ids[k] = (uint32_t)json_integer_value(json_array_get(ids, k));
    }
    json_decref(root);
    return cases;
}

void text_cases_free(text_case *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(cases[i].text);
        free(cases[i].ids);
    }
    free(cases);
}

char *text_training(uint32_t *vocab_size, uint32_t **merges, size_t *n_merges)
{
    json_t *root = read_json("tests/io/text/small_training.json");
    const json_t *list = json_object_get(root, "merges");
    *vocab_size = (uint32_t)json_integer_value(json_object_get(root, "vocab_size"));
    *n_merges = json_array_size(list);
    *merges = keep(calloc(2 * *n_merges + 1, sizeof **merges));
    for (size_t k = 0; k < 2 * *n_merges; k++)
        (*merges)[k] = (uint32_t)json_integer_value(json_array_get(json_array_get(list, k / 2), k % 2));
    char *text = strdup(json_string_value(json_object_get(root, "text")));
    json_decref(root);
    return text;
}
