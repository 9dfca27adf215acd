/* tests/text/test_regex.c: what the translation of expressions refuses, that searches end, and that failing memory is
 * reported. What matches is compared with the reference library in test_tokenizer.c. */
#include "text_helpers.h"
#include "text/regex.h"
#include "base/memory.h"
#include <time.h>

static mica_status create(mica__regex **re, const char *pattern, mica_error *err)
{
    return mica__regex_create(re, mica__str_from(pattern), err);
}

static void test_translation(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"a|b", "a|b"},
        {"\\h", "[0-9A-Fa-f]"},
        {"[^\\d]", "[^\\p{Nd}]"},
        {"(?m)a.", "(?s:a.)"},
        {"a(?i)b|c", "a(?i:b|c)"},
        {"a{,3}", "a{0,3}"},
        {"a{2}+", "(?:a{2,2})+"},
        {"a{x}", "a\\x{7b}x\\x{7d}"},
        {"^a$", "(?m:^)a(?m:$)"},
        {"[a-z&&[^b]]", "(?:(?=[a-z])[^b])"},
        {"\\p{Han}", "[\\p{sc:han}]"},
        {"\\P{Lu}", "[^\\p{Lu}]"},
        {"(?<word>a)(b)", "(?:a)(?:b)"},
        {"(a)\\1", "(a)(?:\\g{1})"},
        {"a(?#no)b", "ab"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        mica__buf out = {0};
        mica_error err;
        if (mica__regex_translate(&out, mica__str_from(pairs[i][0]), &err) != MICA_OK) fail_msg("%s", err.message);
        assert_string_equal(out.p, pairs[i][1]);
        mica__buf_release(&out);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const patterns[] = {
        "(a",     "a)",         "[a",          "[]",        "*a",      "a|+",      "\\",     "\\X",    "\\K",
        "\\G",    "\\y",        "\\p{Nope}",   "\\pL",      "\\p{L",   "[b-a]",    "[a&&]",  "[&&a]",  "[[:nope:]]",
        "a{2,1}", "a{1000000}", "(?x) a",      "(?~ab)",    "(*FAIL)", "(?(1)a)",  "\\g<1>", "\\k<n>", "(?<n>a)\\1",
        "(?<>a)", "\\xZZ",      "\\x{110000}", "\\x{d800}", "\\u12",   "(?<=a+)b", "\\10",   "(a)\\2", "^*",
        "(?=a)+", "(?P<n>a)",   "[\\X]",       "(?",        "(?i",     "\\x80",    "[a-",    "\\p{^}", "(?#",
    };
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
        mica__regex *re = NULL;
        mica_error err;
        mica_status status = create(&re, patterns[i], &err);
        if (status != MICA_DATA || re) fail_msg("'%s' gives %s", patterns[i], mica_status_name(status));
        assert_non_null(strstr(err.message, "regular expression"));
    }
}

static void check_size(char fill, size_t n, mica_status expected)
{
    char *pattern = malloc(n + 1);
    memset(pattern, fill, n);
    pattern[n] = 0;
    mica__regex *re = NULL;
    mica_error err;
    assert_int_equal(create(&re, pattern, &err), expected);
    mica__regex_free(re);
    free(pattern);
}

static void test_sizes(void **state)
{
    (void)state;
    check_size('a', 1000, MICA_OK);
    check_size('a', 1 << 20, MICA_DATA);
    check_size('(', 60000, MICA_DATA);
    check_size('[', 60000, MICA_DATA);
}

/* Expressions that need exponential time end at the step limit, quickly. */
static void test_limits(void **state)
{
    (void)state;
    static const char *const patterns[] = {"(a+)+$",      "(a|a)*b",   "(?:a*)*b",         "(a|aa)+$",
                                           "(?=(a+)+$)b", "((a*)*)*c", "(x+x+)+y|(a+a+)+b"};
    char text[52];
    memset(text, 'a', 50);
    text[50] = '!';
    text[51] = 0;
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
        mica__regex *re = NULL;
        mica_error err;
        if (create(&re, patterns[i], &err) != MICA_OK) fail_msg("%s", err.message);
        mica__matcher m = {0};
        size_t start = 0, end;
        clock_t begin = clock();
        mica_status status = MICA_OK;
        for (size_t from = 0; from <= 51 && status == MICA_OK && start != SIZE_MAX; from = end + (end == start))
            status = mica__regex_find(re, &m, (mica__str){text, 51}, from, &start, &end, &err);
        double seconds = (double)(clock() - begin) / CLOCKS_PER_SEC;
        assert_true(status == MICA_OK || status == MICA_LIMIT);
        if (seconds > 0.5) fail_msg("'%s' took %.2f s", patterns[i], seconds); /* 0.1 without sanitizers */
        mica__matcher_release(&m);
        mica__regex_free(re);
    }
}

/* One long match needs neither many steps nor much stack. */
static void test_long_matches(void **state)
{
    (void)state;
    static const char *const patterns[] = {"\\s+(?!\\S)", "\\s*[\\r\\n]+|\\s+", "(?: | )+",
                                           "(?: +)+",     "[^\\S\\n]+",         "(?:(?: ))*"};
    size_t n = 1 << 20;
    char *text = malloc(n);
    memset(text, ' ', n);
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
        mica__regex *re = NULL;
        mica_error err;
        if (create(&re, patterns[i], &err) != MICA_OK) fail_msg("%s", err.message);
        mica__matcher m = {0};
        size_t start, end;
        if (mica__regex_find(re, &m, (mica__str){text, n}, 0, &start, &end, &err) != MICA_OK)
            fail_msg("'%s': %s", patterns[i], err.message);
        assert_int_equal(start, 0);
        assert_int_equal(end, n);
        mica__matcher_release(&m);
        mica__regex_free(re);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_translation), cmocka_unit_test(test_refused),      cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_limits),      cmocka_unit_test(test_long_matches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
