/* generate/sample.h: rows that each choose their next token for themselves: greedy search and sampling. */
#ifndef MICA_GENERATE_SAMPLE_H
#define MICA_GENERATE_SAMPLE_H

#include "search.h"

typedef struct mica__sampler {
    mica__search *d;
    mica__random *randoms;      /* [n_rows] */
    mica__stop_strings *stops;  /* [n_rows] */
    bool *done, *stopped;       /* [n_rows]; stopped: scratch of the stop callback */
    mica_stop_reason *reasons;  /* [n_rows] */
    size_t *n_new;              /* [n_rows]: tokens until the row was done */
    int32_t *chosen;            /* [n_rows]: the newest tokens */
    bool fills;                 /* done rows get padding */
    mica_decode_stream *stream; /* of the token callback; NULL: none, or no tokenizer */
    mica__buf text;             /* of the token being reported */
} mica__sampler;

mica_status mica__sampler_start(mica__sampler *s, mica__search *d, mica_error *err);
void mica__sampler_release(mica__sampler *s); /* {0} allowed */
/* One token for every row, from the logits in the search's scores. *end: there is nothing left to do. */
mica_status mica__sampler_step(mica__sampler *s, bool *end, mica_error *err);
/* Fills result with what there is, if the search ended with OK or MICA_CANCELLED; returns the status of the whole. */
mica_status mica__sampler_finish(const mica__sampler *s, mica_status status, mica_batch_result *result,
                                 mica_error *err);

/* Reports ids[i] to the token callback; with the last one comes what is left of its text. stream NULL: no text. */
mica_status mica__report_token(const mica_batch_callbacks *c, mica_decode_stream *stream, mica__buf *text, int32_t id,
                               bool last, const float *scores, bool *stop, mica_error *err);

#endif
