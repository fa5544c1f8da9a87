/* Perceptrons against PyTorch. */
/* ctest: rusticl */
#include "tests/lib/family.h"

static const char *const cases[] = {
    "mlp_none", "mlp_none_tanh", "mlp_batch", "mlp_batch_relu", "mlp_layer",
};

int main(void)
{
    return family_run("models/mlp", cases, sizeof cases / sizeof *cases);
}
