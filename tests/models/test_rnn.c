/* Recurrent networks against PyTorch. */
/* ctest: rusticl */
#include "tests/lib/family.h"

static const char *const cases[] = {
    "rnn_classes", "rnn_tags", "lstm_classes", "lstm_tags", "gru_classes",
    "gru_tags", "rnn_regression", "rnn_lm", "rnn_ctc",
};

int main(void)
{
    return family_run("models/rnn", cases, sizeof cases / sizeof *cases);
}
