/* backend/cpu/attention_plain.c: the inner loops of attention in plain C, for any dimension and layout: what they compute is the
 * reference of the fast ones. A row of keys or values at a time becomes floats. */
#include "attention.h"
#include "dot.h"
#include "kernels.h"

#include <math.h>

static void scores(float *s, int64_t stride, const mica__queries *q, const mica__kv *keys, float *row)
{
    for (int64_t j = keys->first * MICA__CACHE_LANES; j < keys->n * MICA__CACHE_LANES; j++) {
        mica__cache_load(&keys->layout, keys->eights[j / MICA__CACHE_LANES], (int)(j % MICA__CACHE_LANES), row);
        for (int64_t r = 0; r < q->rows; r++) s[r * stride + j] = mica__dot(q->q + r * q->dim, row, q->dim);
    }
}

static float weights(float *s, int64_t n, float scale, float softcap, float *max)
{
    float top = -INFINITY, lane[MICA__LANES] = {0};
    for (int64_t j = 0; j < n; j++) {
        s[j] *= scale;
        if (softcap > 0) s[j] = softcap * tanhf(s[j] / softcap);
        if (s[j] > top) top = s[j];
    }
    for (int64_t j = 0; j < n; j++) {
        s[j] = expf(s[j] - top);
        lane[j % MICA__LANES] += s[j];
    }
    *max = top;
    return mica__sum_lanes(lane);
}

static void accumulate(float *o, const float *w, int64_t stride, int64_t rows, const mica__kv *values, int64_t first,
                       int64_t end, float *row)
{
    const int64_t dim = values->layout.dim;
    for (int64_t j = first; j < end; j++) {
        float *block = o + j / MICA__BLOCK * rows * dim;
        if (j == first || j % MICA__BLOCK == 0) memset(block, 0, (size_t)(rows * dim) * sizeof *o);
        mica__cache_load(&values->layout, values->eights[j / MICA__CACHE_LANES], (int)(j % MICA__CACHE_LANES), row);
        for (int64_t r = 0; r < rows; r++) {
            float p = w[r * stride + j], *out = block + r * dim;
            for (int64_t e = 0; e < dim; e++) out[e] += p * row[e];
        }
    }
}

static void mix(float *a, float x, const float *b, float y, int64_t n)
{
    for (int64_t e = 0; e < n; e++) a[e] = a[e] * x + b[e] * y;
}

const mica__attention_kit mica__attention_plain = {false, scores, weights, accumulate, mix};

void mica__attention_round(mica__queries *q, int64_t r, const mica__cache_layout *keys)
{
    const float *x = q->q + r * q->dim;
    int16_t *to = q->rounded + r * q->rounded_dim;
    for (int64_t g = 0; g < keys->n_groups; g++) {
        const int64_t first = g * keys->group_size, end = mica__min(first + keys->group_size, q->dim);
        float most = 0, sum = 0;
        for (int64_t e = first; e < end; e++) {
            most = fabsf(x[e]) > most ? fabsf(x[e]) : most;
            sum += x[e];
        }
        const float inverse = most > 0 ? 32767 / most : 0;
        for (int64_t e = first; e < end; e++) to[e] = (int16_t)lrintf(x[e] * inverse);
        q->scales[r * keys->n_groups + g] = most / 32767;
        q->sums[r * keys->n_groups + g] = sum;
    }
    for (int64_t e = q->dim; e < q->rounded_dim; e++) to[e] = 0;
}
