/* text/split.h: the `pre_tokenizer` of tokenizer.json: cuts text into the pieces that the model sees one at a time.
 *
 * A flat list of steps (Sequences are unfolded). A step cuts every piece, or rewrites the text under the pieces, or both. A
 * last step that only writes bytes in the byte alphabet is left to the model (byte_level), which works on bytes. */
#ifndef MICA_TEXT_SPLIT_H
#define MICA_TEXT_SPLIT_H

#include "text/field.h"
#include "text/pattern.h"
#include "text/work.h"

typedef struct mica__splitter {
    struct mica__split_step *steps;
    size_t n, cap;
    bool byte_level; /* the pieces are raw bytes that stand for their byte alphabet form */
} mica__splitter;

mica_status mica__splitter_parse(mica__splitter *out, mica__arena *arena, const mica__at *at, mica__jval v,
                                 mica_error *err);
void mica__splitter_release(mica__splitter *s);

/* Cuts `text` (not empty). *result (its text and spans) and *pieces live in the work memory, or are those of `text`, until the next call. */
mica_status mica__splitter_run(const mica__splitter *s, mica__work *w, const mica__rewrite *text, mica__rewrite *result,
                               const mica__pieces **pieces, mica_error *err);

#endif
