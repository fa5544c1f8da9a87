/* How long commands stop: the first SIGINT or SIGTERM asks for it, the second ends the process at once. */
#ifndef BM_TOOLS_SIGNALS_H
#define BM_TOOLS_SIGNALS_H

/* Starts watching; the first signal writes `message` (static text) to stderr. SIGPIPE is ignored from here on. */
void bm_signals_watch(const char *message);
/* Whether a signal came, or the process to follow has gone. */
int bm_signals_stopped(void);
/* From here on it is as good as a signal that this process' parent, of that id, goes. */
void bm_signals_follow_parent(long parent);
/* 130 after SIGINT, 143 after SIGTERM, 0 if none came. */
int bm_signals_exit_code(void);

#endif
