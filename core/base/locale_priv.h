/* Text and numbers in the C locale, whatever the program has set. */
#ifndef BM_CORE_BASE_LOCALE_PRIV_H
#define BM_CORE_BASE_LOCALE_PRIV_H

#include <stdarg.h>
#include <stddef.h>

/* vsnprintf and strtod with a point for the decimal. */
int bm_vformat(char *buf, size_t bytes, const char *fmt, va_list args);
double bm_strtod(const char *text, char **end);

#endif
