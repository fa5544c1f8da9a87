/* Strings and the ids that an independent encoder gave them: tests/io/text/text_ids.json. */
#ifndef BM_TESTS_LIB_TEXT_CASES_H
#define BM_TESTS_LIB_TEXT_CASES_H

#include <stddef.h>
#include <stdint.h>

typedef struct text_case {
    unsigned char *text;
    size_t bytes;
    uint32_t *ids;
    size_t n_ids;
} text_case;

/* All of them with the ids of one vocabulary, "small" or "gpt2". */
text_case *text_cases(size_t *n, const char *vocabulary);
void text_cases_free(text_case *cases, size_t n);

/* The text that the small vocabulary was trained from, and its merges; both are the caller's (free). */
char *text_training(uint32_t *vocab_size, uint32_t **merges, size_t *n_merges);

#endif
