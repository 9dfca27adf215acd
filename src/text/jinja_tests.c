/* text/jinja_tests.c: the tests behind `is`. */
#include "jinja_filters.h"

#define TEST(name) static mica__jv name(mica__jin *j, mica__jv v, const mica__jargs *raw, mica__jv *a)
#define UNUSED (void)raw, (void)a, (void)j, (void)v

static mica__jv truth(int t) { return t < 0 ? JV_ERR : mica__jv_bool(t); }

static mica__jv remainder_is(mica__jin *j, mica__jv v, mica__jv divisor, int64_t want)
{
    mica__jv rest = mica__jv_binary(j, JO_MOD, v, divisor);
    JV_TRY(rest);
    return truth(mica__jv_equal(j, rest, mica__jv_int(want)));
}

TEST(test_odd) { return UNUSED, remainder_is(j, v, mica__jv_int(2), 1); }
TEST(test_even) { return UNUSED, remainder_is(j, v, mica__jv_int(2), 0); }
TEST(test_divisibleby) { return UNUSED, remainder_is(j, v, a[0], 0); }
TEST(test_defined) { return UNUSED, mica__jv_bool(v.kind != JV_UNDEFINED); }
TEST(test_undefined) { return UNUSED, mica__jv_bool(v.kind == JV_UNDEFINED); }
TEST(test_none) { return UNUSED, mica__jv_bool(v.kind == JV_NONE); }
TEST(test_boolean) { return UNUSED, mica__jv_bool(v.kind == JV_BOOL); }
TEST(test_false) { return UNUSED, mica__jv_bool(v.kind == JV_BOOL && !v.u.i); }
TEST(test_true) { return UNUSED, mica__jv_bool(v.kind == JV_BOOL && v.u.i); }
TEST(test_integer) { return UNUSED, mica__jv_bool(v.kind == JV_INT || v.kind == JV_BIG); }
TEST(test_float) { return UNUSED, mica__jv_bool(v.kind == JV_FLOAT); }
TEST(test_number) { return UNUSED, mica__jv_bool(mica__jv_is_number(v) || v.kind == JV_BIG); }
TEST(test_string) { return UNUSED, mica__jv_bool(v.kind == JV_STR); }
TEST(test_mapping) { return UNUSED, mica__jv_bool(v.kind == JV_DICT); }
TEST(test_escaped) { return UNUSED, mica__jv_bool(mica__jv_is_markup(v)); }
TEST(test_sameas) { return UNUSED, mica__jv_bool(mica__jv_same(v, a[0])); }
TEST(test_in) { return UNUSED, truth(mica__jv_contains(j, a[0], v)); }

TEST(test_callable)
{
    UNUSED;
    return mica__jv_bool(v.kind == JV_BUILTIN || v.kind == JV_METHOD || v.kind == JV_MACRO || v.kind == JV_LOOP ||
                         v.kind == JV_JOINER || v.kind == JV_UNDEFINED);
}

TEST(test_sequence)
{
    UNUSED;
    return mica__jv_bool(v.kind == JV_STR || v.kind == JV_BYTES || mica__jv_is_seq(v) || v.kind == JV_DICT ||
                         v.kind == JV_RANGE || v.kind == JV_UNDEFINED);
}

TEST(test_iterable) { return UNUSED, mica__jv_bool(mica__jv_is_iterable(v)); }

static mica__jv cased(mica__jin *j, mica__jv v, bool (*test)(mica__str))
{
    v = mica__jv_to_str(j, v);
    JV_TRY(v);
    return mica__jv_bool(test(mica__jv_text(v)));
}

TEST(test_lower) { return UNUSED, cased(j, v, mica__jstr_is_lower); }
TEST(test_upper) { return UNUSED, cased(j, v, mica__jstr_is_upper); }

/* A name that could be looked up, or an error for one that could not. */
static mica__jv names_builtin(mica__jin *j, mica__jv v, const mica__jbuiltin *(*find)(mica__str))
{
    uint64_t hash;
    if (mica__jv_hash(j, v, &hash)) return JV_ERR;
    return mica__jv_bool(v.kind == JV_STR && find(mica__jv_text(v)));
}

TEST(test_filter) { return UNUSED, names_builtin(j, v, mica__jfilter_find); }
TEST(test_test) { return UNUSED, names_builtin(j, v, mica__jtest_find); }

TEST(test_eq) { return UNUSED, truth(mica__jv_equal(j, v, a[0])); }

TEST(test_ne)
{
    UNUSED;
    int eq = mica__jv_equal(j, v, a[0]);
    return eq < 0 ? JV_ERR : mica__jv_bool(!eq);
}

TEST(test_lt) { return UNUSED, truth(mica__jv_order(j, '<', v, a[0])); }
TEST(test_le) { return UNUSED, truth(mica__jv_order(j, 'l', v, a[0])); }
TEST(test_gt) { return UNUSED, truth(mica__jv_order(j, '>', v, a[0])); }
TEST(test_ge) { return UNUSED, truth(mica__jv_order(j, 'g', v, a[0])); }

static const mica__jbuiltin tests[] = {
    {"odd", "", test_odd, false},
    {"even", "", test_even, false},
    {"divisibleby", "num", test_divisibleby, false},
    {"defined", "", test_defined, false},
    {"undefined", "", test_undefined, false},
    {"filter", "", test_filter, false},
    {"test", "", test_test, false},
    {"none", "", test_none, false},
    {"boolean", "", test_boolean, false},
    {"false", "", test_false, false},
    {"true", "", test_true, false},
    {"integer", "", test_integer, false},
    {"float", "", test_float, false},
    {"lower", "", test_lower, false},
    {"upper", "", test_upper, false},
    {"string", "", test_string, false},
    {"mapping", "", test_mapping, false},
    {"number", "", test_number, false},
    {"sequence", "", test_sequence, false},
    {"iterable", "", test_iterable, false},
    {"callable", "/", test_callable, false},
    {"sameas", "other", test_sameas, false},
    {"escaped", "", test_escaped, false},
    {"in", "seq", test_in, false},
    {"==", "/b", test_eq, false},
    {"eq", "/b", test_eq, false},
    {"equalto", "/b", test_eq, false},
    {"!=", "/b", test_ne, false},
    {"ne", "/b", test_ne, false},
    {">", "/b", test_gt, false},
    {"gt", "/b", test_gt, false},
    {"greaterthan", "/b", test_gt, false},
    {"ge", "/b", test_ge, false},
    {">=", "/b", test_ge, false},
    {"<", "/b", test_lt, false},
    {"lt", "/b", test_lt, false},
    {"lessthan", "/b", test_lt, false},
    {"<=", "/b", test_le, false},
    {"le", "/b", test_le, false},
    {0},
};

const mica__jbuiltin *mica__jtest_find(mica__str name) { return mica__jbuiltin_in(tests, name); }

const mica__jbuiltin *mica__jfilter_find(mica__str name)
{
    const mica__jbuiltin *found = mica__jbuiltin_in(mica__jfilters_text, name);
    return found ? found : mica__jbuiltin_in(mica__jfilters_seq, name);
}
