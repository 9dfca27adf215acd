/* generate/settings.h: generation settings as numbers, for one prompt. */
#ifndef MICA_GENERATE_SETTINGS_H
#define MICA_GENERATE_SETTINGS_H

#include "base/memory.h"
#include "base/str.h"
#include "generation_config.h"

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
    bool by_default; /* max_length is Transformers' 20 new tokens, nobody asked for it */
    double max_time; /* seconds; 0: none */
    mica__id_list eos, suppress, begin_suppress, forced_eos;
    int32_t forced_bos; /* -1: none */
    const mica__str *stop_strings;
    size_t n_stop_strings;

    const mica__biased *biases, *bad_words;
    size_t n_biases, n_bad_words;
    float repetition_penalty, encoder_repetition_penalty;
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
    bool has_seed;
    uint64_t seed;
} mica__settings;

/* INVALID for ids outside the vocabulary and for a prompt that is already max_length long; UNSUPPORTED for settings that are not there yet. */
mica_status mica__settings_resolve(mica__settings *out, const mica_generation_config *c, int64_t n_prompt,
                                   int64_t context, int64_t vocab, mica_error *err);
void mica__settings_release(mica__settings *s);

#endif
