/* What the commands that look into files share: opening, order and patterns of names, layers collapsed, verifying. */
#ifndef BM_TOOLS_VIEW_H
#define BM_TOOLS_VIEW_H

#include <jansson.h>
#include <stdint.h>

#include "core/base/status.h"
#include "core/base/str.h"
#include "io/store/checkpoint.h"
#include "io/store/data.h"
#include "io/store/store.h"
#include "tools/opt.h"

/* The version of the JSON that these commands print, its key "schema". */
enum { BM_VIEW_SCHEMA = 1 };

/* A file, or the newest sound checkpoint of a run folder. */
bm_status bm_view_open(bm_store **out, const char *path);

/* Names with the numbers in them by value: h2 before h10. */
int bm_view_compare(const char *a, const char *b);

/* Whether a path ("/params/h0/bias") fits one of the patterns (shell's * and ?, * over slashes too), or is or lies
 * below one; the leading slash may be left out. No patterns: all fit. */
int bm_view_matches(const char *path, const char *const *patterns, int n);

/* The datasets of s that fit, in the order of bm_view_compare; BM_ERR_NOT_FOUND when patterns fit none. *out with
 * bm_free. */
bm_status bm_view_select(const bm_entry ***out, int64_t *count, const bm_store *s, const char *const *patterns, int n);

/* Datasets of one type and shape that differ in the numbers of one part of their names alone: the layers of a model. */
typedef struct bm_view_group {
    char *name;            /* "h0..h11/attn/bias" */
    const bm_entry *entry; /* the first of them */
    int64_t count;
    int64_t bytes; /* of all */
} bm_view_group;
/* In the order of their first ones; bm_view_groups_free. `skip` bytes of each path are left out of the names. */
bm_status bm_view_collapse(bm_view_group **out, int64_t *groups, const bm_entry *const *entries, int64_t n,
                           size_t skip);
void bm_view_groups_free(bm_view_group *groups, int64_t n);

/* bm_store_verify with a progress line; the damage found goes to `damage` (a JSON array, may be NULL) and, unless
 * quiet, to stdout. */
bm_status bm_view_verify(const bm_store *s, json_t *damage, int quiet);

/* Appends " key value" for each member of a JSON object that is a number, a word or a list of integers: "layers 6, widths [64, 64]";
 * nulls are left out. */
void bm_view_add_members(bm_str *s, const json_t *object);

/* What tells of a dataset file, for `inspect` and `data info`. `sound` is 1, 0, or -1: not verified. With `bigrams` every token is
 * read for their entropy. */
int bm_view_dataset(const char *path, int sound, int bigrams, int as_json);
/* The part of it that is about samples (bm_samples), and what the two kinds share. */
int bm_view_samples(const bm_data *d, int sound, int as_json);
/* "2: setosa 50, versicolor 50": an encoding's classes, with how many there are of each unless that is NULL. */
void bm_view_print_classes(const json_t *encoding, const int64_t *counts, int64_t classes);
void bm_view_title(const char *path, const char *what, int sound);
/* The lines of any file: its size, when it was made, its uuid and content id. */
void bm_view_print_file(const bm_store *s);
void bm_view_print_about(const char *meta); /* the line of /meta/json */
json_t *bm_view_splits(const bm_store *s);
void bm_view_print_splits(const bm_store *s, const char *unit);
/* The same of a dataset file without tokens, such as predict writes: its arrays. */
int bm_view_arrays(const bm_store *s, int sound, int as_json);

#endif
