#include "tools/data/hdf5_in.h"

#include <stdio.h>
#include <string.h>

#include "tools/out.h"

#define MOST_CLASSES ((int64_t)1 << 20)

static const bm_shape *shape_of(const bm_hdf5_in *in, int i) { return &bm_hdf5_at(in->h, i)->shape; }

static void name_paths(bm_hdf5_part *p, const char **paths, int *n)
{
    p->inputs = p->targets = -1;
    if (p->inputs_path) paths[p->inputs = (*n)++] = p->inputs_path;
    if (p->targets_path) paths[p->targets = (*n)++] = p->targets_path;
}

/* ---- whether they go together ---- */

static bm_status check_rows(const bm_hdf5_in *in, const bm_hdf5_part *p)
{
    if (p->inputs < 0 || p->targets < 0) return BM_OK;
    const int64_t x = shape_of(in, p->inputs)->dim[0], y = shape_of(in, p->targets)->dim[0];
    if (x == y) return BM_OK;
    return bm_fail(BM_ERR_CONFIG, "%s: %s has %lld rows, %s %lld", in->file, p->inputs_path, (long long)x,
                   p->targets_path, (long long)y);
}

/* A data set of the training part and one of the other, equal but for the first dimension. */
static bm_status check_alike(const bm_hdf5_in *in, int train, const char *train_path, int val, const char *val_path)
{
    char a[BM_SHAPE_TEXT], b[BM_SHAPE_TEXT];
    bm_shape x = *shape_of(in, train), y = *shape_of(in, val);
    x.dim[0] = y.dim[0] = 1;
    if (bm_shape_equal(&x, &y)) return BM_OK;
    return bm_fail(BM_ERR_CONFIG, "%s: %s is %s, %s %s: only the first dimension may differ", in->file, train_path,
                   bm_shape_text(shape_of(in, train), a, sizeof a), val_path,
                   bm_shape_text(shape_of(in, val), b, sizeof b));
}

static bm_status check_parts(const bm_hdf5_in *in)
{
    const bm_hdf5_part *t = &in->train, *v = &in->val;
    BM_TRY(check_rows(in, t));
    BM_TRY(check_rows(in, v));
    if (v->inputs < 0) return BM_OK;
    BM_TRY(check_alike(in, t->inputs, t->inputs_path, v->inputs, v->inputs_path));
    return check_alike(in, t->targets, t->targets_path, v->targets, v->targets_path);
}

/* ---- what they are ---- */

/* The shape of one of N; [1] where there is nothing but N. */
static bm_shape one_of(const bm_shape *s)
{
    bm_shape one = {.rank = s->rank - 1};
    for (int i = 0; i < one.rank; i++) one.dim[i] = s->dim[i + 1];
    return one.rank ? one : BM_SHAPE(1);
}

static bm_status find_targets(bm_hdf5_in *in)
{
    const bm_hdf5_data *d = bm_hdf5_at(in->h, in->train.targets);
    const char *path = in->train.targets_path;
    if (d->shape.rank > 2)
        return bm_fail(BM_ERR_CONFIG, "%s: %s has %d dimensions: targets are [N] or [N, D]", in->file, path,
                       d->shape.rank);
    in->rows.numbers = in->type ? !strcmp(in->type, "number") : d->is_float;
    if (!in->rows.numbers && d->is_float)
        return bm_fail(BM_ERR_CONFIG, "%s: %s holds floating numbers: classes are integers", in->file, path);
    in->rows.target = one_of(&d->shape);
    if (!in->rows.numbers && in->rows.target.dim[0] == 1) in->rows.target = (bm_shape){0};
    return BM_OK;
}

/* Bytes in three or four dimensions, each with a class, are images; all else is rows. */
static bm_status find_inputs(bm_hdf5_in *in)
{
    const bm_hdf5_data *d = bm_hdf5_at(in->h, in->train.inputs);
    const int bytes = !d->is_float && !d->is_signed && d->bytes == 1 && (d->shape.rank == 3 || d->shape.rank == 4);
    in->images = bytes && (in->train.targets < 0 || (!in->rows.numbers && !in->rows.target.rank));
    if (in->images) return BM_OK;
    if (in->layout)
        return bm_fail(BM_ERR_USAGE,
                       "--layout is that of images, u8 [N, H, W, C] or [N, C, H, W] with a class for each: %s is none",
                       in->train.inputs_path);
    if (d->shape.rank > 4)
        return bm_fail(BM_ERR_CONFIG, "%s: %s has %d dimensions: rows have 4 at most", in->file, in->train.inputs_path,
                       d->shape.rank);
    in->rows.input = one_of(&d->shape);
    return BM_OK;
}

bm_status bm_hdf5_in_open(bm_hdf5_in *in)
{
    const char *paths[4];
    int n = 0;
    name_paths(&in->train, paths, &n);
    name_paths(&in->val, paths, &n);
    BM_TRY(bm_hdf5_open(&in->h, in->file, paths, n));
    BM_TRY(check_parts(in));
    if (in->train.targets >= 0) BM_TRY(find_targets(in));
    return find_inputs(in);
}

/* Whether channels come first in u8 [N, ?, ?, ?]: 1 or 3 of them, where that tells. */
static bm_status find_layout(bm_hdf5_in *in)
{
    char text[BM_SHAPE_TEXT];
    const bm_shape *s = shape_of(in, in->train.inputs);
    in->channels_first = in->layout && !strcmp(in->layout, "chw");
    if (s->rank == 3 || in->layout) return BM_OK;
    const int chw = s->dim[1] == 1 || s->dim[1] == 3, hwc = s->dim[3] == 1 || s->dim[3] == 3;
    in->channels_first = chw;
    if (chw != hwc) return BM_OK;
    return bm_fail(BM_ERR_USAGE, "%s: %s is %s: which of them are channels? --layout chw or hwc", in->file,
                   in->train.inputs_path, bm_shape_text(s, text, sizeof text));
}

bm_status bm_hdf5_in_image(bm_shape *size, bm_hdf5_in *in)
{
    const bm_shape *s = shape_of(in, in->train.inputs);
    BM_TRY(find_layout(in));
    *size = s->rank == 3         ? BM_SHAPE(s->dim[1], s->dim[2], 1)
            : in->channels_first ? BM_SHAPE(s->dim[2], s->dim[3], s->dim[1])
                                 : BM_SHAPE(s->dim[1], s->dim[2], s->dim[3]);
    return BM_OK;
}

/* ---- classes ---- */

/* Goes over the targets of a part: the largest into *most, or counts them. -1 stands for none. */
static bm_status look_at_classes(int64_t *most, bm_class_list *c, const bm_hdf5_in *in, const bm_hdf5_part *p)
{
    int64_t label[BM_HDF5_TOGETHER], n;
    const int64_t each = bm_hdf5_row(in->h, p->targets), all = shape_of(in, p->targets)->dim[0];
    char name[1200];
    if (each > BM_HDF5_TOGETHER)
        return bm_fail(BM_ERR_CONFIG, "%s: %s has %lld classes a row: at most %d are read", in->file, p->targets_path,
                       (long long)each, BM_HDF5_TOGETHER);
    snprintf(name, sizeof name, "%s: %s", in->file, p->targets_path);
    for (int64_t at = 0; at < all; at += n) {
        n = all - at < BM_HDF5_TOGETHER / each ? all - at : BM_HDF5_TOGETHER / each;
        BM_TRY(bm_out_step("0 samples"));
        BM_TRY(bm_hdf5_read(in->h, p->targets, BM_I64, label, at, n));
        for (int64_t i = 0; i < n * each; i++) {
            if (label[i] == -1) continue;
            if (most && label[i] > *most) *most = label[i];
            if (!most) BM_TRY(bm_class_list_count(c, label[i], name, at + i / each));
        }
    }
    return BM_OK;
}

bm_status bm_hdf5_in_classes(bm_class_list *c, const bm_hdf5_in *in, int all)
{
    int64_t most = -1;
    const bm_hdf5_part *t = &in->train, *v = &in->val;
    if (in->rows.numbers || t->targets < 0) return BM_OK;
    if (!c->n) {
        BM_TRY(look_at_classes(&most, NULL, in, t));
        if (v->targets >= 0) BM_TRY(look_at_classes(&most, NULL, in, v));
        if (most >= MOST_CLASSES)
            return bm_fail(BM_ERR_CONFIG,
                           "%s: %s: class %lld: at most %lld are known; numbers are told by --target-type number",
                           in->file, t->targets_path, (long long)most, (long long)MOST_CLASSES);
        BM_TRY(bm_class_list_number(c, most + 1));
    }
    BM_TRY(look_at_classes(NULL, c, in, t));
    if (in->rows.target.rank) c->count[0]++; /* may be the blank of ctc, which stands in no target */
    if (all) BM_TRY(bm_fail_prefix(bm_class_list_check(c, t->targets_path), "%s", in->file));
    return v->targets >= 0 ? look_at_classes(NULL, c, in, v) : BM_OK;
}
