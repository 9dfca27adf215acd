/* Passes over all scores, against the plain loops they stand for: every length, removed scores, what is not a number. */
#include "generate/scores.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

enum { MOST = 300 };

static float random_score(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return ((float)(*state >> 8) / 16777216.0f - 0.5f) * 60;
}

static void check(const float *scores, size_t n)
{
    float max = -INFINITY;
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        if (scores[i] > max) max = scores[i];
    assert_true(mica__scores_max(scores, n) == max);
    for (size_t i = 0; i < n; i++)
        if (!isnan(scores[i])) sum += exp((double)scores[i] - (double)max);
    if (max > -INFINITY) assert_true(fabs(mica__scores_sum_exp(scores, n, max) - sum) < 3e-7 * sum);
}

static void test_lengths(void **state)
{
    (void)state;
    float *scores = malloc((MOST + 1) * sizeof *scores);
    uint32_t random = 1;
    for (size_t n = 0; n <= MOST; n++) {
        for (int kind = 0; kind < 4; kind++) { /* all, some removed, one left, some no numbers */
            for (size_t i = 0; i < n; i++) {
                scores[1 + i] = random_score(&random);
                if (kind == 1 && random & 256) scores[1 + i] = -INFINITY;
                if (kind == 2 && i != n / 2) scores[1 + i] = -INFINITY;
                if (kind == 3 && i % 7 == 3) scores[1 + i] = NAN;
            }
            check(scores + 1, n); /* not aligned */
        }
    }
    free(scores);
}

static void test_precision(void **state)
{
    (void)state;
    for (float x = 0; x > -87; x -= 0.0137f) {
        const double want = exp((double)x);
        assert_true(fabs(mica__scores_sum_exp(&x, 1, 0) - want) < 3e-7 * want);
    }
    const float tiny[] = {-88, -1000, -INFINITY};
    for (size_t i = 0; i < 3; i++) assert_true(mica__scores_sum_exp(&tiny[i], 1, 0) < 1e-37);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lengths), cmocka_unit_test(test_precision)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
