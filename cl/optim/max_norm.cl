/* A limit to the norm of what each unit reads (Srivastava et al. 2014, "Dropout", section 5.1):
 *
 *     x[r, :] <- x[r, :] min(1, most / |x[r, :]|)                 x [rows, n]
 *
 * A work-group does `each` rows. Local memory: that of rowsum.clh in the plain form. Options: STORAGE (types.clh), CPU (grid.clh). */

#include "rowsum.clh"

#define SQUARE_STEP(w) PASTE(d, w) += GET(w, x, r * n + i) * GET(w, x, r * n + i);
#define SCALE_STEP(w) PUT(w, GET(w, x, r * n + i) * (VEC(w))(scale), x, r * n + i);

__kernel void max_norm(__global stored *x, const long rows, const long n, const long each, const float most)
{
    LOCAL_SUMS
    ROWS(rows, each)
    {
        SUM_OVER_ROW(d);
        COLUMNS(n, SQUARE_STEP)
        const float norm = sqrt(ROW_SUM(d, sums)), scale = most / norm;
        if (norm > most) COLUMNS(n, SCALE_STEP)
    }
}
