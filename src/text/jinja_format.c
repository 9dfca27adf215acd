/* text/jinja_format.c: the three ways Python formats values: "%" on strings, format specifications, str.format. */
#include "jinja_eval.h"
#include "jinja_filters.h"
#include "jinja_unicode.h"
#include <math.h>
#include <stdio.h>

/* ---- digits of integers ---- */

/* Magnitude of an integer in base 2, 8, 10 or 16, most significant digit first; returns where it starts in buf. */
static const char *magnitude(int64_t v, int base, bool is_upper, char buf[80])
{
    uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    char *p = buf + 79;
    *p = 0;
    do {
        int d = (int)(u % (uint64_t)base);
        *--p = (char)(d < 10 ? '0' + d : (is_upper ? 'A' : 'a') + d - 10);
        u /= (uint64_t)base;
    } while (u);
    return p;
}

/* ---- format specifications ---- */

typedef struct spec {
    uint32_t fill;
    char align, sign, grouping, type; /* 0: not given */
    bool alternate, zero, no_negative_zero, has_fill;
    int64_t width, precision; /* -1: not given */
} spec;

static bool spec_number(mica__jin *j, mica__str *s, int64_t *out)
{
    if (!s->n || s->p[0] < '0' || s->p[0] > '9') return true;
    for (*out = 0; s->n && s->p[0] >= '0' && s->p[0] <= '9'; s->p++, s->n--) {
        *out = *out * 10 + (s->p[0] - '0');
        if (*out > 1 << 30) return mica__jin_fail(j, MICA_LIMIT, "width or precision in a format is too large"), false;
    }
    return true;
}

static bool is_align(uint32_t c) { return c == '<' || c == '>' || c == '=' || c == '^'; }

static char take_one_of(mica__str *s, const char *set)
{
    if (!s->n || !s->p[0] || !strchr(set, s->p[0])) return 0;
    s->n--;
    return *s->p++;
}

static bool parse_spec(mica__jin *j, mica__str s, spec *out)
{
    *out = (spec){.fill = ' ', .width = -1, .precision = -1};
    mica__str whole = s, rest = s;
    uint32_t first, second = 0;
    if (mica__py_next(&rest, &first)) {
        mica__str after = rest;
        if (mica__py_next(&after, &second) && is_align(second)) {
            out->fill = first;
            out->has_fill = true;
            out->align = (char)second;
            s = after;
        } else if (is_align(first)) {
            out->align = (char)first;
            s = rest;
        }
    }
    out->sign = take_one_of(&s, "+- ");
    out->no_negative_zero = take_one_of(&s, "z") != 0;
    out->alternate = take_one_of(&s, "#") != 0;
    out->zero = take_one_of(&s, "0") != 0;
    if (!spec_number(j, &s, &out->width)) return false;
    out->grouping = take_one_of(&s, ",_");
    if (take_one_of(&s, ".")) {
        if (!s.n || s.p[0] < '0' || s.p[0] > '9')
            return mica__jin_raise(j, "Format specifier missing precision"), false;
        if (!spec_number(j, &s, &out->precision)) return false;
    }
    if (s.n == 1) {
        out->type = s.p[0];
        s.n = 0;
    }
    if (out->zero && !out->has_fill) out->fill = '0';
    if (s.n) return mica__jin_raise(j, "Invalid format specifier '%s'", MICA_QUOTED_STR(whole)), false;
    return true;
}

static mica__jv bad_code(mica__jin *j, char code, mica__jv v)
{
    return mica__jin_raise(j, "Unknown format code '%s' for object of type '%s'", MICA_QUOTED(&code, 1),
                           mica__jv_type_name(v));
}

static mica__jv format_text(mica__jin *j, mica__jv v, const spec *f)
{
    if (f->type && f->type != 's') return bad_code(j, f->type, v);
    if (f->sign) return mica__jin_raise(j, "Sign not allowed in string format specifier");
    if (f->alternate) return mica__jin_raise(j, "Alternate form (#) not allowed in string format specifier");
    if (f->align == '=') return mica__jin_raise(j, "'=' alignment not allowed in string format specifier");
    if (f->grouping) return mica__jin_raise(j, "Cannot specify '%c' with 's'.", f->grouping);
    if (f->precision >= 0) v = mica__jv_slice(j, v, JV_NULL, mica__jv_int(f->precision), JV_NULL);
    JV_TRY(v);
    return mica__jstr_pad(j, mica__jv_markup(v, false), f->width, f->fill,
                          f->align == '>'   ? -1
                          : f->align == '^' ? 0
                                            : 1);
}

/* Writes `digits` with separators every `every` digits, filled up with zeros to at least `width` characters in all. */
static void add_grouped(mica__jtext *t, mica__str digits, char separator, size_t every, int64_t width)
{
    size_t n = digits.n;
    if (!separator) {
        if (width > (int64_t)n) mica__jtext_pad(t, '0', (size_t)width - n);
        return mica__jtext_add_str(t, digits);
    }
    while ((int64_t)(n + (n - 1) / every) < width) {
        n++;
        if (!mica__jin_spend(t->j, 1)) {
            t->failed = true;
            return;
        }
    }
    for (size_t i = 0; i < n && !t->failed; i++) {
        if (i && (n - i) % every == 0) mica__jtext_add(t, &separator, 1);
        mica__jtext_add(t, i + digits.n < n ? "0" : digits.p + (i + digits.n - n), 1);
    }
}

/* sign + prefix + digits + tail, aligned. `digits` is the whole part, which groups and zero padding apply to. */
static mica__jv format_number(mica__jin *j, const spec *f, bool negative, const char *prefix, mica__str digits,
                              mica__str tail, size_t every)
{
    mica__jtext body = {.j = j}, t = {.j = j};
    char sign = negative ? '-' : f->sign == '+' || f->sign == ' ' ? f->sign : 0;
    size_t extra = (sign != 0) + strlen(prefix) + tail.n;
    char align = f->align ? f->align : f->zero ? '=' : '>';
    uint32_t fill = f->fill;
    bool zeros = align == '=' && fill == '0';
    add_grouped(&body, digits, f->grouping, every, zeros ? f->width - (int64_t)extra : 0);
    mica__jv number = mica__jtext_value(&body);
    JV_TRY(number);
    int64_t missing = f->width - (int64_t)(extra + number.u.str->n);
    if (missing < 0) missing = 0;
    int64_t left = align == '>' ? missing : align == '^' ? missing / 2 : 0;
    mica__jtext_pad(&t, fill, (size_t)left);
    if (sign) mica__jtext_add(&t, &sign, 1);
    mica__jtext_add_z(&t, prefix);
    if (align == '=') mica__jtext_pad(&t, fill, (size_t)missing);
    mica__jtext_add_str(&t, mica__jv_text(number));
    mica__jtext_add_str(&t, tail);
    if (align == '<' || align == '^') mica__jtext_pad(&t, fill, (size_t)(missing - left));
    return mica__jtext_value(&t);
}

static mica__jv format_float(mica__jin *j, mica__jv v, const spec *f);

static mica__jv format_int(mica__jin *j, mica__jv v, const spec *f)
{
    char buf[80], type = f->type ? f->type : 'd';
    if (strchr("eEfFgG%", type)) {
        if (v.kind == JV_BIG) return mica__jin_fail(j, MICA_LIMIT, "integer beyond 64 bits");
        return format_float(j, mica__jv_float((double)v.u.i), f);
    }
    if (!strchr("bcdnoxX", type)) return bad_code(j, type, v);
    if (f->precision >= 0) return mica__jin_raise(j, "Precision not allowed in integer format specifier");
    if (f->no_negative_zero)
        return mica__jin_raise(j, "Negative zero coercion (z) not allowed in integer format specifier");
    if (v.kind == JV_BIG) {
        if (type != 'd' && type != 'n') return mica__jin_fail(j, MICA_LIMIT, "integer beyond 64 bits");
        bool negative = v.u.str->p[0] == '-';
        return format_number(j, f, negative, "", (mica__str){v.u.str->p + negative, v.u.str->n - negative},
                             (mica__str){"", 0}, 3);
    }
    if (type == 'c') {
        if (f->sign) return mica__jin_raise(j, "Sign not allowed with integer format specifier 'c'");
        if (v.u.i < 0 || v.u.i > 0x10FFFF) return mica__jin_raise(j, "%%c arg not in range(0x110000)");
        mica__jv c = mica__jv_char(j, (uint32_t)v.u.i);
        JV_TRY(c);
        return mica__jstr_pad(j, c, f->width, f->fill, f->align == '<' || !f->align ? 1 : f->align == '^' ? 0 : -1);
    }
    int base = type == 'b' ? 2 : type == 'o' ? 8 : type == 'x' || type == 'X' ? 16 : 10;
    if (f->grouping == ',' && base != 10) return mica__jin_raise(j, "Cannot specify ',' with '%c'.", type);
    const char *prefix = !f->alternate || base == 10 ? ""
                         : type == 'b'               ? "0b"
                         : type == 'o'               ? "0o"
                         : type == 'x'               ? "0x"
                                                     : "0X";
    const char *digits = magnitude(v.u.i, base, type == 'X', buf);
    return format_number(j, f, v.u.i < 0, prefix, mica__str_from(digits), (mica__str){"", 0}, base == 10 ? 3 : 4);
}

static mica__jv format_float(mica__jin *j, mica__jv v, const spec *f)
{
    char type = f->type;
    if (type && !strchr("eEfFgGn%", type)) return bad_code(j, type, v);
    double d = fabs(v.u.f) * (type == '%' ? 100 : 1);
    int precision = f->precision >= 0 ? (int)f->precision : 6;
    mica__jtext t = {.j = j};
    if (!type && f->precision < 0) {
        char buf[32];
        mica__format_double(d, buf);
        mica__jtext_add_z(&t, buf);
    } else {
        char c = type == '%' ? 'f' : !type || type == 'n' ? 'g' : type;
        if ((c == 'g' || c == 'G') && precision == 0) precision = 1;
        mica__jtext_double(&t, d, c, precision, f->alternate);
        if (!type && t.p && !t.failed && isfinite(d)) {
            /* without a type the number keeps a digit behind its point, so one less fits before the exponent form */
            double exponent = d == 0 ? 0 : floor(log10(d));
            if (!memchr(t.p, '.', t.n) && !memchr(t.p, 'e', t.n)) {
                if (exponent >= precision - 1 && d != 0) {
                    t = (mica__jtext){.j = j};
                    mica__jtext_double(&t, d, 'e', precision - 1, f->alternate);
                } else {
                    mica__jtext_add(&t, ".0", 2);
                }
            }
        }
    }
    mica__jv text = mica__jtext_value(&t);
    JV_TRY(text);
    mica__str s = mica__jv_text(text);
    size_t whole = 0;
    while (whole < s.n && s.p[whole] >= '0' && s.p[whole] <= '9') whole++;
    if (!whole) whole = s.n; /* inf, nan */
    mica__str tail = {s.p + whole, s.n - whole};
    if (type == '%') {
        mica__jv with = mica__jv_concat(j, text, MICA_STR("%"));
        JV_TRY(with);
        tail = (mica__str){with.u.str->p + whole, with.u.str->n - whole};
        s.p = with.u.str->p;
    }
    bool negative = signbit(v.u.f) && !isnan(v.u.f);
    if (negative && f->no_negative_zero && isfinite(v.u.f)) {
        negative = false;
        for (size_t i = 0; i < s.n && s.p[i] != 'e' && s.p[i] != 'E'; i++) negative |= s.p[i] >= '1' && s.p[i] <= '9';
    }
    return format_number(j, f, negative, "", (mica__str){s.p, whole}, tail, 3);
}

mica__jv mica__jv_format_spec(mica__jin *j, mica__jv v, mica__str text)
{
    if (v.kind == JV_STR || v.kind == JV_UNDEFINED || !text.n) {
        if (v.kind == JV_UNDEFINED && text.n)
            return mica__jin_raise(j, "unsupported format string passed to Undefined.__format__");
        v = mica__jv_to_str(j, v);
        JV_TRY(v);
        if (!text.n) return v;
    }
    spec f;
    if (v.kind != JV_STR && !mica__jv_is_number(v) && v.kind != JV_BIG)
        return mica__jin_raise(j, "unsupported format string passed to %s.__format__", mica__jv_type_name(v));
    if (!parse_spec(j, text, &f)) return JV_ERR;
    if (v.kind == JV_STR) return format_text(j, v, &f);
    return v.kind == JV_FLOAT ? format_float(j, v, &f) : format_int(j, v, &f);
}

/* ---- format % values ---- */

typedef struct percent {
    mica__jin *j;
    mica__jtext out;
    mica__jv values;
    size_t next; /* of a tuple */
    bool is_markup, keyed;
} percent;

static mica__jv next_value(percent *p)
{
    if (p->values.kind == JV_TUPLE) {
        if (p->next < p->values.u.list->n) return p->values.u.list->items[p->next++];
    } else if (p->next == 0) {
        p->next = 1;
        return p->values;
    }
    return mica__jin_raise(p->j, "not enough arguments for format string");
}

/* "*" or digits. */
static bool percent_number(percent *p, mica__str *s, int64_t *out)
{
    if (!s->n || s->p[0] != '*') return spec_number(p->j, s, out);
    s->p++, s->n--;
    mica__jv v = next_value(p);
    if (v.kind == JV_ERROR) return false;
    if (!mica__jv_is_int(v)) return mica__jin_raise(p->j, "* wants int"), false;
    if (v.u.i > 1 << 30 || v.u.i < -(1 << 30))
        return mica__jin_fail(p->j, MICA_LIMIT, "width in a format is too large"), false;
    *out = v.u.i;
    return true;
}

/* The value as an integer for %d and its kin. */
static mica__jv integer_for(percent *p, mica__jv v, char type)
{
    if (v.kind == JV_UNDEFINED) return mica__jv_use_undefined(p->j, v);
    if (mica__jv_is_int(v) || v.kind == JV_BIG) return v;
    if (v.kind == JV_FLOAT && strchr("diu", type)) {
        if (isnan(v.u.f) || isinf(v.u.f))
            return mica__jin_raise(p->j, "cannot convert float %s to integer", isnan(v.u.f) ? "NaN" : "infinity");
        if (fabs(v.u.f) >= 9.2e18) return mica__jin_fail(p->j, MICA_LIMIT, "integer beyond 64 bits");
        return mica__jv_int((int64_t)v.u.f);
    }
    return mica__jin_raise(p->j,
                           strchr("diu", type) ? "%%%c format: a real number is required, not %s"
                                               : "%%%c format: an integer is required, not %s",
                           type, mica__jv_type_name(v));
}

static mica__jv percent_number_value(percent *p, mica__jv v, spec *f, char type)
{
    char buf[80];
    if (strchr("eEfFgG", type)) {
        if (v.kind == JV_UNDEFINED) return mica__jv_use_undefined(p->j, v);
        if (!mica__jv_is_number(v)) return mica__jin_raise(p->j, "must be real number, not %s", mica__jv_type_name(v));
        f->type = type;
        if (f->precision < 0) f->precision = 6;
        return format_float(p->j, mica__jv_float(mica__jv_double(v)), f);
    }
    v = integer_for(p, v, type);
    JV_TRY(v);
    int base = type == 'o' ? 8 : type == 'x' || type == 'X' ? 16 : 10;
    if (v.kind == JV_BIG && base != 10) return mica__jin_fail(p->j, MICA_LIMIT, "integer beyond 64 bits");
    bool negative = v.kind == JV_BIG ? v.u.str->p[0] == '-' : v.u.i < 0;
    mica__str digits = v.kind == JV_BIG ? (mica__str){v.u.str->p + negative, v.u.str->n - negative}
                                        : mica__str_from(magnitude(v.u.i, base, type == 'X', buf));
    mica__jtext padded = {.j = p->j};
    if (f->precision > (int64_t)digits.n) mica__jtext_pad(&padded, '0', (size_t)f->precision - digits.n);
    mica__jtext_add_str(&padded, digits);
    mica__jv text = mica__jtext_value(&padded);
    JV_TRY(text);
    const char *prefix = !f->alternate || base == 10 ? "" : type == 'o' ? "0o" : type == 'x' ? "0x" : "0X";
    return format_number(p->j, f, negative, prefix, mica__jv_text(text), (mica__str){"", 0}, 3);
}

static mica__jv percent_text(percent *p, mica__jv v, spec *f, char type)
{
    mica__jin *j = p->j;
    if (type == 'c') {
        if (mica__jv_is_int(v)) {
            if (v.u.i < 0 || v.u.i > 0x10FFFF) return mica__jin_raise(j, "%%c arg not in range(0x110000)");
            v = mica__jv_char(j, (uint32_t)v.u.i);
        } else if (v.kind != JV_STR || mica__jv_chars(v) != 1) {
            return mica__jin_raise(j, "%%c requires int or char");
        }
        f->precision = -1;
    } else {
        v = type == 's' ? (p->is_markup ? mica__jv_escape(j, v) : mica__jv_to_str(j, v)) : mica__jv_repr(j, v);
        if (v.kind == JV_STR && p->is_markup && type != 's') v = mica__jv_escape(j, v);
    }
    JV_TRY(v);
    f->zero = f->alternate = false;
    f->fill = ' ';
    f->sign = 0;
    if (!f->align) f->align = '>';
    return format_text(j, v, f);
}

/* One conversion behind its "%"; *s is moved behind it. */
static bool convert(percent *p, mica__str *s)
{
    spec f = {.fill = ' ', .width = -1, .precision = -1};
    mica__jv value = JV_NO_VALUE;
    bool is_bare = s->n && s->p[0] == '%';
    if (s->n && s->p[0] == '(') {
        size_t depth = 1, k = 1;
        while (k < s->n && depth) depth += (s->p[k] == '(') - (s->p[k] == ')'), k++;
        if (depth) return mica__jin_raise(p->j, "incomplete format key"), false;
        if (p->values.kind != JV_DICT) return mica__jin_raise(p->j, "format requires a mapping"), false;
        mica__jv key = mica__jv_borrow(p->j, s->p + 1, k - 2);
        int found = key.kind == JV_ERROR ? -1 : mica__jdict_find(p->j, p->values.u.dict, key, &value);
        if (found == 0) mica__jin_raise(p->j, "KeyError: '%s'", MICA_QUOTED(s->p + 1, k - 2));
        if (found <= 0) return false;
        s->p += k, s->n -= k;
        p->keyed = true;
    }
    bool left = false;
    for (char c; (c = take_one_of(s, "-+ #0"));) {
        if (c == '-') left = true;
        if (c == '+' || (c == ' ' && f.sign != '+')) f.sign = c;
        f.alternate |= c == '#';
        f.zero |= c == '0';
    }
    if (!percent_number(p, s, &f.width)) return false;
    if (f.width < -1) left = true, f.width = -f.width;
    if (take_one_of(s, ".")) {
        f.precision = 0;
        if (!percent_number(p, s, &f.precision)) return false;
        if (f.precision < 0) f.precision = 0;
    }
    take_one_of(s, "hlL");
    if (left) f.align = '<', f.zero = false;
    if (f.zero) f.fill = '0';
    if (!s->n) return mica__jin_raise(p->j, "incomplete format"), false;
    char type = s->p[0];
    s->p++, s->n--;
    if (type == '%' && is_bare) return mica__jtext_add(&p->out, "%", 1), true;
    if (value.kind == JV_MISSING) value = next_value(p);
    if (value.kind == JV_ERROR) return false;
    if (!type || !strchr("diouxXeEfFgGcrsa", type))
        return mica__jin_raise(p->j, "unsupported format character '%s'", MICA_QUOTED(&type, 1)), false;
    mica__jv text = strchr("crsa", type) ? percent_text(p, value, &f, type) : percent_number_value(p, value, &f, type);
    if (text.kind == JV_ERROR) return false;
    mica__jtext_add_str(&p->out, mica__jv_text(text));
    return true;
}

mica__jv mica__jv_percent(mica__jin *j, mica__jv format, mica__jv values)
{
    percent p = {.j = j, .out = {.j = j}, .values = values, .is_markup = format.sub};
    mica__str s = mica__jv_text(format);
    while (s.n && !p.out.failed) {
        const char *at = memchr(s.p, '%', s.n);
        size_t plain = at ? (size_t)(at - s.p) : s.n;
        mica__jtext_add(&p.out, s.p, plain);
        s.p += plain + (at != NULL), s.n -= plain + (at != NULL);
        if (at && (!mica__jin_spend(j, 1) || !convert(&p, &s))) return JV_ERR;
    }
    bool is_mapping = values.kind == JV_DICT || values.kind == JV_LIST || values.kind == JV_UNDEFINED ||
                      values.kind == JV_RANGE || values.kind == JV_BYTES;
    size_t given = values.kind == JV_TUPLE ? values.u.list->n : 1;
    if (!is_mapping && p.next < given)
        return mica__jin_raise(j, "not all arguments converted during string formatting");
    return mica__jv_markup(mica__jtext_value(&p.out), format.sub);
}

/* ---- str.format ---- */

typedef struct formatter {
    mica__jin *j;
    const mica__jargs *args;
    mica__jv mapping;
    bool is_markup;
    int64_t next; /* automatic numbering; -1: fields are numbered by hand */
} formatter;

static bool is_number(mica__str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < '0' || s.p[i] > '9') return false;
    return s.n > 0 && s.n < 10;
}

static int64_t to_number(mica__str s)
{
    int64_t v = 0;
    for (size_t i = 0; i < s.n; i++) v = v * 10 + (s.p[i] - '0');
    return v;
}

static mica__jv argument(formatter *f, mica__str name, bool is_whole)
{
    mica__jin *j = f->j;
    int64_t index = -1;
    if (!name.n && is_whole) {
        if (f->next < 0)
            return mica__jin_raise(j, "cannot switch from manual field specification to automatic field numbering");
        index = f->next++;
    } else if (is_number(name)) {
        if (f->next > 0 && is_whole)
            return mica__jin_raise(j, "cannot switch from automatic field numbering to manual field specification");
        if (is_whole) f->next = -1;
        index = to_number(name);
    }
    if (index >= 0) {
        if (index < (int64_t)f->args->n_pos) return f->args->pos[index];
        return mica__jin_raise(j, "Replacement index %lld out of range for positional args tuple", (long long)index);
    }
    if (f->mapping.kind == JV_DICT) {
        const mica__jv *v = mica__jdict_get(f->mapping.u.dict, name);
        if (v) return *v;
    }
    for (size_t i = 0; i < f->args->n_named; i++)
        if (mica__str_eq(mica__jv_text(f->args->names[i]), name)) return f->args->named[i];
    return mica__jin_raise(j, "KeyError: '%s'", MICA_QUOTED_STR(name));
}

/* "name.attr[key]" */
static mica__jv field_value(formatter *f, mica__str name)
{
    size_t k = 0;
    while (k < name.n && name.p[k] != '.' && name.p[k] != '[') k++;
    mica__jv v = argument(f, (mica__str){name.p, k}, k == name.n);
    while (k < name.n) {
        JV_TRY(v);
        bool is_attr = name.p[k++] == '.';
        size_t from = k;
        while (k < name.n && (is_attr ? name.p[k] != '.' && name.p[k] != '[' : name.p[k] != ']')) k++;
        mica__str part = {name.p + from, k - from};
        if (!part.n || (!is_attr && k == name.n)) return mica__jin_raise(f->j, "Empty attribute in format string");
        if (!is_attr && ++k < name.n && name.p[k] != '.' && name.p[k] != '[')
            return mica__jin_raise(f->j, "Only '.' or '[' may follow ']' in format field specifier");
        mica__jv key = !is_attr && is_number(part) ? mica__jv_int(to_number(part)) : mica__jv_str(f->j, part.p, part.n);
        JV_TRY(key);
        v = is_attr ? mica__jv_attr(f->j, v, key) : mica__jv_item(f->j, v, key);
    }
    return v;
}

static bool format_into(formatter *f, mica__jtext *out, mica__str s, int depth);

/* One replacement field, without its braces. */
static bool format_field(formatter *f, mica__jtext *out, mica__str field, int depth)
{
    size_t k = 0;
    while (k < field.n && field.p[k] != '!' && field.p[k] != ':') {
        if (field.p[k] == '[')
            while (k < field.n && field.p[k] != ']') k++;
        if (k < field.n) k++;
    }
    mica__str name = {field.p, k}, spec_text = {"", 0};
    char conversion = 0;
    if (k < field.n && field.p[k] == '!') {
        if (k + 1 >= field.n)
            return mica__jin_raise(f->j, "end of string while looking for conversion specifier"), false;
        conversion = field.p[k + 1];
        k += 2;
        if (k < field.n && field.p[k] != ':')
            return mica__jin_raise(f->j, "expected ':' after conversion specifier"), false;
    }
    if (k < field.n) spec_text = (mica__str){field.p + k + 1, field.n - k - 1};
    mica__jv v = field_value(f, name);
    if (v.kind == JV_ERROR) return false;
    if (conversion && !strchr("sra", conversion))
        return mica__jin_raise(f->j, "Unknown conversion specifier '%s'", MICA_QUOTED(&conversion, 1)), false;
    if (conversion) v = conversion == 's' ? mica__jv_to_str(f->j, v) : mica__jv_repr(f->j, v);
    if (v.kind == JV_ERROR) return false;
    mica__jtext inner = {.j = f->j};
    if (!format_into(f, &inner, spec_text, depth + 1)) return false;
    if (f->is_markup && mica__jv_is_markup(v)) {
        if (inner.n) return mica__jin_raise(f->j, "Unsupported format specification for Markup."), false;
    } else {
        v = mica__jv_format_spec(f->j, v, (mica__str){inner.p ? inner.p : "", inner.n});
        if (f->is_markup && v.kind != JV_ERROR) v = mica__jv_escape(f->j, v);
    }
    if (v.kind == JV_ERROR) return false;
    mica__jtext_add_str(out, mica__jv_text(v));
    return true;
}

static bool format_into(formatter *f, mica__jtext *out, mica__str s, int depth)
{
    if (depth > 2) return mica__jin_raise(f->j, "Max string recursion exceeded"), false;
    for (size_t i = 0; i < s.n && !out->failed;) {
        char c = s.p[i];
        if (c != '{' && c != '}') {
            size_t k = i;
            while (k < s.n && s.p[k] != '{' && s.p[k] != '}') k++;
            mica__jtext_add(out, s.p + i, k - i);
            i = k;
            continue;
        }
        if (i + 1 < s.n && s.p[i + 1] == c && depth == 0) {
            mica__jtext_add(out, &c, 1);
            i += 2;
            continue;
        }
        if (c == '}') return mica__jin_raise(f->j, "Single '}' encountered in format string"), false;
        size_t k = i + 1, nested = 1;
        for (; k < s.n && nested; k++) nested += (s.p[k] == '{') - (s.p[k] == '}');
        if (nested)
            return mica__jin_raise(f->j, i + 1 == s.n ? "Single '{' encountered in format string"
                                                      : "expected '}' before end of string"),
                   false;
        if (!mica__jin_spend(f->j, 1) || !format_field(f, out, (mica__str){s.p + i + 1, k - i - 2}, depth))
            return false;
        i = k;
    }
    return !out->failed;
}

mica__jv mica__jv_format(mica__jin *j, mica__jv format, const mica__jargs *args, mica__jv mapping)
{
    formatter f = {.j = j, .args = args, .mapping = mapping, .is_markup = format.sub};
    mica__jtext out = {.j = j};
    if (!format_into(&f, &out, mica__jv_text(format), 0)) return JV_ERR;
    return mica__jv_markup(mica__jtext_value(&out), format.sub);
}
