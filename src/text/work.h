/* text/work.h: the scratch memory of one call of encode: nothing of it is in the tokenizer, which many threads share. */
#ifndef MICA_TEXT_WORK_H
#define MICA_TEXT_WORK_H

#include "base/memory.h"
#include "base/str.h"
#include "text/regex.h"

/* A piece of the text that is being split: bytes [start, start + n). Texts have at most 2^31 - 1 bytes. */
typedef struct mica__piece {
    uint32_t start, n;
} mica__piece;

typedef struct mica__pieces {
    mica__piece *v;
    size_t n, cap;
} mica__pieces;

enum { MICA__TEXT_MAX_BYTES = 0x7fffffff };

/* Where a byte of rewritten text comes from: characters [start, end) of the whole input. */
typedef struct mica__span {
    uint32_t start, end;
} mica__span;

/* What a step writes: text and, if somebody asks for them, the spans of its bytes. */
typedef struct mica__draft {
    mica__buf text;
    mica__span *spans;
    size_t n_spans, span_cap;
} mica__draft;

/* A string on its way through steps that rewrite it: `text` is what the last step left, in one of the drafts or outside. */
typedef struct mica__rewrite {
    mica__str text;
    const mica__span *spans;     /* [text.n]; NULL: nobody asks where bytes come from */
    mica__draft *target, *other; /* the next step writes to target */
    bool at_zero;                /* its first character comes from the start of the whole input */
} mica__rewrite;

/* How a step made its characters of the old ones, in order. Of each: above 0, it is new and stands where the old one before it does; else it
 * replaces the next old one, and -change more old ones vanish behind that. */
typedef struct mica__changes {
    int32_t *v;
    size_t n, cap;
    bool failed;
} mica__changes;

typedef struct mica__work {
    mica__span *input; /* [bytes of the whole input] */
    mica__draft normalized[2], split[2];
    mica__pieces pieces[2];
    mica__matcher matcher;
} mica__work;

void mica__work_release(mica__work *w);
/* Makes w->input: every byte of a character stands for that character. */
mica_status mica__work_trace(mica__work *w, mica__str input, mica_error *err);

/* spans NULL: none are kept. */
mica__rewrite mica__rewrite_start(mica__str text, const mica__span *spans, mica__draft drafts[2], bool at_zero);

/* What a step writes to r->target: bytes [start, end) of the text as they are; others in the place of the text's byte `source`. */
void mica__rewrite_keep(mica__rewrite *r, size_t start, size_t end);
void mica__rewrite_put(mica__rewrite *r, const char *p, size_t n, size_t source);
/* For a step that wrote to r->target->text itself. */
void mica__rewrite_trace(mica__rewrite *r, const mica__changes *changes);

/* The step wrote its result to r->target: that is the text now. */
mica_status mica__rewrite_take(mica__rewrite *r, mica_error *err);

/* NULL allowed: nothing is noted. Without memory `failed` is set. */
void mica__changes_add(mica__changes *c, int32_t change);

#endif
