/* What the files of the backend `clblast` share: the library, touched in clblast_lib.c alone, and the way it is used on CPUs. */
#ifndef BM_CL_GEMM_CLBLAST_PRIV_H
#define BM_CL_GEMM_CLBLAST_PRIV_H

#include "cl/gemm/gemm_priv.h"

/* ---- the library: clblast_lib.c ---- */

#define BM_CLBLAST_LIBRARY "libclblast.so.1"

/* Whether it is there. */
int bm_clblast_load(void);
/* Scratch that it wants for one product (batch 1) whose operands begin at the offsets of `d`. */
bm_status bm_clblast_temp(int64_t *bytes, bm_engine *e, const bm_gemm_desc *d);

/* The kernel that is asked for on CPUs multiplies [K, M] and [K, N], both tight, into a tight D [M, N], with nothing copied, where
 * M and N are multiples of these and every operand begins with its memory. */
typedef struct bm_clblast_tile {
    int64_t m, n;
} bm_clblast_tile;
bm_clblast_tile bm_clblast_cpu_tile(const bm_limits *limits);

/* Products that are enqueued one after the other. */
typedef struct bm_clblast_call bm_clblast_call;
/* For `most` products. `temp`, borrowed, is what bm_clblast_temp asked for; NULL for none. */
bm_status bm_clblast_call_create(bm_clblast_call **out, bm_engine *e, int64_t most, cl_mem temp);
/* One product of batch 1; of args a, b and d are used, and held. */
bm_status bm_clblast_call_add(bm_clblast_call *c, const bm_gemm_desc *d, const bm_gemm_args *args);
bm_status bm_clblast_call_run(void *call, cl_command_queue queue);
void bm_clblast_call_destroy(void *call);

/* Whether memory that begins `elements` further on can be a sub-buffer. */
int bm_clblast_aligned(const bm_limits *limits, int64_t elements);

/* ---- the way on CPUs: clblast_cpu.c ---- */

int64_t bm_clblast_cpu_scratch(const bm_gemm_desc *d, const bm_limits *limits);
void bm_clblast_cpu_launch(bm_gemm_emit *out, const bm_gemm_desc *d, const bm_gemm_args *args, int64_t scratch_offset);

/* ---- epilogue.cl: clblast.c ---- */

/* D = act(sum + beta D + bias); `sum` and D begin at the offsets given, bias at `bias_at`. Nothing is launched where D is `sum` and
 * stays as it is. */
typedef struct bm_clblast_sum {
    cl_mem mem;
    int64_t offset, ld;
    float beta;
    int64_t bias_at;
} bm_clblast_sum;
void bm_clblast_epilogue(bm_gemm_emit *out, const bm_gemm_desc *d, const bm_gemm_args *args, const bm_clblast_sum *sum);

#endif
