/* nn/attention.c: project, norm the heads, rotate, attend, project back. */
#include "attention.h"

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
