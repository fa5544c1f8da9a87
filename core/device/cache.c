/* Built programs on disk, one file each: a header, then the binary as the driver gave it. Drivers check nothing of what they
 * load, and some end the process on a cut file, so the checksum decides before a driver sees it. */
#include <stdio.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/device/engine_priv.h"

#define MOST_BYTES ((size_t)1 << 30)

static const char magic[8] = {'B', 'M', 'P', 'R', 'O', 'G', '1', '\n'};

/* Offsets of the header's fields. */
enum { AT_MAGIC = 0, AT_KEY = 8, AT_BYTES = 24, AT_CHECKSUM = 32, HEADER_BYTES = 48 };

static void put_u64(unsigned char *to, uint64_t v)
{
    for (int i = 0; i < 8; i++) to[i] = (unsigned char)(v >> 8 * i);
}

/* FOLDER/programs/KEY.bin, the caller's to free; NULL: no memory. */
static char *entry_path(const char *folder, const bm_hash128 *key)
{
    char hex[33], name[64];
    bm_hash_hex(hex, key);
    snprintf(name, sizeof name, "programs/%s.bin", hex);
    return bm_path_join(folder, name);
}

/* The header that belongs to a binary; a file is sound when it begins with exactly that. */
static void make_header(unsigned char out[HEADER_BYTES], const bm_hash128 *key, const void *binary, size_t bytes)
{
    bm_hash128 sum = bm_hash(binary, bytes);
    memcpy(out + AT_MAGIC, magic, sizeof magic);
    memcpy(out + AT_KEY, key->byte, sizeof key->byte);
    put_u64(out + AT_BYTES, bytes);
    memcpy(out + AT_CHECKSUM, sum.byte, sizeof sum.byte);
}

static void say_once(const char *folder, const char *what, bm_status why)
{
    char key[512];
    snprintf(key, sizeof key, "program-cache:%s:%s", what, folder);
    bm_log_once(key, BM_LOG_WARN, "programs are built anew each time: the cache cannot be %s: %s", what, bm_error_text(why));
}

bm_cache_entry bm_cache_load(const char *folder, const bm_hash128 *key)
{
    bm_cache_entry none = {NULL, NULL, 0}, found = none;
    char *path = entry_path(folder, key);
    if (!path) return none;
    size_t file_bytes = 0;
    bm_status status = bm_file_read(&found.data, &file_bytes, path, MOST_BYTES);
    bm_free(path);
    if (status == BM_ERR_NOT_FOUND) return none;
    if (status) {
        say_once(folder, "read", status);
        return none;
    }
    unsigned char header[HEADER_BYTES];
    if (file_bytes > HEADER_BYTES) {
        found.binary = (const unsigned char *)found.data + HEADER_BYTES;
        found.bytes = file_bytes - HEADER_BYTES;
        make_header(header, key, found.binary, found.bytes);
        if (!memcmp(header, found.data, HEADER_BYTES)) return found;
    }
    bm_free(found.data);
    return none;
}

void bm_cache_store(const char *folder, const bm_hash128 *key, const void *binary, size_t bytes)
{
    char *path = entry_path(folder, key);
    char *parent = path ? bm_path_folder(path) : NULL;
    unsigned char *file = parent ? bm_alloc(HEADER_BYTES + bytes) : NULL;
    bm_status status = file ? BM_OK : BM_ERR_MEMORY;
    if (file) {
        make_header(file, key, binary, bytes);
        memcpy(file + HEADER_BYTES, binary, bytes);
    }
    if (!status) status = bm_folder_create(parent);
    if (!status) status = bm_file_replace(path, file, HEADER_BYTES + bytes);
    if (status) say_once(folder, "written", status);
    bm_free(file);
    bm_free(parent);
    bm_free(path);
}
