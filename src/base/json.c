/* base/json.c: the JSON reader.
 *
 * One loop over the text with an explicit stack of open containers (max_depth entries), appending one node
 * per value. A container's node is written when it opens and completed when it closes. */
#include "json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

enum { DEFAULT_DEPTH = 64, LARGEST_DEPTH = 512, DEFAULT_NODES = 64 << 20 };

typedef struct parser {
    const char *text, *p, *end;
    mica__json *doc;
    mica__json_limits limits;
    mica_error *err;
    uint32_t stack[LARGEST_DEPTH]; /* node index of each open container */
    unsigned depth;
} parser;

static mica_status fail_at(parser *s, const char *at, mica_status status, const char *reason)
{
    size_t line = 1;
    const char *line_start = s->text;
    for (const char *q = s->text; q < at; q++)
        if (*q == '\n') {
            line++;
            line_start = q + 1;
        }
    return mica__fail(s->err, status, "JSON line %zu column %zu: %s", line, (size_t)(at - line_start) + 1, reason);
}

static mica__jnode *add_node(parser *s, mica__jtype type)
{
    mica__json *d = s->doc;
    if (d->n_nodes == d->cap) {
        size_t cap = d->cap < 64 ? 64 : d->cap + d->cap / 2;
        mica__jnode *nodes = mica__realloc(d->nodes, cap, sizeof *nodes);
        if (!nodes) return NULL;
        d->nodes = nodes;
        d->cap = cap;
    }
    mica__jnode *node = &d->nodes[d->n_nodes++];
    *node = (mica__jnode){.type = type};
    return node;
}

/* ---- strings ---- */

static int hex4(const char *p, const char *end, uint32_t *out)
{
    if (end - p < 4) return 0;
    uint32_t v = 0;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0) return 0;
        v = v << 4 | (uint32_t)digit;
    }
    *out = v;
    return 1;
}

/* Reads the escape after the backslash at *p into out; returns bytes written, 0 on error (*p then at the
 * fault). */
static int read_escape(const char **p, const char *end, char out[4])
{
    static const char plain[] = "\"\\/bfnrt", value[] = "\"\\/\b\f\n\r\t";
    const char *q = *p + 1;
    if (q >= end) return 0;
    const char *known = *q ? strchr(plain, *q) : NULL;
    if (known) {
        out[0] = value[known - plain];
        *p = q + 1;
        return 1;
    }
    uint32_t cp, low;
    if (*q != 'u' || !hex4(q + 1, end, &cp)) return 0;
    q += 5;
    if (cp >= 0xdc00 && cp < 0xe000) return 0;
    if (cp >= 0xd800 && cp < 0xdc00) {
        if (end - q < 6 || q[0] != '\\' || q[1] != 'u' || !hex4(q + 2, end, &low) || low < 0xdc00 || low >= 0xe000)
            return 0;
        cp = 0x10000 + ((cp - 0xd800) << 10) + (low - 0xdc00);
        q += 6;
    }
    *p = q;
    return mica__utf8_encode(cp, out);
}

/* Skips a run of plain string bytes; stops at a quote, backslash, control character, or the end. False:
 * invalid UTF-8 at *p. */
static bool skip_plain(const char **p, const char *end)
{
    const char *q = *p;
    while (q < end) {
        unsigned char c = (unsigned char)*q;
        if (c == '"' || c == '\\' || c < 0x20) break;
        if (c < 0x80) {
            q++;
            continue;
        }
        uint32_t cp;
        int length = mica__utf8_decode(q, (size_t)(end - q), &cp);
        if (!length) {
            *p = q;
            return false;
        }
        q += length;
    }
    *p = q;
    return true;
}

/* The rest of a string that has an escape at s->p; `start` is its first byte. */
static mica_status parse_escaped(parser *s, const char *start, mica__str *out)
{
    const char *scan = s->p, *open = start - 1;
    while (scan < s->end && *scan != '"') scan += *scan == '\\' && scan + 1 < s->end ? 2 : 1;
    if (scan >= s->end) return fail_at(s, open, MICA_DATA, "string without end");
    char *buffer = mica__arena_alloc(&s->doc->strings, (size_t)(scan - start) + 1, 1); /* escapes only shrink */
    if (!buffer) return mica__fail_memory(s->err, (size_t)(scan - start), "a JSON string");
    size_t n = (size_t)(s->p - start);
    memcpy(buffer, start, n);
    while (*s->p != '"') {
        if (*s->p == '\\') {
            int length = read_escape(&s->p, s->end, buffer + n);
            if (!length) return fail_at(s, s->p, MICA_DATA, "invalid escape in a string");
            n += (size_t)length;
            continue;
        }
        const char *run = s->p;
        if (!skip_plain(&s->p, s->end)) return fail_at(s, s->p, MICA_DATA, "invalid UTF-8 in a string");
        if (s->p < s->end && (unsigned char)*s->p < 0x20)
            return fail_at(s, s->p, MICA_DATA, "control character in a string");
        memcpy(buffer + n, run, (size_t)(s->p - run));
        n += (size_t)(s->p - run);
        if (s->p >= s->end) return fail_at(s, open, MICA_DATA, "string without end");
    }
    s->p++;
    *out = (mica__str){buffer, n};
    return MICA_OK;
}

static mica_status parse_string(parser *s, mica__str *out)
{
    const char *start = ++s->p;
    if (!skip_plain(&s->p, s->end)) return fail_at(s, s->p, MICA_DATA, "invalid UTF-8 in a string");
    if (s->p >= s->end) return fail_at(s, start - 1, MICA_DATA, "string without end");
    if (*s->p == '\\') return parse_escaped(s, start, out);
    if (*s->p != '"') return fail_at(s, s->p, MICA_DATA, "control character in a string");
    *out = (mica__str){start, (size_t)(s->p - start)};
    s->p++;
    return MICA_OK;
}

/* ---- numbers and words ---- */

static bool is_digit(const char *p, const char *end) { return p < end && *p >= '0' && *p <= '9'; }

/* Length of the JSON number at p, 0 if there is none; *fraction: it has a point or an exponent. */
static size_t number_length(const char *p, const char *end, bool *fraction)
{
    const char *q = p;
    *fraction = false;
    if (q < end && *q == '-') q++;
    if (!is_digit(q, end)) return 0;
    if (*q == '0')
        q++;
    else
        while (is_digit(q, end)) q++;
    if (q < end && *q == '.') {
        *fraction = true;
        if (!is_digit(++q, end)) return 0;
        while (is_digit(q, end)) q++;
    }
    if (q < end && (*q == 'e' || *q == 'E')) {
        *fraction = true;
        q++;
        if (q < end && (*q == '+' || *q == '-')) q++;
        if (!is_digit(q, end)) return 0;
        while (is_digit(q, end)) q++;
    }
    return (size_t)(q - p);
}

static bool take_word(parser *s, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(s->end - s->p) < n || memcmp(s->p, word, n) != 0) return false;
    s->p += n;
    return true;
}

static mica_status add_number(parser *s, const char *start, size_t n, bool fraction)
{
    if (n > UINT32_MAX) return fail_at(s, start, MICA_LIMIT, "number too long");
    mica__jnode *node = add_node(s, MICA__JSON_NUMBER);
    if (!node) return mica__fail_memory(s->err, 16, "a JSON value");
    node->is_fraction = fraction;
    node->n = (uint32_t)n;
    node->u.text = start;
    return MICA_OK;
}

static mica_status parse_word(parser *s)
{
    const char *start = s->p;
    mica__jtype type;
    if (take_word(s, "true"))
        type = MICA__JSON_TRUE;
    else if (take_word(s, "false"))
        type = MICA__JSON_FALSE;
    else if (take_word(s, "null"))
        type = MICA__JSON_NULL;
    else if (s->limits.allow_nonfinite &&
             (take_word(s, "NaN") || take_word(s, "Infinity") || take_word(s, "-Infinity")))
        return add_number(s, start, (size_t)(s->p - start), true);
    else {
        bool fraction;
        size_t n = number_length(s->p, s->end, &fraction);
        if (!n) return fail_at(s, start, MICA_DATA, "a value was expected");
        s->p += n;
        return add_number(s, start, n, fraction);
    }
    return add_node(s, type) ? MICA_OK : mica__fail_memory(s->err, 16, "a JSON value");
}

/* ---- containers ---- */

static mica_status fail_duplicate(parser *s, mica__str key)
{
    char reason[sizeof(mica__quoted) + 32];
    snprintf(reason, sizeof reason, "duplicate key '%s'", MICA_QUOTED_STR(key));
    /* A key that had escapes was copied out of the text; what is known then is where its object ends. */
    uintptr_t first = (uintptr_t)s->text, at = (uintptr_t)key.p;
    bool in_text = at > first && at <= (uintptr_t)s->p;
    return fail_at(s, in_text ? key.p - 1 : s->p - 1, MICA_DATA, reason);
}

static mica_status check_unique(parser *s, const mica__jnode *object)
{
    mica__map seen = {0};
    mica_status status = MICA_OK;
    if (!mica__map_reserve(&seen, object->n)) return mica__fail_memory(s->err, object->n, "JSON keys");
    for (mica__jval m = mica__json_first(object); m; m = mica__json_next(object, m)) {
        bool existing;
        mica__str key = mica__json_key(m);
        if (!mica__map_add(&seen, key, 0, &existing))
            status = mica__fail_memory(s->err, object->n, "JSON keys");
        else if (existing)
            status = fail_duplicate(s, key);
        if (status != MICA_OK) break;
    }
    mica__map_release(&seen);
    return status;
}

static mica_status open_container(parser *s, mica__jtype type)
{
    unsigned max_depth = s->limits.max_depth;
    if (s->depth >= max_depth) return fail_at(s, s->p, MICA_LIMIT, "nested too deeply");
    if (!add_node(s, type)) return mica__fail_memory(s->err, 16, "a JSON value");
    s->stack[s->depth++] = (uint32_t)(s->doc->n_nodes - 1);
    s->p++;
    return MICA_OK;
}

static mica_status close_container(parser *s)
{
    uint32_t index = s->stack[--s->depth];
    mica__jnode *node = &s->doc->nodes[index];
    node->u.span = s->doc->n_nodes - index;
    s->p++;
    return s->limits.unique_keys && node->type == MICA__JSON_OBJECT && node->n > 1 ? check_unique(s, node) : MICA_OK;
}

static void skip_space(parser *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\n' || *s->p == '\r' || *s->p == '\t')) s->p++;
}

static mica_status add_string(parser *s)
{
    mica__str text = {0};
    const char *start = s->p;
    MICA_TRY(parse_string(s, &text));
    if (text.n > UINT32_MAX) return fail_at(s, start, MICA_LIMIT, "string too long");
    mica__jnode *node = add_node(s, MICA__JSON_STRING);
    if (!node) return mica__fail_memory(s->err, 16, "a JSON value");
    node->n = (uint32_t)text.n;
    node->u.text = text.p;
    return MICA_OK;
}

/* A value that starts here; an opened container counts as begun. */
static mica_status parse_value(parser *s)
{
    if (s->doc->n_nodes >= s->limits.max_nodes) return fail_at(s, s->p, MICA_LIMIT, "too many values");
    switch (s->p < s->end ? *s->p : 0) {
    case '{':
        return open_container(s, MICA__JSON_OBJECT);
    case '[':
        return open_container(s, MICA__JSON_ARRAY);
    case '"':
        return add_string(s);
    default:
        return parse_word(s);
    }
}

static mica_status parse_key(parser *s)
{
    if (s->p >= s->end || *s->p != '"') return fail_at(s, s->p, MICA_DATA, "a key in quotes was expected");
    MICA_TRY(add_string(s));
    skip_space(s);
    if (s->p >= s->end || *s->p != ':') return fail_at(s, s->p, MICA_DATA, "':' was expected after a key");
    s->p++;
    skip_space(s);
    return MICA_OK;
}

/* One step inside the innermost open container: its next element, or its end. */
static mica_status parse_in_container(parser *s)
{
    mica__jnode *node = &s->doc->nodes[s->stack[s->depth - 1]];
    bool is_object = node->type == MICA__JSON_OBJECT, first = node->n == 0;
    char close = is_object ? '}' : ']';
    if (s->p < s->end && *s->p == close) return close_container(s);
    if (!first) {
        if (s->p >= s->end || *s->p != ',')
            return fail_at(s, s->p, MICA_DATA, is_object ? "',' or '}' was expected" : "',' or ']' was expected");
        s->p++;
        skip_space(s);
    }
    if (node->n == UINT32_MAX) return fail_at(s, s->p, MICA_LIMIT, "too many values");
    node->n++;
    if (is_object) MICA_TRY(parse_key(s));
    return parse_value(s);
}

mica_status mica__json_parse(mica__json *out, const char *text, size_t n, const mica__json_limits *limits,
                             mica_error *err)
{
    *out = (mica__json){0};
    parser s = {.text = text, .p = text, .end = text + n, .doc = out, .err = err};
    if (limits) s.limits = *limits;
    if (!s.limits.max_depth) s.limits.max_depth = DEFAULT_DEPTH;
    if (s.limits.max_depth > LARGEST_DEPTH) s.limits.max_depth = LARGEST_DEPTH;
    if (!s.limits.max_nodes || s.limits.max_nodes > DEFAULT_NODES) s.limits.max_nodes = DEFAULT_NODES;
    skip_space(&s);
    mica_status status = s.p < s.end ? parse_value(&s) : fail_at(&s, s.p, MICA_DATA, "empty text");
    while (status == MICA_OK && s.depth) {
        skip_space(&s);
        status = parse_in_container(&s);
    }
    skip_space(&s);
    if (status == MICA_OK && s.p < s.end) status = fail_at(&s, s.p, MICA_DATA, "something follows the value");
    if (status != MICA_OK) mica__json_release(out);
    return status;
}

void mica__json_release(mica__json *doc)
{
    mica__free(doc->nodes);
    mica__arena_release(&doc->strings);
    *doc = (mica__json){0};
}

/* ---- access ---- */

static bool is_container(mica__jval v) { return v && (v->type == MICA__JSON_ARRAY || v->type == MICA__JSON_OBJECT); }
static size_t span(mica__jval v) { return is_container(v) ? v->u.span : 1; }

mica__jval mica__json_first(mica__jval container)
{
    return is_container(container) && container->n ? container + 1 : NULL;
}

mica__jval mica__json_next(mica__jval container, mica__jval child)
{
    mica__jval next = container->type == MICA__JSON_OBJECT ? child + 1 + span(child + 1) : child + span(child);
    return next < container + container->u.span ? next : NULL;
}

mica__str mica__json_key(mica__jval member) { return (mica__str){member->u.text, member->n}; }

mica__jval mica__json_get_str(mica__jval object, mica__str key)
{
    mica__jval found = NULL;
    if (!mica__json_is(object, MICA__JSON_OBJECT)) return NULL;
    for (mica__jval m = mica__json_first(object); m; m = mica__json_next(object, m))
        if (mica__str_eq(mica__json_key(m), key)) found = mica__json_value(m);
    return found;
}

mica__jval mica__json_get(mica__jval object, const char *key)
{
    return mica__json_get_str(object, mica__str_from(key));
}

mica__jval mica__json_at(mica__jval array, size_t i)
{
    if (!mica__json_is(array, MICA__JSON_ARRAY)) return NULL;
    for (mica__jval e = mica__json_first(array); e; e = mica__json_next(array, e))
        if (i-- == 0) return e;
    return NULL;
}

bool mica__json_string(mica__jval v, mica__str *out)
{
    if (!mica__json_is(v, MICA__JSON_STRING)) return false;
    *out = (mica__str){v->u.text, v->n};
    return true;
}

bool mica__json_bool(mica__jval v, bool *out)
{
    if (!v || (v->type != MICA__JSON_TRUE && v->type != MICA__JSON_FALSE)) return false;
    *out = v->type == MICA__JSON_TRUE;
    return true;
}

bool mica__json_int(mica__jval v, int64_t *out)
{
    if (!mica__json_is_int(v)) return false;
    bool negative = v->u.text[0] == '-';
    int64_t value = 0;
    for (uint32_t i = negative; i < v->n; i++) {
        int digit = v->u.text[i] - '0';
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_sub_overflow(value, digit, &value)) return false;
    }
    if (!negative && value == INT64_MIN) return false;
    *out = negative ? value : -value;
    return true;
}

mica__str mica__json_number_text(mica__jval v)
{
    return mica__json_is(v, MICA__JSON_NUMBER) ? (mica__str){v->u.text, v->n} : (mica__str){0};
}

bool mica__json_double(mica__jval v, double *out)
{
    mica__str s = mica__json_number_text(v);
    return s.n && mica__parse_double(s.p, s.n, out);
}

/* ---- numbers and text ---- */

static bool is_named(const char *p, size_t n, const char *name)
{
    return n == strlen(name) && strncasecmp(p, name, n) == 0;
}

/* The text is rewritten as whole digits and an exponent, which needs no decimal point (strtod's depends on the locale) and no
 * memory: a double's rounding depends on at most 767 digits and on whether anything but zeros follows, so that a longer number
 * is cut behind a final 1 that stands for the rest. */
bool mica__parse_double(const char *p, size_t n, double *out)
{
    enum { MAX_DIGITS = 800 };
    const int64_t far = 1000000000000; /* beyond any exponent that matters, below overflow */
    char digits[MAX_DIGITS + 32];
    const char *end = p + n;
    bool negative = n && *p == '-', any = false, point = false, rest = false;
    if (n && (*p == '-' || *p == '+')) p++;
    if (is_named(p, (size_t)(end - p), "inf") || is_named(p, (size_t)(end - p), "infinity")) {
        *out = negative ? -INFINITY : INFINITY;
        return true;
    }
    if (is_named(p, (size_t)(end - p), "nan")) {
        *out = NAN;
        return true;
    }
    int n_digits = 0;
    int64_t exponent = 0;
    for (; p < end && (is_digit(p, end) || (*p == '.' && !point)); p++) {
        if (*p == '.') {
            point = true;
            continue;
        }
        any = true;
        if (n_digits < MAX_DIGITS) {
            if (n_digits || *p != '0') digits[n_digits++] = *p;
            exponent -= point;
        } else {
            rest |= *p != '0';
            exponent += !point;
        }
    }
    if (!any) return false;
    if (p < end && (*p == 'e' || *p == 'E')) {
        bool below = ++p < end && *p == '-';
        int64_t written = 0;
        if (p < end && (*p == '-' || *p == '+')) p++;
        if (!is_digit(p, end)) return false;
        for (; is_digit(p, end); p++)
            if (written < far) written = written * 10 + (*p - '0');
        exponent += below ? -written : written;
    }
    if (p != end) return false;
    if (rest) {
        digits[n_digits++] = '1';
        exponent--;
    }
    if (exponent > far) exponent = far;
    if (exponent < -far) exponent = -far;
    snprintf(digits + n_digits, sizeof digits - (size_t)n_digits, "%se%lld", n_digits ? "" : "0", (long long)exponent);
    double value = strtod(digits, NULL);
    *out = negative ? -value : value;
    return true;
}

/* The p significant digits nearest to v > 0, and the power of ten of the first; false if they do not read back as v. */
static bool try_digits(double v, int precision, char digits[24], int *exponent)
{
    char text[40], back[40];
    snprintf(text, sizeof text, "%.*e", precision - 1, v);
    char *e = strchr(text, 'e');
    int n = 0;
    for (char *q = text; q < e; q++)
        if (*q >= '0' && *q <= '9') digits[n++] = *q; /* leaves out the point, whatever it looks like */
    digits[n] = 0;
    *exponent = atoi(e + 1);
    snprintf(back, sizeof back, "%se%d", digits, *exponent - (n - 1));
    if (strtod(back, NULL) == v) return true;
    /* Above a power of two doubles are twice as far apart as below: the next digits upward can read back as v though the
     * nearest ones do not (2^-44 is 5.684341886080802e-14). Only 16 digits are ever in that position, and no carry. */
    digits[n - 1]++;
    snprintf(back, sizeof back, "%se%d", digits, *exponent - (n - 1));
    return digits[n - 1] <= '9' && strtod(back, NULL) == v;
}

void mica__format_double(double v, char out[32])
{
    if (isnan(v) || isinf(v)) {
        snprintf(out, 32, "%s", isnan(v) ? "nan" : v < 0 ? "-inf" : "inf");
        return;
    }
    char mantissa[24];
    int precision = 1, exponent;
    while (!try_digits(fabs(v), precision, mantissa, &exponent) && precision < 17) precision++;
    int n = (int)strlen(mantissa);
    bool negative = signbit(v);
    char *o = out;
    if (negative) *o++ = '-';
    if (exponent >= -4 && exponent < 16) {
        if (exponent < 0) {
            *o++ = '0';
            *o++ = '.';
            for (int i = -1; i > exponent; i--) *o++ = '0';
            for (int i = 0; i < n; i++) *o++ = mantissa[i];
        } else {
            for (int i = 0; i < n || i <= exponent; i++) {
                if (i == exponent + 1) *o++ = '.';
                *o++ = i < n ? mantissa[i] : '0';
            }
            if (n <= exponent + 1) {
                *o++ = '.';
                *o++ = '0';
            }
        }
        *o = 0;
        return;
    }
    *o++ = mantissa[0];
    if (n > 1) *o++ = '.';
    for (int i = 1; i < n; i++) *o++ = mantissa[i];
    snprintf(o, (size_t)(32 - (o - out)), "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
}

void mica__json_write_string(mica__buf *out, mica__str s, bool ascii)
{
    mica__buf_append_char(out, '"');
    for (size_t i = 0; i < s.n;) {
        uint32_t cp = 0xfffd;
        int length = mica__utf8_decode(s.p + i, s.n - i, &cp);
        size_t step = length ? (size_t)length : mica__utf8_invalid_length(s.p + i, s.n - i);
        const char *named = cp && cp < 0x80 ? strchr("\"\\\b\f\n\r\t", (int)cp) : NULL;
        if (named) {
            char escape[2] = {'\\', "\"\\bfnrt"[named - "\"\\\b\f\n\r\t"]};
            mica__buf_append(out, escape, 2);
        } else if (cp < 0x20 || (ascii && cp > 0x7e && cp < 0x10000)) {
            mica__buf_printf(out, "\\u%04x", cp);
        } else if (ascii && cp > 0x7e) {
            mica__buf_printf(out, "\\u%04x\\u%04x", 0xd800 + ((cp - 0x10000) >> 10), 0xdc00 + ((cp - 0x10000) & 0x3ff));
        } else {
            mica__buf_append_utf8(out, cp);
        }
        i += step;
    }
    mica__buf_append_char(out, '"');
}

/* Values in document order: closing brackets are written when the node count of their container is used up.
 */
void mica__json_write(mica__buf *out, mica__jval v)
{
    static const char *const words[] = {"null", "false", "true"};
    if (!is_container(v)) {
        if (!v || v->type <= MICA__JSON_TRUE)
            mica__buf_append_z(out, words[v ? v->type : 0]);
        else if (v->type == MICA__JSON_NUMBER)
            mica__buf_append(out, v->u.text, v->n);
        else
            mica__json_write_string(out, (mica__str){v->u.text, v->n}, false);
        return;
    }
    bool is_object = v->type == MICA__JSON_OBJECT; /* recursion is bounded by the parser's depth limit */
    mica__buf_append_char(out, is_object ? '{' : '[');
    for (mica__jval m = mica__json_first(v); m; m = mica__json_next(v, m)) {
        if (m != v + 1) mica__buf_append_char(out, ',');
        if (is_object) {
            mica__json_write_string(out, mica__json_key(m), false);
            mica__buf_append_char(out, ':');
        }
        mica__json_write(out, is_object ? mica__json_value(m) : m);
    }
    mica__buf_append_char(out, is_object ? '}' : ']');
}
