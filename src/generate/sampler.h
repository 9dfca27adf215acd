/* generate/sampler.h: choosing a token from processed scores, and the random numbers for it.
 *
 * The generator is SplitMix64 (Steele, Lea, Flood 2014) read by counter: draw number i of a seed is a fixed function of (seed, i), so a
 * sequence can be repeated from any point. One draw is used for each sampled token. */
#ifndef MICA_GENERATE_SAMPLER_H
#define MICA_GENERATE_SAMPLER_H

#include <stddef.h>
#include <stdint.h>

typedef struct mica__random {
    uint64_t seed, n_drawn;
} mica__random;

/* A seed that nobody chose. */
uint64_t mica__random_seed(void);
/* The next number in [0, 1), with 53 random bits. */
double mica__random_next(mica__random *r);

/* Index of the largest score, the first of equals. NaN never wins. */
int32_t mica__choose_best(const float *scores, size_t n);
/* Draws from softmax(scores). -1 if every score is -inf. */
int32_t mica__choose_random(const float *scores, size_t n, mica__random *random);

#endif
