/* Columns as their makers (fit, JSON) leave it. */
#ifndef BM_IO_MEDIA_COLUMNS_PRIV_H
#define BM_IO_MEDIA_COLUMNS_PRIV_H

#include "io/media/columns.h"

typedef struct bm_column_lookup {
    const char *text;
    int32_t index;
} bm_column_lookup;

typedef struct bm_column_slot {
    bm_column column; /* owns name and categories */
    char **texts;           /* the same categories */
    bm_column_lookup *sorted;
} bm_column_slot;

struct bm_columns {
    bm_column_slot *slots; /* the features, then the target */
    int64_t n_features, rows, width;
    int has_target, named;
};

bm_status bm_columns_create(bm_columns **out, int64_t n_features, int has_target);
/* Copies a name and a number of categories, which must be different; makes the lookup. */
bm_status bm_column_slot_name(bm_column_slot *s, const char *name);
bm_status bm_column_slot_categories(bm_column_slot *s, const char *const *texts, int64_t n);
/* The index of a category, or -1. */
int32_t bm_column_slot_find(const bm_column_slot *s, const char *text);
/* Gives the features their places, when kind, categories and indicator are set. */
void bm_columns_place(bm_columns *t);

/* The column of that name in a file; BM_ERR_CONFIG with the nearest name. */
bm_status bm_columns_find(int64_t *out, const bm_csv *c, const char *name);

#endif
