/* backend/cpu/linear_int16_few_avx512.c: affine weights of 4 and 8 bits with up to eight rows of x, which are rounded to 16-bit integers, with
 * AVX-512 VNNI. int16_avx2.h says what is computed, and in which order; the results have the same bits as those of linear_int16_avx2.c.
 *
 * 64 bytes of codes are split into four vectors (4 bits) or two (8 bits) of 16-bit integers, and x is laid out to match. vpdpwssd multiplies
 * them and adds neighbouring products to sixteen sums. A vector of sums stands for four groups, two or one: so many bytes a group has.
 * Those of the eight groups of a block, for two rows of w, are added across their lanes to sixteen sums: the chains of one row, then of the
 * other, in the order in which scales and biases lie in memory.
 *
 * Rows of w go by in pairs that share the loads of x. All rows under way are far apart, each in its own part of a member's columns: so there
 * are several long streams, each of which is touched ahead, line by line between the products (bench/RESULTS.md). */
#include "int16_avx2.h"

#include "simd_avx512.h"

#if MICA__X86

/* Bytes from what is read to what is touched ahead, of codes (of 1024, 2048, 4096 the fastest on an Emerald Rapids) and of scales and
 * biases; pairs of rows of w under way. */
enum { CODES_AHEAD = 1024, FACTORS_AHEAD = 128, PAIRS = 2 };

MICA__INLINE512 void touch(const uint8_t *p, int64_t ahead)
{
    _mm_prefetch((const char *)((uintptr_t)p + (uintptr_t)ahead), _MM_HINT_T0);
}

/* Bytes of a group; vectors of sums of a block; bytes of codes that one of them stands for; bytes of x for that. */
#define GROUP_BYTES(bits, size) ((size) * (bits) / 8)
#define UNITS(bits, size) (GROUP_BYTES(bits, size) < 64 ? GROUP_BYTES(bits, size) / 8 : 8)
#define UNIT_BYTES(bits, size) (GROUP_BYTES(bits, size) > 64 ? GROUP_BYTES(bits, size) : 64)
#define X_BYTES(bits, bytes) ((bytes) * ((bits) == 4 ? 4 : 2))

/* ---- sums of a block ------------------------------------------------------------------------------------------------------- */

/* Part n of 64 bytes of codes, as 16-bit integers. */
MICA__INLINE512 __m512i part_of(int bits, __m512i v, int n)
{
    const __m512i mask = _mm512_set1_epi16(bits == 4 ? 15 : 255);
    if (n) v = _mm512_srli_epi16(v, bits == 4 ? 4 * (unsigned)n : 8);
    return n == (bits == 4 ? 3 : 1) ? v : _mm512_and_si512(v, mask);
}

/* Up to 64 bytes, zeros after the first n. */
MICA__INLINE512 __m512i load_codes(const uint8_t *p, bool whole, int64_t n)
{
    if (whole || n >= 64) return _mm512_loadu_si512(p);
    return n > 0 ? _mm512_maskz_loadu_epi8((UINT64_C(1) << n) - 1, p) : _mm512_setzero_si512();
}

/* A block of two rows of w; `left` bytes of each, if it is not whole. */
typedef struct block {
    const uint8_t *codes[2];
    int64_t left;
    bool whole;
} block;

typedef struct sums {
    __m512i of[2][MICA__TILE]; /* [rows of w][rows of x] */
} sums;

/* Unit u of a block with X rows of x. */
MICA__INLINE512 void unit(int bits, int size, int X, const block *b, int u, const uint8_t *x, int64_t x_bytes, sums *to)
{
    const int parts = bits == 4 ? 4 : 2, bytes = UNIT_BYTES(bits, size);
    x += X_BYTES(bits, u * bytes);
    MICA__UNROLL
    for (int r = 0; r < 2; r++) MICA__UNROLL
    for (int m = 0; m < X; m++) to->of[r][m] = _mm512_setzero_si512();
    MICA__UNROLL
    for (int s = 0; s < bytes; s += 64) {
        for (int r = 0; b->whole && r < 2; r++) touch(b->codes[r] + u * bytes + s, CODES_AHEAD);
        const __m512i c[2] = {load_codes(b->codes[0] + u * bytes + s, b->whole, b->left - u * bytes - s),
                              load_codes(b->codes[1] + u * bytes + s, b->whole, b->left - u * bytes - s)};
        MICA__UNROLL
        for (int p = 0; p < parts; p++) {
            const __m512i part[2] = {part_of(bits, c[0], p), part_of(bits, c[1], p)};
            MICA__UNROLL
            for (int m = 0; m < X; m++) {
                const __m512i q = _mm512_loadu_si512(x + m * x_bytes + X_BYTES(bits, s) + 64 * p);
                MICA__UNROLL
                for (int r = 0; r < 2; r++) to->of[r][m] = _mm512_dpwssd_epi32(to->of[r][m], part[r], q);
            }
        }
    }
    MICA__UNROLL
    for (int r = 0; r < 2; r++) MICA__UNROLL
    for (int m = 0; m < X; m++) MICA__KEEP512(to->of[r][m]);
}

/* Sums of neighbouring lanes: those of a, then those of b, in every quarter. */
MICA__INLINE512 __m512i merge(__m512i a, __m512i b)
{
    const __m512 x = _mm512_castsi512_ps(a), y = _mm512_castsi512_ps(b);
    return _mm512_add_epi32(_mm512_castps_si512(_mm512_shuffle_ps(x, y, 0x88)),
                            _mm512_castps_si512(_mm512_shuffle_ps(x, y, 0xdd)));
}

/* Quarters 0 and 1 of a as one, 2 and 3, then those of b. */
MICA__INLINE512 __m512i fold(__m512i a, __m512i b)
{
    return _mm512_add_epi32(mica__even_quarters(a, b), mica__odd_quarters(a, b));
}

/* Pieces a and b of a block merged. */
#define MERGED(name, piece, units)                                                                                     \
    MICA__INLINE512 void name(int bits, int size, int X, const block *b, int u, const uint8_t *x, int64_t x_bytes,     \
                              sums *to)                                                                                \
    {                                                                                                                  \
        sums first, second;                                                                                            \
        piece(bits, size, X, b, u, x, x_bytes, &first);                                                                \
        piece(bits, size, X, b, u + (units), x, x_bytes, &second);                                                     \
        MICA__UNROLL                                                                                                   \
        for (int r = 0; r < 2; r++) MICA__UNROLL                                                                       \
        for (int m = 0; m < X; m++) to->of[r][m] = merge(first.of[r][m], second.of[r][m]);                             \
    }
MERGED(two_units, unit, 1)
MERGED(four_units, two_units, 2)

/* The sixteen sums of a block for each row of x. */
MICA__INLINE512 void block_sums(int bits, int size, int X, const block *b, const uint8_t *x, int64_t x_bytes,
                                __m512i to[MICA__TILE])
{
    const __m512i quarters = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15),
                  halves = _mm512_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15);
    sums a, c;
    if (UNITS(bits, size) == 2)
        two_units(bits, size, X, b, 0, x, x_bytes, &a);
    else
        four_units(bits, size, X, b, 0, x, x_bytes, &a);
    if (UNITS(bits, size) == 8) four_units(bits, size, X, b, 4, x, x_bytes, &c);
    MICA__UNROLL
    for (int m = 0; m < X; m++) {
        const __m512i first = a.of[0][m], second = a.of[1][m];
        if (UNITS(bits, size) == 2)
            to[m] = _mm512_permutexvar_epi32(quarters, merge(first, second));
        else if (UNITS(bits, size) == 4)
            to[m] = _mm512_permutexvar_epi32(halves, fold(first, second));
        else
            to[m] = fold(fold(first, c.of[0][m]), fold(second, c.of[1][m]));
    }
}

/* ---- chains ------------------------------------------------------------------------------------------------------------------ */

/* Eight factors of one row from `group` on, then of another, as they lie at a and b; zeros after the first n of each. */
MICA__INLINE512 __m512 load_factors(mica_dtype dtype, const uint8_t *a, const uint8_t *b, bool whole, int64_t n)
{
    const __mmask8 mask = whole ? 0xff : (__mmask8)((1u << n) - 1);
    if (dtype == MICA_DTYPE_F32) {
        const __m256 first = whole ? _mm256_loadu_ps((const float *)(const void *)a) : _mm256_maskz_loadu_ps(mask, a),
                     second = whole ? _mm256_loadu_ps((const float *)(const void *)b) : _mm256_maskz_loadu_ps(mask, b);
        return _mm512_insertf32x8(_mm512_castps256_ps512(first), second, 1);
    }
    const __m128i first = whole ? _mm_loadu_si128((const __m128i *)(const void *)a) : _mm_maskz_loadu_epi16(mask, a),
                  second = whole ? _mm_loadu_si128((const __m128i *)(const void *)b) : _mm_maskz_loadu_epi16(mask, b);
    const __m256i both = _mm256_set_m128i(second, first);
    if (dtype == MICA_DTYPE_F16) return _mm512_cvtph_ps(both);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(both), 16));
}

MICA__INLINE512 __m512 factors_at(const mica__factors *f, const int64_t rows[2], int64_t group, bool whole, int64_t n)
{
    const uint8_t *at = f->first + group * (f->dtype == MICA_DTYPE_F32 ? 4 : 2);
    touch(at + rows[0] * f->row_bytes, FACTORS_AHEAD);
    touch(at + rows[1] * f->row_bytes, FACTORS_AHEAD);
    return load_factors(f->dtype, at + rows[0] * f->row_bytes, at + rows[1] * f->row_bytes, whole, n);
}

/* The chains of a pair of rows over the block of eight groups from g on, or as many as are left. */
MICA__INLINE512 void add_block(int bits, int size, int X, bool whole, const mica__codes *w, const int64_t rows[2],
                               const mica__int16_row *l, const uint8_t *x, int64_t g, __m512 y[MICA__TILE])
{
    const int64_t bytes = GROUP_BYTES(bits, size), n = w->groups - g;
    const uint8_t *codes = w->codes + g * bytes;
    const block b = {{codes + rows[0] * w->row_bytes, codes + rows[1] * w->row_bytes}, n * bytes, whole};
    __m512i sum[MICA__TILE];
    block_sums(bits, size, X, &b, x + g * size * 2, l->bytes, sum);
    const __m512 scales = factors_at(&w->scales, rows, g, whole, n),
                 biases = w->biases.first ? factors_at(&w->biases, rows, g, whole, n)
                                          : _mm512_mul_ps(_mm512_set1_ps(-(float)(1 << (bits - 1))), scales);
    MICA__UNROLL
    for (int m = 0; m < X; m++) {
        const float *d = mica__int16_d(l, x + m * l->bytes) + g;
        const __m512 d8 = _mm512_broadcast_f32x8(_mm256_loadu_ps(d)),
                     dsum8 = _mm512_broadcast_f32x8(_mm256_loadu_ps(d + l->groups));
        y[m] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[m]), _mm512_mul_ps(scales, d8), y[m]);
        y[m] = _mm512_fmadd_ps(biases, dsum8, y[m]);
    }
}

/* The chains of P pairs of rows of w with X rows of x. */
MICA__INLINE512 void chains(int bits, int size, int X, int P, const mica__codes *w, const int64_t (*rows)[2],
                            const mica__int16_row *l, const uint8_t *x, __m512 (*to)[MICA__TILE])
{
    __m512 y[PAIRS][MICA__TILE];
    int64_t g = 0;
    MICA__UNROLL
    for (int p = 0; p < P; p++) MICA__UNROLL
    for (int m = 0; m < X; m++) y[p][m] = _mm512_setzero_ps();
    for (; g + MICA__CHAINS <= w->groups; g += MICA__CHAINS) {
        MICA__UNROLL
        for (int p = 0; p < P; p++) add_block(bits, size, X, true, w, rows[p], l, x, g, y[p]);
    }
    if (g < w->groups) {
        MICA__UNROLL
        for (int p = 0; p < P; p++) add_block(bits, size, X, false, w, rows[p], l, x, g, y[p]);
    }
    MICA__UNROLL
    for (int p = 0; p < P; p++) MICA__UNROLL
    for (int m = 0; m < X; m++) to[p][m] = y[p][m];
}

typedef void (*kernel)(const mica__codes *w, const int64_t (*rows)[2], const mica__int16_row *l, const uint8_t *x,
                       __m512 (*to)[MICA__TILE]);

/* Loops that must keep to the registers are functions of their own. */
#define KERNEL(bits, size, X, P)                                                                                       \
    MICA__AVX512 static __attribute__((noinline)) void chains_##bits##_##size##_##X##_##P(                             \
        const mica__codes *w, const int64_t(*rows)[2], const mica__int16_row *l, const uint8_t *x,                     \
        __m512(*to)[MICA__TILE])                                                                                       \
    {                                                                                                                  \
        chains(bits, size, X, P, w, rows, l, x, to);                                                                   \
    }
#define KERNELS(bits, size)                                                                                            \
    KERNEL(bits, size, 1, 1)                                                                                           \
    KERNEL(bits, size, 1, 2)                                                                                           \
    KERNEL(bits, size, 2, 1) KERNEL(bits, size, 3, 1) KERNEL(bits, size, 4, 1)
#define NAMES(bits, size)                                                                                              \
    {                                                                                                                  \
        chains_##bits##_##size##_1_1, chains_##bits##_##size##_2_1, chains_##bits##_##size##_3_1,                      \
            chains_##bits##_##size##_4_1, chains_##bits##_##size##_1_2                                                 \
    }
KERNELS(4, 32)
KERNELS(4, 64)
KERNELS(4, 128)
KERNELS(8, 32)
KERNELS(8, 64)
KERNELS(8, 128)

/* ---- outputs ------------------------------------------------------------------------------------------------------------------- */

/* The sums of chains of eight pairs of rows: eight outputs of their first rows, then of their second. */
MICA__INLINE512 __m512 add_chains(const __m512 y[8])
{
    __m512 c[2][4]; /* [four pairs]: chain i of their rows in quarters 0 and 2, i + 4 in 1 and 3 */
    for (int h = 0; h < 2; h++) {
        const __m512 *v = y + 4 * h;
        const __m512 a = _mm512_unpacklo_ps(v[0], v[1]), b = _mm512_unpackhi_ps(v[0], v[1]),
                     d = _mm512_unpacklo_ps(v[2], v[3]), e = _mm512_unpackhi_ps(v[2], v[3]);
        c[h][0] = _mm512_shuffle_ps(a, d, 0x44);
        c[h][1] = _mm512_shuffle_ps(a, d, 0xee);
        c[h][2] = _mm512_shuffle_ps(b, e, 0x44);
        c[h][3] = _mm512_shuffle_ps(b, e, 0xee);
    }
    __m512 sum = _mm512_shuffle_f32x4(c[0][0], c[1][0], 0x88);
    for (int i = 1; i < 4; i++) sum = _mm512_add_ps(sum, _mm512_shuffle_f32x4(c[0][i], c[1][i], 0x88));
    for (int i = 0; i < 4; i++) sum = _mm512_add_ps(sum, _mm512_shuffle_f32x4(c[0][i], c[1][i], 0xdd));
    return _mm512_shuffle_f32x4(sum, sum, _MM_SHUFFLE(3, 1, 2, 0));
}

/* n of eight outputs from column c on; none if n is not positive. */
MICA__AVX512 static void store_outputs(const mica__instr *instr, __m256 y, int64_t c, int64_t n, float *out)
{
    float bias[8] = {0};
    for (int64_t i = 0; i < mica__min(n, 8); i++) bias[i] = mica__linear_bias(instr, c + i);
    mica__store_lanes(out + c, _mm256_add_ps(y, _mm256_loadu_ps(bias)), n);
}

/* A member's columns are cut into 2 P parts of `length`; column c of each, c + 1, ... c + 7. */
typedef struct range {
    int64_t begin, end, length;
} range;

/* Eight columns of each of the 2 P parts, from c of the part on, with X rows of x. */
MICA__AVX512 static void eight_columns(const mica__instr *instr, const mica__codes *w, const mica__int16_row *l,
                                       const uint8_t *x, kernel run, int X, int P, const range *part, int64_t c,
                                       float *out)
{
    __m512 y[8][PAIRS][MICA__TILE], pair[8];
    for (int64_t i = 0; i < 8; i++) {
        int64_t rows[PAIRS][2];
        for (int s = 0; s < 2 * P; s++)
            rows[s / 2][s % 2] = mica__min(part->begin + s * part->length + c + i, part->end - 1);
        run(w, rows, l, x, y[i]);
    }
    for (int p = 0; p < P; p++) {
        const int64_t first = part->begin + 2 * p * part->length + c, second = first + part->length;
        for (int m = 0; m < X; m++) {
            for (int i = 0; i < 8; i++) pair[i] = y[i][p][m];
            const __m512 sum = add_chains(pair);
            store_outputs(instr, _mm512_castps512_ps256(sum), first, part->end - first, out + m * w->rows);
            store_outputs(instr, _mm512_extractf32x8_ps(sum, 1), second, part->end - second, out + m * w->rows);
        }
    }
}

void mica__int16_few_avx512(const mica__instr *instr, const mica__codes *w, const mica__int16_row *row,
                            const uint8_t *x, int64_t rows, float *out, int64_t begin, int64_t end)
{
    static const kernel kernels[2][3][5] = {{NAMES(4, 32), NAMES(4, 64), NAMES(4, 128)},
                                            {NAMES(8, 32), NAMES(8, 64), NAMES(8, 128)}};
    const mica__affine *a = &instr->in[1].affine;
    const kernel *all = kernels[a->bits / 8][a->group_size / 64];
    const int pairs = rows == 1 && end - begin >= 16 * PAIRS ? PAIRS : 1;
    const int64_t unit = 16 * pairs;
    const range part = {begin, end, (end - begin + unit - 1) / unit * 8};
    for (int64_t c = 0; c < part.length; c += 8) {
        for (int64_t m = 0, n; m < rows; m += n) {
            const int64_t passes = (rows - m + MICA__TILE - 1) / MICA__TILE;
            n = (rows - m) / passes;
            eight_columns(instr, w, row, x + m * row->bytes, all[pairs == PAIRS ? 4 : n - 1], (int)n, pairs, &part, c,
                          out + m * w->rows);
        }
    }
}

#endif
