/* Two interpreters of graphs of fake.h's ops: one that gives every value memory of its own, and one that puts them
 * where a memory plan says. The first is the oracle of the second: what the plan lets overlap wrongly shows as wrong
 * numbers. */
#ifndef BM_TESTS_LIB_FAKE_RUN_H
#define BM_TESTS_LIB_FAKE_RUN_H

#include "core/graph/graph.h"
#include "core/graph/memplan.h"

/* The memory of what outlives a run: inputs, parameters, gradients, caches, found by place and name. */
typedef struct fake_store fake_store;
fake_store *fake_store_create(void);
void fake_store_destroy(fake_store *s);
/* The elements of a value without a node; zeros (a constant's data) when first asked for. */
double *fake_data(fake_store *s, const bm_value *v);
/* The gradient of a parameter. */
double *fake_grad(fake_store *s, const bm_value *param);

typedef struct fake_run fake_run;
/* Memory for running g, reusable. With `plan`, by its offsets, dead memory filled with NaN; without, a buffer per
 * value. */
fake_run *fake_run_create(bm_graph *g, const bm_memplan *plan);
void fake_run_destroy(fake_run *r);
/* Runs the first n_nodes nodes (-1: all) on the memory of s; the gradients of parameters land in s. */
void fake_run_nodes(fake_run *r, fake_store *s, int n_nodes);
/* The elements of a value after a run; NULL when it was not computed. */
const double *fake_read(const fake_run *r, const bm_value *v);

#endif
