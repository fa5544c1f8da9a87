/* How well outputs of a model agree with their targets, gathered batch by batch on the host. */
#ifndef BM_MODELS_TRAIN_SCORES_H
#define BM_MODELS_TRAIN_SCORES_H

#include <stdint.h>

#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What is judged, and the names that it has. Averages are those of scikit-learn: "macro" over the classes that occur among targets
 * or predictions, a quotient by 0 being 0; r2 over the columns, one that never changes having 1 if it is met exactly and else 0.
 *
 *     NUMBERS      r2  mae  rmse                                             over all numbers that count
 *     BINARY       accuracy  precision  recall  f1  f1_macro  roc_auc        of class 1, predicted where its logit is above 0;
 *                                                                            roc_auc exactly, by ranks, ties shared
 *     CLASSES      accuracy  top5_accuracy  precision_macro  recall_macro  f1_macro     the first of equal logits is predicted;
 *                  roc_auc of two classes, by the second's logit less the first's
 *     TOKENS       perplexity  bits_per_byte
 *     SEQUENCES    word_error_rate     edits that make what bm_ctc_greedy reads into the targets, over the targets' labels */
typedef enum bm_scores_kind {
    BM_SCORES_NUMBERS,
    BM_SCORES_BINARY,
    BM_SCORES_CLASSES,
    BM_SCORES_TOKENS,
    BM_SCORES_SEQUENCES
} bm_scores_kind;

typedef struct bm_scores bm_scores;

/* width: D of NUMBERS, C of CLASSES and SEQUENCES; 1 of BINARY and TOKENS. CLASSES keeps a table of C by C. */
BM_API bm_status bm_scores_create(bm_scores **out, bm_scores_kind kind, int64_t width);
BM_API void bm_scores_destroy(bm_scores *s);
/* As after bm_scores_create. Allocates nothing. */
BM_API void bm_scores_reset(bm_scores *s);

typedef struct bm_scores_batch {
    int64_t rows;
    /* NUMBERS [rows, D]; BINARY [rows], logits; CLASSES [rows, C], logits; TOKENS [rows], losses in nats; SEQUENCES
     * [rows, steps, C], logits */
    const float *outputs;
    const float *numbers;   /* NUMBERS: targets [rows, D]; NaN: does not count */
    const int32_t *labels;  /* the others: targets [rows], negative: does not count; SEQUENCES [rows, most], then padding */
    double bytes;           /* TOKENS: of the text that the targets which count stand for; 0: not known */
    const int32_t *lengths; /* SEQUENCES: steps of each [rows]; NULL: all */
    int64_t steps, most;    /* SEQUENCES */
} bm_scores_batch;

/* BM_ERR_USAGE for a target that is none of the classes. */
BM_API bm_status bm_scores_add(bm_scores *s, const bm_scores_batch *b);

/* The score of that name; NaN if its kind has none, or where there is no answer (nothing counted; roc_auc of one class alone;
 * top5_accuracy of five classes or fewer; r2 of one row; bits_per_byte without bytes). */
BM_API double bm_scores_get(bm_scores *s, const char *name);
/* The names that its kind has, in order; NULL from the last on. Static. */
BM_API const char *bm_scores_name(const bm_scores *s, int i);

/* BINARY and CLASSES: rows of class i that were taken for class k, at [i * C + k]; else NULL. Borrowed. */
BM_API const int64_t *bm_scores_confusion(const bm_scores *s);

typedef struct bm_class_scores {
    double precision, recall, f1;
    int64_t support, predicted; /* rows of the class, rows taken for it */
} bm_class_scores;
/* BINARY and CLASSES. */
BM_API bm_class_scores bm_scores_of_class(const bm_scores *s, int64_t k);

#ifdef __cplusplus
}
#endif
#endif
