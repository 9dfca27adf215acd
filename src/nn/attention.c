/* nn/attention.c: project, norm the heads, rotate, attend, project back. */
#include "attention.h"

#include "array/array.h"
#include "base/memory.h"
#include <math.h>

/* x [T, hidden] -> [T, n, head_dim] */
static mica_array *heads(mica_graph *g, mica_array *x, mica_array *w, mica_array *bias, int n, int head_dim)
{
    return mica_reshape(g, mica_linear(g, x, w, bias), (int64_t[]){-1, n, head_dim}, 3);
}

static mica_array *place(mica_graph *g, mica_array *h, mica_array *norm, const mica__attention_block *b)
{
    if (norm) h = mica_rms_norm(g, h, norm, b->norm_eps, b->norm_offset);
    if (b->frequencies) h = mica_rope(g, h, b->positions, b->frequencies, b->rope_scale, b->interleaved);
    return h;
}

mica_array *mica__attention(mica_graph *g, mica_array *x, const mica__attention_weights *w,
                            const mica__attention_block *b, mica_array **queries)
{
    mica_array *q = place(g, heads(g, x, w->q, w->q_bias, b->n_heads, b->head_dim), w->q_norm, b);
    mica_array *k = place(g, heads(g, x, w->k, w->k_bias, b->n_kv_heads, b->head_dim), w->k_norm, b);
    mica_array *v = heads(g, x, w->v, w->v_bias, b->n_kv_heads, b->head_dim);
    if (b->query_scale) q = mica_multiply(g, q, b->query_scale);
    if (queries) *queries = q;
    mica_array *a = mica_cached_attention(g, b->cache_slot, &b->cache, q, k, v, NULL, &b->attention);
    a = mica_reshape(g, a, (int64_t[]){-1, (int64_t)b->n_heads * b->head_dim}, 2);
    return mica_linear(g, a, w->o, w->o_bias);
}

/* f32 [T, S]: 0 where a query sees a key, else -inf. */
static mica_array *make_mask(mica_graph *g, int64_t n_queries, int64_t n_keys, int64_t n_past, int64_t first_key,
                             const mica_attention_options *options)
{
    float *mask = mica__alloc((size_t)n_queries, (size_t)n_keys * sizeof *mask);
    if (!mask) return mica__latch(g, MICA_MEMORY, "out of memory for the mask of %lld keys", (long long)n_keys);
    for (int64_t t = 0; t < n_queries; t++) {
        int64_t first, end;
        mica__attention_span(options, n_past + t, n_past + n_queries, &first, &end);
        for (int64_t k = 0; k < n_keys; k++)
            mask[t * n_keys + k] = first_key + k >= first && first_key + k < end ? 0 : -INFINITY;
    }
    mica_array *a = mica_from_data(g, mask, MICA_DTYPE_F32, (int64_t[]){n_queries, n_keys}, 2);
    mica__free(mask);
    return a;
}

mica_array *mica__attention_probabilities(mica_graph *g, mica_array *queries, mica_array *keys, int64_t n_past,
                                          int64_t first_key, const mica_attention_options *options)
{
    const int64_t *q = mica_array_shape(queries), *k = mica_array_shape(keys);
    const int64_t n = q[0], heads = q[1], dim = q[2], n_keys = k[0], kv_heads = k[1];
    const float scale = options->scale == 0 ? 1 / sqrtf((float)dim) : options->scale;
    mica_array *a = mica_reshape(g, queries, (int64_t[]){n, kv_heads, heads / kv_heads, dim}, 4);
    a = mica_transpose(g, a, (int[]){1, 2, 0, 3});
    mica_array *b = mica_reshape(g, keys, (int64_t[]){n_keys, kv_heads, 1, dim}, 4);
    a = mica_matmul(g, a, mica_transpose(g, b, (int[]){1, 2, 3, 0}));
    a = mica_multiply(g, a, mica_scalar(g, scale));
    if (options->softcap > 0) a = mica_softcap(g, a, options->softcap);
    a = mica_add(g, a, make_mask(g, n, n_keys, n_past, first_key, options));
    return mica_reshape(g, mica_softmax(g, a, -1), (int64_t[]){heads, n, n_keys}, 3);
}
