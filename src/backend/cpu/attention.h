/* backend/cpu/attention.h: the inner loops of attention, plain and fast. */
#ifndef MICA_BACKEND_CPU_ATTENTION_H
#define MICA_BACKEND_CPU_ATTENTION_H

#include "convert.h"

enum {
    MICA__TILE = 16,      /* query rows that go through the keys together */
    MICA__BLOCK = 256,    /* positions of a block; block b holds [b * 256, b * 256 + 256) */
    MICA__ROW_BUFFER = 8, /* rows of keys or values that the inner loops may keep as floats */
};

/* Rows of one head's keys or values; element e of row i is at base + i * row_bytes + e * step_bytes. */
typedef struct mica__kv {
    const uint8_t *base;
    mica_dtype dtype;
    int64_t row_bytes, step_bytes, dim;
} mica__kv;

/* Inner loops. Each output is summed in an order that depends on nothing but dim and the positions of the block. */
typedef struct mica__attention_kit {
    /* scores[r * MICA__BLOCK + j] = q[r] . key(first + j) for j < n. q [rows, dim]; `buffer` [ROW_BUFFER, dim] is
     * theirs. */
    void (*scores)(float *scores, const float *q, int64_t rows, const mica__kv *keys, int64_t first, int64_t n,
                   float *buffer);
    /* From scores s [n] to weights: s = exp(cap(s * scale) - max); returns their sum, *max the largest. */
    float (*weights)(float *s, int64_t n, float scale, float softcap, float *max);
    /* o[r * dim + e] += sum over j of weights[r * MICA__BLOCK + j] * value(first + j)[e], j ascending */
    void (*accumulate)(float *o, const float *weights, int64_t rows, const mica__kv *values, int64_t first, int64_t n,
                       float *buffer);
} mica__attention_kit;

/* NULL if these dimensions or this processor have none. */
const mica__attention_kit *mica__attention_fast(int64_t head_dim, int64_t value_dim);

#endif
