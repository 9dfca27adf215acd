/* text/decode.h: the `decoder` of tokenizer.json: tokens back to text.
 *
 * A decoder is a row of stages. Each stage gets tokens, possibly in parts, and passes tokens or parts on as soon as nothing
 * that may still come can change them; so one implementation serves whole texts and streams, and both agree by construction.
 *
 *     mica__decoding d;
 *     MICA_TRY(mica__decoding_init(&d, decoder, err));
 *     mica__decoding_push(&d, token, &out);      // appends to out what is certain now
 *     mica__decoding_finish(&d, &out);           // the rest; d is as new
 *     mica__decoding_release(&d); */
#ifndef MICA_TEXT_DECODE_H
#define MICA_TEXT_DECODE_H

#include "text/field.h"
#include "text/pattern.h"

typedef struct mica__decoder {
    struct mica__decode_stage *stages;
    size_t n, cap;
} mica__decoder;

/* v NULL or null: tokens are joined by spaces. */
mica_status mica__decoder_parse(mica__decoder *out, mica__arena *arena, const mica__at *at, mica__jval v,
                                mica_error *err);
void mica__decoder_release(mica__decoder *d);

typedef struct mica__decoding {
    const mica__decoder *decoder;
    struct mica__decode_state *states; /* [decoder->n] */
    mica__matcher matcher;
    mica__buf *out;
    mica_status status; /* latched, with the message in *err */
    mica_error *err;
} mica__decoding;

mica_status mica__decoding_init(mica__decoding *d, const mica__decoder *decoder, mica_error *err);
mica_status mica__decoding_push(mica__decoding *d, mica__str token, mica__buf *out, mica_error *err);
mica_status mica__decoding_finish(mica__decoding *d, mica__buf *out, mica_error *err);
void mica__decoding_release(mica__decoding *d);

#endif
