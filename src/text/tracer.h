/* text/tracer.h: collects where in the input the ids of a call of encode stand. */
#ifndef MICA_TEXT_TRACER_H
#define MICA_TEXT_TRACER_H

#include "text/tokenizer_parts.h"

typedef struct mica__tracer {
    const mica_tokenizer *t;
    mica_ids *out;       /* start, end and word of each id */
    int32_t word, n_ids; /* of the next piece, so far */
    mica__piece *at;     /* [cap] */
    size_t cap;
    mica__model_work work; /* its text: the piece in the byte alphabet */
} mica__tracer;
void mica__tracer_release(mica__tracer *c);

/* The ids that the model made of a piece. spans: of the piece's bytes. */
mica_status mica__tracer_piece(mica__tracer *c, mica__str piece, const mica__span *spans, const int32_t *ids, size_t n,
                               mica_error *err);
/* An added token that was found as `text`. */
mica_status mica__tracer_token(mica__tracer *c, mica__str text, const mica__span *spans, mica_error *err);

#endif
