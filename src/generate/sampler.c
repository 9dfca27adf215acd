/* generate/sampler.c: see the header. */
#include "sampler.h"

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
    size_t best = 0;
    for (size_t i = 1; i < n; i++) {
        if (scores[i] > scores[best]) best = i;
    }
    return (int32_t)best;
}

/* Two passes over the kept scores: the sum of their weights, then the one in whose share the drawn point falls. */
int32_t mica__choose_random(const float *scores, size_t n, mica__random *random)
{
    float max = -INFINITY;
    for (size_t i = 0; i < n; i++) {
        if (scores[i] > max) max = scores[i];
    }
    if (max == -INFINITY) return -1;
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        if (scores[i] > -INFINITY) sum += (double)expf(scores[i] - max);
    }
    double point = mica__random_next(random) * sum, passed = 0;
    int32_t last = -1;
    for (size_t i = 0; i < n; i++) {
        if (scores[i] == -INFINITY) continue;
        double weight = (double)expf(scores[i] - max);
        passed += weight;
        if (weight > 0) last = (int32_t)i;
        if (passed > point) break;
    }
    return last;
}
