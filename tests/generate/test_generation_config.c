/* Settings by name: values, wrong values, unknown names, and lack of memory. */
#include <mica/generate.h>

#include "base/memory.h"
#include "base/str.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "failing_allocator.h"

static mica_generation_config *make(void)
{
    mica_generation_config *c;
    assert_int_equal(mica_generation_config_create(&c, NULL, NULL), MICA_OK);
    return c;
}

static void expect(const mica_generation_config *c, const char *name, const char *value)
{
    mica_text text = {0};
    assert_int_equal(mica_generation_config_get(c, name, &text, NULL), MICA_OK);
    assert_string_equal(text.data, value);
    mica__free(text.data);
}

static void test_set_and_get(void **state)
{
    (void)state;
    mica_generation_config *c = make();
    expect(c, "temperature", "null");
    assert_int_equal(mica_generation_config_set(c, "temperature", "0.7", NULL), MICA_OK);
    expect(c, "temperature", "0.7");
    assert_int_equal(mica_generation_config_set(c, "temperature", "null", NULL), MICA_OK);
    expect(c, "temperature", "null");
    assert_int_equal(mica_generation_config_set(c, "eos_token_id", "[1, 2]", NULL), MICA_OK);
    assert_int_equal(mica_generation_config_set(c, "eos_token_id", "3", NULL), MICA_OK);
    assert_int_equal(mica_generation_config_set(c, "stop_strings", "[\"a\\n\", \"b\"]", NULL), MICA_OK);
    assert_int_equal(mica_generation_config_set(c, "stop_strings", "\"a\"", NULL), MICA_OK);
    assert_int_equal(mica_generation_config_set(c, "sequence_bias", "[[[1, 2], -0.5]]", NULL), MICA_OK);
    assert_int_equal(mica_generation_config_set(c, "bad_words_ids", "[[1], [2, 3]]", NULL), MICA_OK);
    const char *json = "{\"top_k\": 5, \"do_sample\": true}";
    assert_int_equal(mica_generation_config_update(c, json, strlen(json), NULL), MICA_OK);
    expect(c, "top_k", "5");
    expect(c, "do_sample", "true");
    mica_generation_config_free(c);
}

static void test_wrong_values(void **state)
{
    (void)state;
    static const struct {
        const char *name, *value;
    } cases[] = {
        {"temperature", "0"},
        {"temperature", "-1"},
        {"temperature", "\"hot\""},
        {"temperature", "true"},
        {"temperature", "0.7x"},
        {"temperature", ""},
        {"top_k", "1.5"},
        {"top_k", "-1"},
        {"top_p", "1.5"},
        {"top_p", "-0.1"},
        {"max_new_tokens", "0"},
        {"do_sample", "1"},
        {"eos_token_id", "[1, -2]"},
        {"eos_token_id", "1.0"},
        {"bad_words_ids", "[1]"},
        {"bad_words_ids", "[[]]"},
        {"sequence_bias", "[[1, 2]]"},
        {"stop_strings", "[1]"},
        {"stop_strings", "1"},
        {"min_p", "2"},
        {"exponential_decay_length_penalty", "[1]"},
        {"repetition_penalty", "0"},
        {"seed", "-1"},
        {"early_stopping", "1"},
        {"early_stopping", "\"sometimes\""},
        {"watermarking_config", "3"},
    };
    mica_generation_config *c = make();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mica_error err;
        mica_status status = mica_generation_config_set(c, cases[i].name, cases[i].value, &err);
        if (status != MICA_INVALID || !strstr(err.message, cases[i].name)) {
            fail_msg("%s = %s: status %d, %s", cases[i].name, cases[i].value, status,
                     status ? err.message : "accepted");
        }
        expect(c, cases[i].name, "null");
    }
    mica_generation_config_free(c);
}

static void test_names(void **state)
{
    (void)state;
    mica_error err;
    mica_generation_config *c = make();
    assert_int_equal(mica_generation_config_set(c, "temperatur", "1", &err), MICA_INVALID);
    assert_non_null(strstr(err.message, "'temperature'"));
    assert_int_equal(mica_generation_config_set(c, "xyzzy", "1", &err), MICA_INVALID);
    assert_null(strstr(err.message, "mean"));
    /* An unknown name among known ones sets nothing. */
    const char *json = "{\"top_k\": 5, \"top_q\": 1}";
    assert_int_equal(mica_generation_config_update(c, json, strlen(json), &err), MICA_INVALID);
    expect(c, "top_k", "null");
    assert_int_equal(mica_generation_config_update(c, "[]", 2, &err), MICA_INVALID);
    mica_generation_config_free(c);

    size_t n = 0;
    for (const mica_setting *s; (s = mica_setting_at(n)); n++) {
        assert_true(strlen(s->help) > 5);
        assert_non_null(s->library_default);
    }
    assert_true(n > 60);
}

static mica_status attempt(void *context)
{
    (void)context;
    mica_generation_config *c = NULL;
    mica_text text = {0};
    mica_status status = mica_generation_config_create(&c, NULL, NULL);
    if (!status) status = mica_generation_config_set(c, "stop_strings", "[\"a\", \"b\"]", NULL);
    if (!status) status = mica_generation_config_set(c, "stop_strings", "[\"c\"]", NULL);
    if (!status) status = mica_generation_config_get(c, "stop_strings", &text, NULL);
    mica__free(text.data);
    mica_generation_config_free(c);
    return status;
}

static void test_no_memory(void **state)
{
    (void)state;
    failing_allocator_sweep(attempt, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set_and_get),
        cmocka_unit_test(test_wrong_values),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
