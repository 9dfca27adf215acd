/* text/split_steps.h: what split_parse.c (reads pre-tokenizers) and split.c (runs them) share. */
#ifndef MICA_TEXT_SPLIT_STEPS_H
#define MICA_TEXT_SPLIT_STEPS_H

#include "text/split.h"

typedef enum mica__behavior {
    MICA__REMOVED,
    MICA__ISOLATED,
    MICA__MERGED_WITH_PREVIOUS,
    MICA__MERGED_WITH_NEXT,
    MICA__CONTIGUOUS,
} mica__behavior;

typedef enum mica__prepend { MICA__PREPEND_ALWAYS, MICA__PREPEND_FIRST, MICA__PREPEND_NEVER } mica__prepend;

typedef struct mica__split_step mica__split_step;
struct cutter;

/* A step either cuts pieces or rewrites the text under them. */
typedef struct mica__split_kind {
    mica_status (*cut)(const mica__split_step *s, struct cutter *c, mica__str text, mica__piece piece, mica__matcher *m,
                       mica_error *err);
    void (*write)(const mica__split_step *s, mica__rewrite *r, mica__piece piece, bool at_zero);
} mica__split_kind;

struct mica__split_step {
    const mica__split_kind *kind;
    mica__behavior behavior;
    bool invert;
    mica__pattern pattern;
    bool (*is_match)(uint32_t c); /* chars; NULL: c == character */
    uint32_t character;           /* chars, metaspace */
    size_t length;                /* fixed */
    mica__prepend prepend;        /* metaspace */
};

/* prepend_scheme of a Metaspace pre-tokenizer or decoder. */
mica_status mica__metaspace_scheme(const mica__at *at, mica__jval v, mica__prepend *out, mica_error *err);

extern const mica__split_kind mica__split_pattern, mica__split_chars, mica__split_words, mica__split_fixed,
    mica__split_scripts, mica__split_prefix_space, mica__split_byte_level, mica__split_metaspace;

#endif
