/* backend/cpu/linear_int16_panel_amx.c: affine weights of 4 and 8 bits with many rows of x, which are rounded to 16-bit integers, with the
 * tiles of AMX. int16_avx2.h says what is computed; the bits are those of the other panels.
 *
 * A tile instruction multiplies bytes: 16 rows of x with 16 rows of w over 64 elements. An integer of 16 bits is 256 h + l with a signed
 * byte h and one without sign, l; so a row of x lies as bytes, all l and then all h of a span, and
 *
 *     sum of c q  =  256 (sum of c h) + (sum of c l)
 *
 * A span is 64 elements, or a group of 32. In 4 bits the even elements of a span come first, then the odd ones: the low and the high halves
 * of the bytes of codes. Sums are exact in any order. While the tiles of one group are multiplied, the sums of the group before become
 * floats. */
#include "linear.h"

#if MICA__X86
enum { PANEL = 32, TILE = 16 };
#include "int16_panel.h"
#include "simd_avx512.h"

#define AMX                                                                                                            \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c,amx-tile,amx-int8"))) MICA__UNCHECKED
#define AMX_INLINE static inline __attribute__((always_inline)) AMX

#define SPAN(size) ((size) < 64 ? (size) : 64)

/* Tiles 0 to 3 hold sums, 4 and 5 rows of x, 6 and 7 columns of the panel; `rows` rows of x, spans of so many elements. */
AMX static void configure(int span, int64_t rows)
{
    struct {
        uint8_t palette, start, zeros[14];
        uint16_t bytes[16];
        uint8_t rows[16];
    } c = {.palette = 1};
    for (int t = 0; t < 8; t++) {
        c.bytes[t] = (uint16_t)(t == 4 || t == 5 ? span : 64);
        c.rows[t] = (uint8_t)(t < 6 ? rows : span / 4);
    }
    __asm__ volatile(""
                     :
                     : "r"(&c)
                     : "memory"); /* gcc 12 believes that the next line reads 8 bytes, and writes no more */
    _tile_loadconfig(&c);
}

/* Part h of a span of codes: 32 bytes, each an element. */
MICA__INLINE __m256i bytes_of(int bits, int span, const uint8_t *p, int h)
{
    const __m256i low = _mm256_set1_epi8(15);
    if (bits == 8) return mica__load32(p + 32 * h);
    if (span == 32) {
        const __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        return _mm256_and_si256(_mm256_set_m128i(_mm_srli_epi16(v, 4), v), low);
    }
    const __m256i v = mica__load32(p);
    return _mm256_and_si256(h ? _mm256_srli_epi16(v, 4) : v, low);
}

/* The tiles of rows c .. c + PANEL - 1: for each span two of sixteen rows, four elements of a row in each word. */
MICA__INLINE void fill_tiles(int bits, int size, panel *to, const mica__codes *w, int64_t c)
{
    const int span = SPAN(size);
    uint8_t *tile = (uint8_t *)to->pairs;
    for (int64_t i = 0; i < to->n; i++) {
        for (int s = 0; s < size / span; s++, tile += 2 * 16 * span) {
            const int64_t at = (to->groups[i].group * size + s * span) * bits / 8;
            for (int first = 0; first < PANEL; first += 8) {
                for (int h = 0; h < span / 32; h++) {
                    __m256 v[8];
                    for (int r = 0; r < 8; r++) {
                        const int64_t row = mica__min(c + first + r, w->rows - 1);
                        v[r] = _mm256_castsi256_ps(bytes_of(bits, span, w->codes + row * w->row_bytes + at, h));
                    }
                    mica__transpose8(v);
                    uint8_t *words = tile + first / 16 * 16 * span + h * 8 * 64 + first % 16 * 4;
                    for (int r = 0; r < 8; r++) _mm256_storeu_ps((float *)(void *)(words + r * 64), v[r]);
                }
            }
        }
    }
}

/* Sums of 16 rows of x with 32 of w: those of l and of h with the first sixteen, then with the others. */
typedef struct sums {
    int32_t of[2][2][16][16];
} __attribute__((aligned(64))) sums;

/* The sums of group i of the panel with the rows from x on. */
AMX_INLINE void multiply(int size, const panel *w, const mica__int16_row *l, const uint8_t *x, int64_t i, sums *to)
{
    const int span = SPAN(size);
    const uint8_t *q = x + w->groups[i].place * size * 2, *tile = (const uint8_t *)w->pairs + i * size * PANEL;
    const size_t stride = (size_t)l->bytes;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int s = 0; s < size / span; s++, q += 2 * span, tile += 2 * 16 * span) {
        _tile_loadd(4, q, stride);
        _tile_loadd(5, q + span, stride);
        _tile_loadd(6, tile, 64);
        _tile_loadd(7, tile + 16 * span, 64);
        _tile_dpbuud(0, 4, 6);
        _tile_dpbsud(1, 5, 6);
        _tile_dpbuud(2, 4, 7);
        _tile_dpbsud(3, 5, 7);
    }
    _tile_stored(0, to->of[0][0], 64);
    _tile_stored(1, to->of[0][1], 64);
    _tile_stored(2, to->of[1][0], 64);
    _tile_stored(3, to->of[1][1], 64);
}

/* Continues the chains of `rows` rows, from row r of the chunk on, whose first is x, by group i. */
AMX_INLINE void add_sums(panel *w, const mica__int16_row *l, const uint8_t *x, int64_t r, int64_t rows, int64_t i,
                         const sums *from)
{
    const bool first = w->groups[i].first, last = w->groups[i].last;
    const float *d = mica__int16_d(l, x) + w->groups[i].place;
    for (int v = 0; v < 2; v++) {
        const __m512 scale = _mm512_loadu_ps(w->scales + i * PANEL + 16 * v),
                     bias = _mm512_loadu_ps(w->biases + i * PANEL + 16 * v);
        for (int64_t t = 0; t < rows; t++) {
            const float *dt = (const float *)(const void *)((const uint8_t *)d + t * l->bytes);
            const __m512i low = _mm512_loadu_si512(from->of[v][0][t]), high = _mm512_loadu_si512(from->of[v][1][t]);
            const __m512i sum = _mm512_add_epi32(low, _mm512_slli_epi32(high, 8));
            float *chain = w->chain + (r + t) * PANEL + 16 * v, *to = last ? w->y + (r + t) * PANEL + 16 * v : chain;
            __m512 y = first ? _mm512_setzero_ps() : _mm512_loadu_ps(chain);
            y = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), _mm512_mul_ps(scale, _mm512_set1_ps(*dt)), y);
            y = _mm512_fmadd_ps(bias, _mm512_set1_ps(dt[l->groups]), y);
            _mm512_storeu_ps(to, last ? _mm512_add_ps(_mm512_loadu_ps(to), y) : y);
        }
    }
}

AMX_INLINE void tile(int size, panel *w, const mica__int16_row *l, const uint8_t *x, int64_t r, int64_t rows)
{
    sums of[2];
    x += r * l->bytes;
    multiply(size, w, l, x, 0, &of[0]);
    for (int64_t i = 0; i < w->n; i++) {
        if (i + 1 < w->n) multiply(size, w, l, x, i + 1, &of[(i + 1) % 2]);
        add_sums(w, l, x, r, rows, i, &of[i % 2]);
    }
}

#define TILE_KERNELS(bits, size)                                                                                       \
    MICA__AVX2 static void fill_##bits##_##size(panel *to, const mica__codes *w, int64_t c)                            \
    {                                                                                                                  \
        fill_tiles(bits, size, to, w, c);                                                                              \
        fill_factors(bits, to, w, c);                                                                                  \
        configure(SPAN(size), TILE);                                                                                   \
    }
#define SIZE_KERNELS(size)                                                                                             \
    AMX static void tile_##size(panel *w, const mica__int16_row *l, const uint8_t *x, int64_t r)                       \
    {                                                                                                                  \
        tile(size, w, l, x, r, TILE);                                                                                  \
    }                                                                                                                  \
    AMX static void rest_##size(panel *w, const mica__int16_row *l, const uint8_t *x, int64_t r, int64_t rows)         \
    {                                                                                                                  \
        configure(SPAN(size), rows);                                                                                   \
        tile(size, w, l, x, r, rows);                                                                                  \
    }
TILE_KERNELS(4, 32)
TILE_KERNELS(4, 64)
TILE_KERNELS(4, 128)
TILE_KERNELS(8, 32)
TILE_KERNELS(8, 64)
TILE_KERNELS(8, 128)
SIZE_KERNELS(32)
SIZE_KERNELS(64)
SIZE_KERNELS(128)

AMX void mica__int16_panel_amx(const mica__instr *instr, const mica__codes *w, const mica__int16_row *row,
                               const uint8_t *x, int64_t rows, float *out, void *memory, int64_t begin, int64_t end)
{
    static const kernels table[2][3] = {
        {{fill_4_32, tile_32, rest_32}, {fill_4_64, tile_64, rest_64}, {fill_4_128, tile_128, rest_128}},
        {{fill_8_32, tile_32, rest_32}, {fill_8_64, tile_64, rest_64}, {fill_8_128, tile_128, rest_128}}};
    panels(table, instr, memory, w, row, x, rows, out, begin, end);
    _tile_release();
}

size_t mica__int16_panel_amx_bytes(void) { return sizeof(panel); }

#endif
