/* tests/text/test_scan.c: every scanner against PCRE2 running its expression: all short texts over an alphabet that has every
 * kind of character that the expressions tell apart, and long random ones over a wider alphabet. */
#include "text_helpers.h"
#include "text/regex.h"
#include "text/scan.h"

static const char *const alphabet[] = {
    "a",        "S",      "'",      "1",      " ",          "\n",     ".",      "l",        "\t",
    "\u00e9", /* the short texts end here */
    "r",        "e",      "v",      "E",      "L",          "m",      "d",      "t",        "s",
    "R",        "V",      "\u017f", "\u212a", "\u4e00",     "\u00bd", "\u0663", "\u00a0",   "\u3000",
    "\xc2\x85", "\u2028", "\r",     "\u0301", "\U0001f600", "!",      "_",      "\x01",     "2",
    "\u2160",   "\ufeff", "\u200b", "\u180e", "D",          "T",      "M",      "\xc2\xad", "\u0e01",
};
enum { N_ALPHABET = sizeof alphabet / sizeof alphabet[0], N_SHORT = 10 };

static void check_text(const char *pattern, const mica__regex *re, mica__scanner scan, mica__matcher *m, mica__str text)
{
    size_t start, end;
    for (size_t at = 0; at < text.n; at = end) {
        if (mica__regex_find(re, m, text, at, &start, &end, NULL) != MICA_OK) fail_msg("search failed");
        size_t n = scan(text.p + at, text.p + text.n);
        if (start != at || n != end - at)
            fail_msg("%s: at byte %zu of '%.*s': %zu..%zu, the scanner takes %zu bytes", pattern, at, (int)text.n,
                     text.p, start, end, n);
    }
}

static void check_short(const char *pattern, const mica__regex *re, mica__scanner scan, mica__matcher *m, size_t length)
{
    size_t count = 1;
    for (size_t i = 0; i < length; i++) count *= N_SHORT;
    for (size_t number = 0; number < count; number++) {
        char text[32];
        size_t n = 0, rest = number;
        for (size_t i = 0; i < length; i++, rest /= N_SHORT) {
            const char *c = alphabet[rest % N_SHORT];
            memcpy(text + n, c, strlen(c));
            n += strlen(c);
        }
        check_text(pattern, re, scan, m, (mica__str){text, n});
    }
}

static void check_random(const char *pattern, const mica__regex *re, mica__scanner scan, mica__matcher *m)
{
    uint64_t seed = 12345;
    for (int round = 0; round < 20000; round++) {
        char text[256];
        size_t n = 0;
        for (int i = 0; i < 40; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            const char *c = alphabet[(seed >> 33) % (round % 3 ? N_ALPHABET : 22)];
            memcpy(text + n, c, strlen(c));
            n += strlen(c);
        }
        check_text(pattern, re, scan, m, (mica__str){text, n});
    }
}

static void test_scanners(void **state)
{
    (void)state;
    size_t i = 0;
    for (const char *pattern; (pattern = mica__scanner_regex(i)); i++) {
        mica__regex *re = NULL;
        mica__matcher m = {0};
        mica__scanner scan = mica__scanner_find(mica__str_from(pattern));
        assert_non_null(scan);
        assert_int_equal(mica__regex_create(&re, mica__str_from(pattern), NULL), MICA_OK);
        for (size_t length = 1; length <= 5; length++) check_short(pattern, re, scan, &m, length);
        check_random(pattern, re, scan, &m);
        mica__matcher_release(&m);
        mica__regex_free(re);
    }
    assert_true(i >= 3);
    assert_null(mica__scanner_find(MICA_STR("\\p{L}+")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_scanners)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
