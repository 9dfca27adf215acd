/* array/transformer.c: builders of the fused operations of transformer blocks. */
#include "build.h"

/* A vector of the length of x's last axis, in f32; NULL stays NULL. */
static bool check_vector(mica_graph *g, const char *what, const mica_array *x, mica_array **v)
{
    if (!*v) return true;
    if (!mica__plain(g, what, v, 1)) return false;
    if (!mica__shape_is(*v, &x->shape[x->ndim - 1], 1)) {
        mica__latch(g, MICA_INVALID, "%s: weight %s for x %s", what, MICA_SHAPE(*v), MICA_SHAPE(x));
        return false;
    }
    *v = mica__cast(g, *v, MICA_DTYPE_F32);
    return *v != NULL;
}

/* An operation on the matrix of x's last axis, given x's shape again. */
static mica_array *on_rows(mica_graph *g, mica__op op, mica_array *x, mica_array **in, int n_in, double value,
                           double value2)
{
    in[0] = mica__as_matrix(g, mica__cast(g, x, MICA_DTYPE_F32));
    if (!in[0]) return NULL;
    mica_array *a = mica__operation(g, op, MICA_DTYPE_F32, in[0]->shape, 2, in, n_in, in[0]);
    if (!a) return NULL;
    a->attrs.value = value;
    a->attrs.value2 = value2;
    return x->ndim == 2 ? a : mica_reshape(g, a, x->shape, x->ndim);
}

mica_array *mica_rms_norm(mica_graph *g, mica_array *x, mica_array *weight, float eps, float weight_offset)
{
    if (!mica__plain(g, "rms_norm", &x, 1)) return NULL;
    if (x->ndim < 1) return mica__latch(g, MICA_INVALID, "rms_norm: of a scalar");
    if (!check_vector(g, "rms_norm", x, &weight)) return NULL;
    mica_array *in[] = {x, weight};
    return on_rows(g, MICA__OP_RMS_NORM, x, in, weight ? 2 : 1, (double)eps, (double)weight_offset);
}

mica_array *mica_layer_norm(mica_graph *g, mica_array *x, mica_array *weight, mica_array *bias, float eps)
{
    if (!mica__plain(g, "layer_norm", &x, 1)) return NULL;
    if (x->ndim < 1) return mica__latch(g, MICA_INVALID, "layer_norm: of a scalar");
    if (!check_vector(g, "layer_norm", x, &weight) || !check_vector(g, "layer_norm", x, &bias)) return NULL;
    mica_array *in[3] = {x};
    int n_in = 1;
    if (weight) in[n_in++] = weight;
    if (bias) in[n_in++] = bias;
    mica_array *a = on_rows(g, MICA__OP_LAYER_NORM, x, in, n_in, (double)eps, 0);
    if (a) mica__root(a)->attrs.axis = (weight ? 1 : 0) | (bias ? 2 : 0); /* which of the two are there */
    return a;
}

mica_array *mica_rope(mica_graph *g, mica_array *x, mica_array *positions, mica_array *inverse_frequencies, float scale,
                      bool interleaved)
{
    mica_array *in[] = {x, positions, inverse_frequencies};
    if (!mica__plain(g, "rope", in, 3)) return NULL;
    bool fits = x->ndim == 3 && mica__shape_is(positions, &x->shape[0], 1) && inverse_frequencies->ndim == 1 &&
                2 * inverse_frequencies->shape[0] <= x->shape[2] && positions->dtype == MICA_DTYPE_I32 &&
                positions->rows_factor == x->rows_factor && !inverse_frequencies->rows_factor;
    if (!fits)
        return mica__latch(g, MICA_INVALID, "rope: x %s, positions %s, frequencies %s", MICA_SHAPE(x),
                           MICA_SHAPE(positions), MICA_SHAPE(inverse_frequencies));
    in[0] = mica__cast(g, x, MICA_DTYPE_F32);
    in[2] = mica__cast(g, inverse_frequencies, MICA_DTYPE_F32);
    mica_array *a = mica__operation(g, MICA__OP_ROPE, MICA_DTYPE_F32, x->shape, 3, in, 3, x);
    if (!a) return NULL;
    a->attrs.value = (double)scale;
    a->attrs.flag = interleaved;
    return a;
}

/* ---- attention ---- */

static mica_attention_options with_scale(const mica_attention_options *options, int64_t head_dim)
{
    mica_attention_options o = options ? *options : (mica_attention_options){0};
    if (o.scale == 0) o.scale = (float)(1.0 / __builtin_sqrt((double)head_dim));
    return o;
}

/* Shapes of q [T, h, d], k [S, hk, d], v [S, hk, dv], sinks [h]; all made f32. */
static bool check_attention(mica_graph *g, const char *what, mica_array **in, int n_in)
{
    if (!mica__plain(g, what, in, n_in)) return false;
    const mica_array *q = in[0], *k = in[1], *v = in[2];
    bool fits = q->ndim == 3 && k->ndim == 3 && v->ndim == 3 && k->shape[0] == v->shape[0] &&
                k->shape[1] == v->shape[1] && q->shape[2] == k->shape[2] && k->shape[1] > 0 &&
                q->shape[1] % k->shape[1] == 0 && (n_in < 4 || mica__shape_is(in[3], &q->shape[1], 1));
    if (!fits) {
        mica__latch(g, MICA_INVALID, "%s: q %s, k %s, v %s do not fit", what, MICA_SHAPE(q), MICA_SHAPE(k),
                    MICA_SHAPE(v));
        return false;
    }
    for (int i = 0; i < n_in; i++)
        if (!(in[i] = mica__cast(g, in[i], MICA_DTYPE_F32))) return false;
    return true;
}

mica_array *mica_attention(mica_graph *g, mica_array *q, mica_array *k, mica_array *v, mica_array *sinks,
                           const mica_attention_options *options)
{
    mica_array *in[] = {q, k, v, sinks};
    int n_in = sinks ? 4 : 3;
    if (!check_attention(g, "attention", in, n_in)) return NULL;
    if (q->shape[0] > k->shape[0] || q->rows_factor || k->rows_factor || v->rows_factor)
        return mica__latch(g, MICA_INVALID, "attention: %s queries of %s positions", MICA_SHAPE(q), MICA_SHAPE(k));
    int64_t shape[] = {q->shape[0], q->shape[1], v->shape[2]};
    mica_array *a = mica__operation(g, MICA__OP_ATTENTION, MICA_DTYPE_F32, shape, 3, in, n_in, NULL);
    if (a) a->attrs.attention = with_scale(options, q->shape[2]);
    return a;
}

mica_array *mica_cached_attention(mica_graph *g, int cache_slot, const mica_cache_options *cache, mica_array *q,
                                  mica_array *k, mica_array *v, mica_array *sinks,
                                  const mica_attention_options *options)
{
    mica_array *in[] = {q, k, v, sinks};
    int n_in = sinks ? 4 : 3;
    if (!check_attention(g, "cached_attention", in, n_in)) return NULL;
    bool fits = q->shape[0] == k->shape[0] && q->rows_factor == k->rows_factor && q->rows_factor == v->rows_factor &&
                k->shape[1] == cache->n_kv_heads && k->shape[2] == cache->head_dim && v->shape[2] == cache->value_dim;
    if (!fits || cache_slot < 0 || cache_slot > 65535)
        return mica__latch(g, MICA_INVALID, "cached_attention: k %s, v %s do not fit cache %d of %d heads of %d and %d",
                           MICA_SHAPE(k), MICA_SHAPE(v), cache_slot, cache->n_kv_heads, cache->head_dim,
                           cache->value_dim);
    if (options && options->bidirectional) return mica__latch(g, MICA_INVALID, "cached_attention: must be causal");
    int64_t shape[] = {q->shape[0], q->shape[1], v->shape[2]};
    mica_array *a = mica__operation(g, MICA__OP_CACHED_ATTENTION, MICA_DTYPE_F32, shape, 3, in, n_in, q);
    if (!a) return NULL;
    a->attrs.attention = with_scale(options, q->shape[2]);
    a->attrs.cache_slot = cache_slot;
    a->attrs.cache = *cache;
    return a;
}
