/* Configurations of a model family against what PyTorch makes of them (tests/fixtures/make_models_fixture.py). */
#ifndef BM_TESTS_LIB_FAMILY_H
#define BM_TESTS_LIB_FAMILY_H

/* Runs the suite over n groups of the fixture, whose names are static; the exit code of the program. */
int family_run(const char *suite, const char *const *cases, int n);

#endif
