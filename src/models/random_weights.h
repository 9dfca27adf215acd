/* models/random_weights.h: weights that are random numbers, to measure speeds without a checkpoint. */
#ifndef MICA_MODELS_RANDOM_WEIGHTS_H
#define MICA_MODELS_RANDOM_WEIGHTS_H

#include "weights.h"

/* All tensors that `s` asks for. type: "float32", "float16", "bfloat16" or "affine-BITS-GROUP"; a matrix whose rows are not whole groups
 * is bfloat16. INVALID for another type; MEMORY if they cannot fit this machine. */
mica_status mica__weights_random(mica__weights *out, const mica__decoder_spec *s, const char *type, mica_error *err);

#endif
