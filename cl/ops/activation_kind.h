/* Activations, as epilogues of GEMM and as ops. The numbers are the values of the kernels' option ACT (cl/lib/act.clh). */
#ifndef BM_CL_OPS_ACTIVATION_KIND_H
#define BM_CL_OPS_ACTIVATION_KIND_H

typedef enum bm_activation {
    BM_ACT_NONE = 0,
    BM_ACT_GELU_TANH = 1, /* 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), Hendrycks & Gimpel 2016 */
    BM_ACT_GELU = 2,      /* x Phi(x), the exact form */
    BM_ACT_RELU = 3,
    BM_ACT_SILU = 4,      /* x sigmoid(x) */
    BM_ACT_TANH = 5,
    BM_ACT_SIGMOID = 6
} bm_activation;

#endif
