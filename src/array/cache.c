/* array/cache.c: key-value caches of one layer of one sequence.
 *
 * Both halves are reserved at once as untouched pages and cost memory only as positions are written, so a session may have a
 * context of any length without growing anything while it decodes. */
#include "array.h"

#include <string.h>
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

/* Positions [first, end) of one head, in runs that lie in one piece in both rings. */
static void copy_head(mica_cache *to, mica_cache *from, bool values, int head, int64_t first, int64_t end)
{
    const mica_cache_options *a = &to->options, *b = &from->options;
    size_t row = (size_t)(values ? a->value_dim : a->head_dim) * mica_dtype_size(a->dtype);
    for (int64_t p = first, n; p < end; p += n) {
        int64_t in_to = a->capacity - p % a->capacity, in_from = b->capacity - p % b->capacity;
        n = in_to < in_from ? in_to : in_from;
        if (n > end - p) n = end - p;
        memcpy(mica_cache_row(to, values, head, p % a->capacity), mica_cache_row(from, values, head, p % b->capacity),
               (size_t)n * row);
    }
}

mica_status mica_cache_copy(mica_cache *to, mica_cache *from, int64_t first, int64_t end, mica_error *err)
{
    const mica_cache_options *a = &to->options, *b = &from->options;
    if (a->n_kv_heads != b->n_kv_heads || a->head_dim != b->head_dim || a->value_dim != b->value_dim ||
        a->dtype != b->dtype)
        return mica__fail(err, MICA_INVALID, "the caches to copy between have different rows");
    if (first < 0) return mica__fail(err, MICA_INVALID, "a copy from position %lld", (long long)first);
    int64_t least = a->capacity < b->capacity ? a->capacity : b->capacity;
    if (end - first > least) first = end - least;
    for (int head = 0; head < a->n_kv_heads; head++) {
        copy_head(to, from, false, head, first, end);
        copy_head(to, from, true, head, first, end);
    }
    int64_t written = end < a->capacity ? end : a->capacity;
    if (first < end && written > to->n_written) to->n_written = written;
    return MICA_OK;
}
