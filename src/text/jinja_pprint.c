/* text/jinja_pprint.c: the filter pprint: Python's pprint.pformat, 80 columns wide, dictionaries sorted by key. */
#include "jinja_eval.h"
#include "jinja_filters.h"
#include "jinja_unicode.h"

#define WIDTH 80

static void add_repr(mica__jtext *t, mica__jv v);

/* Entries in the order of their keys; keys that cannot be compared go by the names of their types. */
static const mica__jentry **sorted_entries(mica__jtext *t, const mica__jdict *d)
{
    const mica__jentry **order = mica__jin_alloc(t->j, d->n + 1, sizeof(void *));
    if (!order || !mica__jin_spend(t->j, (uint64_t)d->n * d->n / 4)) {
        t->failed = true;
        return NULL;
    }
    for (size_t i = 0; i < d->n; i++) {
        size_t k = i;
        for (; k > 0; k--) {
            mica__jv a = d->entries[i].key, b = order[k - 1]->key;
            bool comparable = (mica__jv_is_number(a) && mica__jv_is_number(b)) ||
                              (a.kind == b.kind && (a.kind == JV_STR || a.kind == JV_BIG));
            int less =
                comparable ? mica__jv_order(t->j, '<', a, b) : strcmp(mica__jv_type_name(a), mica__jv_type_name(b)) < 0;
            if (less <= 0) break;
            order[k] = order[k - 1];
        }
        order[k] = &d->entries[i];
    }
    return order;
}

static void add_repr_parts(mica__jtext *t, mica__jv v)
{
    if (v.kind == JV_DICT) {
        const mica__jentry **order = sorted_entries(t, v.u.dict);
        mica__jtext_add(t, "{", 1);
        for (size_t i = 0; order && i < v.u.dict->n && !t->failed; i++) {
            if (i) mica__jtext_add(t, ", ", 2);
            add_repr(t, order[i]->key);
            mica__jtext_add(t, ": ", 2);
            add_repr(t, order[i]->value);
        }
        mica__jtext_add(t, "}", 1);
        return;
    }
    bool is_tuple = v.kind == JV_TUPLE;
    mica__jtext_add(t, is_tuple ? "(" : "[", 1);
    for (size_t i = 0; i < v.u.list->n && !t->failed; i++) {
        if (i) mica__jtext_add(t, ", ", 2);
        add_repr(t, v.u.list->items[i]);
    }
    mica__jtext_add_z(t, !is_tuple ? "]" : v.u.list->n == 1 ? ",)" : ")");
}

static void add_repr(mica__jtext *t, mica__jv v)
{
    if (v.kind != JV_DICT && !mica__jv_is_seq(v)) {
        mica__jtext_repr(t, v);
    } else if (t->failed || !mica__jin_spend(t->j, 1) || !mica__jin_enter(t->j)) {
        t->failed = true;
    } else {
        add_repr_parts(t, v);
        mica__jin_leave(t->j);
    }
}

static mica__jv repr(mica__jtext *t, mica__jv v)
{
    mica__jtext inner = {.j = t->j};
    add_repr(&inner, v);
    mica__jv text = mica__jtext_value(&inner);
    if (text.kind == JV_ERROR) t->failed = true;
    return text;
}

static size_t repr_width(mica__jtext *t, mica__jv v)
{
    mica__jv text = repr(t, v);
    return text.kind == JV_ERROR ? 0 : mica__jv_chars(text);
}

static void new_line(mica__jtext *t, size_t indent)
{
    mica__jtext_add(t, "\n", 1);
    mica__jtext_pad(t, ' ', indent);
}

static void format(mica__jtext *t, mica__jv v, size_t indent, size_t allowance, unsigned level);

static void format_items(mica__jtext *t, const mica__jlist *l, size_t indent, size_t allowance, unsigned level)
{
    for (size_t i = 0; i < l->n && !t->failed; i++) {
        if (i) {
            mica__jtext_add(t, ",", 1);
            new_line(t, indent + 1);
        }
        format(t, l->items[i], indent + 1, i + 1 == l->n ? allowance : 1, level);
    }
}

static void format_dict(mica__jtext *t, const mica__jdict *d, size_t indent, size_t allowance, unsigned level)
{
    const mica__jentry **order = sorted_entries(t, d);
    for (size_t i = 0; order && i < d->n && !t->failed; i++) {
        mica__jv key = repr(t, order[i]->key);
        if (key.kind == JV_ERROR) return;
        if (i) {
            mica__jtext_add(t, ",", 1);
            new_line(t, indent + 1);
        }
        mica__jtext_add_str(t, mica__jv_text(key));
        mica__jtext_add(t, ": ", 2);
        format(t, order[i]->value, indent + 1 + mica__jv_chars(key) + 2, i + 1 == d->n ? allowance : 1, level);
    }
}

/* The next run of non-space and the space behind it. */
static mica__str word_of(mica__str s)
{
    mica__str rest = s, end = s;
    uint32_t c = 0;
    while (mica__py_next(&rest, &c) && !mica__py_is_space(c)) end = rest;
    for (rest = end; mica__py_next(&rest, &c) && mica__py_is_space(c);) end = rest;
    return (mica__str){s.p, s.n - end.n};
}

static bool add_chunk(mica__jtext *t, mica__jitems *chunks, const char *p, size_t n)
{
    mica__jv piece = mica__jv_borrow(t->j, p, n), text = piece.kind == JV_ERROR ? piece : repr(t, piece);
    return text.kind != JV_ERROR && mica__jitems_add(t->j, chunks, text);
}

/* One line of a long string, broken between words to pieces of at most `width`. */
static bool break_line(mica__jtext *t, mica__jitems *chunks, mica__str line, size_t width, size_t allowance,
                       bool is_last)
{
    const char *from = line.p;
    size_t n = 0;
    while (line.n) {
        mica__str part = word_of(line);
        line.p += part.n, line.n -= part.n;
        if (is_last && !line.n) width = width > allowance ? width - allowance : 0;
        mica__jv candidate = mica__jv_borrow(t->j, from, n + part.n);
        if (candidate.kind == JV_ERROR) return false;
        if (repr_width(t, candidate) > width) {
            if (n && !add_chunk(t, chunks, from, n)) return false;
            from = part.p;
            n = part.n;
        } else {
            n += part.n;
        }
        if (t->failed) return false;
    }
    return !n || add_chunk(t, chunks, from, n);
}

static void format_string(mica__jtext *t, mica__jv v, size_t indent, size_t allowance, unsigned level)
{
    mica__jitems lines = {0}, chunks = {0};
    if (level == 1) indent++, allowance++;
    size_t width = indent < WIDTH ? WIDTH - indent : 0;
    bool ok = mica__jstr_lines(t->j, v, true, &lines);
    for (size_t i = 0; ok && i < lines.n; i++) {
        bool is_last = i + 1 == lines.n;
        size_t room = !is_last ? width : width > allowance ? width - allowance : 0;
        mica__str line = mica__jv_text(lines.items[i]);
        ok = repr_width(t, lines.items[i]) <= room ? add_chunk(t, &chunks, line.p, line.n)
                                                   : break_line(t, &chunks, line, width, allowance, is_last);
    }
    if (!ok) {
        t->failed = true;
        return;
    }
    bool parentheses = level == 1 && chunks.n != 1;
    if (parentheses) mica__jtext_add(t, "(", 1);
    for (size_t i = 0; i < chunks.n; i++) {
        if (i) new_line(t, indent);
        mica__jtext_add_str(t, mica__jv_text(chunks.items[i]));
    }
    if (parentheses) mica__jtext_add(t, ")", 1);
}

static void format_long(mica__jtext *t, mica__jv v, size_t indent, size_t allowance, unsigned level)
{
    if (v.kind == JV_DICT) {
        mica__jtext_add(t, "{", 1);
        format_dict(t, v.u.dict, indent, allowance + 1, level);
        mica__jtext_add(t, "}", 1);
    } else if (v.kind == JV_STR) {
        format_string(t, v, indent, allowance, level);
    } else {
        const char *end = v.kind == JV_LIST ? "]" : v.u.list->n == 1 ? ",)" : ")";
        mica__jtext_add(t, v.kind == JV_LIST ? "[" : "(", 1);
        format_items(t, v.u.list, indent, allowance + strlen(end), level);
        mica__jtext_add_z(t, end);
    }
}

static void format(mica__jtext *t, mica__jv v, size_t indent, size_t allowance, unsigned level)
{
    mica__jv text = repr(t, v);
    if (text.kind == JV_ERROR) return;
    bool splits = v.kind == JV_DICT || v.kind == JV_LIST || (v.kind == JV_TUPLE && !v.sub) ||
                  (v.kind == JV_STR && !v.sub && v.u.str->n);
    if (!splits || mica__jv_chars(text) + indent + allowance <= WIDTH) {
        mica__jtext_add_str(t, mica__jv_text(text));
    } else if (!mica__jin_enter(t->j)) {
        t->failed = true;
    } else {
        format_long(t, v, indent, allowance, level + 1);
        mica__jin_leave(t->j);
    }
}

mica__jv mica__jv_pprint(mica__jin *j, mica__jv v)
{
    mica__jtext t = {.j = j};
    format(&t, v, 0, 0, 0);
    return mica__jtext_value(&t);
}
