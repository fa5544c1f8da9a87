/* A study: the folder of a search. study.json says what is searched and how, and never changes but for more trials; trials.jsonl has a line
 * for each trial that has come to the end of a rung, and is old or new, never half; trial-0001 and so on are the runs, logs/ what they said;
 * best.yaml is the best one's configuration. What a trial tries depends on the seed and its number alone, so that a study goes on from these
 * files at any time. */
#ifndef BM_TOOLS_SEARCH_STUDY_H
#define BM_TOOLS_SEARCH_STUDY_H

#include <jansson.h>

#include "models/config/config.h"
#include "models/config/space.h"
#include "models/train/halving.h"
#include "tools/opt.h"

typedef struct bm_study_opts {
    const char *folder;
    const char *config;            /* NULL: the folder must be there */
    const bm_opt_list *sets;
    int64_t trials, seed, eta;     /* -1: not given */
    const char *method, *metric;   /* NULL: not given */
    const char *device, *gemm;
    int look;                      /* only look at one that is there, whoever works at it */
} bm_study_opts;

typedef struct bm_study {
    char *folder;
    json_t *head;      /* study.json */
    json_t *outcomes;  /* the lines of trials.jsonl */
    bm_config *config; /* as CONFIG has it, with what --set says */
    bm_halving plan;
    const char *metric;
    int rises;
    int64_t trials, seed, eval_tokens;
    const char *device, *gemm; /* or NULL */
    int lock;
} bm_study;

/* Makes a new study, or opens one that is there: then CONFIG and what else is given must be as it began, but for more trials of a random
 * search and another metric of one: BM_ERR_DIFFERS. BM_ERR_REFUSED while another process works at it. */
bm_status bm_study_open(bm_study **out, const bm_study_opts *o);
void bm_study_close(bm_study *s);

/* The configuration of a trial; trial 0: CONFIG's. */
bm_status bm_study_config(bm_config **out, const bm_study *s, int64_t trial);
/* Its values as {"train.lr": "0.001", ...}. */
json_t *bm_study_values(const bm_study *s, int64_t trial);
/* FOLDER/trial-0001, FOLDER/logs/trial-0001.log; bm_free. NULL: no memory. */
char *bm_study_run(const bm_study *s, int64_t trial);
char *bm_study_log(const bm_study *s, int64_t trial);

/* What came of a trial in a rung: an object of trials.jsonl
 *     {"trial": 3, "rung": 0, "status": "ok", "score": 0.25, "step": 100, "seconds": 1.5, "values": {..}, "scores": {..}}
 *     {"trial": 4, "rung": 0, "status": "failed", "reason": "...", "seconds": 0.1, "values": {..}}
 * NULL: nothing yet. Rung -1: the last that there is. */
const json_t *bm_study_outcome(const bm_study *s, int64_t trial, int rung);
double bm_outcome_score(const json_t *outcome); /* NaN of a failed one */
/* Adds one, on the disk too; takes it over. */
bm_status bm_study_record(bm_study *s, json_t *outcome);

/* The trials of a rung, all of the rung before being there, into out (room for s->trials); how many. */
int64_t bm_study_of_rung(int64_t *out, const bm_study *s, int rung);
/* All trials that have an outcome, best first: those of the last rung before others. */
int64_t bm_study_ranked(int64_t *out, const bm_study *s);

#endif
