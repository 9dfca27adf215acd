/* text/jinja_filters_text.c: filters that give a text or a number. */
#include "jinja_filters.h"
#include "jinja_unicode.h"
#include <math.h>

#define FILTER(name) static mica__jv name(mica__jin *j, mica__jv v, const mica__jargs *raw, mica__jv *a)
#define UNUSED (void)raw, (void)a, (void)j

static bool given(mica__jv v) { return v.kind != JV_MISSING && v.kind != JV_NONE; }

/* ---- case and white space ---- */

FILTER(filter_lower)
{
    UNUSED;
    v = mica__jv_soft_str(j, v);
    JV_TRY(v);
    return mica__jstr_lower(j, v);
}
FILTER(filter_upper)
{
    UNUSED;
    v = mica__jv_soft_str(j, v);
    JV_TRY(v);
    return mica__jstr_upper(j, v);
}
FILTER(filter_capitalize)
{
    UNUSED;
    v = mica__jv_soft_str(j, v);
    JV_TRY(v);
    return mica__jstr_capitalize(j, v);
}
FILTER(filter_trim)
{
    UNUSED;
    v = mica__jv_soft_str(j, v);
    JV_TRY(v);
    return mica__jstr_strip(j, v, a[0], 3);
}
FILTER(filter_string) { return UNUSED, mica__jv_soft_str(j, v); }
FILTER(filter_safe)
{
    UNUSED;
    return mica__jv_markup(mica__jv_soft_str(j, v), true);
}
FILTER(filter_escape) { return UNUSED, mica__jv_escape(j, v); }
FILTER(filter_forceescape)
{
    UNUSED;
    return mica__jv_escape(j, mica__jv_markup(v, false));
}

/* Words begin at the start and behind hyphens, white space and opening brackets. */
FILTER(filter_title)
{
    UNUSED;
    v = mica__jv_soft_str(j, v);
    JV_TRY(v);
    mica__str s = mica__jv_text(v);
    mica__jtext t = {.j = j};
    while (s.n && !t.failed) {
        mica__str rest = s, end = s;
        uint32_t c;
        bool is_gap = false;
        for (bool first = true; mica__py_next(&rest, &c); first = false) {
            bool gap = mica__py_is_space(c) || (c < 0x80 && c && strchr("-({[<", (int)c));
            if (first) is_gap = gap;
            if (gap != is_gap) break;
            end = rest;
        }
        mica__str word = {s.p, s.n - end.n}, tail = word;
        mica__py_next(&tail, &c);
        mica__jv head = mica__jv_borrow(j, word.p, word.n - tail.n), other = mica__jv_borrow(j, tail.p, tail.n);
        head = head.kind == JV_ERROR ? head : mica__jstr_upper(j, head);
        other = other.kind == JV_ERROR ? other : mica__jstr_lower(j, other);
        if (head.kind == JV_ERROR || other.kind == JV_ERROR) return JV_ERR;
        mica__jtext_add_str(&t, mica__jv_text(head));
        mica__jtext_add_str(&t, mica__jv_text(other));
        s = end;
    }
    return mica__jtext_value(&t);
}

FILTER(filter_center)
{
    UNUSED;
    int64_t width = 80;
    v = mica__jv_soft_str(j, v);
    if (v.kind == JV_ERROR || !mica__jarg_int(j, a[0], &width)) return JV_ERR;
    return mica__jstr_pad(j, v, width, ' ', 0);
}

FILTER(filter_replace)
{
    UNUSED;
    int64_t count = -1;
    bool is_markup = false;
    if (a[2].kind != JV_NONE && !mica__jarg_int(j, a[2], &count)) return JV_ERR;
    if (j->autoescape) {
        is_markup = mica__jv_is_markup(v) || mica__jv_is_markup(a[0]) || mica__jv_is_markup(a[1]);
        if (mica__jv_is_markup(a[0]) || (mica__jv_is_markup(a[1]) && !mica__jv_is_markup(v))) v = mica__jv_escape(j, v);
        if (is_markup) a[1] = mica__jv_escape(j, a[1]);
    }
    mica__jv old = mica__jv_to_str(j, a[0]), new = mica__jv_to_str(j, a[1]);
    v = mica__jv_to_str(j, v);
    if (v.kind == JV_ERROR || old.kind == JV_ERROR || new.kind == JV_ERROR) return JV_ERR;
    return mica__jv_markup(mica__jstr_replace(j, v, mica__jv_text(old), mica__jv_text(new), count), is_markup);
}

FILTER(filter_indent)
{
    UNUSED;
    int64_t width = 4;
    bool first = false, blank = false;
    mica__jv indention;
    if (a[0].kind == JV_STR) {
        indention = a[0];
    } else {
        if (!mica__jarg_int(j, a[0], &width)) return JV_ERR;
        mica__jtext spaces = {.j = j};
        mica__jtext_pad(&spaces, ' ', width > 0 ? (size_t)width : 0);
        indention = mica__jtext_value(&spaces);
    }
    if (!mica__jarg_bool(j, a[1], &first) || !mica__jarg_bool(j, a[2], &blank)) return JV_ERR;
    if (v.kind == JV_UNDEFINED) return mica__jv_use_undefined(j, v);
    if (v.kind != JV_STR)
        return mica__jin_raise(j, "unsupported operand type(s) for +=: '%s' and 'str'", mica__jv_type_name(v));
    mica__jv ended = mica__jv_concat(j, v, MICA_STR("\n"));
    mica__jitems lines = {0};
    if (indention.kind == JV_ERROR || ended.kind == JV_ERROR || !mica__jstr_lines(j, ended, false, &lines))
        return JV_ERR;
    mica__jtext t = {.j = j};
    for (size_t i = 0; i < lines.n; i++) {
        mica__str line = mica__jv_text(lines.items[i]);
        if (i) mica__jtext_add(&t, "\n", 1);
        if (i == 0 ? first : blank || line.n) mica__jtext_add_str(&t, mica__jv_text(indention));
        mica__jtext_add_str(&t, line);
    }
    return mica__jv_markup(mica__jtext_value(&t), v.sub);
}

FILTER(filter_truncate)
{
    UNUSED;
    int64_t length = 255, leeway = 5;
    bool kill = false;
    mica__str end = MICA_STR("...");
    if (!mica__jarg_int(j, a[0], &length) || !mica__jarg_bool(j, a[1], &kill) || !mica__jarg_text(j, a[2], &end))
        return JV_ERR;
    if (a[3].kind != JV_NONE && !mica__jarg_int(j, a[3], &leeway)) return JV_ERR;
    mica__jv end_value = mica__jv_borrow(j, end.p, end.n);
    JV_TRY(end_value);
    int64_t end_chars = (int64_t)mica__jv_chars(end_value), n = mica__jv_length(j, v);
    if (n < 0) return JV_ERR;
    if (length < end_chars)
        return mica__jin_raise(j, "expected length >= %lld, got %lld", (long long)end_chars, (long long)length);
    if (leeway < 0) return mica__jin_raise(j, "expected leeway >= 0, got %lld", (long long)leeway);
    if (length > INT64_MAX - leeway || n <= length + leeway) return v;
    mica__jv head = mica__jv_slice(j, v, JV_NULL, mica__jv_int(length - end_chars), JV_NULL);
    JV_TRY(head);
    if (head.kind != JV_STR) return mica__jin_raise(j, "cannot truncate a %s", mica__jv_type_name(v));
    mica__str s = mica__jv_text(head);
    if (!kill) {
        size_t k = s.n;
        while (k && s.p[k - 1] != ' ') k--;
        if (k) s.n = k - 1;
    }
    mica__jv cut = mica__jv_borrow(j, s.p, s.n);
    JV_TRY(cut);
    return mica__jv_markup(mica__jv_concat(j, cut, end), v.sub);
}

FILTER(filter_wordwrap)
{
    UNUSED;
    int64_t width = 79;
    bool break_long = true, on_hyphens = true;
    mica__str separator = MICA_STR("\n");
    if (!mica__jarg_int(j, a[0], &width) || !mica__jarg_bool(j, a[1], &break_long) ||
        !mica__jarg_bool(j, a[3], &on_hyphens))
        return JV_ERR;
    if (given(a[2]) && !mica__jarg_text(j, a[2], &separator)) return JV_ERR;
    if (v.kind == JV_UNDEFINED) return mica__jv_use_undefined(j, v);
    if (v.kind != JV_STR) return mica__jin_raise(j, "'%s' object has no attribute 'splitlines'", mica__jv_type_name(v));
    return mica__jstr_wrap(j, v, width, break_long, on_hyphens, separator);
}

FILTER(filter_wordcount)
{
    UNUSED;
    v = mica__jv_soft_str(j, v);
    JV_TRY(v);
    mica__str s = mica__jv_text(v);
    int64_t words = 0;
    bool in_word = false;
    if (!mica__jin_spend(j, s.n / 16)) return JV_ERR;
    for (uint32_t c; mica__py_next(&s, &c);) {
        bool word = c == '_' || mica__py_is_alnum(c);
        words += word && !in_word;
        in_word = word;
    }
    return mica__jv_int(words);
}

/* ---- numbers ---- */

static mica__jv float_to_int(mica__jin *j, double d)
{
    if (fabs(d) < 9.2e18) return mica__jv_int((int64_t)d);
    return mica__jin_fail(j, MICA_LIMIT, "integer beyond 64 bits");
}

FILTER(filter_int)
{
    UNUSED;
    int64_t base = 10;
    mica__jv fallback = a[0].kind == JV_MISSING ? mica__jv_int(0) : a[0], out = JV_NO_VALUE;
    double d;
    if (!mica__jarg_int(j, a[1], &base)) return JV_ERR;
    switch ((mica__jv_kind)v.kind) {
    case JV_BOOL:
    case JV_INT:
        return mica__jv_int(v.u.i);
    case JV_BIG:
        return v;
    case JV_FLOAT:
        return isfinite(v.u.f) ? float_to_int(j, v.u.f) : fallback;
    case JV_STR:
        if ((base == 0 || (base >= 2 && base <= 36)) && mica__py_parse_int(j, v, (int)base, &out)) return out;
        if (j->status) return JV_ERR;
        return mica__py_parse_float(mica__jv_text(v), &d) && isfinite(d) ? float_to_int(j, d) : fallback;
    case JV_UNDEFINED:
        return mica__jv_use_undefined(j, v);
    default:
        return fallback;
    }
}

FILTER(filter_float)
{
    UNUSED;
    double d;
    if (mica__jv_is_number(v)) return mica__jv_float(mica__jv_double(v));
    if ((v.kind == JV_STR || v.kind == JV_BIG) && mica__py_parse_float(mica__jv_text(v), &d)) return mica__jv_float(d);
    if (v.kind == JV_UNDEFINED) return mica__jv_use_undefined(j, v);
    return a[0].kind == JV_MISSING ? mica__jv_float(0) : a[0];
}

FILTER(filter_abs)
{
    UNUSED;
    if (v.kind == JV_FLOAT) return mica__jv_float(fabs(v.u.f));
    if (v.kind == JV_BIG) return v.u.str->p[0] == '-' ? mica__jv_negate(j, v, true) : v;
    if (!mica__jv_is_int(v)) return mica__jin_raise(j, "bad operand type for abs(): '%s'", mica__jv_type_name(v));
    return v.u.i < 0 ? mica__jv_negate(j, v, true) : mica__jv_int(v.u.i);
}

/* Rounds to the nearest, halves to even, as Python does on the number's decimal form. */
static mica__jv round_float(mica__jin *j, double d, int64_t digits)
{
    if (!isfinite(d) || digits > 330) return mica__jv_float(d);
    if (digits < -330) return mica__jv_float(copysign(0, d));
    if (digits < 0) {
        double scale = pow(10, (double)-digits), y = d / scale, z = nearbyint(y);
        return mica__jv_float(z * scale);
    }
    mica__jtext t = {.j = j};
    mica__jtext_double(&t, d, 'f', (int)digits, false);
    double rounded = d;
    if (t.failed) return JV_ERR;
    mica__py_parse_float((mica__str){t.p, t.n}, &rounded);
    return mica__jv_float(rounded);
}

static mica__jv round_int(mica__jin *j, int64_t v, int64_t digits)
{
    if (digits >= 0) return mica__jv_int(v);
    int64_t scale = 1;
    for (int64_t i = 0; i > digits; i--)
        if (__builtin_mul_overflow(scale, (int64_t)10, &scale)) return mica__jv_int(0);
    int64_t rest = v % scale, down = v - rest;
    if (rest < 0) rest += scale, down -= scale;
    bool up = rest > scale - rest || (rest == scale - rest && (down / scale) % 2 != 0),
         over = up && __builtin_add_overflow(down, scale, &down);
    return over ? mica__jin_fail(j, MICA_LIMIT, "integer beyond 64 bits") : mica__jv_int(down);
}

FILTER(filter_round)
{
    UNUSED;
    int64_t precision = 0;
    mica__str method = MICA_STR("common");
    if (!mica__jarg_int(j, a[0], &precision) || !mica__jarg_text(j, a[1], &method)) return JV_ERR;
    bool is_ceil = mica__str_is(method, "ceil"), is_floor = mica__str_is(method, "floor");
    if (!is_ceil && !is_floor && !mica__str_is(method, "common"))
        return mica__jin_raise(j, "method must be common, ceil or floor");
    if (v.kind == JV_UNDEFINED) return mica__jv_use_undefined(j, v);
    if (!mica__jv_is_number(v))
        return mica__jin_raise(j, "type %s doesn't define __round__ method", mica__jv_type_name(v));
    if (!is_ceil && !is_floor)
        return v.kind == JV_FLOAT ? round_float(j, v.u.f, precision) : round_int(j, v.u.i, precision);
    mica__jv scale = mica__jv_binary(j, JO_POW, mica__jv_int(10), mica__jv_int(precision));
    mica__jv scaled = scale.kind == JV_ERROR ? JV_ERR : mica__jv_binary(j, JO_MUL, v, scale);
    JV_TRY(scaled);
    if (scaled.kind == JV_FLOAT) {
        if (!isfinite(scaled.u.f))
            return mica__jin_raise(j, "cannot convert float %s to integer", isnan(scaled.u.f) ? "NaN" : "infinity");
        scaled = float_to_int(j, is_ceil ? ceil(scaled.u.f) : floor(scaled.u.f));
        JV_TRY(scaled);
    }
    return mica__jv_binary(j, JO_DIV, scaled, scale);
}

FILTER(filter_filesizeformat)
{
    static const char *const decimal[] = {"kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"};
    static const char *const binary[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"};
    UNUSED;
    bool is_binary = false;
    double bytes;
    if (!mica__jarg_bool(j, a[0], &is_binary)) return JV_ERR;
    if (mica__jv_is_number(v)) {
        bytes = mica__jv_double(v);
    } else if (v.kind == JV_UNDEFINED) {
        return mica__jv_use_undefined(j, v);
    } else if ((v.kind != JV_STR && v.kind != JV_BIG) || !mica__py_parse_float(mica__jv_text(v), &bytes)) {
        return mica__jin_raise(j, "could not convert to float: '%s'", mica__jv_type_name(v));
    }
    double base = is_binary ? 1024 : 1000;
    mica__jtext t = {.j = j};
    if (bytes == 1) {
        mica__jtext_add_z(&t, "1 Byte");
    } else if (bytes < base || isnan(bytes)) {
        if (!isfinite(bytes)) return mica__jin_raise(j, "cannot convert float to integer");
        mica__jtext_double(&t, trunc(bytes), 'f', 0, false);
        if (t.n == 2 && t.p[0] == '-' && t.p[1] == '0') t.p[0] = '0', t.n = 1;
        mica__jtext_add_z(&t, " Bytes");
    } else {
        int i = 0;
        double unit = base * base;
        while (i < 7 && bytes >= unit) unit *= base, i++;
        mica__jtext_double(&t, base * bytes / unit, 'f', 1, false);
        mica__jtext_add(&t, " ", 1);
        mica__jtext_add_z(&t, is_binary ? binary[i] : decimal[i]);
    }
    return mica__jtext_value(&t);
}

/* ---- format, JSON, URLs, HTML ---- */

FILTER(filter_format)
{
    (void)a;
    v = mica__jv_soft_str(j, v);
    JV_TRY(v);
    if (raw->n_pos && raw->n_named)
        return mica__jin_raise(j, "can't handle positional and keyword arguments at the same time");
    if (!raw->n_named) {
        mica__jv values = mica__jv_list(j, JV_TUPLE, raw->pos, raw->n_pos);
        JV_TRY(values);
        return mica__jv_percent(j, v, values);
    }
    mica__jdict *d;
    mica__jv values = mica__jv_dict(j, &d);
    JV_TRY(values);
    for (size_t i = 0; i < raw->n_named; i++)
        if (!mica__jdict_set(j, d, raw->names[i], raw->named[i])) return JV_ERR;
    return mica__jv_percent(j, v, values);
}

/* As Transformers replaces it: json.dumps(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False). */
FILTER(filter_tojson)
{
    UNUSED;
    mica__jdump how = {.item_separator = MICA_STR(", "), .key_separator = MICA_STR(": ")};
    if (!mica__jarg_bool(j, a[0], &how.ascii) || !mica__jarg_bool(j, a[3], &how.sort_keys)) return JV_ERR;
    if (given(a[1])) {
        how.has_indent = true;
        how.item_separator = MICA_STR(",");
        if (a[1].kind == JV_STR) {
            how.indent = mica__jv_text(a[1]);
        } else {
            int64_t width = 0;
            if (!mica__jarg_int(j, a[1], &width)) return JV_ERR;
            mica__jtext spaces = {.j = j};
            mica__jtext_pad(&spaces, ' ', width > 0 ? (size_t)width : 0);
            mica__jv text = mica__jtext_value(&spaces);
            JV_TRY(text);
            how.indent = mica__jv_text(text);
        }
    }
    if (given(a[2])) {
        if (!mica__jv_is_seq(a[2]) || a[2].u.list->n != 2)
            return mica__jin_raise(j, "separators must be a pair of strings");
        if (!mica__jarg_text(j, a[2].u.list->items[0], &how.item_separator) ||
            !mica__jarg_text(j, a[2].u.list->items[1], &how.key_separator))
            return JV_ERR;
    }
    return mica__jv_dump(j, v, &how);
}

static void quote_url(mica__jtext *t, mica__str s, bool for_query)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < s.n && !t->failed; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if ((c < 0x80 && mica__py_is_alnum(c)) || (c && strchr("_.-~", c)) || (c == '/' && !for_query)) {
            mica__jtext_add(t, s.p + i, 1);
        } else if (c == ' ' && for_query) {
            mica__jtext_add(t, "+", 1);
        } else {
            char escaped[3] = {'%', hex[c >> 4], hex[c & 15]};
            mica__jtext_add(t, escaped, 3);
        }
    }
}

FILTER(filter_urlencode)
{
    UNUSED;
    mica__jtext t = {.j = j};
    if (v.kind == JV_STR || !mica__jv_is_iterable(v)) {
        v = mica__jv_to_str(j, v);
        JV_TRY(v);
        quote_url(&t, mica__jv_text(v), false);
        return mica__jtext_value(&t);
    }
    if (v.kind == JV_DICT) v = (mica__jv){.kind = JV_VIEW, .sub = JV_ITEMS, .u.dict = v.u.dict};
    mica__jiter *it = mica__jiter_new(j, v);
    if (!it) return JV_ERR;
    for (bool first = true;; first = false) {
        mica__jv item;
        int got = mica__jiter_next(j, it, &item);
        if (got < 0) return JV_ERR;
        if (!got) break;
        mica__jitems pair = {0};
        if (!mica__jv_collect(j, item, &pair)) return JV_ERR;
        if (pair.n != 2) return mica__jin_raise(j, "urlencode needs pairs");
        mica__jv key = mica__jv_to_str(j, pair.items[0]), value = mica__jv_to_str(j, pair.items[1]);
        if (key.kind == JV_ERROR || value.kind == JV_ERROR) return JV_ERR;
        if (!first) mica__jtext_add(&t, "&", 1);
        quote_url(&t, mica__jv_text(key), true);
        mica__jtext_add(&t, "=", 1);
        quote_url(&t, mica__jv_text(value), true);
    }
    return mica__jtext_value(&t);
}

FILTER(filter_xmlattr)
{
    UNUSED;
    bool space = true, first = true;
    if (!mica__jarg_bool(j, a[0], &space)) return JV_ERR;
    if (v.kind == JV_UNDEFINED) return mica__jv_use_undefined(j, v);
    if (v.kind != JV_DICT) return mica__jin_raise(j, "'%s' object has no attribute 'items'", mica__jv_type_name(v));
    mica__jtext t = {.j = j};
    for (size_t i = 0; i < v.u.dict->n && !t.failed; i++) {
        const mica__jentry *e = &v.u.dict->entries[i];
        if (e->value.kind == JV_NONE || e->value.kind == JV_UNDEFINED) continue;
        if (e->key.kind != JV_STR)
            return mica__jin_raise(j, "expected string or bytes-like object, got '%s'", mica__jv_type_name(e->key));
        for (size_t k = 0; k < e->key.u.str->n; k++)
            if (e->key.u.str->p[k] && strchr(" \t\n\v\f\r/>=", e->key.u.str->p[k]))
                return mica__jin_raise(j, "Invalid character in attribute name: '%s'",
                                       MICA_QUOTED_STR(mica__jv_text(e->key)));
        mica__jv key = mica__jv_escape(j, e->key), value = mica__jv_escape(j, e->value);
        if (key.kind == JV_ERROR || value.kind == JV_ERROR) return JV_ERR;
        if (space || !first) mica__jtext_add(&t, " ", 1);
        first = false;
        mica__jtext_add_str(&t, mica__jv_text(key));
        mica__jtext_add(&t, "=\"", 2);
        mica__jtext_add_str(&t, mica__jv_text(value));
        mica__jtext_add(&t, "\"", 1);
    }
    return mica__jv_markup(mica__jtext_value(&t), j->autoescape);
}

FILTER(filter_pprint)
{
    UNUSED;
    return mica__jv_pprint(j, v);
}

FILTER(filter_striptags)
{
    UNUSED;
    v = mica__jv_soft_str(j, v);
    JV_TRY(v);
    return mica__jstr_striptags(j, v);
}

FILTER(filter_urlize)
{
    UNUSED;
    bool nofollow = false;
    mica__str rel = {0};
    if (!mica__jarg_bool(j, a[1], &nofollow) || (given(a[3]) && !mica__jarg_text(j, a[3], &rel))) return JV_ERR;
    /* rel: the words given, nofollow and noopener, each once, in order */
    mica__jv words = mica__jv_str(j, rel.p, rel.n), parts;
    words = words.kind == JV_ERROR
                ? words
                : mica__jv_concat(j, words, nofollow ? MICA_STR(" nofollow noopener") : MICA_STR(" noopener"));
    JV_TRY(words);
    parts = mica__jbuiltin_call(j, mica__jstr_method(words, MICA_STR("split")), words, &(mica__jargs){0});
    JV_TRY(parts);
    mica__jlist *l = parts.u.list;
    mica__jtext joined = {.j = j};
    mica__str last = {0};
    for (size_t done = 0; done < l->n; done++) {
        size_t best = l->n;
        for (size_t i = 0; i < l->n; i++) {
            mica__str w = mica__jv_text(l->items[i]);
            if (done && mica__jv_order(j, 'g', mica__jv_borrow(j, last.p, last.n), l->items[i]) == 1) continue;
            if (best == l->n || mica__jv_order(j, '<', l->items[i], l->items[best]) == 1) best = i;
            (void)w;
        }
        if (best == l->n || j->status) break;
        last = mica__jv_text(l->items[best]);
        if (done) mica__jtext_add(&joined, " ", 1);
        mica__jtext_add_str(&joined, last);
    }
    mica__jv rels = mica__jtext_value(&joined);
    JV_TRY(rels);
    mica__jv out = mica__jstr_urlize(j, v, a[0], mica__jv_text(rels), a[2], a[4]);
    return mica__jv_markup(out, j->autoescape);
}

const mica__jbuiltin mica__jfilters_text[] = {
    {"abs", "/", filter_abs, false},
    {"capitalize", "", filter_capitalize, false},
    {"center", "width=", filter_center, false},
    {"e", "/", filter_escape, false},
    {"escape", "/", filter_escape, false},
    {"filesizeformat", "binary=", filter_filesizeformat, false},
    {"float", "default=", filter_float, false},
    {"forceescape", "", filter_forceescape, false},
    {"format", "*", filter_format, false},
    {"indent", "width=,first=,blank=", filter_indent, false},
    {"int", "default=,base=", filter_int, false},
    {"lower", "", filter_lower, false},
    {"pprint", "", filter_pprint, false},
    {"replace", "old,new,count=", filter_replace, false},
    {"round", "precision=,method=", filter_round, false},
    {"safe", "", filter_safe, false},
    {"string", "", filter_string, false},
    {"striptags", "", filter_striptags, false},
    {"title", "", filter_title, false},
    {"tojson", "ensure_ascii=,indent=,separators=,sort_keys=", filter_tojson, false},
    {"trim", "chars=", filter_trim, false},
    {"truncate", "length=,killwords=,end=,leeway=", filter_truncate, false},
    {"upper", "", filter_upper, false},
    {"urlencode", "", filter_urlencode, false},
    {"urlize", "trim_url_limit=,nofollow=,target=,rel=,extra_schemes=", filter_urlize, false},
    {"wordcount", "", filter_wordcount, false},
    {"wordwrap", "width=,break_long_words=,wrapstring=,break_on_hyphens=", filter_wordwrap, false},
    {"xmlattr", "autospace=", filter_xmlattr, false},
    {0},
};
