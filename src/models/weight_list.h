/* models/weight_list.h: which tensors a description asks for, and where the checkpoint has them. */
#ifndef MICA_MODELS_WEIGHT_LIST_H
#define MICA_MODELS_WEIGHT_LIST_H

#include "weights.h"

typedef struct mica__wanted {
    char name[120]; /* below the body's prefix: "layers.0.mlp.up_proj.weight" */
    int ndim;
    int64_t shape[2];
    mica__weight *target;
    const mica__tensor_view *view, *scales, *biases; /* scales (and, if affine, biases): MLX-quantized */
    mica__quantization q;                            /* of the source; bits 0: not quantized */
    mica__quantization made;                         /* made from it while loading; bits 0: nothing */
    mica_dtype made_dtype; /* of the elements that is made from, and of its scales if affine */
} mica__wanted;

typedef struct mica__weight_list {
    mica__wanted *items;
    size_t n, cap;
    const char *prefix; /* what stands before "layers.N." in this checkpoint */
} mica__weight_list;

/* Lists the tensors of `s` with targets in w (whose layers are allocated), finds them, decides about the tied head, and checks the shapes. Extra
 * tensors make one notice. */
mica_status mica__weight_list_make(mica__weight_list *out, const mica__decoder_spec *s, mica__weights *w,
                                   const mica__checkpoint *checkpoint, const mica_notices *notices, mica_error *err);
/* Lists them by the description alone: no views. */
mica_status mica__weight_list_describe(mica__weight_list *out, const mica__decoder_spec *s, mica__weights *w,
                                       mica_error *err);
/* What mlx-lm has before "model." and "lm_head": the prefix of the wrappers that it reads, else "". Of other wrappers the text part is a model of its
 * own. */
const char *mica__mlx_prefix(const mica__config *c);
void mica__weight_list_release(mica__weight_list *list);

#endif
