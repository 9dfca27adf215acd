/* formats/quantize_affine.c: groups as scale * code + bias.
 *
 * MLX's rule: the range from the smallest to the largest element in equal steps, then stretched a little so that zero falls on a code;
 * the end that is farther from zero keeps its place, and the scale is negative when that is the upper one. Codes are made from the
 * unrounded scale and bias.
 *
 * The search starts from that and looks for a smaller squared error with the scale and bias that are really stored: it tries
 * narrower ranges, refits scale and bias to the codes by least squares, and rounds again, a few times over. */
#include "quantize_private.h"

#include <math.h>

/* codes = clamp(round((w - bias) / scale)). Adding 2^23 rounds to an integer, ties to even, and leaves it in the low bits; NaN
 * gives 0. */
static MICA__INLINE void encode(const float *w, int n, float scale, float bias, float highest, uint8_t *codes)
{
    for (int i = 0; i < n; i++) {
        float x = (w[i] - bias) / scale;
        x = x > 0 ? x : 0;
        x = x < highest ? x : highest;
        codes[i] = (uint8_t)mica__bits_of(x + 0x1p23f);
    }
}

/* Eight ranges side by side, and then one of them. */
static MICA__INLINE void range_of(const float *w, int n, float *lo, float *hi)
{
    mica__float8 least = *(const mica__float8 *)w, most = least;
    for (int i = 8; i < n; i += 8) {
        const mica__float8 x = *(const mica__float8 *)(w + i);
        most = MICA__LARGER8(x, most);
        least = MICA__SMALLER8(x, least);
    }
    most = MICA__LARGER8(most, __builtin_shufflevector(most, most, 4, 5, 6, 7, 0, 1, 2, 3));
    least = MICA__SMALLER8(least, __builtin_shufflevector(least, least, 4, 5, 6, 7, 0, 1, 2, 3));
    most = MICA__LARGER8(most, __builtin_shufflevector(most, most, 2, 3, 0, 1, 6, 7, 4, 5));
    least = MICA__SMALLER8(least, __builtin_shufflevector(least, least, 2, 3, 0, 1, 6, 7, 4, 5));
    most = MICA__LARGER8(most, __builtin_shufflevector(most, most, 1, 0, 3, 2, 5, 4, 7, 6));
    least = MICA__SMALLER8(least, __builtin_shufflevector(least, least, 1, 0, 3, 2, 5, 4, 7, 6));
    *lo = least[0];
    *hi = most[0];
}

/* ---- search --------------------------------------------------------------------------------------------------------------- */

typedef struct candidate {
    float scale, bias; /* as stored */
    double error;
    uint8_t codes[MICA__MAX_GROUP];
} candidate;

static double error_of(const float *w, int n, const candidate *c)
{
    double sum = 0;
    for (int i = 0; i < n; i++) {
        double d = (double)w[i] - ((double)c->scale * c->codes[i] + (double)c->bias);
        sum += d * d;
    }
    return sum;
}

/* Scale and bias that fit the codes best; false if the codes are all the same. */
static bool refit(const float *w, int n, const uint8_t *codes, double *scale, double *bias)
{
    double sum_q = 0, sum_w = 0, sum_qq = 0, sum_qw = 0;
    for (int i = 0; i < n; i++) {
        sum_q += codes[i];
        sum_w += (double)w[i];
        sum_qq += (double)(codes[i] * codes[i]);
        sum_qw += codes[i] * (double)w[i];
    }
    double d = n * sum_qq - sum_q * sum_q;
    if (d <= 0) return false;
    *scale = (n * sum_qw - sum_q * sum_w) / d;
    *bias = (sum_w - *scale * sum_q) / n;
    return true;
}

/* Improves from the given start and keeps what is better than *best. */
static void descend(const float *w, int n, mica_dtype dtype, float highest, double scale, double bias, candidate *best)
{
    for (int round = 0; round < 4; round++) {
        candidate c;
        c.scale = mica__round_to(dtype, (float)scale);
        c.bias = mica__round_to(dtype, (float)bias);
        if (c.scale == 0 || !isfinite(c.scale) || !isfinite(c.bias)) return;
        encode(w, n, c.scale, c.bias, highest, c.codes);
        c.error = error_of(w, n, &c);
        if (c.error < best->error) *best = c;
        if (!refit(w, n, c.codes, &scale, &bias)) return;
    }
}

static void search(const float *w, int n, mica_dtype dtype, float lo, float hi, float highest, candidate *best)
{
    descend(w, n, dtype, highest, (double)best->scale, (double)best->bias, best);
    for (int cut = 0; cut <= 10; cut++) {
        double width = (double)hi - (double)lo, less = width * 0.025 * cut;
        for (int side = 0; side < 3; side++) { /* from below, from above, from both */
            double from = lo + (side == 1 ? 0 : less / (side == 2 ? 2 : 1));
            double to = hi - (side == 0 ? 0 : less / (side == 2 ? 2 : 1));
            descend(w, n, dtype, highest, (to - from) / (double)highest, from, best);
        }
    }
}

/* ---- MLX's rule ------------------------------------------------------------------------------------------------------------ */

static MICA__INLINE void by_rule_of(int n, const mica__quantization *q, const float *w, mica__group *out)
{
    float lo, hi, highest = (float)((1 << q->bits) - 1);
    range_of(w, n, &lo, &hi);
    mica__scale_of_range(lo, hi, highest, &out->scale, &out->bias);
    encode(w, n, out->scale, out->bias, highest, out->codes);
}

/* Loops of known length are the better ones. */
static MICA__INLINE void by_rule(const mica__quantization *q, const float *w, mica__group *out)
{
    if (q->group_size == 64)
        by_rule_of(64, q, w, out);
    else if (q->group_size == 32)
        by_rule_of(32, q, w, out);
    else
        by_rule_of(128, q, w, out);
}

#if MICA__QUANTIZE_AVX2
MICA__QUANTIZE_TARGET static void by_rule_avx2(const mica__quantization *q, const float *w, mica__group *out)
{
    by_rule(q, w, out);
}
#endif

static void by_rule_here(const mica__quantization *q, const float *w, mica__group *out)
{
#if MICA__QUANTIZE_AVX2
    if (mica__cpu_features()->avx2) {
        by_rule_avx2(q, w, out);
        return;
    }
#endif
    by_rule(q, w, out);
}

void mica__quantize_affine_group(const mica__quantization *q, mica__quantizer quantizer, mica_dtype dtype,
                                 const float *w, mica__group *out)
{
    by_rule_here(q, w, out);
    if (quantizer != MICA__QUANTIZER_SEARCH) return;
    float lo, hi, highest = (float)((1 << q->bits) - 1);
    range_of(w, q->group_size, &lo, &hi);
    candidate best = {.scale = mica__round_to(dtype, out->scale), .bias = mica__round_to(dtype, out->bias)};
    memcpy(best.codes, out->codes, (size_t)q->group_size);
    best.error = error_of(w, q->group_size, &best);
    search(w, q->group_size, dtype, lo, hi, highest, &best);
    memcpy(out->codes, best.codes, (size_t)q->group_size);
    out->scale = best.scale;
    out->bias = best.bias;
}
