/* Graphs of fake.h's ops under test: their gradients against central differences, and what they compute by a memory
 * plan against what they compute with a buffer for each value. */
#ifndef BM_TESTS_LIB_FAKE_CHECK_H
#define BM_TESTS_LIB_FAKE_CHECK_H

#include "core/base/rng.h"
#include "tests/lib/fake.h"
#include "tests/lib/fake_run.h"

/* Plans with room for anything that the tests build. The caller destroys it. */
bm_memplan *fake_plan(bm_graph *g);

/* n numbers in [-most, most). */
void fake_fill(bm_rng *r, double *d, int64_t n, double most);
/* Gives every parameter and input of g random contents; caches stay zero. */
void fake_fill_store(bm_graph *g, fake_store *s, uint64_t seed);

/* Every element of `gradient`, dL/d(leaf), against central differences of the loss, which the first n_forward nodes
 * compute; `forward` is without a plan. `what` names the graph in failures. */
void fake_check_leaf(fake_run *forward, fake_store *s, const bm_value *loss, int n_forward, const bm_value *leaf,
                     const double *gradient, const char *what);
/* Runs g both ways on equal contents: outputs and gradients must be equal bit for bit, and the gradients of all
 * parameters agree with central differences. */
void fake_check_graph(bm_graph *g, bm_value *loss, int n_forward, uint64_t seed, const char *what);

#endif
