/* text/added.h: added tokens: texts that are found in the input before the model sees it.
 *
 * Two sets are matched, leftmost and longest: tokens that want the raw text, and tokens that want the normalized text (their
 * own content normalized, too). A set is its patterns in byte order; matching narrows a range of them byte by byte, behind a
 * filter on the first byte. */
#ifndef MICA_TEXT_ADDED_H
#define MICA_TEXT_ADDED_H

#include "base/memory.h"
#include "base/str.h"
#include "text/vocab.h"

typedef struct mica__added_token {
    mica__str content; /* in the arena */
    mica__str shown;   /* what decoding prints: the content, or its normalized form */
    int32_t id;
    bool single_word, lstrip, rstrip, normalized, special;
    bool skipped; /* left out of texts without special tokens: `shown` is the content of a special token */
} mica__added_token;

typedef struct mica__added_set {
    struct mica__added_pattern *patterns; /* sorted by text */
    size_t n;
    bool first[256]; /* bytes that a pattern starts with */
} mica__added_set;

typedef struct mica__added {
    mica__added_token *tokens;
    size_t n, cap;
    mica__map by_content; /* content -> index in tokens */
    mica__map by_id;      /* 4 bytes of the id -> index */
    mica__added_set raw, normalized;
    int32_t n_ids; /* one more than the highest id */
    bool any_special;
} mica__added;

/* Adds or changes a token as the reference library does: a content that the vocabulary or an earlier token has keeps that id,
 * another gets the next free one. */
mica_status mica__added_add(mica__added *a, mica__arena *arena, const mica__vocab *vocab,
                            const mica__added_token *token, mica_error *err);
/* Builds the two sets once all tokens are there; `normalize` gives the normalized form of a content in fresh arena memory. */
typedef mica_status (*mica__normalize_fn)(void *context, mica__str in, mica__str *out, mica_error *err);
mica_status mica__added_finish(mica__added *a, mica__normalize_fn normalize, void *context, mica_error *err);
void mica__added_release(mica__added *a);

const mica__added_token *mica__added_by_content(const mica__added *a, mica__str content); /* NULL if there is none */
const mica__added_token *mica__added_by_id(const mica__added *a, int32_t id);

/* The next match in text[*from ..): sets *start and *end to the span that the token takes (white space that it strips
 * included) and returns it, NULL at the end. `taken` is where the last match ended; the caller starts with *from = taken = 0
 * and passes *from on. */
const mica__added_token *mica__added_next(const mica__added *a, const mica__added_set *set, mica__str text,
                                          bool split_special, size_t *from, size_t taken, size_t *start, size_t *end);

#endif
