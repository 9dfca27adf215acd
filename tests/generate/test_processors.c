/* Every processor alone against Transformers' (tests/oracle/make_processor_data.py), and guesses from the text itself. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "generate/assist.h"
#include "generate/processors.h"
#include "models/reference.h"

enum { VOCAB = 48 };

/* [VOCAB] numbers, or "inf" and "-inf" */
static void read_scores(mica__jval list, float *out)
{
    size_t i = 0;
    assert_int_equal(mica__json_count(list), VOCAB);
    for (mica__jval e = mica__json_first(list); e; e = mica__json_next(list, e), i++) {
        double x = 0;
        mica__str s;
        if (mica__json_string(e, &s)) {
            x = mica__str_is(s, "inf") ? INFINITY : -INFINITY;
        } else {
            assert_true(mica__json_double(e, &x));
        }
        out[i] = (float)x;
    }
}

/* For two rows of the same ids, without a search round it. */
static void check_alone(const mica_generation_config *config, const int32_t *ids, size_t n, size_t n_prompt,
                        float *scores, const float *expected)
{
    int32_t twice[2 * 64];
    mica_error err;
    assert_true(n <= 64);
    memcpy(twice, ids, n * sizeof *ids);
    memcpy(twice + n, ids, n * sizeof *ids);
    reference_check(mica_process_scores(config, twice, 2, n, n_prompt, VOCAB, scores, &err), &err, "process");
    assert_memory_equal(scores, expected, VOCAB * sizeof *scores);
    assert_memory_equal(scores + VOCAB, expected, VOCAB * sizeof *scores);
    twice[n] = VOCAB;
    assert_int_equal(mica_process_scores(config, twice, 2, n, n_prompt, VOCAB, scores, &err), MICA_INVALID);
    assert_int_equal(mica_process_scores(config, twice, 1, n, n + 1, VOCAB, scores, &err), MICA_INVALID);
}

static void check_row(mica__jval row)
{
    float scores[VOCAB], expected[VOCAB], alone[2 * VOCAB];
    size_t n;
    int64_t n_prompt;
    int32_t *ids = reference_ids(mica__json_get(row, "ids"), &n);
    mica_generation_config *config;
    mica__settings settings;
    mica__processors p;
    mica_error err;
    mica__buf text = {0};
    mica__json_write(&text, mica__json_get(row, "settings"));
    assert_true(mica__json_int(mica__json_get(row, "n_prompt"), &n_prompt));
    read_scores(mica__json_get(row, "scores"), scores);
    read_scores(mica__json_get(row, "expected"), expected);
    memcpy(alone, scores, sizeof scores);
    memcpy(alone + VOCAB, scores, sizeof scores);
    reference_check(mica_generation_config_create(&config, NULL, &err), &err, "settings");
    reference_check(mica_generation_config_set(config, "eos_token_id", "3", &err), &err, "settings");
    reference_check(mica_generation_config_set(config, "max_length", "99", &err), &err, "settings");
    reference_check(mica_generation_config_update(config, text.p, text.n, &err), &err, text.p);
    reference_check(mica__settings_resolve(&settings, config, n_prompt, 1000, VOCAB, &err), &err, text.p);
    reference_check(mica__processors_create(&p, &settings, VOCAB, &err), &err, text.p);
    p.prompt = (mica__id_list){ids, (size_t)n_prompt};
    mica__processors_apply(&p, ids, n, scores);
    if (n) check_alone(config, ids, n, (size_t)n_prompt, alone, scores);
    for (size_t i = 0; i < VOCAB; i++) {
        if (scores[i] == expected[i] || fabsf(scores[i] - expected[i]) <= 2e-5f * fmaxf(1, fabsf(expected[i])))
            continue;
        fail_msg("%s after %zu tokens: score %zu is %g, expected %g", text.p, n, i, (double)scores[i],
                 (double)expected[i]);
    }
    mica__processors_release(&p);
    mica__settings_release(&settings);
    mica_generation_config_free(config);
    mica__buf_release(&text);
    mica__free(ids);
}

static void test_each(void **state)
{
    (void)state;
    reference_file f;
    size_t n = 0;
    reference_open_json(&f, MICA_TEST_DATA "/generate", "processors.json");
    mica__jval rows = mica__json_root(&f.json);
    for (mica__jval row = mica__json_first(rows); row; row = mica__json_next(rows, row), n++) check_row(row);
    printf("%zu rows\n", n);
    assert_true(n > 200);
    reference_close(&f);
}

static void test_log_softmax(void **state)
{
    (void)state;
    float scores[4] = {1, 2, -INFINITY, 1};
    mica__log_softmax(scores, 4);
    double e = exp(1), sum = 2 * e + e * e;
    assert_true(fabs((double)scores[0] - log(e / sum)) < 1e-6);
    assert_true(fabs((double)scores[1] - log(e * e / sum)) < 1e-6);
    assert_true(scores[2] == -INFINITY);
}

/* The longest match wins, then the first; what is guessed ends with the text. */
static void test_look_up(void **state)
{
    (void)state;
    static const int32_t ids[] = {1, 2, 3, 9, 2, 7, 2, 3, 5, 1, 2};
    int32_t out[8];
    assert_int_equal(mica__look_up(ids, 11, 2, 3, out), 3); /* after 1 2 */
    assert_memory_equal(out, ((int32_t[]){3, 9, 2}), 12);
    assert_int_equal(mica__look_up(ids, 8, 2, 8, out), 5); /* after 2 3 */
    assert_memory_equal(out, ((int32_t[]){9, 2, 7, 2, 3}), 20);
    assert_int_equal(mica__look_up(ids, 7, 3, 8, out), 5); /* 9 2, 7 2 never before: after the first 2 */
    assert_memory_equal(out, ((int32_t[]){3, 9, 2, 7, 2}), 20);
    assert_int_equal(mica__look_up(ids, 6, 3, 8, out), 0); /* no 7 before */
    assert_int_equal(mica__look_up(ids, 1, 3, 8, out), 0);
    assert_int_equal(mica__look_up(ids, 11, 1, 1, out), 1);
    assert_int_equal(out[0], 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each),
        cmocka_unit_test(test_log_softmax),
        cmocka_unit_test(test_look_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
