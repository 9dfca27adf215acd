/* generate/attentions.h: what attention weighs values with, for those who want to look at it.
 *
 * The model's own attention never has these numbers in one place; they are computed again, from its queries and the keys in the cache. */
#ifndef MICA_GENERATE_ATTENTIONS_H
#define MICA_GENERATE_ATTENTIONS_H

#include "session.h"

/* Rows of one layer in [n_heads, n_rows, length]. */
typedef struct mica__attention_rows {
    float *data;
    size_t n_rows, length, first_row;
} mica__attention_rows;

/* For n positions from n_past on, which a run has just added to the session's cache with queries [n, n_heads, head_dim]. */
mica_status mica__attentions(const mica_session *s, int layer, const float *queries, int64_t n_past, size_t n,
                             const mica__attention_rows *out, mica_error *err);

#endif
