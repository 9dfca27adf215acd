/* The generator's published values, and that draws follow the scores. */
#include "generate/sampler.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_generator(void **state)
{
    (void)state;
    /* SplitMix64 from seed 1234567, as its authors' program prints it. */
    static const uint64_t expected[] = {6457827717110365317u, 3203168211198807973u, 9817491932198370423u,
                                        4593380528125082431u, 16408922859458223821u};
    mica__random r = {.seed = 1234567};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        assert_true(mica__random_next(&r) == (double)(expected[i] >> 11) * 0x1p-53);
    }
    mica__random again = {.seed = 1234567, .n_drawn = 3}; /* from the middle */
    assert_true(mica__random_next(&again) == (double)(expected[3] >> 11) * 0x1p-53);
    assert_true(mica__random_seed() != mica__random_seed());
}

static void test_best(void **state)
{
    (void)state;
    assert_int_equal(mica__choose_best((float[]){1, 5, 5, 2}, 4), 1);
    assert_int_equal(mica__choose_best((float[]){-INFINITY, -INFINITY, -3}, 3), 2);
    assert_int_equal(mica__choose_best((float[]){2, NAN, 3}, 3), 2);
}

static void test_draws_follow_scores(void **state)
{
    (void)state;
    const float scores[] = {0, -INFINITY, logf(3), -INFINITY, logf(4), -INFINITY};
    const double share[] = {1 / 8.0, 0, 3 / 8.0, 0, 4 / 8.0, 0};
    enum { DRAWS = 40000 };
    int counts[6] = {0};
    mica__random r = {.seed = 7};
    for (int i = 0; i < DRAWS; i++) counts[mica__choose_random(scores, 6, &r)]++;
    for (int i = 0; i < 6; i++) assert_true(fabs(counts[i] / (double)DRAWS - share[i]) < 0.01);
    assert_int_equal(r.n_drawn, DRAWS); /* one for each token */
    assert_int_equal(mica__choose_random((float[]){-INFINITY, -INFINITY}, 2, &r), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_generator),
        cmocka_unit_test(test_best),
        cmocka_unit_test(test_draws_follow_scores),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
