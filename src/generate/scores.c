/* generate/scores.c: see the header.
 *
 * exp(x) for x <= 0: 2^n times a polynomial of the rest, which is at most half of ln 2 away from 0 (the Taylor terms up to the sixth leave an
 * error of 1e-7). Sums are made in double, in eight lanes, multiplications and additions rounded one by one: so every kind of vector gives the
 * same. */
#include "scores.h"

#include <math.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

enum { BLOCK = MICA__SCORE_BLOCK, LANES = 16 };

/* ---- plain passes ------------------------------------------------------------------------------------------------------------------ */

static float max_plain(const float *scores, size_t n)
{
    float lane[LANES], max = -INFINITY;
    for (int j = 0; j < LANES; j++) lane[j] = -INFINITY;
    for (size_t i = 0; i < n; i += LANES)
        for (int j = 0; j < LANES; j++) lane[j] = scores[i + (size_t)j] > lane[j] ? scores[i + (size_t)j] : lane[j];
    for (int j = 0; j < LANES; j++) max = lane[j] > max ? lane[j] : max;
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

static void add_exp(const float *scores, float max, mica__score_sums *sums)
{
    doubles *lane = (doubles *)(void *)sums->lane;
    for (size_t i = 0; i < BLOCK; i += 8) {
        const floats a = exp_negative(*(const floats *)(const void *)(scores + i) - max);
        const floats b = exp_negative(*(const floats *)(const void *)(scores + i + 4) - max);
        lane[0] += (doubles){(double)a[0], (double)a[1]};
        lane[1] += (doubles){(double)a[2], (double)a[3]};
        lane[2] += (doubles){(double)b[0], (double)b[1]};
        lane[3] += (doubles){(double)b[2], (double)b[3]};
    }
}

static void sum_exp_plain(const float *scores, size_t n, float max, mica__score_sums *sums)
{
    for (size_t i = 0; i < n; i += BLOCK) /* most blocks have nothing left once a set was chosen */
        if (max_plain(scores + i, BLOCK) - max > -87) add_exp(scores + i, max, sums);
}

static size_t find_plain(const float *scores, size_t first, size_t n, float least)
{
    for (; first < n; first += BLOCK)
        if (max_plain(scores + first, BLOCK) >= least) return first;
    return n;
}

static void drop_below_plain(float *scores, size_t n, float limit)
{
    for (size_t i = 0; i < n; i++) scores[i] = scores[i] < limit ? -INFINITY : scores[i];
}

static void divide_plain(float *scores, size_t n, float by)
{
    for (size_t i = 0; i < n; i++) scores[i] /= by;
}

const mica__score_passes mica__score_passes_plain = {max_plain, sum_exp_plain, find_plain, drop_below_plain,
                                                     divide_plain};

/* ---- any length -------------------------------------------------------------------------------------------------------------------- */

static const mica__score_passes *passes(void)
{
    static _Atomic(const mica__score_passes *) chosen;
    const mica__score_passes *p = atomic_load_explicit(&chosen, memory_order_relaxed);
    if (p) return p;
    p = mica__score_passes_avx2();
    if (!p) p = &mica__score_passes_plain;
    atomic_store_explicit(&chosen, p, memory_order_relaxed);
    return p;
}

static size_t whole_blocks(size_t n) { return n / BLOCK * BLOCK; }

/* What is left after whole blocks, filled up with -inf. */
static const float *last_block(float *rest, const float *scores, size_t n)
{
    const size_t whole = whole_blocks(n);
    for (size_t i = 0; i < BLOCK; i++) rest[i] = whole + i < n ? scores[whole + i] : -INFINITY;
    return rest;
}

float mica__scores_max(const float *scores, size_t n)
{
    float max = passes()->max(scores, whole_blocks(n));
    for (size_t i = whole_blocks(n); i < n; i++) max = scores[i] > max ? scores[i] : max;
    return max;
}

double mica__scores_sum_exp(const float *scores, size_t n, float max)
{
    mica__score_sums sums = {{0}};
    float rest[BLOCK];
    passes()->sum_exp(scores, whole_blocks(n), max, &sums);
    if (n % BLOCK) passes()->sum_exp(last_block(rest, scores, n), BLOCK, max, &sums);
    const double *s = sums.lane;
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

size_t mica__scores_find(const float *scores, size_t first, size_t n, float least)
{
    const size_t whole = whole_blocks(n), at = first < whole ? passes()->find(scores, first, whole, least) : first;
    float rest[BLOCK];
    if (at < whole || at >= n) return at;
    return max_plain(last_block(rest, scores, n), BLOCK) >= least ? at : n;
}

void mica__scores_drop_below(float *scores, size_t n, float limit)
{
    const size_t whole = whole_blocks(n);
    passes()->drop_below(scores, whole, limit);
    drop_below_plain(scores + whole, n - whole, limit);
}

void mica__scores_divide(float *scores, size_t n, float by)
{
    const size_t whole = whole_blocks(n);
    passes()->divide(scores, whole, by);
    divide_plain(scores + whole, n - whole, by);
}
