/* The memory plan: values that live together never overlap, and the arena is not much larger than the busiest stage needs. */
#include "array/program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static uint64_t seed = 88172645463325252u;
static uint64_t random_number(uint64_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed % below;
}

static void test_random_lifetimes(void **state)
{
    (void)state;
    enum { MAX = 300, STAGES = 60 };
    static mica__value v[MAX];
    for (int round = 0; round < 200; round++) {
        int n = (int)random_number(MAX) + 1;
        size_t busiest = 0, arena;
        for (int i = 0; i < n; i++) {
            int first = (int)random_number(STAGES), last = first + (int)random_number(6);
            v[i] = (mica__value){.n_bytes = random_number(5000),
                                 .first_stage = first,
                                 .last_stage = last,
                                 .output = random_number(10) ? -1 : 3};
        }
        assert_int_equal(mica__plan(v, n, &arena, NULL), MICA_OK);
        for (int s = 0; s < STAGES + 6; s++) {
            size_t sum = 0;
            for (int i = 0; i < n; i++)
                if (v[i].output < 0 && v[i].first_stage <= s && s <= v[i].last_stage)
                    sum += mica__align64(v[i].n_bytes);
            if (sum > busiest) busiest = sum;
        }
        for (int i = 0; i < n; i++) {
            if (v[i].output >= 0) continue;
            assert_int_equal(v[i].offset % 64, 0);
            assert_true(v[i].offset + v[i].n_bytes <= arena);
            for (int k = 0; k < i; k++) {
                if (v[k].output >= 0 || v[i].first_stage > v[k].last_stage || v[k].first_stage > v[i].last_stage)
                    continue;
                bool apart = v[i].offset + v[i].n_bytes <= v[k].offset || v[k].offset + v[k].n_bytes <= v[i].offset;
                if (!apart) fail_msg("round %d: values %d and %d overlap", round, i, k);
            }
        }
        assert_true(arena >= busiest && arena <= busiest * 2 + 64);
    }
}

static void test_chain_uses_two_places(void **state)
{
    (void)state;
    mica__value v[50];
    size_t arena;
    for (int i = 0; i < 50; i++)
        v[i] = (mica__value){.n_bytes = 1000, .first_stage = i, .last_stage = i + 1, .output = -1};
    assert_int_equal(mica__plan(v, 50, &arena, NULL), MICA_OK);
    assert_int_equal(arena, 2 * mica__align64(1000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_lifetimes),
                                       cmocka_unit_test(test_chain_uses_two_places)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
