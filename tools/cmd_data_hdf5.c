#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/base/json_priv.h"
#include "core/base/mem.h"
#include "io/formats/hdf5.h"
#include "tools/cmd.h"
#include "tools/images_out.h"
#include "tools/opt.h"
#include "tools/out.h"
#include "tools/output_file.h"
#include "tools/rows_form.h"
#include "tools/samples_out.h"
#include "tools/signals.h"

#define BLOCK_BYTES ((int64_t)8 << 20) /* read together */
#define MOST_CLASSES ((int64_t)1 << 20)
enum { TOGETHER = 4096, TRAIN = 0, VAL = 1 };

/* A part of the data: its data sets' numbers among those that are open, -1 where it has none. */
typedef struct part {
    const char *inputs_path, *targets_path;
    int inputs, targets;
} part;

typedef struct job {
    const char *file, *output, *classes, *like, *layout, *type, *licence; /* as given; NULL: not */
    double val_fraction;
    int64_t split_seed;
    int force, json;
    part parts[2];
    bm_hdf5 *in;
    int images;        /* the kind that is made; else rows */
    bm_rows_form rows; /* its targets are those of images too */
    bm_images_out out; /* the classes of rows too, and their writer and encoding */
    void *x, *y;            /* a block of inputs and targets */
    int64_t block;          /* rows of it */
    bm_content_id id;
} job;

static const bm_hdf5_data *inputs_of(const job *j) { return bm_hdf5_at(j->in, j->parts[TRAIN].inputs); }
static int has_targets(const job *j) { return j->parts[TRAIN].targets >= 0; }
static int has_val(const job *j) { return j->parts[VAL].inputs >= 0; }
static const bm_shape *shape_of(const job *j, int i) { return &bm_hdf5_at(j->in, i)->shape; }

static bm_status show_progress(const job *j)
{
    char line[80];
    if (bm_signals_stopped()) return bm_fail(BM_ERR_STOPPED, "stopped; nothing was written");
    snprintf(line, sizeof line, "%lld samples", j->out.writer ? (long long)bm_samples_writer_count(j->out.writer) : 0);
    bm_out_progress(line);
    return BM_OK;
}

/* ---- what is in the file ---- */

static bm_status open_file(job *j)
{
    const char *paths[4];
    int n = 0;
    for (int k = 0; k < 2; k++) {
        part *p = &j->parts[k];
        p->inputs = p->targets = -1;
        if (p->inputs_path) paths[p->inputs = n++] = p->inputs_path;
        if (p->targets_path) paths[p->targets = n++] = p->targets_path;
    }
    return bm_hdf5_open(&j->in, j->file, paths, n);
}

/* Equal but for the first dimension. */
static int same_rows(const bm_shape *a, const bm_shape *b)
{
    bm_shape x = *a, y = *b;
    x.dim[0] = y.dim[0] = 1;
    return bm_shape_equal(&x, &y);
}

static bm_status check_parts(const job *j)
{
    char a[BM_SHAPE_TEXT], b[BM_SHAPE_TEXT];
    for (int k = 0; k < 2; k++) {
        const part *p = &j->parts[k];
        if (p->inputs < 0 || p->targets < 0) continue;
        const int64_t x = shape_of(j, p->inputs)->dim[0], y = shape_of(j, p->targets)->dim[0];
        if (x != y)
            return bm_fail(BM_ERR_CONFIG, "%s: %s has %lld rows, %s %lld", j->file, p->inputs_path, (long long)x,
                           p->targets_path, (long long)y);
    }
    const part *t = &j->parts[TRAIN], *v = &j->parts[VAL];
    if (!has_val(j)) return BM_OK;
    const int i = !same_rows(shape_of(j, t->inputs), shape_of(j, v->inputs))     ? 0
                  : !same_rows(shape_of(j, t->targets), shape_of(j, v->targets)) ? 1
                                                                                 : 2;
    if (i == 2) return BM_OK;
    const int one = i ? t->targets : t->inputs, other = i ? v->targets : v->inputs;
    return bm_fail(BM_ERR_CONFIG, "%s: %s is %s, %s %s: only the first dimension may differ", j->file,
                   i ? t->targets_path : t->inputs_path, bm_shape_text(shape_of(j, one), a, sizeof a),
                   i ? v->targets_path : v->inputs_path, bm_shape_text(shape_of(j, other), b, sizeof b));
}

/* Whether channels come first in u8 [N, ?, ?, ?]: 1 or 3 of them, where that tells. */
static bm_status find_layout(int *first, const job *j)
{
    char text[BM_SHAPE_TEXT];
    const bm_shape *s = &inputs_of(j)->shape;
    *first = j->layout && !strcmp(j->layout, "chw");
    if (s->rank == 3 || j->layout) return BM_OK;
    const int chw = s->dim[1] == 1 || s->dim[1] == 3, hwc = s->dim[3] == 1 || s->dim[3] == 3;
    *first = chw;
    if (chw != hwc) return BM_OK;
    return bm_fail(BM_ERR_USAGE, "%s: %s is %s: which of them are channels? --layout chw or hwc", j->file,
                   j->parts[TRAIN].inputs_path, bm_shape_text(s, text, sizeof text));
}

static bm_status find_image_size(job *j)
{
    int first;
    const bm_shape *s = &inputs_of(j)->shape;
    BM_TRY(find_layout(&first, j));
    if (s->rank == 3) return bm_images_out_size(&j->out, j->file, s->dim[1], s->dim[2], 1);
    return first ? bm_images_out_size(&j->out, j->file, s->dim[2], s->dim[3], s->dim[1])
                 : bm_images_out_size(&j->out, j->file, s->dim[1], s->dim[2], s->dim[3]);
}

/* The shape of one of N; [1] where there is nothing but N. */
static bm_shape one_of(const bm_shape *s)
{
    bm_shape one = {.rank = s->rank - 1};
    for (int i = 0; i < one.rank; i++) one.dim[i] = s->dim[i + 1];
    return one.rank ? one : BM_SHAPE(1);
}

static bm_status check_targets(job *j)
{
    const bm_hdf5_data *d = bm_hdf5_at(j->in, j->parts[TRAIN].targets);
    const char *path = j->parts[TRAIN].targets_path;
    if (d->shape.rank > 2)
        return bm_fail(BM_ERR_CONFIG, "%s: %s has %d dimensions: targets are [N] or [N, D]", j->file, path,
                       d->shape.rank);
    j->rows.numbers = j->type ? !strcmp(j->type, "number") : d->is_float;
    if (!j->rows.numbers && d->is_float)
        return bm_fail(BM_ERR_CONFIG, "%s: %s holds floating numbers: classes are integers", j->file, path);
    j->rows.target = one_of(&d->shape);
    if (!j->rows.numbers && j->rows.target.dim[0] == 1) j->rows.target = (bm_shape){0};
    return BM_OK;
}

/* Bytes in three or four dimensions, each with a class, are images; all else is rows. */
static bm_status find_kind(job *j)
{
    const bm_hdf5_data *d = inputs_of(j);
    BM_TRY(check_parts(j));
    if (has_targets(j)) BM_TRY(check_targets(j));
    const int bytes = !d->is_float && !d->is_signed && d->bytes == 1 && (d->shape.rank == 3 || d->shape.rank == 4);
    j->images = bytes && (!has_targets(j) || (!j->rows.numbers && !j->rows.target.rank));
    if (j->images) return BM_OK;
    if (j->layout)
        return bm_fail(BM_ERR_USAGE,
                       "--layout is that of images, u8 [N, H, W, C] or [N, C, H, W] with a class for each: %s is none",
                       j->parts[TRAIN].inputs_path);
    if (d->shape.rank > 4)
        return bm_fail(BM_ERR_CONFIG, "%s: %s has %d dimensions: rows have 4 at most", j->file,
                       j->parts[TRAIN].inputs_path, d->shape.rank);
    j->rows.input = one_of(&d->shape);
    return BM_OK;
}

/* ---- classes ---- */

/* Goes over the targets of a part: their largest into *most, or counts them. Of several a sample -1 stands for none. */
static bm_status look_at_classes(int64_t *most, job *j, const part *p)
{
    int64_t label[TOGETHER], n;
    const int64_t each = bm_hdf5_row(j->in, p->targets), all = shape_of(j, p->targets)->dim[0];
    char name[1200];
    if (each > TOGETHER)
        return bm_fail(BM_ERR_CONFIG, "%s: %s has %lld classes a row: at most %d are read", j->file, p->targets_path,
                       (long long)each, TOGETHER);
    snprintf(name, sizeof name, "%s: %s", j->file, p->targets_path);
    for (int64_t at = 0; at < all; at += n) {
        n = all - at < TOGETHER / each ? all - at : TOGETHER / each;
        BM_TRY(show_progress(j));
        BM_TRY(bm_hdf5_read(j->in, p->targets, BM_I64, label, at, n));
        for (int64_t i = 0; i < n * each; i++) {
            if (label[i] == -1 && j->rows.target.rank) continue;
            if (most && label[i] > *most) *most = label[i];
            if (!most) BM_TRY(bm_class_list_count(&j->out.classes, label[i], name, at + i / each));
        }
    }
    return BM_OK;
}

static bm_status find_classes(job *j)
{
    int64_t most = -1;
    bm_class_list *c = &j->out.classes;
    const part *t = &j->parts[TRAIN], *v = &j->parts[VAL];
    if (j->rows.numbers || !has_targets(j)) return BM_OK;
    if (!c->n) {
        BM_TRY(look_at_classes(&most, j, t));
        if (has_val(j)) BM_TRY(look_at_classes(&most, j, v));
        if (most >= MOST_CLASSES)
            return bm_fail(BM_ERR_CONFIG,
                           "%s: %s: class %lld: at most %lld are known; numbers are told by --target-type number",
                           j->file, t->targets_path, (long long)most, (long long)MOST_CLASSES);
        BM_TRY(bm_class_list_number(c, most + 1));
    }
    BM_TRY(look_at_classes(NULL, j, t));
    if (j->rows.target.rank) c->count[0]++; /* may be the blank of ctc, which stands in no target */
    if (!j->like) BM_TRY(bm_fail_prefix(bm_class_list_check(c, t->targets_path), "%s", j->file));
    return has_val(j) ? look_at_classes(NULL, j, v) : BM_OK;
}

/* ---- rows ---- */

static bm_status take_like_of_rows(job *j)
{
    bm_rows_form like;
    char a[BM_SHAPE_TEXT], b[BM_SHAPE_TEXT];
    BM_TRY(bm_samples_like(&j->out.encoding, j->like, "rows"));
    BM_TRY(bm_rows_form_parse(&like, &j->out.classes, j->out.encoding, j->like));
    if (has_targets(j) && (like.numbers != j->rows.numbers || !bm_shape_equal(&like.target, &j->rows.target)))
        return bm_fail(BM_ERR_CONFIG, "%s: %s is not %s %s, which %s has", j->file, j->parts[TRAIN].targets_path,
                       like.numbers ? "numbers" : "classes", bm_shape_text(&like.target, a, sizeof a), j->like);
    if (!bm_shape_equal(&like.input, &j->rows.input))
        return bm_fail(BM_ERR_CONFIG, "%s: %s has rows %s, %s %s", j->file, j->parts[TRAIN].inputs_path,
                       bm_shape_text(&j->rows.input, a, sizeof a), j->like, bm_shape_text(&like.input, b, sizeof b));
    j->rows = like;
    return BM_OK;
}

static bm_status open_rows(job *j)
{
    char *about = NULL, *encoding = NULL;
    bm_status status;
    if (!j->out.encoding) j->out.encoding = bm_rows_form_json(&j->rows, &j->out.classes);
    BM_GO(bm_json_text(&encoding, j->out.encoding, 0));
    BM_GO(bm_samples_about(&about, (char *const *)&j->file, 1, j->licence));
    const bm_samples_opts o = {.kind = "rows",
                               .input = BM_F32,
                               .input_shape = j->rows.input,
                               .target = j->rows.numbers ? BM_F32 : BM_I32,
                               .target_shape = j->rows.target,
                               .classes = j->rows.numbers ? 0 : j->out.classes.n,
                               .val_fraction = j->val_fraction,
                               .split_seed = (uint64_t)j->split_seed,
                               .meta_json = about,
                               .encoding_json = encoding,
                               .replace = j->force};
    BM_GO(bm_samples_writer_create(&j->out.writer, j->output, &o));
done:
    bm_free(about);
    bm_free(encoding);
    return status;
}

static bm_status open_images(job *j)
{
    const bm_images_opts o = {.path = j->output,
                              .sources = (char *const *)&j->file,
                              .n_sources = 1,
                              .licence = j->licence,
                              .val_fraction = j->val_fraction,
                              .split_seed = j->split_seed,
                              .replace = j->force};
    return bm_images_out_open(&j->out, &o);
}

/* ---- writing ---- */

static bm_dtype input_type(const job *j) { return j->images ? BM_U8 : BM_F32; }
static int64_t targets_each(const job *j) { return bm_shape_elements(&j->rows.target); }

/* Room for a block, of targets that do not count where there are none. */
static bm_status make_block(job *j)
{
    const int64_t bytes = bm_hdf5_row(j->in, j->parts[TRAIN].inputs) * (int64_t)bm_dtype_size(input_type(j)),
                  each = targets_each(j);
    if (bytes > BM_HDF5_MOST_BYTES || each > BLOCK_BYTES / 8)
        return bm_fail(BM_ERR_CONFIG, "%s: a row of %lld bytes and %lld targets is too large", j->file,
                       (long long)bytes, (long long)each);
    j->block = bytes > BLOCK_BYTES ? 1 : BLOCK_BYTES / bytes < TOGETHER ? BLOCK_BYTES / bytes : TOGETHER;
    if (j->block * each > BLOCK_BYTES / 8) j->block = BLOCK_BYTES / 8 / each;
    j->x = bm_calloc((size_t)j->block, (size_t)bytes);
    j->y = bm_calloc((size_t)(j->block * each), sizeof(int64_t));
    if (!j->x || !j->y) return BM_ERR_MEMORY;
    for (int64_t i = 0; i < j->block * each; i++) {
        if (j->rows.numbers)
            ((float *)j->y)[i] = NAN;
        else
            ((int64_t *)j->y)[i] = -1;
    }
    return BM_OK;
}

static bm_status check_numbers(const job *j, const char *path, const float *x, int64_t n, int64_t row, int missing)
{
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(x[i]) && !(missing && isnan(x[i])))
            return bm_fail(BM_ERR_CONFIG, "%s: %s: row %lld: number %lld is not finite as f32", j->file, path,
                           (long long)row, (long long)i);
    return BM_OK;
}

/* Row `i` of the block, `row` of the part. */
static bm_status add_row(job *j, const part *p, int64_t i, int64_t row)
{
    const int64_t n = bm_shape_elements(&j->rows.input), each = targets_each(j);
    const float *x = (const float *)j->x + i * n, *numbers = (const float *)j->y + i * each;
    int64_t *labels = (int64_t *)j->y + i * each;
    int32_t *classes = (int32_t *)labels; /* made in place */
    BM_TRY(check_numbers(j, p->inputs_path, x, n, row, 0));
    if (j->rows.numbers) BM_TRY(check_numbers(j, p->targets_path, numbers, each, row, 1));
    for (int64_t k = 0; !j->rows.numbers && k < each; k++) {
        const int32_t label = (int32_t)labels[k];
        memcpy(classes + k, &label, sizeof label);
    }
    return bm_samples_writer_add(j->out.writer, x, j->rows.numbers ? (const void *)numbers : classes, 0);
}

static bm_status write_part(job *j, const part *p, int channels_first)
{
    int64_t n;
    const int64_t all = shape_of(j, p->inputs)->dim[0], bytes = bm_hdf5_row(j->in, p->inputs);
    for (int64_t at = 0; at < all; at += n) {
        n = all - at < j->block ? all - at : j->block;
        BM_TRY(show_progress(j));
        BM_TRY(bm_hdf5_read(j->in, p->inputs, input_type(j), j->x, at, n));
        if (p->targets >= 0) BM_TRY(bm_hdf5_read(j->in, p->targets, j->rows.numbers ? BM_F32 : BM_I64, j->y, at, n));
        for (int64_t i = 0; i < n; i++) {
            if (j->images)
                BM_TRY(bm_images_out_add(&j->out, (const uint8_t *)j->x + i * bytes, channels_first,
                                         ((int64_t *)j->y)[i]));
            else
                BM_TRY(add_row(j, p, i, at + i));
        }
    }
    return BM_OK;
}

static bm_status write_all(job *j)
{
    int first = 0;
    if (j->images) BM_TRY(find_layout(&first, j));
    BM_TRY(make_block(j));
    BM_TRY(j->images ? open_images(j) : open_rows(j));
    BM_TRY(write_part(j, &j->parts[TRAIN], first));
    if (has_val(j)) {
        bm_samples_writer_validation(j->out.writer);
        BM_TRY(write_part(j, &j->parts[VAL], first));
    }
    return bm_samples_writer_commit(&j->id, j->out.writer);
}

/* ---- the command ---- */

static bm_status make(job *j)
{
    bm_status status;
    const char *const inputs[] = {j->file, j->like};
    BM_GO(bm_output_check(j->output, j->force, inputs, 1 + (j->like != NULL)));
    BM_GO(open_file(j));
    BM_GO(find_kind(j));
    if (j->like) BM_GO(j->images ? bm_images_out_like(&j->out, j->like) : take_like_of_rows(j));
    if (j->images) BM_GO(find_image_size(j));
    if (j->classes && j->rows.numbers) BM_GO(bm_fail(BM_ERR_USAGE, "--classes: the targets are numbers"));
    if (j->classes) BM_GO(bm_class_list_read(&j->out.classes, j->classes));
    BM_GO(find_classes(j));
    BM_GO(write_all(j));
    bm_out_progress("");
    BM_GO(bm_samples_report(j->output, &j->id, j->json));
done:
    bm_out_progress("");
    return status;
}

static int check_words(job *j)
{
    const part *t = &j->parts[TRAIN], *v = &j->parts[VAL];
    if (!t->targets_path && !j->like)
        return bm_out_usage(&bm_cmd_data_hdf5, "--targets PATH is needed (or --like, to predict)");
    if (!v->inputs_path != !v->targets_path)
        return bm_out_usage(&bm_cmd_data_hdf5, "--val-inputs and --val-targets go together");
    if (v->inputs_path && !t->targets_path)
        return bm_out_usage(&bm_cmd_data_hdf5, "--val-inputs is for what has --targets");
    if (v->inputs_path && !isnan(j->val_fraction))
        return bm_out_usage(&bm_cmd_data_hdf5, "--val-inputs says what is for validation: no --val-fraction");
    if (j->layout && strcmp(j->layout, "hwc") && strcmp(j->layout, "chw"))
        return bm_out_usage(&bm_cmd_data_hdf5, "--layout %s: there is hwc and chw", j->layout);
    if (j->type && !strcmp(j->type, "auto")) j->type = NULL;
    if (j->type && strcmp(j->type, "number") && strcmp(j->type, "category"))
        return bm_out_usage(&bm_cmd_data_hdf5, "--target-type %s: there is auto, number and category", j->type);
    if (j->like && j->classes)
        return bm_out_usage(&bm_cmd_data_hdf5, "--like says which classes there are: no --classes");
    if (isnan(j->val_fraction)) j->val_fraction = j->like || v->inputs_path ? 0 : 0.2;
    if (!(j->val_fraction >= 0 && j->val_fraction < 1))
        return bm_out_usage(&bm_cmd_data_hdf5, "--val-fraction is at least 0 and below 1");
    return 0;
}

static int run(int argc, char **argv)
{
    job j = {.val_fraction = NAN, .split_seed = 1};
    part *t = &j.parts[TRAIN], *v = &j.parts[VAL];
    const bm_opt opts[] = {
        {"output", 'o', BM_OPT_STRING, &j.output, 1},
        {"inputs", 0, BM_OPT_STRING, &t->inputs_path, 1},
        {"targets", 0, BM_OPT_STRING, &t->targets_path, 0},
        {"val-inputs", 0, BM_OPT_STRING, &v->inputs_path, 0},
        {"val-targets", 0, BM_OPT_STRING, &v->targets_path, 0},
        {"classes", 0, BM_OPT_STRING, &j.classes, 0},
        {"target-type", 0, BM_OPT_STRING, &j.type, 0},
        {"layout", 0, BM_OPT_STRING, &j.layout, 0},
        {"like", 0, BM_OPT_STRING, &j.like, 0},
        {"val-fraction", 0, BM_OPT_F64, &j.val_fraction, 0},
        {"split-seed", 0, BM_OPT_I64, &j.split_seed, 0},
        {"licence", 0, BM_OPT_STRING, &j.licence, 0},
        {"force", 'f', BM_OPT_FLAG, &j.force, 0},
        {"json", 'j', BM_OPT_FLAG, &j.json, 0},
        {NULL, 0, BM_OPT_FLAG, NULL, 0},
    };
    int code = bm_opt_parse(&argc, argv, &bm_cmd_data_hdf5, opts, 1, 1);
    if (code >= 0) return code;
    j.file = argv[0];
    if ((code = check_words(&j))) return code;
    bm_signals_watch("\nbmtool: stopping\n");
    bm_status status = make(&j);
    code = bm_out_error(status);
    if (status == BM_ERR_STOPPED) code = bm_signals_exit_code();
    bm_images_out_finish(&j.out);
    bm_hdf5_close(j.in);
    bm_free(j.x);
    bm_free(j.y);
    return code;
}

const bm_cmd bm_cmd_data_hdf5 = {
    .name = "data hdf5",
    .group = "make data",
    .summary = "make a data set of arrays in an HDF5 file of your own",
    .help = "Examples:\n"
            "  bmtool data hdf5 mine.h5 --inputs /x --targets /y -o mine-bm.h5\n"
            "  bmtool data hdf5 mine.h5 --inputs /train/x --targets /train/y --val-inputs /test/x --val-targets "
            "/test/y -o bm.h5\n"
            "  bmtool data hdf5 new.h5 --inputs /x -o new-bm.h5 --like runs/mine     # to predict from\n"
            "\n"
            "usage: bmtool data hdf5 IN.h5 --inputs PATH --targets PATH -o OUT.h5 [options]\n"
            "\n"
            "  IN.h5                   contiguous or in chunks, packed by deflate or not; links out of it are refused\n"
            "  -o, --output OUT.h5     the data set\n"
            "      --inputs PATH       [N, ...]; bytes (u8) [N, H, W], [N, H, W, C] or [N, C, H, W] with a class each "
            "become images,\n"
            "                          all other numbers rows of f32\n"
            "      --targets PATH      [N] or [N, D]: integers are classes from 0 on (in [N, D] -1 does not count, "
            "and 0 is\n"
            "                          the blank for train.loss ctc), floating numbers are numbers (NaN does not count)\n"
            "      --target-type T     number or category, or auto (default)\n"
            "      --val-inputs PATH   what is for validation, with --val-targets PATH, in place of a fraction\n"
            "      --layout L          hwc or chw: where channels are, if neither one alone is 1 or 3\n"
            "      --classes A,B,...   the names of the classes in their order, or a file with one on each line\n"
            "                          (default: 0, 1, ... to the largest)\n"
            "      --like DATA         classes, shapes and normalisation of a data set, checkpoint or run; there need "
            "be no targets\n"
            "                          then, and the validation fraction is 0\n"
            "      --val-fraction F    the share of samples that is kept for validation (0.2)\n"
            "      --split-seed N      which those are (1)\n"
            "      --licence L         the data's licence: it stays with what is trained on them\n"
            "  -f, --force             replace an output that exists\n"
            "  -j, --json              report on standard output as JSON\n"
            "\n"
            "libhdf5 reads the file in a process of its own, which can open and write nothing else; memory is bounded "
            "whatever\n"
            "the file's size.\n",
    .run = run,
};
