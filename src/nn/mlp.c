/* nn/mlp.c: three matrices and a gate. */
#include "mlp.h"

mica_array *mica__mlp(mica_graph *g, mica_array *x, const mica__mlp_weights *w, mica_activation activation)
{
    mica_array *gate = mica_linear(g, x, w->gate, w->gate_bias);
    mica_array *up = mica_linear(g, x, w->up, w->up_bias);
    return mica_linear(g, mica_gated(g, gate, up, activation), w->down, w->down_bias);
}
