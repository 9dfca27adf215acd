/* text/jinja_json.c: the filter tojson: exactly what Python's json.dumps writes. */
#include "jinja_eval.h"
#include "jinja_unicode.h"
#include <math.h>
#include <stdio.h>

static void dump(mica__jtext *t, mica__jv v, const mica__jdump *how, size_t level);

static void new_line(mica__jtext *t, const mica__jdump *how, size_t level)
{
    if (!how->has_indent) return;
    mica__jtext_add(t, "\n", 1);
    for (size_t i = 0; i < level; i++) mica__jtext_add_str(t, how->indent);
}

/* How Python writes a character inside of a JSON string, "" if as it is. */
static void escape_of(uint32_t c, bool ascii, char out[16])
{
    static const char named[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
    const char *at = c && c < 0x80 ? strchr(named, (int)c) : NULL;
    out[0] = 0;
    if (at) {
        snprintf(out, 16, "\\%c", letters[at - named]);
    } else if (c < 0x20 || (ascii && c > 0x7E && c < 0x10000)) {
        snprintf(out, 16, "\\u%04x", c);
    } else if (ascii && c > 0x7E) {
        snprintf(out, 16, "\\u%04x\\u%04x", 0xD800 + ((c - 0x10000) >> 10), 0xDC00 + ((c - 0x10000) & 0x3FF));
    }
}

static void dump_string(mica__jtext *t, mica__str s, bool ascii)
{
    const char *plain = s.p; /* start of what needs no escape and is not yet written */
    char escaped[16];
    mica__jtext_add(t, "\"", 1);
    while (s.n) {
        mica__str before = s;
        uint32_t c;
        mica__py_next(&s, &c);
        escape_of(c, ascii, escaped);
        if (!escaped[0]) continue;
        mica__jtext_add(t, plain, (size_t)(before.p - plain));
        mica__jtext_add_z(t, escaped);
        plain = s.p;
    }
    mica__jtext_add(t, plain, (size_t)(s.p - plain));
    mica__jtext_add(t, "\"", 1);
}

static void dump_float(mica__jtext *t, double f)
{
    char buf[32];
    if (isnan(f)) return mica__jtext_add_z(t, "NaN");
    if (isinf(f)) return mica__jtext_add_z(t, f < 0 ? "-Infinity" : "Infinity");
    mica__format_double(f, buf);
    mica__jtext_add_z(t, buf);
}

static void dump_list(mica__jtext *t, const mica__jlist *l, const mica__jdump *how, size_t level)
{
    if (!l->n) return mica__jtext_add(t, "[]", 2);
    mica__jtext_add(t, "[", 1);
    for (size_t i = 0; i < l->n && !t->failed; i++) {
        if (i) mica__jtext_add_str(t, how->item_separator);
        new_line(t, how, level + 1);
        dump(t, l->items[i], how, level + 1);
    }
    new_line(t, how, level);
    mica__jtext_add(t, "]", 1);
}

static void dump_key(mica__jtext *t, mica__jv key, const mica__jdump *how)
{
    if (key.kind == JV_STR) return dump_string(t, mica__jv_text(key), how->ascii);
    if (key.kind != JV_NONE && !mica__jv_is_number(key) && key.kind != JV_BIG) {
        mica__jin_raise(t->j, "keys must be str, int, float, bool or None, not %s", mica__jv_type_name(key));
        t->failed = true;
        return;
    }
    mica__jtext_add(t, "\"", 1);
    dump(t, key, how, 0);
    mica__jtext_add(t, "\"", 1);
}

/* The entries in the order they are written: by key if asked for. */
static const mica__jentry **ordered_entries(mica__jtext *t, const mica__jdict *d, bool sorted)
{
    const mica__jentry **order = mica__jin_alloc(t->j, 2 * d->n + 1, sizeof(void *));
    if (!order) return NULL;
    const mica__jentry **from = order + d->n;
    for (size_t i = 0; i < d->n; i++) order[i] = &d->entries[i];
    for (size_t width = 1; sorted && width < d->n; width *= 2) { /* merge sort */
        memcpy(from, order, d->n * sizeof(void *));
        for (size_t lo = 0; lo < d->n; lo += 2 * width) {
            size_t mid = lo + width < d->n ? lo + width : d->n, hi = mid + width < d->n ? mid + width : d->n, a = lo,
                   b = mid;
            for (size_t k = lo; k < hi; k++) {
                int right_first = 0;
                if (a < mid && b < hi) right_first = mica__jv_order(t->j, '<', from[b]->key, from[a]->key);
                if (right_first < 0) return NULL;
                order[k] = a < mid && !(b < hi && right_first) ? from[a++] : from[b++];
            }
        }
    }
    return order;
}

static void dump_dict(mica__jtext *t, const mica__jdict *d, const mica__jdump *how, size_t level)
{
    if (!d->n) return mica__jtext_add(t, "{}", 2);
    const mica__jentry **order = ordered_entries(t, d, how->sort_keys);
    if (!order) {
        t->failed = true;
        return;
    }
    mica__jtext_add(t, "{", 1);
    for (size_t i = 0; i < d->n && !t->failed; i++) {
        if (i) mica__jtext_add_str(t, how->item_separator);
        new_line(t, how, level + 1);
        dump_key(t, order[i]->key, how);
        mica__jtext_add_str(t, how->key_separator);
        dump(t, order[i]->value, how, level + 1);
    }
    new_line(t, how, level);
    mica__jtext_add(t, "}", 1);
}

static void dump(mica__jtext *t, mica__jv v, const mica__jdump *how, size_t level)
{
    if (t->failed || !mica__jin_spend(t->j, 1) || !mica__jin_enter(t->j)) {
        t->failed = true;
        return;
    }
    switch ((mica__jv_kind)v.kind) {
    case JV_NONE:
        mica__jtext_add(t, "null", 4);
        break;
    case JV_BOOL:
        mica__jtext_add_z(t, v.u.i ? "true" : "false");
        break;
    case JV_INT:
    case JV_BIG:
        mica__jtext_repr(t, v);
        break;
    case JV_FLOAT:
        dump_float(t, v.u.f);
        break;
    case JV_STR:
        dump_string(t, mica__jv_text(v), how->ascii);
        break;
    case JV_LIST:
    case JV_TUPLE:
        dump_list(t, v.u.list, how, level);
        break;
    case JV_DICT:
        dump_dict(t, v.u.dict, how, level);
        break;
    default:
        mica__jin_raise(t->j, "Object of type %s is not JSON serializable", mica__jv_type_name(v));
        t->failed = true;
    }
    mica__jin_leave(t->j);
}

mica__jv mica__jv_dump(mica__jin *j, mica__jv v, const mica__jdump *how)
{
    mica__jtext t = {.j = j};
    dump(&t, v, how, 0);
    return mica__jtext_value(&t);
}
