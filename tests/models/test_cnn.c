/* Convolutional networks against PyTorch. */
/* ctest: rusticl */
#include "tests/lib/family.h"

static const char *const cases[] = {
    "cnn_lenet", "cnn_vgg", "cnn_resnet",
};

int main(void)
{
    return family_run("models/cnn", cases, sizeof cases / sizeof *cases);
}
