/* array/cache.c: key-value caches of one layer of one sequence.
 *
 * Both halves are reserved at once as untouched pages and cost memory only as positions are written, so a session may have a
 * context of any length without growing anything while it decodes. */
#include "array.h"
#include "cache_layout.h"

#include <string.h>
#include <sys/mman.h>

static mica_status check_options(const mica_cache_options *o, mica_error *err)
{
    if (o->n_kv_heads < 1 || o->head_dim < 1 || o->value_dim < 1 || o->capacity < 1)
        return mica__fail(err, MICA_INVALID, "cache of %d heads of %d and %d for %lld positions", o->n_kv_heads,
                          o->head_dim, o->value_dim, (long long)o->capacity);
    if (o->bits != 0 && o->bits != 4 && o->bits != 8)
        return mica__fail(err, MICA_UNSUPPORTED, "a cache of %d bits; known: 4, 8", o->bits);
    if (o->bits && o->group_size != 32 && o->group_size != 64 && o->group_size != 128)
        return mica__fail(err, MICA_UNSUPPORTED, "a cache with groups of %d; known: 32, 64, 128", o->group_size);
    if (!o->bits && o->dtype != MICA_DTYPE_F32 && o->dtype != MICA_DTYPE_F16 && o->dtype != MICA_DTYPE_BF16)
        return mica__fail(err, MICA_UNSUPPORTED, "cache of %s; known: float32, float16, bfloat16",
                          mica_dtype_name(o->dtype));
    return MICA_OK;
}

/* Bytes of keys or values. */
static bool reserved_bytes(const mica_cache_options *o, bool values, size_t *out)
{
    const mica__cache_layout l = mica__cache_layout_of(o, values);
    const size_t blocks = (size_t)(o->capacity / MICA__CACHE_LANES);
    return mica__mul(blocks, (size_t)o->n_kv_heads, out) && mica__mul(*out, (size_t)l.block_bytes, out);
}

mica_status mica_cache_create(mica_cache **out, const mica_cache_options *options, mica_error *err)
{
    *out = NULL;
    mica_cache_options rounded = *options, *o = &rounded;
    if (o->bits && !o->group_size) o->group_size = 64;
    MICA_TRY(check_options(o, err));
    size_t key_bytes, value_bytes;
    if (o->capacity < INT64_MAX / 2) o->capacity = mica__cache_positions(o->capacity);
    if (!reserved_bytes(o, false, &key_bytes) || !reserved_bytes(o, true, &value_bytes))
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

int64_t mica_cache_bytes(const mica_cache *c) { return c->n_written * mica__cache_position_bytes(&c->options); }

const mica_cache_options *mica_cache_get_options(const mica_cache *c) { return &c->options; }

static uint8_t *block_of(const mica_cache *c, const mica__cache_layout *l, int head, int64_t p)
{
    const mica_cache_options *o = &c->options;
    return head < 0 || head >= o->n_kv_heads || p < 0 || p >= o->capacity ? NULL : mica__cache_block(c, l, head, p);
}

bool mica_cache_get_row(const mica_cache *c, bool values, int head, int64_t p, float *row)
{
    const mica__cache_layout l = mica__cache_layout_of(&c->options, values);
    const uint8_t *block = block_of(c, &l, head, p);
    if (block) mica__cache_load(&l, block, (int)(p % MICA__CACHE_LANES), row);
    if (block && l.rotated) mica__cache_rotate(row, l.dim);
    return block != NULL;
}

bool mica_cache_set_row(mica_cache *c, bool values, int head, int64_t p, const float *row)
{
    const mica__cache_layout l = mica__cache_layout_of(&c->options, values);
    uint8_t *block = block_of(c, &l, head, p);
    if (!block) return false;
    float *turned = l.rotated ? mica__alloc((size_t)l.dim, sizeof *turned) : NULL;
    if (l.rotated && !turned) return false;
    if (turned) {
        memcpy(turned, row, (size_t)l.dim * sizeof *turned);
        mica__cache_rotate(turned, l.dim);
    }
    mica__cache_store(&l, block, (int)(p % MICA__CACHE_LANES), turned ? turned : row);
    mica__free(turned);
    return true;
}

/* Positions [first, end) of one head. Whole blocks go as they are; both rings have them in the same lanes. */
static void copy_head(mica_cache *to, const mica_cache *from, bool values, int head, int64_t first, int64_t end)
{
    const mica__cache_layout l = mica__cache_layout_of(&to->options, values);
    for (int64_t p = first, next; p < end; p = next) {
        uint8_t *a = mica__cache_block(to, &l, head, p % to->options.capacity);
        const uint8_t *b = mica__cache_block(from, &l, head, p % from->options.capacity);
        next = p - p % MICA__CACHE_LANES + MICA__CACHE_LANES;
        if (next > end) next = end;
        if (next - p == MICA__CACHE_LANES) {
            memcpy(a, b, (size_t)l.block_bytes);
            continue;
        }
        for (int64_t i = p; i < next; i++) mica__cache_copy_lane(&l, a, b, (int)(i % MICA__CACHE_LANES));
    }
}

mica_status mica_cache_copy(mica_cache *to, mica_cache *from, int64_t first, int64_t end, mica_error *err)
{
    const mica_cache_options *a = &to->options, *b = &from->options;
    if (a->n_kv_heads != b->n_kv_heads || a->head_dim != b->head_dim || a->value_dim != b->value_dim ||
        a->dtype != b->dtype || a->bits != b->bits || a->group_size != b->group_size)
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
