/* Statuses and messages: the table, cutting, hostile text. */
#include "base/error.h"
#include "base/str.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_status_table(void **state)
{
    (void)state;
    assert_int_equal(MICA_OK, 0);
    assert_string_equal(mica_status_name(MICA_OK), "OK");
    assert_string_equal(mica_status_name(MICA_DATA), "DATA");
    assert_string_equal(mica_status_text(MICA_DATA), "bad data in a file");
    assert_int_equal(mica_status_exit_code(MICA_DATA), 65);
    assert_int_equal(mica_status_exit_code(MICA_OK), 0);
    for (int value = 0; value > -15; value--) {
        assert_string_not_equal(mica_status_name(value), "UNKNOWN");
        for (int other = value - 1; other > -15; other--)
            assert_string_not_equal(mica_status_name(value), mica_status_name(other));
        if (value) assert_int_not_equal(mica_status_exit_code(value), 0);
    }
    static const int unknown[] = {1, -15, 1000, -1000};
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(mica_status_name((mica_status)unknown[i]), "UNKNOWN");
        assert_string_equal(mica_status_text((mica_status)unknown[i]), "unknown error");
        assert_int_equal(mica_status_exit_code((mica_status)unknown[i]), 70);
    }
}

static void test_fail(void **state)
{
    (void)state;
    mica_error err;
    memset(&err, 'x', sizeof err);
    assert_int_equal(mica__fail(&err, MICA_LIMIT, "%s: %d", "file", 7), MICA_LIMIT);
    assert_int_equal(err.status, MICA_LIMIT);
    assert_string_equal(err.message, "file: 7");
    assert_int_equal(mica__fail(NULL, MICA_IO, "nobody reads this"), MICA_IO);
    assert_int_equal(mica__fail_memory(NULL, 1, "x"), MICA_MEMORY);
    assert_int_equal(mica__fail_errno(NULL, ENOENT, "open", "x"), MICA_NOT_FOUND);
    assert_int_equal(mica__fail_prefix(NULL, MICA_DATA, "x"), MICA_DATA);

    assert_int_equal(mica__fail_memory(&err, 123, "a tensor"), MICA_MEMORY);
    assert_string_equal(err.message, "out of memory (123 bytes for a tensor)");
    assert_int_equal(mica__fail_prefix(&err, MICA_MEMORY, "layer %d", 3), MICA_MEMORY);
    assert_string_equal(err.message, "layer 3: out of memory (123 bytes for a tensor)");
}

static void test_errno(void **state)
{
    (void)state;
    static const struct {
        int value;
        mica_status status;
    } cases[] = {
        {ENOENT, MICA_NOT_FOUND}, {ENOTDIR, MICA_NOT_FOUND},
        {EACCES, MICA_ACCESS},    {EPERM, MICA_ACCESS},
        {ENOMEM, MICA_MEMORY},    {EMFILE, MICA_SYSTEM},
        {ENFILE, MICA_SYSTEM},    {EROFS, MICA_CANNOT_CREATE},
        {ENOSPC, MICA_IO},        {EIO, MICA_IO},
        {EFBIG, MICA_IO},         {EDQUOT, MICA_IO},
        {EISDIR, MICA_DATA},      {ELOOP, MICA_INVALID},
        {EBUSY, MICA_BUSY},       {ENAMETOOLONG, MICA_INVALID},
        {99999, MICA_IO},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        mica_error err;
        assert_int_equal(mica__fail_errno(&err, cases[i].value, "open", "/some/file"), cases[i].status);
        assert_int_equal(err.status, cases[i].status);
        assert_memory_equal(err.message, "/some/file: cannot open: ", 25);
        assert_true(strlen(err.message) > 25);
    }
}

static void assert_one_line(const char *message)
{
    assert_true(mica__utf8_valid(message, strlen(message)));
    for (const char *p = message; *p; p++) assert_true((unsigned char)*p >= 0x20 && *p != 0x7f);
}

/* A message is one line of UTF-8 whatever goes into it, and however it is cut. */
static void test_messages_are_one_line(void **state)
{
    (void)state;
    mica_error err;
    mica__fail(&err, MICA_DATA, "a\nb\x1b[31m\x7f\xff\xc3|");
    assert_string_equal(err.message, "a?b?[31m???|");

    char text[2000];
    for (size_t shift = 0; shift < 4; shift++) { /* the cut falls on every byte of a 4-byte character */
        memset(text, 'a', shift);
        for (size_t i = shift; i + 4 < sizeof text; i += 4) memcpy(text + i, "\xf0\x9f\x98\x80", 5);
        mica__fail(&err, MICA_DATA, "%s", text);
        assert_one_line(err.message);
        assert_in_range(strlen(err.message), sizeof err.message - 4, sizeof err.message - 1);
        for (int i = 0; i < 5; i++) mica__fail_prefix(&err, MICA_DATA, "%s", text);
        assert_one_line(err.message);
    }
}

static void test_quote(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        size_t n;
        const char *out;
    } cases[] = {
        {"", 0, ""},
        {"plain text", 10, "plain text"},
        {"caf\xc3\xa9 \xf0\x9f\x98\x80", 10, "caf\xc3\xa9 \xf0\x9f\x98\x80"},
        {"a\nb\tc\rd", 7, "a\\nb\\tc\\rd"},
        {"it's \\", 6, "it\\'s \\\\"},
        {"\0\x1b\x7f", 3, "\\x00\\x1b\\x7f"},
        {"\xff\xc3", 2, "\\xff\\xc3"},
        {"\xc0\x80", 2, "\\xc0\\x80"},          /* overlong */
        {"\xed\xa0\x80", 3, "\\xed\\xa0\\x80"}, /* surrogate */
        {"\xc2\x9b", 2, "\\xc2\\x9b"},          /* C1: a terminal may obey it */
        {"\xe2\x80\xae", 3, "\\xe2\\x80\\xae"}, /* right-to-left override */
        {"\xe2\x80\xa8", 3, "\\xe2\\x80\\xa8"}, /* line separator */
        {"\xe2\x81\xa6", 3, "\\xe2\\x81\\xa6"}, /* isolate */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_string_equal(MICA_QUOTED(cases[i].in, cases[i].n), cases[i].out);
    assert_string_equal(MICA_QUOTED_STR(((mica__str){NULL, 0})), "");
}

static void test_quote_cuts(void **state)
{
    (void)state;
    char text[4096];
    memset(text, 'a', sizeof text);
    assert_int_equal(strlen(MICA_QUOTED(text, 80)), 80);
    assert_int_equal(strlen(MICA_QUOTED(text, 81)), 83);
    assert_string_equal(MICA_QUOTED(text, 4096) + 80, "...");
    for (int c = 1; c < 256; c++) { /* every byte, long: never past the end, always one line */
        memset(text, c, sizeof text);
        const char *quoted = MICA_QUOTED(text, sizeof text);
        assert_true(strlen(quoted) < sizeof(mica__quoted));
        assert_one_line(quoted);
        assert_string_equal(quoted + strlen(quoted) - 3, "...");
    }
    for (size_t i = 0; i < sizeof text; i += 4) memcpy(text + i, "\xf0\x9f\x98\x80", 4);
    for (size_t n = 76; n < 90; n++) assert_one_line(MICA_QUOTED(text, n));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status_table),          cmocka_unit_test(test_fail),  cmocka_unit_test(test_errno),
        cmocka_unit_test(test_messages_are_one_line), cmocka_unit_test(test_quote), cmocka_unit_test(test_quote_cuts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
