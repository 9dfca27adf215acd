/* generate/attentions.c: see the header. */
#include "attentions.h"

#include "base/memory.h"
#include "nn/attention.h"

/* Keys of positions [first, end), [end - first, n_kv_heads, head_dim]. */
static float *read_keys(const mica_cache *cache, int64_t first, int64_t end)
{
    const mica_cache_options *o = mica_cache_get_options(cache);
    const int64_t row = (int64_t)o->n_kv_heads * o->head_dim;
    float *keys = mica__alloc((size_t)(end - first), (size_t)row * sizeof *keys);
    for (int64_t p = first; keys && p < end; p++) {
        for (int head = 0; head < o->n_kv_heads; head++) {
            float *to = keys + (p - first) * row + (int64_t)head * o->head_dim;
            if (mica_cache_get_row(cache, false, head, p % o->capacity, to)) continue;
            mica__free(keys);
            return NULL;
        }
    }
    return keys;
}

static void place(const mica__attention_rows *out, const float *weights, size_t n_heads, size_t n, size_t first_key,
                  size_t n_keys)
{
    for (size_t head = 0; head < n_heads; head++) {
        for (size_t i = 0; i < n; i++) {
            float *to = out->data + (head * out->n_rows + out->first_row + i) * out->length;
            memset(to, 0, out->length * sizeof *to);
            memcpy(to + first_key, weights + (head * n + i) * n_keys, n_keys * sizeof *to);
        }
    }
}

mica_status mica__attentions(const mica_session *s, int layer, const float *queries, int64_t n_past, size_t n,
                             const mica__attention_rows *out, mica_error *err)
{
    const mica__decoder_spec *spec = &s->model->spec;
    const mica_attention_options options = mica__decoder_attention(spec, layer);
    const int64_t end = n_past + (int64_t)n, window = options.window;
    const int64_t first = window > 0 && n_past >= window ? n_past - window + 1 : 0;
    const int64_t q_shape[] = {(int64_t)n, spec->n_heads, spec->head_dim};
    const int64_t k_shape[] = {end - first, spec->n_kv_heads, spec->head_dim};
    mica_graph *g = NULL;
    float *keys = read_keys(s->cache.layers[layer], first, end);
    if (!keys) return mica__fail_memory(err, (size_t)(end - first) * sizeof *keys, "keys");
    mica_status status = mica_graph_create(&g, s->model->device, err);
    if (!status) {
        mica_array *q = mica_from_data(g, queries, MICA_DTYPE_F32, q_shape, 3);
        mica_array *k = mica_from_data(g, keys, MICA_DTYPE_F32, k_shape, 3);
        status = q && k ? MICA_OK : mica_graph_status(g, err);
        mica_array *weights = status ? NULL : mica__attention_probabilities(g, q, k, n_past, first, &options);
        if (!status) status = mica_eval(g, &weights, 1, err);
        if (!status)
            place(out, mica_array_data(weights), (size_t)spec->n_heads, n, (size_t)first, (size_t)(end - first));
        mica_graph_free(g);
    }
    mica__free(keys);
    return status;
}
