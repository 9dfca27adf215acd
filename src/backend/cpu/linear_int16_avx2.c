/* backend/cpu/linear_int16_avx2.c: affine weights of 4 and 8 bits with activations rounded to 16-bit integers: products of
 * few rows of x. int16_avx2.h says what is computed.
 *
 * A row of w goes by in blocks of eight groups, one for each chain. A group's products are summed to a vector; eight such
 * vectors are added across their lanes as one small transposition, which leaves eight sums in the order in which scales and biases lie in
 * memory. So the codes, scales and biases of a row are read once, in order, and nothing is rearranged.
 *
 * Two rows share the loads of x. They are far apart, in the two halves of a member's columns: two rows in one page confuse the
 * processor's prefetching so much that they arrive at a third of the speed. What comes later is touched line by line between the
 * products: a block's lines at once fill the queue for lines on their way, and the loads behind them wait. The numbers are in
 * bench/RESULTS.md. Of several rows of x, four at a time meet codes that were split once. */
#include "int16_avx2.h"

#include "convert.h"

#if MICA__X86

/* Bytes from what is read to what is touched ahead, of codes and of scales and biases: the fastest of 512 to 4096 and of 64 to 2048 on
 * a Zen 3, if by little. */
enum { CODES_AHEAD = 2048, FACTORS_AHEAD = 128 };

MICA__INLINE void touch(const uint8_t *p, int64_t ahead)
{
    _mm_prefetch((const char *)((uintptr_t)p + (uintptr_t)ahead), _MM_HINT_T0);
}

/* ---- sums of a block ------------------------------------------------------------------------------------------------------- */

/* A unit is what one vector of sums stands for: a group, or a span of two groups of 32 in 4 bits, one in either half. */
#define TWO(bits, size) ((bits) == 4 && (size) == 32)
#define UNIT(bits, size) (TWO(bits, size) ? 64 : (size)) /* elements */
#define UNITS(bits, size) (TWO(bits, size) ? 4 : 8)      /* in a block */

/* Sums of neighbouring lanes: those of a, then those of b, in either half. */
MICA__INLINE __m256i merge(__m256i a, __m256i b)
{
    const __m256 x = _mm256_castsi256_ps(a), y = _mm256_castsi256_ps(b);
    return _mm256_add_epi32(_mm256_castps_si256(_mm256_shuffle_ps(x, y, 0x88)),
                            _mm256_castps_si256(_mm256_shuffle_ps(x, y, 0xdd)));
}

/* The block's eight sums in the order of groups, from its units' vectors merged four by four. */
MICA__INLINE __m256i in_order(int bits, int size, __m256i a, __m256i b)
{
    if (TWO(bits, size)) return _mm256_permutevar8x32_epi32(a, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    return _mm256_add_epi32(_mm256_permute2x128_si256(a, b, 0x20), _mm256_permute2x128_si256(a, b, 0x31));
}

/* The vectors of sums of a unit for R rows of w (1 or 2). */
MICA__INLINE void unit(int bits, int size, int R, const uint8_t *const w[2], const int16_t *x, __m256i sum[2])
{
    const int parts = bits == 4 ? 4 : 2, spans = UNIT(bits, size) * bits / 256;
    MICA__UNROLL
    for (int s = 0; s < spans; s++) {
        MICA__UNROLL
        for (int r = 0; r < R; r++) {
            const __m256i c = mica__load32(w[r] + 32 * s);
            const int16_t *q = x + s * 16 * parts;
            __m256i t[2];
            MICA__UNROLL
            for (int p = 0; p < parts; p++) {
                const __m256i m = _mm256_madd_epi16(mica__part_of(bits, c, p), mica__load32(q + 16 * p));
                t[p % 2] = p < 2 ? m : _mm256_add_epi32(t[p % 2], m);
            }
            t[0] = _mm256_add_epi32(t[0], t[1]);
            sum[r] = s ? _mm256_add_epi32(sum[r], t[0]) : t[0];
            MICA__KEEP(sum[r]);
        }
    }
}

/* Those of two neighbouring pieces merged: of units, for which the lines ahead are touched, then of pairs of units. */
#define MERGED(name, piece, units)                                                                                     \
    MICA__INLINE void name(int bits, int size, int R, const uint8_t *const w[2], const int16_t *x, __m256i sum[2])     \
    {                                                                                                                  \
        const int elements = (units)*UNIT(bits, size), bytes = elements * bits / 8;                                    \
        const uint8_t *const next[2] = {w[0] + bytes, w[R - 1] + bytes};                                               \
        __m256i a[2], b[2];                                                                                            \
        for (int r = 0; (units) == 1 && r < R; r++)                                                                    \
            for (int i = 0; i < 2 * bytes; i += 64) touch(w[r], CODES_AHEAD + i);                                      \
        piece(bits, size, R, w, x, a);                                                                                 \
        piece(bits, size, R, next, x + elements, b);                                                                   \
        MICA__UNROLL                                                                                                   \
        for (int r = 0; r < R; r++) sum[r] = merge(a[r], b[r]);                                                        \
    }
MERGED(two_units, unit, 1)
MERGED(four_units, two_units, 2)

/* A whole block of R rows. */
MICA__INLINE void whole_block(int bits, int size, int R, const uint8_t *const w[2], const int16_t *x, __m256i sum[2])
{
    const int elements = 4 * UNIT(bits, size), bytes = elements * bits / 8;
    const uint8_t *const next[2] = {w[0] + bytes, w[R - 1] + bytes};
    __m256i a[2], b[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    four_units(bits, size, R, w, x, a);
    if (!TWO(bits, size)) four_units(bits, size, R, next, x + elements, b);
    MICA__UNROLL
    for (int r = 0; r < R; r++) sum[r] = in_order(bits, size, a[r], b[r]);
}

/* n groups of one row, fewer than a block. */
MICA__INLINE __m256i part_block(int bits, int size, const uint8_t *w, const int16_t *x, int64_t n)
{
    const int elements = UNIT(bits, size), bytes = elements * bits / 8;
    __m256i v[8];
    for (int i = 0; i < 8; i++) v[i] = _mm256_setzero_si256();
    for (int64_t i = 0; i * elements < n * size; i++, w += bytes, x += elements) {
        uint8_t half[32] = {0}; /* a last group of 32, whose span the row does not fill */
        const uint8_t *const from[2] = {(i + 1) * elements <= n * size ? w : memcpy(half, w, 16)};
        unit(bits, size, 1, from, x, v + i);
    }
    const __m256i a = merge(merge(v[0], v[1]), merge(v[2], v[3]));
    return in_order(bits, size, a, merge(merge(v[4], v[5]), merge(v[6], v[7])));
}

/* ---- one row of x -------------------------------------------------------------------------------------------------------------- */

/* Eight factors of a row from `group` on, zeros past the row's last. */
MICA__INLINE __m256 load_factors(const mica__factors *f, int64_t row, int64_t group)
{
    const int64_t left = f->groups - group, size = f->dtype == MICA_DTYPE_F32 ? 4 : 2;
    const uint8_t *p = f->first + row * f->row_bytes + group * size;
    touch(p, FACTORS_AHEAD);
    if (left >= MICA__CHAINS) return mica__load8(p, f->dtype);
    if (f->end - p < MICA__CHAINS * size) return mica__load_some(p, f->dtype, left);
    return _mm256_and_ps(mica__load8(p, f->dtype), _mm256_castsi256_ps(mica__first_lanes(left)));
}

MICA__INLINE __m256 load_biases(int bits, const mica__codes *w, __m256 scales, int64_t row, int64_t group)
{
    if (w->biases.first) return load_factors(&w->biases, row, group);
    return _mm256_mul_ps(_mm256_set1_ps(mica__symmetric_offset(bits)), scales);
}

/* The chains of R rows of w (1 or 2), rows[0] and rows[1], with one row of x. */
MICA__INLINE void chains(int bits, int size, int R, const mica__codes *w, const int64_t rows[2],
                         const mica__int16_row *l, const uint8_t *x, __m256 y[2])
{
    enum { STEP = MICA__CHAINS };
    const int bytes = STEP * size * bits / 8;
    const uint8_t *codes[2] = {w->codes + rows[0] * w->row_bytes, w->codes + rows[R - 1] * w->row_bytes};
    const float *d = mica__int16_d(l, x), *dsum = d + l->groups;
    const int16_t *q = (const int16_t *)(const void *)x;
    y[0] = y[1] = _mm256_setzero_ps();
    for (int64_t g = 0; g < w->groups; g += STEP, q += STEP * size) {
        __m256i sum[2];
        if (w->groups - g >= STEP) {
            whole_block(bits, size, R, (const uint8_t *const *)codes, q, sum);
        } else {
            MICA__UNROLL
            for (int r = 0; r < R; r++) sum[r] = part_block(bits, size, codes[r], q, w->groups - g);
        }
        const __m256 d8 = _mm256_loadu_ps(d + g), dsum8 = _mm256_loadu_ps(dsum + g);
        MICA__UNROLL
        for (int r = 0; r < R; r++) {
            const __m256 scales = load_factors(&w->scales, rows[r], g);
            y[r] = mica__add_groups(y[r], sum[r], scales, load_biases(bits, w, scales, rows[r], g), d8, dsum8);
            codes[r] += bytes;
        }
    }
}

typedef void (*chains_kernel)(const mica__codes *w, const int64_t rows[2], const mica__int16_row *l, const uint8_t *x,
                              __m256 y[2]);

/* Loops that must keep to the registers are functions of their own. */
#define CHAINS(bits, size)                                                                                             \
    MICA__AVX2 static __attribute__((noinline)) void chains_##bits##_##size##_1(                                       \
        const mica__codes *w, const int64_t rows[2], const mica__int16_row *l, const uint8_t *x, __m256 y[2])          \
    {                                                                                                                  \
        chains(bits, size, 1, w, rows, l, x, y);                                                                       \
    }                                                                                                                  \
    MICA__AVX2 static __attribute__((noinline)) void chains_##bits##_##size##_2(                                       \
        const mica__codes *w, const int64_t rows[2], const mica__int16_row *l, const uint8_t *x, __m256 y[2])          \
    {                                                                                                                  \
        chains(bits, size, 2, w, rows, l, x, y);                                                                       \
    }
CHAINS(4, 32)
CHAINS(4, 64)
CHAINS(4, 128)
CHAINS(8, 32)
CHAINS(8, 64)
CHAINS(8, 128)

/* Outputs from the chains of eight columns, of which n are stored. */
MICA__AVX2 static void store_outputs(const mica__instr *instr, __m256 y[8], int64_t c, int64_t n, float *out)
{
    float bias[8] = {0};
    if (n <= 0) return;
    for (int64_t i = 0; i < mica__min(n, 8); i++) bias[i] = mica__linear_bias(instr, c + i);
    mica__transpose8(y);
    __m256 sum = y[0];
    for (int i = 1; i < 8; i++) sum = _mm256_add_ps(sum, y[i]);
    mica__store_lanes(out + c, _mm256_add_ps(sum, _mm256_loadu_ps(bias)), n);
}

/* Columns [begin, end) of one row of x. */
MICA__AVX2 static void one_row(const mica__instr *instr, const mica__codes *w, const mica__int16_row *l,
                               const uint8_t *x, const chains_kernel kernel[2], float *out, int64_t begin, int64_t end)
{
    const int64_t half = (end - begin + 15) / 16 * 8;
    for (int64_t c = begin; c < begin + half; c += 8) {
        __m256 y[2][8];
        for (int64_t i = 0; i < 8; i++) {
            const int64_t rows[2] = {c + i, c + half + i};
            __m256 pair[2];
            pair[0] = pair[1] = _mm256_setzero_ps();
            if (rows[0] < end) kernel[rows[1] < end](w, rows, l, x, pair);
            y[0][i] = pair[0];
            y[1][i] = pair[1];
        }
        store_outputs(instr, y[0], c, end - c, out);
        store_outputs(instr, y[1], c + half, end - c - half, out);
    }
}

/* ---- a few rows of x ------------------------------------------------------------------------------------------------------------ */

/* The vectors of sums of a unit of one row of w for X rows of x. */
MICA__INLINE void unit_of_few(int bits, int size, int X, const uint8_t *w, bool half, const uint8_t *x, int64_t x_bytes,
                              __m256i to[MICA__TILE])
{
    const int parts = bits == 4 ? 4 : 2, spans = UNIT(bits, size) * bits / 256;
    __m256i sum[MICA__TILE];
    MICA__UNROLL
    for (int s = 0; s < spans; s++) {
        const __m256i c =
            half ? _mm256_zextsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)w)) : mica__load32(w + 32 * s);
        MICA__UNROLL
        for (int p = 0; p < parts; p++) {
            const __m256i part = mica__part_of(bits, c, p);
            const uint8_t *q = x + (s * parts + p) * 32;
            MICA__UNROLL
            for (int m = 0; m < X; m++, q += x_bytes) {
                const __m256i products = _mm256_madd_epi16(part, mica__load32(q));
                sum[m] = s || p ? _mm256_add_epi32(sum[m], products) : products;
                MICA__KEEP(sum[m]);
            }
        }
    }
    MICA__UNROLL
    for (int m = 0; m < X; m++) to[m] = sum[m];
}

/* The chains of one row of w with X rows of x. */
MICA__INLINE void chains_of_few(int bits, int size, int X, const mica__codes *w, int64_t row, const mica__int16_row *l,
                                const uint8_t *x, __m256 y[MICA__TILE])
{
    const int elements = UNIT(bits, size), bytes = elements * bits / 8;
    const uint8_t *codes = w->codes + row * w->row_bytes, *q = x;
    __m256i v[8][MICA__TILE];
    for (int m = 0; m < X; m++) y[m] = _mm256_setzero_ps();
    for (int64_t g = 0; g < w->groups; g += MICA__CHAINS) {
        const int64_t n = mica__min(w->groups - g, MICA__CHAINS) * size; /* elements */
        int u = 0;
        for (; u * elements < n; u++, codes += bytes, q += 2 * elements) {
            touch(codes, CODES_AHEAD);
            unit_of_few(bits, size, X, codes, (u + 1) * elements > n, q, l->bytes, v[u]);
        }
        for (; u < UNITS(bits, size); u++)
            for (int m = 0; m < X; m++) v[u][m] = _mm256_setzero_si256();
        const __m256 scales = load_factors(&w->scales, row, g), biases = load_biases(bits, w, scales, row, g);
        MICA__UNROLL
        for (int m = 0; m < X; m++) {
            const float *d = mica__int16_d(l, x + m * l->bytes) + g;
            const __m256i a = merge(merge(v[0][m], v[1][m]), merge(v[2][m], v[3][m]));
            const __m256i b = TWO(bits, size) ? a : merge(merge(v[4][m], v[5][m]), merge(v[6][m], v[7][m]));
            y[m] = mica__add_groups(y[m], in_order(bits, size, a, b), scales, biases, _mm256_loadu_ps(d),
                                    _mm256_loadu_ps(d + l->groups));
        }
    }
}

typedef void (*few_kernel)(const mica__codes *w, int64_t row, const mica__int16_row *l, const uint8_t *x,
                           __m256 y[MICA__TILE]);

#define FEW_CHAINS_OF(bits, size, X)                                                                                   \
    MICA__AVX2 static __attribute__((noinline)) void few_##bits##_##size##_##X(                                        \
        const mica__codes *w, int64_t row, const mica__int16_row *l, const uint8_t *x, __m256 y[MICA__TILE])           \
    {                                                                                                                  \
        chains_of_few(bits, size, X, w, row, l, x, y);                                                                 \
    }
#define FEW_CHAINS(bits, size) FEW_CHAINS_OF(bits, size, 1) FEW_CHAINS_OF(bits, size, 2) FEW_CHAINS_OF(bits, size, 4)
FEW_CHAINS(4, 32)
FEW_CHAINS(4, 64)
FEW_CHAINS(4, 128)
FEW_CHAINS(8, 32)
FEW_CHAINS(8, 64)
FEW_CHAINS(8, 128)

/* Columns [begin, end) of up to MICA__FEW rows of x, which take kernel[2] by four, kernel[1] by two, kernel[0]. */
MICA__AVX2 static void few_rows(const mica__instr *instr, const mica__codes *w, const mica__int16_row *l,
                                const uint8_t *x, int64_t count, const few_kernel kernel[3], float *out, int64_t begin,
                                int64_t end)
{
    for (int64_t c = begin; c < end; c += 8) {
        __m256 y[8][MICA__FEW + MICA__TILE], outputs[8];
        for (int64_t i = 0; i < 8; i++) {
            for (int64_t m = 0, n; m < count; m += n) {
                n = count - m >= 4 ? 4 : count - m >= 2 ? 2 : 1;
                kernel[n / 2](w, mica__min(c + i, end - 1), l, x + m * l->bytes, y[i] + m);
            }
        }
        for (int64_t m = 0; m < count; m++) {
            for (int i = 0; i < 8; i++) outputs[i] = y[i][m];
            store_outputs(instr, outputs, c, end - c, out + m * w->rows);
        }
    }
}

/* ---- choice ------------------------------------------------------------------------------------------------------------------------ */

/* Phase 0. */
static void round_x(const mica__instr *instr, const mica__run *run, int id, int n)
{
    const bool by_chains = mica__rows(&instr->in[0], run) > MICA__FEW;
    const int vector = by_chains && mica__has_amx() ? MICA__BYTES : !by_chains && mica__has_avx512_vnni() ? 64 : 32;
    mica__int16_round(instr, run, id, n, instr->in[1].affine.bits == 4 ? 4 : 2, vector, by_chains);
}

static void linear(const mica__instr *instr, const mica__run *run, int id, int n)
{
    static const chains_kernel one[2][3][2] = {
        {{chains_4_32_1, chains_4_32_2}, {chains_4_64_1, chains_4_64_2}, {chains_4_128_1, chains_4_128_2}},
        {{chains_8_32_1, chains_8_32_2}, {chains_8_64_1, chains_8_64_2}, {chains_8_128_1, chains_8_128_2}}};
    static const few_kernel few[2][3][3] = {{{few_4_32_1, few_4_32_2, few_4_32_4},
                                             {few_4_64_1, few_4_64_2, few_4_64_4},
                                             {few_4_128_1, few_4_128_2, few_4_128_4}},
                                            {{few_8_32_1, few_8_32_2, few_8_32_4},
                                             {few_8_64_1, few_8_64_2, few_8_64_4},
                                             {few_8_128_1, few_8_128_2, few_8_128_4}}};
    const mica__affine *a = &instr->in[1].affine;
    const mica__codes w = mica__codes_of(&instr->in[1]);
    const mica__int16_row l = mica__int16_row_of(&instr->in[1]);
    const int wide = a->bits / 8, size = a->group_size / 64;
    const int64_t rows = mica__rows(&instr->in[0], run);
    int64_t begin, end;
    float *out = instr->out.data;
    mica__share(w.rows, rows > MICA__FEW ? 32 : 16, id, n, &begin, &end);
    if (begin >= end) return;
    if (rows <= MICA__FEW && mica__has_avx512_vnni())
        mica__int16_few_avx512(instr, &w, &l, run->scratch, rows, out, begin, end);
    else if (rows == 1)
        one_row(instr, &w, &l, run->scratch, one[wide][size], out, begin, end);
    else if (rows <= MICA__FEW)
        few_rows(instr, &w, &l, run->scratch, rows, few[wide][size], out, begin, end);
    else
        (mica__has_amx()           ? mica__int16_panel_amx
         : mica__has_avx512_vnni() ? mica__int16_panel_avx512
                                   : mica__int16_panel_avx2)(instr, &w, &l, run->scratch, rows, out,
                                                             mica__member_scratch(instr, run, id), begin, end);
}

bool mica__linear_int16_avx2(mica__instr *instr)
{
    const mica__tensor *x = &instr->in[0], *w = &instr->in[1];
    if (!mica__takes_int16(w)) return false;
    instr->phase[0] = round_x;
    instr->phase[1] = linear;
    instr->n_phases = 2;
    instr->first_phase_key =
        (uint64_t)w->affine.group_size << 2 | instr->int8 << 1 | (w->affine.bits == 4); /* what decides on round_x */
    instr->scratch_bytes = (size_t)x->shape[0] * (size_t)mica__int16_row_of(w).bytes;
    if (x->shape[0] > MICA__FEW)
        instr->member_scratch_bytes = mica__round64(mica__has_amx()           ? mica__int16_panel_amx_bytes()
                                                    : mica__has_avx512_vnni() ? mica__int16_panel_avx512_bytes()
                                                                              : mica__int16_panel_avx2_bytes());
    return true;
}

#else
bool mica__linear_int16_avx2(mica__instr *instr)
{
    (void)instr;
    return false;
}
#endif
