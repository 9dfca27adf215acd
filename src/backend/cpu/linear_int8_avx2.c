/* backend/cpu/linear_int8_avx2.c: affine weights of 4 bits with activations rounded to 8 bits.
 *
 * Runs of 32 elements of x have a scale d = (high - low) / 255 and integers q = 0 .. 255: x ~ d q + low. With w = s c + b in a group,
 * c' = c - 8 and b' = b + 8 s,
 *
 *     sum of w x  ~  s (sum over the group's runs of d (sum of c' q) + low (sum of c')) + b' (sum of d q + low)
 *
 * One run in 16, the widest of the row, has a second byte for what the first left of each element. All sums take the rounded x, so the
 * result is w times it. q is unsigned and c' signed, which is what vpmaddubsw multiplies, 32 products an
 * instruction; the 16 products that a 16-bit lane gets of a run are at most 16 * 255 * 8 = 32640, so they are widened once a run.
 * A scale of their own for 32 elements, and 8 bits between the smallest and the largest instead of on either side of 0, make a quarter
 * of the error (squared) of 127 steps a group of 64.
 *
 * Panels of 16 rows of w are unpacked once, words of four codes of its rows side by side, and meet all rows of x in tiles of four, whose words
 * are broadcast. An output is one chain of groups whatever the number of rows, so a row of x gives the same bits alone and among others. */
#include "linear.h"

#if MICA__X86
#include "convert.h"
#include "int16_avx2.h"

#include <math.h>

enum { RUN = 32, STEPS = 8, PANEL = 16, TILE = 4, WIDE_OF = 16, DEPTH = 64 /* runs of a panel */, CHUNK_ROWS = 256 };

/* ---- rows of x --------------------------------------------------------------------------------------------------------------- */

/* A rounded row in scratch memory: q [k], d [runs], low [runs], the sum of rounded x [groups], how many runs are wide (int32), and of those,
 * in order: the run (int32) [most], d of its second integers [most], and these [most][RUN]. */
typedef struct layout {
    int64_t k, runs, groups, most, bytes;
} layout;

static layout layout_of(const mica__tensor *w)
{
    const int64_t k = w->shape[1], runs = k / RUN, groups = k / w->affine.group_size,
                  most = mica__max((runs + WIDE_OF / 2) / WIDE_OF, 1);
    const int64_t bytes = k + 4 * (2 * runs + groups + 1) + (8 + RUN) * most;
    return (layout){k, runs, groups, most, (int64_t)mica__round64((size_t)bytes)};
}

static inline const float *d_of(const layout *l, const uint8_t *x) { return (const float *)(const void *)(x + l->k); }

typedef struct wide_runs {
    int32_t *n, *run;
    float *d;
    uint8_t *q;
} wide_runs;

static inline wide_runs wide_of(const layout *l, const uint8_t *x)
{
    int32_t *n = (int32_t *)(void *)(d_of(l, x) + 2 * l->runs + l->groups), *run = n + 1;
    return (wide_runs){n, run, (float *)(void *)(run + l->most), (uint8_t *)(run + 2 * l->most)};
}

MICA__INLINE float largest(const __m256 v[4])
{
    return mica__hmax(_mm256_max_ps(_mm256_max_ps(v[0], v[1]), _mm256_max_ps(v[2], v[3])));
}

/* (x - low) inverse as 32 bytes, and their sum; of every 8 the even elements come first, as the low halves of 4 packed bytes do. */
MICA__INLINE float store_steps(const __m256 x[4], float low, float inverse, uint8_t *q)
{
    const __m256i order =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15));
    __m256i v[4];
    for (int i = 0; i < 4; i++)
        v[i] = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_sub_ps(x[i], _mm256_set1_ps(low)), _mm256_set1_ps(inverse)));
    __m256i bytes = _mm256_packus_epi16(_mm256_packs_epi32(v[0], v[1]), _mm256_packs_epi32(v[2], v[3]));
    bytes = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    _mm256_storeu_si256((__m256i *)(void *)q, _mm256_shuffle_epi8(bytes, order));
    return (float)mica__hsum_epi32(_mm256_sad_epu8(bytes, _mm256_setzero_si256()));
}

/* One run; returns the sum of rounded x. Infinities and NaN make d NaN. */
MICA__INLINE float round_run(const float *x, uint8_t *q, float *d, float *low)
{
    __m256 v[4], negated[4], odd = _mm256_setzero_ps();
    for (int i = 0; i < 4; i++) {
        v[i] = _mm256_loadu_ps(x + 8 * i);
        negated[i] = _mm256_xor_ps(v[i], _mm256_set1_ps(-0.0f));
        odd = _mm256_add_ps(odd, _mm256_sub_ps(v[i], v[i]));
    }
    const float bad = mica__hsum(odd), least = -largest(negated), width = largest(v) - least;
    float inverse = width > 0 ? 255 / width : 0;
    const bool flat = inverse > 0x1p126f; /* all but the same */
    const float sum = store_steps(v, least, flat ? 0 : inverse, q);
    *d = (flat ? 0 : width / 255) + bad;
    *low = least;
    return *d * sum + RUN * least;
}

/* What is between x and what it was rounded to, in steps of d / 255 from the 128th below 0 on; returns its sum. */
MICA__INLINE float round_rest(const float *x, const uint8_t *q, float d, float low, uint8_t *rest)
{
    __m256 v[4];
    for (int i = 0; i < 4; i++) {
        const __m128i order = _mm_setr_epi8(0, 4, 1, 5, 2, 6, 3, 7, -1, -1, -1, -1, -1, -1, -1, -1);
        const __m128i bytes = _mm_shuffle_epi8(_mm_loadl_epi64((const __m128i *)(const void *)(q + 8 * i)), order);
        const __m256 steps = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes));
        const __m256 there = _mm256_fmadd_ps(steps, _mm256_set1_ps(d), _mm256_set1_ps(low));
        v[i] = _mm256_sub_ps(_mm256_loadu_ps(x + 8 * i), there);
    }
    const float inverse = d > 0 ? 255 / d : 0;
    return d / 255 * (store_steps(v, -128 * (d / 255), inverse > 0x1p126f ? 0 : inverse, rest) - 128 * RUN);
}

/* How many of d [n] are at least `least`. */
MICA__INLINE int64_t count_from(const float *d, int64_t n, float least)
{
    int64_t count = 0, i = 0;
    for (; i + 8 <= n; i += 8) {
        const __m256 more = _mm256_cmp_ps(_mm256_loadu_ps(d + i), _mm256_set1_ps(least), _CMP_GE_OQ);
        count += __builtin_popcount((unsigned)_mm256_movemask_ps(more));
    }
    for (; i < n; i++) count += d[i] >= least;
    return count;
}

/* The largest number that at least `wanted` of d [n] reach, or 0. Floats from 0 on are ordered like their bits. */
MICA__INLINE float nth_largest(const float *d, int64_t n, int64_t wanted)
{
    uint32_t least = 0;
    for (uint32_t bit = 1u << 30; bit; bit >>= 1) {
        const uint32_t bits = least | bit;
        float value;
        memcpy(&value, &bits, sizeof value);
        if (count_from(d, n, value) >= wanted) least = bits;
    }
    float value;
    memcpy(&value, &least, sizeof value);
    return value;
}

/* Gives the widest runs of a row their rest. x [k] */
MICA__INLINE void round_wide(const layout *l, const float *x, uint8_t *row, int64_t runs_of_group)
{
    float *d = (float *)(void *)(row + l->k), *low = d + l->runs, *sums = low + l->runs;
    const wide_runs wide = wide_of(l, row);
    const float least = nth_largest(d, l->runs, l->most);
    int32_t n = 0;
    int64_t equal = l->most - count_from(d, l->runs, nextafterf(least, INFINITY));
    for (int64_t i = 0; i < l->runs; i++) {
        if (!(d[i] > least) && !(d[i] == least && equal-- > 0)) continue;
        const int64_t at = i * RUN;
        sums[i / runs_of_group] += round_rest(x + at, row + at, d[i], low[i], wide.q + n * RUN);
        low[i] -= 128 * (d[i] / 255);
        wide.run[n] = (int32_t)i;
        wide.d[n++] = d[i] / 255;
    }
    *wide.n = n;
}

/* Phase 0: row by row. */
MICA__AVX2 static void round_x(const mica__instr *instr, const mica__run *run, int id, int n)
{
    const mica__tensor *x = &instr->in[0], *w = &instr->in[1];
    const layout l = layout_of(w);
    const int64_t size = w->affine.group_size;
    int64_t begin, end;
    mica__share(mica__rows(x, run), 1, id, n, &begin, &end);
    for (int64_t r = begin; r < end; r++) {
        const float *from = (const float *)x->data + r * x->strides[0];
        uint8_t *row = run->scratch + r * l.bytes;
        float *d = (float *)(void *)(row + l.k), *low = d + l.runs, *sums = low + l.runs;
        for (int64_t i = 0; i < l.k; i += size) {
            float sum = 0;
            for (int64_t k = i; k < i + size; k += RUN) sum += round_run(from + k, row + k, d + k / RUN, low + k / RUN);
            sums[i / size] = sum;
        }
        round_wide(&l, from, row, size / RUN);
    }
}

/* ---- panels of w ------------------------------------------------------------------------------------------------------------- */

/* A member's working memory: runs [first, first + n) of 16 rows of w, and what all rows of x have so far. */
typedef struct panel {
    int8_t codes[DEPTH][STEPS][PANEL][4];             /* c' */
    float code_sums[DEPTH][PANEL];                    /* of each run */
    float scales[DEPTH][PANEL], biases[DEPTH][PANEL]; /* of each group; b' */
    float y[CHUNK_ROWS][PANEL];
    int64_t first, n;
} panel;

/* v[i]: 4 words of rows i and i + 4; then v[j]: word j of the eight rows. */
MICA__INLINE void words_of_rows(__m256i v[4])
{
    const __m256i a = _mm256_unpacklo_epi32(v[0], v[1]), b = _mm256_unpackhi_epi32(v[0], v[1]),
                  c = _mm256_unpacklo_epi32(v[2], v[3]), d = _mm256_unpackhi_epi32(v[2], v[3]);
    v[0] = _mm256_unpacklo_epi64(a, c);
    v[1] = _mm256_unpackhi_epi64(a, c);
    v[2] = _mm256_unpacklo_epi64(b, d);
    v[3] = _mm256_unpackhi_epi64(b, d);
}

MICA__INLINE __m256i two_rows(const uint8_t *low, const uint8_t *high)
{
    return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)low)),
                                   _mm_loadu_si128((const __m128i *)(const void *)high), 1);
}

/* Rows c + h .. c + h + 7 of the panel's codes; rows past the last are the last. */
MICA__AVX2 static void fill_codes(panel *to, const mica__codes *w, int64_t c, int h)
{
    const __m256i mask = _mm256_set1_epi8(15), eight = _mm256_set1_epi8(8), one8 = _mm256_set1_epi8(1),
                  one16 = _mm256_set1_epi16(1);
    const uint8_t *row[8];
    for (int r = 0; r < 8; r++)
        row[r] = w->codes + mica__min(c + h + r, w->rows - 1) * w->row_bytes + to->first * (RUN / 2);
    for (int64_t i = 0; i < to->n; i++) {
        __m256i v[4], sum = _mm256_setzero_si256();
        for (int r = 0; r < 4; r++) v[r] = two_rows(row[r] + i * (RUN / 2), row[r + 4] + i * (RUN / 2));
        words_of_rows(v);
        for (int j = 0; j < 4; j++) {
            const __m256i even = _mm256_sub_epi8(_mm256_and_si256(v[j], mask), eight),
                          odd = _mm256_sub_epi8(_mm256_and_si256(_mm256_srli_epi16(v[j], 4), mask), eight);
            _mm256_storeu_si256((__m256i *)(void *)to->codes[i][2 * j][h], even);
            _mm256_storeu_si256((__m256i *)(void *)to->codes[i][2 * j + 1][h], odd);
            sum = _mm256_add_epi16(sum,
                                   _mm256_add_epi16(_mm256_maddubs_epi16(one8, even), _mm256_maddubs_epi16(one8, odd)));
        }
        _mm256_storeu_ps(to->code_sums[i] + h, _mm256_cvtepi32_ps(_mm256_madd_epi16(sum, one16)));
    }
}

/* Factors of `count` groups, at most 8, of 8 rows from `row` on; to columns. */
MICA__INLINE void load_factors(const mica__factors *f, int64_t rows, int64_t row, int64_t group, int64_t count,
                               __m256 v[8])
{
    for (int r = 0; r < 8; r++) {
        const uint8_t *p =
            f->first + mica__min(row + r, rows - 1) * f->row_bytes + group * (f->dtype == MICA_DTYPE_F32 ? 4 : 2);
        v[r] = count == 8 ? mica__load8(p, f->dtype) : mica__load_some(p, f->dtype, count);
    }
    mica__transpose8(v);
}

MICA__AVX2 static void fill(panel *to, const mica__codes *w, int64_t c, int64_t runs_of_group)
{
    const int64_t groups = to->n / runs_of_group, first = to->first / runs_of_group;
    for (int h = 0; h < PANEL; h += 8) {
        fill_codes(to, w, c, h);
        for (int64_t i = 0; i < groups; i += 8) {
            const int64_t count = mica__min(groups - i, 8);
            __m256 scale[8], bias[8];
            load_factors(&w->scales, w->rows, c + h, first + i, count, scale);
            if (w->biases.first) load_factors(&w->biases, w->rows, c + h, first + i, count, bias);
            for (int g = 0; g < count; g++) {
                const __m256 eight = _mm256_mul_ps(_mm256_set1_ps(8), scale[g]);
                _mm256_storeu_ps(to->scales[i + g] + h, scale[g]);
                _mm256_storeu_ps(to->biases[i + g] + h,
                                 w->biases.first ? _mm256_add_ps(bias[g], eight) : _mm256_setzero_ps());
            }
        }
    }
}

/* ---- tiles ------------------------------------------------------------------------------------------------------------------------- */

/* Integer sums of one run: T rows of x, whose first's q is given, with 16 rows of w. */
MICA__INLINE void run_sums(int T, const int8_t codes[STEPS][PANEL][4], const uint8_t *q, int64_t stride,
                           __m256i sums[TILE][2])
{
    MICA__UNROLL
    for (int k = 0; k < STEPS; k++) {
        const __m256i w0 = mica__load32(codes[k][0]), w1 = mica__load32(codes[k][8]);
        MICA__UNROLL
        for (int t = 0; t < T; t++) {
            int32_t word;
            memcpy(&word, q + t * stride + 4 * k, 4);
            const __m256i x = _mm256_set1_epi32(word), p0 = _mm256_maddubs_epi16(x, w0),
                          p1 = _mm256_maddubs_epi16(x, w1);
            sums[t][0] = k ? _mm256_add_epi16(sums[t][0], p0) : p0;
            sums[t][1] = k ? _mm256_add_epi16(sums[t][1], p1) : p1;
            MICA__KEEP(sums[t][0]);
            MICA__KEEP(sums[t][1]);
        }
    }
}

/* Continues y of T rows of x, of which the first is row r of the chunk. */
MICA__INLINE void tile(int runs_of_group, int T, panel *w, const layout *l, const uint8_t *x, int64_t r)
{
    const __m256i one = _mm256_set1_epi16(1);
    const int64_t stride = l->bytes, to_low = l->runs, groups = w->n / runs_of_group;
    const uint8_t *q = x + r * stride + w->first * RUN;
    const float *d = d_of(l, x + r * stride), *all = d + 2 * l->runs + w->first / runs_of_group;
    d += w->first;
    for (int64_t g = 0; g < groups; g++) {
        __m256 group[TILE][2];
        MICA__UNROLL
        for (int j = 0; j < runs_of_group; j++, q += RUN, d++) {
            const int64_t i = g * runs_of_group + j;
            __m256i sums[TILE][2];
            run_sums(T, w->codes[i], q, stride, sums);
            MICA__UNROLL
            for (int t = 0; t < T; t++) {
                const __m256 scale = _mm256_broadcast_ss(d + t * (stride / 4)),
                             low = _mm256_broadcast_ss(d + t * (stride / 4) + to_low);
                MICA__UNROLL
                for (int v = 0; v < 2; v++) {
                    const __m256 sum = _mm256_cvtepi32_ps(_mm256_madd_epi16(sums[t][v], one));
                    group[t][v] = j ? _mm256_fmadd_ps(sum, scale, group[t][v]) : _mm256_mul_ps(sum, scale);
                    group[t][v] = _mm256_fmadd_ps(_mm256_loadu_ps(w->code_sums[i] + 8 * v), low, group[t][v]);
                }
            }
        }
        MICA__UNROLL
        for (int t = 0; t < T; t++) {
            const __m256 sum = _mm256_broadcast_ss(all + t * (stride / 4) + g);
            MICA__UNROLL
            for (int v = 0; v < 2; v++) {
                __m256 y = _mm256_loadu_ps(w->y[r + t] + 8 * v);
                y = _mm256_fmadd_ps(_mm256_loadu_ps(w->scales[g] + 8 * v), group[t][v], y);
                y = _mm256_fmadd_ps(_mm256_loadu_ps(w->biases[g] + 8 * v), sum, y);
                _mm256_storeu_ps(w->y[r + t] + 8 * v, y);
            }
        }
    }
}

#define TILES(size)                                                                                                    \
    MICA__AVX2 static                                                                                                  \
        __attribute__((noinline)) void one_##size(panel *w, const layout *l, const uint8_t *x, int64_t r)              \
    {                                                                                                                  \
        tile(size / RUN, 1, w, l, x, r);                                                                               \
    }                                                                                                                  \
    MICA__AVX2 static                                                                                                  \
        __attribute__((noinline)) void four_##size(panel *w, const layout *l, const uint8_t *x, int64_t r)             \
    {                                                                                                                  \
        tile(size / RUN, TILE, w, l, x, r);                                                                            \
    }
TILES(32)
TILES(64)
TILES(128)

/* The rests of the wide runs in the panel: row r of the chunk. */
MICA__AVX2 static __attribute__((noinline)) void add_rests(panel *w, const layout *l, const uint8_t *x, int64_t r,
                                                           int64_t runs_of_group)
{
    const wide_runs wide = wide_of(l, x + r * l->bytes);
    float *y = w->y[r];
    for (int32_t j = 0; j < *wide.n; j++) {
        const int64_t i = wide.run[j] - w->first;
        if (i < 0 || i >= w->n) continue;
        const __m256 d = _mm256_broadcast_ss(wide.d + j);
        __m256i sums[TILE][2];
        run_sums(1, w->codes[i], wide.q + j * RUN, 0, sums);
        for (int v = 0; v < 2; v++) {
            const __m256 sum = _mm256_cvtepi32_ps(_mm256_madd_epi16(sums[0][v], _mm256_set1_epi16(1))),
                         scale = _mm256_mul_ps(_mm256_loadu_ps(w->scales[i / runs_of_group] + 8 * v), d);
            _mm256_storeu_ps(y + 8 * v, _mm256_fmadd_ps(sum, scale, _mm256_loadu_ps(y + 8 * v)));
        }
    }
}

typedef void (*tile_kernel)(panel *w, const layout *l, const uint8_t *x, int64_t r);

/* Rows of x, at most CHUNK_ROWS, with columns [c, c + PANEL) before `end`. */
MICA__AVX2 static void add_columns(const mica__instr *instr, panel *memory, const mica__codes *w, const layout *l,
                                   const uint8_t *x, int64_t rows, float *out, int64_t c, int64_t end)
{
    static const tile_kernel one[3] = {one_32, one_64, one_128}, four[3] = {four_32, four_64, four_128};
    const int64_t cols = mica__min(end - c, PANEL), size = instr->in[1].affine.group_size;
    float bias[PANEL] = {0};
    for (int64_t i = 0; i < cols; i++) bias[i] = mica__linear_bias(instr, c + i);
    for (int64_t r = 0; r < rows; r++) memcpy(memory->y[r], bias, sizeof bias);
    for (memory->first = 0; memory->first < l->runs; memory->first += memory->n) {
        memory->n = mica__min(l->runs - memory->first, DEPTH);
        fill(memory, w, c, size / RUN);
        int64_t r = 0;
        for (; r + TILE <= rows; r += TILE) four[size / 64](memory, l, x, r);
        for (; r < rows; r++) one[size / 64](memory, l, x, r);
        for (r = 0; r < rows; r++) add_rests(memory, l, x, r, size / RUN);
    }
    for (int64_t r = 0; r < rows; r++)
        for (int v = 0; v < PANEL; v += 8)
            mica__store_lanes(out + r * w->rows + c + v, _mm256_loadu_ps(memory->y[r] + v), cols - v);
}

static void linear(const mica__instr *instr, const mica__run *run, int id, int n)
{
    const mica__codes w = mica__codes_of(&instr->in[1]);
    const layout l = layout_of(&instr->in[1]);
    const int64_t rows = mica__rows(&instr->in[0], run);
    panel *memory = (panel *)(void *)mica__member_scratch(instr, run, id);
    int64_t begin, end;
    mica__share(w.rows, PANEL, id, n, &begin, &end);
    for (int64_t r = 0; r < rows; r += CHUNK_ROWS)
        for (int64_t c = begin; c < end; c += PANEL)
            add_columns(instr, memory, &w, &l, run->scratch + r * l.bytes, mica__min(rows - r, CHUNK_ROWS),
                        (float *)instr->out.data + r * w.rows, c, end);
}

bool mica__add_int8_avx2(mica__instr *instr)
{
    const mica__tensor *x = &instr->in[0], *w = &instr->in[1];
    if (!w->quantized || w->affine.mode != MICA_QUANT_AFFINE || w->affine.bits != 4) return false;
    if (x->dtype != MICA_DTYPE_F32 || x->strides[1] != 1) return false;
    const size_t bytes = (size_t)x->shape[0] * (size_t)layout_of(w).bytes, own = mica__round64(sizeof(panel));
    instr->int8_phase[0] = round_x;
    instr->int8_phase[1] = linear;
    if (instr->scratch_bytes < bytes) instr->scratch_bytes = bytes;
    if (instr->member_scratch_bytes < own) instr->member_scratch_bytes = own;
    return true;
}

#else
bool mica__add_int8_avx2(mica__instr *instr)
{
    (void)instr;
    return false;
}
#endif
