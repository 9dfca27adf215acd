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

/* A string on its way through steps that rewrite it: `text` is what the last step left, in one of the buffers or outside. */
typedef struct mica__rewrite {
    mica__str text;
    mica__buf *target, *other; /* the next step writes to target */
    bool at_zero;              /* its first character comes from the start of the whole input */
} mica__rewrite;

typedef struct mica__work {
    mica__buf normalized[2], split[2];
    mica__pieces pieces[2];
    mica__matcher matcher;
} mica__work;

static inline void mica__work_release(mica__work *w)
{
    for (int i = 0; i < 2; i++) {
        mica__buf_release(&w->normalized[i]);
        mica__buf_release(&w->split[i]);
        mica__free(w->pieces[i].v);
    }
    mica__matcher_release(&w->matcher);
}

static inline mica__rewrite mica__rewrite_start(mica__str text, mica__buf buffers[2], bool at_zero)
{
    buffers[0].max = buffers[1].max = MICA__TEXT_MAX_BYTES;
    mica__buf_clear(&buffers[0]);
    return (mica__rewrite){text, &buffers[0], &buffers[1], at_zero};
}

/* The step wrote its result to r->target: that is the text now. */
static inline mica_status mica__rewrite_take(mica__rewrite *r, mica_error *err)
{
    MICA_TRY(mica__buf_status(r->target, err, "text on its way to tokens"));
    mica__buf *written = r->target;
    r->text = mica__buf_str(written);
    r->target = r->other;
    r->other = written;
    mica__buf_clear(r->target);
    return MICA_OK;
}

#endif
