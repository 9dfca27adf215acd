/* text/jinja_attr.c: object.name, object[key] and slices, with the sandbox's rules.
 *
 * A name is first a method or attribute of the object, then a key; a subscript the other way round. Names with two leading
 * underscores, private names of the engine's own objects, and methods that would change a list or dictionary give an undefined
 * value whose every use is an error. Anything unknown is undefined, too. */
#include "jinja_eval.h"
#include "jinja_unicode.h"

/* Names with double underscores that Python finds on every value, or on functions, classes and containers. */
static bool is_dunder(mica__jv o, mica__str name)
{
    static const char *const of_all[] = {
        "class",     "delattr", "dir",     "doc",           "eq",  "format",       "ge", "getattribute", "getstate",
        "gt",        "hash",    "init",    "init_subclass", "le",  "lt",           "ne", "new",          "reduce",
        "reduce_ex", "repr",    "setattr", "sizeof",        "str", "subclasshook", NULL};
    static const char *const of_containers[] = {
        "len",  "iter", "getitem", "contains", "add", "mul",           "rmul", "reversed", "setitem",    "delitem",
        "iadd", "imul", "or",      "ror",      "ior", "class_getitem", "mod",  "rmod",     "getnewargs", NULL};
    if (name.n < 5 || !mica__str_starts(name, "__") || !mica__str_ends(name, "__")) return false;
    mica__str core = {name.p + 2, name.n - 4};
    for (const char *const *n = of_all; *n; n++)
        if (mica__str_is(core, *n)) return true;
    if (o.kind == JV_STR || mica__jv_is_seq(o) || o.kind == JV_DICT || o.kind == JV_BYTES) {
        for (const char *const *n = of_containers; *n; n++)
            if (mica__str_is(core, *n)) return true;
        return false;
    }
    return o.kind != JV_UNDEFINED && o.kind != JV_NONE;
}

static bool is_mutator(mica__jv object, mica__str name)
{
    static const char *const of_list[] = {"append", "clear",  "pop",    "reverse", "insert",
                                          "sort",   "extend", "remove", NULL};
    static const char *const of_dict[] = {"clear", "pop", "popitem", "setdefault", "update", NULL};
    const char *const *names = object.kind == JV_LIST ? of_list : object.kind == JV_DICT ? of_dict : NULL;
    for (; names && *names; names++)
        if (mica__str_is(name, *names)) return true;
    return false;
}

static mica__jv macro_attr(mica__jin *j, const mica__jmacro *m, mica__str name)
{
    const mica__jfunction *f = m->f;
    if (mica__str_is(name, "name")) return f->name;
    if (mica__str_is(name, "catch_kwargs")) return mica__jv_bool(f->takes_kwargs);
    if (mica__str_is(name, "catch_varargs")) return mica__jv_bool(f->takes_varargs);
    if (mica__str_is(name, "caller")) return mica__jv_bool(f->takes_caller);
    bool explicit_caller = mica__str_is(name, "explicit_caller");
    if (!explicit_caller && !mica__str_is(name, "arguments")) return JV_NO_VALUE;
    mica__jitems names = {0};
    for (size_t i = 0; i < f->n_args; i++) {
        if (explicit_caller && mica__jv_is_text(f->args[i]->value, "caller")) return mica__jv_bool(true);
        if (!mica__jitems_add(j, &names, f->args[i]->value)) return JV_ERR;
    }
    return explicit_caller ? mica__jv_bool(false) : mica__jv_list(j, JV_TUPLE, names.items, names.n);
}

/* Attributes that are values, not methods; JV_MISSING if there is none. */
static mica__jv value_attr(mica__jin *j, mica__jv o, mica__str name)
{
    if (mica__jv_is_number(o)) {
        if (mica__str_is(name, "real")) return o.kind == JV_FLOAT ? o : mica__jv_int(o.u.i);
        if (mica__str_is(name, "imag")) return o.kind == JV_FLOAT ? mica__jv_float(0) : mica__jv_int(0);
        if (o.kind != JV_FLOAT && mica__str_is(name, "numerator")) return mica__jv_int(o.u.i);
        if (o.kind != JV_FLOAT && mica__str_is(name, "denominator")) return mica__jv_int(1);
    } else if (o.kind == JV_RANGE) {
        if (mica__str_is(name, "start")) return mica__jv_int(o.u.range->start);
        if (mica__str_is(name, "stop")) return mica__jv_int(o.u.range->stop);
        if (mica__str_is(name, "step")) return mica__jv_int(o.u.range->step);
    } else if (o.kind == JV_TUPLE && o.sub) {
        if (mica__str_is(name, "grouper")) return o.u.list->items[0];
        if (mica__str_is(name, "list")) return o.u.list->items[1];
    } else if (o.kind == JV_NAMESPACE) {
        const mica__jv *v = mica__jdict_get(o.u.dict, name);
        if (v) return *v;
    } else if (o.kind == JV_MACRO) {
        return macro_attr(j, o.u.macro, name);
    } else if (o.kind == JV_LOOP) {
        return mica__jloop_attr(j, o.u.loop, name);
    } else if (o.kind == JV_CYCLER) {
        if (mica__str_is(name, "items")) return (mica__jv){.kind = JV_TUPLE, .u.list = o.u.cycler->items};
        if (mica__str_is(name, "pos")) return mica__jv_int((int64_t)o.u.cycler->pos);
        if (mica__str_is(name, "current")) return o.u.cycler->items->items[o.u.cycler->pos];
    } else if (o.kind == JV_JOINER) {
        if (mica__str_is(name, "sep")) return o.u.joiner->sep;
        if (mica__str_is(name, "used")) return mica__jv_bool(o.u.joiner->used);
    }
    return JV_NO_VALUE;
}

/* What getattr() finds, or JV_MISSING. */
static mica__jv python_attr(mica__jin *j, mica__jv o, mica__jv name)
{
    mica__str n = mica__jv_text(name);
    if (o.kind == JV_NAMESPACE) {
        if (mica__str_is(n, "__class__")) return mica__jv_unsafe(j, o, name);
        mica__jv found = value_attr(j, o, n);
        bool is_private = n.n && n.p[0] == '_';
        return found.kind == JV_MISSING ? found : is_private ? mica__jv_unsafe(j, o, name) : found;
    }
    if (is_dunder(o, n) || is_mutator(o, n)) return mica__jv_unsafe(j, o, name);
    mica__jv v = value_attr(j, o, n);
    if (v.kind != JV_MISSING) return v;
    const mica__jbuiltin *method = mica__jmethod_find(o, n);
    return method ? mica__jmethod_bind(j, o, method) : JV_NO_VALUE;
}

/* object[key] where Python would not raise; JV_MISSING if the object has no such key or takes no keys of that kind. */
static mica__jv python_item(mica__jin *j, mica__jv o, mica__jv key)
{
    int64_t i = mica__jv_is_int(key) ? key.u.i : 0, n;
    switch ((mica__jv_kind)o.kind) {
    case JV_DICT: {
        mica__jv v = JV_NO_VALUE;
        if (key.kind == JV_LIST || key.kind == JV_DICT || key.kind == JV_VIEW) return v;
        return mica__jdict_find(j, o.u.dict, key, &v) < 0 ? JV_ERR : v;
    }
    case JV_LIST:
    case JV_TUPLE:
        n = (int64_t)o.u.list->n;
        if (!mica__jv_is_int(key) || i < -n || i >= n) return JV_NO_VALUE;
        return o.u.list->items[i < 0 ? i + n : i];
    case JV_RANGE:
        n = o.u.range->n;
        if (!mica__jv_is_int(key) || i < -n || i >= n) return JV_NO_VALUE;
        return mica__jv_int(o.u.range->start + (i < 0 ? i + n : i) * o.u.range->step);
    case JV_BYTES:
        n = (int64_t)o.u.str->n;
        if (!mica__jv_is_int(key) || i < -n || i >= n) return JV_NO_VALUE;
        return mica__jv_int((unsigned char)o.u.str->p[i < 0 ? i + n : i]);
    case JV_STR:
        n = (int64_t)mica__jv_chars(o);
        if (!mica__jv_is_int(key) || i < -n || i >= n) return JV_NO_VALUE;
        i = i < 0 ? i + n : i;
        return mica__jv_slice(j, o, mica__jv_int(i), mica__jv_int(i + 1), JV_NULL);
    default:
        return JV_NO_VALUE;
    }
}

mica__jv mica__jv_attr(mica__jin *j, mica__jv object, mica__jv name)
{
    if (object.kind == JV_UNDEFINED && !is_dunder(object, mica__jv_text(name)))
        return mica__jv_use_undefined(j, object);
    mica__jv v = python_attr(j, object, name);
    if (v.kind == JV_MISSING) v = python_item(j, object, name);
    return v.kind == JV_MISSING ? mica__jv_undefined_attr(j, object, name) : v;
}

mica__jv mica__jv_item(mica__jin *j, mica__jv object, mica__jv key)
{
    if (object.kind == JV_UNDEFINED) return mica__jv_use_undefined(j, object);
    mica__jv v = python_item(j, object, key);
    if (v.kind == JV_MISSING && key.kind == JV_STR) v = python_attr(j, object, key);
    return v.kind == JV_MISSING ? mica__jv_undefined_attr(j, object, key) : v;
}

/* ---- slices ---- */

/* One bound of a slice over n elements, cut to what is there. */
static bool bound(mica__jin *j, mica__jv v, int64_t n, int64_t step, int64_t fallback, int64_t *out)
{
    *out = fallback;
    if (v.kind == JV_NONE) return true;
    int64_t i = v.u.i;
    if (v.kind == JV_BIG) {
        i = v.u.str->p[0] == '-' ? INT64_MIN : INT64_MAX;
    } else if (!mica__jv_is_int(v)) {
        mica__jin_raise(j, "slice indices must be integers or None or have an __index__ method");
        return false;
    }
    int64_t lowest = step < 0 ? -1 : 0, highest = step < 0 ? n - 1 : n;
    if (i < 0) i = i < -n ? lowest : i + n;
    *out = i < lowest ? lowest : i > highest ? highest : i;
    return true;
}

/* Byte offset of code point number i. */
static size_t offset_of(mica__jv s, int64_t i)
{
    mica__str t = mica__jv_text(s);
    if (mica__jv_chars(s) == t.n) return (size_t)i;
    size_t at = 0;
    for (; i > 0 && at < t.n; i--) do
            at++;
        while (at < t.n && ((unsigned char)t.p[at] & 0xC0) == 0x80);
    return at;
}

static mica__jv slice_str(mica__jin *j, mica__jv s, int64_t start, int64_t step, int64_t count)
{
    mica__str t = mica__jv_text(s);
    if (!mica__jin_spend(j, t.n / 128)) return JV_ERR;
    if (!count) return mica__jv_markup(mica__jv_borrow(j, "", 0), s.sub);
    if (step == 1) {
        size_t from = offset_of(s, start), to = from;
        mica__jv rest = s;
        if (mica__jv_chars(s) == t.n) {
            to = from + (size_t)count;
        } else {
            mica__jstr tail = {.p = t.p + from, .n = t.n - from, .chars = SIZE_MAX - 1};
            rest.u.str = &tail;
            to = from + offset_of(rest, count);
        }
        return mica__jv_markup(mica__jv_borrow(j, t.p + from, to - from), s.sub);
    }
    /* With a step: the wanted characters are walked over in one direction. */
    mica__jtext out = {.j = j};
    mica__str rest = t;
    rest.p += offset_of(s, start);
    rest.n = step > 0 ? t.n - (size_t)(rest.p - t.p) : (size_t)(rest.p - t.p);
    if (step < 0) {
        rest.p = t.p;
        mica__str first = {t.p + rest.n, t.n - rest.n};
        uint32_t c;
        if (count && mica__py_next(&first, &c)) mica__jtext_add_char(&out, c);
        for (int64_t i = 1; i < count; i++) {
            for (int64_t k = 0; k < -step; k++)
                if (!mica__py_prev(&rest, &c)) break;
            mica__jtext_add_char(&out, c);
        }
    } else {
        for (int64_t i = 0; i < count; i++) {
            uint32_t c = 0, skipped;
            mica__py_next(&rest, &c);
            mica__jtext_add_char(&out, c);
            for (int64_t k = 1; k < step; k++)
                if (!mica__py_next(&rest, &skipped)) break;
        }
    }
    return mica__jv_markup(mica__jtext_value(&out), s.sub);
}

mica__jv mica__jv_slice(mica__jin *j, mica__jv o, mica__jv start, mica__jv stop, mica__jv step)
{
    if (o.kind == JV_UNDEFINED) return mica__jv_use_undefined(j, o);
    if (o.kind == JV_DICT) return mica__jin_raise(j, "unhashable type: 'slice'");
    if (!mica__jv_is_seq(o) && o.kind != JV_STR && o.kind != JV_BYTES && o.kind != JV_RANGE)
        return mica__jin_raise(j, "'%s' object is not subscriptable", mica__jv_type_name(o));
    int64_t n = mica__jv_length(j, o), by = 1, from, to;
    if (step.kind == JV_BIG) {
        by = step.u.str->p[0] == '-' ? -INT64_MAX : INT64_MAX;
    } else if (step.kind != JV_NONE) {
        if (!mica__jv_is_int(step))
            return mica__jin_raise(j, "slice indices must be integers or None or have an __index__ method");
        by = step.u.i;
    }
    if (by == 0) return mica__jin_raise(j, "slice step cannot be zero");
    if (by < -INT64_MAX) by = -INT64_MAX;
    if (!bound(j, start, n, by, by < 0 ? n - 1 : 0, &from) || !bound(j, stop, n, by, by < 0 ? -1 : n, &to))
        return JV_ERR;
    int64_t count = 0;
    if (by > 0 && from < to) count = (to - from - 1) / by + 1;
    if (by < 0 && from > to) count = (from - to - 1) / -by + 1;
    if (o.kind == JV_STR) return slice_str(j, o, from, by, count);
    if (!mica__jin_spend(j, (uint64_t)count / 8)) return JV_ERR;
    if (o.kind == JV_RANGE) {
        mica__jrange *r = mica__jin_alloc(j, 1, sizeof *r);
        if (!r) return JV_ERR;
        const mica__jrange *s = o.u.range;
        int64_t stride;
        if (__builtin_mul_overflow(s->step, by, &stride)) stride = by < 0 ? -1 : 1;
        *r = (mica__jrange){s->start + from * s->step, s->start + to * s->step, stride, count};
        return (mica__jv){.kind = JV_RANGE, .u.range = r};
    }
    if (o.kind == JV_BYTES) {
        char *p = mica__jin_alloc(j, count ? (size_t)count : 1, 1);
        if (!p) return JV_ERR;
        for (int64_t i = 0; i < count; i++) p[i] = o.u.str->p[from + i * by];
        mica__jv v = mica__jv_borrow(j, p, (size_t)count);
        if (v.kind == JV_STR) v.kind = JV_BYTES;
        return v;
    }
    mica__jv *items = mica__jin_alloc(j, count ? (size_t)count : 1, sizeof *items);
    if (!items) return JV_ERR;
    for (int64_t i = 0; i < count; i++) items[i] = o.u.list->items[from + i * by];
    return mica__jv_list(j, (mica__jv_kind)o.kind, items, (size_t)count);
}
