/* A GPT of some thousand weights with the tests' device, random text for it, and its full forward pass as the oracle of
 * what evaluation, prediction and decoding make of it. The pass itself is compared with PyTorch in
 * tests/models/test_gpt.c. */
#ifndef BM_TESTS_LIB_SMALL_GPT_H
#define BM_TESTS_LIB_SMALL_GPT_H

#include "io/store/data.h"
#include "models/nn/network.h"
#include "models/nn/params.h"

enum { SMALL_VOCAB = 41, SMALL_CONTEXT = 40, SMALL_WIDTH = 24 };

typedef struct small_gpt {
    bm_engine *engine;
    const bm_model *model;
    bm_config *config;
    bm_params *params;  /* weights alone, large enough that every token and position shows in the logits */
    bm_network forward; /* one sequence of SMALL_CONTEXT tokens */
} small_gpt;

/* A configuration of the family gpt with these keys set, up to a NULL; the caller's. */
bm_config *small_gpt_config(const char *const *sets);

/* In a case that shares its engine (tests/lib/device.h). */
void small_gpt_open(small_gpt *s);
void small_gpt_close(small_gpt *s);

/* n random ids (the same for the same seed). */
void small_gpt_ids(int32_t *ids, int64_t n, uint32_t seed);
/* A data set of `n` of them at `path`, opened; the last `val_fraction` of it is the validation part. */
bm_data *small_gpt_data(const char *path, int64_t n, double val_fraction);

/* The full forward pass over n <= SMALL_CONTEXT ids: logits [n, SMALL_VOCAB] and hidden [n, SMALL_WIDTH]; either may be
 * NULL. */
void small_gpt_forward(small_gpt *s, float *logits, float *hidden, const int32_t *ids, int64_t n);
/* The nats of `target` under logits [SMALL_VOCAB], in double. */
double small_gpt_nats(const float *logits, int32_t target);

/* Fails the test when n numbers differ by more than 2^-16 of the largest: the order of sums differs between the plans.
 */
void small_gpt_near(const char *what, const float *got, const float *want, int64_t n);

#endif
