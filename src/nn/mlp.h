/* nn/mlp.h: the gated feed-forward half of a layer. */
#ifndef MICA_NN_MLP_H
#define MICA_NN_MLP_H

#include <mica/array.h>

typedef struct mica__mlp_weights {
    mica_array *gate, *up;                       /* [intermediate, hidden] */
    mica_array *down;                            /* [hidden, intermediate] */
    mica_array *gate_bias, *up_bias, *down_bias; /* NULL: none */
} mica__mlp_weights;

/* down(activation(gate(x)) * up(x)): x [T, hidden] -> f32 [T, hidden] */
mica_array *mica__mlp(mica_graph *g, mica_array *x, const mica__mlp_weights *w, mica_activation activation);

#endif
