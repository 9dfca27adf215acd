/* formats/superblocks_grid.c: decoding GGUF's IQ1, IQ2 and IQ3 types.
 *
 * A block of 256 elements stores row numbers of a grid, vectors of 8 or 4 elements without sign; signs, one bit per element; and scales for every
 * 16 or 32 elements. In the XXS types and in IQ2_XS seven sign bits stand for eight: the number of minus signs is even.
 *
 *     IQ2_XXS  d { rows[4] signs and scale[4] }[8]      IQ2_XS  d { row and signs[2] }[32] scales[8]
 *     IQ2_S    d rows[32] signs[32] high[8] scales[8]   IQ3_XXS d rows[64] { signs and scale[4] }[8]
 *     IQ3_S    d rows[64] high[8] signs[32] scales[4]   IQ1_S   d rows[32] { high, scale, shift[2] }[8]
 *     IQ1_M    rows[32] { high, shift }[16] scales[8], the four highest bits of whose four numbers are d */
#include "grids.h"
#include "superblocks_private.h"

enum { OCTETS = 32, GROUPS = 8 };

static unsigned load16(const uint8_t *p) { return p[0] | (unsigned)p[1] << 8; }
static unsigned load32(const uint8_t *p) { return load16(p) | load16(p + 2) << 16; }

/* Eight signs from seven. */
static unsigned even_signs(unsigned seven) { return seven | (unsigned)__builtin_parity(seven) << 7; }

/* n elements of a grid row with their signs. */
static void put(float *out, const int8_t *row, int n, unsigned signs, float scale)
{
    for (int j = 0; j < n; j++) out[j] = signs >> j & 1 ? -scale * (float)row[j] : scale * (float)row[j];
}

/* The nibble of group g's first (half 0) or second 16 elements. */
static float scale_of_16(const uint8_t *scales, int g, int half) { return (float)(scales[g] >> (4 * half) & 15); }

bool mica__iq2_xxs_to_float(const uint8_t *b, float *out)
{
    const int8_t *grid = mica__grid(MICA__GRID_IQ2XXS);
    float d;
    if (!mica__load_half(b, &d)) return false;
    for (int k = 0; k < OCTETS; k++) {
        const uint8_t *record = b + 2 + 8 * (k / 4);
        unsigned word = load32(record + 4);
        float scale = d * (0.5f + (float)(word >> 28)) * 0.25f;
        put(out + 8 * k, grid + 8 * record[k % 4], 8, even_signs(word >> (7 * (k % 4)) & 127), scale);
    }
    return true;
}

bool mica__iq2_xs_to_float(const uint8_t *b, float *out)
{
    const int8_t *grid = mica__grid(MICA__GRID_IQ2XS);
    float d;
    if (!mica__load_half(b, &d)) return false;
    for (int k = 0; k < OCTETS; k++) {
        unsigned q = load16(b + 2 + 2 * k);
        float scale = d * (0.5f + scale_of_16(b + 66, k / 4, k % 4 / 2)) * 0.25f;
        put(out + 8 * k, grid + 8 * (q & 511), 8, even_signs(q >> 9), scale);
    }
    return true;
}

bool mica__iq2_s_to_float(const uint8_t *b, float *out)
{
    const int8_t *grid = mica__grid(MICA__GRID_IQ2S);
    float d;
    if (!mica__load_half(b, &d)) return false;
    for (int k = 0; k < OCTETS; k++) {
        unsigned row = b[2 + k] | (b[66 + k / 4] >> (2 * (k % 4)) & 3u) << 8;
        float scale = d * (0.5f + scale_of_16(b + 74, k / 4, k % 4 / 2)) * 0.25f;
        put(out + 8 * k, grid + 8 * row, 8, b[34 + k], scale);
    }
    return true;
}

bool mica__iq3_xxs_to_float(const uint8_t *b, float *out)
{
    const int8_t *grid = mica__grid(MICA__GRID_IQ3XXS);
    float d;
    if (!mica__load_half(b, &d)) return false;
    for (int k = 0; k < OCTETS; k++) {
        unsigned word = load32(b + 66 + 4 * (k / 4)), signs = even_signs(word >> (7 * (k % 4)) & 127);
        float scale = d * (0.5f + (float)(word >> 28)) * 0.5f;
        for (int q = 0; q < 2; q++) put(out + 8 * k + 4 * q, grid + 4 * b[2 + 2 * k + q], 4, signs >> (4 * q), scale);
    }
    return true;
}

bool mica__iq3_s_to_float(const uint8_t *b, float *out)
{
    const int8_t *grid = mica__grid(MICA__GRID_IQ3S);
    float d;
    if (!mica__load_half(b, &d)) return false;
    for (int p = 0; p < 2 * OCTETS; p++) { /* quads */
        int g = p / 8;
        unsigned row = b[2 + p] | (b[66 + g] >> (p % 8) & 1u) << 8;
        float scale = d * (float)(1 + 2 * (b[106 + g / 2] >> (4 * (g % 2)) & 15));
        put(out + 4 * p, grid + 4 * row, 4, (unsigned)b[74 + p / 2] >> (4 * (p % 2)), scale);
    }
    return true;
}

/* IQ1 adds an eighth, up or down, to the -1, 0 and 1 of its grid. */
static void put_shifted(float *out, const int8_t *row, bool down, float scale)
{
    for (int j = 0; j < 8; j++) out[j] = scale * ((float)row[j] + (down ? -0.125f : 0.125f));
}

bool mica__iq1_s_to_float(const uint8_t *b, float *out)
{
    const int8_t *grid = mica__grid(MICA__GRID_IQ1S);
    float d;
    if (!mica__load_half(b, &d)) return false;
    for (int k = 0; k < OCTETS; k++) {
        unsigned h = load16(b + 34 + 2 * (k / 4)), row = b[2 + k] | (h >> (3 * (k % 4)) & 7) << 8;
        put_shifted(out + 8 * k, grid + 8 * row, h >> 15, d * (float)(2 * (h >> 12 & 7) + 1));
    }
    return true;
}

bool mica__iq1_m_to_float(const uint8_t *b, float *out)
{
    const int8_t *grid = mica__grid(MICA__GRID_IQ1S);
    const uint8_t *scales = b + 48;
    unsigned bits = 0;
    for (int i = 0; i < 4; i++) bits |= (load16(scales + 2 * i) >> 12) << (4 * i);
    const uint8_t half[2] = {(uint8_t)bits, (uint8_t)(bits >> 8)};
    float d;
    if (!mica__load_half(half, &d)) return false;
    for (int k = 0; k < OCTETS; k++) {
        int n = k / 2; /* of 16 elements */
        unsigned x = b[32 + n] >> (4 * (k % 2)) & 15u, row = b[k] | (x & 7) << 8;
        put_shifted(out + 8 * k, grid + 8 * row, x & 8,
                    d * (float)(2 * (load16(scales + 2 * (n / 4)) >> (3 * (n % 4)) & 7) + 1));
    }
    return true;
}
