/* Messages of the library: it never prints; it calls the callback that the program has set. */
#ifndef BM_CORE_BASE_LOG_H
#define BM_CORE_BASE_LOG_H

#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* PROGRESS names work that has begun and may take seconds; a program shows it until the next line, or not at all. */
typedef enum bm_log_level { BM_LOG_DEBUG, BM_LOG_INFO, BM_LOG_PROGRESS, BM_LOG_WARN, BM_LOG_ERROR } bm_log_level;

/* Called with one line without a newline. May come from any thread; calls are serialised. */
typedef void (*bm_log_fn)(void *user, bm_log_level level, const char *line);

/* Sets the process' callback, which must not log itself; NULL (the default) drops all messages, of which none counts as
 * said. A new callback has heard nothing yet: bm_log_once begins afresh. */
BM_API void bm_log_set(bm_log_fn fn, void *user, bm_log_level least);
BM_API void bm_log(bm_log_level level, const char *fmt, ...) BM_PRINTF(2, 3);
/* Says a line once per process and `key`; later calls with an equal key are dropped. */
BM_API void bm_log_once(const char *key, bm_log_level level, const char *fmt, ...) BM_PRINTF(3, 4);

#ifdef __cplusplus
}
#endif
#endif
