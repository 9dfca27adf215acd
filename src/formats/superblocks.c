/* formats/superblocks.c: decoding GGUF's K-quants, ternary types, lookup types and MXFP4.
 *
 * A K-quant holds 256 elements: codes of 2 to 6 bits, and for every 16 or 32 of them a small whole number that times the block's half-float d
 * is the scale, in some types a second one for an offset. Products are made in float32 in the order scale, code, offset: the product of
 * scale and code is exact, so that there is one rounding, and the results are those of the reference to the bit.
 *
 *     Q2_K   scales[16] codes[64] d dmin          Q3_K   high[32] codes[64] scales[12] d
 *     Q4_K   d dmin scales[12] codes[128]         Q5_K   d dmin scales[12] high[32] codes[128]
 *     Q6_K   low[128] high[64] scales[16] d       Q8_K   d (float32) codes[256] sums[32]
 *     TQ1_0  codes[48] rest[4] d                  TQ2_0  codes[64] d
 *     IQ4_NL d codes[16]                          IQ4_XS d high[2] low[4] codes[128]        MXFP4  exponent codes[16]
 *     Q1_0   d bits[16]                           Q2_0   d codes[16]                        NVFP4  scales[4] codes[32]
 *
 * Ternary types and the last two lines' first ones are affine with codes of two bits: scale d, bias -d (or 2d and -d for single bits). */
#include "superblocks_private.h"

#include "../base/half.h"
#include <math.h>
#include <string.h>

enum { N = 256, GROUP = 32 };

bool mica__load_half(const uint8_t *p, float *out)
{
    unsigned h = p[0] | (unsigned)p[1] << 8, exponent = h >> 10 & 31, fraction = h & 1023;
    float magnitude = exponent ? ldexpf((float)(fraction | 1024), (int)exponent - 25) : ldexpf((float)fraction, -24);
    *out = h & 0x8000 ? -magnitude : magnitude;
    return exponent != 31;
}

/* Element i of codes of 2 bits: 32 bytes hold 128 elements, element i in byte i % 32. */
static int two_bits(const uint8_t *codes, int i) { return codes[32 * (i / 128) + i % 32] >> (2 * (i % 128 / 32)) & 3; }

/* Element i of codes of 4 bits: 32 bytes hold 64 elements. */
static int four_bits(const uint8_t *codes, int i) { return codes[32 * (i / 64) + i % 32] >> (4 * (i % 64 / 32)) & 15; }

/* Bit i of 256: byte i % 32. */
static int one_bit(const uint8_t *bits, int i) { return bits[i % 32] >> (i / 32) & 1; }

/* ---- K-quants ------------------------------------------------------------------------------------------------------------ */

static bool q2_k(const uint8_t *b, float *out)
{
    float d, dmin;
    if (!mica__load_half(b + 80, &d) || !mica__load_half(b + 82, &dmin)) return false;
    for (int i = 0; i < N; i++) {
        float scale = d * (float)(b[i / 16] & 15), offset = dmin * (float)(b[i / 16] >> 4);
        out[i] = scale * (float)two_bits(b + 16, i) - offset;
    }
    return true;
}

static bool q3_k(const uint8_t *b, float *out)
{
    const uint8_t *scales = b + 96;
    float d;
    if (!mica__load_half(b + 108, &d)) return false;
    for (int i = 0; i < N; i++) {
        int g = i / 16, low = g < 8 ? scales[g] & 15 : scales[g - 8] >> 4,
            high = scales[8 + g % 4] >> (2 * (g / 4)) & 3;
        float scale = d * (float)((low | high << 4) - 32);
        out[i] = scale * (float)(two_bits(b + 32, i) - (one_bit(b, i) ? 0 : 4));
    }
    return true;
}

/* Q4_K and Q5_K: the 6-bit scale and offset of group g in 12 bytes. Of the last four groups the low 4 bits lie together, the high 2 bits above
 * those of the first four. */
static void scale_and_offset(const uint8_t *s, int g, int *scale, int *offset)
{
    if (g < 4) {
        *scale = s[g] & 63;
        *offset = s[g + 4] & 63;
    } else {
        *scale = (s[g + 4] & 15) | (s[g - 4] >> 6) << 4;
        *offset = s[g + 4] >> 4 | (s[g] >> 6) << 4;
    }
}

static bool k_groups(const uint8_t *b, float *scales, float *biases)
{
    float d, dmin;
    if (!mica__load_half(b, &d) || !mica__load_half(b + 2, &dmin)) return false;
    for (int g = 0; g < N / GROUP; g++) {
        int scale, offset;
        scale_and_offset(b + 4, g, &scale, &offset);
        scales[g] = d * (float)scale;
        biases[g] = -(dmin * (float)offset);
    }
    return true;
}

static bool q4_k_affine(const uint8_t *b, uint8_t *codes, float *scales, float *biases)
{
    for (int i = 0; i < N; i++) codes[i] = (uint8_t)four_bits(b + 16, i);
    return k_groups(b, scales, biases);
}

static bool q5_k_affine(const uint8_t *b, uint8_t *codes, float *scales, float *biases)
{
    for (int i = 0; i < N; i++) codes[i] = (uint8_t)(four_bits(b + 48, i) | one_bit(b + 16, i) << 4);
    return k_groups(b, scales, biases);
}

static void affine_to_float(const uint8_t *codes, const float *scales, const float *biases, float *out)
{
    for (int i = 0; i < N; i++) out[i] = scales[i / GROUP] * (float)codes[i] + biases[i / GROUP];
}

static bool q4_k(const uint8_t *b, float *out)
{
    uint8_t codes[N];
    float scales[N / GROUP], biases[N / GROUP];
    if (!q4_k_affine(b, codes, scales, biases)) return false;
    affine_to_float(codes, scales, biases, out);
    return true;
}

static bool q5_k(const uint8_t *b, float *out)
{
    uint8_t codes[N];
    float scales[N / GROUP], biases[N / GROUP];
    if (!q5_k_affine(b, codes, scales, biases)) return false;
    affine_to_float(codes, scales, biases, out);
    return true;
}

static bool q6_k(const uint8_t *b, float *out)
{
    const int8_t *scales = (const int8_t *)b + 192;
    float d;
    if (!mica__load_half(b + 208, &d)) return false;
    for (int i = 0; i < N; i++) {
        int half = i / 128, quarter = i % 128 / 32, at = i % 32;
        int low = b[64 * half + 32 * (quarter % 2) + at] >> (quarter < 2 ? 0 : 4) & 15;
        int high = b[128 + 32 * half + at] >> (2 * quarter) & 3;
        float scale = d * (float)scales[i / 16];
        out[i] = scale * (float)((low | high << 4) - 32);
    }
    return true;
}

static bool q8_k(const uint8_t *b, float *out)
{
    float d;
    memcpy(&d, b, sizeof d);
    for (int i = 0; i < N; i++) out[i] = d * (float)(int8_t)b[4 + i];
    return isfinite(d);
}

/* ---- ternary ------------------------------------------------------------------------------------------------------------- */

/* Digit n of the five in a byte, which holds them as a fraction of 243, times 256, rounded up. */
static int digit(uint8_t byte, int n)
{
    static const uint8_t powers[] = {1, 3, 9, 27, 81};
    return (uint8_t)(byte * powers[n]) * 3 >> 8;
}

static bool tq1_0(const uint8_t *b, float *out)
{
    float d;
    if (!mica__load_half(b + 52, &d)) return false;
    for (int i = 0; i < N; i++) {
        int q;
        if (i < 160)
            q = digit(b[i % 32], i / 32);
        else if (i < 240)
            q = digit(b[32 + i % 16], (i - 160) / 16);
        else
            q = digit(b[48 + i % 4], (i - 240) / 4);
        out[i] = d * (float)(q - 1);
    }
    return true;
}

static bool tq2_0(const uint8_t *b, float *out)
{
    float d;
    if (!mica__load_half(b + 64, &d)) return false;
    for (int i = 0; i < N; i++) out[i] = d * (float)(two_bits(b, i) - 1);
    return true;
}

/* n elements of codes in groups of 32, times the scale, plus the bias. */
static void fill_groups(int n, float scale, float bias, float *scales, float *biases)
{
    for (int g = 0; g < n / GROUP; g++) {
        scales[g] = scale;
        biases[g] = bias;
    }
}

static bool tq1_0_affine(const uint8_t *b, uint8_t *codes, float *scales, float *biases)
{
    float d;
    if (!mica__load_half(b + 52, &d)) return false;
    for (int i = 0; i < N; i++)
        codes[i] = (uint8_t)(i < 160   ? digit(b[i % 32], i / 32)
                             : i < 240 ? digit(b[32 + i % 16], (i - 160) / 16)
                                       : digit(b[48 + i % 4], (i - 240) / 4));
    fill_groups(N, d, -d, scales, biases);
    return true;
}

static bool tq2_0_affine(const uint8_t *b, uint8_t *codes, float *scales, float *biases)
{
    float d;
    if (!mica__load_half(b + 64, &d)) return false;
    for (int i = 0; i < N; i++) codes[i] = (uint8_t)two_bits(b, i);
    fill_groups(N, d, -d, scales, biases);
    return true;
}

enum { N_BITS = 128, N_PAIRS = 64 };

static bool q1_0_affine(const uint8_t *b, uint8_t *codes, float *scales, float *biases)
{
    float d;
    if (!mica__load_half(b, &d)) return false;
    for (int i = 0; i < N_BITS; i++) codes[i] = b[2 + i / 8] >> (i % 8) & 1;
    fill_groups(N_BITS, 2 * d, -d, scales, biases);
    return true;
}

static bool q1_0(const uint8_t *b, float *out)
{
    float d;
    if (!mica__load_half(b, &d)) return false;
    for (int i = 0; i < N_BITS; i++) out[i] = b[2 + i / 8] >> (i % 8) & 1 ? d : -d;
    return true;
}

static bool q2_0_affine(const uint8_t *b, uint8_t *codes, float *scales, float *biases)
{
    float d;
    if (!mica__load_half(b, &d)) return false;
    for (int i = 0; i < N_PAIRS; i++) codes[i] = b[2 + i / 4] >> (2 * (i % 4)) & 3;
    fill_groups(N_PAIRS, d, -d, scales, biases);
    return true;
}

static bool q2_0(const uint8_t *b, float *out)
{
    float d;
    if (!mica__load_half(b, &d)) return false;
    for (int i = 0; i < N_PAIRS; i++) out[i] = d * (float)((b[2 + i / 4] >> (2 * (i % 4)) & 3) - 1);
    return true;
}

/* ---- lookup -------------------------------------------------------------------------------------------------------------- */

static const int8_t curve[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

/* Element i of 32 in 16 bytes. */
static int nibble(const uint8_t *codes, int i) { return i < 16 ? codes[i] & 15 : codes[i - 16] >> 4; }

static bool iq4_nl(const uint8_t *b, float *out)
{
    float d;
    if (!mica__load_half(b, &d)) return false;
    for (int i = 0; i < GROUP; i++) out[i] = d * (float)curve[nibble(b + 2, i)];
    return true;
}

static bool iq4_xs(const uint8_t *b, float *out)
{
    unsigned high = b[2] | (unsigned)b[3] << 8;
    float d;
    if (!mica__load_half(b, &d)) return false;
    for (int i = 0; i < N; i++) {
        int g = i / GROUP, s = (b[4 + g / 2] >> (4 * (g % 2)) & 15) | (int)(high >> (2 * g) & 3) << 4;
        float scale = d * (float)(s - 32);
        out[i] = scale * (float)curve[nibble(b + 8 + 16 * g, i % GROUP)];
    }
    return true;
}

/* The exponent 255 is a NaN. */
static bool mxfp4(const uint8_t *b, float *out)
{
    float scale = mica__from_e8m0(b[0]);
    for (int i = 0; i < GROUP; i++) out[i] = scale * mica__from_e2m1((unsigned)nibble(b + 1, i));
    return b[0] != 255;
}

static bool mxfp4_floats(const uint8_t *b, uint8_t *codes, uint8_t *scales)
{
    for (int i = 0; i < GROUP; i++) codes[i] = (uint8_t)nibble(b + 1, i);
    scales[0] = b[0];
    return b[0] != 255;
}

/* Four groups of 16; of a scale's byte the sign does not count, and what would be NaN is 0. */
static bool nvfp4_floats(const uint8_t *b, uint8_t *codes, uint8_t *scales)
{
    for (int i = 0; i < N_PAIRS; i++) {
        const int group = i / 16, at = i % 16;
        codes[i] = b[4 + 8 * group + at % 8] >> (at < 8 ? 0 : 4) & 15;
    }
    for (int g = 0; g < 4; g++) scales[g] = (b[g] & 0x7f) == 0x7f ? 0 : b[g] & 0x7f;
    return true;
}

static bool nvfp4(const uint8_t *b, float *out)
{
    uint8_t codes[N_PAIRS], scales[4];
    nvfp4_floats(b, codes, scales);
    for (int i = 0; i < N_PAIRS; i++) out[i] = mica__from_e4m3(scales[i / 16]) * mica__from_e2m1(codes[i]);
    return true;
}

/* ---- table --------------------------------------------------------------------------------------------------------------- */

static const mica__superblock superblocks[] = {
    [MICA__STORAGE_Q2_K] = {N, 84, q2_k, 0, NULL, MICA_QUANT_AFFINE, NULL},
    [MICA__STORAGE_Q3_K] = {N, 110, q3_k, 0, NULL, MICA_QUANT_AFFINE, NULL},
    [MICA__STORAGE_Q4_K] = {N, 144, q4_k, 4, q4_k_affine, MICA_QUANT_AFFINE, NULL},
    [MICA__STORAGE_Q5_K] = {N, 176, q5_k, 5, q5_k_affine, MICA_QUANT_AFFINE, NULL},
    [MICA__STORAGE_Q6_K] = {N, 210, q6_k, 0, NULL, MICA_QUANT_AFFINE, NULL},
    [MICA__STORAGE_Q8_K] = {N, 292, q8_k, 0, NULL, MICA_QUANT_AFFINE, NULL},
    [MICA__STORAGE_TQ1_0] = {N, 54, tq1_0, 2, tq1_0_affine, MICA_QUANT_AFFINE, NULL},
    [MICA__STORAGE_TQ2_0] = {N, 66, tq2_0, 2, tq2_0_affine, MICA_QUANT_AFFINE, NULL},
    [MICA__STORAGE_IQ4_NL] = {GROUP, 18, iq4_nl, 0, NULL, MICA_QUANT_AFFINE, NULL},
    [MICA__STORAGE_IQ4_XS] = {N, 136, iq4_xs, 0, NULL, MICA_QUANT_AFFINE, NULL},
    [MICA__STORAGE_MXFP4] = {GROUP, 17, mxfp4, 0, NULL, MICA_QUANT_MXFP4, mxfp4_floats},
    [MICA__STORAGE_NVFP4] = {N_PAIRS, 36, nvfp4, 0, NULL, MICA_QUANT_NVFP4, nvfp4_floats},
    [MICA__STORAGE_Q1_0] = {N_BITS, 18, q1_0, 2, q1_0_affine, MICA_QUANT_AFFINE, NULL},
    [MICA__STORAGE_Q2_0] = {N_PAIRS, 18, q2_0, 2, q2_0_affine, MICA_QUANT_AFFINE, NULL},
    [MICA__STORAGE_IQ2_XXS] = {N, 66, mica__iq2_xxs_to_float, 0, NULL, MICA_QUANT_AFFINE, NULL},
    [MICA__STORAGE_IQ2_XS] = {N, 74, mica__iq2_xs_to_float, 0, NULL, MICA_QUANT_AFFINE, NULL},
    [MICA__STORAGE_IQ2_S] = {N, 82, mica__iq2_s_to_float, 0, NULL, MICA_QUANT_AFFINE, NULL},
    [MICA__STORAGE_IQ3_XXS] = {N, 98, mica__iq3_xxs_to_float, 0, NULL, MICA_QUANT_AFFINE, NULL},
    [MICA__STORAGE_IQ3_S] = {N, 110, mica__iq3_s_to_float, 0, NULL, MICA_QUANT_AFFINE, NULL},
    [MICA__STORAGE_IQ1_S] = {N, 50, mica__iq1_s_to_float, 0, NULL, MICA_QUANT_AFFINE, NULL},
    [MICA__STORAGE_IQ1_M] = {N, 56, mica__iq1_m_to_float, 0, NULL, MICA_QUANT_AFFINE, NULL},
};

const mica__superblock *mica__superblock_of(mica__storage storage)
{
    size_t i = (size_t)storage;
    return i < sizeof superblocks / sizeof *superblocks && superblocks[i].n_bytes ? &superblocks[i] : NULL;
}
