#define _GNU_SOURCE /* sched_getaffinity */
#include "tools/threads.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int64_t bm_threads;

static int64_t online(void)
{
    const long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? n : 1;
}

static int64_t in_mask(void)
{
#ifdef __linux__
    cpu_set_t set;
    if (!sched_getaffinity(0, sizeof set, &set)) return CPU_COUNT(&set);
#endif
    return online();
}

/* The time of a control group (version 2) in processors, rounded up; 0: no limit. The file holds "QUOTA PERIOD", or "max PERIOD". */
static int64_t quota_of(const char *folder)
{
    char path[1024];
    long long quota = 0, period = 0;
    if (snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.max", folder) >= (int)sizeof path) return 0;
    FILE *f = fopen(path, "r");
    if (!f) return 0;
    const int n = fscanf(f, "%lld %lld", &quota, &period);
    fclose(f);
    return n == 2 && quota > 0 && period > 0 ? (quota + period - 1) / period : 0;
}

/* The tightest limit of the process' group and those above it. */
static int64_t quota_of_process(void)
{
    char line[900], *folder = NULL;
    FILE *f = fopen("/proc/self/cgroup", "r");
    while (f && !folder && fgets(line, sizeof line, f))
        if (!strncmp(line, "0::/", 4)) folder = line + 3;
    if (f) fclose(f);
    if (!folder) return quota_of("");
    folder[strcspn(folder, "\n")] = 0;
    int64_t least = 0;
    for (;;) {
        const int64_t n = quota_of(folder);
        if (n && (!least || n < least)) least = n;
        char *slash = strrchr(folder, '/');
        if (!slash) return least;
        *slash = 0;
    }
}

int64_t bm_threads_allowed(void)
{
    const int64_t mask = in_mask(), quota = quota_of_process();
    return quota && quota < mask ? quota : mask;
}

bm_status bm_threads_tell(void)
{
    /* PoCL, Intel's runtime, Mesa's llvmpipe. */
    static const char *const names[] = {"POCL_MAX_PTHREAD_COUNT", "DPCPP_CPU_NUM_CUS", "LP_NUM_THREADS"};
    char text[24];
    if (bm_threads < 0) return bm_fail(BM_ERR_USAGE, "--threads: %lld is negative", (long long)bm_threads);
    const int64_t n = bm_threads ? bm_threads : bm_threads_allowed();
    const int all = n >= online() && in_mask() == online();
    if (all && !getenv(names[0])) setenv("POCL_AFFINITY", "1", 0);
    if (all && !bm_threads) return BM_OK;
    snprintf(text, sizeof text, "%lld", (long long)n);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) setenv(names[i], text, bm_threads > 0);
    return BM_OK;
}
