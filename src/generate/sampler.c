/* generate/sampler.c: see the header. */
#include "sampler.h"

#include "scores.h"

#include <math.h>
#include <sys/random.h>
#include <time.h>

uint64_t mica__random_seed(void)
{
    uint64_t seed;
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) == sizeof seed) return seed;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000007u ^ (uint64_t)now.tv_nsec;
}

double mica__random_next(mica__random *r)
{
    uint64_t z = r->seed + ++r->n_drawn * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    return (double)(z >> 11) * 0x1p-53;
}

int32_t mica__choose_best(const float *scores, size_t n)
{
    const float max = mica__scores_max(scores, n);
    for (size_t i = mica__scores_find(scores, 0, n, max); i < n; i++) {
        if (scores[i] == max) return (int32_t)i;
    }
    return 0;
}

/* The last of scores [first, end) that may be drawn. */
static int32_t last_of(const float *scores, size_t first, size_t end, float max)
{
    for (size_t k = end; k-- > first;)
        if (scores[k] - max > -80) return (int32_t)k;
    return -1;
}

/* A pass for the sums of the kept scores' weights, part by part, then a walk through the part in whose share the drawn point falls. */
int32_t mica__choose_random(const float *scores, size_t n, mica__random *random)
{
    enum { PARTS = 256, LEAST = 16 * MICA__SCORE_BLOCK };
    const float max = mica__scores_max(scores, n);
    if (max == -INFINITY) return -1;
    size_t size = LEAST, n_parts = 0;
    while ((n + size - 1) / size > PARTS) size *= 2;
    double parts[PARTS], sum = 0, passed = 0;
    for (size_t i = 0; i < n; i += size) {
        parts[n_parts] = mica__scores_sum_exp(scores + i, n - i < size ? n - i : size, max);
        sum += parts[n_parts++];
    }
    const double point = mica__random_next(random) * sum;
    int32_t last = -1;
    for (size_t part = 0; part < n_parts; part++) {
        const size_t first = part * size, end = n - first < size ? n : first + size;
        if (parts[part] == 0) continue;
        if (passed + parts[part] <= point &&
            end < n) { /* if rounding leaves the point past the end, the last one is taken */
            const int32_t candidate = last_of(scores, first, end, max);
            if (candidate >= 0) last = candidate;
            passed += parts[part];
            continue;
        }
        for (size_t k = first; k < end; k++) {
            if (!(scores[k] > -INFINITY)) continue;
            const double weight = (double)expf(scores[k] - max);
            passed += weight;
            if (weight > 0) last = (int32_t)k;
            if (passed > point) return last;
        }
    }
    return last;
}
