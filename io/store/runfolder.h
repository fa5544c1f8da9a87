/* The folder of a run: checkpoints/step-00000100.h5 and LATEST (the name of the newest, a hint). */
#ifndef BM_IO_STORE_RUNFOLDER_H
#define BM_IO_STORE_RUNFOLDER_H

#include <stdint.h>

#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* RUN/checkpoints/step-%08d.h5; bm_free. */
BM_API bm_status bm_run_checkpoint(char **out, const char *run, uint64_t step);
BM_API int bm_run_is_folder(const char *path);

/* Whether a new run may be made there: BM_ERR_EXISTS when anything has that name, BM_ERR_IO or BM_ERR_NOT_FOUND when
 * the nearest folder above it that exists is none, or cannot be written. */
BM_API bm_status bm_run_check_new(const char *run);
/* Makes RUN, which must not exist, the folders above it, and RUN/checkpoints. *made is the topmost folder that was not
 * there before (bm_free). After a failure nothing is left. */
BM_API bm_status bm_run_create(char **made, const char *run);
/* Takes back what bm_run_create made, and the files in RUN that a run has before its first checkpoint. */
BM_API void bm_run_discard(const char *run, const char *made);

/* The newest checkpoint that verifies (bm_store_verify), and its step (may be NULL). One that does not is left where it
 * is, with a warning, and the one before is taken. BM_ERR_NOT_FOUND when there is none; what the newest's fault was,
 * when all are damaged. */
BM_API bm_status bm_run_newest(char **out, uint64_t *step, const char *run);
/* `path` itself if it is a file, else the newest of the run; bm_free. BM_ERR_NOT_FOUND. */
BM_API bm_status bm_run_resolve(char **out, const char *path);

BM_API bm_status bm_run_set_latest(const char *run, uint64_t step);

/* The steps there are, ascending; *steps with bm_free. */
BM_API bm_status bm_run_steps(uint64_t **steps, int64_t *count, const char *run);
/* Removes all but the last `keep` (at least 1) and the step `best` (0: none). Call it only after a new one was
 * committed. */
BM_API bm_status bm_run_prune(const char *run, int64_t keep, uint64_t best);
/* Removes temporary files in RUN and RUN/checkpoints that no living process writes. */
BM_API bm_status bm_run_clean(const char *run);

#ifdef __cplusplus
}
#endif
#endif
