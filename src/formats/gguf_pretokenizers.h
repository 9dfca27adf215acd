/* formats/gguf_pretokenizers.h: the recipes behind the names of tokenizer.ggml.pre. */
#ifndef MICA_FORMATS_GGUF_PRETOKENIZERS_H
#define MICA_FORMATS_GGUF_PRETOKENIZERS_H

#include "../base/str.h"

enum {
    MICA__PRE_IGNORE_MERGES = 1, /* a piece that is a token is that token, whatever the merges say */
    MICA__PRE_BOS = 2,           /* a beginning-of-text token goes first unless the file says otherwise */
    MICA__PRE_SEPARATOR = 4,     /* a separator token goes last unless the file says otherwise */
    MICA__PRE_RAW = 8,           /* no byte alphabet: spaces become U+2581, bytes without a token <0xHH> */
    MICA__PRE_SPACES_KEPT = 16,  /* raw, but spaces stay */
    MICA__PRE_COMPOSED = 32,     /* text is brought to normal form C, which GGUF does not say */
};

typedef struct mica__pretokenizer {
    const char *names; /* separated by spaces */
    unsigned flags;
    const char *splits[8]; /* NULL-terminated */
} mica__pretokenizer;

/* NULL for a name that is not known. */
const mica__pretokenizer *mica__pretokenizer_find(mica__str name);

#endif
