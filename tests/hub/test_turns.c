/* tests/hub/test_turns.c: whatever accidents happen, little is lost; without any, requests are large. */
#include "hub/turns.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

enum { KIB = 1024, MIB = 1 << 20 };

static void test_requests_are_large(void **state)
{
    (void)state;
    mica__turns t = {.size = (uint64_t)2000 * MIB};
    assert_int_equal(mica__turns_take(&t, UINT64_MAX, 1), 2000 * MIB / 32);
    assert_int_equal(mica__turns_take(&t, UINT64_MAX, 1), 0); /* all of it is out */
    mica__turns_settle(&t, 2000 * MIB / 32, 2000 * MIB / 32, false);
    uint64_t sum = 0;
    for (int k = 0; k < 8; k++) sum += mica__turns_take(&t, UINT64_MAX, 8);
    assert_in_range(sum, 2000 * MIB / 32 - 8, 2000 * MIB / 32);
    assert_int_equal(mica__turns_take(&t, UINT64_MAX, 8), 0);
}

static void test_what_was_not_sent_is_not_lost(void **state)
{
    (void)state;
    mica__turns t = {.size = 100 * MIB};
    const uint64_t n = mica__turns_take(&t, 5000, 4);
    assert_int_equal(n, 5000);
    mica__turns_settle(&t, n, 0, true);
    assert_int_equal(t.lost, 0);
    assert_int_equal(t.out, 0);
    mica__turns_settle(&t, (t.out = 5000), 1000, false);
    assert_int_equal(t.lost, 4000);
}

/* Every run dies with all of its requests out, having received a part of the file; returns what was asked for in all. */
static uint64_t killed(uint64_t size, int n_connections, uint64_t each_run)
{
    uint64_t there = 0, asked = 0;
    while (there < size) {
        mica__turns t = {.size = size, .lost = asked - there};
        uint64_t received = 0;
        while (there + received < size) {
            const uint64_t n = mica__turns_take(&t, size - there - received, n_connections);
            if (!n) break;
            asked += n;
            if (received >= each_run) continue; /* until no more may be asked for */
            mica__turns_settle(&t, n, n, false);
            received += n;
        }
        there += received;
    }
    return asked;
}

static void test_killed_again_and_again(void **state)
{
    (void)state;
    const uint64_t runs[] = {2 * MIB, 5 * MIB, 20 * MIB, 100 * MIB};
    for (size_t i = 0; i < 4; i++)
        for (int connections = 1; connections <= 16; connections *= 2)
            assert_in_range(killed(60 * MIB, connections, runs[i]) / KIB, 60 * KIB, 60 * KIB * 110 / 100);
    assert_in_range(killed((uint64_t)2000 * MIB, 8, 7 * MIB) / MIB, 2000, 2000 * 11 / 10);
}

static void test_a_map_that_lies(void **state)
{
    (void)state;
    mica__turns t = {.size = MIB, .lost = UINT64_MAX};
    assert_int_equal(mica__turns_take(&t, UINT64_MAX, 1), 64 * KIB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests_are_large), cmocka_unit_test(test_what_was_not_sent_is_not_lost),
        cmocka_unit_test(test_killed_again_and_again), cmocka_unit_test(test_a_map_that_lies)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
