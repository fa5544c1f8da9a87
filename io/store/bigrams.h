/* How well a token is known from the one before it: what a model must beat to have learned more than pairs. */
#ifndef BM_IO_STORE_BIGRAMS_H
#define BM_IO_STORE_BIGRAMS_H

#include "io/store/dataset.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Vocabularies above this are BM_ERR_UNSUPPORTED: their pairs are counted in a table of vocab^2. */
#define BM_BIGRAMS_MOST_VOCAB 4096

/* The conditional entropy of adjacent tokens over the whole data set, nats per token: H(X2 | X1) = - sum p(a, b) ln p(b
 * | a) (Shannon 1951, "Prediction and Entropy of Printed English", F_2). Reads every token; blocks. */
BM_API bm_status bm_bigram_entropy(double *nats, const bm_tokens *t);

#ifdef __cplusplus
}
#endif
#endif
