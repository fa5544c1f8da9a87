/* What the files of models/config share. */
#ifndef BM_MODELS_CONFIG_CONFIG_PRIV_H
#define BM_MODELS_CONFIG_CONFIG_PRIV_H

#include "models/config/config.h"
#include "models/config/space.h"

typedef struct bm_config_section {
    const char *name; /* "" for the top level */
    const bm_config_key *keys;
    size_t n_keys;
} bm_config_section;

/* data, train and the top level. */
#define BM_CONFIG_N_COMMON 3
extern const bm_config_section bm_config_common[BM_CONFIG_N_COMMON];

typedef struct bm_config_slot {
    const char *section;
    const bm_config_key *key;
    int is_null;
    int given;          /* set by the user or the program, not left at its default */
    int64_t i64;        /* numbers of integer type, and booleans */
    double f64;
    char *string;       /* a list as "[64, 64]", "[1.0, 2.5]" */
    const char *source; /* the file that set it, or NULL; owned by the configuration */
    int line;
    int round;          /* the last file or text that set it: twice in one is a duplicate */
} bm_config_slot;

struct bm_config {
    const bm_config_family *const *families;
    size_t n_families;
    const bm_config_family *family;
    bm_config_slot *slots;
    size_t n_slots;
    char *family_names;     /* "gpt|mlp" */
    bm_config_key family_key;
    char *folder;           /* where relative paths start */
    char **sources;         /* names of the files read, for bm_config_where */
    size_t n_sources;
    int round;
    bm_space_key *space;    /* of the section search */
    size_t n_space;
};

/* One assignment as it was found. */
typedef struct bm_config_entry {
    char *section;      /* "" for the top level */
    char *name;
    char *text;         /* as YAML has it: 3, 3e-4, true, null, or a string */
    int quoted;         /* a string, whatever it looks like */
    int list;           /* text is "[a, b]", put together from a list */
    const char *source; /* file name or NULL */
    int line;           /* 0: none */
} bm_config_entry;

typedef struct bm_config_entries {
    bm_config_entry *items;
    size_t n, capacity;
} bm_config_entries;

/* Copies the strings in; `text` must hold no NUL within `bytes`. */
bm_status bm_config_entries_add(bm_config_entries *list, const bm_config_entry *e);
void bm_config_entries_finish(bm_config_entries *list);

bm_config_slot *bm_config_find(const bm_config *c, const char *section, const char *name);
/* By "train.lr", or "device". */
bm_config_slot *bm_config_find_dotted(const bm_config *c, const char *key);
/* BM_ERR_CONFIG naming the key and those near it. */
bm_status bm_config_unknown(const bm_config *c, const char *key);
/* Reads the entries of the section search: for each key one that is a list and holds nothing, then its values, which have no section. */
bm_status bm_config_space_take(bm_config *c, const bm_config_entries *list);
void bm_config_space_finish(bm_config *c);
bm_status bm_config_apply(bm_config *c, const bm_config_entry *e);
/* All entries of one file or text: the family first, then the rest in their order. */
bm_status bm_config_apply_all(bm_config *c, const bm_config_entries *list);
/* Remembers the name of a file; owned by the configuration. */
bm_status bm_config_add_source(const char **out, bm_config *c, const char *name);

/* The elements of a list's slot; how many. */
int bm_config_list_of(int64_t out[BM_CONFIG_LIST_MOST], const bm_config_slot *slot);
int64_t bm_config_numbers_of(double *out, int64_t most, const bm_config_slot *slot);

/* Reads a value of the key's type; BM_ERR_CONFIG with "expected ..." and without the key's name. The slot's key must be set. */
bm_status bm_config_parse(bm_config_slot *slot, const bm_config *c, const char *text, int quoted);
/* What a key allows, ">= 1 and <= 8" or "adamw|adam" ("" when its type says all), and the whole of what it expects: "an integer
 * >= 1 and <= 8 or null". Both return buf. */
char *bm_config_limits(const bm_config_key *key, char *buf, size_t bytes);
char *bm_config_expected(const bm_config_key *key, char *buf, size_t bytes);
/* The shortest text that reads back as x, with a point or an exponent and a point: YAML 1.1 and 1.2 see a float. */
char *bm_config_format_f64(char *buf, size_t bytes, double x);

#endif
