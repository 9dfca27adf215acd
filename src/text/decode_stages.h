/* text/decode_stages.h: what decode_parse.c (reads decoders) and decode.c (runs them) share. */
#ifndef MICA_TEXT_DECODE_STAGES_H
#define MICA_TEXT_DECODE_STAGES_H

#include "text/decode.h"

typedef struct mica__decode_stage mica__decode_stage;
typedef struct mica__decode_state mica__decode_state;

typedef struct mica__stage_kind {
    /* A part of a token; `last`: it ends here. */
    void (*feed)(mica__decoding *d, size_t stage, mica__str part, bool last);
    /* No more tokens: pass on what is held back. The next stage is finished afterwards by the caller. NULL: nothing is. */
    void (*finish)(mica__decoding *d, size_t stage);
    bool whole_tokens; /* feed wants whole tokens: parts are collected before */
} mica__stage_kind;

struct mica__decode_stage {
    const mica__stage_kind *kind;
    mica__pattern pattern; /* Replace */
    mica__str text, text2; /* replacement; prefix, suffix; pad and delimiter */
    uint32_t character;    /* Strip, Metaspace */
    size_t start, stop;    /* Strip */
    bool flag;             /* cleanup; Metaspace: drop the marks of the first token */
};

struct mica__decode_state {
    mica__buf parts;   /* of a token that is not complete */
    mica__buf held;    /* the stage's own */
    mica__buf scratch; /* built and passed on at once */
    bool started;      /* a token has come */
    bool holding;      /* held is a token */
    bool inside;       /* Strip: the token has a character that stays */
    size_t stripped, trailing;
};

extern const mica__stage_kind mica__stage_join, mica__stage_byte_level, mica__stage_fuse, mica__stage_replace,
    mica__stage_replace_regex, mica__stage_byte_fallback, mica__stage_strip, mica__stage_metaspace,
    mica__stage_wordpiece, mica__stage_bpe, mica__stage_ctc;

#endif
