/* tests/text/test_unicode.c: normal forms and character classes. Broad comparisons are in test_tokenizer.c; here are the
 * corner cases of normalization and texts that must not take quadratic time. */
#include "text_helpers.h"
#include "text/unicode.h"

static void check(mica__form form, const char *in, const char *out)
{
    mica__buf b = {0};
    assert_int_equal(mica__to_form(&b, mica__str_from(in), form, NULL), MICA_OK);
    assert_string_equal(b.p, out);
    mica__buf_release(&b);
}

static void test_forms(void **state)
{
    (void)state;
    check(MICA__NFC, "plain", "plain");
    check(MICA__NFC, "e\u0301", "\u00e9");
    check(MICA__NFC, "xe\u0301\u0323y", "x\u1eb9\u0301y"); /* reordered, then composed */
    check(MICA__NFD, "\u00e9", "e\u0301");
    check(MICA__NFC, "\u1112\u1161\u11ab", "\ud55c"); /* Hangul */
    check(MICA__NFC, "\ud558\u11ab", "\ud55c");
    check(MICA__NFD, "\ud55c", "\u1112\u1161\u11ab");
    check(MICA__NFC, "\u0958", "\u0915\u093c");                   /* excluded from composition */
    check(MICA__NFC, "\u212b\u2126\uf900", "\u00c5\u03a9\u8c48"); /* singletons */
    check(MICA__NFC, "\u0374\u037e\u0387", "\u02b9;\u00b7");
    check(MICA__NFC, "\u0344", "\u0308\u0301");
    check(MICA__NFC, "\u30ab\u3099\u304b\u3099", "\u30ac\u304c");
    check(MICA__NFKC, "\ufb01\u2460\uff21\u00bd", "fi1A1\u20442");
    check(MICA__NFKD, "\ufdfa",
          "\u0635\u0644\u0649 \u0627\u0644\u0644\u0647 \u0639\u0644\u064a\u0647 \u0648\u0633\u0644\u0645"); /* to 18 */
    check(MICA__NFC, "\u0438\u0306\u4e00\u0301z", "\u0439\u4e00\u0301z");
    check(MICA__NFKC, "\u00a0\u2003", "  ");
}

/* A base and a million marks in the wrong order: linear, or this test takes hours. */
static void test_many_marks(void **state)
{
    (void)state;
    enum { MARKS = 1 << 20 };
    static const char *const marks[] = {"\u0301", "\u0323", "\u0327", "\u0345"}; /* classes 230, 220, 202, 240 */
    char *text = malloc(1 + 2 * MARKS);
    text[0] = 'a';
    for (size_t i = 0; i < MARKS; i++) memcpy(text + 1 + 2 * i, marks[i % 4], 2);
    for (int form = MICA__NFC; form <= MICA__NFKD; form++) {
        mica__buf b = {0};
        assert_int_equal(mica__to_form(&b, (mica__str){text, 1 + 2 * MARKS}, (mica__form)form, NULL), MICA_OK);
        assert_true(b.n >= 2 * MARKS - 1 && b.n <= 2 * MARKS + 2);
        const char *last = b.p + b.n - 2;
        assert_memory_equal(last, marks[3], 2); /* class 240 is last */
        mica__buf_release(&b);
    }
    free(text);
}

static void test_classes(void **state)
{
    (void)state;
    assert_true(mica__is_space(' ') && mica__is_space(0x85) && mica__is_space(0x3000) && mica__is_space(0x2028));
    assert_false(mica__is_space(0x200b) || mica__is_space(0x180e) || mica__is_space('x'));
    assert_true(mica__is_word('_') && mica__is_word(0xe9) && mica__is_word(0x301) && mica__is_word(0x24d0));
    assert_false(mica__is_word('-') || mica__is_word(0xbd) || mica__is_word(' '));
    assert_true(mica__is_numeric(0xbd) && mica__is_numeric('7') && mica__is_numeric(0x2167));
    assert_true(mica__is_punctuation('$') && mica__is_punctuation(0x3002));
    assert_false(mica__is_punctuation(0x20ac));
    uint32_t to[2];
    assert_int_equal(mica__to_lower(0x130, to), 2);
    assert_int_equal(to[1], 0x307);
    assert_int_equal(mica__to_lower(0x3a3, to), 1);
    assert_int_equal(to[0], 0x3c3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_many_marks),
        cmocka_unit_test(test_classes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
