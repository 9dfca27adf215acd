/* formats/quantize_float.c: groups of 4- and 8-bit floating-point elements with one scale: mxfp4, mxfp8, nvfp4.
 *
 * MLX divides the largest magnitude of a group by the largest element of the mode, rounds that to a scale (a power of two: upwards, so that
 * nothing overflows), and rounds the elements divided by the scale. It computes in the dtype of the weights, so every step is rounded
 * to that dtype here, too.
 *
 * The search tries the neighbouring scales and keeps the one with the smallest squared error. */
#include "quantize_private.h"

#include <math.h>

float mica__quantized_scale(mica_quant_mode mode, uint8_t byte)
{
    return mode == MICA_QUANT_NVFP4 ? mica__from_e4m3(byte) : mica__from_e8m0(byte);
}

/* ---- elements -------------------------------------------------------------------------------------------------------------- */

/* The first of the sixteen values at the smallest distance, which is rounded to the dtype: far outside of the range all distances are
 * the same, and so they are for infinity and NaN. */
static uint8_t nearest_e2m1(float x, mica_dtype dtype)
{
    unsigned nearest = 0;
    float least = mica__round_to(dtype, fabsf(x));
    for (unsigned code = 1; code < 16; code++) {
        float distance = mica__round_to(dtype, fabsf(x - mica__from_e2m1(code)));
        if (!(distance < least)) continue;
        least = distance;
        nearest = code;
    }
    return (uint8_t)nearest;
}

/* The same for |x| up to a few hundred, where the distances to the two neighbours are exact: ties go to the smaller magnitude. */
static uint8_t to_e2m1(float x, mica_dtype dtype)
{
    float a = fabsf(x);
    if (!(a <= 256)) return nearest_e2m1(x, dtype);
    int code = (a > 0.25f) + (a > 0.75f) + (a > 1.25f) + (a > 1.75f) + (a > 2.5f) + (a > 3.5f) + (a > 5);
    return (uint8_t)(code && x < 0 ? code | 8 : code);
}

static float largest_magnitude(const float *w, int n)
{
    float most = 0;
    for (int i = 0; i < n; i++) {
        float a = fabsf(w[i]);
        most = most < a ? a : most;
    }
    return most;
}

/* ---- MLX's scales ------------------------------------------------------------------------------------------------------------ */

/* The smallest power of two that is at least the scale. */
static int exponent_of(float scale)
{
    int exponent = 0;
    if (!(scale > 0 && scale < INFINITY)) return 0;
    return frexpf(scale, &exponent) == 0.5f ? exponent - 1 : exponent;
}

/* Exponents below -127 wrap around, as MLX's bytes do. */
static void quantize_mx(const mica__quantization *q, mica_dtype dtype, const float *w, mica__group *out)
{
    const bool wide = q->mode == MICA_QUANT_MXFP8;
    float scale = mica__round_to(dtype, largest_magnitude(w, q->group_size) / (wide ? 448.0f : 6.0f));
    int exponent = exponent_of(scale);
    float divisor = ldexpf(1, exponent);
    out->scale_byte = (uint8_t)(exponent + 127);
    for (int i = 0; i < q->group_size; i++) {
        float x = mica__round_to(dtype, w[i] / divisor);
        out->codes[i] = wide ? mica__to_e4m3(x) : to_e2m1(x, dtype);
    }
}

static void quantize_nv(const mica__quantization *q, mica_dtype dtype, const float *w, mica__group *out)
{
    out->scale_byte = mica__to_e4m3(mica__round_to(dtype, largest_magnitude(w, q->group_size) / 6.0f));
    float divisor = mica__from_e4m3(out->scale_byte);
    for (int i = 0; i < q->group_size; i++)
        out->codes[i] = to_e2m1(mica__round_to(dtype, w[i] / divisor), MICA_DTYPE_F32);
}

/* ---- search --------------------------------------------------------------------------------------------------------------------- */

/* To the nearest, ties to the even code. */
static uint8_t round_element(mica_quant_mode mode, float x)
{
    if (mode == MICA_QUANT_MXFP8) return mica__to_e4m3(x);
    float a = fabsf(x);
    int code = (a > 0.25f) + (a >= 0.75f) + (a > 1.25f) + (a >= 1.75f) + (a > 2.5f) + (a >= 3.5f) + (a > 5);
    return (uint8_t)(code && x < 0 ? code | 8 : code);
}

static double error_of(const mica__quantization *q, const float *w, const mica__group *g)
{
    double sum = 0, scale = (double)mica__quantized_scale(q->mode, g->scale_byte);
    for (int i = 0; i < q->group_size; i++) {
        double d = (double)w[i] - scale * (double)mica__quantized_element(q->mode, g->codes[i]);
        sum += d * d;
    }
    return sum;
}

static void search(const mica__quantization *q, const float *w, mica__group *best)
{
    const bool nv = q->mode == MICA_QUANT_NVFP4;
    const int reach = nv ? 8 : 2, highest = nv ? 0x7e : 0xfe, middle = best->scale_byte;
    double least = error_of(q, w, best);
    for (int byte = middle - reach; byte <= middle + reach; byte++) {
        mica__group g;
        if (byte < 0 || byte > highest) continue;
        g.scale_byte = (uint8_t)byte;
        float scale = mica__quantized_scale(q->mode, g.scale_byte);
        if (scale == 0) continue;
        for (int i = 0; i < q->group_size; i++) g.codes[i] = round_element(q->mode, w[i] / scale);
        double error = error_of(q, w, &g);
        if (!(error < least)) continue;
        least = error;
        best->scale_byte = g.scale_byte;
        memcpy(best->codes, g.codes, (size_t)q->group_size);
    }
}

void mica__quantize_float_group(const mica__quantization *q, mica__quantizer quantizer, mica_dtype dtype,
                                const float *w, mica__group *out)
{
    if (q->mode == MICA_QUANT_NVFP4)
        quantize_nv(q, dtype, w, out);
    else
        quantize_mx(q, dtype, w, out);
    if (quantizer == MICA__QUANTIZER_SEARCH) search(q, w, out);
}
