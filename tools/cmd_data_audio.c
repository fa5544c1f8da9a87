#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "io/media/folder.h"
#include "io/store/samples.h"
#include "io/store/spool_priv.h"
#include "models/infer/transcript.h"
#include "tools/audio_in.h"
#include "tools/cmd.h"
#include "tools/opt.h"
#include "tools/out.h"
#include "tools/output_file.h"
#include "tools/samples_out.h"
#include "tools/signals.h"
#include "tools/spelling.h"

typedef struct job {
    const char *folder, *output, *features, *labels, *like, *licence, *val_voices; /* as given; NULL: not */
    double val_fraction, seconds, window_ms, hop_ms, trim_db, top_db;
    int64_t split_seed, rate, mels, coefficients;
    int cut, transcripts, centre, force, json;
    bm_skipped skipped;
    bm_audio_form form;
    bm_class_list classes;
    bm_audio_in in;
    bm_folder *files;
    bm_spool spool;      /* the frames of the files that are kept, one after the other */
    int64_t *frames;     /* of each file; 0: it was left out */
    uint8_t *validation; /* of each file */
    int64_t kept, longest;
    int held_out;    /* whether the parts are given, not drawn */
    float *sample;   /* room for the longest */
    int32_t *target; /* room for a target */
    bm_content_id id;
} job;

static int64_t width(const job *j) { return bm_audio_form_width(&j->form); }

static bm_status show_progress(const char *what, int64_t done, int64_t all)
{
    char line[80];
    if (bm_signals_stopped()) return bm_fail(BM_ERR_STOPPED, "stopped; nothing was written");
    snprintf(line, sizeof line, "%s %lld of %lld", what, (long long)done, (long long)all);
    bm_out_progress(line);
    return BM_OK;
}

/* ---- which files, and what they are ---- */

static bm_status name_classes(job *j)
{
    if (j->form.letters || j->like) return BM_OK;
    if (j->transcripts) return bm_spelling_classes(&j->classes, j->files);
    json_t *names = json_array();
    int bad = 0;
    for (int64_t i = 0; i < bm_folder_classes(j->files); i++)
        bad |= json_array_append_new(names, json_string(bm_folder_class_at(j->files, i)));
    bm_status status = bad ? BM_ERR_MEMORY : bm_class_list_parse(&j->classes, names, j->folder);
    json_decref(names);
    return status;
}

static bm_status open_files(job *j)
{
    static const char *const endings[] = {".wav", ".flac", ".ogg", ".oga", ".opus",
                                          ".mp3", ".aiff", ".aif", ".au",  NULL};
    bm_folder_opts opts = {.endings = endings, .table = j->labels, .texts = j->transcripts};
    if (j->like && !j->transcripts) {
        opts.classes = (const char *const *)j->classes.name;
        opts.n_classes = j->classes.n;
    }
    BM_TRY(bm_folder_open(&j->files, j->folder, &opts));
    const int64_t n = bm_folder_count(j->files);
    j->frames = bm_calloc((size_t)n, sizeof *j->frames);
    j->validation = bm_calloc((size_t)n, sizeof *j->validation);
    return j->frames && j->validation ? name_classes(j) : BM_ERR_MEMORY;
}

/* The voice of a file is its name up to the first _ or, where it has none, to the last point. */
static size_t voice_of(const char **voice, const char *path)
{
    const char *slash = strrchr(path, '/');
    *voice = slash ? slash + 1 : path;
    const char *end = strchr(*voice, '_');
    if (!end) end = strrchr(*voice, '.');
    return end ? (size_t)(end - *voice) : strlen(*voice);
}

/* Puts the files of one voice into the validation part. */
static bm_status hold_out(job *j, const char *name)
{
    const char *voice;
    int64_t found = 0;
    for (int64_t i = 0; i < bm_folder_count(j->files); i++) {
        const size_t n = voice_of(&voice, bm_folder_at(j->files, i)->path);
        if (n != strlen(name) || memcmp(voice, name, n)) continue;
        j->validation[i] = 1;
        found++;
    }
    if (found) return BM_OK;
    const int n = (int)voice_of(&voice, bm_folder_at(j->files, 0)->path);
    return bm_fail(BM_ERR_CONFIG, "--val-voices: no file's name begins with \"%s\" before a _ (the first has \"%.*s\")",
                   name, n, voice);
}

static bm_status hold_out_voices(job *j)
{
    char *copy = bm_strdup(j->val_voices);
    bm_status status = copy ? BM_OK : BM_ERR_MEMORY;
    for (char *at = copy ? strtok(copy, ",") : NULL; at && !status; at = strtok(NULL, ",")) status = hold_out(j, at);
    bm_free(copy);
    return status;
}

/* The parts that are given; what is drawn is drawn among the files that are kept. */
static bm_status find_parts(job *j)
{
    j->held_out = bm_folder_has_parts(j->files) || j->val_voices;
    if (bm_folder_has_parts(j->files) && (j->val_voices || !isnan(j->val_fraction)))
        return bm_fail(BM_ERR_USAGE, "%s has a column of parts: no --val-voices, --val-fraction", j->labels);
    for (int64_t i = 0; i < bm_folder_count(j->files); i++)
        j->validation[i] = (uint8_t)bm_folder_at(j->files, i)->validation;
    if (j->val_voices) return hold_out_voices(j);
    if (isnan(j->val_fraction)) j->val_fraction = j->like || j->held_out ? 0 : 0.2;
    return BM_OK;
}

static void draw_parts(job *j)
{
    int64_t at = 0;
    for (int64_t i = 0; i < bm_folder_count(j->files) && !j->held_out; i++)
        if (j->frames[i])
            j->validation[i] =
                (uint8_t)bm_samples_is_validation(j->kept, j->val_fraction, (uint64_t)j->split_seed, at++);
}

/* ---- first pass: frames into the spool ---- */

/* A file's letters into j->target; how many, 0 where it has no text. */
static bm_status spell(int64_t *n, job *j, int64_t i)
{
    const bm_folder_file *file = bm_folder_at(j->files, i);
    const char *text = file->label < 0 ? "" : bm_folder_class_at(j->files, file->label);
    *n = bm_spelling_letters(text);
    if (*n > j->form.letters)
        return bm_fail(BM_ERR_CONFIG, "%s: a text of %lld characters, where %lld are known at most", file->path,
                       (long long)*n, (long long)j->form.letters);
    for (int64_t k = 0; k < j->form.letters; k++) j->target[k] = -1;
    return bm_fail_prefix(bm_spelling_encode(j->target, &j->classes, text), "%s", file->path);
}

static bm_status check_spelling(job *j, int64_t i)
{
    int64_t letters;
    if (!j->form.letters) return BM_OK;
    BM_TRY(spell(&letters, j, i));
    const int64_t steps = bm_ctc_steps(j->target, letters);
    if (steps <= j->in.count) return BM_OK;
    const bm_folder_file *file = bm_folder_at(j->files, i);
    return bm_fail(BM_ERR_CONFIG,
                   "%s: %lld frames, but CTC needs %lld to align \"%.100s\": a shorter --hop-ms, or leave it out",
                   file->path, (long long)j->in.count, (long long)steps, bm_folder_class_at(j->files, file->label));
}

static bm_status read_file(job *j, int64_t i)
{
    bm_status status = bm_audio_in_read(&j->in, bm_folder_at(j->files, i)->path);
    if (!status) status = check_spelling(j, i);
    if (status) j->in.count = 0;
    return bm_skipped_take(&j->skipped, status);
}

static bm_status read_files(job *j)
{
    const int64_t n = bm_folder_count(j->files);
    BM_TRY(bm_spool_open(&j->spool, j->output));
    for (int64_t i = 0; i < n; i++) {
        BM_TRY(show_progress("reading", i, n));
        BM_TRY(read_file(j, i));
        if (!j->in.count) continue;
        BM_TRY(bm_spool_add(&j->spool, j->in.frames, (size_t)(j->in.count * width(j)) * sizeof(float)));
        j->frames[i] = j->in.count;
        j->kept++;
        if (j->in.count > j->longest) j->longest = j->in.count;
    }
    draw_parts(j);
    return j->kept ? BM_OK : bm_fail(BM_ERR_CONFIG, "%s: all files were left out", j->folder);
}

/* Room for the targets, as long as the longest text. */
static bm_status make_targets(job *j)
{
    for (int64_t i = 0; j->transcripts && !j->like && i < bm_folder_classes(j->files); i++) {
        const int64_t n = bm_spelling_letters(bm_folder_class_at(j->files, i));
        if (n > j->form.letters) j->form.letters = n;
    }
    j->target = bm_calloc((size_t)j->form.letters + 1, sizeof *j->target);
    return j->target ? BM_OK : BM_ERR_MEMORY;
}

/* Each class needs sounds to learn from. */
static bm_status check_classes(job *j)
{
    if (j->transcripts || j->like) return BM_OK;
    for (int64_t i = 0; i < bm_folder_count(j->files); i++)
        if (j->frames[i] && !j->validation[i]) j->classes.count[bm_folder_at(j->files, i)->label]++;
    return bm_fail_prefix(bm_class_list_check(&j->classes, "the training part"), "%s", j->folder);
}

/* ---- second pass: means and scales of the training part ---- */

static bm_status next_frames(job *j, int64_t i)
{
    return bm_spool_take(&j->spool, j->sample, (size_t)(j->frames[i] * width(j)) * sizeof *j->sample);
}

/* Adds up to power 1, or squares of what differs from the mean. */
static bm_status add_up(double *sum, int64_t *frames, job *j, const double *mean)
{
    const int64_t w = width(j);
    *frames = 0;
    BM_TRY(bm_spool_rewind(&j->spool));
    for (int64_t i = 0; i < bm_folder_count(j->files); i++) {
        if (!j->frames[i]) continue;
        BM_TRY(next_frames(j, i));
        if (j->validation[i]) continue;
        *frames += j->frames[i];
        for (int64_t k = 0; k < j->frames[i] * w; k++) {
            const double x = (double)j->sample[k] - (mean ? mean[k % w] : 0);
            sum[k % w] += mean ? x * x : x;
        }
    }
    return BM_OK;
}

static bm_status measure(job *j)
{
    int64_t frames;
    bm_status status = BM_OK;
    const int64_t w = width(j);
    double *mean = bm_calloc((size_t)w, sizeof *mean), *squares = bm_calloc((size_t)w, sizeof *squares);
    j->form.mean = bm_calloc((size_t)w, sizeof *j->form.mean);
    j->form.scale = bm_calloc((size_t)w, sizeof *j->form.scale);
    if (!mean || !squares || !j->form.mean || !j->form.scale) {
        status = BM_ERR_MEMORY;
        goto done;
    }
    BM_GO(add_up(mean, &frames, j, NULL));
    if (!frames) BM_GO(bm_fail(BM_ERR_CONFIG, "%s: there are no sounds to learn from", j->folder));
    for (int64_t k = 0; k < w; k++) mean[k] /= (double)frames;
    BM_GO(add_up(squares, &frames, j, mean));
    for (int64_t k = 0; k < w; k++) {
        j->form.mean[k] = (float)mean[k];
        j->form.scale[k] = (float)sqrt(squares[k] / (double)frames);
        if (!(j->form.scale[k] > 0)) j->form.scale[k] = 1;
    }
done:
    bm_free(mean);
    bm_free(squares);
    return status;
}

/* ---- third pass: writing ---- */

static bm_status open_writer(bm_samples_writer **out, const job *j)
{
    char *about = NULL, *encoding = NULL;
    bm_status status;
    BM_GO(bm_samples_about(&about, (char *const *)&j->folder, 1, j->licence));
    BM_GO(bm_audio_form_text(&encoding, &j->form, &j->classes));
    const bm_samples_opts o = {.kind = "rows",
                               .input = BM_F32,
                               .input_shape = BM_SHAPE(j->form.frames, width(j)),
                               .target = BM_I32,
                               .target_shape = j->form.letters ? BM_SHAPE(j->form.letters) : (bm_shape){0},
                               .classes = j->classes.n,
                               .lengths = 1,
                               .val_fraction = j->held_out ? 0 : j->val_fraction,
                               .split_seed = (uint64_t)j->split_seed,
                               .meta_json = about,
                               .encoding_json = encoding,
                               .replace = j->force};
    BM_GO(bm_samples_writer_create(out, j->output, &o));
done:
    bm_free(about);
    bm_free(encoding);
    return status;
}

static bm_status write_sample(job *j, bm_samples_writer *w, int64_t i)
{
    int64_t letters;
    const int64_t n = width(j), used = j->frames[i] * n;
    for (int64_t k = 0; k < used; k++) j->sample[k] = (j->sample[k] - j->form.mean[k % n]) / j->form.scale[k % n];
    memset(j->sample + used, 0, (size_t)(j->form.frames * n - used) * sizeof *j->sample);
    if (j->form.letters)
        BM_TRY(spell(&letters, j, i));
    else
        j->target[0] = bm_folder_at(j->files, i)->label;
    return bm_samples_writer_add(w, j->sample, j->target, (int32_t)j->frames[i]);
}

static bm_status write_part(job *j, bm_samples_writer *w, int validation)
{
    BM_TRY(bm_spool_rewind(&j->spool));
    for (int64_t i = 0; i < bm_folder_count(j->files); i++) {
        if (!j->frames[i]) continue;
        BM_TRY(next_frames(j, i));
        if (j->held_out && j->validation[i] != validation) continue;
        BM_TRY(show_progress("writing", bm_samples_writer_count(w), j->kept));
        BM_TRY(write_sample(j, w, i));
    }
    return BM_OK;
}

static bm_status write_all(job *j)
{
    bm_status status;
    bm_samples_writer *w = NULL;
    BM_GO(open_writer(&w, j));
    BM_GO(write_part(j, w, 0));
    if (j->held_out) {
        bm_samples_writer_validation(w);
        BM_GO(write_part(j, w, 1));
    }
    BM_GO(bm_samples_writer_commit(&j->id, w));
done:
    bm_samples_writer_destroy(w);
    return status;
}

/* ---- the command ---- */

static bm_status take_like(job *j)
{
    json_t *encoding;
    BM_TRY(bm_samples_like(&encoding, j->like, "audio"));
    bm_status status = bm_audio_form_parse(&j->form, encoding, j->like);
    if (!status) status = bm_class_list_parse(&j->classes, json_object_get(encoding, "classes"), j->like);
    json_decref(encoding);
    j->transcripts = j->form.letters > 0;
    return status;
}

static bm_status check_paths(const job *j)
{
    const char *const inputs[] = {j->folder, j->labels, j->like};
    for (int i = 0; i < 3; i++)
        if (inputs[i]) BM_TRY(bm_output_check(j->output, j->force, &inputs[i], 1));
    return BM_OK;
}

static bm_status make(job *j)
{
    bm_status status;
    BM_GO(check_paths(j));
    if (j->like) BM_GO(take_like(j));
    j->in = (bm_audio_in){.form = &j->form,
                          .window_ms = j->window_ms,
                          .hop_ms = j->hop_ms,
                          .resample = j->rate || j->like,
                          .most_s = j->seconds,
                          .cut = j->cut};
    if (j->rate) BM_GO(bm_audio_form_rate(&j->form, (int)j->rate, j->window_ms, j->hop_ms));
    BM_GO(open_files(j));
    BM_GO(find_parts(j));
    BM_GO(make_targets(j));
    BM_GO(read_files(j));
    BM_GO(check_classes(j));
    if (!j->form.frames) j->form.frames = j->longest;
    j->sample = bm_calloc((size_t)j->form.frames, (size_t)width(j) * sizeof *j->sample);
    if (!j->sample) BM_GO(BM_ERR_MEMORY);
    if (!j->form.mean) BM_GO(measure(j));
    BM_GO(write_all(j));
    bm_out_progress("");
    bm_skipped_say(&j->skipped);
    BM_GO(bm_samples_report(j->output, &j->id, j->json));
done:
    bm_out_progress("");
    return status;
}

static int read_features(job *j)
{
    const bm_features_opts d = bm_features_opts_default();
    const int mfcc = j->features && !strcmp(j->features, "mfcc");
    if (j->features && !mfcc && strcmp(j->features, "logmel"))
        return bm_out_usage(&bm_cmd_data_audio, "--features %s: there is logmel and mfcc", j->features);
    if (!mfcc && j->coefficients)
        return bm_out_usage(&bm_cmd_data_audio, "--coefficients are those of --features mfcc");
    if (!j->mels) j->mels = d.mels;
    if (mfcc && !j->coefficients) j->coefficients = 13;
    if (j->mels < 1 || j->mels > 4096 || j->coefficients < 0 || j->coefficients > j->mels)
        return bm_out_usage(&bm_cmd_data_audio,
                            "%lld coefficients of %lld mels: 1 to 4096 mels, not fewer than coefficients",
                            (long long)j->coefficients, (long long)j->mels);
    j->form.trim_db = j->trim_db;
    j->form.features = (bm_features_opts){
        .mels = (int)j->mels, .mfcc = (int)j->coefficients, .top_db = j->top_db, .centre = j->centre};
    return 0;
}

static int check_words(job *j)
{
    const int shaped = j->features || j->rate || j->mels || j->coefficients || j->seconds != 0 || j->trim_db != 0 ||
                       j->top_db != 0 || !isnan(j->window_ms) || !isnan(j->hop_ms) || j->transcripts || j->centre;
    if (j->like && shaped)
        return bm_out_usage(
            &bm_cmd_data_audio,
            "--like says how sounds are encoded: no --features, --rate, --mels, --coefficients, --window-ms, --hop-ms, "
            "--trim-db, --top-db, --centre, --seconds, --transcripts");
    if (j->transcripts && !j->labels)
        return bm_out_usage(&bm_cmd_data_audio, "--transcripts stand in --labels FILE.csv");
    if (j->val_voices && !isnan(j->val_fraction))
        return bm_out_usage(&bm_cmd_data_audio, "--val-voices says what is for validation: no --val-fraction");
    if (!isnan(j->val_fraction) && !(j->val_fraction >= 0 && j->val_fraction < 1))
        return bm_out_usage(&bm_cmd_data_audio, "--val-fraction is at least 0 and below 1");
    if (j->rate < 0 || j->rate > 1000000)
        return bm_out_usage(&bm_cmd_data_audio, "--rate %lld: is 1 to 1000000 Hz", (long long)j->rate);
    if (!(j->seconds >= 0 && j->seconds <= 600))
        return bm_out_usage(&bm_cmd_data_audio, "--seconds is above 0 and at most 600");
    if (!(j->top_db >= 0 && j->trim_db >= 0))
        return bm_out_usage(&bm_cmd_data_audio, "--trim-db and --top-db are above 0");
    if (j->cut && j->seconds == 0 && !j->like) return bm_out_usage(&bm_cmd_data_audio, "--cut needs --seconds");
    if (isnan(j->window_ms)) j->window_ms = 25;
    if (isnan(j->hop_ms)) j->hop_ms = 10;
    return read_features(j);
}

static void finish(job *j)
{
    bm_audio_in_finish(&j->in);
    bm_audio_form_finish(&j->form);
    bm_class_list_finish(&j->classes);
    bm_folder_close(j->files);
    bm_spool_close(&j->spool);
    bm_free(j->frames);
    bm_free(j->validation);
    bm_free(j->sample);
    bm_free(j->target);
}

static int run(int argc, char **argv)
{
    job j = {.val_fraction = NAN, .window_ms = NAN, .hop_ms = NAN, .split_seed = 1, .spool = BM_SPOOL_NONE};
    const bm_opt opts[] = {
        {"output", 'o', BM_OPT_STRING, &j.output, 1},
        {"features", 0, BM_OPT_STRING, &j.features, 0},
        {"labels", 0, BM_OPT_STRING, &j.labels, 0},
        {"transcripts", 0, BM_OPT_FLAG, &j.transcripts, 0},
        {"rate", 0, BM_OPT_I64, &j.rate, 0},
        {"mels", 0, BM_OPT_I64, &j.mels, 0},
        {"coefficients", 0, BM_OPT_I64, &j.coefficients, 0},
        {"window-ms", 0, BM_OPT_F64, &j.window_ms, 0},
        {"hop-ms", 0, BM_OPT_F64, &j.hop_ms, 0},
        {"trim-db", 0, BM_OPT_F64, &j.trim_db, 0},
        {"top-db", 0, BM_OPT_F64, &j.top_db, 0},
        {"centre", 0, BM_OPT_FLAG, &j.centre, 0},
        {"seconds", 0, BM_OPT_F64, &j.seconds, 0},
        {"cut", 0, BM_OPT_FLAG, &j.cut, 0},
        {"like", 0, BM_OPT_STRING, &j.like, 0},
        {"val-fraction", 0, BM_OPT_F64, &j.val_fraction, 0},
        {"split-seed", 0, BM_OPT_I64, &j.split_seed, 0},
        {"val-voices", 0, BM_OPT_STRING, &j.val_voices, 0},
        {"skip-bad", 0, BM_OPT_FLAG, &j.skipped.skip, 0},
        {"licence", 0, BM_OPT_STRING, &j.licence, 0},
        {"force", 'f', BM_OPT_FLAG, &j.force, 0},
        {"json", 'j', BM_OPT_FLAG, &j.json, 0},
        {NULL, 0, BM_OPT_FLAG, NULL, 0},
    };
    int code = bm_opt_parse(&argc, argv, &bm_cmd_data_audio, opts, 1, 1);
    if (code >= 0) return code;
    j.folder = argv[0];
    if ((code = check_words(&j))) return code;
    bm_signals_watch("\nbmtool: stopping\n");
    bm_status status = make(&j);
    code = bm_out_error(status);
    if (status == BM_ERR_STOPPED) code = bm_signals_exit_code();
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
