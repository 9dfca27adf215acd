/* nn/attention.h: one layer's self-attention over a key-value cache, from normed hidden states to its contribution to the residual. */
#ifndef MICA_NN_ATTENTION_H
#define MICA_NN_ATTENTION_H

#include <mica/array.h>

typedef struct mica__attention_weights {
    mica_array *q, *k, *v, *o;                     /* [heads * head_dim, hidden], o the other way round */
    mica_array *q_bias, *k_bias, *v_bias, *o_bias; /* NULL: none */
    mica_array *q_norm, *k_norm;                   /* [head_dim]; NULL: none */
} mica__attention_weights;

typedef struct mica__attention_block {
    int n_heads, n_kv_heads, head_dim;
    float norm_eps, norm_offset; /* of q_norm, k_norm */
    mica_array *positions;       /* i32 [T] */
    mica_array *frequencies;     /* f32 [pairs]; NULL: no rope */
    float rope_scale;
    bool interleaved;
    mica_array *query_scale; /* f32 [T, 1, 1], multiplies the rotated queries; NULL: none */
    mica_attention_options attention;
    int cache_slot;
    mica_cache_options cache;
} mica__attention_block;

/* x: [T, hidden] -> f32 [T, hidden]. *queries (NULL: not wanted): [T, n_heads, head_dim], as they meet the keys. */
mica_array *mica__attention(mica_graph *g, mica_array *x, const mica__attention_weights *w,
                            const mica__attention_block *b, mica_array **queries);

/* The probabilities that attention weighs values with, by a plain softmax: queries [T, n_heads, d] at positions from n_past on, keys
 * [S, n_kv_heads, d] at positions from first_key on, the last of them n_past + T - 1 -> f32 [n_heads, T, S]. */
mica_array *mica__attention_probabilities(mica_graph *g, mica_array *queries, mica_array *keys, int64_t n_past,
                                          int64_t first_key, const mica_attention_options *options);

#endif
