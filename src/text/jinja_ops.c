/* text/jinja_ops.c: arithmetic, concatenation, repetition, membership and length with Python's rules.
 *
 * Integers are 64 bits wide; where Python would grow them, the rendering ends with a LIMIT error. */
#include "jinja_eval.h"
#include "jinja_unicode.h"
#include <math.h>

mica__jv mica__jv_use_undefined(mica__jin *j, mica__jv v)
{
    const mica__jundefined *u = v.u.undefined;
    if (v.kind != JV_UNDEFINED) return mica__jin_raise(j, "value is undefined");
    if (u->is_security)
        return mica__jin_raise(j, "access to attribute '%s' of '%s' object is unsafe.",
                               MICA_QUOTED_STR(mica__jv_text(u->name)), mica__jv_type_name(u->object));
    if (u->hint) return mica__jin_raise(j, "%s", u->hint);
    if (u->name.kind == JV_MISSING) return mica__jin_raise(j, "value is undefined");
    if (u->object.kind == JV_MISSING)
        return mica__jin_raise(j, "'%s' is undefined", MICA_QUOTED_STR(mica__jv_text(u->name)));
    const char *type = u->object.kind == JV_NONE ? "None" : mica__jv_type_name(u->object),
               *object = u->object.kind == JV_NONE ? "" : " object";
    if (u->name.kind == JV_STR)
        return mica__jin_raise(j, "'%s%s' has no attribute '%s'", type, object,
                               MICA_QUOTED_STR(mica__jv_text(u->name)));
    mica__jv name = mica__jv_repr(j, u->name);
    JV_TRY(name);
    return mica__jin_raise(j, "%s%s has no element %s", type, object, MICA_QUOTED_STR(mica__jv_text(name)));
}

static mica__jv overflow(mica__jin *j) { return mica__jin_fail(j, MICA_LIMIT, "integer beyond 64 bits"); }

static mica__jv unsupported(mica__jin *j, const char *op, mica__jv a, mica__jv b)
{
    if (a.kind == JV_BIG || b.kind == JV_BIG) return overflow(j);
    return mica__jin_raise(j, "unsupported operand type(s) for %s: '%s' and '%s'", op, mica__jv_type_name(a),
                           mica__jv_type_name(b));
}

/* ---- numbers ---- */

static mica__jv power_int(mica__jin *j, int64_t base, int64_t exponent)
{
    int64_t result = 1;
    while (exponent) {
        if (exponent & 1 && __builtin_mul_overflow(result, base, &result)) return overflow(j);
        exponent >>= 1;
        if (exponent && __builtin_mul_overflow(base, base, &base)) return overflow(j);
    }
    return mica__jv_int(result);
}

static mica__jv power(mica__jin *j, mica__jv a, mica__jv b)
{
    if (a.kind != JV_FLOAT && b.kind != JV_FLOAT && b.u.i >= 0) return power_int(j, a.u.i, b.u.i);
    double x = mica__jv_double(a), y = mica__jv_double(b);
    if (x == 0 && y < 0) return mica__jin_raise(j, "0.0 cannot be raised to a negative power");
    if (x < 0 && isfinite(y) && y != floor(y)) return mica__jin_raise(j, "complex numbers are not supported");
    double r = pow(x, y);
    if (isinf(r) && isfinite(x) && isfinite(y)) return mica__jin_raise(j, "(34, 'Numerical result out of range')");
    return mica__jv_float(r);
}

static mica__jv float_divmod(mica__jin *j, mica__jop op, double x, double y)
{
    if (y == 0) {
        const char *what = op == JO_DIV   ? "float division by zero"
                           : op == JO_MOD ? "float modulo"
                                          : "float floor division by zero";
        return mica__jin_raise(j, "%s", what);
    }
    if (op == JO_DIV) return mica__jv_float(x / y);
    double mod = fmod(x, y), div = (x - mod) / y;
    if (mod != 0) {
        if ((y < 0) != (mod < 0)) {
            mod += y;
            div -= 1;
        }
    } else {
        mod = copysign(0, y);
    }
    if (op == JO_MOD) return mica__jv_float(mod);
    if (div == 0) return mica__jv_float(copysign(0, x / y));
    double whole = floor(div);
    return mica__jv_float(div - whole > 0.5 ? whole + 1 : whole);
}

static mica__jv int_divmod(mica__jin *j, mica__jop op, int64_t x, int64_t y)
{
    if (y == 0)
        return mica__jin_raise(j, op == JO_MOD ? "integer modulo by zero" : "integer division or modulo by zero");
    if (y == -1) {
        if (op == JO_MOD) return mica__jv_int(0);
        return x == INT64_MIN ? overflow(j) : mica__jv_int(-x);
    }
    int64_t div = x / y, mod = x % y;
    if (mod && (mod < 0) != (y < 0)) {
        div--;
        mod += y;
    }
    return mica__jv_int(op == JO_MOD ? mod : div);
}

static mica__jv arithmetic(mica__jin *j, mica__jop op, mica__jv a, mica__jv b)
{
    bool is_float = a.kind == JV_FLOAT || b.kind == JV_FLOAT;
    double x = mica__jv_double(a), y = mica__jv_double(b);
    int64_t r;
    switch (op) {
    case JO_ADD:
        if (is_float) return mica__jv_float(x + y);
        return __builtin_add_overflow(a.u.i, b.u.i, &r) ? overflow(j) : mica__jv_int(r);
    case JO_SUB:
        if (is_float) return mica__jv_float(x - y);
        return __builtin_sub_overflow(a.u.i, b.u.i, &r) ? overflow(j) : mica__jv_int(r);
    case JO_MUL:
        if (is_float) return mica__jv_float(x * y);
        return __builtin_mul_overflow(a.u.i, b.u.i, &r) ? overflow(j) : mica__jv_int(r);
    case JO_DIV:
        if (is_float) return float_divmod(j, op, x, y);
        if (b.u.i == 0) return mica__jin_raise(j, "division by zero");
        return mica__jv_float(x / y);
    case JO_FLOORDIV:
    case JO_MOD:
        return is_float ? float_divmod(j, op, x, y) : int_divmod(j, op, a.u.i, b.u.i);
    default:
        return power(j, a, b);
    }
}

mica__jv mica__jv_negate(mica__jin *j, mica__jv v, bool negate)
{
    if (v.kind == JV_UNDEFINED) return mica__jv_use_undefined(j, v);
    if (v.kind == JV_FLOAT) return mica__jv_float(negate ? -v.u.f : v.u.f);
    if (v.kind == JV_BIG && !negate) return v;
    if (v.kind == JV_BIG) {
        bool is_negative = v.u.str->p[0] == '-';
        mica__jtext t = {.j = j};
        if (!is_negative) mica__jtext_add(&t, "-", 1);
        mica__jtext_add(&t, v.u.str->p + is_negative, v.u.str->n - is_negative);
        mica__jv big = mica__jtext_value(&t);
        JV_TRY(big);
        if (mica__str_is(mica__jv_text(big), "-9223372036854775808")) return mica__jv_int(INT64_MIN);
        big.kind = JV_BIG;
        return big;
    }
    if (!mica__jv_is_int(v))
        return mica__jin_raise(j, "bad operand type for unary %c: '%s'", negate ? '-' : '+', mica__jv_type_name(v));
    if (negate && v.u.i == INT64_MIN) return overflow(j);
    return mica__jv_int(negate ? -v.u.i : v.u.i);
}

/* ---- strings and lists ---- */

static mica__jv repeat(mica__jin *j, mica__jv seq, int64_t times)
{
    if (times < 0) times = 0;
    if (seq.kind == JV_STR || seq.kind == JV_BYTES) {
        mica__str s = mica__jv_text(seq);
        size_t total;
        if (!mica__mul(s.n, (size_t)times, &total)) total = SIZE_MAX / 4;
        if (!mica__jin_spend(j, total / 64 + (uint64_t)(s.n ? times : 0) / 16)) return JV_ERR;
        char *p = mica__jin_alloc(j, total ? total : 1, 1);
        if (!p) return JV_ERR;
        for (size_t i = 0; i < total; i += s.n) memcpy(p + i, s.p, s.n);
        mica__jv v = mica__jv_borrow(j, p, total);
        if (v.kind == JV_STR) v.kind = seq.kind, v.sub = seq.sub;
        return v;
    }
    const mica__jlist *l = seq.u.list;
    size_t total;
    if (!mica__mul(l->n, (size_t)times, &total)) total = SIZE_MAX / 64;
    if (!mica__jin_spend(j, total / 4)) return JV_ERR;
    mica__jv *items = mica__jin_alloc(j, total ? total : 1, sizeof *items);
    if (!items) return JV_ERR;
    for (size_t i = 0; i < total; i++) items[i] = l->items[i % l->n];
    return mica__jv_list(j, (mica__jv_kind)seq.kind, items, total);
}

static bool can_repeat(mica__jv v) { return v.kind == JV_STR || v.kind == JV_BYTES || mica__jv_is_seq(v); }

static mica__jv add(mica__jin *j, mica__jv a, mica__jv b)
{
    if (a.kind == JV_STR && b.kind == JV_STR) {
        if (a.sub || b.sub) { /* Markup escapes the other one */
            a = mica__jv_escape(j, a);
            b = mica__jv_escape(j, b);
            JV_TRY(a);
            JV_TRY(b);
            return mica__jv_markup(mica__jv_concat(j, a, mica__jv_text(b)), true);
        }
        return mica__jv_concat(j, a, mica__jv_text(b));
    }
    if (mica__jv_is_seq(a) && a.kind == b.kind) return mica__jv_list_concat(j, a, b);
    if (a.kind == JV_BYTES && b.kind == JV_BYTES) {
        mica__jv v = mica__jv_concat(j, a, mica__jv_text(b));
        if (v.kind == JV_STR) v.kind = JV_BYTES;
        return v;
    }
    if ((a.kind == JV_STR && !a.sub) || mica__jv_is_seq(a))
        return mica__jin_raise(j, "can only concatenate %s (not \"%s\") to %s", mica__jv_type_name(a),
                               mica__jv_type_name(b), mica__jv_type_name(a));
    return unsupported(j, "+", a, b);
}

mica__jv mica__jv_binary(mica__jin *j, mica__jop op, mica__jv a, mica__jv b)
{
    static const char *const names[] = {"+", "-", "*", "/", "//", "%", "** or pow()"};
    if (mica__jv_is_number(a) && mica__jv_is_number(b)) return arithmetic(j, op, a, b);
    if (op == JO_MOD && a.kind == JV_STR) return mica__jv_percent(j, a, b);
    if (a.kind == JV_UNDEFINED || b.kind == JV_UNDEFINED)
        return mica__jv_use_undefined(j, a.kind == JV_UNDEFINED ? a : b);
    if (op == JO_ADD) return add(j, a, b);
    if (op == JO_MUL) {
        if (can_repeat(a) && mica__jv_is_int(b)) return repeat(j, a, b.u.i);
        if (can_repeat(b) && mica__jv_is_int(a)) return repeat(j, b, a.u.i);
        if (can_repeat(a) && b.kind != JV_BIG)
            return mica__jin_raise(j, "can't multiply sequence by non-int of type '%s'", mica__jv_type_name(b));
    }
    if (op == JO_SUB && a.kind == JV_VIEW && b.kind == JV_VIEW) return mica__jin_raise(j, "sets are not supported");
    return unsupported(j, names[op], a, b);
}

/* ---- membership and length ---- */

static int find_in_items(mica__jin *j, const mica__jv *items, size_t n, mica__jv item)
{
    for (size_t i = 0; i < n; i++) {
        if (!mica__jin_spend(j, 1)) return -1;
        int eq = mica__jv_same(items[i], item) ? 1 : mica__jv_equal(j, items[i], item);
        if (eq) return eq;
    }
    return 0;
}

static int contains_in_view(mica__jin *j, mica__jv view, mica__jv item)
{
    const mica__jdict *d = view.u.dict;
    if (view.sub == JV_KEYS) return mica__jdict_find(j, d, item, NULL);
    if (view.sub == JV_ITEMS) {
        mica__jv value;
        if (item.kind != JV_TUPLE || item.u.list->n != 2) return 0;
        int found = mica__jdict_find(j, d, item.u.list->items[0], &value);
        return found == 1 ? mica__jv_equal(j, value, item.u.list->items[1]) : found;
    }
    for (size_t i = 0; i < d->n; i++) {
        if (!mica__jin_spend(j, 1)) return -1;
        int eq = mica__jv_equal(j, d->entries[i].value, item);
        if (eq) return eq;
    }
    return 0;
}

int mica__jv_contains(mica__jin *j, mica__jv container, mica__jv item)
{
    switch ((mica__jv_kind)container.kind) {
    case JV_ERROR:
        return -1;
    case JV_STR:
        if (item.kind != JV_STR) {
            mica__jin_raise(j, "'in <string>' requires string as left operand, not %s", mica__jv_type_name(item));
            return -1;
        }
        if (!mica__jin_spend(j, container.u.str->n / 64)) return -1;
        return item.u.str->n == 0 ||
               memmem(container.u.str->p, container.u.str->n, item.u.str->p, item.u.str->n) != NULL;
    case JV_LIST:
    case JV_TUPLE:
        return find_in_items(j, container.u.list->items, container.u.list->n, item);
    case JV_DICT:
        return mica__jdict_find(j, container.u.dict, item, NULL);
    case JV_VIEW:
        return contains_in_view(j, container, item);
    default:
        break;
    }
    if (!mica__jv_is_iterable(container)) {
        mica__jin_raise(j, "argument of type '%s' is not iterable", mica__jv_type_name(container));
        return -1;
    }
    mica__jiter *it = mica__jiter_new(j, container);
    if (!it) return -1;
    for (mica__jv each;;) {
        int got = mica__jiter_next(j, it, &each);
        if (got <= 0) return got;
        int eq = mica__jv_equal(j, each, item);
        if (eq) return eq;
    }
}

bool mica__jv_has_length(mica__jv v)
{
    return v.kind == JV_STR || v.kind == JV_BYTES || v.kind == JV_LIST || v.kind == JV_TUPLE || v.kind == JV_DICT ||
           v.kind == JV_VIEW || v.kind == JV_RANGE || v.kind == JV_UNDEFINED || v.kind == JV_LOOP;
}

int64_t mica__jv_length(mica__jin *j, mica__jv v)
{
    switch ((mica__jv_kind)v.kind) {
    case JV_ERROR:
        return -1;
    case JV_UNDEFINED:
        return 0;
    case JV_STR:
        return (int64_t)mica__jv_chars(v);
    case JV_BYTES:
        return (int64_t)v.u.str->n;
    case JV_LIST:
    case JV_TUPLE:
        return (int64_t)v.u.list->n;
    case JV_DICT:
    case JV_VIEW:
        return (int64_t)v.u.dict->n;
    case JV_RANGE:
        return v.u.range->n;
    case JV_LOOP:
        return mica__jloop_length(j, v.u.loop);
    default:
        mica__jin_raise(j, "object of type '%s' has no len()", mica__jv_type_name(v));
        return -1;
    }
}
