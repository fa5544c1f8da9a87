/* What the layer library exports to the process it is loaded into; tests reach it through tests/lib/layer.h's functions. */
#ifndef BM_TESTS_LIB_LAYER_LAYER_H
#define BM_TESTS_LIB_LAYER_LAYER_H

#include <stdint.h>

typedef struct layer_stats {
    int64_t calls;         /* of any function but retains and releases */
    int64_t buffers_made;  /* clCreateBuffer, successful */
    int64_t buffer_bytes;  /* of live ones; sub-buffers take none */
    int64_t peak_bytes;
    int64_t programs_made; /* from source or binary, successful */
    int64_t kernels_made;
    int64_t blocking;      /* finish, wait for events, blocking read, write and map */
    int64_t contexts, queues, buffers, programs, kernels, events; /* alive; sub-buffers count as buffers */
} layer_stats;

/* Functions are named without "cl": "CreateBuffer". "EventCallback" is a call as well: failing it hands the callback that
 * was set the failing code for a state. Retains and releases are counted by name, and never fail. */
typedef struct layer_api {
    layer_stats (*stats)(void);
    int64_t (*calls)(const char *function); /* -1: not a function that the layer knows */
    void (*reset)(void); /* counts of calls and of things made; what is alive stays; the peak starts again from there */
    /* The nth call from now (1 = the next) of `function` (NULL: of any) returns `code`; with `sticky` all later ones too.
     * nth = 0 turns it off. Returns 0 for a function that the layer does not know. */
    int (*fail_nth)(const char *function, int64_t nth, int code, int sticky);
    int (*fired)(void); /* whether the failure asked for has happened */
} layer_api;

/* The one exported object: `layer_api bm_layer`. */
#define LAYER_SYMBOL "bm_layer"

#endif
