/* text/tokenizer_parts.h: what a mica_tokenizer is made of. tokenizer_load.c builds it, tokenizer_config.c adds what
 * tokenizer_config.json says, tokenizer.c encodes, decode_stream.c decodes. */
#ifndef MICA_TEXT_TOKENIZER_PARTS_H
#define MICA_TEXT_TOKENIZER_PARTS_H

#include "text/added.h"
#include "text/decode.h"
#include "text/model.h"
#include "text/normalize.h"
#include "text/postprocess.h"
#include "text/split.h"

typedef struct mica__role {
    const char *name, *token; /* in the arena */
    size_t n;                 /* bytes of token */
} mica__role;

struct mica_tokenizer {
    mica__arena arena; /* strings of all parts */
    mica__normalizer normalizer;
    mica__added added;
    mica__splitter splitter;
    mica__model model;
    mica__postprocess post;
    mica__decoder decoder;
    mica__role *roles; /* in the arena */
    size_t n_roles;
    int32_t n_ids;
};

/* An AddedToken object; the content is borrowed from the document. */
mica_status mica__added_token_parse(const mica__at *at, mica__jval v, mica__added_token *out, mica_error *err);

/* Adds the tokens and roles of a tokenizer_config.json. */
mica_status mica__tokenizer_read_config(mica_tokenizer *t, mica__jval config, mica_error *err);

#endif
