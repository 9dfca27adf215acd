/* Strings, buffers with a maximum, UTF-8, the hash and the map. */
#include "base/str.h"
#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "failing_allocator.h"

static void test_borrowed(void **state)
{
    (void)state;
    mica__str empty = {0};
    assert_true(mica__str_eq(empty, MICA_STR("")));
    assert_true(mica__str_is(MICA_STR("abc"), "abc"));
    assert_false(mica__str_is(MICA_STR("abc"), "abd"));
    assert_false(mica__str_is(MICA_STR("ab"), "abc"));
    assert_int_equal(mica__str_from(NULL).n, 0);
    assert_true(mica__str_starts(MICA_STR("abc"), "ab"));
    assert_true(mica__str_starts(MICA_STR("abc"), ""));
    assert_true(mica__str_starts(empty, ""));
    assert_false(mica__str_starts(MICA_STR("ab"), "abc"));
    assert_true(mica__str_ends(MICA_STR("abc"), "bc"));
    assert_true(mica__str_ends(empty, ""));
    assert_false(mica__str_ends(MICA_STR("bc"), "abc"));
}

static void test_buffer(void **state)
{
    (void)state;
    failing_allocator a;
    failing_allocator_begin(&a, 0, false);
    mica__buf b = {0};
    mica__buf_append(&b, NULL, 0);
    assert_string_equal(b.p, "");
    mica__buf_append_z(&b, "one ");
    mica__buf_append_str(&b, MICA_STR("two "));
    mica__buf_append_char(&b, '3');
    mica__buf_append_utf8(&b, 0x20ac);
    mica__buf_append_utf8(&b, 0xd800); /* not a character */
    mica__buf_printf(&b, " %d%%", 42);
    assert_string_equal(b.p, "one two 3\xe2\x82\xac\xef\xbf\xbd 42%");
    assert_int_equal(b.n, strlen(b.p));
    for (int n = 250; n < 260; n++) { /* around the size of the small buffer inside */
        size_t before = b.n;
        mica__buf_printf(&b, "%*d", n, 1);
        assert_int_equal(b.n, before + (size_t)n);
        assert_int_equal(strlen(b.p), b.n);
    }
    memcpy(mica__buf_reserve(&b, 5), "XXXXX", 5); /* no NUL comes with it */
    b.n += 5;
    size_t n = b.n;
    char *taken = mica__buf_take(&b);
    assert_int_equal(strlen(taken), n);
    assert_null(b.p);
    mica__free(taken);
    taken = mica__buf_take(&b); /* nothing was ever appended */
    assert_string_equal(taken, "");
    mica__free(taken);
    mica__buf_release(&b);
    mica__buf_release(&b);
    assert_int_equal(failing_allocator_end(&a), 0);
}

static void test_buffer_maximum(void **state)
{
    (void)state;
    mica_error err;
    mica__buf b = {.max = 100};
    for (int i = 0; i < 100; i++) mica__buf_append_char(&b, 'a');
    assert_false(b.failed);
    assert_int_equal(mica__buf_status(&b, &err, "text"), MICA_OK);
    mica__buf_append_char(&b, 'b');
    assert_true(b.failed);
    assert_int_equal(b.n, 100);
    assert_int_equal(mica__buf_status(&b, &err, "text"), MICA_LIMIT);
    assert_string_equal(err.message, "text: larger than 100 bytes");
    mica__buf_append(&b, "", 0); /* latched: even what would fit is refused */
    mica__buf_printf(&b, "x");
    assert_null(mica__buf_reserve(&b, 0));
    assert_int_equal(b.n, 100);
    assert_int_equal(mica__buf_status(&b, NULL, "text"), MICA_LIMIT);
    mica__buf_clear(&b);
    assert_int_equal(mica__buf_status(&b, &err, "text"), MICA_OK);
    assert_string_equal(b.p, "");
    mica__buf_append(&b, "small", 5);
    assert_string_equal(b.p, "small");
    assert_null(mica__buf_reserve(&b, 96)); /* far below max when it fails: still LIMIT */
    assert_int_equal(mica__buf_status(&b, &err, "text"), MICA_LIMIT);
    assert_null(mica__buf_take(&b));
    assert_int_equal(b.max, 100);

    mica__buf first = {.max = 10}; /* the very first append is too large */
    mica__buf_printf(&first, "%20d", 1);
    assert_int_equal(mica__buf_status(&first, &err, "text"), MICA_LIMIT);
    mica__buf_release(&first);
    failing_allocator a; /* refuses sizes that sanitizers would stop at */
    failing_allocator_begin(&a, 0, false);
    mica__buf huge = {.max = SIZE_MAX};
    assert_null(mica__buf_reserve(&huge, SIZE_MAX)); /* no room for the NUL */
    assert_int_equal(mica__buf_status(&huge, NULL, "text"), MICA_LIMIT);
    mica__buf_clear(&huge);
    mica__buf_append_char(&huge, 'x');
    assert_null(mica__buf_reserve(&huge, SIZE_MAX)); /* wraps */
    assert_int_equal(mica__buf_status(&huge, NULL, "text"), MICA_LIMIT);
    mica__buf_clear(&huge);
    assert_null(mica__buf_reserve(&huge, SIZE_MAX - 2));
    assert_int_equal(mica__buf_status(&huge, NULL, "text"), MICA_MEMORY);
    mica__buf_release(&huge);
    assert_int_equal(failing_allocator_end(&a), 0);
    mica__buf standard = {0};
    assert_null(mica__buf_reserve(&standard, ((size_t)1 << 30) + 1));
    assert_int_equal(mica__buf_status(&standard, NULL, "text"), MICA_LIMIT);
    mica__buf_release(&standard);
}

static void test_buffer_without_memory(void **state)
{
    (void)state;
    mica_error err;
    failing_allocator a;
    failing_allocator_begin(&a, 2, false);
    mica__buf b = {.max = 200};
    for (int i = 0; i < 63; i++) mica__buf_append_char(&b, 'a');
    assert_false(b.failed);
    mica__buf_append_char(&b, 'a'); /* the 64th and its NUL need a second allocation */
    assert_true(b.failed);
    assert_int_equal(b.n, 63);
    assert_int_equal(strlen(b.p), 63);
    mica__buf_append(&b, "", 0);
    assert_int_equal(mica__buf_status(&b, &err, "text"), MICA_MEMORY);
    assert_null(mica__buf_take(&b));
    assert_int_equal(failing_allocator_end(&a), 0);
}

static void test_buffer_growth(void **state)
{
    (void)state;
    failing_allocator a;
    failing_allocator_begin(&a, 0, false);
    mica__buf b = {0};
    for (int i = 0; i < 1000000; i++) mica__buf_append_char(&b, 'a');
    assert_int_equal(b.n, 1000000);
    assert_true(a.n_calls < 40); /* grows by a factor */
    mica__buf_release(&b);
    assert_int_equal(failing_allocator_end(&a), 0);
}

/* ---- UTF-8 ---- */

static void test_utf8_all_code_points(void **state)
{
    (void)state;
    for (uint32_t cp = 0; cp <= 0x10ffff; cp++) {
        char bytes[4];
        int n = mica__utf8_encode(cp, bytes);
        uint32_t back = 0xffffffff;
        bool surrogate = cp >= 0xd800 && cp < 0xe000;
        assert_true(n == (surrogate ? 3 : cp < 0x80 ? 1 : cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4));
        assert_true(mica__utf8_decode(bytes, (size_t)n, &back) == n);
        assert_true(back == (surrogate ? 0xfffd : cp));
        assert_true(mica__utf8_valid(bytes, (size_t)n));
        for (int cut = 1; cut < n; cut++) { /* every prefix is one maximal subpart */
            assert_true(mica__utf8_decode(bytes, (size_t)cut, &back) == 0);
            assert_true(mica__utf8_invalid_length(bytes, (size_t)cut) == (size_t)cut);
        }
    }
    char bytes[4];
    assert_int_equal(mica__utf8_encode(0x110000, bytes), 3);
    assert_memory_equal(bytes, "\xef\xbf\xbd", 3);
    assert_int_equal(mica__utf8_encode(0xffffffff, bytes), 3);
    assert_true(mica__utf8_valid(NULL, 0));
}

/* A second opinion, by arithmetic instead of by table: decodes as if everything were allowed, then looks at the value. */
static int slow_decode(const unsigned char *b, size_t n)
{
    int length = b[0] < 0x80 ? 1 : b[0] >> 5 == 6 ? 2 : b[0] >> 4 == 14 ? 3 : b[0] >> 3 == 30 ? 4 : 0;
    if (!length || (size_t)length > n) return 0;
    uint32_t cp = length == 1 ? b[0] : b[0] & ((1u << (7 - length)) - 1);
    for (int i = 1; i < length; i++) {
        if (b[i] >> 6 != 2) return 0;
        cp = cp * 64 + b[i] % 64;
    }
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    return cp < least[length] || cp > 0x10ffff || (cp >= 0xd800 && cp <= 0xdfff) ? 0 : length;
}

/* Every sequence of three bytes with interesting values, alone and inside ASCII (the eight-byte steps of _valid). */
static void test_utf8_ill_formed(void **state)
{
    (void)state;
    static const unsigned char values[] = {0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf,
                                           0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec, 0xed, 0xee,
                                           0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xf8, 0xff};
    enum { N = sizeof values };
    for (int i = 0; i < N * N * N * N; i++) {
        unsigned char b[4] = {values[i % N], values[i / N % N], values[i / N / N % N], values[i / N / N / N]};
        for (size_t n = 1; n <= 4; n++) {
            uint32_t cp;
            int length = mica__utf8_decode((char *)b, n, &cp), expected = slow_decode(b, n);
            if (length != expected)
                fail_msg("%02x %02x %02x %02x: %d, not %d", b[0], b[1], b[2], b[3], length, expected);
            if (length) continue;
            size_t bad = mica__utf8_invalid_length((char *)b, n);
            assert_true(bad >= 1 && bad <= 3 && bad <= n);
        }
    }
    for (int at = 0; at < 24; at++) {
        char text[25] = "abcdefghijklmnopqrstuvwx";
        text[at] = (char)0x80;
        assert_false(mica__utf8_valid(text, 24));
        assert_true(mica__utf8_valid(text, (size_t)at));
    }
}

/* Unicode, chapter 3, "U+FFFD substitution of maximal subparts": how many bytes each replacement stands for. */
static void test_utf8_maximal_subparts(void **state)
{
    (void)state;
    static const struct {
        const char *bytes, *lengths;
    } cases[] = {
        {"\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41", "11111111A"},
        {"\xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41", "11111111A"},
        {"\xf4\x91\x92\x93\xff\x41\x80\xbf\x42", "11111A11A"},
        {"\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41", "2132A"},
        {"\xf0\x9f\x98\x41", "3A"},
        {"\xc2", "1"},
        {"\xe2\x82", "2"},
        {"\xf4\x8f\xbf", "3"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *p = cases[i].bytes, *end = p + strlen(p);
        char found[16];
        size_t n = 0;
        while (p < end) {
            uint32_t cp;
            int length = mica__utf8_decode(p, (size_t)(end - p), &cp);
            size_t bad = length ? 0 : mica__utf8_invalid_length(p, (size_t)(end - p));
            found[n++] = length ? 'A' : (char)('0' + bad);
            p += length ? (size_t)length : bad;
        }
        found[n] = 0;
        assert_string_equal(found, cases[i].lengths);
    }
}

/* ---- hash and map ---- */

static void test_hash(void **state)
{
    (void)state;
    assert_true(mica__hash("abc", 3) == mica__hash("abc", 3));
    assert_true(mica__hash(NULL, 0) == mica__hash("x", 0));
    enum { N = 40 };
    uint64_t seen[N + 1];
    char zeros[N] = {0}; /* length counts, also where all bytes are zero */
    for (size_t n = 0; n <= N; n++) {
        seen[n] = mica__hash(zeros, n);
        for (size_t i = 0; i < n; i++) assert_true(seen[i] != seen[n]);
    }
    for (size_t bit = 0; bit < N * 8; bit++) { /* every bit counts, and about half of the result changes */
        zeros[bit / 8] = (char)(1 << bit % 8);
        int changed = __builtin_popcountll(mica__hash(zeros, N) ^ seen[N]);
        zeros[bit / 8] = 0;
        assert_in_range(changed, 8, 56);
    }
    char text[33] = "an unaligned text of this length";
    char moved[40];
    for (size_t shift = 0; shift < 8; shift++) {
        memcpy(moved + shift, text, 32);
        assert_true(mica__hash(moved + shift, 32) == mica__hash(text, 32));
    }
}

/* Differences that passed through an earlier hash whatever its secret was: 16-byte pieces, each in one of two forms. */
static void test_hash_known_attack(void **state)
{
    (void)state;
    uint64_t plain[2] = {0, 0},
             changed[2] = {(uint64_t)1 << 63 | (uint64_t)1 << 31, (uint64_t)1 << 63 | (uint64_t)1 << 34};
    unsigned n_equal = 0;
    for (unsigned i = 0; i < 256; i++) {
        char key[128];
        for (unsigned piece = 0; piece < 8; piece++) memcpy(key + piece * 16, i >> piece & 1 ? changed : plain, 16);
        for (unsigned j = 0; j < i; j++) {
            char other[128];
            for (unsigned piece = 0; piece < 8; piece++)
                memcpy(other + piece * 16, j >> piece & 1 ? changed : plain, 16);
            n_equal += mica__hash(key, 128) == mica__hash(other, 128);
        }
    }
    assert_int_equal(n_equal, 0);
}

static void test_map(void **state)
{
    (void)state;
    enum { N = 20000 };
    failing_allocator a;
    failing_allocator_begin(&a, 0, false);
    static char keys[N][8];
    mica__map m = {0};
    uint32_t value = 7;
    assert_false(mica__map_get(&m, MICA_STR("a"), &value));
    for (uint32_t i = 0; i < N; i++) {
        bool existing = true;
        int n = snprintf(keys[i], sizeof keys[i], "k%u", i);
        assert_true(mica__map_add(&m, (mica__str){keys[i], (size_t)n}, i, &existing));
        assert_false(existing);
    }
    assert_int_equal(m.n, N);
    for (uint32_t i = 0; i < N; i++) {
        assert_true(mica__map_get(&m, mica__str_from(keys[i]), &value));
        assert_int_equal(value, i);
        assert_true(mica__map_get(&m, mica__str_from(keys[i]), NULL));
        assert_false(mica__map_get(&m, (mica__str){keys[i], 1}, &value)); /* "k" */
    }
    bool existing = false;
    assert_true(mica__map_add(&m, MICA_STR("k5"), 99, &existing));
    assert_true(existing);
    assert_true(mica__map_get(&m, MICA_STR("k5"), &value));
    assert_int_equal(value, 5); /* kept */
    assert_true(mica__map_set(&m, MICA_STR("k5"), 99));
    assert_true(mica__map_get(&m, MICA_STR("k5"), &value));
    assert_int_equal(value, 99); /* replaced */
    assert_int_equal(m.n, N);
    assert_true(mica__map_add(&m, (mica__str){NULL, 0}, 1, NULL)); /* the empty key is a key */
    assert_true(mica__map_get(&m, MICA_STR(""), &value));
    assert_int_equal(value, 1);
    assert_true(mica__map_set(&m, MICA_STR("a\0b"), 2)); /* and NUL a byte */
    assert_true(mica__map_set(&m, MICA_STR("a\0c"), 3));
    assert_false(mica__map_get(&m, MICA_STR("a"), NULL));
    assert_true(mica__map_get(&m, MICA_STR("a\0b"), &value));
    assert_int_equal(value, 2);
    mica__map_release(&m);
    assert_false(mica__map_get(&m, MICA_STR("k5"), &value));
    assert_true(mica__map_reserve(&m, 1000));
    size_t calls = a.n_calls;
    for (uint32_t i = 0; i < 1000; i++) assert_true(mica__map_add(&m, mica__str_from(keys[i]), i, NULL));
    assert_int_equal(a.n_calls, calls); /* reserved is reserved */
    assert_false(mica__map_reserve(&m, SIZE_MAX));
    mica__map_release(&m);
    assert_int_equal(failing_allocator_end(&a), 0);
}

static mica_status fill_map(void *context)
{
    (void)context;
    static char keys[100][4];
    mica__map m = {0};
    mica_status status = MICA_OK;
    for (uint32_t i = 0; i < 100; i++) {
        snprintf(keys[i], 4, "%u", i);
        if (mica__map_add(&m, mica__str_from(keys[i]), i, NULL)) continue;
        status = MICA_MEMORY;
        for (uint32_t j = 0; j < i; j++) { /* what was in the map is still there */
            uint32_t value = 1000;
            if (!mica__map_get(&m, mica__str_from(keys[j]), &value) || value != j) status = MICA_INTERNAL;
        }
        break;
    }
    mica__map_release(&m);
    return status;
}

static void test_map_without_memory(void **state)
{
    (void)state;
    assert_true(failing_allocator_sweep(fill_map, NULL) >= 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_borrowed),
        cmocka_unit_test(test_buffer),
        cmocka_unit_test(test_buffer_maximum),
        cmocka_unit_test(test_buffer_without_memory),
        cmocka_unit_test(test_buffer_growth),
        cmocka_unit_test(test_utf8_all_code_points),
        cmocka_unit_test(test_utf8_ill_formed),
        cmocka_unit_test(test_utf8_maximal_subparts),
        cmocka_unit_test(test_hash),
        cmocka_unit_test(test_hash_known_attack),
        cmocka_unit_test(test_map),
        cmocka_unit_test(test_map_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
