/* array/cache_layout.h: how the rows of a key-value cache lie in memory.
 *
 * A head's positions are cut into blocks of eight, one after another; a ring has a whole number of them, so position p is always in
 * lane p % 8. Keys lie lane by lane, so that eight scores are computed side by side and never summed across a vector:
 *
 *     keys, floats     [dim][8]
 *     values, floats   [8][dim]
 *     quantized        scales f16 [groups][8] | biases f16 [groups][8] | codes
 *       keys, 8 bits   [dim / 2][8][2]                    pairs of elements: what a 16-bit multiply-add takes
 *       keys, 4 bits   [dim / 4][8] of two bytes          low halves: elements 4i and 4i + 1; high halves: 4i + 2 and 4i + 3
 *       values, 8 bits [8][dim]
 *       values, 4 bits [8][dim / 16] of eight bytes       low halves: elements 16i to 16i + 7; high halves: the eight after them
 *
 * Rows are rotated (mica__cache_rotate) before they are quantized: that spreads the few large elements that keys have
 * over all of them, where one step for the whole group no longer drowns the small ones. Queries are rotated likewise, which leaves
 * products as they are, and what comes out of the values is rotated back.
 *
 * A group is `group_size` elements of one row (the last may be shorter): element = code * scale + bias. Each row is quantized when it is
 * written, by itself, so nothing depends on what else is in the cache. */
#ifndef MICA_ARRAY_CACHE_LAYOUT_H
#define MICA_ARRAY_CACHE_LAYOUT_H

#include "ops.h"

enum { MICA__CACHE_LANES = 8 };

typedef struct mica__cache_layout {
    mica_dtype dtype; /* of floats */
    int bits;         /* 0: floats */
    bool keys, rotated;
    int64_t dim, group_size, n_groups;
    int64_t codes;       /* offset of the codes, or of the floats, in a block */
    int64_t row_bytes;   /* from lane to lane, of values */
    int64_t block_bytes; /* of eight positions */
} mica__cache_layout;

static inline mica__cache_layout mica__cache_layout_of(const mica_cache_options *o, bool values)
{
    const int64_t dim = values ? o->value_dim : o->head_dim;
    mica__cache_layout l = {.dtype = o->dtype, .bits = o->bits, .keys = !values, .dim = dim};
    if (!o->bits) {
        l.row_bytes = dim * (int64_t)mica_dtype_size(o->dtype);
        l.block_bytes = MICA__CACHE_LANES * l.row_bytes;
        return l;
    }
    const int64_t unit = o->bits == 8 ? 2 : values ? 16 : 4; /* elements that share bytes */
    l.rotated = true;
    l.group_size = o->group_size;
    l.n_groups = (dim + l.group_size - 1) / l.group_size;
    l.codes = l.n_groups * MICA__CACHE_LANES * 4;
    l.row_bytes = (dim + unit - 1) / unit * unit * o->bits / 8;
    l.block_bytes = l.codes + MICA__CACHE_LANES * l.row_bytes;
    return l;
}

/* Positions that a head's memory has room for. */
static inline int64_t mica__cache_positions(int64_t capacity)
{
    return (capacity + MICA__CACHE_LANES - 1) / MICA__CACHE_LANES * MICA__CACHE_LANES;
}

/* Of keys and values of all heads, for one position. */
static inline int64_t mica__cache_position_bytes(const mica_cache_options *o)
{
    const mica__cache_layout k = mica__cache_layout_of(o, false), v = mica__cache_layout_of(o, true);
    return o->n_kv_heads * ((k.block_bytes + v.block_bytes) / MICA__CACHE_LANES);
}

/* The block of slot `slot` of head `head`. */
static inline uint8_t *mica__cache_block(const mica_cache *c, const mica__cache_layout *l, int64_t head, int64_t slot)
{
    const int64_t head_blocks = c->options.capacity / MICA__CACHE_LANES;
    return (l->keys ? c->keys : c->values) + (head * head_blocks + slot / MICA__CACHE_LANES) * l->block_bytes;
}

/* An orthogonal transform of a row that is its own inverse: Hadamard's of the largest power of two that divides dim, on each such piece. */
void mica__cache_rotate(float *row, int64_t dim);
/* The row in a lane of a block, as floats [dim], rotated if rows are. */
void mica__cache_load(const mica__cache_layout *l, const uint8_t *block, int lane, float *row);
/* A row [dim] goes into a lane of a block. Slow and plain; what quantizing means. */
void mica__cache_store(const mica__cache_layout *l, uint8_t *block, int lane, const float *row);

/* Scale and bias for numbers from low to high, as f16 can hold them: every one of them gets a code. */
void mica__cache_range(float low, float high, int bits, float *scale, float *bias);
/* Copies the row in a lane. */
void mica__cache_copy_lane(const mica__cache_layout *l, uint8_t *to, const uint8_t *from, int lane);

#endif
