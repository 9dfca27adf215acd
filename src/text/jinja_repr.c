/* text/jinja_repr.c: str() and repr() of values, and HTML escaping. */
#include "jinja_eval.h"
#include "jinja_unicode.h"
#include <stdio.h>

static void add_escaped_char(mica__jtext *t, uint32_t c)
{
    char buf[16];
    if (c == '\n') return mica__jtext_add(t, "\\n", 2);
    if (c == '\r') return mica__jtext_add(t, "\\r", 2);
    if (c == '\t') return mica__jtext_add(t, "\\t", 2);
    int n = snprintf(buf, sizeof buf, c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x", c);
    mica__jtext_add(t, buf, (size_t)n);
}

/* Quoted as Python does: single quotes unless there are only single ones inside. */
void mica__jtext_repr_string(mica__jtext *t, mica__str s)
{
    char quote = memchr(s.p, '\'', s.n) && !memchr(s.p, '"', s.n) ? '"' : '\'';
    mica__jtext_add(t, &quote, 1);
    while (s.n) {
        mica__str before = s;
        uint32_t c;
        mica__py_next(&s, &c);
        if (c == (uint32_t)quote || c == '\\') {
            mica__jtext_add(t, "\\", 1);
            mica__jtext_add(t, before.p, 1);
        } else if (!mica__py_is_printable(c)) {
            add_escaped_char(t, c);
        } else {
            mica__jtext_add(t, before.p, before.n - s.n);
        }
    }
    mica__jtext_add(t, &quote, 1);
}

static void repr_bytes(mica__jtext *t, mica__str s)
{
    char quote = memchr(s.p, '\'', s.n) && !memchr(s.p, '"', s.n) ? '"' : '\'';
    mica__jtext_add(t, "b", 1);
    mica__jtext_add(t, &quote, 1);
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == (unsigned char)quote || c == '\\') mica__jtext_add(t, "\\", 1);
        if (c >= 0x20 && c < 0x7F) {
            mica__jtext_add(t, s.p + i, 1);
        } else {
            add_escaped_char(t, c);
        }
    }
    mica__jtext_add(t, &quote, 1);
}

static void repr_list(mica__jtext *t, const mica__jlist *l, bool is_tuple)
{
    mica__jtext_add(t, is_tuple ? "(" : "[", 1);
    for (size_t i = 0; i < l->n && !t->failed; i++) {
        if (i) mica__jtext_add(t, ", ", 2);
        mica__jtext_repr(t, l->items[i]);
    }
    if (is_tuple && l->n == 1) mica__jtext_add(t, ",", 1);
    mica__jtext_add(t, is_tuple ? ")" : "]", 1);
}

static void repr_dict(mica__jtext *t, const mica__jdict *d)
{
    mica__jtext_add(t, "{", 1);
    for (size_t i = 0; i < d->n && !t->failed; i++) {
        if (i) mica__jtext_add(t, ", ", 2);
        mica__jtext_repr(t, d->entries[i].key);
        mica__jtext_add(t, ": ", 2);
        mica__jtext_repr(t, d->entries[i].value);
    }
    mica__jtext_add(t, "}", 1);
}

static void repr_view(mica__jtext *t, mica__jv v)
{
    const mica__jdict *d = v.u.dict;
    mica__jtext_add_z(t, mica__jv_type_name(v));
    mica__jtext_add(t, "([", 2);
    for (size_t i = 0; i < d->n && !t->failed; i++) {
        if (i) mica__jtext_add(t, ", ", 2);
        if (v.sub == JV_ITEMS) mica__jtext_add(t, "(", 1);
        if (v.sub != JV_VALUES) mica__jtext_repr(t, d->entries[i].key);
        if (v.sub == JV_ITEMS) mica__jtext_add(t, ", ", 2);
        if (v.sub != JV_KEYS) mica__jtext_repr(t, d->entries[i].value);
        if (v.sub == JV_ITEMS) mica__jtext_add(t, ")", 1);
    }
    mica__jtext_add(t, "])", 2);
}

static void repr_range(mica__jtext *t, const mica__jrange *r)
{
    char buf[80];
    int n = snprintf(buf, sizeof buf, r->step == 1 ? "range(%lld, %lld)" : "range(%lld, %lld, %lld)",
                     (long long)r->start, (long long)r->stop, (long long)r->step);
    mica__jtext_add(t, buf, (size_t)n);
}

static void add_int(mica__jtext *t, int64_t i)
{
    char buf[24];
    mica__jtext_add(t, buf, (size_t)snprintf(buf, sizeof buf, "%lld", (long long)i));
}

static void repr_object(mica__jtext *t, mica__jv v)
{
    mica__jtext_add(t, "<", 1);
    switch ((mica__jv_kind)v.kind) {
    case JV_MACRO:
        mica__jtext_add(t, "Macro ", 6);
        if (v.u.macro->f->name.kind == JV_STR) {
            mica__jtext_repr_string(t, mica__jv_text(v.u.macro->f->name));
        } else {
            mica__jtext_add_z(t, "anonymous");
        }
        break;
    case JV_LOOP: {
        int64_t n = mica__jloop_length(t->j, v.u.loop);
        mica__jtext_add_z(t, "LoopContext ");
        add_int(t, v.u.loop->index0 + 1);
        mica__jtext_add(t, "/", 1);
        add_int(t, n);
        break;
    }
    case JV_NAMESPACE:
        mica__jtext_add_z(t, "Namespace ");
        repr_dict(t, v.u.dict);
        break;
    case JV_BUILTIN:
        mica__jtext_add_z(t, v.u.builtin->is_class ? "class '" : "function ");
        mica__jtext_add_z(t, v.u.builtin->name);
        if (v.u.builtin->is_class) mica__jtext_add(t, "'", 1);
        break;
    case JV_METHOD:
        mica__jtext_add_z(t, "built-in method ");
        mica__jtext_add_z(t, v.u.method->fn->name);
        mica__jtext_add_z(t, " of ");
        mica__jtext_add_z(t, mica__jv_type_name(v.u.method->self));
        mica__jtext_add_z(t, " object");
        break;
    default:
        mica__jtext_add_z(t, mica__jv_type_name(v));
        mica__jtext_add_z(t, " object");
    }
    mica__jtext_add(t, ">", 1);
}

void mica__jtext_repr(mica__jtext *t, mica__jv v)
{
    char buf[40];
    if (t->failed || !mica__jin_spend(t->j, 1) || !mica__jin_enter(t->j)) {
        t->failed = true;
        return;
    }
    switch ((mica__jv_kind)v.kind) {
    case JV_ERROR:
        t->failed = true;
        break;
    case JV_MISSING:
    case JV_UNDEFINED:
        mica__jtext_add_z(t, "Undefined");
        break;
    case JV_NONE:
        mica__jtext_add_z(t, "None");
        break;
    case JV_BOOL:
        mica__jtext_add_z(t, v.u.i ? "True" : "False");
        break;
    case JV_INT:
        add_int(t, v.u.i);
        break;
    case JV_BIG:
        mica__jtext_add_str(t, mica__jv_text(v));
        break;
    case JV_FLOAT:
        mica__format_double(v.u.f, buf);
        mica__jtext_add_z(t, buf);
        break;
    case JV_STR:
        if (v.sub) mica__jtext_add_z(t, "Markup(");
        mica__jtext_repr_string(t, mica__jv_text(v));
        if (v.sub) mica__jtext_add(t, ")", 1);
        break;
    case JV_BYTES:
        repr_bytes(t, mica__jv_text(v));
        break;
    case JV_LIST:
    case JV_TUPLE:
        repr_list(t, v.u.list, v.kind == JV_TUPLE);
        break;
    case JV_DICT:
        repr_dict(t, v.u.dict);
        break;
    case JV_VIEW:
        repr_view(t, v);
        break;
    case JV_RANGE:
        repr_range(t, v.u.range);
        break;
    default:
        repr_object(t, v);
        break;
    }
    mica__jin_leave(t->j);
}

mica__jv mica__jv_repr(mica__jin *j, mica__jv v)
{
    mica__jtext t = {.j = j};
    mica__jtext_repr(&t, v);
    return mica__jtext_value(&t);
}

mica__jv mica__jv_soft_str(mica__jin *j, mica__jv v)
{
    if (v.kind == JV_STR || v.kind == JV_ERROR) return v;
    if (v.kind == JV_UNDEFINED) return mica__jv_borrow(j, "", 0);
    return mica__jv_repr(j, v);
}

mica__jv mica__jv_to_str(mica__jin *j, mica__jv v) { return mica__jv_markup(mica__jv_soft_str(j, v), false); }

mica__jv mica__jv_escape(mica__jin *j, mica__jv v)
{
    if (mica__jv_is_markup(v)) return v;
    v = mica__jv_soft_str(j, v);
    JV_TRY(v);
    mica__str s = mica__jv_text(v);
    mica__jtext t = {.j = j};
    size_t from = 0;
    for (size_t i = 0; i < s.n; i++) {
        const char *with = NULL;
        switch (s.p[i]) {
        case '&':
            with = "&amp;";
            break;
        case '<':
            with = "&lt;";
            break;
        case '>':
            with = "&gt;";
            break;
        case '"':
            with = "&#34;";
            break;
        case '\'':
            with = "&#39;";
            break;
        default:
            continue;
        }
        mica__jtext_add(&t, s.p + from, i - from);
        mica__jtext_add_z(&t, with);
        from = i + 1;
    }
    if (from == 0) return mica__jv_markup(v, true);
    mica__jtext_add(&t, s.p + from, s.n - from);
    return mica__jv_markup(mica__jtext_value(&t), true);
}
