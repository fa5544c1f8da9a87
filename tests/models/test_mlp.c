/* Perceptrons against PyTorch. */
#include "tests/lib/family.h"
#include "tests/lib/test.h"

static const char *const cases[] = {
    "mlp_none", "mlp_none_tanh", "mlp_batch", "mlp_batch_relu", "mlp_layer",
};

int main(void)
{
    return test_run(family_suite("models/mlp", cases, sizeof cases / sizeof *cases));
}
