/* backend/cpu/linear_dense_avx2.c: x [M, K] times the transpose of w [N, K] in float32, float16 or bfloat16, in float arithmetic.
 *
 * Every output is one chain of eight-lane fused multiply-adds over k, ascending, and one fixed sum of the lanes, in every path
 * below, so a row of x gives the same bits alone and among others:
 *
 *     M <= FEW   w is converted on the way from memory, which sets the pace. A member's rows are cut into as many runs as chains fit the
 *                registers, one row of each at a time: so it reads that many long streams, each in the order of memory, and touches
 *                each some lines ahead. Neighbouring rows side by side, on the other hand, are short stretches in the same few pages,
 *                which processors foresee badly (half the speed at K = 576).
 *     else       a panel of PANEL rows by DEPTH elements of w is converted once and used for BLOCK rows of x in tiles of 4 x 3
 *                chains; between two depths a chain's lanes wait in scratch memory. Phase 0 has packed x by depths, rows one after
 *                another: rows of K elements apart would all fall into the same few sets of the cache. */
#include "linear.h"

#include "convert.h"

#if MICA__X86
#include "simd_avx2.h"

enum {
    FEW = 32,
    PANEL = 12,
    DEPTH = 384,
    RUN = 128 /* of x to pack at once; a depth has whole ones */,
    BLOCK = 256,
    TILE_M = 4,
    TILE_N = 3,
    STREAMS = 8,
    AHEAD = 2048 /* bytes to touch before they are needed, of all streams together */
};

typedef struct job {
    const mica__instr *instr;
    const mica__tensor *w;
    const float *x;
    float *out;
    int64_t rows, k, n, x_stride; /* x_stride: of the few-rows form */
} job;

MICA__INLINE int size_of(mica_dtype dtype) { return dtype == MICA_DTYPE_F32 ? 4 : 2; }

MICA__INLINE const uint8_t *row_of(mica_dtype dtype, const mica__tensor *w, int64_t row)
{
    return (const uint8_t *)w->data + row * w->strides[0] * size_of(dtype);
}

/* ---- a few rows of x ------------------------------------------------------------------------------------------------------ */

/* What to touch while a line of each row of w is used: `from` bytes after the row's start, `step` bytes further with every line. */
typedef struct ahead {
    int64_t from, step;
} ahead;

/* R rows of x from `first` on with C rows of w, `step` rows apart from `row` on. */
MICA__INLINE void dots(mica_dtype dtype, int R, int C, const job *j, int64_t first, int64_t row, int64_t step,
                       ahead next)
{
    const int size = size_of(dtype), line = 64 / size;
    const float *x = j->x + first * j->x_stride;
    const uint8_t *w[STREAMS];
    __m256 sum[TILE_M][STREAMS];
    MICA__UNROLL
    for (int c = 0; c < C; c++) w[c] = row_of(dtype, j->w, row + c * step);
    MICA__UNROLL
    for (int r = 0; r < R; r++) MICA__UNROLL
    for (int c = 0; c < C; c++) sum[r][c] = _mm256_setzero_ps();
    int64_t k = 0;
    for (; k + line <= j->k; k += line) {
        MICA__UNROLL
        for (int c = 0; c < C; c++) _mm_prefetch((const char *)w[c] + next.from, _MM_HINT_T0);
        next.from += next.step;
        MICA__UNROLL
        for (int i = 0; i < line; i += 8) {
            __m256 v[STREAMS], xr[TILE_M];
            if (R < TILE_M) { /* the registers hold all rows of x and one of w, or one of x and all of w */
                MICA__UNROLL
                for (int r = 0; r < R; r++) {
                    xr[r] = _mm256_loadu_ps(x + r * j->x_stride + k + i);
                    MICA__KEEP(xr[r]);
                }
            } else {
                MICA__UNROLL
                for (int c = 0; c < C; c++) v[c] = mica__load8(w[c] + (k + i) * size, dtype);
            }
            if (R < TILE_M) {
                MICA__UNROLL
                for (int c = 0; c < C; c++) {
                    v[0] = mica__load8(w[c] + (k + i) * size, dtype);
                    MICA__UNROLL
                    for (int r = 0; r < R; r++) sum[r][c] = _mm256_fmadd_ps(xr[r], v[0], sum[r][c]);
                }
            } else {
                MICA__UNROLL
                for (int r = 0; r < R; r++) {
                    xr[0] = _mm256_loadu_ps(x + r * j->x_stride + k + i);
                    MICA__KEEP(xr[0]);
                    MICA__UNROLL
                    for (int c = 0; c < C; c++) sum[r][c] = _mm256_fmadd_ps(xr[0], v[c], sum[r][c]);
                }
            }
        }
    }
    for (; k < j->k; k += 8) {
        const int64_t n = mica__min(j->k - k, 8);
        MICA__UNROLL
        for (int c = 0; c < C; c++) {
            const __m256 v = mica__load_some(w[c] + k * size, dtype, n);
            MICA__UNROLL
            for (int r = 0; r < R; r++)
                sum[r][c] = _mm256_fmadd_ps(mica__load_some(x + r * j->x_stride + k, MICA_DTYPE_F32, n), v, sum[r][c]);
        }
    }
    MICA__UNROLL
    for (int r = 0; r < R; r++) MICA__UNROLL
    for (int c = 0; c < C; c++) {
        const int64_t at = row + c * step;
        j->out[(first + r) * j->n + at] = mica__hsum(sum[r][c]) + mica__linear_bias(j->instr, at);
    }
}

/* All rows of x, in passes of at most four that are as even as possible, with C rows of w. One pass touches w some lines ahead; of
 * several, which take w from the cache after the first, each touches its part of the rows that come next. */
MICA__INLINE void columns(mica_dtype dtype, int C, const job *j, int64_t row, int64_t step)
{
    const int64_t passes = (j->rows + TILE_M - 1) / TILE_M, bytes = j->w->strides[0] * size_of(dtype);
    for (int64_t p = 0, first, end = 0; p < passes; p++) {
        const ahead next = passes == 1 ? (ahead){AHEAD / C, 64} : (ahead){bytes + bytes * p / passes, 64 / passes};
        first = end;
        end = j->rows * (p + 1) / passes;
        switch (end - first) {
        case 1:
            dots(dtype, 1, C, j, first, row, step, next);
            break;
        case 2:
            dots(dtype, 2, C, j, first, row, step, next);
            break;
        case 3:
            dots(dtype, 3, C, j, first, row, step, next);
            break;
        default:
            dots(dtype, 4, C, j, first, row, step, next);
            break;
        }
    }
}

/* Loops that must keep to the registers are functions of their own. */
#define LOOP(dtype, name, body)                                                                                        \
    MICA__AVX2 static __attribute__((noinline)) void dtype##_##name(const job *j, int64_t row, int64_t step) { body; }
#define LOOPS(dtype)                                                                                                   \
    LOOP(dtype, one, dots(MICA_DTYPE_##dtype, 1, 8, j, 0, row, step, (ahead){AHEAD / 8, 64}))                          \
    LOOP(dtype, two, dots(MICA_DTYPE_##dtype, 2, 6, j, 0, row, step, (ahead){AHEAD / 6, 64}))                          \
    LOOP(dtype, three, dots(MICA_DTYPE_##dtype, 3, 4, j, 0, row, step, (ahead){AHEAD / 4, 64}))                        \
    LOOP(dtype, any, columns(MICA_DTYPE_##dtype, 3, j, row, step))                                                     \
    LOOP(dtype, column, columns(MICA_DTYPE_##dtype, 1, j, row, step))
LOOPS(F32)
LOOPS(F16)
LOOPS(BF16)

/* Rows row, row + step ... of w, as many as `streams`, with all rows of x. */
typedef struct loop {
    void (*run)(const job *j, int64_t row, int64_t step);
    int64_t streams;
} loop;

static void few_rows(const loop loops[5], const job *j, int64_t begin, int64_t end)
{
    const loop *all = &loops[mica__min(j->rows, 4) - 1], *single = &loops[4];
    const int64_t length = (end - begin) / all->streams;
    for (int64_t i = 0; i < length; i++) all->run(j, begin + i, length);
    for (int64_t row = begin + all->streams * length; row < end; row++) single->run(j, row, 0);
}

/* ---- many rows of x -------------------------------------------------------------------------------------------------------- */

/* Elements [k, k + n) of rows of w, three rows together: eight elements of each, then the next eight; zeros up to a multiple of eight. */
MICA__INLINE void fill_panel(mica_dtype dtype, float *panel, const mica__tensor *w, int64_t row, int64_t rows,
                             int64_t k, int64_t n)
{
    const int size = size_of(dtype), line = 64 / size;
    for (int64_t c = 0; c < rows; c++) {
        const int64_t group = c / TILE_N * TILE_N, step = mica__min(rows - group, TILE_N);
        const uint8_t *p = row_of(dtype, w, row + c) + k * size;
        float *to = panel + group * DEPTH + (c - group) * 8;
        int64_t i = 0;
        for (; i + line <= n; i += line) {
            MICA__UNROLL
            for (int e = 0; e < line; e += 8)
                _mm256_storeu_ps(to + (i + e) * step, mica__load8(p + (i + e) * size, dtype));
        }
        for (; i < n; i += 8)
            _mm256_storeu_ps(to + i * step, mica__load_some(p + i * size, dtype, mica__min(n - i, 8)));
    }
}

/* Continues R x C chains over n elements. x [n / 8][R][8], w [n / 8][C][8], lanes [R][PANEL][8] */
MICA__INLINE void tile(int R, int C, const float *x, const float *w, int64_t n, float *lanes)
{
    __m256 sum[TILE_M][TILE_N];
    MICA__UNROLL
    for (int r = 0; r < R; r++) MICA__UNROLL
    for (int c = 0; c < C; c++) sum[r][c] = _mm256_loadu_ps(lanes + (r * PANEL + c) * 8);
    for (int64_t k = 0; k < n; k += 8, x += 8 * R, w += 8 * C) {
        __m256 v[TILE_N];
        MICA__UNROLL
        for (int c = 0; c < C; c++) v[c] = _mm256_loadu_ps(w + 8 * c);
        MICA__UNROLL
        for (int r = 0; r < R; r++) {
            __m256 xr = _mm256_loadu_ps(x + 8 * r);
            MICA__KEEP(xr);
            MICA__UNROLL
            for (int c = 0; c < C; c++) sum[r][c] = _mm256_fmadd_ps(xr, v[c], sum[r][c]);
        }
    }
    MICA__UNROLL
    for (int r = 0; r < R; r++) MICA__UNROLL
    for (int c = 0; c < C; c++) _mm256_storeu_ps(lanes + (r * PANEL + c) * 8, sum[r][c]);
}

#define TILES(R)                                                                                                       \
    do {                                                                                                               \
        int64_t c = 0;                                                                                                 \
        for (; c + 3 <= cols; c += 3) tile(R, 3, x, panel + c * DEPTH, n, lanes + c * 8);                              \
        if (cols - c == 2) tile(R, 2, x, panel + c * DEPTH, n, lanes + c * 8);                                         \
        if (cols - c == 1) tile(R, 1, x, panel + c * DEPTH, n, lanes + c * 8);                                         \
    } while (0)

/* What the next panel is made of: rows of `lines` cache lines, `step` bytes apart. */
typedef struct source {
    const uint8_t *first;
    int64_t rows, lines, step;
} source;

/* Part `part` of `parts` of those lines: a burst of them all would hold up everything else. */
MICA__INLINE void prefetch_part(const source *a, int64_t part, int64_t parts)
{
    const int64_t all = a->rows * a->lines, end = all * (part + 1) / parts;
    int64_t i = all * part / parts, row = i / a->lines, line = i % a->lines;
    for (; i < end; i++) {
        _mm_prefetch((const char *)a->first + row * a->step + line * 64, _MM_HINT_T1);
        if (++line == a->lines) line = 0, row++;
    }
}

/* All chains of `rows` rows of x with the panel's columns. */
MICA__AVX2 static void multiply_panel(const float *x, int64_t rows, const float *panel, int64_t cols, int64_t n,
                                      float *lanes, const source *next)
{
    const int64_t parts = (rows + TILE_M - 1) / TILE_M;
    for (int64_t p = 0; p < parts; p++, x += TILE_M * n, lanes += TILE_M * PANEL * 8) {
        prefetch_part(next, p, parts);
        switch (rows - p * TILE_M) {
        case 1:
            TILES(1);
            break;
        case 2:
            TILES(2);
            break;
        case 3:
            TILES(3);
            break;
        default:
            TILES(4);
            break;
        }
    }
}

static size_t member_bytes(void) { return (PANEL * DEPTH + BLOCK * PANEL * 8) * sizeof(float); }

static int64_t round8(int64_t n) { return (n + 7) & ~(int64_t)7; }

/* The panel after that of columns [c, c + cols) and elements [k, k + n); none after the member's last. */
MICA__INLINE source panel_after(mica_dtype dtype, const job *j, int64_t c, int64_t cols, int64_t k, int64_t n,
                                int64_t end)
{
    const int size = size_of(dtype);
    k += n;
    if (k == j->k) {
        k = 0;
        c += cols;
        cols = mica__min(end - c, PANEL);
    }
    const int64_t bytes = mica__min(j->k - k, DEPTH) * size;
    return (source){row_of(dtype, j->w, c) + k * size, cols, (bytes + 63) / 64, j->w->strides[0] * size};
}

MICA__INLINE void many_rows(mica_dtype dtype, const job *j, int64_t begin, int64_t end, float *memory)
{
    float *panel = memory, *lanes = memory + PANEL * DEPTH, bias[PANEL];
    for (int64_t first = 0; first < j->rows; first += BLOCK) {
        const int64_t rows = mica__min(j->rows - first, BLOCK);
        for (int64_t c = begin; c < end; c += PANEL) {
            const int64_t cols = mica__min(end - c, PANEL);
            memset(lanes, 0, (size_t)(rows * PANEL * 8) * sizeof(float));
            for (int64_t k = 0; k < j->k; k += DEPTH) {
                const int64_t n = mica__min(j->k - k, DEPTH), width = round8(n);
                const source next = panel_after(dtype, j, c, cols, k, n, end);
                fill_panel(dtype, panel, j->w, c, cols, k, n);
                multiply_panel(j->x + k * j->rows + first * width, rows, panel, cols, width, lanes, &next);
            }
            for (int64_t i = 0; i < cols; i++) bias[i] = mica__linear_bias(j->instr, c + i);
            for (int64_t r = 0; r < rows; r++)
                for (int64_t i = 0; i < cols; i++)
                    j->out[(first + r) * j->n + c + i] =
                        mica__hsum(_mm256_loadu_ps(lanes + (r * PANEL + i) * 8)) + bias[i];
        }
    }
}

/* ---- kernels ---------------------------------------------------------------------------------------------------------------- */

static bool in_place(const mica__tensor *x)
{
    return x->dtype == MICA_DTYPE_F32 && (x->strides[1] == 1 || x->shape[1] == 1);
}

/* Phase 0. Few rows: dense floats [M, K], if x is not that. Many: depth after depth of at most DEPTH elements, zeros up to a multiple of
 * eight; in a depth four rows together (the last ones fewer), eight elements of each, then the next eight. */
static void pack_x(const mica__instr *instr, const mica__run *run, int id, int n)
{
    const mica__tensor *x = &instr->in[0];
    const int64_t rows = mica__rows(x, run), k = x->shape[1], runs = (k + RUN - 1) / RUN;
    const bool few = rows <= FEW;
    int64_t begin, end;
    if (few && in_place(x)) return;
    mica__share(rows * runs, 1, id, n, &begin, &end);
    for (int64_t item = begin; item < end; item++) {
        const int64_t row = item / runs, at = item % runs * RUN, count = mica__min(k - at, RUN);
        const uint8_t *from = (const uint8_t *)x->data;
        from += (row * x->strides[0] + at * x->strides[1]) * (int64_t)mica_dtype_size(x->dtype);
        mica__chunk c;
        memset(c.f32 + count, 0, (size_t)(round8(count) - count) * sizeof(float));
        mica__load(MICA__CLASS_F32, &c, from, x->dtype, x->strides[1], count);
        float *to = (float *)(void *)run->scratch;
        if (few) {
            memcpy(to + row * k + at, c.f32, (size_t)count * sizeof(float));
            continue;
        }
        const int64_t depth = at / DEPTH * DEPTH, width = round8(mica__min(k - depth, DEPTH));
        const int64_t group = row / TILE_M * TILE_M, step = mica__min(rows - group, TILE_M);
        to += depth * rows + group * width + (row - group) * 8 + at % DEPTH * step;
        for (int64_t i = 0; i < count; i += 8) memcpy(to + i * step, c.f32 + i, 8 * sizeof(float));
    }
}

static job job_of(const mica__instr *instr, const mica__run *run)
{
    const mica__tensor *x = &instr->in[0], *w = &instr->in[1];
    job j = {.instr = instr, .w = w, .x = x->data, .out = instr->out.data, .x_stride = x->strides[0]};
    j.rows = mica__rows(x, run);
    j.k = w->shape[1];
    j.n = w->shape[0];
    if (j.rows > FEW || !in_place(x)) {
        j.x = (const float *)(const void *)run->scratch;
        j.x_stride = j.k;
    }
    return j;
}

#define DEFINE(dtype)                                                                                                  \
    MICA__AVX2 static void linear_##dtype(const mica__instr *instr, const mica__run *run, int id, int n)               \
    {                                                                                                                  \
        static const loop loops[5] = {                                                                                 \
            {dtype##_one, 8}, {dtype##_two, 6}, {dtype##_three, 4}, {dtype##_any, 3}, {dtype##_column, 1}};            \
        const job j = job_of(instr, run);                                                                              \
        int64_t begin, end;                                                                                            \
        mica__share(j.n, PANEL, id, n, &begin, &end);                                                                  \
        if (j.rows <= FEW)                                                                                             \
            few_rows(loops, &j, begin, end);                                                                           \
        else                                                                                                           \
            many_rows(MICA_DTYPE_##dtype, &j, begin, end, (float *)(void *)mica__member_scratch(instr, run, id));      \
    }
DEFINE(F32)
DEFINE(F16)
DEFINE(BF16)
#undef DEFINE

bool mica__linear_dense_avx2(mica__instr *instr)
{
    const mica__tensor *x = &instr->in[0], *w = &instr->in[1];
    const bool half = w->dtype == MICA_DTYPE_F16 || w->dtype == MICA_DTYPE_BF16;
    if (w->quantized || (w->strides[1] != 1 && w->shape[1] != 1) || (!half && w->dtype != MICA_DTYPE_F32)) return false;
    const mica__kernel kernel = w->dtype == MICA_DTYPE_F32   ? linear_F32
                                : w->dtype == MICA_DTYPE_F16 ? linear_F16
                                                             : linear_BF16;
    const bool many = x->shape[0] > FEW;
    if (!many && in_place(x)) return mica__set_kernel(instr, kernel);
    if (many) instr->member_scratch_bytes = mica__round64(member_bytes());
    instr->scratch_bytes = mica__round64((size_t)(x->shape[0] * round8(x->shape[1])) * sizeof(float));
    instr->phase[0] = pack_x;
    instr->first_phase_key = 1;
    instr->phase[1] = kernel;
    instr->n_phases = 2;
    return true;
}

#else
bool mica__linear_dense_avx2(mica__instr *instr)
{
    (void)instr;
    return false;
}
#endif
