/* backend/cpu/linear_int16_panel_avx512.c: affine weights of 4 and 8 bits with many rows of x, which are rounded to 16-bit integers, with
 * AVX-512 VNNI: panels of 32 rows, pairs of elements of sixteen of them in a vector, with tiles of 8 rows of x. vpdpwssd multiplies 32
 * integers and adds pairs of products to sixteen sums. */
#include "linear.h"

#if MICA__X86
enum { PANEL = 32, TILE = 8 };
#include "int16_panel.h"
#include "simd_avx512.h"

/* Continues the chains of T rows of x, from row r of the chunk on, whose first is x. */
MICA__INLINE512 void tile(int bits, int size, int T, panel *w, const mica__int16_row *l, const uint8_t *x, int64_t r)
{
    const bool two = TWO(bits, size);
    const int runs = two ? 4 : 1, run = size / 2 / runs; /* pairs of a group, and how many of them lie together */
    float *chain = w->chain + r * PANEL, *out = w->y + r * PANEL;
    x += r * l->bytes;
    for (int64_t i = 0; i < w->n; i++) {
        const int64_t place = w->groups[i].place, pair = pair_of(two, size, i), x_pair = pair_of(two, size, place);
        __m512i sum[TILE][2];
        MICA__UNROLL
        for (int t = 0; t < T; t++) sum[t][0] = sum[t][1] = _mm512_setzero_si512();
        for (int j = 0; j < runs; j++) {
            const int16_t *from = w->pairs + (pair + 8 * j) * 2 * PANEL;
            const uint8_t *q = x + 4 * (x_pair + 8 * j);
            for (int k = 0; k < run; k++, from += 2 * PANEL, q += 4) {
                const __m512i w0 = _mm512_loadu_si512(from), w1 = _mm512_loadu_si512(from + PANEL);
                MICA__UNROLL
                for (int t = 0; t < T; t++) {
                    int32_t word;
                    memcpy(&word, q + t * l->bytes, 4);
                    const __m512i two_x = _mm512_set1_epi32(word);
                    sum[t][0] = _mm512_dpwssd_epi32(sum[t][0], two_x, w0);
                    sum[t][1] = _mm512_dpwssd_epi32(sum[t][1], two_x, w1);
                }
            }
        }
        const bool first = w->groups[i].first, last = w->groups[i].last;
        MICA__UNROLL
        for (int t = 0; t < T; t++) {
            const float *d = mica__int16_d(l, x + t * l->bytes) + place;
            const __m512 d16 = _mm512_set1_ps(*d), dsum16 = _mm512_set1_ps(d[l->groups]);
            MICA__UNROLL
            for (int v = 0; v < 2; v++) {
                const __m512 scale = _mm512_loadu_ps(w->scales + i * PANEL + 16 * v),
                             bias = _mm512_loadu_ps(w->biases + i * PANEL + 16 * v);
                float *at = chain + t * PANEL + 16 * v, *to = last ? out + t * PANEL + 16 * v : at;
                __m512 y = first ? _mm512_setzero_ps() : _mm512_loadu_ps(at);
                y = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[t][v]), _mm512_mul_ps(scale, d16), y);
                y = _mm512_fmadd_ps(bias, dsum16, y);
                _mm512_storeu_ps(to, last ? _mm512_add_ps(_mm512_loadu_ps(to), y) : y);
            }
        }
    }
}

ALL_PANEL_KERNELS(MICA__AVX512)

void mica__int16_panel_avx512(const mica__instr *instr, const mica__codes *w, const mica__int16_row *row,
                              const uint8_t *x, int64_t rows, float *out, void *memory, int64_t begin, int64_t end)
{
    static const kernels table[2][3] = PANEL_TABLE;
    panels(table, instr, memory, w, row, x, rows, out, begin, end);
}

size_t mica__int16_panel_avx512_bytes(void) { return sizeof(panel); }

#endif
