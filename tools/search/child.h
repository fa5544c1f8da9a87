/* A piece of work in a process of its own: what a device driver or a fault does there ends it, and not this one. */
#ifndef BM_TOOLS_SEARCH_CHILD_H
#define BM_TOOLS_SEARCH_CHILD_H

#include "core/base/status.h"

typedef struct bm_child {
    int (*work)(void *user);      /* in the child; returns an exit code, 0 is well */
    void *user;
    const char *log;              /* stderr is added to this file, and stdout unless it is kept */
    int keep_stdout;              /* what it prints comes back */
    void (*waiting)(void *user);  /* called now and then meanwhile, here; may be NULL */
} bm_child;

typedef struct bm_child_end {
    int code;          /* its exit code; 128 + n for one ended by signal n */
    bm_status status;  /* of its last failure; BM_OK where it has told none */
    char text[1000];   /* in words */
    char *output;      /* bm_free; NULL unless kept */
} bm_child_end;

/* Runs it to its end. A SIGINT or SIGTERM that came here is handed on once, and the child's end is waited for. Nothing of OpenCL may be open
 * here, and no thread run. The child is asked to stop, too, when this process is gone. BM_ERR_IO when there can be no child. */
bm_status bm_child_run(bm_child_end *end, const bm_child *c);

#endif
