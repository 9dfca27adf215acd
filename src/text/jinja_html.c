/* text/jinja_html.c: the filters striptags and urlize, and Markup's unescape. */
#include "jinja_filters.h"
#include "jinja_unicode.h"

/* ---- entities ---- */

/* The character of the entity behind "&" in s, and its length with the semicolon; 0: none known. Of the named ones, those that
 * HTML itself writes and the most usual others. */
static size_t entity(mica__str s, uint32_t *c)
{
    static const struct {
        const char *name;
        uint32_t c;
    } named[] = {{"amp;", '&'},       {"lt;", '<'},       {"gt;", '>'},       {"quot;", '"'},     {"apos;", '\''},
                 {"nbsp;", 0xA0},     {"copy;", 0xA9},    {"reg;", 0xAE},     {"laquo;", 0xAB},   {"raquo;", 0xBB},
                 {"hellip;", 0x2026}, {"mdash;", 0x2014}, {"ndash;", 0x2013}, {"lsquo;", 0x2018}, {"rsquo;", 0x2019},
                 {"ldquo;", 0x201C},  {"rdquo;", 0x201D}, {"euro;", 0x20AC},  {"deg;", 0xB0},     {"middot;", 0xB7},
                 {"times;", 0xD7},    {"bull;", 0x2022},  {"trade;", 0x2122}, {"amp", '&'},       {"lt", '<'},
                 {"gt", '>'},         {"quot", '"'},      {"nbsp", 0xA0},     {"copy", 0xA9},     {"reg", 0xAE}};
    if (s.n > 1 && s.p[0] == '#') {
        bool hex = s.p[1] == 'x' || s.p[1] == 'X';
        uint32_t value = 0;
        size_t k = hex ? 2 : 1, from = k;
        for (; k < s.n; k++) {
            int d = mica__py_digit((unsigned char)s.p[k]);
            if (d >= (hex ? 16 : 10)) break;
            if (value < 0x110000) value = value * (hex ? 16 : 10) + (uint32_t)d;
        }
        if (k == from) return 0;
        if (value == 0 || value >= 0x110000 || (value >= 0xD800 && value < 0xE000)) value = 0xFFFD;
        *c = value;
        return k + (k < s.n && s.p[k] == ';');
    }
    for (size_t i = 0; i < sizeof named / sizeof *named; i++) {
        size_t n = strlen(named[i].name);
        if (n > s.n || memcmp(s.p, named[i].name, n) != 0) continue;
        *c = named[i].c;
        return n;
    }
    return 0;
}

mica__jv mica__jstr_unescape(mica__jin *j, mica__jv self)
{
    mica__str s = mica__jv_text(self);
    mica__jtext t = {.j = j};
    if (!mica__jin_spend(j, s.n / 16)) return JV_ERR;
    while (s.n && !t.failed) {
        const char *amp = memchr(s.p, '&', s.n);
        size_t plain = amp ? (size_t)(amp - s.p) : s.n;
        mica__jtext_add(&t, s.p, plain);
        s.p += plain, s.n -= plain;
        if (!amp) break;
        uint32_t c = 0;
        size_t n = entity((mica__str){s.p + 1, s.n - 1}, &c);
        if (n) {
            mica__jtext_add_char(&t, c);
        } else {
            mica__jtext_add(&t, "&", 1);
        }
        s.p += n + 1, s.n -= n + 1;
    }
    return mica__jtext_value(&t);
}

mica__jv mica__jstr_striptags(mica__jin *j, mica__jv self)
{
    mica__str s = mica__jv_text(self);
    mica__jtext plain = {.j = j}, joined = {.j = j};
    if (!mica__jin_spend(j, s.n / 8)) return JV_ERR;
    while (s.n) {
        const char *tag = memchr(s.p, '<', s.n), *end = NULL;
        mica__str rest = s;
        if (tag) {
            rest = (mica__str){tag, s.n - (size_t)(tag - s.p)};
            bool is_comment = rest.n >= 4 && memcmp(rest.p, "<!--", 4) == 0;
            end = is_comment ? memmem(rest.p + 4, rest.n - 4, "-->", 3) : memchr(rest.p, '>', rest.n);
            if (end && is_comment) end += 2;
        }
        if (!end) break;
        mica__jtext_add(&plain, s.p, (size_t)(tag - s.p));
        s = (mica__str){end + 1, s.n - (size_t)(end + 1 - s.p)};
    }
    mica__jtext_add_str(&plain, s);
    mica__str words = {plain.p ? plain.p : "", plain.n};
    for (bool first = true; (words = mica__py_trim_start(words)).n; first = false) {
        mica__str rest = words, end = words;
        uint32_t c;
        while (mica__py_next(&rest, &c) && !mica__py_is_space(c)) end = rest;
        if (!first) mica__jtext_add(&joined, " ", 1);
        mica__jtext_add(&joined, words.p, words.n - end.n);
        words = end;
    }
    mica__jv text = plain.failed ? JV_ERR : mica__jtext_value(&joined);
    return text.kind == JV_ERROR ? text : mica__jstr_unescape(j, text);
}

/* ---- urlize ---- */

static bool has_prefix(mica__str s, const char *z) { return mica__str_starts(s, z); }

static size_t count_of(mica__str s, const char *z)
{
    size_t n = 0, k = strlen(z);
    for (const char *at; s.n && (at = memmem(s.p, s.n, z, k)); n++)
        s = (mica__str){at + k, s.n - (size_t)(at + k - s.p)};
    return n;
}

static bool domain_char(uint32_t c) { return mica__py_is_alnum(c) || c == '-' || c == '_'; }

/* name.name.tld, from the start of s; returns its length in bytes or 0. */
static size_t domain(mica__str s, bool any_end)
{
    static const char *const tlds[] = {"com", "net", "int", "edu", "gov", "org", "info", "mil", NULL};
    size_t i = 0, label = 0, best = 0;
    while (i < s.n) {
        mica__str rest = {s.p + i, s.n - i};
        uint32_t c;
        mica__py_next(&rest, &c);
        if (c == '.' && i > label) {
            label = i + 1;
        } else if (!domain_char(c)) {
            break;
        }
        i = s.n - rest.n;
        mica__str last = {s.p + label, i - label};
        if (!label) continue;
        for (const char *const *t = tlds; !any_end && *t; t++)
            if (mica__str_is(last, *t)) best = i;
        if (any_end && last.n >= 2) best = i;
    }
    return best;
}

/* A web address: a scheme or www. with a host, or a bare domain under one of the old top levels. */
static bool is_url(mica__str s)
{
    bool scheme = has_prefix(s, "https://") || has_prefix(s, "http://"), www = has_prefix(s, "www.");
    size_t skip = scheme ? (s.p[4] == 's' ? 8 : 7) : www ? 4 : 0;
    mica__str host = {s.p + skip, s.n - skip};
    if (scheme && has_prefix(host, "localhost"))
        host.p += 9, host.n -= 9;
    else {
        size_t n = domain(host, scheme || www);
        if (!n) return false;
        host.p += n, host.n -= n;
    }
    if (host.n && host.p[0] == ':') {
        size_t k = 1;
        while (k < host.n && k < 6 && host.p[k] >= '0' && host.p[k] <= '9') k++;
        if (k == 1) return false;
        host.p += k, host.n -= k;
    }
    return !host.n || host.p[0] == '/' || host.p[0] == '?' || host.p[0] == '#';
}

static bool is_email(mica__str s)
{
    const char *at = memchr(s.p, '@', s.n);
    if (!at || at == s.p) return false;
    mica__str host = {at + 1, s.n - (size_t)(at + 1 - s.p)};
    for (mica__str local = {s.p, (size_t)(at - s.p)}; local.n; local.p++, local.n--)
        if (mica__py_is_space((unsigned char)*local.p)) return false;
    return host.n && domain(host, true) == host.n;
}

typedef struct linker {
    mica__jin *j;
    mica__jtext out;
    int64_t limit; /* -1: none */
    mica__str rel, target;
    const mica__jlist *schemes;
} linker;

static void add_link(linker *l, const char *before, mica__str url, bool attributes)
{
    mica__jtext *t = &l->out;
    mica__jtext_add_z(t, "<a href=\"");
    mica__jtext_add_z(t, before);
    mica__jtext_add_str(t, url);
    mica__jtext_add(t, "\"", 1);
    if (attributes && l->rel.n) {
        mica__jtext_add_z(t, " rel=\"");
        mica__jtext_add_str(t, l->rel);
        mica__jtext_add(t, "\"", 1);
    }
    if (attributes && l->target.n) {
        mica__jtext_add_z(t, " target=\"");
        mica__jtext_add_str(t, l->target);
        mica__jtext_add(t, "\"", 1);
    }
    mica__jtext_add(t, ">", 1);
}

static void add_shortened(linker *l, mica__str url)
{
    mica__str rest = url;
    uint32_t c;
    int64_t n = 0;
    while ((l->limit < 0 || n < l->limit) && mica__py_next(&rest, &c)) n++;
    mica__jtext_add(&l->out, url.p, url.n - rest.n);
    if (rest.n) mica__jtext_add(&l->out, "...", 3);
}

static void add_middle(linker *l, mica__str m)
{
    if (is_url(m)) {
        bool scheme = has_prefix(m, "https://") || has_prefix(m, "http://");
        add_link(l, scheme ? "" : "https://", m, true);
        add_shortened(l, m);
    } else if (has_prefix(m, "mailto:") && is_email((mica__str){m.p + 7, m.n - 7})) {
        add_link(l, "", m, false);
        mica__jtext_add(&l->out, m.p + 7, m.n - 7);
    } else if (m.n && m.p[0] != '@' && !has_prefix(m, "www.") && !memchr(m.p, ':', m.n) && is_email(m)) {
        add_link(l, "mailto:", m, false);
        mica__jtext_add_str(&l->out, m);
    } else {
        for (size_t i = 0; l->schemes && i < l->schemes->n; i++) {
            mica__str scheme = mica__jv_text(l->schemes->items[i]);
            if (m.n <= scheme.n || memcmp(m.p, scheme.p, scheme.n) != 0) continue;
            add_link(l, "", m, true);
            mica__jtext_add_str(&l->out, m);
            mica__jtext_add_z(&l->out, "</a>");
            return;
        }
        mica__jtext_add_str(&l->out, m);
        return;
    }
    mica__jtext_add_z(&l->out, "</a>");
}

/* Length of the closing mark at the end of s, 0 if there is none. */
static size_t closing(mica__str s)
{
    if (s.n && strchr(")>.,\n", s.p[s.n - 1]) && s.p[s.n - 1]) return 1;
    return s.n >= 4 && memcmp(s.p + s.n - 4, "&gt;", 4) == 0 ? 4 : 0;
}

static void add_word(linker *l, mica__str word)
{
    static const char *const pairs[][2] = {{"(", ")"}, {"<", ">"}, {"&lt;", "&gt;"}};
    mica__str m = word;
    for (;;) {
        size_t n = m.n && (m.p[0] == '(' || m.p[0] == '<') ? 1 : has_prefix(m, "&lt;") ? 4 : 0;
        if (!n) break;
        m.p += n, m.n -= n;
    }
    mica__jtext_add(&l->out, word.p, word.n - m.n);
    mica__str tail = {m.p + m.n, 0};
    for (size_t n; (n = closing(m));) m.n -= n, tail.p -= n, tail.n += n;
    for (int i = 0; i < 3; i++) { /* closing brackets that belong to ones inside */
        size_t opened = count_of(m, pairs[i][0]), closed = count_of(m, pairs[i][1]),
               in_tail = count_of(tail, pairs[i][1]);
        if (opened <= closed) continue;
        for (size_t k = opened < in_tail ? opened : in_tail; k--;) {
            const char *at = memmem(tail.p, tail.n, pairs[i][1], strlen(pairs[i][1]));
            if (!at) break;
            size_t n = (size_t)(at - tail.p) + strlen(pairs[i][1]);
            m.n += n;
            tail.p += n, tail.n -= n;
        }
    }
    add_middle(l, m);
    mica__jtext_add_str(&l->out, tail);
}

mica__jv mica__jstr_urlize(mica__jin *j, mica__jv text, mica__jv limit, mica__str rel, mica__jv target,
                           mica__jv schemes)
{
    linker l = {.j = j, .out = {.j = j}, .limit = -1, .rel = rel};
    if (limit.kind != JV_NONE && !mica__jarg_int(j, limit, &l.limit)) return JV_ERR;
    if (target.kind != JV_NONE && !mica__jarg_text(j, target, &l.target)) return JV_ERR;
    if (mica__jv_is_seq(schemes)) {
        l.schemes = schemes.u.list;
        for (size_t i = 0; i < l.schemes->n; i++)
            if (l.schemes->items[i].kind != JV_STR) return mica__jin_raise(j, "a URI scheme must be a string");
    }
    text = mica__jv_escape(j, text);
    JV_TRY(text);
    mica__str s = mica__jv_text(text);
    if (!mica__jin_spend(j, s.n)) return JV_ERR;
    while (s.n && !l.out.failed) {
        mica__str after = mica__py_trim_start(s);
        mica__jtext_add(&l.out, s.p, s.n - after.n);
        mica__str rest = after, end = after;
        uint32_t c;
        while (mica__py_next(&rest, &c) && !mica__py_is_space(c)) end = rest;
        if (after.n > end.n) add_word(&l, (mica__str){after.p, after.n - end.n});
        s = end;
    }
    return mica__jtext_value(&l.out);
}
