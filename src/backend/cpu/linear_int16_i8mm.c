/* backend/cpu/linear_int16_i8mm.c: many rows of rounded activations with quantized weights, by smmla: two rows of eight bytes times two rows
 * of eight bytes, 32 products an instruction. int16_neon.h says what is computed. This file is compiled for processors that have it
 * (CMakeLists.txt): nothing here may be called on others.
 *
 * One operand holds eight elements of two rows of w, the other h and l of eight elements of one row of x: so a row of x stands alone, and
 * the sums of h and l come out side by side.
 *
 * A panel of PANEL rows of w is expanded to bytes once and meets all rows of x, four at a time with eight rows of w: 16 registers of sums.
 * Eight elements take 4 loads of w, 4 of x and 16 smmla. Chains that a panel does not finish wait in memory. */
#include "int16_neon.h"

#if MICA__ARM64

enum {
    PANEL = 16,
    HALF = 8, /* rows of w that meet X_ROWS rows of x in registers */
    PAIRS = HALF / 2,
    DEPTH = 1024, /* elements of a panel */
    X_ROWS = 4,
    CHUNK_ROWS = 256 /* rows of x at a time */
};

/* A member's working memory. */
typedef struct panel {
    int8_t w[PANEL / HALF][DEPTH / 8][PAIRS][2][8]; /* eight elements of two neighbouring rows side by side */
    float scales[DEPTH / 16][PANEL], biases[DEPTH / 16][PANEL];
    float y[CHUNK_ROWS][PANEL]; /* the chains, continued */
    int64_t first, n;           /* groups that it holds */
    int32_t offset;             /* what elements have lost: 128 in 8 bits */
} panel;

/* ---- filling ------------------------------------------------------------------------------------------------------------------ */

/* Two rows' spans side by side, to four steps of eight elements. */
MICA__INLINE void store_pair(bool small, int8_t *to, const int8x16_t a[2], const int8x16_t b[2])
{
    enum { STEP = 16 * PAIRS };
    MICA__UNROLL
    for (int p = 0; p < 2; p++) {
        const int64x2_t u = vreinterpretq_s64_s8(a[p]), v = vreinterpretq_s64_s8(b[p]);
        /* Of groups of 16, a group's even and odd elements follow each other. */
        vst1q_s8(to + (small ? p : 2 * p) * STEP, vreinterpretq_s8_s64(vzip1q_s64(u, v)));
        vst1q_s8(to + (small ? p + 2 : 2 * p + 1) * STEP, vreinterpretq_s8_s64(vzip2q_s64(u, v)));
    }
}

MICA__INLINE void fill_codes(mica__elements e, bool small, panel *to, const mica__int16_matrix *w, int64_t c)
{
    const int64_t bytes = mica__span_bytes(e), elements = to->n * w->size,
                  start = to->first * w->size / MICA__SPAN * bytes;
    for (int r = 0; r < PANEL; r += 2) {
        const uint8_t *a = w->codes + mica__min(c + r, w->rows - 1) * w->row_bytes + start;
        const uint8_t *b = w->codes + mica__min(c + r + 1, w->rows - 1) * w->row_bytes + start;
        int8_t *at = to->w[r / HALF][0][r % HALF / 2][0];
        for (int64_t i = 0; i < elements; i += MICA__SPAN, a += bytes, b += bytes, at += MICA__SPAN / 8 * 16 * PAIRS) {
            int8x16_t p[2], q[2];
            const bool half = elements - i < MICA__SPAN;
            mica__expand(e, a, half, p);
            mica__expand(e, b, half, q);
            store_pair(small, at, p, q);
        }
    }
}

#define FILL(e)                                                                                                        \
    static __attribute__((noinline)) void fill_##e(panel *to, const mica__int16_matrix *w, int64_t c)                  \
    {                                                                                                                  \
        fill_codes(MICA__##e, false, to, w, c);                                                                        \
    }
FILL(BITS2)
FILL(BITS3)
FILL(BITS4)
FILL(BITS5)
FILL(BITS6)
FILL(BITS8)
FILL(FLOAT4)
static __attribute__((noinline)) void fill_small(panel *to, const mica__int16_matrix *w, int64_t c)
{
    fill_codes(MICA__FLOAT4, true, to, w, c);
}

/* Groups [first, first + n) of rows c .. c + PANEL - 1. */
static void fill(panel *to, const mica__int16_matrix *w, int64_t c, int64_t first, int64_t n)
{
    static void (*const fills[])(panel *, const mica__int16_matrix *, int64_t) = {
        fill_BITS2, fill_BITS3, fill_BITS4, fill_BITS5, fill_BITS6, fill_BITS8, fill_FLOAT4};
    to->first = first;
    to->n = n;
    to->offset = w->elements == MICA__BITS8 ? 128 : 0;
    (w->size == 16 ? fill_small : fills[w->elements])(to, w, c);
    for (int64_t g = 0; g < n; g += MICA__FACTORS) {
        for (int64_t r = 0; r < PANEL; r += MICA__FACTORS) {
            float32x4_t scales[MICA__FACTORS], biases[MICA__FACTORS];
            int64_t rows[MICA__FACTORS];
            for (int64_t i = 0; i < MICA__FACTORS; i++) rows[i] = mica__min(c + r + i, w->rows - 1);
            mica__int16_factors(w, rows, first + g, scales, biases);
            for (int64_t i = 0; i < mica__min(n - g, MICA__FACTORS); i++) {
                vst1q_f32(to->scales[g + i] + r, scales[i]);
                if (w->elements != MICA__FLOAT4) vst1q_f32(to->biases[g + i] + r, biases[i]);
            }
        }
    }
}

/* ---- products ------------------------------------------------------------------------------------------------------------------ */

/* Half `half` of the panel with R rows of x; y: the first one's chains. */
MICA__INLINE void tile(int size, bool biased, int R, const panel *p, int half, const mica__int16_row *x,
                       float (*y)[PANEL])
{
    float32x4_t total[X_ROWS][2];
    const int8_t *w = p->w[half][0][0][0];
    MICA__UNROLL
    for (int r = 0; r < R; r++) MICA__UNROLL
    for (int v = 0; v < 2; v++) total[r][v] = vld1q_f32(y[r] + HALF * half + 4 * v);
    for (int64_t g = 0; g < p->n; g++) {
        const int64_t group = p->first + g;
        int32x4_t sum[X_ROWS][PAIRS];
        MICA__UNROLL
        for (int r = 0; r < R; r++) {
            const int32x4_t lost = vsetq_lane_s32(p->offset * x[r].sum[group], vdupq_n_s32(0), 1);
            MICA__UNROLL
            for (int i = 0; i < PAIRS; i++) sum[r][i] = vcombine_s32(vget_low_s32(lost), vget_low_s32(lost));
        }
        for (int64_t k = 0; k < size; k += 8, w += 16 * PAIRS) {
            int8x16_t v[PAIRS];
            MICA__UNROLL
            for (int i = 0; i < PAIRS; i++) v[i] = vld1q_s8(w + 16 * i);
            MICA__UNROLL
            for (int r = 0; r < R; r++) {
                const int8x16_t u = vld1q_s8(x[r].high + 2 * (group * size + k));
                MICA__UNROLL
                for (int i = 0; i < PAIRS; i++) sum[r][i] = vmmlaq_s32(sum[r][i], v[i], u);
            }
        }
        MICA__UNROLL
        for (int v = 0; v < 2; v++) {
            const float32x4_t scale = vld1q_f32(p->scales[g] + HALF * half + 4 * v);
            const float32x4_t bias = biased ? vld1q_f32(p->biases[g] + HALF * half + 4 * v) : scale;
            MICA__UNROLL
            for (int r = 0; r < R; r++) {
                const int32x4_t a = sum[r][2 * v], b = sum[r][2 * v + 1];
                const int32x4_t both = vmlaq_n_s32(vuzp2q_s32(a, b), vuzp1q_s32(a, b), 256);
                total[r][v] = vfmaq_f32(total[r][v], vcvtq_f32_s32(both), vmulq_n_f32(scale, x[r].d[group]));
                if (biased) total[r][v] = vfmaq_n_f32(total[r][v], bias, x[r].dsum[group]);
            }
        }
    }
    MICA__UNROLL
    for (int r = 0; r < R; r++) MICA__UNROLL
    for (int v = 0; v < 2; v++) vst1q_f32(y[r] + HALF * half + 4 * v, total[r][v]);
}

/* Loops that must keep to the registers are functions of their own. */
typedef void tile_function(const panel *p, int half, const mica__int16_row *x, float (*y)[PANEL]);
#define TILE(name, size, biased, R)                                                                                    \
    static __attribute__((noinline)) void name##_##size(const panel *p, int half, const mica__int16_row *x,            \
                                                        float(*y)[PANEL])                                              \
    {                                                                                                                  \
        tile(size, biased, R, p, half, x, y);                                                                          \
    }
#define TILES(size)                                                                                                    \
    TILE(one, size, true, 1)                                                                                           \
    TILE(four, size, true, X_ROWS)
TILES(32)
TILES(64)
TILES(128)
TILE(plain_one, 16, false, 1)
TILE(plain_four, 16, false, X_ROWS)
TILE(plain_one, 32, false, 1)
TILE(plain_four, 32, false, X_ROWS)

typedef struct tiles {
    tile_function *one, *four;
} tiles;

static const tiles *tiles_of(const mica__int16_matrix *w)
{
    static const tiles affine[] = {{one_32, four_32}, {one_64, four_64}, {one_128, four_128}};
    static const tiles floats[] = {{plain_one_16, plain_four_16}, {plain_one_32, plain_four_32}};
    return w->elements == MICA__FLOAT4 ? &floats[w->size / 32] : &affine[w->size / 64];
}

/* At most CHUNK_ROWS rows of x, from `first` on, with rows [c, c + cols) of w. */
static void add_columns(const mica__instr *instr, const mica__run *run, const mica__int16_matrix *w, panel *p,
                        int64_t first, int64_t rows, int64_t c, int64_t cols)
{
    const mica__int16_layout l = mica__int16_layout_of(&instr->in[1]);
    const tiles *k = tiles_of(w);
    float bias[PANEL] = {0}, *out = (float *)instr->out.data + first * w->rows + c;
    for (int64_t i = 0; i < cols; i++) bias[i] = mica__linear_bias(instr, c + i);
    for (int64_t r = 0; r < rows; r++) memcpy(p->y[r], bias, sizeof bias);
    for (int64_t g = 0; g < w->groups; g += DEPTH / w->size) {
        fill(p, w, c, g, mica__min(w->groups - g, DEPTH / w->size));
        for (int64_t r = 0, n; r < rows; r += n) {
            mica__int16_row x[X_ROWS];
            n = rows - r < X_ROWS ? 1 : X_ROWS;
            for (int64_t i = 0; i < n; i++) x[i] = mica__int16_row_at(&l, run->scratch, first + r + i);
            for (int half = 0; half * HALF < cols; half++) (n == 1 ? k->one : k->four)(p, half, x, p->y + r);
        }
    }
    for (int64_t r = 0; r < rows; r++) memcpy(out + r * w->rows, p->y[r], (size_t)cols * sizeof *out);
}

void mica__int16_i8mm(const mica__instr *instr, const mica__run *run, const mica__int16_matrix *w, int64_t begin,
                      int64_t end, void *memory)
{
    const int64_t m_rows = mica__rows(&instr->in[0], run);
    for (int64_t r = 0; r < m_rows; r += CHUNK_ROWS)
        for (int64_t c = begin; c < end; c += PANEL)
            add_columns(instr, run, w, memory, r, mica__min(m_rows - r, CHUNK_ROWS), c, mica__min(end - c, PANEL));
}

size_t mica__int16_i8mm_bytes(void) { return sizeof(panel); }

#endif
