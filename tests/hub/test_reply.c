/* tests/hub/test_reply.c: header lines, good and hostile. */
#include "hub/reply.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static mica__reply reply_of(const char *text)
{
    mica__reply r = {0};
    for (const char *p = text; *p;) {
        const char *end = strchr(p, '\n');
        const size_t n = end ? (size_t)(end - p) + 1 : strlen(p);
        mica__reply_header(&r, p, n);
        p += n;
    }
    return r;
}

#define SHA1 "0123456789abcdef0123456789abcdef01234567"
#define SHA256 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void test_a_redirect_and_its_target(void **state)
{
    (void)state;
    const mica__reply r =
        reply_of("HTTP/1.1 302 Found\r\nX-Repo-Commit: " SHA1 "\r\nx-linked-etag: W/\"" SHA256 "\"\r\n"
                 "X-Linked-Size: 99\r\nLocation: https://cdn/x\r\n\r\n"
                 "HTTP/1.1 206 Partial\r\nContent-Range: bytes 10-19/99\r\nContent-Length: 10\r\nETag: \"other\"\r\n");
    assert_int_equal(r.status, 206);
    assert_string_equal(r.commit, SHA1);
    assert_string_equal(r.linked_etag, SHA256);
    assert_true(r.has_linked_size && r.linked_size == 99);
    assert_true(r.has_range && r.range_begin == 10 && r.range_end == 19 && r.range_total == 99);
    assert_true(r.has_length && r.length == 10);
    assert_string_equal(r.location, "");
    assert_string_equal(r.etag, "");
    assert_string_equal(r.part_etag, "\"other\"");
}

static void test_hostile_lines(void **state)
{
    (void)state;
    static const char *const lines[] = {"ETag: ../../x",
                                        "ETag: \"" SHA1 "",
                                        "ETag: \"" SHA1 "x\"",
                                        "X-Repo-Commit: ../x",
                                        ("X-Repo-Commit: " SHA256),
                                        "X-Linked-Etag: x",
                                        "Content-Length: -1",
                                        "Content-Length: 99999999999999999999",
                                        "Content-Length: 9223372036854775808",
                                        "Content-Length: 1x",
                                        "Content-Range: bytes 5-4/9",
                                        "Content-Range: bytes 0-9/9",
                                        "Content-Range: bytes */9",
                                        "Content-Range: lines 0-1/9",
                                        "Content-Range: bytes 0-1/9x",
                                        "X-Linked-Size: x",
                                        "Retry-After: -5",
                                        "Retry-After: soon",
                                        "Link: <a",
                                        "Link: a; rel=next",
                                        ":",
                                        "x",
                                        "",
                                        "Location"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        const mica__reply r = reply_of(lines[i]);
        if (r.etag[0] || r.commit[0] || r.linked_etag[0] || r.has_length || r.has_range || r.has_linked_size ||
            r.retry_after != 0 || r.next[0] || r.location[0])
            fail_msg("'%s' is taken for something", lines[i]);
    }
    char line[6000] = "Location: https://";
    memset(line + 18, 'a', sizeof line - 19);
    assert_string_equal(reply_of(line).location, ""); /* too long: dropped, not cut */
}

static void test_pages_and_waits(void **state)
{
    (void)state;
    assert_string_equal(reply_of("Link: <https://h/a?x=1>; rel=\"first\", <https://h/b>; rel=\"next\"").next,
                        "https://h/b");
    assert_string_equal(reply_of("link:</c>;rel=next").next, "/c");
    assert_true(reply_of("Retry-After: 7").retry_after == 7);
    assert_true(reply_of("Retry-After: Fri, 31 Dec 2100 23:59:59 GMT").retry_after > 1e9);
    const mica__reply r = reply_of("HTTP/2 403 \r\nX-Error-Code: GatedRepo\r\nX-Error-Message:  no  \r\n");
    assert_int_equal(r.status, 403);
    assert_string_equal(r.error_code, "GatedRepo");
    assert_string_equal(r.error_message, "no");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_redirect_and_its_target),
                                       cmocka_unit_test(test_hostile_lines), cmocka_unit_test(test_pages_and_waits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
