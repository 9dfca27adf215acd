/* backend/cpu/attention.h: the inner loops of attention, plain and fast, and the writing of rows into a cache. */
#ifndef MICA_BACKEND_CPU_ATTENTION_H
#define MICA_BACKEND_CPU_ATTENTION_H

#include "array/cache_layout.h"
#include "convert.h"

enum {
    MICA__TILE = 24,   /* query rows that go through the keys together */
    MICA__BLOCK = 256, /* positions of a block; block b holds [b * 256, b * 256 + 256) */
    MICA__WIDTH =
        4,         /* blocks that a few rows go through at once: from so many places memory is read at its full speed */
    MICA__FEW = 8, /* rows at most that do */
    MICA__SPARE = 64, /* scores after the last position that loops may write */
};

/* Keys or values of up to MICA__WIDTH blocks, in the layout of a cache: position j, counted from the start of the first block, is in lane
 * j % 8 of eights[j / 8], and there are those in [first, n). What follows eights[n - 1] is that one again, so that loops may take several
 * at a time. */
typedef struct mica__kv {
    mica__cache_layout layout;
    const uint8_t *eights[MICA__WIDTH * MICA__BLOCK / MICA__CACHE_LANES + 8];
    int64_t first, n;
} mica__kv;

/* Query rows, also rounded to 16-bit integers for products with codes: q[e] is about rounded[e] * scale, for each group. */
typedef struct mica__queries {
    float *q; /* [rows, dim] */
    int64_t rows, dim;
    int64_t rounded_dim; /* of `rounded`: a multiple of 4, zeros after dim; 0: not made */
    int16_t *rounded;    /* [rows, rounded_dim] */
    float *scales;       /* [rows, groups] */
    float *sums;         /* [rows, groups]: of q */
} mica__queries;

/* Inner loops. Each output is summed in an order that depends on nothing but dim and the positions of the block. */
typedef struct mica__attention_kit {
    bool rounds; /* the queries' 16-bit form is used for quantized keys */
    /* scores[r * stride + j] = q[r] . key(j) for all lanes of the eights there are (garbage for lanes that hold none), and maybe for up to
     * MICA__SPARE scores more. row [dim] is theirs. */
    void (*scores)(float *scores, int64_t stride, const mica__queries *q, const mica__kv *keys, float *row);
    /* From scores s [n] to weights: s = exp(cap(s * scale) - max); returns their sum, *max the largest. */
    float (*weights)(float *s, int64_t n, float scale, float softcap, float *max);
    /* o[(b * rows + r) * dim + e] = sum over those j in [first, end) that are in block b of weights[r * stride + j] * value(j)[e],
     * j ascending. row [dim] is theirs. */
    void (*accumulate)(float *o, const float *weights, int64_t stride, int64_t rows, const mica__kv *values,
                       int64_t first, int64_t end, float *row);
    /* a[e] = a[e] * x + b[e] * y */
    void (*mix)(float *a, float x, const float *b, float y, int64_t n);
} mica__attention_kit;

extern const mica__attention_kit mica__attention_plain;
/* NULL if these dimensions or this processor have none. */
const mica__attention_kit *mica__attention_fast(int64_t head_dim, int64_t value_dim);

/* Fills the 16-bit form of row r. */
void mica__attention_round(mica__queries *q, int64_t r, const mica__cache_layout *keys);

/* Share `id` of `n` of the rows k and v of the instruction, into the caches of the run's sequences. */
void mica__cache_write(const mica__instr *instr, const mica__run *run, bool fast, int id, int n);

/* Rows of a sequence (NULL: no cache). A program whose rows are fixed does not say how many there are. */
static inline int64_t mica__rows_of(const mica__tensor *t, const mica__run *run, const mica_sequence *s)
{
    return s && run->n_sequences > 1 ? s->rows : mica__rows(t, run);
}

#endif
