/* hub/reply.c: header lines, one at a time. */
#include "reply.h"
#include "late.h"
#include "names.h"

#include <ctype.h>
#include <strings.h>
#include <time.h>

static mica__str trimmed(mica__str s)
{
    while (s.n && (s.p[0] == ' ' || s.p[0] == '\t')) s.p++, s.n--;
    while (s.n && strchr(" \t\r\n", s.p[s.n - 1]) && s.p[s.n - 1]) s.n--;
    return s;
}

/* Decimal digits only, no sign, no overflow. Takes them off the front of s. */
static bool take_number(mica__str *s, uint64_t *out)
{
    uint64_t value = 0;
    size_t n = 0;
    for (; n < s->n && s->p[n] >= '0' && s->p[n] <= '9'; n++)
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, s->p[n] - '0', &value))
            return false;
    if (n == 0) return false;
    *out = value;
    s->p += n;
    s->n -= n;
    return true;
}

static bool take(mica__str *s, char c)
{
    if (s->n == 0 || s->p[0] != c) return false;
    s->p++, s->n--;
    return true;
}

static bool whole_number(mica__str s, uint64_t *out) { return take_number(&s, out) && s.n == 0 && *out <= INT64_MAX; }

/* False if s does not fit or has control characters. */
static bool keep(char *out, size_t size, mica__str s)
{
    out[0] = 0;
    if (s.n >= size) return false;
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f) return false;
    memcpy(out, s.p, s.n);
    out[s.n] = 0;
    return true;
}

static void keep_cut(char *out, size_t size, mica__str s)
{
    if (s.n >= size) s.n = size - 1;
    memcpy(out, s.p, s.n);
    out[s.n] = 0;
}

/* W/"abc" and "abc" are abc. Only hashes are of use. */
static void keep_etag(char out[72], mica__str s)
{
    if (s.n >= 2 && (s.p[0] == 'W' || s.p[0] == 'w') && s.p[1] == '/') s = (mica__str){s.p + 2, s.n - 2};
    if (s.n >= 2 && s.p[0] == '"' && s.p[s.n - 1] == '"') s = (mica__str){s.p + 1, s.n - 2};
    if (!mica__hub_is_hash(s) || !keep(out, 72, s)) out[0] = 0;
}

static void read_range(mica__reply *r, mica__str s)
{
    uint64_t begin, end, total;
    r->has_range = false;
    if (s.n < 6 || strncasecmp(s.p, "bytes ", 6) != 0) return;
    s = (mica__str){s.p + 6, s.n - 6};
    if (!take_number(&s, &begin) || !take(&s, '-') || !take_number(&s, &end) || !take(&s, '/') ||
        !take_number(&s, &total) || s.n || begin > end || end >= total || total > INT64_MAX)
        return;
    r->has_range = true;
    r->range_begin = begin;
    r->range_end = end;
    r->range_total = total;
}

static void read_retry_after(mica__reply *r, mica__str s)
{
    uint64_t n;
    char date[64];
    r->retry_after = 0;
    if (whole_number(s, &n)) {
        r->retry_after = (double)n;
    } else if (keep(date, sizeof date, s)) {
        if (mica__late_load(NULL)) return;
        const time_t when = curl_getdate(date, NULL), now = time(NULL);
        if (when > now) r->retry_after = (double)(when - now);
    }
}

/* RateLimit: "api";r=0;t=55 -- no requests are left, for so many seconds. */
static void read_rate_limit(mica__reply *r, mica__str s)
{
    uint64_t left = 1, seconds = 0;
    for (size_t i = 0; i + 3 <= s.n; i++) {
        if (s.p[i] != ';' || s.p[i + 2] != '=') continue;
        mica__str rest = {s.p + i + 3, s.n - i - 3};
        if (s.p[i + 1] == 'r' && !take_number(&rest, &left)) return;
        if (s.p[i + 1] == 't' && !take_number(&rest, &seconds)) return;
    }
    if (left == 0 && r->retry_after == 0 && seconds < 86400) r->retry_after = (double)seconds;
}

/* <address>; rel="next", maybe among others. */
static void read_link(mica__reply *r, mica__str s)
{
    while (s.n) {
        const char *open = memchr(s.p, '<', s.n);
        const char *close = open ? memchr(open, '>', s.n - (size_t)(open - s.p)) : NULL;
        if (!close) return;
        const char *end = memchr(close, '<', s.n - (size_t)(close - s.p));
        const mica__str parameters = {close, (size_t)((end ? end : s.p + s.n) - close)};
        if (memmem(parameters.p, parameters.n, "rel=\"next\"", 10) ||
            memmem(parameters.p, parameters.n, "rel=next", 8)) {
            keep(r->next, sizeof r->next, (mica__str){open + 1, (size_t)(close - open - 1)});
            return;
        }
        s = (mica__str){close + parameters.n, s.n - (size_t)(close - s.p) - parameters.n};
    }
}

/* Forgets what belongs to one reply of a chain. */
static void begin(mica__reply *r, mica__str line)
{
    mica__reply fresh = {.has_linked_size = r->has_linked_size, .linked_size = r->linked_size};
    memcpy(fresh.commit, r->commit, sizeof fresh.commit);
    memcpy(fresh.linked_etag, r->linked_etag, sizeof fresh.linked_etag);
    *r = fresh;
    const char *space = memchr(line.p, ' ', line.n);
    mica__str rest = space ? trimmed((mica__str){space, line.n - (size_t)(space - line.p)}) : (mica__str){0};
    uint64_t status;
    if (take_number(&rest, &status) && status >= 100 && status <= 999) r->status = (int)status;
}

void mica__reply_header(mica__reply *r, const char *line, size_t n)
{
    if (n >= 5 && strncasecmp(line, "HTTP/", 5) == 0) {
        begin(r, (mica__str){line, n});
        return;
    }
    const char *colon = memchr(line, ':', n);
    if (!colon) return;
    const mica__str name = trimmed((mica__str){line, (size_t)(colon - line)});
    const mica__str value = trimmed((mica__str){colon + 1, n - (size_t)(colon - line) - 1});
    uint64_t number;
#define IS(z) (name.n == sizeof(z) - 1 && strncasecmp(name.p, z, sizeof(z) - 1) == 0)
    if (IS("content-length")) {
        r->has_length = whole_number(value, &r->length);
    } else if (IS("content-range")) {
        read_range(r, value);
    } else if (IS("etag")) {
        keep_etag(r->etag, value);
        keep(r->part_etag, sizeof r->part_etag, value);
    } else if (IS("x-linked-etag")) {
        if (!r->linked_etag[0]) keep_etag(r->linked_etag, value);
    } else if (IS("x-linked-size")) {
        if (!r->has_linked_size && whole_number(value, &number)) {
            r->has_linked_size = true;
            r->linked_size = number;
        }
    } else if (IS("x-repo-commit")) {
        if (!r->commit[0] && mica__hub_is_commit(value)) keep(r->commit, sizeof r->commit, value);
    } else if (IS("x-error-code")) {
        keep(r->error_code, sizeof r->error_code, value);
    } else if (IS("x-error-message")) {
        keep_cut(r->error_message, sizeof r->error_message, value);
    } else if (IS("location")) {
        keep(r->location, sizeof r->location, value);
    } else if (IS("retry-after")) {
        read_retry_after(r, value);
    } else if (IS("ratelimit")) {
        read_rate_limit(r, value);
    } else if (IS("link")) {
        read_link(r, value);
    }
#undef IS
}
