/* The manifest of a bm file: XXH3-128 leaves that tile every byte of it, a root over them, and a content id.
 *
 * In the file: /manifest/leaves u8[n, 128] and /manifest/head u8[4096], written last; all numbers little-endian. Up to
 * 4 rows of zeros may follow the leaves.
 *
 *   head  "BMMANIF1", u32 version (1), u32 leaves, u64 file bytes, u32 algorithms (bit 0: XXH3-128),
 *         root[16] = XXH3-128 of the leaf table, root of BLAKE3[32] (zero: not used), content_id[32], zeros,
 *         u32 CRC32C of all bytes before it
 *   leaf  u64 offset, u64 bytes, XXH3-128[16], BLAKE3[32] (zero), u32 kind, u32 index, zeros
 *
 * Leaves hold at most 16 MiB; the extent of a dataset starts a leaf of its own. `index` is the dataset's place in the
 * list of paths (sorted by bytes), 0 for what belongs to none. A dataset without elements has no leaf. The manifest's
 * own extents are leaves of kind 4 with zero hashes: root and CRC cover them.
 *
 * Tensor hash = XXH3-128(path NUL dtype NUL u32 rank, u64 dims..., the hashes of its leaves in order): they lie at
 * multiples of 16 MiB from its start, so it depends on the tensor alone, and bytes are hashed once.
 *
 * Attribute hash = XXH3-128(object path "@" attribute NUL dtype NUL u32 rank, u64 dims..., bytes).
 *
 * content_id = XXH3-128(0 H) || XXH3-128(1 H), H the hashes in the order of the paths covered. Of a checkpoint these
 * are the datasets below /params, /optim and /state but /state/best_metric, which is history: it hangs on when the run
 * was evaluated. Of a dataset all but those below /meta and /manifest, then the numeric attributes of groups but the
 * root, by path and name. Two files of one content have one id, whatever their layout, history, config, uuid or time.
 */
#ifndef BM_IO_STORE_MANIFEST_H
#define BM_IO_STORE_MANIFEST_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/hash.h"
#include "core/base/shape.h"
#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define BM_LEAF_MOST ((int64_t)16 << 20)

typedef enum bm_leaf_kind {
    BM_LEAF_METADATA,
    BM_LEAF_TENSOR,
    BM_LEAF_JSON,
    BM_LEAF_PADDING,
    BM_LEAF_MANIFEST
} bm_leaf_kind;

typedef struct bm_leaf {
    int64_t offset;
    int64_t bytes;
    bm_hash128 hash;
    uint32_t kind;
    uint32_t index;
} bm_leaf;

typedef struct bm_content_id {
    uint8_t byte[32];
} bm_content_id;

BM_API int bm_content_id_equal(const bm_content_id *a, const bm_content_id *b);
BM_API void bm_content_id_hex(char out[65], const bm_content_id *id);

#ifdef __cplusplus
}
#endif
#endif
