/* backend/cpu/int16_panel.h: many rows of rounded activations with a panel of weights: what is the same for AVX2 and AVX-512. A file that
 * includes it defines PANEL, the rows of w in a panel, and TILE, the rows of x that its kernels take together.
 *
 * A panel of w is split to 16-bit integers once, pairs of elements of its rows side by side, and meets all rows of x in tiles, whose pairs are
 * broadcast. Groups come chain by chain: 0, 8, 16, ..., then 1, 9, 17, ... So a tile has one chain under way, and adds it to its
 * outputs after the chain's last group, which is the order of the sum (int16_avx2.h). */
#ifndef MICA_BACKEND_CPU_INT16_PANEL_H
#define MICA_BACKEND_CPU_INT16_PANEL_H

#include "convert.h"
#include "int16_avx2.h"

#if MICA__X86

enum { DEPTH = 8192 / PANEL, CHUNK_ROWS = 256 }; /* elements of a panel: 16 KB of pairs; rows of x at a time */

/* A member's working memory. Pair p of row r of the panel is in word p * PANEL + r, in the order of x. */
typedef struct panel {
    int16_t pairs[DEPTH * PANEL];
    float scales[DEPTH / 32 * PANEL], biases[DEPTH / 32 * PANEL]; /* [groups][PANEL] */
    float chain[CHUNK_ROWS * PANEL], y[CHUNK_ROWS * PANEL];
    int64_t n; /* groups that it holds */
    struct {
        int64_t group, place; /* in w, and in rows of x */
        bool first, last;     /* of its chain */
    } groups[DEPTH / 32];
} panel;

/* Where the groups of a panel lie. A group of 32 in 4 bits has half of each of the four vectors of its span. */
#define TWO(bits, size) ((bits) == 4 && (size) == 32)

static inline int64_t pair_of(bool two, int size, int64_t group)
{
    return two ? group / 2 * 32 + group % 2 * 4 : group * size / 2;
}

MICA__AVX2 static void fill_factors(int bits, panel *to, const mica__codes *w, int64_t c)
{
    for (int64_t i = 0; i < to->n; i++) {
        for (int r = 0; r < PANEL; r++) {
            const int64_t row = mica__min(c + r, w->rows - 1), group = to->groups[i].group;
            const float scale = mica__factor_at(&w->scales, row, group);
            to->scales[i * PANEL + r] = scale;
            to->biases[i * PANEL + r] =
                w->biases.first ? mica__factor_at(&w->biases, row, group) : mica__symmetric_offset(bits) * scale;
        }
    }
}

/* 32 bytes of codes: a span of a group, or two groups of 32 in 4 bits; zeros where `second` is NULL. */
MICA__INLINE __m256i span_codes(bool two, const uint8_t *first, const uint8_t *second)
{
    if (!two) return mica__load32(first);
    const __m128i low = _mm_loadu_si128((const __m128i *)(const void *)first);
    if (!second) return _mm256_zextsi128_si256(low);
    return _mm256_set_m128i(_mm_loadu_si128((const __m128i *)(const void *)second), low);
}

/* The codes of rows c .. c + PANEL - 1. */
MICA__INLINE void fill_codes(int bits, int size, panel *to, const mica__codes *w, int64_t c)
{
    const bool two = TWO(bits, size);
    const int parts = bits == 4 ? 4 : 2, step = two ? 2 : 1, spans = two ? 1 : size * bits / 256;
    const int64_t bytes = size * bits / 8;
    for (int h = 0; h < PANEL; h += 8) {
        for (int64_t i = 0; i < to->n; i += step) {
            for (int s = 0; s < spans; s++) {
                __m256 v[4][8];
                for (int r = 0; r < 8; r++) {
                    const uint8_t *row = w->codes + mica__min(c + h + r, w->rows - 1) * w->row_bytes;
                    const uint8_t *second = i + 1 < to->n ? row + to->groups[i + 1].group * bytes : NULL;
                    const __m256i codes = span_codes(two, row + to->groups[i].group * bytes + 32 * s, second);
                    for (int p = 0; p < parts; p++) v[p][r] = _mm256_castsi256_ps(mica__part_of(bits, codes, p));
                }
                float *pair = (float *)(void *)to->pairs + (pair_of(two, size, i) + s * 8 * parts) * PANEL + h;
                for (int p = 0; p < parts; p++) {
                    mica__transpose8(v[p]);
                    for (int r = 0; r < 8; r++) _mm256_storeu_ps(pair + (p * 8 + r) * PANEL, v[p][r]);
                }
            }
        }
    }
}

typedef struct kernels {
    void (*fill)(panel *to, const mica__codes *w, int64_t c);
    void (*tile)(panel *w, const mica__int16_row *l, const uint8_t *x, int64_t r); /* rows r .. r + TILE - 1 of x */
    void (*rest)(panel *w, const mica__int16_row *l, const uint8_t *x, int64_t r, int64_t rows); /* fewer */
} kernels;

/* The groups that a panel takes next, from group `at` of `chain` on. False after the last. */
static bool next_groups(panel *to, const mica__codes *w, const mica__int16_row *l, int size, int64_t *chain,
                        int64_t *at)
{
    for (to->n = 0; to->n < DEPTH / size && *chain < mica__min(MICA__CHAINS, w->groups); to->n++) {
        const bool last = *at + MICA__CHAINS >= w->groups;
        to->groups[to->n].group = *at;
        to->groups[to->n].place = (*chain * l->groups + *at) / MICA__CHAINS;
        to->groups[to->n].first = *at < MICA__CHAINS;
        to->groups[to->n].last = last;
        *at = last ? ++*chain : *at + MICA__CHAINS;
    }
    return to->n > 0;
}

/* Rows of x, at most CHUNK_ROWS, with columns [c, c + PANEL) before `end`. */
MICA__AVX2 static void add_columns(const kernels *k, const mica__instr *instr, panel *memory, const mica__codes *w,
                                   const mica__int16_row *l, const uint8_t *x, int64_t rows, float *out, int64_t c,
                                   int64_t end)
{
    const int64_t cols = mica__min(end - c, PANEL);
    float bias[PANEL] = {0};
    for (int64_t i = 0; i < cols; i++) bias[i] = mica__linear_bias(instr, c + i);
    memset(memory->y, 0, (size_t)(rows * PANEL) * sizeof(float));
    for (int64_t chain = 0, at = 0; next_groups(memory, w, l, instr->in[1].affine.group_size, &chain, &at);) {
        k->fill(memory, w, c);
        int64_t r = 0;
        for (; r + TILE <= rows; r += TILE) k->tile(memory, l, x, r);
        if (r < rows) k->rest(memory, l, x, r, rows - r);
    }
    for (int64_t r = 0; r < rows; r++) {
        for (int v = 0; v < PANEL; v += 8) {
            __m256 y = _mm256_add_ps(_mm256_loadu_ps(memory->y + r * PANEL + v), _mm256_loadu_ps(bias + v));
            mica__store_lanes(out + r * w->rows + c + v, y, cols - v);
        }
    }
}

/* A width and a group, for the including file's tile(), whose instruction set is `target`. Loops that must keep to the registers are
 * functions of their own. */
#define PANEL_KERNELS(target, bits, size)                                                                              \
    MICA__AVX2 static __attribute__((noinline)) void fill_##bits##_##size(panel *to, const mica__codes *w, int64_t c)  \
    {                                                                                                                  \
        fill_codes(bits, size, to, w, c);                                                                              \
        fill_factors(bits, to, w, c);                                                                                  \
    }                                                                                                                  \
    target static __attribute__((noinline)) void rest_##bits##_##size(panel *w, const mica__int16_row *l,              \
                                                                      const uint8_t *x, int64_t r, int64_t rows)       \
    {                                                                                                                  \
        for (int64_t end = r + rows; r < end; r++) tile(bits, size, 1, w, l, x, r);                                    \
    }                                                                                                                  \
    target static __attribute__((noinline)) void tile_##bits##_##size(panel *w, const mica__int16_row *l,              \
                                                                      const uint8_t *x, int64_t r)                     \
    {                                                                                                                  \
        tile(bits, size, TILE, w, l, x, r);                                                                            \
    }
#define ALL_PANEL_KERNELS(target)                                                                                      \
    PANEL_KERNELS(target, 4, 32)                                                                                       \
    PANEL_KERNELS(target, 4, 64)                                                                                       \
    PANEL_KERNELS(target, 4, 128)                                                                                      \
    PANEL_KERNELS(target, 8, 32)                                                                                       \
    PANEL_KERNELS(target, 8, 64)                                                                                       \
    PANEL_KERNELS(target, 8, 128)
#define PANEL_KERNEL(bits, size)                                                                                       \
    {                                                                                                                  \
        fill_##bits##_##size, tile_##bits##_##size, rest_##bits##_##size                                               \
    }
#define PANEL_TABLE                                                                                                    \
    {                                                                                                                  \
        {PANEL_KERNEL(4, 32), PANEL_KERNEL(4, 64), PANEL_KERNEL(4, 128)},                                              \
        {                                                                                                              \
            PANEL_KERNEL(8, 32), PANEL_KERNEL(8, 64), PANEL_KERNEL(8, 128)                                             \
        }                                                                                                              \
    }

/* All rows of x with columns [begin, end); `out` is that of column 0. */
static void panels(const kernels table[2][3], const mica__instr *instr, panel *memory, const mica__codes *w,
                   const mica__int16_row *row, const uint8_t *x, int64_t rows, float *out, int64_t begin, int64_t end)
{
    const kernels *k = &table[instr->in[1].affine.bits / 8][instr->in[1].affine.group_size / 64];
    for (int64_t r = 0; r < rows; r += CHUNK_ROWS)
        for (int64_t c = begin; c < end; c += PANEL)
            add_columns(k, instr, memory, w, row, x + r * row->bytes, mica__min(rows - r, CHUNK_ROWS),
                        out + r * w->rows, c, end);
}

#endif
#endif
