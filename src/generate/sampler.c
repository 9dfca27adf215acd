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
    for (size_t i = 0; i < n; i++) {
        if (scores[i] == max) return (int32_t)i;
    }
    return 0;
}

/* A pass for the sum of the kept scores' weights, then one to the block in whose share the drawn point falls, and through it. */
int32_t mica__choose_random(const float *scores, size_t n, mica__random *random)
{
    enum { PART = 16 * MICA__SCORE_BLOCK };
    const float max = mica__scores_max(scores, n);
    if (max == -INFINITY) return -1;
    const double point = mica__random_next(random) * mica__scores_sum_exp(scores, n, max);
    double passed = 0;
    int32_t last = -1;
    for (size_t i = 0; i < n; i += PART) {
        const size_t end = n - i < PART ? n : i + PART;
        const double part = mica__scores_sum_exp(scores + i, end - i, max);
        if (part == 0) continue;
        if (passed + part <= point && end < n) { /* if rounding leaves the point past the end, the last one is taken */
            for (size_t k = end; k-- > i;)
                if (scores[k] - max > -80) {
                    last = (int32_t)k;
                    break;
                }
            passed += part;
            continue;
        }
        for (size_t k = i; k < end; k++) {
            if (!(scores[k] > -INFINITY)) continue;
            const double weight = (double)expf(scores[k] - max);
            passed += weight;
            if (weight > 0) last = (int32_t)k;
            if (passed > point) return last;
        }
    }
    return last;
}
