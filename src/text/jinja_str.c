/* text/jinja_str.c: the methods of str (and those Markup has besides).
 *
 * Positions are code points outwards and bytes inwards. A method of Markup gives Markup back and escapes the text it is given. */
#include "jinja_eval.h"
#include "jinja_filters.h"
#include "jinja_unicode.h"

#define METHOD(name) static mica__jv name(mica__jin *j, mica__jv self, const mica__jargs *raw, mica__jv *a)
#define UNUSED (void)raw, (void)a, (void)j

static mica__jv like(mica__jv self, mica__jv v) { return mica__jv_markup(v, self.sub); }

/* A piece of self's own text. */
static mica__jv piece(mica__jin *j, mica__jv self, const char *p, size_t n)
{
    return like(self, mica__jv_borrow(j, p, n));
}

/* Text of an argument, escaped first if self is Markup. */
static bool text_arg(mica__jin *j, mica__jv self, mica__jv arg, mica__str *out)
{
    if (!mica__jarg_text(j, arg, out)) return false;
    if (!self.sub || arg.kind == JV_MISSING) return true;
    mica__jv escaped = mica__jv_escape(j, arg);
    if (escaped.kind == JV_ERROR) return false;
    *out = mica__jv_text(escaped);
    return true;
}

static size_t count_chars(mica__str s)
{
    size_t chars = 0;
    for (size_t i = 0; i < s.n; i++) chars += ((unsigned char)s.p[i] & 0xC0) != 0x80;
    return chars;
}

/* ---- case ---- */

static void add_chars(mica__jtext *t, const uint32_t *c, int n)
{
    for (int i = 0; i < n; i++) mica__jtext_add_char(t, c[i]);
}

/* A capital sigma is final if a letter stands before it and none after it, not counting marks. */
static bool is_final_sigma(mica__str before, mica__str after)
{
    uint32_t c = 0;
    bool more;
    while ((more = mica__py_prev(&before, &c)) && mica__py_is_case_ignorable(c)) {}
    if (!more || !mica__py_is_cased(c)) return false;
    while ((more = mica__py_next(&after, &c)) && mica__py_is_case_ignorable(c)) {}
    return !more || !mica__py_is_cased(c);
}

static void add_lower(mica__jtext *t, uint32_t c, mica__str whole, mica__str rest)
{
    uint32_t out[3];
    if (c == 0x3A3) {
        mica__str before = {whole.p, whole.n - rest.n - 2};
        mica__jtext_add_char(t, is_final_sigma(before, rest) ? 0x3C2 : 0x3C3);
    } else {
        add_chars(t, out, mica__py_lower(c, out));
    }
}

typedef enum case_kind { LOWER, UPPER, CASEFOLD, SWAP, TITLE, CAPITALIZE } case_kind;

static mica__jv change_case(mica__jin *j, mica__jv self, case_kind kind)
{
    mica__str s = mica__jv_text(self), rest = s;
    mica__jtext t = {.j = j};
    uint32_t c, out[3];
    bool in_word = false;
    if (!mica__jin_spend(j, s.n / 16)) return JV_ERR;
    while (mica__py_next(&rest, &c)) {
        bool first = kind == TITLE ? !in_word : in_word == false;
        if (kind == UPPER || (kind == SWAP && mica__py_is_lower(c))) {
            add_chars(&t, out, mica__py_upper(c, out));
        } else if (kind == CASEFOLD) {
            add_chars(&t, out, mica__py_casefold(c, out));
        } else if (kind == LOWER || (kind == SWAP && mica__py_is_upper(c)) ||
                   ((kind == TITLE || kind == CAPITALIZE) && !first)) {
            add_lower(&t, c, s, rest);
        } else if (kind == SWAP) {
            mica__jtext_add_char(&t, c);
        } else {
            add_chars(&t, out, mica__py_title(c, out));
        }
        in_word = kind == TITLE ? mica__py_is_cased(c) : true;
    }
    return like(self, mica__jtext_value(&t));
}

mica__jv mica__jstr_lower(mica__jin *j, mica__jv s) { return change_case(j, s, LOWER); }
mica__jv mica__jstr_upper(mica__jin *j, mica__jv s) { return change_case(j, s, UPPER); }
mica__jv mica__jstr_capitalize(mica__jin *j, mica__jv s) { return change_case(j, s, CAPITALIZE); }

METHOD(str_lower) { return UNUSED, change_case(j, self, LOWER); }
METHOD(str_upper) { return UNUSED, change_case(j, self, UPPER); }
METHOD(str_casefold) { return UNUSED, change_case(j, self, CASEFOLD); }
METHOD(str_swapcase) { return UNUSED, change_case(j, self, SWAP); }
METHOD(str_title) { return UNUSED, change_case(j, self, TITLE); }
METHOD(str_capitalize) { return UNUSED, change_case(j, self, CAPITALIZE); }

/* ---- questions about characters ---- */

/* True for a text that is not empty and all of whose characters pass. */
static bool all_chars(mica__str s, bool (*test)(uint32_t))
{
    uint32_t c;
    bool any = false;
    while (mica__py_next(&s, &c)) {
        if (!test(c)) return false;
        any = true;
    }
    return any;
}

/* Some character is cased, and every cased one passes. */
static bool all_cased(mica__str s, bool (*test)(uint32_t))
{
    uint32_t c;
    bool any = false;
    while (mica__py_next(&s, &c)) {
        if (!mica__py_is_cased(c)) continue;
        if (!test(c)) return false;
        any = true;
    }
    return any;
}

bool mica__jstr_is_lower(mica__str s) { return all_cased(s, mica__py_is_lower); }
bool mica__jstr_is_upper(mica__str s) { return all_cased(s, mica__py_is_upper); }

METHOD(str_isalnum) { return UNUSED, mica__jv_bool(all_chars(mica__jv_text(self), mica__py_is_alnum)); }
METHOD(str_isalpha) { return UNUSED, mica__jv_bool(all_chars(mica__jv_text(self), mica__py_is_alpha)); }
METHOD(str_isdecimal) { return UNUSED, mica__jv_bool(all_chars(mica__jv_text(self), mica__py_is_decimal)); }
METHOD(str_isdigit) { return UNUSED, mica__jv_bool(all_chars(mica__jv_text(self), mica__py_is_digit)); }
METHOD(str_isnumeric) { return UNUSED, mica__jv_bool(all_chars(mica__jv_text(self), mica__py_is_numeric)); }
METHOD(str_isspace) { return UNUSED, mica__jv_bool(all_chars(mica__jv_text(self), mica__py_is_space)); }
METHOD(str_islower) { return UNUSED, mica__jv_bool(mica__jstr_is_lower(mica__jv_text(self))); }
METHOD(str_isupper) { return UNUSED, mica__jv_bool(mica__jstr_is_upper(mica__jv_text(self))); }
METHOD(str_isprintable)
{
    return UNUSED, mica__jv_bool(!self.u.str->n || all_chars(mica__jv_text(self), mica__py_is_printable));
}
METHOD(str_isascii) { return UNUSED, mica__jv_bool(mica__jv_chars(self) == self.u.str->n); }

METHOD(str_isidentifier)
{
    UNUSED;
    return mica__jv_bool(self.u.str->n && mica__py_identifier(self.u.str->p, self.u.str->n) == self.u.str->n);
}

METHOD(str_istitle)
{
    UNUSED;
    mica__str s = mica__jv_text(self);
    uint32_t c;
    bool in_word = false, any = false;
    while (mica__py_next(&s, &c)) {
        bool starts = mica__py_is_upper(c) || mica__py_is_title(c);
        if (starts ? in_word : mica__py_is_lower(c) && !in_word) return mica__jv_bool(false);
        in_word = starts || mica__py_is_lower(c);
        any |= in_word;
    }
    return mica__jv_bool(any);
}

/* ---- stripping ---- */

static bool in_set(uint32_t c, mica__str set)
{
    uint32_t each;
    while (mica__py_next(&set, &each))
        if (each == c) return true;
    return false;
}

/* sides: 1 left, 2 right, 3 both. chars: JV_MISSING or JV_NONE for white space. */
mica__jv mica__jstr_strip(mica__jin *j, mica__jv self, mica__jv chars, int sides)
{
    mica__str s = mica__jv_text(self), set = {0};
    if (!mica__jin_spend(j, s.n / 64)) return JV_ERR;
    if (chars.kind == JV_MISSING || chars.kind == JV_NONE) {
        if (sides & 1) s = mica__py_trim_start(s);
        if (sides & 2) s = mica__py_trim_end(s);
        return piece(j, self, s.p, s.n);
    }
    if (chars.kind != JV_STR) return mica__jin_raise(j, "strip arg must be None or str");
    set = mica__jv_text(chars);
    if (!mica__jin_spend(j, set.n / 8 * (1 + s.n / 64))) return JV_ERR;
    uint32_t c;
    for (mica__str rest = s; (sides & 1) && mica__py_next(&rest, &c) && in_set(c, set);) s = rest;
    for (mica__str rest = s; (sides & 2) && mica__py_prev(&rest, &c) && in_set(c, set);) s = rest;
    return piece(j, self, s.p, s.n);
}

METHOD(str_strip) { return UNUSED, mica__jstr_strip(j, self, a[0], 3); }
METHOD(str_lstrip) { return UNUSED, mica__jstr_strip(j, self, a[0], 1); }
METHOD(str_rstrip) { return UNUSED, mica__jstr_strip(j, self, a[0], 2); }

METHOD(str_removeprefix)
{
    UNUSED;
    mica__str s = mica__jv_text(self), x = {0};
    if (!mica__jarg_text(j, a[0], &x)) return JV_ERR;
    bool has = x.n <= s.n && memcmp(s.p, x.p, x.n) == 0;
    return has ? piece(j, self, s.p + x.n, s.n - x.n) : self;
}

METHOD(str_removesuffix)
{
    UNUSED;
    mica__str s = mica__jv_text(self), x = {0};
    if (!mica__jarg_text(j, a[0], &x)) return JV_ERR;
    bool has = x.n <= s.n && memcmp(s.p + s.n - x.n, x.p, x.n) == 0;
    return has ? piece(j, self, s.p, s.n - x.n) : self;
}

/* ---- searching ---- */

/* self[start:end] as bytes; *first is its first code point's number. 0: start lies behind the end; -1: error. */
static int window(mica__jin *j, mica__jv self, mica__jv start, mica__jv end, mica__str *out, size_t *first)
{
    int64_t n = (int64_t)mica__jv_chars(self), from = 0, to = n;
    if (start.kind != JV_NONE && !mica__jarg_int(j, start, &from)) return -1;
    if (end.kind != JV_NONE && !mica__jarg_int(j, end, &to)) return -1;
    if (from < 0 && (from += n) < 0) from = 0;
    if (to < 0 && (to += n) < 0) to = 0;
    if (to > n) to = n;
    if (from > to) return 0;
    mica__jv part = mica__jv_slice(j, self, mica__jv_int(from), mica__jv_int(to), JV_NULL);
    if (part.kind == JV_ERROR) return -1;
    *out = mica__jv_text(part);
    *first = (size_t)from;
    return 1;
}

/* Pays for a search from the right, which may compare everything with everything. */
static bool spend_search(mica__jin *j, mica__str s, mica__str x, bool last)
{
    return mica__jin_spend(j, s.n / 32 + (last && x.n < s.n ? (uint64_t)x.n * (s.n - x.n) / 256 : 0));
}

static const char *find_last(mica__str s, mica__str x)
{
    for (size_t i = s.n - x.n + 1; x.n <= s.n && i-- > 0;)
        if (memcmp(s.p + i, x.p, x.n) == 0) return s.p + i;
    return NULL;
}

/* Number of the code point where a[0] is found, -1 if it is not, -2 for an error. */
static int64_t find(mica__jin *j, mica__jv self, mica__jv *a, bool last)
{
    mica__str s, x = {0};
    size_t first;
    if (!mica__jarg_text(j, a[0], &x)) return -2;
    int valid = window(j, self, a[1], a[2], &s, &first);
    if (valid <= 0) return valid - 1;
    if (!spend_search(j, s, x, last)) return -2;
    const char *at = last ? find_last(s, x) : x.n ? memmem(s.p, s.n, x.p, x.n) : s.p;
    return at ? (int64_t)(first + count_chars((mica__str){s.p, (size_t)(at - s.p)})) : -1;
}

METHOD(str_find)
{
    UNUSED;
    int64_t at = find(j, self, a, false);
    return at == -2 ? JV_ERR : mica__jv_int(at);
}
METHOD(str_rfind)
{
    UNUSED;
    int64_t at = find(j, self, a, true);
    return at == -2 ? JV_ERR : mica__jv_int(at);
}

static mica__jv index_of(mica__jin *j, mica__jv self, mica__jv *a, bool last)
{
    int64_t at = find(j, self, a, last);
    if (at == -2) return JV_ERR;
    return at < 0 ? mica__jin_raise(j, "substring not found") : mica__jv_int(at);
}

METHOD(str_index) { return UNUSED, index_of(j, self, a, false); }
METHOD(str_rindex) { return UNUSED, index_of(j, self, a, true); }

METHOD(str_count)
{
    UNUSED;
    mica__str s, x = {0};
    size_t first;
    if (!mica__jarg_text(j, a[0], &x)) return JV_ERR;
    int valid = window(j, self, a[1], a[2], &s, &first);
    if (valid < 0) return JV_ERR;
    if (valid == 0) return mica__jv_int(0);
    if (!mica__jin_spend(j, s.n / 32)) return JV_ERR;
    if (!x.n) return mica__jv_int((int64_t)count_chars(s) + 1);
    int64_t n = 0;
    for (const char *p = s.p, *end = s.p + s.n, *at; (at = memmem(p, (size_t)(end - p), x.p, x.n)); p = at + x.n) n++;
    return mica__jv_int(n);
}

static bool affix(mica__str s, mica__str x, bool at_end)
{
    return x.n <= s.n && (x.n == 0 || memcmp(at_end ? s.p + s.n - x.n : s.p, x.p, x.n) == 0);
}

static mica__jv starts_or_ends(mica__jin *j, mica__jv self, mica__jv *a, bool at_end)
{
    mica__str s;
    size_t first;
    int valid = window(j, self, a[1], a[2], &s, &first);
    if (valid < 0) return JV_ERR;
    const char *name = at_end ? "endswith" : "startswith";
    if (a[0].kind == JV_TUPLE) {
        for (size_t i = 0; i < a[0].u.list->n; i++) {
            mica__jv each = a[0].u.list->items[i];
            if (each.kind != JV_STR)
                return mica__jin_raise(j, "tuple for %s must only contain str, not %s", name, mica__jv_type_name(each));
            if (valid && affix(s, mica__jv_text(each), at_end)) return mica__jv_bool(true);
        }
        return mica__jv_bool(false);
    }
    if (a[0].kind != JV_STR)
        return mica__jin_raise(j, "%s first arg must be str or a tuple of str, not %s", name, mica__jv_type_name(a[0]));
    return mica__jv_bool(valid && affix(s, mica__jv_text(a[0]), at_end));
}

METHOD(str_startswith) { return UNUSED, starts_or_ends(j, self, a, false); }
METHOD(str_endswith) { return UNUSED, starts_or_ends(j, self, a, true); }

/* ---- replacing and joining ---- */

mica__jv mica__jstr_replace(mica__jin *j, mica__jv self, mica__str old, mica__str new, int64_t count)
{
    mica__str s = mica__jv_text(self);
    mica__jtext t = {.j = j};
    if (!mica__jin_spend(j, s.n / 32)) return JV_ERR;
    if (!old.n) {
        if (count == 0) return self;
        mica__jtext_add_str(&t, new);
        count--;
        while (s.n && !t.failed) {
            mica__str before = s;
            uint32_t c;
            mica__py_next(&s, &c);
            mica__jtext_add(&t, before.p, before.n - s.n);
            if (count == 0) continue;
            mica__jtext_add_str(&t, new);
            count--;
        }
        return like(self, mica__jtext_value(&t));
    }
    const char *at;
    bool any = false;
    while (count != 0 && !t.failed && (at = memmem(s.p, s.n, old.p, old.n))) {
        mica__jtext_add(&t, s.p, (size_t)(at - s.p));
        mica__jtext_add_str(&t, new);
        s.n -= (size_t)(at - s.p) + old.n;
        s.p = at + old.n;
        count--;
        any = true;
    }
    if (!any) return self;
    mica__jtext_add_str(&t, s);
    return like(self, mica__jtext_value(&t));
}

METHOD(str_replace)
{
    UNUSED;
    mica__str old = {0}, new = {0};
    int64_t count = -1;
    if (!mica__jarg_text(j, a[0], &old) || !text_arg(j, self, a[1], &new) || !mica__jarg_int(j, a[2], &count))
        return JV_ERR;
    return mica__jstr_replace(j, self, old, new, count);
}

METHOD(str_join)
{
    UNUSED;
    mica__jiter *it = mica__jiter_new(j, a[0]);
    mica__jtext t = {.j = j};
    if (!it) return JV_ERR;
    for (size_t i = 0;; i++) {
        mica__jv item;
        int got = mica__jiter_next(j, it, &item);
        if (got < 0) return JV_ERR;
        if (!got) break;
        if (self.sub) {
            item = mica__jv_escape(j, item);
            JV_TRY(item);
        } else if (item.kind != JV_STR) {
            return mica__jin_raise(j, "sequence item %zu: expected str instance, %s found", i,
                                   mica__jv_type_name(item));
        }
        if (i) mica__jtext_add_str(&t, mica__jv_text(self));
        mica__jtext_add_str(&t, mica__jv_text(item));
    }
    return like(self, mica__jtext_value(&t));
}

/* ---- splitting ---- */

static bool add_piece(mica__jin *j, mica__jv self, mica__jitems *list, const char *p, size_t n)
{
    mica__jv v = piece(j, self, p, n);
    return v.kind != JV_ERROR && mica__jitems_add(j, list, v);
}

static bool split_space(mica__jin *j, mica__jv self, int64_t max, mica__jitems *list)
{
    mica__str s = mica__py_trim_start(mica__jv_text(self));
    while (s.n) {
        if (max-- == 0) return add_piece(j, self, list, s.p, s.n);
        mica__str rest = s, end = s;
        uint32_t c;
        while (mica__py_next(&rest, &c) && !mica__py_is_space(c)) end = rest;
        if (!add_piece(j, self, list, s.p, s.n - end.n)) return false;
        s = mica__py_trim_start(end);
    }
    return true;
}

static bool rsplit_space(mica__jin *j, mica__jv self, int64_t max, mica__jitems *list)
{
    mica__str s = mica__py_trim_end(mica__jv_text(self));
    while (s.n) {
        if (max-- == 0) return add_piece(j, self, list, s.p, s.n);
        mica__str rest = s, end = s;
        uint32_t c;
        while (mica__py_prev(&rest, &c) && !mica__py_is_space(c)) end = rest;
        if (!add_piece(j, self, list, s.p + end.n, s.n - end.n)) return false;
        s = mica__py_trim_end(end);
    }
    return true;
}

static bool split_at(mica__jin *j, mica__jv self, mica__str sep, int64_t max, bool from_right, mica__jitems *list)
{
    mica__str s = mica__jv_text(self);
    const char *at;
    while (max-- != 0 && (at = from_right ? find_last(s, sep) : memmem(s.p, s.n, sep.p, sep.n))) {
        size_t before = (size_t)(at - s.p), after = s.n - before - sep.n;
        if (from_right) {
            if (!add_piece(j, self, list, at + sep.n, after)) return false;
            s.n = before;
        } else {
            if (!add_piece(j, self, list, s.p, before)) return false;
            s = (mica__str){at + sep.n, after};
        }
    }
    return add_piece(j, self, list, s.p, s.n);
}

static mica__jv split(mica__jin *j, mica__jv self, mica__jv *a, bool from_right)
{
    int64_t max = -1;
    mica__jitems list = {0};
    if (!mica__jarg_int(j, a[1], &max) || !mica__jin_spend(j, self.u.str->n / 32)) return JV_ERR;
    if (max < 0) max = -1;
    bool ok;
    if (a[0].kind == JV_NONE || a[0].kind == JV_MISSING) {
        ok = from_right ? rsplit_space(j, self, max, &list) : split_space(j, self, max, &list);
    } else {
        mica__str sep = {0};
        if (!mica__jarg_text(j, a[0], &sep)) return JV_ERR;
        if (!sep.n) return mica__jin_raise(j, "empty separator");
        if (!spend_search(j, mica__jv_text(self), sep, from_right)) return JV_ERR;
        ok = split_at(j, self, sep, max, from_right, &list);
    }
    if (!ok) return JV_ERR;
    for (size_t i = 0; from_right && i < list.n / 2; i++) {
        mica__jv swap = list.items[i];
        list.items[i] = list.items[list.n - 1 - i];
        list.items[list.n - 1 - i] = swap;
    }
    return mica__jv_list(j, JV_LIST, list.items, list.n);
}

METHOD(str_split) { return UNUSED, split(j, self, a, false); }
METHOD(str_rsplit) { return UNUSED, split(j, self, a, true); }

bool mica__jstr_lines(mica__jin *j, mica__jv self, bool keep_ends, mica__jitems *list)
{
    mica__str s = mica__jv_text(self);
    if (!mica__jin_spend(j, s.n / 32)) return false;
    while (s.n) {
        mica__str rest = s, end = s;
        uint32_t c = 0;
        while (mica__py_next(&rest, &c) && !mica__py_is_line_end(c)) end = rest;
        size_t line = s.n - end.n;
        if (c == '\r' && end.n && rest.n && rest.p[0] == '\n') rest.p++, rest.n--;
        if (!add_piece(j, self, list, s.p, keep_ends ? s.n - rest.n : line)) return false;
        s = rest;
    }
    return true;
}

METHOD(str_splitlines)
{
    UNUSED;
    bool keep_ends = false;
    mica__jitems list = {0};
    if (!mica__jarg_bool(j, a[0], &keep_ends) || !mica__jstr_lines(j, self, keep_ends, &list)) return JV_ERR;
    return mica__jv_list(j, JV_LIST, list.items, list.n);
}

static mica__jv partition(mica__jin *j, mica__jv self, mica__jv *a, bool last)
{
    mica__str s = mica__jv_text(self), sep = {0};
    if (!mica__jarg_text(j, a[0], &sep) || !spend_search(j, s, sep, last)) return JV_ERR;
    if (!sep.n) return mica__jin_raise(j, "empty separator");
    const char *at = last ? find_last(s, sep) : memmem(s.p, s.n, sep.p, sep.n);
    size_t before = at ? (size_t)(at - s.p) : last ? 0 : s.n;
    size_t middle = at ? sep.n : 0;
    mica__jitems list = {0};
    if (!add_piece(j, self, &list, s.p, before) || !add_piece(j, self, &list, s.p + before, middle) ||
        !add_piece(j, self, &list, s.p + before + middle, s.n - before - middle))
        return JV_ERR;
    return mica__jv_list(j, JV_TUPLE, list.items, list.n);
}

METHOD(str_partition) { return UNUSED, partition(j, self, a, false); }
METHOD(str_rpartition) { return UNUSED, partition(j, self, a, true); }

/* ---- padding ---- */

/* side: -1 pads left, 1 right, 0 both. */
mica__jv mica__jstr_pad(mica__jin *j, mica__jv self, int64_t width, uint32_t fill, int side)
{
    int64_t n = (int64_t)mica__jv_chars(self), missing = width > n ? width - n : 0;
    if (!missing) return self;
    int64_t left = side < 0 ? missing : side > 0 ? 0 : missing / 2 + (missing & width & 1);
    mica__jtext t = {.j = j};
    mica__jtext_pad(&t, fill, (size_t)left);
    mica__jtext_add_str(&t, mica__jv_text(self));
    mica__jtext_pad(&t, fill, (size_t)(missing - left));
    return like(self, mica__jtext_value(&t));
}

static mica__jv pad(mica__jin *j, mica__jv self, mica__jv *a, int side)
{
    int64_t width = 0;
    mica__str fill = MICA_STR(" ");
    uint32_t c = ' ';
    if (!mica__jarg_int(j, a[0], &width) || !text_arg(j, self, a[1], &fill)) return JV_ERR;
    if (count_chars(fill) != 1) return mica__jin_raise(j, "The fill character must be exactly one character long");
    mica__py_next(&fill, &c);
    return mica__jstr_pad(j, self, width, c, side);
}

METHOD(str_center) { return UNUSED, pad(j, self, a, 0); }
METHOD(str_ljust) { return UNUSED, pad(j, self, a, 1); }
METHOD(str_rjust) { return UNUSED, pad(j, self, a, -1); }

METHOD(str_zfill)
{
    UNUSED;
    int64_t width = 0, n = (int64_t)mica__jv_chars(self);
    if (!mica__jarg_int(j, a[0], &width)) return JV_ERR;
    if (width <= n) return self;
    mica__str s = mica__jv_text(self);
    mica__jtext t = {.j = j};
    size_t sign = s.n && (s.p[0] == '+' || s.p[0] == '-');
    mica__jtext_add(&t, s.p, sign);
    mica__jtext_pad(&t, '0', (size_t)(width - n));
    mica__jtext_add(&t, s.p + sign, s.n - sign);
    return like(self, mica__jtext_value(&t));
}

METHOD(str_expandtabs)
{
    UNUSED;
    int64_t size = 8, column = 0;
    mica__str s = mica__jv_text(self);
    if (!mica__jarg_int(j, a[0], &size)) return JV_ERR;
    mica__jtext t = {.j = j};
    for (uint32_t c; !t.failed && mica__py_next(&s, &c);) {
        if (c == '\t') {
            int64_t spaces = size > 0 ? size - column % size : 0;
            mica__jtext_pad(&t, ' ', (size_t)spaces);
            column += spaces;
            continue;
        }
        mica__jtext_add_char(&t, c);
        column = c == '\n' || c == '\r' ? 0 : column + 1;
    }
    return like(self, mica__jtext_value(&t));
}

/* ---- the rest ---- */

METHOD(str_translate)
{
    UNUSED;
    if (a[0].kind != JV_DICT) return mica__jin_raise(j, "translate needs a dictionary");
    mica__str s = mica__jv_text(self);
    mica__jtext t = {.j = j};
    for (uint32_t c; !t.failed && mica__py_next(&s, &c);) {
        mica__jv to;
        int found = mica__jdict_find(j, a[0].u.dict, mica__jv_int(c), &to);
        if (found < 0) return JV_ERR;
        if (!found) {
            mica__jtext_add_char(&t, c);
        } else if (to.kind == JV_STR) {
            mica__jtext_add_str(&t, mica__jv_text(to));
        } else if (mica__jv_is_int(to) && to.u.i >= 0 && to.u.i < 0x110000) {
            mica__jtext_add_char(&t, (uint32_t)to.u.i);
        } else if (to.kind != JV_NONE) {
            return mica__jin_raise(j, "character mapping must return integer, None or str");
        }
    }
    return like(self, mica__jtext_value(&t));
}

METHOD(str_encode)
{
    UNUSED;
    mica__str encoding = MICA_STR("utf-8"), errors = MICA_STR("strict");
    if (!mica__jarg_text(j, a[0], &encoding) || !mica__jarg_text(j, a[1], &errors)) return JV_ERR;
    bool is_utf8 = mica__str_is(encoding, "utf-8") || mica__str_is(encoding, "utf8") || mica__str_is(encoding, "UTF-8");
    if (!is_utf8 && !mica__str_is(encoding, "ascii"))
        return mica__jin_raise(j, "unknown encoding: %s", MICA_QUOTED_STR(encoding));
    mica__jv v = mica__jv_markup(self, false);
    if (!is_utf8 && mica__jv_chars(self) != self.u.str->n) {
        if (!mica__str_is(errors, "ignore") && !mica__str_is(errors, "replace"))
            return mica__jin_raise(j, "'ascii' codec can't encode characters: ordinal not in range(128)");
        mica__jtext t = {.j = j};
        mica__str s = mica__jv_text(self);
        for (uint32_t c; mica__py_next(&s, &c);) {
            if (c < 0x80) {
                mica__jtext_add_char(&t, c);
            } else if (errors.n == 7) {
                mica__jtext_add(&t, "?", 1);
            }
        }
        v = mica__jtext_value(&t);
    }
    if (v.kind == JV_STR) v.kind = JV_BYTES;
    return v;
}

METHOD(str_format) { return UNUSED, mica__jv_format(j, self, raw, JV_NO_VALUE); }

METHOD(str_format_map)
{
    UNUSED;
    return mica__jv_format(j, self, &(mica__jargs){0}, a[0]);
}

METHOD(markup_unescape) { return UNUSED, mica__jstr_unescape(j, self); }
METHOD(markup_striptags) { return UNUSED, mica__jstr_striptags(j, self); }

static const mica__jbuiltin markup_methods[] = {
    {"unescape", "/", markup_unescape, false}, {"striptags", "/", markup_striptags, false}, {0}};

static const mica__jbuiltin str_methods[] = {
    {"capitalize", "/", str_capitalize, false},
    {"casefold", "/", str_casefold, false},
    {"center", "/width,fillchar=", str_center, false},
    {"count", "/sub,start=,end=", str_count, false},
    {"encode", "encoding=,errors=", str_encode, false},
    {"endswith", "/suffix,start=,end=", str_endswith, false},
    {"expandtabs", "tabsize=", str_expandtabs, false},
    {"find", "/sub,start=,end=", str_find, false},
    {"format", "*", str_format, false},
    {"format_map", "/mapping", str_format_map, false},
    {"index", "/sub,start=,end=", str_index, false},
    {"isalnum", "/", str_isalnum, false},
    {"isalpha", "/", str_isalpha, false},
    {"isascii", "/", str_isascii, false},
    {"isdecimal", "/", str_isdecimal, false},
    {"isdigit", "/", str_isdigit, false},
    {"isidentifier", "/", str_isidentifier, false},
    {"islower", "/", str_islower, false},
    {"isnumeric", "/", str_isnumeric, false},
    {"isprintable", "/", str_isprintable, false},
    {"isspace", "/", str_isspace, false},
    {"istitle", "/", str_istitle, false},
    {"isupper", "/", str_isupper, false},
    {"join", "/iterable", str_join, false},
    {"ljust", "/width,fillchar=", str_ljust, false},
    {"lower", "/", str_lower, false},
    {"lstrip", "/chars=", str_lstrip, false},
    {"partition", "/sep", str_partition, false},
    {"removeprefix", "/prefix", str_removeprefix, false},
    {"removesuffix", "/suffix", str_removesuffix, false},
    {"replace", "/old,new,count=", str_replace, false},
    {"rfind", "/sub,start=,end=", str_rfind, false},
    {"rindex", "/sub,start=,end=", str_rindex, false},
    {"rjust", "/width,fillchar=", str_rjust, false},
    {"rpartition", "/sep", str_rpartition, false},
    {"rsplit", "sep=,maxsplit=", str_rsplit, false},
    {"rstrip", "/chars=", str_rstrip, false},
    {"split", "sep=,maxsplit=", str_split, false},
    {"splitlines", "keepends=", str_splitlines, false},
    {"startswith", "/prefix,start=,end=", str_startswith, false},
    {"strip", "/chars=", str_strip, false},
    {"swapcase", "/", str_swapcase, false},
    {"title", "/", str_title, false},
    {"translate", "/table", str_translate, false},
    {"upper", "/", str_upper, false},
    {"zfill", "/width", str_zfill, false},
    {0},
};

const mica__jbuiltin *mica__jstr_method(mica__jv self, mica__str name)
{
    const mica__jbuiltin *found = mica__jbuiltin_in(str_methods, name);
    return found || !self.sub ? found : mica__jbuiltin_in(markup_methods, name);
}
