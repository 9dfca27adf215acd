/* generate/scores.c: see the header.
 *
 * exp(x) for x <= 0: 2^n times a polynomial of the rest, which is at most half of ln 2 away from 0 (the Taylor terms up to the sixth leave an
 * error of 1e-7). Sums are made in double, in as many lanes as a vector has. */
#include "scores.h"

#include <math.h>
#include <stdint.h>

enum { LANES = 16 };

float mica__scores_max(const float *scores, size_t n)
{
    float lane[LANES], max = -INFINITY;
    size_t i = 0;
    for (int j = 0; j < LANES; j++) lane[j] = -INFINITY;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) lane[j] = scores[i + (size_t)j] > lane[j] ? scores[i + (size_t)j] : lane[j];
    for (int j = 0; j < LANES; j++) max = lane[j] > max ? lane[j] : max;
    for (; i < n; i++) max = scores[i] > max ? scores[i] : max;
    return max;
}

typedef float floats __attribute__((vector_size(16), may_alias, aligned(4)));
typedef int32_t ints __attribute__((vector_size(16), may_alias));
typedef double doubles __attribute__((vector_size(16)));

/* 0 below -87, where float's normal numbers end; x is at most 0. */
static inline floats exp_negative(floats x)
{
    const float round = 12582912.0f; /* 1.5 * 2^23: adding it leaves the nearest integer in the low bits */
    const ints normal = (ints)(x > -87.0f);
    const floats in = (floats)((ints)x & normal), shifted = in * 1.44269504f + round, n = shifted - round;
    const floats r = (in - n * 0.693145752f) - n * 1.42860677e-6f;
    floats p = r * (1.0f / 720) + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    return (floats)(((ints)p + ((ints)shifted << 23)) & normal);
}

/* Of n scores, n a multiple of 4. */
static double sum_quads(const float *scores, size_t n, float max)
{
    doubles low = {0}, high = {0};
    for (size_t i = 0; i < n; i += 4) {
        const floats e = exp_negative(*(const floats *)(const void *)(scores + i) - max);
        low += (doubles){(double)e[0], (double)e[1]};
        high += (doubles){(double)e[2], (double)e[3]};
    }
    return (low[0] + high[0]) + (low[1] + high[1]);
}

double mica__scores_sum_exp(const float *scores, size_t n, float max)
{
    double sum = 0;
    size_t i = 0;
    for (; i + MICA__SCORE_BLOCK <= n; i += MICA__SCORE_BLOCK) /* most blocks have nothing left once a set was chosen */
        if (mica__scores_max(scores + i, MICA__SCORE_BLOCK) - max > -87)
            sum += sum_quads(scores + i, MICA__SCORE_BLOCK, max);
    float rest[MICA__SCORE_BLOCK];
    for (size_t k = 0; k < MICA__SCORE_BLOCK; k++) rest[k] = i + k < n ? scores[i + k] : -INFINITY;
    return i < n ? sum + sum_quads(rest, MICA__SCORE_BLOCK, max) : sum;
}
