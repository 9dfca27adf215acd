/* generate/watermark.h: marking a text so that it can be recognized: tokens of a secret list become more likely.
 *
 * Kirchenbauer and others, arXiv 2301.10226 and 2306.04634, as Transformers' WatermarkingConfig does it: each step's list is the beginning of a
 * random permutation of the vocabulary, whose seed follows from the text before. Lists are those of PyTorch's CPU generator, so
 * that Transformers' detector knows them. */
#ifndef MICA_GENERATE_WATERMARK_H
#define MICA_GENERATE_WATERMARK_H

#include "select.h"
#include <stdbool.h>

typedef struct mica__watermark_settings {
    bool on, self; /* self: the seed follows from the candidate, too ("selfhash") */
    double ratio;  /* share of the vocabulary that is on the list */
    float bias;    /* added to the scores of what is on it */
    int64_t key;
    size_t width; /* tokens of context */
} mica__watermark_settings;

typedef struct mica__watermark {
    const mica__watermark_settings *s;
    size_t vocab;
    int32_t *order; /* [vocab] scratch: the permutation */
    int32_t *table; /* [MICA__WATERMARK_TABLE], of selfhash; else NULL */
    mica__candidate *best;
} mica__watermark;
enum { MICA__WATERMARK_TABLE = 1000003, MICA__WATERMARK_CANDIDATES = 40 };

/* Nothing is made if it is off. False: no memory. */
bool mica__watermark_create(mica__watermark *out, const mica__watermark_settings *s, size_t vocab);
void mica__watermark_release(mica__watermark *w); /* {0} allowed */
/* scores: [vocab] */
void mica__watermark_apply(mica__watermark *w, const int32_t *ids, size_t n, float *scores);

#endif
