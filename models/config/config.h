/* A run's configuration: typed keys in the sections model, data and train, and at the top level (device, init). A fourth section,
 * search, says what values of them to try (space.h).
 *
 * Keys are rows of tables. The common ones are here; those of the section model belong to a family, which hands in its own
 * table. A key is named "train.lr", or "device" at the top level. Every failure that the user can cause is BM_ERR_CONFIG, and
 * its text names file:line, the key, what is wrong and what is expected. Numbers are read and written whatever the locale.
 */
#ifndef BM_MODELS_CONFIG_CONFIG_H
#define BM_MODELS_CONFIG_CONFIG_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum bm_config_type {
    BM_CONFIG_I64,
    BM_CONFIG_F64,
    BM_CONFIG_BOOL,
    BM_CONFIG_STRING,
    BM_CONFIG_CHOICE, /* a string out of `allowed` */
    BM_CONFIG_PATH,   /* a string; relative ones start at the configuration file's folder */
    BM_CONFIG_COUNT,  /* an integer, or "all", which reads as 0 */
    BM_CONFIG_LIST,   /* integers, each of them in `allowed`: [64, 64] */
    BM_CONFIG_NUMBERS /* any count of numbers: [1.0, 2.5]; or a word in their place */
} bm_config_type;

typedef struct bm_config_key {
    const char *name;     /* within its section: "layers" */
    bm_config_type type;
    const char *fallback; /* the default as YAML writes it: "6", "1e-5", "null" (then it may be null); NULL: required */
    const char *allowed;  /* numbers: an interval, "[1, inf)"; choices: "adamw|sgd"; NUMBERS: both, "[0, inf)|balanced"; NULL: whatever
                           * the type holds */
    const char *doc;      /* one line; NULL: bm's own record, left out of the help, and of files while it is null */
} bm_config_key;

typedef struct bm_config_family {
    const char *name;             /* what model.family says: "gpt" */
    const bm_config_key *keys;    /* of the section model, without `family` itself */
    size_t n_keys;
    const char *const *defaults;  /* replace common defaults: {"train.lr=3e-4", ..., NULL}; or NULL */
} bm_config_family;

typedef struct bm_config bm_config;

/* Common keys at their defaults; the model's keys are there once model.family is set. The tables are borrowed. */
BM_API bm_status bm_config_create(bm_config **out, const bm_config_family *const *families, size_t n_families);
BM_API void bm_config_destroy(bm_config *c);

/* Each of these sets keys on top of what is set. After a failure some keys may be set: destroy the configuration. The family
 * can be chosen once; before that, keys of the section model are refused by bm_config_set. */
BM_API bm_status bm_config_load(bm_config *c, const char *path);
/* The same from memory; `name` stands in messages, relative paths start at the folder `folder` (NULL: the current one). */
BM_API bm_status bm_config_load_text(bm_config *c, const char *text, size_t bytes, const char *name, const char *folder);
BM_API bm_status bm_config_set(bm_config *c, const char *assignment); /* "train.lr=3e-4" */
BM_API bm_status bm_config_from_json(bm_config *c, const char *text, size_t bytes, const char *name);
BM_API bm_status bm_config_set_i64(bm_config *c, const char *key, int64_t value);
BM_API bm_status bm_config_set_list(bm_config *c, const char *key, const int64_t *value, int n);
BM_API bm_status bm_config_set_string(bm_config *c, const char *key, const char *value); /* strings, choices, paths */

/* Whether every required key is set; names the first that is not. */
BM_API bm_status bm_config_check(const bm_config *c);

/* Getters. The key must exist and be of the type (asserted: a wrong name is a fault of the program); null reads as 0 or NULL.
 * Strings are borrowed until the key is set again. Paths are absolute. */
BM_API int64_t bm_config_i64(const bm_config *c, const char *key);
BM_API double bm_config_f64(const bm_config *c, const char *key);
/* Returns how many elements there are; no list is longer than BM_CONFIG_LIST_MOST. */
enum { BM_CONFIG_LIST_MOST = 64 };
BM_API int bm_config_list(int64_t out[BM_CONFIG_LIST_MOST], const bm_config *c, const char *key);
/* Writes the first `most` numbers; returns how many there are, or -1 where a word is in their place (bm_config_string). */
BM_API int64_t bm_config_numbers(double *out, int64_t most, const bm_config *c, const char *key);
BM_API double bm_config_number(const bm_config *c, const char *key); /* of either type; a boolean as 0 or 1 */
BM_API int bm_config_bool(const bm_config *c, const char *key);
BM_API const char *bm_config_string(const bm_config *c, const char *key);
BM_API int bm_config_is_null(const bm_config *c, const char *key);
BM_API int bm_config_has(const bm_config *c, const char *key);   /* whether there is such a key */
BM_API int bm_config_given(const bm_config *c, const char *key); /* whether it was set, not left at its default */
BM_API const bm_config_family *bm_config_get_family(const bm_config *c); /* NULL before it is chosen */

/* "gpt.yaml:7: " for a key that a file has set, else "": for messages about values that do not fit together. */
BM_API const char *bm_config_where(const bm_config *c, const char *key, char *buf, size_t bytes);

/* The next key of a section on which two configurations of one family differ, from *at (0 at first) on; NULL: no more.
 * A null takes what it finds and differs from nothing. The values land in mine and theirs. */
enum { BM_CONFIG_VALUE = 80 };
BM_API const char *bm_config_next_difference(size_t *at, char mine[BM_CONFIG_VALUE], char theirs[BM_CONFIG_VALUE],
                                             const bm_config *a, const bm_config *b, const char *section);

/* Every key with its value, in a fixed order; reading it back gives an equal configuration. Freed by bm_free. */
BM_API bm_status bm_config_to_yaml(char **out, const bm_config *c);
BM_API bm_status bm_config_to_json(char **out, const bm_config *c);

/* The keys with defaults, what is allowed and one line each, for a help text. Freed by bm_free. */
BM_API bm_status bm_config_help(char **out, const bm_config_family *const *families, size_t n_families);

#ifdef __cplusplus
}
#endif
#endif
