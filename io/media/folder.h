/* Files and their classes: a folder with a folder for each class, or a folder and a table that says which file is what.
 *
 * The order depends on names alone: classes by bytes, files by class, then by path. Names that begin with a dot are passed
 * over, and so are files of other endings; folders in a class's folder are walked, links to folders are not.
 *
 * A table is CSV. Its columns are found by their names, file, then label, class or text, and part; those without such names
 * are the first and the second. A part is train or val.
 *
 * BM_ERR_CONFIG names a class without files, a file that lies in no class's folder, one class only, a name that is not UTF-8,
 * and in a table the line of a file that is not there, stands twice or has no class. Where the classes are given it names one
 * that is not among them, and files may be of none and classes without files. */
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
    int32_t label;  /* the index of its class; -1: none */
    int validation; /* whether the table has put it into the part val */
} bm_folder_file;

typedef struct bm_folder_opts {
    const char *const *endings; /* of the files that count, ".png" say, in either case, ended by NULL; of folders */
    const char *table;          /* which files, relative to the folder, are of which class; NULL: folders say so */
    int texts;                  /* the table has texts for classes, of which there may be one only; without a table files are of
                                 * none, wherever they lie */
    const char *const *classes; /* in their order; NULL: those that are met */
    int64_t n_classes;
} bm_folder_opts;

BM_API bm_status bm_folder_open(bm_folder **out, const char *path, const bm_folder_opts *opts);
BM_API void bm_folder_close(bm_folder *f);
BM_API int64_t bm_folder_classes(const bm_folder *f);
BM_API const char *bm_folder_class_at(const bm_folder *f, int64_t i);
BM_API int bm_folder_has_parts(const bm_folder *f); /* whether a table says which part a file is of */
BM_API int64_t bm_folder_count(const bm_folder *f);
BM_API const bm_folder_file *bm_folder_at(const bm_folder *f, int64_t i); /* borrowed */

#ifdef __cplusplus
}
#endif
#endif
