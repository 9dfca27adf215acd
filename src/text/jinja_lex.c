/* text/jinja_lex.c: template source to tokens.
 *
 * Outside of tags everything up to the next "{{", "{%" or "{#" is data. A tag may take white space away on either side: "-"
 * takes all of it; a block or comment tag that stands alone on its line loses the indentation before it (unless "{%+") and the
 * line end behind it (unless "+%}"). */
#include "jinja_lex.h"
#include "jinja_unicode.h"
#include <stdio.h>

static mica_status fail_at(mica__jlex *x, size_t at, const char *what)
{
    uint32_t line = x->line;
    size_t start = x->line_start;
    for (const char *nl; at > start && (nl = memchr(x->p + start, '\n', at - start));) {
        line++;
        start = (size_t)(nl - x->p) + 1;
    }
    return mica__fail(x->err, MICA_DATA, "chat template, line %u, column %zu: %s", line, at - start + 1, what);
}

static mica_status fail_unexpected(mica__jlex *x, size_t at)
{
    size_t n = 1;
    while (at + n < x->n && ((unsigned char)x->p[at + n] & 0xC0) == 0x80) n++;
    char what[280];
    snprintf(what, sizeof what, "unexpected character '%s'", MICA_QUOTED(x->p + at, n));
    return fail_at(x, at, what);
}

/* Moves to `to`, counting lines. */
static void advance(mica__jlex *x, size_t to)
{
    for (const char *nl; x->at < to && (nl = memchr(x->p + x->at, '\n', to - x->at));) {
        x->line++;
        x->line_start = (size_t)(nl - x->p) + 1;
        x->at = x->line_start;
    }
    x->at = to;
}

mica_status mica__jlex_init(mica__jlex *x, mica__arena *arena, const char *source, size_t n, mica_error *err)
{
    *x = (mica__jlex){.arena = arena, .line = 1, .at_line_start = true, .err = err};
    if (!mica__utf8_valid(source, n)) return mica__fail(err, MICA_DATA, "chat template: not valid UTF-8");
    char *p = mica__arena_alloc(arena, n + 1, 1);
    if (!p) return mica__fail_memory(err, n, "a chat template");
    size_t m = 0;
    for (size_t i = 0; i < n; i++) {
        if (source[i] == '\r') {
            p[m++] = '\n';
            if (i + 1 < n && source[i + 1] == '\n') i++;
        } else {
            p[m++] = source[i];
        }
    }
    if (m && p[m - 1] == '\n') m--;
    x->p = p;
    x->n = m;
    return MICA_OK;
}

static bool looking_at(const mica__jlex *x, size_t at, const char *z)
{
    size_t n = strlen(z);
    return n <= x->n - at && memcmp(x->p + at, z, n) == 0;
}

static size_t skip_space(const mica__jlex *x, size_t at)
{
    uint32_t c;
    for (int n; at < x->n && (n = mica__utf8_decode(x->p + at, x->n - at, &c)) > 0 && mica__py_is_space(c);)
        at += (size_t)n;
    return at;
}

/* Where white space at the end of p[from..to) begins. */
static size_t trim_end(const mica__jlex *x, size_t from, size_t to)
{
    return from + mica__py_trim_end((mica__str){x->p + from, to - from}).n;
}

/* End of a "%}" (with its sign and what it takes along) at `at`, or 0. */
static size_t block_end(const mica__jlex *x, size_t at)
{
    if (looking_at(x, at, "+%}")) return at + 3;
    if (looking_at(x, at, "-%}")) return skip_space(x, at + 3);
    if (looking_at(x, at, "%}")) return at + 2 + (at + 2 < x->n && x->p[at + 2] == '\n');
    return 0;
}

static size_t print_end(const mica__jlex *x, size_t at)
{
    if (looking_at(x, at, "-}}")) return skip_space(x, at + 3);
    return looking_at(x, at, "}}") ? at + 2 : 0;
}

static size_t comment_end(const mica__jlex *x, size_t at)
{
    if (looking_at(x, at, "+#}")) return at + 3;
    if (looking_at(x, at, "-#}")) return skip_space(x, at + 3);
    if (looking_at(x, at, "#}")) return at + 2 + (at + 2 < x->n && x->p[at + 2] == '\n');
    return 0;
}

/* The word `name` between white space behind a "{%" whose sign was read; 0 if it is not there. */
static size_t tag_word(const mica__jlex *x, size_t at, const char *name)
{
    at = skip_space(x, at);
    if (!looking_at(x, at, name)) return 0;
    return skip_space(x, at + strlen(name));
}

/* End of "{% raw %}" at `at`, or 0. */
static size_t raw_begin(const mica__jlex *x, size_t at)
{
    size_t word = at + 2;
    if (word < x->n && (x->p[word] == '-' || x->p[word] == '+')) word++;
    size_t end = tag_word(x, word, "raw");
    if (!end) return 0;
    if (looking_at(x, end, "-%}")) return skip_space(x, end + 3);
    return looking_at(x, end, "%}") ? end + 2 : 0;
}

/* The data [from, to) before a tag, less what the tag's sign or lstrip_blocks takes. */
static size_t strip_before(const mica__jlex *x, size_t from, size_t to, char sign, bool is_print)
{
    if (sign == '-') return trim_end(x, from, to);
    if (sign == '+' || is_print) return to;
    size_t start = to;
    while (start > from && x->p[start - 1] != '\n') start--;
    if (start == from && !x->at_line_start) return to;
    return trim_end(x, start, to) == start ? start : to;
}

static void data_token(mica__jlex *x, mica__jtoken *t, size_t from, size_t to)
{
    *t = (mica__jtoken){.kind = JT_DATA,
                        .line = x->line,
                        .column = (uint32_t)(from - x->line_start + 1),
                        .text = {x->p + from, to - from}};
}

static char sign_at(const mica__jlex *x, size_t at)
{
    return at < x->n && (x->p[at] == '-' || x->p[at] == '+') ? x->p[at] : 0;
}

/* A raw block whose begin tag ends at `at`: its text is one data token. */
static mica_status lex_raw(mica__jlex *x, size_t at, mica__jtoken *t)
{
    for (size_t i = at; i + 1 < x->n; i++) {
        if (x->p[i] != '{' || x->p[i + 1] != '%') continue;
        char sign = sign_at(x, i + 2);
        size_t word = tag_word(x, i + 2 + (sign != 0), "endraw"), end = word ? block_end(x, word) : 0;
        if (!end) continue;
        data_token(x, t, at, strip_before(x, at, i, sign, false));
        x->at_line_start = x->p[end - 1] == '\n';
        advance(x, end);
        return MICA_OK;
    }
    return fail_at(x, at, "the raw block is never closed");
}

/* Data up to the next tag. Comments are skipped here; a block or print tag is remembered as pending. */
static mica_status lex_data(mica__jlex *x, mica__jtoken *t)
{
    size_t from = x->at, i = from;
    while (i + 1 < x->n && !(x->p[i] == '{' && (x->p[i + 1] == '{' || x->p[i + 1] == '%' || x->p[i + 1] == '#'))) i++;
    if (i + 1 >= x->n) {
        data_token(x, t, from, x->n);
        if (from == x->n) t->kind = JT_END;
        advance(x, x->n);
        return MICA_OK;
    }
    char tag = x->p[i + 1], sign = sign_at(x, i + 2);
    size_t raw = tag == '%' ? raw_begin(x, i) : 0;
    data_token(x, t, from, strip_before(x, from, i, sign, tag == '{'));
    size_t body = raw ? raw : i + 2 + (sign != 0);
    advance(x, i);
    x->pending_line = x->line;
    x->pending_column = (uint32_t)(i - x->line_start + 1);
    if (tag == '#') {
        size_t end = 0, k = body;
        while (k < x->n && !(end = comment_end(x, k))) k++;
        if (!end) return fail_at(x, i, "the comment is never closed");
        x->at_line_start = x->p[end - 1] == '\n';
        advance(x, end);
        return MICA_OK;
    }
    x->at_line_start = x->p[body - 1] == '\n';
    advance(x, body);
    if (raw) {
        if (t->text.n) {
            x->pending = JT_DATA;
            return MICA_OK;
        }
        return lex_raw(x, body, t);
    }
    x->pending = tag == '%' ? JT_BLOCK_BEGIN : JT_PRINT_BEGIN;
    x->next_state = tag == '%' ? JX_BLOCK : JX_PRINT;
    return MICA_OK;
}

/* ---- inside tags ---- */

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* Digits of `base` from `at`, single underscores allowed between them (and before the first if `lead`). */
static size_t digits(const mica__jlex *x, size_t at, int base, bool lead)
{
    size_t end = at;
    for (;;) {
        size_t k = end;
        if (k < x->n && x->p[k] == '_' && (lead || k > at)) k++;
        if (k >= x->n || mica__py_digit((unsigned char)x->p[k]) >= base) return end;
        end = k + 1;
    }
}

/* Like digits in base ten, but as floats have them: "1_000". */
static size_t decimals(const mica__jlex *x, size_t at)
{
    return at < x->n && is_digit(x->p[at]) ? digits(x, at, 10, false) : at;
}

static size_t exponent(const mica__jlex *x, size_t at)
{
    if (at >= x->n || (x->p[at] | 32) != 'e') return at;
    size_t k = at + 1;
    if (k < x->n && (x->p[k] == '+' || x->p[k] == '-')) k++;
    size_t end = decimals(x, k);
    return end > k ? end : at;
}

static size_t float_end(const mica__jlex *x, size_t at)
{
    if (at > 0 && x->p[at - 1] == '.') return 0;
    size_t whole = decimals(x, at), end = whole;
    if (end < x->n && x->p[end] == '.') {
        size_t fraction = decimals(x, end + 1);
        if (fraction > end + 1) end = fraction;
    }
    size_t with_exponent = exponent(x, end);
    return with_exponent > whole ? with_exponent : 0;
}

static size_t int_end(const mica__jlex *x, size_t at)
{
    if (x->p[at] != '0') return digits(x, at, 10, false);
    if (at + 1 < x->n) {
        char c = (char)(x->p[at + 1] | 32);
        int base = c == 'b' ? 2 : c == 'o' ? 8 : c == 'x' ? 16 : 0;
        size_t end = base ? digits(x, at + 2, base, true) : 0;
        if (end > at + 2) return end;
    }
    return digits(x, at, 1, false); /* zeros only */
}

static mica_status number(mica__jlex *x, mica__jtoken *t)
{
    size_t end = float_end(x, x->at);
    t->kind = end ? JT_FLOAT : JT_INT;
    if (!end) end = int_end(x, x->at);
    char *copy = mica__arena_alloc(x->arena, end - x->at + 1, 1);
    if (!copy) return mica__fail_memory(x->err, end - x->at, "a chat template");
    size_t m = 0;
    for (size_t i = x->at; i < end; i++)
        if (x->p[i] != '_') copy[m++] = x->p[i];
    copy[m] = 0;
    t->text = (mica__str){copy, m};
    advance(x, end);
    return MICA_OK;
}

/* \xHH, \uHHHH, \UHHHHHHHH: reads `n` hexadecimal digits. */
static bool hex(const mica__jlex *x, size_t at, size_t end, int n, uint32_t *out)
{
    *out = 0;
    for (int i = 0; i < n; i++, at++) {
        int d = at < end ? mica__py_digit((unsigned char)x->p[at]) : 99;
        if (d >= 16) return false;
        *out = *out << 4 | (uint32_t)d;
    }
    return true;
}

/* Writes the character of the escape whose backslash is at `at`; returns its end, 0 for an error (already recorded). */
static size_t escape(mica__jlex *x, size_t at, size_t end, char *out, size_t *m)
{
    static const char plain[] = "abfnrtv\\'\"", meaning[] = "\a\b\f\n\r\t\v\\'\"";
    char c = x->p[at + 1];
    const char *known = c ? strchr(plain, c) : NULL;
    if (known) return out[(*m)++] = meaning[known - plain], at + 2;
    if (c == '\n') return at + 2;
    uint32_t codepoint = 0;
    if (c >= '0' && c <= '7') {
        size_t k = at + 1;
        while (k < end && k < at + 4 && x->p[k] >= '0' && x->p[k] <= '7')
            codepoint = codepoint * 8 + (uint32_t)(x->p[k++] - '0');
        *m += (size_t)mica__utf8_encode(codepoint, out + *m);
        return k;
    }
    int n = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (n) {
        if (!hex(x, at + 2, end, n, &codepoint)) return fail_at(x, at, "the escape in this string is cut short"), 0;
        if (codepoint > 0x10FFFF || (codepoint >= 0xD800 && codepoint < 0xE000))
            return fail_at(x, at, "the escape in this string is no character"), 0;
        *m += (size_t)mica__utf8_encode(codepoint, out + *m);
        return at + 2 + (size_t)n;
    }
    if (c == 'N') return fail_at(x, at, "characters by name (\\N) are not supported"), 0;
    out[(*m)++] = '\\';
    uint32_t wide;
    int width = mica__utf8_decode(x->p + at + 1, end - at - 1, &wide);
    if (wide >= 0x80) { /* the reference turns the character into an escape first, which the backslash then disarms */
        *m += (size_t)snprintf(out + *m, 12, wide < 0x100 ? "x%02x" : wide < 0x10000 ? "u%04x" : "U%08x", wide);
        return at + 1 + (size_t)width;
    }
    out[(*m)++] = c;
    return at + 2;
}

static mica_status string(mica__jlex *x, mica__jtoken *t)
{
    char quote = x->p[x->at];
    size_t from = x->at + 1, end = from, escapes = 0;
    while (end < x->n && x->p[end] != quote) {
        if (x->p[end] == '\\') escapes++, end++;
        end++;
    }
    if (end >= x->n) return fail_at(x, x->at, "the string is never closed");
    t->kind = JT_STRING;
    t->text = (mica__str){x->p + from, end - from};
    if (escapes) {
        char *out = mica__arena_alloc(x->arena, end - from + 9 * escapes + 16, 1);
        if (!out) return mica__fail_memory(x->err, end - from, "a chat template");
        size_t m = 0;
        for (size_t i = from; i < end;) {
            if (x->p[i] != '\\') {
                out[m++] = x->p[i++];
            } else if (!(i = escape(x, i, end, out, &m))) {
                return MICA_DATA;
            }
        }
        t->text = (mica__str){out, m};
    }
    advance(x, end + 1);
    return MICA_OK;
}

static mica_status bracket(mica__jlex *x, char c)
{
    if (c == '(' || c == '[' || c == '{') {
        if (x->n_brackets == sizeof x->brackets)
            return mica__fail(x->err, MICA_LIMIT, "chat template, line %u: nested deeper than %d", x->line,
                              MICA__JINJA_MAX_DEPTH);
        x->brackets[x->n_brackets++] = c == '(' ? ')' : (char)(c + 2);
    } else if (c == ')' || c == ']' || c == '}') {
        if (!x->n_brackets || x->brackets[x->n_brackets - 1] != c) {
            char what[64] = {0};
            if (x->n_brackets) {
                snprintf(what, sizeof what, "unexpected '%c', expected '%c'", c, x->brackets[x->n_brackets - 1]);
            } else {
                snprintf(what, sizeof what, "unexpected '%c'", c);
            }
            return fail_at(x, x->at, what);
        }
        x->n_brackets--;
    }
    return MICA_OK;
}

static mica_status operator(mica__jlex *x, mica__jtoken *t)
{
    static const char *const doubles[] = {"//", "**", "==", "!=", ">=", "<="};
    t->kind = JT_OPERATOR;
    for (size_t i = 0; i < sizeof doubles / sizeof *doubles; i++) {
        if (!looking_at(x, x->at, doubles[i])) continue;
        t->op = JT_OP2(doubles[i][0], doubles[i][1]);
        advance(x, x->at + 2);
        return MICA_OK;
    }
    char c = x->p[x->at];
    if (!c || !strchr("+-/*%~[](){}><=.:|,;", c)) return fail_unexpected(x, x->at);
    MICA_TRY(bracket(x, c));
    t->op = (uint16_t)c;
    advance(x, x->at + 1);
    return MICA_OK;
}

static mica_status lex_tag(mica__jlex *x, mica__jtoken *t)
{
    advance(x, skip_space(x, x->at));
    *t = (mica__jtoken){.line = x->line, .column = (uint32_t)(x->at - x->line_start + 1)};
    if (x->at >= x->n) {
        t->kind = JT_END;
        return MICA_OK;
    }
    if (!x->n_brackets) {
        size_t end = x->state == JX_BLOCK ? block_end(x, x->at) : print_end(x, x->at);
        if (end) {
            t->kind = x->state == JX_BLOCK ? JT_BLOCK_END : JT_PRINT_END;
            x->at_line_start = x->p[end - 1] == '\n';
            x->state = JX_DATA;
            advance(x, end);
            return MICA_OK;
        }
    }
    char c = x->p[x->at];
    if (is_digit(c)) return number(x, t);
    if (c == '\'' || c == '"') return string(x, t);
    size_t name = mica__py_identifier(x->p + x->at, x->n - x->at);
    if (name) {
        t->kind = JT_NAME;
        t->text = (mica__str){x->p + x->at, name};
        advance(x, x->at + name);
        return MICA_OK;
    }
    return operator(x, t);
}

mica_status mica__jlex_next(mica__jlex *x, mica__jtoken *t)
{
    if (x->state != JX_DATA) return lex_tag(x, t);
    for (;;) {
        if (x->pending == JT_DATA) {
            x->pending = JT_END;
            MICA_TRY(lex_raw(x, x->at, t));
        } else if (x->pending != JT_END) {
            *t = (mica__jtoken){.kind = x->pending, .line = x->pending_line, .column = x->pending_column};
            x->pending = JT_END;
            x->state = x->next_state;
            return MICA_OK;
        } else {
            MICA_TRY(lex_data(x, t));
        }
        if (t->kind == JT_END || t->text.n) return MICA_OK;
    }
}

const char *mica__jtoken_describe(const mica__jtoken *t, char buf[64])
{
    switch (t->kind) {
    case JT_END:
        return "end of template";
    case JT_DATA:
        return "text";
    case JT_BLOCK_BEGIN:
        return "begin of statement block";
    case JT_BLOCK_END:
        return "end of statement block";
    case JT_PRINT_BEGIN:
        return "begin of print statement";
    case JT_PRINT_END:
        return "end of print statement";
    case JT_STRING:
        return "string";
    case JT_INT:
        return "integer";
    case JT_FLOAT:
        return "float";
    case JT_NAME:
        snprintf(buf, 64, "%.60s", MICA_QUOTED(t->text.p, t->text.n < 50 ? t->text.n : 50));
        return buf;
    case JT_OPERATOR:
        snprintf(buf, 64, "%c%c", t->op & 255, t->op >> 8);
        return buf;
    }
    return "?";
}
