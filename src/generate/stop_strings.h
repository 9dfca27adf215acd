/* generate/stop_strings.h: texts that end a generation, found across token boundaries.
 *
 * All tokens, special ones too, are decoded as a stream; a stop string counts when it ends inside the text that the newest token
 * completed, wherever it began, be it in the prompt. */
#ifndef MICA_GENERATE_STOP_STRINGS_H
#define MICA_GENERATE_STOP_STRINGS_H

#include "base/str.h"
#include <mica/tokenizer.h>
#include <stdbool.h>

typedef struct mica__stop_strings {
    const mica__str *strings; /* [n], borrowed */
    size_t n, longest;
    mica_decode_stream *stream;
    mica__buf tail; /* the last `longest` bytes of text, and what came after them */
} mica__stop_strings;

/* n 0: nothing ever matches, the tokenizer may be NULL. ids: the prompt. */
mica_status mica__stop_strings_create(mica__stop_strings *out, const mica__str *strings, size_t n,
                                      const mica_tokenizer *tokenizer, const int32_t *ids, size_t n_ids,
                                      mica_error *err);
void mica__stop_strings_release(mica__stop_strings *s); /* {0} allowed */
/* Takes the next token; *stop is set to true if a stop string ended with it. */
mica_status mica__stop_strings_push(mica__stop_strings *s, int32_t id, bool *stop, mica_error *err);

#endif
