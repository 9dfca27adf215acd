/* Passes over all scores, against the plain loops they stand for: every length, removed scores, what is not a number. */
#include "generate/scores.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

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

/* Whatever vectors there are: the same to the bit. */
static void test_vectors(void **state)
{
    (void)state;
    enum { N = 4 * MICA__SCORE_BLOCK };
    static float scores[N + 1], a[N], b[N];
    const mica__score_passes *plain = &mica__score_passes_plain, *fast = mica__score_passes_avx2();
    uint32_t random = 5;
    if (!fast) {
        print_message("skipped: this processor has no AVX2\n");
        skip();
    }
    for (int round = 0; round < 200; round++) {
        float *s = scores + round % 2;
        for (size_t i = 0; i < N; i++) {
            s[i] = random_score(&random) * (round % 3 ? 1 : 4);
            if (round % 5 == 1 && random & 4096) s[i] = -INFINITY;
            if (round % 7 == 2 && i % 11 == 3) s[i] = NAN;
        }
        const float max = plain->max(s, N), limit = random_score(&random);
        assert_true(fast->max(s, N) == max);
        mica__score_sums x = {{0}}, y = {{0}};
        plain->sum_exp(s, N, max, &x);
        fast->sum_exp(s, N, max, &y);
        assert_memory_equal(&x, &y, sizeof x);
        for (size_t first = 0; first <= N; first += MICA__SCORE_BLOCK)
            assert_int_equal(fast->find(s, first, N, limit), plain->find(s, first, N, limit));
        for (int divide = 0; divide < 2; divide++) {
            memcpy(a, s, sizeof a);
            memcpy(b, s, sizeof b);
            (divide ? plain->divide : plain->drop_below)(a, N, limit);
            (divide ? fast->divide : fast->drop_below)(b, N, limit);
            for (size_t i = 0; i < N; i++) assert_true(a[i] == b[i] || (isnan(a[i]) && isnan(b[i])));
        }
    }
}

/* The start of the first block with something, at any length. */
static void test_find(void **state)
{
    (void)state;
    static float scores[MOST];
    for (size_t n = 1; n <= MOST; n++) {
        for (size_t i = 0; i < n; i++) scores[i] = -INFINITY;
        assert_int_equal(mica__scores_find(scores, 0, n, 0), n);
        scores[n - 1] = 1;
        assert_int_equal(mica__scores_find(scores, 0, n, 1), (n - 1) / MICA__SCORE_BLOCK * MICA__SCORE_BLOCK);
        assert_int_equal(mica__scores_find(scores, 0, n, 1.5f), n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lengths), cmocka_unit_test(test_precision),
                                       cmocka_unit_test(test_vectors), cmocka_unit_test(test_find)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
