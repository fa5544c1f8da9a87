/* Files for the readers of io/media. */
#ifndef BM_TESTS_LIB_PACKED_H
#define BM_TESTS_LIB_PACKED_H

#include <stddef.h>

/* Writes a file of this test's folder; its path (static buffer, 4 at a time). */
const char *file_of(const char *name, const void *data, size_t bytes);
const char *text_file(const char *name, const char *text);
/* The bytes as one gzip member; the caller frees it by free(). */
unsigned char *gzip_of(size_t *bytes, const void *data, size_t n);

#endif
