#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "io/media/folder.h"
#include "tools/cmd.h"
#include "tools/data/audio_in.h"
#include "tools/data/audio_out.h"
#include "tools/data/spelling.h"
#include "tools/data/voices.h"
#include "tools/opt.h"
#include "tools/out.h"
#include "tools/output_file.h"
#include "tools/signals.h"

#define NOT_GIVEN INT64_MIN /* a whole number; others are NAN then */

typedef struct job {
    const char *folder, *features, *labels, *val_voices; /* as given; NULL: not */
    int64_t rate, mels, coefficients;                    /* once checked 0: not given */
    int transcripts;
    bm_audio_form form;
    bm_class_list classes;
    bm_audio_in in;
    bm_audio_out out;
    bm_samples_out to;
    bm_folder *files;
    int parts;           /* whether they are given, not drawn: */
    uint8_t *validation; /* of each file */
    int32_t *letters;    /* of a sound whose target is spelled */
} job;

/* ---- which files, and what they are ---- */

static bm_status take_like(job *j)
{
    json_t *encoding;
    const char *like = j->to.like;
    BM_TRY(bm_samples_like(&encoding, like, "audio"));
    bm_status status = bm_audio_form_parse(&j->form, encoding, like);
    if (!status) status = bm_class_list_parse(&j->classes, json_object_get(encoding, "classes"), like);
    json_decref(encoding);
    j->transcripts = j->form.letters > 0;
    return status;
}

static bm_status open_files(job *j)
{
    static const char *const endings[] = {".wav", ".flac", ".ogg", ".oga", ".opus",
                                          ".mp3", ".aiff", ".aif", ".au",  NULL};
    bm_folder_opts opts = {.endings = endings, .table = j->labels, .texts = j->transcripts};
    if (j->to.like && !j->transcripts) {
        opts.classes = (const char *const *)j->classes.name;
        opts.n_classes = j->classes.n;
    }
    return bm_folder_open(&j->files, j->folder, &opts);
}

/* The classes, and the letters of the longest text where they are that. */
static bm_status find_targets(job *j)
{
    if (!j->to.like) {
        BM_TRY(j->transcripts ? bm_spelling_classes(&j->classes, j->files)
                              : bm_class_list_of_folder(&j->classes, j->files, j->folder));
        if (j->transcripts) j->form.letters = bm_spelling_longest(j->files);
    }
    j->letters = bm_calloc((size_t)j->form.letters + 1, sizeof *j->letters);
    return j->letters ? BM_OK : BM_ERR_MEMORY;
}

/* The parts that are given; what is drawn is drawn among the sounds that are kept. */
static bm_status find_parts(job *j)
{
    const int64_t n = bm_folder_count(j->files);
    j->parts = bm_folder_has_parts(j->files) || j->val_voices;
    if (bm_folder_has_parts(j->files) && (j->val_voices || !isnan(j->to.val_fraction)))
        return bm_fail(BM_ERR_USAGE, "%s has a column of parts: no --val-voices, --val-fraction", j->labels);
    if (isnan(j->to.val_fraction)) j->to.val_fraction = j->to.like || j->parts ? 0 : 0.2;
    j->validation = bm_calloc((size_t)n, sizeof *j->validation);
    if (!j->validation) return BM_ERR_MEMORY;
    for (int64_t i = 0; i < n; i++) j->validation[i] = (uint8_t)bm_folder_at(j->files, i)->validation;
    return j->val_voices ? bm_voices_hold_out(j->validation, j->files, j->val_voices) : BM_OK;
}

/* ---- sounds ---- */

static bm_status read_sound(job *j, const bm_folder_file *file)
{
    BM_TRY(bm_audio_in_read(&j->in, file->path));
    if (!j->form.letters) return BM_OK;
    const char *text = file->label < 0 ? "" : bm_folder_class_at(j->files, file->label);
    return bm_fail_prefix(bm_spelling_target(j->letters, j->form.letters, &j->classes, text, j->in.count), "%s",
                          file->path);
}

static bm_status add_sounds(job *j)
{
    const int64_t n = bm_folder_count(j->files);
    for (int64_t i = 0; i < n; i++) {
        const bm_folder_file *file = bm_folder_at(j->files, i);
        BM_TRY(bm_out_step("reading %lld of %lld", (long long)i, (long long)n));
        bm_status status = read_sound(j, file);
        const bm_audio_sound sound = {j->in.count, file->label, j->validation[i]};
        BM_TRY(status ? bm_samples_out_skip(&j->to, status)
                      : bm_audio_out_add(&j->out, &sound, j->letters, j->in.frames));
    }
    return j->out.count ? BM_OK : bm_fail(BM_ERR_CONFIG, "%s: all files were left out", j->folder);
}

static void draw_parts(job *j)
{
    for (int64_t i = 0; i < j->out.count; i++)
        j->out.sounds[i].validation =
            bm_samples_is_validation(j->out.count, j->to.val_fraction, (uint64_t)j->to.split_seed, i);
}

/* There need to be sounds to learn from, and of each class. */
static bm_status check_training(job *j)
{
    int64_t n = 0;
    for (int64_t i = 0; i < j->out.count; i++) {
        const bm_audio_sound *s = &j->out.sounds[i];
        if (s->validation) continue;
        n++;
        if (!j->transcripts) j->classes.count[s->label]++;
    }
    if (!j->transcripts) BM_TRY(bm_fail_prefix(bm_class_list_check(&j->classes, "the training part"), "%s", j->folder));
    return n ? BM_OK : bm_fail(BM_ERR_CONFIG, "%s: there are no sounds to learn from", j->folder);
}

/* ---- the command ---- */

static bm_status make(job *j)
{
    BM_TRY(bm_output_check(j->to.path, j->to.replace, (const char *const[]){j->folder, j->labels, j->to.like}, 3));
    if (j->to.like) BM_TRY(take_like(j));
    j->in.resample = j->rate || j->to.like;
    if (j->rate) BM_TRY(bm_audio_form_rate(&j->form, (int)j->rate, j->in.window_ms, j->in.hop_ms));
    BM_TRY(open_files(j));
    BM_TRY(find_targets(j));
    BM_TRY(find_parts(j));
    BM_TRY(bm_audio_out_open(&j->out, &j->form, j->to.path, bm_folder_count(j->files)));
    BM_TRY(add_sounds(j));
    if (!j->parts) draw_parts(j);
    if (!j->to.like) {
        BM_TRY(check_training(j));
        BM_TRY(bm_audio_out_measure(&j->out));
    }
    BM_TRY(bm_audio_out_write(&j->to, &j->out, &j->classes, j->folder, j->parts));
    return bm_samples_out_commit(&j->to);
}

static int read_features(job *j)
{
    const int mfcc = j->features && !strcmp(j->features, "mfcc");
    if (j->features && !mfcc && strcmp(j->features, "logmel"))
        return bm_out_usage(&bm_cmd_data_audio, "--features %s: there is logmel and mfcc", j->features);
    if (!mfcc && j->coefficients != NOT_GIVEN)
        return bm_out_usage(&bm_cmd_data_audio, "--coefficients are those of --features mfcc");
    if (j->mels == NOT_GIVEN) j->mels = bm_features_opts_default().mels;
    if (j->coefficients == NOT_GIVEN) j->coefficients = mfcc ? 13 : 0;
    if (j->mels < 1 || j->mels > 4096 || j->coefficients < mfcc || j->coefficients > j->mels)
        return bm_out_usage(&bm_cmd_data_audio,
                            "%lld coefficients of %lld mels: 1 to 4096 mels, and of mfcc 1 to as many coefficients",
                            (long long)j->coefficients, (long long)j->mels);
    j->form.features.mels = (int)j->mels;
    j->form.features.mfcc = (int)j->coefficients;
    return 0;
}

/* What was not given and is no number of features. */
static void fill_in(job *j)
{
    bm_audio_in *in = &j->in;
    if (j->rate == NOT_GIVEN) j->rate = 0;
    if (isnan(in->most_s)) in->most_s = 0;
    if (isnan(in->window_ms)) in->window_ms = 25;
    if (isnan(in->hop_ms)) in->hop_ms = 10;
    if (isnan(j->form.trim_db)) j->form.trim_db = 0;
    if (isnan(j->form.features.top_db)) j->form.features.top_db = 0;
}

static int check_words(job *j)
{
    bm_audio_in *in = &j->in;
    const double top_db = j->form.features.top_db, trim_db = j->form.trim_db;
    const int shaped = j->features || j->rate != NOT_GIVEN || j->mels != NOT_GIVEN || j->coefficients != NOT_GIVEN ||
                       !isnan(in->most_s) || !isnan(trim_db) || !isnan(top_db) || !isnan(in->window_ms) ||
                       !isnan(in->hop_ms) || j->transcripts || j->form.features.centre;
    if (j->to.like && shaped)
        return bm_out_usage(
            &bm_cmd_data_audio,
            "--like says how sounds are encoded: no --features, --rate, --mels, --coefficients, --window-ms, --hop-ms, "
            "--trim-db, --top-db, --centre, --seconds, --transcripts");
    if (j->transcripts && !j->labels)
        return bm_out_usage(&bm_cmd_data_audio, "--transcripts stand in --labels FILE.csv");
    if (j->val_voices && !isnan(j->to.val_fraction))
        return bm_out_usage(&bm_cmd_data_audio, "--val-voices says what is for validation: no --val-fraction");
    if (!isnan(j->to.val_fraction) && !(j->to.val_fraction >= 0 && j->to.val_fraction < 1))
        return bm_out_usage(&bm_cmd_data_audio, "--val-fraction is at least 0 and below 1");
    if (j->rate != NOT_GIVEN && (j->rate < 1 || j->rate > 1000000))
        return bm_out_usage(&bm_cmd_data_audio, "--rate %lld: is 1 to 1000000 Hz", (long long)j->rate);
    if (in->most_s <= 0 || in->most_s > 600)
        return bm_out_usage(&bm_cmd_data_audio, "--seconds is above 0 and at most 600");
    if (top_db <= 0 || trim_db <= 0) return bm_out_usage(&bm_cmd_data_audio, "--trim-db and --top-db are above 0");
    if (in->cut && isnan(in->most_s) && !j->to.like) return bm_out_usage(&bm_cmd_data_audio, "--cut needs --seconds");
    fill_in(j);
    return read_features(j);
}

static void finish(job *j)
{
    bm_samples_out_finish(&j->to);
    bm_audio_out_finish(&j->out);
    bm_audio_in_finish(&j->in);
    bm_audio_form_finish(&j->form);
    bm_class_list_finish(&j->classes);
    bm_folder_close(j->files);
    bm_free(j->validation);
    bm_free(j->letters);
}

static int run(int argc, char **argv)
{
    job j = {.rate = NOT_GIVEN,
             .mels = NOT_GIVEN,
             .coefficients = NOT_GIVEN,
             .form = {.features = {.top_db = NAN}, .trim_db = NAN},
             .in = {.form = &j.form, .window_ms = NAN, .hop_ms = NAN, .most_s = NAN},
             .out = BM_AUDIO_OUT_NONE,
             .to = BM_SAMPLES_OUT_NONE};
    const bm_opt opts[] = {
        {"output", 'o', BM_OPT_STRING, &j.to.path, 1},
        {"features", 0, BM_OPT_STRING, &j.features, 0},
        {"labels", 0, BM_OPT_STRING, &j.labels, 0},
        {"transcripts", 0, BM_OPT_FLAG, &j.transcripts, 0},
        {"rate", 0, BM_OPT_I64, &j.rate, 0},
        {"mels", 0, BM_OPT_I64, &j.mels, 0},
        {"coefficients", 0, BM_OPT_I64, &j.coefficients, 0},
        {"window-ms", 0, BM_OPT_F64, &j.in.window_ms, 0},
        {"hop-ms", 0, BM_OPT_F64, &j.in.hop_ms, 0},
        {"trim-db", 0, BM_OPT_F64, &j.form.trim_db, 0},
        {"top-db", 0, BM_OPT_F64, &j.form.features.top_db, 0},
        {"centre", 0, BM_OPT_FLAG, &j.form.features.centre, 0},
        {"seconds", 0, BM_OPT_F64, &j.in.most_s, 0},
        {"cut", 0, BM_OPT_FLAG, &j.in.cut, 0},
        BM_SAMPLES_OUT_OPTS(&j.to),
        {"val-voices", 0, BM_OPT_STRING, &j.val_voices, 0},
        {"skip-bad", 0, BM_OPT_FLAG, &j.to.skip_bad, 0},
        {NULL, 0, BM_OPT_FLAG, NULL, 0},
    };
    int code = bm_opt_parse(&argc, argv, &bm_cmd_data_audio, opts, 1, 1);
    if (code >= 0) return code;
    j.folder = argv[0];
    if ((code = check_words(&j))) return code;
    bm_signals_watch("\nbmtool: stopping\n");
    code = bm_out_error(make(&j));
    finish(&j);
    return code;
}

const bm_cmd bm_cmd_data_audio = {
    .name = "data audio",
    .group = "make data",
    .summary = "make a data set of sounds, as frames of features",
    .help =
        "Examples:\n"
        "  bmtool data audio words -o words.h5 --rate 16000 --seconds 1 --cut     # words/yes/*.wav, words/no/*.flac\n"
        "  bmtool data audio words -o words.h5 --features mfcc --val-voices anna,bo   # anna_1.wav, bo_1.wav, ... held "
        "out\n"
        "  bmtool data audio clips -o spelled.h5 --labels texts.csv --transcripts     # columns file,text: for "
        "train.loss ctc\n"
        "  bmtool data audio new -o new.h5 --like runs/words                          # to predict from\n"
        "\n"
        "usage: bmtool data audio DIR -o OUT.h5 [options]\n"
        "\n"
        "  DIR                     a folder with a folder for each class, of WAV, FLAC, Ogg, Opus, MP3, AIFF, AU\n"
        "  -o, --output OUT.h5     the data set\n"
        "      --labels FILE       a CSV in place of a folder for each class: columns file and label (or text) and, "
        "where\n"
        "                          parts are given, part (train or val)\n"
        "      --transcripts       labels are texts, spelled by their characters for CTC: class 0 is the blank\n"
        "      --features F        logmel (default) or mfcc\n"
        "      --rate HZ           bring all sounds to this rate (default: that of the files, which must be one)\n"
        "      --mels N            mel bands (40)\n"
        "      --coefficients N    of mfcc (13)\n"
        "      --window-ms T       length of a frame (25); n_fft is the least power of two that holds it\n"
        "      --hop-ms T          from frame to frame (10)\n"
        "      --trim-db D         cut off what is quieter at both ends than a sound's loudest by more than D dB "
        "(nothing)\n"
        "      --top-db D          raise what is quieter than a sound's loudest by more than D dB to that (nothing)\n"
        "      --centre            take off each number's mean over a sound's frames: what a channel colours\n"
        "      --seconds S         sounds that are longer are refused, or with --cut cut (default: 600)\n"
        "      --cut               cut what is too long\n"
        "      --like DATA         encode as a data set, checkpoint or run has it; sounds may be of no class then, and "
        "the\n"
        "                          validation fraction is 0\n"
        "      --val-fraction F    the share of sounds that is kept for validation (0.2)\n"
        "      --split-seed N      which those are (1)\n"
        "      --val-voices A,B    keep whole voices for validation: a file's voice is its name up to the first _\n"
        "      --skip-bad          leave sounds out that cannot be used, and say how many\n"
        "      --licence L         the data's licence: it stays with what is trained on them\n"
        "  -f, --force             replace an output that exists\n"
        "  -j, --json              report on standard output as JSON\n"
        "\n"
        "Each number of a frame gets mean 0 and deviation 1 over the frames of the training part; sounds end where "
        "their\n"
        "lengths say and are padded with zeros to the longest.\n",
    .run = run,
};
