/* Tests of ops: an op is built through its public builder, run on the tests' device, and compared with a reference in double.
 *
 * optest_check() runs a case in both forms of the kernels (cpu and plain), once more with a small largest allocation, and with
 * storage in 16 bits: bf16 in the cpu form, f16 in the plain one (cl/lib has every type in every width). Each run is made twice and must give the same bits. In f32 the gradients of loss = sum over outputs of
 * sum(output * r), r random, are compared with central differences of the reference. A result may differ by
 *
 *     c 2^-24 sqrt(length) max(|want|, rms(want), floor)  +  one rounding to the type of the output
 *
 * Inputs come from a generator seeded by the case's name and are rounded to the storage type before the reference sees them.
 */
#ifndef BM_TESTS_LIB_OPTEST_H
#define BM_TESTS_LIB_OPTEST_H

#include <check.h>

#include "core/graph/graph.h"
#include "core/graph/plan.h"

#define OPTEST_INPUTS 8
#define OPTEST_OUTPUTS 4

typedef enum optest_fill {
    OPTEST_NORMAL,  /* N(0, 1) */
    OPTEST_UNIFORM, /* [low, high) */
    OPTEST_APART,   /* magnitude in [low, high), either sign: keeps clear of a kink at 0 */
    OPTEST_INDEX    /* whole numbers in [low, high), i32 */
} optest_fill;

typedef struct optest_input {
    bm_shape shape;
    optest_fill fill;
    double low, high;
    bm_place place;  /* BM_PLACE_WEIGHT, BM_PLACE_CACHE; else an input of the graph */
    int f32;         /* f32 whatever the storage type */
    int gradient;    /* dL/d(this) is checked */
} optest_input;

typedef struct optest optest;
struct optest {
    const char *name;
    optest_input in[OPTEST_INPUTS];
    int n_in, n_out;
    /* Makes the values out[0 .. n_out). */
    void (*build)(bm_graph *g, bm_value **out, bm_value *const *in, const optest *t);
    /* The same in double; every array has the elements of its value. */
    void (*reference)(double *const *out, const double *const *in, const optest *t);
    const void *with;                                  /* what both need besides the inputs */
    void (*prepare)(bm_plan *p, const optest *t);      /* may set run-time scalars; NULL */
    double c, length;                                  /* of the outputs; 0 counts as 1 */
    double grad_c, grad_length;                        /* of the gradients; 0: as above */
    double floor;                                      /* size of terms that may cancel; 0: none */
    double bf16_c;                                     /* added to c sqrt(length) in bf16: roundings to it on the way */
    int f32_only;                                      /* no 16-bit storage */
};

void optest_check(const optest *t);

/* With opts.accumulate, two runs leave twice the gradient in the GRAD bank, and one run leaves it once. */
void optest_check_accumulate(const optest *t);

/* A test case of libcheck whose tests find the engines open, together (tests/lib/device.h). */
TCase *optest_tcase(Suite *s, const char *name);

/* Whether only small sizes are wanted: slow implementations (BM_TEST_SMALL or BM_TEST_OCLGRIND in the environment). */
int optest_small(void);

/* The engine of a form, for tests that build their own graphs. Borrowed. EACH_FORM(form) loops over both forms, or over the one
 * that BM_TEST_FORM names. */
bm_engine *optest_engine(bm_form form);
int optest_next_form(int form);
#define EACH_FORM(form) for (int form = optest_next_form(BM_FORM_AUTO); form != BM_FORM_AUTO; form = optest_next_form(form))

/* Fails the test when got[i] (type t) is not want[i] within c 2^-24 max(|want|, rms, floor) and a rounding to t. */
void optest_compare(const char *what, const void *got, bm_dtype t, const double *want, int64_t n, double c, double floor);

#endif
