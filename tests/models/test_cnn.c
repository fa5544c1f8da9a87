/* Convolutional networks against PyTorch. */
/* ctest: rusticl */
#include "tests/lib/family.h"
#include "tests/lib/test.h"

static const char *const cases[] = {
    "cnn_lenet", "cnn_vgg", "cnn_resnet",
};

int main(void)
{
    return test_run(family_suite("models/cnn", cases, sizeof cases / sizeof *cases));
}
