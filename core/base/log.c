#include "core/base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/base/locale_priv.h"

enum { MAX_LINE = 2000, MAX_KEYS = 512 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bm_log_fn callback;
static void *callback_user;
static atomic_int least_level = BM_LOG_ERROR + 1; /* read without the lock, so that a line nobody wants costs nothing */

static bm_hash128 keys[MAX_KEYS]; /* of the lines said once; past the last of them lines are said again */
static size_t key_count;

void bm_log_set(bm_log_fn fn, void *user, bm_log_level least)
{
    pthread_mutex_lock(&lock);
    callback = fn;
    callback_user = user;
    key_count = 0;
    atomic_store(&least_level, fn ? (int)least : BM_LOG_ERROR + 1);
    pthread_mutex_unlock(&lock);
}

static void format_line(char line[MAX_LINE], const char *fmt, va_list args)
{
    int n = bm_vformat(line, MAX_LINE, fmt, args);
    if (n < 0) snprintf(line, MAX_LINE, "(a message that could not be formatted: %s)", fmt);
    if (n >= MAX_LINE) memcpy(line + MAX_LINE - 4, "...", 4);
}

void bm_log(bm_log_level level, const char *fmt, ...)
{
    if ((int)level < atomic_load(&least_level)) return;
    char line[MAX_LINE];
    va_list args;
    va_start(args, fmt);
    format_line(line, fmt, args);
    va_end(args);
    pthread_mutex_lock(&lock);
    if (callback) callback(callback_user, level, line);
    pthread_mutex_unlock(&lock);
}

/* Whether the key is new; the lock is held. */
static int remember(const char *key)
{
    bm_hash128 h = bm_hash(key, strlen(key));
    for (size_t i = 0; i < key_count; i++)
        if (bm_hash_equal(&keys[i], &h)) return 0;
    if (key_count < MAX_KEYS) keys[key_count++] = h;
    return 1;
}

void bm_log_once(const char *key, bm_log_level level, const char *fmt, ...)
{
    if ((int)level < atomic_load(&least_level)) return;
    char line[MAX_LINE];
    va_list args;
    va_start(args, fmt);
    format_line(line, fmt, args);
    va_end(args);
    pthread_mutex_lock(&lock);
    if (callback && remember(key)) callback(callback_user, level, line);
    pthread_mutex_unlock(&lock);
}
