#include <locale.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#if defined(__APPLE__)
#include <xlocale.h>
#endif

#include "core/base/locale_priv.h"

static locale_t c_locale;
static pthread_once_t c_locale_once = PTHREAD_ONCE_INIT;

static void make_c_locale(void) { c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0); }

/* Switches this thread; the caller puts back what it returns. Without memory for a locale the thread stays as it is. */
static locale_t enter_c_locale(void)
{
    pthread_once(&c_locale_once, make_c_locale);
    return c_locale ? uselocale(c_locale) : (locale_t)0;
}

static void leave_c_locale(locale_t before)
{
    if (before) uselocale(before);
}

int bm_vformat(char *buf, size_t bytes, const char *fmt, va_list args)
{
    locale_t before = enter_c_locale();
    int n = vsnprintf(buf, bytes, fmt, args);
    leave_c_locale(before);
    return n;
}

double bm_strtod(const char *text, char **end)
{
    locale_t before = enter_c_locale();
    double x = strtod(text, end);
    leave_c_locale(before);
    return x;
}
