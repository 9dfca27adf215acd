/* nn/rope_frequencies.h: the inverse frequencies of every kind of rotary embedding.
 *
 * A head's first `dims` elements form dims / 2 pairs; pair i turns by position * frequency[i]. The kinds differ only in how they
 * bend the plain frequencies theta^(-2i / dims) so that a model can read further than it was trained to. Two kinds depend on how
 * long the sequence is (dynamic, longrope): those are computed anew when the length asks for it, the others once. */
#ifndef MICA_NN_ROPE_FREQUENCIES_H
#define MICA_NN_ROPE_FREQUENCIES_H

#include "base/error.h"

typedef enum mica__rope_type {
    MICA__ROPE_DEFAULT,
    MICA__ROPE_LINEAR,       /* all divided by factor */
    MICA__ROPE_DYNAMIC,      /* NTK: theta grows with the length */
    MICA__ROPE_YARN,         /* low frequencies divided, high ones kept, a ramp between (arXiv 2309.00071) */
    MICA__ROPE_LONGROPE,     /* a divisor per pair, one list for short and one for long sequences (arXiv 2402.13753) */
    MICA__ROPE_LLAMA3,       /* as yarn in spirit, bounds given as wavelengths */
    MICA__ROPE_PROPORTIONAL, /* only the first share of the pairs turns */
    MICA__ROPE_N_TYPES
} mica__rope_type;

typedef struct mica__rope {
    mica__rope_type type;
    bool interleaved; /* pairs are (2i, 2i + 1) instead of (i, i + dims / 2) */
    int dims;         /* even */
    double theta;
    double factor;           /* 0: max_length / original_length */
    double attention_factor; /* yarn, longrope: multiplies cos and sin; negative: by the type's formula */
    int64_t max_length;      /* the model's context */
    int64_t original_length; /* the context it was trained with, where the type asks for it */
    double beta_fast, beta_slow, mscale, mscale_all_dim; /* yarn; mscale 0: not given */
    bool truncate;                                       /* yarn: whole numbers as ends of the ramp */
    double low_freq_factor, high_freq_factor;            /* llama3 */
    double share;                                        /* proportional */
    const float *short_factors, *long_factors;           /* longrope: [dims / 2], borrowed */
} mica__rope;

/* "yarn"; NULL beyond the last. */
const char *mica__rope_type_name(mica__rope_type type);

/* True if the frequencies depend on the sequence length. */
bool mica__rope_is_dynamic(const mica__rope *r);

/* The length up to which the frequencies of a dynamic rope are those of short sequences. */
int64_t mica__rope_short_length(const mica__rope *r);

/* The length that frequencies are to be made for, when a run ends at `length` tokens. *longest is the memory of one sequence (0 before
 * its first run): dynamic scaling keeps the largest length until the sequence is shorter than the model's own context again. */
int64_t mica__rope_effective_length(const mica__rope *r, int64_t length, int64_t *longest);

/* out: [dims / 2]. length is looked at by dynamic kinds only; 0: the beginning of a sequence. */
void mica__rope_frequencies(const mica__rope *r, int64_t length, float *out);
/* What cos and sin are multiplied by. */
float mica__rope_scale(const mica__rope *r);

/* DATA if any frequency is not finite (a theta of 1 with yarn, say), at short and at long lengths; `where` names the config field. */
mica_status mica__rope_check(const mica__rope *r, const char *where, mica_error *err);

#endif
