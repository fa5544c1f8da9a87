/* Linear models against PyTorch. */
/* ctest: rusticl */
#include "tests/lib/family.h"

static const char *const cases[] = {
    "linear_regression", "linear_binary", "linear_classes",
};

int main(void)
{
    return family_run("models/linear", cases, sizeof cases / sizeof *cases);
}
