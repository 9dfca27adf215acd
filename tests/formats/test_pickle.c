/* tests/formats/test_pickle.c: what the pickle machine reads, and that it refuses the rest at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "failing_allocator.h"
#include "formats/pickle.h"
#include "formats_test.h"

#include <time.h>

enum { DICT_CLASS, MAKE, THING };
static const mica__pickle_global globals[] = {
    [DICT_CLASS] = {"collections", "OrderedDict", MICA__PICKLE_MAKES_DICT, 0},
    [MAKE] = {"lib", "make", MICA__PICKLE_CALLABLE, 0},
    [THING] = {"lib", "thing", MICA__PICKLE_NAME, 0},
};

/* The bytes of a literal that may hold zeros. */
#define BYTES(literal) (literal), sizeof(literal) - 1

/* Parses an exact copy, so that the address sanitizer sees the end. */
static mica_status parse(mica__pickle *p, uint8_t **copy, const char *bytes, size_t n, mica_error *err)
{
    *copy = malloc(n ? n : 1);
    if (n) memcpy(*copy, bytes, n);
    return mica__pickle_parse(p, *copy, n, globals, sizeof globals / sizeof *globals, err);
}

static void expect(const char *what, const char *bytes, size_t n, mica_status status, const char *message)
{
    mica__pickle p;
    mica_error err = {0};
    uint8_t *copy;
    assert_failure(what, parse(&p, &copy, bytes, n, &err), status, &err, message);
    mica__pickle_release(&p);
    free(copy);
}

static void refuse(const char *bytes, size_t n, const char *message) { expect(message, bytes, n, MICA_DATA, message); }

/* The value of a pickle as text: like Python's repr, calls as name(...), persistent ids as <...>. */
static void show(mica__buf *b, const mica__pickle_value *v)
{
    switch ((mica__pickle_type)v->type) {
    case MICA__PICKLE_NONE:
        mica__buf_append_z(b, "None");
        return;
    case MICA__PICKLE_BOOL:
        mica__buf_append_z(b, v->u.integer ? "True" : "False");
        return;
    case MICA__PICKLE_INT:
        mica__buf_printf(b, "%lld", (long long)v->u.integer);
        return;
    case MICA__PICKLE_FLOAT:
        mica__buf_printf(b, "%g", v->u.real);
        return;
    case MICA__PICKLE_LONG:
        mica__buf_printf(b, "long%u", v->n);
        return;
    case MICA__PICKLE_TEXT:
        mica__buf_printf(b, "'%.*s'", (int)v->n, v->u.bytes);
        return;
    case MICA__PICKLE_BYTES:
        mica__buf_printf(b, "b'%.*s'", (int)v->n, v->u.bytes);
        return;
    case MICA__PICKLE_GLOBAL:
        mica__buf_append_z(b, globals[v->global].name);
        return;
    default:
        break;
    }
    static const char *const brackets[] = {[MICA__PICKLE_TUPLE] = "()",
                                           [MICA__PICKLE_LIST] = "[]",
                                           [MICA__PICKLE_DICT] = "{}",
                                           [MICA__PICKLE_CALL] = "()",
                                           [MICA__PICKLE_PERSISTENT] = "<>"};
    if (v->type == MICA__PICKLE_CALL) mica__buf_append_z(b, globals[v->global].name);
    mica__buf_append_char(b, brackets[v->type][0]);
    for (uint32_t i = 0; i < v->u.object->n_items; i++) {
        if (i) mica__buf_append_z(b, v->type == MICA__PICKLE_DICT && i % 2 ? ": " : ", ");
        show(b, &v->u.object->items[i]);
    }
    mica__buf_append_char(b, brackets[v->type][1]);
}

static void reads(const char *bytes, size_t n, const char *expected)
{
    mica__pickle p;
    mica_error err = {0};
    uint8_t *copy;
    if (parse(&p, &copy, bytes, n, &err) != MICA_OK) fail_msg("%s: %s", expected, err.message);
    mica__buf text = {0};
    show(&text, &p.root);
    assert_string_equal(text.p, expected);
    mica__buf_release(&text);
    mica__pickle_release(&p);
    free(copy);
}

static void reads_values(void **state)
{
    (void)state;
    reads(BYTES("\x80\2N."), "None");
    reads(BYTES("\x80\2\x88."), "True");
    reads(BYTES("\x80\2\x89."), "False");
    reads(BYTES("\x80\2K\xff."), "255");
    reads(BYTES("\x80\2M\xff\xff."), "65535");
    reads(BYTES("\x80\2J\xff\xff\xff\xff."), "-1");
    reads(BYTES("\x80\2J\0\0\0\x80."), "-2147483648");
    reads(BYTES("\x80\2\x8a\0."), "0");
    reads(BYTES("\x80\2\x8a\1\xff."), "-1");
    reads(BYTES("\x80\2\x8a\2\xff\0."), "255");
    reads(BYTES("\x80\2\x8a\6\0\0\0\0\0\1."), "1099511627776");
    reads(BYTES("\x80\2\x8a\x08\0\0\0\0\0\0\0\x80."), "-9223372036854775808");
    reads(BYTES("\x80\2\x8a\x09\0\0\0\0\0\0\0\x80\0."), "long9");
    reads(BYTES("\x80\2G\x3f\xf8\0\0\0\0\0\0."), "1.5");
    reads(BYTES("\x80\2X\3\0\0\0a\xc3\xa9."), "'a\xc3\xa9'");
    reads(BYTES("\x80\2U\2hi."), "'hi'");
    reads(BYTES("\x80\2T\2\0\0\0hi."), "'hi'");
    reads(BYTES("\x80\4\x8c\2hi."), "'hi'");
    reads(BYTES("\x80\4\x8d\2\0\0\0\0\0\0\0hi."), "'hi'");
    reads(BYTES("\x80\3C\2h\xff."), "b'h\xff'");
    reads(BYTES("\x80\3B\2\0\0\0hi."), "b'hi'");
    reads(BYTES("\x80\4\x8e\2\0\0\0\0\0\0\0hi."), "b'hi'");
    reads(BYTES("\x80\2)."), "()");
    reads(BYTES("\x80\2K\1\x85."), "(1)");
    reads(BYTES("\x80\2K\1K\2\x86."), "(1, 2)");
    reads(BYTES("\x80\2K\1K\2K\3\x87."), "(1, 2, 3)");
    reads(BYTES("\x80\2(K\1K\2K\3K\4t."), "(1, 2, 3, 4)");
    reads(BYTES("\x80\2(t."), "()");
    reads(BYTES("\x80\2]."), "[]");
    reads(BYTES("\x80\2](K\1K\2e(K\3K\4K\5eK\6aK\7a."), "[1, 2, 3, 4, 5, 6, 7]");
    reads(BYTES("\x80\2}(U\1aK\1U\1bK\2uU\1cK\3s."), "{'a': 1, 'b': 2, 'c': 3}");
}

static void reads_names_and_calls(void **state)
{
    (void)state;
    reads(BYTES("\x80\2clib\nthing\n."), "thing");
    reads(BYTES("\x80\4\x8c\3lib\x8c\5thing\x93."), "thing");
    reads(BYTES("\x80\2clib\nmake\nK\1K\2\x86R."), "make(1, 2)");
    reads(BYTES("\x80\2clib\nmake\n)R}U\1xK\1sb."), "make()"); /* with attributes, which are dropped */
    reads(BYTES("\x80\2ccollections\nOrderedDict\n)R(U\1aK\1u."), "{'a': 1}");
    reads(BYTES("\x80\2ccollections\nOrderedDict\n](]U\1aaK\1a]U\1baK\2ae\x85R."), "{'a': 1, 'b': 2}");
    reads(BYTES("\x80\2ccollections\nOrderedDict\n]U\1aK\1\x86"
                "a\x85R."),
          "{'a': 1}");
    reads(BYTES("\x80\2U\1kK\5\x86Q."), "<('k', 5)>");
}

static void reads_memo(void **state)
{
    (void)state;
    reads(BYTES("\x80\2U\1aq\0h\0\x86."), "('a', 'a')");
    reads(BYTES("\x80\2U\1ar\x9f\x86\1\0j\x9f\x86\1\0\x86."), "('a', 'a')"); /* the last entry, 99999 */
    reads(BYTES("\x80\4\x8c\1a\x94\x8c\1b\x94h\1h\0\x86\x87."), "('a', 'b', ('b', 'a'))");
}

static void stops_at_its_end(void **state)
{
    (void)state;
    static const char bytes[] = "\x80\2K\1.and more";
    mica__pickle p;
    assert_int_equal(mica__pickle_parse(&p, (const uint8_t *)bytes, sizeof bytes, globals, 3, NULL), MICA_OK);
    assert_int_equal(p.n_bytes, 5);
    mica__pickle_release(&p);
}

static void lists_persistents(void **state)
{
    (void)state;
    static const char bytes[] = "\x80\2(U\1aQU\1bQU\1aQe0."; /* refused in the end: nothing is left behind */
    mica__pickle p;
    assert_int_equal(mica__pickle_parse(&p, (const uint8_t *)bytes, sizeof bytes, globals, 3, NULL), MICA_DATA);
    static const char good[] = "\x80\2](U\1aQU\1bQU\1aQe.";
    assert_int_equal(mica__pickle_parse(&p, (const uint8_t *)good, sizeof good, globals, 3, NULL), MICA_OK);
    assert_int_equal(p.n_persistents, 3);
    assert_true(mica__str_is(mica__pickle_str(&p.persistents[1].u.object->items[0]), "b"));
    mica__pickle_release(&p);
}

static void gets_members(void **state)
{
    (void)state;
    static const char bytes[] = "\x80\2}(U\1aK\1U\1bK\2U\1aK\3K\7K\4u.";
    mica__pickle p;
    assert_int_equal(mica__pickle_parse(&p, (const uint8_t *)bytes, sizeof bytes, globals, 3, NULL), MICA_OK);
    assert_int_equal(mica__pickle_get(&p.root, MICA_STR("a"))->u.integer, 3); /* the last one, as in Python */
    assert_int_equal(mica__pickle_get(&p.root, MICA_STR("b"))->u.integer, 2);
    assert_null(mica__pickle_get(&p.root, MICA_STR("c")));
    assert_null(mica__pickle_get(mica__pickle_get(&p.root, MICA_STR("a")), MICA_STR("a")));
    mica__pickle_release(&p);
}

/* What attacks are made of, by the two opcodes that name something. */
static void refuses_names(void **state)
{
    (void)state;
    static const char *const names[][2] = {
        {"os", "system"},
        {"posix", "system"},
        {"nt", "system"},
        {"builtins", "eval"},
        {"builtins", "exec"},
        {"__builtin__", "eval"},
        {"builtins", "getattr"},
        {"builtins", "__import__"},
        {"subprocess", "Popen"},
        {"subprocess", "call"},
        {"runpy", "_run_code"},
        {"pip", "main"},
        {"importlib", "import_module"},
        {"pickle", "loads"},
        {"_pickle", "loads"},
        {"torch", "load"},
        {"torch.hub", "load"},
        {"torch.jit", "load"},
        {"torch.storage", "_load_from_bytes"},
        {"operator", "attrgetter"},
        {"functools", "partial"},
        {"webbrowser", "open"},
        {"socket", "socket"},
        {"asyncio", "run"},
        {"shutil", "rmtree"},
        {"numpy.core.multiarray", "_reconstruct"},
        {"ctypes", "CDLL"},
        {"code", "interact"},
        {"timeit", "timeit"},
        {"bdb", "Bdb"},
        {"collections", "defaultdict"},
        {"lib", "make2"},
        {"lib", "mak"},
        {"lib.make", ""},
        {"", "make"},
        {"lib", "make.__globals__"},
        {"collections.OrderedDict", "fromkeys"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char message[128];
        snprintf(message, sizeof message, "global %s.%s is not allowed (offset 2)", names[i][0], names[i][1]);
        mica__buf b = {0};
        mica__buf_printf(&b, "\x80\2c%s\n%s\n)R.", names[i][0], names[i][1]);
        refuse(b.p, b.n, message);
        mica__buf_clear(&b);
        mica__buf_append(&b, "\x80\4\x8c", 3);
        mica__buf_append_char(&b, (char)strlen(names[i][0]));
        mica__buf_append_z(&b, names[i][0]);
        mica__buf_append_char(&b, '\x8c');
        mica__buf_append_char(&b, (char)strlen(names[i][1]));
        mica__buf_append_z(&b, names[i][1]);
        mica__buf_append_z(&b, "\x93)R.");
        strstr(message, " (offset")[0] = 0;
        refuse(b.p, b.n, message);
        mica__buf_release(&b);
    }
    refuse(BYTES("\x80\2clib\nthing\n)R."), "call of lib.thing is not allowed");
    refuse(BYTES("\x80\2cos\nsystem\n\xff\xff\xff garbage"), "global os.system is not allowed (offset 2)");
    refuse(BYTES("\x80\2cos\nsystem"), "does not end");
    refuse(BYTES("\x80\2c"), "does not end");
    refuse(BYTES("\x80\2cos\n"), "does not end");
    refuse(BYTES("\x80\2c\x1b[31m\n\xff\n."), "global \\x1b[31m.\\xff is not allowed");
    refuse(BYTES("\x80\4K\1K\2\x93."), "name is no text");
    char longest[400];
    memset(longest, 'a', sizeof longest);
    memcpy(longest, "\x80\2c", 3);
    refuse(longest, sizeof longest, "does not end");
}

/* Every opcode that is not on the list is refused before anything behind it is looked at. */
static void refuses_opcodes(void **state)
{
    (void)state;
    static const char known[] = "().BCGJKMNQRTUX]abcehjqrstu}\x80\x85\x86\x87\x88\x89\x8a\x8c\x8d\x8e\x93\x94\x95";
    size_t n_refused = 0;
    for (int opcode = 0; opcode < 256; opcode++) {
        if (opcode && strchr(known, opcode)) continue;
        char bytes[64] = "\x80\2", message[64];
        bytes[2] = (char)opcode;
        snprintf(message, sizeof message, "opcode 0x%02x at offset 2 is not allowed", opcode);
        refuse(bytes, sizeof bytes, message);
        n_refused++;
    }
    assert_int_equal(n_refused, 256 - (sizeof known - 1));
    refuse(BYTES("cos\nsystem\n."), "opcode 0x63 at offset 0"); /* protocol 0 and 1 say no protocol */
    refuse(BYTES("(dp0\n."), "opcode 0x28 at offset 0");
    expect("protocol 1", BYTES("\x80\1N."), MICA_UNSUPPORTED, "protocol 1 at offset 0");
    expect("protocol 6", BYTES("\x80\6N."), MICA_UNSUPPORTED, "protocol 6 at offset 0");
    expect("two protocols", BYTES("\x80\2\x80\2N."), MICA_UNSUPPORTED, "protocol 2 at offset 2");
}

static void refuses_misuse(void **state)
{
    (void)state;
    refuse(BYTES("\x80\2."), "exactly one value");
    refuse(BYTES("\x80\2NN."), "exactly one value");
    refuse(BYTES("\x80\2(."), "exactly one value");
    refuse(BYTES(""), "ends without a stop (offset 0)");
    refuse(BYTES("\x80"), "ends inside an opcode");
    refuse(BYTES("\x80\2N"), "ends without a stop (offset 3)");
    refuse(BYTES("\x80\2Na."), "too few values");
    refuse(BYTES("\x80\2a."), "too few values");
    refuse(BYTES("\x80\2]a."), "too few values");
    refuse(BYTES("\x80\2}K\1s."), "too few values");
    refuse(BYTES("\x80\2}(K\1a."), "cannot add items to a mark");
    refuse(BYTES("\x80\2\x85."), "too few values");
    refuse(BYTES("\x80\2K\1\x86."), "too few values");
    refuse(BYTES("\x80\2K\1K\1\x87."), "too few values");
    refuse(BYTES("\x80\2(K\1\x86."), "too few values");
    refuse(BYTES("\x80\2R."), "too few values");
    refuse(BYTES("\x80\2b."), "too few values");
    refuse(BYTES("\x80\2Q."), "too few values");
    refuse(BYTES("\x80\2q\0."), "too few values");
    refuse(BYTES("\x80\4\x93."), "too few values");
    refuse(BYTES("\x80\4\x94."), "too few values");
    refuse(BYTES("\x80\2(e."), "too few values");
    refuse(BYTES("\x80\2t."), "no mark");
    refuse(BYTES("\x80\2]e."), "no mark");
    refuse(BYTES("\x80\2}u."), "no mark");
    refuse(BYTES("\x80\2((u."), "cannot add items to a mark");
    refuse(BYTES("\x80\2}(K\1u."), "a key without a value");
    refuse(BYTES("\x80\2)K\1a."), "cannot add items to a tuple");
    refuse(BYTES("\x80\2)K\1K\2s."), "cannot add items to a tuple");
    refuse(BYTES("\x80\2](K\1K\2u."), "cannot add items to a list");
    refuse(BYTES("\x80\2}(K\1K\2e."), "cannot add items to a dictionary");
    refuse(BYTES("\x80\2K\1Q(K\1K\2u."), "cannot add items to a storage");
    refuse(BYTES("\x80\2clib\nmake\n)RK\1a."), "cannot add items to the result of a call");
    refuse(BYTES("\x80\2clib\nthing\nK\1a."), "cannot add items to a name");
    refuse(BYTES("\x80\2K\1)R."), "calls a number");
    refuse(BYTES("\x80\2clib\nmake\n)R)R."), "calls the result of a call");
    refuse(BYTES("\x80\2clib\nmake\nK\1R."), "arguments of a call are no tuple");
    refuse(BYTES("\x80\2ccollections\nOrderedDict\nK\1\x85R."), "made of no list");
    refuse(BYTES("\x80\2ccollections\nOrderedDict\n]]\x86R."), "made of no list");
    refuse(BYTES("\x80\2ccollections\nOrderedDict\n]K\1a\x85R."), "made of no pairs");
    refuse(BYTES("\x80\2ccollections\nOrderedDict\n])a\x85R."), "made of no pairs");
    refuse(BYTES("\x80\2]}b."), "sets the state of a list");
    refuse(BYTES("\x80\2}}b."), "sets the state of a dictionary");
    refuse(BYTES("\x80\2clib\nthing\n}b."), "sets the state of a name");
    refuse(BYTES("\x80\2clib\nmake\n)RK\1b."), "sets the state of the result of a call");
    refuse(BYTES("\x80\2h\0."), "memo entry 0 was never put");
    refuse(BYTES("\x80\2Nq\2h\1."), "memo entry 1 was never put");
    refuse(BYTES("\x80\2j\xff\xff\xff\xff."), "memo entry 4294967295 was never put");
}

static void refuses_lengths(void **state)
{
    (void)state;
    refuse(BYTES("\x80\2X\xff\xff\xff\xff."), "a text of 4294967295 bytes, but only 1 follow (offset 2)");
    refuse(BYTES("\x80\2X\0\0\0\x80."), "a text of 2147483648 bytes");
    refuse(BYTES("\x80\2T\xff\xff\xff\xff."), "a text of 4294967295 bytes");
    refuse(BYTES("\x80\2U\2a"), "a text of 2 bytes, but only 1");
    refuse(BYTES("\x80\2X\1\0\0"), "ends inside an opcode");
    refuse(BYTES("\x80\4\x8d\xff\xff\xff\xff\xff\xff\xff\xff."), "a text of 18446744073709551615 bytes");
    refuse(BYTES("\x80\4\x8e\0\0\0\0\0\0\0\x80."), "a text of 9223372036854775808 bytes");
    refuse(BYTES("\x80\2\x8a\xff\1."), "a text of 255 bytes, but only 2");
    refuse(BYTES("\x80\4\x95\1\0\0\0\0\0\0\0"), "a frame is longer");
    refuse(BYTES("\x80\4\x95\xff\xff\xff\xff\xff\xff\xff\xffN."), "a frame is longer");
    refuse(BYTES("\x80\2X\2\0\0\0a\xff."), "not UTF-8");
    refuse(BYTES("\x80\2G\0\0\0"), "ends inside an opcode");
    char number[300] = "\x80\2\x8a\xff"; /* whole, but no size: the user of the value sees a long */
    number[4 + 255] = '.';
    reads(number, 4 + 255 + 1, "long255");
}

/* ---- limits -------------------------------------------------------------------------------------------------------------- */

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void repeat(mica__buf *b, const char *bytes, size_t n, size_t times)
{
    for (size_t i = 0; i < times; i++) mica__buf_append(b, bytes, n);
}

static void add(mica__buf *b, const char *bytes, size_t n) { mica__buf_append(b, bytes, n); }

/* Refused as too much, quickly, with little memory. */
static void expect_limit(mica__buf *b, mica_status status, const char *message)
{
    failing_allocator a;
    double before = seconds();
    mica_error err = {0};
    mica__pickle p;
    failing_allocator_begin(&a, 0, false);
    mica_status got = mica__pickle_parse(&p, (const uint8_t *)b->p, b->n, globals, 3, &err);
    mica__pickle_release(&p);
    size_t n_leaked = failing_allocator_end(&a);
    double took = seconds() - before;
    if (took > 1 || a.peak_bytes > 64u << 20) printf("%s: %.2f s, %zu bytes\n", message, took, a.peak_bytes);
    assert_int_equal(n_leaked, 0);
    assert_true(a.peak_bytes <= 64u << 20);
    assert_failure(message, got, status, &err, message);
    mica__buf_clear(b);
    mica__buf_append(b, "\x80\2", 2);
}

static void limits(void **state)
{
    (void)state;
    mica__buf b = {0};
    add(&b, BYTES("\x80\2"));

    repeat(&b, BYTES("("), 1000000); /* nested marks */
    expect_limit(&b, MICA_LIMIT, "more than 10000 values on the stack");

    add(&b, BYTES("]")); /* many cheap opcodes that leave nothing behind */
    repeat(&b, BYTES("(e"), 1000000);
    expect_limit(&b, MICA_LIMIT, "more than 1000000 opcodes");

    add(&b, BYTES("](")); /* a list of many */
    for (int i = 0; i < 110; i++) {
        repeat(&b, BYTES(")"), 9000);
        add(&b, BYTES("e("));
    }
    add(&b, BYTES("e."));
    expect_limit(&b, MICA_LIMIT, "more than 33554432 bytes of values");

    add(&b, BYTES("](")); /* the most memory per opcode */
    for (int i = 0; i < 50; i++) {
        repeat(&b, BYTES("NQ\x85"), 6600);
        add(&b, BYTES("e("));
    }
    add(&b, BYTES("e."));
    expect_limit(&b, MICA_LIMIT, "more than 33554432 bytes of values");

    /* A tuple of itself twice, again and again: 2^200 leaves, 200 objects. */
    add(&b, BYTES("K\1\x85q\0"));
    repeat(&b, BYTES("h\0\x86q\0"), 200);
    add(&b, BYTES("."));
    expect_limit(&b, MICA_OK, "");
    add(&b, BYTES("K\1\x85q\0"));
    repeat(&b, BYTES("h\0\x86q\0"), 255);
    add(&b, BYTES("."));
    expect_limit(&b, MICA_OK, "");
    add(&b, BYTES("K\1\x85q\0"));
    repeat(&b, BYTES("h\0\x86q\0"), 256);
    add(&b, BYTES("."));
    expect_limit(&b, MICA_LIMIT, "more than 256 levels of nesting");

    add(&b, BYTES("N")); /* nested tuples */
    repeat(&b, BYTES("\x85"), 256);
    add(&b, BYTES("."));
    expect_limit(&b, MICA_OK, "");
    add(&b, BYTES("N"));
    repeat(&b, BYTES("\x85"), 257);
    add(&b, BYTES("."));
    expect_limit(&b, MICA_LIMIT, "more than 256 levels of nesting");
    repeat(&b, BYTES("]"), 300); /* nested lists, put together from the inside */
    repeat(&b, BYTES("a"), 299);
    add(&b, BYTES("."));
    expect_limit(&b, MICA_LIMIT, "more than 256 levels of nesting");
    for (int over = 0; over <= 1; over++) { /* a deep branch, met a second time from further down */
        add(&b, BYTES("]q\1]q\2"));
        repeat(&b, BYTES("]"), 200);
        repeat(&b, BYTES("a"), 201);
        add(&b, BYTES("h\2"));
        repeat(&b, BYTES("\x85"), over ? 55 : 54);
        add(&b, BYTES("a."));
        expect_limit(&b, over ? MICA_LIMIT : MICA_OK, "more than 256 levels of nesting");
    }

    add(&b, BYTES("]q\1h\1a."));
    expect_limit(&b, MICA_DATA, "a value that contains itself");
    add(&b, BYTES("]q\1]q\2h\1aa.")); /* a contains b contains a */
    expect_limit(&b, MICA_DATA, "a value that contains itself");
    add(&b, BYTES("]q\1}q\2K\1h\1\x85sa."));
    expect_limit(&b, MICA_DATA, "a value that contains itself");
    add(&b, BYTES("]q\1h\1Qa.")); /* through a persistent id */
    expect_limit(&b, MICA_DATA, "a value that contains itself");

    add(&b, BYTES("N"));
    repeat(&b, BYTES("\x94"), 100001);
    expect_limit(&b, MICA_LIMIT, "more than 100000 entries in the memo");
    add(&b, BYTES("Nr\xa0\x86\1\0."));
    expect_limit(&b, MICA_LIMIT, "more than 100000 entries in the memo");
    add(&b, BYTES("Nr\xff\xff\xff\xff."));
    expect_limit(&b, MICA_LIMIT, "more than 100000 entries in the memo");
    mica__buf_release(&b);
}

static const char EVERYTHING[] = "\x80\2}q\0(U\1a]q\1(K\1\x8a\1\2G\0\0\0\0\0\0\0\0eU\1bclib\nmake\nK\1Q\x85R}b"
                                 "U\1cccollections\nOrderedDict\n]U\1xK\1\x86"
                                 "a\x85RU\1dh\1U\1eN\x88\x89\x87u.";

static mica_status attempt(void *context)
{
    (void)context;
    mica__pickle p;
    mica_status status = mica__pickle_parse(&p, (const uint8_t *)EVERYTHING, sizeof EVERYTHING - 1, globals, 3, NULL);
    mica__pickle_release(&p);
    return status;
}

static void survives_lack_of_memory(void **state)
{
    (void)state;
    reads(BYTES(EVERYTHING),
          "{'a': [1, 2, 0], 'b': make(<1>), 'c': {'x': 1}, 'd': [1, 2, 0], 'e': (None, True, False)}");
    assert_true(failing_allocator_sweep(attempt, NULL) >= 4);
    for (size_t n = 0; n < sizeof EVERYTHING - 1; n++) refuse(EVERYTHING, n, "pickle: "); /* cut anywhere */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_values),
        cmocka_unit_test(reads_names_and_calls),
        cmocka_unit_test(reads_memo),
        cmocka_unit_test(stops_at_its_end),
        cmocka_unit_test(lists_persistents),
        cmocka_unit_test(gets_members),
        cmocka_unit_test(refuses_names),
        cmocka_unit_test(refuses_opcodes),
        cmocka_unit_test(refuses_misuse),
        cmocka_unit_test(refuses_lengths),
        cmocka_unit_test(limits),
        cmocka_unit_test(survives_lack_of_memory),
    };
    return cmocka_run_group_tests_name("formats/pickle", tests, NULL, NULL);
}
