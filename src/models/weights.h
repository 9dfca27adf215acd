/* models/weights.h: the tensors of a checkpoint, put where a decoder description wants them.
 *
 * What can be used as it lies in the mapped file is used there: float matrices, and matrices in MLX's quantized layouts (weight, scales,
 * and biases where the mode has them). The rest is made once, tensor by tensor, in one block of memory: norms and biases as float32, GGUF block formats repacked into
 * affine groups. A file's pages are let go as soon as its tensor has been copied, so that the peak is one copy of the result and one
 * tensor. */
#ifndef MICA_MODELS_WEIGHTS_H
#define MICA_MODELS_WEIGHTS_H

#include "decoder_spec.h"
#include "formats/checkpoint.h"
#include "formats/quantize.h"

typedef struct mica__weight {
    int ndim; /* 0: absent */
    int64_t shape[2];
    mica_dtype dtype;     /* of the elements; of the scales if affine */
    mica__quantization q; /* bits 0: plain */
    const void *data;     /* elements, or codes */
    const void *scales, *biases;
} mica__weight;

typedef enum mica__layer_weight {
    MICA__LAYER_NORM_BEFORE_ATTENTION,
    MICA__LAYER_NORM_AFTER_ATTENTION,
    MICA__LAYER_NORM_BEFORE_MLP,
    MICA__LAYER_NORM_AFTER_MLP,
    MICA__LAYER_Q_NORM,
    MICA__LAYER_K_NORM,
    MICA__LAYER_Q,
    MICA__LAYER_K,
    MICA__LAYER_V,
    MICA__LAYER_O,
    MICA__LAYER_Q_BIAS,
    MICA__LAYER_K_BIAS,
    MICA__LAYER_V_BIAS,
    MICA__LAYER_O_BIAS,
    MICA__LAYER_GATE,
    MICA__LAYER_UP,
    MICA__LAYER_DOWN,
    MICA__LAYER_GATE_BIAS,
    MICA__LAYER_UP_BIAS,
    MICA__LAYER_DOWN_BIAS,
    MICA__LAYER_N_WEIGHTS
} mica__layer_weight;

typedef struct mica__weights {
    mica__weight embedding;  /* [vocab, hidden] */
    mica__weight final_norm; /* [hidden] */
    mica__weight head;       /* [vocab, hidden]; the embedding again if tied */
    bool tied;
    mica__weight (*layers)[MICA__LAYER_N_WEIGHTS]; /* [n_layers] */
    void *pool;
    size_t pool_bytes;
    /* Figures. */
    uint64_t n_parameters, held_bytes, file_bytes, read_bytes;
    char types[128]; /* "bfloat16", "affine 4-bit group 32 + affine 8-bit group 32" */
} mica__weights;

/* Finds, checks and (unless list_only) loads all tensors that `s` asks for. DATA with the first ten of the missing or misshapen ones; MEMORY if
 * they cannot fit this machine. The checkpoint must outlive the weights. quantize: what becomes of matrices on the way; NULL: nothing. */
struct mica__quantize_load;
mica_status mica__weights_load(mica__weights *out, const mica__decoder_spec *s, const mica__checkpoint *checkpoint,
                               bool list_only, struct mica__quantize_load *quantize, const mica_progress *progress,
                               const mica_notices *notices, mica_error *err);
void mica__weights_release(mica__weights *w); /* {0} allowed */

/* The weight as a constant of a graph; NULL if it is absent. */
mica_array *mica__weight_array(mica_graph *g, const mica__weight *w);

#endif
