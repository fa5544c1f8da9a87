#include <math.h>
#include <string.h>

#include "core/base/json_priv.h"
#include "core/base/mem.h"
#include "tools/cmd.h"
#include "tools/data/hdf5_in.h"
#include "tools/data/images_out.h"
#include "tools/opt.h"
#include "tools/out.h"
#include "tools/output_file.h"
#include "tools/signals.h"

#define BLOCK_BYTES ((int64_t)8 << 20) /* read together */

typedef struct job {
    const char *classes; /* as given; NULL: not */
    bm_hdf5_in in;
    bm_images_out out; /* the classes of rows too, and their encoding */
    bm_samples_out to;
    void *x, *y;   /* a block of inputs and targets */
    int64_t block; /* rows of it */
} job;

/* ---- what becomes of them ---- */

static bm_status take_like_of_rows(job *j)
{
    bm_rows_form like, *own = &j->in.rows;
    char a[BM_SHAPE_TEXT], b[BM_SHAPE_TEXT];
    BM_TRY(bm_samples_like(&j->out.encoding, j->to.like, "rows"));
    BM_TRY(bm_rows_form_parse(&like, &j->out.classes, j->out.encoding, j->to.like));
    if (j->in.train.targets >= 0 && (like.numbers != own->numbers || !bm_shape_equal(&like.target, &own->target)))
        return bm_fail(BM_ERR_CONFIG, "%s: %s is not %s %s, which %s has", j->in.file, j->in.train.targets_path,
                       like.numbers ? "numbers" : "classes", bm_shape_text(&like.target, a, sizeof a), j->to.like);
    if (!bm_shape_equal(&like.input, &own->input))
        return bm_fail(BM_ERR_CONFIG, "%s: %s has rows %s, %s %s", j->in.file, j->in.train.inputs_path,
                       bm_shape_text(&own->input, a, sizeof a), j->to.like, bm_shape_text(&like.input, b, sizeof b));
    *own = like;
    return BM_OK;
}

static bm_status open_rows(job *j)
{
    char *encoding;
    const bm_rows_form *f = &j->in.rows;
    if (!j->out.encoding) j->out.encoding = bm_rows_form_json(f, &j->out.classes);
    BM_TRY(bm_json_text(&encoding, j->out.encoding, 0));
    const bm_samples_opts form = {.kind = "rows",
                                  .input = BM_F32,
                                  .input_shape = f->input,
                                  .target = f->numbers ? BM_F32 : BM_I32,
                                  .target_shape = f->target,
                                  .classes = f->numbers ? 0 : j->out.classes.n,
                                  .encoding_json = encoding};
    bm_status status = bm_samples_out_open(&j->to, &form, &j->in.file, 1);
    bm_free(encoding);
    return status;
}

static bm_status take_image_size(job *j)
{
    bm_shape s;
    BM_TRY(bm_hdf5_in_image(&s, &j->in));
    return bm_images_out_size(&j->out, j->in.file, s.dim[0], s.dim[1], s.dim[2]);
}

/* Sizes and classes. */
static bm_status find_form(job *j)
{
    const int images = j->in.images;
    if (j->to.like) BM_TRY(images ? bm_images_out_like(&j->out, j->to.like) : take_like_of_rows(j));
    if (images) BM_TRY(take_image_size(j));
    if (j->classes && j->in.rows.numbers) return bm_fail(BM_ERR_USAGE, "--classes: the targets are numbers");
    if (j->classes) BM_TRY(bm_class_list_read(&j->out.classes, j->classes));
    return bm_hdf5_in_classes(&j->out.classes, &j->in, !j->to.like);
}

/* ---- writing ---- */

static bm_dtype input_type(const job *j) { return j->in.images ? BM_U8 : BM_F32; }
static int64_t targets_each(const job *j) { return bm_shape_elements(&j->in.rows.target); }

/* Room for a block, of targets that do not count where there are none. */
static bm_status make_block(job *j)
{
    const int64_t bytes = bm_hdf5_row(j->in.h, j->in.train.inputs) * (int64_t)bm_dtype_size(input_type(j)),
                  each = targets_each(j);
    if (bytes > BM_HDF5_MOST_BYTES || each > BLOCK_BYTES / 8)
        return bm_fail(BM_ERR_CONFIG, "%s: a row of %lld bytes and %lld targets is too large", j->in.file,
                       (long long)bytes, (long long)each);
    j->block = bytes > BLOCK_BYTES                      ? 1
               : BLOCK_BYTES / bytes < BM_HDF5_TOGETHER ? BLOCK_BYTES / bytes
                                                        : BM_HDF5_TOGETHER;
    if (j->block * each > BLOCK_BYTES / 8) j->block = BLOCK_BYTES / 8 / each;
    j->x = bm_calloc((size_t)j->block, (size_t)bytes);
    j->y = bm_calloc((size_t)(j->block * each), sizeof(int64_t));
    if (!j->x || !j->y) return BM_ERR_MEMORY;
    for (int64_t i = 0; i < j->block * each; i++) {
        if (j->in.rows.numbers)
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
            return bm_fail(BM_ERR_CONFIG, "%s: %s: row %lld: number %lld is not finite as f32", j->in.file, path,
                           (long long)row, (long long)i);
    return BM_OK;
}

/* Row `i` of the block, `row` of the part. */
static bm_status add_row(job *j, const bm_hdf5_part *p, int64_t i, int64_t row)
{
    const int64_t n = bm_shape_elements(&j->in.rows.input), each = targets_each(j);
    const float *x = (const float *)j->x + i * n, *numbers = (const float *)j->y + i * each;
    int64_t *labels = (int64_t *)j->y + i * each;
    int32_t *classes = (int32_t *)labels; /* made in place */
    BM_TRY(check_numbers(j, p->inputs_path, x, n, row, 0));
    if (j->in.rows.numbers) BM_TRY(check_numbers(j, p->targets_path, numbers, each, row, 1));
    for (int64_t k = 0; !j->in.rows.numbers && k < each; k++) {
        const int32_t label = (int32_t)labels[k];
        memcpy(classes + k, &label, sizeof label);
    }
    return bm_samples_writer_add(j->to.writer, x, j->in.rows.numbers ? (const void *)numbers : classes, 0);
}

static bm_status write_part(job *j, const bm_hdf5_part *p)
{
    int64_t n;
    const int64_t all = bm_hdf5_at(j->in.h, p->inputs)->shape.dim[0], bytes = bm_hdf5_row(j->in.h, p->inputs);
    for (int64_t at = 0; at < all; at += n) {
        n = all - at < j->block ? all - at : j->block;
        BM_TRY(bm_out_step("%lld samples", (long long)bm_samples_writer_count(j->to.writer)));
        BM_TRY(bm_hdf5_read(j->in.h, p->inputs, input_type(j), j->x, at, n));
        if (p->targets >= 0)
            BM_TRY(bm_hdf5_read(j->in.h, p->targets, j->in.rows.numbers ? BM_F32 : BM_I64, j->y, at, n));
        for (int64_t i = 0; i < n; i++) {
            if (j->in.images)
                BM_TRY(bm_images_out_add(&j->out, (const uint8_t *)j->x + i * bytes, j->in.channels_first,
                                         ((int64_t *)j->y)[i]));
            else
                BM_TRY(add_row(j, p, i, at + i));
        }
    }
    return BM_OK;
}

static bm_status write_all(job *j)
{
    BM_TRY(make_block(j));
    BM_TRY(j->in.images ? bm_images_out_open(&j->out, &j->to, &j->in.file, 1) : open_rows(j));
    BM_TRY(write_part(j, &j->in.train));
    if (j->in.val.inputs >= 0) {
        bm_samples_writer_validation(j->to.writer);
        BM_TRY(write_part(j, &j->in.val));
    }
    return bm_samples_out_commit(&j->to);
}

/* ---- the command ---- */

static bm_status make(job *j)
{
    BM_TRY(bm_output_check(j->to.path, j->to.replace, (const char *const[]){j->in.file, j->to.like}, 2));
    BM_TRY(bm_hdf5_in_open(&j->in));
    BM_TRY(find_form(j));
    return write_all(j);
}

static int check_words(job *j)
{
    const bm_hdf5_part *t = &j->in.train, *v = &j->in.val;
    if (!t->targets_path && !j->to.like)
        return bm_out_usage(&bm_cmd_data_hdf5, "--targets PATH is needed (or --like, to predict)");
    if (!v->inputs_path != !v->targets_path)
        return bm_out_usage(&bm_cmd_data_hdf5, "--val-inputs and --val-targets go together");
    if (v->inputs_path && !t->targets_path)
        return bm_out_usage(&bm_cmd_data_hdf5, "--val-inputs is for what has --targets");
    if (v->inputs_path && !isnan(j->to.val_fraction))
        return bm_out_usage(&bm_cmd_data_hdf5, "--val-inputs says what is for validation: no --val-fraction");
    if (j->in.layout && strcmp(j->in.layout, "hwc") && strcmp(j->in.layout, "chw"))
        return bm_out_usage(&bm_cmd_data_hdf5, "--layout %s: there is hwc and chw", j->in.layout);
    if (j->in.type && !strcmp(j->in.type, "auto")) j->in.type = NULL;
    if (j->in.type && strcmp(j->in.type, "number") && strcmp(j->in.type, "category"))
        return bm_out_usage(&bm_cmd_data_hdf5, "--target-type %s: there is auto, number and category", j->in.type);
    if (j->to.like && j->classes)
        return bm_out_usage(&bm_cmd_data_hdf5, "--like says which classes there are: no --classes");
    if (isnan(j->to.val_fraction)) j->to.val_fraction = j->to.like || v->inputs_path ? 0 : 0.2;
    if (!(j->to.val_fraction >= 0 && j->to.val_fraction < 1))
        return bm_out_usage(&bm_cmd_data_hdf5, "--val-fraction is at least 0 and below 1");
    return 0;
}

static int run(int argc, char **argv)
{
    job j = {.to = BM_SAMPLES_OUT_NONE};
    const bm_opt opts[] = {
        {"output", 'o', BM_OPT_STRING, &j.to.path, 1},
        {"inputs", 0, BM_OPT_STRING, &j.in.train.inputs_path, 1},
        {"targets", 0, BM_OPT_STRING, &j.in.train.targets_path, 0},
        {"val-inputs", 0, BM_OPT_STRING, &j.in.val.inputs_path, 0},
        {"val-targets", 0, BM_OPT_STRING, &j.in.val.targets_path, 0},
        {"classes", 0, BM_OPT_STRING, &j.classes, 0},
        {"target-type", 0, BM_OPT_STRING, &j.in.type, 0},
        {"layout", 0, BM_OPT_STRING, &j.in.layout, 0},
        BM_SAMPLES_OUT_OPTS(&j.to),
        {NULL, 0, BM_OPT_FLAG, NULL, 0},
    };
    int code = bm_opt_parse(&argc, argv, &bm_cmd_data_hdf5, opts, 1, 1);
    if (code >= 0) return code;
    j.in.file = argv[0];
    if ((code = check_words(&j))) return code;
    bm_signals_watch("\nbmtool: stopping\n");
    code = bm_out_error(make(&j));
    bm_samples_out_finish(&j.to);
    bm_images_out_finish(&j.out);
    bm_hdf5_close(j.in.h);
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
            "      --targets PATH      [N] or [N, D]: integers are classes from 0 on (-1 does not count; in [N, D] 0 is "
            "the blank\n"
            "                          for train.loss ctc), floating numbers are numbers (NaN does not count)\n"
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
