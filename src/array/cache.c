/* array/cache.c: key-value caches of one layer of one sequence.
 *
 * Both halves are reserved at once as untouched pages and cost memory only as positions are written, so a session may have a
 * context of any length without growing anything while it decodes. */
#include "array.h"

#include <sys/mman.h>

mica_status mica_cache_create(mica_cache **out, const mica_cache_options *o, mica_error *err)
{
    *out = NULL;
    if (o->n_kv_heads < 1 || o->head_dim < 1 || o->value_dim < 1 || o->capacity < 1)
        return mica__fail(err, MICA_INVALID, "cache of %d heads of %d and %d for %lld positions", o->n_kv_heads,
                          o->head_dim, o->value_dim, (long long)o->capacity);
    if (o->dtype != MICA_DTYPE_F32 && o->dtype != MICA_DTYPE_F16 && o->dtype != MICA_DTYPE_BF16)
        return mica__fail(err, MICA_UNSUPPORTED, "cache of %s; known: float32, float16, bfloat16",
                          mica_dtype_name(o->dtype));
    size_t rows, key_bytes, value_bytes;
    if (!mica__mul((size_t)o->n_kv_heads * mica_dtype_size(o->dtype), (size_t)o->capacity, &rows) ||
        !mica__mul(rows, (size_t)o->head_dim, &key_bytes) || !mica__mul(rows, (size_t)o->value_dim, &value_bytes))
        return mica__fail(err, MICA_LIMIT, "a cache for %lld positions is too large", (long long)o->capacity);
    mica_cache *c = mica__calloc(1, sizeof *c);
    if (!c) return mica__fail_memory(err, sizeof *c, "a cache");
    *c = (mica_cache){.options = *o, .key_bytes = key_bytes, .value_bytes = value_bytes};
    c->keys = mica__pages_alloc(key_bytes);
    c->values = mica__pages_alloc(value_bytes);
    if (!c->keys || !c->values) {
        mica_cache_free(c);
        return mica__fail(err, MICA_MEMORY, "cannot reserve a cache for %lld positions (%zu MiB)",
                          (long long)o->capacity, (key_bytes + value_bytes) >> 20);
    }
    /* Where huge pages are given unasked, the first position of every head would commit two megabytes. */
#ifdef MADV_NOHUGEPAGE
    madvise(c->keys, key_bytes, MADV_NOHUGEPAGE);
    madvise(c->values, value_bytes, MADV_NOHUGEPAGE);
#endif
    *out = c;
    return MICA_OK;
}

void mica_cache_free(mica_cache *c)
{
    if (!c) return;
    mica__pages_free(c->keys, c->key_bytes);
    mica__pages_free(c->values, c->value_bytes);
    mica__free(c);
}

int64_t mica_cache_bytes(const mica_cache *c)
{
    const mica_cache_options *o = &c->options;
    return c->n_written * o->n_kv_heads * (o->head_dim + o->value_dim) * (int64_t)mica_dtype_size(o->dtype);
}

const mica_cache_options *mica_cache_get_options(const mica_cache *c) { return &c->options; }

void *mica_cache_row(mica_cache *c, bool values, int head, int64_t p)
{
    const mica_cache_options *o = &c->options;
    if (head < 0 || head >= o->n_kv_heads || p < 0 || p >= o->capacity) return NULL;
    size_t row = (size_t)(head * o->capacity + p) * mica_dtype_size(o->dtype);
    return values ? c->values + row * (size_t)o->value_dim : c->keys + row * (size_t)o->head_dim;
}
