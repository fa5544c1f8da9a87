/* The run-time scalars of a plan: what changes from launch to launch without changing a shape. One small buffer of
 * 4-byte slots; kernels get it as `__global const uint *rt` and read floats with as_float(). Plain #defines: this header is
 * included by C and, through cl/lib/scalars.clh, by kernels. */
#ifndef BM_CORE_GRAPH_SCALARS_H
#define BM_CORE_GRAPH_SCALARS_H

#define BM_RT_STEP 0       /* uint: optimizer step, from 1 */
#define BM_RT_SEED_LO 1    /* uint: seed of the run, low half */
#define BM_RT_SEED_HI 2
#define BM_RT_RNG_STEP 3   /* uint: the `step` word of Philox: differs for each micro-batch */
#define BM_RT_LR 4         /* float: learning rate of this step */
#define BM_RT_BIAS1 5      /* float: 1 - beta1^t */
#define BM_RT_BIAS2 6      /* float: 1 - beta2^t */
#define BM_RT_POSITION 7   /* uint: decoding: tokens already in the key/value cache */
#define BM_RT_LENGTH 8     /* uint: valid rows of a short last batch; all rows when it is the batch's size */
#define BM_RT_LOSS_SCALE 9 /* float: a loss is this times the sum of what counts: 1 / targets of the whole step when training */
#define BM_RT_USER 16      /* slots from here on are free for models */
#define BM_RT_SLOTS 64

#endif
