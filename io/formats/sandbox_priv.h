/* Walls around a process that reads what nobody vouches for. */
#ifndef BM_IO_FORMATS_SANDBOX_PRIV_H
#define BM_IO_FORMATS_SANDBOX_PRIV_H

#include <stdint.h>

/* For a child, right after the fork: it keeps no descriptor but fd, dies with its parent, leaves that one's signals to
 * it, gets so many bytes of memory beyond what it has and seconds of processor time, and can write no file. On Linux
 * (x86-64, AArch64) it can call for nothing but memory, what is open, and files to read; what a system does not offer
 * is gone without. */
void bm_sandbox_enter(int fd, int64_t memory, int64_t seconds);
/* From here on nothing more can be opened; other seconds, counted from the beginning. */
void bm_sandbox_close(int64_t seconds);

#endif
