/* The JSON reader and writer: what is accepted and what every accessor then says, what is refused and where, limits exactly at
 * their edge, memory that fails, numbers against Python's. */
#include "base/json.h"

#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "failing_allocator.h"

/* Parses a copy that ends where the text ends, so that the address sanitizer sees a byte too far. */
typedef struct parsed {
    mica__json doc;
    char *text;
    mica_status status;
    mica_error err;
} parsed;

static parsed *parse_n(const char *text, size_t n, mica__json_limits limits)
{
    parsed *p = malloc(sizeof *p);
    assert_non_null(p);
    p->text = malloc(n ? n : 1);
    assert_non_null(p->text);
    memcpy(p->text, text, n);
    p->err.message[0] = 0;
    p->status = mica__json_parse(&p->doc, p->text, n, &limits, &p->err);
    return p;
}

static parsed *parse(const char *text)
{
    parsed *p = parse_n(text, strlen(text), (mica__json_limits){0});
    if (p->status != MICA_OK) fail_msg("%s: %s", text, p->err.message);
    return p;
}

static void drop(parsed *p)
{
    mica__json_release(&p->doc);
    free(p->text);
    free(p);
}

static void assert_refused(const char *text, size_t n, mica__json_limits limits, mica_status status,
                           const char *message)
{
    parsed *p = parse_n(text, n, limits);
    if (p->status != status || (message && strcmp(p->err.message, message) != 0))
        fail_msg("'%.*s': status %d (expected %d), message '%s' (expected '%s')", (int)n, text, p->status, status,
                 p->err.message, message ? message : "any");
    assert_null(p->doc.nodes); /* released */
    assert_int_equal(p->doc.n_nodes, 0);
    assert_null(mica__json_root(&p->doc));
    drop(p);
}

static void test_values(void **state)
{
    (void)state;
    parsed *p =
        parse(" {\"a\" : [1, -2.5, \"x\", true, false, null, {}, []],\r\n\t\"b\": {\"c\": {\"d\": 7}}, \"\": 0} ");
    mica__jval root = mica__json_root(&p->doc), a = mica__json_get(root, "a");
    assert_true(mica__json_is(root, MICA__JSON_OBJECT));
    assert_int_equal(mica__json_count(root), 3);
    assert_int_equal(mica__json_count(a), 8);
    static const mica__jtype types[] = {MICA__JSON_NUMBER, MICA__JSON_NUMBER, MICA__JSON_STRING, MICA__JSON_TRUE,
                                        MICA__JSON_FALSE,  MICA__JSON_NULL,   MICA__JSON_OBJECT, MICA__JSON_ARRAY};
    size_t n = 0;
    for (mica__jval e = mica__json_first(a); e; e = mica__json_next(a, e), n++) {
        assert_int_equal(mica__json_type(e), types[n]);
        assert_ptr_equal(mica__json_at(a, n), e);
    }
    assert_int_equal(n, 8);
    assert_null(mica__json_at(a, 8));
    static const char *const keys[] = {"a", "b", ""};
    n = 0;
    for (mica__jval m = mica__json_first(root); m; m = mica__json_next(root, m), n++) {
        assert_true(mica__str_is(mica__json_key(m), keys[n]));
        assert_ptr_equal(mica__json_value(m), mica__json_get(root, keys[n]));
    }
    assert_int_equal(n, 3);
    int64_t i = 0;
    assert_true(mica__json_int(mica__json_get(mica__json_get(mica__json_get(root, "b"), "c"), "d"), &i));
    assert_int_equal(i, 7);
    bool flag = false;
    assert_true(mica__json_bool(mica__json_at(a, 3), &flag) && flag);
    assert_true(mica__json_bool(mica__json_at(a, 4), &flag) && !flag);
    mica__str s;
    assert_true(mica__json_string(mica__json_at(a, 2), &s) && mica__str_is(s, "x"));
    assert_null(mica__json_first(mica__json_at(a, 6)));
    assert_null(mica__json_first(mica__json_at(a, 7)));
    drop(p);
}

/* NULL is "absent" for every accessor, and a value of another type leaves the result alone. */
static void test_wrong_type(void **state)
{
    (void)state;
    parsed *p = parse("[{\"a\":1}, \"s\", 1, true, null]");
    mica__jval root = mica__json_root(&p->doc);
    for (mica__jval v = NULL;; v = v ? mica__json_next(root, v) : mica__json_first(root)) {
        int64_t i = 42;
        double d = 42;
        bool b = true;
        mica__str s = {"untouched", 9};
        assert_int_equal(mica__json_int(v, &i), v && v->type == MICA__JSON_NUMBER);
        assert_int_equal(mica__json_double(v, &d), v && v->type == MICA__JSON_NUMBER);
        assert_int_equal(mica__json_bool(v, &b), v && v->type == MICA__JSON_TRUE);
        assert_int_equal(mica__json_string(v, &s), v && v->type == MICA__JSON_STRING);
        if (!v || v->type != MICA__JSON_NUMBER) {
            assert_int_equal(i, 42);
            assert_true(d == 42);
            assert_int_equal(mica__json_number_text(v).n, 0);
            assert_false(mica__json_is_int(v));
        }
        if (!v || v->type != MICA__JSON_STRING) assert_int_equal(s.n, 9);
        if (!v || v->type != MICA__JSON_OBJECT) {
            assert_null(mica__json_get(v, "a"));
            assert_null(mica__json_first(v));
            assert_null(mica__json_at(v, 0));
            assert_int_equal(mica__json_count(v), 0);
        }
        if (v && v->type == MICA__JSON_NULL) break;
    }
    assert_null(mica__json_at(mica__json_at(root, 0), 0)); /* an object has no positions */
    drop(p);
    mica__json none = {0};
    assert_null(mica__json_root(&none));
    mica__json_release(&none);
}

static void test_scalars_at_the_root(void **state)
{
    (void)state;
    static const char *const texts[] = {"null", "true",  " false ", "0",  "-0",   "1e5",
                                        "\"\"", "\"x\"", "[]",      "{}", "\n1\n"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) drop(parse(texts[i]));
}

static void test_strings(void **state)
{
    (void)state;
    static const struct {
        const char *json, *value;
        size_t n;
    } cases[] = {
        {"\"\"", "", 0},
        {"\"plain\"", "plain", 5},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t", 8},
        {"\"\\u0041\\u00e9\\u20AC\\uabcd\"", "A\xc3\xa9\xe2\x82\xac\xea\xaf\x8d", 9},
        {"\"\\ud83d\\ude00\"", "\xf0\x9f\x98\x80", 4},
        {"\"\\uDBFF\\uDFFF\"", "\xf4\x8f\xbf\xbf", 4},
        {"\"a\\u0000b\"", "a\0b", 3},
        {"\"\\ufeff\\uffff\"", "\xef\xbb\xbf\xef\xbf\xbf", 6},
        {"\"caf\xc3\xa9 \xf0\x9f\x98\x80 \\n end\"", "caf\xc3\xa9 \xf0\x9f\x98\x80 \n end", 16},
        {"\"\x7f\xc2\x80\xe2\x80\xa8\"", "\x7f\xc2\x80\xe2\x80\xa8", 6}, /* allowed unescaped */
        {"\"\\\\u0041\"", "\\u0041", 6},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        parsed *p = parse(cases[i].json);
        mica__str s;
        assert_true(mica__json_string(mica__json_root(&p->doc), &s));
        assert_int_equal(s.n, cases[i].n);
        assert_memory_equal(s.p, cases[i].value, s.n);
        bool in_text = s.p >= p->text && s.p <= p->text + strlen(cases[i].json);
        assert_int_equal(in_text, strchr(cases[i].json, '\\') == NULL); /* borrowed, unless it had escapes */
        drop(p);
    }
}

/* The scan takes eight bytes at a time: a special byte at every place, after every length. */
static void test_strings_of_every_length(void **state)
{
    (void)state;
    for (size_t n = 0; n < 40; n++)
        for (size_t at = 0; at < n; at++) {
            char text[64], expected[64];
            memset(text, 'x', sizeof text);
            memset(expected, 'x', sizeof expected);
            text[0] = text[n + 1] = '"';
            static const char special[] = {'\\', 0x1f, 0x01, 0, '\n', (char)0x80, (char)0xff, '"'};
            for (size_t i = 0; i < sizeof special; i++) {
                text[at + 1] = special[i];
                if (special[i] == '\\' && at + 1 < n) {
                    text[at + 2] = 't';
                    expected[at] = '\t';
                    parsed *p = parse_n(text, n + 2, (mica__json_limits){0});
                    mica__str s;
                    assert_int_equal(p->status, MICA_OK);
                    assert_true(mica__json_string(mica__json_root(&p->doc), &s));
                    assert_int_equal(s.n, n - 1);
                    assert_memory_equal(s.p, expected, s.n);
                    drop(p);
                    text[at + 2] = 'x';
                } else {
                    assert_refused(text, n + 2, (mica__json_limits){0}, MICA_DATA, NULL);
                }
            }
            for (size_t cut = 0; cut <= n; cut++) {
                text[at + 1] = 'x';
                assert_refused(text, cut + (cut < n + 1), (mica__json_limits){0}, MICA_DATA, NULL);
            }
        }
}

/* Each with the place and the reason that the message gives. */
static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *where;
    } cases[] = {
        {"", "line 1 column 1: empty text"},
        {" \n ", "line 2 column 2: empty text"},
        {"\xef\xbb\xbf{}", "line 1 column 1: a value was expected"}, /* byte order mark */
        {"[1,]", "line 1 column 4: a value was expected"},
        {"[,1]", "line 1 column 2: a value was expected"},
        {"[1,,2]", "line 1 column 4: a value was expected"},
        {"[1 2]", "line 1 column 4: ',' or ']' was expected"},
        {"[1", "line 1 column 3: ',' or ']' was expected"},
        {"[1}", "line 1 column 3: ',' or ']' was expected"},
        {"[", "line 1 column 2: a value was expected"},
        {"]", "line 1 column 1: a value was expected"},
        {"{\n\"a\":1,}", "line 2 column 7: a key in quotes was expected"},
        {"{", "line 1 column 2: a key in quotes was expected"},
        {"{1:2}", "line 1 column 2: a key in quotes was expected"},
        {"{a:1}", "line 1 column 2: a key in quotes was expected"},
        {"{'a':1}", "line 1 column 2: a key in quotes was expected"},
        {"{\"a\" 1}", "line 1 column 6: ':' was expected after a key"},
        {"{\"a\"", "line 1 column 5: ':' was expected after a key"},
        {"{\"a\":", "line 1 column 6: a value was expected"},
        {"{\"a\":1 \"b\":2}", "line 1 column 8: ',' or '}' was expected"},
        {"{\"a\":1]", "line 1 column 7: ',' or '}' was expected"},
        {"{\"a\",\"b\"}", "line 1 column 5: ':' was expected after a key"},
        {"{} {}", "line 1 column 4: something follows the value"},
        {"1 2", "line 1 column 3: something follows the value"},
        {"nullx", "line 1 column 5: something follows the value"},
        {"tru", "line 1 column 1: a value was expected"},
        {"True", "line 1 column 1: a value was expected"},
        {"[nul]", "line 1 column 2: a value was expected"},
        {"01", "line 1 column 2: something follows the value"},
        {"[-01]", "line 1 column 4: ',' or ']' was expected"},
        {"+1", "line 1 column 1: a value was expected"},
        {"-", "line 1 column 1: a value was expected"},
        {"--1", "line 1 column 1: a value was expected"},
        {"1.", "line 1 column 1: a value was expected"},
        {".5", "line 1 column 1: a value was expected"},
        {"1.e5", "line 1 column 1: a value was expected"},
        {"1e", "line 1 column 1: a value was expected"},
        {"1e+", "line 1 column 1: a value was expected"},
        {"1.5.2", "line 1 column 4: something follows the value"},
        {"0x10", "line 1 column 2: something follows the value"},
        {"1_000", "line 1 column 2: something follows the value"},
        {"NaN", "line 1 column 1: a value was expected"},
        {"Infinity", "line 1 column 1: a value was expected"},
        {"-Infinity", "line 1 column 1: a value was expected"},
        {"[// comment\n1]", "line 1 column 2: a value was expected"},
        {"/**/1", "line 1 column 1: a value was expected"},
        {"'a'", "line 1 column 1: a value was expected"},
        {"\v1", "line 1 column 1: a value was expected"},
        {"\xc2\xa0"
         "1",
         "line 1 column 1: a value was expected"}, /* only four characters are white space */
        {"[\n\n  \"abc", "line 3 column 3: string without end"},
        {"[\"abc\\", "line 1 column 2: string without end"},
        {"[\"abc\\\"]", "line 1 column 2: string without end"},
        {"\"a\nb\"", "line 1 column 3: control character in a string"},
        {"\"a\tb\"", "line 1 column 3: control character in a string"},
        {"\"\\n\x1f\"", "line 1 column 4: control character in a string"},
        {"\"a\\x41\"", "line 1 column 3: invalid escape in a string"},
        {"\"\\a\"", "line 1 column 2: invalid escape in a string"},
        {"\"\\'\"", "line 1 column 2: invalid escape in a string"},
        {"\"\\U0041\"", "line 1 column 2: invalid escape in a string"},
        {"\"\\u004\"", "line 1 column 2: invalid escape in a string"},
        {"\"\\u00g0\"", "line 1 column 2: invalid escape in a string"},
        {"\"\\u 041\"", "line 1 column 2: invalid escape in a string"},
        {"\"\\ud800\"", "line 1 column 2: invalid escape in a string"},        /* lone high surrogate */
        {"\"\\udc00\"", "line 1 column 2: invalid escape in a string"},        /* lone low one */
        {"\"\\ud800\\ud800\"", "line 1 column 2: invalid escape in a string"}, /* two high ones */
        {"\"\\ud800\\n\"", "line 1 column 2: invalid escape in a string"},
        {"\"\\ud800x\"", "line 1 column 2: invalid escape in a string"},
        {"\"\\ud800\\u0041\"", "line 1 column 2: invalid escape in a string"},
        {"\"\\ud800\\u\"", "line 1 column 2: invalid escape in a string"},
        {"\"\\ud800\\udc0\"", "line 1 column 2: invalid escape in a string"},
        {"\"a\xff\"", "line 1 column 3: invalid UTF-8 in a string"},
        {"\"\xc0\xaf\"", "line 1 column 2: invalid UTF-8 in a string"},         /* overlong */
        {"\"\xe2\x82\"", "line 1 column 2: invalid UTF-8 in a string"},         /* cut */
        {"\"\xed\xa0\x80\"", "line 1 column 2: invalid UTF-8 in a string"},     /* surrogate */
        {"\"\xf4\x90\x80\x80\"", "line 1 column 2: invalid UTF-8 in a string"}, /* above U+10FFFF */
        {"\"\\n\xff\"", "line 1 column 4: invalid UTF-8 in a string"},
        {"{\"\xff\":1}", "line 1 column 3: invalid UTF-8 in a string"},
        {"[\xff]", "line 1 column 2: a value was expected"},
        {"{\"a\":1}x", "line 1 column 8: something follows the value"},
        {"[[[1,2],[3,4]],[[5,6],[7,8]]", "line 1 column 29: ',' or ']' was expected"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char message[128];
        snprintf(message, sizeof message, "JSON %s", cases[i].where);
        assert_refused(cases[i].text, strlen(cases[i].text), (mica__json_limits){0}, MICA_DATA, message);
    }
    assert_refused("1\0", 2, (mica__json_limits){0}, MICA_DATA, "JSON line 1 column 2: something follows the value");
    assert_refused("\0", 1, (mica__json_limits){0}, MICA_DATA, "JSON line 1 column 1: a value was expected");
    assert_refused("[1\0]", 4, (mica__json_limits){0}, MICA_DATA, "JSON line 1 column 3: ',' or ']' was expected");
    assert_refused("\"a\0b\"", 5, (mica__json_limits){0}, MICA_DATA,
                   "JSON line 1 column 3: control character in a string");
    assert_refused("\"\\\0\"", 4, (mica__json_limits){0}, MICA_DATA,
                   "JSON line 1 column 2: invalid escape in a string");
}

/* No prefix of a document is a document, and no byte of it can be left out or broken without a clean answer. */
static void test_damaged(void **state)
{
    (void)state;
    static const char text[] =
        "{\"k\\u00e9y\": [1.5e-3, \"\\ud83d\\ude00\", true, null, {\"x\": [[]]}], \"caf\xc3\xa9\": -0}";
    size_t n = sizeof text - 1;
    for (size_t cut = 0; cut < n; cut++) assert_refused(text, cut, (mica__json_limits){0}, MICA_DATA, NULL);
    for (size_t at = 0; at < n; at++)
        for (int byte = 0; byte < 256; byte++) {
            char damaged[sizeof text];
            memcpy(damaged, text, n);
            damaged[at] = (char)byte;
            parsed *p = parse_n(damaged, n, (mica__json_limits){.unique_keys = true});
            assert_true(p->status == MICA_OK || p->status == MICA_DATA);
            if (p->status == MICA_DATA) assert_memory_equal(p->err.message, "JSON line ", 10);
            drop(p);
        }
}

static void test_depth(void **state)
{
    (void)state;
    static const unsigned depths[] = {1, 2, 0, 512, 100000}; /* 0: 64; above 512: 512 */
    for (size_t i = 0; i < 5; i++) {
        unsigned depth = depths[i] == 0 ? 64 : depths[i] > 512 ? 512 : depths[i];
        mica__json_limits limits = {.max_depth = depths[i]};
        char text[1100];
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        parsed *p = parse_n(text, 2 * depth, limits);
        assert_int_equal(p->status, MICA_OK);
        mica__buf out = {0};
        mica__json_write(&out, mica__json_root(&p->doc));
        assert_int_equal(out.n, 2 * depth);
        assert_memory_equal(out.p, text, out.n);
        mica__buf_release(&out);
        drop(p);
        memset(text, '[', depth + 1);
        memset(text + depth + 1, ']', depth + 1);
        char message[128];
        snprintf(message, sizeof message, "JSON line 1 column %u: nested too deeply", depth + 1);
        assert_refused(text, 2 * (depth + 1), limits, MICA_LIMIT, message);
    }
    assert_refused("{\"a\":{\"b\":[]}}", 14, (mica__json_limits){.max_depth = 2}, MICA_LIMIT,
                   "JSON line 1 column 11: nested too deeply");
    drop(parse("[[],[],[[]],{},{\"a\":[]}]"));
    char *open = malloc(1000000); /* without end, and without recursion */
    assert_non_null(open);
    memset(open, '[', 1000000);
    assert_refused(open, 1000000, (mica__json_limits){.max_depth = 512}, MICA_LIMIT, NULL);
    free(open);
}

static void test_max_nodes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t n_nodes;
    } cases[] = {{"1", 1}, {"[]", 1}, {"[1,2,3]", 4}, {"{\"a\":1}", 3}, {"{\"a\":{\"b\":[]},\"c\":\"d\"}", 7}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t n = strlen(cases[i].text);
        parsed *p = parse_n(cases[i].text, n, (mica__json_limits){.max_nodes = cases[i].n_nodes});
        assert_int_equal(p->status, MICA_OK);
        assert_int_equal(p->doc.n_nodes, cases[i].n_nodes);
        drop(p);
        for (size_t fewer = 1; fewer < cases[i].n_nodes; fewer++)
            assert_refused(cases[i].text, n, (mica__json_limits){.max_nodes = fewer}, MICA_LIMIT, NULL);
    }
    assert_refused("[1,2,3]", 7, (mica__json_limits){.max_nodes = 3}, MICA_LIMIT,
                   "JSON line 1 column 6: too many values");
}

static void test_duplicate_keys(void **state)
{
    (void)state;
    parsed *p = parse("{\"a\":1,\"b\":2,\"\\u0061\":3}"); /* allowed: the last one counts, as in Python */
    int64_t value;
    assert_true(mica__json_int(mica__json_get(mica__json_root(&p->doc), "a"), &value));
    assert_int_equal(value, 3);
    assert_int_equal(mica__json_count(mica__json_root(&p->doc)), 3);
    drop(p);
    mica__json_limits unique = {.unique_keys = true};
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"{\"a\":1,\n\"b\":2, \"a\":3}", "JSON line 2 column 8: duplicate key 'a'"},
        {"{\"a\":1,\"\\u0061\":3}",
         "JSON line 1 column 18: duplicate key 'a'"}, /* written otherwise: the object's end */
        {"[{\"\":1,\"\":1}]", "JSON line 1 column 8: duplicate key ''"},
        {"{\"x\":{\"k\\n\":1,\"k\\u000a\":1}}", "JSON line 1 column 26: duplicate key 'k\\n'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_refused(cases[i].text, strlen(cases[i].text), unique, MICA_DATA, cases[i].message);
    static const char fine[] = "{\"a\":{\"a\":1},\"b\":[{\"a\":1},{\"a\":2}],\"A\":0,\"\":0,\"a \":0}";
    p = parse_n(fine, sizeof fine - 1, unique);
    assert_int_equal(p->status, MICA_OK);
    drop(p);
}

static void test_integers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool fits;
        int64_t value;
    } cases[] = {
        {"0", true, 0},
        {"-0", true, 0},
        {"9223372036854775807", true, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"9223372036854775808", false, 0},
        {"-9223372036854775809", false, 0},
        {"92233720368547758070", false, 0},
        {"99999999999999999999999999999999999999", false, 0},
        {"1.0", false, 0},
        {"1e2", false, 0},
        {"-0.0", false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        parsed *p = parse(cases[i].text);
        mica__jval root = mica__json_root(&p->doc);
        int64_t value = 42;
        assert_int_equal(mica__json_int(root, &value), cases[i].fits);
        assert_true(value == (cases[i].fits ? cases[i].value : 42));
        assert_int_equal(mica__json_is_int(root), strpbrk(cases[i].text, ".e") == NULL);
        double d;
        assert_true(mica__json_double(root, &d));
        assert_true(d == strtod(cases[i].text, NULL));
        assert_true(mica__str_is(mica__json_number_text(root), cases[i].text));
        drop(p);
    }
}

static void test_nonfinite(void **state)
{
    (void)state;
    static const char text[] = "[NaN, Infinity, -Infinity, 1]";
    parsed *p = parse_n(text, sizeof text - 1, (mica__json_limits){.allow_nonfinite = true});
    assert_int_equal(p->status, MICA_OK);
    mica__jval root = mica__json_root(&p->doc);
    double d = 0;
    int64_t i;
    assert_true(mica__json_double(mica__json_at(root, 0), &d) && isnan(d));
    assert_true(mica__json_double(mica__json_at(root, 1), &d) && d == INFINITY);
    assert_true(mica__json_double(mica__json_at(root, 2), &d) && d == -INFINITY);
    for (size_t k = 0; k < 3; k++) assert_false(mica__json_int(mica__json_at(root, k), &i));
    drop(p);
    static const char *const still[] = {"nan", "-NaN", "inf", "+Infinity", "Inf", "INFINITY", "--Infinity", "NaNs"};
    for (size_t k = 0; k < sizeof still / sizeof still[0]; k++)
        assert_refused(still[k], strlen(still[k]), (mica__json_limits){.allow_nonfinite = true}, MICA_DATA, NULL);
}

/* ---- numbers ---- */

static double from_bits(uint64_t bits)
{
    double d;
    memcpy(&d, &bits, sizeof d);
    return d;
}

static void each_python_float(const char *name, void (*check)(uint64_t bits, const char *text))
{
    char path[1024], line[4096];
    snprintf(path, sizeof path, "%s/base/%s", MICA_TEST_DATA, name);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    size_t n = 0;
    while (fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        check(strtoull(line, NULL, 16), line + 17);
        n++;
    }
    fclose(f);
    assert_true(n > 500);
}

static void assert_parses_as(uint64_t bits, const char *text)
{
    double d = 0, expected = from_bits(bits);
    if (!mica__parse_double(text, strlen(text), &d) || memcmp(&d, &expected, sizeof d) != 0)
        fail_msg("'%s' is %a, not %a", text, expected, d);
}

static void assert_formats_as(uint64_t bits, const char *text)
{
    char out[32];
    mica__format_double(from_bits(bits), out);
    assert_string_equal(out, text);
    assert_parses_as(bits, text);
}

static void test_numbers_like_python(void **state)
{
    (void)state;
    each_python_float("python_repr.txt", assert_formats_as);
    each_python_float("python_parsed.txt", assert_parses_as);
}

static void test_round_trip(void **state)
{
    (void)state;
    uint64_t bits = 0x123456789abcdef;
    for (int i = 0; i < 20000; i++) {
        bits = bits * 6364136223846793005u + 1442695040888963407u;
        double d = from_bits(bits ^ bits >> 31);
        if (!isfinite(d)) continue;
        char out[32];
        mica__format_double(d, out);
        assert_true(strlen(out) <= 24);
        uint64_t same;
        memcpy(&same, &d, sizeof d);
        assert_parses_as(same, out);
    }
    char out[32];
    mica__format_double(NAN, out);
    assert_string_equal(out, "nan");
    mica__format_double(INFINITY, out);
    assert_string_equal(out, "inf");
    mica__format_double(-INFINITY, out);
    assert_string_equal(out, "-inf");
}

static void test_not_numbers(void **state)
{
    (void)state;
    static const char *const texts[] = {"",      " 1",    "1 ",    "-",    "+",    ".",        "-.",       "e5",
                                        "1e",    "1e+",   "1e5.0", "0x10", "1..2", "1.2.3",    "nan(123)", "nanx",
                                        "infin", "1f",    "1,5",   "--1",  "+-1",  "1e5e5",    "\t1",      "1\n",
                                        "1_0",   "0x1p3", "1e 5",  "i",    "nf",   "Infinity8"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        double d = 42;
        if (mica__parse_double(texts[i], strlen(texts[i]), &d)) fail_msg("'%s' is no number", texts[i]);
        assert_true(d == 42);
    }
    double d = 42;
    assert_false(mica__parse_double("1\0", 2, &d));
    assert_false(mica__parse_double("\0", 1, &d));
    assert_true(mica__parse_double("-INF", 4, &d) && d == -INFINITY);
    assert_true(mica__parse_double("nan", 3, &d) && isnan(d));
    assert_true(mica__parse_double("12", 1, &d) && d == 1); /* the length ends it, not a NUL */
}

static void test_very_long_numbers(void **state)
{
    (void)state;
    size_t n = 1 << 20;
    char *text = malloc(n);
    assert_non_null(text);
    failing_allocator a;
    failing_allocator_begin(&a, 1, true); /* reading a number takes no memory, however long it is */
    double d;
    memset(text, '9', n);
    assert_true(mica__parse_double(text, n, &d) && d == INFINITY);
    memset(text, '0', n);
    assert_true(mica__parse_double(text, n, &d) && d == 0);
    text[1] = '.';
    text[n - 1] = '1';
    assert_true(mica__parse_double(text, n, &d) && d == 0);
    text[n - 1] = '0';
    text[0] = '7';
    assert_true(mica__parse_double(text, n, &d) && d == 7);
    /* one, then a megabyte of zeros, times ten to the minus that */
    memset(text, '0', n);
    text[0] = '1';
    int tail = snprintf(text + n - 12, 12, "e-%zu", n - 13);
    assert_true(mica__parse_double(text, n - 12 + (size_t)tail, &d) && d == 1);
    assert_int_equal(failing_allocator_end(&a), 0);
    free(text);
}

/* A decimal comma in the locale of the program changes nothing. */
static void test_locale(void **state)
{
    (void)state;
    static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8",  "de_DE",      "fr_FR.UTF-8",
                                        "pt_BR.UTF-8", "ru_RU.UTF-8", "ps_AF.UTF-8"};
    const char *found = NULL;
    for (size_t i = 0; i < sizeof names / sizeof names[0] && !found; i++) found = setlocale(LC_NUMERIC, names[i]);
    if (!found) {
        print_message("no locale with a decimal comma is installed\n");
        skip();
    }
    assert_string_not_equal(localeconv()->decimal_point, ".");
    char out[32];
    double d = 0;
    mica__format_double(1234.5, out);
    assert_string_equal(out, "1234.5");
    mica__format_double(1.5e-10, out);
    assert_string_equal(out, "1.5e-10");
    assert_true(mica__parse_double("1234.5", 6, &d) && d == 1234.5);
    assert_false(mica__parse_double("1234,5", 6, &d));
    each_python_float("python_repr.txt", assert_formats_as);
    setlocale(LC_NUMERIC, "C");
}

/* ---- writing ---- */

static void test_write_string(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        size_t n;
        const char *out, *ascii;
    } cases[] = {
        {"", 0, "\"\"", "\"\""},
        {"a\"b\\c/d", 7, "\"a\\\"b\\\\c/d\"", "\"a\\\"b\\\\c/d\""},
        {"\b\f\n\r\t", 5, "\"\\b\\f\\n\\r\\t\"", "\"\\b\\f\\n\\r\\t\""},
        {"\0\x01\x1f\x7f", 4, "\"\\u0000\\u0001\\u001f\x7f\"", "\"\\u0000\\u0001\\u001f\\u007f\""},
        {"\xc3\xa9\xe2\x82\xac", 5, "\"\xc3\xa9\xe2\x82\xac\"", "\"\\u00e9\\u20ac\""},
        {"\xf0\x9f\x98\x80", 4, "\"\xf0\x9f\x98\x80\"", "\"\\ud83d\\ude00\""},
        {"\xf4\x8f\xbf\xbf", 4, "\"\xf4\x8f\xbf\xbf\"", "\"\\udbff\\udfff\""},
        {"a\xff\xe2\x82z", 5, "\"a\xef\xbf\xbd\xef\xbf\xbdz\"", "\"a\\ufffd\\ufffdz\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        mica__buf b = {0};
        mica__json_write_string(&b, (mica__str){cases[i].in, cases[i].n}, false);
        assert_string_equal(b.p, cases[i].out);
        mica__buf_clear(&b);
        mica__json_write_string(&b, (mica__str){cases[i].in, cases[i].n}, true);
        assert_string_equal(b.p, cases[i].ascii);
        mica__buf_release(&b);
    }
}

static void test_write(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } cases[] = {
        {" [ ] ", "[]"},
        {"{ }", "{}"},
        {"[1 , 2.50,-0,1E+5 ]", "[1,2.50,-0,1E+5]"}, /* numbers as they were written */
        {"{\"a\" : {\"b\":[{}, [], null]}, \"c\":true,\"\\u0064\" :false}",
         "{\"a\":{\"b\":[{},[],null]},\"c\":true,\"d\":false}"},
        {"\"\\u00e9\\/\\n\"", "\"\xc3\xa9/\\n\""},
        {"null", "null"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        parsed *p = parse(cases[i].in);
        mica__buf b = {0};
        mica__json_write(&b, mica__json_root(&p->doc));
        assert_string_equal(b.p, cases[i].out);
        mica__buf_release(&b);
        drop(p);
    }
    mica__buf b = {0};
    mica__json_write(&b, NULL);
    assert_string_equal(b.p, "null");
    mica__buf_release(&b);
    b = (mica__buf){.max = 4};
    parsed *p = parse("[1,2,3]");
    mica__json_write(&b, mica__json_root(&p->doc));
    assert_int_equal(mica__buf_status(&b, NULL, "JSON"), MICA_LIMIT);
    mica__buf_release(&b);
    drop(p);
}

/* ---- memory ---- */

static mica_status parse_and_write(void *context)
{
    (void)context;
    char text[4000];
    size_t n = 0;
    text[n++] = '[';
    for (int i = 0; i < 60; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "{\"key%d\":\"\\u00e9%0*d\",\"\\n\":[1,2]},", i, i / 2, i);
    n += (size_t)snprintf(text + n, sizeof text - n, "1.25]");
    mica__json doc;
    mica_error err;
    mica__json_limits limits = {.unique_keys = true};
    mica_status status = mica__json_parse(&doc, text, n, &limits, &err);
    if (status != MICA_OK) return err.status == status ? status : MICA_INTERNAL;
    mica__buf out = {0};
    mica__json_write(&out, mica__json_root(&doc));
    status = mica__buf_status(&out, NULL, "JSON");
    mica__buf_release(&out);
    mica__json_release(&doc);
    return status;
}

static void test_without_memory(void **state)
{
    (void)state;
    assert_true(failing_allocator_sweep(parse_and_write, NULL) > 70);
}

/* Speed, told by what does not depend on the machine: allocations and bytes for a list of 200,000 short strings. */
static void test_few_allocations(void **state)
{
    (void)state;
    enum { N = 200000 };
    for (int escaped = 0; escaped <= 1; escaped++) {
        mica__buf text = {0};
        mica__buf_append_char(&text, '[');
        for (int i = 0; i < N; i++) mica__buf_printf(&text, "%s\"%st%d\"", i ? "," : "", escaped ? "\\n" : "", i);
        mica__buf_append_char(&text, ']');
        failing_allocator a;
        failing_allocator_begin(&a, 0, false);
        mica__json doc;
        assert_int_equal(mica__json_parse(&doc, text.p, text.n, NULL, NULL), MICA_OK);
        assert_int_equal(doc.n_nodes, N + 1);
        assert_true(a.n_calls < 50);
        /* Nodes of 16 bytes, half of them more for growth, and 16 for each string that was copied. */
        assert_true(a.live_bytes < (size_t)N * (24 + 16 * (size_t)escaped) + (2 << 20));
        mica__json_release(&doc);
        assert_int_equal(failing_allocator_end(&a), 0);
        mica__buf_release(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_wrong_type),
        cmocka_unit_test(test_scalars_at_the_root),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_strings_of_every_length),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_max_nodes),
        cmocka_unit_test(test_duplicate_keys),
        cmocka_unit_test(test_integers),
        cmocka_unit_test(test_nonfinite),
        cmocka_unit_test(test_numbers_like_python),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_not_numbers),
        cmocka_unit_test(test_very_long_numbers),
        cmocka_unit_test(test_locale),
        cmocka_unit_test(test_write_string),
        cmocka_unit_test(test_write),
        cmocka_unit_test(test_without_memory),
        cmocka_unit_test(test_few_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
