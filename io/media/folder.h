/* Files and their classes: a folder with a folder for each class, or a folder and a table that says which file is what.
 *
 * The order depends on names alone: classes by bytes, files by class, then by path. Names that begin with a dot are passed
 * over, and so are files of other endings; folders in a class's folder are walked, links to folders are not.
 *
 * BM_ERR_CONFIG names a class without files, a file that lies in no class's folder, one class only, a name that is not UTF-8,
 * and in a table the line of a file that is not there, stands twice or has no class. */
#ifndef BM_IO_MEDIA_FOLDER_H
#define BM_IO_MEDIA_FOLDER_H

#include <stdint.h>

#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bm_folder bm_folder;

typedef struct bm_folder_file {
    const char *path;
    int32_t label; /* the index of its class */
} bm_folder_file;

/* `endings` are those of the files that count, ".png" say, in either case, ended by NULL. */
BM_API bm_status bm_folder_open(bm_folder **out, const char *path, const char *const *endings);
/* The files that a CSV names in its first column, relative to `path`, of the classes in its second. */
BM_API bm_status bm_folder_open_table(bm_folder **out, const char *path, const char *table);
BM_API void bm_folder_close(bm_folder *f);
BM_API int64_t bm_folder_classes(const bm_folder *f);
BM_API const char *bm_folder_class_at(const bm_folder *f, int64_t i);
BM_API int64_t bm_folder_count(const bm_folder *f);
BM_API const bm_folder_file *bm_folder_at(const bm_folder *f, int64_t i); /* borrowed */

#ifdef __cplusplus
}
#endif
#endif
