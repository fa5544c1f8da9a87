/* Suites that run twice: with the CPU's products of bf16 and i8 (limits.bf16_dot, i8_dot), and as if it had none. */
#ifndef BM_TESTS_LIB_DOTSTEST_H
#define BM_TESTS_LIB_DOTSTEST_H

#include "core/device/engine.h"

enum { DOTS, NO_DOTS, DOTS_FORMS };
extern bm_engine *dotstest_engine[DOTS_FORMS];

/* A fixture for each test: listens to the log, and opens the engines where they are not open; and for the end of the case. */
void dotstest_setup(void);
void dotstest_close(void);

/* An engine whose kernel source cl/NAME has the first `from` replaced by `to`; that of `kernel` comes as it is. Close it. */
bm_engine *dotstest_faulty(const char *kernel, const char *name, const char *from, const char *to);

#endif
