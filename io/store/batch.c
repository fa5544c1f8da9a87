#include "io/store/batch.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/base/checked.h"
#include "core/base/mem.h"

#define ELEMENT 4 /* bytes of an i32 and of an f32 */

bm_sample_form bm_sample_tokens(int64_t window, int64_t vocab)
{
    return (bm_sample_form){.input = BM_I32, .target = BM_I32, .input_shape = BM_SHAPE(window), .target_shape = BM_SHAPE(window), .vocab = vocab,
                     .classes = vocab};
}

int64_t bm_sample_places(const bm_sample_form *f)
{
    const int sequence = f->input == BM_I32 ? f->input_shape.rank == 1 : f->input_shape.rank == 2;
    return sequence ? f->input_shape.dim[0] : 1;
}

int64_t bm_sample_bytes(const bm_sample_form *f)
{
    return ELEMENT * (bm_shape_elements(&f->input_shape) + bm_shape_elements(&f->target_shape) + (f->lengths != 0));
}

char *bm_sample_text(const bm_sample_form *f, char buf[BM_SAMPLE_TEXT])
{
    char in[BM_SHAPE_TEXT], to[BM_SHAPE_TEXT] = "", ids[32] = "", classes[40] = "numbers";
    if (f->vocab) snprintf(ids, sizeof ids, " below %lld", (long long)f->vocab);
    if (f->classes) snprintf(classes, sizeof classes, "%s of %lld", f->target_shape.rank ? "classes" : "class", (long long)f->classes);
    if (f->target_shape.rank) bm_shape_text(&f->target_shape, to, sizeof to);
    snprintf(buf, BM_SAMPLE_TEXT, "%s %s%s -> %s%s%s", f->input == BM_I32 ? "ids" : "numbers",
             bm_shape_text(&f->input_shape, in, sizeof in), ids, classes, f->target_shape.rank ? " " : "", to);
    return buf;
}

bm_status bm_batch_create(bm_batch *b, const bm_sample_form *f, int64_t size)
{
    int64_t bytes;
    memset(b, 0, sizeof *b);
    if (bm_mul_i64(&bytes, bm_sample_bytes(f), size)) bytes = INT64_MAX;
    BM_TRY(bm_fail_prefix(bm_mem_check(bytes), "a batch of %lld", (long long)size));
    b->form = *f;
    b->size = size;
    b->input = bm_calloc((size_t)(size * bm_shape_elements(&f->input_shape)), ELEMENT);
    b->target = bm_calloc((size_t)(size * bm_shape_elements(&f->target_shape)), ELEMENT);
    if (f->lengths) b->lengths = bm_calloc((size_t)size, sizeof *b->lengths);
    if (b->input && b->target && (b->lengths || !f->lengths)) return BM_OK;
    bm_batch_finish(b);
    return BM_ERR_MEMORY;
}

void bm_batch_finish(bm_batch *b)
{
    bm_free(b->input);
    bm_free(b->target);
    bm_free(b->lengths);
    memset(b, 0, sizeof *b);
}

bm_batch bm_batch_of(const bm_sample_form *f, int64_t size, void *input, void *target, int32_t *lengths)
{
    return (bm_batch){.form = *f, .size = size, .input = input, .target = target, .lengths = lengths};
}

bm_batch bm_batch_rows(const bm_batch *b, int64_t first, int64_t rows)
{
    bm_batch part = *b;
    part.size = rows;
    part.input = (char *)b->input + ELEMENT * first * bm_shape_elements(&b->form.input_shape);
    part.target = (char *)b->target + ELEMENT * first * bm_shape_elements(&b->form.target_shape);
    if (b->lengths) part.lengths = b->lengths + first;
    return part;
}

void bm_batch_copy(bm_batch *to, const bm_batch *from)
{
    const size_t rows = (size_t)from->size;
    memcpy(to->input, from->input, ELEMENT * rows * (size_t)bm_shape_elements(&from->form.input_shape));
    memcpy(to->target, from->target, ELEMENT * rows * (size_t)bm_shape_elements(&from->form.target_shape));
    if (from->lengths) memcpy(to->lengths, from->lengths, rows * sizeof *to->lengths);
    bm_batch_void(to, from->size);
}

void bm_batch_void(bm_batch *b, int64_t first)
{
    const int64_t in = bm_shape_elements(&b->form.input_shape), out = bm_shape_elements(&b->form.target_shape);
    const int64_t rows = b->size - first;
    memset((char *)b->input + ELEMENT * first * in, 0, (size_t)(ELEMENT * rows * in));
    for (int64_t i = first * out; i < b->size * out; i++) {
        if (b->form.target == BM_I32) ((int32_t *)b->target)[i] = -1;
        else ((float *)b->target)[i] = NAN;
    }
    if (b->lengths) memset(b->lengths + first, 0, (size_t)rows * sizeof *b->lengths);
}

int64_t bm_batch_counted(const bm_batch *b)
{
    int64_t n = 0, all = b->size * bm_shape_elements(&b->form.target_shape);
    if (b->form.target == BM_I32)
        for (int64_t i = 0; i < all; i++) n += ((const int32_t *)b->target)[i] >= 0;
    else
        for (int64_t i = 0; i < all; i++) n += !isnan(((const float *)b->target)[i]);
    return n;
}

double bm_batch_weight(const bm_batch *b, const float *weights)
{
    double sum = 0;
    const int32_t *targets = b->target;
    for (int64_t i = 0, n = b->size * bm_shape_elements(&b->form.target_shape); i < n; i++)
        if (targets[i] >= 0) sum += (double)weights[targets[i]];
    return sum;
}
