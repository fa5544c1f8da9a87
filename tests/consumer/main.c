/* A program outside bm's tree that uses the installed library. */
#include <models/bm.h>
#include <stdio.h>

int main(void)
{
    const uint32_t zero[4] = {0, 0, 0, 0};
    uint32_t out[4];
    bm_shape s = BM_SHAPE(2, 3);
    bm_philox4x32(out, zero, zero);
    if (out[0] != 0x6627e8d5u || bm_shape_elements(&s) != 6) {
        fprintf(stderr, "the library computes something else\n");
        return 1;
    }
    if (bm_fail(BM_ERR_IO, "x: %d", 7) != BM_ERR_IO || bm_last_error()->text[3] != '7') {
        fprintf(stderr, "the library keeps no error\n");
        return 1;
    }
    return 0;
}
