/* backend/cpu/linear_dense_neon.c: x [M, K] times the transpose of w [N, K] in float32, float16, bfloat16 or mxfp8 on 64-bit ARM, in float
 * arithmetic. ARMv8.0 suffices: half types are widened by conversions and shifts.
 *
 * Every output is one chain of fused multiply-adds over k in each of eight lanes, two vectors, and one fixed sum of the lanes, in every
 * path below, so a row of x gives the same bits alone and among others:
 *
 *     M <= FEW   w is converted on the way from memory, which sets the pace. Four (two with many rows of x) rows of w that are a quarter
 *                (half) of the member's share apart: long streams, each in the order of memory and touched some lines ahead
 *     else       a panel of PANEL rows by DEPTH elements of w is converted once and used for BLOCK rows of x in tiles of 4 x 3 chains;
 *                between two depths a chain's lanes wait in scratch memory
 *
 * An mxfp8 element times its scale is exact, so those rows are as floats; bytes become half floats by shifts.
 *
 * What a step of eight elements takes: one row of bf16 with one of x 2 loads (f32: 4), 2 to widen, 2 multiply-adds; a tile 14 loads and 24
 * multiply-adds. */
#include "linear.h"

#include "convert.h"

#if MICA__ARM64
#include "simd_neon.h"

enum {
    FEW = 16,
    PANEL = 12,
    DEPTH = 512,
    BLOCK = 256,
    TILE_M = 4,
    TILE_N = 3,
    STREAMS = 4,
    RUN = 32, /* elements of a step: an mxfp8 group */
    AHEAD = 1024
};

typedef enum kind { F32, F16, BF16, MXFP8 } kind;

typedef struct job {
    const mica__instr *instr;
    const uint8_t *w, *scales;
    const float *x;
    float *out;
    int64_t rows, k, n, x_stride, row_bytes;
} job;

MICA__INLINE int size_of(kind f) { return f == F32 ? 4 : f == MXFP8 ? 1 : 2; }
MICA__INLINE mica_dtype dtype_of(kind f)
{
    return f == F32 ? MICA_DTYPE_F32 : f == F16 ? MICA_DTYPE_F16 : MICA_DTYPE_BF16;
}

/* Eight e4m3 elements: as half floats under another exponent, which `scale` makes up for. */
MICA__INLINE void load_e4m3(const uint8_t *p, float scale, float32x4_t v[2])
{
    const int16x8_t wide = vshll_n_s8(vreinterpret_s8_u8(vld1_u8(p)), 7); /* the sign twice */
    const uint16x8_t bits = vandq_u16(vreinterpretq_u16_s16(wide), vdupq_n_u16(0xbfff));
    v[0] = vmulq_n_f32(vcvt_f32_f16(vget_low_f16(vreinterpretq_f16_u16(bits))), scale);
    v[1] = vmulq_n_f32(vcvt_high_f32_f16(vreinterpretq_f16_u16(bits)), scale);
}

MICA__INLINE void load_w(kind f, const uint8_t *p, float scale, float32x4_t v[2])
{
    if (f == MXFP8)
        load_e4m3(p, scale, v);
    else
        mica__load8(p, dtype_of(f), v);
}

/* Of elements k .. k + 31 of a row of w. */
MICA__INLINE float scale_of(kind f, const job *j, int64_t row, int64_t k)
{
    return f == MXFP8 ? 256 * mica__from_e8m0(j->scales[row * (j->k / RUN) + k / RUN]) : 1;
}

/* ---- a few rows of x ------------------------------------------------------------------------------------------------------ */

/* R rows of x from `first` on with C rows of w, `step` rows apart from `row` on. */
MICA__INLINE void dots(kind f, int R, int C, const job *j, int64_t first, int64_t row, int64_t step)
{
    const int size = size_of(f);
    const float *x = j->x + first * j->x_stride;
    const uint8_t *w[STREAMS];
    float32x4_t sum[TILE_M][STREAMS][2];
    MICA__UNROLL
    for (int c = 0; c < C; c++) w[c] = j->w + (row + c * step) * j->row_bytes;
    MICA__UNROLL
    for (int r = 0; r < R; r++) MICA__UNROLL
    for (int c = 0; c < C; c++) sum[r][c][0] = sum[r][c][1] = vdupq_n_f32(0);
    int64_t k = 0;
    for (; k + RUN <= j->k; k += RUN) {
        float scale[STREAMS];
        MICA__UNROLL
        for (int c = 0; c < C; c++) {
            mica__prefetch(w[c] + k * size, AHEAD);
            if (f == F32) mica__prefetch(w[c] + k * size, AHEAD + 64);
            scale[c] = scale_of(f, j, row + c * step, k);
        }
        for (int64_t i = k; i < k + RUN; i += 8) {
            float32x4_t u[TILE_M][2];
            MICA__UNROLL
            for (int r = 0; r < R; r++) mica__load8(x + r * j->x_stride + i, MICA_DTYPE_F32, u[r]);
            MICA__UNROLL
            for (int c = 0; c < C; c++) {
                float32x4_t v[2];
                load_w(f, w[c] + i * size, scale[c], v);
                MICA__UNROLL
                for (int r = 0; r < R; r++) MICA__UNROLL
                for (int h = 0; h < 2; h++) sum[r][c][h] = vfmaq_f32(sum[r][c][h], u[r][h], v[h]);
            }
        }
    }
    for (; k < j->k; k += 8) { /* not in mxfp8 */
        const int64_t n = mica__min(j->k - k, 8);
        MICA__UNROLL
        for (int c = 0; c < C; c++) {
            float32x4_t v[2], u[2];
            mica__load_some(w[c] + k * size, dtype_of(f), n, v);
            MICA__UNROLL
            for (int r = 0; r < R; r++) {
                mica__load_some(x + r * j->x_stride + k, MICA_DTYPE_F32, n, u);
                MICA__UNROLL
                for (int h = 0; h < 2; h++) sum[r][c][h] = vfmaq_f32(sum[r][c][h], u[h], v[h]);
            }
        }
    }
    MICA__UNROLL
    for (int r = 0; r < R; r++) MICA__UNROLL
    for (int c = 0; c < C; c++) {
        const int64_t at = row + c * step;
        j->out[(first + r) * j->n + at] = mica__hsum(sum[r][c][0], sum[r][c][1]) + mica__linear_bias(j->instr, at);
    }
}

/* All rows of x with C rows of w, four at a time. */
MICA__INLINE void columns(kind f, int C, const job *j, int64_t row, int64_t step)
{
    int64_t r = 0;
    for (; r + TILE_M <= j->rows; r += TILE_M) dots(f, TILE_M, C, j, r, row, step);
    if (j->rows - r == 3) dots(f, 3, C, j, r, row, step);
    if (j->rows - r == 2) dots(f, 2, C, j, r, row, step);
    if (j->rows - r == 1) dots(f, 1, C, j, r, row, step);
}

/* Loops that must keep to the registers are functions of their own. */
#define LOOP(f, name, body)                                                                                            \
    static __attribute__((noinline)) void f##_##name(const job *j, int64_t row, int64_t step) { body; }
#define LOOPS(f)                                                                                                       \
    LOOP(f, one, dots(f, 1, 4, j, 0, row, step))                                                                       \
    LOOP(f, two, dots(f, 2, 4, j, 0, row, step))                                                                       \
    LOOP(f, any, columns(f, 2, j, row, step))                                                                          \
    LOOP(f, column, columns(f, 1, j, row, step))
LOOPS(F32)
LOOPS(F16)
LOOPS(BF16)
LOOPS(MXFP8)

typedef void loop(const job *j, int64_t row, int64_t step);

static void few_rows(loop *const loops[4], const job *j, int64_t begin, int64_t end)
{
    const int64_t streams = j->rows <= 2 ? 4 : 2, length = (end - begin) / streams;
    loop *all = loops[mica__min(j->rows, 3) - 1];
    for (int64_t i = 0; i < length; i++) all(j, begin + i, length);
    for (int64_t row = begin + streams * length; row < end; row++) loops[3](j, row, 0);
}

/* ---- many rows of x -------------------------------------------------------------------------------------------------------- */

/* A member's working memory: rows of w in threes, eight elements of each, then the next eight; four rows of x likewise. */
typedef struct panel {
    float w[PANEL * DEPTH], x[TILE_M * DEPTH], lanes[BLOCK][PANEL][8];
} panel;

static int64_t round8(int64_t n) { return (n + 7) & ~(int64_t)7; }

/* Elements [k, k + n) of rows row .. of w; zeros up to a multiple of eight. */
MICA__INLINE void fill(kind f, panel *p, const job *j, int64_t row, int64_t rows, int64_t k, int64_t n)
{
    const int size = size_of(f);
    for (int64_t c = 0; c < rows; c++) {
        const int64_t group = c / TILE_N * TILE_N, step = mica__min(rows - group, TILE_N);
        const uint8_t *from = j->w + (row + c) * j->row_bytes + k * size;
        float *to = p->w + group * DEPTH + (c - group) * 8;
        for (int64_t i = 0; i < n; i += 8) {
            float32x4_t v[2];
            if (n - i >= 8)
                load_w(f, from + i * size, scale_of(f, j, row + c, k + i), v);
            else
                mica__load_some(from + i * size, dtype_of(f), n - i, v);
            vst1q_f32(to + i * step, v[0]);
            vst1q_f32(to + i * step + 4, v[1]);
        }
    }
}

/* Elements [k, k + n) of R rows of x. */
static void fill_x(panel *p, const job *j, int64_t row, int64_t R, int64_t k, int64_t n)
{
    for (int64_t r = 0; r < R; r++) {
        const float *from = j->x + (row + r) * j->x_stride + k;
        for (int64_t i = 0; i < n; i += 8) {
            float32x4_t v[2];
            if (n - i >= 8)
                mica__load8(from + i, MICA_DTYPE_F32, v);
            else
                mica__load_some(from + i, MICA_DTYPE_F32, n - i, v);
            vst1q_f32(p->x + (i * R + r * 8), v[0]);
            vst1q_f32(p->x + (i * R + r * 8) + 4, v[1]);
        }
    }
}

/* Continues R x C chains over n elements. x [n / 8][R][8], w [n / 8][C][8] */
MICA__INLINE void tile(int R, int C, const float *x, const float *w, int64_t n, float (*lanes)[PANEL][8],
                       int64_t column)
{
    float32x4_t sum[TILE_M][TILE_N][2];
    MICA__UNROLL
    for (int r = 0; r < R; r++) MICA__UNROLL
    for (int c = 0; c < C; c++) mica__load8(lanes[r][column + c], MICA_DTYPE_F32, sum[r][c]);
    for (int64_t k = 0; k < n; k += 8, x += 8 * R, w += 8 * C) {
        MICA__UNROLL
        for (int h = 0; h < 2; h++) {
            float32x4_t v[TILE_N];
            MICA__UNROLL
            for (int c = 0; c < C; c++) {
                v[c] = vld1q_f32(w + 8 * c + 4 * h);
                MICA__KEEP(v[c]); /* gcc would load both halves at once, and run out of registers */
            }
            MICA__UNROLL
            for (int r = 0; r < R; r++) {
                const float32x4_t u = vld1q_f32(x + 8 * r + 4 * h);
                MICA__UNROLL
                for (int c = 0; c < C; c++) sum[r][c][h] = vfmaq_f32(sum[r][c][h], u, v[c]);
            }
        }
    }
    MICA__UNROLL
    for (int r = 0; r < R; r++) MICA__UNROLL
    for (int c = 0; c < C; c++) {
        vst1q_f32(lanes[r][column + c], sum[r][c][0]);
        vst1q_f32(lanes[r][column + c] + 4, sum[r][c][1]);
    }
}

#define TILE(R)                                                                                                        \
    static __attribute__((noinline)) void tiles_##R(panel *p, int64_t cols, int64_t n, float(*lanes)[PANEL][8])        \
    {                                                                                                                  \
        int64_t c = 0;                                                                                                 \
        for (; c + 3 <= cols; c += 3) tile(R, 3, p->x, p->w + c * DEPTH, n, lanes, c);                                 \
        if (cols - c == 2) tile(R, 2, p->x, p->w + c * DEPTH, n, lanes, c);                                            \
        if (cols - c == 1) tile(R, 1, p->x, p->w + c * DEPTH, n, lanes, c);                                            \
    }
TILE(4)
TILE(1)

/* At most BLOCK rows of x, from `first` on, with columns [c, c + cols). */
MICA__INLINE void add_columns(kind f, const job *j, panel *p, int64_t first, int64_t rows, int64_t c, int64_t cols)
{
    memset(p->lanes, 0, (size_t)rows * sizeof p->lanes[0]);
    for (int64_t k = 0; k < j->k; k += DEPTH) {
        const int64_t n = mica__min(j->k - k, DEPTH);
        fill(f, p, j, c, cols, k, n);
        for (int64_t r = 0, m; r < rows; r += m) {
            m = rows - r < TILE_M ? 1 : TILE_M;
            fill_x(p, j, first + r, m, k, n);
            (m == 1 ? tiles_1 : tiles_4)(p, cols, round8(n), p->lanes + r);
        }
    }
    for (int64_t i = 0; i < cols; i++) {
        const float bias = mica__linear_bias(j->instr, c + i);
        for (int64_t r = 0; r < rows; r++) {
            const float *lanes = p->lanes[r][i];
            j->out[(first + r) * j->n + c + i] = mica__hsum(vld1q_f32(lanes), vld1q_f32(lanes + 4)) + bias;
        }
    }
}

/* ---- kernels ---------------------------------------------------------------------------------------------------------------- */

static job job_of(const mica__instr *instr, const mica__run *run)
{
    const mica__tensor *x = &instr->in[0], *w = &instr->in[1];
    job j = {.instr = instr, .w = w->data, .scales = w->affine.scales, .x = x->data, .out = instr->out.data};
    j.rows = mica__rows(x, run);
    j.x_stride = x->strides[0];
    j.k = w->shape[1];
    j.n = w->shape[0];
    j.row_bytes = w->quantized ? w->shape[1] : w->strides[0] * (int64_t)mica_dtype_size(w->dtype);
    return j;
}

#define DEFINE(f)                                                                                                      \
    static void linear_##f(const mica__instr *instr, const mica__run *run, int id, int n)                              \
    {                                                                                                                  \
        static loop *const loops[4] = {f##_one, f##_two, f##_any, f##_column};                                         \
        const job j = job_of(instr, run);                                                                              \
        int64_t begin, end;                                                                                            \
        mica__share(j.n, PANEL, id, n, &begin, &end);                                                                  \
        if (j.rows <= FEW) {                                                                                           \
            if (j.rows > 0) few_rows(loops, &j, begin, end);                                                           \
            return;                                                                                                    \
        }                                                                                                              \
        panel *p = (panel *)(void *)mica__member_scratch(instr, run, id);                                              \
        for (int64_t r = 0; r < j.rows; r += BLOCK)                                                                    \
            for (int64_t c = begin; c < end; c += PANEL)                                                               \
                add_columns(f, &j, p, r, mica__min(j.rows - r, BLOCK), c, mica__min(end - c, PANEL));                  \
    }
DEFINE(F32)
DEFINE(F16)
DEFINE(BF16)
DEFINE(MXFP8)
#undef DEFINE

bool mica__linear_dense_neon(mica__instr *instr)
{
    static const mica__kernel kernels[] = {linear_F32, linear_F16, linear_BF16, linear_MXFP8};
    const mica__tensor *x = &instr->in[0], *w = &instr->in[1];
    if (x->dtype != MICA_DTYPE_F32 || (x->strides[1] != 1 && x->shape[1] != 1)) return false;
    if (w->quantized ? w->affine.mode != MICA_QUANT_MXFP8 : w->strides[1] != 1 && w->shape[1] != 1) return false;
    if (!w->quantized && w->dtype != MICA_DTYPE_F32 && w->dtype != MICA_DTYPE_F16 && w->dtype != MICA_DTYPE_BF16)
        return false;
    if (x->shape[0] > FEW) instr->member_scratch_bytes = mica__round64(sizeof(panel));
    return mica__set_kernel(instr, kernels[w->quantized                 ? MXFP8
                                           : w->dtype == MICA_DTYPE_F32 ? F32
                                           : w->dtype == MICA_DTYPE_F16 ? F16
                                                                        : BF16]);
}

#else
bool mica__linear_dense_neon(mica__instr *instr)
{
    (void)instr;
    return false;
}
#endif
