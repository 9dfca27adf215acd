/* backend/cpu/linear_int16_panel_avx2.c: affine weights of 4 and 8 bits with many rows of x, which are rounded to 16-bit integers: panels
 * of 16 rows, pairs of elements of eight of them in a vector, with tiles of 4 rows of x. */
#include "linear.h"

#if MICA__X86
enum { PANEL = 16, TILE = 4 };
#include "int16_panel.h"

/* Continues the chains of T rows of x, from row r of the chunk on, whose first is x. */
MICA__INLINE void tile(int bits, int size, int T, panel *w, const mica__int16_row *l, const uint8_t *x, int64_t r)
{
    const bool two = TWO(bits, size);
    const int runs = two ? 4 : 1, run = size / 2 / runs; /* pairs of a group, and how many of them lie together */
    float *chain = w->chain + r * PANEL, *out = w->y + r * PANEL;
    x += r * l->bytes;
    for (int64_t i = 0; i < w->n; i++) {
        const int64_t place = w->groups[i].place, pair = pair_of(two, size, i), x_pair = pair_of(two, size, place);
        __m256i sum[TILE][2];
        MICA__UNROLL
        for (int t = 0; t < T; t++) sum[t][0] = sum[t][1] = _mm256_setzero_si256();
        for (int j = 0; j < runs; j++) {
            const int16_t *from = w->pairs + (pair + 8 * j) * 2 * PANEL;
            const uint8_t *q = x + 4 * (x_pair + 8 * j);
            MICA__UNROLL_4
            for (int k = 0; k < run; k++, from += 2 * PANEL, q += 4) {
                __m256i w0 = mica__load32(from), w1 = mica__load32(from + PANEL);
                MICA__UNROLL
                for (int t = 0; t < T; t++) {
                    int32_t word;
                    memcpy(&word, q + t * l->bytes, 4);
                    __m256i two_x = _mm256_set1_epi32(word);
                    sum[t][0] = _mm256_add_epi32(sum[t][0], _mm256_madd_epi16(two_x, w0));
                    sum[t][1] = _mm256_add_epi32(sum[t][1], _mm256_madd_epi16(two_x, w1));
                    if (two) { /* gcc unrolls the short runs of a group of 32 and spills; longer runs are faster without */
                        MICA__KEEP(sum[t][0]);
                        MICA__KEEP(sum[t][1]);
                    }
                }
            }
        }
        const bool first = w->groups[i].first, last = w->groups[i].last;
        MICA__UNROLL
        for (int t = 0; t < T; t++) {
            const float *d = mica__int16_d(l, x + t * l->bytes) + place;
            const __m256 d8 = _mm256_broadcast_ss(d), dsum8 = _mm256_broadcast_ss(d + l->groups);
            MICA__UNROLL
            for (int v = 0; v < PANEL; v += 8) {
                const __m256 scale = _mm256_loadu_ps(w->scales + i * PANEL + v),
                             bias = _mm256_loadu_ps(w->biases + i * PANEL + v);
                float *at = chain + t * PANEL + v, *to = last ? out + t * PANEL + v : at;
                __m256 y = first ? _mm256_setzero_ps() : _mm256_loadu_ps(at);
                y = mica__add_groups(y, sum[t][v / 8], scale, bias, d8, dsum8);
                _mm256_storeu_ps(to, last ? _mm256_add_ps(_mm256_loadu_ps(to), y) : y);
            }
        }
    }
}

ALL_PANEL_KERNELS(MICA__AVX2)

void mica__int16_panel_avx2(const mica__instr *instr, const mica__codes *w, const mica__int16_row *row,
                            const uint8_t *x, int64_t rows, float *out, void *memory, int64_t begin, int64_t end)
{
    static const kernels table[2][3] = PANEL_TABLE;
    panels(table, instr, memory, w, row, x, rows, out, begin, end);
}

size_t mica__int16_panel_avx2_bytes(void) { return sizeof(panel); }

#endif
