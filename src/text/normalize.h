/* text/normalize.h: the `normalizer` of tokenizer.json, a flat list of steps (Sequences are unfolded). */
#ifndef MICA_TEXT_NORMALIZE_H
#define MICA_TEXT_NORMALIZE_H

#include "text/field.h"
#include "text/work.h"

typedef struct mica__normalizer {
    struct mica__normal_step *steps;
    size_t n, cap;
} mica__normalizer;

/* v NULL or null: no steps. Strings are copied to the arena. On failure what was made is left for _release. */
mica_status mica__normalizer_parse(mica__normalizer *out, mica__arena *arena, const mica__at *at, mica__jval v,
                                   mica_error *err);
void mica__normalizer_release(mica__normalizer *n);

/* Applies all steps to r->text. */
mica_status mica__normalizer_run(const mica__normalizer *n, mica__rewrite *r, mica__matcher *m, mica_error *err);

#endif
