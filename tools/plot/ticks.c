/* The round values at which an axis is marked. */
#include <math.h>
#include <string.h>

#include "tools/plot/chart.h"

/* The least of 1, 2, 5 times a power of ten that is at least x. */
static double round_up(double x)
{
    const double power = pow(10, floor(log10(x)));
    const double m = x / power;
    return power * (m <= 1.0000001 ? 1 : m <= 2.0000001 ? 2 : m <= 5.0000001 ? 5 : 10);
}

static int linear_ticks(double *out, double low, double high, int most)
{
    const double step = round_up((high - low) / (most > 2 ? most : 2)), slack = step * 1e-6;
    int n = 0;
    for (double k = ceil((low - slack) / step); k * step <= high + slack && n < BM_TICKS; k++) out[n++] = k * step;
    return n;
}

/* Powers of ten with these multiples of them. */
static int multiples(double *out, double low, double high, const char *each, int every)
{
    int n = 0;
    for (double e = floor(log10(low)); e <= ceil(log10(high)); e++)
        for (const char *m = each; *m; m++) {
            const double x = (*m - '0') * pow(10, e);
            if (fmod(fabs(e), every) == 0 && x >= low * 0.999999 && x <= high * 1.000001 && n < BM_TICKS) out[n++] = x;
        }
    return n;
}

int bm_chart_ticks(double out[BM_TICKS], double low, double high, int log, int most)
{
    static const char *const each[] = {"125", "12", "1"};
    if (!log) return linear_ticks(out, low, high, most);
    if (high / low < 3) return linear_ticks(out, low, high, most);
    const double decades = log10(high) - log10(low);
    for (int i = 0; i < 2; i++)
        if (decades * (3 - i) <= most) return multiples(out, low, high, each[i], 1);
    return multiples(out, low, high, "1", 1 + (int)(decades / most));
}

char *bm_tick_text(char buf[BM_TICK_TEXT], double x)
{
    static const char *const unit[] = {"", "k", "M", "G", "T"};
    int u = 0;
    if (fabs(x) < 1e-300) x = 0;
    if (fabs(x) >= 1e5)
        for (; fabs(x) >= 1000 && u < 4; u++) x /= 1000;
    bm_format_f64(buf, BM_TICK_TEXT - 2, x, 6);
    strcat(buf, unit[u]);
    return buf;
}
