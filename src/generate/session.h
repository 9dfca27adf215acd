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
    int64_t capacity;           /* positions */
    int kv_bits, kv_group_size; /* as in its options */
    int32_t *ids;               /* [capacity]; the first `length` are in the cache */
    int64_t length;
    int32_t *positions;                  /* [max_rows] */
    float *logits;                       /* [vocab] */
    float *frequencies[MICA__MAX_ROPES]; /* of the ropes that depend on the length: [pairs] */
    int64_t made_for[MICA__MAX_ROPES];   /* the length they were made for; -1: not yet */
    int64_t longest[MICA__MAX_ROPES];    /* see mica__rope_effective_length */
    int n_frequencies;
    mica__random random;
    atomic_bool own_cancelled, *cancelled; /* its own, or that of the batch it is a row of */
    bool past_context;                     /* the notice about it has been given */
};

/* Keeps as much of the common prefix of ids[0..n) and the session as possible, but less than n tokens, and drops the rest. */
void mica__session_keep_prefix(mica_session *s, const int32_t *ids, size_t n);

/* True if keys of a sequence of `length` are rotated otherwise than those of a shorter one. */
bool mica__session_length_matters(const mica_session *s, int64_t length);

/* Makes `to` the same sequence as `from`; both have the same model and capacity. What they have in common already is not copied. */
mica_status mica__session_fork(mica_session *to, const mica_session *from, mica_error *err);

/* mica_session_forward that does not clear a cancellation. n > 0. */
mica_status mica__session_run(mica_session *s, const int32_t *ids, size_t n, bool all, float *logits, mica_error *err);

/* Logits of all rows as if each token had come alone. */
mica_status mica__session_verify(mica_session *s, const int32_t *ids, size_t n, float *logits, mica_error *err);

/* ---- growing, step by step ---- */

/* LIMIT, INVALID if n more ids (NULL: of no tokens) cannot follow; else all is ready for running them. */
mica_status mica__session_prepare(mica_session *s, const int32_t *ids, size_t n, mica_error *err);
/* Ropes that depend on the length are inputs of a run: true if both sessions have been prepared for the same ones. */
bool mica__sessions_agree(const mica_session *a, const mica_session *b);
/* The next `rows` of what it was prepared for are in the cache now. ids NULL: they have -1. */
void mica__session_grew(mica_session *s, const int32_t *ids, int64_t rows);

/* One more id for each of n different sessions of one model: logits [n, vocab]. The weights are read once for many of them, and each gets the
 * logits that it would get alone, to the bit. */
mica_status mica__sessions_step(mica_session *const *sessions, const int32_t *ids, size_t n, float *logits,
                                mica_error *err);

/* Positions of a session made with these options (NULL: none). */
mica_status mica__session_capacity(const mica_model *m, const mica_session_options *options, int64_t *out,
                                   mica_error *err);

#endif
