/* generate/settings.h: generation settings as numbers, for one prompt. */
#ifndef MICA_GENERATE_SETTINGS_H
#define MICA_GENERATE_SETTINGS_H

#include "base/memory.h"
#include "base/str.h"
#include "generation_config.h"
#include "watermark.h"

enum { MICA__MAX_ROWS = 4096 }; /* beams or answers of a prompt */

typedef struct mica__id_list {
    const int32_t *ids;
    size_t n;
} mica__id_list;

/* `bias` is added to the score of the last id when the ids before it are the end of the text. */
typedef struct mica__biased {
    mica__id_list sequence;
    float bias;
} mica__biased;

typedef struct mica__settings {
    mica__arena arena; /* holds the lists */
    int64_t n_prompt, max_length, min_length, min_new_tokens;
    int64_t limit;   /* length at which a row is full: max_length, or less if the cache holds less; set by the search */
    bool by_default; /* max_length is Transformers' 20 new tokens, nobody asked for it */
    double max_time; /* seconds; 0: none */
    mica__id_list eos, suppress, begin_suppress, forced_eos;
    int32_t forced_bos; /* -1: none */
    const mica__str *stop_strings;
    size_t n_stop_strings;

    const mica__biased *biases, *bad_words;
    size_t n_biases, n_bad_words;
    float repetition_penalty, encoder_repetition_penalty;
    int64_t unseen;                                   /* tokens at the start that repetition_penalty leaves out */
    int64_t no_repeat_ngram, encoder_no_repeat_ngram; /* 0: off */
    bool remove_invalid, renormalize;
    int64_t decay_start; /* total length; -1: off */
    double decay_factor;

    bool do_sample;
    float temperature;
    int64_t top_k;                     /* 0: off */
    double top_p, typical_p;           /* 1: off */
    double min_p, top_h;               /* negative: off */
    double epsilon_cutoff, eta_cutoff; /* 0: off */
    size_t least_kept;                 /* tokens that these rules leave at least */
    bool has_seed;
    uint64_t seed;

    size_t n_beams, n_sequences; /* of each prompt */
    float length_penalty;
    enum { MICA__EARLY_FALSE, MICA__EARLY_TRUE, MICA__EARLY_NEVER } early_stopping;
    double guidance;              /* 1: off */
    size_t lookup, longest_match; /* prompt lookup: tokens to guess, 0: off; longest n-gram */
    mica__watermark_settings watermark;
    int32_t pad; /* -1: none */
} mica__settings;

bool mica__settings_is_end(const mica__settings *s, int32_t id);

/* How an assistant guesses: what the request says, else the assistant's own settings. */
typedef struct mica__draft_settings {
    size_t n_tokens;  /* at a time */
    bool adapts;      /* their number follows how many were right */
    double threshold; /* no more after a guess less probable than this */
} mica__draft_settings;
mica_status mica__draft_settings_resolve(mica__draft_settings *out, const mica_generation_config *c,
                                         const mica_generation_config *assistant, mica_error *err);

/* INVALID for ids outside the vocabulary and for a prompt that is already max_length long; UNSUPPORTED for settings that are not there yet. */
mica_status mica__settings_resolve(mica__settings *out, const mica_generation_config *c, int64_t n_prompt,
                                   int64_t context, int64_t vocab, mica_error *err);
void mica__settings_release(mica__settings *s);

#endif
