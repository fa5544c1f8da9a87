#include "core/base/rng.h"
#include "io/store/loader.h"

#define ROUNDS 4

/* One pass of the network over numbers of 2 * half bits. */
static uint64_t feistel(uint64_t x, int half, uint64_t seed, uint64_t epoch)
{
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    const uint64_t mask = ((uint64_t)1 << half) - 1;
    uint64_t left = x >> half, right = x & mask;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        const uint32_t counter[4] = {(uint32_t)right, round, (uint32_t)epoch, (uint32_t)(epoch >> 32)};
        uint32_t f[4];
        bm_philox4x32(f, counter, key);
        uint64_t next = left ^ (f[0] & mask);
        left = right;
        right = next;
    }
    return left << half | right;
}

uint64_t bm_permute(uint64_t n, uint64_t seed, uint64_t epoch, uint64_t i)
{
    int half = 1;
    while (half < 32 && (n - 1) >> 2 * half) half++;
    do i = feistel(i, half, seed, epoch);
    while (i >= n);
    return i;
}
