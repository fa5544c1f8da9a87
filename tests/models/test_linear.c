/* Linear models against PyTorch. */
/* ctest: rusticl */
#include "tests/lib/family.h"
#include "tests/lib/test.h"

static const char *const cases[] = {
    "linear_regression", "linear_binary", "linear_classes",
};

int main(void)
{
    return test_run(family_suite("models/linear", cases, sizeof cases / sizeof *cases));
}
