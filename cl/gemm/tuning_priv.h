/* The choices of an engine: product -> backend, in memory and in a file. */
#ifndef BM_CL_GEMM_TUNING_PRIV_H
#define BM_CL_GEMM_TUNING_PRIV_H

#include "cl/gemm/gemm_priv.h"

typedef struct bm_gemm_tuning bm_gemm_tuning;

/* What tells one product from another for the choice: shape, types, distances of rows that are not tight, whether D is read. */
#define BM_GEMM_KEY 256
char *bm_gemm_key(const bm_gemm_desc *d, char *buf, size_t bytes);

/* The engine's tuning, locked against other threads until unlock; NULL where nothing was opened or read. */
bm_gemm_tuning *bm_gemm_tuning_lock(bm_engine *e);
void bm_gemm_tuning_unlock(bm_gemm_tuning *t);
/* Whether new choices may be measured: bm_gemm_tuning_open was called. */
int bm_gemm_tuning_measures(const bm_gemm_tuning *t);
/* The choice made for a key, or NULL. */
const bm_gemm_backend *bm_gemm_tuning_find(bm_gemm_tuning *t, const char *key);
/* Keeps a choice, and writes the file if there is one; a file that cannot be written is said once. */
bm_status bm_gemm_tuning_add(bm_gemm_tuning *t, const char *key, const bm_gemm_backend *b);

#endif
