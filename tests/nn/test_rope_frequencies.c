/* Every rope type against the values that Transformers computes (tests/oracle/make_rope_values.py), and the rules about lengths. */
#include "nn/rope_frequencies.h"

#include "base/file.h"
#include "models/config.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

/* Largest relative difference of a row's frequencies and scale. */
static double compare(mica__jval row)
{
    mica__buf config_text = {0};
    mica__config config;
    mica_error err;
    mica__json_write(&config_text, mica__json_get(row, "config"));
    if (mica__config_parse(&config, mica__buf_str(&config_text), NULL, &err)) fail_msg("%s", err.message);
    int64_t head_dim = mica__config_int(&config, "head_dim", 0, 1, 1000), length = 0;
    mica__rope r =
        mica__config_rope(&config, (int)head_dim, mica__config_int(&config, "max_position_embeddings", 0, 1, 1000), 1);
    if (mica__config_status(&config, &err)) fail_msg("%s", err.message);

    float f[128];
    mica__json_int(mica__json_get(row, "length"), &length);
    mica__rope_frequencies(&r, length, f);
    mica__jval expected = mica__json_get(row, "frequencies");
    assert_int_equal(r.dims / 2, mica__json_count(expected));
    double scale = 0, value = 0, worst = 0;
    for (int i = 0; i < r.dims / 2; i++) {
        mica__json_double(mica__json_at(expected, (size_t)i), &value);
        double difference = value == 0 ? fabs(f[i]) : fabs(f[i] / value - 1);
        if (!(difference <= worst)) worst = difference;
    }
    mica__json_double(mica__json_get(row, "scale"), &scale);
    worst = fmax(worst, fabs(mica__rope_scale(&r) / scale - 1));
    if (worst > 1e-6) printf("off by %g: %s, length %lld\n", worst, config_text.p, (long long)length);
    mica__config_release(&config);
    mica__buf_release(&config_text);
    return worst;
}

static void test_values(void **state)
{
    (void)state;
    mica__buf text = {0};
    mica__json doc;
    assert_int_equal(mica__file_read(&text, MICA_TEST_DATA "/models/rope.json", 1 << 24, NULL), MICA_OK);
    assert_int_equal(mica__json_parse(&doc, text.p, text.n, NULL, NULL), MICA_OK);
    double worst = 0;
    size_t n = 0;
    for (mica__jval row = mica__json_first(mica__json_root(&doc)); row;
         row = mica__json_next(mica__json_root(&doc), row), n++) {
        worst = fmax(worst, compare(row));
    }
    printf("rope: %zu rows, worst relative difference %g\n", n, worst);
    assert_true(n > 50);
    assert_true(worst < 1e-6);
    mica__json_release(&doc);
    mica__buf_release(&text);
}

static void test_lengths(void **state)
{
    (void)state;
    const mica__rope dynamic = {
        .type = MICA__ROPE_DYNAMIC, .dims = 16, .theta = 1e4, .factor = 2, .max_length = 100, .original_length = 100};
    int64_t longest = 0;
    assert_int_equal(mica__rope_effective_length(&dynamic, 10, &longest), 100);
    assert_int_equal(mica__rope_effective_length(&dynamic, 150, &longest), 150);
    assert_int_equal(mica__rope_effective_length(&dynamic, 120, &longest),
                     150); /* keeps what the cache was made with */
    assert_int_equal(mica__rope_effective_length(&dynamic, 99, &longest), 100);
    assert_true(mica__rope_is_dynamic(&dynamic));
    assert_int_equal(mica__rope_short_length(&dynamic), 100);
    const mica__rope longrope = {
        .type = MICA__ROPE_LONGROPE, .dims = 16, .theta = 1e4, .max_length = 100, .original_length = 40};
    assert_int_equal(mica__rope_short_length(&longrope), 40);

    const mica__rope plain = {.type = MICA__ROPE_DEFAULT, .dims = 16, .theta = 1e4, .max_length = 100};
    assert_int_equal(mica__rope_effective_length(&plain, 150, &longest), 150);
    assert_false(mica__rope_is_dynamic(&plain));
}

static void test_not_finite(void **state)
{
    (void)state;
    mica_error err;
    mica__rope r = {.type = MICA__ROPE_YARN,
                    .dims = 16,
                    .theta = 1,
                    .factor = 4,
                    .max_length = 100,
                    .original_length = 25,
                    .attention_factor = -1,
                    .beta_fast = 32,
                    .beta_slow = 1,
                    .truncate = true};
    assert_int_equal(mica__rope_check(&r, "rope_scaling", &err), MICA_DATA);
    assert_non_null(strstr(err.message, "rope_scaling"));
    r.theta = 1e4;
    assert_int_equal(mica__rope_check(&r, "rope_scaling", &err), MICA_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_not_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
