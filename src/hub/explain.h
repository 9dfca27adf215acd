/* hub/explain.h: what a reply that is no success means for a person: one line that says what to do. */
#ifndef MICA_HUB_EXPLAIN_H
#define MICA_HUB_EXPLAIN_H

#include "http.h"

typedef struct mica__subject {
    const char *id, *revision;
    const char *file; /* NULL: the repository as a whole */
    bool writing;
} mica__subject;

mica_status mica__hub_explain(const mica__net *net, const mica__subject *subject, const mica__reply *reply,
                              const mica__buf *text, mica_error *err);

#endif
