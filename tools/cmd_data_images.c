#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "io/media/folder.h"
#include "io/media/idx.h"
#include "io/media/picture.h"
#include "tools/cmd.h"
#include "tools/data/images_out.h"
#include "tools/opt.h"
#include "tools/out.h"
#include "tools/output_file.h"
#include "tools/signals.h"

enum { TOGETHER = 256, MOST_SIZE = 1 << 14 };
#define BLOCK_BYTES ((int64_t)8 << 20) /* of images of an IDX file read together */

typedef struct job {
    const char *folder, *images, *labels, *val_images, *val_labels; /* as given; NULL: not */
    const char *size, *classes;
    int64_t channels;
    int crop;
    bm_samples_out to;
    bm_images_out out;
} job;

static bm_status show_progress(const job *j, int64_t all)
{
    return bm_out_step("%lld of %lld images", (long long)bm_samples_writer_count(j->to.writer), (long long)all);
}

/* ---- IDX ---- */

/* A part: its images, and their labels where there are any. */
typedef struct idx_part {
    const char *images_path, *labels_path;
    bm_idx *images, *labels;
} idx_part;

static void close_part(idx_part *p)
{
    bm_idx_close(p->images);
    bm_idx_close(p->labels);
}

static bm_status open_part(idx_part *p)
{
    BM_TRY(bm_idx_open(&p->images, p->images_path));
    const bm_shape *s = bm_idx_shape(p->images);
    if (s->rank < 3)
        return bm_fail(BM_ERR_CONFIG, "%s: IDX of rank %d: images have 3, or 4 with channels", p->images_path, s->rank);
    if (!p->labels_path) return BM_OK;
    BM_TRY(bm_idx_open(&p->labels, p->labels_path));
    const bm_shape *l = bm_idx_shape(p->labels);
    if (l->rank != 1) return bm_fail(BM_ERR_CONFIG, "%s: IDX of rank %d: labels have 1", p->labels_path, l->rank);
    if (s->dim[0] != l->dim[0])
        return bm_fail(BM_ERR_CONFIG, "%s has %lld images, %s %lld labels", p->images_path, (long long)s->dim[0],
                       p->labels_path, (long long)l->dim[0]);
    return BM_OK;
}

/* The largest label of a file, if that is above *most; with classes, counts them in place of it. */
static bm_status look_at_labels(int64_t *most, bm_class_list *classes, const char *path)
{
    bm_idx *x;
    uint8_t label[4096];
    int64_t got, at = 0;
    bm_status status;
    BM_TRY(bm_idx_open(&x, path));
    do {
        BM_GO(bm_idx_next(x, &got, label, sizeof label));
        for (int64_t i = 0; i < got; i++) {
            if (classes)
                BM_GO(bm_class_list_count(classes, label[i], path, at + i));
            else if (label[i] > *most)
                *most = label[i];
        }
        at += got;
    } while (got);
done:
    bm_idx_close(x);
    return status;
}

/* Which classes there are, and that each of them can be learned. */
static bm_status find_classes(job *j)
{
    bm_class_list *c = &j->out.classes;
    int64_t most = -1;
    if (!c->n) {
        BM_TRY(look_at_labels(&most, NULL, j->labels));
        if (j->val_labels) BM_TRY(look_at_labels(&most, NULL, j->val_labels));
        BM_TRY(bm_class_list_number(c, most + 1));
    }
    if (j->labels) BM_TRY(look_at_labels(NULL, c, j->labels));
    if (!j->to.like) BM_TRY(bm_class_list_check(c, j->labels));
    return j->val_labels ? look_at_labels(NULL, c, j->val_labels) : BM_OK;
}

static bm_status add_part(job *j, idx_part *p)
{
    bm_status status = BM_OK;
    const int64_t bytes = bm_idx_item_bytes(p->images),
                  all = bm_samples_writer_count(j->to.writer) + bm_idx_shape(p->images)->dim[0];
    const int64_t most = bytes * TOGETHER <= BLOCK_BYTES ? TOGETHER : BLOCK_BYTES / bytes + (bytes > BLOCK_BYTES);
    int64_t got, labels = 0;
    uint8_t label[TOGETHER], *pixels = bm_calloc((size_t)most, (size_t)bytes);
    if (!pixels) return BM_ERR_MEMORY;
    do {
        BM_GO(show_progress(j, all));
        BM_GO(bm_idx_next(p->images, &got, pixels, most));
        if (p->labels) BM_GO(bm_idx_next(p->labels, &labels, label, most));
        for (int64_t i = 0; i < got; i++)
            BM_GO(bm_images_out_add(&j->out, pixels + i * bytes, 0, p->labels ? label[i] : -1));
    } while (got);
done:
    bm_free(pixels);
    return status;
}

static bm_status size_of_part(job *j, const idx_part *p)
{
    const bm_shape *s = bm_idx_shape(p->images);
    return bm_images_out_size(&j->out, p->images_path, s->dim[1], s->dim[2], s->rank == 4 ? s->dim[3] : 1);
}

static bm_status write_idx(job *j)
{
    idx_part train = {j->images, j->labels, NULL, NULL}, val = {j->val_images, j->val_labels, NULL, NULL};
    const char *const sources[] = {j->images, j->val_images};
    bm_status status;
    BM_GO(open_part(&train));
    if (val.images_path) BM_GO(open_part(&val));
    BM_GO(size_of_part(j, &train));
    if (val.images_path) BM_GO(size_of_part(j, &val));
    BM_GO(find_classes(j));
    BM_GO(bm_images_out_open(&j->out, &j->to, sources, 1 + (val.images_path != NULL)));
    BM_GO(add_part(j, &train));
    if (!val.images_path) goto done;
    bm_samples_writer_validation(j->to.writer);
    BM_GO(add_part(j, &val));
done:
    close_part(&train);
    close_part(&val);
    return status;
}

/* ---- pictures ---- */

static bm_status add_picture(job *j, const bm_folder_file *file)
{
    bm_picture whole, fitted = {0};
    bm_picture_opts opts = bm_picture_opts_default();
    opts.channels = (int)j->out.channels;
    BM_TRY(bm_samples_out_skip(&j->to, bm_picture_read(&whole, file->path, &opts)));
    if (!whole.pixels) return BM_OK;
    bm_status status = bm_picture_resize(&fitted, &whole, j->out.height, j->out.width, j->out.crop);
    bm_picture_finish(&whole);
    if (!status) status = bm_images_out_add(&j->out, fitted.pixels, 0, file->label);
    if (!status && file->label >= 0 && !file->validation) j->out.classes.count[file->label]++;
    bm_picture_finish(&fitted);
    return bm_fail_prefix(status, "%s", file->path);
}

static bm_status add_pictures(job *j, const bm_folder *f)
{
    const int64_t n = bm_folder_count(f);
    for (int validation = 0; validation < 2; validation++) {
        if (validation && bm_folder_has_parts(f)) bm_samples_writer_validation(j->to.writer);
        for (int64_t i = 0; i < n; i++) {
            if (bm_folder_at(f, i)->validation != validation) continue;
            BM_TRY(show_progress(j, n));
            BM_TRY(add_picture(j, bm_folder_at(f, i)));
        }
    }
    return j->to.like ? BM_OK : bm_fail_prefix(bm_class_list_check(&j->out.classes, "the training part"), "%s", j->folder);
}

static bm_status write_folder(job *j)
{
    static const char *const endings[] = {".png", ".jpg", ".jpeg", NULL};
    bm_folder *f;
    bm_status status;
    bm_class_list *c = &j->out.classes;
    const bm_folder_opts opts = {.endings = endings,
                                 .table = j->labels,
                                 .classes = c->n ? (const char *const *)c->name : NULL,
                                 .n_classes = c->n};
    BM_TRY(bm_folder_open(&f, j->folder, &opts));
    if (!c->n) BM_GO(bm_class_list_of_folder(c, f, "the folder"));
    BM_GO(bm_images_out_open(&j->out, &j->to, &j->folder, 1));
    BM_GO(add_pictures(j, f));
done:
    bm_folder_close(f);
    return status;
}

/* ---- the command ---- */

/* "32x24", or "32" for a square: width and height. */
static int read_size(job *j)
{
    char word[64];
    int64_t w = 0, h = 0;
    snprintf(word, sizeof word, "%s", j->size);
    char *x = strchr(word, 'x');
    if (x) *x = 0;
    if (bm_parse_i64(&w, word) || bm_parse_i64(&h, x ? x + 1 : word) || w < 1 || h < 1 || w > MOST_SIZE ||
        h > MOST_SIZE)
        return bm_out_usage(&bm_cmd_data_images, "--size %s: is WIDTHxHEIGHT, each 1 to %d", j->size, MOST_SIZE);
    j->out.height = h;
    j->out.width = w;
    return 0;
}

static int check_idx_words(const job *j)
{
    if (!j->images) return bm_out_usage(&bm_cmd_data_images, "a folder is needed, or --images FILE");
    if (j->size || j->crop || j->channels || j->to.skip_bad)
        return bm_out_usage(
            &bm_cmd_data_images,
            "--size, --crop, --channels and --skip-bad are for folders: IDX images are taken as they are");
    if (!j->labels && !j->to.like)
        return bm_out_usage(&bm_cmd_data_images, "--labels FILE is needed (or --like, to predict)");
    if (!j->val_images != !j->val_labels)
        return bm_out_usage(&bm_cmd_data_images, "--val-images and --val-labels go together");
    if (j->val_images && !isnan(j->to.val_fraction))
        return bm_out_usage(&bm_cmd_data_images, "--val-images says what is for validation: no --val-fraction");
    return 0;
}

static int check_folder_words(job *j)
{
    if (j->images || j->val_images || j->val_labels)
        return bm_out_usage(&bm_cmd_data_images, "a folder or IDX files (--images), not both");
    if (j->to.like && (j->size || j->channels || j->crop))
        return bm_out_usage(&bm_cmd_data_images, "--like says how images are made: no --size, --channels, --crop");
    if (!j->to.like && !j->size) return bm_out_usage(&bm_cmd_data_images, "--size WIDTHxHEIGHT is needed");
    if (j->channels && j->channels != 1 && j->channels != 3)
        return bm_out_usage(&bm_cmd_data_images, "--channels %lld: is 1 or 3", (long long)j->channels);
    j->out.channels = j->channels ? j->channels : 3;
    j->out.crop = j->crop;
    return j->size ? read_size(j) : 0;
}

static int check_words(job *j)
{
    int code = j->folder ? check_folder_words(j) : check_idx_words(j);
    if (code) return code;
    if (j->to.like && j->classes)
        return bm_out_usage(&bm_cmd_data_images, "--like says which classes there are: no --classes");
    if (isnan(j->to.val_fraction)) j->to.val_fraction = j->to.like ? 0 : 0.2;
    if (!(j->to.val_fraction >= 0 && j->to.val_fraction < 1))
        return bm_out_usage(&bm_cmd_data_images, "--val-fraction is at least 0 and below 1");
    return 0;
}

static bm_status make(job *j)
{
    const char *const inputs[] = {j->folder ? j->folder : j->images, j->labels, j->val_images, j->val_labels,
                                  j->to.like};
    BM_TRY(bm_output_check(j->to.path, j->to.replace, inputs, 5));
    if (j->to.like) BM_TRY(bm_images_out_like(&j->out, j->to.like));
    if (j->classes) BM_TRY(bm_class_list_read(&j->out.classes, j->classes));
    BM_TRY(j->folder ? write_folder(j) : write_idx(j));
    return bm_samples_out_commit(&j->to);
}

static int run(int argc, char **argv)
{
    job j = {.to = BM_SAMPLES_OUT_NONE};
    const bm_opt opts[] = {
        {"output", 'o', BM_OPT_STRING, &j.to.path, 1},
        {"images", 0, BM_OPT_STRING, &j.images, 0},
        {"labels", 0, BM_OPT_STRING, &j.labels, 0},
        {"val-images", 0, BM_OPT_STRING, &j.val_images, 0},
        {"val-labels", 0, BM_OPT_STRING, &j.val_labels, 0},
        {"size", 0, BM_OPT_STRING, &j.size, 0},
        {"channels", 0, BM_OPT_I64, &j.channels, 0},
        {"crop", 0, BM_OPT_FLAG, &j.crop, 0},
        {"classes", 0, BM_OPT_STRING, &j.classes, 0},
        BM_SAMPLES_OUT_OPTS(&j.to),
        {"skip-bad", 0, BM_OPT_FLAG, &j.to.skip_bad, 0},
        {NULL, 0, BM_OPT_FLAG, NULL, 0},
    };
    int code = bm_opt_parse(&argc, argv, &bm_cmd_data_images, opts, 0, 1);
    if (code >= 0) return code;
    j.folder = argc ? argv[0] : NULL;
    if ((code = check_words(&j))) return code;
    bm_signals_watch("\nbmtool: stopping\n");
    code = bm_out_error(make(&j));
    bm_samples_out_finish(&j.to);
    bm_images_out_finish(&j.out);
    return code;
}

const bm_cmd bm_cmd_data_images = {
    .name = "data images",
    .group = "make data",
    .summary = "make a data set of images, IDX or a folder for each class",
    .help =
        "Examples:\n"
        "  bmtool data images --images train-images-idx3-ubyte.gz --labels train-labels-idx1-ubyte.gz -o fashion.h5 "
        "\\\n"
        "      --val-images t10k-images-idx3-ubyte.gz --val-labels t10k-labels-idx1-ubyte.gz --classes names.txt\n"
        "  bmtool data images flowers -o flowers.h5 --size 32x32 --crop   # flowers/rose/*.png, flowers/tulip/*.jpg\n"
        "  bmtool data images new -o new.h5 --like runs/flowers           # to predict from\n"
        "\n"
        "usage: bmtool data images --images FILE --labels FILE -o OUT.h5 [options]\n"
        "       bmtool data images DIR --size WxH -o OUT.h5 [options]\n"
        "\n"
        "  -o, --output OUT.h5     the data set\n"
        "      --images FILE       IDX, u8 [N, H, W] or [N, H, W, C]; gzip is read as well\n"
        "      --labels FILE       IDX, u8 [N]; of a folder a CSV with columns file, label and, where parts are given, "
        "part\n"
        "                          (train or val), in place of a folder for each class\n"
        "      --val-images FILE   images for validation, with --val-labels FILE, in place of a fraction\n"
        "  DIR                     a folder with a folder for each class, of PNG and JPEG; classes are sorted by name\n"
        "      --size WxH          width and height that every picture gets, stretched\n"
        "      --crop              keep its shape: the largest part in the middle\n"
        "      --channels N        3, or 1 for grey (3)\n"
        "      --skip-bad          leave pictures out that cannot be read, and say how many\n"
        "      --classes A,B,...   the names of the classes in their order, or a file with one on each line\n"
        "                          (default: the folders, or 0, 1, ... to the largest label)\n"
        "      --like DATA         size, channels, classes and normalisation of a data set, checkpoint or run; images "
        "may be of\n"
        "                          no class then, and the validation fraction is 0\n"
        "      --val-fraction F    the share of images that is kept for validation (0.2)\n"
        "      --split-seed N      which those are (1)\n"
        "      --licence L         the data's licence: it stays with what is trained on them\n"
        "  -f, --force             replace an output that exists\n"
        "  -j, --json              report on standard output as JSON\n"
        "\n"
        "Pixels are kept as bytes; training reads (x / 255 - mean) / deviation, of each channel over the training "
        "part.\n",
    .run = run,
};
