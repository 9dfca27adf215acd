/* generate/processors.h: what happens to the scores between the model and the choice of a token.
 *
 * The processors, their order and their arithmetic (float32) are Transformers'. Those that are off cost nothing. */
#ifndef MICA_GENERATE_PROCESSORS_H
#define MICA_GENERATE_PROCESSORS_H

#include "select.h"
#include "settings.h"

typedef struct mica__processors {
    const mica__settings *s; /* may be changed between calls, for rows whose prompts have other lengths */
    mica__id_list prompt;    /* whose tokens encoder_repetition_penalty is about; may be changed between calls, too */
    size_t vocab;
    uint8_t *seen;               /* [vocab] scratch: 1 for ids met */
    mica__candidate *candidates; /* [vocab] scratch */
    float *keys;                 /* [vocab] scratch */
    mica__watermark watermark;
} mica__processors;

/* `s` must outlive the processors. Scratch is made here once; applying allocates nothing. */
mica_status mica__processors_create(mica__processors *out, const mica__settings *s, size_t vocab, mica_error *err);
void mica__processors_release(mica__processors *p);

/* scores: [vocab], changed in place; removed tokens become -inf. ids: [n] the prompt and what was generated so far.
 *
 * The order is _penalize, the caller's list of allowed tokens, _force, the caller's own processor, _warp. */
void mica__processors_penalize(mica__processors *p, const int32_t *ids, size_t n, float *scores);
void mica__processors_force(mica__processors *p, size_t n, float *scores);
void mica__processors_warp(mica__processors *p, const int32_t *ids, size_t n, float *scores);
/* All three. */
void mica__processors_apply(mica__processors *p, const int32_t *ids, size_t n, float *scores);

/* scores[i] becomes its log probability. */
void mica__log_softmax(float *scores, size_t n);

#endif
