/* text/regex_translate.c: Oniguruma (Ruby) patterns rewritten for PCRE2.
 *
 * A recursive descent over the pattern that copies what means the same and rewrites what does not: \h and \s and \w are
 * spelled out as sets, \p names become PCRE2's, (?m) is PCRE2's (?s), ^ and $ are always line anchors, {,n} and stacked
 * quantifiers get groups, an option (?i) lasts to the end of its group including later alternatives, and set operations
 * inside brackets ([a&&[^b]]) become lookaheads. Anything else is refused with its position. */
#include "text/regex.h"
#include "text/regex_sets.h"

enum { MAX_DEPTH = 100, MAX_PATTERN_BYTES = 65536, MAX_REPEAT = 65535 };

typedef struct translator {
    const char *start, *p, *end;
    mica__buf *out;
    bool captures; /* plain groups are numbered: the pattern has back references */
    unsigned depth;
    mica_error *err;
} translator;

static mica_status refuse(const translator *t, const char *why)
{
    return mica__fail(t->err, MICA_DATA, "regular expression, byte %zu: %s", (size_t)(t->p - t->start), why);
}

static bool more(const translator *t) { return t->p < t->end; }
static bool at(const translator *t, const char *z)
{
    size_t n = strlen(z);
    return (size_t)(t->end - t->p) >= n && memcmp(t->p, z, n) == 0;
}
static bool take(translator *t, const char *z)
{
    if (!at(t, z)) return false;
    t->p += strlen(z);
    return true;
}

static bool is_alnum(uint32_t c) { return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z' && c < 0x80); }

static void emit_char(mica__buf *out, uint32_t c)
{
    if (is_alnum(c))
        mica__buf_append_char(out, (char)c);
    else if (c >= 0xa0)
        mica__buf_append_utf8(out, c);
    else
        mica__buf_printf(out, "\\x{%x}", (unsigned)c);
}

/* Reads the property after \p or \P (at '{'). */
static mica_status read_property(translator *t, bool negated, mica__set *into)
{
    if (!take(t, "{")) return refuse(t, "\\p without {name}");
    if (take(t, "^")) negated = !negated;
    const char *close = memchr(t->p, '}', (size_t)(t->end - t->p));
    if (!close) return refuse(t, "\\p{ without }");
    if (!mica__set_add_property(into, (mica__str){t->p, (size_t)(close - t->p)}, negated))
        return refuse(t, "unknown property name");
    t->p = close + 1;
    return MICA_OK;
}

/* \d \w \s \h and their negations; false if c is none. */
static bool shorthand(char c, bool in_brackets, mica__set *into)
{
    static const struct {
        char letter;
        const char *inside;
    } sets[] = {{'d', "\\p{Nd}"}, {'w', MICA__WORD_SET}, {'s', MICA__SPACE_SET}, {'h', "0-9A-Fa-f"}};
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
        if ((c | 32) != sets[i].letter) continue;
        bool word = sets[i].letter == 'w' && !in_brackets;
        mica__set_add(into, word ? MICA__WORD_ALONE : sets[i].inside, c != sets[i].letter);
        return true;
    }
    return false;
}

static int digit_value(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return 99;
}

static int read_digits(translator *t, int base, int most, uint32_t *value)
{
    int n = 0;
    for (*value = 0; n < most && more(t) && digit_value(*t->p) < base; n++, t->p++)
        *value = *value * (uint32_t)base + (uint32_t)digit_value(*t->p);
    return n;
}

/* A character escape, t->p after the backslash. *is_char false: it is some other escape and t->p has not moved. */
static mica_status read_char_escape(translator *t, uint32_t *c, bool *is_char)
{
    static const char letters[] = "tnrfvae", values[] = "\t\n\r\f\v\a\033";
    *is_char = true;
    const char *letter = *t->p ? strchr(letters, *t->p) : NULL;
    if (letter) {
        *c = (unsigned char)values[letter - letters];
        t->p++;
        return MICA_OK;
    }
    if (*t->p == 'x' || *t->p == 'u') {
        bool is_u = *t->p++ == 'u', braces = !is_u && take(t, "{");
        int n = read_digits(t, 16, is_u ? 4 : braces ? 8 : 2, c);
        if (n == 0 || (is_u && n < 4) || (braces && !take(t, "}"))) return refuse(t, "malformed \\x or \\u");
        if (*c > 0x10ffff || (*c >= 0xd800 && *c < 0xe000) || (!is_u && !braces && *c > 0x7f))
            return refuse(t, "no such character");
        return MICA_OK;
    }
    if (*t->p == '0') {
        read_digits(t, 8, 3, c);
        if (*c > 0x7f) return refuse(t, "no such character");
        return MICA_OK;
    }
    if (is_alnum((unsigned char)*t->p)) {
        *is_char = false;
        return MICA_OK;
    }
    int length = mica__utf8_decode(t->p, (size_t)(t->end - t->p), c);
    if (!length) return refuse(t, "invalid UTF-8");
    t->p += length;
    return MICA_OK;
}

static mica_status parse_set(translator *t, mica__set *result);

/* [:name:] or [:^name:] inside a set; *found false if there is none here. */
static mica_status posix_set(translator *t, mica__set *into, bool *found)
{
    *found = false;
    if (!at(t, "[:")) return MICA_OK;
    const char *q = t->p + 2;
    bool negated = q < t->end && *q == '^';
    if (negated) q++;
    const char *name = q;
    while (q < t->end && is_alnum((unsigned char)*q)) q++;
    if (t->end - q < 2 || q[0] != ':' || q[1] != ']') return MICA_OK;
    if (!mica__set_add_posix(into, (mica__str){name, (size_t)(q - name)}, negated))
        return refuse(t, "unknown [:name:]");
    *found = true;
    t->p = q + 2;
    return MICA_OK;
}

/* One character inside a set, written plainly or as an escape; *is_char false for anything else. */
static mica_status set_char(translator *t, uint32_t *c, bool *is_char)
{
    if (*t->p == '\\') {
        if (t->end - t->p < 2) return refuse(t, "backslash at the end");
        t->p++;
        if (*t->p == 'b') {
            *c = 8;
            *is_char = true;
            t->p++;
            return MICA_OK;
        }
        MICA_TRY(read_char_escape(t, c, is_char));
        if (!*is_char) t->p--;
        return MICA_OK;
    }
    int length = mica__utf8_decode(t->p, (size_t)(t->end - t->p), c);
    if (!length) return refuse(t, "invalid UTF-8");
    t->p += length;
    *is_char = true;
    return MICA_OK;
}

/* One item of a set: a nested set, a class, a character or a range. */
static mica_status set_item(translator *t, mica__set *into)
{
    bool found;
    MICA_TRY(posix_set(t, into, &found));
    if (found) return MICA_OK;
    if (take(t, "[")) return parse_set(t, into);
    uint32_t low, high;
    bool is_char;
    MICA_TRY(set_char(t, &low, &is_char));
    if (!is_char) { /* at a backslash and a letter */
        char letter = t->p[1];
        if (letter == 'p' || letter == 'P') {
            t->p += 2;
            return read_property(t, letter == 'P', into);
        }
        if (!shorthand(letter, true, into)) return refuse(t, "this escape is not supported in a set");
        t->p += 2;
        return MICA_OK;
    }
    emit_char(&into->inside, low);
    if (!at(t, "-") || t->end - t->p < 2 || t->p[1] == ']' || t->p[1] == '[') return MICA_OK;
    const char *dash = t->p++;
    MICA_TRY(set_char(t, &high, &is_char));
    if (!is_char) { /* "a-\d": the dash stands for itself */
        t->p = dash + 1;
        mica__buf_append_z(&into->inside, "\\x2d");
        return MICA_OK;
    }
    if (high < low) return refuse(t, "empty range in a set");
    mica__buf_append_char(&into->inside, '-');
    emit_char(&into->inside, high);
    return MICA_OK;
}

/* Joins a finished operand of && to what stands before it in `both`. */
static void intersect(mica__buf *both, const mica__set *operand, bool last)
{
    if (!last) mica__buf_append_z(both, "(?=");
    mica__set_write(both, operand);
    if (!last) mica__buf_append_char(both, ')');
}

static bool is_empty(const mica__set *s)
{
    return !s->inside.n && !s->others.n && !s->inside.failed &&
           !s->others.failed; /* without memory it may only look so */
}

static mica_status set_operands(translator *t, mica__set *operand, mica__buf *both, bool *has_and)
{
    bool first = true;
    for (;; first = false) {
        if (!more(t)) return refuse(t, "set without ]");
        if (*t->p == ']' && !(first && memchr(t->p + 1, ']', (size_t)(t->end - t->p - 1)))) {
            t->p++;
            if (is_empty(operand)) return refuse(t, "empty set");
            if (*has_and) intersect(both, operand, true);
            return MICA_OK;
        }
        if (take(t, "&&")) {
            if (is_empty(operand)) return refuse(t, "&& without a left side");
            *has_and = true;
            intersect(both, operand, false);
            both->failed |= operand->inside.failed | operand->others.failed;
            mica__buf_clear(&operand->inside);
            mica__buf_clear(&operand->others);
            continue;
        }
        MICA_TRY(set_item(t, operand));
    }
}

/* A set after its [, merged into `result` (a union). */
static mica_status parse_set(translator *t, mica__set *result)
{
    if (++t->depth > MAX_DEPTH) return refuse(t, "nested too deeply");
    bool negated = take(t, "^"), has_and = false;
    mica__set operand = {{0}, {0}};
    mica__buf both = {0};
    mica_status status = set_operands(t, &operand, &both, &has_and);
    if (status == MICA_OK) {
        if (has_and) {
            mica__buf_append_z(&result->others, negated ? "|(?:(?!" : "|(?:");
            mica__buf_append_str(&result->others, mica__buf_str(&both));
            mica__buf_append_z(&result->others, negated ? ")(?s:.))" : ")");
        } else if (!negated) {
            mica__buf_append_str(&result->inside, mica__buf_str(&operand.inside));
            mica__buf_append_str(&result->others, mica__buf_str(&operand.others));
        } else if (!operand.others.n) {
            mica__buf_append_z(&result->others, "|[^");
            mica__buf_append_str(&result->others, mica__buf_str(&operand.inside));
            mica__buf_append_char(&result->others, ']');
        } else {
            mica__buf_append_z(&result->others, "|(?:(?!");
            mica__set_write(&result->others, &operand);
            mica__buf_append_z(&result->others, ")(?s:.))");
        }
        result->inside.failed |= operand.inside.failed | operand.others.failed | both.failed;
    }
    mica__set_release(&operand);
    mica__buf_release(&both);
    t->depth--;
    return status;
}

static mica_status emit_set(translator *t, mica_status status, mica__set *s)
{
    if (status == MICA_OK) {
        mica__set_write(t->out, s);
        t->out->failed |= s->inside.failed | s->others.failed;
    }
    mica__set_release(s);
    return status;
}

/* ---- everything else ---- */

static mica_status parse_alternatives(translator *t);

/* An escape outside a set; *repeatable false for anchors. */
static mica_status parse_escape(translator *t, bool *repeatable)
{
    if (t->end - t->p < 2) return refuse(t, "backslash at the end");
    t->p++;
    char c = *t->p;
    mica__set s = {{0}, {0}};
    if (c == 'p' || c == 'P') {
        t->p++;
        return emit_set(t, read_property(t, c == 'P', &s), &s);
    }
    if (shorthand(c, false, &s)) {
        t->p++;
        return emit_set(t, MICA_OK, &s);
    }
    static const struct {
        char letter;
        bool repeatable;
        const char *text;
    } same[] = {
        {'A', false, "\\A"},
        {'z', false, "\\z"},
        {'Z', false, "\\Z"},
        {'b', false,
         "(?:(?<=[" MICA__WORD_ALONE "])(?![" MICA__WORD_ALONE "])|(?<![" MICA__WORD_ALONE "])(?=[" MICA__WORD_ALONE
         "]))"},
        {'B', false,
         "(?:(?<=[" MICA__WORD_ALONE "])(?=[" MICA__WORD_ALONE "])|(?<![" MICA__WORD_ALONE "])(?![" MICA__WORD_ALONE
         "]))"},
        {'R', true, "(?>\\x0d\\x0a|[\\x0a-\\x0d\\x{85}\\x{2028}\\x{2029}])"},
        {'N', true, "[^\\x0a]"},
        {'O', true, "(?s:.)"},
    };
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++)
        if (c == same[i].letter) {
            mica__buf_append_z(t->out, same[i].text);
            *repeatable = same[i].repeatable;
            t->p++;
            return MICA_OK;
        }
    if (c >= '1' && c <= '9') {
        t->p++;
        if (more(t) && *t->p >= '0' && *t->p <= '9') return refuse(t, "back references have one digit");
        mica__buf_printf(t->out, "(?:\\g{%c})", c);
        return MICA_OK;
    }
    uint32_t value;
    bool is_char;
    MICA_TRY(read_char_escape(t, &value, &is_char));
    if (!is_char) return refuse(t, "this escape is not supported");
    emit_char(t->out, value);
    return MICA_OK;
}

/* Inline options "imx-imx" after "(?". *scoped: they were followed by ':' . */
static mica_status parse_options(translator *t, bool *scoped)
{
    mica__buf_append_z(t->out, "(?");
    for (; more(t) && *t->p != ')' && *t->p != ':'; t->p++) {
        switch (*t->p) {
        case 'i':
            mica__buf_append_char(t->out, 'i');
            break;
        case 'm':
            mica__buf_append_char(t->out, 's');
            break;
        case '-':
            mica__buf_append_char(t->out, '-');
            break;
        default:
            return refuse(t, "this group or option is not supported");
        }
    }
    if (!more(t)) return refuse(t, "group without )");
    *scoped = *t->p++ == ':';
    mica__buf_append_char(t->out, ':');
    return MICA_OK;
}

static mica_status close_group(translator *t)
{
    if (!take(t, ")")) return refuse(t, "group without )");
    mica__buf_append_char(t->out, ')');
    return MICA_OK;
}

/* A group, t->p after its "(". */
static mica_status parse_group(translator *t, bool *repeatable)
{
    static const char *const same[] = {"?:", "?=", "?!", "?<=", "?<!", "?>"};
    if (take(t, "?#")) {
        while (more(t) && *t->p != ')') t->p += *t->p == '\\' && t->end - t->p > 1 ? 2 : 1;
        *repeatable = false;
        return take(t, ")") ? MICA_OK : refuse(t, "comment without )");
    }
    if (at(t, "*")) return refuse(t, "callouts are not supported");
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        if (!take(t, same[i])) continue;
        mica__buf_append_char(t->out, '(');
        mica__buf_append_z(t->out, same[i]);
        *repeatable = i == 0 || i == 5;
        MICA_TRY(parse_alternatives(t));
        return close_group(t);
    }
    if (take(t, "?<") || take(t, "?'")) { /* a name nobody refers to */
        char close = t->p[-1] == '<' ? '>' : '\'';
        const char *name = t->p;
        while (more(t) && (is_alnum((unsigned char)*t->p) || *t->p == '_')) t->p++;
        if (!more(t) || *t->p != close || t->p == name) return refuse(t, "malformed group name");
        if (t->captures) return refuse(t, "names together with numbered references are not supported");
        t->p++;
        mica__buf_append_z(t->out, "(?:");
    } else if (take(t, "?")) {
        bool scoped = false;
        MICA_TRY(parse_options(t, &scoped));
        MICA_TRY(parse_alternatives(t));
        if (scoped) return close_group(t);
        *repeatable = false; /* (?i) holds to the end of the group around it, which the caller closes */
        mica__buf_append_char(t->out, ')');
        return MICA_OK;
    } else {
        mica__buf_append_z(t->out, t->captures ? "(" : "(?:");
    }
    MICA_TRY(parse_alternatives(t));
    return close_group(t);
}

/* {n}, {n,}, {n,m}, {,m} at t->p; false if the brace stands for itself. */
static bool parse_interval(translator *t, uint32_t *low, uint32_t *high)
{
    const char *saved = t->p++;
    int n_low = read_digits(t, 10, 9, low), n_high = n_low;
    *high = *low;
    if (take(t, ",")) {
        n_high = read_digits(t, 10, 9, high);
        if (n_high == 0) *high = UINT32_MAX;
    }
    if (n_low + n_high > 0 && take(t, "}")) return true;
    t->p = saved;
    return false;
}

/* Puts what was written since `start` into a group. */
static void wrap(mica__buf *out, size_t start)
{
    mica__buf_append_z(out, "(?:");
    if (out->failed) return;
    memmove(out->p + start + 3, out->p + start, out->n - start - 3);
    memcpy(out->p + start, "(?:", 3);
    mica__buf_append_char(out, ')');
}

/* The quantifiers after an atom that was written at `start`. */
static mica_status parse_quantifiers(translator *t, size_t start, bool repeatable)
{
    for (bool again = false; more(t); again = true) {
        uint32_t low = 0, high = 0;
        char c = *t->p;
        bool interval = c == '{' && parse_interval(t, &low, &high);
        if (!interval) {
            if (c != '*' && c != '+' && c != '?') return MICA_OK;
            t->p++;
        }
        if (!repeatable) return refuse(t, "nothing to repeat");
        if (again) wrap(t->out, start);
        if (!interval) {
            mica__buf_append_char(t->out, c);
            if (take(t, "?"))
                mica__buf_append_char(t->out, '?');
            else if (take(t, "+"))
                mica__buf_append_char(t->out, '+');
            continue;
        }
        if (low > MAX_REPEAT || (high > MAX_REPEAT && high != UINT32_MAX)) return refuse(t, "repeat count above 65535");
        if (high < low) return refuse(t, "repeat counts in the wrong order");
        if (high == UINT32_MAX)
            mica__buf_printf(t->out, "{%u,}", low);
        else
            mica__buf_printf(t->out, "{%u,%u}", low, high);
        if (low != high && take(t, "?")) mica__buf_append_char(t->out, '?');
    }
    return MICA_OK;
}

static mica_status parse_atom(translator *t, bool *repeatable)
{
    char c = *t->p;
    *repeatable = true;
    switch (c) {
    case '\\':
        return parse_escape(t, repeatable);
    case '[': {
        t->p++;
        mica__set s = {{0}, {0}};
        return emit_set(t, parse_set(t, &s), &s);
    }
    case '(': {
        t->p++;
        if (++t->depth > MAX_DEPTH) return refuse(t, "nested too deeply");
        MICA_TRY(parse_group(t, repeatable));
        t->depth--;
        return MICA_OK;
    }
    case '^':
    case '$':
        t->p++;
        mica__buf_append_z(t->out, c == '^' ? "(?m:^)" : "(?m:$)");
        *repeatable = false;
        return MICA_OK;
    case '.':
        t->p++;
        mica__buf_append_char(t->out, '.');
        return MICA_OK;
    default:
        break;
    }
    uint32_t value;
    int length = mica__utf8_decode(t->p, (size_t)(t->end - t->p), &value);
    if (!length) return refuse(t, "invalid UTF-8");
    t->p += length;
    emit_char(t->out, value);
    return MICA_OK;
}

/* Everything up to the ) that closes the group around, or the end. */
static mica_status parse_alternatives(translator *t)
{
    while (more(t) && *t->p != ')') {
        if (take(t, "|")) {
            mica__buf_append_char(t->out, '|');
            continue;
        }
        size_t start = t->out->n;
        bool repeatable;
        if (*t->p == '*' || *t->p == '+' || *t->p == '?') return refuse(t, "nothing to repeat");
        MICA_TRY(parse_atom(t, &repeatable));
        MICA_TRY(parse_quantifiers(t, start, repeatable));
    }
    return MICA_OK;
}

static bool has_back_reference(mica__str pattern)
{
    for (size_t i = 0; i + 1 < pattern.n; i++) {
        if (pattern.p[i] != '\\') continue;
        i++;
        if (pattern.p[i] >= '1' && pattern.p[i] <= '9') return true;
    }
    return false;
}

mica_status mica__regex_translate(mica__buf *out, mica__str pattern, mica_error *err)
{
    if (pattern.n > MAX_PATTERN_BYTES)
        return mica__fail(err, MICA_DATA, "regular expression of %zu bytes, limit is %d", pattern.n, MAX_PATTERN_BYTES);
    const char *p = pattern.p ? pattern.p : "";
    translator t = {p, p, p + pattern.n, out, has_back_reference(pattern), 0, err};
    MICA_TRY(parse_alternatives(&t));
    if (t.p < t.end) return refuse(&t, "unmatched )");
    return mica__buf_status(out, err, "a regular expression");
}
