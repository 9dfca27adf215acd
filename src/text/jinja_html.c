/* text/jinja_html.c: the filters striptags and urlize, and Markup's unescape. */
#include "jinja_filters.h"
#include "jinja_unicode.h"
#include <strings.h>

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

static bool is_label_char(uint32_t c) { return mica__py_is_alnum(c) || c == '_' || c == '%' || c == '-'; }
static bool is_word_char(uint32_t c) { return mica__py_is_alnum(c) || c == '_'; }

/* Characters (not bytes) at the start of s that pass; *bytes: how long they are. */
static size_t run_of(mica__str s, bool (*test)(uint32_t), size_t *bytes)
{
    mica__str rest = s;
    size_t n = 0;
    *bytes = 0;
    for (uint32_t c; mica__py_next(&rest, &c) && test(c); n++) *bytes = s.n - rest.n;
    return n;
}

static bool is_letter(char c) { return (c | 32) >= 'a' && (c | 32) <= 'z'; }

/* After the host: a port, then a path, query or fragment, or nothing. */
static bool ends_url(mica__str s)
{
    if (s.n && s.p[0] == ':') {
        size_t k = 1;
        while (k < s.n && k < 6 && s.p[k] >= '0' && s.p[k] <= '9') k++;
        if (k > 1) s.p += k, s.n -= k;
    }
    return !s.n || s.p[0] == '/' || s.p[0] == '?' || s.p[0] == '#';
}

/* A last label of 2 to 63 letters (or xn--...), with what may follow it. */
static bool ends_in_tld(mica__str s)
{
    size_t k = 0, bytes;
    if (has_prefix(s, "xn--")) {
        size_t n = run_of((mica__str){s.p + 4, s.n - 4}, is_label_char, &bytes);
        if (n >= 2 && n <= 59 && ends_url((mica__str){s.p + 4 + bytes, s.n - 4 - bytes})) return true;
    }
    while (k < s.n && k < 63 && is_letter(s.p[k])) k++;
    return k >= 2 && ends_url((mica__str){s.p + k, s.n - k});
}

static bool is_ip4(mica__str s)
{
    for (int part = 0; part < 4; part++) {
        size_t k = 0;
        if (part && (!s.n || s.p[0] != '.')) return false;
        if (part) s.p++, s.n--;
        while (k < s.n && k < 3 && s.p[k] >= '0' && s.p[k] <= '9') k++;
        if (!k) return false;
        s.p += k, s.n -= k;
    }
    return ends_url(s);
}

/* Host behind a scheme or "www.": labels with dots between them and a last label of letters, or only that. */
static bool is_host(mica__str s)
{
    for (;;) {
        size_t bytes;
        if (ends_in_tld(s)) return true;
        if (!run_of(s, is_label_char, &bytes) || bytes >= s.n || s.p[bytes] != '.') return false;
        s.p += bytes + 1, s.n -= bytes + 1;
    }
}

/* A bare domain: labels of 2 to 63 characters below one of the old top levels. */
static bool is_bare_domain(mica__str s)
{
    static const char *const tlds[] = {"com", "net", "int", "edu", "gov", "org", "info", "mil"};
    for (bool any = false;; any = true) {
        size_t bytes, n = run_of(s, is_label_char, &bytes);
        for (size_t i = 0; any && i < sizeof tlds / sizeof *tlds; i++) {
            size_t k = strlen(tlds[i]);
            if (k <= s.n && strncasecmp(s.p, tlds[i], k) == 0 && ends_url((mica__str){s.p + k, s.n - k})) return true;
        }
        if (n < 2 || n > 63 || bytes >= s.n || s.p[bytes] != '.') return false;
        s.p += bytes + 1, s.n -= bytes + 1;
    }
}

static bool is_url(mica__str s)
{
    size_t scheme = s.n > 8 && strncasecmp(s.p, "https://", 8) == 0  ? 8
                    : s.n > 7 && strncasecmp(s.p, "http://", 7) == 0 ? 7
                                                                     : 0;
    if (scheme) {
        mica__str host = {s.p + scheme, s.n - scheme};
        return is_host(host) || is_ip4(host);
    }
    if (s.n > 4 && strncasecmp(s.p, "www.", 4) == 0 && is_host((mica__str){s.p + 4, s.n - 4})) return true;
    return is_bare_domain(s);
}

static const char *last_of(mica__str s, char c)
{
    while (s.n && s.p[s.n - 1] != c) s.n--;
    return s.n ? s.p + s.n - 1 : NULL;
}

static bool is_mail_host_char(uint32_t c) { return is_word_char(c) || c == '.' || c == '-'; }

/* something@host.name */
static bool is_email(mica__str s)
{
    const char *at = last_of(s, '@');
    if (!at || at == s.p) return false;
    mica__str host = {at + 1, s.n - (size_t)(at + 1 - s.p)};
    const char *dot = last_of(host, '.');
    if (!dot || dot == host.p) return false;
    mica__str last = {dot + 1, host.n - (size_t)(dot + 1 - host.p)}, rest = host;
    size_t bytes;
    uint32_t c;
    mica__py_next(&rest, &c);
    if (!is_word_char(c) || !last.n || !run_of(last, is_word_char, &bytes) || bytes != last.n) return false;
    run_of(host, is_mail_host_char, &bytes);
    return bytes == host.n;
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
