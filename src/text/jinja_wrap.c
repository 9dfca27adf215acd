/* text/jinja_wrap.c: the filter wordwrap, with the habits of Python's textwrap.
 *
 * A line is first cut into chunks: white space, words, parts of words that end with a hyphen, runs of dashes. Lines are then
 * filled with chunks; a chunk longer than a line is cut, if that is wanted. */
#include "jinja_filters.h"
#include "jinja_unicode.h"

typedef struct line {
    mica__str text;
    uint32_t *c;  /* its characters, [n] */
    size_t *byte; /* where they start, [n + 1] */
    size_t n;
} line;

static bool load(mica__jin *j, line *l, mica__str text)
{
    mica__str rest = text;
    *l = (line){.text = text,
                .c = mica__jin_alloc(j, text.n + 1, sizeof(uint32_t)),
                .byte = mica__jin_alloc(j, text.n + 1, sizeof(size_t))};
    if (!l->c || !l->byte) return false;
    l->byte[0] = 0;
    while (mica__py_next(&rest, &l->c[l->n])) l->byte[++l->n] = text.n - rest.n;
    return true;
}

static bool is_blank(uint32_t c) { return c == ' ' || (c >= 9 && c <= 13); }
static bool is_word(uint32_t c) { return c == '_' || mica__py_is_alnum(c); }
static bool is_letter(uint32_t c) { return is_word(c) && !mica__py_is_decimal(c); }
static bool is_punct(uint32_t c) { return is_word(c) || (c < 0x80 && c && strchr("!\"'&.,?", (int)c)); }

/* Dashes from i on, if there are at least two and a word follows; else 0. */
static size_t dashes(const line *l, size_t i)
{
    size_t k = i;
    while (k < l->n && l->c[k] == '-') k++;
    return k - i >= 2 && k < l->n && is_word(l->c[k]) ? k - i : 0;
}

/* A hyphen at p where a word may be broken. */
static bool breaks_at(const line *l, size_t p)
{
    const uint32_t *c = l->c;
    if (p >= l->n || c[p] != '-') return false;
    bool before = (p >= 2 && is_letter(c[p - 1]) && is_letter(c[p - 2])) ||
                  (p >= 3 && is_punct(c[p - 1]) && c[p - 2] == '-' && is_letter(c[p - 3]));
    if (!before || p + 1 >= l->n || !is_letter(c[p + 1])) return false;
    size_t next = p + 2 < l->n && c[p + 2] == '-' && p + 3 < l->n && is_letter(c[p + 3]) ? p + 3 : p + 2;
    return next < l->n && is_letter(c[next]);
}

/* End of the chunk that starts at character i. */
static size_t chunk_end(const line *l, size_t i, bool on_hyphens)
{
    size_t k = i + 1, dash;
    if (is_blank(l->c[i])) {
        while (k < l->n && is_blank(l->c[k])) k++;
        return k;
    }
    if (on_hyphens && i > 0 && is_punct(l->c[i - 1]) && (dash = dashes(l, i))) return i + dash;
    for (; k < l->n && !is_blank(l->c[k]); k++) {
        if (!on_hyphens) continue;
        if (breaks_at(l, k)) return k + 1;
        if (is_punct(l->c[k - 1]) && dashes(l, k)) return k;
    }
    return k;
}

/* Where a chunk [from, to) that does not fit is cut when there is room for `room` characters. */
static size_t cut_at(const line *l, size_t from, size_t to, size_t room, bool on_hyphens)
{
    size_t end = from + room < to ? from + room : to;
    if (!on_hyphens || to - from <= room) return end;
    size_t hyphen = end;
    while (hyphen > from && l->c[hyphen - 1] != '-') hyphen--;
    if (hyphen <= from + 1) return end;
    for (size_t i = from; i + 1 < hyphen; i++)
        if (l->c[i] != '-') return hyphen;
    return end;
}

typedef struct wrapper {
    mica__jtext *out;
    mica__str separator;
    size_t width;
    bool break_long, on_hyphens;
} wrapper;

static bool all_blank(const line *l, size_t from, size_t to)
{
    while (from < to && mica__py_is_space(l->c[from])) from++;
    return from == to;
}

/* Writes l as lines of at most `width` characters. */
static void wrap_line(const wrapper *w, const line *l)
{
    size_t at = 0, end = l->n ? chunk_end(l, 0, w->on_hyphens) : 0; /* the next chunk */
    for (bool first = true; at < l->n && !w->out->failed;) {
        if (!first && all_blank(l, at, end)) {
            at = end;
            if (at < l->n) end = chunk_end(l, at, w->on_hyphens);
        }
        size_t from = at, last = at; /* the line, and where its last chunk starts */
        bool any = false;
        while (at < l->n && end - from <= w->width) {
            last = at;
            at = end;
            any = true;
            if (at < l->n) end = chunk_end(l, at, w->on_hyphens);
        }
        if (at < l->n && end - at > w->width) {
            if (w->break_long) {
                last = at;
                at = cut_at(l, at, end, w->width - (at - from), w->on_hyphens);
            } else if (!any) {
                last = at;
                at = end;
                if (at < l->n) end = chunk_end(l, at, w->on_hyphens);
            }
        }
        size_t stop = all_blank(l, last, at) ? last : at;
        if (stop == from && at == last && at > from) stop = at;
        if (stop == from) continue;
        if (!first) mica__jtext_add_str(w->out, w->separator);
        mica__jtext_add(w->out, l->text.p + l->byte[from], l->byte[stop] - l->byte[from]);
        first = false;
    }
}

mica__jv mica__jstr_wrap(mica__jin *j, mica__jv text, int64_t width, bool break_long, bool on_hyphens,
                         mica__str separator)
{
    mica__jitems lines = {0};
    mica__jtext out = {.j = j};
    if (!mica__jstr_lines(j, text, false, &lines)) return JV_ERR;
    if (width <= 0 && lines.n) return mica__jin_raise(j, "invalid width %lld (must be > 0)", (long long)width);
    wrapper w = {&out, separator, (size_t)width, break_long, on_hyphens};
    for (size_t i = 0; i < lines.n && !out.failed; i++) {
        line l;
        mica__str s = mica__jv_text(lines.items[i]);
        if (i) mica__jtext_add_str(&out, separator);
        if (!mica__jin_spend(j, s.n / 4) || !load(j, &l, s)) return JV_ERR;
        wrap_line(&w, &l);
    }
    return mica__jtext_value(&out);
}
