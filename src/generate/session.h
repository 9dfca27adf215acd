/* generate/session.h: inside a session, for generate/. */
#ifndef MICA_GENERATE_SESSION_H
#define MICA_GENERATE_SESSION_H

#include "models/model.h"
#include "nn/kv_cache.h"
#include "sampler.h"
#include <mica/generate.h>
#include <stdatomic.h>

struct mica_session {
    mica_model *model;
    mica__kv_cache cache;
    int64_t capacity; /* positions */
    int32_t *ids;     /* [capacity]; the first `length` are in the cache */
    int64_t length;
    int32_t *positions;                  /* [max_rows] */
    float *logits;                       /* [vocab] */
    float *frequencies[MICA__MAX_ROPES]; /* of the ropes that depend on the length: [pairs] */
    int64_t made_for[MICA__MAX_ROPES];   /* the length they were made for; -1: not yet */
    int64_t longest[MICA__MAX_ROPES];    /* see mica__rope_effective_length */
    int n_frequencies;
    mica__random random;
    atomic_bool cancelled;
    bool past_context; /* the notice about it has been given */
};

/* Keeps as much of the common prefix of ids[0..n) and the session as possible, but less than n tokens, and drops the rest. */
void mica__session_keep_prefix(mica_session *s, const int32_t *ids, size_t n);

/* mica_session_forward that leaves the last position's logits in s->logits and does not clear a cancellation. */
mica_status mica__session_run(mica_session *s, const int32_t *ids, size_t n, mica_error *err);

#endif
