/* Status codes and the thread's error detail.
 *
 * A function that can fail returns a bm_status: 0 or a negative code. The detail (one sentence, where it was found) is
 * thread-local and set once, by bm_fail(), at the place that finds the fault; callers hand the code on.
 */
#ifndef BM_CORE_BASE_STATUS_H
#define BM_CORE_BASE_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

#ifndef BM_API
#if defined(__GNUC__)
#define BM_API __attribute__((visibility("default")))
#else
#define BM_API
#endif
#endif

#if defined(__GNUC__)
#define BM_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define BM_WARN_UNUSED __attribute__((warn_unused_result))
#else
#define BM_PRINTF(fmt, args)
#define BM_WARN_UNUSED
#endif

/* The one list: X(name, code, exit code of bmtool, sentence). */
#define BM_STATUS_LIST(X)                                                                          \
    X(BM_OK, 0, 0, "success")                                                                      \
    X(BM_ERR_USAGE, -1, 2, "wrong use")                                                            \
    X(BM_ERR_CONFIG, -2, 2, "the configuration is not valid")                                      \
    X(BM_ERR_SHAPE, -3, 2, "shapes or types do not fit together")                                  \
    X(BM_ERR_UNSUPPORTED, -4, 2, "not supported here")                                             \
    X(BM_ERR_DAMAGED, -5, 1, "the file is damaged")                                                \
    X(BM_ERR_DIFFERS, -6, 1, "the contents differ")                                                \
    X(BM_ERR_REFUSED, -7, 3, "refused by policy")                                                  \
    X(BM_ERR_EXISTS, -8, 3, "the output exists already")                                           \
    X(BM_ERR_NOT_FOUND, -9, 4, "not found")                                                        \
    X(BM_ERR_IO, -10, 4, "input or output failed")                                                 \
    X(BM_ERR_NO_SPACE, -11, 4, "no space left")                                                    \
    X(BM_ERR_MEMORY, -12, 5, "out of host memory")                                                 \
    X(BM_ERR_NO_DEVICE, -13, 5, "no such device")                                                  \
    X(BM_ERR_DEVICE, -14, 5, "the device reported an error")                                       \
    X(BM_ERR_DEVICE_MEMORY, -15, 5, "out of device memory")                                        \
    X(BM_ERR_BUILD, -16, 5, "a kernel did not build")                                              \
    X(BM_ERR_NOT_FINITE, -17, 6, "a value is not finite")                                          \
    X(BM_ERR_STOPPED, -18, 130, "stopped on request")

typedef enum bm_status {
#define BM_STATUS_ENUM(name, code, exit_code, sentence) name = code,
    BM_STATUS_LIST(BM_STATUS_ENUM)
#undef BM_STATUS_ENUM
} bm_status;

/* The name ("BM_ERR_IO"), the general sentence, and bmtool's exit code of a status. Static strings. */
BM_API const char *bm_status_name(bm_status s);
BM_API const char *bm_status_sentence(bm_status s);
BM_API int bm_status_exit_code(bm_status s);

/* Sets this thread's detail and returns `code`. Use: return bm_fail(BM_ERR_IO, "%s: %s", path, strerror(errno)); */
#define bm_fail(code, ...) bm_fail_at((code), 0, __FILE__, __LINE__, __VA_ARGS__)
/* The same with the OpenCL error code that caused it. */
#define bm_fail_cl(code, cl_code, ...) bm_fail_at((code), (cl_code), __FILE__, __LINE__, __VA_ARGS__)
BM_API bm_status bm_fail_at(bm_status code, int cl_code, const char *file, int line, const char *fmt, ...) BM_PRINTF(5, 6);

/* Puts "prefix: " before the detail of a failure on its way up (a file name, say), unless it stands there already;
 * returns `s`. Nothing if s is BM_OK. */
BM_API bm_status bm_fail_prefix(bm_status s, const char *fmt, ...) BM_PRINTF(2, 3);

typedef struct bm_error {
    bm_status status;  /* the code handed to bm_fail */
    int cl_code;       /* OpenCL's code, or 0 */
    const char *file;  /* where it was found; static */
    int line;
    char text[1000];   /* one sentence; cut with "..." when longer */
} bm_error;

/* This thread's last error; borrowed, valid until the next failure on this thread. Never NULL; status BM_OK at first. */
BM_API const bm_error *bm_last_error(void);
/* The text of bm_last_error(), or the general sentence of `s` when the detail belongs to another status. */
BM_API const char *bm_error_text(bm_status s);
/* Puts back an error that was copied before: it travels between threads this way. Returns its status. */
BM_API bm_status bm_error_restore(const bm_error *e);

/* Returns from the calling function when `expr` fails. */
#define BM_TRY(expr)                                                                               \
    do {                                                                                           \
        bm_status bm_try_status_ = (expr);                                                         \
        if (bm_try_status_) return bm_try_status_;                                                 \
    } while (0)

/* The same for functions with a `done:` label and a local `bm_status status`. */
#define BM_GO(expr)                                                                                \
    do {                                                                                           \
        status = (expr);                                                                           \
        if (status) goto done;                                                                     \
    } while (0)

#ifdef __cplusplus
}
#endif
#endif
