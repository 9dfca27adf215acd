/* nn/kv_cache.c: one cache per layer and what the rings still hold. */
#include "kv_cache.h"

#include "base/memory.h"
#include <string.h>

int64_t mica__kv_capacity(int64_t window, int64_t context, int64_t max_rows)
{
    if (window <= 0 || window + max_rows - 1 > context) return context;
    return window + max_rows - 1;
}

mica_status mica__kv_cache_create(mica__kv_cache *out, const mica_cache_options *options, const int64_t *windows,
                                  int n_layers, mica_error *err)
{
    *out = (mica__kv_cache){.n_layers = n_layers};
    out->layers = mica__calloc((size_t)n_layers, sizeof *out->layers);
    out->windows = mica__alloc((size_t)n_layers, sizeof *out->windows);
    if (!out->layers || !out->windows) {
        mica__kv_cache_release(out);
        return mica__fail_memory(err, (size_t)n_layers * 16, "list of caches");
    }
    memcpy(out->windows, windows, (size_t)n_layers * sizeof *windows);
    for (int i = 0; i < n_layers; i++) {
        mica_status status = mica_cache_create(&out->layers[i], &options[i], err);
        if (!status) continue;
        mica__kv_cache_release(out);
        return status;
    }
    return MICA_OK;
}

void mica__kv_cache_release(mica__kv_cache *c)
{
    for (int i = 0; c->layers && i < c->n_layers; i++) mica_cache_free(c->layers[i]);
    mica__free(c->layers);
    mica__free(c->windows);
    *c = (mica__kv_cache){0};
}

void mica__kv_cache_grew(mica__kv_cache *c, int64_t length)
{
    if (length > c->longest) c->longest = length;
}

bool mica__kv_cache_can_cut(const mica__kv_cache *c, int64_t n)
{
    for (int i = 0; i < c->n_layers; i++) {
        if (c->windows[i] == 0) continue;
        int64_t first_kept = c->longest - mica_cache_get_options(c->layers[i])->capacity;
        int64_t first_seen = n - c->windows[i] + 1;
        if (first_kept > 0 && (first_seen > 0 ? first_seen : 0) < first_kept) return false;
    }
    return true;
}

void mica__kv_cache_reset(mica__kv_cache *c) { c->longest = 0; }

mica_status mica__kv_cache_copy(mica__kv_cache *to, const mica__kv_cache *from, int64_t same, int64_t length,
                                mica_error *err)
{
    for (int i = 0; i < from->n_layers; i++) {
        /* A ring that went further than the other has lost what the other keeps. */
        int64_t kept = from->longest - mica_cache_get_options(from->layers[i])->capacity;
        bool lost = from->windows[i] && to->longest > from->longest;
        int64_t first = lost ? 0 : same;
        if (first < kept) first = kept;
        if (first < length) MICA_TRY(mica_cache_copy(to->layers[i], from->layers[i], first, length, err));
    }
    to->longest = from->longest;
    return MICA_OK;
}

int64_t mica__kv_cache_bytes(const mica__kv_cache *c)
{
    int64_t bytes = 0;
    for (int i = 0; i < c->n_layers; i++) bytes += mica_cache_bytes(c->layers[i]);
    return bytes;
}
