/* text/jinja_globals.c: global functions, and the methods of everything but strings. */
#include "jinja_filters.h"
#include <math.h>
#include <stdio.h>

#define FUNCTION(name) static mica__jv name(mica__jin *j, mica__jv self, const mica__jargs *raw, mica__jv *a)
#define UNUSED (void)raw, (void)a, (void)j, (void)self

#define MAX_RANGE 100000

/* ---- global functions ---- */

FUNCTION(global_range)
{
    UNUSED;
    int64_t part[3] = {0, 0, 1};
    size_t n = a[2].kind != JV_MISSING ? 3 : a[1].kind != JV_MISSING ? 2 : 1;
    for (size_t i = 0; i < n; i++)
        if (!mica__jarg_int(j, a[i], &part[n == 1 ? 1 : i])) return JV_ERR;
    if (part[2] == 0) return mica__jin_raise(j, "range() arg 3 must not be zero");
    uint64_t span = 0, step = part[2] < 0 ? 0 - (uint64_t)part[2] : (uint64_t)part[2];
    if (part[2] > 0 && part[0] < part[1]) span = (uint64_t)part[1] - (uint64_t)part[0];
    if (part[2] < 0 && part[0] > part[1]) span = (uint64_t)part[0] - (uint64_t)part[1];
    uint64_t count = span ? (span - 1) / step + 1 : 0;
    if (count > MAX_RANGE)
        return mica__jin_fail(j, MICA_LIMIT, "Range too big. The sandbox blocks ranges larger than MAX_RANGE (%d).",
                              MAX_RANGE);
    mica__jrange *r = mica__jin_alloc(j, 1, sizeof *r);
    if (!r) return JV_ERR;
    *r = (mica__jrange){part[0], part[1], part[2], (int64_t)count};
    return (mica__jv){.kind = JV_RANGE, .u.range = r};
}

/* dict(mapping_or_pairs, **named), into d. */
static bool fill_dict(mica__jin *j, mica__jdict *d, const mica__jargs *raw)
{
    if (raw->n_pos > 1) return mica__jin_raise(j, "dict expected at most 1 argument, got %zu", raw->n_pos), false;
    mica__jv from = raw->n_pos ? raw->pos[0] : JV_NO_VALUE;
    if (from.kind == JV_DICT) {
        for (size_t i = 0; i < from.u.dict->n; i++) {
            if (!mica__jin_spend(j, 1)) return false;
            if (!mica__jdict_set(j, d, from.u.dict->entries[i].key, from.u.dict->entries[i].value)) return false;
        }
    } else if (from.kind != JV_MISSING) {
        mica__jiter *it = mica__jiter_new(j, from);
        if (!it) return false;
        for (mica__jv pair;;) {
            mica__jitems items = {0};
            int got = mica__jiter_next(j, it, &pair);
            if (got < 0) return false;
            if (!got) break;
            if (!mica__jv_is_iterable(pair))
                return mica__jin_raise(j, "cannot convert dictionary update sequence element to a sequence"), false;
            if (!mica__jv_collect(j, pair, &items)) return false;
            if (items.n != 2)
                return mica__jin_raise(j, "dictionary update sequence element has length %zu; 2 is required", items.n),
                       false;
            if (!mica__jdict_set(j, d, items.items[0], items.items[1])) return false;
        }
    }
    for (size_t i = 0; i < raw->n_named; i++)
        if (!mica__jdict_set(j, d, raw->names[i], raw->named[i])) return false;
    return true;
}

FUNCTION(global_dict)
{
    UNUSED;
    mica__jdict *d;
    mica__jv v = mica__jv_dict(j, &d);
    JV_TRY(v);
    return fill_dict(j, d, raw) ? v : JV_ERR;
}

FUNCTION(global_namespace)
{
    mica__jv v = global_dict(j, self, raw, a);
    if (v.kind == JV_DICT) v.kind = JV_NAMESPACE;
    return v;
}

FUNCTION(global_cycler)
{
    UNUSED;
    if (raw->n_named) return mica__jin_raise(j, "Cycler() takes no keyword arguments");
    if (!raw->n_pos) return mica__jin_raise(j, "at least one item has to be provided");
    mica__jcycler *c = mica__jin_alloc(j, 1, sizeof *c);
    mica__jv items = mica__jv_list(j, JV_TUPLE, raw->pos, raw->n_pos);
    if (!c || items.kind == JV_ERROR) return JV_ERR;
    *c = (mica__jcycler){.items = items.u.list};
    return (mica__jv){.kind = JV_CYCLER, .u.cycler = c};
}

FUNCTION(global_joiner)
{
    UNUSED;
    mica__jjoiner *joiner = mica__jin_alloc(j, 1, sizeof *joiner);
    mica__jv sep = a[0].kind == JV_MISSING ? mica__jv_borrow(j, ", ", 2) : a[0];
    if (!joiner || sep.kind == JV_ERROR) return JV_ERR;
    *joiner = (mica__jjoiner){.sep = sep};
    return (mica__jv){.kind = JV_JOINER, .u.joiner = joiner};
}

FUNCTION(global_lipsum) { return UNUSED, mica__jin_raise(j, "lipsum() is not supported"); }

/* The template's own error: its message becomes the rendering's, as it is but for control characters. */
FUNCTION(global_raise_exception)
{
    UNUSED;
    mica__jv text = mica__jv_to_str(j, a[0]);
    JV_TRY(text);
    char message[500];
    size_t n = 0;
    mica__str s = mica__jv_text(text);
    for (size_t i = 0; i < s.n && n + 8 < sizeof message; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '\n' || c == '\t' || c == '\r') {
            message[n++] = '\\';
            message[n++] = c == '\n' ? 'n' : c == '\t' ? 't' : 'r';
        } else if (c < 0x20 || c == 0x7F) {
            n += (size_t)snprintf(message + n, 5, "\\x%02x", c);
        } else {
            message[n++] = (char)c;
        }
    }
    while (n && !mica__utf8_valid(message, n)) n--; /* a character cut in two */
    message[n] = 0;
    if (!j->status) j->status = mica__fail(j->err, MICA_INVALID, "%s", message);
    return JV_ERR;
}

FUNCTION(global_strftime_now)
{
    UNUSED;
    mica__str format = {0};
    return mica__jarg_text(j, a[0], &format) ? mica__jin_strftime(j, format) : JV_ERR;
}

FUNCTION(global_self) { return UNUSED, mica__jin_raise(j, "'TemplateReference' object is not callable"); }

static const struct {
    const char *name;
    mica__jbuiltin builtin;
} globals[] = {
    {"range", {"range", "/start,stop=,step=", global_range, false}},
    {"dict", {"dict", "*", global_dict, true}},
    {"lipsum", {"generate_lorem_ipsum", "*", global_lipsum, false}},
    {"cycler", {"jinja2.utils.Cycler", "*", global_cycler, true}},
    {"joiner", {"jinja2.utils.Joiner", "sep=", global_joiner, true}},
    {"namespace", {"jinja2.utils.Namespace", "*", global_namespace, true}},
    {"self", {"self", "*", global_self, false}}, /* the template itself; it has nothing to offer */
    {"raise_exception", {"raise_exception", "message", global_raise_exception, false}},
    {"strftime_now", {"strftime_now", "format", global_strftime_now, false}},
};

const mica__jbuiltin *mica__jglobal_find(mica__str name)
{
    for (size_t i = 0; i < sizeof globals / sizeof *globals; i++)
        if (mica__str_is(name, globals[i].name)) return &globals[i].builtin;
    return NULL;
}

/* ---- methods ---- */

FUNCTION(dict_get)
{
    UNUSED;
    mica__jv v = a[1].kind == JV_MISSING ? JV_NULL : a[1];
    return mica__jdict_find(j, self.u.dict, a[0], &v) < 0 ? JV_ERR : v;
}

static mica__jv view(mica__jv self, mica__jv_view kind)
{
    return (mica__jv){.kind = JV_VIEW, .sub = (uint8_t)kind, .u.dict = self.u.dict};
}

FUNCTION(dict_keys) { return UNUSED, view(self, JV_KEYS); }
FUNCTION(dict_values) { return UNUSED, view(self, JV_VALUES); }
FUNCTION(dict_items) { return UNUSED, view(self, JV_ITEMS); }

/* Copies share everything: nothing can change them. */
FUNCTION(dict_copy)
{
    UNUSED;
    mica__jdict *d;
    mica__jv v = mica__jv_dict(j, &d);
    JV_TRY(v);
    *d = *self.u.dict;
    return v;
}

FUNCTION(dict_fromkeys)
{
    UNUSED;
    mica__jdict *d;
    mica__jv v = mica__jv_dict(j, &d);
    mica__jitems keys = {0};
    if (v.kind == JV_ERROR || !mica__jv_collect(j, a[0], &keys)) return JV_ERR;
    for (size_t i = 0; i < keys.n; i++)
        if (!mica__jdict_set(j, d, keys.items[i], a[1].kind == JV_MISSING ? JV_NULL : a[1])) return JV_ERR;
    return v;
}

FUNCTION(list_copy) { return UNUSED, mica__jv_list(j, JV_LIST, self.u.list->items, self.u.list->n); }

FUNCTION(list_count)
{
    UNUSED;
    int64_t n = 0;
    mica__jiter *it = mica__jiter_new(j, self);
    if (!it) return JV_ERR;
    for (mica__jv item;;) {
        int got = mica__jiter_next(j, it, &item), eq;
        if (got < 0 || (got && (eq = mica__jv_equal(j, item, a[0])) < 0)) return JV_ERR;
        if (!got) return mica__jv_int(n);
        n += eq;
    }
}

FUNCTION(list_index)
{
    UNUSED;
    int64_t n = mica__jv_length(j, self), from = 0, to = n;
    if (n < 0 || !mica__jarg_int(j, a[1], &from) || !mica__jarg_int(j, a[2], &to)) return JV_ERR;
    if (from < 0 && (from += n) < 0) from = 0;
    if (to < 0 && (to += n) < 0) to = 0;
    for (int64_t i = from; i < to && i < n; i++) {
        mica__jv item = mica__jv_item(j, self, mica__jv_int(i));
        int eq = mica__jin_spend(j, 1) ? mica__jv_equal(j, item, a[0]) : -1;
        if (eq < 0) return JV_ERR;
        if (eq) return mica__jv_int(i);
    }
    mica__jv shown = mica__jv_repr(j, a[0]);
    JV_TRY(shown);
    return mica__jin_raise(j, "%s is not in %s", MICA_QUOTED_STR(mica__jv_text(shown)), mica__jv_type_name(self));
}

FUNCTION(int_bit_length)
{
    UNUSED;
    uint64_t u = self.u.i < 0 ? 0 - (uint64_t)self.u.i : (uint64_t)self.u.i;
    return mica__jv_int(u ? 64 - __builtin_clzll(u) : 0);
}

FUNCTION(int_bit_count)
{
    UNUSED;
    return mica__jv_int(__builtin_popcountll(self.u.i < 0 ? 0 - (uint64_t)self.u.i : (uint64_t)self.u.i));
}

FUNCTION(int_as_integer_ratio) { return UNUSED, mica__jv_pair(j, mica__jv_int(self.u.i), mica__jv_int(1)); }
FUNCTION(number_conjugate) { return UNUSED, self.kind == JV_FLOAT ? self : mica__jv_int(self.u.i); }
FUNCTION(float_is_integer) { return UNUSED, mica__jv_bool(isfinite(self.u.f) && self.u.f == floor(self.u.f)); }

FUNCTION(bytes_decode)
{
    UNUSED;
    mica__str encoding = MICA_STR("utf-8");
    if (!mica__jarg_text(j, a[0], &encoding)) return JV_ERR;
    if (!mica__utf8_valid(self.u.str->p, self.u.str->n))
        return mica__jin_raise(j, "'utf-8' codec can't decode: invalid bytes");
    return mica__jv_borrow(j, self.u.str->p, self.u.str->n);
}

FUNCTION(cycler_next)
{
    UNUSED;
    mica__jcycler *c = self.u.cycler;
    mica__jv v = c->items->items[c->pos];
    c->pos = (c->pos + 1) % c->items->n;
    return v;
}

FUNCTION(cycler_reset)
{
    UNUSED;
    self.u.cycler->pos = 0;
    return JV_NULL;
}

const mica__jbuiltin *mica__jmethod_find(mica__jv self, mica__str name)
{
    static const mica__jbuiltin of_dict[] = {{"get", "/key,default=", dict_get, false},
                                             {"keys", "/", dict_keys, false},
                                             {"values", "/", dict_values, false},
                                             {"items", "/", dict_items, false},
                                             {"copy", "/", dict_copy, false},
                                             {"fromkeys", "/iterable,value=", dict_fromkeys, false},
                                             {0}};
    static const mica__jbuiltin of_list[] = {{"copy", "/", list_copy, false},
                                             {"count", "/value", list_count, false},
                                             {"index", "/value,start=,stop=", list_index, false},
                                             {0}};
    static const mica__jbuiltin of_int[] = {{"bit_length", "/", int_bit_length, false},
                                            {"bit_count", "/", int_bit_count, false},
                                            {"as_integer_ratio", "/", int_as_integer_ratio, false},
                                            {"conjugate", "/", number_conjugate, false},
                                            {0}};
    static const mica__jbuiltin of_float[] = {
        {"is_integer", "/", float_is_integer, false}, {"conjugate", "/", number_conjugate, false}, {0}};
    static const mica__jbuiltin of_bytes[] = {{"decode", "encoding=,errors=", bytes_decode, false}, {0}};
    static const mica__jbuiltin of_cycler[] = {
        {"next", "", cycler_next, false}, {"reset", "", cycler_reset, false}, {0}};
    switch ((mica__jv_kind)self.kind) {
    case JV_STR:
        return mica__jstr_method(self, name);
    case JV_DICT:
        return mica__jbuiltin_in(of_dict, name);
    case JV_LIST:
        return mica__jbuiltin_in(of_list, name);
    case JV_TUPLE:
    case JV_RANGE:
        return mica__jbuiltin_in(of_list + 1, name);
    case JV_BOOL:
    case JV_INT:
        return mica__jbuiltin_in(of_int, name);
    case JV_FLOAT:
        return mica__jbuiltin_in(of_float, name);
    case JV_BYTES:
        return mica__jbuiltin_in(of_bytes, name);
    case JV_CYCLER:
        return mica__jbuiltin_in(of_cycler, name);
    default:
        return NULL;
    }
}
