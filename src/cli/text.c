/* cli/text.c: growing strings, lines, and reading one JSON string or one JSON array of ids. */
#include "text.h"
#include "report.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* ---- growing strings ----------------------------------------------------------------------------------------------- */

static void reserve(buffer *b, size_t n)
{
    if (b->capacity - b->n > n) return;
    size_t wanted = b->capacity ? b->capacity : 256;
    while (wanted - b->n <= n)
        if (__builtin_mul_overflow(wanted, 2, &wanted)) wanted = SIZE_MAX;
    b->p = grow_memory(b->p, wanted, 1);
    b->capacity = wanted;
}

void buffer_add(buffer *b, const char *bytes, size_t n)
{
    reserve(b, n);
    if (n) memcpy(b->p + b->n, bytes, n);
    b->n += n;
    b->p[b->n] = 0;
}

void buffer_add_z(buffer *b, const char *z) { buffer_add(b, z, strlen(z)); }

void buffer_add_json(buffer *b, const char *bytes, size_t n)
{
    buffer_add_z(b, "\"");
    for (size_t i = 0; i < n;) {
        size_t plain = i;
        while (plain < n && (unsigned char)bytes[plain] >= 0x20 && bytes[plain] != '"' && bytes[plain] != '\\') plain++;
        buffer_add(b, bytes + i, plain - i);
        if ((i = plain) == n) break;
        char escape[8];
        const char c = bytes[i++];
        const char *short_form = c ? strchr("\"\"\\\\\nn\tt\rr", c) : NULL;
        if (short_form)
            snprintf(escape, sizeof escape, "\\%c", short_form[1]);
        else
            snprintf(escape, sizeof escape, "\\u%04x", (unsigned char)c);
        buffer_add_z(b, escape);
    }
    buffer_add_z(b, "\"");
}

void buffer_add_ids(buffer *b, const int32_t *ids, size_t n)
{
    char number[16];
    buffer_add_z(b, "[");
    for (size_t i = 0; i < n; i++) {
        const int length = snprintf(number, sizeof number, i ? ", %d" : "%d", ids[i]);
        buffer_add(b, number, (size_t)length);
    }
    buffer_add_z(b, "]");
}

void buffer_set_error(buffer *b, const char *message)
{
    buffer_clear(b);
    buffer_add_z(b, "{\"error\": ");
    buffer_add_json(b, message, strlen(message));
    buffer_add_z(b, "}");
}

void buffer_clear(buffer *b)
{
    b->n = 0;
    if (b->p) b->p[0] = 0;
}

void buffer_release(buffer *b)
{
    free(b->p);
    *b = (buffer){0};
}

/* ---- input ------------------------------------------------------------------------------------------------------------ */

bool read_line(buffer *line, FILE *f)
{
    buffer_clear(line);
    const ssize_t n = getline(&line->p, &line->capacity, f);
    if (n < 0) return false;
    line->n = (size_t)n;
    if (line->n && line->p[line->n - 1] == '\n') line->p[--line->n] = 0;
    if (line->n && line->p[line->n - 1] == '\r') line->p[--line->n] = 0;
    return true;
}

bool read_all(buffer *out, FILE *f, size_t max_bytes)
{
    for (;;) {
        reserve(out, 1 << 16);
        const size_t n = fread(out->p + out->n, 1, 1 << 16, f);
        out->n += n;
        out->p[out->n] = 0;
        if (out->n > max_bytes) return false;
        if (n == 0) return !ferror(f);
    }
}

/* ---- JSON --------------------------------------------------------------------------------------------------------------- */

typedef struct scanner {
    const char *p, *end;
    const char *why;
} scanner;

static bool refuse(scanner *s, const char *why)
{
    if (!s->why) s->why = why;
    return false;
}

static void skip_space(scanner *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r')) s->p++;
}

static bool take(scanner *s, char c)
{
    if (s->p == s->end || *s->p != c) return false;
    s->p++;
    return true;
}

static bool at_end(scanner *s)
{
    skip_space(s);
    return s->p == s->end || refuse(s, "text after the JSON value");
}

static bool hex4(scanner *s, unsigned *out)
{
    if (s->end - s->p < 4) return refuse(s, "incomplete \\u escape");
    *out = 0;
    for (int i = 0; i < 4; i++) {
        const char c = *s->p++;
        if (!isxdigit((unsigned char)c)) return refuse(s, "bad \\u escape");
        *out = *out * 16 + (unsigned)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return true;
}

static void add_utf8(buffer *out, unsigned c)
{
    char bytes[4];
    size_t n = 0;
    if (c < 0x80) {
        bytes[n++] = (char)c;
    } else {
        if (c >= 0x10000) bytes[n++] = (char)(0xf0 | c >> 18);
        if (c >= 0x10000) bytes[n++] = (char)(0x80 | (c >> 12 & 0x3f));
        if (c >= 0x800 && c < 0x10000) bytes[n++] = (char)(0xe0 | c >> 12);
        if (c >= 0x800) bytes[n++] = (char)(0x80 | (c >> 6 & 0x3f));
        if (c < 0x800) bytes[n++] = (char)(0xc0 | c >> 6);
        bytes[n++] = (char)(0x80 | (c & 0x3f));
    }
    buffer_add(out, bytes, n);
}

static bool unicode_escape(scanner *s, buffer *out)
{
    unsigned c, low;
    if (!hex4(s, &c)) return false;
    if (c >= 0xdc00 && c <= 0xdfff) return refuse(s, "lone surrogate in a \\u escape");
    if (c >= 0xd800 && c <= 0xdbff) {
        if (!take(s, '\\') || !take(s, 'u') || !hex4(s, &low) || low < 0xdc00 || low > 0xdfff)
            return refuse(s, "lone surrogate in a \\u escape");
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    }
    add_utf8(out, c);
    return true;
}

static bool escape(scanner *s, buffer *out)
{
    if (s->p == s->end) return refuse(s, "the JSON string does not end");
    const char c = *s->p++;
    if (c == 'u') return unicode_escape(s, out);
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    const char *at = c ? strchr(names, c) : NULL;
    if (!at) return refuse(s, "unknown escape in a JSON string");
    buffer_add(out, &values[at - names], 1);
    return true;
}

bool json_read_string(const char *p, size_t n, buffer *out, const char **why)
{
    scanner s = {p, p + n, NULL};
    buffer_clear(out);
    skip_space(&s);
    bool good = take(&s, '"') || refuse(&s, "expected a JSON string");
    while (good) {
        const char *from = s.p;
        while (s.p < s.end && *s.p != '"' && *s.p != '\\' && (unsigned char)*s.p >= 0x20) s.p++;
        buffer_add(out, from, (size_t)(s.p - from));
        if (s.p == s.end)
            good = refuse(&s, "the JSON string does not end");
        else if (take(&s, '"'))
            break;
        else if (take(&s, '\\'))
            good = escape(&s, out);
        else
            good = refuse(&s, "control character in a JSON string");
    }
    good = good && at_end(&s);
    *why = s.why;
    return good;
}

static void add_id(mica_ids *ids, int32_t id)
{
    if (ids->n == ids->capacity) {
        ids->capacity = ids->capacity ? ids->capacity * 2 : 64;
        ids->data = grow_memory(ids->data, ids->capacity, sizeof *ids->data);
    }
    ids->data[ids->n++] = id;
}

static bool integer(scanner *s, int32_t *out)
{
    const bool negative = take(s, '-');
    int64_t value = 0;
    const char *from = s->p;
    while (s->p < s->end && *s->p >= '0' && *s->p <= '9' && value <= INT32_MAX) value = value * 10 + (*s->p++ - '0');
    if (s->p == from) return refuse(s, "expected a token id");
    if (s->p - from > 1 && *from == '0') return refuse(s, "a number starts with 0");
    if (value > INT32_MAX) return refuse(s, "a token id is larger than 2147483647");
    if (negative && value) return refuse(s, "a token id is negative");
    if (s->p < s->end && (*s->p == '.' || *s->p == 'e' || *s->p == 'E'))
        return refuse(s, "a token id is not an integer");
    *out = (int32_t)value;
    return true;
}

/* Numbers with commas between them up to `close` (']', or 0: the end of the text). */
static bool id_list(scanner *s, char close, mica_ids *out)
{
    skip_space(s);
    if (close ? take(s, close) : s->p == s->end) return true;
    for (;;) {
        int32_t id;
        skip_space(s);
        if (!integer(s, &id)) return false;
        add_id(out, id);
        skip_space(s);
        if (close ? take(s, close) : s->p == s->end) return true;
        if (!take(s, ',')) return refuse(s, "expected a comma between token ids");
    }
}

bool json_read_ids(const char *p, size_t n, mica_ids *out, const char **why)
{
    scanner s = {p, p + n, NULL};
    out->n = 0;
    skip_space(&s);
    const bool good =
        (take(&s, '[') || refuse(&s, "expected a JSON array of token ids")) && id_list(&s, ']', out) && at_end(&s);
    *why = s.why;
    return good;
}

bool read_ids(const char *z, mica_ids *out, const char **why)
{
    scanner s = {z, z + strlen(z), NULL};
    skip_space(&s);
    if (s.p < s.end && *s.p == '[') return json_read_ids(z, strlen(z), out, why);
    out->n = 0;
    const bool good = id_list(&s, 0, out);
    *why = s.why;
    return good;
}
