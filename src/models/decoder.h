/* models/decoder.h: the shared decoder, compiled. */
#ifndef MICA_MODELS_DECODER_H
#define MICA_MODELS_DECODER_H

#include "weights.h"

/* What a program holds of the decoder, its first input and its outputs. A run has at most max_rows rows. */
typedef enum mica__decoder_part {
    MICA__DECODER_LAST, /* ids i32 [rows] -> logits f32 [1, vocab] of the row that MICA__IN_LAST (i32 [1]) names */
    MICA__DECODER_ALL,  /* ids i32 [rows] -> logits f32 [rows, vocab] */
    /* Embeddings f32 [rows, hidden] -> what comes out of the final norm, f32 [rows, hidden]. */
    MICA__DECODER_BODY,
    /* As BODY, and for a look inside: outputs 1 + i, what layer i leaves, f32 [rows, hidden] (not of the last layer, whose is output 0), and
     * from n_layers on, layer by layer, the queries that meet the keys of the cache, f32 [rows, n_heads, head_dim]. */
    MICA__DECODER_OPEN,
    MICA__DECODER_HEAD, /* output 0 of BODY -> logits f32 [rows, vocab]; no other inputs */
    MICA__DECODER_PARTS
} mica__decoder_part;

/* Inputs of a decoder's program, by slot; MICA__IN_ROWS are ids or embeddings. Slots from MICA__IN_FREQUENCIES on are the inverse
 * frequencies of those ropes that depend on the length, in the order of the description. */
enum { MICA__IN_ROWS, MICA__IN_POSITIONS, MICA__IN_LAST, MICA__IN_FREQUENCIES };

typedef struct mica__decoder_options {
    mica_device *device;
    mica_dtype cache_dtype;
    mica__decoder_part part;
    int max_rows; /* of one run */
    bool exact, int8;
} mica__decoder_options;

/* Cache slot i is layer i's. */
mica_status mica__decoder_compile(mica_program **out, const mica__decoder_spec *s, const mica__weights *w,
                                  const mica__decoder_options *options, mica_error *err);

/* The embeddings of ids, as the decoder's first layer sees them: out [n, hidden]. */
mica_status mica__decoder_embed(const mica__decoder_spec *s, const mica__weights *w, mica_device *device,
                                const int32_t *ids, size_t n, float *out, mica_error *err);

/* What a layer's attention is like. */
mica_attention_options mica__decoder_attention(const mica__decoder_spec *s, int layer);

/* Cache of one layer; capacity is left to the caller. */
mica_cache_options mica__decoder_cache(const mica__decoder_spec *s, mica_dtype dtype);

#endif
