/* The form of CRC32C that every machine runs, for the tests of machines that take the other. */
#ifndef BM_CORE_BASE_HASH_PRIV_H
#define BM_CORE_BASE_HASH_PRIV_H

#include <stddef.h>
#include <stdint.h>

uint32_t bm_crc32c_plain(uint32_t crc, const void *data, size_t bytes);

#endif
