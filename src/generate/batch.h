/* generate/batch.h: inside a batch: the sessions that its rows live in, for generate/.
 *
 * Sessions are made when they are needed and kept. All of a pool have the same capacity, so that one can be forked from another. */
#ifndef MICA_GENERATE_BATCH_H
#define MICA_GENERATE_BATCH_H

#include "session.h"

typedef struct mica__session_pool {
    mica_session **sessions; /* [n] */
    size_t n;
    int64_t capacity;
    mica_session *borrowed; /* the first one, if it is the caller's; NULL: all are ours */
} mica__session_pool;

struct mica_batch {
    mica_model *model;
    mica_session_options options;
    mica__session_pool rows, guides; /* guides: of guidance, which see the negative prompts */
    mica__random random;
    atomic_bool own_cancelled, *cancelled;
};

/* A batch whose first row is the caller's session; gives the session's random numbers back when released. */
void mica__batch_borrow(mica_batch *b, mica_session *s);
void mica__batch_release(mica_batch *b); /* {0} allowed */

/* The most ids that one row can hold in its cache. */
mica_status mica__batch_limit(const mica_batch *b, int64_t *out, mica_error *err);
/* At least n sessions for at least `positions`, which is at most the limit. */
mica_status mica__pool_reserve(mica_batch *b, mica__session_pool *pool, size_t n, int64_t positions, mica_error *err);

#endif
