/* The section `search` of a configuration: keys, and the values that they may take, for `bmtool search`. Training does not read it.
 *
 *     search:
 *       train.lr: [1e-4, 1e-2, log]                between the two, their logarithms evenly likely
 *       train.momentum: [0.0, 0.99, linear]        between the two, evenly likely
 *       train.optimizer: [adam, sgd]               one of these
 *       model.widths: [[32], [64, 64]]
 *       train.batch: [16, 32, choice]              of two numbers it must be said what they are
 *
 * A range of an integer key is of integers, both ends among them. Every value is checked against what its key allows. */
#ifndef BM_MODELS_CONFIG_SPACE_H
#define BM_MODELS_CONFIG_SPACE_H

#include "models/config/config.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum bm_space_kind { BM_SPACE_CHOICE, BM_SPACE_LINEAR, BM_SPACE_LOG } bm_space_kind;

typedef struct bm_space_key {
    char *name; /* "train.lr" */
    bm_space_kind kind;
    int integer;
    double low, high; /* of a range */
    char **choice;    /* the texts, as bm_config_set takes them */
    int choices;
} bm_space_key;

/* The keys of the section, in its order; how many. Borrowed. */
BM_API size_t bm_config_space(const bm_space_key **out, const bm_config *c);

/* The value of a key in one trial, as text for bm_config_set: it depends on the seed, the key's name and the trial alone. Real numbers
 * have 4 digits. */
enum { BM_SPACE_VALUE = 512 };
BM_API char *bm_space_draw(char out[BM_SPACE_VALUE], const bm_space_key *k, uint64_t seed, uint32_t trial);
/* Whether two configurations have the same section. */
BM_API int bm_config_same_space(const bm_config *a, const bm_config *b);

#ifdef __cplusplus
}
#endif
#endif
