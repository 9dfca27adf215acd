/* models/gemma.h: what the Gemma generations share. */
#ifndef MICA_MODELS_GEMMA_H
#define MICA_MODELS_GEMMA_H

#include "registry.h"

/* Common fields, scaled embeddings, norms around one, optional attention biases. */
void mica__gemma_common(mica__decoder_spec *s, mica__config *c, const mica__decoder_defaults *d);
/* Gemma 2 and later: a norm before and after each half. */
void mica__gemma_four_norms(mica__decoder_spec *s);

#endif
