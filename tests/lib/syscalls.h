/* System calls that change files, as the program and libhdf5 make them: counted, made to fail, cut short, or fatal; and
 * written down, to work out what a power failure could have left. Linking this file puts it between the program and the
 * C library. */
#ifndef BM_TESTS_LIB_SYSCALLS_H
#define BM_TESTS_LIB_SYSCALLS_H

#include <stddef.h>
#include <stdint.h>

typedef enum sys_action {
    SYS_PASS,
    SYS_FAIL,      /* returns the error, nothing done */
    SYS_SHORT,     /* reads and writes move half of the bytes; others pass */
    SYS_KILL,      /* SIGKILL instead of the call */
    SYS_KILL_HALF, /* SIGKILL after half of a write */
    SYS_KILL_AFTER /* SIGKILL after the call */
} sys_action;

/* Does `action` at the n-th call from now (1: the next), errors as `error`. Reads count only if asked for. */
void test_sys_arm(int n, sys_action action, int error, int with_reads);
/* Calls since test_sys_arm; the name of the one acted upon, or NULL. */
int test_sys_calls(void);
const char *test_sys_hit(void);

/* What statvfs says of free space; negative: the truth. */
void test_sys_free(int64_t bytes);

/* ---- the record ---- */

typedef enum sys_kind { SYS_WRITE, SYS_RESIZE, SYS_SYNC, SYS_NAME, SYS_SYNC_FOLDER } sys_kind;

typedef struct sys_op {
    sys_kind kind;
    uint64_t inode; /* of the file changed, synced, or given a name */
    int64_t offset; /* of a write; the size of a resize */
    size_t bytes;
    unsigned char *data;
    char name[256]; /* last part of the name given */
} sys_op;

void test_sys_record(int on); /* starting forgets what was recorded before */
const sys_op *test_sys_ops(int *count);

#endif
