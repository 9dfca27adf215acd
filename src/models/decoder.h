/* models/decoder.h: the shared decoder, compiled. */
#ifndef MICA_MODELS_DECODER_H
#define MICA_MODELS_DECODER_H

#include "weights.h"

/* Inputs of a decoder's program, by slot. Slots from MICA__IN_FREQUENCIES on are the inverse frequencies of those ropes that depend on the
 * length, in the order of the description. */
enum { MICA__IN_IDS, MICA__IN_POSITIONS, MICA__IN_LAST, MICA__IN_FREQUENCIES };

typedef struct mica__decoder_options {
    mica_device *device;
    mica_dtype cache_dtype;
    int max_rows;    /* of one run */
    bool all_logits; /* output [rows, vocab]; else [1, vocab], of the row that MICA__IN_LAST (i32 [1]) names */
    bool
        open; /* slot MICA__IN_IDS takes embeddings f32 [max_rows, hidden]; output 1 + i is what layer i leaves, f32 [rows, hidden],
                        the last one after the final norm */
    bool exact, int8;
} mica__decoder_options;

/* Output 0 is logits, f32. Cache slot i is layer i's. Input ids and positions are i32 [max_rows] with rows. */
mica_status mica__decoder_compile(mica_program **out, const mica__decoder_spec *s, const mica__weights *w,
                                  const mica__decoder_options *options, mica_error *err);

/* The embeddings of ids, as the decoder's first layer sees them: out [n, hidden]. */
mica_status mica__decoder_embed(const mica__decoder_spec *s, const mica__weights *w, mica_device *device,
                                const int32_t *ids, size_t n, float *out, mica_error *err);

/* Cache of one layer; capacity is left to the caller. */
mica_cache_options mica__decoder_cache(const mica__decoder_spec *s, mica_dtype dtype);

#endif
